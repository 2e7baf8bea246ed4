"""``session`` in a Cell: the whole past as Python objects over the mapped log."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from rlm_mcp.sandbox.inside.asking import Host, Mapped
from rlm_mcp.sandbox.inside.found import Answer, Fact, Lines, Match, compiled, matches, one_line, parse_time, stamp

_REF = re.compile(r"(?:(?P<session>[0-9a-f]{8})\.)?(?:e(?P<event>\d+)(?::(?P<start>\d+)-(?P<end>\d+))?|t(?P<turn>\d+))")
_OF_ONE_TEXT = re.compile(r"\\[AZz]")
"""Stands for the beginning or end of a text: of one event's, not of the log."""


class Event:
    """One thing that happened: a prompt, reply, call, result or note.

    seq, turn, kind, tool, agent, failed, time (seconds since the epoch), ref, text (str), raw (bytes), len(event)
    """

    __slots__ = ("_offset", "_session", "_start", "agent", "failed", "kind", "length", "seq", "time", "tool", "turn")

    def __init__(self, session: Session, row: list[Any], offset: int = -1) -> None:
        """``offset``: where it begins in the event, if it is a part of one."""
        self._session = session
        self._offset = offset
        self.seq, self.turn, self.kind, self.tool, self.agent, failed, self.time, self._start, self.length = row
        self.failed = bool(failed)

    @property
    def ref(self) -> str:
        """Its Ref, ``e12``; of a part ``e12:0-400``."""
        return self.ref_of(0, self.length) if self._offset >= 0 else f"{self._session.prefix}e{self.seq}"

    def ref_of(self, start: int, end: int) -> str:
        """The Ref of some of its bytes."""
        first = max(0, self._offset)
        return f"{self._session.prefix}e{self.seq}:{first + start}-{first + end}"

    @property
    def raw(self) -> bytes:
        """Its text as UTF-8."""
        return bytes(self._session.log.view[self._start : self._start + self.length])

    @property
    def text(self) -> str:
        """Its whole text."""
        return self._session.log.text(self._start, self._start + self.length)

    def part(self, start: int, end: int) -> Event:
        """Some bytes of it, and the rest of the characters they cut, as if they were all of it."""
        raw = self.raw
        end = min(end, len(raw))
        start = min(start, end)
        while start < end < len(raw) and raw[end] & 0xC0 == 0x80:  # UTF-8 (RFC 3629): within a character
            end += 1
        while 0 < start < end and raw[start] & 0xC0 == 0x80:
            start -= 1
        row = [self.seq, self.turn, self.kind, self.tool, self.agent, self.failed, self.time]
        return Event(self._session, [*row, self._start + start, end - start], max(0, self._offset) + start)

    def __len__(self) -> int:
        return int(self.length)

    def __reduce__(self) -> tuple[Any, ...]:
        return _event, (self._session, self.seq, self._offset, self.length)

    def __repr__(self) -> str:
        words = [self.ref, f"t{self.turn}", self.kind, self.tool, "failed" if self.failed else ""]
        head = self._session.log.text(self._start, self._start + min(self.length, 400))
        return f"{' '.join(word for word in words if word)}  {one_line(head, 120)} ({self.length:,} bytes)"


class Turn:
    """The events from one prompt of the user to the next.

    number, ref, prompt (str), events (list), text (str), started (seconds since the epoch)
    """

    def __init__(self, number: int, events: list[Event]) -> None:
        self.number = number
        self.events: list[Event] = Lines(events)

    @property
    def ref(self) -> str:
        """Its Ref, ``t3``."""
        return f"{self.events[0].ref.rpartition('e')[0]}t{self.number}"

    @property
    def prompt(self) -> str:
        """What the user said to open it; empty where nobody did."""
        return next((event.text for event in self.events if event.kind == "prompt"), "")

    @property
    def started(self) -> float | None:
        """When."""
        return self.events[0].time  # type: ignore[no-any-return]  # as the host sent it

    @property
    def text(self) -> str:
        """The texts of its events."""
        return "\n".join(event.text for event in self.events)

    def __repr__(self) -> str:
        return f"{self.ref}  {one_line(self.prompt, 160)} ({len(self.events)} events)"


class Part:
    """A slice of the session: ``text``, ``events``, ``turns``, ``ref``; ``str(part)`` is the text."""

    def __init__(self, events: list[Event]) -> None:
        self.events: list[Event] = Lines(events)

    @property
    def text(self) -> str:
        """The texts of its events."""
        return "\n".join(event.text for event in self.events)

    @property
    def ref(self) -> str:
        """The Ref of its one event; of several the first and the last, ``e3 e9``; empty without any."""
        return " ".join(event.ref for event in (self.events[:1] + self.events[1:][-1:]))

    @property
    def turns(self) -> list[Turn]:
        """Its events by Turn."""
        return Lines(_turns(self.events))

    def grep(self, pattern: str | re.Pattern[str], flags: int = 0) -> list[Match]:
        """Every place the regular expression matches in it, as :class:`Match` with ``ref``, ``line``, ``found``."""
        wanted = compiled(pattern, flags)
        return Lines(
            Match(event.ref_of(start, end), line, found, event)
            for event in self.events
            for start, end, line, found in matches(wanted, event.text)
        )

    def __str__(self) -> str:
        return self.text

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return repr(self.events)


class Session:
    """The whole session, also what is no longer in the window. Nothing here costs the window anything until shown.

    session.text                    all of it as one str (what a person would read)
    session.events                  list of Event: seq, turn, kind, tool, failed, time, ref, text
    session.turns                   list of Turn: number, prompt, events, text, ref
    session.facts("edit")           list of Fact by kind: prompt constraint correction decision plan todo edit read
                                    command test failing_test error question task commit value symbol lookup;
                                    current=False gives superseded ones too; no kind gives all. Fact: kind, subject,
                                    text, status, turn, ref, time, exit_code, seconds, added, removed, current
    session.search("words")         as the tool: words, "phrases", /regex/, typed questions; .text, .total, .hits: ref,
                                    kind, turn, text, time
    session.grep(r"pattern")        every match: .ref, .line, .found, .event; kind="result", flags=re.I
    session["e12"], session["t3"]   by Ref; session[3:9] turns 3 to 8; session["t3":"t9"], session["e5":"e40"];
    session["2026-11-22T09:00":]    by time (UTC): all give a Part: .text .events .turns .grep
    session.earlier                 sessions this one continues (resume, fork): the same, each
    session.key, .title, .cwd, .model, .started, .updated

    Example: Counter(f.subject for f in session.facts("edit", current=False)).most_common(5)
    """

    def __init__(self, host: Host, known: Mapping[str, Any], *, is_own: bool = True) -> None:
        self._host = host
        self._known = known
        self._is_own = is_own
        self._rows: list[Event] = []
        self._log: Mapped | None = None
        self._text, self._text_bytes = "", -1
        self._earlier: dict[str, Session] = {}

    def at(self, known: Mapping[str, Any]) -> bool:
        """The session as it is now; whether it has changed."""
        if known == self._known:
            return False
        assert known["key"] == self._known["key"]
        self._known = known
        return True

    @property
    def key(self) -> str:
        """Its key: 8 hex digits."""
        return str(self._known["key"])

    @property
    def prefix(self) -> str:
        """What stands before its Refs; nothing for the session at hand."""
        return "" if self._is_own else f"{self.key}."

    @property
    def log(self) -> Mapped:
        """The mapped log, as long as it is now."""
        length = self._known["log_bytes"]
        if self._log is None or self._log.length < length:
            self._log = self._host.file("log", session=self.key)
        return self._log

    @property
    def text(self) -> str:
        """All of it as one str."""
        log = self.log
        if self._text_bytes != log.length:  # it only ever grows, by whole events
            begun = max(0, self._text_bytes)
            self._text, self._text_bytes = self._text + log.text(begun), log.length
        return self._text

    @property
    def known_text(self) -> str:
        """The text as far as it was read already."""
        return self._text

    def text_until(self, length: int) -> str:
        """The text as it was when it had so many bytes: it only ever grows at its end."""
        return self.text if length == len(self) else self.log.text(0, min(length, len(self)))

    @property
    def context(self) -> Mapping[str, Any] | None:
        """Of a Run that was given texts: how many, and whether they are a list; else None."""
        return self._known.get("context")

    def has_text(self, text: str) -> bool:
        """Whether this very str is ``session.text``."""
        return text is self._text and self._text_bytes >= 0

    def has_raw(self, view: memoryview) -> bool:
        """Whether the view is the beginning of what :attr:`raw` gives."""
        return self._log is not None and self._log.begins(view)

    @property
    def raw(self) -> memoryview:
        """All of it as bytes, mapped: for patterns over very long sessions."""
        return self.log.view

    @property
    def events(self) -> list[Event]:
        """All events in order."""
        wanted = self._known["events"]
        if len(self._rows) < wanted:
            rows = self._host.ask("events", session=self.key, after=len(self._rows))
            self._rows += [Event(self, row) for row in rows]
        return Lines(self._rows[:wanted])

    def event(self, seq: int) -> Event:
        """The event of that number."""
        if not 1 <= seq <= self._known["events"]:
            raise KeyError(f"'e{seq}' is not in this session: it has e1 to e{self._known['events']}")
        if len(self._rows) < seq:
            _more = self.events
        return self._rows[seq - 1]

    @property
    def turns(self) -> list[Turn]:
        """All turns in order."""
        return Lines(_turns(self.events))

    @property
    def earlier(self) -> list[Session]:
        """Sessions this one continues, the latest first; of each the part that belongs to this one's past."""
        for known in self._known.get("earlier", ()):
            one = self._earlier.setdefault(known["key"], Session(self._host, known, is_own=False))
            one.at(known)
        return Lines(self._earlier[known["key"]] for known in self._known.get("earlier", ()))

    def facts(self, kind: str = "", *, current: bool = True) -> list[Fact]:
        """Facts of that kind, in order of time (of this session and those it continues)."""
        return Lines(Fact(row) for row in self._host.ask("facts", kind=kind, current=current))

    def search(self, query: str, **filters: Any) -> Answer:
        """As the tool ``search``; filters: kind, turns, scope, mode, max_tokens, offset."""
        return Answer(self._host.ask("search", query=query, **filters))

    def grep(self, pattern: str | re.Pattern[str], kind: str = "", flags: int = 0, limit: int = 100_000) -> list[Match]:
        """Every place the regular expression matches, at most ``limit``; native ``re``, texts of events only."""
        wanted = compiled(pattern, flags)
        if _OF_ONE_TEXT.search(wanted.pattern):
            return self._grep_each(wanted, kind, limit)
        found: list[Match] = []
        events = self.events
        starts = [event._start for event in events]  # noqa: SLF001  # its own parts
        for begin, end, line, groups in matches(wanted, self.text):
            index = bisect_right(starts, begin) - 1
            event = events[index] if index >= 0 else None
            offset = event._start if event is not None else 0  # noqa: SLF001
            stop = offset + event.length if event is not None else 0
            if event is not None and end <= stop:
                if not kind or event.kind == kind:
                    found.append(Match(event.ref_of(begin - offset, end - offset), line, groups, event))
            elif begin < stop or (index + 1 < len(starts) and end > starts[index + 1]):
                return self._grep_each(wanted, kind, limit)  # it goes over the bounds of an event
            if len(found) >= limit:
                break
        return Lines(found)

    def _grep_each(self, wanted: re.Pattern[str], kind: str, limit: int) -> list[Match]:
        """The same, event by event: slower."""
        chosen = Part([event for event in self.events if not kind or event.kind == kind])
        return Lines(chosen.grep(wanted)[:limit])

    @property
    def title(self) -> str:
        """As the client calls it."""
        return str(self._known["title"])

    @property
    def cwd(self) -> str:
        """The folder it works in (on the host)."""
        return str(self._known["cwd"])

    @property
    def model(self) -> str:
        """The client's model."""
        return str(self._known["model"])

    @property
    def started(self) -> float | None:
        """Seconds since the epoch."""
        return self._known["started"]  # type: ignore[no-any-return]  # as the host sent it

    @property
    def updated(self) -> float | None:
        """Seconds since the epoch."""
        return self._known["updated"]  # type: ignore[no-any-return]  # as the host sent it

    def __getitem__(self, place: Any) -> Part:
        if isinstance(place, slice):
            return Part(self._between(place))
        return Part(self._at(place))

    def __len__(self) -> int:
        return int(self._known["log_bytes"])

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __repr__(self) -> str:
        known = self._known
        return (
            f"session {self.key}: {known['turns']:,} turns, {known['events']:,} events, {known['log_bytes']:,} bytes, "
            f"{stamp(self.started)} to {stamp(self.updated)}; help(session) tells more"
        )

    def _at(self, place: Any) -> list[Event]:
        if isinstance(place, int):
            number = place if place >= 0 else self._known["turns"] + 1 + place
            events = [event for event in self.events if event.turn == number]
            if not events:
                raise KeyError(f"'t{number}' is not in this session: it has t1 to t{self._known['turns']}")
            return events
        found = _REF.fullmatch(place) if isinstance(place, str) else None
        if found is None or found["session"] not in (None, self.key):
            raise KeyError(f"{place!r} is no place of this session; write 't3', 'e12', a turn's number, or a slice")
        if found["turn"]:
            return self._at(int(found["turn"]))
        event = self.event(int(found["event"]))
        if not found["start"]:
            return [event]
        return [event.part(int(found["start"]), int(found["end"]))]

    def _between(self, place: slice) -> list[Event]:
        """Events from ``start`` up to, not including, ``stop``: turns, Refs or times."""
        events = self.events
        first = 0 if place.start is None else self._index(place.start)
        last = len(events) if place.stop is None else self._index(place.stop)
        return events[first : last : place.step]

    def _index(self, bound: Any) -> int:
        """How many events come before ``bound``."""
        events = self.events
        found = _REF.fullmatch(bound) if isinstance(bound, str) else None
        if found is not None and found["event"]:
            return max(0, int(found["event"]) - 1)
        if isinstance(bound, int) or (found is not None and found["turn"]):
            number = bound if isinstance(bound, int) else int(found["turn"])  # type: ignore[index]  # one of the two
            number += self._known["turns"] + 1 if number < 0 else 0
            return next((index for index, event in enumerate(events) if event.turn >= number), len(events))
        time = parse_time(bound)
        return next((i for i, event in enumerate(events) if event.time is not None and event.time >= time), len(events))


def _event(session: Session, seq: int, offset: int, length: int) -> Event:
    """An event that was saved, or a part of one: found again by its number."""
    event = session.event(seq)
    return event if offset < 0 else event.part(offset, offset + length)


def _turns(events: list[Event]) -> list[Turn]:
    found: dict[int, list[Event]] = {}
    for event in events:
        found.setdefault(event.turn, []).append(event)
    return [Turn(number, found[number]) for number in sorted(found)]
