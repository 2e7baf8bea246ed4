"""Quotes that are to prove an answer, checked byte for byte against what they are said to be from.

A quote that is found becomes a span with the exact Ref of its bytes; one that is not is marked unverified, and is never
shown as a citation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.refs import Ref, Span

MAX_QUOTES = 50
MAX_QUOTE_CHARS = 4_000
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Bytes that quotes may come from: a file, or a text of this Run alone."""

    name: str
    """For people: a path, ``session 1f2e3d4c``, ``context[2]``."""
    content: bytes = b""
    path: Path | None = None
    """In place of ``content``."""
    start: int = 0
    """First byte that counts."""
    end: int = 0
    """Behind the last one; of a file."""
    ref: Ref | None = None
    """Of the whole; None where nothing but this Run knows it."""

    @property
    def size(self) -> int:
        """Bytes that count."""
        return len(self.content) if self.path is None else self.end - self.start

    def text(self) -> str:
        """All of it, for sources that are small."""
        if self.path is None:
            return self.content.decode("utf-8", "replace")
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.size).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A quote and where it stands."""

    quote: str
    is_verified: bool
    source: str = ""
    ref: str = ""
    """Of exactly the quoted bytes; empty where the source has no Ref."""


def check(quotes: Sequence[str], sources: Sequence[Source]) -> tuple[Evidence, ...]:
    """Each quote with the first place where its very bytes stand."""
    return tuple(_checked(quote, sources) for quote in quotes[:MAX_QUOTES])


def _checked(quote: str, sources: Sequence[Source]) -> Evidence:
    wanted = quote.encode("utf-8", "replace")
    if wanted and len(quote) <= MAX_QUOTE_CHARS:
        for source in sources:
            found = _find(wanted, source)
            if found >= 0:
                return Evidence(quote=quote, is_verified=True, source=source.name, ref=_ref(source, found, len(wanted)))
    return Evidence(quote=quote[:MAX_QUOTE_CHARS], is_verified=False)


def _ref(source: Source, at: int, length: int) -> str:
    """Of the quoted bytes in the source."""
    ref = source.ref
    if ref is None:
        return ""
    span = Span(start=at, end=at + length)
    if ref.document:
        return str(Ref(document=ref.document, span=span))
    return str(Ref(session=ref.session, log=span))


def _find(wanted: bytes, source: Source) -> int:
    """Offset of the first place in the source; -1 for none."""
    if source.path is None:
        return source.content.find(wanted)
    for offset, piece in _pieces(source, len(wanted) - 1):
        at = piece.find(wanted)
        if at >= 0:
            return offset + at
    return -1


def _pieces(source: Source, overlap: int) -> Iterator[tuple[int, bytes]]:
    assert source.path is not None
    with source.path.open("rb") as file:
        offset = source.start
        while offset < source.end:
            file.seek(offset)
            piece = file.read(min(_PIECE_BYTES + overlap, source.end - offset))
            if not piece:
                return
            yield offset, piece
            offset += _PIECE_BYTES
