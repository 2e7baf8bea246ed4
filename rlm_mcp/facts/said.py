"""Facts of what the user and the model said: prompts, rules, corrections, decisions, questions, values."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rlm_mcp.facts.answers import accepted, answers_by_number, is_bare, matched, points_back, topic
from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.languages import Language, language_of
from rlm_mcp.facts.memo import Memo
from rlm_mcp.facts.pasted import own_words, pasted_spans
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.plans import pending_in_reply, plan_facts, plan_in_reply
from rlm_mcp.facts.prose import Sentence, closing_questions, listed, sentences
from rlm_mcp.facts.reported import PASTED_SUBJECT, errors_reported, works_again
from rlm_mcp.facts.stances import remember, replaced_by_model, stance_subject, taken_back, telling_words, undone_turn
from rlm_mcp.facts.values import values_in
from rlm_mcp.facts.wording import decision_hints, is_correction, is_decision, is_revocation, is_user_decision, rule_of

MAX_RULES = 40
"""Constraints, corrections and decisions taken of one prompt, each."""
MAX_DECISIONS = 12
"""Decisions taken of one reply."""

_PLAN_PROMPT = LazyPattern(
    r"\A\s*(?:please )?(?:implement|execute|carry out|follow|work through) (?:the |this )?(?:following |attached |"
    r"approved )?plan\b",
    re.IGNORECASE,
)
_MAX_ANSWER_CHARS = 300
"""Of an answer that decides; a longer one is a new request."""
_MAX_ANSWER_SENTENCES = 3


def facts_of_prompt(text: str, memo: Memo) -> list[Fact]:
    """A prompt of the user: itself, the answer it gives, its rules, corrections, choices, values, plan and errors."""
    found = [Fact(kind=FactKind.PROMPT, text=text[:20_000], start=0, end=min(len(text), 20_000))]
    said = _Said.of(text, memo.questions)
    if memo.questions and said.answers:
        found += [
            Fact(kind=FactKind.QUESTION, subject=question, text=question, status="answered", note=answer)
            for question, answer in matched(memo.questions, memo.choices, text)
        ]
    elif memo.questions:
        memo.rhetorical = [*memo.rhetorical, *memo.questions][-10:]
    if _PLAN_PROMPT.search(text):
        found += plan_facts(text, "accepted", 0, len(text))
    found += _said_by_user(said, 0, memo)
    before = memo.errors.get(PASTED_SUBJECT)
    closes = undone_turn(text, memo) + works_again(said.sentences, memo)
    found += errors_reported(text, before, memo)
    if memo.over:
        found[0] = replace(found[0], closes=found[0].closes + memo.over)
        memo.over = ()
    memo.questions = []
    memo.refused = False
    if closes:
        found[0] = replace(found[0], closes=found[0].closes + closes)
    memo.prompts += 1
    remember(found, memo, memo.prompts)
    return memo.with_rhetorical_closed(found)


def facts_of_queued(text: str, memo: Memo) -> list[Fact]:
    """What the user typed while the model worked."""
    found = _said_by_user(_Said.of(text, []), 0, memo)
    remember(found, memo, memo.prompts)
    return found


def facts_of_refusal(text: str, at: int, memo: Memo) -> list[Fact]:
    """What the user said as they refused a tool; ``at``: where it begins in the Event's text, in characters."""
    memo.refused = True
    found = _said_by_user(_Said.of(text, []), at, memo)
    memo.refused = False
    remember(found, memo, memo.prompts)
    return found


def facts_of_answer(question: str, answer: str, at: int, memo: Memo) -> list[Fact]:
    """The answer to a question asked by a tool: what it decides, and the rules and values in it."""
    found = [f for f in _said_by_user(_Said.of(answer, []), at, memo) if f.kind is not FactKind.DECISION]
    chosen = " ".join(answer.split())
    if chosen and not chosen.endswith("?"):
        text = f"{topic(question)}: {chosen}"[:400]
        decision = Fact(
            kind=FactKind.DECISION,
            subject=stance_subject(text),
            text=text,
            status="user",
            start=at,
            end=at + len(answer),
        )
        found.append(decision)
    remember(found, memo, memo.prompts, question)
    return found


@dataclass(frozen=True, slots=True)
class _Said:
    """A text of the user, taken apart once."""

    text: str
    sentences: tuple[Sentence, ...]
    """In the user's own words."""
    questions: tuple[str, ...]
    """Of the model, which the text may answer."""
    answers: bool
    """Whether it does: it neither asks, nor reports an error, nor pastes output."""
    items: dict[str, str]
    """Its answers by number."""
    own: list[tuple[int, int]]
    """Spans of the text that the user worded."""

    @classmethod
    def of(cls, text: str, questions: list[str]) -> _Said:
        quoted = [match.span() for match in _QUOTED.finditer(text)] if '"' in text or "\u201c" in text else []
        spans = own_words(text)
        own = tuple(
            sentence
            for sentence in sentences(text, spans, wrapped=True)
            if not any(low <= sentence.start < high and sentence.end <= high + 3 for low, high in quoted)
        )
        items = answers_by_number(text) if questions else {}
        asks = bool(own) and own[-1].text.rstrip("*_\"') ").endswith("?") and not items
        reports = (
            not own
            or bool(pasted_spans(text))
            or any(_REPORTS.search(s.text.lower().replace("\u2019", "'")) for s in own[:4])
        )
        return cls(
            text, own, tuple(questions), bool(questions) and not asks and (bool(items) or not reports), items, spans
        )

    def settles(self, sentence: Sentence) -> bool:
        """Whether the sentence, by its place alone, is an answer that decides something."""
        if not self.answers or sentence.text[0] == "/" or sentence.text.endswith("?"):
            return False
        if self.items:
            head = sentence.text[:60]
            return len(sentence.text) <= _MAX_ANSWER_CHARS and any(
                " ".join(head.split()) in item or item in sentence.text for item in self.items.values()
            )
        if len(self.sentences) > _MAX_ANSWER_SENTENCES or len(sentence.text) > 80:
            return False
        return sentence is self.sentences[0] and not _OWN_DOING.search(sentence.text.lower().replace("\u2019", "'"))


_QUOTED = LazyPattern(r"\"[^\"]{12,1000}\"|\u201c[^\u201d]{12,1000}\u201d")
_REPORTS = LazyPattern(
    r"\b(?:errors?|exception|traceback|fails?|failed|failing|crash\w*|broken|doesn'?t work|not working|nothing happens|"
    r"still getting)\b"
)
_OWN_DOING = LazyPattern(
    r"^(?:[\W_]|ok(?:ay)?|yes|yep|yeah|and|but|so|all g|hmm|wait)*(?:let me|i'?ll|i will|i'?m|i am|i need|i ran|i see|"
    r"i get|i got|i just|i think you|looks like|there'?s|when i|can you|could you|how|what|why|where|"
    r"please (?:check|look))\b"
)


def _choice(text: str, memo: Memo) -> list[Fact]:
    """A prompt that is only a number: the entry of the latest reply's list that it chooses."""
    match = _NUMBER.fullmatch(text.strip())
    chosen = memo.choices.get(match[1]) if match else None
    if chosen is None:
        return []
    note = f"chosen: {chosen}"[:400]
    return [
        Fact(
            kind=FactKind.DECISION,
            subject=stance_subject(note),
            text=f"{text.strip()} {chosen}",
            status="user",
            end=len(text),
            note=note,
        )
    ]


_NUMBER = LazyPattern(r"(?:option |number |no\.? ?|#)?(\d{1,2})[.)!]?", re.IGNORECASE)


def _said_by_user(said: _Said, at: int, memo: Memo) -> list[Fact]:
    chosen = _choice(said.text, memo)
    if chosen:
        return chosen
    language = language_of(said.text)
    is_later = memo.prompts > 0 or memo.replies > 0
    found: list[Fact] = []
    corrected = False
    is_plan = _PLAN_PROMPT.search(said.text) is not None
    for sentence in said.sentences:
        if is_plan and not _ORDERS.match(sentence.text):
            continue
        facts = _of_sentence(sentence, language, is_later, said, corrected)
        corrected = corrected or any(fact.kind is FactKind.CORRECTION for fact in facts)
        found += _with_taken_back(facts, sentence, memo, is_later)
    if memo.refused and is_later and not corrected:
        found += _correction_by_nature(said)
    found = _limited(found)
    if at:
        found = [replace(fact, start=fact.start + at, end=fact.end + at) for fact in found]
    values, more = values_in(said.text, said.own)
    found += [
        Fact(kind=FactKind.VALUE, subject=v.text[:400], text=v.line, start=v.start + at, end=v.end + at) for v in values
    ]
    if more:
        found[-1] = replace(found[-1], note=f"{more} more values in this prompt")
    return found


_ORDERS = LazyPattern(
    r"[\W_]*(?:never|always|do not|don['\u2019]?t|only|you must|must|make sure|ensure|avoid|no |please|use |"
    r"it must|it should|keep )",
    re.IGNORECASE,
)
"""How a rule begins in a plan that is handed over; the rest of it describes."""


def _correction_by_nature(said: _Said) -> list[Fact]:
    """What is said right after a refusal or an interrupt corrects, however it is worded; but "go on" does not."""
    first = next((s for s in said.sentences if not is_bare(s.text) and not s.text.endswith("?")), None)
    return [_quote(FactKind.CORRECTION, first, "")] if first is not None and len(first.text) <= 400 else []


def _limited(found: list[Fact]) -> list[Fact]:
    """At most ``MAX_RULES`` of a kind; the last one says how many more there were."""
    kept: list[Fact] = []
    counts: dict[FactKind, int] = {}
    last: dict[FactKind, int] = {}
    for fact in found:
        counts[fact.kind] = counts.get(fact.kind, 0) + 1
        if counts[fact.kind] <= MAX_RULES:
            last[fact.kind] = len(kept)
            kept.append(fact)
    for kind, count in counts.items():
        if count > MAX_RULES:
            kept[last[kind]] = replace(kept[last[kind]], note=f"{count - MAX_RULES} more in this prompt")
    return kept


_EXPECTED = LazyPattern(r"(?:it|this|that|they) should\b", re.IGNORECASE)


def _of_sentence(sentence: Sentence, language: Language, is_later: bool, said: _Said, corrected: bool) -> list[Fact]:
    found = []
    rule = rule_of(sentence, language)
    expected = corrected and rule == "require" and _EXPECTED.match(sentence.text) is not None
    if rule and not expected:
        found.append(_quote(FactKind.CONSTRAINT, sentence, rule))
    if is_later and (expected or is_correction(sentence, language)):
        found.append(_quote(FactKind.CORRECTION, sentence, ""))
    if is_later:
        found += _decided(sentence, said, bool(found))
    return found


def _decided(sentence: Sentence, said: _Said, is_else: bool) -> list[Fact]:
    """What the sentence settles; ``is_else``: it is a rule or correction already."""
    if is_bare(sentence.text) or sentence.text.endswith("?"):
        offered = accepted(said.questions[0], sentence.text) if said.answers and len(said.questions) == 1 else ""
        if not offered or sentence is not said.sentences[0] or sentence.text.endswith("?"):
            return []
        return [replace(_quote(FactKind.DECISION, sentence, "user"), subject=stance_subject(offered), text=offered)]
    if said.answers and len(said.questions) == 1 and sentence is said.sentences[0] and points_back(sentence.text):
        offered = accepted(said.questions[0], sentence.text)
        if offered:
            return [replace(_quote(FactKind.DECISION, sentence, "user"), subject=stance_subject(offered), text=offered)]
    plain = sentence.text.lower().replace("\u2019", "'")
    if _TASK_TALK.search(plain) and not _CHOOSES.search(plain):
        return []
    if (
        is_user_decision(sentence)
        or (not is_else and said.settles(sentence))
        or (said.items and said.settles(sentence))
    ):
        return [_quote(FactKind.DECISION, sentence, "user")]
    return []


_TASK_TALK = LazyPattern(
    r"\b(?:let'?s|please|go ahead and|now|we can|you can) (?:now |also |just |first )*(?:work on|start|begin|"
    r"move on|continue|"
    r"look|see|check|commit|push|test|try|run|write|implement|go forward|proceed|get started|make (?:a|an|some|"
    r"a few|another|"
    r"more|one more)|add|create|build|fix)\b"
)
"""An order of work, which settles no choice."""
_CHOOSES = LazyPattern(
    r"\b(?:option|approach|variant|alternative|instead|rather|go with|use|keep|skip|stick|drop|switch)\b|"
    r"\bchanged my mind"
)


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


def _with_taken_back(facts: list[Fact], sentence: Sentence, memo: Memo, is_later: bool) -> list[Fact]:
    """``facts`` of a sentence, which also close what it takes back; its rules are remembered for the same."""
    rules = [fact.subject for fact in facts if fact.kind is FactKind.CONSTRAINT]
    over = taken_back(sentence.text, memo) if is_later else ()
    if memo.rules and is_revocation(sentence):
        over += _revoked(sentence, memo, besides=rules[0] if rules else "")
    for subject in rules:
        memo.keep_rule(subject, telling_words(sentence.text))
    if not over:
        return facts
    if not facts and is_revocation(sentence):
        return [_quote(FactKind.CORRECTION, sentence, "", over)]
    if not facts:
        memo.over += over
        return []
    return [replace(facts[0], closes=facts[0].closes + over), *facts[1:]]


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
    over = tuple(c for fact in found for c in replaced_by_model(fact.text, memo))
    if over:
        found[0] = replace(found[0], closes=found[0].closes + over)
    remember(found, memo, memo.prompts)
    found += plan_in_reply(text)
    found += pending_in_reply(text, memo)
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
