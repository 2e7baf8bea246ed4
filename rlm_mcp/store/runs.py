"""Runs as they are kept: a tree of recursive questions, each with its steps. Never derived, never dropped."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm_mcp.errors import UsageError
from rlm_mcp.store.database import Store

RUNNING = "running"
LOST = "lost"
"""Its process is gone and left no end."""


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
    ended: float | None = None
    pid: int = 0
    status: str = RUNNING
    answer: str = ""
    evidence: tuple[Mapping[str, Any], ...] = ()
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
    """Cut, as the root saw it."""
    status: str
    seconds: float


def new_id() -> str:
    """An id no Run has yet."""
    return f"r{secrets.token_hex(4)}"


def begin(store: Store, run: RunRow) -> None:
    """Write that it begins. Inside ``writing()``."""
    store.connection.execute(
        "INSERT INTO run (id, parent, root, session_key, depth, question, scope, model, sub_model, backend, limits, "
        "started, pid, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.id,
            run.parent,
            run.root,
            run.session_key,
            run.depth,
            run.question,
            run.scope,
            run.model,
            run.sub_model,
            run.backend,
            json.dumps(dict(run.limits)),
            run.started,
            os.getpid(),
            RUNNING,
        ),
    )


def add_step(store: Store, step: StepRow) -> None:
    """Write a step behind the ones there are. Inside ``writing()``."""
    store.connection.execute(
        "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (step.run, step.number, step.time, step.said, step.code, step.output, step.status, step.seconds),
    )


def end(
    store: Store,
    run_id: str,
    *,
    status: str,
    answer: str,
    evidence: tuple[Mapping[str, Any], ...],
    error: Mapping[str, str] | None,
) -> None:
    """Write how it ended. Inside ``writing()``."""
    store.connection.execute(
        "UPDATE run SET ended = ?, status = ?, answer = ?, evidence = ?, error = ? WHERE id = ?",
        (
            time.time(),
            status,
            answer,
            json.dumps([dict(one) for one in evidence], ensure_ascii=False),
            json.dumps(dict(error or {}), ensure_ascii=False),
            run_id,
        ),
    )


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


def tree(store: Store, root: str) -> list[RunRow]:
    """The Run and all below it, in the order they began."""
    rows = store.connection.execute("SELECT * FROM run WHERE root = ? ORDER BY started, id", (root,))
    return [_run(row) for row in rows.fetchall()]


def steps(store: Store, run_id: str) -> list[StepRow]:
    """What the Run did, in order."""
    rows = store.connection.execute("SELECT * FROM step WHERE run = ? ORDER BY number", (run_id,))
    return [StepRow(**dict(row)) for row in rows.fetchall()]


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
        model=row["model"],
        sub_model=row["sub_model"],
        backend=row["backend"],
        limits=json.loads(row["limits"]),
        started=row["started"],
        ended=row["ended"],
        pid=row["pid"],
        status=LOST if status == RUNNING and not _is_there(row["pid"]) else status,
        answer=row["answer"],
        evidence=tuple(json.loads(row["evidence"])),
        error=json.loads(row["error"]) or None,
    )


def _is_there(pid: int) -> bool:
    """Whether a process of that id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
