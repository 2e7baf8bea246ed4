"""What is said to an OpenAI-compatible endpoint, and what its answers mean."""

from __future__ import annotations

import gc
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate
from time import time

import pytest

from rlm_mcp.errors import Cancelled, SubLMBusy, SubLMError, SubLMRefused, SubLMUnavailable
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.sublm.openai_api import OPENAI_URL, OpenAIEndpoint
from rlm_mcp.sublm.openai_package import PackageSender
from rlm_mcp.sublm.plain_http import PlainSender
from rlm_mcp.sublm.prices import price_of
from tests.sublm.endpoint import Answer, Endpoint, Fault, Seen, running_endpoint

KEY = "sk-proj-abcdefghijklmnop"
SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}}'


@pytest.fixture(params=[True, False], ids=["plain", "package"])
def is_plain(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


class Held:
    """An endpoint whose next answers are put into a list."""

    def __init__(self, endpoint: Endpoint, backend: OpenAIEndpoint, answers: list[Answer]) -> None:
        self.endpoint = endpoint
        self.backend = backend
        self.answers = answers

    def ask(self, *answers: Answer, **fields: object) -> Reply:
        self.answers += answers
        request = Request(**{"prompt": "hello", **fields})
        return self.backend.complete(request, Stop(seconds=30))

    @property
    def body(self) -> dict:
        """Of the last request."""
        return dict(self.endpoint.requests[-1].body)


@pytest.fixture
def held(is_plain: bool) -> Iterator[Held]:
    answers: list[Answer] = []

    def script(_seen: Seen) -> Answer:
        return answers.pop(0) if answers else Answer()

    with running_endpoint(script) as endpoint:
        backend = OpenAIEndpoint(base_url=f"{endpoint.url}/", key=KEY, model="m", is_plain=is_plain)
        yield Held(endpoint, backend, answers)
        backend.close()


def test_a_request_holds_what_was_asked_and_nothing_else(held: Held):
    """Model, messages in order, limit and temperature; the key as a bearer."""
    held.ask(system="s", history=(("a", "b"),), max_tokens=9, temperature=0.5)
    assert held.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "hello"},
        ],
        "max_tokens": 9,
        "temperature": 0.5,
    }
    assert held.endpoint.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    held.ask(model="other")
    assert held.body["model"] == "other"
    assert "temperature" not in held.body


def test_a_schema_is_given_as_the_form_of_the_answer(held: Held):
    """And not in words as well."""
    held.ask(schema=SCHEMA)
    assert held.body["response_format"]["json_schema"] == {"name": "answer", "schema": json.loads(SCHEMA)}
    assert len(held.body["messages"]) == 1


REFUSED_OPTIONS = [
    ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
    ("temperature", "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default is."),
    ("response_format", "This model does not support response_format json_schema"),
    ("response_format", "Invalid schema for response_format 'answer': schema must be of type object"),
]


@pytest.mark.parametrize(("option", "message"), REFUSED_OPTIONS)
def test_an_option_that_is_not_taken_is_left_out_from_then_on(held: Held, option: str, message: str):
    """Busy at once, so that the next try is one that is counted; what it meant is said otherwise."""
    asked = {"temperature": 0.5, "schema": SCHEMA, "max_tokens": 77}
    with pytest.raises(SubLMBusy, match=option) as raised:
        held.ask(Answer(status=400, message=message), **asked)
    assert raised.value.after_seconds == 0.0
    for _ in range(2):
        held.ask(**asked)
        assert option not in held.body
        if option == "max_tokens":
            assert held.body["max_completion_tokens"] == 77
        if option == "response_format":
            assert SCHEMA in held.body["messages"][0]["content"]
    assert len(held.endpoint.requests) == 3


def test_a_schema_that_is_not_taken_leaves_others_in_force(held: Held):
    """An endpoint that takes schemas may refuse one of them."""
    with pytest.raises(SubLMBusy):
        held.ask(Answer(status=400, message="Invalid schema for response_format"), schema='{"type": "integer"}')
    held.ask(schema=SCHEMA)
    assert "response_format" in held.body
    held.ask(schema=SCHEMA, model="another")
    assert "response_format" in held.body


def test_a_complaint_of_something_else_is_final(held: Held):
    """400 as such is not worth another try."""
    for message in ("max_tokens is too large: 99999", "context_length_exceeded", "scripted"):
        with pytest.raises(SubLMRefused, match="400"):
            held.ask(Answer(status=400, message=message), temperature=0.5)


@pytest.mark.parametrize(
    ("status", "code", "kind", "cure"),
    [
        (401, "", SubLMRefused, "set OPENAI_API_KEY"), (403, "", SubLMRefused, "set OPENAI_API_KEY"),
        (404, "", SubLMRefused, "mend sub_model"), (402, "", SubLMRefused, "add credit"),
        (429, "insufficient_quota", SubLMRefused, "add credit"), (413, "", SubLMRefused, "413"),
        (408, "", SubLMBusy, "408"), (429, "", SubLMBusy, "429"), (500, "", SubLMBusy, "500"),
        (502, "", SubLMBusy, "502"), (529, "", SubLMBusy, "529"), (301, "", SubLMRefused, "301"),
    ],
)  # fmt: skip
def test_an_error_names_the_endpoint_the_cause_and_the_cure(held: Held, status: int, code: str, kind: type, cure: str):
    """And never the key, though the endpoint repeats it."""
    with pytest.raises(kind, match=cure) as raised:
        held.ask(Answer(status=status, code=code, message=f"no good: {KEY}"))
    assert held.endpoint.url in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(status=429), None),
        (Answer(status=429, retry_after="7"), 7.0),
        (Answer(status=503, retry_after="0.5"), 0.5),
        (Answer(status=429, retry_after="9", retry_after_ms="250"), 0.25),
        (Answer(status=429, retry_after="-3"), 0.0),
        (Answer(status=429, retry_after="soon"), None),
    ],
)
def test_when_to_come_again_is_read_in_every_form(held: Held, answer: Answer, seconds: float | None):
    """Milliseconds or seconds; what is neither says nothing."""
    with pytest.raises(SubLMBusy) as raised:
        held.ask(answer)
    assert raised.value.after_seconds == seconds


@pytest.mark.parametrize("hours", [1, -1])
def test_when_to_come_again_may_be_a_date(held: Held, hours: int):
    """One that has passed means now."""
    date = formatdate(time() + hours * 3_600, usegmt=True)
    with pytest.raises(SubLMBusy) as raised:
        held.ask(Answer(status=429, retry_after=date))
    assert raised.value.after_seconds == pytest.approx(max(0, hours * 3_600), abs=60)


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.LIST, Fault.NO_CHOICES, Fault.NULL, Fault.EMPTY, Fault.ODD])
def test_what_is_no_completion_is_busy(held: Held, fault: Fault):
    """Never an answer, never a crash."""
    with pytest.raises(SubLMBusy, match="without a choice"):
        held.ask(Answer(fault=fault))
    assert held.ask().text == "echo: hello"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(body="<!DOCTYPE html><html>Hello</html>"), "a page"),
        (Answer(body="Welcome", content_type="text/html; charset=utf-8"), "a page"),
        (Answer(body='data: {"choices": []}\n\n'), "a stream of events"),
        (Answer(body=": ping", content_type="text/event-stream"), "a stream of events"),
    ],
)
def test_what_no_endpoint_says_is_refused_with_the_cure(held: Held, answer: Answer, said: str):
    """Something else answers there, and will the next time; unless the endpoint was heard before."""
    with pytest.raises(SubLMRefused, match=f"{said}.*set OPENAI_BASE_URL") as raised:
        held.ask(answer)
    assert raised.value.model == "m"
    assert held.ask().text == "echo: hello"
    with pytest.raises(SubLMRefused, match=said) as raised:
        held.ask(answer)
    assert raised.value.model == ""


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://me:secret@elsewhere.example/v2/chat/completions?key=secret", "'https://elsewhere.example/v2'"),
        ("/login", "/login'"), ("", "nowhere"),
    ],
)  # fmt: skip
def test_an_answer_that_leads_elsewhere_names_the_place(held: Held, status: int, location: str, named: str):
    """It is not followed: neither with the key, nor with the question."""
    with pytest.raises(SubLMRefused, match="set OPENAI_BASE_URL to where the endpoint is") as raised:
        held.ask(Answer(status=status, location=location))
    assert named in str(raised.value)
    assert "secret" not in str(raised.value)
    assert len(held.endpoint.requests) == 1


def asked_at(url: str, is_plain: bool, *, times: int = 1, **fields: object) -> list[str]:
    """Ask there so often; the texts, and the errors."""
    backend = OpenAIEndpoint(base_url=url, key="", model="m", is_plain=is_plain)
    found = []
    for number in range(times):
        try:
            found.append(backend.complete(Request(prompt=f"q{number}", **fields), Stop(seconds=30)).text)
        except SubLMError as error:
            found.append(str(error))
    backend.close()
    return found


def test_a_bare_base_url_finds_the_endpoint_below_v1(is_plain: bool):
    """Each try is a request that is counted; from then on it is known."""
    with running_endpoint(lambda seen: Answer(status=200 if seen.path.startswith("/v1/") else 404)) as endpoint:
        found = asked_at(endpoint.url.removesuffix("/v1"), is_plain, times=3)
        assert "'/v1' below it is tried" in found[0]
        assert found[1:] == ["echo: q1", "echo: q2"]
        assert [seen.path for seen in endpoint.requests] == ["/chat/completions", *["/v1/chat/completions"] * 2]


def test_where_nothing_is_below_v1_either_the_next_question_begins_again(is_plain: bool):
    """The endpoint may be there by then, at either place."""
    with running_endpoint(lambda seen: Answer(status=404 if seen.number <= 2 else 200)) as endpoint:
        found = asked_at(endpoint.url.removesuffix("/v1"), is_plain, times=3)
        assert "is no endpoint" in found[1]
        assert found[2] == "echo: q2"
        assert [seen.path.startswith("/v1") for seen in endpoint.requests] == [False, True, False]


def test_a_bare_base_url_that_is_an_endpoint_is_left_as_it_is(is_plain: bool):
    """It answers, or says that it has no such model."""

    def script(seen: Seen) -> Answer:
        return Answer(status=404, message="no such model") if seen.number == 1 else Answer()

    with running_endpoint(script) as endpoint:
        found = asked_at(endpoint.url.removesuffix("/v1"), is_plain, times=2)
        assert "has no model 'm'" in found[0]
        assert found[1] == "echo: q1"
        assert {seen.path for seen in endpoint.requests} == {"/chat/completions"}


def test_a_base_url_may_be_that_of_the_call_itself(is_plain: bool):
    """As many write it."""
    with running_endpoint() as endpoint:
        assert asked_at(f"{endpoint.url}/chat/completions/", is_plain) == ["echo: q0"]
        assert endpoint.requests[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("models", "found"),
    [(("only-one",), "only-one"), (("a", "gpt-5-mini"), "gpt-5-mini"), ((), "unnamed")],
)
@pytest.mark.parametrize("path", ["/v1", ""])
def test_where_no_model_is_set_the_endpoint_is_looked_at(models: tuple[str, ...], found: str, path: str):
    """The only one; where it says nothing, the usual one is asked, at a price that is not known."""
    with running_endpoint() as endpoint:
        endpoint.models = models
        backend = OpenAIEndpoint(base_url=endpoint.url.removesuffix("/v1") + path, key="", model="")
        assert backend.default_model == found
        backend.complete(Request(prompt="q", model=backend.default_model), Stop(seconds=30))
        assert endpoint.requests[0].body["model"] == ("gpt-5-mini" if found == "unnamed" else found)
        assert (price_of(found, {}) is None) is (found != "gpt-5-mini")
        backend.close()


def test_where_no_model_is_set_and_there_are_several_one_is_to_be_named():
    """With some of them, and how; it is looked again the next time."""
    with running_endpoint() as endpoint:
        endpoint.models = [f"model-{number}" for number in range(9)]
        backend = OpenAIEndpoint(base_url=endpoint.url, key="", model="")
        with pytest.raises(SubLMUnavailable, match=r"has 9 models \(model-0, .*, \.\.\.\).*--model"):
            _ = backend.default_model
        endpoint.models = ["model-3"]
        assert backend.default_model == "model-3"
        backend.close()


@contextmanager
def unheard() -> Iterator[str]:
    """An address on loopback that is taken, so that nobody else comes to it, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_server_that_is_not_there_is_named_with_the_cure(is_plain: bool, monkeypatch: pytest.MonkeyPatch):
    """Nobody listens there."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with unheard() as url:
        (said,) = asked_at(f"{url}/v1", is_plain)
    assert url in said
    assert "no connection" in said
    assert "start the server there, or mend OPENAI_BASE_URL" in said


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    """And not the login in its address."""
    for name in ("HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with unheard() as proxy:
        monkeypatch.setenv("http_proxy", proxy.replace("//", "//me:secret@"))
        (said,) = asked_at("http://endpoint.example/v1", is_plain=False)
    assert f"through the proxy '{proxy}'" in said
    assert "NO_PROXY" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("body", "instead"),
    [
        ({"choices": []}, "no choice"),
        ({"choices": [{"text": "of another kind"}]}, "no choice"),
        ({"choices": [{"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "tool_calls"}]}, "a tool"),
        ({"choices": [{"message": {"content": "", "reasoning_content": "hm"}, "finish_reason": "stop"}]}, "reasoning"),
    ],
)
def test_what_holds_no_text_and_was_counted_is_a_reply_that_says_what_came(held: Held, body: dict, instead: str):
    """So that its tokens are booked."""
    usage = {"prompt_tokens": 7, "completion_tokens": 9}
    reply = held.ask(Answer(body=json.dumps({**body, "usage": usage})))
    assert (reply.text, reply.usage) == ("", Usage(tokens_in=7, tokens_out=9))
    assert instead in reply.instead


def test_tokens_of_reasoning_are_named(held: Held):
    """As the endpoint counts them."""
    details = {"completion_tokens_details": {"reasoning_tokens": 2048}}
    usage = {"prompt_tokens": 7, "completion_tokens": 2048, **details}
    reply = held.ask(Answer(text="-", finish="length", usage=usage))
    assert (reply.is_cut, reply.instead) == (True, "finish_reason 'length', 2,048 tokens of reasoning")


@pytest.mark.parametrize(
    ("fault", "may_be_charged"),
    [(Fault.DEAD, False), (Fault.HEADERS, True), (Fault.HALF, True)],
)
def test_a_lost_connection_says_whether_it_may_be_charged(held: Held, fault: Fault, may_be_charged: bool):
    """Where any of the answer came, it was made."""
    with pytest.raises(SubLMBusy) as raised:
        held.ask(Answer(fault=fault))
    assert raised.value.may_be_charged is may_be_charged


def test_a_refusal_is_no_text(held: Held):
    """The model's own, or the filter's."""
    assert held.ask(Answer(text="-", refusal="I cannot")).refusal == "I cannot"
    assert held.ask(Answer(text="-", finish="content_filter")).refusal == "content_filter"


def test_dollars_are_the_endpoints_own_where_it_names_them(held: Held):
    """As OpenRouter does; what cannot be is not believed."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    assert held.ask(Answer(usage={**usage, "cost": 0.00125})).usd == 0.00125
    assert held.ask(Answer(usage={**usage, "cost": 0})).usd == 0
    for cost in (-1, "much", True, 1e30, None):
        assert held.ask(Answer(usage={**usage, "cost": cost})).usd is None
    assert held.ask(Answer(usage={"prompt_tokens": 1 << 60, "completion_tokens": True})).usage.is_estimate


def test_connections_are_kept(held: Held):
    """One for all that is asked one after the other."""
    for _ in range(20):
        held.ask()
    assert held.endpoint.connections == 1


def test_a_connection_the_server_closed_is_not_used_again(held: Held):
    """A new one is made; at worst a request finds it dead and says so."""
    lost: list[SubLMBusy] = []
    for _ in range(20):
        try:
            held.ask(Answer(close=True))
        except SubLMBusy as error:
            lost.append(error)
    assert len(lost) <= 10
    assert not any(error.may_be_charged for error in lost)


def test_large_prompts_and_answers_come_whole(held: Held):
    """Larger than any buffer."""
    text = "\u00e4" * 2_000_000
    assert held.ask(Answer(text=text), prompt=text).text == text
    assert held.endpoint.requests[-1].prompt == text


def test_closed_meanwhile_it_is_cancelled(is_plain: bool):
    """What is under way, and what comes after."""
    with running_endpoint(lambda _seen: Answer(fault=Fault.HANG)) as endpoint:
        backend = OpenAIEndpoint(base_url=endpoint.url, key="", model="m", is_plain=is_plain)
        stop = Stop(seconds=30)
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(backend.complete, Request(prompt="hello"), stop)
            endpoint.wait_for(lambda seen: len(seen.requests) == 1)
            backend.close()
            if is_plain:
                stop.now()
            with pytest.raises(Cancelled):
                asking.result(20)
        with pytest.raises(Cancelled, match="closed"):
            backend.complete(Request(prompt="hello"), Stop())


def test_a_cancel_ends_many_at_once_and_leaves_no_thread(is_plain: bool):
    """All that hang, by one word."""
    with running_endpoint(lambda _seen: Answer(fault=Fault.HANG)) as endpoint:
        before = threading.active_count()
        backend = OpenAIEndpoint(base_url=endpoint.url, key="", model="m", is_plain=is_plain)
        stop = Stop()
        with ThreadPoolExecutor(16) as pool:
            asking = [pool.submit(backend.complete, Request(prompt=str(number)), stop) for number in range(16)]
            endpoint.wait_for(lambda seen: len(seen.requests) == 16)
            stop.now()
            for one in asking:
                with pytest.raises(Cancelled):
                    one.result(20)
        backend.close()
        assert threading.active_count() == before
        endpoint.wait_for(lambda seen: seen.under_way == 0)
        assert len(endpoint.requests) == 16


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:8080/v1", PlainSender), ("http://localhost:11434/v1", PlainSender),
        ("http://[::1]:8080/v1", PlainSender), ("http://192.168.1.20:8000/v1", PlainSender),
        ("http://127.0.0.1/v1", PlainSender), ("https://127.0.0.1:8080/v1", PackageSender),
        ("http://example.com/v1", PackageSender), ("http://8.8.8.8/v1", PackageSender),
        ("http://me:secret@127.0.0.1:8080/v1", PackageSender), (OPENAI_URL, PackageSender),
    ],
)  # fmt: skip
def test_only_a_server_nearby_is_asked_without_the_package(monkeypatch: pytest.MonkeyPatch, url: str, kind: type):
    """It needs no TLS, no name looked up, and no proxy."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert type(OpenAIEndpoint(base_url=url, key="", model="m")._way.sender) is kind
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert type(OpenAIEndpoint(base_url=url, key="", model="m")._way.sender) is PackageSender


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:80", "ftp://x/v1", "http://", "http://x:99999", "http://x:0", "http://x y/v1", "http://\u00e4/v1"],
)
def test_an_address_that_is_none_says_so(url: str):
    """With its value and the cure."""
    with pytest.raises(SubLMUnavailable, match="set OPENAI_BASE_URL"):
        OpenAIEndpoint(base_url=url, key="", model="m")


def test_the_name_holds_no_login():
    """It stands in the Ledger."""
    assert (
        OpenAIEndpoint(base_url="http://me:secret@127.0.0.1/v1/", key="", model="m").name
        == "openai http://127.0.0.1/v1"
    )


def test_openai_itself_is_given_the_newer_name_of_the_limit():
    """Its newer models refuse the older one."""
    body = OpenAIEndpoint(base_url=OPENAI_URL, key="k", model="m")._body(Request(prompt="p", max_tokens=5))
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body


def test_warming_up_sends_nothing(held: Held):
    """And the first question comes right after."""
    held.backend.warm()
    assert held.ask().text == "echo: hello"
    assert len(held.endpoint.requests) == 1


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        (Answer(status=401), "m"), (Answer(status=403), "m"), (Answer(status=404), "m"), (Answer(status=402), "m"),
        (Answer(status=403, message="your input was flagged by moderation"), ""), (Answer(status=400), ""),
    ],
)  # fmt: skip
def test_a_refusal_says_whether_it_is_of_the_model_or_of_what_was_asked(held: Held, answer: Answer, model: str):
    """So that a model which refuses everybody is not asked again and again."""
    with pytest.raises(SubLMRefused) as raised:
        held.ask(answer)
    assert raised.value.model == model


def test_the_package_does_not_hold_up_the_end_of_the_process():
    """What it brings is left alone by the collector, which would look through all of it again."""
    with running_endpoint() as endpoint:
        assert asked_at(endpoint.url, is_plain=False) == ["echo: q0"]
    assert gc.get_freeze_count() > 10_000
