"""Sentences of prompts and replies: what the user demands or corrects, what was decided, what was asked.

Rules, not understanding: a sentence counts when its wording is one people use for that act. English mainly; the basic
markers of German, French, Spanish, Portuguese, Japanese and Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlm_mcp.facts.patterns import LazyPattern

MAX_SENTENCE_CHARS = 1_200
"""A longer sentence is no rule anyone wrote; it is cut here."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, list item or heading with its place in the text, in characters."""

    text: str
    start: int
    end: int
    heading: bool = False


_FENCE = LazyPattern(r"^[ \t]*(`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_TAGGED = LazyPattern(
    r"<(system-reminder|ide_selection|local-command-stdout|command-name|command-message|ide_\w+|bash-\w+|stdout|"
    r"stderr)>.*?</\1>",
    re.DOTALL,
)
_IMAGE = LazyPattern(r"^\[(?:image|document) [^\]\n]*\]$", re.MULTILINE)
_BULLET = LazyPattern(
    r"[ \t>]*(?:(?:[-*+\u2022\u25aa\u2013]|\(?\d{1,3}[.):]|\(?[a-z][.)]|#{1,6})[ \t]+)*(?:\[[ xX]\][ \t]+)?"
)
_STOP = LazyPattern(
    r"(?<=[.!?\u2026])[\"')\]*_]{0,3}[ \t]+(?=[\"'(\[*_`]{0,3}[A-Z0-9\u00c0-\u00dc/~@#a-z])|(?<=[\u3002\uff01\uff1f])"
)
_ABBREVIATION = LazyPattern(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|resp|incl|excl|no|fig|z\.B|d\.h|bzw|usw|p\.ex|ex|Mr|Dr|St)\.|"
    r"\b[A-Z]\.)$",
    re.IGNORECASE,
)


def outside_code(text: str) -> list[tuple[int, int]]:
    """Spans of ``text`` that are prose: outside fenced code and the Client's own tags."""
    holes: list[tuple[int, int]] = []
    if "```" in text or "~~~" in text:
        opened: re.Match[str] | None = None
        for fence in _FENCE.finditer(text):
            if opened is None:
                opened = fence
            elif fence[1][0] == opened[1][0] and len(fence[1]) >= len(opened[1]):
                holes.append((opened.start(), fence.end()))
                opened = None
        if opened is not None:
            holes.append((opened.start(), len(text)))
    if "[image " in text:
        holes += [match.span() for match in _IMAGE.finditer(text)]
    if "</" in text:
        holes += [match.span() for match in _TAGGED.finditer(text)]
    spans: list[tuple[int, int]] = []
    at = 0
    for start, end in sorted(holes):
        if start > at:
            spans.append((at, start))
        at = max(at, end)
    if at < len(text):
        spans.append((at, len(text)))
    return spans


_WRAPPED_AT = 60
"""A line at least this long that stops in the middle of a sentence goes on in the next."""
_GOES_ON = LazyPattern(r"\n(?:[ \t]{1,8}|)(?=[a-z(])(?![a-z][.)] )")


def sentences(text: str, spans: list[tuple[int, int]] | None = None, *, wrapped: bool = False) -> Iterator[Sentence]:
    """The sentences of ``text`` outside code, in order; a list item or heading is at least one of its own.

    Args:
        spans: only these parts of ``text``, instead of all outside code.
        wrapped: lines may be broken by hand in the middle of a sentence.
    """
    for begin, stop in outside_code(text) if spans is None else spans:
        line_start = begin
        while line_start < stop:
            line_end = text.find("\n", line_start, stop)
            while wrapped and line_end > 0 and _is_broken(text, line_start, line_end, stop):
                line_end = text.find("\n", line_end + 1, stop)
            line_end = stop if line_end < 0 else line_end
            yield from _of_line(text, line_start, line_end)
            line_start = line_end + 1


def _is_broken(text: str, start: int, end: int, stop: int) -> bool:
    """Whether the line that ends at ``end`` goes on in the next one."""
    following = _GOES_ON.match(text, end, stop)
    if following is None or text[start:end].rstrip()[-1:] in {"", ".", "!", "?", ":", ";"}:
        return False
    if text[start:end].lstrip().startswith(("#", "|")):
        return False
    last_line = text.rfind("\n", start, end) + 1
    return following.end() - following.start() > 1 or end - max(start, last_line) >= _WRAPPED_AT


def _of_line(text: str, start: int, end: int) -> Iterator[Sentence]:
    bullet = _BULLET.match(text, start, end)
    mark = text[start : bullet.end()] if bullet else ""
    heading = mark.lstrip().startswith("#")
    at = bullet.end() if bullet else start
    begin = at
    for stop in _STOP.finditer(text, at, end):
        if _ABBREVIATION.search(text, max(begin, stop.start() - 12), stop.start()):
            continue
        if text.endswith("...", begin, stop.start()) and text[stop.end() : stop.end() + 1].islower():
            continue
        yield from _trimmed(text, begin, stop.start(), heading)
        begin = stop.end()
    yield from _trimmed(text, begin, end, heading)


def _trimmed(text: str, start: int, end: int, heading: bool) -> Iterator[Sentence]:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    piece = piece.strip()
    if len(piece) > 1 or piece.isalnum():
        piece = piece[:MAX_SENTENCE_CHARS]
        yield Sentence(piece, start, start + len(piece), heading)


def closing_questions(text: str) -> list[Sentence]:
    """Questions in the last lines of a reply: those put to the user."""
    tail = max(0, len(text) - 1_500)
    if "?" not in text[tail:] and "\uff1f" not in text[tail:]:
        return []
    tail = text.find("\n", tail) + 1 if tail else 0
    found = list(sentences(text[tail:]))[-14:]
    last = next(
        (i for i in range(len(found) - 1, -1, -1) if found[i].text.rstrip("*_\"') ").endswith(("?", "\uff1f"))), None
    )
    if last is None or len(found) - last > 8:
        return []
    return [
        Sentence(s.text, s.start + tail, s.end + tail)
        for s in found
        if s.text.rstrip("*_\"') ").endswith(("?", "\uff1f")) and len(s.text) > 5
    ][-6:]


_LISTED = LazyPattern(r"^[ \t]{0,3}(?:\*\*)?(?:option )?(\d{1,2})[.):][ \t]+(\S[^\n]*)", re.MULTILINE | re.IGNORECASE)


def listed(text: str) -> dict[str, str]:
    """The last numbered list near the end of a reply: number -> entry."""
    found: dict[str, str] = {}
    for match in _LISTED.finditer(text, max(0, len(text) - 3_000)):
        if match[1] == "1":
            found = {}
        found[match[1]] = match[2][:200]
    return found
