"""Starts a confined child, signals it and ends it. The child locks itself down with the first frame; see ``inside``."""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox import mounts
from rlm_mcp.sandbox.inside.lockdown import Bounds
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.mounts import Mapped

_START_SECONDS = 10.0
_END_SECONDS = 5.0
_DYING_SECONDS = 1.0
_INFO_BYTES = 4096
_CPU_CLOCK = 2
"""``CPUCLOCK_SCHED``, the low bits of the clock of another process. Source: ``include/linux/posix-timers.h``."""

START = """
import sys
descriptor, *folders = sys.argv[1:]
sys.path += folders
try:
    from rlm_mcp.sandbox.inside import child
    del sys.path[-len(folders):], sys.argv[1:]
    try:
        child.main(int(descriptor))
    except child.wire.WireBroken:
        pass  # the host is gone
except Exception as error:
    import json, os
    told = json.dumps({"kind": "Refused", "message": f"{type(error).__name__}: {error}"[:900]}).encode()
    os.write(int(descriptor), len(told).to_bytes(4, "big") + told)
    raise SystemExit(1)
"""
"""What the child's Python is told to run: our package is importable until all of it is imported, then no more.

What breaks the child itself (a damaged installation, a fault of ours) is told by a last frame: nowhere else can it be.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resources of a child."""

    memory_bytes: int = 2 << 30
    """Address space, with what is mapped."""
    cpu_seconds: int = 24 * 3600
    """Of its whole life."""
    file_bytes: int = 1 << 30
    """Size to which a file handed over may grow."""
    open_files: int = 64


class Jail:
    """A confined Python, from start to end. Made by :meth:`start`; to be ended by :meth:`kill` or as a context."""

    def __init__(self, started: _Started, end: socket.socket, *, bounds: Bounds, repo: str) -> None:
        self.pid = started.pid
        """Of the child, as this process sees it."""
        self.socket = end
        """A stream; the child has the other end. The first frame must tell it its :attr:`bounds`."""
        self.bounds = bounds
        """What the child must be told to lock itself down to."""
        self.repo = repo
        """Where the child finds the repository; empty where it was given none."""
        self.layers = started.confinement.layers
        """Names of the layers, outermost first; all are in force once the child has answered the first frame."""
        self._outer = started.process
        self._has_bubblewrap = started.confinement.bubblewrap is not None
        self._lock = threading.Lock()
        self._handle = _handle(started.pid)
        self._was_killed = False
        self._used_seconds = 0.0

    @classmethod
    def start(cls, mapped: Mapped, limits: Limits, confinement: Confinement, *, program: str = START) -> Self:
        """Start a child; it has not locked itself down yet, and runs nothing of a Cell before it has.

        Args:
            mapped: what it may read.
            limits: what it may use.
            confinement: the layers, as :func:`rlm_mcp.sandbox.layers.confinement` gives them.
            program: Python text to run in place of the real child; for tests.

        Raises:
            JailUnavailable: it cannot be started; the message says why.
        """
        has_bubblewrap = confinement.bubblewrap is not None
        readable, listable = (
            mounts.readable(mapped, has_bubblewrap=has_bubblewrap) if confinement.landlock else ((), ())
        )
        bounds = Bounds(
            memory_bytes=limits.memory_bytes,
            cpu_seconds=limits.cpu_seconds,
            file_bytes=limits.file_bytes,
            open_files=limits.open_files,
            readable=readable,
            listable=listable,
            landlock=confinement.landlock,
            seccomp=confinement.seccomp,
        )
        seen_at = mounts.REPO if has_bubblewrap else str(mapped.repo.resolve()) if mapped.repo is not None else ""
        _compile_once()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                started = _start(mapped, confinement, program, theirs.fileno())
            return cls(started, ours, bounds=bounds, repo=seen_at if mapped.repo is not None else "")
        except BaseException:
            ours.close()
            raise

    def interrupt(self) -> None:
        """Send SIGINT to the child, if it still lives."""
        with self._lock:
            self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End the child and whatever it may have started; it is gone when this returns. Twice does no harm.

        One that is ending by itself may do so, so that :meth:`why_ended` knows.
        """
        with self._lock:
            if not self._has_ended(wait_seconds=_DYING_SECONDS if self._has_hung_up() else 0.0):
                self._was_killed = True
                self._signal(signal.SIGKILL)
                if not self._has_ended(wait_seconds=_END_SECONDS):
                    self._outer.kill()
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None
            with contextlib.suppress(OSError):  # the other side is gone already
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()

    def is_alive(self) -> bool:
        """Whether the child runs."""
        with self._lock:
            return not self._has_ended()

    def why_ended(self) -> str:
        """How the child ended by itself, in words; empty while it runs, and where :meth:`kill` ended it."""
        if self.is_alive() or self._was_killed:
            return ""
        code = self._outer.returncode
        number = -code if code < 0 else code - 128 if self._has_bubblewrap and code > 128 else 0
        # The kernel's limit counts by clock ticks, the use by the clock: the two may lie a third apart.
        if number == signal.SIGKILL and self._used_seconds >= self.bounds.cpu_seconds / 2:
            return f"ended by the kernel: it used {self.bounds.cpu_seconds} s of processor time, all it may"
        if number in _SIGNALS:
            return _SIGNALS[signal.Signals(number)]
        return f"ended by signal {number}" if number else f"ended by itself with exit code {code}"

    def cpu_seconds(self) -> float:
        """Processor time the child has used; after its end, all that it did use."""
        with self._lock:
            if not self._has_ended():
                with contextlib.suppress(OSError):  # it ends at this moment
                    return time.clock_gettime(~self.pid << 3 | _CPU_CLOCK)
            return self._used_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal by the process's handle, so that it never reaches another that has its id by now."""
        with contextlib.suppress(ProcessLookupError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, number)
            elif self._outer.returncode is None:
                os.kill(self.pid, number)

    def _has_hung_up(self) -> bool:
        """Whether the child's end of the socket is closed: it is ending, or plays at it."""
        if self.socket.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(0))

    def _has_ended(self, *, wait_seconds: float = 0.0) -> bool:
        """Whether bubblewrap (or the child itself) has ended; then it is reaped, and what it used is noted.

        Waiting is bounded: a process that hangs in the kernel (a dead network folder) outlives SIGKILL for a while.
        """
        if self._outer.returncode is None:
            if wait_seconds:
                _wait_for(self._outer.pid, wait_seconds)
            pid, status, usage = os.wait4(self._outer.pid, os.WNOHANG)
            if pid:
                self._outer.returncode = os.waitstatus_to_exitcode(status)
                self._used_seconds = usage.ru_utime + usage.ru_stime
        return self._outer.returncode is not None


_SIGNALS = {
    signal.SIGKILL: "ended by the kernel: the machine ran out of memory, or someone killed it",
    signal.SIGSYS: "ended by the kernel: it made a system call of a forbidden kind",
    signal.SIGSEGV: "crashed: a segmentation fault (too deep a recursion in C, or broken memory)",
    signal.SIGBUS: "crashed: a bus error (a mapped file became shorter)",
    signal.SIGABRT: "crashed: it aborted",
    signal.SIGFPE: "crashed: an arithmetic fault",
    signal.SIGILL: "crashed: an illegal instruction",
    signal.SIGINT: "ended by an interrupt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Started:
    process: subprocess.Popen[bytes]
    """Bubblewrap, or the child itself."""
    pid: int
    """Of the child."""
    confinement: Confinement


def _start(mapped: Mapped, confinement: Confinement, program: str, descriptor: int) -> _Started:
    """Start the child with this descriptor as its only one but 0, 1, 2 (which lead nowhere)."""
    python = [str(mounts.runtime().executable), "-I", "-S", "-B", "-X", "utf8", "-c", program, str(descriptor)]
    if confinement.bubblewrap is None:
        process = _popen([*python, *mounts.import_folders()], (descriptor,))
        return _Started(process=process, pid=process.pid, confinement=confinement)
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as told:  # noqa: PTH123  # a descriptor
        try:
            command = mounts.bubblewrap_command(confinement.bubblewrap, mapped, more=("--info-fd", str(writing)))
            process = _popen([*command, *python, mounts.PACKAGE], (descriptor, writing))
        finally:
            os.close(writing)
        try:
            return _Started(process=process, pid=_child_pid(told.fileno()), confinement=confinement)
        except ValueError as error:
            process.kill()
            raise JailUnavailable(
                f"{str(confinement.bubblewrap)!r} ended with {process.wait()} and started nothing; "
                "`rlm-mcp doctor` says what it misses"
            ) from error


def _child_pid(told: int) -> int:
    """What bubblewrap says of its child, as this process sees it.

    Raises:
        ValueError: it says nothing in time.
    """
    deadline = time.monotonic() + _START_SECONDS
    words = b""
    while _is_readable(told, deadline - time.monotonic()):
        piece = os.read(told, _INFO_BYTES)
        if not piece:
            break
        words += piece
    found = json.loads(words)
    return int(found["child-pid"])


def _popen(command: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a program from the one thread that starts them all.

    The kernel ends a child (``PR_SET_PDEATHSIG``) when the *thread* ends that started it, so no thread of a pool may.

    Raises:
        JailUnavailable: it cannot be started.
    """
    answer: Future[subprocess.Popen[bytes]] = Future()
    _orders(os.getpid()).put((tuple(command), tuple(descriptors), answer))
    try:
        return answer.result(timeout=_START_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise JailUnavailable(
            f"{command[0]!r} cannot be started ({error}); is it a program of this machine?"
        ) from error


_Order = tuple[tuple[str, ...], tuple[int, ...], "Future[subprocess.Popen[bytes]]"]


@functools.cache
def _orders(_process: int) -> queue.SimpleQueue[_Order]:
    """Where orders to start a program go; a process forked from this one has none of its threads, so one for each."""
    orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
    threading.Thread(target=_serve, args=(orders,), name="rlm-mcp jails", daemon=True).start()
    return orders


def _serve(orders: queue.SimpleQueue[_Order]) -> None:
    while True:
        command, descriptors, answer = orders.get()
        try:
            answer.set_result(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=descriptors,
                    cwd="/",
                    env={},
                    start_new_session=True,
                )
            )
        except (OSError, ValueError) as error:
            answer.set_exception(error)


def _handle(pid: int) -> int | None:
    """A descriptor that stands for the process; None where it has ended, or the system gives none (``ENOSYS``)."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _wait_for(pid: int, seconds: float) -> None:
    """Wait until our own child of that id has ended, at most so long."""
    handle = _handle(pid)
    if handle is not None:
        try:
            _is_readable(handle, seconds)
        finally:
            os.close(handle)


def _is_readable(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read within so long; at a process's handle, its end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


@functools.cache
def _compile_once() -> None:
    """Leave bytecode for the child, which itself writes none; where the folder is not ours, it starts slower."""
    if not sys.dont_write_bytecode:
        for path, _place in mounts.package_files():
            if path.is_dir():
                compileall.compile_dir(path, quiet=2)
            else:
                compileall.compile_file(path, quiet=2)
