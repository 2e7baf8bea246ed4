"""Refs: printable, stable addresses that resolve to exact bytes of what is kept, or raise.

Grammar, as short as may be because Refs stand in the model's Window::

    ref      = [session "."] place | document | run | step
    session  = 8 hex digits, the Session's key
    place    = "e" seq [":" start "-" end]     an Event, or a byte span of its text
             | "t" number                      a Turn: all its Events
             | "log:" start "-" end            a byte span of the Session's log
             | "c" number                      a Cell of the Session's Repl: its whole output
             | "s"                             the whole Session's log
    document = "d" hex [":" start "-" end]     a loaded Document, or a byte span of its text
    run      = "r" and 8 hex digits            a Run, by its id: what it came to
    step     = run "." "c" number              what a step of a Run printed: its whole output
    hex      = 8 to 64 hex digits, how the sha256 of the Document begins

``e12`` alone means the Session at hand; Documents and Runs belong to the store. Spans are half-open, in bytes of UTF-8.
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
    r"|c(?P<cell>\d{1,12})"
    r"|(?P<whole>s))"
    r"|(?P<run>r[0-9a-f]{8})(?:\.c(?P<step>\d{1,6}))?"
    r"|d(?P<document>[0-9a-f]{8,64})(?::(?P<from>\d{1,15})-(?P<to>\d{1,15}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Half-open byte range."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """One address. One of ``event``, ``turn``, ``log``, ``cell``, ``document``, ``run`` and ``whole`` is set."""

    session: str = ""
    """The Session's key; empty for the Session at hand, and of a Document."""
    event: int | None = None
    """Sequence number of an Event in its Session, from 1."""
    span: Span | None = None
    """Within the text of the Event or Document."""
    turn: int | None = None
    """Number of a Turn in its Session; 0 is what came before the first prompt."""
    log: Span | None = None
    cell: int | None = None
    """Number of a Cell in the Session's Repl, or in that of ``run``; from 1."""
    run: str = ""
    """Id of the Run itself, or of the one whose ``cell`` it is; empty for a Cell of the Session."""
    document: str = ""
    """How the sha256 of a Document begins: 8 to 64 hex digits."""
    whole: bool = False

    @property
    def stands_alone(self) -> bool:
        """It needs no Session at hand: it is of a Document, a Run, or names its Session."""
        return bool(self.document or self.run or self.session)

    def __str__(self) -> str:
        prefix = f"{self.session}." if self.session else ""
        tail = f":{self.span.start}-{self.span.end}" if self.span else ""
        if self.document:
            return f"d{self.document}{tail}"
        if self.event is not None:
            return f"{prefix}e{self.event}{tail}"
        if self.turn is not None:
            return f"{prefix}t{self.turn}"
        if self.log is not None:
            return f"{prefix}log:{self.log.start}-{self.log.end}"
        if self.run or self.cell is not None:
            step = "" if self.cell is None else f"c{self.cell}"
            return ".".join(part for part in (self.run or self.session, step) if part)
        return f"{prefix}s"


def parse_ref(text: str) -> Ref:
    """The Ref that ``text`` prints; surrounding blanks, brackets and backticks are forgiven.

    Raises:
        RefError: ``text`` is not a Ref, or its span ends before it starts.
    """
    found = _PATTERN.fullmatch(text.strip().strip("[]`<>").strip())
    if found is None:
        raise RefError(
            f"{text!r} is not a Ref; Refs look like 'e12', 'e12:0-400', 't3', '1f2e3d4c.e12', 'c4' or 'd1f2e3d4c' and "
            "stand at the end of each line of a Brief or search answer"
        )
    span = _span(found["start"], found["end"], text) or _span(found["from"], found["to"], text)
    log = _span(found["log_start"], found["log_end"], text)
    return Ref(
        session=found["session"] or "",
        event=int(found["event"]) if found["event"] else None,
        span=span,
        turn=int(found["turn"]) if found["turn"] else None,
        log=log,
        cell=int(found["cell"] or found["step"]) if found["cell"] or found["step"] else None,
        run=found["run"] or "",
        document=found["document"] or "",
        whole=found["whole"] is not None,
    )


def _span(start: str | None, end: str | None, text: str) -> Span | None:
    if start is None or end is None:
        return None
    if int(end) < int(start):
        raise RefError(f"the span of {text!r} ends before it starts; write start-end in bytes, start first")
    return Span(start=int(start), end=int(end))
