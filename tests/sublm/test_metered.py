"""Asking within a budget: cached, in one flight, retried, capped, redacted; every request stands in the Ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.costs import Cost, Limits, Spent
from rlm_mcp.errors import (
    BudgetExceeded,
    Cancelled,
    StoreFull,
    SubLMBusy,
    SubLMError,
    SubLMRefused,
    SubLMTimeout,
)
from rlm_mcp.store.database import Store
from rlm_mcp.store.ledger import Caps, StoreLedger
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.sublm.metered import Asked, Metered, Purpose
from rlm_mcp.sublm.scripted import Said, Script
from tests.sublm.rig import NO_CAPS, PURPOSE, Rig, scripted

Make = Callable[..., Rig]
FREE = Cost(usd=0.0)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Make]:
    """Makes rigs over the double; all share one store."""
    made: list[Rig] = []

    def make(script: Script | list[Said], **given: object) -> Rig:
        made.append(scripted(tmp_path / "store", script, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def echo(request: Request) -> str:
    return f"echo: {request.prompt}"


def until(promise: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    for _ in range(4_000):
        if promise():
            return
        threading.Event().wait(0.005)
    raise TimeoutError("it did not come to pass")


def test_the_same_question_is_paid_once(rig: Make):
    """The second answer costs nothing and says that it is cached."""
    one = rig(echo)
    first, second = one.ask("what?"), one.ask("what?")
    assert (first.text, first.cost.tokens > 0) == ("echo: what?", True)
    assert (second.text, second.cost, second.worth) == ("echo: what?", FREE, first.cost)
    assert len(one.backend.requests) == 1
    assert (one.budget.spent.calls, one.budget.spent.cached) == (1, 1)
    assert [row["status"] for row in one.rows()] == ["ok", "cached"]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "other"}, {"system": "s"}, {"max_tokens": 7}, {"temperature": 0.5}, {"schema": "{}"},
        {"history": (("a", "b"),)},
    ],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_another_question_is_asked(rig: Make, fields: dict[str, object]):
    """Whatever differs of what is sent."""
    one = rig(echo)
    one.ask("what?")
    assert one.ask("what?", **fields).cost != FREE


def test_the_default_model_and_its_name_are_the_same(rig: Make):
    """A question that names the model that would be asked anyway."""
    one = rig(echo)
    one.ask("what?")
    assert one.ask("what?", model="scripted").cost == FREE


def test_another_process_finds_the_answer(rig: Make):
    """The cache lies in the store."""
    rig(echo).ask("what?")
    other = rig([])
    assert other.ask("what?").text == "echo: what?"
    assert other.backend.requests == []


def test_an_answer_costs_nothing_when_the_budget_is_at_its_end(rig: Make):
    """A cached one is no call."""
    rig(echo).ask("what?")
    assert rig(echo, limits=Limits(calls=0)).ask("what?").cost == FREE


def test_a_failure_is_not_kept(rig: Make):
    """The next one asks again."""
    one = rig([SubLMRefused("no"), "yes"])
    with pytest.raises(SubLMRefused):
        one.ask("what?")
    assert one.ask("what?").text == "yes"


def test_fifty_identical_prompts_are_paid_once(rig: Make):
    """The others wait for the first."""
    gate = threading.Event()

    def script(_request: Request) -> str:
        gate.wait(20)
        return "only once"

    one = rig(script)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(one.ask_all, ["the same"] * 50, 50)
        until(lambda: len(one.backend.requests) == 1)
        gate.set()
        found = asking.result(20)
    assert [asked.text for asked in found] == ["only once"] * 50
    assert len(one.backend.requests) == 1
    assert one.budget.spent.calls == 1
    assert sum(asked.cost == FREE for asked in found) == one.budget.spent.cached == 49


def second_waits(one: Rig, pool: ThreadPoolExecutor, stop: Stop):
    """Ask the same again, and wait until it waits for the first."""
    asking = pool.submit(one.metered.ask, Request(prompt="the same"), one.budget, stop, PURPOSE)
    until(lambda: len(stop._wakers) == 1)
    return asking


def test_a_refusal_of_the_first_is_one_for_all(rig: Make):
    """The same question again would be refused as well."""
    gate = threading.Event()

    def script(_request: Request) -> Said:
        gate.wait(20)
        return SubLMRefused("never")

    one = rig(script)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.ask, "the same")
        until(lambda: len(one.backend.requests) == 1)
        second = second_waits(one, pool, Stop())
        gate.set()
        for asking in (first, second):
            with pytest.raises(SubLMRefused, match="never"):
                asking.result(20)
    assert len(one.backend.requests) == 1


def test_who_waits_asks_itself_when_the_first_is_cancelled(rig: Make):
    """Another's end is not one's own."""
    gate = threading.Event()

    def script(_request: Request) -> Said:
        if len(one.backend.requests) == 1:
            gate.wait(20)
            return Cancelled("cancelled")
        return "second"

    one = rig(script)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.ask, "the same")
        until(lambda: len(one.backend.requests) == 1)
        second = second_waits(one, pool, Stop())
        gate.set()
        with pytest.raises(Cancelled):
            first.result(20)
        assert second.result(20).text == "second"


def test_who_waits_can_be_cancelled(rig: Make):
    """And the first goes on."""
    gate = threading.Event()

    def script(_request: Request) -> Said:
        gate.wait(20)
        return "first"

    one, stop = rig(script), Stop()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.ask, "the same")
        until(lambda: len(one.backend.requests) == 1)
        second = second_waits(one, pool, stop)
        stop.now()
        with pytest.raises(Cancelled):
            second.result(20)
        gate.set()
        assert first.result(20).text == "first"


def test_a_busy_backend_is_asked_again(rig: Make):
    """Each try is a call; those that failed are counted."""
    one = rig([SubLMBusy("429", after_seconds=0.0), SubLMBusy("500", after_seconds=0.0), "at last"])
    assert one.ask("what?").text == "at last"
    assert (one.budget.spent.calls, one.budget.spent.failed) == (3, 2)
    assert [row["status"] for row in one.rows()] == ["failed", "failed", "ok"]


def test_after_five_tries_it_is_given_up(rig: Make):
    """With the last error."""
    one = rig(lambda _request: SubLMBusy("still busy", after_seconds=0.0))
    with pytest.raises(SubLMBusy, match="still busy"):
        one.ask("what?")
    assert len(one.backend.requests) == 5


def test_a_final_refusal_is_not_tried_again(rig: Make):
    """One request."""
    one = rig([SubLMRefused("no"), "never asked"])
    with pytest.raises(SubLMRefused):
        one.ask("what?")
    assert len(one.backend.requests) == 1


def test_an_endpoint_that_wants_a_long_pause_is_not_waited_for(rig: Make):
    """Longer than there is time, or than anybody would wait: its error, at once."""
    for limits in (Limits(seconds=5.0), Limits()):
        one = rig([SubLMBusy("later", after_seconds=3_600.0), "never asked"], limits=limits)
        with pytest.raises(SubLMBusy, match="later"):
            one.ask("what?")
        assert len(one.backend.requests) == 1


def test_an_answer_that_was_lost_is_asked_for_once_more(rig: Make):
    """It may have been charged, so not five times; what was reserved stays so."""
    one = rig(lambda _request: SubLMBusy("lost", after_seconds=0.0, may_be_charged=True))
    with pytest.raises(SubLMBusy):
        one.ask("what?")
    assert len(one.backend.requests) == 2
    assert (one.budget.spent.failed, one.budget.spent.abandoned) == (2, 2)
    assert [row["status"] for row in one.rows()] == ["abandoned", "abandoned"]


def test_a_request_that_takes_too_long_is_asked_once_more(rig: Make):
    """Its own time is over, not the asker's."""
    one = rig(echo, seconds=600.0, call_seconds=0.01)
    with pytest.raises(SubLMBusy, match="no answer within"):
        one.ask("what?")
    assert len(one.backend.requests) == 2


def test_when_the_askers_time_is_over_it_is_over(rig: Make):
    """SubLMTimeout, after one request."""
    one = rig(echo, seconds=600.0)
    one.stop = Stop(seconds=1.0)
    with pytest.raises(SubLMTimeout):
        one.ask("what?")
    assert [row["status"] for row in one.rows()] == ["abandoned"]


def test_a_pause_ends_when_it_is_told(rig: Make):
    """Nobody waits for the next try."""
    one = rig(lambda _request: SubLMBusy("busy", after_seconds=100.0))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(one.ask, "what?")
        until(lambda: bool(one.rows()) and one.rows()[0]["status"] == "failed")
        one.stop.now()
        with pytest.raises(Cancelled):
            asking.result(20)
    assert len(one.backend.requests) == 1


def empty(**fields: Any) -> Reply:
    """A reply without text."""
    return Reply(text=" \n", usage=Usage(tokens_in=100, tokens_out=50), model="scripted", **fields)


@pytest.mark.parametrize(
    ("reply", "kind", "said", "tries"),
    [
        (empty(is_cut=True), SubLMRefused, "used up all 8,192 tokens", 2),
        (empty(refusal="I cannot"), SubLMRefused, "I cannot", 1),
        (empty(instead="finish_reason 'tool_calls'"), SubLMBusy, "without a text .finish_reason 'tool_calls'.", 2),
    ],
)
def test_an_answer_without_text_is_an_error_that_is_paid(rig: Make, reply: Reply, kind: type, said: str, tries: int):
    """Typed by its reason, and asked for at most once more; the tokens stand in budget and Ledger."""
    one = rig([reply] * 5)
    with pytest.raises(kind, match=said):
        one.ask("what?")
    assert len(one.backend.requests) == tries
    assert (one.rows()[0]["status"], one.rows()[0]["tokens_in"], one.rows()[0]["tokens_out"]) == ("failed", 100, 50)
    assert one.budget.spent.tokens == one.spent().tokens == tries * 150
    assert one.budget.spent.usd == pytest.approx(tries * 0.0006)


def test_a_model_that_thinks_up_all_its_tokens_gets_more_of_them(rig: Make):
    """Once; where that helps, from the beginning from then on. The answer is found again under the first question."""
    one = rig(lambda request: "thought well" if request.max_tokens >= 400 else empty(is_cut=True))
    assert one.ask("what?", max_tokens=100).text == "thought well"
    assert one.ask("and then?", max_tokens=100).text == "thought well"
    assert one.ask("and now?", max_tokens=500).text == "thought well"
    assert [request.max_tokens for request in one.backend.requests] == [100, 400, 400, 500]
    assert one.ask("what?", max_tokens=100).cost == FREE


def test_where_there_is_no_room_for_more_tokens_the_first_failure_stands(rig: Make):
    """It is no limit of the Run that was reached."""
    one = rig([empty(is_cut=True)], limits=Limits(tokens=600))
    with pytest.raises(SubLMRefused, match="give it a larger max_tokens"):
        one.ask("what?", max_tokens=300)


def test_where_more_tokens_are_refused_the_first_failure_stands(rig: Make):
    """That they are too many is nothing that whoever asked has done."""
    one = rig([empty(is_cut=True), SubLMRefused("at most 300")])
    with pytest.raises(SubLMRefused, match="used up all 300 tokens"):
        one.ask("what?", max_tokens=300)


def test_who_cannot_say_how_long_a_reply_may_be_is_told_of_another_cure(rig: Make):
    """The model that leads a Run."""
    one = rig([empty(is_cut=True)] * 2, purpose=Purpose(run="", session="s1", what="root"))
    with pytest.raises(SubLMRefused, match="anything; ask a model that thinks less"):
        one.ask("what?")


@pytest.mark.parametrize("width", [1, 4, 16])
def test_no_more_calls_than_allowed(rig: Make, width: int):
    """What was answered is kept; the rest says why not."""
    one = rig(echo, limits=Limits(calls=3))
    found = one.ask_all([f"q{number}" for number in range(40)], width)
    assert len(one.backend.requests) == 3
    assert sum(isinstance(asked, Asked) for asked in found) == 3
    assert all(error.limit == "calls" for error in found if not isinstance(error, Asked))
    assert len(found) == 40


@pytest.mark.parametrize("width", [1, 16])
@pytest.mark.parametrize("limits", [Limits(tokens=5_000), Limits(usd=0.05)])
def test_tokens_and_dollars_are_never_passed(rig: Make, limits: Limits, width: int):
    """Reserved before they are spent, so they are not passed by those under way either."""
    one = rig(lambda _request: "word " * 300, limits=limits)
    found = one.ask_all([f"question {number}" for number in range(60)], width, max_tokens=320)
    spent = one.budget.spent
    assert 0 < len(one.backend.requests) < 60
    assert limits.tokens is None or spent.tokens <= limits.tokens
    assert limits.usd is None or spent.usd <= limits.usd
    assert any(isinstance(error, BudgetExceeded) for error in found)


@pytest.mark.parametrize("limits", [Limits(tokens=6_000), Limits(usd=0.06)])
def test_a_batch_comes_as_far_as_the_same_questions_one_after_the_other(rig: Make, limits: Limits):
    """What is only reserved for those under way ends nothing: the others wait for it."""
    one = rig(lambda _request: "word", seconds=0.002, limits=limits)
    found = one.ask_all([f"question {number}" for number in range(60)], 16)
    assert all(isinstance(asked, Asked) for asked in found)
    assert one.budget.spent.calls == 60


def test_a_batch_that_waits_for_room_ends_at_once_when_it_is_told(rig: Make):
    """With one request under way, and no call counted that was not sent."""

    def script(request: Request) -> str:
        one.stop._event.wait(20)
        return echo(request)

    one = rig(script, limits=Limits(tokens=3_000))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(one.ask_all, [f"q{number}" for number in range(10_000)], 16)
        until(lambda: len(one.budget._queue._places) == 15)
        one.stop.now()
        found = asking.result(20)
    assert len(found) == 10_000
    assert one.budget.spent.calls == len(one.backend.requests) == len(one.rows()) == 1


def test_a_cap_of_the_session_that_is_only_reserved_is_waited_for(rig: Make):
    """Each asks for itself; the Ledger is what they share."""
    one = rig(echo, seconds=0.002, caps=Caps(session_tokens=3_000, session_usd=9.0, day_tokens=10**9, day_usd=9.0))
    found = one.ask_all([f"q{number}" for number in range(12)], 6)
    assert all(isinstance(asked, Asked) for asked in found)
    assert one.budget.spent.calls == one.spent().calls == 12


def test_a_call_that_a_cap_refuses_is_no_call(rig: Make):
    """Neither in the budget nor in the Ledger: nothing was sent."""
    one = rig(echo, caps=Caps(session_tokens=10**9, session_usd=9.0, day_tokens=0, day_usd=9.0))
    with pytest.raises(BudgetExceeded, match=r"raise day_tokens in config\.toml"):
        one.ask("what?")
    assert (one.budget.spent, one.spent(), one.backend.requests) == (Spent(), Spent(), [])


def test_a_call_that_nobody_waits_for_before_it_is_sent_is_no_call(rig: Make):
    """Told while the Ledger noted it: that is taken back."""
    one = rig(echo)
    lends = iter(range(10))

    @contextmanager
    def telling() -> Iterator[Store]:
        if next(lends) == 1:
            one.stop.now()
        with one.stores.lend() as store:
            yield store

    lend: Callable[[], AbstractContextManager[Store]] = telling
    with pytest.raises(Cancelled):
        Metered(one.backend, StoreLedger(lend, NO_CAPS)).ask(Request(prompt="q"), one.budget, one.stop, PURPOSE)
    assert (one.budget.spent, one.spent(), one.backend.requests) == (Spent(), Spent(), [])
    with one.stores.lend() as store:
        assert {row["tokens"] for row in store.connection.execute("SELECT tokens FROM cap")} == {0}


def test_after_its_seconds_nothing_is_sent(rig: Make):
    """Not one request."""
    one = rig(echo, limits=Limits(seconds=0.0))
    with pytest.raises(BudgetExceeded):
        one.ask("what?")
    assert one.backend.requests == []


def test_a_retry_is_a_call_too(rig: Make):
    """The limit ends it in the middle."""
    one = rig(lambda _request: SubLMBusy("busy", after_seconds=0.0), limits=Limits(calls=2))
    with pytest.raises(BudgetExceeded):
        one.ask("what?")
    assert len(one.backend.requests) == 2


@pytest.mark.parametrize(
    ("caps", "limit"),
    [
        (Caps(session_tokens=2_000, session_usd=9.0, day_tokens=10**9, day_usd=9.0), "tokens"),
        (Caps(session_tokens=10**9, session_usd=0.02, day_tokens=10**9, day_usd=9.0), "usd"),
        (Caps(session_tokens=10**9, session_usd=9.0, day_tokens=2_000, day_usd=9.0), "tokens"),
        (Caps(session_tokens=10**9, session_usd=9.0, day_tokens=10**9, day_usd=0.02), "usd"),
    ],
)
def test_the_caps_of_session_and_day_hold_over_all_budgets(rig: Make, caps: Caps, limit: str):
    """Each asker has a fresh budget, and they share the store."""
    sent = 0
    for number in range(10):
        one = rig(lambda _request: "word " * 200, caps=caps)
        found = one.ask_all([f"{number} {place}" for place in range(4)], 4, max_tokens=210)
        sent += len(one.backend.requests)
    assert 0 < sent < 40
    assert found[-1].limit == limit
    assert one.spent().tokens <= 2_000 or limit == "usd"
    assert one.spent().usd <= 0.02 or limit == "tokens"
    assert rig(echo, caps=caps).budget.spent == Spent()


def test_an_unknown_price_leaves_the_token_limits_in_force(rig: Make):
    """And it is said how many calls have no price."""
    one = rig(echo, limits=Limits(usd=0.0001, tokens=10_000), prices={})
    assert one.ask("what?", model="never-heard-of").cost.usd is None
    assert (one.budget.spent.unpriced, one.spent().unpriced) == (1, 1)


def test_a_model_that_counts_more_than_was_estimated_is_reserved_more_for(rig: Make):
    """From the next call on."""
    greedy = Reply(text="ok", usage=Usage(tokens_in=1_500, tokens_out=1), model="scripted")
    one = rig(lambda _request: greedy)
    request = Request(prompt="word " * 400, model="scripted")
    assert one.metered.most(request).tokens_in < 500
    one.ask("word " * 400)
    assert one.metered.most(request).tokens_in >= 1_500


def test_answers_come_in_the_order_of_the_questions(rig: Make):
    """Also when later ones are answered first, and with errors in their places."""

    def script(request: Request) -> Said:
        return SubLMRefused("odd") if int(request.prompt) % 7 == 3 else request.prompt

    found = rig(script).ask_all([str(number) for number in range(100)], 16)
    assert [getattr(one, "text", "odd") for one in found] == [
        "odd" if number % 7 == 3 else str(number) for number in range(100)
    ]


def test_never_more_at_once_than_the_width(rig: Make):
    """Nor more threads, however many wait."""
    most: list[int] = []

    def script(_request: Request) -> str:
        most.append(sum(thread.name.startswith("rlm-mcp ask") for thread in threading.enumerate()))
        return "ok"

    one = rig(script)
    assert len(one.ask_all([f"q{number}" for number in range(1_000)], 5)) == 1_000
    assert one.backend.most_at_once <= 5
    assert max(most) <= 5
    assert len(one.stop._children) <= 1


def test_nothing_is_sent_after_it_was_told_to_stop(rig: Make):
    """What was answered before is kept; all others say Cancelled."""

    def script(request: Request) -> str:
        if request.prompt == "q9":
            one.stop.now()
        return "ok"

    one = rig(script)
    found = one.ask_all([f"q{number}" for number in range(100)], 1)
    assert [isinstance(asked, Asked) for asked in found] == [True] * 10 + [False] * 90
    assert all(isinstance(error, Cancelled) for error in found[10:])
    assert len(one.backend.requests) == 10


def test_the_end_of_the_time_ends_a_batch(rig: Make):
    """One request under way, none after it."""
    one = rig(echo, seconds=600.0)
    one.stop = Stop(seconds=1.0)
    found = one.ask_all([f"q{number}" for number in range(50)], 2)
    assert all(isinstance(error, SubLMTimeout) for error in found)
    assert len(one.backend.requests) == 2


def test_no_questions_no_answers(rig: Make):
    """An empty list."""
    assert rig(echo).ask_all([]) == []


def test_a_ledger_that_cannot_be_written_ends_the_batch(rig: Make, tmp_path: Path):
    """Nothing is sent that cannot be noted; whoever asked hears of it."""
    one = rig(echo)
    lends = iter(range(1_000))

    @contextmanager
    def failing() -> Iterator[Store]:
        if next(lends) >= 20:
            raise StoreFull("the disk is full")
        with one.stores.lend() as store:
            yield store

    lend: Callable[[], AbstractContextManager[Store]] = failing
    metered = Metered(one.backend, StoreLedger(lend, NO_CAPS))
    requests = [Request(prompt=f"q{number}") for number in range(100)]
    with pytest.raises(StoreFull):
        metered.ask_all(requests, one.budget, one.stop, PURPOSE, width=4)
    assert len(one.backend.requests) < 20
    assert not one.stop.is_told


SECRET = "ghp_" + "a1B2" * 9


def test_no_secret_is_sent_nor_kept(rig: Make):
    """Wherever it stands in the question."""
    one = rig(echo)
    text = f"token {SECRET} end"
    one.ask(text, system=text, history=((text, text),), schema=f'{{"const": "{SECRET}"}}')
    (sent,) = one.backend.requests
    assert SECRET not in repr(sent)
    assert repr(sent).count("[REDACTED") == 5


def test_what_text_cannot_hold_is_replaced(rig: Make):
    """Half a surrogate pair in a question or an answer is no reason to lose what was paid."""
    one = rig(["odd \ud800 answer"])
    assert one.ask("odd \udc00 question \0").text == "odd ? answer"
    one.backend.requests[0].prompt.encode("utf-8")


def test_every_request_has_its_row(rig: Make):
    """Of whom, for what, and what came of it."""
    one = rig(["ok", SubLMRefused("no")])
    one.ask("one")
    with pytest.raises(SubLMError):
        one.ask("two")
    one.ask("one")
    rows = one.rows("session_key, backend, model, purpose, status")
    assert [tuple(row.values()) for row in rows] == [
        ("s1", "scripted", "scripted", "llm_query", status) for status in ("ok", "failed", "cached")
    ]


def test_budget_and_ledger_agree(rig: Make):
    """To the token and the cent."""

    def script(request: Request) -> Said:
        return SubLMBusy("busy", after_seconds=0.0) if request.prompt in {"q3", "q4"} else "word " * 9

    one = rig(script)
    one.ask_all([f"q{number % 30}" for number in range(60)], 6)
    ours, theirs = one.budget.spent, one.spent()
    assert (ours.calls, ours.tokens_in, ours.tokens_out) == (theirs.calls, theirs.tokens_in, theirs.tokens_out)
    assert (ours.cached, ours.failed, ours.abandoned) == (theirs.cached, theirs.failed, theirs.abandoned)
    assert ours.usd == pytest.approx(theirs.usd)


def test_a_model_that_refuses_whatever_it_is_asked_is_not_asked_again(rig: Make):
    """Within one tree of budgets; another question of a user looks again, and other models are asked."""

    def script(request: Request) -> Said:
        return SubLMRefused("no such model", model=request.model) if request.model == "wrong" else "ok"

    one = rig(script)
    for _ in range(3):
        with pytest.raises(SubLMRefused, match="no such model"):
            one.ask("what?", model="wrong")
    assert (len(one.backend.requests), one.budget.spent.calls, len(one.rows())) == (1, 1, 1)
    child = one.budget.child(Limits())
    with pytest.raises(SubLMRefused, match="no such model"):
        one.metered.ask(Request(prompt="then?", model="wrong"), child, one.stop, PURPOSE)
    assert len(one.backend.requests) == 1
    assert one.ask("what?").text == "ok"
    one.budget = Budget(Limits())
    with pytest.raises(SubLMRefused, match="no such model"):
        one.ask("what?", model="wrong")
    assert len(one.backend.requests) == 3


@pytest.mark.parametrize("width", [1, 8])
def test_a_batch_to_a_model_that_refuses_whatever_it_is_asked_ends_at_once(rig: Make, width: int):
    """With the same error in every place."""
    one = rig(lambda request: SubLMRefused("no such model", model=request.model))
    found = one.ask_all([f"q{number}" for number in range(1_000)], width, model="wrong")
    assert len(one.backend.requests) <= width
    assert {str(error) for error in found} == {"no such model"}
