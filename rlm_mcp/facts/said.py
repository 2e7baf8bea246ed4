"""Facts of what the user and the model said: prompts, rules, corrections, decisions, plans, questions, values."""

from __future__ import annotations

import re
from dataclasses import replace

from rlm_mcp.facts.error_lines import error_lines
from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.languages import Language, language_of
from rlm_mcp.facts.memo import Memo
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.prose import Sentence, closing_questions, listed, sentences
from rlm_mcp.facts.stances import remember, stance_subject, taken_back, telling_words, undone_turn
from rlm_mcp.facts.values import values_in
from rlm_mcp.facts.wording import decision_hints, is_correction, is_decision, is_revocation, is_user_decision, rule_of

MAX_RULES = 40
"""Constraints, corrections and decisions taken of one prompt, each."""
MAX_DECISIONS = 12
"""Decisions taken of one reply."""
MAX_STEPS = 60
"""Steps taken of one plan."""

_PLAN_PROMPT = LazyPattern(
    r"\A\s*(?:please )?(?:implement|execute|carry out|follow|work through) (?:the |this )?(?:following |attached |"
    r"approved )?plan\b",
    re.IGNORECASE,
)
_PLAN_HEADING = LazyPattern(
    r"^(?:#{1,4}[ \t]*|\*\*)?(?:\d+[.)] *)?(?:[\w '-]{0,40} )?(?:implementation |revised |updated |proposed |my |the |"
    r"new |high-level )?plan\b[^\n.?]{0,60}(?:\*\*)?:?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_STEP = LazyPattern(
    r"^(?:#{2,4}[ \t]+(?:(?:step|phase|part|task|change|milestone)?[ \t]*\d+[.:)]?|(?:step|phase|part|task|"
    r"milestone)\b)[^\n]*|[ \t]{0,3}(?:\*\*)?\d{1,2}[.)][ \t]+[^\n]+|[ \t]{0,6}[-*] \[[ xX]\] [^\n]+)",
    re.MULTILINE,
)


def facts_of_prompt(text: str, memo: Memo) -> list[Fact]:
    """A prompt of the user: itself, the answer it gives, its rules, corrections, choices, values, plan and errors."""
    found = [Fact(kind=FactKind.PROMPT, text=text[:20_000], start=0, end=min(len(text), 20_000))]
    answer = " ".join(text.split())[:400]
    found += [
        Fact(kind=FactKind.QUESTION, subject=question, text=question, status="answered", note=answer)
        for question in memo.questions
    ]
    asked = bool(memo.questions)
    memo.questions = []
    if _PLAN_PROMPT.search(text):
        found += plan_facts(text, "accepted", 0, len(text))
    found += _said_by_user(text, 0, memo, asked)
    found += _pasted_errors(text)
    closes = undone_turn(text, memo)
    if closes:
        found[0] = replace(found[0], closes=found[0].closes + closes)
    memo.prompts += 1
    remember(found, memo, memo.prompts)
    return memo.with_rhetorical_closed(found)


def facts_of_queued(text: str, memo: Memo) -> list[Fact]:
    """What the user typed while the model worked."""
    found = _said_by_user(text, 0, memo, False)
    remember(found, memo, memo.prompts)
    return found


def facts_of_answer(text: str, at: int, memo: Memo) -> list[Fact]:
    """What the user said in answer to a tool; ``at``: where it begins in the Event's text, in characters."""
    return _said_by_user(text, at, memo, True)


_NUMBER = LazyPattern(r"(?:option |number |no\.? ?|#)?(\d{1,2})[.)!]?", re.IGNORECASE)


def _choice(text: str, memo: Memo) -> list[Fact]:
    """A prompt that is only a number: the entry of the latest reply's list that it chooses."""
    match = _NUMBER.fullmatch(text.strip())
    chosen = memo.choices.get(match[1]) if match else None
    if chosen is None:
        return []
    return [
        Fact(kind=FactKind.DECISION, text=text.strip(), status="user", end=len(text), note=f"chosen: {chosen}"[:400])
    ]


def _said_by_user(text: str, at: int, memo: Memo, asked: bool) -> list[Fact]:
    chosen = _choice(text, memo)
    if chosen:
        return chosen
    found: list[Fact] = []
    counts = {FactKind.CONSTRAINT: 0, FactKind.CORRECTION: 0, FactKind.DECISION: 0}
    language = language_of(text)
    is_later = memo.prompts > 0 or memo.replies > 0
    for sentence in sentences(text):
        for fact in _of_sentence(sentence, language, is_later, asked):
            counts[fact.kind] += 1
            if counts[fact.kind] <= MAX_RULES:
                found.append(_with_revoked(fact, sentence, memo))
        over = taken_back(sentence.text, memo) if is_later else ()
        if over and found and found[-1].start == sentence.start:
            found[-1] = replace(found[-1], closes=found[-1].closes + over)
        elif over:
            found.append(_quote(FactKind.CORRECTION, sentence, "", over))
        if is_later and is_revocation(sentence) and not any(f.start == sentence.start for f in found[-3:]):
            closes = _revoked(sentence, memo)
            if closes:
                found.append(_quote(FactKind.CORRECTION, sentence, "", closes))
    if at:
        found = [replace(fact, start=fact.start + at, end=fact.end + at) for fact in found]
    for kind, count in counts.items():
        if count > MAX_RULES:
            last = max(i for i, fact in enumerate(found) if fact.kind is kind)
            found[last] = replace(found[last], note=f"{count - MAX_RULES} more in this prompt")
    values, more = values_in(text)
    found += [
        Fact(kind=FactKind.VALUE, subject=v.text[:400], text=v.line, start=v.start + at, end=v.end + at) for v in values
    ]
    if more:
        found[-1] = replace(found[-1], note=f"{more} more values in this prompt")
    return found


def _of_sentence(sentence: Sentence, language: Language, is_later: bool, asked: bool) -> list[Fact]:
    found = []
    rule = rule_of(sentence, language)
    if rule:
        found.append(_quote(FactKind.CONSTRAINT, sentence, rule))
    if is_later and is_correction(sentence, language):
        found.append(_quote(FactKind.CORRECTION, sentence, ""))
    if is_later and (
        is_user_decision(sentence) or (asked and not found and len(sentence.text) <= 80 and sentence.text[0] != "/")
    ):
        found.append(_quote(FactKind.DECISION, sentence, "user"))
    return found


def _quote(kind: FactKind, sentence: Sentence, status: str, closes: tuple[Closes, ...] = ()) -> Fact:
    subject = " ".join(sentence.text.lower().split())[:400] if kind is FactKind.CONSTRAINT else ""
    subject = stance_subject(sentence.text) if kind is FactKind.DECISION else subject
    return Fact(
        kind=kind,
        subject=subject,
        text=sentence.text,
        status=status,
        start=sentence.start,
        end=sentence.end,
        closes=closes,
    )


def _with_revoked(fact: Fact, sentence: Sentence, memo: Memo) -> Fact:
    """``fact`` closing the rules its sentence takes back; a rule is remembered so that it can be taken back."""
    closes: tuple[Closes, ...] = ()
    if memo.rules and is_revocation(sentence):
        closes = _revoked(sentence, memo, besides=fact.subject)
    if fact.kind is FactKind.CONSTRAINT:
        memo.keep_rule(fact.subject, telling_words(sentence.text))
    return replace(fact, closes=fact.closes + closes) if closes else fact


def _revoked(sentence: Sentence, memo: Memo, besides: str = "") -> tuple[Closes, ...]:
    """Standing rules of which the sentence repeats most telling words (or two of them)."""
    words = telling_words(sentence.text)
    gone = []
    for subject, telling in memo.rules.items():
        shared = words.intersection(telling)
        if subject != besides and (len(shared) >= 2 or (shared and len(telling) <= 3) or (shared and len(words) <= 2)):
            gone.append(subject)
    for subject in gone:
        del memo.rules[subject]
    return tuple(Closes(kind=FactKind.CONSTRAINT, subject=subject) for subject in gone)


def _pasted_errors(text: str) -> list[Fact]:
    """Error lines the user pasted."""
    errors, _ = error_lines(text, showing=False, failed=False)
    return [
        Fact(kind=FactKind.ERROR, subject="prompt", text=e.text, status="open", start=e.start, end=e.end, note=e.where)
        for e in errors
        if _PASTED.search(e.text)
    ]


_PASTED = LazyPattern(
    r"^\S*(?:Error|Exception|ERR!|error(?:\[\w+\]| TS\d+)?):? \S|^fatal: |^panic: |command not found$|^E  |"
    r"\bHTTP [45]\d\d|No such file or directory$|^npm (?:ERR!|error)|:\d+:\d+:? (?:- )?error\b"
)


def plan_facts(text: str, status: str, start: int, end: int) -> list[Fact]:
    """The plan (subject ``plan``), and each of its steps (``plan step N``), which a newer plan replaces."""
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
    steps = list(_STEP.finditer(text))
    headings = [step for step in steps if step[0].startswith("#")]
    chosen = headings if len(headings) >= 2 else steps
    for number, step in enumerate(chosen[:MAX_STEPS], 1):
        line = step[0].strip()
        at = start + step.start() + len(step[0]) - len(step[0].lstrip())
        placed = (at, at + len(line)) if end else (0, 0)
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
    return found


def facts_of_reply(text: str, memo: Memo, *, is_main: bool) -> list[Fact]:
    """What the model said: its decisions, a plan, questions to the user, pull requests."""
    found: list[Fact] = []
    if is_main:
        memo.replies += 1
    hints = decision_hints(text)
    decisions = [sentence for sentence in sentences(text) if is_decision(sentence, hints)] if hints else []
    who = "model" if is_main else "agent"
    found += [_quote(FactKind.DECISION, sentence, who) for sentence in decisions[:MAX_DECISIONS]]
    if len(decisions) > MAX_DECISIONS:
        found[-1] = replace(found[-1], note=f"{len(decisions) - MAX_DECISIONS} more in this reply")
    if not is_main:
        return found
    remember(found, memo, memo.prompts)
    found += _plan_in_reply(text)
    for match in _PULL_REQUEST.finditer(text):
        found.append(
            Fact(
                kind=FactKind.PULL_REQUEST,
                subject=match["url"].rsplit("/", 1)[-1],
                text=match["url"],
                status="created",
                start=match.start("url"),
                end=match.end("url"),
            )
        )
    questions = closing_questions(text)
    asked = [question.text[:400] for question in questions]
    memo.rhetorical = [*memo.rhetorical, *(q for q in memo.questions if q not in asked)][-10:]
    memo.questions = asked
    memo.choices = listed(text)
    for question in questions:
        found.append(
            Fact(
                kind=FactKind.QUESTION,
                subject=question.text[:400],
                text=question.text,
                status="open",
                start=question.start,
                end=question.end,
            )
        )
    return memo.with_rhetorical_closed(found)


_PULL_REQUEST = LazyPattern(
    r"\b(?:created|opened|submitted|raised|PR is|PR:)[^\n]{0,160}?(?P<url>https?://[\w.-]+/[\w./-]+/(?:pull|"
    r"merge_requests)/\d+)",
    re.IGNORECASE,
)


def _plan_in_reply(text: str) -> list[Fact]:
    """A numbered plan under a heading that says so."""
    if "plan" not in text and "Plan" not in text:
        return []
    heading = _PLAN_HEADING.search(text)
    if heading is None:
        return []
    body = text[heading.start() :]
    if len(_STEP.findall(body)) < 3:
        return []
    return plan_facts(body, "proposed", heading.start(), len(text))
