"""Runs as they are kept: all questions that were asked, in trees, each with its steps. Never derived, never dropped."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_mcp.errors import RefError, UsageError
from rlm_mcp.store.database import Store

RUNNING = "running"
LOST = "lost"
"""Its process is gone and left no end."""
IN_VAIN = ("steps", "no_code", "unread")
"""Ends that a root came to by itself: asked the same way again, it would come to them again."""
_CLOCK_SECONDS = 2.0
"""Two ways to tell one moment lie no further apart."""
_START_WORD = 19
"""``starttime`` behind the program's name in ``/proc/PID/stat``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A Run."""

    id: str
    """``r`` and 8 hex digits."""
    parent: str
    """Id of the Run that asked; empty for a root."""
    root: str
    """Id of the Run at the top of its tree."""
    session_key: str
    depth: int
    question: str
    scope: str
    """What it looks at, in words."""
    model: str
    sub_model: str
    backend: str
    limits: Mapping[str, Any]
    started: float
    way: str = "run"
    """How it is answered: by ``search``, ``one call``, ``summary``, or ``run``: a root model that programs."""
    step: int = 0
    """Number of the step of its parent that asked it; 0 without."""
    place: int = 0
    """Its place among all that this step asked, from 1; 0 without."""
    refs: str = ""
    """Refs of its texts with blanks between, by which it can be asked again; empty where they have none."""
    ended: float | None = None
    pid: int = 0
    status: str = RUNNING
    answer: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()
    partial: str = ""
    """What it had, where it has no answer."""
    error: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A step of a Run: what its root said, and the Cell of it."""

    run: str
    number: int
    """From 1."""
    time: float
    said: str
    code: str
    output: str
    """As the root was told of it: cut."""
    status: str
    """``running``; how its Cell ended; or ``no_code``, where it has none."""
    seconds: float


def new_id() -> str:
    """An id no Run has yet."""
    return f"r{secrets.token_hex(4)}"


def begin(store: Store, run: RunRow) -> None:
    """Write that it begins; or, where it has begun, that it goes on in another way. Inside ``writing()``."""
    store.connection.execute(
        "INSERT INTO run (id, parent, root, session_key, depth, question, scope, way, step, place, refs, model, "
        "sub_model, backend, limits, started, pid, status) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET way = excluded.way",
        (
            run.id,
            run.parent,
            run.root,
            run.session_key,
            run.depth,
            run.question,
            run.scope,
            run.way,
            run.step,
            run.place,
            run.refs,
            run.model,
            run.sub_model,
            run.backend,
            json.dumps(dict(run.limits)),
            run.started,
            os.getpid(),
            RUNNING,
        ),
    )


def add_step(store: Store, step: StepRow, whole: str = "") -> None:
    """Write a step behind the ones there are, or in the place of itself. Inside ``writing()``.

    Args:
        whole: all of its output, where that was cut.
    """
    store.connection.execute(
        "INSERT OR REPLACE INTO step (run, number, time, said, code, output, whole, status, seconds) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            step.run,
            step.number,
            step.time,
            step.said,
            step.code,
            step.output,
            zlib.compress(whole.encode("utf-8", "replace"), 1) if whole else b"",
            step.status,
            step.seconds,
        ),
    )


def end(  # noqa: PLR0913  # how a Run can end
    store: Store,
    run_id: str,
    *,
    status: str,
    answer: str,
    evidence: tuple[Mapping[str, Any], ...],
    partial: str,
    error: Mapping[str, str] | None,
) -> None:
    """Write how it ended; a step that still runs has ended with it. Inside ``writing()``."""
    store.connection.execute("UPDATE step SET status = 'ended' WHERE run = ? AND status = ?", (run_id, RUNNING))
    store.connection.execute(
        "UPDATE run SET ended = ?, status = ?, answer = ?, evidence = ?, partial = ?, error = ? WHERE id = ?",
        (
            time.time(),
            status,
            answer,
            json.dumps([dict(one) for one in evidence], ensure_ascii=False),
            partial,
            json.dumps(dict(error or {}), ensure_ascii=False),
            run_id,
        ),
    )


def drop(store: Store, run_id: str) -> None:
    """Let it never have been: a root Run, and all below it. Inside ``writing()``."""
    for statement in (
        "DELETE FROM step WHERE run IN (SELECT id FROM run WHERE root = ?)",
        "DELETE FROM run WHERE root = ?",
    ):
        store.connection.execute(statement, (run_id,))


def run_row(store: Store, run_id: str) -> RunRow:
    """The Run whose id is, or begins with, ``run_id``.

    Raises:
        UsageError: there is none, or more than one.
    """
    wanted = run_id.strip()
    rows = store.connection.execute(
        "SELECT * FROM run WHERE id >= ? AND id < ? LIMIT 2", (wanted, f"{wanted}\U0010ffff")
    ).fetchall()
    if len(rows) == 1 and wanted:
        return _run(rows[0])
    what = "more than one run begins with" if rows else "there is no run"
    raise UsageError(f"{what} {run_id!r}; 'rlm-mcp runs' lists them")


def latest(store: Store, *, session_key: str = "", limit: int = 20) -> list[RunRow]:
    """Root Runs, the newest first: of one Session, or of all."""
    where, values = ("AND session_key = ?", (session_key,)) if session_key else ("", ())
    rows = store.connection.execute(
        f"SELECT * FROM run WHERE parent = '' {where} ORDER BY started DESC LIMIT ?", (*values, limit)
    )
    return [_run(row) for row in rows.fetchall()]


def in_vain(store: Store, run: RunRow) -> int:
    """How many Runs before this one asked the same of the same and came to nothing by their root's own doing."""
    row = store.connection.execute(
        "SELECT count(*) AS count FROM run WHERE session_key = ? AND question = ? AND scope = ? AND parent = '' "
        f"AND started < ? AND status IN ({', '.join('?' * len(IN_VAIN))})",
        (run.session_key, run.question, run.scope, run.started, *IN_VAIN),
    ).fetchone()
    return int(row["count"])


def tree(store: Store, run_id: str) -> list[RunRow]:
    """The Run of that id and all below it, in the order they began."""
    rows = store.connection.execute(
        "SELECT * FROM run WHERE root = (SELECT root FROM run WHERE id = ?) ORDER BY depth, started, id", (run_id,)
    ).fetchall()
    wanted = {run_id}
    for row in rows:  # parents before their children
        if row["parent"] in wanted:
            wanted.add(row["id"])
    return sorted((_run(row) for row in rows if row["id"] in wanted), key=lambda run: (run.started, run.depth, run.id))


def steps(store: Store, run_id: str) -> list[StepRow]:
    """What the Run did, in order."""
    rows = store.connection.execute(
        "SELECT run, number, time, said, code, output, status, seconds FROM step WHERE run = ? ORDER BY number",
        (run_id,),
    )
    return [StepRow(**dict(row)) for row in rows.fetchall()]


def whole_output(store: Store, run_id: str, number: int) -> str:
    """All that a step's Cell printed: what the Ref ``r1f2e3d4c.c3`` resolves to.

    Raises:
        RefError: the Run has no such step.
    """
    row = store.connection.execute(
        "SELECT output, whole FROM step WHERE run = ? AND number = ?", (run_id, number)
    ).fetchone()
    if row is None:
        raise RefError(f"run {run_id!r} has no step {number}; 'rlm-mcp run {run_id}' shows what it did")
    return zlib.decompress(row["whole"]).decode("utf-8", "replace") if row["whole"] else str(row["output"])


def _run(row: sqlite3.Row) -> RunRow:
    status = row["status"]
    return RunRow(
        id=row["id"],
        parent=row["parent"],
        root=row["root"],
        session_key=row["session_key"],
        depth=row["depth"],
        question=row["question"],
        scope=row["scope"],
        way=row["way"],
        step=row["step"],
        place=row["place"],
        refs=row["refs"],
        model=row["model"],
        sub_model=row["sub_model"],
        backend=row["backend"],
        limits=json.loads(row["limits"]),
        started=row["started"],
        ended=row["ended"],
        pid=row["pid"],
        status=LOST if status == RUNNING and not is_there(row["pid"], row["started"]) else status,
        answer=row["answer"],
        evidence=tuple(json.loads(row["evidence"])),
        partial=row["partial"],
        error=json.loads(row["error"]) or None,
    )


def is_there(pid: int, started: float) -> bool:
    """Whether the process of that id still runs that ran then; another may have its id by now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    began = _began(pid)
    return began is None or began <= started + _CLOCK_SECONDS


def _began(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; None where the system does not say (``proc(5)`` of Linux)."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        ticks = int(words[_START_WORD])
    except (OSError, ValueError, IndexError):
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
