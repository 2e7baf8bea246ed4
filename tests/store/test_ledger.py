"""The Ledger: every request noted before it is sent, and what it cost after it; caps over all processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.costs import Call, CallEnd, CallStatus, Cost, Kept, Spent
from rlm_mcp.errors import BudgetExceeded
from rlm_mcp.store import runs
from rlm_mcp.store.ledger import Caps, StoreLedger, spent, spent_by
from rlm_mcp.store.runs import RunRow
from rlm_mcp.wiring import Stores

CAPS = Caps(session_tokens=1_000, session_usd=1.0, day_tokens=3_000, day_usd=3.0)
MOST = Cost(tokens_in=200, tokens_out=100, usd=0.3)
COST = Cost(tokens_in=100, tokens_out=50, usd=0.15)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    with Stores(Paths(home=tmp_path / "store"), Settings()) as made:
        yield made


@pytest.fixture
def ledger(stores: Stores) -> StoreLedger:
    return StoreLedger(stores.lend, CAPS)


def call(session: str = "s1", run: str = "", most: Cost = MOST) -> Call:
    return Call(run=run, session=session, backend="b", model="m", purpose="llm_query", most=most)


def ended(status: CallStatus = CallStatus.OK, cost: Cost = COST, key: str = "") -> CallEnd:
    reply = Kept(text=f"answer {key}", model="m2", cost=cost, is_cut=True) if key else None
    return CallEnd(status=status, cost=cost, seconds=0.5, key=key, reply=reply)


def sum_of(stores: Stores, **which: object) -> Spent:
    with stores.lend() as store:
        return spent(store, **which)


def test_a_reply_is_found_by_its_key(ledger: StoreLedger):
    """As it was given, with what it cost; none for another key."""
    ledger.settled(ledger.sent(call()), ended(key="k"))
    assert ledger.known("k") == Kept(text="answer k", model="m2", cost=COST, is_cut=True)
    assert ledger.known("other") is None


def test_what_is_spent_is_summed_by_session_and_time(ledger: StoreLedger, stores: Stores):
    """Failed, abandoned and cached ones are counted apart."""
    ledger.settled(ledger.sent(call()), ended())
    ledger.settled(ledger.sent(call()), ended(CallStatus.FAILED, Cost(usd=0.0)))
    ledger.settled(ledger.sent(call("s2")), ended(CallStatus.ABANDONED, Cost(usd=0.0)))
    ledger.settled(ledger.sent(call("s2")), ended(cost=Cost(tokens_in=1, tokens_out=1)))
    ledger.cached(call("s2"))
    one, two, everything = sum_of(stores, session="s1"), sum_of(stores, session="s2"), sum_of(stores)
    assert one == Spent(calls=2, tokens_in=100, tokens_out=50, usd=0.15, failed=1)
    assert two == Spent(calls=2, tokens_in=1, tokens_out=1, cached=1, failed=1, abandoned=1, unpriced=1)
    assert (everything.calls, everything.tokens) == (4, 152)
    assert sum_of(stores, since=1e12) == Spent()


def test_a_run_is_summed_with_all_below_it(ledger: StoreLedger, stores: Stores):
    """At every height of a tree."""
    for run, parent in (("r1", ""), ("r2", "r1"), ("r4", "r2"), ("r3", "")):
        row = RunRow(
            id=run, parent=parent, root="r1" if parent else run, session_key="s1", depth=bool(parent), question="q",
            scope="s", model="m", sub_model="m", backend="b", limits={}, started=0.0,
        )  # fmt: skip
        with stores.lend() as store, store.writing():
            runs.begin(store, row)
        ledger.settled(ledger.sent(call(run=run)), ended())
    assert [sum_of(stores, run=run).calls for run in ("r1", "r2", "r4", "r3")] == [3, 2, 1, 1]
    with stores.lend() as store:
        assert spent_by(store, "r1").calls == 1


def test_a_request_that_never_ended_counts_as_lost_and_stays_reserved(ledger: StoreLedger, stores: Stores):
    """Once its process was killed: it may have been charged. Until then it is under way."""
    for _ in range(3):
        ledger.sent(call())
    with pytest.raises(BudgetExceeded):
        ledger.sent(call())
    assert sum_of(stores) == Spent(calls=3, under_way=3)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    with stores.lend() as store, store.writing() as connection:
        connection.execute("UPDATE call SET pid = ? WHERE id < 3", (int(gone.stdout),))
    assert sum_of(stores) == sum_of(stores, session="s1") == Spent(calls=3, failed=2, abandoned=2, under_way=1)


def test_what_was_not_needed_leaves_room_and_what_was_abandoned_does_not(ledger: StoreLedger):
    """A cap counts what is spent and what may be."""
    ledger.settled(ledger.sent(call()), ended(CallStatus.ABANDONED, Cost(usd=0.0)))
    for _ in range(5):
        ledger.settled(ledger.sent(call()), ended(cost=Cost(tokens_in=100, tokens_out=0, usd=0.05)))
    with pytest.raises(BudgetExceeded) as raised:
        ledger.sent(call())
    assert raised.value.limit == "tokens"
    assert "this session" in str(raised.value)


def test_the_cap_of_the_day_is_over_all_sessions(ledger: StoreLedger):
    """The first that is reached is named."""
    for session in ("a", "b", "c"):
        for _ in range(3):
            ledger.sent(call(session))
    with pytest.raises(BudgetExceeded, match="today"):
        ledger.sent(call("d", most=Cost(tokens_in=301, tokens_out=0, usd=0.0)))
    ledger.sent(call("d", most=Cost(tokens_in=300, tokens_out=0, usd=0.0)))


def test_what_belongs_to_no_session_has_the_cap_of_the_day_alone(ledger: StoreLedger):
    """Else the command line could spend a session's worth once and for all."""
    for _ in range(9):
        ledger.sent(call(""))
    with pytest.raises(BudgetExceeded, match="today"):
        ledger.sent(call("", most=Cost(tokens_in=301, tokens_out=0)))


def test_dollars_are_capped_too(ledger: StoreLedger):
    """And an unknown price counts for none."""
    dear = Cost(tokens_in=1, tokens_out=1, usd=0.6)
    ledger.sent(call(most=dear))
    with pytest.raises(BudgetExceeded) as raised:
        ledger.sent(call(most=dear))
    assert raised.value.limit == "usd"
    ledger.sent(call(most=Cost(tokens_in=1, tokens_out=1)))


def test_a_refused_call_leaves_nothing_behind(ledger: StoreLedger, stores: Stores):
    """No row, nothing reserved."""
    with pytest.raises(BudgetExceeded):
        ledger.sent(call(most=Cost(tokens_in=9_999, tokens_out=0)))
    assert sum_of(stores) == Spent()
    for _ in range(3):
        ledger.sent(call())


def test_many_threads_and_ledgers_pass_no_cap(stores: Stores):
    """Two Ledgers over one store, as two processes have them."""
    ledgers = [StoreLedger(stores.lend, CAPS) for _ in range(2)]
    small = Cost(tokens_in=10, tokens_out=10, usd=0.001)

    def work(number: int) -> int:
        own = ledgers[number % 2]
        try:
            sent = own.sent(call("s1", most=small))
        except BudgetExceeded:
            return 0
        own.settled(sent, ended(cost=Cost(tokens_in=10, tokens_out=10, usd=0.001)))
        return 20

    with ThreadPoolExecutor(8) as pool:
        tokens = sum(pool.map(work, range(200)))
    assert tokens == sum_of(stores).tokens == 1_000


def refusal(ledger: StoreLedger) -> BudgetExceeded:
    """Of one more call."""
    with pytest.raises(BudgetExceeded) as raised:
        ledger.sent(call())
    return raised.value


def test_a_refusal_says_whether_it_is_only_for_calls_under_way(ledger: StoreLedger, stores: Stores):
    """Those of a living process may cost less than is reserved; what the dead reserved stays so."""
    numbers = [ledger.sent(call()) for _ in range(3)]
    assert refusal(ledger).may_pass
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with stores.lend() as store, store.writing():
        store.connection.execute("UPDATE call SET pid = ?", (gone.pid,))
    assert not refusal(ledger).may_pass
    for number in numbers:
        ledger.settled(number, ended(cost=MOST))
    assert not refusal(ledger).may_pass


def test_a_refusal_names_the_setting_that_allows_more(ledger: StoreLedger, stores: Stores):
    """Of the session or the day, of tokens or dollars."""
    ledger.settled(ledger.sent(call()), ended(cost=Cost(tokens_in=900, usd=0.1)))
    assert "raise session_tokens in config.toml" in str(refusal(ledger))
    day = StoreLedger(stores.lend, Caps(session_tokens=10**6, session_usd=9.0, day_tokens=10**6, day_usd=0.2))
    assert "raise day_usd in config.toml" in str(refusal(day))


def test_what_was_not_sent_after_all_leaves_no_trace(ledger: StoreLedger, stores: Stores):
    """No row, and nothing against the caps."""
    for _ in range(10):
        ledger.unsent(ledger.sent(call()))
    assert sum_of(stores) == Spent()
