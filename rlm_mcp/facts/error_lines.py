"""Error lines in what a command printed, told from lines that only mention errors.

A cheap search for telling words finds candidate lines; a line counts when it has the shape in which compilers, linters,
interpreters, shells, git, package managers and HTTP clients report, and none of the shapes of a success report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

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


_NEEDLES = (
    "error", "fail", "fatal", "exception", "panic", "not found", "denied", "no such file", "cannot", "traceback",
    "conflict", "abort", "killed", "segmentation", "timed out", "refused", "rejected", "unable to", "undefined", "unresolved",
    "not recognized", "no module named", "\u2716", "\u2718", "\u274c", "\u00d7 ", "\u2717", "imported and not used",
    "declared and not used", "not a git repository", "could not", "is not a", "mismatch", "unexpected", "invalid",
)  # fmt: skip
_POSITION_NEEDLES = (".go:", ".py:", ".rs:", ".swift:", ".rb:", ".sh:", ".vue:", ".lua:")

_NAMED = (
    r"(?:[A-Za-z_][\w.$]*\.)?[A-Z]\w*(?:Error|Exception|Failure|Interrupt|Exit|Warning(?= as error))|Error|ERROR|error|FATAL|Fatal|fatal|PANIC|panic|Panic|"
    r"FAILURE|Failure|CRITICAL|Exception|ERR!|SEVERE"
)
_PLACE = r"(?:(?:[A-Za-z]:)?[\w@./\\+~\[\]$%#-]+(?:[:(]\d+(?:[:,.-]\d+)*\)?)?(?: in [\w.<>$]+)?:?\s+(?:- )?)"
_SHAPES = lazy(
    # "error: x", "TypeError: x", "error[E0382]: x", "src/a.ts(1,2): error TS2345: x", "remote: error: x"
    rf"^\W{{0,4}}(?:\[[\w :.-]{{1,30}}\]\s*)?{_PLACE}{{0,3}}(?:Uncaught |Unhandled |uncaught |fatal |internal |PHP |Parse |Syntax |syntax |type |runtime |Fatal |Compile |Build |Runtime |CMake |compilation )?"
    rf"(?:{_NAMED})(?:\[\w+\]|\s+\(?[A-Z]{{0,6}}-?\d+\)?|\s+at [^:]{{1,80}}:\d+)?(?:\s+\([\w., -]{{1,40}}\))?\s*(?::|!|\u2502)\s*\S"
    r"|^\s*\d+:\d+\s+(?:error|Error)\s+\S"  # eslint
    r"|^(?:npm|yarn|pnpm) (?:ERR!|error)|^\s*ERR_\w+|^\u2009?ERR_PNPM"
    r"|^\[(?:ERROR|error|FATAL|FAIL|SEVERE)\]|^\s*(?:ERROR|FATAL|CRITICAL|PANIC)\s+(?!\S*::)\S.*\S|\bERROR:\s|^error\s+(?:\w+\s+)?\S+.*[.\]:]"
    r"|\blevel=(?:error|fatal)\b|\"level\":\s*\"(?:error|fatal)\"|\s(?:ERROR|FATAL|CRITICAL)\s+[-\[:(]"
    r"|command not found\b|: not found$|: No such file or directory|Permission denied|Operation not permitted|Is a directory$|Not a directory$|is not recognized as |No module named|Cannot find (?:module|package|name|type)|Module not found"
    r"|^fatal:|^panic:|^goroutine \d+ \[running\]|panicked at|^\*\*\* |^make(?:\[\d+\])?: \*\*\*|^Aborted|^Killed$|Segmentation fault|core dumped|^Terminated|Bus error"
    r"|^CONFLICT|^ ! \[(?:remote )?rejected\]|^Auto-?merging failed|^Automatic merge failed|^hint: Updates were rejected|^error:|^remote: (?:error|fatal|Permission|Repository not found)"
    r"|^curl: \(\d+\)|^wget: |^ssh: |^E: |^W: GPG error|^gpg: .*(?:fail|error|No secret key)|^scp: |^rsync: |^tar: .*(?:Cannot|Error)|^cp: |^mv: |^rm: cannot|^ls: cannot|^cat: |^sed: |^grep: |^mkdir: cannot|^chmod: |^find: .*(?:No such|denied)"
    r"|\bHTTP(?:/[\d.]+)?(?: status(?: code)?)?:? ?[45]\d\d\b|\b(?:status|status code|statusCode|response code|code):? [45]\d\d\b|\b[45]\d\d (?:Bad Request|Unauthorized|Forbidden|Not Found|Conflict|Unprocessable|Too Many Requests|Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out)"
    r"|\bE(?:CONNREFUSED|NOENT|ACCES|ADDRINUSE|TIMEDOUT|PIPE|PERM|NOTFOUND|CONNRESET|RESOLVE|LIFECYCLE|EXIST|NOTEMPTY|BADENGINE|AI_AGAIN)\b"
    r"|[Cc]onnection refused|[Cc]ould not (?:resolve|find|connect|open|load|read|determine|parse|create|import|compile|build|install|locate)|[Uu]nable to (?:resolve|find|connect|open|load|locate|access|read|create|parse)|[Cc]ommand (?:failed|timed out)|[Tt]imed out (?:after|waiting)|[Oo]peration timed out|[Dd]eadline exceeded"
    r"|^BUILD FAILED|^FAILURE: |^> Task \S+ FAILED|^Build failed|^Failed to |^ELIFECYCLE|^\* What went wrong|^Execution failed for|^Compilation failed|^error Command failed|^Process exited with code [1-9]|^exited with code [1-9]|^Exit status [1-9]|^script \".*\" exited with code [1-9]"
    r"|undefined reference to|undefined symbol|ld returned \d|unresolved (?:reference|import|external|identifier)|[Uu]ndefined (?:variable|method|function|name|index|offset|constant|array key)|cannot find symbol|is not defined$"
    r"|^\s*[\u2716\u2718\u274c\u2717\u00d7]\s*\S|^\s*\[(?:FAIL|FAILED|ERROR|\u2717)\]\s*\S|^FAIL\s+\S.*\[(?:build|setup) failed\]"
    r"|^\*\* \(\w|^Error from server|\bStack overflow|[Oo]ut of memory|OutOfMemory|heap limit|[Dd]isk quota|No space left on device|\bMERGE_HEAD\b.*exists|^Host key verification failed|^\S+ is not a (?:git|valid|known|command)"
    r"|^[^\s:]+\.(?:go|swift|c|cc|cpp|h|hpp|zig|java|kt|scala|cs|rs):\d+(?::\d+)?: (?!warning|note|info|help)\S"  # compilers
    r"|^[^\s:]+\.(?:pyi?|rb|sh|lua|vue|ipynb):\d+:\d+:? (?:[A-Z]+\d+\b|\w: |error\b)"  # ruff, flake8, pylint, rubocop
    r"|^[A-Z]{1,4}\d{3,4} (?:\[\*\] )?\S"  # ruff's full format, followed by "-->"
    r"|^E\s{2,}(?:[A-Za-z_.]*(?:Error|Exception|Exit|Interrupt|Failure|Warning)\b.*|assert .*|Failed: .*|fixture '.*' not found)$"
    r"|^\S*error(?:s)? in |^\S+\s+\d+:\d+\s+error\b|^In \S+ line \d+:$|^SC\d{4}|^e: |^w: .*error|^error\b.*\bexit|^\s+\u00d7 |^Traceback \(most recent call last\)"
)
_NOT_ERRORS = lazy(
    r"\b(?:0|no|zero|without|any) (?:errors?|failures?|failed|problems?|issues?|conflicts?|exceptions?)\b|\b(?:errors?|failed|failures?)\b\W{0,3}(?:=|:)\W{0,2}0\b|\b0 (?:failing|failed|fail)\b"
    r"|^\s*(?:\u2713|\u2714|\u2705|PASS|ok\b|\[PASS\]|\[OK\]|--- PASS|=== RUN|=== CONT|=== PAUSE)|\b(?:PASSED|passed|ok)\s*(?:\[|\(|$)|\bPASSED\b"
    r"|^\s*(?:modified|new file|deleted|renamed|create mode|delete mode|rename|copy|M|A|D|R\d*|AM|MM|\?\?|Compiling|Checking|Downloading|Downloaded|Collecting|Installing|Building|Copying|Adding|Fetching|Unpacking|Using|Requirement already|added|removed|Created|Writing|Wrote|Formatted|Fixed|Fixing|Moved)[: ]"
    r"|^\s*\S+\s+\|\s+(?:\d+ [+-]*|Bin )|\b(?:INFO|DEBUG|TRACE|NOTICE|WARN|WARNING)\b[\]: -]|level=(?:info|debug|warn)|\"level\":\s*\"(?:info|debug|warn)|^(?:warning|WARNING|Warning|note|info|hint|help)\b(?!.*\berror\b.*:)|^\d+ files? changed"
    r"|\b(?:resolved|fixed|handled|caught|recovered|expected error|expected exception|error handling|error-handling|error handler)\b(?!.* failed)|^\s*(?://|/\*|\* |<!--)|^\s*(?:at |\d+ \| |\d+[:-] |\d+\u2192|\d+\t)"
)  # fmt: skip
_TRACE_HEAD = "Traceback (most recent call last)"
_PYTHON_PLACE = LazyPattern(r"^\s*File \"[^\"]+\", line \d+.*$", re.MULTILINE)
_NEXT_PLACE = lazy(
    r"\A\n?(?:[^\n]*\n){0,6}?[ \t]*((?:-->|\u256d\u2500\[|at (?:\S+ )?\(?|\u250c\u2500)[^\n]*:\d+(?::\d+)?\)?\]?[^\n]*|[\w./\\-]+\.\w{1,5}:\d+(?::\d+)?(?: \S+)?)[ \t]*(?=\n|\Z)"
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
    shape = _COMPLAINTS if showing else _SHAPES
    for start, end in _candidates(text, showing):
        line = text[start:end]
        if len(line) > 4 * MAX_LINE_CHARS or not shape.search(line) or _NOT_ERRORS.search(line):
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


_COMPLAINTS = lazy(
    r"^(?:[\w./-]{1,40}: )?(?:line \d+: )?(?:cat|sed|head|tail|ls|rg|grep|find|nl|awk|jq|wc|stat|diff|cd|bash|zsh|sh|cut|sort|tree|readlink|curl|wget|/\S+)(?:: \(?| \()(?:.*(?:No such file|not found|denied|can't|cannot|[Cc]ould not|[Ff]ailed|Is a directory|error|invalid|illegal|unrecognized|not a directory|regex parse)|\d+\))"
    r"|^fatal: |^error: (?!.*;$)|command not found$|^gh: |^GraphQL: |^HTTP \d{3}:|: No such file or directory(?: \(os error \d+\))?$|: Permission denied$|^jq: error"
)  # fmt: skip


def _candidates(text: str, showing: bool) -> Iterator[tuple[int, int]]:
    """Spans of lines that hold a telling word, in order."""
    lowered = text.lower() if len(text) < 200_000 or text.isascii() else text
    if len(lowered) != len(text):
        lowered = text
    starts: set[int] = set()
    needles = _COMPLAINT_NEEDLES if showing else _NEEDLES + _POSITION_NEEDLES + _MORE_NEEDLES
    for needle in needles:
        at = lowered.find(needle)
        while at >= 0:
            starts.add(lowered.rfind("\n", 0, at) + 1)
            following = lowered.find("\n", at)
            if following < 0:
                break
            at = lowered.find(needle, following)
    if "-->" in text and not showing:
        starts |= {text.rfind("\n", 0, match.start()) + 1 for match in _RUFF_FULL.finditer(text)}
    for start in sorted(starts):
        end = text.find("\n", start)
        yield start, len(text) if end < 0 else end


_COMPLAINT_NEEDLES = (
    "no such file", "denied", "not found", "error", "fatal", "failed", "could not", "cannot", "can't", "gh: ", "http ",
    "curl: (", "is a directory", "not a directory", "graphql",
)  # fmt: skip
_MORE_NEEDLES = ("enoent", "econn", "eaddr", "eacces", "eperm", "elifecycle", "etimedout", "curl: (", "e: ", "http/", "status", " 40", " 50", "e  ", "terminated", "lint/", "out of memory", "no space", ": line ")
_RUFF_FULL = LazyPattern(r"^[A-Z]{1,4}\d{3,4} .+(?=\n\s*-->)", re.MULTILINE)


def _error(text: str, start: int, end: int, base: int) -> ErrorLine | None:
    where = ""
    line = text[start:end]
    if line.startswith(_TRACE_HEAD) or line.lstrip().startswith(_TRACE_HEAD):
        return _traceback(text, start, end, base)
    if line.startswith("E  "):
        place = _PYTEST_PLACE.search(text, end, min(len(text), end + 4_000))
        where = place[0] if place else ""
    elif not re.search(r":\d+", line[:200]):
        place = _NEXT_PLACE.match(text, end, min(len(text), end + 600))
        if place:
            where = place[1].strip()
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
    if right - left < 4 or _NOT_ERRORS.search(stripped[left:right]):
        return None
    return ErrorLine(stripped[left:right], left + base, right + base)
