"""The tools repl and load in the real Claude Code: the live session and its folder as variables of the model."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.claude_provider import Provider, Request, Step, provider
from tests.clients.claude_rig import TOOLS, ClaudeHome, Headless, headless, install, interactive
from tests.clients.folder import make_repository, write_log
from tests.clients.processes import Process, below, jailed_of, looping, needs_jail, server_of, until

pytestmark = [pytest.mark.client, needs_jail]

LOOP = "count = 0\nwhile True:\n    count += 1"
DEAF = "sum(range(10 ** 13))"
"""Hears no signal: it never comes back to Python."""


@pytest.fixture
def api() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, claude_binary: Path, api: Provider) -> ClaudeHome:
    """A person with Claude Code and rlm-mcp, who works in a git repository with one commit."""
    return made_home(tmp_path, claude_binary, api)


def made_home(root: Path, binary: Path, api: Provider) -> ClaudeHome:
    made = ClaudeHome(root=root, binary=binary, url=api.url)
    made.prepare()
    make_repository(made.project)
    install(made)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A running client, and what plays its model."""

    home: ClaudeHome
    client: Headless
    api: Provider

    def asks(self, step: Step) -> str:
        """What the model gets for a call that it makes when the user asks."""
        self.api.steps.append(step)
        self.client.say("Please.")
        return answer(self.request)

    def loops(self, code: str) -> Process:
        """Let the model run a Cell that does not end; its process, once it computes."""
        self.api.steps.append(repl(code, timeout_seconds=100))
        self.client.send("Please.")
        return looping(self.client.process.pid)

    @property
    def request(self) -> Request:
        """The newest."""
        return self.api.of_kind("main")[-1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, claude_binary: Path) -> Iterator[Live]:
    """One client for the tests that leave it as it was: starting one costs more than they do."""
    with provider() as running:
        home = made_home(tmp_path_factory.mktemp("shared"), claude_binary, running)
        with headless(home, limit_seconds=300.0) as client:
            client.say("Hello.")
            yield Live(home=home, client=client, api=running)


@pytest.fixture
def live(shared: Live) -> Live:
    """The shared client; what a failed test left to say is not said."""
    shared.api.steps.clear()
    return shared


@contextmanager
def working(home: ClaudeHome, api: Provider, *flags: str) -> Iterator[Live]:
    """A client of the test's own."""
    with headless(home, *flags) as client:
        yield Live(home=home, client=client, api=api)


def bash(command: str) -> Step:
    return Step(tool="Bash", arguments={"command": command})


def repl(code: str, **more: Any) -> Step:
    return Step(tool=f"{TOOLS}repl", arguments={"code": code, **more})


def answer(request: Request) -> str:
    """The last tool result that the model sees."""
    return content_of(request.blocks("tool_result")[-1])


def content_of(block: dict[str, Any]) -> str:
    content = block["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def test_a_cell_computes_over_the_live_session_and_its_folder(live: Live) -> None:
    """An exact number out of an earlier output, failed commands counted, files as they are, what changed since."""
    live.asks(bash("echo 'checksum of part 7: 482130977'; exit 3"))
    live.asks(bash("sed -i 's/sum(rows)/sum(rows) + 1/' app.py && echo x > b.py && echo y > c.log"))
    number = "found = [match.found for match in session.grep(r'part 7: (\\d+)')]\nint(found[-1][0])"
    assert live.asks(repl(number)).startswith("482130977\n")
    counting = "[fact for fact in session.facts('command') if fact.status == 'failed']"
    assert live.asks(repl(f"len({counting}), {counting}[0].exit_code")).startswith("(1, 3)\n")
    seen = live.asks(repl("list(repo.files('*.py')), repo.read('app.py')[-4:], repo.grep('rows')[0].ref"))
    assert seen.startswith("(['app.py', 'b.py'], '+ 1\\n', 'app.py:1')\n")
    changed = live.asks(repl("repo.diff('1 hour ago')"))
    assert "-    return sum(rows)\n+    return sum(rows) + 1" in changed
    assert "b.py" in changed
    assert "c.log" not in changed


def test_the_window_grows_by_the_cut_output_alone(live: Live) -> None:
    """A Cell prints 5 MB; its beginning, end and true length come back, and all of it can be read."""
    before = len(live.request.text)
    told = live.asks(repl("for number in range(500_000):\n    print(f'{number:09d}')"))
    assert len(live.request.text) - before < 12_000
    assert told.startswith("000000000\n000000001\n")
    assert "000499999" in told
    assert "000250000" not in told
    ref = re.search(r"5,000,000 characters, cut; whole: read (c\d+)", told)
    assert ref is not None
    place = {"ref": ref[1], "offset": 2_500_000, "max_tokens": 100}
    assert "000250000" in live.asks(Step(tool=f"{TOOLS}read", arguments=place))


def test_a_long_log_is_loaded_searched_and_programmed(live: Live) -> None:
    """30 MB come in without passing the window: found by search, counted by a Cell."""
    write_log(live.home.project / "server.log")
    before = len(live.request.text)
    assert "360,000 lines" in live.asks(Step(tool=f"{TOOLS}load", arguments={"path": "server.log"}))
    query = {"query": "lost the lease", "scope": "docs"}
    assert "zq81-kappa" in live.asks(Step(tool=f"{TOOLS}search", arguments=query))
    code = "log = docs['server.log']\nlog.text.count(' INFO '), log.grep(r'ERROR worker (\\d+)')[0].found"
    assert live.asks(repl(code)).startswith("(359999, ('251317',))\n")
    assert len(live.request.text) - before < 6_000


def test_the_cells_of_one_reply_run_in_their_order(live: Live) -> None:
    """The client sends the calls of a reply all at once."""
    more = tuple((f"{TOOLS}repl", {"code": f"seen.append({number})\nseen"}) for number in range(1, 6))
    first = {"code": "import time\ntime.sleep(0.2)\nseen = [0]"}
    live.asks(Step(tool=f"{TOOLS}repl", arguments=first, more_calls=more))
    results = sorted(live.request.blocks("tool_result")[-6:], key=lambda block: block["tool_use_id"])
    told = [content_of(block).partition("\n")[0] for block in results[1:]]
    assert told == [str(list(range(number))) for number in range(2, 7)]


def test_a_cell_that_loops_is_ended_by_its_time_limit_and_by_the_user(live: Live) -> None:
    """What it assigned is kept; one that hears nothing is ended, and its variables are those of before."""
    told = live.asks(repl(f"kept = 1\n{LOOP}", timeout_seconds=0.5))
    assert "CellTimeout" in told
    assert "interrupted" in told
    for code, afterwards in ((LOOP, "S"), (DEAF, "")):
        busy = live.loops(code)
        live.client.interrupt()
        live.client.result()
        until(lambda busy=busy, afterwards=afterwards: busy.state == afterwards)
        assert live.asks(repl("kept, count > 0")).startswith("(1, True)\n")


def test_a_killed_child_and_a_killed_server_cost_no_variable(live: Live) -> None:
    """The next call works and says what was done; so it does when the server dies under a running Cell."""
    live.asks(repl("rows = list(range(1000))"))
    for process in jailed_of(live.client.process.pid):
        os.kill(process.pid, signal.SIGKILL)
    told = live.asks(repl("len(rows)"))
    assert told.startswith("1000\n")
    assert "restored" in told or "run again" in told
    for is_running in (False, True):
        if is_running:
            live.loops(LOOP)
        ours = below(live.client.process.pid)
        os.kill(server_of(live.client.process.pid).pid, signal.SIGKILL)
        until(lambda ours=ours: not any(process.state for process in ours))
        if is_running:
            live.client.result()
        told = live.asks(repl("len(rows)"))
        assert told.startswith("1000\n")
        assert "run again" in told or "restored" in told


def test_variables_outlive_a_compaction_and_the_client(home: ClaudeHome, api: Provider) -> None:
    """The Brief tells of them in one line; --resume in a new process has them too."""
    with working(home, api) as live:
        live.asks(repl("rows = [n * n for n in range(1200)]\ntotals = {'all': sum(rows)}"))
        live.client.say("/compact")
        live.client.say("Go on.")
        assert "repl: totals (dict, 1), rows (list, 1,200) are still set [c1]" in live.request.text
        assert live.asks(repl("len(rows), totals")).startswith("(1200, {'all': 575280200})\n[c2")
        session = live.client.session
    with working(home, api, "--resume", session) as live:
        told = live.asks(repl("rows[-1], totals"))
    assert not api.of_kind("summary")
    assert told.startswith("(1437601, {'all': 575280200})\n[c3")
    assert "restored" in told or "run again" in told


def test_a_fork_has_the_variables_and_a_clear_none(home: ClaudeHome, api: Provider) -> None:
    """--fork-session: a copy, told of once; the parent's go on as they were. /clear: a new conversation."""
    with working(home, api) as live:
        live.asks(repl("rows = [1, 2, 3]"))
        parent = live.client.session
    with working(home, api, "--resume", parent, "--fork-session") as live:
        told = live.asks(repl("rows.append('fork')\nrows"))
        assert live.client.session != parent
        assert told.startswith("[1, 2, 3, 'fork']\n[c2")
        assert re.search(r"variables taken over from session [0-9a-f]{8} as of its c1", told)
        assert "taken over" not in live.asks(repl("rows"))
        live.client.say("/compact")
        live.client.say("Go on.")
        assert "repl: rows (list, 4) is still set [c3]" in live.request.text
    with working(home, api, "--resume", parent) as live:
        told = live.asks(repl("rows"))
        assert told.startswith("[1, 2, 3]\n[c2")
        assert "taken over" not in told
        live.client.say("/clear")
        assert "NameError" in live.asks(repl("rows"))


def test_escape_at_the_terminal_stops_the_cell(home: ClaudeHome, api: Provider) -> None:
    """The child computes no more, and the variables are there for the next Cell."""
    with interactive(home) as terminal:
        terminal.wait_for("/effort")
        api.steps.append(repl(LOOP, timeout_seconds=100))
        terminal.say("Please count.")
        busy = looping(terminal.process.pid)
        terminal.type("\x1b")
        terminal.wait_for("Interrupted")
        until(lambda: busy.state == "S")
        api.steps.append(repl("count > 0"))
        terminal.say("And now?")
        terminal.settle(api, 3)
    assert answer(api.of_kind("main")[-1]).startswith("True\n[c2")


@pytest.mark.parametrize("end", ["ends", "is killed while a Cell loops"])
def test_nothing_of_ours_is_left_when_the_client(home: ClaudeHome, api: Provider, end: str) -> None:
    """No server, no bubblewrap, no Python."""
    with working(home, api) as live:
        assert "set rows" in live.asks(repl("rows = list(range(1000))"))
        if end != "ends":
            live.loops(LOOP)
        ours = below(live.client.process.pid)
        assert any(process.is_server for process in ours)
        assert any(process.is_jailed for process in ours)
        if end != "ends":
            live.client.process.kill()
    until(lambda: not any(process.state for process in ours))


def test_the_client_asks_for_each_tool_and_in_plan_mode_takes_those_that_only_read(
    home: ClaudeHome, api: Provider
) -> None:
    """Why the README gives the line for ``permissions.allow``; with it ``repl`` works in plan mode too."""
    settings = home.config / "settings.json"
    kept = json.loads(settings.read_text())
    calls = {"search": {"query": "please"}, "repl": {"code": "6 * 7"}, "load": {"path": "app.py"}}

    def told(**permissions: object) -> list[str]:
        settings.write_text(json.dumps(kept | {"permissions": permissions}))
        with working(home, api) as live:
            return [live.asks(Step(tool=f"{TOOLS}{tool}", arguments=given)) for tool, given in calls.items()]

    assert all("haven't granted it" in answered for answered in told(defaultMode="default"))
    found, computed, loaded = told(defaultMode="plan", allow=["mcp__plugin_rlm-mcp_rlm-mcp"])
    assert "prompt: " in found
    assert computed.startswith("42\n")
    assert "plan mode" in loaded
