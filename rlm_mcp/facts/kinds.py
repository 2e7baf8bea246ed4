"""What a Fact is: a typed statement about the Session, with the Ref of the Event it was read from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FactKind(StrEnum):
    """What a Fact says. The docstring of each: its ``subject``, ``text`` and ``status``."""

    PROMPT = "prompt"
    """subject: ''; text: the prompt verbatim."""
    CONSTRAINT = "constraint"
    """A standing rule of the user (must, never, only, always, prefer, don't ...). text: the sentence verbatim;
    status: ``forbid``, ``require`` or ``prefer``."""
    CORRECTION = "correction"
    """The user says that something done or said was wrong. text: the sentence verbatim, or ``refused: CALL``."""
    DECISION = "decision"
    """What the model (or user) decided, and why. subject: a digest of the text; text: the sentence verbatim, or
    ``WHAT WAS ASKED: ANSWER`` of an answer, a choice or a table row; status: ``user``, ``plan``, ``model``, ..."""
    PLAN = "plan"
    """subject: ``plan``; text: the plan; status: ``proposed``, ``accepted`` or ``rejected``. A newer one supersedes."""
    TODO = "todo"
    """subject: the todo's id; text: what; status: a TodoStatus. A newer state supersedes."""
    EDIT = "edit"
    """subject: path; text: ``create|update|delete|move``; status: same; added / removed in ``added``, ``removed``."""
    READ = "read"
    """subject: path; text: line range or ''; status: content hash; stale once the path is edited."""
    COMMAND = "command"
    """subject: the command, normalised; text: the command as run; status: ``ok``, ``failed`` or ``unknown``;
    ``exit_code``, ``seconds``. A newer run of the same subject supersedes."""
    TEST = "test"
    """Outcome of a test run. subject: the runner's command, normalised; text: the counts line; status: ``passed`` or
    ``failed``; ``passed``, ``failed`` counts in ``added`` and ``removed``. A newer run supersedes."""
    FAILING_TEST = "failing_test"
    """subject: the test's name; text: the line that names it; status: ``open``; closed by a later run without it."""
    ERROR = "error"
    """text: the line verbatim; subject: what produced it (command, tool or path); status ``open``; closed by a later
    success of the same subject."""
    QUESTION = "question"
    """text: the question put to the user; status: ``open`` or ``answered``; ``answer`` in ``note``."""
    TASK = "task"
    """A sub-agent's task. subject: agent id or description; text: description; status: ``running``, ``done``,
    ``failed``; the result's first lines in ``note``."""
    COMMIT = "commit"
    """subject: hash; text: subject line of the commit; status: branch."""
    PULL_REQUEST = "pull_request"
    """subject: number or address; text: address or title; status: ``created``, ``pushed``, ``merged`` ..."""
    SYMBOL = "symbol"
    """A function, class or type added by an edit. subject: its name; text: the line; status: path."""
    VALUE = "value"
    """A value or identifier the user gave: address, path, version, number with unit, name in quotes or backticks.
    subject: the value verbatim; text: the sentence or line it stood in."""
    LOOKUP = "lookup"
    """A search or fetch. subject: pattern or address; text: where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closes:
    """A selector: Facts of ``kind`` with this ``subject`` ('' for every one) are no longer current."""

    kind: FactKind
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A typed statement, read from one Event by a rule."""

    kind: FactKind
    subject: str = ""
    """The key of supersession and of grouping; at most 400 characters."""
    text: str = ""
    """The statement; verbatim where it quotes; at most 2,000 characters (prompts and plans: 20,000)."""
    status: str = ""
    start: int = 0
    """Character offset in the Event's text where the quoted text begins; with ``end`` 0: the whole Event."""
    end: int = 0
    exit_code: int | None = None
    seconds: float | None = None
    added: int = 0
    removed: int = 0
    note: str = ""
    """A second text (an answer, a result); at most 400 characters."""
    closes: tuple[Closes, ...] = ()
    """What this Fact supersedes beyond older Facts of its own kind and subject."""
