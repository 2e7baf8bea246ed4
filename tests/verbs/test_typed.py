"""Typed answers: the complete current set, each once, each with a Ref that resolves."""

import pytest

from rlm_mcp.brief.lines import View
from rlm_mcp.facts.kinds import FactKind
from rlm_mcp.store import facts
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.verbs import typed
from rlm_mcp.verbs.query import TypedQuery
from rlm_mcp.verbs.read import read


def scope_of(session: SessionRow) -> list[ScopePart]:
    """The Session alone."""
    return [ScopePart(session=session, max_seq=session.events)]


def test_every_kind_of_fact_has_a_noun():
    """An answer can say what it holds, and that nothing of it was recorded."""
    assert set(typed.NOUNS) == set(FactKind)


@pytest.mark.parametrize("kind", FactKind)
def test_every_kind_can_be_listed_and_its_refs_resolve(recorded: tuple[Store, SessionRow], kind: FactKind):
    """One line each, whatever the width; the Ref at its end."""
    store, session = recorded
    view = View(cwd=session.cwd, session_key=session.key)
    for item in typed.items(store, scope_of(session), TypedQuery(kind=kind), view):
        assert item.kind == kind
        assert read(store, session, item.ref).total_bytes >= 0
        for width in (40, 84, 200, 1200):
            line = item.line(width)
            assert "\n" not in line
            assert line.endswith(item.ref)


@pytest.mark.parametrize("kind", ["command", "test", "failing_test", "error", "decision", "constraint", "commit"])
def test_every_distinct_fact_is_in_the_set(recorded: tuple[Store, SessionRow], kind: str):
    """By subject where there is one; current ones all, and no Fact that is not in the store."""
    store, session = recorded
    view = View(cwd=session.cwd, session_key=session.key)
    texts = [item.text for item in typed.items(store, scope_of(session), TypedQuery(kind=kind), view)]
    rows = facts.of_kind(store, scope_of(session), [kind], current_only=kind in {"constraint", "test"})
    for row in rows:
        assert any((row.subject or row.text)[:300] in text for text in texts), row
    assert len(texts) <= len(rows)


def test_only_what_is_current_comes_where_that_is_asked(day: tuple[Store, SessionRow]):
    """Tests failing now: none, all were mended; failing once: four."""
    store, session = day
    view = View(cwd=session.cwd, session_key=session.key)
    now = typed.items(store, scope_of(session), TypedQuery(kind="failing_test", current_only=True), view)
    ever = typed.items(store, scope_of(session), TypedQuery(kind="failing_test"), view)
    assert (len(now), len(ever)) == (0, 4)
    assert all("since" in item.line(200) for item in ever)


def test_a_status_filter_admits_that_status_alone(day: tuple[Store, SessionRow]):
    """Failed commands, created files."""
    store, session = day
    view = View(cwd=session.cwd, session_key=session.key)
    failed = typed.items(store, scope_of(session), TypedQuery(kind="command", statuses=("failed",)), view)
    assert len(failed) == 4
    assert all("failed" in item.line(200) for item in failed)
    assert typed.items(store, scope_of(session), TypedQuery(kind="edit", statuses=("create",)), view) == []
