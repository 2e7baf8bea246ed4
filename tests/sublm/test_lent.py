"""rlm_mcp.sublm.lent: requests that a client's mod takes, and what it gives back. The mod is played by a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from rlm_mcp.errors import Cancelled, SubLMBusy, SubLMRefused, SubLMTimeout, SubLMUnavailable
from rlm_mcp.sublm import lent as module
from rlm_mcp.sublm.lent import LentModel
from rlm_mcp.sublm.lm import Request, Stop

USAGE = {"input_tokens": 10, "output_tokens": 3, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 30}


def answered(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"isAnswered": True, "text": f"heard {asked['prompt']}", "usage": USAGE}


class Mod:
    """What ``hooks/lend.js`` does."""

    def __init__(self, lent: LentModel, script: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> None:
        self.lent = lent
        self.script = script
        self.taken: list[Mapping[str, Any]] = []
        self.ended: list[int] = []
        self.leaves = threading.Event()
        self.changed = threading.Event()

    def serve(self) -> None:
        while not self.leaves.is_set():
            told = self.lent.take()
            self.ended += told["ended"]
            for asked in told["requests"]:
                self.taken.append(asked)
                found = self.script(asked)
                if found is not None:
                    self.lent.give({**found, "id": asked["id"]})
            if told["requests"] or told["ended"]:
                self.changed.set()


@contextmanager
def served(lent: LentModel, script: Callable[[Mapping[str, Any]], dict[str, Any] | None] = answered) -> Iterator[Mod]:
    mod = Mod(lent, script)
    thread = threading.Thread(target=mod.serve)
    thread.start()
    try:
        yield mod
    finally:
        mod.leaves.set()
        thread.join()


def test_the_mod_is_told_all_of_a_request() -> None:
    """Prompt, system text, model, limit of the reply and the time that is left."""
    lent = LentModel(model="sonnet")
    with lent.working(), served(lent) as mod:
        reply = lent.complete(Request(prompt="one", system="be brief", max_tokens=99), Stop(seconds=20.0))
        lent.complete(Request(prompt="two", model="opus", max_tokens=10**6), Stop())
    first, second = mod.taken
    assert (first["model"], first["prompt"], first["system"], first["maxTokens"]) == ("sonnet", "one", "be brief", 99)
    assert 0 < first["timeoutMs"] <= 20_000
    assert (second["model"], second["system"], second["maxTokens"]) == ("opus", "", 64_000)
    assert reply.text == "heard one"
    assert (reply.usage.tokens_in, reply.usage.tokens_out, reply.usage.is_estimate) == (60, 3, False)
    assert (reply.usd, reply.is_cut, reply.model) == (None, False, "sonnet")


def test_earlier_turns_and_a_schema_are_told_in_words() -> None:
    """The client takes one prompt and knows no schema."""
    lent = LentModel()
    with lent.working(), served(lent) as mod:
        lent.complete(Request(prompt="now", history=(("before", "said"),), schema='{"type": "object"}'), Stop())
    (asked,) = mod.taken
    for text in ("before", "said", "now"):
        assert text in asked["prompt"]
    assert '{"type": "object"}' in asked["system"]


def test_many_are_under_way_at_once() -> None:
    """All are taken before the first is answered."""
    lent = LentModel()
    waiting: list[int] = []

    def hold(asked: Mapping[str, Any]) -> None:
        waiting.append(asked["id"])
        if len(waiting) == 16:
            for number in reversed(waiting):
                lent.give({"id": number, "isAnswered": True, "text": f"reply {number}", "usage": USAGE})

    with lent.working(), served(lent, hold) as mod, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda n: lent.complete(Request(prompt=f"p{n}"), Stop()), range(16)))
    prompts = {asked["prompt"]: asked["id"] for asked in mod.taken}
    assert [reply.text for reply in found] == [f"reply {prompts[f'p{n}']}" for n in range(16)]


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        ({"reason": "api-error", "status": 429, "error": "rate_limit"}, SubLMBusy, "429, rate_limit"),
        ({"reason": "api-error", "status": 529, "error": "overloaded"}, SubLMBusy, "529"),
        ({"reason": "api-error", "status": None, "error": "unknown"}, SubLMBusy, "no answer"),
        ({"reason": "api-error", "status": 401, "error": "authentication_failed"}, SubLMUnavailable, "/login"),
        ({"reason": "api-error", "status": 400, "error": "invalid_request"}, SubLMRefused, "400"),
        ({"reason": "refused", "error": "Error: model 'x' is blocked"}, SubLMRefused, "set sub_model"),
        ({"reason": "aborted"}, SubLMBusy, "ended the request"),
        ({}, SubLMRefused, "refuses"),
    ],
)
def test_what_the_client_says_is_raised_as_what_it_means(
    told: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Worth another try, or not; with the client's words."""
    lent = LentModel()
    refusing = served(lent, lambda _asked: {"isAnswered": False, **told})
    with lent.working(), refusing, pytest.raises(error, match=words):
        lent.complete(Request(prompt="one"), Stop())


def test_a_reply_without_text_costs_and_may_have_been_cut() -> None:
    """As with every other backend; whether the model refused, the client does not say."""
    lent = LentModel()
    with lent.working(), served(lent, lambda _: {"isAnswered": False, "reason": "empty-reply", "usage": USAGE}):
        replies = [lent.complete(Request(prompt="one", max_tokens=most), Stop()) for most in (50, 3)]
    assert [(reply.text, reply.refusal, reply.is_cut) for reply in replies] == [("", "", False), ("", "", True)]
    assert replies[0].usage.tokens_in == 60


def test_a_request_that_is_ended_is_ended_in_the_client() -> None:
    """Told to the mod at once, whether it was cancelled or ran out of time; a late answer is dropped."""
    lent = LentModel()
    stop = Stop()
    with lent.working(), served(lent, lambda _asked: None) as mod, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(lent.complete, Request(prompt="one"), stop)
        assert mod.changed.wait(10)
        mod.changed.clear()
        stop.now()
        with pytest.raises(Cancelled):
            asking.result()
        assert mod.changed.wait(10)
        with pytest.raises(SubLMTimeout):
            lent.complete(Request(prompt="two"), Stop(seconds=0.3))
        lent.give({"id": mod.taken[0]["id"], "isAnswered": True, "text": "late", "usage": USAGE})
    assert mod.ended[:1] == [mod.taken[0]["id"]]


def test_what_is_cancelled_before_it_was_taken_is_never_sent() -> None:
    """The mod does not hear of it."""
    lent = LentModel()
    lent.take()
    stop = Stop()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(lent.complete, Request(prompt="one"), stop)
        stop.now()
        with pytest.raises(Cancelled):
            asking.result()
    assert lent.take() == {"requests": [], "ended": [], "isOver": True}


def test_without_the_mod_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for a little, then said what to do."""
    monkeypatch.setattr(module, "_COMES_SECONDS", 0.05)
    with pytest.raises(SubLMUnavailable, match="set sub_backend to 'claude'"):
        LentModel().complete(Request(prompt="one"), Stop())
    with pytest.raises(SubLMRefused, match="empty"):
        LentModel().complete(Request(prompt=" "), Stop())


def test_a_mod_that_leaves_with_requests_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it took may have been paid for; what it did not take was not."""
    monkeypatch.setattr(module, "_GONE_SECONDS", 0.3)
    lent = LentModel()
    with lent.working(), ThreadPoolExecutor(2) as pool:
        lent.take()
        taken = pool.submit(lent.complete, Request(prompt="one"), Stop())
        while not lent.take()["requests"]:
            pass
        with pytest.raises(SubLMBusy, match="gone with the request") as gone:
            taken.result()
        assert gone.value.may_be_charged
        lent.take()
        with pytest.raises(SubLMUnavailable, match="gone"):
            lent.complete(Request(prompt="two"), Stop())


def test_the_mod_is_let_go_when_nothing_runs_any_more() -> None:
    """It learns so without waiting: the client begins no new turn while the mod waits."""
    lent = LentModel()
    assert lent.take()["isOver"]
    with lent.working():
        assert not lent.take()["isOver"]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lent.take)
            assert not waiting.result()["isOver"]
    assert lent.take()["isOver"]
