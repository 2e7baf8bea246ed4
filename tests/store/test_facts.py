"""Facts in the store: superseded by newer ones, asked for by kind, grouped, counted."""

from dataclasses import replace

import pytest

from rlm_mcp.store import facts, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.facts import FactRow
from rlm_mcp.store.sessions import ScopePart, SessionRow
from tests.store.test_appending import PROMPT, event, put


@pytest.fixture
def session(store: Store) -> SessionRow:
    """A Session to hang Facts on."""
    return put(store, *(event(PROMPT, str(number)) for number in range(30)))


def add(store: Store, session: SessionRow, kind: str, seq: int, subject: str = "", *, supersedes: bool = False,
        closes: tuple[tuple[str, str], ...] = (), **more: object) -> None:  # fmt: skip
    """One Fact of Event ``seq``."""
    filled: dict[str, object] = {"turn": seq, "text": f"{kind} {subject} {seq}", "status": "open", **more}
    with store.writing():
        row = FactRow(session=session.id, seq=seq, kind=kind, subject=subject, **filled)  # type: ignore[arg-type]
        facts.add(store, row, supersedes=supersedes, closes=closes)


def scope(session: SessionRow, max_seq: int = 100) -> list[ScopePart]:
    """The Session, up to an Event."""
    return [ScopePart(session=session, max_seq=max_seq)]


def seqs(found: list[FactRow]) -> list[int]:
    """Their Events."""
    return [row.seq for row in found]


def test_a_newer_fact_supersedes_its_own_subject_alone(store: Store, session: SessionRow):
    """Same kind, same subject; the older says which Event replaced it."""
    add(store, session, "todo", 1, "a", supersedes=True)
    add(store, session, "todo", 2, "b", supersedes=True)
    add(store, session, "plan", 2, "a", supersedes=True)
    add(store, session, "todo", 5, "a", supersedes=True)
    assert seqs(facts.of_kind(store, scope(session), ["todo"])) == [5, 2]
    (old,) = [row for row in facts.of_kind(store, scope(session), ["todo"], current_only=False) if row.seq == 1]
    assert old.superseded_by == 5
    assert seqs(facts.of_kind(store, scope(session), ["plan"])) == [2]


def test_one_event_may_state_a_subject_twice(store: Store, session: SessionRow):
    """The later statement of the same Event stands."""
    add(store, session, "command", 3, "make", supersedes=True, status="failed")
    add(store, session, "command", 3, "make", supersedes=True, status="ok")
    (current,) = facts.of_kind(store, scope(session), ["command"])
    assert current.status == "ok"


def test_closing_one_subject_or_all_of_a_kind(store: Store, session: SessionRow):
    """What a green run ends; what the same Event states is not closed by it."""
    for seq, subject in enumerate(["t1", "t2", "t3"], start=1):
        add(store, session, "failing_test", seq, subject)
    add(store, session, "test", 5, "pytest", closes=(("failing_test", "t2"),))
    assert seqs(facts.of_kind(store, scope(session), ["failing_test"])) == [3, 1]
    add(store, session, "failing_test", 7, "t4")
    add(store, session, "test", 7, "pytest", closes=(("failing_test", ""),))
    assert seqs(facts.of_kind(store, scope(session), ["failing_test"])) == [7]


def test_a_scope_ends_at_its_last_event(store: Store, session: SessionRow):
    """What came later is not told, in lists, groups and counts."""
    for seq in (1, 5, 9):
        add(store, session, "edit", seq, f"f{seq % 4}", added=2, removed=1)
    assert seqs(facts.of_kind(store, scope(session, 5), ["edit"])) == [5, 1]
    assert [group.subject for group in facts.grouped(store, scope(session, 5), "edit")] == ["f1"]
    assert facts.counts(store, scope(session, 5)) == {"edit": (2, 2, 1)}
    assert facts.counts_by_turn(store, scope(session, 5)[0], 2) == {5: {"edit": 1}}
    assert seqs(facts.of_turn(store, scope(session, 5)[0], 9)) == []


def test_what_a_later_event_superseded_is_still_current_in_an_earlier_scope(store: Store, session: SessionRow):
    """A fork left before the newer Fact: for it the older one still holds."""
    add(store, session, "todo", 1, "a", supersedes=True)
    add(store, session, "todo", 9, "a", supersedes=True)
    assert seqs(facts.of_kind(store, scope(session, 5), ["todo"])) == [1]
    assert facts.of_kind(store, scope(session, 5), ["todo"])[0].superseded_by == 0
    assert facts.counts(store, scope(session, 5))["todo"] == (1, 1, 1)


def test_groups_sum_and_tell_the_latest(store: Store, session: SessionRow):
    """Lines added and removed, how often, last touched, status and text of the last."""
    add(store, session, "edit", 1, "a.py", added=5, removed=0, status="create")
    add(store, session, "edit", 2, "b.py", added=1, removed=1, status="update")
    add(store, session, "edit", 8, "a.py", added=2, removed=3, status="update")
    first, second = facts.grouped(store, scope(session), "edit")
    assert (first.subject, first.count, first.added, first.removed, first.last_seq) == ("a.py", 2, 7, 3, 8)
    assert (first.status, first.text) == ("update", "edit a.py 8")
    assert second.subject == "b.py"


def test_order_and_limit(store: Store, session: SessionRow):
    """Newest first, or oldest; at most so many, of several kinds."""
    for seq in range(1, 11):
        add(store, session, "error" if seq % 2 else "decision", seq, str(seq))
    both = ["error", "decision"]
    assert seqs(facts.of_kind(store, scope(session), both, limit=3)) == [10, 9, 8]
    assert seqs(facts.of_kind(store, scope(session), both, newest_first=False, limit=3)) == [1, 2, 3]
    assert seqs(facts.of_kind(store, scope(session), ["error"], limit=100)) == [9, 7, 5, 3, 1]


def test_facts_of_a_parent_come_after_the_sessions_own(store: Store, session: SessionRow):
    """Newest Session first; groups of one subject run over both; Refs carry the key."""
    add(store, session, "edit", 1, "a.py", added=1)
    with store.writing() as connection:
        connection.execute(
            "INSERT INTO session (key, client, client_session, source, events) VALUES ('bbbbbbbb', 'codex', 'p', 1, 9)"
        )
        parent_id = connection.execute("SELECT id FROM session WHERE key = 'bbbbbbbb'").fetchone()[0]
    parent = next(row for row in sessions.all_sessions(store, 9) if row.id == parent_id)
    add(store, parent, "edit", 7, "a.py", added=10)
    add(store, parent, "edit", 8, "b.py", added=10)
    both = [ScopePart(session=session, max_seq=99), ScopePart(session=parent, max_seq=99)]
    assert [(row.session_key, row.seq) for row in facts.of_kind(store, both, ["edit"])] == [
        (session.key, 1), ("bbbbbbbb", 8), ("bbbbbbbb", 7),
    ]  # fmt: skip
    first, second = facts.grouped(store, both, "edit")
    assert (first.subject, first.count, first.added, first.session_key, first.last_seq) == (
        "a.py",
        2,
        11,
        session.key,
        1,
    )
    assert (second.subject, second.session_key) == ("b.py", "bbbbbbbb")
    assert facts.counts(store, both) == {"edit": (3, 3, 2)}


def test_what_a_session_ends_of_its_parent_is_ended_for_itself_alone(store: Store, session: SessionRow):
    """A fork mends the error its parent left open: the fork shows none, the parent still does."""
    put(store, replace(event(PROMPT, "go on"), client_session="child"))
    child = sessions.by_client_id(store, "child")
    assert child is not None
    add(store, session, "error", 1, "make")
    add(store, child, "command", 1, "make", supersedes=True, closes=(("error", "make"),))
    forked = [ScopePart(session=child, max_seq=1), ScopePart(session=session, max_seq=30)]
    assert not facts.of_kind(store, forked, ["error"])
    assert seqs(facts.of_kind(store, scope(session), ["error"])) == [1]
