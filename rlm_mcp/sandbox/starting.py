"""Starts the processes of a Jail so that none is left, whoever is killed at whatever moment.

Once Python runs, the kernel keeps that promise: with ``--die-with-parent`` bubblewrap ends when the host's thread ends,
and its child when bubblewrap ends. Before, it does not: the child waits for a word of bubblewrap, on a descriptor of
its own that it would wait on for ever, and asks to die with its parent only after that, just before it becomes Python.
(Source: ``main`` in ``bubblewrap.c``; https://github.com/containers/bubblewrap/issues/633.) So for these milliseconds

* a guard, the shell's own child, kills the process group when the host's end of a pipe closes without a word;
* the host kills the group when bubblewrap ends, before it reaps it and the group's id may be another's.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox import mounts
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.mounts import Mapped

_START_SECONDS = 10.0
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.05
"""How often a wait looks whether bubblewrap has ended."""
_TOLD_BYTES = 4096
_TOLD = b"}\n"
"""How bubblewrap's words of its child end (JSON)."""
_RUNS = b"."
"""Python's first word."""

_SHELL = Path("/bin/sh")
_GUARD = '{ read word <&1 || kill -9 0; } & exec "$@" >/dev/null'
"""The guard waits on the pipe that is standard output (input is not: a shell takes it from what it does not wait for).

Every shell has ``read`` and ``kill`` built in. Bubblewrap reaps children that it was born with.
"""
_NO_WORD_OF_THE_SHELL = ("--unsetenv", "_", "--unsetenv", "SHLVL", "--unsetenv", "OLDPWD")
"""What shells put into an empty environment."""
_SAY_SO = "import os, sys\nend = int(sys.argv.pop())\nos.write(end, b'.')\nos.close(end)\ndel os, sys, end\n"
"""What Python does first behind bubblewrap, before the program: the last argument is where it says that it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A child, and what stands around it."""

    process: subprocess.Popen[bytes]
    """Bubblewrap, or the child itself; it leads a process group of its own."""
    pid: int
    """Of the child, as this process sees it."""
    handle: int | None
    """A descriptor that stands for the child, as :func:`handle` gives it."""


def start(mapped: Mapped, confinement: Confinement, program: str, end: socket.socket) -> Started:
    """Start a Python that has this socket, and 0, 1, 2, which lead nowhere.

    Args:
        mapped: what it may read.
        confinement: bubblewrap, or none.
        program: its text; the arguments are the socket's descriptor, and folders to import our package from.
        end: the socket; not open any more afterwards.

    Raises:
        JailUnavailable: it cannot be started; the message says why, and nothing is left.
    """
    python = [str(mounts.runtime().executable), "-I", "-S", "-B", "-X", "utf8", "-c"]
    number = str(end.fileno())
    if confinement.bubblewrap is None:
        process = _popen([*python, program, number, *mounts.import_folders()], (end.detach(),))
        return Started(process=process, pid=process.pid, handle=handle(process.pid))
    bubblewrap, *bounds = mounts.bubblewrap_command(confinement.bubblewrap, mapped)
    reading, info = os.pipe()
    waiting, leash = os.pipe()
    runs = os.dup(info)
    with (
        open(reading, "rb", buffering=0) as told,  # noqa: PTH123  # a descriptor
        open(leash, "wb", buffering=0) as dismissal,  # noqa: PTH123  # a descriptor
    ):
        command = (bubblewrap, "--info-fd", str(info), *_NO_WORD_OF_THE_SHELL, *bounds)
        told_to = (*python, _SAY_SO + program, number, mounts.PACKAGE, str(runs))
        process = _popen((*command, *told_to), (end.detach(), info, runs), guarded_by=waiting)
        try:
            started = _when_it_runs(process, told.fileno())
        except ValueError as error:
            raise JailUnavailable(
                f"{bubblewrap!r} ended with {process.returncode} and started nothing; "
                "`rlm-mcp doctor` says what it misses"
            ) from error
        with contextlib.suppress(BrokenPipeError):  # there is no shell, or someone has ended the guard
            dismissal.write(b"\n")
        return started


def handle(pid: int) -> int | None:
    """A descriptor that stands for the process; None where it has ended, or the system gives none (``ENOSYS``)."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def is_readable(descriptor: int, seconds: float) -> bool:
    """Whether there is something to read within so long; at a process's handle, its end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def has_ended(process: subprocess.Popen[bytes], *, wait_seconds: float = 0.0) -> bool:
    """Whether it has ended within so long; it is not reaped, so that its id and its group's stay its own.

    Waiting is bounded: a process that hangs in the kernel (a dead network folder) outlives SIGKILL for a while.
    """
    if wait_seconds and (known := handle(process.pid)) is not None:
        try:
            is_readable(known, wait_seconds)
        finally:
            os.close(known)
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that is not reaped yet, and all of its group: guard and child before they have their own ways."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _when_it_runs(process: subprocess.Popen[bytes], told: int) -> Started:
    """The child, when bubblewrap has done its part and Python runs.

    Raises:
        ValueError: that does not happen in time; all are killed.
    """
    deadline = time.monotonic() + _START_SECONDS
    words = b""
    pid = 0
    child: int | None = None
    try:
        while not words.endswith(_TOLD + _RUNS):
            words += _heard(process, told, deadline)
            if not pid and _TOLD in words:
                pid = int(json.loads(words.partition(_TOLD)[0] + _TOLD)["child-pid"])
                child = handle(pid)
        return Started(process=process, pid=pid, handle=child)
    except BaseException:
        _end(process)
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child, signal.SIGKILL)
            os.close(child)
        raise


def _heard(process: subprocess.Popen[bytes], told: int, deadline: float) -> bytes:
    """What is told next.

    Raises:
        ValueError: the process has ended, or says nothing in time.
    """
    while time.monotonic() < deadline:
        can_read = is_readable(told, _LOOK_SECONDS)
        piece = os.read(told, _TOLD_BYTES) if can_read else b""
        if piece:
            return piece
        # Read and empty: all who could tell have closed it, and end.
        if has_ended(process, wait_seconds=_LOOK_SECONDS if can_read else 0.0):
            break
    raise ValueError


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill and reap; one that hangs in the kernel is left to it."""
    kill_group(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    command: tuple[str, ...]
    passed: tuple[int, ...]
    """Descriptors that it keeps; closed here as soon as it has them, or is not started."""
    guarded_by: int | None
    """The end of a pipe that a guard is to wait on; closed as these."""
    answer: Future[subprocess.Popen[bytes]]


def _popen(
    command: Sequence[str], passed: tuple[int, ...], *, guarded_by: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a program from the one thread that starts them all, with these descriptors, which are that thread's then.

    The kernel ends a child (``PR_SET_PDEATHSIG``) when the *thread* ends that started it, so no thread of a pool may.

    Raises:
        JailUnavailable: it cannot be started.
    """
    answer: Future[subprocess.Popen[bytes]] = Future()
    _orders(os.getpid()).put(_Order(command=tuple(command), passed=passed, guarded_by=guarded_by, answer=answer))
    try:
        return answer.result(timeout=_START_SECONDS)
    except BaseException as error:
        if not answer.cancel():
            answer.add_done_callback(_end_the_late)
        if not isinstance(error, (OSError, ValueError)):  # an interrupt
            raise
        raise JailUnavailable(
            f"{command[0]!r} cannot be started ({error}); is it a program of this machine?"
        ) from error


def _end_the_late(answer: Future[subprocess.Popen[bytes]]) -> None:
    """End a process that nobody waits for any more."""
    if answer.exception() is None:
        _end(answer.result())


@functools.cache
def _orders(_process: int) -> queue.SimpleQueue[_Order]:
    """Where orders to start a program go; a process forked from this one has none of its threads, so one for each."""
    orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
    threading.Thread(target=_serve, args=(orders,), name="rlm-mcp jails", daemon=True).start()
    return orders


def _serve(orders: queue.SimpleQueue[_Order]) -> None:
    while True:
        order = orders.get()
        try:
            process = _obey(order)
        except (OSError, ValueError) as error:
            order.answer.set_exception(error)
        else:
            if process is not None:
                order.answer.set_result(process)


def _obey(order: _Order) -> subprocess.Popen[bytes] | None:
    """Start what was ordered; None where that was taken back."""
    try:
        if not order.answer.set_running_or_notify_cancel():
            return None
        has_guard = order.guarded_by is not None and _SHELL.exists()
        before = (str(_SHELL), "-c", _GUARD, order.command[0]) if has_guard else ()
        return subprocess.Popen(
            (*before, *order.command),
            stdin=subprocess.DEVNULL,
            stdout=order.guarded_by if has_guard else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=order.passed,
            cwd="/",
            env={},
            start_new_session=True,
        )
    finally:
        for descriptor in order.passed:
            os.close(descriptor)
        if order.guarded_by is not None:
            os.close(order.guarded_by)
