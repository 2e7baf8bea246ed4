"""Budgets: what is reserved counts, what was spent stays, and children draw on their parents."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlm_mcp.costs import Cost, Limits
from rlm_mcp.errors import BudgetExceeded, Cancelled, SubLMTimeout
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Stop

SMALL = Cost(tokens_in=10, tokens_out=10, usd=0.1)
NOW = Stop(seconds=0.0)
"""Nobody waits."""


def until(promise: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    for _ in range(4_000):
        if promise():
            return
        threading.Event().wait(0.005)
    raise TimeoutError("it did not come to pass")


def waiting(budget: Budget) -> int:
    """Calls that wait for others to end."""
    return len(budget._queue._places)


def test_what_is_reserved_counts_before_it_is_spent():
    """Two calls at once cannot both take the last of it; one waits, as long as it may."""
    for limits in (Limits(tokens=39), Limits(usd=0.15)):
        budget = Budget(limits)
        budget.reserve(SMALL, NOW)
        with pytest.raises(SubLMTimeout):
            budget.reserve(SMALL, NOW)
        assert budget.spent.calls == 1


@pytest.mark.parametrize(
    ("limits", "limit"),
    [(Limits(calls=1), "calls"), (Limits(tokens=39), "tokens"), (Limits(usd=0.15), "usd")],
)
def test_what_does_not_fit_beside_what_is_spent_is_refused(limits: Limits, limit: str):
    """At once; the message names the limit, and nothing is counted."""
    budget = Budget(limits)
    budget.reserve(SMALL, NOW)
    budget.settle(SMALL, SMALL)
    with pytest.raises(BudgetExceeded) as raised:
        budget.reserve(SMALL, Stop())
    assert raised.value.limit == limit
    assert budget.spent.calls == 1


def test_a_call_that_only_reserved_money_keeps_out_waits_until_it_fits():
    """Most calls cost a part of what is reserved for them."""
    budget = Budget(Limits(usd=0.15))
    budget.reserve(SMALL, NOW)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(budget.reserve, SMALL, Stop(seconds=60))
        until(lambda: waiting(budget) == 1)
        budget.settle(SMALL, Cost(usd=0.01))
        second.result(20)
    assert budget.spent.calls == 2


def test_a_call_that_waits_is_refused_as_soon_as_it_can_never_fit():
    """The others cost all that was reserved for them."""
    budget = Budget(Limits(usd=0.15))
    budget.reserve(SMALL, NOW)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(budget.reserve, SMALL, Stop(seconds=60))
        until(lambda: waiting(budget) == 1)
        budget.settle(SMALL, SMALL)
        with pytest.raises(BudgetExceeded, match=r"\$0.1000"):
            second.result(20)
    assert budget.spent.calls == 1


def test_calls_that_wait_go_in_the_order_in_which_they_came():
    """A small one does not overtake a large one, also where another Run of the tree asks for it."""
    budget, order = Budget(Limits(tokens=100)), list[int]()
    large = Cost(tokens_in=90)

    def ask(budget: Budget, number: int, most: Cost) -> None:
        budget.reserve(most, Stop(seconds=60))
        order.append(number)
        budget.settle(most, Cost(tokens_in=1))

    budget.reserve(SMALL, NOW)
    with ThreadPoolExecutor(3) as pool:
        asking = []
        for number, (one, most) in enumerate([(budget, large), (budget.child(Limits()), SMALL), (budget, large)]):
            asking.append(pool.submit(ask, one, number, most))
            until(lambda: waiting(budget) == len(asking))
        budget.settle(SMALL, Cost(tokens_in=1))
        for one in asking:
            one.result(20)
    assert order == [0, 1, 2]


def test_a_call_that_waits_for_its_own_run_holds_up_no_other():
    """A child with limits of its own, beside one without."""
    top = Budget(Limits(tokens=1_000))
    narrow, wide = top.child(Limits(tokens=30)), top.child(Limits())
    narrow.reserve(SMALL, NOW)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(narrow.reserve, SMALL, Stop(seconds=60))
        until(lambda: waiting(top) == 1)
        wide.reserve(SMALL, NOW)
        narrow.settle(SMALL, Cost())
        second.result(20)
    assert (top.spent.calls, narrow.spent.calls) == (3, 2)


def test_a_wait_ends_when_it_is_told():
    """With nothing reserved; those behind it move on."""
    budget, stop = Budget(Limits(tokens=39)), Stop()
    budget.reserve(SMALL, NOW)
    with ThreadPoolExecutor(2) as pool:
        told = pool.submit(budget.reserve, Cost(tokens_in=39), stop)
        until(lambda: waiting(budget) == 1)
        behind = pool.submit(budget.reserve, Cost(tokens_in=19), Stop(seconds=60))
        until(lambda: waiting(budget) == 2)
        stop.now()
        with pytest.raises(Cancelled):
            told.result(20)
        behind.result(20)
    assert budget.spent.calls == 2


def test_a_wait_ends_with_the_budgets_own_time():
    """Though whoever asks would wait longer."""
    budget = Budget(Limits(tokens=39, seconds=0.05))
    budget.reserve(SMALL, NOW)
    with pytest.raises(BudgetExceeded) as raised:
        budget.reserve(SMALL, Stop())
    assert raised.value.limit == "seconds"


def test_what_is_given_back_was_never_sent():
    """No call, and its room is free again."""
    budget = Budget(Limits(calls=1, tokens=20))
    budget.reserve(SMALL, NOW)
    budget.give_back(SMALL)
    assert budget.spent.calls == 0
    budget.reserve(SMALL, NOW)
    assert budget.spent.calls == 1


def test_what_was_not_needed_is_given_back():
    """A call that cost less than it might have leaves room."""
    budget = Budget(Limits(tokens=45))
    budget.reserve(SMALL, NOW)
    budget.settle(SMALL, Cost(tokens_in=5, tokens_out=5, usd=0.01))
    budget.reserve(Cost(tokens_in=30, tokens_out=5), NOW)
    with pytest.raises(SubLMTimeout):
        budget.reserve(Cost(tokens_in=1), NOW)


def test_what_nobody_waited_for_counts_as_spent():
    """It may have been charged, so nobody waits for it to be free again."""
    budget = Budget(Limits(tokens=39))
    budget.reserve(SMALL, NOW)
    budget.settle(SMALL, Cost(usd=0.0), is_failed=True, is_abandoned=True)
    with pytest.raises(BudgetExceeded):
        budget.reserve(SMALL, Stop())
    assert (budget.spent.failed, budget.spent.abandoned, budget.spent.tokens) == (1, 1, 0)


def test_a_child_spends_from_all_above_it():
    """And is refused where one of them has nothing left, with nothing reserved anywhere."""
    top = Budget(Limits(calls=2, depth=2))
    child = top.child(Limits(depth=5))
    other = top.child(Limits(calls=10))
    child.reserve(SMALL, NOW)
    other.reserve(SMALL, NOW)
    with pytest.raises(BudgetExceeded):
        child.reserve(SMALL, NOW)
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
            budget.reserve(SMALL, NOW)
        assert raised.value.limit == "seconds"


def test_a_price_that_is_not_known_is_counted_apart():
    """In no sum of dollars; the token limits rule."""
    budget = Budget(Limits(usd=0.0, tokens=100))
    unknown = Cost(tokens_in=20, tokens_out=20)
    budget.reserve(unknown, NOW)
    budget.settle(unknown, unknown)
    assert (budget.spent.usd, budget.spent.unpriced) == (0.0, 1)


def test_what_is_left_is_told_in_a_line():
    """As the root model reads it."""
    budget = Budget(Limits(calls=200, tokens=2_000_000, usd=2.0, depth=2))
    budget.reserve(SMALL, NOW)
    budget.settle(SMALL, Cost(tokens_in=1_000, tokens_out=34, usd=0.25))
    assert budget.told() == "budget: calls 1 of 200, tokens 1,034 of 2,000,000, $0.2500 of $2.00; depth left 2"
    assert "s left" in Budget(Limits(seconds=60.0)).told()
    assert Budget(Limits()).told() == "budget: calls 0, tokens 0; depth left 2"
