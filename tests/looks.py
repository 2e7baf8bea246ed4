"""What a test looks at in a store, to compare two of them."""

import os
from pathlib import Path
from typing import Any

from rlm_mcp.store import events, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.log import log_path
from rlm_mcp.verbs.export import export_raw

_EVENTS = (
    "SELECT session.client_session, event.seq, event.turn, event.kind, event.agent, event.tool, event.call_id, "
    "event.failed, event.time, event.start, event.length, event.record_offset, event.record_length "
    "FROM event JOIN session ON session.id = event.session ORDER BY session.id, event.seq"
)
_FACTS = (
    "SELECT session.client_session, fact.seq, fact.turn, fact.kind, fact.subject, fact.text, fact.status, fact.start, "
    "fact.end, fact.exit_code, fact.seconds, fact.added, fact.removed, fact.note, fact.superseded_by "
    "FROM fact JOIN session ON session.id = fact.session ORDER BY session.id, fact.id"
)
_SESSIONS = (
    "SELECT client_session, cwd, git_branch, title, model, client_version, parent, link, parent_events, started, "
    "updated, events, turns, log_bytes, window_tokens, compactions FROM session ORDER BY id"
)
_TURNS = (
    "SELECT session.client_session, turn.number, turn.first_seq, turn.last_seq, turn.prompt FROM turn "
    "JOIN session ON session.id = turn.session ORDER BY session.id, turn.number"
)
_SKIPS = "SELECT offset, length, reason, detail FROM skip ORDER BY source, offset"


def real_folder() -> Path:
    """Where real transcripts lie (``claude/`` and ``codex/`` below it), if anywhere."""
    named = os.environ.get("RLM_MCP_TRANSCRIPTS")
    return Path(named) if named else Path(__file__).parent.parent.parent / "shared" / "transcripts"


def rows(store: Store, statement: str) -> list[tuple[Any, ...]]:
    """Rows as plain tuples."""
    return [tuple(row) for row in store.connection.execute(statement)]


def everything(store: Store) -> dict[str, Any]:
    """All that is derived from transcripts, in a form to compare: two stores of the same bytes are equal in it."""
    return {
        "sessions": rows(store, _SESSIONS),
        "events": rows(store, _EVENTS),
        "facts": rows(store, _FACTS),
        "turns": rows(store, _TURNS),
        "skips": rows(store, _SKIPS),
        "logs": [log_bytes(store, row) for row in sorted(sessions.all_sessions(store, 1000), key=lambda row: row.id)],
        "words": rows(store, "SELECT count(*) FROM event_fts WHERE event_fts MATCH 'the OR a OR area1'"),
    }


def log_bytes(store: Store, session: sessions.SessionRow) -> bytes:
    """The committed part of a Session's log."""
    path = log_path(store.paths, session.key)
    return path.read_bytes()[: session.log_bytes] if session.log_bytes else b""


def raw(store: Store, path: Path) -> bytes:
    """A transcript given back."""
    return b"".join(export_raw(store, transcript=path))


def assert_whole(store: Store) -> None:
    """Database sound, log and index agree, no Event lost or doubled, every text where the index says."""
    assert store.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    with store.writing() as connection:
        connection.execute("INSERT INTO event_fts(event_fts) VALUES ('integrity-check')")
    for session in sessions.all_sessions(store, 1000):
        assert events.check_log(store, session) == ""
        seqs = [event.seq for event in events.all_events(store, session)]
        assert seqs == list(range(1, session.events + 1))
        log = log_bytes(store, session)
        end = 0
        for event in events.all_events(store, session):
            header = log[end : event.start]
            assert header.startswith(f"@e{event.seq} t{event.turn} {event.kind}".encode())
            assert header.endswith(b"\n")
            end = event.start + event.length + 1
            assert log[end - 1 : end] == b"\n"
            log[event.start : end].decode("utf-8")
        assert end == len(log) == session.log_bytes
    assert rows(store, "SELECT count(*) FROM event") == rows(store, "SELECT sum(events) FROM session") or not rows(
        store, "SELECT 1 FROM event LIMIT 1"
    )
    orphans = "SELECT count(*) FROM fact LEFT JOIN event ON event.session = fact.session AND event.seq = fact.seq "
    assert rows(store, orphans + "WHERE event.id IS NULL") == [(0,)]
