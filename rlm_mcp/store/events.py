"""Events and Turns in the store, read back exactly. ``appending.py`` writes them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlm_mcp.errors import RefError
from rlm_mcp.events import EventKind
from rlm_mcp.refs import Span
from rlm_mcp.store import log
from rlm_mcp.store.database import Store, read_at
from rlm_mcp.store.sessions import SessionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An Event as indexed; its text is a span of the log."""

    session: int
    session_key: str
    seq: int
    turn: int
    kind: EventKind
    agent: str
    tool: str
    call_id: str
    failed: bool
    time: float | None
    start: int
    length: int
    source: int
    record_offset: int
    record_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """A Turn: the Events from one prompt to the next."""

    session: int
    session_key: str
    number: int
    first_seq: int
    last_seq: int
    prompt: str
    started: float | None


OWN = "rlm-mcp"
"""Stands as the tool of Events that are ours: calls of our tools, Briefs of ours that came back."""
_IDS_AT_ONCE = 5_000
"""SQLite binds no more than 32,766 values."""
_EVENTS = "SELECT event.*, session.key AS session_key FROM event JOIN session ON session.id = event.session "


def event_row(store: Store, session: SessionRow, seq: int) -> EventRow:
    """The Event with that number.

    Raises:
        RefError: the Session has no such Event.
    """
    row = store.connection.execute(_EVENTS + "WHERE event.session = ? AND event.seq = ?", (session.id, seq)).fetchone()
    if row is None:
        raise RefError(f"'e{seq}' is not in session {session.key}: it has events e1 to e{session.events}")
    return _event(row)


def by_rowids(store: Store, rowids: Sequence[int]) -> dict[int, EventRow]:
    """Events by database row, as the word index names them."""
    found: dict[int, EventRow] = {}
    for start in range(0, len(rowids), _IDS_AT_ONCE):
        ids = tuple(rowids[start : start + _IDS_AT_ONCE])
        rows = store.connection.execute(_EVENTS + f"WHERE event.id IN ({', '.join('?' * len(ids))})", ids)
        found.update((row["id"], _event(row)) for row in rows)
    return found


def by_call(store: Store, session: SessionRow, call_id: str, kind: EventKind) -> EventRow | None:
    """The call or result with the Client's call id."""
    row = store.connection.execute(
        _EVENTS + "WHERE event.session = ? AND event.call_id = ? AND event.kind = ? ORDER BY event.seq DESC LIMIT 1",
        (session.id, call_id, kind),
    ).fetchone()
    return None if row is None else _event(row)


def latest(store: Store, session: SessionRow, count: int, *, before: int | None = None) -> list[EventRow]:
    """The last ``count`` Events (before Event ``before``), oldest first."""
    limit = session.events + 1 if before is None else before
    rows = store.connection.execute(
        _EVENTS + "WHERE event.session = ? AND event.seq < ? ORDER BY event.seq DESC LIMIT ?",
        (session.id, limit, count),
    ).fetchall()
    return [_event(row) for row in reversed(rows)]


def all_events(store: Store, session: SessionRow) -> Iterator[EventRow]:
    """Every Event in order."""
    rows = store.connection.execute(_EVENTS + "WHERE event.session = ? ORDER BY event.seq", (session.id,))
    return (_event(row) for row in rows)


def table(store: Store, session: SessionRow, *, after: int, upto: int) -> list[tuple[object, ...]]:
    """Events ``after`` (not included) to ``upto`` as (seq, turn, kind, tool, agent, failed, time, start, length)."""
    cursor = store.connection.cursor()
    cursor.row_factory = None  # plain tuples: a long session has many
    cursor.execute(
        "SELECT seq, turn, kind, tool, agent, failed, time, start, length FROM event "
        "WHERE session = ? AND seq > ? AND seq <= ? ORDER BY seq",
        (session.id, after, upto),
    )
    return cursor.fetchall()


def text_of(store: Store, event: EventRow, *, max_bytes: int | None = None) -> str:
    """The Event's text from the log (its first ``max_bytes`` bytes, cut at a character)."""
    length = event.length if max_bytes is None else min(event.length, max_bytes)
    content = read_at(log.log_path(store.paths, event.session_key), event.start, length)
    return content.decode("utf-8", "ignore")


def around(store: Store, event: EventRow, start: int, end: int) -> str:
    """The line (or as much of it as is near) in which bytes ``start`` to ``end`` of the Event's text stand."""
    first = max(0, start - 80)
    last = min(event.length, end + 160, start + 2_000)
    raw = read_at(log.log_path(store.paths, event.session_key), event.start + first, last - first)
    begin = raw.rfind(b"\n", 0, start - first) + 1
    stop = raw.find(b"\n", min(end, last) - first)
    return raw[begin : stop if stop >= 0 else None].decode("utf-8", "ignore")


def turn_row(store: Store, session: SessionRow, number: int) -> TurnRow:
    """The Turn with that number.

    Raises:
        RefError: the Session has no such Turn.
    """
    found = turns(store, session, first=number, last=number)
    if not found:
        raise RefError(f"'t{number}' is not in session {session.key}: it has turns t1 to t{session.turns}")
    return found[0]


def turn_before(store: Store, session: SessionRow, byte: int) -> int:
    """The number of the last Turn that began before that byte of the log; 0 where none did."""
    row = store.connection.execute(
        "SELECT coalesce(max(turn.number), 0) AS number FROM turn JOIN event ON event.session = turn.session "
        "AND event.seq = turn.first_seq WHERE turn.session = ? AND event.start < ?",
        (session.id, byte),
    ).fetchone()
    return int(row["number"])


def turn_spans(store: Store, session: SessionRow, number: int) -> list[Span]:
    """Where the Events of a Turn stand in the log, headers included; a sub-agent read later stands apart.

    Raises:
        RefError: the Session has no such Turn.
    """
    turn_row(store, session, number)
    rows = store.connection.execute(
        "SELECT event.start + event.length + 1 AS end, coalesce(before.start + before.length + 1, 0) AS begin "
        "FROM event LEFT JOIN event AS before ON before.session = event.session AND before.seq = event.seq - 1 "
        "WHERE event.session = ? AND event.turn = ? ORDER BY event.seq",
        (session.id, number),
    )
    found: list[Span] = []
    for row in rows:
        joins = bool(found) and found[-1].end == row["begin"]
        begin = found.pop().start if joins else row["begin"]
        found.append(Span(start=begin, end=row["end"]))
    return found


def turns(
    store: Store, session: SessionRow, *, first: int = 0, last: int | None = None, limit: int = 1000
) -> list[TurnRow]:
    """Turns ``first`` to ``last``, in order; the newest ``limit`` of them."""
    rows = store.connection.execute(
        "SELECT * FROM turn WHERE session = ? AND number BETWEEN ? AND ? ORDER BY number DESC LIMIT ?",
        (session.id, first, session.turns if last is None else last, limit),
    ).fetchall()
    return [
        TurnRow(
            session=row["session"],
            session_key=session.key,
            number=row["number"],
            first_seq=row["first_seq"],
            last_seq=row["last_seq"],
            prompt=row["prompt"],
            started=row["started"],
        )
        for row in reversed(rows)
    ]


def skip_counts(store: Store, session: SessionRow) -> list[tuple[str, str, int]]:
    """(reason, detail, count) of the records that gave no Event."""
    rows = store.connection.execute(
        "SELECT reason, CASE WHEN reason = 'unknown record type' THEN detail ELSE '' END AS what, count(*) AS count "
        "FROM skip WHERE session IN (0, ?) AND source IN (SELECT id FROM source WHERE id = "
        "(SELECT source FROM session WHERE id = ?) OR main_source = (SELECT source FROM session WHERE id = ?)) "
        "GROUP BY reason, what ORDER BY count DESC",
        (session.id, session.id, session.id),
    )
    return [(row["reason"], row["what"], row["count"]) for row in rows]


def check_log(store: Store, session: SessionRow) -> str:
    """Integrity: '' if the log holds what the index says, else what is wrong."""
    path = log.log_path(store.paths, session.key)
    size = path.stat().st_size if path.exists() else 0
    if size < session.log_bytes:
        return f"{os.fspath(path)!r} has {size:,} bytes, the index names {session.log_bytes:,}"
    run = store.connection.execute
    count = run("SELECT count(*) FROM event WHERE session = ?", (session.id,)).fetchone()[0]
    last = run(
        "SELECT seq, start + length AS end FROM event WHERE session = ? ORDER BY seq DESC LIMIT 1", (session.id,)
    ).fetchone()  # the log is in the order of the Events, so the last one ends last
    if count != session.events or (last is not None and last["seq"] != session.events):
        return f"session {session.key} names {session.events} events, the index has {count}"
    if last is not None and last["end"] > session.log_bytes:
        return f"an event of session {session.key} ends behind its log"
    return ""


def _event(row: sqlite3.Row) -> EventRow:
    return EventRow(
        session=row["session"],
        session_key=row["session_key"],
        seq=row["seq"],
        turn=row["turn"],
        kind=EventKind(row["kind"]),
        agent=row["agent"],
        tool=row["tool"],
        call_id=row["call_id"],
        failed=bool(row["failed"]),
        time=row["time"],
        start=row["start"],
        length=row["length"],
        source=row["source"],
        record_offset=row["record_offset"],
        record_length=row["record_length"],
    )
