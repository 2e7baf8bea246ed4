"""Whatever is asked in whatever order, by whatever threads: no limit is passed, and sums agree."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_mcp.costs import Cost, Limits
from rlm_mcp.errors import BudgetExceeded, Cancelled, SubLMTimeout
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Stop

LIMITS = st.builds(
    Limits,
    calls=st.none() | st.integers(0, 20),
    tokens=st.none() | st.integers(0, 2_000),
    usd=st.none() | st.integers(0, 50).map(float),
    depth=st.integers(0, 3),
)
MOST = st.builds(
    Cost, tokens_in=st.integers(0, 200), tokens_out=st.integers(0, 200), usd=st.none() | st.integers(0, 5).map(float)
)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["child", "reserve", "settle", "abandon", "give back", "cached"]), st.integers(0, 99), MOST
    )
)


@dataclass
class Node:
    """A Budget as it should be."""

    budget: Budget
    above: Node | None
    own: list[Cost] = field(default_factory=list)
    below: list[Node] = field(default_factory=list)

    def all(self) -> list[Cost]:
        """Spent here and below."""
        return self.own + [cost for node in self.below for cost in node.all()]


def part(most: Cost, share: int) -> Cost:
    """A cost not above what was reserved."""
    usd = None if most.usd is None else float(int(most.usd * share / 99))
    return Cost(tokens_in=most.tokens_in * share // 99, tokens_out=most.tokens_out * share // 99, usd=usd)


def check(nodes: list[Node]) -> None:
    """Sums agree, and no limit is passed."""
    for node in nodes:
        spent, limits, costs = node.budget.spent, node.budget.limits, node.all()
        assert spent.tokens == sum(cost.tokens for cost in costs)
        assert spent.usd == sum(cost.usd or 0.0 for cost in costs)
        assert limits.calls is None or spent.calls <= limits.calls
        assert limits.tokens is None or spent.tokens <= limits.tokens
        assert limits.usd is None or spent.usd <= limits.usd


@given(LIMITS, ACTS, st.data())
def test_sums_agree_and_no_limit_is_passed_in_any_order(limits: Limits, acts: list, data: st.DataObject):
    """One thread, any tree, any order of children, calls and ends."""
    nodes = [Node(budget=Budget(limits), above=None)]
    under_way: list[tuple[Node, Cost]] = []
    for act, pick, most in acts:
        node = nodes[pick % len(nodes)]
        with suppress(BudgetExceeded, SubLMTimeout):
            if act == "child":
                child = Node(budget=node.budget.child(data.draw(LIMITS)), above=node)
                node.below.append(child)
                nodes.append(child)
            elif act == "reserve":
                node.budget.reserve(most, Stop(seconds=0.0))
                under_way.append((node, most))
            elif act == "cached":
                node.budget.count_cached()
        if act == "give back" and under_way:
            node, reserved = under_way.pop(pick % len(under_way))
            node.budget.give_back(reserved)
        if act in {"settle", "abandon"} and under_way:
            node, reserved = under_way.pop(pick % len(under_way))
            cost = part(reserved, pick) if act == "settle" else Cost(usd=0.0)
            node.budget.settle(reserved, cost, is_failed=act == "abandon", is_abandoned=act == "abandon")
            node.own.append(cost)
        check(nodes)


@pytest.mark.parametrize("threads", [2, 8])
@settings(max_examples=20, deadline=None)
@given(LIMITS, st.lists(st.tuples(st.integers(0, 3), MOST, st.integers(0, 99)), min_size=20, max_size=60))
def test_no_interleaving_of_threads_passes_a_limit(threads: int, limits: Limits, calls: list):
    """The spent never lies above a limit, looked at while others work and wait; every wait comes to an end.

    What is refused does not fit beside what is spent, and never will.
    """
    top = Budget(limits)
    tree = [top]
    for above in (0, 0, 1):
        try:
            tree.append(tree[above].child(Limits(calls=10, tokens=1_500)))
        except (BudgetExceeded, IndexError):
            tree.append(top)
    begin = threading.Barrier(threads)
    settled: list[int] = []
    refused: list[tuple[Budget, Cost]] = []

    def work(mine: list) -> None:
        begin.wait(20)
        for pick, most, share in mine:
            budget = tree[pick]
            try:
                budget.reserve(most, Stop(seconds=60.0))
            except BudgetExceeded:
                refused.append((budget, most))
                continue
            for one in tree:
                spent, own = one.spent, one.limits
                assert own.calls is None or spent.calls <= own.calls
                assert own.tokens is None or spent.tokens <= own.tokens
            cost = part(most, share)
            budget.settle(most, cost)
            settled.append(cost.tokens)

    with ThreadPoolExecutor(threads) as pool:
        for one in [pool.submit(work, calls[number::threads]) for number in range(threads)]:
            one.result(120)
    assert top.spent.tokens == sum(settled)
    assert top.spent.calls == len(settled)
    for budget, most in refused:
        with pytest.raises(BudgetExceeded):
            budget.reserve(most, Stop(seconds=0.0))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 99), st.booleans()), min_size=8, max_size=40),
    st.integers(1, 600),
)
def test_who_is_told_to_stop_while_it_waits_leaves_nothing_behind(calls: list, tokens: int):
    """Some are told before, some while they wait, in any order: all end, and what is left can be spent."""
    budget = Budget(Limits(tokens=tokens))
    sent: list[int] = []
    stops = [Stop(seconds=60.0) for _ in calls]

    def ask(place: int) -> None:
        size, share, tells = calls[place]
        if tells:
            stops[(place + 1) % len(stops)].now()
        most = Cost(tokens_in=size)
        try:
            budget.reserve(most, stops[place])
        except (BudgetExceeded, Cancelled):
            return
        budget.settle(most, part(most, share))
        sent.append(part(most, share).tokens)

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(ask, place) for place in range(len(calls))]:
            one.result(120)
    spent = budget.spent
    assert (spent.calls, spent.tokens) == (len(sent), sum(sent))
    budget.reserve(Cost(tokens_in=tokens - spent.tokens), Stop(seconds=0.0))
