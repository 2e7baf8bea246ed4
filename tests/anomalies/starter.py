"""Starts Jails and kills host, bubblewrap or both in the middle of each start; prints what is left, a JSON list.

python starter.py VICTIM: host, bubblewrap or both. Each host is a fork of this process, which is made the parent of all
that loses its own (``PR_SET_CHILD_SUBREAPER``), so whatever is left after a start is its child: nothing is sought by
name. A moment is waited for by looking at ``/proc``; each comes after the one before and stays true.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox.jail import Jail, Limits
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.mounts import Mapped, runtime
from tests.sandbox.walls import ways

_SUBREAPER = 36  # include/uapi/linux/prctl.h
_SECONDS = 10.0
_LOOKS = (0, 1, 4, 16)
"""How many more looks are taken after a moment, before the kill."""


class Host:
    """A process that starts one Jail, ends it when it is told to, and says so."""

    def __init__(self, confinement: Confinement) -> None:
        self._program = str(confinement.bubblewrap)
        self._outer: int | None = None
        self._brood: int | None = None
        self._before = b""
        self._heard, said = os.pipe()
        told, self._tells = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._heard)
            os.close(self._tells)
            try:
                _be_host(confinement, said, told)
            finally:
                os._exit(0)
        os.close(said)
        os.close(told)

    def has_spoken(self, seconds: float = 0.0) -> bool:
        """Whether it has started its Jail, or has failed to."""
        return bool(select.select([self._heard], [], [], seconds)[0])

    def end(self) -> None:
        """Let it end its Jail, and wait until it has."""
        words = b""
        os.write(self._tells, b".")
        while not words.endswith(b"ended"):
            assert self.has_spoken(_SECONDS), "the host hangs"
            words += os.read(self._heard, 64)

    def close(self) -> None:
        """Nothing is said any more."""
        os.close(self._heard)
        os.close(self._tells)
        if self._brood is not None:
            os.close(self._brood)

    def bubblewrap(self) -> int | None:
        """What it has started: bubblewrap, or what becomes bubblewrap."""
        if self._outer is None:
            self._outer = next(iter(children(self.pid)), None)
        return self._outer

    def has_bubblewrap(self) -> bool:
        """Whether bubblewrap runs."""
        return _program(self.bubblewrap()) == self._program

    def has_jailed(self) -> bool:
        """Whether bubblewrap has its child; told so quickly that bubblewrap itself may not have gone on yet."""
        if self._brood is None:
            if not self.has_bubblewrap():
                return False
            self._brood = os.open(f"/proc/{self._outer}/task/{self._outer}/children", os.O_RDONLY)
            self._before = os.pread(self._brood, 4096, 0)
            if self.jailed() is not None:
                self._before = b""
        return os.pread(self._brood, 4096, 0) != self._before

    def jailed(self) -> int | None:
        """The child of bubblewrap, which has process ids of its own."""
        depth = len(_status(os.getpid(), "NSpid"))
        outer = self.bubblewrap()
        below = [] if outer is None else children(outer)
        return next((pid for pid in below if len(_status(pid, "NSpid")) > depth), None)


def _be_host(confinement: Confinement, said: int, told: int) -> None:
    with suppress(JailUnavailable), Jail.start(Mapped(), Limits(), confinement):
        os.write(said, b"started")
        os.read(told, 1)
    os.write(said, b"ended")
    os.read(told, 1)


def children(pid: int) -> list[int]:
    """The children of a process that has ended or not."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def moments() -> dict[str, Callable[[Host], bool]]:
    """Each is true from some point of a start on."""
    python = str(runtime().executable)

    def has_own_session(host: Host) -> bool:
        outer, child = host.bubblewrap(), host.jailed()
        return outer is not None and child is not None and os.getsid(outer) != os.getsid(child)

    return {
        "a process is there": lambda host: host.bubblewrap() is not None,
        "bubblewrap runs": Host.has_bubblewrap,
        "its child is there": Host.has_jailed,
        "the child has its session": has_own_session,
        "the child is Python": lambda host: _program(host.jailed()) == python,
        "the Jail is started": Host.has_spoken,
    }


def settle(*, but: int | None, seconds: float) -> Iterator[str]:
    """Wait until no child is left but that one; what is left then, which is ended."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in children(os.getpid()) if pid != but]:
        for pid in left:
            handle = os.pidfd_open(pid)  # not reaped yet, so it is there
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                yield f"{pid} {_program(pid)}"
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(handle)


def left_by(host: Host, victim: str) -> list[str]:
    """Kill, and see what is left."""
    bubblewrap = host.bubblewrap()
    if victim != "host" and bubblewrap is not None:
        os.kill(bubblewrap, signal.SIGKILL)
    left: list[str] = []
    if victim == "bubblewrap":
        host.end()
        left = [*settle(but=host.pid, seconds=_SECONDS), *(f"{pid} below the host" for pid in children(host.pid))]
    os.kill(host.pid, signal.SIGKILL)
    os.waitpid(host.pid, 0)
    host.close()
    return [*left, *settle(but=None, seconds=_SECONDS)]


def main() -> None:
    """Until something is left, or nothing ever was."""
    assert ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    confinement = ways()["bubblewrap"]
    left: list[str] = []
    for name, has_come in moments().items():
        for looks in _LOOKS:
            host = Host(confinement)
            deadline = time.monotonic() + _SECONDS
            while not has_come(host):
                assert time.monotonic() < deadline, f"it never came that {name}"
            for _look in range(looks):
                has_come(host)
            left += [f"{found}, killed when {name}" for found in left_by(host, sys.argv[1])]
            if left:
                break
    print(json.dumps(left))


def _program(pid: int | None) -> str:
    """The first word of its command; empty where it has ended."""
    if pid is None:
        return ""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode()
    except OSError:
        return ""


def _status(pid: int, name: str) -> list[str]:
    """A field of its status; empty where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return next((line.split()[1:] for line in lines if line.startswith(f"{name}:")), [])


if __name__ == "__main__":
    main()
