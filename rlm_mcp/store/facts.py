"""Facts in the store: written with their supersession, asked for by kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import ScopePart


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRow:
    """A Fact as stored. Texts as in ``rlm_mcp.facts.kinds.Fact``."""

    session: int
    session_key: str = ""
    seq: int
    turn: int
    kind: str
    subject: str
    text: str
    status: str
    start: int = 0
    """Of the quoted text in the Event's text, in bytes; with ``end`` 0 the whole."""
    end: int = 0
    exit_code: int | None = None
    seconds: float | None = None
    added: int = 0
    removed: int = 0
    note: str = ""
    agent: str = ""
    time: float | None = None
    superseded_by: int = 0
    """Seq of the Event that replaced or closed it; 0 while current."""

    @property
    def ref(self) -> str:
        """The Event it was read from, as Refs print it in its own Session."""
        return f"e{self.seq}"


_COLUMNS = (
    "session, seq, turn, kind, subject, text, status, start, end, exit_code, seconds, added, removed, note, agent, time"
)
_INSERT = f"INSERT INTO fact ({_COLUMNS}) VALUES ({', '.join('?' * 16)})"  # names are ours, values are bound


def add(store: Store, fact: FactRow, *, supersedes: bool, closes: Iterable[tuple[str, str]] = ()) -> None:
    """Write a Fact and mark what it supersedes with its Event's number. Inside ``writing()``.

    Args:
        supersedes: older current Facts of its kind and subject are over.
        closes: so are those of these (kind, subject) pairs; subject '' stands for every one.
    """
    run = store.connection.execute
    if supersedes:
        run(
            "UPDATE fact SET superseded_by = ? WHERE session = ? AND kind = ? AND superseded_by = 0 AND subject = ? "
            "AND seq <= ?",
            (fact.seq, fact.session, fact.kind, fact.subject, fact.seq),
        )
    for kind, subject in closes:
        run("INSERT OR IGNORE INTO closing VALUES (?, ?, ?, ?)", (fact.session, kind, subject, fact.seq))
        if subject:
            run(
                "UPDATE fact SET superseded_by = ? WHERE session = ? AND kind = ? AND superseded_by = 0 "
                "AND subject = ? AND seq < ?",
                (fact.seq, fact.session, kind, subject, fact.seq),
            )
        else:
            run(
                "UPDATE fact SET superseded_by = ? WHERE session = ? AND kind = ? AND superseded_by = 0 AND seq < ?",
                (fact.seq, fact.session, kind, fact.seq),
            )
    run(
        _INSERT,
        (
            fact.session,
            fact.seq,
            fact.turn,
            fact.kind,
            fact.subject,
            fact.text,
            fact.status,
            fact.start,
            fact.end,
            fact.exit_code,
            fact.seconds,
            fact.added,
            fact.removed,
            fact.note,
            fact.agent,
            fact.time,
        ),
    )


def of_kind(
    store: Store,
    scope: Sequence[ScopePart],
    kinds: Sequence[str],
    *,
    current_only: bool = True,
    newest_first: bool = True,
    limit: int = 1000,
) -> list[FactRow]:
    """Facts of these kinds in the scope, at most ``limit``, the newest Session's first (or last)."""
    found: list[FactRow] = []
    order = "DESC" if newest_first else "ASC"
    numbered = list(enumerate(scope))
    for number, part in numbered if newest_first else reversed(numbered):
        marks = ", ".join("?" * len(kinds))
        condition = f"AND {_current(part)} {_not_closed(scope[:number])}" if current_only else ""
        rows = store.connection.execute(
            f"SELECT * FROM fact WHERE session = ? AND kind IN ({marks}) AND seq <= ? "
            f"{condition} ORDER BY seq {order}, id {order} LIMIT ?",
            (part.session.id, *kinds, part.max_seq, limit - len(found)),
        )
        found.extend(_row(row, part) for row in rows)
        if len(found) >= limit:
            break
    return found


def _current(part: ScopePart) -> str:
    """SQL: not superseded, as seen from the end of the part; what its Session did later does not count."""
    whole = part.max_seq >= part.session.events
    return "superseded_by = 0" if whole else f"(superseded_by = 0 OR superseded_by > {part.max_seq:d})"


def _not_closed(newer: Sequence[ScopePart]) -> str:
    """SQL: not ended by a Session that went on from this one (all that is named is a number of ours)."""
    ended = " OR ".join(
        f"(closing.session = {part.session.id:d} AND closing.seq <= {part.max_seq:d})" for part in newer
    )
    if not ended:
        return ""
    return (
        "AND NOT EXISTS (SELECT 1 FROM closing WHERE closing.kind = fact.kind "
        f"AND closing.subject IN ('', fact.subject) AND ({ended}))"
    )


def of_turn(store: Store, part: ScopePart, turn: int, limit: int = 1000) -> list[FactRow]:
    """All Facts of a Turn in order, superseded ones included."""
    rows = store.connection.execute(
        "SELECT * FROM fact WHERE session = ? AND turn = ? AND seq <= ? ORDER BY seq, id LIMIT ?",
        (part.session.id, turn, part.max_seq, limit),
    )
    return [_row(row, part) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Facts of one kind and subject, taken together."""

    session: int
    session_key: str
    kind: str
    subject: str
    count: int
    added: int
    removed: int
    last_seq: int
    last_turn: int
    status: str
    """Of the latest."""
    text: str
    """Of the latest."""
    superseded_by: int
    """Of the latest."""


def grouped(store: Store, scope: Sequence[ScopePart], kind: str, *, limit: int = 1000) -> list[Group]:
    """Facts of a kind grouped by subject, the latest touched first."""
    groups: dict[str, Group] = {}
    for part in scope:
        rows = store.connection.execute(
            "SELECT subject, count(*) AS count, sum(added) AS added, sum(removed) AS removed, max(seq) AS last_seq, "
            "turn, status, text, superseded_by FROM fact WHERE session = ? AND kind = ? AND seq <= ? "
            "GROUP BY subject ORDER BY last_seq DESC LIMIT ?",  # bare columns are those of max(seq): SQLite's rule
            (part.session.id, kind, part.max_seq, limit),
        )
        for row in rows:
            newer = groups.get(row["subject"])
            groups[row["subject"]] = Group(
                session=newer.session if newer else part.session.id,
                session_key=newer.session_key if newer else part.session.key,
                kind=kind,
                subject=row["subject"],
                count=row["count"] + (newer.count if newer else 0),
                added=row["added"] + (newer.added if newer else 0),
                removed=row["removed"] + (newer.removed if newer else 0),
                last_seq=newer.last_seq if newer else row["last_seq"],
                last_turn=newer.last_turn if newer else row["turn"],
                status=newer.status if newer else row["status"],
                text=newer.text if newer else row["text"],
                superseded_by=newer.superseded_by if newer else _superseded_by(row, part),
            )
    return list(groups.values())[:limit]


def counts(store: Store, scope: Sequence[ScopePart]) -> dict[str, tuple[int, int, int]]:
    """Per kind: Facts in all, current ones, distinct subjects."""
    parts = " UNION ALL ".join(
        f"SELECT kind, subject, {_current(part)} AS current FROM fact WHERE session = ? AND seq <= ?" for part in scope
    )
    rows = store.connection.execute(
        "SELECT kind, count(*) AS total, sum(current) AS current, count(DISTINCT subject) AS subjects "
        f"FROM ({parts}) GROUP BY kind",
        [value for part in scope for value in (part.session.id, part.max_seq)],
    )
    return {row["kind"]: (row["total"], row["current"], row["subjects"]) for row in rows}


def counts_by_turn(store: Store, part: ScopePart, first_turn: int) -> dict[int, dict[str, int]]:
    """Turn -> kind -> how many Facts, from ``first_turn`` on; failed commands also under ``failed``."""
    found: dict[int, dict[str, int]] = {}
    rows = store.connection.execute(
        "SELECT turn, kind, count(*) AS count, sum(status = 'failed') AS failed FROM fact "
        "WHERE session = ? AND turn >= ? AND seq <= ? GROUP BY turn, kind",
        (part.session.id, first_turn, part.max_seq),
    )
    for row in rows:
        kinds = found.setdefault(row["turn"], {})
        kinds[row["kind"]] = row["count"]
        if row["kind"] == "command" and row["failed"]:
            kinds["failed"] = row["failed"]
    return found


def _row(row: sqlite3.Row, part: ScopePart) -> FactRow:
    return FactRow(
        session=row["session"],
        session_key=part.session.key,
        seq=row["seq"],
        turn=row["turn"],
        kind=row["kind"],
        subject=row["subject"],
        text=row["text"],
        status=row["status"],
        start=row["start"],
        end=row["end"],
        exit_code=row["exit_code"],
        seconds=row["seconds"],
        added=row["added"],
        removed=row["removed"],
        note=row["note"],
        agent=row["agent"],
        time=row["time"],
        superseded_by=_superseded_by(row, part),
    )


def _superseded_by(row: sqlite3.Row, part: ScopePart) -> int:
    return row["superseded_by"] if row["superseded_by"] <= part.max_seq else 0
