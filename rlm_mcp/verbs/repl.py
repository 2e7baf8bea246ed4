"""repl: runs a Cell in a Session's persistent namespace, and keeps that namespace over whatever ends its process.

Every Cell goes into the journal; variables are saved when the Cells since the last time took longer than saving does.
Whoever runs the next Cell (this process or another) takes the saved variables and runs the few Cells since then again,
so nothing but the last, unfinished Cell is lost when a child or a server is killed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from rlm_mcp.errors import ReplBusy, ReplGone, UsageError
from rlm_mcp.locks import Held, locked
from rlm_mcp.redact import redact
from rlm_mcp.sandbox.repl import GRACE_SECONDS, Binding, Cell, Outcome, Repl
from rlm_mcp.sandbox.wire import Ending
from rlm_mcp.store import cells
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.database import Store, translated
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.text import cut, one_line
from rlm_mcp.verbs.bindings import known

MIN_SECONDS, MAX_SECONDS = 0.1, 600.0
DEFAULT_SECONDS = 30.0
MAX_CODE_CHARS = 1_000_000
_CHARS_PER_TOKEN = 4
_AGAIN_FACTOR, _AGAIN_SECONDS = 3.0, 5.0
"""A Cell that is run again gets so many times what it took, and so much more."""
_MANY_CELLS = 50
"""After so many Cells the variables are saved, however quick they were."""
_NEW_VARIABLES = 12
_QUICK_SECONDS = 0.05
"""Cells that took less together are run again sooner than saved."""
_NOBODY = object()
_RERUN = frozenset({CellStatus.OK, CellStatus.FINAL, CellStatus.ERROR})
_STATUS = {
    Ending.OK: CellStatus.OK,
    Ending.FINAL: CellStatus.FINAL,
    Ending.ERROR: CellStatus.ERROR,
    Ending.INTERRUPTED: CellStatus.INTERRUPTED,
    Ending.RESET: CellStatus.RESET,
}

Variables = tuple[tuple[str, str], ...]
"""Name and what it is, of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplAnswer:
    """What a Cell came to."""

    ref: str
    """Of its whole output: ``c12``."""
    status: CellStatus
    output: str
    """Cut; with the last expression's value, the traceback or what was given to FINAL behind it."""
    closing: str
    """What there is to say of it, in a line: time taken, length, what is new."""
    output_chars: int
    """Of the whole output."""
    is_cut: bool
    seconds: float
    final: str | None
    """What was given to FINAL, whole."""
    variables: Variables
    """All variables: name and what it is."""
    notes: tuple[str, ...]
    """What a user should know: variables restored or lost, a process that was ended, missing walls."""

    @property
    def text(self) -> str:
        """All of it, for the Window."""
        said = (f"[{word}]" for word in (self.closing, *self.notes))
        return "\n".join([*([self.output] if self.output else []), *said])


class SessionRepl:
    """The Repl of one Session, whichever process runs it now. Safe to call from any thread; one Cell at a time."""

    def __init__(self, start: Callable[[], Repl]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._live: Repl | None = None
        self._number = 0
        """The last Cell that the live one has run or restored."""
        self._owner: object = _NOBODY
        self._variables: Variables = ()
        self._unsaved_cells = 0
        self._unsaved_seconds = 0.0
        self._save_seconds = 0.0
        self.used = time.monotonic()
        """When it last ran a Cell."""

    @property
    def is_live(self) -> bool:
        """Whether it has a process now."""
        return self._live is not None

    @property
    def is_due(self) -> bool:
        """Whether saving takes less time than running the Cells since the last one again."""
        return self._unsaved_cells >= _MANY_CELLS or self._unsaved_seconds > max(self._save_seconds, _QUICK_SECONDS)

    def run(
        self,
        store: Store,
        scope: Sequence[ScopePart],
        code: str,
        bindings: Mapping[str, Binding],
        *,
        timeout_seconds: float = DEFAULT_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        owner: object = None,
    ) -> ReplAnswer:
        """Run a Cell and write it into the journal.

        Args:
            scope: the Session and those it continues.
            owner: who may interrupt it.

        Raises:
            UsageError: the code is too long, or the time-out out of its limits.
            ReplBusy: another Cell of this Session is still running when the time-out is over.
            JailUnavailable: nothing here confines model-written code.
            ReplGone: the process could not be started, or died while variables were restored.
            StoreError: the journal cannot be written.
        """
        _check(code, timeout_seconds)
        session = scope[0].session
        with self._alone(store, session, timeout_seconds):
            live, notes = self._ready(store, scope, bindings)
            before = self._variables
            cell = Cell(number=self._number + 1, code=code, timeout_seconds=timeout_seconds, session=known(scope))
            self._owner = owner
            try:
                outcome = live.run(cell, bindings, grace_seconds=grace_seconds)
            finally:
                self._owner = _NOBODY
            row, is_redacted = _row(session, cell, outcome, before)
            with store.writing():
                cells.add(store, row)
            self._after(store, session, row, is_redacted=is_redacted)
            if row.status is CellStatus.ENDED:
                notes = (*notes, f"the process was ended ({outcome.why}); variables are as they were before this Cell")
            return _answer(store, row, outcome, before, notes + _walls(live))

    def save(self, store: Store, session: SessionRow, *, is_due_only: bool = True) -> None:
        """Save the variables, if that is worth its time by now.

        Raises:
            StoreError: it cannot be written down.
        """
        with self._alone(store, session, 0.0):
            is_wanted = self.is_due or (self._unsaved_cells > 0 and not is_due_only)
            if is_wanted and self._live is not None and self._live.is_alive:
                self._save(store, session)

    def interrupt(self, owner: object = None) -> None:
        """Stop the Cell that runs, if it is this owner's."""
        live = self._live
        if live is not None and self._owner is owner:
            live.interrupt()

    def park(self, store: Store, session: SessionRow) -> None:
        """Save what is unsaved and end the process; the next Cell starts another."""
        try:
            self.save(store, session, is_due_only=False)
        finally:
            self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        live, self._live = self._live, None
        if live is not None:
            live.close()

    @contextmanager
    def _alone(self, store: Store, session: SessionRow, patience_seconds: float) -> Iterator[None]:
        """No other Cell of this Session runs meanwhile: not in this process, and in no other."""
        deadline = time.monotonic() + patience_seconds
        if not self._lock.acquire(timeout=patience_seconds):
            raise ReplBusy(f"a Cell of session {session.key} is still running; wait for it, or cancel it")
        try:
            left = max(0.0, deadline - time.monotonic())
            with locked(store.paths.repl / f"{session.key}.lock", patience_seconds=left):
                yield
        except Held as error:
            raise ReplBusy(
                f"process {error} runs a Cell of session {session.key}; wait for it, or cancel it there"
            ) from error
        finally:
            self.used = time.monotonic()
            self._lock.release()

    def _ready(
        self, store: Store, scope: Sequence[ScopePart], bindings: Mapping[str, Binding]
    ) -> tuple[Repl, tuple[str, ...]]:
        """A live one that holds what the journal says, and what there is to tell of that."""
        session = scope[0].session
        last = cells.last_number(store, session.key)
        if self._live is not None and self._live.is_alive and self._number == last:
            return self._live, ()
        if self._live is None or not self._live.is_alive:
            self.close()
            self._live = self._start()
        notes = self._restore(store, scope, bindings) if last else ()
        assert self._live is not None
        self._number = last
        latest = cells.latest(store, session.key)
        self._variables = latest.variables if latest is not None else ()
        return self._live, notes

    def _restore(
        self, store: Store, scope: Sequence[ScopePart], bindings: Mapping[str, Binding]
    ) -> tuple[str, ...]:
        """Take the saved variables, run the Cells since then again; what to tell of it."""
        session, told = scope[0].session, known(scope)
        saved = cells.checkpoint(store, session.key)
        lost = self._take(store, told, saved, bindings)
        again = cells.after(store, session.key, saved.cell if saved else 0)
        reset = max((number for number, row in enumerate(again) if row.status is CellStatus.RESET), default=-1)
        failed: list[str] = []
        for row in again[reset + 1 :]:
            if row.status in _RERUN and not self._run_again(row, told, bindings):
                failed.append(f"c{row.number}")
        self._unsaved_cells = len(again)
        self._unsaved_seconds = sum(row.seconds for row in again)
        return _told_restored(saved, [row.number for row in again if row.status in _RERUN], lost, failed)

    def _take(
        self, store: Store, told: Mapping[str, Any], saved: Checkpoint | None, bindings: Mapping[str, Binding]
    ) -> tuple[tuple[str, str], ...]:
        assert self._live is not None
        if saved is None or not saved.file:
            self._live.restore(told, (), None, bindings)
            return saved.unsaved if saved else ()
        path = store.paths.repl / saved.file
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._live.restore(told, (), None, bindings)
            return (*saved.unsaved, *((name, f"{str(path)!r} is gone") for name, _at, _length in saved.variables))
        try:
            restored = self._live.restore(told, saved.variables, descriptor, bindings)
        finally:
            os.close(descriptor)
        return (*saved.unsaved, *restored.lost)

    def _run_again(self, row: CellRow, session: Mapping[str, Any], bindings: Mapping[str, Binding]) -> bool:
        """Whether the Cell came to the same end."""
        if self._live is None or not self._live.is_alive:
            return False
        patience = row.seconds * _AGAIN_FACTOR + _AGAIN_SECONDS
        cell = Cell(number=row.number, code=row.code, timeout_seconds=patience, session=session)
        outcome = self._live.run(cell, bindings)
        return outcome.ending is not None and _STATUS[outcome.ending] is row.status

    def _after(self, store: Store, session: SessionRow, row: CellRow, *, is_redacted: bool) -> None:
        """Note what the Cell means for the next saving; save at once where it could not be run again alike."""
        self._number, self._variables = row.number, row.variables
        self._unsaved_cells += 1
        self._unsaved_seconds += row.seconds
        if row.status is CellStatus.ENDED:
            self.close()
        elif row.status is CellStatus.RESET:
            self._forget(store, session)
        elif row.status is CellStatus.INTERRUPTED or is_redacted:
            self._save(store, session)

    def _save(self, store: Store, session: SessionRow) -> None:
        """Save all variables; where there is no room, what was saved before stays."""
        assert self._live is not None
        started = time.monotonic()
        name = f"{session.key}-{self._number}.vars"
        path = store.paths.repl / name
        with translated(store.paths):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            saved = self._live.save(descriptor)
        except ReplGone:
            self.close()
            path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)
        self._save_seconds = time.monotonic() - started
        if saved.complaint:
            path.unlink(missing_ok=True)
            return
        self._set(store, session, name, saved.variables, saved.unsaved)

    def _forget(self, store: Store, session: SessionRow) -> None:
        self._set(store, session, "", (), ())

    def _set(
        self,
        store: Store,
        session: SessionRow,
        name: str,
        variables: tuple[tuple[str, int, int], ...],
        unsaved: tuple[tuple[str, str], ...],
    ) -> None:
        row = Checkpoint(
            session_key=session.key,
            cell=self._number,
            file=name,
            variables=variables,
            unsaved=unsaved,
            time=time.time(),
        )
        with store.writing():
            cells.set_checkpoint(store, row)
        for old in store.paths.repl.glob(f"{session.key}-*.vars"):
            if old.name != name:
                old.unlink(missing_ok=True)
        self._unsaved_cells, self._unsaved_seconds = 0, 0.0


def _check(code: str, timeout_seconds: float) -> None:
    if not MIN_SECONDS <= timeout_seconds <= MAX_SECONDS:
        raise UsageError(
            f"timeout_seconds {timeout_seconds!r} cannot be; give {MIN_SECONDS:g} to {MAX_SECONDS:g} seconds"
        )
    if len(code) > MAX_CODE_CHARS:
        raise UsageError(
            f"the Cell has {len(code):,} characters, at most {MAX_CODE_CHARS:,} are taken; bring long texts in by load"
        )


def _row(session: SessionRow, cell: Cell, outcome: Outcome, before: Variables) -> tuple[CellRow, bool]:
    """The Cell as the journal keeps it, without secrets; whether its code had any."""
    code, secrets = redact(cell.code)
    output, _count = redact(outcome.output)
    final = "" if outcome.final is None else redact(outcome.final)[0]
    status = CellStatus.ENDED if outcome.ending is None else _STATUS[outcome.ending]
    row = CellRow(
        session_key=session.key,
        number=cell.number,
        time=time.time(),
        seconds=outcome.seconds,
        code=code,
        status=status,
        output=output + final,
        lost_bytes=outcome.lost_bytes,
        variables=outcome.variables,
    )
    if status is CellStatus.ENDED:
        row = replace(row, variables=before)
    return row, secrets > 0


def _answer(
    store: Store, row: CellRow, outcome: Outcome, before: Variables, notes: tuple[str, ...]
) -> ReplAnswer:
    ref = f"c{row.number}"
    most = store.settings.repl_tokens * _CHARS_PER_TOKEN
    shown = cut(row.output.rstrip("\n"), most, ref)
    is_cut = len(row.output) > most
    words = [ref]
    if row.status not in (CellStatus.OK, CellStatus.ERROR):
        words.append(row.status)
    if row.seconds >= 0.1:
        words.append(f"{row.seconds:.1f} s")
    if is_cut:
        words.append(f"{len(row.output):,} characters, cut; whole: read {ref}")
    if row.lost_bytes:
        words.append(f"{row.lost_bytes:,} bytes more were printed and not kept")
    known_before = dict(before)
    new = [f"{name} ({what})" for name, what in row.variables if known_before.get(name) != what]
    if new:
        more = f" and {len(new) - _NEW_VARIABLES} more" if len(new) > _NEW_VARIABLES else ""
        words.append(f"set {', '.join(one_line(one, 60) for one in new[-_NEW_VARIABLES:])}{more}")
    return ReplAnswer(
        ref=ref,
        status=row.status,
        output=shown,
        closing="; ".join(words),
        output_chars=len(row.output),
        is_cut=is_cut,
        seconds=row.seconds,
        final=None if outcome.final is None else redact(outcome.final)[0],
        variables=row.variables,
        notes=notes,
    )


def _told_restored(
    saved: Checkpoint | None, again: list[int], lost: tuple[tuple[str, str], ...], failed: list[str]
) -> tuple[str, ...]:
    """What to tell of a restart."""
    said: list[str] = []
    if saved is not None and saved.variables:
        said.append(f"variables restored as of c{saved.cell}")
    if again:
        said.append(f"c{again[0]}{f' to c{again[-1]}' if len(again) > 1 else ''} run again")
    if failed:
        said.append(f"came to another end than before: {', '.join(failed[:10])}")
    if lost:
        said.append("not restored: " + ", ".join(f"{name} ({one_line(why, 80)})" for name, why in lost[:10]))
    return ("; ".join(said),) if said else ()


def _walls(live: Repl) -> tuple[str, ...]:
    """A word where the walls are not what they should be."""
    return tuple(layer for layer in live.layers if layer.startswith("NOT JAILED"))
