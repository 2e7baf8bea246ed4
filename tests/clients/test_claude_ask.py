"""The tool ask in the real Claude Code: a Run over the live session, answered by the client's own model and others."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.asked import FIND_IT, SECRET, a_log, block, programs
from tests.clients.claude_provider import Provider, Request, Step, provider
from tests.clients.claude_rig import TOOLS, ClaudeHome, install, interactive
from tests.clients.processes import below, needs_jail, needs_proc, until
from tests.clients.test_claude_repl import answer, bash, repl, working
from tests.sublm.endpoint import running_endpoint

pytestmark = [pytest.mark.client, needs_jail, needs_proc]

QUESTION = "Which word did user5 keep to himself?"
FOUND = FIND_IT.replace("context", "context[0]")
SUMMED = "parts = llm_query_batched([f'Part {n} of it?' for n in range(8)])\n"
RUN = f"{SUMMED}print(sum('heard' in part for part in parts))\n{FOUND}"


@pytest.fixture
def api() -> Iterator[Provider]:
    with provider() as running:
        running.asked = plays(RUN)
        yield running


@pytest.fixture
def home(tmp_path: Path, claude_binary: Path, api: Provider) -> ClaudeHome:
    """A person with Claude Code and rlm-mcp, and a log too long for one prompt."""
    made = ClaudeHome(root=tmp_path, binary=claude_binary, url=api.url)
    made.prepare()
    a_log(made.project / "chat.log")
    install(made)
    return made


def plays(code: str, hold: threading.Event | None = None, seen: threading.Event | None = None):
    """A root that writes this Cell; everything else is heard. Both wait for ``hold``."""

    def script(request: Request) -> Step:
        if seen is not None:
            seen.set()
        if hold is not None:
            hold.wait(30)
        if "```repl" in json.dumps(request.body.get("system", "")):
            return Step(text=block(code))
        return Step(text=f"heard: {prompt_of(request)[:40]}")

    return script


def prompt_of(request: Request) -> str:
    content = request.messages[-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def ask(question: str = QUESTION, **more: object) -> Step:
    return Step(tool=f"{TOOLS}ask", arguments={"question": question, **more})


def load() -> Step:
    return Step(tool=f"{TOOLS}load", arguments={"path": "chat.log"})


def test_the_client_lends_its_own_model(home: ClaudeHome, api: Provider) -> None:
    """Root and sub-models are asked through the mod: no tools, no process, no key; tokens as the client counts them."""
    with working(home, api) as live:
        live.asks(load())
        before = len(below(live.client.process.pid))
        told = live.asks(ask(scope="docs"))
        assert told.startswith(f'{SECRET}\n- "')
        assert len(below(live.client.process.pid)) <= before + 1  # the Run's own Jail may still end
        asked = api.of_kind("asked")
        assert len(asked) == 9
        assert "by run; 9 calls, " in told
        usage = sum(len(json.dumps([r.body.get("system"), r.messages, None], ensure_ascii=False)) // 4 for r in asked)
        assert f"9 calls, {usage:,} + " in told
        for request in asked:
            assert not request.body.get("tools")
            assert "mcp__" not in json.dumps(request.body)
        again = live.asks(ask(scope="docs"))
        assert again.startswith(SECRET)
        assert len(api.of_kind("asked")) == 9
        assert "9 from the cache" in again
        heard = live.asks(repl("llm_query('Are you there?'), len(llm_query_batched([f'{n}?' for n in range(20)]))"))
        assert heard.startswith("('heard: Are you there?', 20)\n")
        assert len(api.of_kind("asked")) == 30


def test_a_short_session_is_answered_in_one_call_with_checked_quotes(home: ClaudeHome, api: Provider) -> None:
    """A quote that stands there has its Ref; one that does not is left out."""

    def atomic(_request: Request) -> Step:
        return Step(text=json.dumps({"answer": "482130977", "quotes": ["checksum of part 7: 482130977", "made up"]}))

    api.asked = atomic
    with working(home, api) as live:
        live.asks(bash("echo 'checksum of part 7: 482130977'"))
        told = live.asks(ask("What is the checksum of part 7?"))
        assert told.startswith('482130977\n- "checksum of part 7: 482130977"  log:')
        assert "(1 quote was not found in the data, and left out)" in told
        assert "by one call; 1 call, " in told


def test_an_endpoint_named_in_the_clients_environment_is_asked(home: ClaudeHome, api: Provider) -> None:
    """Claude Code hands its environment on to the server; its own model is left alone."""
    with running_endpoint(programs(RUN)) as endpoint:
        asking = replace(home, extra={"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "key"})
        with working(asking, api) as live:
            live.asks(load())
            told = live.asks(ask(scope="docs"))
    assert told.startswith(f'{SECRET}\n- "')
    assert f"9 calls, {endpoint.tokens_in:,} + {endpoint.tokens_out:,} tokens" in told
    assert not api.of_kind("asked")


def test_the_program_itself_is_asked_where_no_mod_is(home: ClaudeHome, api: Provider) -> None:
    """``sub_backend = "claude"``: a process for each request, with no tools and nothing of ours in it."""
    (home.store / "config.toml").write_text('sub_backend = "claude"\n')
    path = f"{home.binary.parent}{os.pathsep}{os.environ['PATH']}"
    api.asked = plays(f"print(llm_query('Are you there?'))\n{FOUND}")
    with working(replace(home, extra={"PATH": path}), api) as live:
        live.asks(load())
        told = live.asks(ask(scope="docs"))
        assert told.startswith(f'{SECRET}\n- "')
        assert "2 calls, " in told
    assert len(api.of_kind("asked")) == 2


def test_a_long_question_is_a_job_that_can_be_waited_for(home: ClaudeHome, api: Provider) -> None:
    """It goes on in other turns; headless, a turn begins when the request under way is answered."""
    hold = threading.Event()
    api.asked = plays(RUN, hold)
    with working(replace(home, extra={"RLM_MCP_ASK_WAIT_SECONDS": "0.3"}), api) as live:
        live.asks(load())
        told = live.asks(ask(scope="docs"))
        assert told.startswith("job r")
        job = told.split()[1]
        hold.set()
        assert "go on" in live.asks(bash("echo go on"))
        until(lambda: len(api.of_kind("asked")) == 9)
        told = live.asks(Step(tool=f"{TOOLS}job", arguments={"id": job}))
        assert told.startswith(f'{SECRET}\n- "')


def test_escape_ends_the_run_and_nothing_is_asked_after_it(home: ClaudeHome, api: Provider) -> None:
    """What is under way in the client is ended too; the next question works."""
    hold, seen = threading.Event(), threading.Event()
    api.asked = plays(RUN, hold, seen)
    with working(home, api) as live:
        live.asks(load())
        api.steps.append(ask(scope="docs"))
        live.client.send("Please.")
        assert seen.wait(20)
        live.client.interrupt()
        live.client.result()
        count = len(api.of_kind("asked"))
        hold.set()
        assert live.asks(bash("echo still here")).startswith("still here")
        assert len(api.of_kind("asked")) == count == 1
        api.asked = plays(RUN)
        assert live.asks(ask(scope="docs")).startswith(SECRET)


def test_escape_at_the_terminal_ends_the_run(home: ClaudeHome, api: Provider) -> None:
    """No request follows the one under way, and the next question is answered."""
    hold, seen = threading.Event(), threading.Event()
    api.asked = plays(RUN, hold, seen)
    with interactive(home) as terminal:
        terminal.wait_for("/effort")
        api.steps.append(load())
        terminal.say("Please load the log.")
        terminal.settle(api, 2)
        api.steps.append(ask(scope="docs"))
        terminal.say("And find it.")
        terminal.settle(api, 3)
        until(seen.is_set)
        terminal.type("\x1b")
        terminal.wait_for("Interrupted")
        hold.set()
        api.asked = plays(RUN)
        count = len(api.of_kind("asked"))
        api.steps.append(ask(scope="docs"))
        terminal.say("Find it now.")
        terminal.settle(api, 5)
    assert count == 1
    assert len(api.of_kind("asked")) == 1 + 9
    assert answer(api.of_kind("main")[-1]).startswith(SECRET)


@pytest.mark.parametrize("end", ["ends", "is killed"])
def test_nothing_of_a_run_is_left_when_the_client(home: ClaudeHome, api: Provider, end: str) -> None:
    """Neither server nor Jail; a client that ends lets the request under way come to its end."""
    hold, seen = threading.Event(), threading.Event()
    api.asked = plays("while True:\n    llm_query('Are you there?')", hold, seen)
    with working(replace(home, extra={"RLM_MCP_ASK_WAIT_SECONDS": "0.3"}), api) as live:
        live.asks(load())
        assert live.asks(ask(scope="docs")).startswith("job r")
        assert seen.is_set()
        ours = below(live.client.process.pid)
        if end == "is killed":
            live.client.process.kill()
        else:
            hold.set()
    until(lambda: not any(process.state for process in ours))
    assert len(api.of_kind("asked")) == (1 if end == "is killed" else 2)


def test_the_client_asks_its_user_before_a_question_is_asked(home: ClaudeHome, api: Provider) -> None:
    """Not read-only, so not in plan mode either; a line in ``permissions.allow`` lets it through."""
    settings = home.config / "settings.json"
    kept = json.loads(settings.read_text())

    def told(**permissions: object) -> str:
        settings.write_text(json.dumps(kept | {"permissions": permissions}))
        with working(home, api) as live:
            return live.asks(ask("please"))

    assert "haven't granted it" in told(defaultMode="default")
    assert "plan mode" in told(defaultMode="plan", allow=["mcp__plugin_rlm-mcp_rlm-mcp"])
    assert not api.of_kind("asked")
    allowed = [f"{TOOLS}{tool}" for tool in ("search", "ask")]
    assert "granted" not in told(defaultMode="default", allow=allowed)
    assert api.of_kind("asked")
