"""How the measure asks: plain typed questions by kind, and the words of a Turn's prompt."""

from __future__ import annotations

import re
import zlib

from tests.bench.careful_reader import Noted
from tests.bench.careful_text import content_words

TYPED: dict[str, tuple[str, str, str]] = {
    "edit": ("files edited", "which files were changed", "what files did you modify"),
    "read": ("which files were read", "files read", "what files have been looked at"),
    "command": ("which commands were run", "last commands", "what commands did you execute"),
    "command failed": ("which commands failed", "failed commands", "what commands ended with an error"),
    "test": ("test results", "latest test outcomes", "did the tests pass"),
    "failing_test": ("failing tests", "which tests fail", "what tests are still failing"),
    "error": ("errors", "what errors occurred", "which error messages came up"),
    "constraint": ("user constraints", "what rules did the user set", "what must I always or never do"),
    "constraint forbid": ("what did the user forbid", "what am I not allowed to do", "user constraints"),
    "correction": ("what did the user correct", "user corrections", "what did the user say was wrong"),
    "decision": ("what was decided", "decisions made", "which decisions did we take and why"),
    "plan": ("what is the plan", "current plan", "steps of the plan"),
    "todo": ("open todos", "todo list", "what is left to do"),
    "todo done": ("todo list", "which todos are done", "state of the task list"),
    "last_ask": ("what did the user ask last", "latest request of the user", "what is the current task"),
    "value": (
        "what values did the user give",
        "identifiers the user gave",
        "which paths and values did the user mention",
    ),
    "symbol": ("functions added", "which functions and types were added", "what classes or functions did we write"),
    "commit": ("commits made", "which commits were created", "what was committed"),
    "pull_request": ("pull requests", "which PRs were opened", "pull request created"),
}
MAX_CUE_WORDS = 12


def question_kind(fact: Noted) -> str:
    """The row of :data:`TYPED` that asks for this fact."""
    if fact.kind == "command" and fact.status == "failed":
        return "command failed"
    if fact.kind == "todo" and fact.status == "completed":
        return "todo done"
    if fact.kind == "constraint" and re.search(
        r"\b(?:never|don'?t|do not|not|avoid|without)\b", fact.needle, re.IGNORECASE
    ):
        return "constraint forbid"
    return fact.kind


def typed_question(fact: Noted) -> str:
    """One of the phrasings, picked by the fact's own text: always the same, and even over many facts."""
    phrasings = TYPED[question_kind(fact)]
    return phrasings[zlib.crc32(fact.needle.encode()) % len(phrasings)]


def cue_words(fact: Noted, prompt: str) -> str:
    """At most twelve words of the prompt, none of them in the answer; '' where none is left."""
    answer = f"{fact.needle} {fact.status}".lower()
    parts = set(re.findall(r"[a-z0-9]+", answer))
    left = [w for w in content_words(prompt) if w not in answer and not set(re.findall(r"[a-z0-9]+", w)) & parts]
    return " ".join(left[:MAX_CUE_WORDS])
