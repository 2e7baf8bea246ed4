"""Host functions at work in a thread of their own, so that who waits for one can leave.

A Cell's time counts while the host works for it. When it is over, the function is told (:func:`leave`), and a moment
later nobody waits for it: it comes to its end by itself, and what it says then is heard by nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Generic, TypeVar

_MOST_LEFT = 4
LOOK_SECONDS = 0.05
"""How often a wait looks whether it is to stop."""
_FRAME_SECONDS = 2.0
"""A frame of either side that has begun is through by then."""
T = TypeVar("T")


class Leave:
    """Told when nobody waits any more for what a host function says. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []

    def now(self) -> None:
        """Nobody waits: every waker is called, in this thread. May be told again and again."""
        with self._lock:
            for wake in self._wakers:
                wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """What to call, quick and harmless, when it is told meanwhile; never behind that."""
        with self._lock:
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)


_LEAVE: ContextVar[Leave] = ContextVar("leave")


def leave() -> Leave:
    """That of the call which this thread works on; of no call, one that is never told."""
    return _LEAVE.get(Leave())


class Pending(Generic[T]):
    """A call under way."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.leave = Leave()
        self._work = work
        self._done = threading.Event()
        self._found: T | BaseException | None = None
        self._has_failed = False

    def run(self) -> None:
        """Do it; whatever it raises is raised where it is waited for."""
        _LEAVE.set(self.leave)
        try:
            self._found = self._work()
        except BaseException as error:  # noqa: BLE001  # raised by found()
            self._found, self._has_failed = error, True
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether it is done."""
        return self._done.wait(seconds)

    def found(self) -> T:
        """What it came to, once it is done; raises what it raised."""
        if self._has_failed:
            assert isinstance(self._found, BaseException)
            raise self._found
        return self._found  # type: ignore[return-value]  # it is what the work gave


class Answerer:
    """Works for one caller: one call at a time, in a thread that is made when it is needed, and again once left."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Pending[object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._left: list[threading.Thread] = []

    @property
    def is_free(self) -> bool:
        """Whether fewer calls than a few are still at work for nobody."""
        self._left = [thread for thread in self._left if thread.is_alive()]
        return len(self._left) < _MOST_LEFT

    def begin(self, work: Callable[[], T]) -> Pending[T]:
        """Have it done; to be waited for, or left."""
        pending: Pending[T] = Pending(work)
        if self._thread is None:
            self._asked = SimpleQueue()
            self._thread = threading.Thread(target=_serve, args=(self._asked,), name="rlm-mcp host call", daemon=True)
            self._thread.start()
        self._asked.put(pending)  # type: ignore[arg-type]  # of one kind at a time
        return pending

    def abandon(self) -> None:
        """Nobody waits any more for the call that was begun last."""
        if self._thread is not None:
            self._left.append(self._thread)
        self.close()

    def close(self) -> None:
        """No more calls for now: the thread ends, at once or with its call."""
        self._asked.put(None)
        self._thread = None


def _serve(asked: SimpleQueue[Pending[object] | None]) -> None:
    while (pending := asked.get()) is not None:
        pending.run()
        del pending  # or what it said would be kept until the next


class Turn:
    """Until when the child may take."""

    def __init__(self, *, seconds: float, stop: threading.Event | None = None, grace_seconds: float = 0.0) -> None:
        self._started = time.monotonic()
        self._stop = stop
        self._grace_seconds = grace_seconds
        self.deadline = self._started + seconds
        """When the child is ended."""
        self.told_at: float | None = None
        """When the child was told to stop."""

    def is_over(self) -> bool:
        """The grace has begun: the child is told by now, and so is who works for it."""
        return time.monotonic() >= self.deadline - self._grace_seconds

    def is_past(self) -> bool:
        """Half the grace is over: the host works no more for the child."""
        return time.monotonic() >= self.deadline - self._grace_seconds / 2

    def next_look(self) -> float:
        """Seconds until the next of these, at most until it is looked whether to stop."""
        now = time.monotonic()
        moments = (self.deadline - self._grace_seconds, self.deadline - self._grace_seconds / 2)
        return min([LOOK_SECONDS, *(moment - now for moment in moments if moment > now)])

    def leave(self) -> None:
        """The host works no more for the child, which has half its grace from now on, though the host be late.

        Raises:
            TimeoutError: there is no grace.
        """
        if not self._grace_seconds:
            raise TimeoutError
        self.deadline = max(self.deadline, time.monotonic() + self._grace_seconds / 2)

    def seconds(self) -> float:
        """Taken so far."""
        return time.monotonic() - self._started

    def soon(self) -> float:
        """Until when one frame may take, once it has begun."""
        return time.monotonic() + _FRAME_SECONDS

    def is_to_stop(self) -> bool:
        """Whether someone said so; from then on the child has its grace."""
        if self._stop is None or not self._stop.is_set():
            return False
        if self.told_at is None:
            self.told_at = time.monotonic()
            self.deadline = min(self.deadline, self.told_at + self._grace_seconds)
        return True
