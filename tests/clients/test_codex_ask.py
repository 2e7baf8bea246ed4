"""The tool ask in the real Codex: a Run over the live session, answered by an endpoint or by ``codex exec``."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.asked import FIND_IT, SECRET, a_log, programs
from tests.clients.codex_provider import Provider, Request, Step, ask, outputs, running_provider
from tests.clients.codex_rig import CodexHome
from tests.clients.processes import below, needs_jail, needs_proc, until
from tests.clients.test_codex_repl import made_home, played, repl, served
from tests.sublm.endpoint import Endpoint, running_endpoint

pytestmark = [pytest.mark.client, needs_jail, needs_proc]

ALLOWED = '[mcp_servers.rlm-mcp.tools.ask]\napproval_mode = "approve"\n'
"""As the README has it: what reaches out, Codex asks its user about, and headless refuses."""
QUESTION = "Which word did user5 keep to himself?"
RUN = "parts = llm_query_batched([f'Part {n} of it?' for n in range(8)])\nprint(len(parts))\n" + FIND_IT.replace(
    "context", "context[0]"
)


@pytest.fixture
def api() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint(programs(RUN)) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, codex_binary: Path, api: Provider) -> CodexHome:
    """A person with Codex and rlm-mcp, and a log too long for one prompt."""
    made = made_home(tmp_path, codex_binary, api)
    a_log(made.project / "chat.log")
    with made.config.open("a") as settings:
        settings.write(ALLOWED)
    return made


def question(**more: object) -> Step:
    return ask("ask", question=QUESTION, **more)


def asking(endpoint: Endpoint) -> dict[str, str]:
    return {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "key-of-the-user"}


def test_an_endpoint_named_in_the_clients_environment_is_asked(
    home: CodexHome, api: Provider, endpoint: Endpoint
) -> None:
    """Codex hands on what the installer has named; ``llm_query`` in a Cell is asked there too."""
    told = played(
        replace(home, extra=asking(endpoint)),
        api,
        {
            "load": ask("load", path="chat.log"),
            "ask": question(scope="docs"),
            "cell": repl("llm_query('Are you there?')"),
        },
    ).outputs
    assert f'{SECRET}\n- "' in told["ask"][0]
    assert "by run; 9 calls, " in told["ask"][0]
    assert "heard: Are you there?" in told["cell"][0]
    assert len(endpoint.requests) == 10
    assert {seen.headers["authorization"] for seen in endpoint.requests} == {"Bearer key-of-the-user"}


def test_an_endpoint_may_stand_in_our_own_settings(home: CodexHome, api: Provider, endpoint: Endpoint) -> None:
    """One that needs no key, as a server on this machine."""
    home.store.mkdir(exist_ok=True)
    (home.store / "config.toml").write_text(f'sub_base_url = "{endpoint.url}"\n')
    told = played(home, api, {"cell": repl("llm_query('Are you there?')")}).outputs
    assert "heard: Are you there?" in told["cell"][0]


def test_codex_itself_is_asked_where_nothing_is_set_up(home: CodexHome, api: Provider) -> None:
    """``codex exec`` with the user's own login: no tools, nothing of ours in it."""

    def heard(_request: Request) -> Step:
        return Step(text="heard you")

    path = f"{home.binary.parent}{os.pathsep}{os.environ['PATH']}"
    text = home.config.read_text()
    text = text.replace('env_key = "DUMMY_KEY"\n', "requires_openai_auth = false\n")
    home.config.write_text(text)
    told: list[str] = []

    def after(request: Request) -> Step:
        told.extend(outputs(request))
        return Step(text="Done.")

    api.steps = [served(api), repl("llm_query('Are you there?')", timeout_seconds=60), heard, after]
    ran = replace(home, extra={"PATH": path}).exec("Please.")
    assert ran.code == 0, ran.err
    assert "heard you" in told[-1]
    (asked,) = [request for request in api.of("turn") if "Are you there?" in request.texts[-1:]]
    assert not asked.tools
    assert "mcp__" not in asked.text


def test_a_long_question_is_a_job_and_the_clients_end_ends_it(home: CodexHome, api: Provider) -> None:
    """Waited for it gives its answer; killed with the client it leaves no process and asks no more."""
    hold, seen = threading.Event(), threading.Event()
    plain = programs(RUN)

    def script(asked: object) -> object:
        seen.set()
        hold.wait(20)
        return plain(asked)  # type: ignore[arg-type]  # a request of the endpoint

    with running_endpoint(script) as endpoint:  # type: ignore[arg-type]  # it answers what the plain one does
        kept = replace(home, extra=asking(endpoint))
        text = home.config.read_text().replace("RLM_MCP_HOME = ", 'RLM_MCP_ASK_WAIT_SECONDS = "0.3", RLM_MCP_HOME = ')
        home.config.write_text(text)

        def wait(request: Request) -> Step:
            job = re.search(r"job (r\w+) runs", outputs(request)[-1])
            assert job is not None
            hold.set()
            return ask("job", id=job[1])

        def again(request: Request) -> Step:
            if "runs since" in outputs(request)[-1]:
                api.steps.insert(0, again)
                return wait(request)
            return Step(text="Done.")

        api.steps = [served(api), ask("load", path="chat.log"), question(scope="docs"), wait, again]
        assert kept.exec("Please.").code == 0
        assert f'{SECRET}\n- "' in outputs(api.of("turn")[-1])[-1]

        hold.clear()
        seen.clear()
        api.steps = [served(api), ask("load", path="chat.log"), ask("ask", question="Another one?", scope="docs")]
        with kept.started("Please.") as client:
            assert seen.wait(40)
            ours = below(client.pid)
            count = len(endpoint.requests)
            client.kill()
        hold.set()
        until(lambda: not any(process.state for process in ours))
        assert len(endpoint.requests) == count


def test_a_headless_codex_refuses_to_ask_unless_it_is_allowed(
    home: CodexHome, api: Provider, endpoint: Endpoint
) -> None:
    """It has nobody to approve it; all other tools work."""
    home.config.write_text(home.config.read_text().replace(ALLOWED, ""))
    told = played(
        replace(home, extra=asking(endpoint)),
        api,
        {"load": ask("load", path="chat.log"), "ask": question(scope="docs")},
    ).outputs
    assert "2,000 lines" in told["load"][0]
    assert "requires approval" in told["ask"][0]
    assert not endpoint.requests
