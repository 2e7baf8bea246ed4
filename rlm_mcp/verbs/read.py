"""read: the exact bytes a Ref names."""

from __future__ import annotations

from dataclasses import dataclass

from rlm_mcp.errors import RefError, UsageError
from rlm_mcp.refs import Ref, Span, parse_ref
from rlm_mcp.store import events, log, sessions
from rlm_mcp.store.database import Store, read_at
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import estimate_tokens

_CHARS_PER_TOKEN = 4


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
    """The text a Ref names from byte ``offset`` on, at most about ``max_tokens``, cut at a character.

    Raises:
        RefError: the Ref does not parse, or names nothing.
        UsageError: ``offset`` lies outside.
    """
    parsed = parse_ref(ref)
    owner = _owner(store, session, parsed)
    span = _span(store, owner, parsed)
    total = span.end - span.start
    if not 0 <= offset <= total:
        raise UsageError(f"offset {offset!r} lies outside {ref!r}, which has {total:,} bytes")
    budget = store.settings.read_tokens if max_tokens is None else max_tokens
    text = _fitting(store, owner, Span(start=span.start + offset, end=span.end), budget)
    end = offset + len(text.encode())
    return ReadAnswer(
        ref=ref.strip(),
        text=text,
        start=offset,
        end=end,
        total_bytes=total,
        next_offset=end if end < total else None,
    )


def _fitting(store: Store, session: SessionRow, span: Span, max_tokens: int) -> str:
    length = min(span.end - span.start, max(64, max_tokens * _CHARS_PER_TOKEN * 2))
    content = read_at(log.log_path(store.paths, session.key), span.start, length)
    text = content.decode("utf-8", "ignore") if span.start + length < span.end else content.decode("utf-8", "replace")
    while (tokens := estimate_tokens(text)) > max_tokens and len(text) > 64:
        text = text[: max(64, int(len(text) * max_tokens / tokens * 0.97))]
    return text


def _owner(store: Store, session: SessionRow, ref: Ref) -> SessionRow:
    if not ref.session or ref.session == session.key:
        return session
    owner = sessions.by_key(store, ref.session)
    if owner is None:
        raise RefError(f"no session {ref.session!r} in the store, which {str(ref)!r} names")
    return owner


def _span(store: Store, session: SessionRow, ref: Ref) -> Span:
    if ref.event is not None:
        return _within_event(events.event_row(store, session, ref.event), ref)
    if ref.turn is not None:
        turn = events.turn_row(store, session, ref.turn)
        last = events.event_row(store, session, turn.last_seq)
        return Span(start=_header_start(store, session, turn.first_seq), end=last.start + last.length + 1)
    if ref.log is not None:
        if ref.log.end > session.log_bytes:
            raise RefError(f"{str(ref)!r} ends behind the log of session {session.key}, {session.log_bytes:,} bytes")
        return ref.log
    return Span(start=0, end=session.log_bytes)


def _within_event(event: events.EventRow, ref: Ref) -> Span:
    if ref.span is None:
        return Span(start=event.start, end=event.start + event.length)
    if ref.span.end > event.length:
        raise RefError(f"{str(ref)!r} ends behind its event, which has {event.length:,} bytes")
    return Span(start=event.start + ref.span.start, end=event.start + ref.span.end)


def _header_start(store: Store, session: SessionRow, seq: int) -> int:
    if seq <= 1:
        return 0
    before = events.event_row(store, session, seq - 1)
    return before.start + before.length + 1
