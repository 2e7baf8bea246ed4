"""Answers to typed questions: the complete current set of one kind of Fact, each on one line with its Ref."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rlm_mcp.brief.fit import Line
from rlm_mcp.brief.lines import View, edit_group_line, fact_line, read_group_line
from rlm_mcp.store import facts
from rlm_mcp.store.database import Store
from rlm_mcp.store.facts import FactRow
from rlm_mcp.store.sessions import ScopePart
from rlm_mcp.text import one_line
from rlm_mcp.verbs.query import TypedQuery

_LIMIT = 3000

NOUNS = {
    "prompt": "prompts",
    "constraint": "constraints of the user",
    "correction": "corrections by the user",
    "decision": "decisions",
    "plan": "plan",
    "todo": "todos",
    "edit": "files edited",
    "read": "files read",
    "command": "commands",
    "test": "test outcomes",
    "failing_test": "failing tests",
    "error": "error lines",
    "question": "questions",
    "task": "sub-agent tasks",
    "commit": "commits",
    "pull_request": "pull requests",
    "symbol": "functions and types added",
    "value": "values the user gave",
    "lookup": "lookups",
}

_NARROWEST = {
    "command": 68,
    "error": 110,
    "constraint": 160,
    "correction": 160,
    "decision": 140,
    "prompt": 110,
    "plan": 400,
}
_WIDE = {"plan": 3}
_IN_ORDER = {"plan", "todo"}
"""What one Event lists stands in the order of its list."""
_OVER = {"completed", "cancelled"}
_ONLY_CURRENT = {"todo", "plan", "test", "constraint"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a typed answer."""

    ref: str
    kind: str
    session_key: str
    turn: int
    line: Line
    text: str
    """What the words of a question are matched against."""
    time: float | None = None


def narrowest(queries: Sequence[TypedQuery]) -> int:
    """The least width at which lines of these kinds still say what they must."""
    return max(_NARROWEST.get(query.kind, 60) for query in queries)


def items(store: Store, scope: Sequence[ScopePart], query: TypedQuery, view: View) -> list[Item]:
    """Every line of the set, newest first; what is open or current stands before what is over."""
    special = _GROUPED.get(query.kind)
    if special is not None:
        return special(store, scope, query, view)
    current_only = query.current_only or query.kind in _ONLY_CURRENT
    found = facts.of_kind(store, scope, [query.kind], current_only=current_only, limit=_LIMIT)
    found = [fact for fact in found if _asked(fact, query)]
    found = distinct(found, query.kind)
    if query.kind in _IN_ORDER:
        found.reverse()  # as they were listed
    found.sort(key=lambda fact: (fact.superseded_by > 0, fact.status in _OVER, -fact.seq))
    return [_item(fact, view) for fact in found]


def _asked(fact: FactRow, query: TypedQuery) -> bool:
    return (not query.statuses or fact.status in query.statuses) and fact.status not in query.but_not


def _item(fact: FactRow, view: View) -> Item:
    wide = _WIDE.get(fact.kind, 1)
    return Item(
        ref=view.ref(fact.session_key, fact.seq),
        kind=fact.kind,
        session_key=fact.session_key,
        turn=fact.turn,
        line=lambda width: fact_line(fact, replace(view, width=width * wide)),
        text=f"{fact.subject} {fact.text} {fact.note}",
        time=fact.time,
    )


def _by_text(fact: FactRow) -> str:
    return " ".join(fact.text.split()).lower() or fact.subject


def _by_subject(fact: FactRow) -> str:
    return fact.subject or _by_text(fact)


def _by_place(fact: FactRow) -> str:
    return f"{fact.subject} {fact.status}"


_KEYS: dict[str, Callable[[FactRow], str]] = {
    "command": _by_subject,
    "test": _by_subject,
    "failing_test": _by_subject,
    "todo": _by_subject,
    "value": _by_subject,
    "commit": _by_subject,
    "pull_request": _by_place,
    "lookup": _by_place,
    "symbol": _by_place,
}


def distinct(rows: Iterable[FactRow], kind: str) -> list[FactRow]:
    """What is the same statement stands once, the newest first met wins."""
    return _distinct(rows, _KEYS.get(kind, _by_text))


def _distinct(rows: Iterable[FactRow], key: Callable[[FactRow], str]) -> list[FactRow]:
    """The newest of each key, in the order met (newest first)."""
    found: dict[str, FactRow] = {}
    for row in rows:
        found.setdefault(key(row), row)
    return list(found.values())


def _edits(store: Store, scope: Sequence[ScopePart], query: TypedQuery, view: View) -> list[Item]:
    groups = facts.grouped(store, scope, "edit", limit=_LIMIT)
    if query.statuses:
        rows = facts.of_kind(store, scope, ["edit"], current_only=False, limit=_LIMIT)
        wanted = {row.subject for row in rows if row.status in query.statuses}
        groups = [group for group in groups if group.subject in wanted]
    return [
        Item(
            ref=view.ref(group.session_key, group.last_seq),
            kind="edit",
            session_key=group.session_key,
            turn=group.last_turn,
            line=lambda width, group=group: edit_group_line(group, replace(view, width=width)),  # type: ignore[misc]
            text=group.subject,
        )
        for group in groups
    ]


def _reads(store: Store, scope: Sequence[ScopePart], query: TypedQuery, view: View) -> list[Item]:
    edited_at = {group.subject: group.last_seq for group in facts.grouped(store, scope, "edit", limit=_LIMIT)}
    return [
        Item(
            ref=view.ref(group.session_key, group.last_seq),
            kind=query.kind,
            session_key=group.session_key,
            turn=group.last_turn,
            line=lambda width, group=group: read_group_line(  # type: ignore[misc]
                group, replace(view, width=width), edited_at
            ),
            text=group.subject,
        )
        for group in facts.grouped(store, scope, "read", limit=_LIMIT)
    ]


def _symbols(store: Store, scope: Sequence[ScopePart], query: TypedQuery, view: View) -> list[Item]:
    """One line a file."""
    gone = {group.subject for group in facts.grouped(store, scope, "edit", limit=_LIMIT) if group.status == "delete"}
    by_path: dict[str, list[FactRow]] = {}
    for fact in _distinct(facts.of_kind(store, scope, [query.kind], limit=_LIMIT), _by_place):
        if fact.status not in gone:
            by_path.setdefault(fact.status, []).append(fact)
    return [
        Item(
            ref=view.ref(rows[0].session_key, rows[0].seq),
            kind=query.kind,
            session_key=rows[0].session_key,
            turn=rows[0].turn,
            line=_symbol_line(path, rows, view),
            text=f"{path} {' '.join(row.subject for row in rows)}",
        )
        for path, rows in by_path.items()
    ]


def _symbol_line(path: str, rows: Sequence[FactRow], view: View) -> Line:
    names = ", ".join(dict.fromkeys(row.subject for row in reversed(rows)))
    ref = view.ref(rows[0].session_key, rows[0].seq)
    return lambda width: f"{view.path(path)}: {one_line(names, width * 3)} {ref}"


_GROUPED = {"edit": _edits, "read": _reads, "symbol": _symbols}
