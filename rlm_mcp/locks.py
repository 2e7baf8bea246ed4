"""A lock between processes, held on an open file: it is free again as soon as its holder ends, however that ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlm_mcp.errors import StoreError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOOK_SECONDS = 0.02
_WHO_BYTES = 20


class Held(Exception):
    """Another process holds the lock; ``str`` of it is that process's id."""


@contextmanager
def locked(path: Path, *, patience_seconds: float) -> Iterator[None]:
    """Hold the lock of that file, made where it is missing.

    Raises:
        Held: another process has it for all of ``patience_seconds``.
        StoreError: the file cannot be made.
    """
    deadline = time.monotonic() + patience_seconds
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be made ({error}); check that its folder is yours") from error
    try:
        while not _take(descriptor):
            if time.monotonic() >= deadline:
                os.lseek(descriptor, 1, os.SEEK_SET)
                raise Held(os.read(descriptor, _WHO_BYTES).decode("ascii", "replace").strip() or "unknown")
            time.sleep(_LOOK_SECONDS)
        os.lseek(descriptor, 1, os.SEEK_SET)  # the first byte is what is locked
        os.write(descriptor, f"{os.getpid():<{_WHO_BYTES}d}".encode("ascii"))
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
