"""Folds: each compaction answered is kept, whatever becomes of its Session's Events."""

from rlm_mcp.store import folds
from rlm_mcp.store.database import Store
from rlm_mcp.store.folds import NewFold
from tests.store.test_appending import PROMPT, event, put


def new(number: int) -> NewFold:
    """A Fold."""
    return NewFold(
        trigger="auto", instructions=f"mind {number}", brief=f"brief {number} é\n", tokens=number, time=float(number),
        loss={"edit": (number + 3, number)}, seconds=0.5,
    )  # fmt: skip


def test_a_fold_comes_back_as_it_was(store: Store):
    """Newest first, with the Event it was made at."""
    session = put(store, event(PROMPT, "one"))
    numbers = [folds.add(store, session, new(number)) for number in (1, 2, 3)]
    found = folds.of_session(store, session.client_session)
    assert [fold.id for fold in found] == numbers[::-1]
    assert (found[0].brief, found[0].loss, found[0].tokens) == ("brief 3 é\n", {"edit": (6, 3)}, 3)
    assert (found[0].upto_seq, found[0].session_key, found[0].seconds) == (1, session.key, 0.5)
    assert folds.count(store, session.client_session) == 3
    assert [fold.id for fold in folds.of_session(store, session.client_session, limit=1)] == [numbers[-1]]


def test_another_session_has_none(store: Store):
    """Not an error."""
    assert folds.of_session(store, "other") == []
    assert folds.count(store, "other") == 0
