"""Where a session came from."""

import json
from pathlib import Path

from rlm_mcp.events import LinkKind
from rlm_mcp.store import lineage, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.ingest import ingest
from tests.transcripts.codex_rollouts import records


def forked(recorded: Path, folder: Path, name: str, first_line: int) -> Path:
    """As ``--fork-session`` writes it: the parent's rows from a line on, under the new session's id."""
    path = folder / f"{name}.jsonl"
    lines = recorded.read_text(encoding="utf-8").splitlines()[first_line:]
    path.write_text("".join(json.dumps(json.loads(line) | {"sessionId": name}) + "\n" for line in lines))
    return path


def boundary(recorded: Path) -> int:
    lines = recorded.read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines) if '"compact_boundary"' in line)


def test_a_fork_after_a_compaction_finds_its_parent_by_content(
    store: Store, tmp_path: Path, recorded_session: Path
) -> None:
    """The copied rows begin at the boundary; what came before is the parent's."""
    (parent,) = ingest(store, recorded_session)
    child = "aaaaaaaa-0000-4000-8000-000000000001"
    ingest(store, forked(recorded_session, tmp_path, child, boundary(recorded_session)))
    row = sessions.by_client_id(store, child)
    assert row is not None
    row = lineage.settle(store, row)
    assert (row.parent, row.link) == (parent.client_session, LinkKind.FORK)
    assert 0 < row.parent_events < parent.events


def test_two_unrelated_sessions_stay_unrelated(store: Store, recorded_session: Path) -> None:
    """Nobody's copy has no parent."""
    (only,) = ingest(store, recorded_session)
    row = sessions.by_client_id(store, only.client_session)
    assert row is not None
    assert lineage.settle(store, row).parent == ""


def test_a_hint_names_the_session_before_a_clear(store: Store, recorded_session: Path) -> None:
    """Left by the SessionStart hook before the new session has a transcript, and used once."""
    first = json.loads(recorded_session.read_text(encoding="utf-8").partition("\n")[0])
    lineage.hint(store.paths, first["sessionId"], "the-one-before", LinkKind.CLEAR)
    ingest(store, recorded_session)
    row = sessions.by_client_id(store, first["sessionId"])
    assert row is not None
    row = lineage.settle(store, row)
    assert (row.parent, row.link, row.parent_events) == ("the-one-before", LinkKind.CLEAR, -1)
    assert not list(store.paths.live.glob("parent-*"))


def test_a_codex_fork_ends_its_parent_where_it_says(store: Store, tmp_path: Path) -> None:
    """In bytes of the parent's transcript, which are Events as soon as the parent is read that far."""
    lines = records(
        ("session_meta", {"id": "old", "cwd": "/w"}),
        *(said(f"prompt {number}") for number in range(1, 5)),
    )
    parent, fork = tmp_path / "rollout-old.jsonl", tmp_path / "rollout-new.jsonl"
    base = {"thread_id": "old", "end_byte_offset": len(b"".join(lines[:4]))}
    meta = {"id": "new", "forked_from_id": "old", "cwd": "/w", "history_base": base}
    fork.write_bytes(b"".join(records(("session_meta", meta), said("another way"))))
    parent.write_bytes(b"".join(lines[:2]))
    ingest(store, parent)
    (found,) = ingest(store, fork)
    row = sessions.by_key(store, found.session)
    assert row is not None
    assert (row.parent, row.link, row.parent_events) == ("old", LinkKind.FORK, -1)
    parent.write_bytes(b"".join(lines))
    ingest(store, parent)
    row = lineage.settle(store, row)
    assert row.parent_events == 3
    assert [part.max_seq for part in sessions.continued(store, row)] == [1, 3]
    assert lineage.settle(store, row) == row


def said(text: str) -> tuple[str, dict[str, object]]:
    content = [{"type": "input_text", "text": text}]
    return "response_item", {"type": "message", "role": "user", "content": content}


def test_a_session_is_never_its_own_parent(store: Store) -> None:
    """A client that keeps its id over a /clear leaves no hint."""
    lineage.hint(store.paths, "same", "same", LinkKind.CLEAR)
    assert not list(store.paths.live.glob("parent-*"))
