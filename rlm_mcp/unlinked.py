"""Opening files by paths no part of which is a link.

Between a look at a path and its opening, somebody may put a link in the place of a folder on the way, and the file
opened lies elsewhere. Here each part is opened below the one before it, and a link anywhere is refused: what is read
lies where the path says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder at an absolute, resolved path, to open what is below it.

    Raises:
        OSError: there is none, or a part of the path is a link.
    """
    descriptor = _opened(str(path), _on_the_way(), None)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def opened(path: str, *, below: int | None = None) -> int:
    """A descriptor of the file, for reading, opened without waiting for anything; the caller closes it.

    Args:
        path: absolute and resolved; or with ``below`` relative, without ``..``.
        below: a descriptor of the folder that the path begins in.

    Raises:
        OSError: it cannot be opened, or a part of the path is a link (``ELOOP``, ``ENOTDIR``).
        ValueError: the path is no such path.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return _opened(path, flags, below)


def _opened(path: str, flags: int, below: int | None) -> int:
    is_absolute, parts = path.startswith("/"), path.strip("/").split("/")
    if is_absolute == (below is not None) or ".." in parts:
        raise ValueError(f"{path!r} does not say plainly where its file lies; resolve it first")
    at_all = getattr(os, "O_NOFOLLOW_ANY", 0)  # macOS looks at every part by itself
    if at_all:
        return os.open(path, flags & ~os.O_NOFOLLOW | at_all, dir_fd=below)
    way = os.open("/", _on_the_way()) if below is None else below
    try:
        for part in parts[:-1]:
            further = os.open(part, _on_the_way(), dir_fd=way)
            if way != below:
                os.close(way)
            way = further
        return os.open(parts[-1] or ".", flags, dir_fd=way)
    finally:
        if way != below:
            os.close(way)


def _on_the_way() -> int:
    """Flags to open a folder; with Linux's ``O_PATH`` it need not be one that we may list."""
    return getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
