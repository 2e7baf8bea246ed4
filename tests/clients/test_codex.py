"""The swap in the real Codex: installed as a person would, driven against a provider on loopback."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlm_mcp.cli import install_codex
from tests.clients.codex_provider import (
    SERVER,
    Provider,
    Request,
    Step,
    ToolCall,
    ask,
    outputs,
    running_provider,
    shell,
)
from tests.clients.codex_rig import CodexHome, install, target_of

pytestmark = pytest.mark.client

BRIEF = "# rlm-mcp brief"
ROWS = "\n".join(f"row {n:05d} {n * 2654435761 % 2**32:08x}" for n in range(700))
MakeHome = Callable[..., CodexHome]


@pytest.fixture
def api() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def make_home(tmp_path: Path, codex_binary: Path, api: Provider) -> MakeHome:
    """Makes a person with Codex, a project with one large file, and rlm-mcp installed."""

    def make(*, installed: bool = True, **more: str) -> CodexHome:
        home = CodexHome(root=tmp_path, binary=codex_binary, url=api.url, **more)
        home.prepare()
        (home.project / "rows.txt").write_text(ROWS + "\n")
        if installed:
            install(home)
        return home

    return make


def briefs(request: Request) -> int:
    return request.text.count(BRIEF)


def read_big(request: Request) -> Step:
    """The model reads the Event that holds the first rows, by a Ref that a search just gave.

    Codex does not wait for a server that is still starting: a model as fast as ours asks again.
    """
    if "unsupported call" in outputs(request)[-1]:
        search = ToolCall(name="search", namespace=SERVER, arguments={"query": "row 00350"})
        return Step(calls=(shell("sleep 0.5"), search), tokens=9_000)
    found = re.search(r"result exec_command: .*?\b(e\d+)$", outputs(request)[-1], re.MULTILINE)
    assert found, outputs(request)[-1]
    return ask("read", ref=found[1], max_tokens=40_000)


def test_an_exec_session_crosses_the_limit_without_a_summary(make_home: MakeHome, api: Provider):
    """No summariser request; the next request holds the Brief with the task and none of the bulk; work goes on."""
    home = make_home()
    api.steps = [
        Step(text="I look at the rows.", calls=(shell("cat rows.txt"),), tokens=20_000),
        Step(calls=(shell("echo second"),), tokens=60_000),
        Step(calls=(shell("echo third"),), tokens=9_000),
        Step(text="All rows are fine.", tokens=9_000),
    ]
    ran = home.exec("Check every row of rows.txt. Never touch README.md.")
    assert ran.code == 0, ran.err
    assert api.of("compaction") == []
    before, after, last = api.of("turn")[1:4]
    assert "row 00350" in before.text
    assert briefs(before) == 0
    assert briefs(after) == 1
    assert "row 00350" not in after.text
    assert "Check every row of rows.txt. Never touch README.md." in after.text
    assert "echo second" in after.text
    assert "third" in outputs(last)[-1]
    assert "All rows are fine." in ran.out


def test_search_and_read_reach_an_output_from_before_the_swap_byte_for_byte(make_home: MakeHome, api: Provider):
    """The model asks our tools after the swap; what it reads is what the command printed."""
    home = make_home(top="tool_output_token_limit = 40000")
    api.steps = [
        Step(calls=(shell("cat rows.txt"),), tokens=20_000),
        Step(calls=(shell("echo second"),), tokens=60_000),
        ask("search", query="row 00350"),
    ]
    api.rest = lambda request: Step(text="Found.") if ROWS in request.text else read_big(request)
    ran = home.exec("check the rows")
    assert ran.code == 0, ran.err
    assert ROWS in outputs(api.of("turn")[-1])[-1]


def test_the_swap_works_in_code_mode(make_home: MakeHome, api: Provider):
    """Newer models call everything from a script: our tools too."""
    home = make_home(model="gpt-6.1-sol", top="tool_output_token_limit = 40000")

    def script(text: str, tokens: int) -> Step:
        return Step(calls=(ToolCall(name="exec", arguments=text),), tokens=tokens)

    api.steps = [
        script('text((await tools.exec_command({cmd: "cat rows.txt"})).output);', 20_000),
        script('text((await tools.exec_command({cmd: "sleep 3"})).output);', 20_000),
        script('text((await tools.exec_command({cmd: "echo second"})).output);', 60_000),
        script(f"text(JSON.stringify(await tools.{SERVER}__search({{query: 'row 00350'}})));", 9_000),
        Step(text="Found.", tokens=9_000),
    ]
    ran = home.exec("check the rows")
    assert ran.code == 0, ran.err
    assert api.of("compaction") == []
    after = api.of("turn")[3]
    assert briefs(after) == 1
    assert "row 00350" not in after.text
    assert "row 00350" in outputs(api.of("turn")[-1])[-1]


def test_a_resume_that_compacts_first_gives_one_brief(make_home: MakeHome, api: Provider):
    """SessionStart comes twice, for resume and for compact; one speaks. The new prompt stands after the Brief."""
    home = make_home()
    api.steps = [Step(calls=(shell("cat rows.txt"),), tokens=20_000), Step(text="Looked.", tokens=60_000)]
    assert home.exec("check the rows").code == 0
    ran = home.resume("and now the last row")
    assert ran.code == 0, ran.err
    assert api.of("compaction") == []
    after = api.of("turn")[-1]
    assert briefs(after) == 1
    assert "row 00350" not in after.text
    assert after.text.index("check the rows") < after.text.index("and now the last row")


def test_five_swaps_in_a_row_keep_the_task_and_stack_no_briefs(make_home: MakeHome, api: Provider):
    """Each Brief replaces the one before, and the first ask comes through verbatim."""
    home = make_home()
    api.steps = [Step(calls=(shell(f"echo part {n}"),), tokens=60_000) for n in range(5)] + [Step(text="Done.")]
    assert home.exec("Port the parser to Rust, keep the error texts").code == 0
    turns = api.of("turn")
    assert api.of("compaction") == []
    assert [briefs(turn) for turn in turns] == [0, 1, 1, 1, 1, 1]
    assert all("Port the parser to Rust, keep the error texts" in turn.text for turn in turns)


def test_a_sub_agent_keeps_its_own_task_when_its_window_is_replaced(make_home: MakeHome, api: Provider):
    """Codex calls no hook there: the server named notes gives the sub-agent's Brief, and none to the main thread."""
    home = make_home(model="gpt-5.1-codex")

    def act(request: Request) -> Step:
        told = json.loads(request.headers["x-codex-turn-metadata"])
        if told.get("thread_source") == "subagent":
            is_first = "cat rows.txt" not in request.text
            return (
                Step(calls=(shell("cat rows.txt; sleep 1"),), tokens=60_000)
                if is_first
                else Step(text="The rows are fine.")
            )
        sent = re.findall(r'"agent_id":\s*"([^"]+)"', request.text)
        if not sent:
            task = {"message": "Look at each row, report the odd ones"}
            return Step(calls=(ToolCall(name="spawn_agent", namespace="multi_agent_v1", arguments=task),))
        if "The rows are fine." in request.text:
            return Step(text="Done.")
        wait = {"targets": sent[:1]}
        return Step(calls=(ToolCall(name="wait_agent", namespace="multi_agent_v1", arguments=wait),))

    api.rest = act
    ran = home.exec("ask an agent")
    assert ran.code == 0, ran.err
    assert api.of("compaction") == []
    of_agent = [r for r in api.of("turn") if '"thread_source":"subagent"' in r.headers["x-codex-turn-metadata"]]
    assert [briefs(request) for request in of_agent] == [0, 1]
    assert "Look at each row, report the odd ones" in of_agent[1].text
    assert "row 00350" not in of_agent[1].text
    assert all(briefs(request) == 0 for request in api.of("turn") if request not in of_agent)


@pytest.mark.parametrize("name", ["mock", "OpenAI"])
def test_without_token_budget_the_brief_stands_on_top_of_the_built_in_summary(
    make_home: MakeHome, api: Provider, name: str
):
    """Local and remote compaction: the summary is asked for, and the Brief follows it."""
    home = make_home(name=name, tables="[features]\ntoken_budget = false\n")
    if name == "OpenAI":
        api.summary = Step(items=({"type": "compaction", "encrypted_content": "QlVJTFQtSU4="},), tokens=30_000)
    api.steps = [
        Step(calls=(shell("cat rows.txt"),), tokens=20_000),
        Step(calls=(shell("echo second"),), tokens=60_000),
        Step(text="Done.", tokens=9_000),
    ]
    assert home.exec("check the rows").code == 0
    assert len(api.of("compaction")) == 1
    after = api.of("turn")[-1]
    assert briefs(after) == 1
    assert "row 00350" not in after.text
    assert ("BUILT-IN SUMMARY" if name == "mock" else "QlVJTFQtSU4=") in after.text


def test_a_failing_hook_leaves_the_client_working(make_home: MakeHome, api: Provider):
    """The store is broken: the session goes on, our log says why, the model sees no trace of it."""
    home = make_home()
    (home.store / "store.db").mkdir()
    api.steps = [Step(calls=(shell("echo one"),), tokens=60_000), Step(text="Went on.", tokens=9_000)]
    ran = home.exec("check the rows")
    assert ran.code == 0, ran.err
    assert "Went on." in ran.out
    after = api.of("turn")[-1].text
    assert BRIEF not in after
    assert "Traceback" not in after
    assert "hook codex" in (home.store / "rlm-mcp.log").read_text()


def test_a_hook_whose_files_were_changed_is_not_run_and_install_mends_it(make_home: MakeHome, api: Provider):
    """Consent is to these files alone; the client works without the hook until the next install."""
    home = make_home()
    (hook,) = home.codex_home.glob("plugins/cache/*/*/*/hooks/run_hook.py")
    hook.write_text("raise SystemExit(3)\n")
    api.rest = lambda request: Step(text="Went on.", tokens=60_000 if "first" in request.text else 9_000)
    assert home.exec("first").code == 0
    assert home.resume("second").code == 0
    assert BRIEF not in api.of("turn")[-1].text
    install(home)
    assert home.resume("first again").code == 0
    assert home.resume("third").code == 0
    assert briefs(api.of("turn")[-1]) == 1


def test_compact_at_the_terminal_swaps_at_once(make_home: MakeHome, api: Provider):
    """/compact asks no model; the next prompt follows the Brief."""
    home = make_home(model="gpt-5.1-codex")
    api.steps = [Step(calls=(shell("cat rows.txt"),), tokens=20_000), Step(text="Looked at them.", tokens=23_000)]
    with home.terminal() as terminal:
        terminal.settle(1.0)
        terminal.say("check the rows")
        assert terminal.wait_for("Looked at them.")
        terminal.settle(1.0)
        terminal.forget()
        terminal.say("/compact")
        assert terminal.wait_for("compacted")
        terminal.settle(1.0)
        terminal.say("and the last row?")
        assert api.wait_for(lambda told: "and the last row?" in told.requests[-1].text)
        terminal.settle(1.0)
    assert api.of("compaction") == []
    after = next(request for request in api.of("turn") if "and the last row?" in request.text)
    assert briefs(after) == 1
    assert "check the rows" in after.text
    assert "row 00350" not in after.text


def test_install_is_idempotent_and_uninstall_gives_the_settings_back(make_home: MakeHome, api: Provider):
    """With the real client: nothing to do the second time; afterwards no trace, though a session wrote in between."""
    home = make_home(installed=False)
    before = home.config.read_text()
    install(home)
    assert install_codex.plan_install(target_of(home)).steps == ()
    server = tomllib.loads(home.config.read_text())["mcp_servers"]["rlm-mcp"]
    assert server["env"]["CODEX_HOME"] == str(home.codex_home)
    assert home.exec("hello").code == 0
    for step in install_codex.plan_uninstall(target_of(home)).steps:
        step.apply()
    assert home.config.read_text() == before
    assert not (home.codex_home / "plugins" / "cache").exists()
    assert "rlm-mcp" not in home.run("plugin", "list").out
    assert "rlm-mcp" not in home.run("mcp", "list").out
