"""Plans: the whole, its steps in order, and what it decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.stances import stance_subject, telling_words

MAX_STEPS = 60
"""Steps taken of one plan."""
MAX_DECISIONS = 30
"""Decisions taken of one plan."""

_PLAN_HEADING = LazyPattern(
    r"^(?:#{1,4}[ \t]*|\*\*)?(?:\d+[.)] *)?(?:[\w '-]{0,40} )?(?:implementation |revised |updated |proposed |my |the |"
    r"new |high-level )?plan\b[^\n.?]{0,60}(?:\*\*)?:?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_NUMBERED_HEADING = (
    r"#{2,4}[ \t]+(?:\d+[.:)]|(?:step|phase|part|task|change|milestone|stage)[ \t]*\d+[.:)]?|(?:step|phase|part|task|"
    r"milestone|stage)\b)[^\n]*"
)
_STEP = LazyPattern(
    rf"^(?:{_NUMBERED_HEADING}|#{{2,4}}[ \t]+\d+[^\n]*|[ \t]{{0,3}}\*\*(?:step|phase|part|stage) \d+[^\n]*|"
    r"(?:step|phase|stage) \d+[.:)][^\n]+|[ \t]{0,3}(?:\*\*)?\d{1,2}[.)][ \t]+[^\n]+|[ \t]{0,6}[-*] \[[ xX]\] [^\n]+)",
    re.MULTILINE | re.IGNORECASE,
)
_PHASE = LazyPattern(
    r"(?:#{2,4}[ \t]+|[ \t]*\*\*)?(?:\d+[.:)][ \t]*)?(?:step|phase|stage|part|milestone)\b[ \t]*\d", re.IGNORECASE
)
_HEADING = LazyPattern(r"^(?:(#{1,6})[ \t]+[^\n]*|\*\*[^*\n]{3,60}\*\*:?[ \t]*)$", re.MULTILINE)
_ORDER = LazyPattern(
    r"^(?:#{1,6}[ \t]+|\*\*)(?:\d+[.)][ \t]*)?(?:(?:implementation|execution|build|work|development|"
    r"rollout|proposed|suggested) )?(?:order|steps|phases|sequence|plan of action|action items|order of (?:work|"
    r"implementation))(?: of (?:work|implementation))?\b[^\n]{0,40}$",
    re.MULTILINE | re.IGNORECASE,
)
_DECIDED = LazyPattern(r"\b(?:decisions?|choices?|chosen|rationale|trade-?offs)\b", re.IGNORECASE)
_BULLET = LazyPattern(r"^[-*\u2022][ \t]+[^\n]+", re.MULTILINE)
_ITEM = LazyPattern(r"^[ \t]{0,3}(?:[-*]|\d{1,2}[.)])[ \t]+([^\n]+)", re.MULTILINE)


def plan_facts(text: str, status: str, start: int, end: int) -> list[Fact]:
    """The plan (``plan``) and its steps (``plan step N``), which a newer one replaces; what an accepted one decides."""
    found = [
        Fact(
            kind=FactKind.PLAN,
            subject="plan",
            text=text[:20_000],
            status=status,
            start=start,
            end=end,
            closes=(Closes(kind=FactKind.PLAN),),
        )
    ]
    chosen = _steps(text)
    for number, (low, high) in enumerate(chosen[:MAX_STEPS], 1):
        line = text[low:high]
        placed = (start + low, start + high) if end else (0, 0)
        found.append(
            Fact(
                kind=FactKind.PLAN,
                subject=f"plan step {number}",
                text=line,
                status=status,
                start=placed[0],
                end=placed[1],
            )
        )
    if len(chosen) > MAX_STEPS:
        found[-1] = replace(found[-1], note=f"{len(chosen) - MAX_STEPS} more steps")
    if status == "accepted":
        found += list(_decisions(text, start, bool(end)))[:MAX_DECISIONS]
    return found


def _steps(text: str) -> list[tuple[int, int]]:
    """Spans of the steps: the list that is said to be them, else phases, else headings, else numbered items."""
    order = _ORDER.search(text)
    if order is not None:
        stop = _section_end(text, order.end(), order[0])
        listed = _spans(_STEP, text, order.end(), stop) or _spans(_ITEM, text, order.end(), stop)
        if len(listed) >= 2:
            return listed
    steps = _spans(_STEP, text, 0, len(text))
    phases = [span for span in steps if _PHASE.match(text, *span)]
    if len(phases) >= 2:
        return phases
    headings = [span for span in steps if text[span[0]] == "#"]
    if len(headings) >= 2:
        return headings
    decided = list(_decided_sections(text))
    if not steps:
        return _spans(_BULLET, text, 0, len(text))
    return [span for span in steps if not any(low <= span[0] < high for low, high in decided)]


def _spans(pattern: LazyPattern, text: str, start: int, stop: int) -> list[tuple[int, int]]:
    """Trimmed spans of the matches that are no question."""
    found = []
    for match in pattern.finditer(text, start, stop):
        line = match[0].strip()
        low = match.start() + len(match[0]) - len(match[0].lstrip())
        question = line.split("? (")[0].rstrip("*_ ")
        if not question.endswith("?") and "? (" not in line:
            found.append((low, low + len(line)))
    return found


def _section_end(text: str, at: int, heading: str) -> int:
    """Where the section under ``heading`` ends: at the next heading of its depth or above."""
    depth = len(heading) - len(heading.lstrip("#")) or 7
    for match in _HEADING.finditer(text, at):
        if (len(match[1]) if match[1] else 7) <= depth:
            return match.start()
    return len(text)


def _decided_sections(text: str) -> Iterator[tuple[int, int]]:
    for match in _HEADING.finditer(text):
        if _DECIDED.search(match[0]):
            yield match.end(), _section_end(text, match.end(), match[0])


_ROW = LazyPattern(r"^[ \t]*\|([^\n]+)\|[ \t]*$", re.MULTILINE)
_RULER = LazyPattern(r"[\s|:-]+")
_DECIDING_COLUMN = LazyPattern(
    r"^\W*(?:decisions?(?: made)?|choices?|chosen|resolution|selected|approach|answer)\W*$", re.IGNORECASE
)


def _decisions(text: str, start: int, placed: bool) -> Iterator[Fact]:
    """Rows of a table with a column of decisions, and items under a heading that says decisions."""
    column = -1
    last_end = -2
    for row in _ROW.finditer(text):
        cells = [cell.strip().replace("**", "") for cell in row[1].split("|")]
        if row.start() != last_end + 1:
            column = next((i for i, cell in enumerate(cells) if _DECIDING_COLUMN.match(cell)), -1)
        elif column > 0 and len(cells) > column and cells[column] and not _RULER.fullmatch(row[1]):
            yield _decision(f"{cells[0]}: {cells[column]}", start + row.start(), start + row.end(), placed)
        last_end = row.end()
    for low, high in _decided_sections(text):
        for item in _ITEM.finditer(text, low, high):
            said = item[1].strip()
            if len(said) > 12 and not said.endswith("?"):
                yield _decision(said.replace("**", ""), start + item.start(1), start + item.end(1), placed)


def _decision(text: str, start: int, end: int, placed: bool) -> Fact:
    return Fact(
        kind=FactKind.DECISION,
        subject=stance_subject(text),
        text=text[:1_200],
        status="plan",
        start=start if placed else 0,
        end=end if placed else 0,
    )


def plan_in_reply(text: str) -> list[Fact]:
    """A numbered plan under a heading that says so."""
    if "plan" not in text and "Plan" not in text:
        return []
    heading = _PLAN_HEADING.search(text)
    if heading is None:
        return []
    body = text[heading.start() :]
    if len(_STEP.findall(body)) < 3 and (_STEP.search(body) or len(_BULLET.findall(body)) < 3):
        return []
    return plan_facts(body, "proposed", heading.start(), len(text))


_PENDING = LazyPattern(
    r"^(?:[-*] |#{1,4} )?\**(?:pending|to-?dos?|remaining(?: work| tasks| items)?|still to do|left to do|what'?s left|"
    r"not (?:yet )?done(?: yet)?)\**:\**[ \t]*(?P<same>[^\n]*)$",
    re.MULTILINE | re.IGNORECASE,
)
_DONE = LazyPattern(r"\b(?:done|added|created|completed?|finished|implemented|wrote|written|fixed|exported|updated)\b")
MAX_PENDING = 12
_OPEN = frozenset({"pending", "in_progress"})


def pending_in_reply(text: str, memo: Memo) -> list[Fact]:
    """What a reply names as left to do while no todo is open in the todo tool; a newer list replaces it."""
    if any(status in _OPEN for _, status in memo.todos.values()):
        return []
    match = _PENDING.search(text) if ":" in text else None
    if match is None:
        return _finished(text, memo)
    items = [(match["same"], match.start("same"))] if match["same"].strip() else []
    if not items:
        block_end = text.find("\n\n", match.end() + 1)
        stop = len(text) if block_end < 0 else block_end
        items = [(item[1], item.start(1)) for item in _ITEM.finditer(text, match.end(), stop)]
    closes = tuple(Closes(kind=FactKind.TODO, subject=subject) for subject in memo.pending)
    found: list[Fact] = []
    memo.pending = {}
    for said, at in items[:MAX_PENDING]:
        text_of = said.strip()
        if len(text_of) < 4 or text_of.lower().startswith(("none", "nothing", "n/a")):
            continue
        subject = f"said: {text_of.lower()}"[:400]
        memo.pending[subject] = sorted(telling_words(text_of))[:12]
        found.append(
            Fact(
                kind=FactKind.TODO,
                subject=subject,
                text=text_of[:400],
                status="pending",
                start=at,
                end=at + len(text_of),
            )
        )
    if found and closes:
        found[0] = replace(found[0], closes=tuple(c for c in closes if c.subject not in memo.pending))
    return found


def _finished(text: str, memo: Memo) -> list[Fact]:
    """Pending things that a reply says to be done."""
    if not memo.pending:
        return []
    said = text.lower()
    words = telling_words(said) if _DONE.search(said) else set()
    gone = [s for s, known in memo.pending.items() if known and len(words & set(known)) >= max(2, len(known) // 2)]
    found = []
    for subject in gone:
        del memo.pending[subject]
        found.append(Fact(kind=FactKind.TODO, subject=subject, text=subject.removeprefix("said: "), status="completed"))
    return found
