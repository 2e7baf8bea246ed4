"""Marks of hooks that did not finish."""

from rlm_mcp.config import Paths
from rlm_mcp.store import degraded, live


def test_marks_are_read_newest_first_and_cleared_one_by_one(paths: Paths) -> None:
    """Each session has one; a newer replaces it."""
    degraded.mark(paths, "a", "first", 1.0)
    degraded.mark(paths, "b", "second", 2.0)
    degraded.mark(paths, "a", "third", 3.0)
    assert [(mark.client_session, mark.reason) for mark in degraded.read(paths)] == [("a", "third"), ("b", "second")]
    degraded.clear(paths, "a")
    assert [mark.client_session for mark in degraded.read(paths)] == ["b"]


def test_a_mark_without_a_session_goes_with_the_next_success_of_any(paths: Paths) -> None:
    """The hook could not even read who called."""
    degraded.mark(paths, "", "not JSON", 1.0)
    degraded.clear(paths, "whoever")
    assert degraded.read(paths) == ()


def test_clearing_what_is_not_marked_is_nothing(paths: Paths) -> None:
    """The folder need not exist."""
    degraded.clear(paths, "a")
    assert degraded.read(paths) == ()


def test_a_mark_that_cannot_be_read_is_still_seen(paths: Paths) -> None:
    """It says that something was wrong."""
    degraded.mark(paths, "a", "reason", 1.0)
    live.path_of(paths, "degraded", "a").write_text("{")
    (mark,) = degraded.read(paths)
    assert "degraded-a.json" in mark.reason
