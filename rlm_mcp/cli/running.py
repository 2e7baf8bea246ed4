"""Runs Cells for a person: Ctrl-C stops the Cell and nothing else, and the Session is always as it is by now."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NoReturn, Self

from rlm_mcp.cli.options import Which, find
from rlm_mcp.cli.view import say, show_aside
from rlm_mcp.server.late import LateAsker
from rlm_mcp.store.cells import CellStatus
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.repl_answer import ReplAnswer
from rlm_mcp.wiring import Repls

_LOOK_SECONDS = 0.05
"""How often it is looked whether Ctrl-C was pressed."""
_LEAVE_SECONDS = 1.5
"""A Cell that was told to stop has ended by then; who interrupts later than that wants to leave."""
_EXIT_INTERRUPTED = 130


class Runner:
    """Runs Cells of one Session, one at a time."""

    def __init__(
        self, store: Store, repls: Repls, asker: LateAsker, session: SessionRow, *, timeout_seconds: float
    ) -> None:
        self.store = store
        self.session = session
        self.timeout_seconds = timeout_seconds
        self._repls = repls
        self._asker = asker
        self._thread = ThreadPoolExecutor(1, "rlm-mcp cell")
        self._told: list[float] = []
        """When Ctrl-C was pressed while the Cell ran."""
        self._under_way: tuple[Future[ReplAnswer], Stop] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, SystemExit) and self._under_way is not None:  # SIGTERM or SIGHUP
            self._give_up(*self._under_way, error.code if isinstance(error.code, int) else _EXIT_INTERRUPTED)
        self._thread.shutdown()

    def run(self, code: str) -> ReplAnswer:
        """Run a Cell, in a thread so that an interrupt never tears the talk with its process; raises as the verb."""
        with self._interrupts():
            self.session = find(self.store, Which(transcript=None, session=self.session.key, repo=None))
            stop = Stop(seconds=self.timeout_seconds)
            running = self._thread.submit(
                self._repls.run,
                self.store,
                self.session,
                code,
                timeout_seconds=self.timeout_seconds,
                owner=self,
                more=self._asker.cell_bindings(self.session, stop),
            )
            self._under_way = (running, stop)
            self._await(running, stop)
            if self._told and sys.stderr.isatty():
                say(err=True)  # behind the terminal's own ^C
            return running.result()

    def _await(self, running: Future[ReplAnswer], asking: Stop) -> None:
        is_said = False
        while not wait((running,), timeout=_LOOK_SECONDS).done:
            if self._told:
                self._repls.interrupt(self)  # again: it may have begun since
                asking.now()
            if len(self._told) > 1 and self._told[-1] - self._told[0] > _LEAVE_SECONDS:
                self._leave()
            if self._told and not is_said and time.monotonic() - self._told[0] > _LEAVE_SECONDS:
                is_said = True
                show_aside("[another process runs a Cell, or variables are being restored; Ctrl-C again leaves]")

    def _give_up(self, running: Future[ReplAnswer], asking: Stop, exit_code: int) -> None:
        """Stop the Cell; where it does not stop, or another process holds the Session, end at once."""
        asking.now()
        deadline = time.monotonic() + _LEAVE_SECONDS
        while not running.done():
            self._repls.interrupt(self)
            if time.monotonic() > deadline:
                self._leave(exit_code)
            wait((running,), timeout=_LOOK_SECONDS)

    @contextmanager
    def _interrupts(self) -> Iterator[None]:
        """Ctrl-C goes to the Cell."""
        self._told = []
        before = signal.signal(signal.SIGINT, self._on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self._told.append(time.monotonic())

    def _leave(self, exit_code: int = _EXIT_INTERRUPTED) -> NoReturn:
        """End at once: the thread may wait for minutes. The journal has a Cell whole or not at all."""
        self._repls.close()
        sys.stdout.flush()
        os._exit(exit_code)


def show_answer(answer: ReplAnswer) -> None:
    """The output; beside it, on standard error, what there is to say of it: to a script only what it must know."""
    if answer.output:
        say(answer.output)
    is_worth_it = sys.stderr.isatty() or answer.is_cut or not is_done(answer)
    said = [answer.closing, *answer.notes] if is_worth_it else answer.notes
    if said:
        show_aside(*(f"[{word}]" for word in said))


def is_done(answer: ReplAnswer) -> bool:
    """Whether the Cell came to its end."""
    return answer.status in {CellStatus.OK, CellStatus.FINAL, CellStatus.RESET}


def show_error(message: str) -> None:
    """An error of ours that does not end the conversation."""
    say(f"rlm-mcp: {message}", fg="red", err=True)
