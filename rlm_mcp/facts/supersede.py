"""Which Facts stop being current, as the Facts themselves declare it. The store carries it out."""

from __future__ import annotations

from rlm_mcp.facts.kinds import Fact, FactKind

SUPERSEDED_BY_NEWER: frozenset[FactKind] = frozenset(
    {
        FactKind.PLAN,
        FactKind.TODO,
        FactKind.READ,
        FactKind.COMMAND,
        FactKind.TEST,
        FactKind.FAILING_TEST,
        FactKind.QUESTION,
        FactKind.TASK,
        FactKind.CONSTRAINT,
        FactKind.COMMIT,
        FactKind.LOOKUP,
    }
)
"""Kinds of which a newer Fact replaces every older one with the same, non-empty subject. An EDIT never is (edits of a
path add up); neither are ERROR (several lines share a subject), VALUE, SYMBOL and what was said."""


def supersedes(newer: Fact, older: Fact) -> bool:
    """Whether ``older`` (of an earlier Event, or earlier in the same one) is no longer current after ``newer``."""
    replaces = newer.kind is older.kind and newer.kind in SUPERSEDED_BY_NEWER and newer.subject == older.subject != ""
    return replaces or any(
        closed.kind is older.kind and closed.subject in ("", older.subject) for closed in newer.closes
    )
