"""Backends of every kind, each before an endpoint that does what marks in prompts say (see ``endpoint.py``)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.config import Paths
from rlm_mcp.errors import SubLMBusy, SubLMRefused
from rlm_mcp.server.lending import Door
from rlm_mcp.sublm.claude_cli import ClaudeProgram
from rlm_mcp.sublm.codex_cli import CodexProgram
from rlm_mcp.sublm.lent import LentModel
from rlm_mcp.sublm.lm import Reply, Request, SubLM, Usage
from rlm_mcp.sublm.openai_api import OpenAIEndpoint
from rlm_mcp.sublm.scripted import Said, Scripted
from tests.clients.claude_rig import ClaudeHome
from tests.clients.codex_rig import CodexHome
from tests.sublm.endpoint import Endpoint, Fault, Marked, Seen, count_tokens, running_endpoint
from tests.sublm.lent_client import lending_client

MODEL = "gpt-5.5"
"""Known to Codex; the others take any."""
_CLIENT_ID = 4711
"""Process id of a client, by which it finds the door."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A backend, and what reached the model behind it."""

    name: str
    backend: SubLM
    seen: Callable[[], list[Seen]]
    """All requests that came."""

    def wait_for(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so many requests came.

        Raises:
            TimeoutError: they did not.
        """
        end = time.monotonic() + seconds
        while len(self.seen()) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.seen())} of {count} requests came")
            threading.Event().wait(0.005)


@contextmanager
def scripted_world(_folder: Path, _binary: Path | None) -> Iterator[World]:
    """The double itself."""
    seen: list[Seen] = []
    marked = Marked()
    backend = Scripted(lambda request: _said(request, marked, seen), model=MODEL)
    yield World(name="scripted", backend=backend, seen=lambda: list(seen))
    backend.close()


@contextmanager
def plain_world(_folder: Path, _binary: Path | None) -> Iterator[World]:
    """An endpoint on this machine."""
    with running_endpoint() as endpoint:
        backend = OpenAIEndpoint(base_url=endpoint.url, key="sk-dummy-0000", model=MODEL)
        yield _world("plain", backend, endpoint)
        backend.close()


@contextmanager
def package_world(_folder: Path, _binary: Path | None) -> Iterator[World]:
    """An endpoint through the ``openai`` package."""
    with running_endpoint() as endpoint:
        backend = OpenAIEndpoint(base_url=endpoint.url, key="sk-dummy-0000", model=MODEL, is_plain=False)
        yield _world("package", backend, endpoint)
        backend.close()


@contextmanager
def lent_world(folder: Path, _binary: Path | None) -> Iterator[World]:
    """A client that lends its model, through the door that our server opens to it."""
    paths, lent = Paths(home=folder), LentModel(model=MODEL)
    door = Door(paths, _CLIENT_ID, lent)
    try:
        with running_endpoint() as endpoint, lending_client(paths, _CLIENT_ID, endpoint.url), lent.working():
            yield _world("lent", lent, endpoint)
            lent.close()
    finally:
        door.shut()


@contextmanager
def claude_world(folder: Path, binary: Path | None) -> Iterator[World]:
    """The real Claude Code."""
    assert binary is not None
    with running_endpoint() as endpoint:
        home = ClaudeHome(root=folder, binary=binary, url=endpoint.url.removesuffix("/v1"))
        home.prepare()
        backend = ClaudeProgram(binary, home.environment())
        yield _world("claude", backend, endpoint)
        backend.close()


@contextmanager
def codex_world(folder: Path, binary: Path | None) -> Iterator[World]:
    """The real Codex."""
    assert binary is not None
    with running_endpoint() as endpoint:
        home = CodexHome(root=folder, binary=binary, url=endpoint.url)
        home.prepare()
        backend = CodexProgram(binary, home.environment())
        yield _world("codex", backend, endpoint)
        backend.close()


def _world(name: str, backend: SubLM, endpoint: Endpoint) -> World:
    return World(name=name, backend=backend, seen=lambda: list(endpoint.requests))


def _said(request: Request, marked: Marked, noted: list[Seen]) -> Said:
    """What the marks in a prompt mean for the double."""
    turns = [text for turn in request.history for text in zip(("user", "assistant"), turn, strict=True)]
    messages = [("system", request.system), *turns, ("user", request.prompt)]
    body = {"model": request.model, "messages": [{"role": role, "content": text} for role, text in messages if text]}
    seen = Seen(number=len(noted) + 1, path="", time=time.monotonic(), body=body, headers={}, connection=1)
    noted.append(seen)
    answer = marked(seen)
    if answer.status != 200:
        kind = SubLMBusy if answer.status == 429 or answer.status >= 500 else SubLMRefused
        return kind(answer.message)
    if answer.fault is not Fault.NONE:
        return SubLMBusy(answer.fault)
    text = "" if answer.text == "-" else answer.text or f"echo: {request.prompt[:40]}"
    usage = Usage(tokens_in=seen.tokens_in, tokens_out=count_tokens(text))
    return Reply(text=text, usage=usage, model=MODEL, is_cut=answer.finish == "length")
