"""The tools repl and load in the real Codex: the live session and its folder as variables of the model."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.codex_provider import (
    Provider,
    Request,
    Script,
    Step,
    ask,
    outputs,
    running_provider,
    shell,
)
from tests.clients.codex_rig import CodexHome, install
from tests.clients.folder import make_repository, write_log
from tests.clients.processes import Process, below, looping, needs_jail, until

pytestmark = [pytest.mark.client, needs_jail]

LOOP = "count = 0\nwhile True:\n    count += 1"
PACKAGE = Path(__file__).parent.parent.parent


@pytest.fixture
def api() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, codex_binary: Path, api: Provider) -> CodexHome:
    """A person with Codex and rlm-mcp, whose commands run in Codex's sandbox."""
    return made_home(tmp_path, codex_binary, api)


def made_home(root: Path, binary: Path, api: Provider) -> CodexHome:
    home = CodexHome(root=root, binary=binary, url=api.url, model="gpt-5.1-codex")
    home.prepare()
    settings = home.config.read_text()
    settings = settings.replace('"never"', '"on-request"').replace('"danger-full-access"', '"workspace-write"')
    home.config.write_text(settings)
    install(home)
    return home


def repl(code: str, **more: object) -> Step:
    return ask("repl", code=code, **more)


def served(api: Provider) -> Callable[[Request], Step]:
    """The model waits for our server (Codex does not), then goes on with the next step."""

    def wait(request: Request) -> Step:
        if outputs(request) and "session: " in outputs(request)[-1]:
            script = api.steps.pop(0)
            return script(request) if callable(script) else script
        api.steps.insert(0, wait)
        status = ask("status").calls
        return Step(calls=(shell("sleep 0.2"), *status), tokens=9_000)

    return wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the model got for its calls, by the names of the steps."""

    outputs: Mapping[str, list[str]]
    """Of each step's calls, in order."""
    grown: Mapping[str, int]
    """Characters that the window grew by."""


def played(home: CodexHome, api: Provider, script: Mapping[str, Script], *, way: tuple[str, ...] = ()) -> Told:
    """Run one ``codex exec`` in which the model takes these steps, one after the other.

    Args:
        way: its subcommand and what that goes on from.
    """
    begin = len(api.requests)
    api.steps = [served(api), *script.values(), Step(text="Done.")]
    ran = home.run("exec", *way[:1], "--json", "--skip-git-repo-check", *way[1:], "Please.")
    assert ran.code == 0, ran.err
    assert len(api.requests) - begin > len(script)
    seen = api.of("turn")[-len(script) - 1 :]
    turns = list(zip(script, seen, seen[1:], strict=False))
    return Told(
        outputs={
            name: [said(text) for text in outputs(after)[len(outputs(before)) :]] for name, before, after in turns
        },
        grown={name: len(after.text) - len(before.text) for name, before, after in turns},
    )


def said(output: str) -> str:
    """Without what Codex puts before it."""
    return re.sub(r"\A.*?^Output:\n", "", output, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, codex_binary: Path) -> Told:
    """One session for all that leaves no trace: starting one costs more than they do."""
    cells = ["import time\ntime.sleep(0.2)\nseen = [0]", *(f"seen.append({n})\nseen" for n in range(1, 6))]
    counting = "[fact for fact in session.facts('command') if fact.status == 'failed']"
    code = "log = docs['server.log']\nlog.text.count(' INFO '), log.grep(r'ERROR worker (\\d+)')[0].found"
    with running_provider() as api:
        home = made_home(tmp_path_factory.mktemp("shared"), codex_binary, api)
        make_repository(home.project)
        write_log(home.project / "server.log")
        script: dict[str, Script] = {
            "prints": Step(calls=(shell("echo 'checksum of part 7: 482130977'; exit 3"),)),
            "edits": Step(calls=(shell("sed -i 's/sum(rows)/sum(rows) + 1/' app.py"),)),
            "number": repl("int(session.grep(r'part 7: (\\d+)')[-1].found[0])"),
            "failed": repl(f"len({counting}), {counting}[0].exit_code"),
            "folder": repl("list(repo.files('*.py')), repo.read('app.py')[-4:], repo.grep('rows', '*.py')[0].ref"),
            "changed": repl("repo.diff('1 hour ago')"),
            "flood": repl("for number in range(500_000):\n    print(f'{number:09d}')"),
            "load": ask("load", path="server.log"),
            "search": ask("search", query="lost the lease", scope="docs"),
            "docs": repl(code),
            "order": Step(calls=tuple(call for cell in cells for call in repl(cell).calls)),
            "limit": repl(f"kept = 1\n{LOOP}", timeout_seconds=0.5),
            "after": repl("kept, count > 0"),
        }
        return played(home, api, script)


def test_a_cell_computes_over_the_live_session_and_its_folder(told: Told) -> None:
    """An exact number out of an earlier output, failed commands counted, files as they are; nobody is asked."""
    assert told.outputs["number"][0].startswith("482130977\n")
    assert told.outputs["failed"][0].startswith("(1, 3)\n")
    assert told.outputs["folder"][0].startswith("(['app.py'], '+ 1\\n', 'app.py:1')\n")
    assert "-    return sum(rows)\n+    return sum(rows) + 1" in told.outputs["changed"][0]


def test_the_window_grows_by_the_cut_output_alone(told: Told) -> None:
    """A Cell prints 5 MB; its beginning, end and true length come back."""
    assert told.grown["flood"] < 12_000
    assert told.outputs["flood"][0].startswith("000000000\n000000001\n")
    assert "000499999" in told.outputs["flood"][0]
    assert "5,000,000 characters, cut; whole: read c" in told.outputs["flood"][0]


def test_a_long_log_is_loaded_searched_and_programmed(told: Told) -> None:
    """30 MB come in without passing the window: found by search, counted by a Cell."""
    assert "360,000 lines" in told.outputs["load"][0]
    assert "zq81-kappa" in told.outputs["search"][0]
    assert told.outputs["docs"][0].startswith("(359999, ('251317',))\n")
    assert told.grown["load"] + told.grown["search"] + told.grown["docs"] < 6_000


def test_the_cells_of_one_reply_run_in_their_order(told: Told) -> None:
    """Codex would mix up the calls of a tool that only reads."""
    firsts = [output.partition("\n")[0] for output in told.outputs["order"][1:]]
    assert firsts == [str(list(range(number))) for number in range(2, 7)]


def test_a_cell_that_loops_is_ended_by_its_time_limit(told: Told) -> None:
    """What it assigned is kept."""
    assert "CellTimeout" in told.outputs["limit"][0]
    assert told.outputs["after"][0].startswith("(1, True)\n")


def test_variables_outlive_a_compaction_and_the_client(home: CodexHome, api: Provider) -> None:
    """The Brief tells of them in one line; a session resumed in a new process has them too."""
    making = "rows = [n * n for n in range(1200)]\ntotals = {'all': sum(rows)}"
    script: dict[str, Script] = {
        "make": Step(calls=repl(making).calls, tokens=60_000),
        "use": repl("len(rows), totals"),
    }
    api.steps = [served(api), *script.values(), Step(text="Done.")]
    assert home.exec("Please.").code == 0
    used, ended = api.of("turn")[-2:]
    assert api.of("compaction") == []
    assert "repl: totals (dict, 1), rows (list, 1,200) are still set [c1]" in used.text
    assert said(outputs(ended)[-1]).startswith("(1200, {'all': 575280200})\n[c2")
    again = played(home, api, {"again": repl("rows[-1], totals")}, way=("resume", "--last")).outputs["again"][0]
    assert again.startswith("(1437601, {'all': 575280200})\n[c3")
    assert "restored" in again or "run again" in again


def test_a_fork_has_the_variables(home: CodexHome, api: Provider) -> None:
    """A copy, told of once; the parent's go on as they were, and what they became later is not the fork's."""
    played(home, api, {"make": repl("rows = [1, 2, 3]")})
    parent = str(home.records()[0]["payload"]["id"])
    appended = repl("rows.append('fork')\nrows")
    forked = played(home, api, {"fork": appended, "again": repl("rows")}, way=("fork", parent)).outputs
    assert forked["fork"][0].startswith("[1, 2, 3, 'fork']\n[c2")
    assert re.search(r"variables taken over from session [0-9a-f]{8} as of its c1", forked["fork"][0])
    assert "taken over" not in forked["again"][0]
    (own,) = played(home, api, {"own": repl("rows")}, way=("resume", parent)).outputs["own"]
    assert own.startswith("[1, 2, 3]\n[c2")


def killing(processes: Callable[[], list[Process]], then: Step) -> Script:
    """Kills, then lets the model go on."""

    def act(_request: Request) -> Step:
        killed = processes()
        for process in killed:
            os.kill(process.pid, signal.SIGKILL)
        until(lambda: not any(process.state for process in killed))
        return then

    return act


def test_a_killed_child_and_a_killed_server_cost_no_variable(home: CodexHome, api: Provider) -> None:
    """The next call works and says so; Codex starts no server twice, so after its death the next session's does."""
    others = {each.pid for each in below(os.getpid())}

    def ours(is_wanted: Callable[[Process], bool]) -> list[Process]:
        return [each for each in below(os.getpid()) if each.pid not in others and is_wanted(each)]

    counted = repl("len(rows)")
    script: dict[str, Script] = {
        "make": repl("rows = list(range(1000))"),
        "child": killing(lambda: ours(lambda each: each.is_jailed), counted),
        "server": killing(lambda: ours(lambda each: each.is_server), counted),
    }
    found = played(home, api, script)
    child, server = (found.outputs[name][0] for name in ("child", "server"))
    assert child.startswith("1000\n[c2")
    assert "restored as of c1" in child or "run again: c1" in child
    assert "closed" in server
    again = played(home, api, {"again": counted}, way=("resume", "--last")).outputs["again"][0]
    assert again.startswith("1000\n[c3")


def test_escape_at_the_terminal_stops_the_cell(home: CodexHome, api: Provider) -> None:
    """The child computes no more, and the variables are there for the next Cell."""
    api.steps = [served(api), repl(LOOP, timeout_seconds=100)]
    with home.terminal() as terminal:
        terminal.settle(1.0)
        terminal.say("Please count.")
        busy = looping(terminal.process)
        terminal.key(b"\x1b")
        until(lambda: busy.state == "S")
        terminal.settle()
        api.steps = [repl("count > 0"), Step(text="Done.")]
        terminal.say("And now?")
        assert terminal.wait_for("Done.")
    assert said(outputs(api.of("turn")[-1])[-1]).startswith("True\n[c2")


@pytest.mark.parametrize("end", ["ends", "is killed while a Cell loops"])
def test_nothing_of_ours_is_left_when_the_client(home: CodexHome, api: Provider, end: str) -> None:
    """No server, no bubblewrap, no Python."""
    last = repl(LOOP, timeout_seconds=2 if end == "ends" else 100)
    api.steps = [served(api), repl("rows = list(range(1000))"), last, Step(text="Done.")]
    with home.started("Please.") as process:
        looping(process.pid)
        ours = below(process.pid)
        assert any(each.is_server for each in ours)
        if end == "ends":
            assert process.wait() == 0
        else:
            process.kill()
    until(lambda: not any(each.state for each in ours))


def test_the_repl_runs_inside_the_clients_own_sandbox(home: CodexHome) -> None:
    """Where a command of the model starts it: no namespaces, no sockets but given ones; the other walls stand."""
    if home.run("sandbox", "--", "true").code != 0:
        pytest.skip("Codex's sandbox does not run on this machine")
    code = (
        "from pathlib import Path; from rlm_mcp.config import Paths, Settings; from rlm_mcp.wiring import start_repl\n"
        "from rlm_mcp.sandbox.repl import Cell\n"
        f"repl = start_repl(Paths(home=Path({str(home.store)!r})), Settings(), None)\n"
        "cell = Cell(number=1, code='6 * 7', timeout_seconds=20, session={'key': 'x', 'earlier': []})\n"
        "print(repl.layers, repl.run(cell, {}).output)"
    )
    ran = home.run("sandbox", "--", "env", f"PYTHONPATH={PACKAGE}", sys.executable, "-B", "-c", code)
    assert "'seccomp'" in ran.out, ran.err
    assert ran.out.endswith(" 42\n\n")
