"""Landlock: the calling process may from now on read below the given paths, and touch no other file, port or process.

Source: the kernel's ``Documentation/userspace-api/landlock.rst`` and ``include/uapi/linux/landlock.h``.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

from rlm_mcp.sandbox.inside import kernel
from rlm_mcp.sandbox.inside.kernel import LockdownError

_VERSION_FLAG = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS_ADDED = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights on files there are, by the ABI that brought the last: REFER in 2, TRUNCATE in 3, IOCTL_DEV in 5."""
_NET_RIGHTS = 0b11
"""Bind and connect by TCP; from ABI 4."""
_SCOPES = 0b11
"""Abstract unix sockets and signals of others; from ABI 6."""


def abi() -> int:
    """The version of the kernel's Landlock; 0 where there is none."""
    try:
        return kernel.call(kernel.LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}:
            return 0
        raise


def handled(version: int) -> bytes:
    """``struct landlock_ruleset_attr`` with every right that this version knows and we do; newer ones are left out."""
    count = max(count for since, count in _FILE_RIGHTS_ADDED.items() if since <= version)
    fields = [(1 << count) - 1]
    if version >= 4:
        fields.append(_NET_RIGHTS)
    if version >= 6:
        fields.append(_SCOPES)
    return struct.pack(f"={len(fields)}Q", *fields)


def restrict(readable: Iterable[str], listable: Iterable[str]) -> int:
    """Refuse everything on files but reading below ``readable`` and listing folders below ``listable``; the ABI used.

    Needs ``PR_SET_NO_NEW_PRIVS``. Paths that are not there, or are neither files nor folders, are left out.

    Raises:
        LockdownError: the kernel has no Landlock, or refuses.
    """
    version = abi()
    if version < 1:
        raise LockdownError("the kernel has no Landlock (it came with Linux 5.13, and may be switched off)")
    attributes = handled(version)
    try:
        ruleset = kernel.call(
            kernel.LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
        )
        try:
            for path in readable:
                _allow(ruleset, path, _READ_FILE | _READ_DIR)
            for path in listable:
                _allow(ruleset, path, _READ_DIR)
            kernel.call(kernel.LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
        finally:
            os.close(ruleset)
    except OSError as error:
        raise LockdownError(f"Landlock refuses ({error})") from error
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow ``rights`` on the path and what lies below it; never on what a symbolic link leads to."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                rights &= _READ_FILE
            elif not stat.S_ISDIR(mode):
                return
            rule = struct.pack("=Qi", rights, descriptor)
            kernel.call(
                kernel.LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0)
            )
        finally:
            os.close(descriptor)
