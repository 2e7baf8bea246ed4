"""Places found in texts, and how values are shown, in Monty's subset of Python; see the package's own text."""

import datetime as dt
import re
from typing import Any

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
LINE_CHARS = 300
VALUE_CHARS = 1_000_000
SHOWN = 60


def one_line(text: str, most: int) -> str:
    """Text on one line, cut."""
    flat = " ".join(text[: most * 4].split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."


def stamp(time: "float | None") -> str:
    """Seconds since the epoch as ``2026-02-12T04:07:16Z``; empty where unknown."""
    if time is None:
        return ""
    return (_EPOCH + dt.timedelta(seconds=int(time))).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(when: Any) -> float:
    """A time as seconds since the epoch: a number, a datetime, or ISO 8601 (UTC where it names no zone)."""
    if isinstance(when, (int, float)):
        return float(when)
    if isinstance(when, str):
        try:
            when = dt.datetime.fromisoformat(when)
        except ValueError as error:
            raise ValueError(f"{when!r} is no time and no Ref; write '2026-11-22T09:00', 't3' or 'e12'") from error
    if isinstance(when, dt.datetime):
        return (when if when.tzinfo is not None else when.replace(tzinfo=dt.timezone.utc)).timestamp()
    raise ValueError(f"{when!r} is no time; write '2026-11-22T09:00', a datetime or seconds since the epoch")


def compiled(pattern: Any, flags: int = 0) -> Any:
    """A pattern whose ^ and $ stand at lines; one that is compiled already keeps its flags."""
    if not isinstance(pattern, str):
        pattern, flags = pattern.pattern, flags | pattern.flags
    return re.compile(pattern, flags | re.MULTILINE)


def matches(wanted: Any, text: str) -> "list[tuple[int, int, str, Any]]":
    """Start and end in bytes of UTF-8, the line, and what matched (its groups, where it has any), of every match."""
    found: list[tuple[int, int, str, Any]] = []
    at_char = at_byte = 0
    is_ascii = text.isascii()
    for match in wanted.finditer(text):
        start, end = match.span()
        if is_ascii:
            first, last = start, end
        else:
            first = at_byte + len(text[at_char:start].encode())
            last = first + len(text[start:end].encode())
            at_char, at_byte = start, first
        begin = text.rfind("\n", max(0, start - LINE_CHARS), start) + 1 or max(0, start - LINE_CHARS)
        stop = text.find("\n", end, end + LINE_CHARS)
        line = text[begin : stop if stop >= 0 else min(len(text), end + LINE_CHARS)]
        groups = match.groups()
        found.append((first, last, line, tuple([group or "" for group in groups]) if groups else match.group(0)))
    return found


class Match:
    """A place a pattern matched: ref, line (the whole line), found (the match, or its groups), event."""

    of_rlm_mcp = True

    def __init__(self, ref: str, line: str, found: Any, event: Any) -> None:
        self.ref = ref
        self.line = line
        self.found = found
        self.event = event

    def __repr__(self) -> str:
        return f"{one_line(self.line, 240)}  {self.ref}"


def listed(items: "list[Any]") -> str:
    """One item a line, the first and last where there are many."""
    if not items:
        return "[] (none)"
    if len(items) <= SHOWN:
        return "\n".join([repr(item) for item in items])
    head, tail = items[: SHOWN * 2 // 3], items[-SHOWN // 3 :]
    left_out = len(items) - len(head) - len(tail)
    middle = [f"... {left_out:,} of {len(items):,} left out ..."]
    return "\n".join([repr(item) for item in head] + middle + [repr(item) for item in tail])


def shortened(text: str, most: int) -> str:
    """Head, how much was left out, tail."""
    if len(text) <= most:
        return text
    half = most // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n... {left_out:,} of {len(text):,} characters left out ...\n{text[-half:]}"


def displayed(value: Any) -> str:
    """A value as a person would have it: text of several lines as it is, all else by repr; cut where endless."""
    if isinstance(value, str):
        text = value if "\n" in value else repr(value)
    elif isinstance(value, list) and value and is_ours(value[0]):
        text = listed(value)
    else:
        text = repr(value)
    return shortened(text, VALUE_CHARS)


def is_ours(value: Any) -> bool:
    """Whether it is of one of these classes."""
    return getattr(value, "of_rlm_mcp", False) is True


def kind_of(value: Any) -> str:
    """What a variable is, in a few words: list, 1,200."""
    name = type(value).__name__[:60]
    if isinstance(value, str):
        return f"{name}, {len(value):,} characters"
    if isinstance(value, (list, tuple, dict, set, frozenset, bytes)):
        return f"{name}, {len(value):,}"
    if isinstance(value, bool):
        return f"{name}, {value!r}"
    if isinstance(value, int):
        return f"{name}, {value!r}" if abs(value) < 1 << 200 else f"{name}, long"
    return f"{name}, {value!r}" if isinstance(value, float) else name
