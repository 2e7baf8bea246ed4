"""The child confines itself, once and for good, before the first Cell: the kernel holds it from then on.

Called by the child after its last import. Nothing here can be undone by the process, whatever code it runs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp.sandbox.inside import kernel, landlock, seccomp
from rlm_mcp.sandbox.inside.kernel import LockdownError

__all__ = ["Bounds", "LockdownError", "lock_down"]

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _CAPABILITY_DROP, _SET_NO_NEW_PRIVILEGES, _AMBIENT = 1, 4, 24, 38, 47
_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_STACK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the child may use and read. The host sends it in its first frame."""

    memory_bytes: int
    """Address space, with what is mapped (RLIMIT_AS)."""
    cpu_seconds: int
    """Of the child's whole life; at the limit the kernel ends it (RLIMIT_CPU)."""
    file_bytes: int
    """Size to which a file handed over may grow (RLIMIT_FSIZE)."""
    open_files: int
    """Descriptors at once (RLIMIT_NOFILE)."""
    readable: tuple[str, ...]
    """Files, and folders with all below them, that may be read (Landlock)."""
    listable: tuple[str, ...]
    """Folders whose names may be listed, and those below them; their files may not be read (Landlock)."""
    landlock: bool
    """Landlock is demanded; without it :func:`lock_down` fails."""
    seccomp: bool
    """The filter of system calls is demanded."""


def lock_down(bounds: Bounds, *, keep: Sequence[int]) -> tuple[str, ...]:
    """Confine this process to ``bounds``; the layers in force, in words.

    Args:
        bounds: the limits, and which layers are demanded.
        keep: descriptors that stay open besides 0, 1 and 2. The first is the socket to the host.

    Raises:
        LockdownError: a demanded layer cannot be had, or the host is gone already.
    """
    layers: list[str] = []
    try:
        if sys.platform == "linux":
            _die_with_the_host(keep[0])
            kernel.prctl(_SET_NO_NEW_PRIVILEGES, 1)
            kernel.prctl(_SET_DUMPABLE, 0)
            _drop_capabilities()
            layers.append("no privileges")
        _close_all_but(keep)
        _limit(bounds)
        layers.append("rlimits")
        if bounds.landlock:
            layers.append(f"Landlock {landlock.restrict(bounds.readable, bounds.listable)}")
        if bounds.seccomp:
            seccomp.install()
            layers.append("seccomp")
    except (OSError, ValueError) as error:
        raise LockdownError(f"this process cannot be confined ({error})") from error
    return tuple(layers)


def _die_with_the_host(socket: int) -> None:
    """The kernel ends this process when its parent's thread ends.

    The parent may have ended before; then the socket's other side is closed.
    """
    kernel.prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL))
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    if any(event & (select.POLLHUP | select.POLLERR) for _descriptor, event in poll.poll(0)):
        raise LockdownError("the host is gone")


def _drop_capabilities() -> None:
    """Root without privileges: none now, none to be had again. Source: ``include/uapi/linux/capability.h``."""
    kernel.prctl(_AMBIENT, _AMBIENT_CLEAR_ALL)
    number = kernel.NUMBERS.get(kernel.machine(), {}).get("capset")
    if number is None:
        return
    for capability in range(64):
        try:
            kernel.prctl(_CAPABILITY_DROP, capability)
        except OSError:
            break  # EINVAL: past the last one; EPERM: an ordinary user has none to drop
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    kernel.call(number, header, ctypes.create_string_buffer(24))


def _close_all_but(keep: Sequence[int]) -> None:
    start = 3
    for descriptor in sorted(keep):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, max(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20))


def _limit(bounds: Bounds) -> None:
    """Limits of resources; a limit that is lower already stays as it is."""
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_RTPRIO": 0,
        "RLIMIT_SIGPENDING": 64,
        "RLIMIT_STACK": _STACK_BYTES,
        "RLIMIT_NOFILE": bounds.open_files,
        "RLIMIT_FSIZE": bounds.file_bytes,
        "RLIMIT_CPU": bounds.cpu_seconds,
        "RLIMIT_AS": bounds.memory_bytes,
    }
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            least = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (least, least))
