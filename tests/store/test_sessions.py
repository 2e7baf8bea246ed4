"""Sessions: found by key, id, path or folder; their lineage."""

from itertools import pairwise
from pathlib import Path

import pytest

from rlm_mcp.events import Client, LinkKind
from rlm_mcp.store import sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.locate import locate
from tests.build import Transcript


def made(store: Store, folder: Path, number: int, *, hour: int = 9, cwd: str = "/home/dev/acme") -> SessionRow:
    """A Session of one prompt."""
    transcript = Transcript(f"{number:08d}-0000-4000-8000-000000000000", seed=number, cwd=cwd)
    transcript.clock = transcript.clock.replace(hour=hour)
    transcript.user(f"Number {number}")
    return locate(store, transcript=transcript.save(folder / f"{number}.jsonl"))


def linked(store: Store, child: SessionRow, parent: str, link: LinkKind, events: int = -1) -> SessionRow:
    """``child`` as it comes out of ``parent``."""
    with store.writing() as connection:
        connection.execute(
            "UPDATE session SET parent = ?, link = ?, parent_events = ? WHERE id = ?", (parent, link, events, child.id)
        )
    found = sessions.by_id(store, child.id)
    assert found is not None
    return found


def test_a_key_is_the_same_after_a_rebuild_and_another_for_each_generation():
    """Refs in an old Window still resolve."""
    key = sessions.session_key(Client.CODEX, "id", "/x", 0)
    assert key == sessions.session_key(Client.CODEX, "id", "/x", 0)
    others = [(Client.CLAUDE_CODE, "id", "/x", 0), (Client.CODEX, "ie", "/x", 0), (Client.CODEX, "id", "/y", 0),
              (Client.CODEX, "id", "/x", 1)]  # fmt: skip
    assert len({key, *(sessions.session_key(*other) for other in others)}) == 5
    assert len(key) == 8


def test_newest_first_and_by_folder(store: Store, tmp_path: Path):
    """By the time of the last Event, not of ingest."""
    late, early = made(store, tmp_path, 1, hour=12), made(store, tmp_path, 2, hour=9, cwd="/other")
    assert sessions.newest(store) == late
    assert sessions.newest(store, "/other") == early
    assert sessions.newest(store, "/none") is None
    assert [row.id for row in sessions.all_sessions(store, 10)] == [late.id, early.id]
    assert [part.session.id for part in sessions.of_project(store, early)] == [early.id]


def test_what_is_not_there_is_none(store: Store):
    """Not an error, not a guess."""
    assert sessions.by_id(store, 7) is None
    assert sessions.by_key(store, "ffffffff") is None
    assert sessions.by_client_id(store, "x") is None
    assert sessions.by_path(store, "/none") == []


@pytest.mark.parametrize("link", LinkKind)
def test_what_is_continued_stops_at_a_clear_and_the_lineage_does_not(store: Store, tmp_path: Path, link: LinkKind):
    """Resume, fork and compact go on; /clear begins anew, and stays searchable."""
    first, second = made(store, tmp_path, 1), made(store, tmp_path, 2)
    second = linked(store, second, first.client_session, link)
    continued = [part.session.id for part in sessions.continued(store, second)]
    assert continued == ([second.id] if link is LinkKind.CLEAR else [second.id, first.id])
    assert [part.session.id for part in sessions.lineage(store, second)] == [second.id, first.id]


def test_a_part_of_a_parent_ends_where_the_child_left_it(store: Store, tmp_path: Path):
    """-1: all of it; a number: its first Events."""
    first, second = made(store, tmp_path, 1), made(store, tmp_path, 2)
    whole = linked(store, second, first.client_session, LinkKind.FORK)
    assert sessions.lineage(store, whole)[1].max_seq == first.events
    none = linked(store, second, first.client_session, LinkKind.FORK, 0)
    assert sessions.lineage(store, none)[1].max_seq == 0


def test_a_circle_of_parents_ends(store: Store, tmp_path: Path):
    """Bad links in a transcript must not hang a server; a parent that is not there ends the line."""
    first, second, third = (made(store, tmp_path, number) for number in (1, 2, 3))
    linked(store, first, third.client_session, LinkKind.RESUME)
    linked(store, second, first.client_session, LinkKind.RESUME)
    third = linked(store, third, second.client_session, LinkKind.RESUME)
    assert [part.session.id for part in sessions.lineage(store, third)] == [third.id, second.id, first.id]
    lost = linked(store, second, "gone", LinkKind.RESUME)
    assert [part.session.id for part in sessions.lineage(store, lost)] == [second.id]


def test_a_long_line_of_parents_is_bounded(store: Store, tmp_path: Path):
    """Fifty at most."""
    rows = [made(store, tmp_path, number) for number in range(60)]
    for older, newer in pairwise(rows):
        linked(store, newer, older.client_session, LinkKind.RESUME)
    last = sessions.by_id(store, rows[-1].id)
    assert last is not None
    assert len(sessions.lineage(store, last)) == 50


@pytest.mark.parametrize("prefix", ["0000000", "00000001-", ""])
def test_prefixes_find_ids_newest_first(store: Store, tmp_path: Path, prefix: str):
    """At most ten."""
    for number in range(12):
        made(store, tmp_path, number)
    found = sessions.by_client_prefix(store, prefix)
    assert len(found) == (1 if prefix.endswith("-") else 10)
    assert [row.id for row in found] == sorted((row.id for row in found), reverse=True)
