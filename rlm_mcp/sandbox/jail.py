"""Starts a confined child, signals it and ends it. The child locks itself down with the first frame; see ``inside``."""

from __future__ import annotations

import compileall
import contextlib
import functools
import os
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import Self

from rlm_mcp.sandbox import mounts
from rlm_mcp.sandbox.inside.lockdown import Bounds
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.mounts import Mapped
from rlm_mcp.sandbox.starting import Started, has_ended, is_readable, kill_group, start

_END_SECONDS = 5.0
_DYING_SECONDS = 1.0
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

    def __init__(
        self, started: Started, end: socket.socket, confinement: Confinement, *, bounds: Bounds, repo: str
    ) -> None:
        self.pid = started.pid
        """Of the child, as this process sees it."""
        self.socket = end
        """A stream; the child has the other end. The first frame must tell it its :attr:`bounds`."""
        self.bounds = bounds
        """What the child must be told to lock itself down to."""
        self.repo = repo
        """Where the child finds the repository; empty where it was given none."""
        self.layers = confinement.layers
        """Names of the layers, outermost first; all are in force once the child has answered the first frame."""
        self._outer = started.process
        self._has_bubblewrap = confinement.bubblewrap is not None
        self._lock = threading.Lock()
        self._handle = started.handle
        self._was_killed = False
        self._used_seconds = 0.0

    @classmethod
    def start(cls, mapped: Mapped, limits: Limits, confinement: Confinement, *, program: str = START) -> Self:
        """Start a child; it has not locked itself down yet, and runs nothing of a Cell before it has.

        Whoever is killed meanwhile, bubblewrap or this process, no process is left; see ``starting``.

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
                started = start(mapped, confinement, program, theirs)
            return cls(started, ours, confinement, bounds=bounds, repo=seen_at if mapped.repo is not None else "")
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
                    kill_group(self._outer)
            if self._handle is not None:
                is_readable(self._handle, _END_SECONDS)  # its end, where bubblewrap ended first
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

    def __exit__(self, *_: object) -> None:
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
        """Whether bubblewrap (or the child itself) has ended; then nothing it started is left, and its use is noted."""
        if self._outer.returncode is None and has_ended(self._outer, wait_seconds=wait_seconds):
            kill_group(self._outer)
            if self._handle is not None:
                self._signal(signal.SIGKILL)
            _pid, status, usage = os.wait4(self._outer.pid, 0)
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


@functools.cache
def _compile_once() -> None:
    """Leave bytecode for the child, which itself writes none; where the folder is not ours, it starts slower."""
    if not sys.dont_write_bytecode:
        for path, _place in mounts.package_files():
            if path.is_dir():
                compileall.compile_dir(path, quiet=2)
            else:
                compileall.compile_file(path, quiet=2)
