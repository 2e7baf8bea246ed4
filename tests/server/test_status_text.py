"""rlm_mcp.server.status_text: what a person or a model reads of the state."""

from pathlib import Path

import pytest

from rlm_mcp.server.status_text import size, status_text
from rlm_mcp.store import degraded
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.status import status


def test_folds_skips_and_degraded_sessions_are_seen(store: Store, recorded_session: Path, tmp_path: Path) -> None:
    """What went wrong or was left out never hides."""
    transcript = tmp_path / "session.jsonl"
    transcript.write_bytes(recorded_session.read_bytes() + b'{"type":"never-seen","sessionId":"x"}\nnot json\n')
    session = locate(store, transcript=transcript)
    compact(store, session, trigger="manual", instructions="the importer")
    degraded.mark(store.paths, "abc", "TimeoutError: too slow", 1.0)
    text = status_text(status(store, session))
    assert "1 of unknown type, 1 skipped" in text
    assert "never-seen" in text
    assert "not JSON" in text
    assert "folds: 1" in text
    assert "manual" in text
    assert "degraded: abc: TimeoutError: too slow" in text


def test_without_a_session_the_newest_are_listed(store: Store, recorded_session: Path) -> None:
    """And an empty store says what to do first."""
    assert "rlm-mcp ingest" in status_text(status(store))
    session = locate(store, transcript=recorded_session)
    assert session.key in status_text(status(store))


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (840, "840 B"), (14_200, "14 kB"), (1_440_000, "1.4 MB")])
def test_sizes_are_for_people(count: int, shown: str) -> None:
    """Short, with a unit."""
    assert size(count) == shown
