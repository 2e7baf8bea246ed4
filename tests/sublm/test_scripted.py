"""The double: it answers as it is told, and remembers what it was asked."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlm_mcp.errors import Cancelled, SubLMBusy, SubLMRefused, SubLMTimeout
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.sublm.scripted import Scripted


def test_a_list_is_answered_from_in_order():
    """Texts, whole replies and errors; at its end it refuses."""
    whole = Reply(text="whole", usage=Usage(tokens_in=1), model="x")
    backend = Scripted(["one", whole, SubLMBusy("busy")])
    assert backend.complete(Request(prompt="a"), Stop()).text == "one"
    assert backend.complete(Request(prompt="b"), Stop()) is whole
    with pytest.raises(SubLMBusy, match="busy"):
        backend.complete(Request(prompt="c"), Stop())
    with pytest.raises(SubLMRefused, match="'d'"):
        backend.complete(Request(prompt="d"), Stop())
    assert [request.prompt for request in backend.requests] == ["a", "b", "c", "d"]


def test_a_function_sees_the_request():
    """And usage is estimated from the texts."""
    reply = Scripted(lambda request: request.prompt.upper()).complete(Request(prompt="two words"), Stop())
    assert (reply.text, reply.usage.tokens_in, reply.usage.tokens_out) == ("TWO WORDS", 2, 2)


def test_its_time_ends_as_every_other_backends_does():
    """Told, or past the deadline."""
    backend = Scripted(lambda _request: "late", seconds=600.0)
    with pytest.raises(SubLMTimeout):
        backend.complete(Request(prompt="a"), Stop(seconds=0.01))
    stop = Stop()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(backend.complete, Request(prompt="b"), stop)
        while backend.under_way == 0:
            threading.Event().wait(0.002)
        stop.now()
        with pytest.raises(Cancelled):
            asking.result(20)
    assert backend.under_way == 0
