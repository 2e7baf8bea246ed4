"""System calls that Python's standard library does not offer, by ``ctypes``."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Mapping

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {"capset": 126, "seccomp": 317},
    "aarch64": {"capset": 91, "seccomp": 277},
}
"""System call numbers by machine, where the two differ. Source: the kernel's ``syscall_64.tbl`` and ``unistd.h``."""
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""The same on every machine."""


class LockdownError(Exception):
    """A layer of the Jail that was demanded cannot be had; the message goes to the host."""


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def machine() -> str:
    """``x86_64`` or ``aarch64``; other names are machines without a table here."""
    found = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(found, found)


def call(number: int, *arguments: object) -> int:
    """A system call by number.

    Raises:
        OSError: it failed.
    """
    return _checked("syscall", ctypes.c_long(number), *arguments)


def prctl(operation: int, *arguments: int) -> int:
    """``prctl(2)``; all five arguments are passed, the missing ones as 0.

    Raises:
        OSError: it failed.
    """
    filled = (*arguments, 0, 0, 0, 0)[:4]
    return _checked("prctl", ctypes.c_int(operation), *(ctypes.c_ulong(value) for value in filled))


def _checked(function: str, *arguments: object) -> int:
    ctypes.set_errno(0)
    found = int(_library()[function](*arguments))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found
