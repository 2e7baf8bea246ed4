"""The Repl of one Run: started while the root model thinks, replaced where it dies, gone with the Run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from rlm_mcp.sandbox.repl import Repl
from rlm_mcp.sublm.lm import Stop

_LOOK_SECONDS = 60.0


class RunRepl:
    """One Repl after the other. ``close`` may come from any thread, and never waits for one that is being started."""

    def __init__(self, start: Callable[[], Repl]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._is_closed = False
        self._starting = self._begun()

    def ready(self, stop: Stop) -> Repl:
        """The Repl, as soon as it is there.

        Raises:
            ReplError: it cannot be started.
            Cancelled, SubLMTimeout: it is not waited for any more.
        """
        starting = self._starting
        over = threading.Event()
        starting.add_done_callback(lambda _done: over.set())
        with stop.waking(over.set):
            while not over.wait(stop.left(_LOOK_SECONDS)):
                continue
        stop.left(_LOOK_SECONDS)
        return starting.result()

    def replace(self) -> None:
        """End it and start another."""
        with self._lock:
            before, self._starting = self._starting, self._begun()
            is_closed = self._is_closed
        before.add_done_callback(_close)
        if is_closed:
            self._starting.add_done_callback(_close)

    def close(self) -> None:
        """End it; one that is still being started is ended as soon as it is there."""
        with self._lock:
            self._is_closed = True
            starting = self._starting
        starting.add_done_callback(_close)

    def _begun(self) -> Future[Repl]:
        pool = ThreadPoolExecutor(1, thread_name_prefix="rlm-mcp run repl")
        try:
            return pool.submit(self._start)
        finally:
            pool.shutdown(wait=False)


def _close(started: Future[Repl]) -> None:
    if started.exception() is None:
        started.result().close()
