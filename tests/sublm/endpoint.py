"""A scripted endpoint on loopback: chat completions with keep-alive, latency, errors, dead connections, hangs and lies.

The real ``claude`` and ``codex`` can be pointed at it: it speaks Anthropic's messages and OpenAI's responses as well.

In a thread of a test::

    with running_endpoint() as endpoint:            # or running_endpoint(script), script(Seen) -> Answer
        ... ask endpoint.url with any key ...
        assert endpoint.tokens_in == ledger_says    # only what was written completely is counted

As a process of its own, for measures (its work is then not on the asker's GIL) and for what is killed::

    with endpoint_process() as remote:              # python -m tests.sublm.endpoint
        ... ask remote.url ...
        assert remote.served()["tokens_in"] == ...

Without a script a request is answered ``echo: <first 40 characters of the prompt>``; marks in the prompt change that,
``[[name=value name=value]]`` with the names of :class:`Answer`::

    [[seconds=0.05]]                     wait so long first
    [[status=429 retry_after=0.2]]       an HTTP error with its header
    [[fault=dead]]                       see Fault
    [[text=4 finish=length]]             what is answered, and how it is said to have ended
    [[usage=none]]  [[usage=lie]]        the answer without a count, or with one of the wrong types
    [[... times=2]]                      only the first two requests with this very prompt, then plainly

Tokens: one for every four bytes, rounded up, of each message (and 3 more a message) in, and of the reply out; see
:func:`count_tokens`. ``GET /served`` gives the counts as JSON, ``GET /v1/models`` one model.

Formats: https://platform.openai.com/docs/api-reference/chat, https://platform.openai.com/docs/api-reference/responses,
https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

MODEL = "scripted"
_MARK = re.compile(r"\[\[((?:\w+=[^\s\]]*\s*)+)\]\]")
_GO_ON = "Output token limit hit."
"""How Claude Code goes on by itself after an answer that was cut: the marks of what it asked before count."""
_ROLES = {"developer": "system"}
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class Fault(StrEnum):
    """How a request goes wrong beyond HTTP."""

    NONE = "none"
    DEAD = "dead"
    """The connection is closed without a word."""
    HEADERS = "headers"
    """The connection is closed after the headers."""
    HALF = "half"
    """The connection is closed in the middle of the body."""
    HANG = "hang"
    """Nothing ever comes."""
    STALL = "stall"
    """Headers and half the body come, then nothing."""
    GARBAGE = "garbage"
    """The body is no JSON."""
    LIST = "list"
    """The body is JSON, but no object."""
    NO_CHOICES = "no_choices"
    """``choices`` is missing."""
    NULL = "null"
    """``choices`` is null, ``error`` says why (as some proxies do it, with status 200)."""
    EMPTY = "empty"
    """``choices`` is empty."""
    ODD = "odd"
    """``choices`` holds no objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one request is answered."""

    text: str = ""
    """Empty: an echo of the prompt; ``-``: nothing, a null as content."""
    seconds: float = 0.0
    """Waited before anything is sent."""
    status: int = 200
    message: str = "scripted"
    """Of an error."""
    code: str = ""
    """Of an error, as ``insufficient_quota``."""
    retry_after: str = ""
    """Header of an error: seconds or a date."""
    retry_after_ms: str = ""
    fault: Fault = Fault.NONE
    finish: str = "stop"
    refusal: str = ""
    usage: str | Mapping[str, Any] = ""
    """``none``: left out; ``lie``: of wrong types; ``negative``; or the very object."""
    close: bool = False
    """The connection is closed after the answer, without saying so (a dead keep-alive connection for the next one)."""
    tokens_out: int = 0
    """Counted for the reply instead of its length."""
    body: str = ""
    """The whole body, in place of all that is said here of it."""
    content_type: str = ""
    location: str = ""
    """Header of a redirection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came."""

    number: int
    """From 1."""
    path: str
    time: float
    """``time.monotonic()`` of its arrival."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    """Names in lower case."""
    connection: int
    """Which one it came over, from 1."""

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role and text of each message, the system's first."""
        said = [one for one in (*self.body.get("messages", ()), *self.body.get("input", ())) if "role" in one]
        first = [("system", _texts(self.body["system"]))] if "system" in self.body else []
        return [*first, *((_ROLES.get(one["role"], one["role"]), _texts(one.get("content"))) for one in said)]

    @property
    def prompt(self) -> str:
        """The last message of the user."""
        return next((text for role, text in reversed(self.messages) if role == "user"), "")

    @property
    def system(self) -> str:
        """What the system says."""
        return "\n".join(text for role, text in self.messages if role == "system")

    @property
    def tokens_in(self) -> int:
        """As the endpoint counts them."""
        return sum(count_tokens(text) + 3 for _role, text in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A request that was answered completely."""

    seen: Seen
    status: int
    time: float
    """``time.monotonic()`` when all of it was written."""
    tokens_in: int
    """0 for an error."""
    tokens_out: int


Script = Callable[[Seen], Answer]


def _texts(content: Any) -> str:
    """A content, plain or in parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def count_tokens(text: str) -> int:
    """The endpoint's own way to count."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


class Marked:
    """The script that reads marks in prompts."""

    def __init__(self, rest: Answer | None = None) -> None:
        self._rest = rest or Answer()
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Answer:
        prompts = [text for role, text in seen.messages if role == "user" and not text.startswith(_GO_ON)]
        found = _MARK.search(prompts[-1] if prompts else "")
        if found is None:
            return self._rest
        named = dict(pair.split("=", 1) for pair in found[1].split())
        times = int(named.pop("times", "0"))
        with self._lock:
            self._times[seen.prompt] += 1
            is_over = bool(times) and self._times[seen.prompt] > times
        if is_over:
            return replace(self._rest, seconds=float(named.get("seconds", "0")))
        kinds = {one.name: type(getattr(self._rest, one.name)) for one in fields(Answer)}
        given: dict[str, Any] = {name: kinds[name](value) for name, value in named.items()}
        return replace(self._rest, **given)


@dataclass(slots=True)
class Endpoint:
    """A running endpoint. Safe to look at from any thread."""

    script: Script
    port: int = 0
    models: Sequence[str] = ("gpt-5-mini",)
    """That are listed."""
    requests: list[Seen] = field(default_factory=list)
    """All that came whole, answered or not."""
    served: list[Served] = field(default_factory=list)
    """All that was answered whole, errors too."""
    most_at_once: int = 0
    """Requests under way at the same time."""
    connections: int = 0
    """Ever opened."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    under_way: int = 0

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def tokens_in(self) -> int:
        """Of all that was served whole."""
        return sum(one.tokens_in for one in self.served)

    @property
    def tokens_out(self) -> int:
        """Of all that was served whole."""
        return sum(one.tokens_out for one in self.served)

    @property
    def answered(self) -> int:
        """Requests answered whole and well."""
        return sum(one.status == 200 for one in self.served)

    @property
    def prompts(self) -> list[str]:
        """Of all requests, in the order they came."""
        return [seen.prompt for seen in self.requests]

    def wait_for(self, promise: Callable[[Endpoint], bool], seconds: float = 30.0) -> None:
        """Wait until the promise is fulfilled; asked after every change.

        Raises:
            TimeoutError: it was not in time.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: promise(self), seconds):
                raise TimeoutError(f"{len(self.requests)} requests, {len(self.served)} served in {seconds} s")

    def came(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], connection: int) -> Seen:
        """Note a request."""
        with self.changed:
            seen = Seen(
                number=len(self.requests) + 1,
                path=path.partition("?")[0],
                time=time.monotonic(),
                body=body,
                headers=headers,
                connection=connection,
            )
            self.requests.append(seen)
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            self.changed.notify_all()
        return seen

    def went(self, seen: Seen, answer: Answer, tokens_out: int) -> None:
        """Note that it was answered whole."""
        is_good = answer.status == 200 and answer.fault is Fault.NONE
        with self.changed:
            self.served.append(
                Served(
                    seen=seen,
                    status=answer.status,
                    time=time.monotonic(),
                    tokens_in=seen.tokens_in if is_good else 0,
                    tokens_out=tokens_out if is_good else 0,
                )
            )

    def left(self) -> None:
        """A request is over, however it ended."""
        with self.changed:
            self.under_way -= 1
            self.changed.notify_all()

    def told(self) -> dict[str, int]:
        """The counts, for ``GET /served``."""
        return {
            "requests": len(self.requests),
            "answered": self.answered,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "most_at_once": self.most_at_once,
            "connections": self.connections,
        }


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection: a request at a time, kept alive."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._pending = b""
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._endpoint.connections += 1
        self._number = self._endpoint.connections

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._pending += data
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self._pending[:end].decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        whole = end + 4 + int(headers.get("content-length", "0"))
        if len(self._pending) < whole:
            return
        content, self._pending = self._pending[end + 4 : whole], self._pending[whole:]
        method, path, _ = lines[0].split(" ", 2)
        if method in {"GET", "HEAD"} or "count_tokens" in path:
            self._get(path, has_body=method != "HEAD")
            return
        seen = self._endpoint.came(path, json.loads(content), headers, self._number)
        self._task = asyncio.get_running_loop().create_task(self._serve(seen))

    async def _serve(self, seen: Seen) -> None:
        try:
            answer = self._endpoint.script(seen)
            if not seen.path.endswith(("/chat/completions", "/messages", "/responses")):
                answer = Answer(status=404, message=f"no such path {seen.path}")
            if answer.seconds:
                await asyncio.sleep(answer.seconds)
            await self._answer(seen, answer)
        finally:
            self._endpoint.left()

    async def _answer(self, seen: Seen, answer: Answer) -> None:
        assert self._transport is not None
        body, tokens_out = _body(seen, answer)
        whole = _head(answer, len(body), is_stream=body.startswith(b"event:")) + body
        match answer.fault:
            case Fault.DEAD:
                self._transport.abort()
            case Fault.HEADERS:
                self._transport.write(whole[: -len(body)])
                self._transport.close()
            case Fault.HALF:
                self._transport.write(whole[: -(len(body) // 2)])
                self._transport.close()
            case Fault.HANG:
                await asyncio.sleep(3600)
            case Fault.STALL:
                self._transport.write(whole[: -(len(body) // 2)])
                await asyncio.sleep(3600)
            case _:
                self._endpoint.went(seen, answer, tokens_out)
                self._transport.write(whole)
                if answer.close:
                    self._transport.close()

    def _get(self, path: str, *, has_body: bool) -> None:
        assert self._transport is not None
        found: Any = self._endpoint.told()
        if path.endswith("/models"):
            found = {"object": "list", "data": [{"id": one, "object": "model"} for one in self._endpoint.models]}
            found["models"] = []
        elif "count_tokens" in path:
            found = {"input_tokens": 100}
        content = json.dumps(found).encode() if has_body else b""
        self._transport.write(_head(Answer(), len(content), is_stream=False) + content)


def _head(answer: Answer, length: int, *, is_stream: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}",
        f"content-type: {answer.content_type or ('text/event-stream' if is_stream else 'application/json')}",
        "x-should-retry: false",
        f"content-length: {length}",
    ]
    if answer.retry_after:
        lines.append(f"retry-after: {answer.retry_after}")
    if answer.location:
        lines.append(f"location: {answer.location}")
    if answer.retry_after_ms:
        lines.append(f"retry-after-ms: {answer.retry_after_ms}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _body(seen: Seen, answer: Answer) -> tuple[bytes, int]:
    """The body, and the tokens of the reply in it."""
    if answer.body:
        return answer.body.encode(), 0
    if answer.status != 200:
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(answer.status, "api_error")
        error = {"message": answer.message, "code": answer.code or None, "type": kind}
        return json.dumps({"type": "error", "error": error}).encode(), 0
    odd = {
        Fault.GARBAGE: b'{"choices": [{"mess',
        Fault.LIST: b"[1, 2]",
        Fault.NO_CHOICES: b'{"object": "chat.completion"}',
        Fault.NULL: b'{"choices": null, "error": {"message": "the model is loading", "code": 503}}',
        Fault.EMPTY: b'{"choices": []}',
        Fault.ODD: b'{"choices": ["text", 4]}',
    }
    if answer.fault in odd:
        return odd[answer.fault], 0
    text = answer.text or f"echo: {seen.prompt[:40]}"
    content = None if text == "-" else text
    tokens_out = answer.tokens_out or count_tokens(content or "")
    if seen.path.endswith("/messages"):
        return _as_messages(seen, answer, content or "", tokens_out), tokens_out
    if seen.path.endswith("/responses"):
        return _as_responses(seen, content or "", tokens_out), tokens_out
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if answer.refusal:
        message["refusal"] = answer.refusal
    body: dict[str, Any] = {
        "id": f"chatcmpl-{seen.number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": seen.body.get("model", MODEL),
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish}],
        "usage": _usage(answer, seen.tokens_in, tokens_out),
    }
    if answer.usage == "none":
        del body["usage"]
    return json.dumps(body).encode(), tokens_out


def _as_messages(seen: Seen, answer: Answer, text: str, tokens_out: int) -> bytes:
    """As Anthropic streams it."""
    usage = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    usage |= {"input_tokens": seen.tokens_in, "output_tokens": tokens_out}
    message = {
        "id": f"msg_{seen.number:024d}",
        "type": "message",
        "role": "assistant",
        "model": seen.body.get("model", MODEL),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    reason = {"stop": "end_turn", "length": "max_tokens"}.get(answer.finish, answer.finish)
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    if text:
        events += [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": 0},
        ]
    events += [
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    return _stream(events)


def _as_responses(seen: Seen, text: str, tokens_out: int) -> bytes:
    """As OpenAI's responses are streamed."""
    name = f"resp_{seen.number}"
    usage = {
        "input_tokens": seen.tokens_in,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": seen.tokens_in + tokens_out,
    }
    part = {"type": "output_text", "annotations": [], "text": text}
    item = {"type": "message", "id": f"msg_{seen.number}", "role": "assistant", "content": [part]}
    return _stream(
        [
            {"type": "response.created", "response": {"id": name}},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"id": name, "output": [], "usage": usage}},
        ]
    )


def _stream(events: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def _usage(answer: Answer, tokens_in: int, tokens_out: int) -> Mapping[str, Any]:
    if answer.usage == "lie":
        return {"prompt_tokens": "many", "completion_tokens": [7], "total_tokens": None}
    if answer.usage == "negative":
        return {"prompt_tokens": -5, "completion_tokens": -1, "total_tokens": -6}
    if isinstance(answer.usage, Mapping):
        return answer.usage
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}


async def _listen(endpoint: Endpoint, ready: Callable[[], None], over: asyncio.Event) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(endpoint), "127.0.0.1", 0, backlog=256)
    endpoint.port = server.sockets[0].getsockname()[1]
    ready()
    await over.wait()
    server.close()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def running_endpoint(script: Script | None = None) -> Iterator[Endpoint]:
    """An endpoint in a thread of this process."""
    endpoint = Endpoint(script=script or Marked())
    ready = threading.Event()
    held: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        over = asyncio.Event()
        held.append((asyncio.get_running_loop(), over))
        await _listen(endpoint, ready.set, over)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="endpoint", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield endpoint
    finally:
        loop, over = held[0]
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEndpoint:
    """An endpoint that runs in a process of its own."""

    url: str
    process: subprocess.Popen[str]

    def served(self) -> dict[str, int]:
        """Its counts, as they stand."""
        with urllib.request.urlopen(f"{self.url.removesuffix('/v1')}/served", timeout=10) as reply:
            found: dict[str, int] = json.load(reply)
        return found


@contextmanager
def endpoint_process(*flags: str) -> Iterator[RemoteEndpoint]:
    """An endpoint in a process of its own; ``flags`` as ``--seconds 0.05``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sublm.endpoint", *flags],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield RemoteEndpoint(url=process.stdout.readline().strip(), process=process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def _main(endpoint: Endpoint) -> None:
    await _listen(endpoint, lambda: print(endpoint.url, flush=True), asyncio.Event())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="every answer takes so long")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(Endpoint(script=Marked(Answer(seconds=given.seconds)))))
