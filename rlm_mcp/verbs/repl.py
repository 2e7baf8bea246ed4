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
from itertools import count
from pathlib import Path
from typing import Any

from rlm_mcp.errors import ReplBusy, ReplGone, UsageError
from rlm_mcp.locks import Held, locked
from rlm_mcp.recursion.known import OfSession
from rlm_mcp.sandbox.repl import Binding, Cell, Repl
from rlm_mcp.store import belongings, cells
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.database import Store, translated
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.verbs.bindings import known
from rlm_mcp.verbs.repl_answer import (
    STATUS,
    ReplAnswer,
    Variables,
    answer,
    told_restored,
    told_taken_over,
    walls,
    why_not_again,
    without_file,
    written,
)

MIN_SECONDS, MAX_SECONDS = 0.1, 600.0
DEFAULT_SECONDS = 30.0
MAX_CODE_CHARS = 1_000_000
_AGAIN_FACTOR, _AGAIN_SECONDS = 3.0, 5.0
"""A Cell that is run again gets so many times what it took, and so much more."""
_MANY_CELLS = 50
"""After so many Cells the variables are saved, however quick they were."""
_QUICK_SECONDS = 0.05
"""Cells that took less together are run again sooner than saved."""
_ENDED_AT_MOST = 4
"""So many processes may end while one Session's variables are restored; then only what was saved is taken."""
_LOOK_SECONDS = 0.1
"""How often who waits for another Cell looks whether it is to stop."""
_UNKNOWN = -1
_RESET = "reset()"
"""A Cell of just this always works."""


class SessionRepl:
    """The Repl of one Session, whichever process runs it now. Safe to call from any thread; one Cell at a time."""

    def __init__(self, start: Callable[[], Repl]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._live: Repl | None = None
        self._number = 0
        """The last Cell that the live one has run or restored."""
        self._callers: list[tuple[object, threading.Event]] = []
        """Who waits for a Cell, and what is set to stop it."""
        self._variables: Variables = ()
        self._secrets = OfSession()
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
        with self._called(owner) as stop, self._alone(store, session, timeout_seconds, stop):
            if code.strip() == _RESET:
                code = _RESET
                self._begin_anew(store, session)
            live, notes = self._ready(store, scope, bindings, stop)
            before = self._variables
            told = known(store, scope)
            cell = Cell(number=self._number + 1, code=code, timeout_seconds=timeout_seconds, session=told)
            self._number = _UNKNOWN  # until it is written down
            outcome = self._secrets.known(store, session).without(live.run(cell, bindings, stop=stop))
            row, is_redacted = written(session, cell, outcome, before)
            with store.writing():
                cells.add(store, row)
            self._after(store, session, live, row, is_redacted=is_redacted)
            if row.status is CellStatus.ENDED:
                notes = (*notes, f"the process was ended ({outcome.why}); variables are as they were before this Cell")
            return answer(store.settings, row, outcome, before, notes + walls(live))

    def save(self, store: Store, session: SessionRow) -> None:
        """Save the variables, if that is worth its time by now.

        Raises:
            ReplBusy: a Cell runs.
            StoreError: it cannot be written down.
        """
        with self._alone(store, session, 0.0):
            if self.is_due:
                self._save_if_current(store, session)

    def park(self, store: Store, session: SessionRow, *, patience_seconds: float = 0.0) -> None:
        """Save what is unsaved and end the process; the next Cell starts another. Raises as :meth:`save` does."""
        with self._alone(store, session, patience_seconds):
            try:
                if self._unsaved_cells:
                    self._save_if_current(store, session)
            finally:
                self.close()

    def interrupt(self, owner: object = None) -> None:
        """Stop this owner's Cell, if one runs or waits."""
        for caller, stop in list(self._callers):
            if caller is owner:
                stop.set()

    def close(self) -> None:
        """End the process, if there is one; from any thread."""
        live, self._live = self._live, None
        if live is not None:
            live.close()

    @contextmanager
    def _called(self, owner: object) -> Iterator[threading.Event]:
        """What is set when the owner wants no answer any more."""
        caller = (owner, threading.Event())
        self._callers.append(caller)
        try:
            yield caller[1]
        finally:
            self._callers.remove(caller)

    @contextmanager
    def _alone(
        self, store: Store, session: SessionRow, patience_seconds: float, stop: threading.Event | None = None
    ) -> Iterator[None]:
        """No other Cell of this Session runs meanwhile: not in this process, and in no other."""
        deadline = time.monotonic() + patience_seconds
        if not self._is_free(deadline, stop):
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

    def _is_free(self, deadline: float, stop: threading.Event | None) -> bool:
        """Wait for the lock within this process; whether it is ours."""
        while True:
            left = deadline - time.monotonic()
            if self._lock.acquire(timeout=min(max(0.0, left), _LOOK_SECONDS)):
                return True
            if left <= 0 or (stop is not None and stop.is_set()):
                return False

    def _ready(
        self, store: Store, scope: Sequence[ScopePart], bindings: Mapping[str, Binding], stop: threading.Event
    ) -> tuple[Repl, tuple[str, ...]]:
        """A live one that holds what the journal says, and what there is to tell of that."""
        session = scope[0].session
        last = cells.last_number(store, session.key)
        live = self._live
        if live is not None and live.is_alive and self._number == last:
            return live, ()
        self._number = _UNKNOWN
        is_new = not last and live is None
        live, notes = (self._alive(), ()) if is_new else self._restored(store, scope, bindings, stop)
        if stop.is_set():
            raise ReplBusy(f"the Cell was cancelled before it began: session {session.key} was being restored")
        self._number = last
        row = cells.repl_row(store, session.key)
        self._variables = row.variables if row is not None else ()
        if len(scope) > 1 and belongings.is_copied(store, session.key, last, scope[1].session.key):
            notes = (told_taken_over(scope[1].session.key, last), *notes)
        return live, notes

    def _begin_anew(self, store: Store, session: SessionRow) -> None:
        """With a new one: a Cell may have filled or broken the old one, or have left what cannot be restored."""
        self.close()
        self._alive()
        self._number, self._variables = cells.last_number(store, session.key), ()

    def _alive(self) -> Repl:
        """The live one, or a new one."""
        live = self._live
        if live is None or not live.is_alive:
            self.close()
            live = self._live = self._start()
        return live

    def _restored(
        self, store: Store, scope: Sequence[ScopePart], bindings: Mapping[str, Binding], stop: threading.Event
    ) -> tuple[Repl, tuple[str, ...]]:
        """Take the saved variables, run the Cells since then again; what to tell of it.

        What ends the process is left out, and all begins anew: it would end the next one as well.
        """
        session, told = scope[0].session, known(store, scope)
        saved = cells.checkpoint(store, session.key)
        since = cells.after(store, session.key, saved.cell if saved else 0, has_output=False)
        reset = max((index for index, row in enumerate(since) if row.status is CellStatus.RESET), default=None)
        if reset is not None:
            saved, since = None, since[reset + 1 :]
        since = [row for row in since if row.status is not CellStatus.ENDED]  # they left nothing behind
        left_out = {row.number: why for row in since if (why := why_not_again(row))}
        ended = 0
        while True:
            live = self._alive()
            try:
                lost = _taken(store, live, told, saved, bindings)
            except ReplGone as error:
                if saved is None or not saved.file:
                    raise
                saved, ended = without_file(saved, str(error)), ended + 1
                continue
            again = [row for row in since if row.number not in left_out]
            failed, deadly = _run_again(live, again, told, bindings, stop)
            if deadly is None or stop.is_set():
                break
            ended += 1
            tired = again if ended >= _ENDED_AT_MOST else [deadly]
            left_out.update((row.number, "its process ended") for row in tired)
        self._unsaved_cells = _MANY_CELLS if ended else len(since)
        self._unsaved_seconds = sum(row.seconds for row in since)
        return live, told_restored(saved, [row.number for row in again], left_out, lost, failed)

    def _after(self, store: Store, session: SessionRow, live: Repl, row: CellRow, *, is_redacted: bool) -> None:
        """Note what the Cell means for the next saving; save at once where it could not be run again alike."""
        self._number, self._variables = row.number, row.variables
        self._unsaved_cells += 1
        self._unsaved_seconds += row.seconds
        if row.status is CellStatus.ENDED:
            self.close()
        elif row.status is CellStatus.RESET:
            self._set(store, session, "", (), ())
        elif row.status is CellStatus.INTERRUPTED or is_redacted:
            self._save(store, session, live)

    def _save_if_current(self, store: Store, session: SessionRow) -> None:
        """Save, unless another process has run a Cell since: then its variables are the ones that count."""
        live = self._live
        if live is not None and live.is_alive and self._number == cells.last_number(store, session.key):
            self._save(store, session, live)

    def _save(self, store: Store, session: SessionRow, live: Repl) -> None:
        """Save all variables; where there is no room, or one ends the process, what was saved before stays."""
        started = time.monotonic()
        path = _unused(store.paths.repl, f"{session.key}-{self._number}")
        with translated(store.paths):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        saved = None
        try:
            saved = live.save(descriptor)
        except ReplGone:
            self.close()
        finally:
            os.close(descriptor)
            self._save_seconds = time.monotonic() - started
            if saved is None or saved.complaint:
                path.unlink(missing_ok=True)
        if saved is not None and not saved.complaint:
            self._set(store, session, path.name, saved.variables, saved.unsaved)

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
            before = cells.checkpoint(store, session.key)
            cells.set_checkpoint(store, row)
        stale = {path.name for path in store.paths.repl.glob(f"{session.key}-*.vars")}
        stale |= {before.file} if before is not None and before.file else set()  # of another key, if it was rebuilt
        for gone in stale - cells.saved_files(store):
            (store.paths.repl / gone).unlink(missing_ok=True)
        self._unsaved_cells, self._unsaved_seconds = 0, 0.0


def _unused(folder: Path, name: str) -> Path:
    """A new file's path: the variables saved before, perhaps as of the same Cell, are good until these are."""
    return next(path for part in count() if not (path := folder / f"{name}{f'-{part}' if part else ''}.vars").exists())


def _taken(
    store: Store, live: Repl, told: Mapping[str, Any], saved: Checkpoint | None, bindings: Mapping[str, Binding]
) -> tuple[tuple[str, str], ...]:
    """Throw the live one's variables away and give it the saved ones; those that are lost, and why."""
    if saved is None or not saved.file:
        live.restore(told, (), None, bindings)
        return saved.unsaved if saved else ()
    path = store.paths.repl / saved.file
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        live.restore(told, (), None, bindings)
        return without_file(saved, str(error)).unsaved
    try:
        restored = live.restore(told, saved.variables, descriptor, bindings)
    finally:
        os.close(descriptor)
    return (*saved.unsaved, *restored.lost)


def _run_again(
    live: Repl,
    rows: Sequence[CellRow],
    told: Mapping[str, Any],
    bindings: Mapping[str, Binding],
    stop: threading.Event,
) -> tuple[list[str], CellRow | None]:
    """Run the Cells again; Refs of those that came to another end, and the one whose process had to be ended."""
    failed: list[str] = []
    for row in rows:
        patience = row.seconds * _AGAIN_FACTOR + _AGAIN_SECONDS
        cell = Cell(number=row.number, code=row.code, timeout_seconds=patience, session=told)
        outcome = live.run(cell, bindings, stop=stop)
        if outcome.ending is None:
            return failed, row
        if STATUS[outcome.ending] is not row.status:
            failed.append(f"c{row.number}")
    return failed, None


def _check(code: str, timeout_seconds: float) -> None:
    if not MIN_SECONDS <= timeout_seconds <= MAX_SECONDS:
        raise UsageError(
            f"timeout_seconds {timeout_seconds!r} cannot be; give {MIN_SECONDS:g} to {MAX_SECONDS:g} seconds"
        )
    if len(code) > MAX_CODE_CHARS:
        raise UsageError(
            f"the Cell has {len(code):,} characters, at most {MAX_CODE_CHARS:,} are taken; bring long texts in by load"
        )
    try:
        code.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the Cell's code has half a character at {error.start:,} ({code[error.start]!r}); write the whole one"
        ) from error
