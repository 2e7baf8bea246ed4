"""One worker process of Monty: fed pieces of code, asked for what they come to, killed when it takes too long.

Monty's pool watches over it: every frame of it is checked there, and a crash costs the worker alone. Its asynchronous
twin is not used: its threads now and then abort a Python that ends.
Source: github.com/pydantic/monty, docs/limitations/pool-architecture.md.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pydantic_monty
from pydantic_monty import FunctionSnapshot, MontyComplete, MontyError, NameLookupSnapshot

from rlm_mcp.sandbox.answering import Answerer

REPO = "/repo"
"""Where Cells find the repository."""
_LONGEST_SECONDS = 660.0
"""A worker whose host is gone ends its code by itself after so long; every turn is shorter."""
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_LOOK_SECONDS = 0.05
"""How often it is looked whether a turn is to stop."""
_SLEEPS = frozenset({"system.sleep", "system.async_sleep"})

_T = TypeVar("_T")
Function = Callable[[tuple[Any, ...]], Any]
"""Takes the arguments as they come, returns what :meth:`pydantic_monty.FunctionSnapshot.resume` takes."""


class WorkerGone(Exception):
    """The worker was killed, died, or is of no more use; the message says why."""


class Unreadable(Exception):
    """Variables could not be made bytes, or bytes variables; the message says why."""


class Worker:
    """A worker, and the one session it serves. One caller at a time; :meth:`kill` may come from any thread."""

    def __init__(self, repo: Path | None, *, memory_bytes: int) -> None:
        """Start it.

        Args:
            repo: the folder that code may read, at :data:`REPO`.
            memory_bytes: what it may hold.

        Raises:
            OSError: Monty's program is not there.
            WorkerGone: the folder is not there, or the worker cannot be started.
        """
        self._limits: pydantic_monty.ResourceLimits = {
            "max_memory": memory_bytes,
            "max_feed_duration_secs": _LONGEST_SECONDS,
            "max_suspensions": 1 << 40,
        }
        self.asked_at = ""
        """How tracebacks name the text that called a host function last: ``<python-input-7>``, the next one 8."""
        self._lock = threading.Lock()
        self._answerer = Answerer()
        self._was_stopped = threading.Event()
        self._pid: int | None = None
        self._deadline = 0.0
        self._is_turning = False
        self._why_killed = ""
        self._session: pydantic_monty.MontySession | None = None
        with ExitStack() as held:
            self._mounts = [] if repo is None else [held.enter_context(_mount(repo))]
            self._pool = held.enter_context(pydantic_monty.Monty(min_processes=1, max_processes=1))
            self.renew()
            self._held = held.pop_all()

    @property
    def is_there(self) -> bool:
        """Whether it can be fed."""
        return self._session is not None

    @contextmanager
    def turn(self, seconds: float, stop: threading.Event | None = None) -> Iterator[None]:
        """What is done inside is over in so long, and soon after ``stop`` is set, or the worker is killed.

        Raises:
            WorkerGone: there is none.
        """
        with self._lock:
            self._live()
            self._is_turning = True
            self._deadline = time.monotonic() + seconds
            self._was_stopped.clear()
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done, stop), name="rlm-mcp monty", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            with self._lock:
                self._is_turning = False
            done.set()
            watcher.join()
            self._answerer.close()

    def waited(self, work: Callable[[], _T]) -> _T:
        """What the host does for the worker; left once the worker is killed.

        Raises:
            WorkerGone: it was.
        """
        pending = self._answerer.begin(work)
        while not pending.wait(_LOOK_SECONDS):
            if self._was_stopped.is_set():
                pending.leave.now()
                self._answerer.abandon()
                raise WorkerGone(self._why_killed)
        return pending.found()

    def kill(self, why: str) -> None:
        """Kill it, if a turn is under way: while one is, nobody else can have its process id."""
        with self._lock:
            if not self._is_turning or self._why_killed:
                return
            self._why_killed = why
            self._was_stopped.set()
            if self._pid is not None:
                with suppress(ProcessLookupError):  # it has died by itself at this moment
                    os.kill(self._pid, _KILL)

    def _watch(self, done: threading.Event, stop: threading.Event | None) -> None:
        """Kill the worker at its deadline, or when it is to stop."""
        while not done.wait(max(0.0, min(_LOOK_SECONDS, self._deadline - time.monotonic()))):
            if stop is not None and stop.is_set():
                self.kill("it was interrupted, and Monty cannot be told to stop")
            elif time.monotonic() >= self._deadline:
                self.kill("it ran into its time limit, and Monty cannot be told to stop")

    def renew(self) -> None:
        """Throw all variables away.

        Raises:
            WorkerGone: it cannot be started again.
        """
        self._leave()
        entered = self._pool.checkout(script_name="cell", limits=self._limits)
        try:
            session = entered.__enter__()
        except (RuntimeError, TimeoutError, MontyError) as error:
            raise WorkerGone(self._why_killed or f"Monty's worker does not start: {error}") from error
        with self._lock:
            self._session, self._pid = session, session.worker_pid

    def feed(
        self,
        code: str,
        functions: Mapping[str, Function],
        printed: Callable[[str], None],
        inputs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a piece of code, answering what it calls; its last expression's value.

        Raises:
            MontyError: the code failed.
            WorkerGone: the worker did.
        """
        session = self._live()
        snapshot = self._asked(
            lambda: session.feed_start(
                code,
                inputs=dict(inputs or {}),
                print_callback=lambda _stream, text: printed(text),
                mount=self._mounts or None,
            )
        )
        while not isinstance(snapshot, MontyComplete):
            snapshot = self._answered(snapshot, functions)
        return snapshot

    def dump(self) -> bytes:
        """All variables, as bytes that the same version of Monty reads.

        Raises:
            Unreadable: they are too long.
            WorkerGone: the worker died of it.
        """
        try:
            return self._live().dump()
        except pydantic_monty.MontyCrashedError as error:
            raise WorkerGone(self._why_killed or str(error)) from error
        except RuntimeError as error:
            raise Unreadable(str(error)) from error

    def load(self, dumped: bytes) -> None:
        """Take variables back, all as they were.

        Raises:
            Unreadable: they cannot be; the worker has none now.
            WorkerGone: the worker died of it.
        """
        self.renew()
        try:
            self._live().load_session(dumped)
        except (MontyError, RuntimeError) as error:
            if self._why_killed:
                raise WorkerGone(self._why_killed) from error
            self.renew()
            raise Unreadable(str(error)) from error

    def close(self) -> None:
        """End it. Twice does no harm."""
        self._leave()
        self._held.close()

    def _live(self) -> pydantic_monty.MontySession:
        if self._session is None:
            raise WorkerGone("Monty's worker is not there any more")
        return self._session

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(None, None, None)

    def _asked(self, step: Callable[[], Any]) -> Any:
        """One exchange with the worker."""
        try:
            return step()
        except pydantic_monty.MontyCrashedError as error:
            raise WorkerGone(self._why_killed or f"Monty's worker died: {error}") from error
        except RuntimeError as error:
            raise WorkerGone(self._why_killed or f"Monty's worker is of no more use: {error}") from error

    def _answered(self, snapshot: Any, functions: Mapping[str, Function]) -> Any:
        """What it stops at next, after this was answered; what is none of ours gets Monty's own refusal."""
        if isinstance(snapshot, NameLookupSnapshot):
            name = snapshot.variable_name
            if name in functions and snapshot.object_id is None:
                return self._asked(lambda: snapshot.resume(value=_named(name)))
            return self._asked(snapshot.resume)
        if isinstance(snapshot, FunctionSnapshot):
            name = snapshot.function_name
            if snapshot.is_os_function and name in _SLEEPS:
                self._was_stopped.wait(max(0.0, min(_seconds(snapshot.args), self._deadline - time.monotonic())))
                return self._asked(lambda: snapshot.resume({"return_value": None}))
            if not snapshot.is_os_function and name in functions and snapshot.object_id is None:
                self.asked_at = snapshot.position.filename
                answer = functions[name](snapshot.args)
                return self._asked(lambda: snapshot.resume(answer))
        return self._asked(snapshot.resume_auto)


def _mount(repo: Path) -> pydantic_monty.MountDir:
    try:
        return pydantic_monty.MountDir(host_path=repo, virtual_path=REPO, mode="read-only")
    except (TypeError, OSError) as error:  # TypeError: it is not there
        raise WorkerGone(f"the repository cannot be mapped: {error}") from error


def _named(name: str) -> Function:
    """What stands for a function of ours in the worker: it knows functions by their names."""

    def named(_arguments: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    named.__name__ = name
    return named


def _seconds(arguments: tuple[Any, ...]) -> float:
    """How long a sleep is to be."""
    asked = arguments[0] if arguments else 0.0
    return float(asked) if isinstance(asked, int | float) else 0.0
