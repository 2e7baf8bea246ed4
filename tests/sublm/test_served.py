"""The Ledger equals what the endpoint served: over errors, retries, lies, cancels, kills and processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import Price
from rlm_mcp.costs import Limits
from rlm_mcp.errors import BudgetExceeded, Cancelled, SubLMBusy
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Asked
from rlm_mcp.sublm.openai_api import OpenAIEndpoint
from tests.sublm.endpoint import Endpoint, running_endpoint
from tests.sublm.rig import Rig

ROOT = Path(__file__).resolve().parents[2]
PRICE = Price(usd_in=1.0, usd_out=10.0)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint() as running:
        yield running


@pytest.fixture(params=[True, False], ids=["plain", "package"])
def rig(request: pytest.FixtureRequest, endpoint: Endpoint, tmp_path: Path) -> Iterator[Rig]:
    backend = OpenAIEndpoint(base_url=endpoint.url, key="sk-dummy-key-0000", model="m", is_plain=request.param)
    made = Rig(tmp_path / "store", backend, prices={"m": PRICE}, limits=Limits(calls=10_000))
    yield made
    made.close()


def agree(rig: Rig, endpoint: Endpoint) -> None:
    """Ledger, budget and endpoint, to the token and the cent."""
    theirs, ours = rig.spent(), rig.budget.spent
    assert (theirs.tokens_in, theirs.tokens_out) == (endpoint.tokens_in, endpoint.tokens_out)
    assert theirs.usd == pytest.approx((endpoint.tokens_in * 1.0 + endpoint.tokens_out * 10.0) / 1e6, rel=1e-9)
    assert (ours.calls, ours.tokens_in, ours.tokens_out) == (theirs.calls, theirs.tokens_in, theirs.tokens_out)
    assert ours.usd == pytest.approx(theirs.usd)
    assert theirs.calls == len(endpoint.requests)


def test_errors_retries_and_broken_answers_are_counted_as_they_were_served(rig: Rig, endpoint: Endpoint):
    """Each request once, each token once, whatever came between."""
    marks = [
        "", "[[status=429 times=1 retry_after=0]]", "[[status=500 times=2 retry_after=0]]", "[[fault=dead times=1]]",
        "[[fault=garbage times=1]]", "[[status=400]]", "[[text=cut finish=length]]", "[[text=- times=1]]",
        "[[fault=null times=1]]", "[[fault=half times=1]]", "[[status=503 times=1 retry_after_ms=1]]",
        "[[fault=headers times=1]]",
    ]  # fmt: skip
    found = rig.ask_all([f"{marks[number % len(marks)]} question {number}" for number in range(96)], 8)
    answered = sum(isinstance(one, Asked) for one in found)
    assert answered == 96 - 8, Counter(map(repr, found))
    agree(rig, endpoint)


def test_connections_that_die_between_questions_lose_nothing(rig: Rig, endpoint: Endpoint):
    """At worst a request is written into one that closes just then: it is counted, and sent again at once."""
    found = rig.ask_all([f"[[close=1]] question {number}" for number in range(200)], 8)
    assert all(isinstance(one, Asked) for one in found)
    assert len(endpoint.requests) == 200
    spent = rig.spent()
    assert (spent.tokens_in, spent.tokens_out) == (endpoint.tokens_in, endpoint.tokens_out)
    assert spent.calls - spent.failed == 200
    assert spent.abandoned == 0


def test_identical_questions_are_served_once(rig: Rig, endpoint: Endpoint):
    """50 at once."""
    found = rig.ask_all(["[[seconds=0.05]] the same"] * 50, 50)
    assert all(isinstance(one, Asked) for one in found)
    assert len(endpoint.requests) == 1
    agree(rig, endpoint)


def test_what_is_cancelled_is_counted_and_nothing_is_sent_after_it(rig: Rig, endpoint: Endpoint):
    """What was answered before is kept and paid; requests under way are abandoned."""
    prompts = [f"q{number}" if number < 20 else f"[[fault=hang]] q{number}" for number in range(100)]
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(rig.ask_all, prompts, 8)
        endpoint.wait_for(lambda seen: len(seen.requests) == 28)
        rig.stop.now()
        found = asking.result(20)
    assert sum(isinstance(one, Asked) for one in found) == 20
    assert all(isinstance(one, Cancelled) for one in found[20:])
    assert len(endpoint.requests) == 28
    assert (rig.spent().abandoned, rig.budget.spent.abandoned) == (8, 8)
    agree(rig, endpoint)


def test_an_endpoint_that_counts_nothing_is_estimated(rig: Rig, endpoint: Endpoint):
    """Left out, of wrong types, or below nothing: never zero, never a crash."""
    for kind in ("none", "lie", "negative"):
        asked = rig.ask(f"[[usage={kind}]] how much is it?")
        assert asked.cost.tokens_in > 5
        assert asked.cost.tokens_out > 0


def test_no_request_is_sent_after_a_limit(endpoint: Endpoint, tmp_path: Path):
    """The endpoint itself never sees more than is allowed, at any width."""
    for width, limits, most in (
        (16, Limits(calls=10), lambda: len(endpoint.requests) <= 10),
        (16, Limits(tokens=3_000), lambda: endpoint.tokens_in + endpoint.tokens_out <= 3_000),
        (16, Limits(usd=0.02), lambda: endpoint.tokens_in * 1e-6 + endpoint.tokens_out * 1e-5 <= 0.02),
    ):
        endpoint.requests.clear()
        endpoint.served.clear()
        backend = OpenAIEndpoint(base_url=endpoint.url, key="k", model="m")
        one = Rig(tmp_path / f"store-{limits}", backend, prices={"m": PRICE}, limits=limits)
        found = one.ask_all([f"[[tokens_out=60]] {limits} {number}" for number in range(200)], width, max_tokens=64)
        assert any(isinstance(error, BudgetExceeded) for error in found)
        assert endpoint.requests
        assert most()
        agree(one, endpoint)
        one.close()


def test_a_hanging_endpoint_ends_with_the_time(endpoint: Endpoint, tmp_path: Path):
    """And not a single request comes after it."""
    one = Rig(tmp_path / "store", OpenAIEndpoint(base_url=endpoint.url, key="k", model="m"))
    one.stop = Stop(seconds=0.3)
    found = one.ask_all([f"[[fault=hang]] {number}" for number in range(30)], 8)
    assert not any(isinstance(asked, Asked) for asked in found)
    assert len(endpoint.requests) == 8
    one.close()


def test_a_server_that_is_not_there_is_busy(tmp_path: Path):
    """With its address in the message, and never the key."""
    with running_endpoint() as gone:
        url = gone.url
    one = Rig(tmp_path / "store", OpenAIEndpoint(base_url=url, key="sk-dummy-key-0000", model="m"))
    with pytest.raises(SubLMBusy, match=url) as raised:
        one.backend.complete(Request(prompt="hello"), Stop())
    assert "sk-dummy" not in str(raised.value)
    one.close()


def test_killed_in_the_middle_nothing_answered_is_asked_again(endpoint: Endpoint, tmp_path: Path):
    """Only what was under way: a reply and its cost are written together."""
    prompts = [f"[[seconds=0.02]] question {number}" for number in range(100)]
    given = {"url": endpoint.url, "home": str(tmp_path / "store"), "prompts": prompts, "width": 8}
    child = _child(given)
    endpoint.wait_for(lambda seen: len(seen.served) >= 40)
    child.send_signal(signal.SIGKILL)
    child.wait()
    _closed(child)
    child = _child(given)
    assert _last(child)["answered"] == 100
    times = Counter(endpoint.prompts)
    assert len(times) == 100
    assert sum(times.values()) <= 108
    assert max(times.values()) <= 2


def test_two_processes_do_not_pass_a_cap_of_the_day(endpoint: Endpoint, tmp_path: Path):
    """What one reserves, the other sees."""
    caps = {"session_tokens": 10**9, "session_usd": 1e6, "day_tokens": 4_000, "day_usd": 1e6}
    children = [
        _child(
            {
                "url": endpoint.url,
                "home": str(tmp_path / "store"),
                "prompts": [f"[[tokens_out=60 seconds=0.005]] {who} {number}" for number in range(100)],
                "width": 4,
                "caps": caps,
            }
        )
        for who in ("one", "two")
    ]
    answered = [_last(child)["answered"] for child in children]
    assert endpoint.tokens_in + endpoint.tokens_out <= 4_000
    assert 20 < sum(answered) == endpoint.answered < 80


def _child(given: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.sublm.asker", json.dumps(given)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "asking\n"
    return child


def _last(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    found: dict[str, Any] = json.loads(child.stdout.readline())
    assert child.wait(30) == 0
    _closed(child)
    return found


def _closed(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    child.stdout.close()
