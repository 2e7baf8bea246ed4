"""Summaries that other models made: trees of texts, each with the Ref of what it stands for. Nothing needs them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp.store.database import Store

_TOP_FIRST = "SELECT * FROM summary WHERE scope = ? ORDER BY level DESC, number LIMIT ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One text of a tree."""

    scope: str
    """Of what the tree is: ``session 1f2e3d4c``, ``document d1f2e3d4c`` ..."""
    level: int
    """0: a leaf, made from the text itself; above: condensed from the level below."""
    number: int
    """From 0, in its level."""
    ref: str
    """Of the bytes it stands for."""
    text: str
    children: tuple[int, ...]
    """Numbers in the level below; none of a leaf."""
    model: str
    time: float


def put(store: Store, scope: str, rows: Sequence[SummaryRow]) -> None:
    """Put a tree in place of the one before. Inside ``writing()``."""
    store.connection.execute("DELETE FROM summary WHERE scope = ?", (scope,))
    store.connection.executemany(
        "INSERT INTO summary VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (row.scope, row.level, row.number, row.ref, row.text, json.dumps(row.children), row.model, row.time)
            for row in rows
        ],
    )


def tree(store: Store, scope: str) -> list[SummaryRow]:
    """The whole tree, its top first."""
    return [_summary(row) for row in store.connection.execute(_TOP_FIRST, (scope, -1)).fetchall()]


def top(store: Store, scope: str) -> SummaryRow | None:
    """The text that stands for all of it, if it was made."""
    row = store.connection.execute(_TOP_FIRST, (scope, 1)).fetchone()
    return None if row is None else _summary(row)


def _summary(row: sqlite3.Row) -> SummaryRow:
    return SummaryRow(
        scope=row["scope"],
        level=row["level"],
        number=row["number"],
        ref=row["ref"],
        text=row["text"],
        children=tuple(json.loads(row["children"])),
        model=row["model"],
        time=row["time"],
    )
