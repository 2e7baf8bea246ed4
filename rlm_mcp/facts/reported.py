"""Errors that the user reports by pasting them, and their word that it works."""

from __future__ import annotations

from collections.abc import Iterable

from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo
from rlm_mcp.facts.pasted import pasted_errors
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.prose import Sentence
from rlm_mcp.facts.runs import RunKey, run_key
from rlm_mcp.facts.shell import parse

PASTED_SUBJECT = "prompt"
"""Subject of the errors that the user pasted."""
_NAMED_RUN = LazyPattern(
    r"\b(?:run|ran|running|do|did|doing|execut\w+|try|tried|typed?|use[d]?|start(?:ed)?|call(?:ed)?)\W{1,3}"
    r"((?:make|npm|yarn|pnpm|bun|cargo|go|just|docker|docker-compose|pytest|python3?|node|npx|uv|poetry|mvn|gradle|dotnet|"
    r"rails|rake|mix|deno|php|composer|terraform|kubectl)(?: [\w./:=-]+){0,5})"
)


def errors_reported(text: str, before: RunKey | None, memo: Memo) -> list[Fact]:
    """Error lines the user pasted: open until the run they came of succeeds, or the user says that it works.

    ``before``: the run of the pasted errors before, which is this one's where the prompt names none.
    """
    errors = pasted_errors(text)
    if not errors:
        return []
    named = _NAMED_RUN.search(text)
    segments = [s for s in parse(named[1]) if s.words] if named else []
    memo.keep_error(PASTED_SUBJECT, run_key(segments[-1]) if segments else before or (PASTED_SUBJECT, ()))
    return [
        Fact(
            kind=FactKind.ERROR,
            subject=PASTED_SUBJECT,
            text=e.text,
            status="open",
            start=e.start,
            end=e.end,
            note=e.where,
        )
        for e in errors
    ]


_WORKS = LazyPattern(
    r"\b(?:it|that|this|everything|all)(?:'s| is| are)? (?:now |all |finally )*(?:works?(?: now| great| fine| well| "
    r"perfectly)?|worked|working|fixed|resolved|good now|passing|did the trick)\b|^(?:\W|great|ok|nice|"
    r"perfect)*(?:works|"
    r"fixed|worked|all good)\b|\b(?:errors?|issue|problem|bug|crash) (?:is|are) (?:now )?(?:gone|fixed|resolved)\b|"
    r"\b(?:moved? on to|now (?:i get|there'?s)|got) (?:another|a (?:different|new)) error\b"
)
_BUT = LazyPattern(r"\b(?:not|n't|if|once|until|make sure|should|still)\b|n't\b")


def works_again(sentences: Iterable[Sentence], memo: Memo) -> tuple[Closes, ...]:
    """Pasted errors that the user says to be over."""
    if PASTED_SUBJECT not in memo.errors:
        return ()
    for sentence in sentences:
        text = sentence.text.lower().replace("\u2019", "'")
        if not text.endswith("?") and _WORKS.search(text) and not _BUT.search(text):
            del memo.errors[PASTED_SUBJECT]
            return (Closes(kind=FactKind.ERROR, subject=PASTED_SUBJECT),)
    return ()
