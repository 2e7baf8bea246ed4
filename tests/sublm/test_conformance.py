"""What every SubLM promises, on each of them: the double, endpoints, a lent model, and the real client programs.

The lent model's client is played, by the protocol of its door; the real one, ``hooks/lend.js`` in Claude Code, is
asked in ``tests/clients``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlm_mcp.errors import Cancelled, SubLMBusy, SubLMRefused, SubLMTimeout, SubLMUnavailable
from rlm_mcp.sublm.lm import Request, Stop
from tests.sublm.endpoint import count_tokens
from tests.sublm.worlds import (
    MODEL,
    World,
    claude_world,
    codex_world,
    lent_world,
    package_world,
    plain_world,
    scripted_world,
)

WORLDS = [
    pytest.param((scripted_world, ""), id="scripted"),
    pytest.param((plain_world, ""), id="plain"),
    pytest.param((package_world, ""), id="package"),
    pytest.param((lent_world, ""), id="lent"),
    pytest.param((claude_world, "claude_binary"), id="claude", marks=pytest.mark.client),
    pytest.param((codex_world, "codex_binary"), id="codex", marks=pytest.mark.client),
]
ODD = [
    "/help me",
    "@/etc/passwd @README.md what is in there?",
    "--help",
    "!ls",
    'a\n\n  b\t\u00e9\u4e2d\U0001f600 \u2028 "quoted" \'and\' `ticks` {"json": [1]} <tag> $HOME %s {item}',
    "x" * 300_000,
    "- \n-",
]
CLIENTS = {"claude", "codex"}


@pytest.fixture(params=WORLDS)
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_binaries: dict[str, str]
) -> Iterator[World]:
    made, binary = request.param
    for name, value in named_binaries.items():
        monkeypatch.setenv(name, value)
    with made(tmp_path / "world", request.getfixturevalue(binary) if binary else None) as found:
        yield found


def ask(world: World, prompt: str, seconds: float = 60.0, **fields: object):
    return world.backend.complete(Request(prompt=prompt, model=MODEL, **fields), Stop(seconds=seconds))


def test_the_answer_is_the_models_text(world: World):
    """With who gave it and what it counted; a backend has a name and a default model."""
    reply = ask(world, "[[text=forty-two]] what is it?")
    assert (reply.text, reply.is_cut, reply.refusal) == ("forty-two", False, "")
    assert reply.model
    assert reply.usage.tokens_out == count_tokens("forty-two")
    assert reply.usage.tokens_in == world.seen()[0].tokens_in
    assert not reply.usage.is_estimate
    assert world.backend.name
    assert world.backend.default_model
    assert world.backend.overhead_tokens >= 0


def test_usage_counts_every_request_that_was_made(world: World):
    """Also where a client program goes on by itself after an answer that was cut."""
    reply = ask(world, "[[text=begin finish=length]]", max_tokens=50)
    assert reply.usage.tokens_in == sum(seen.tokens_in for seen in world.seen())


def test_warming_up_asks_nothing(world: World):
    """And the first question is answered as any other."""
    world.backend.warm()
    assert world.seen() == []
    assert ask(world, "[[text=warm]]").text == "warm"


def test_one_request_is_sent_for_one_question(world: World):
    """No title, no check, no second try."""
    ask(world, "hello")
    with pytest.raises(SubLMBusy):
        ask(world, "[[status=429]]")
    assert len(world.seen()) == 2


@pytest.mark.parametrize("prompt", ODD, ids=lambda prompt: prompt[:12])
def test_a_prompt_reaches_the_model_as_it_is(world: World, prompt: str):
    """Whole, and never read as a command, an option or the name of a file."""
    ask(world, prompt)
    (seen,) = world.seen()
    assert seen.prompt.strip() == prompt.strip()
    assert not any("root:" in text for _role, text in seen.messages)


def test_the_system_text_and_earlier_turns_reach_the_model(world: World):
    """In their order, before the prompt."""
    ask(world, "and now?", system="Speak in rhymes.", history=(("first asked", "first said"), ("second", "also said")))
    (seen,) = world.seen()
    assert "Speak in rhymes." in seen.system
    told = "\n".join(text for role, text in seen.messages if role != "system")
    places = [told.index(part) for part in ("first asked", "first said", "second", "also said", "and now?")]
    assert places == sorted(places)


def test_a_model_is_offered_no_tools(world: World):
    """A prompt is data: nothing in it may make anything happen."""
    ask(world, "use your tools")
    body = world.seen()[0].body
    assert not body.get("tools")
    assert "additional_tools" not in str(body.get("input"))


def test_an_answer_that_was_cut_says_so(world: World):
    """And is what there was of it."""
    if world.name == "codex":
        pytest.skip("Codex takes no limit")
    reply = ask(world, "[[text=begin finish=length tokens_out=50]]", max_tokens=50)
    assert reply.is_cut
    assert reply.text.startswith("begin")


def test_an_answer_without_text_is_an_empty_one(world: World):
    """It was paid for, so it is no error here."""
    reply = ask(world, "[[text=-]]")
    assert (reply.text, reply.refusal) == ("", "")
    assert reply.usage.tokens_in > 0


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_passing_refusal_is_worth_another_try(world: World, status: int):
    """SubLMBusy."""
    with pytest.raises(SubLMBusy):
        ask(world, f"[[status={status}]]")


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_final_refusal_is_not(world: World, status: int):
    """SubLMRefused, or SubLMUnavailable where a login is missing."""
    with pytest.raises((SubLMRefused, SubLMUnavailable)):
        ask(world, f"[[status={status}]]")


@pytest.mark.parametrize("fault", ["dead", "headers", "half", "garbage"])
def test_a_broken_answer_is_worth_another_try(world: World, fault: str):
    """Never taken for an answer."""
    if world.name == "codex" and fault == "garbage":
        pytest.skip("Codex takes a body without events for a turn without a message")
    with pytest.raises(SubLMBusy):
        ask(world, f"[[fault={fault}]]", seconds=30.0)


def test_who_is_told_to_stop_before_it_begins_sends_nothing(world: World):
    """Cancelled; past its deadline, SubLMTimeout."""
    stop = Stop()
    stop.now()
    with pytest.raises(Cancelled):
        world.backend.complete(Request(prompt="hello", model=MODEL), stop)
    with pytest.raises(SubLMTimeout):
        world.backend.complete(Request(prompt="hello", model=MODEL), Stop(seconds=0.0))
    assert world.seen() == []


@pytest.mark.parametrize("prompt", ["[[fault=hang]]", "[[fault=stall]]"])
def test_a_question_under_way_ends_when_it_is_told(world: World, prompt: str):
    """Cancelled, from any thread; nothing is sent after it."""
    if world.name == "scripted":
        pytest.skip("its waits are tested beside it")
    stop = Stop()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.backend.complete, Request(prompt=prompt, model=MODEL), stop)
        world.wait_for(1)
        stop.now()
        with pytest.raises(Cancelled):
            asking.result(timeout=20)
    assert len(world.seen()) == 1


def test_a_question_under_way_ends_at_its_deadline(world: World):
    """SubLMTimeout."""
    if world.name == "scripted":
        pytest.skip("its waits are tested beside it")
    with pytest.raises(SubLMTimeout):
        ask(world, "[[fault=hang]]", seconds=1.0)


def test_many_ask_at_once_and_each_gets_its_own_answer(world: World):
    """One backend, many threads."""
    count = 4 if world.name in CLIENTS else 40
    barrier = threading.Barrier(4)

    def asked(number: int) -> str:
        if number < 4:
            barrier.wait(20)
        return ask(world, f"[[text=answer-{number}]]").text

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(asked, range(count))) == [f"answer-{number}" for number in range(count)]


def test_after_an_error_the_next_question_is_answered(world: World):
    """No state is left behind."""
    for prompt in ("[[status=500]]", "[[fault=half]]"):
        with pytest.raises(SubLMBusy):
            ask(world, prompt)
    assert ask(world, "[[text=fine]]").text == "fine"


def test_a_closed_backend_can_be_closed_again(world: World):
    """Twice, and without having been used."""
    world.backend.close()
    world.backend.close()
