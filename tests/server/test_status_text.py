"""rlm_mcp.server.status_text: what a person or a model reads of the state."""

from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.server.status_text import size, status_text
from rlm_mcp.store import degraded
from rlm_mcp.store.cells import ReplRow
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.status import status
from tests.documents import loaded_text, session_in


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


def test_documents_are_one_line(store: Store, tmp_path: Path) -> None:
    """Where there are any."""
    session = session_in(store, tmp_path)
    assert "documents:" not in status_text(status(store, session))
    loaded_text(store, session, "a.txt", "text " * 500)
    assert "\ndocuments: 1 loaded, 2 kB of text\n" in status_text(status(store, session))
    assert "\ndocuments: 1 held, 2 kB of text\n" in status_text(status(store))


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (840, "840 B"), (14_200, "14 kB"), (1_440_000, "1.4 MB")])
def test_sizes_are_for_people(count: int, shown: str) -> None:
    """Short, with a unit."""
    assert size(count) == shown


@pytest.mark.parametrize(
    ("repl", "line"),
    [
        (
            ReplRow(cells=1, variables=(("n", "int, 7"),), saved_cell=0, saved_time=None),
            "repl: 1 Cell run; 1 variable: n; never saved, a restart runs its Cells again",
        ),
        (
            ReplRow(cells=12, variables=(("n", "int, 7"),), saved_cell=9, saved_time=0.0),
            "repl: 12 Cells run; 1 variable: n; saved as of c9, 1970-01-01T00:00:00Z, a restart runs the rest again",
        ),
        (
            ReplRow(cells=3, variables=(("rows", "list, 3"), ("n", "int, 7")), saved_cell=3, saved_time=0.0),
            "repl: 3 Cells run; 2 variables: n, rows; all saved 1970-01-01T00:00:00Z",
        ),
    ],
)
def test_the_repl_is_told_in_a_line(store: Store, recorded_session: Path, repl: ReplRow, line: str) -> None:
    """Cells, variables, and what a restart would do; nothing where no Cell ran."""
    found = status(store, locate(store, transcript=recorded_session))
    assert "repl: " not in status_text(found)
    assert line in status_text(replace(found, repl=repl)).splitlines()
