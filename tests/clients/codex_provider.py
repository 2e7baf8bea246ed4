"""A scripted stand-in for the Responses API, on loopback: what the real Codex binary talks to in tests.

Wire format: server-sent events of ``POST /responses``, as the client reads them
(https://platform.openai.com/docs/api-reference/responses-streaming). Nothing leaves the machine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SERVER = "mcp__rlm_mcp"
"""The namespace of our tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of the scripted model."""

    name: str
    arguments: dict[str, Any] | str
    """A string makes it a custom tool's call."""
    namespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One answer of the scripted model."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    items: tuple[dict[str, Any], ...] = ()
    """Further output items, as they go over the wire."""
    tokens: int = 5_000
    """The input tokens that the provider claims to have counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of the client."""

    kind: str
    """``turn``, ``compaction`` or ``title``."""
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def texts(self) -> list[str]:
        """Every text of the input, in order: messages, call arguments, outputs."""
        return [text for item in self.body.get("input", []) for text in _texts(item)]

    @property
    def text(self) -> str:
        """The whole input as one text."""
        return "\n".join(self.texts)

    @property
    def tools(self) -> list[str]:
        """Names of the tools offered."""
        return [tool.get("name") or tool.get("type", "") for tool in self.body.get("tools", [])]


Script = Step | Callable[[Request], Step]


@dataclass(slots=True)
class Provider:
    """Answers turns with ``steps``, then ``rest``; remembers every request."""

    url: str = ""
    steps: list[Script] = field(default_factory=list)
    rest: Script = field(default_factory=lambda: Step(text="ok"))
    summary: Step = field(default_factory=lambda: Step(text="BUILT-IN SUMMARY"))
    """Answers requests for a compaction."""
    requests: list[Request] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def of(self, kind: str) -> list[Request]:
        """The requests of one kind, in order."""
        return [request for request in self.requests if request.kind == kind]

    def answer(self, request: Request) -> Step:
        """Remember ``request``; the next step for it."""
        with self.changed:
            self.requests.append(request)
            script: Script = self.rest
            if request.kind == "compaction":
                script = self.summary
            elif request.kind == "title":
                script = Step(text="a title", tokens=500)
            elif self.steps:
                script = self.steps.pop(0)
            self.changed.notify_all()
        return script(request) if callable(script) else script

    def wait_for(self, ready: Callable[[Provider], bool], seconds: float = 30.0) -> bool:
        """Whether ``ready`` became true; asked after each request."""
        with self.changed:
            return self.changed.wait_for(lambda: ready(self), timeout=seconds)


def shell(command: str) -> ToolCall:
    """The model runs a command."""
    return ToolCall(name="exec_command", arguments={"cmd": command})


def ask(tool: str, **arguments: object) -> Step:
    """The model calls one of our tools."""
    return Step(calls=(ToolCall(name=tool, namespace=SERVER, arguments=arguments),), tokens=9_000)


def outputs(request: Request) -> list[str]:
    """Texts of the tool outputs that the model sees."""
    found = []
    for item in request.body["input"]:
        output = item.get("output")
        if isinstance(output, list):
            output = "\n".join(part.get("text", "") for part in output)
        found += [output] if output is not None else []
    return found


def _texts(item: dict[str, Any]) -> Iterator[str]:
    for key in ("content", "output", "arguments", "input", "encrypted_content"):
        value = item.get(key)
        if isinstance(value, str):
            yield value
        for part in value if isinstance(value, list) else []:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def _kind(body: dict[str, Any], headers: dict[str, str]) -> str:
    told = json.loads(headers.get("x-codex-turn-metadata", "{}"))
    if told.get("request_kind") == "compaction":
        return "compaction"
    texts = [text for item in body.get("input", [])[-1:] for text in _texts(item)]
    return "title" if any(text.startswith("Generate a concise, single-line task title") for text in texts) else "turn"


def _items(step: Step, number: int) -> list[dict[str, Any]]:
    items = list(step.items)
    if step.reasoning:
        summary = [{"type": "summary_text", "text": step.reasoning}]
        items.append({"type": "reasoning", "id": f"rs_{number}", "encrypted_content": "ZW5j", "summary": summary})
    for place, call in enumerate(step.calls):
        custom = isinstance(call.arguments, str)
        item: dict[str, Any] = {
            "type": "custom_tool_call" if custom else "function_call",
            "id": f"fc_{number}_{place}",
            "call_id": f"call_{number}_{place}",
            "name": call.name,
            "input" if custom else "arguments": call.arguments if custom else json.dumps(call.arguments),
        }
        if call.namespace:
            item["namespace"] = call.namespace
        items.append(item)
    if step.text:
        content = [{"type": "output_text", "annotations": [], "text": step.text}]
        items.append({"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content})
    return items


def _stream(step: Step, number: int) -> bytes:
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": f"resp_{number}"}}]
    for place, item in enumerate(_items(step, number)):
        events.append({"type": "response.output_item.added", "output_index": place, "item": item})
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    usage = {
        "input_tokens": step.tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": step.tokens + 50,
    }
    events.append({"type": "response.completed", "response": {"id": f"resp_{number}", "output": [], "usage": usage}})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _send(self, status: int, content_type: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self._send(200, "application/json", b'{"object": "list", "data": [], "models": []}')

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            if not self.path.split("?")[0].endswith("/responses"):
                self._send(200, "application/json", b"{}")
                return
            body = json.loads(raw)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(kind=_kind(body, headers), body=body, headers=headers)
            step = provider.answer(request)
            self._send(200, "text/event-stream", _stream(step, len(provider.requests)))

    return Handler


@contextmanager
def running_provider() -> Iterator[Provider]:
    """A provider that listens on a free port of 127.0.0.1."""
    provider = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    server.daemon_threads = True
    provider.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
