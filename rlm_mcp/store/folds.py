"""Folds: each time Events left the Window and a Brief took their place. Ours alone, never derived."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRow:
    """One compaction answered by us."""

    id: int
    client_session: str
    session_key: str
    time: float
    """Seconds since the epoch."""
    trigger: str
    """``auto``, ``manual``, ``plugin``, ``compact`` (Codex), ``cli``."""
    instructions: str
    upto_seq: int
    """Last Event known when it was made."""
    brief: str
    tokens: int
    loss: Mapping[str, tuple[int, int]]
    """Kind -> (how many there are, how many of them stand in the Brief)."""
    seconds: float
    """From call to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFold:
    """A Fold about to be recorded."""

    trigger: str
    instructions: str
    brief: str
    tokens: int
    loss: Mapping[str, tuple[int, int]]
    time: float
    seconds: float


def add(store: Store, session: SessionRow, new: NewFold) -> int:
    """Record a Fold; returns its number."""
    with store.writing() as connection:
        rowid = connection.execute(
            "INSERT INTO fold (client_session, session_key, time, trigger, instructions, upto_seq, brief, tokens, "
            "loss, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session.client_session,
                session.key,
                new.time,
                new.trigger,
                new.instructions,
                session.events,
                new.brief,
                new.tokens,
                json.dumps({kind: list(pair) for kind, pair in new.loss.items()}),
                new.seconds,
            ),
        ).lastrowid
    return int(rowid or 0)


def of_session(store: Store, client_session: str, limit: int = 100) -> list[FoldRow]:
    """The latest Folds of a Session, newest first."""
    rows = store.connection.execute(
        "SELECT * FROM fold WHERE client_session = ? ORDER BY id DESC LIMIT ?", (client_session, limit)
    )
    return [_row(row) for row in rows]


def count(store: Store, client_session: str) -> int:
    """How many Folds a Session has."""
    row = store.connection.execute("SELECT count(*) FROM fold WHERE client_session = ?", (client_session,)).fetchone()
    return int(row[0])


def _row(row: sqlite3.Row) -> FoldRow:
    loss = {kind: (pair[0], pair[1]) for kind, pair in json.loads(row["loss"]).items()}
    return FoldRow(
        id=row["id"],
        client_session=row["client_session"],
        session_key=row["session_key"],
        time=row["time"],
        trigger=row["trigger"],
        instructions=row["instructions"],
        upto_seq=row["upto_seq"],
        brief=row["brief"],
        tokens=row["tokens"],
        loss=loss,
        seconds=row["seconds"],
    )
