"""Error lines in what a command printed, told from lines that only mention errors.

A cheap search for telling words finds candidate lines; a line counts when it has the shape in which compilers, linters,
interpreters, shells, git, package managers and HTTP clients report, and none of the shapes of a success report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlm_mcp.facts.error_shapes import (
    ANY_PLACE,
    COMPLAINT_NEEDLES,
    NEEDLES,
    RUFF_FULL,
    complains,
    only_looks_it,
    reports_error,
)
from rlm_mcp.facts.patterns import LazyPattern, lazy

MAX_ERRORS = 40
"""Distinct error lines taken of one output."""
MAX_SCANNED_CHARS = 400_000
"""Of a longer output only the end is searched, where a run says why it failed."""
MAX_LINE_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A line that reports an error."""

    text: str
    start: int
    end: int
    """In the output, in characters."""
    where: str = ""
    """The line beside it that names file and line, where that is another one."""


_TRACE_HEAD = "Traceback (most recent call last)"
_PYTHON_PLACE = LazyPattern(r"^\s*File \"[^\"]+\", line \d+.*$", re.MULTILINE)
_NEXT_PLACE = lazy(
    r"\n?(?:[^\n]*\n){0,6}?[ \t]*((?:-->|\u256d\u2500\[|at (?:\S+ )?\(?|"
    r"\u250c\u2500)[^\n]*:\d+(?::\d+)?\)?\]?[^\n]*|[\w./\\-]+\.\w{1,5}:\d+(?::\d+)?(?: \S+)?)[ \t]*(?=\n|\Z)"
)
_PYTEST_PLACE = LazyPattern(r"^([\w./\\-]+\.py:\d+): \w+", re.MULTILINE)


def error_lines(output: str, *, showing: bool, failed: bool) -> tuple[list[ErrorLine], int]:
    """(the distinct error lines of ``output``, how many more there were).

    Args:
        showing: the command prints content (of files, of history), so that only the program's own complaints count.
        failed: the command failed; without any line of a known shape its last words stand for the error.
    """
    base = max(0, len(output) - MAX_SCANNED_CHARS)
    text = output[base:] if base else output
    found: dict[str, ErrorLine] = {}
    more = 0
    is_error = complains if showing else reports_error
    for start, end in _candidates(text, showing):
        line = text[start:end]
        if len(line) > 4 * MAX_LINE_CHARS or not is_error(line):
            continue
        error = _error(text, start, end, base)
        if error is None or error.text in found:
            continue
        if len(found) >= MAX_ERRORS:
            more += 1
            continue
        found[error.text] = error
    if failed and not showing and not found:
        last = _last_words(text, base)
        return ([last] if last else []), 0
    return list(found.values()), more


def _candidates(text: str, showing: bool) -> Iterator[tuple[int, int]]:
    """Spans of lines that hold a telling word, in order."""
    lowered = text.lower() if len(text) < 200_000 or text.isascii() else text
    if len(lowered) != len(text):
        lowered = text
    starts: set[int] = set()
    needles = COMPLAINT_NEEDLES if showing else NEEDLES
    for needle in needles:
        at = lowered.find(needle)
        while at >= 0:
            starts.add(lowered.rfind("\n", 0, at) + 1)
            following = lowered.find("\n", at)
            if following < 0:
                break
            at = lowered.find(needle, following)
    if "-->" in text and not showing:
        starts |= {text.rfind("\n", 0, match.start()) + 1 for match in RUFF_FULL.finditer(text)}
    for start in sorted(starts):
        end = text.find("\n", start)
        yield start, len(text) if end < 0 else end


def _error(text: str, start: int, end: int, base: int) -> ErrorLine | None:
    where = ""
    line = text[start:end]
    if line.startswith(_TRACE_HEAD) or line.lstrip().startswith(_TRACE_HEAD):
        return _traceback(text, start, end, base)
    if line.startswith("E  "):
        place = _PYTEST_PLACE.search(text, end, min(len(text), end + 4_000))
        where = place[0] if place else ""
    elif not ANY_PLACE.search(line[:200]):
        place = _NEXT_PLACE.match(text, end, min(len(text), end + 600))
        if place:
            where = place[1].strip()
    if not where and line.rstrip().endswith(":"):
        where = text[end : end + 400].strip().split("\n")[0]
    left = start + len(line) - len(line.lstrip())
    right = start + len(line.rstrip())
    right = min(right, left + MAX_LINE_CHARS)
    return ErrorLine(text[left:right], left + base, right + base, where[:400])


def _traceback(text: str, start: int, end: int, base: int) -> ErrorLine | None:
    """The last line of a Python traceback, with its innermost place."""
    indent = len(text[start:end]) - len(text[start:end].lstrip())
    at = end + 1
    where = ""
    while at < len(text):
        stop = text.find("\n", at)
        stop = len(text) if stop < 0 else stop
        line = text[at:stop]
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= indent and not line.strip().startswith(("File ", "^", "~", "...")):
            right = min(at + len(line.rstrip()), at + depth + MAX_LINE_CHARS)
            return ErrorLine(text[at + depth : right], at + depth + base, right + base, where)
        if _PYTHON_PLACE.match(line):
            where = line.strip()[:400]
        at = stop + 1
    return None


def _last_words(text: str, base: int) -> ErrorLine | None:
    stripped = text.rstrip()
    if not stripped or stripped.count("\n") > 400:
        return None
    start = stripped.rfind("\n") + 1
    line = stripped[start:]
    left = start + len(line) - len(line.lstrip())
    right = min(len(stripped), left + 300)
    if right - left < 4 or only_looks_it(stripped[left:right]):
        return None
    return ErrorLine(stripped[left:right], left + base, right + base)
