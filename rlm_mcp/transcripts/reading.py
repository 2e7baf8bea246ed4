"""The records of reading, and what a format must offer; apart from ``reader.py``, which imports the formats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from rlm_mcp.events import Client, Event, SessionNews, Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far a source file is ingested."""

    offset: int = 0
    """Bytes consumed; a record boundary, except inside a record over the size limit."""
    digest: str = ""
    """Of what precedes ``offset`` (see ``reader.digest_before``), to know a replaced file."""
    state: str = "{}"
    """JSON object: what the format's reader remembers between records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one record gave."""

    events: tuple[Event, ...] = ()
    news: tuple[SessionNews, ...] = ()
    skip: Skip | None = None
    known_without_event: bool = False
    """A known record type that carries nothing a person would read (hashes, token counts, mirrors)."""


class FormatReader(Protocol):
    """One Client's record format. Single-threaded; lives for one source file."""

    client: Client

    def read(self, record: dict[str, Any], offset: int, length: int) -> Reading:
        """Events of one record, which lies at ``offset`` for ``length`` bytes. Never raises for odd shapes."""
        ...

    def state(self) -> dict[str, Any]:
        """JSON-serialisable memory: given to the constructor of the next reader of this file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A run of whole records of a source file."""

    start: int
    """Byte offset of the first record."""
    raw: bytes
    """The consumed bytes, exactly: ``watermark.offset - start`` of them."""
    events: tuple[Event, ...] = ()
    news: tuple[SessionNews, ...] = ()
    skips: tuple[Skip, ...] = ()
    watermark: Watermark = field(default_factory=Watermark)
    """After this batch."""
    at_end: bool = True
    """Nothing whole is left to read now."""
    tail: bytes = b""
    """At the end: bytes after the last whole record (a record still being written, or cut off)."""
