"""Budgets: what is reserved counts, what was spent stays, and children draw on their parents."""

import pytest

from rlm_mcp.costs import Cost, Limits
from rlm_mcp.errors import BudgetExceeded
from rlm_mcp.sublm.budget import Budget

SMALL = Cost(tokens_in=10, tokens_out=10, usd=0.1)


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(calls=1), "calls"),
        (Limits(tokens=39), "tokens"),
        (Limits(usd=0.15), "usd"),
    ],
)
def test_what_is_reserved_counts_before_it_is_spent(limits: Limits, limit: str):
    """Two calls at once cannot both take the last of it; the message names the limit."""
    budget = Budget(limits)
    budget.reserve(SMALL)
    with pytest.raises(BudgetExceeded) as raised:
        budget.reserve(SMALL)
    assert raised.value.limit == limit
    assert budget.spent.calls == 1


def test_what_was_not_needed_is_given_back():
    """A call that cost less than it might have leaves room."""
    budget = Budget(Limits(tokens=45))
    budget.reserve(SMALL)
    budget.settle(SMALL, Cost(tokens_in=5, tokens_out=5, usd=0.01))
    budget.reserve(Cost(tokens_in=30, tokens_out=5))
    with pytest.raises(BudgetExceeded):
        budget.reserve(Cost(tokens_in=1))


def test_what_nobody_waited_for_stays_reserved():
    """It may have been charged."""
    budget = Budget(Limits(tokens=39))
    budget.reserve(SMALL)
    budget.settle(SMALL, Cost(usd=0.0), is_failed=True, is_abandoned=True)
    with pytest.raises(BudgetExceeded):
        budget.reserve(SMALL)
    assert (budget.spent.failed, budget.spent.abandoned, budget.spent.tokens) == (1, 1, 0)


def test_a_child_spends_from_all_above_it():
    """And is refused where one of them has nothing left, with nothing reserved anywhere."""
    top = Budget(Limits(calls=2, depth=2))
    child = top.child(Limits(depth=5))
    other = top.child(Limits(calls=10))
    child.reserve(SMALL)
    other.reserve(SMALL)
    with pytest.raises(BudgetExceeded):
        child.reserve(SMALL)
    assert (top.spent.calls, child.spent.calls, other.spent.calls) == (2, 1, 1)
    assert child.limits.depth == 1


def test_no_run_lies_below_the_last_depth():
    """BudgetExceeded, naming depth."""
    budget = Budget(Limits(depth=1)).child(Limits())
    with pytest.raises(BudgetExceeded) as raised:
        budget.child(Limits())
    assert raised.value.limit == "depth"


def test_after_its_seconds_nothing_is_reserved():
    """Its own, or those of one above."""
    late = Budget(Limits(seconds=0.0, depth=1))
    for budget in (late, late.child(Limits(seconds=60.0))):
        assert (budget.seconds_left() or 0.0) <= 0.0
        with pytest.raises(BudgetExceeded) as raised:
            budget.reserve(SMALL)
        assert raised.value.limit == "seconds"


def test_a_price_that_is_not_known_is_counted_apart():
    """In no sum of dollars; the token limits rule."""
    budget = Budget(Limits(usd=0.0, tokens=100))
    unknown = Cost(tokens_in=20, tokens_out=20)
    budget.reserve(unknown)
    budget.settle(unknown, unknown)
    assert (budget.spent.usd, budget.spent.unpriced) == (0.0, 1)


def test_what_is_left_is_told_in_a_line():
    """As the root model reads it."""
    budget = Budget(Limits(calls=200, tokens=2_000_000, usd=2.0, depth=2))
    budget.reserve(SMALL)
    budget.settle(SMALL, Cost(tokens_in=1_000, tokens_out=34, usd=0.25))
    assert budget.told() == "budget: calls 1 of 200, tokens 1,034 of 2,000,000, $0.2500 of $2.00; depth left 2"
    assert "s left" in Budget(Limits(seconds=60.0)).told()
    assert Budget(Limits()).told() == "budget: calls 0, tokens 0; depth left 2"
