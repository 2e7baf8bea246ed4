"""What belongs to a Session by its key and exists only with us: a fork gets its copy, a rebuilt Session all of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

from rlm_mcp.events import Client, LinkKind
from rlm_mcp.locks import Held, locked
from rlm_mcp.store import cells, ledger, lineage, sessions
from rlm_mcp.store.cells import CellStatus, Checkpoint
from rlm_mcp.store.database import Store, translated
from rlm_mcp.store.sessions import SessionRow

_AGAIN_SECONDS = 60.0
"""Cells that took longer together are not run again to bring a fork's variables back."""
_CLOCK_SECONDS = 0.001
"""Clients cut the times of their records to it; the result of a Cell comes after the Cell."""


def parent_to_copy(store: Store, session: SessionRow) -> SessionRow | None:
    """The Session whose variables a fork is still to get: it ran Cells, and the fork has none."""
    if session.link is not LinkKind.FORK or cells.last_number(store, session.key):
        return None
    scope = sessions.continued(store, session)
    parent = scope[1].session if len(scope) > 1 else None
    return parent if parent is not None and cells.last_number(store, parent.key) else None


def copy_to_fork(store: Store, fork: SessionRow, parent: SessionRow) -> int:
    """Begin the fork's journal with the parent's Cells up to where they parted; how many.

    The saved variables come along where they are of then; else the Cells will be run again, or, where that would take
    long, the variables are noted as lost. The parent's transcript has to be ingested beyond the fork. While a Cell of
    the fork runs, nothing is copied: it is the first of the fork's own.

    Raises:
        StoreError: it cannot be written; the fork has nothing then.
    """
    until = parted(store, fork, parent)
    if until is None:
        return 0
    try:
        with locked(store.paths.repl / f"{fork.key}.lock", patience_seconds=0.0):
            return _copied(store, fork, parent, until)
    except Held:
        return 0


def _copied(store: Store, fork: SessionRow, parent: SessionRow, until: float) -> int:
    """See :func:`copy_to_fork`; ``until`` as :func:`parted` tells."""
    with store.writing() as connection:
        row = connection.execute(
            "SELECT coalesce(max(number), 0) FROM cell WHERE session_key = ? AND time < ?",
            (parent.key, until + _CLOCK_SECONDS),
        ).fetchone()
        last = int(row[0])
        if not last or cells.last_number(store, fork.key):
            return 0
        connection.execute(
            "INSERT INTO cell (session_key, number, time, seconds, code, status, output, output_bytes, lost_bytes, "
            "variables) SELECT ?, number, time, seconds, code, status, output, output_bytes, lost_bytes, variables "
            "FROM cell WHERE session_key = ? AND number <= ?",
            (fork.key, parent.key, last),
        )
        saved = cells.checkpoint(store, parent.key)
        if saved is not None and saved.cell <= last:
            cells.set_checkpoint(store, _own(store, saved, fork.key))
        elif saved is not None and _seconds_again(store, fork.key) > _AGAIN_SECONDS:
            cells.set_checkpoint(store, _lost(store, fork.key, f"session {parent.key} has gone on since the fork"))
    return last


def parted(store: Store, fork: SessionRow, parent: SessionRow) -> float | None:
    """When the parent's last Event was that the fork goes on from, in seconds since the epoch; None: not known yet."""
    if fork.parent_events >= 0 and fork.client is Client.CODEX:
        row = store.connection.execute(
            "SELECT max(time) AS last FROM event WHERE session = ? AND seq <= ?", (parent.id, fork.parent_events)
        ).fetchone()
        return None if row["last"] is None else float(row["last"])
    shared = lineage.shared_until(store, fork.id, parent.id)
    if shared is None and fork.client is Client.CODEX:  # it holds no copies: all of it came later
        return fork.started
    return None if shared == fork.updated else shared  # more copies may come


def is_copied(store: Store, session_key: str, number: int, parent_key: str) -> bool:
    """Whether the Session's Cell of that number is the parent's."""
    row = store.connection.execute(
        "SELECT count(*) FROM cell AS own JOIN cell AS other ON other.number = own.number AND other.time = own.time "
        "WHERE own.session_key = ? AND own.number = ? AND other.session_key = ?",
        (session_key, number, parent_key),
    ).fetchone()
    return bool(row[0])


def move(store: Store, old_key: str, new_key: str, *, is_same_text: bool) -> None:
    """Let what belongs to a Session belong to the one made anew of its transcript. Inside ``writing()``.

    What the new one has already stays as it is; a journal is never mixed with another.

    Args:
        is_same_text: its Events are the old one's, so that Refs hold: Runs and summaries come along.
    """
    has_journal = cells.last_number(store, new_key) > 0
    tables = ["loaded", "call", *([] if has_journal else ["cell", "checkpoint"]), *(["run"] if is_same_text else [])]
    for table in tables:
        store.connection.execute(
            f"UPDATE OR IGNORE {table} SET session_key = ? WHERE session_key = ?", (new_key, old_key)
        )
    store.connection.execute(
        "UPDATE OR IGNORE cap SET scope = ? WHERE scope = ?", (ledger.of_session(new_key), ledger.of_session(old_key))
    )
    if is_same_text:
        store.connection.execute(
            "UPDATE OR IGNORE summary SET scope = replace(scope, ?, ?) WHERE scope GLOB ?",
            (f"session {old_key}", f"session {new_key}", f"*session {old_key}"),
        )


def _own(store: Store, saved: Checkpoint, key: str) -> Checkpoint:
    """The checkpoint under another key, with a name of its own for its file: no saved file is ever written again."""
    if not saved.file:
        return replace(saved, session_key=key)
    name = f"{key}-{saved.cell}.vars"
    source, target = store.paths.repl / saved.file, store.paths.repl / name
    with translated(store.paths):
        target.unlink(missing_ok=True)
        if source.exists():  # else whoever restores it says what is lost
            try:
                os.link(source, target)
            except OSError:  # a file system without links
                shutil.copy(source, target)
    return replace(saved, session_key=key, file=name)


def _lost(store: Store, key: str, why: str) -> Checkpoint:
    last = cells.after(store, key, cells.last_number(store, key) - 1, has_output=False)[0]
    unsaved = tuple((name, why) for name, _what in last.variables)
    return Checkpoint(session_key=key, cell=last.number, file="", variables=(), unsaved=unsaved, time=last.time)


def _seconds_again(store: Store, key: str) -> float:
    """What running the Cells since the last reset took."""
    row = store.connection.execute(
        "SELECT coalesce(sum(seconds), 0.0) FROM cell WHERE session_key = ? AND status NOT IN (?, ?) AND number > "
        "(SELECT coalesce(max(number), 0) FROM cell WHERE session_key = ? AND status = ?)",
        (key, CellStatus.ENDED, CellStatus.INTERRUPTED, key, CellStatus.RESET),
    ).fetchone()
    return float(row[0])
