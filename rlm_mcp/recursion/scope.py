"""What a Run looks at: texts that lie in files or were made by a Cell, and how they come to its Cells.

Files are never read into this process: a Cell gets their descriptors and maps them; children share the very pages.
Small texts are packed, so that a thousand of them are there in a few calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rlm_mcp.refs import Ref, Span
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import Handed

_SMALL_BYTES = 256 << 10
"""Texts below are packed together, up to ``_PACK_BYTES``."""
_PACK_BYTES = 4 << 20
_SIZES_TOLD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Bytes of UTF-8 that do not change while a Run looks at them: of a file, or a text that only this Run knows."""

    name: str
    """For people: a path, ``session 1f2e3d4c``, ``context[2]``."""
    content: bytes = b""
    path: Path | None = None
    """In place of ``content``."""
    start: int = 0
    """First byte of the file that counts."""
    end: int = 0
    """Behind the last one."""
    ref: Ref | None = None
    """Of the whole file: a Session's log or a Document; None where nothing but this Run knows it."""

    @property
    def size(self) -> int:
        """Bytes that count."""
        return len(self.content) if self.path is None else self.end - self.start

    def part(self, start: int, end: int) -> Source:
        """Its bytes from ``start`` up to ``end``, which must lie within."""
        if self.path is None:
            return replace(self, content=self.content[start:end])
        return replace(self, start=self.start + start, end=self.start + end)

    def read(self) -> bytes:
        """All of it, for sources that are small."""
        if self.path is None:
            return self.content
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.start)
            return file.read(self.size)

    def text(self) -> str:
        """All of it, for sources that are small."""
        return self.read().decode("utf-8", "replace")

    def ref_of(self, start: int, end: int) -> str:
        """The Ref of bytes ``start`` to ``end`` of its file; empty where it has none."""
        if self.ref is None:
            return ""
        span = Span(start=start, end=end)
        if self.ref.document:
            return str(Ref(document=self.ref.document, span=span))
        return str(Ref(session=self.ref.session, log=span))


@dataclass(slots=True, kw_only=True)
class _Pack:
    """What comes to a Cell at once: a file, or several small texts one behind the other."""

    path: Path | None = None
    end: int = 0
    sources: list[Source] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a Run looks at."""

    name: str
    """In words."""
    texts: tuple[Source, ...] | None
    """What ``context`` is; None for the Session's text."""
    is_list: bool = False
    """``context`` is a list, even of one."""
    sources: tuple[Source, ...] = ()
    """Where quotes may come from beside; looked at first."""
    note: str = ""
    """What the root should know of ``context`` beside its sizes."""
    has_more: bool = False
    """Cells see more than ``context``: what is not in it may be elsewhere."""

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """Where quotes may come from, those with Refs first."""
        return (*self.sources, *(self.texts or ()))

    @property
    def refs(self) -> str:
        """Refs of its texts with blanks between; empty where one has none, and for the Session's text."""
        found = [source.ref_of(source.start, source.end) for source in self.texts or ()]
        return " ".join(found) if all(found) else ""

    def told(self, session: Mapping[str, Any]) -> str:
        """What the root reads of it at first: kind and sizes."""
        note = f"; {self.note}" if self.note else ""
        if self.texts is None:
            return f"context: str, {session['log_bytes']:,} bytes: session text, {session['turns']:,} turns{note}"
        sizes = [source.size for source in self.texts]
        if not self.is_list and len(sizes) == 1:
            return f"context: str, {sizes[0]:,} bytes{note}"
        shown = ", ".join(f"{size:,}" for size in sizes[:_SIZES_TOLD])
        more = " ..." if len(sizes) > _SIZES_TOLD else ""
        return f"context: list of {len(sizes):,} str, {sum(sizes):,} bytes ({shown}{more}){note}"

    def known(self) -> dict[str, Any] | None:
        """What a Cell is told of ``context`` at once; None where it is the Session's text."""
        if self.texts is None:
            return None
        return {"parts": len(self.texts), "is_list": self.is_list or len(self.texts) != 1}

    def places(self) -> JSON:
        """Of each text: in which pack it lies, from which byte up to which."""
        return [list(place) for place in self._packed[1]]

    def pack(self, number: int) -> Handed | None:
        """That pack; None where there is none of that number."""
        packs = self._packed[0]
        if not 0 <= number < len(packs):
            return None
        pack = packs[number]
        if pack.path is not None:
            return Handed(path=pack.path, length=pack.end)
        return Handed(content=b"".join(source.read() for source in pack.sources))

    @cached_property
    def _packed(self) -> tuple[Sequence[_Pack], Sequence[tuple[int, int, int]]]:
        """All packs, and the places of the texts in them."""
        packs: list[_Pack] = []
        places: list[tuple[int, int, int]] = []
        numbers: dict[Path, int] = {}
        filling = -1
        for source in self.texts or ():
            if source.path is not None and (source.size >= _SMALL_BYTES or source.path in numbers):
                number = numbers.setdefault(source.path, len(packs))
                if number == len(packs):
                    packs.append(_Pack(path=source.path))
                packs[number].end = max(packs[number].end, source.end)
                places.append((number, source.start, source.end))
                continue
            if filling < 0 or packs[filling].end + source.size > _PACK_BYTES:
                filling = len(packs)
                packs.append(_Pack())
            pack = packs[filling]
            places.append((filling, pack.end, pack.end + source.size))
            pack.sources.append(source)
            pack.end += source.size
        return packs, places


def pieces(source: Source, overlap: int, piece_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The source piece by piece, with each one's offset in its file; each goes ``overlap`` bytes into the next."""
    if source.path is None:
        yield 0, source.content
        return
    with source.path.open("rb", buffering=0) as file:
        offset = source.start
        while offset < source.end:
            file.seek(offset)
            piece = file.read(min(piece_bytes + overlap, source.end - offset))
            if not piece:
                return
            yield offset, piece
            offset += piece_bytes
