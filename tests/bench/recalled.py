"""Whether a text recalls a noted fact, and whether it shows a superseded one as current. Independent of ``rlm_mcp``.

The rules, by kind:

* files: file name and last folder in one line (a bare file name where the file lies at the root);
* commands: the first 60 characters, or four fifths of the words, in one line that does not claim another outcome;
* tests: the same with the right outcome said, or the counts verbatim;
* error lines: the first 80 characters; values, symbols, commits, test names: the value itself, as a whole word;
* sentences (constraints, corrections, decisions, plan steps, todos): the first 80 characters, or four fifths of the
  content words within one line or two lines that follow each other; a todo's state must not be claimed otherwise;
* the last ask: whole up to 600 characters, else its first 400.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.bench.careful_reader import Noted
from tests.bench.careful_text import content_words, fold

_FAILED = re.compile(
    r"\bfail(?:ed|ing|s|ure)?\b|\bFAIL(?:ED)?\b|\bexit(?:ed)?(?: code)?[ :=]*-?[1-9]\d*\b|\u2717|\u274c|\u00d7",
    re.IGNORECASE,
)
_OK = re.compile(
    r"\b(?:ok|passed|passes|passing|pass|succeeded|success)\b|\bexit(?:ed)?(?: code)?[ :=]*0\b|\u2713|\u2714|\u2705",
    re.IGNORECASE,
)
_STATES = {
    "completed": re.compile(r"\[x\]|\bcompleted\b|\bdone\b|\u2713|\u2714|\u2705|\bfinished\b", re.IGNORECASE),
    "in_progress": re.compile(r"\bin[_ -]progress\b|\[[~>/.-]\]|\bnow:|\bdoing\b|\u2192 ", re.IGNORECASE),
    "pending": re.compile(r"\[ \]|\bpending\b|\bopen\b|\btodo:|\bto do\b|\bnext:", re.IGNORECASE),
}
_HISTORY = re.compile(
    r"\b(?:superseded|earlier|previous(?:ly)?|before|was|then (?:ok|passed|fixed)|now (?:ok|passes|passed|passing)"
    r"|fixed|closed|resolved|later (?:ok|passed)|old|replaced|history|older|first ask|no longer|since|outdated)\b",
    re.IGNORECASE,
)
_HISTORIC_SECTION = re.compile(
    r"turn|history|timeline|earlier|older|before|first ask|asks?\b|prompts?\b|done|log", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page with what is needed to compare it."""

    text: str
    section: str
    """The nearest heading above."""
    words: frozenset[str]


class Page:
    """A text, prepared for many comparisons."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.folded = fold(text)
        self.plain = _plain(text)
        self.lines: list[Line] = []
        section = ""
        for line in text.splitlines():
            if re.match(r"\s*(?:#{1,6} |[A-Z][\w ,()'/-]{2,60}:\s*$|\*\*[^*]+\*\*:?\s*$)", line):
                section = line.strip("#* :")
            if line.strip():
                self.lines.append(Line(fold(line), section, frozenset(content_words(line))))


def _plain(text: str) -> str:
    """Folded, without quote and escape marks, which differ between ways of printing a command."""
    return fold(re.sub(r"[\"'`\\]", "", text))


def recalls(page: Page, fact: Noted) -> bool:
    """True where ``page`` holds the fact."""
    match fact.kind:
        case "edit" | "read":
            return _file(page, fact.needle)
        case "command":
            lines = command_lines(page, fact.needle)
            return any(not _claims_other(line, fact.needle, fact.status) for line in lines)
        case "test":
            return _test(page, fact)
        case "error":
            return fact.needle[:80] in page.folded or _plain(fact.needle)[:80] in page.plain
        case "value" | "symbol" | "failing_test":
            return _whole_word(page.text, fact.needle)
        case "commit":
            return _whole_word(page.text, fact.needle[:7]) or _sentence(page, fact.status) is not None
        case "pull_request":
            return bool(re.search(rf"(?:pull/|#|\bPR )#?{fact.needle}\b", page.text))
        case "last_ask":
            return fact.needle[: 600 if len(fact.needle) <= 600 else 400] in page.folded
        case "todo":
            return _todo(page, fact)
        case _:
            return _sentence(page, fact.needle) is not None


def _whole_word(text: str, value: str) -> bool:
    at = text.find(value)
    while at >= 0:
        before = text[at - 1 : at]
        after = text[at + len(value) : at + len(value) + 1]
        if not (before.isalnum() and value[0].isalnum()) and not (after.isalnum() and value[-1].isalnum()):
            return True
        at = text.find(value, at + 1)
    return False


def _file(page: Page, path: str) -> bool:
    parts = path.rstrip("/").split("/")
    name = re.compile(rf"(?<![\w.-]){re.escape(parts[-1])}(?![\w-]|\.\w)")
    if len(parts) == 1:
        alone = re.compile(rf"(?<![\w./\\-]){re.escape(path)}(?![\w-]|\.\w)")
        return any(alone.search(line.text) for line in page.lines)
    folder = re.compile(rf"(?<![\w.-]){re.escape(parts[-2])}[/\\]|(?<![\w.-]){re.escape(parts[-2])}(?![\w.-])")
    return any(name.search(line.text) and folder.search(line.text) for line in page.lines)


def command_lines(page: Page, command: str) -> list[str]:
    """Lines of the page that name the command."""
    head = _plain(command)[:60].rstrip()
    words = set(re.findall(r"[\w./:@=-]{2,}", _plain(command)[:120]))
    found: list[str] = []
    for line in page.lines:
        plain = _plain(line.text)
        if _names(plain, head) or (len(words) >= 4 and sum(word in plain for word in words) >= 0.8 * len(words)):
            found.append(line.text)
    return found


def _names(line: str, head: str) -> bool:
    """``head`` stands in the line as a command of its own (a short one not merely as the start of a longer one)."""
    at = line.find(head)
    if at < 0 or len(head) >= 25:
        return at >= 0
    return bool(re.search(rf"(?<![\w./-]){re.escape(head)}(?![\w/=-]|\.\w| -{{1,2}}\w)", line))


def _claims_other(line: str, command: str, status: str) -> bool:
    rest = line
    for part in (fold(command), fold(command)[:60]):
        rest = rest.replace(part, " ")
    says_failed, says_ok = bool(_FAILED.search(rest)), bool(_OK.search(rest))
    if status == "failed":
        return says_ok and not says_failed
    if status in ("ok", "passed"):
        return says_failed and not says_ok
    return False


def _test(page: Page, fact: Noted) -> bool:
    command, _, counts = fact.needle.partition("\n")
    if counts and len(counts) > 8 and all(_whole_word(page.text, part) for part in _count_parts(counts)):
        return True
    right = _FAILED if fact.status == "failed" else _OK
    for line in page.lines:
        if _names(_plain(line.text), _plain(command)[:60].rstrip()):
            said = line.text.replace(fold(command), " ")
            if not _claims_other(line.text, command, fact.status) and (
                right.search(said) or right.search(line.section)
            ):
                return True
    return False


def _count_parts(counts: str) -> list[str]:
    return re.findall(r"\d+ (?:tests? )?[a-z]+", counts) or [fold(counts)]


def _sentence(page: Page, sentence: str) -> Line | None:
    """The line that holds the sentence."""
    head = fold(sentence)[:80]
    wanted = content_words(sentence)
    before: Line | None = None
    for line in page.lines:
        if head in line.text:
            return line
        have = line.words | (before.words if before else frozenset())
        enough = len(wanted) >= 3 and sum(word in have for word in wanted) >= 0.8 * len(wanted)
        if enough and sum(word in line.words for word in wanted) >= 0.4 * len(wanted):
            return line
        before = line
    if head in page.folded:
        return next((line for line in page.lines if head[:30] in line.text), page.lines[0])
    return None


def _state_said(line: Line) -> set[str]:
    said = {state for state, mark in _STATES.items() if mark.search(line.text)}
    return said or {state for state, mark in _STATES.items() if mark.search(line.section)}


def _todo(page: Page, fact: Noted) -> bool:
    line = _sentence(page, fact.needle)
    if line is None:
        return False
    said = _state_said(line)
    return not said or fact.status in said


def shown_as_current(page: Page, fact: Noted, current: list[Noted]) -> str:
    """The line that shows this superseded fact as if it still held; '' where there is none.

    Lines that mark themselves as history, or stand in a section that is history, are fair.
    """
    if fact.kind == "todo":
        return _stale_todo(page, fact, current)
    if fact.kind in ("command", "test"):
        return _stale_outcome(page, fact, current)
    section = {
        "failing_test": r"fail\w* tests?|tests?.*fail",
        "error": r"(?:open|current|unresolved) err",
        "plan": r"^plan\b|current plan",
    }
    if fact.kind not in section:
        return ""
    for line in page.lines:
        there = re.search(section[fact.kind], line.section, re.IGNORECASE)
        mended = fact.kind == "failing_test" and _OK.search(line.text) and not _FAILED.search(line.text)
        if not there or mended or _HISTORY.search(line.text + line.section):
            continue
        if not recalls(Page(line.text), fact):
            continue
        if not any(other.kind == fact.kind and recalls(Page(line.text), other) for other in current):
            return line.text
    return ""


def _stale_todo(page: Page, fact: Noted, current: list[Noted]) -> str:
    now = next((f for f in current if f.kind == "todo" and f.needle == fact.needle), None)
    head = fold(fact.needle)[:80]
    for line in page.lines:
        if head not in line.text or _HISTORIC_SECTION.search(line.section) or _HISTORY.search(line.text):
            continue
        said = _state_said(Line(line.text.replace(head, " "), line.section, line.words))
        stale = fact.status in said and (now is None or now.status not in said)
        if stale and re.search(r"todo|plan|task|progress|open|next", line.section + line.text, re.IGNORECASE):
            return line.text
    return ""


def _stale_outcome(page: Page, fact: Noted, current: list[Noted]) -> str:
    command = fact.needle.partition("\n")[0]
    now = [f.status for f in current if f.kind == fact.kind and f.needle.partition("\n")[0] == command]
    if not now or now[0] == fact.status or not now[0]:
        return ""
    names = [line for line in page.lines if _names(_plain(line.text), _plain(command)[:120].rstrip())]
    if any(not _claims_other(line.text, command, now[0]) and _says(line, command, now[0]) for line in names):
        return ""
    for line in names:
        if _HISTORIC_SECTION.search(line.section) or _HISTORY.search(line.text.replace(command, " ")):
            continue
        if _claims_other(line.text, command, now[0]):
            return line.text
    return ""


def _says(line: Line, command: str, status: str) -> bool:
    rest = line.text.replace(fold(command), " ").replace(fold(command)[:60], " ")
    return bool((_FAILED if status == "failed" else _OK).search(rest + " " + line.section))
