"""export: a transcript as the Client wrote it, byte for byte, or as Markdown for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rlm_mcp.errors import SessionNotFound
from rlm_mcp.events import EventKind
from rlm_mcp.store import events, sources
from rlm_mcp.store.database import Store
from rlm_mcp.store.events import EventRow
from rlm_mcp.store.log import stamp
from rlm_mcp.store.sessions import SessionRow


def export_raw(store: Store, *, transcript: Path | None = None, session: SessionRow | None = None) -> Iterator[bytes]:
    """The bytes of a transcript file as ingested.

    Raises:
        SessionNotFound: neither is given, or the file was never ingested.
        StoreDamaged: the bytes were not kept (``keep_raw`` was off) or are damaged.
    """
    if session is not None:
        row = store.connection.execute("SELECT source FROM session WHERE id = ?", (session.id,)).fetchone()
        return sources.raw_bytes(store, row[0])
    if transcript is None:
        raise SessionNotFound("name what to export: a session or --transcript FILE")
    source = sources.current(store, sources.real(transcript))
    if source is None:
        raise SessionNotFound(f"{str(transcript)!r} was never ingested; run 'rlm-mcp ingest' on it first")
    return sources.raw_bytes(store, source.id)


def export_markdown(store: Store, session: SessionRow) -> Iterator[str]:
    """The Session as Markdown, piece by piece."""
    began = stamp(session.started) if session.started is not None else "unknown time"
    yield (
        f"# Session {session.key}: {session.title or session.client_session}\n\n"
        f"{session.client} {session.client_version}, {session.cwd}, began {began}; "
        f"{session.events} events, {session.turns} turns\n"
    )
    turn = 0
    for event in events.all_events(store, session):
        if event.turn != turn:
            turn = event.turn
            yield f"\n## Turn {turn}\n"
        yield _section(event, events.text_of(store, event))


_TITLES = {
    EventKind.PROMPT: "User",
    EventKind.REPLY: "Model",
    EventKind.THINKING: "Model, thinking",
    EventKind.CALL: "Call",
    EventKind.RESULT: "Result",
    EventKind.NOTE: "Note",
    EventKind.SUMMARY: "Summary",
}


def _section(event: EventRow, text: str) -> str:
    tool = f" {event.tool}" if event.tool else ""
    agent = f" (sub-agent {event.agent})" if event.agent else ""
    failed = ", failed" if event.failed else ""
    when = f", {stamp(event.time)}" if event.time is not None else ""
    title = f"\n### {_TITLES[event.kind]}{tool}{agent}{failed} (e{event.seq}{when})\n\n"
    if event.kind in (EventKind.PROMPT, EventKind.REPLY, EventKind.THINKING, EventKind.SUMMARY):
        return f"{title}{text}\n"
    fence = "`" * max(3, _longest_backticks(text) + 1)
    return f"{title}{fence}\n{text}\n{fence}\n"


def _longest_backticks(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
