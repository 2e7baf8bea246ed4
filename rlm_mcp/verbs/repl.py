"""repl: runs a Cell in a Session's persistent namespace, and keeps that namespace over whatever ends its process.

Every Cell goes into the journal; variables are saved behind it or, where that takes long, when the Cells since the last
time took longer. Whoever runs the next Cell (this process or another) takes the saved variables and runs the few Cells
since then again, so nothing but the last, unfinished Cell is lost when a child or a server is killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rlm_mcp.errors import ReplBusy, ReplGone, UsageError
from rlm_mcp.locks import Held, locked
from rlm_mcp.recursion.known import OfSession
from rlm_mcp.sandbox.messages import SLOW
from rlm_mcp.sandbox.repl import Binding, Cell, Repl
from rlm_mcp.store import belongings, cells
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.verbs.bindings import known
from rlm_mcp.verbs.repl_answer import (
    STATUS,
    ReplAnswer,
    Variables,
    answer,
    told_ended,
    told_left_out,
    told_restored,
    told_taken_over,
    walls,
    why_not_again,
    without_file,
    written,
)
from rlm_mcp.verbs.repl_saving import MANY_CELLS, Since, draft_path, kept, saved_and_since, saved_now, taken

MIN_SECONDS, MAX_SECONDS = 0.1, 600.0
DEFAULT_SECONDS = 30.0
MAX_CODE_CHARS = 1_000_000
_AGAIN_FACTOR, _AGAIN_SECONDS = 3.0, 5.0
"""A Cell that is run again gets so many times what it took, and so much more."""
_DEADLY_AT_MOST = 16
"""So many variables that end the process are left out one by one; then all that was saved is."""
_ENDED_AT_MOST = 4
"""So many processes may end while Cells are run again; then only what was saved is taken."""
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
        self._since = Since()
        self._is_tidy = False
        """Whether it has looked for files of processes that were killed."""
        self._deadly: dict[tuple[str, str], str] = {}
        """Variables (name and what it is) that ended the process when they were saved, and how."""
        self._left_out: dict[str, str] = {}
        """Variables that are not saved from now on, and why; to be told with the next Cell."""
        self._told: frozenset[str] = frozenset()
        """Of variables that take too long to save, those that were told."""
        self.used = time.monotonic()
        """When it last ran a Cell."""

    @property
    def is_live(self) -> bool:
        """Whether it has a process now."""
        return self._live is not None

    @property
    def is_due(self) -> bool:
        """Whether saving is worth its time now."""
        return self.is_live and self._since.is_due(time.monotonic() - self.used)

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
            if self._since.is_cheap and self._since.cells:
                self._save_if_current(store, session)
            live, notes = self._ready(store, scope, bindings, stop)
            notes += self._words()
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
                saved, since = saved_and_since(store, session.key)
                notes = (*notes, told_ended(outcome.why, saved, since))
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
                if self._since.cells:
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
            raise ReplBusy(
                f"a Cell of session {session.key} is still running, or its variables are being saved; wait for it, or "
                "cancel it"
            )
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
        live, notes = (self._alive(store, session), ()) if is_new else self._restored(store, scope, bindings, stop)
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
        self._alive(store, session)
        self._number, self._variables = cells.last_number(store, session.key), ()

    def _alive(self, store: Store, session: SessionRow) -> Repl:
        """The live one, or a new one."""
        live = self._live
        if live is None or not live.is_alive:
            self.close()
            draft_path(store, session.key).unlink(missing_ok=True)
            live = self._live = self._start()
        return live

    def _restored(
        self, store: Store, scope: Sequence[ScopePart], bindings: Mapping[str, Binding], stop: threading.Event
    ) -> tuple[Repl, tuple[str, ...]]:
        """Take the saved variables, run the Cells since then again; what to tell of it.

        What ends the process is left out, and all begins anew: it would end the next one as well.
        """
        session, told = scope[0].session, known(store, scope)
        saved, since = saved_and_since(store, session.key)
        left_out = {row.number: why for row in since if (why := why_not_again(row))}
        deadly: dict[str, str] = {}
        ended = 0
        while True:
            live = self._alive(store, session)
            try:
                lost = taken(store, live, told, saved, deadly, bindings)
            except ReplGone as error:
                if saved is None or not saved.file:
                    raise
                if error.variable and error.variable not in deadly and len(deadly) < _DEADLY_AT_MOST:
                    deadly[error.variable] = str(error)
                else:
                    saved = without_file(saved, str(error))
                continue
            again = [row for row in since if row.number not in left_out]
            failed, last = _run_again(live, again, told, bindings, stop)
            if last is None or stop.is_set():
                break
            ended += 1
            tired = again if ended >= _ENDED_AT_MOST else [last]
            left_out.update((row.number, "its process ended") for row in tired)
        self._since.cells = MANY_CELLS if ended or deadly else len(since)
        self._since.seconds = sum(row.seconds for row in since)
        return live, told_restored(saved, [row.number for row in again], left_out, lost, failed)

    def _after(self, store: Store, session: SessionRow, live: Repl, row: CellRow, *, is_redacted: bool) -> None:
        """Note what the Cell means for the next saving; save at once where it could not be run again alike."""
        self._number, self._variables = row.number, row.variables
        self._since.cells += 1
        self._since.seconds += row.seconds
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
        kinds = dict(self._variables)
        deadly = {name: why for (name, what), why in self._deadly.items() if kinds.get(name, "") == what}
        try:
            saved, name = saved_now(store, session.key, self._number, live, tuple(deadly), self._since)
        except ReplGone as error:
            self.close()
            if error.variable:
                self._deadly[error.variable, kinds.get(error.variable, "")] = str(error)
                self._left_out[error.variable] = str(error)
                self._since.is_cheap = True  # the next time, without it
            return
        if saved.complaint:
            return
        slow = {name: why for name, why in saved.unsaved if why.startswith(SLOW)}
        new = {name: why for name, why in slow.items() if name not in self._told}
        self._left_out |= new
        self._told = frozenset(slow)
        self._since.is_cheap |= bool(new)  # the next time, without them
        self._set(store, session, name, saved.variables, (*saved.unsaved, *deadly.items()))

    def _words(self) -> tuple[str, ...]:
        """What has happened to variables behind the last Cell, to be told once."""
        left_out, self._left_out = self._left_out, {}
        return (told_left_out(left_out),) if left_out else ()

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
        kept(store, row, is_first=not self._is_tidy)
        self._is_tidy = True
        self._since.saved()


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
