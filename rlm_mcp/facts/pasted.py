"""What in a prompt is not the user's own wording: output and logs they pasted, templates of the Client's commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rlm_mcp.facts.error_lines import ErrorLine, error_lines
from rlm_mcp.facts.error_shapes import only_looks_it, reports_error
from rlm_mcp.facts.patterns import LazyPattern, lazy
from rlm_mcp.facts.prose import outside_code

MAX_ERRORS = 12
"""Error lines taken of one prompt."""
_MAX_SEARCHED_CHARS = 200_000
_MAX_GAP_LINES = 3
"""So many lines between two pasted ones are pasted too."""

_TEMPLATE = lazy(
    r"^Please analyze this codebase and create a CLAUDE\.md file\b",
    r"^Generate a file named AGENTS\.md that serves as a contributor guide\b",
    flags=re.MULTILINE,
)
"""How the text of a Client's own command begins (``/init`` of both); the user typed none of it."""
_CONTAINER = r"[\w.-]+-\d+\s*\|"
_OUTPUT = lazy(
    rf"{_CONTAINER}|Traceback \(most recent|\s+File \"[^\"]+\", line \d|\s+at \S+ ?\(\S+:\d+|\s*[~^]{{2,}}[~^ ]*$",
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\[?\d\d:\d\d:\d\d\b|\(\w[\w.-]*\)\s+[\u279c\u276f\u03bb$%#]|"
    r"[\u279c\u276f\u03bb$%] \S|[\w.-]+@[\w.-]+[: ]\S* ?[$#%] ",
    r"diff --git |@@ -\d|(?:\+\+\+|---) [\w./]|\s+\d{2,5} [-+]  ?\S|\s*\d{1,5}:? {2,}\S.*[;{}(),]\s*$|\s+\u22ee$|"
    r"\u2022 (?:Edited|Added|Ran|Read|Explored|Updated|Deleted) |\s*\u2514 ",
    r"(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception)(?:: |$)|npm (?:ERR!|error|warn)|make(?:\[\d+\])?: \*\*\*|"
    r"error(?:\[\w+\]|:) \S|fatal: |\(node:\d+\)|\[[\w .-]{1,24}\] .*[{=:]\s*\S|[\w./-]+\.\w{1,4}:\d+(?::\d+)? [\[(]",
    r"\[[a-z]+(?: [a-z]+)+\]$|\s*\"[\w$-]+\"\s*:\s|\s*[{}\])]+[,;]?\s*$|service \"[\w-]+\" is not running",
)
"""How a line of output begins (matched at its start)."""
_INTRODUCED = lazy(
    r"\b(?:errors?|output|logs?|trace(?:back)?|stack|exception|console|terminal|prints?|printed|says|response|getting|"
    r"i get|i got|this one|result)\b[^\n]{0,60}:\s*$",
    flags=re.IGNORECASE,
)
_ITEM = LazyPattern(r"\s*(?:[-*\u2022]|\d{1,2}[.)])\s")


def own_words(text: str) -> list[tuple[int, int]]:
    """Spans of a prompt that its user worded: no code, no pasted output, no template."""
    spans = outside_code(text)
    template = _TEMPLATE.search(text) if "codebase" in text or "AGENTS.md" in text else None
    if template is not None:
        spans = [(start, min(end, template.start())) for start, end in spans if start < template.start()]
    found: list[tuple[int, int]] = []
    holes = pasted_spans(text)
    for start, end in spans:
        at = start
        for low, high in holes:
            if high <= at or low >= end:
                continue
            if low > at:
                found.append((at, low))
            at = max(at, high)
        if at < end:
            found.append((at, end))
    return found


def pasted_spans(text: str) -> list[tuple[int, int]]:
    """Runs of lines of a prompt that are output: they look it, stand between such lines, or are introduced as it."""
    if "\n" not in text:
        return []
    lines = list(_lines(text[:_MAX_SEARCHED_CHARS]))
    marked = [bool(line.strip()) and _OUTPUT.match(line) is not None for _, _, line in lines]
    for i, (_, _, line) in enumerate(lines):
        if line.rstrip().endswith(":") and _INTRODUCED.search(line) and not marked[i]:
            _mark_introduced(lines, marked, i + 1)
    last = -1
    for i, is_output in enumerate(marked):
        if not is_output:
            continue
        if last >= 0 and i - last <= _MAX_GAP_LINES + 1 and all(lines[k][2].strip() for k in range(last + 1, i)):
            marked[last + 1 : i] = [True] * (i - last - 1)
        last = i
    found: list[tuple[int, int]] = []
    for (start, end, _), is_output in zip(lines, marked, strict=True):
        if is_output and found and found[-1][1] + 1 == start:
            found[-1] = (found[-1][0], end)
        elif is_output:
            found.append((start, end))
    return found


def _mark_introduced(lines: list[tuple[int, int, str]], marked: list[bool], first: int) -> None:
    """Mark the lines after "I get this error:" up to the next blank one; a list is the user's own."""
    at = first
    while at < len(lines) and not lines[at][2].strip():
        at += 1
    if at >= len(lines) or _ITEM.match(lines[at][2]):
        return
    while at < len(lines) and lines[at][2].strip():
        marked[at] = True
        at += 1


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    at = 0
    for line in text.split("\n"):
        yield at, at + len(line), line
        at += len(line) + 1


_LOG_PREFIX = lazy(
    rf"(?:{_CONTAINER}\s*)?(?:\[?\d{{4}}-\d\d-\d\d[T ][\d:.,]+\w*(?: UTC)?:?\]?\s*)?(?:\[\d+\]:?\s*)?"
    r"(?:(?:ERROR|FATAL|CRITICAL|PANIC)/\w+\]\s*)?"
)
_LOGGED = LazyPattern(r"(?:ERROR|FATAL|CRITICAL|PANIC)(?:/\w+\]|[:\] ])")
_PLAIN = LazyPattern(
    r"^\S*(?:Error|Exception|ERR!|error(?:\[\w+\]| TS\d+)?):? \S|^fatal: |^panic: |command not found$|^E  |"
    r"\bHTTP [45]\d\d|No such file or directory$|^npm (?:ERR!|error)|:\d+:\d+:? (?:- )?error\b"
)


def pasted_errors(text: str) -> list[ErrorLine]:
    """The error lines that the user pasted, in order."""
    found = {e.text: e for e in error_lines(text, showing=False, failed=False)[0] if _PLAIN.search(e.text)}
    for start, end in pasted_spans(text):
        block: list[ErrorLine] = []
        for at, _, line in _lines(text[start:end]):
            prefix = _LOG_PREFIX.match(line)
            begin = prefix.end() if prefix else 0
            said = line[begin:].strip()
            is_logged = _LOGGED.search(line[: begin + 12]) is not None
            if (
                len(said) > 3
                and not said.startswith("Traceback")
                and (is_logged or reports_error(said))
                and not (only_looks_it(said) and not is_logged)
            ):
                left = start + at + line.index(said, begin)
                block.append(ErrorLine(said[:1_000], left, left + min(len(said), 1_000)))
        if not block:
            block = _introduced_last(text, start, end)
        for error in block:
            if not any(error.text in known or known in error.text for known in found):
                found[error.text] = error
    return sorted(found.values(), key=lambda error: error.start)[:MAX_ERRORS]


_ERROR_AHEAD = LazyPattern(r"\berrors?\b[^\n]{0,60}:\s*\Z", re.IGNORECASE)


def _introduced_last(text: str, start: int, end: int) -> list[ErrorLine]:
    """The last line of a block introduced as an error, where none has the shape of one."""
    if not _ERROR_AHEAD.search(text[max(0, start - 200) : start]):
        return []
    lines = [(at, line) for at, _, line in _lines(text[start:end]) if line.strip()]
    at, line = lines[-1]
    said = line.strip()
    if only_looks_it(said):
        return []
    left = start + at + line.index(said)
    return [ErrorLine(said[:300], left, left + min(len(said), 300))]
