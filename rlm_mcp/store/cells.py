"""The journal of a Session's Repl: its Cells in order, and where its saved variables lie. Never derived, never dropped.

Any process may run the next Cell of a Session, so whoever holds a live Repl compares its last number with the
journal's before it runs another.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from dataclasses import dataclass
from enum import StrEnum

from rlm_mcp.errors import RefError
from rlm_mcp.store import sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow


class CellStatus(StrEnum):
    """How a Cell ended."""

    OK = "ok"
    FINAL = "final"
    """It called FINAL."""
    ERROR = "error"
    """Its code raised."""
    INTERRUPTED = "interrupted"
    """It ran into its time limit, or was cancelled, and stopped in order; what it had assigned is kept."""
    ENDED = "ended"
    """Its process had to be killed, or died; the variables are those of before."""
    RESET = "reset"
    """It threw all variables away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """A Cell as it ran."""

    session_key: str
    number: int
    """From 1, in its Session; ``c12`` is its Ref."""
    time: float
    """Seconds since the epoch, when it ended."""
    seconds: float
    code: str
    status: CellStatus
    output: str
    """All it printed, up to the limit: what its Ref resolves to."""
    lost_bytes: int = 0
    """Printed beyond the limit, not kept."""
    variables: tuple[tuple[str, str], ...] = ()
    """Name and what it is (``list, 1,200``), after the Cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Saved variables of a Repl."""

    session_key: str
    cell: int
    """The last Cell it holds."""
    file: str
    """Below ``Paths.repl``; empty where there was nothing to save."""
    variables: tuple[tuple[str, int, int], ...]
    """Name, offset and length in bytes, in the order they were pickled."""
    unsaved: tuple[tuple[str, str], ...]
    """Name, and why it could not be saved."""
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplRow:
    """A Session's Repl as the journal tells it, whether a process of it runs or not."""

    cells: int
    """How many it ran; ``c<cells>`` is the last."""
    variables: tuple[tuple[str, str], ...]
    """Name and what it is, after the last Cell, in the order they were first set."""
    saved_cell: int
    """The last Cell whose variables are saved; 0 where none are. Those behind it are run again when need be."""
    saved_time: float | None
    """Seconds since the epoch."""


def last_number(store: Store, session_key: str) -> int:
    """Number of the Session's latest Cell; 0 before the first."""
    row = store.connection.execute("SELECT max(number) AS last FROM cell WHERE session_key = ?", (session_key,))
    return row.fetchone()["last"] or 0


def add(store: Store, cell: CellRow) -> None:
    """Write a Cell behind the ones there are. Inside ``writing()``."""
    raw = cell.output.encode("utf-8", "replace")
    store.connection.execute(
        "INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            cell.session_key,
            cell.number,
            cell.time,
            cell.seconds,
            cell.code,
            cell.status,
            zlib.compress(raw, 1),
            len(raw),
            cell.lost_bytes,
            json.dumps(cell.variables, ensure_ascii=False),
        ),
    )


def cell_row(store: Store, session: SessionRow, number: int) -> CellRow:
    """The Cell with that number; of a Session that was built anew, the one made of it has them.

    Raises:
        RefError: the Session's Repl has run no such Cell.
    """
    found = after(store, session.key, number - 1, limit=1)
    if not found:
        anew = sessions.by_client_id(store, session.client_session)
        found = after(store, anew.key, number - 1, limit=1) if anew is not None and anew.path == session.path else []
    if not found or found[0].number != number:
        last = last_number(store, session.key)
        there = f"it has cells c1 to c{last}" if last else "its Repl has run none"
        raise RefError(f"'c{number}' is not in session {session.key}: {there}")
    return found[0]


def after(
    store: Store, session_key: str, number: int, *, limit: int = 10_000, has_output: bool = True
) -> list[CellRow]:
    """Cells behind ``number``, in order; without their outputs (which may be large) where they are not wanted."""
    output = "output" if has_output else "x'' AS output"
    rows = store.connection.execute(
        f"SELECT session_key, number, time, seconds, code, status, {output}, lost_bytes, variables FROM cell "
        "WHERE session_key = ? AND number > ? ORDER BY number LIMIT ?",
        (session_key, number, limit),
    )
    return [_cell(row) for row in rows]


def latest(store: Store, session_key: str) -> CellRow | None:
    """The Session's last Cell, if it ran any."""
    found = after(store, session_key, last_number(store, session_key) - 1, limit=1)
    return found[0] if found else None


def repl_row(store: Store, session_key: str) -> ReplRow | None:
    """The Session's Repl in short, if it ran any Cell; no output is read."""
    row = store.connection.execute(
        "SELECT number, variables FROM cell WHERE session_key = ? ORDER BY number DESC LIMIT 1", (session_key,)
    ).fetchone()
    if row is None:
        return None
    saved = checkpoint(store, session_key)
    return ReplRow(
        cells=row["number"],
        variables=_pairs(row["variables"]),
        saved_cell=saved.cell if saved is not None else 0,
        saved_time=saved.time if saved is not None else None,
    )


def checkpoint(store: Store, session_key: str) -> Checkpoint | None:
    """The Session's saved variables, if any were."""
    row = store.connection.execute("SELECT * FROM checkpoint WHERE session_key = ?", (session_key,)).fetchone()
    if row is None:
        return None
    return Checkpoint(
        session_key=row["session_key"],
        cell=row["cell"],
        file=row["file"],
        variables=tuple((name, offset, length) for name, offset, length in json.loads(row["variables"])),
        unsaved=_pairs(row["unsaved"]),
        time=row["time"],
    )


def saved_files(store: Store) -> set[str]:
    """The files that hold some Session's saved variables."""
    return {row["file"] for row in store.connection.execute("SELECT file FROM checkpoint")}


def set_checkpoint(store: Store, saved: Checkpoint) -> None:
    """Put it in place of the one before. Inside ``writing()``."""
    store.connection.execute(
        "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?, ?)",
        (
            saved.session_key,
            saved.cell,
            saved.file,
            json.dumps(saved.variables, ensure_ascii=False),
            json.dumps(saved.unsaved, ensure_ascii=False),
            saved.time,
        ),
    )


def _cell(row: sqlite3.Row) -> CellRow:
    return CellRow(
        session_key=row["session_key"],
        number=row["number"],
        time=row["time"],
        seconds=row["seconds"],
        code=row["code"],
        status=CellStatus(row["status"]),
        output=zlib.decompress(row["output"]).decode("utf-8", "replace") if row["output"] else "",
        lost_bytes=row["lost_bytes"],
        variables=_pairs(row["variables"]),
    )


def _pairs(raw: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, what) for name, what in json.loads(raw))
