"""read: the exact bytes a Ref names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import RefError, UsageError
from rlm_mcp.refs import Ref, Span, parse_ref
from rlm_mcp.store import events, log, sessions
from rlm_mcp.store.database import Store, read_at
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import estimate_tokens

_CHARS_PER_TOKEN = 4
_LEAST_CHARS = 16
"""A page is never smaller, or reading on would not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAnswer:
    """A piece of the log."""

    ref: str
    text: str
    start: int
    """First byte given, counted from the beginning of what the Ref names."""
    end: int
    total_bytes: int
    """Of what the Ref names."""
    next_offset: int | None
    """Where to read on; None at the end."""


def read(store: Store, session: SessionRow, ref: str, *, offset: int = 0, max_tokens: int | None = None) -> ReadAnswer:
    """The text a Ref names from byte ``offset`` on, at most about ``max_tokens``.

    A span or offset that begins or ends inside a character is widened to the whole of it.

    Raises:
        RefError: the Ref does not parse, or names nothing.
        UsageError: ``offset`` lies outside.
    """
    parsed = parse_ref(ref)
    owner = _owner(store, session, parsed)
    place = _Place(path=log.log_path(store.paths, owner.key), spans=_spans(store, owner, parsed))
    if not 0 <= offset <= place.total:
        raise UsageError(f"offset {offset!r} lies outside {ref!r}, which has {place.total:,} bytes")
    start = place.character_start(offset)
    text = _fitting(place, start, store.settings.read_tokens if max_tokens is None else max_tokens)
    end = start + len(text.encode())
    return ReadAnswer(
        ref=ref.strip(),
        text=text,
        start=start,
        end=end,
        total_bytes=place.total,
        next_offset=end if end < place.total else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What a Ref names: spans of one log, read as if they were one text."""

    path: Path
    spans: Sequence[Span]

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(span.end - span.start for span in self.spans)

    def read(self, start: int, length: int) -> bytes:
        """At most ``length`` bytes from ``start`` on."""
        found: list[bytes] = []
        for span in self.spans:
            size = span.end - span.start
            wanted = min(length, size - start)
            if wanted > 0:
                found.append(read_at(self.path, span.start + start, wanted))
                length -= wanted
            start = max(0, start - size)
        return b"".join(found)

    def character_start(self, offset: int) -> int:
        """``offset``, or where the character it lies in begins."""
        while offset > 0 and _is_inside(self.read(offset, 1)):
            offset -= 1
        return offset


def _is_inside(byte: bytes) -> bool:
    """Whether a byte of UTF-8 continues a character (RFC 3629: ``10xxxxxx``)."""
    return bool(byte) and byte[0] & 0xC0 == 0x80


def _fitting(place: _Place, start: int, max_tokens: int) -> str:
    content = place.read(start, max(_LEAST_CHARS * 4, max_tokens * _CHARS_PER_TOKEN * 2))
    text = content.decode("utf-8", "ignore")  # the last character may not be whole: it begins the next page
    while (tokens := estimate_tokens(text)) > max_tokens and len(text) > _LEAST_CHARS:
        text = text[: max(_LEAST_CHARS, int(len(text) * max_tokens / tokens * 0.97))]
    return text


def _owner(store: Store, session: SessionRow, ref: Ref) -> SessionRow:
    if not ref.session or ref.session == session.key:
        return session
    owner = sessions.by_key(store, ref.session)
    if owner is None:
        raise RefError(
            f"no session {ref.session!r} in the store, which {str(ref)!r} names; 'rlm-mcp status' lists the sessions"
        )
    return owner


def _spans(store: Store, session: SessionRow, ref: Ref) -> list[Span]:
    if ref.event is not None:
        return [_within_event(store, session, events.event_row(store, session, ref.event), ref)]
    if ref.turn is not None:
        return events.turn_spans(store, session, ref.turn)
    if ref.log is not None:
        if ref.log.end > session.log_bytes:
            raise RefError(
                f"{str(ref)!r} ends behind the log of session {session.key}, which has {session.log_bytes:,} bytes"
            )
        return [_widened(store, session, ref.log)]
    return [Span(start=0, end=session.log_bytes)]


def _within_event(store: Store, session: SessionRow, event: events.EventRow, ref: Ref) -> Span:
    if ref.span is None:
        return Span(start=event.start, end=event.start + event.length)
    if ref.span.end > event.length:
        raise RefError(
            f"{str(ref)!r} ends behind its event, which has {event.length:,} bytes; 'e{event.seq}' is all of it"
        )
    return _widened(store, session, Span(start=event.start + ref.span.start, end=event.start + ref.span.end))


def _widened(store: Store, session: SessionRow, span: Span) -> Span:
    """The span, and the rest of the characters it cuts."""
    if span.start == span.end:
        return span
    path = log.log_path(store.paths, session.key)
    whole = _Place(path=path, spans=[Span(start=0, end=session.log_bytes)])
    end = span.end
    while _is_inside(whole.read(end, 1)):
        end += 1
    return Span(start=whole.character_start(span.start), end=end)
