"""``session`` in a Cell that Monty runs: as ``inside.session``, in Monty's subset of Python."""

import re
from typing import Any

from rlm_mcp.sandbox.monty.inside.asking import Host
from rlm_mcp.sandbox.monty.inside.found import Match, compiled, listed, matches, one_line, parse_time, stamp

REF = re.compile(r"(?:([0-9a-f]{8})\.)?(?:e(\d+)(?::(\d+)-(\d+))?|t(\d+))")


class Event:
    """One thing that happened: a prompt, reply, call, result or note.

    seq, turn, kind, tool, agent, failed, time (seconds since the epoch), ref, text (str), len(event)
    """

    of_rlm_mcp = True

    def __init__(self, prefix: str, row: "list[Any]", text: str, offset: int = -1) -> None:
        """offset: where it begins in the event, if it is a part of one."""
        self.seq, self.turn, self.kind, self.tool, self.agent, failed, self.time, _start, self.length = row
        self.failed = bool(failed)
        self.text = text
        self._prefix = prefix
        self._offset = offset
        self.ref = f"{prefix}e{self.seq}" if offset < 0 else self.ref_of(0, self.length)

    def ref_of(self, start: int, end: int) -> str:
        """The Ref of some of its bytes."""
        first = max(0, self._offset)
        return f"{self._prefix}e{self.seq}:{first + start}-{first + end}"

    def part(self, start: int, end: int) -> Any:
        """Some bytes of it, and the rest of the characters they cut, as if they were all of it."""
        raw = self.text.encode()
        end = min(end, len(raw))
        start = min(start, end)
        while start < end < len(raw) and raw[end] & 0xC0 == 0x80:  # UTF-8 (RFC 3629): within a character
            end += 1
        while 0 < start < end and raw[start] & 0xC0 == 0x80:
            start -= 1
        row = [self.seq, self.turn, self.kind, self.tool, self.agent, self.failed, self.time, 0, end - start]
        return Event(self._prefix, row, raw[start:end].decode("utf-8", "replace"), max(0, self._offset) + start)

    def __len__(self) -> int:
        return int(self.length)

    def __repr__(self) -> str:
        words = [self.ref, f"t{self.turn}", self.kind, self.tool, "failed" if self.failed else ""]
        told = " ".join([word for word in words if word])
        return f"{told}  {one_line(self.text[:400], 120)} ({self.length:,} bytes)"


class Turn:
    """The events from one prompt of the user to the next.

    number, ref, prompt (str), events (list), text (str), started (seconds since the epoch)
    """

    of_rlm_mcp = True

    def __init__(self, number: int, events: "list[Event]") -> None:
        self.number = number
        self.events = events
        self.ref = f"{events[0].ref.rpartition('e')[0]}t{number}"
        prompts = [event.text for event in events if event.kind == "prompt"]
        self.prompt = prompts[0] if prompts else ""
        self.started = events[0].time
        self.text = "\n".join([event.text for event in events])

    def __repr__(self) -> str:
        return f"{self.ref}  {one_line(self.prompt, 160)} ({len(self.events)} events)"


class Fact:
    """A typed statement read from the session by a rule, with the Ref of where.

    kind, subject, text, status, turn, ref, time, exit_code, seconds, added, removed, note, current
    """

    of_rlm_mcp = True

    def __init__(self, fields: "dict[str, Any]") -> None:
        self.kind = fields["kind"]
        self.subject = fields["subject"]
        self.text = fields["text"]
        self.status = fields["status"]
        self.turn = fields["turn"]
        self.ref = fields["ref"]
        self.time = fields["time"]
        self.exit_code = fields["exit_code"]
        self.seconds = fields["seconds"]
        self.added = fields["added"]
        self.removed = fields["removed"]
        self.note = fields["note"]
        self.current = fields["current"]

    def __repr__(self) -> str:
        about = self.subject if self.subject and self.subject not in self.text else ""
        told = self.text if self.text != self.status else ""
        words = (self.kind, self.status, one_line(about, 100), one_line(told, 160))
        said = " ".join([word for word in words if word])
        return f"{said}  {self.ref}{'' if self.current else '  (superseded)'}"


class Part:
    """A slice of the session: .text .events .turns .grep(pattern); str(part) is the text."""

    of_rlm_mcp = True

    def __init__(self, events: "list[Event]") -> None:
        self.events = events
        self.turns = by_turn(events)
        self.text = "\n".join([event.text for event in events])

    def grep(self, pattern: Any, flags: int = 0) -> "list[Match]":
        """Every place the regular expression matches in it: .ref, .line, .found, .event."""
        return grep_events(self.events, pattern, flags, "", 100_000)

    def __str__(self) -> str:
        return self.text

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Any:
        return iter(self.events)

    def __repr__(self) -> str:
        return listed(self.events)


class Hit:
    """One place a search found: ref, kind, turn, text, time."""

    of_rlm_mcp = True

    def __init__(self, fields: "dict[str, Any]") -> None:
        self.ref = fields["ref"]
        self.kind = fields["kind"]
        self.turn = fields["turn"]
        self.text = fields["text"]
        self.time = fields["time"]

    def __repr__(self) -> str:
        return f"{self.kind} t{self.turn}  {one_line(self.text, 200)}  {self.ref}"


class Answer:
    """What a search found: text as the tool shows it, hits (each with ref, kind, turn, text), total."""

    of_rlm_mcp = True

    def __init__(self, found: "dict[str, Any]") -> None:
        self.text = found["text"]
        self.total = found["total"]
        self.hits = [Hit(hit) for hit in found["hits"]]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Any:
        return iter(self.hits)

    def __getitem__(self, place: Any) -> Any:
        return self.hits[place]

    def __str__(self) -> str:
        return str(self.text)

    def __repr__(self) -> str:
        return str(self.text)


def by_turn(events: "list[Event]") -> "list[Turn]":
    """The events' Turns, in order."""
    found: dict[int, list[Event]] = {}
    for event in events:
        found.setdefault(event.turn, []).append(event)
    return [Turn(number, found[number]) for number in sorted(found)]


def grep_events(events: "list[Event]", pattern: Any, flags: int, kind: str, limit: int) -> "list[Match]":
    """Every place the regular expression matches in events of that kind, at most ``limit``."""
    wanted = compiled(pattern, flags)
    found: list[Match] = []
    for event in events:
        if kind and event.kind != kind:
            continue
        for start, end, line, groups in matches(wanted, event.text):
            found.append(Match(event.ref_of(start, end), line, groups, event))
            if len(found) >= limit:
                return found
    return found


class Session:
    """The whole session, also what is no longer in the window. Nothing here costs the window anything until shown.

    session.text                    all of it as one str (what a person would read)
    session.events                  list of Event: seq, turn, kind, tool, failed, time, ref, text
    session.turns                   list of Turn: number, prompt, events, text, ref
    session.facts("edit")           list of Fact by kind: prompt constraint correction decision plan todo edit read
                                    command test failing_test error question task commit value symbol lookup;
                                    current=False gives superseded ones too; no kind gives all
    session.search("words")         as the tool: words, "phrases", /regex/, typed questions; .text, .hits, .total
    session.grep(r"pattern")        every match: .ref, .line, .found, .event; kind="result", flags=re.I
    session["e12"], session["t3"]   by Ref; session[3:9] turns 3 to 8; session.between("t3", "t9"), ("e5", "e40"),
                                    ("2026-11-22T09:00", None) by time (UTC): all give a Part with
                                    .text .events .turns .grep
    session.earlier                 sessions this one continues (resume, fork): the same, each
    session.key, .title, .cwd, .model, .started, .updated

    Example: Counter([f.subject for f in session.facts("edit", current=False)]).most_common(5)
    """

    of_rlm_mcp = True

    def __init__(self, host: Host, *, is_own: bool) -> None:
        self._host = host
        self._is_own = is_own
        self._events: list[Event] = []
        self.events: Any = None
        self.turns: Any = None
        self._turned = -1
        self.text: Any = None
        self.earlier: list[Any] = []
        self._read_bytes = 0
        self._text = ""
        self._text_bytes = 0
        self.key = ""
        self._length = 0
        self._most_bytes = 0

    def at(self, known: "dict[str, Any]", wanted: "list[str]", most_bytes: int) -> None:
        """The session as it is now; ``wanted``: names of attributes that Cells have used."""
        if known["key"] != self.key or known["events"] < len(self._events) or known["log_bytes"] < self._read_bytes:
            self.shed()
        self.key = known["key"]
        self._prefix = "" if self._is_own else f"{self.key}."
        self.title = known["title"]
        self.cwd = known["cwd"]
        self.model = known["model"]
        self.started = known["started"]
        self.updated = known["updated"]
        self.given = known.get("context")
        self._turn_count = known["turns"]
        self._event_count = known["events"]
        self._length = known["log_bytes"]
        self._most_bytes = most_bytes
        if self._length > most_bytes:
            return
        if "session" in wanted:
            self._load()
            self.events = self._events
        if "turns" in wanted and "session" in wanted and self._turned != len(self._events):
            self.turns = by_turn(self._events)
            self._turned = len(self._events)
        if "text" in wanted or "context" in wanted:
            self._load_text()
            self.text = self._text

    def shed(self) -> None:
        """What the host can give again is let go."""
        self._events, self._read_bytes = [], 0
        self._text, self._text_bytes = "", 0
        self.events, self.turns, self.text = None, None, None
        self._turned = -1

    def _load(self) -> None:
        if len(self._events) >= self._event_count:
            return
        rows = self._host.ask("events", {"session": self.key, "after": len(self._events)})
        if not rows:
            return
        base = rows[0][7]
        raw = self._host.bytes_from(base, "log", {"session": self.key})
        made = []
        for row in rows[: self._event_count - len(self._events)]:
            start = row[7] - base
            made.append(Event(self._prefix, row, raw[start : start + row[8]].decode("utf-8", "replace")))
        self._events = self._events + made
        self._read_bytes = self._length

    def _load_text(self) -> None:
        if self._text_bytes < self._length:
            raw = self._host.bytes_from(self._text_bytes, "log", {"session": self.key})
            self._text += raw[: self._length - self._text_bytes].decode("utf-8", "replace")
            self._text_bytes = self._length

    def facts(self, kind: str = "", *, current: bool = True) -> "list[Fact]":
        """Facts of that kind, in order of time (of this session and those it continues)."""
        rows = self._host.ask("facts", {"kind": kind, "current": current})
        return [Fact(row) for row in rows]

    def search(self, query: str, **filters: Any) -> Answer:
        """As the tool search; filters: kind, turns, scope, mode, max_tokens, offset."""
        filters["query"] = query
        return Answer(self._host.ask("search", filters))

    def grep(self, pattern: Any, kind: str = "", flags: int = 0, limit: int = 100_000) -> "list[Match]":
        """Every place the regular expression matches, at most limit."""
        self.check()
        self._load()
        return grep_events(self._events, pattern, flags, kind, limit)

    def between(self, start: Any, stop: Any = None) -> Part:
        """Events from start up to, not including, stop: turns, Refs or times; None is the beginning or the end."""
        self.check()
        self._load()
        first = 0 if start is None else self._index(start)
        last = len(self._events) if stop is None else self._index(stop)
        return Part(self._events[first:last])

    def check(self) -> None:
        """Refuse what is too long to be held."""
        if self._length > self._most_bytes:
            raise RuntimeError(
                f"the session has {self._length:,} bytes, too many to hold here; "
                "use session.search(q), session.facts(kind), read(ref)"
            )

    def __getitem__(self, place: Any) -> Any:
        self.check()
        if isinstance(place, slice):
            first = 0 if place.start is None else self._index(place.start)
            last = len(self._events) if place.stop is None else self._index(place.stop)
            return Part(self._events[first : last : place.step])
        return Part(self._at(place))

    def __iter__(self) -> Any:
        self.check()
        return iter(self._events)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return (
            f"session {self.key}: {self._turn_count:,} turns, {self._event_count:,} events, {self._length:,} bytes, "
            f"{stamp(self.started)} to {stamp(self.updated)}; help(session) tells more"
        )

    def _at(self, place: Any) -> "list[Event]":
        if isinstance(place, int):
            number = place if place >= 0 else self._turn_count + 1 + place
            events = [event for event in self._events if event.turn == number]
            if not events:
                raise KeyError(f"'t{number}' is not in this session: it has t1 to t{self._turn_count}")
            return events
        found = REF.fullmatch(place) if isinstance(place, str) else None
        if found is None or (found.group(1) or self.key) != self.key:
            raise KeyError(f"{place!r} is no place of this session; write 't3', 'e12', a turn's number, or a slice")
        if found.group(5):
            return self._at(int(found.group(5)))
        seq = int(found.group(2))
        if not 1 <= seq <= len(self._events):
            raise KeyError(f"'e{seq}' is not in this session: it has e1 to e{len(self._events)}")
        event = self._events[seq - 1]
        if not found.group(3):
            return [event]
        return [event.part(int(found.group(3)), int(found.group(4)))]

    def _index(self, bound: Any) -> int:
        """How many events come before bound."""
        events = self._events
        found = REF.fullmatch(bound) if isinstance(bound, str) else None
        if found is not None and found.group(2):
            return max(0, int(found.group(2)) - 1)
        if isinstance(bound, int) or found is not None:
            number = int(found.group(5)) if found is not None else bound
            if number < 0:
                number += self._turn_count + 1
            later = [index for index, event in enumerate(events) if event.turn >= number]
        else:
            time = parse_time(bound)
            later = [index for index, event in enumerate(events) if event.time is not None and event.time >= time]
        return later[0] if later else len(events)
