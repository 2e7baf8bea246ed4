"""read: the exact bytes a Ref names.

A log holds no secrets; Documents and what Cells print may, so marks stand in place of theirs. Byte counts are those of
the text as it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import RefError, UsageError
from rlm_mcp.redact import Secret
from rlm_mcp.refs import Ref, Span, parse_ref
from rlm_mcp.store import cells, documents, events, log, pieces, runs, sessions
from rlm_mcp.store.database import Store, read_at
from rlm_mcp.store.runs import RunRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import estimate_tokens

_CHARS_PER_TOKEN = 4
_LEAST_CHARS = 16
"""A page is never smaller, or reading on would not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAnswer:
    """A piece of what a Ref names."""

    ref: str
    text: str
    start: int
    """First byte given, counted from the beginning of what the Ref names."""
    end: int
    total_bytes: int
    """Of what the Ref names."""
    next_offset: int | None
    """Where to read on; None at the end."""
    note: str = ""
    """What the text does not show: secrets replaced, output that was not kept."""


def read(
    store: Store, session: SessionRow | None, ref: str, *, offset: int = 0, max_tokens: int | None = None
) -> ReadAnswer:
    """The text a Ref names from byte ``offset`` on, at most about ``max_tokens``.

    A span or offset that begins or ends inside a character is widened to the whole of it.

    Args:
        session: the one at hand; not needed for a Ref that stands alone.

    Raises:
        RefError: the Ref does not parse, or names nothing.
        UsageError: ``offset`` lies outside.
    """
    place = _place(store, session, parse_ref(ref))
    if not 0 <= offset <= place.total:
        raise UsageError(f"offset {offset!r} lies outside {ref!r}, which has {place.total:,} bytes")
    start = place.character_start(offset)
    text = _fitting(place, start, store.settings.read_tokens if max_tokens is None else max_tokens)
    content = text.encode()
    end = start + len(content)
    secrets = place.secrets(start, end)
    return ReadAnswer(
        ref=ref.strip(),
        text=documents.masked(content, start, secrets) if place.is_foreign else text,
        start=start,
        end=end,
        total_bytes=place.total,
        next_offset=end if end < place.total else None,
        note="; ".join(note for note in (_replaced(len(secrets)), place.note if end >= place.total else "") if note),
    )


def log_spans(store: Store, session: SessionRow | None, ref: Ref) -> tuple[SessionRow, list[Span]]:
    """Whose log a Ref names bytes of, and which: of an Event, Turn, span of the log or Session.

    Raises:
        RefError: it names nothing.
    """
    owner = _owner(store, session, ref)
    return owner, _spans(store, owner, ref)


def _replaced(count: int) -> str:
    return f"{count} {'secrets' if count > 1 else 'secret'} replaced by marks" if count else ""


def _no_secrets(_start: int, _end: int) -> list[Secret]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What a Ref names, as one text."""

    total: int
    """Bytes."""
    read: Callable[[int, int], bytes]
    """At most that many bytes (the second) from there (the first) on."""
    secrets: Callable[[int, int], list[Secret]] = _no_secrets
    """Those that reach into bytes (first) to (second)."""
    is_foreign: bool = False
    """It is kept as it came, not made fit to be shown."""
    note: str = ""
    """What is to be said at its end."""

    def character_start(self, offset: int) -> int:
        """``offset``, or where the character it lies in begins."""
        while offset > 0 and _is_inside(self.read(offset, 1)):
            offset -= 1
        return offset

    def widened(self, span: Span) -> Span:
        """The span, and the rest of the characters it cuts."""
        if span.start == span.end:
            return span
        end = span.end
        while _is_inside(self.read(end, 1)):
            end += 1
        return Span(start=self.character_start(span.start), end=end)

    def part(self, span: Span) -> _Place:
        """That span of it."""

        def read(start: int, length: int) -> bytes:
            return self.read(span.start + start, min(length, span.end - span.start - start))

        def secrets(start: int, end: int) -> list[Secret]:
            return [
                Secret(start=one.start - span.start, end=one.end - span.start, label=one.label)
                for one in self.secrets(span.start + start, span.start + end)
            ]

        return _Place(total=span.end - span.start, read=read, secrets=secrets, is_foreign=self.is_foreign)


def _place(store: Store, session: SessionRow | None, ref: Ref) -> _Place:
    if ref.document:
        return _of_document(store, ref)
    if ref.run:
        run = runs.run_row(store, ref.run)
        return _of_run(run) if ref.cell is None else _of_text(runs.whole_output(store, run.id, ref.cell))
    owner = _owner(store, session, ref)
    if ref.cell is not None:
        return _of_cell(store, owner, ref.cell)
    return _of_log(log.log_path(store.paths, owner.key), _spans(store, owner, ref))


def _of_log(path: Path, spans: Sequence[Span]) -> _Place:
    """Spans of one log, read as if they were one text."""

    def read(start: int, length: int) -> bytes:
        found: list[bytes] = []
        for span in spans:
            size = span.end - span.start
            wanted = min(length, size - start)
            if wanted > 0:
                found.append(read_at(path, span.start + start, wanted))
                length -= wanted
            start = max(0, start - size)
        return b"".join(found)

    return _Place(total=sum(span.end - span.start for span in spans), read=read)


def _of_document(store: Store, ref: Ref) -> _Place:
    row = documents.by_prefix(store, ref.document)

    def read(start: int, length: int) -> bytes:
        return documents.read(store, row.sha256, start, min(length, row.length - start))

    def secrets(start: int, end: int) -> list[Secret]:
        return pieces.secrets_between(store, row, start, end)

    whole = _Place(total=row.length, read=read, secrets=secrets, is_foreign=True)
    if ref.span is None:
        return whole
    if ref.span.end > row.length:
        raise RefError(
            f"{str(ref)!r} ends behind its document, which has {row.length:,} bytes; {row.ref!r} is all of it"
        )
    return whole.part(whole.widened(ref.span))


def _of_run(run: RunRow) -> _Place:
    """What it came to: its answer, or what it had where it has none; then each of its quotes that was found."""
    if run.status == runs.RUNNING:
        raise RefError(f"run {run.id!r} has no answer yet; job({run.id!r}, 'wait') waits for it")
    if not run.answer and not run.partial:
        raise RefError(f"run {run.id!r} came to nothing ({run.status}); 'rlm-mcp run {run.id}' shows what it did")
    said = run.answer or f"no answer ({run.status}); what it had by then:\n{run.partial}"
    quotes = [f'- "{one["quote"]}"  {one["ref"] or one["source"]}' for one in run.evidence if one["is_verified"]]
    return _of_text("\n".join([said, *quotes]))


def _of_cell(store: Store, owner: SessionRow, number: int) -> _Place:
    row = cells.cell_row(store, owner, number)
    return _of_text(row.output, f"{row.lost_bytes:,} more bytes were printed and not kept" if row.lost_bytes else "")


def _of_text(text: str, note: str = "") -> _Place:
    content = text.encode("utf-8", "replace")
    secrets = pieces.secrets_of(content)
    return _Place(
        total=len(content),
        read=lambda start, length: content[start : start + length],
        secrets=lambda start, end: [one for one in secrets if one.start < end and one.end > start],
        is_foreign=True,
        note=note,
    )


def _is_inside(byte: bytes) -> bool:
    """Whether a byte of UTF-8 continues a character (RFC 3629: ``10xxxxxx``)."""
    return bool(byte) and byte[0] & 0xC0 == 0x80


def _fitting(place: _Place, start: int, max_tokens: int) -> str:
    content = place.read(start, max(_LEAST_CHARS * 4, max_tokens * _CHARS_PER_TOKEN * 2))
    text = content.decode("utf-8", "ignore")  # the last character may not be whole: it begins the next page
    while (tokens := estimate_tokens(text)) > max_tokens and len(text) > _LEAST_CHARS:
        text = text[: max(_LEAST_CHARS, int(len(text) * max_tokens / tokens * 0.97))]
    return text


def _owner(store: Store, session: SessionRow | None, ref: Ref) -> SessionRow:
    if session is not None and ref.session in {"", session.key}:
        return session
    if not ref.session:
        raise RefError(f"{str(ref)!r} is of a session; name it, as in '1f2e3d4c.{ref}'")
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
    whole = _of_log(log.log_path(store.paths, session.key), [Span(start=0, end=session.log_bytes)])
    return whole.widened(span)
