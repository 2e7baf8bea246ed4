"""A file becomes a Document's text: copied, hashed and made UTF-8 in one go, never whole in memory.

What stands in ``documents/<sha256>`` afterwards: the file's own bytes where they are UTF-8 (a byte order mark too),
else its characters written as UTF-8. The hash is always of the file's own bytes: the same file is the same Document.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import select
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rlm_mcp import unlinked
from rlm_mcp.config import Paths
from rlm_mcp.errors import DocumentError, StoreDamaged
from rlm_mcp.store.connection import store_error

Told = Callable[[int], None]
"""Called with the number of bytes just read."""

_BLOCK_BYTES = 1 << 20
_OWN = re.compile(r"/dev/stdin|(?:/dev|/proc/self)/fd/(\d{1,6})")
"""Names of descriptors of this process; a shell gives one for ``<(command)``."""
_DRAFT = "draft-"
_STALE_SECONDS = 3600.0
_FIRST_BYTES = 8000
"""Looked at for a NUL, as git does to tell binary from text (``buffer_is_binary`` in its xdiff-interface.c)."""
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\b\t\n\v\f\r\x1b"})
_UNDEFINED_IN_CP1252 = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks of what is not UTF-8; the longer ones first, as one begins with another."""
UTF_8, DAMAGED = "utf-8", "utf-8, damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A file as it lies in the store now."""

    sha256: str
    """Of its own bytes; 64 hex digits."""
    length: int
    """Of the text kept, in bytes of UTF-8."""
    lines: int
    encoding: str
    """Of the file: ``utf-8``, ``utf-8, damaged`` (what is not UTF-8 became U+FFFD), ``utf-16-le`` and its kind (told by
    the byte order mark, which is left out), ``cp1252``, ``latin-1``."""
    changed: bool
    """It was written to while it was read: this is what was there up to the length it had at first."""


def document_path(paths: Paths, sha256: str) -> Path:
    """Where the text of a Document lies."""
    return paths.documents / sha256


def copy(paths: Paths, source: Path, *, most_bytes: int, told: Told | None = None) -> Copied:
    """Bring a regular file into ``documents``; a file that is there already is left as it is.

    The file is read once, up to the length it has at the beginning.

    Args:
        source: absolute and resolved: where a link is on the way to it by now, nothing is read.

    Raises:
        DocumentError: it is gone, no regular file, not readable, too large, binary, or became shorter meanwhile.
        StoreFull, StoreError: the store cannot be written; nothing of it stays.
    """
    with _opened(source, most_bytes) as (descriptor, before):
        copied = _kept(paths, source, _blocks(source, descriptor, before.st_size), told)
        after = _found(source, descriptor)
        return replace(copied, changed=(after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns))


def is_stream(source: Path) -> bool:
    """Whether it gives its text once, as it comes: a pipe, a socket, a terminal.

    Raises:
        DocumentError: it is not there, or cannot be looked at.
    """
    try:
        mode = source.stat().st_mode
    except (OSError, ValueError) as error:
        raise DocumentError(f"{str(source)!r} cannot be read ({error}); look for its name", why="gone") from error
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def copy_stream(paths: Paths, source: Path, *, most_bytes: int) -> Copied:
    """Bring all that a stream gives into ``documents``, however long it takes to come.

    Raises:
        DocumentError: it cannot be read, is binary, or gives more than that.
        StoreFull, StoreError: the store cannot be written; nothing of it stays.
    """
    own = _OWN.fullmatch(str(source))
    try:
        # What we have open already is not opened anew: a socket cannot be.
        descriptor = os.dup(int(own[1] or 0)) if own else os.open(source, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise DocumentError(
            f"{str(source)!r} cannot be read ({error}); write what it gives into a file", why="not readable"
        ) from error
    try:
        return _kept(paths, source, _all_blocks(source, descriptor, most_bytes))
    finally:
        os.close(descriptor)


def _kept(paths: Paths, source: Path, blocks: Iterator[bytes], told: Told | None = None) -> Copied:
    """What these blocks are, as a file of ours.

    Args:
        source: where they come from; for messages.
    """
    with _draft(paths) as (draft, raw):
        looked = _Look()
        digest = hashlib.sha256()
        for block in blocks:
            digest.update(block)
            looked.at(block)
            _write(raw, block, draft)
            if told is not None:
                told(len(block))
        encoding = looked.encoding(source)
        length, lines = looked.length, looked.lines
        if encoding == UTF_8:
            _keep(paths, draft, raw, digest.hexdigest(), length)
        else:
            with _draft(paths) as (other, text):
                length, lines = _transcoded((draft, raw, length), text, encoding)
                _keep(paths, other, text, digest.hexdigest(), length)
        return Copied(sha256=digest.hexdigest(), length=length, lines=lines, encoding=encoding, changed=False)


def tidy(paths: Paths) -> None:
    """Remove drafts that nobody has written to for an hour: what a killed load left."""
    oldest = time.time() - _STALE_SECONDS
    for draft in paths.documents.glob(f"{_DRAFT}*"):
        try:
            if draft.stat().st_mtime < oldest:
                draft.unlink(missing_ok=True)
        except FileNotFoundError:  # finished, or removed by another process
            continue


@contextmanager
def _opened(source: Path, most_bytes: int) -> Iterator[tuple[int, os.stat_result]]:
    """The file, opened to read without waiting for anything; looked at before (opening a device may do something)."""
    name = repr(str(source))
    try:
        _must_be_regular(source, os.lstat(source))
        descriptor = unlinked.opened(str(source))
    except FileNotFoundError as error:
        raise DocumentError(f"{name} is not there (any more); look for its name", why="gone") from error
    except (OSError, ValueError) as error:
        raise DocumentError(
            f"{name} cannot be read ({error}); load a copy that you may read", why="not readable"
        ) from error
    try:
        found = _found(source, descriptor)
        _must_be_regular(source, found)
        if found.st_size > most_bytes:
            raise DocumentError(
                f"{name} has {found.st_size:,} bytes, a Document may have {most_bytes:,}; load a part of it",
                why=f"larger than {most_bytes >> 20:,} MiB",
            )
        yield descriptor, found
    finally:
        os.close(descriptor)


def _found(source: Path, descriptor: int) -> os.stat_result:
    try:
        return os.fstat(descriptor)
    except OSError as error:
        raise DocumentError(
            f"{str(source)!r} cannot be looked at ({error}); load a copy that can", why="not readable"
        ) from error


def _must_be_regular(source: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise DocumentError(
            f"{str(source)!r} is {kind}; write what it gives into a regular file and load that", why=kind
        )


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _blocks(source: Path, descriptor: int, size: int) -> Iterator[bytes]:
    left = size
    while left > 0:
        try:
            block = os.read(descriptor, min(left, _BLOCK_BYTES))
        except OSError as error:
            raise DocumentError(
                f"{str(source)!r} cannot be read on ({error}); load a copy that can", why="not readable"
            ) from error
        if not block:
            raise DocumentError(
                f"{str(source)!r} became {left:,} bytes shorter while it was read; load it again when nothing writes "
                "to it",
                why="became shorter while it was read",
            )
        left -= len(block)
        yield block


def _all_blocks(source: Path, descriptor: int, most_bytes: int) -> Iterator[bytes]:
    size = 0
    while True:
        try:
            select.select([descriptor], [], [])  # it may be set not to wait, by whoever shares it
            block = os.read(descriptor, _BLOCK_BYTES)
        except OSError as error:
            raise DocumentError(
                f"{str(source)!r} cannot be read on ({error}); write what it gives into a file", why="not readable"
            ) from error
        size += len(block)
        if size > most_bytes:
            raise DocumentError(
                f"{str(source)!r} gives more than {most_bytes:,} bytes, and no Document may have more; give it a part",
                why=f"larger than {most_bytes >> 20:,} MiB",
            )
        if not block:
            return
        yield block


@contextmanager
def _draft(paths: Paths) -> Iterator[tuple[Path, int]]:
    """A file of ours under construction (0600); gone at the end unless it was renamed."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=_DRAFT, dir=paths.documents)
    except OSError as error:
        raise store_error(error, paths.documents) from error
    try:
        yield Path(name), descriptor
    finally:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)


def _write(descriptor: int, content: bytes, path: Path) -> None:
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise store_error(error, path) from error


def _keep(paths: Paths, draft: Path, descriptor: int, sha256: str, length: int) -> None:
    """Give the draft its name, unless the same text is there already."""
    target = document_path(paths, sha256)
    try:
        if target.exists() and target.stat().st_size == length:
            return
        os.fsync(descriptor)
        draft.rename(target)
    except OSError as error:
        raise store_error(error, target) from error


def _transcoded(draft: tuple[Path, int, int], text: int, encoding: str) -> tuple[int, int]:
    """Write a draft (path, descriptor, bytes) as UTF-8; the text's length in bytes, and its lines."""
    path, raw, size = draft
    mark = next((mark for mark, name in _MARKS if name == encoding), b"")
    codec = UTF_8 if encoding == DAMAGED else encoding
    decoder = codecs.getincrementaldecoder(codec)("replace")
    length = ends = 0
    last = ""
    offset = len(mark)
    while offset < size:
        try:
            block = os.pread(raw, _BLOCK_BYTES, offset)
        except OSError as error:
            raise store_error(error, path) from error
        if not block:
            raise StoreDamaged(f"{str(path)!r} became shorter while it was read; load its file again")
        offset += len(block)
        decoded = decoder.decode(block, final=offset >= size)
        encoded = decoded.encode("utf-8", "replace")
        _write(text, encoded, path)
        length += len(encoded)
        ends += encoded.count(b"\n")
        last = decoded[-1:] or last
    return length, ends + (last not in ("", "\n"))


class _Look:
    """What is seen of a file block by block: enough to tell its encoding, and text from binary."""

    def __init__(self) -> None:
        self.length = 0
        self._ends = 0
        self._first = b""
        self._last = b""
        self._nuls = 0
        self._controls = 0
        self._decoder = codecs.getincrementaldecoder(UTF_8)("strict")
        self._loose: codecs.IncrementalDecoder | None = None
        """Goes on where the strict one has failed."""
        self._wide = 0
        """Characters beyond ASCII, rightly encoded."""
        self._broken = 0
        """Places that are not UTF-8."""
        self._has_undefined = False
        """Bytes that stand for nothing in cp1252."""

    @property
    def lines(self) -> int:
        """The last one counts without a line end too."""
        return self._ends + (self._last not in (b"", b"\n"))

    def at(self, block: bytes) -> None:
        """Look at the next block."""
        if len(self._first) < _FIRST_BYTES:
            self._first += block[: _FIRST_BYTES - len(self._first)]
        self.length += len(block)
        self._ends += block.count(b"\n")
        self._last = block[-1:]
        self._nuls += block.count(b"\0")
        self._controls += len(block) - len(block.translate(None, _CONTROLS))
        if self._loose is None and block.isascii() and not self._decoder.getstate()[0]:
            return
        self._has_undefined = self._has_undefined or any(byte in block for byte in _UNDEFINED_IN_CP1252)
        self._decode(block)

    def _decode(self, block: bytes) -> None:
        if self._loose is None:
            try:
                text = self._decoder.decode(block)
            except UnicodeDecodeError:
                self._loose = codecs.getincrementaldecoder(UTF_8)("replace")
                block = self._decoder.getstate()[0] + block
            else:
                self._wide += _beyond_ascii(text)
                return
        text = self._loose.decode(block)
        broken = text.count("\ufffd")
        self._broken += broken
        self._wide += _beyond_ascii(text) - broken

    def encoding(self, source: Path) -> str:
        """Of all that was seen.

        Raises:
            DocumentError: it is no text.
        """
        marked = next((name for mark, name in _MARKS if self._first.startswith(mark)), "")
        if marked:
            return marked
        is_cut = self._loose is None and bool(self._decoder.getstate()[0])
        is_utf8 = self._loose is None and not is_cut
        if b"\0" in self._first or self._is_binary(is_utf8=is_utf8 or is_cut):
            raise DocumentError(
                f"{str(source)!r} is binary, not text; load the text that a tool takes out of it", why="binary"
            )
        if is_utf8:
            return UTF_8
        if self._wide > 10 * self._broken:
            return DAMAGED
        return "latin-1" if self._has_undefined else "cp1252"

    def _is_binary(self, *, is_utf8: bool) -> bool:
        """Whether too much of it is no character that text has; packed files have a tenth of their bytes so."""
        if is_utf8:
            return self._controls * 10 > self.length
        return self._nuls > 0 or self._controls * 33 > self.length


def _beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))
