"""A scripted stand-in for the Messages API on loopback, for driving the real Claude Code binary.

Main-loop requests are answered by the queued :class:`Step` values in order, then with the text ``OK``. A request to the
built-in summariser is recognised by its prompt and answered with a fixed summary; how often that happens is what the
tests are about. Format: https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SUMMARY = "BUILT-IN-SUMMARY: the fixed text of the fake provider."
_SUMMARISER = "CRITICAL: Respond with TEXT ONLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The answer to one main-loop request."""

    text: str = ""
    tool: str = ""
    """A tool to call, by the name the client offers it under."""
    arguments: dict[str, object] = field(default_factory=dict)
    more_calls: tuple[tuple[str, dict[str, object]], ...] = ()
    """Further calls of the same reply (parallel tool use)."""
    too_long: bool = False
    """Answer HTTP 400 ``prompt is too long`` instead."""
    usage: int = 0
    """Reported input tokens; 0: a quarter of the request's characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request the client sent."""

    kind: str
    """``main``, ``asked``, ``summary``, ``count`` or ``title``."""
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation sent."""
        found: list[dict[str, Any]] = self.body["messages"]
        return found

    @property
    def text(self) -> str:
        """All that was sent as conversation, as one JSON text (non-ASCII as it is)."""
        return json.dumps(self.messages, ensure_ascii=False)

    def blocks(self, kind: str) -> list[dict[str, Any]]:
        """All content blocks of one type, in order."""
        return [
            block
            for message in self.messages
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == kind
        ]


class Provider:
    """The scripted API. Use :func:`provider`."""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque()
        self.requests: list[Request] = []
        self.limit_tokens = 0
        """Refuse longer main requests with ``prompt is too long``; 0: never."""
        self.asked: Callable[[Request], Step] | None = None
        """Answers what is asked by our Runs and Cells: requests without tools."""
        self._changed = threading.Condition()
        self._calls = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Base address for the client."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def of_kind(self, kind: str) -> list[Request]:
        """Requests so far, of one kind."""
        with self._changed:
            return [request for request in self.requests if request.kind == kind]

    def wait_for(self, promise: Callable[[list[Request]], bool], timeout_seconds: float = 60.0) -> None:
        """Wait until the requests so far fulfil ``promise``.

        Raises:
            TimeoutError: they did not in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: promise(self.requests), timeout_seconds):
                kinds = [request.kind for request in self.requests]
                raise TimeoutError(f"the client sent only {kinds} in {timeout_seconds} s")

    def serve(self) -> None:
        """Answer until :meth:`close`."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and message for a request."""
        if path.endswith("/count_tokens"):
            self._note("count", body)
            return 200, {"input_tokens": _tokens(body)}
        kind = _kind(body)
        if kind == "main" and self.asked is not None and not body.get("tools"):
            self._note("asked", body)
            return 200, self._message(self.asked(Request(kind="asked", body=body)), body)
        step = self._step(kind, body)
        self._note(kind, body)
        if step.too_long:
            found = _tokens(body)
            text = f"prompt is too long: {found} tokens > {self.limit_tokens or found - 1} maximum"
            return 400, {"type": "error", "error": {"type": "invalid_request_error", "message": text}}
        return 200, self._message(step, body)

    def _note(self, kind: str, body: dict[str, Any]) -> None:
        with self._changed:
            self.requests.append(Request(kind=kind, body=body))
            self._changed.notify_all()

    def _step(self, kind: str, body: dict[str, Any]) -> Step:
        if kind == "summary":
            return Step(text=f"<analysis>none</analysis>\n<summary>\n{SUMMARY}\n</summary>")
        if kind == "title":
            return Step(text=json.dumps({"title": "A session", "isNewTopic": True}))
        if self.limit_tokens and _tokens(body) > self.limit_tokens:
            return Step(too_long=True)
        with self._changed:
            return self.steps.popleft() if self.steps else Step(text="OK")

    def _message(self, step: Step, body: dict[str, Any]) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": step.text}] if step.text else []
        calls = ((step.tool, step.arguments), *step.more_calls) if step.tool else ()
        for name, arguments in calls:
            with self._changed:
                self._calls += 1
                number = self._calls
            content.append({"type": "tool_use", "id": f"toolu_{number:024d}", "name": name, "input": arguments})
        usage = {"input_tokens": step.usage or _tokens(body), "output_tokens": 1 + len(json.dumps(content)) // 4}
        return {
            "id": f"msg_{len(self.requests):024d}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "model"),
            "content": content,
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": usage | {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                """Nothing is printed."""

            def do_HEAD(self) -> None:
                self._reply(200, b"", "text/plain")

            def do_GET(self) -> None:
                self._reply(404, b"{}", "application/json")

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = self.path.partition("?")[0]
                if not path.startswith("/v1/messages"):
                    self._reply(404, b"{}", "application/json")
                    return
                body = json.loads(content)
                status, message = owner.answer(path, body)
                if status == 200 and body.get("stream"):
                    self._reply(200, b"".join(_stream(message)), "text/event-stream")
                else:
                    self._reply(status, json.dumps(message).encode(), "application/json")

            def _reply(self, status: int, content: bytes, media_type: str) -> None:
                self.send_response(status)
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(content)))
                self.send_header("x-should-retry", "false")
                self.end_headers()
                self.wfile.write(content)

        return Handler


@contextmanager
def provider() -> Iterator[Provider]:
    """A running :class:`Provider`."""
    running = Provider()
    thread = threading.Thread(target=running.serve, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join()


def _kind(body: dict[str, Any]) -> str:
    if _SUMMARISER in json.dumps(body["messages"][-2:]):  # a system reminder may stand behind it
        return "summary"
    system = json.dumps(body.get("system", ""))
    return "title" if "title" in system.lower() and not body.get("tools") else "main"


def _tokens(body: dict[str, Any]) -> int:
    return len(json.dumps([body.get("system"), body.get("messages"), body.get("tools")], ensure_ascii=False)) // 4


def _stream(message: dict[str, Any]) -> Iterator[bytes]:
    def event(name: str, **fields: object) -> bytes:
        return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()

    usage = message["usage"]
    yield event("message_start", message={**message, "content": [], "stop_reason": None, "usage": usage})
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield event("content_block_start", index=index, content_block=empty)
        yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=ending, usage=usage)
    yield event("message_stop")
