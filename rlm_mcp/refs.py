"""Refs: printable, stable addresses that resolve to exact bytes of a Session's log, or raise.

Grammar, as short as may be because Refs stand in the model's Window::

    ref     = [session "."] place
    session = 8 hex digits, the Session's key
    place   = "e" seq [":" start "-" end]     an Event, or a byte span of its text
            | "t" number                      a Turn: all its Events
            | "log:" start "-" end            a byte span of the Session's log
            | "s"                             the whole Session's log

``e12`` alone means the Session at hand. Spans are half-open, in bytes of UTF-8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm_mcp.errors import RefError

_PATTERN = re.compile(
    r"(?:(?P<session>[0-9a-f]{8})\.)?"
    r"(?:e(?P<event>\d{1,12})(?::(?P<start>\d{1,15})-(?P<end>\d{1,15}))?"
    r"|t(?P<turn>\d{1,12})"
    r"|log:(?P<log_start>\d{1,15})-(?P<log_end>\d{1,15})"
    r"|(?P<whole>s))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Half-open byte range."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """One address. Exactly one of ``event``, ``turn``, ``log`` and ``whole`` is set."""

    session: str = ""
    """The Session's key; empty for the Session at hand."""
    event: int | None = None
    """Sequence number of an Event in its Session, from 1."""
    span: Span | None = None
    """Within the Event's text."""
    turn: int | None = None
    """Number of a Turn in its Session; 0 is what came before the first prompt."""
    log: Span | None = None
    whole: bool = False

    def __str__(self) -> str:
        prefix = f"{self.session}." if self.session else ""
        if self.event is not None:
            tail = f":{self.span.start}-{self.span.end}" if self.span else ""
            return f"{prefix}e{self.event}{tail}"
        if self.turn is not None:
            return f"{prefix}t{self.turn}"
        if self.log is not None:
            return f"{prefix}log:{self.log.start}-{self.log.end}"
        return f"{prefix}s"


def parse_ref(text: str) -> Ref:
    """The Ref that ``text`` prints; surrounding blanks, brackets and backticks are forgiven.

    Raises:
        RefError: ``text`` is not a Ref, or its span ends before it starts.
    """
    found = _PATTERN.fullmatch(text.strip().strip("[]`<>").strip())
    if found is None:
        raise RefError(
            f"{text!r} is not a Ref; Refs look like 'e12', 'e12:0-400', 't3' or '1f2e3d4c.e12' and stand at the end of "
            "each line of a Brief or search answer"
        )
    span = _span(found["start"], found["end"], text)
    log = _span(found["log_start"], found["log_end"], text)
    return Ref(
        session=found["session"] or "",
        event=int(found["event"]) if found["event"] else None,
        span=span,
        turn=int(found["turn"]) if found["turn"] else None,
        log=log,
        whole=found["whole"] is not None,
    )


def _span(start: str | None, end: str | None, text: str) -> Span | None:
    if start is None or end is None:
        return None
    if int(end) < int(start):
        raise RefError(f"the span of {text!r} ends before it starts; write start-end in bytes, start first")
    return Span(start=int(start), end=int(end))
