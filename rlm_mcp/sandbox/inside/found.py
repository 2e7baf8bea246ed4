"""What is found in texts and by the host, and lists of it that read well when shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

_SHOWN = 60
_LINE_CHARS = 300
T = TypeVar("T")


class Lines(list[T]):
    """A list that shows itself one item a line, the first and last where there are many."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return "[] (none)"
        if len(self) <= _SHOWN:
            return "\n".join(map(_shown, self))
        head, tail = self[: _SHOWN * 2 // 3], self[-_SHOWN // 3 :]
        left_out = len(self) - len(head) - len(tail)
        return "\n".join([*map(_shown, head), f"... {left_out:,} of {len(self):,} left out ...", *map(_shown, tail)])

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return Lines(found) if isinstance(index, slice) else found


def _shown(item: object) -> str:
    return item if isinstance(item, str) else repr(item)


class Counted(Lines[T]):
    """A list that may be the first part of a longer one: ``total`` says how many there are in all.

    ``note``: what to know of it; empty for nothing.
    """

    __slots__ = ("is_at_least", "note", "total")

    def __init__(self, items: Iterable[T], total: int, *, is_at_least: bool = False, note: str = "") -> None:
        super().__init__(items)
        self.total = total
        self.is_at_least = is_at_least
        self.note = note

    def __repr__(self) -> str:
        shown = super().__repr__() + (f"\n({self.note})" if self.note else "")
        if self.total <= len(self):
            return shown
        return f"{shown}\n({'at least ' if self.is_at_least else ''}{self.total:,} in all, {len(self):,} here)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _counted, (list(self), self.total, self.is_at_least, self.note)


def _counted(items: list[T], total: int, is_at_least: bool, note: str = "") -> Counted[T]:
    """One that was saved."""
    return Counted(items, total, is_at_least=is_at_least, note=note)


class _Fields:
    """Fields by name too: ``hit["ref"]`` is ``hit.ref``."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except (AttributeError, TypeError):
            raise KeyError(name) from None


class Match(_Fields):
    """A place a pattern matched: ref, line (the whole line), found (the match, or its groups), event."""

    __slots__ = ("event", "found", "line", "ref")

    def __init__(self, ref: str, line: str, found: str | tuple[str, ...], event: Any = None) -> None:
        self.ref = ref
        self.line = line
        self.found = found
        self.event = event

    def __repr__(self) -> str:
        return f"{one_line(self.line, 240)}  {self.ref}"


class Fact(_Fields):
    """A typed statement read from the session by a rule, with the Ref of where.

    kind, subject, text, status, turn, ref, time, exit_code, seconds, added, removed, note, current
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.kind: str = fields["kind"]
        self.subject: str = fields["subject"]
        self.text: str = fields["text"]
        self.status: str = fields["status"]
        self.turn: int = fields["turn"]
        self.ref: str = fields["ref"]
        self.time: float | None = fields["time"]
        self.exit_code: int | None = fields["exit_code"]
        self.seconds: float | None = fields["seconds"]
        self.added: int = fields["added"]
        self.removed: int = fields["removed"]
        self.note: str = fields["note"]
        self.current: bool = fields["current"]

    def __repr__(self) -> str:
        about = self.subject if self.subject and self.subject not in self.text else ""
        told = self.text if self.text != self.status else ""
        words = (self.kind, self.status, one_line(about, 100), one_line(told, 160))
        return f"{' '.join(word for word in words if word)}  {self.ref}{'' if self.current else '  (superseded)'}"


class Answer:
    """What a search found: ``text`` as the tool shows it, ``hits`` (each with ref, kind, turn, text), ``total``."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.text: str = found["text"]
        self.total: int = found["total"]
        self.hits: list[Hit] = Lines(Hit(hit) for hit in found["hits"])

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


class Hit(_Fields):
    """One place a search found: ref, kind, turn, text, time."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.ref: str = fields["ref"]
        self.kind: str = fields["kind"]
        self.turn: int = fields["turn"]
        self.text: str = fields["text"]
        self.time: float | None = fields["time"]

    def __repr__(self) -> str:
        return f"{self.kind} t{self.turn}  {one_line(self.text, 200)}  {self.ref}"


def compiled(pattern: str | re.Pattern[str], flags: int = 0) -> re.Pattern[str]:
    """A pattern whose ``^`` and ``$`` stand at lines; one that is compiled already keeps its flags."""
    if isinstance(pattern, re.Pattern):
        return re.compile(pattern.pattern, pattern.flags | flags | re.MULTILINE)
    return re.compile(pattern, flags | re.MULTILINE)


def matches(wanted: re.Pattern[str], text: str) -> Iterator[tuple[int, int, str, str | tuple[str, ...]]]:
    """Start and end in bytes of UTF-8, the line, and what matched (its groups, where it has any), for every match."""
    at_char = at_byte = 0
    is_ascii = text.isascii()
    for match in wanted.finditer(text):
        start, end = match.span()
        if is_ascii:
            first, last = start, end
        else:
            first = at_byte + len(text[at_char:start].encode("utf-8", "replace"))
            last = first + len(text[start:end].encode("utf-8", "replace"))
            at_char, at_byte = start, first
        begin = text.rfind("\n", max(0, start - _LINE_CHARS), start) + 1 or max(0, start - _LINE_CHARS)
        stop = text.find("\n", end, end + _LINE_CHARS)
        line = text[begin : stop if stop >= 0 else min(len(text), end + _LINE_CHARS)]
        groups = match.groups()
        yield first, last, line, (tuple(group or "" for group in groups) if groups else match[0])


def one_line(text: str, most: int) -> str:
    """Text on one line, cut."""
    flat = " ".join(text[: most * 4].split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."


def stamp(time: float | None) -> str:
    """Seconds since the epoch as ``2026-02-12T04:07:16Z``; empty where unknown."""
    if time is None:
        return ""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return f"{time:.0f}"


def parse_time(when: object) -> float:
    """A time as seconds since the epoch: a number, a datetime, or ISO 8601 (UTC where it names no zone).

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(when, int | float):
        return float(when)
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError as error:
            raise ValueError(f"{when!r} is no time and no Ref; write '2026-11-22T09:00', 't3' or 'e12'") from error
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    raise ValueError(f"{when!r} is no time; write '2026-11-22T09:00', a datetime or seconds since the epoch")
