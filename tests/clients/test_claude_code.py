"""The swap in the real Claude Code: installed as a person would, driven against a provider on loopback."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.cli import install_claude
from rlm_mcp.config import Paths, Settings
from rlm_mcp.store import degraded, folds
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.ingest import ingest
from tests.clients.claude_provider import SUMMARY, Provider, Request, Step, provider
from tests.clients.claude_rig import TOOLS, ClaudeHome, headless, install, interactive, target_of
from tests.clients.processes import needs_proc, server_of

pytestmark = pytest.mark.client

BRIEF = "# rlm-mcp brief"
ROWS = "\n".join(f"row {n:05d} {n * 2654435761 % 2**32:08x}" for n in range(700))


@pytest.fixture
def api() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, claude_binary: Path, api: Provider) -> ClaudeHome:
    """A person with Claude Code, a project with one large file, and rlm-mcp installed."""
    made = ClaudeHome(root=tmp_path, binary=claude_binary, url=api.url)
    made.prepare()
    (made.project / "rows.txt").write_text(ROWS + "\n")
    install(made)
    return made


def cat(text: str = "I look at the rows.") -> Step:
    """A reply that prints the large file."""
    return Step(text=text, tool="Bash", arguments={"command": "cat rows.txt"})


def briefs(request: Request) -> int:
    return request.text.count(BRIEF)


def last_main(api: Provider) -> Request:
    return api.of_kind("main")[-1]


def results_fit_calls(request: Request) -> bool:
    """Every result stands in the message right after its call, and every call has one."""
    asked: set[str] = set()
    for message in (each for each in request.messages if each["role"] != "system"):
        blocks = message["content"] if isinstance(message["content"], list) else []
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if message["role"] == "user":
            if answered != asked:
                return False
            asked = set()
        asked |= {block["id"] for block in blocks if block["type"] == "tool_use"}
    return not asked


def folds_of(home: ClaudeHome, session: str) -> list[folds.FoldRow]:
    with open_store(Paths(home=home.store), Settings()) as store:
        return folds.of_session(store, session)


def test_at_the_threshold_the_brief_takes_the_place_of_the_old_messages(home: ClaudeHome, api: Provider) -> None:
    """Auto-compaction: no summariser is asked; the next request holds Brief, tail and pending prompt, not the bulk."""
    home.extra["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] = "100000"
    with headless(home) as client:
        api.steps.extend([cat(), Step(text="Seen.")])
        client.say("Look at rows.txt; never touch zork.cfg.")
        for number in range(3):
            api.steps.extend([cat(f"Again {number}."), Step(text="Seen again.")])
            client.say(f"Look once more, number {number}.")
        api.steps.append(Step(text="Nearly full.", usage=80_000))
        client.say("Go on.")
        ended = client.say("The prompt that was waiting.")
    sent = last_main(api)
    assert not api.of_kind("summary")
    assert ended["result"] == "OK"
    assert briefs(sent) == 1
    assert "never touch zork.cfg" in sent.text
    tail = json.dumps(sent.messages[1:])
    assert tail.count("The prompt that was waiting.") == 1
    assert tail.index("Nearly full.") < tail.index("The prompt that was waiting.")
    assert sent.text.count("row 00350") == 0
    assert re.search(r"characters left out; whole: e\d+", sent.text)
    assert results_fit_calls(sent)
    (fold,) = folds_of(home, client.session)
    assert fold.trigger == "auto"


def test_a_prompt_that_is_too_long_is_swapped_in_the_middle_of_a_turn(home: ClaudeHome, api: Provider) -> None:
    """Reactive compaction after HTTP 400, with a tool result just in: the turn goes on to its end."""
    with headless(home) as client:
        api.steps.extend([cat(), Step(text="Seen.")])
        client.say("Look at rows.txt.")
        api.steps.extend(
            [Step(text="I run it.", tool="Bash", arguments={"command": "echo fresh-outcome"}), Step(too_long=True)]
        )
        api.steps.append(Step(text="Done with it."))
        ended = client.say("Now run the other one.")
    sent = last_main(api)
    assert not api.of_kind("summary")
    assert ended["result"] == "Done with it."
    assert briefs(sent) == 1
    assert "fresh-outcome" in json.dumps(sent.blocks("tool_result"))
    assert "row 00350" not in sent.text
    assert results_fit_calls(sent)


DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_a_picture_in_the_prompt_that_waits_is_not_lost(home: ClaudeHome, api: Provider) -> None:
    """The model sees it after the swap, and after a --resume, which brings back nothing else of the old window."""
    with headless(home) as client:
        api.steps.extend([cat(), Step(text="Seen.")])
        client.say("Look at rows.txt.")
        client.say("Now something else.")
        api.steps.append(Step(too_long=True))
        client.say("What does this picture show?", image=DOT)
        session = client.session
    swapped = last_main(api)
    with headless(home, "--resume", session) as client:
        client.say("And now?")
    assert not api.of_kind("summary")
    for sent in (swapped, last_main(api)):
        assert briefs(sent) == 1
        assert [block["source"]["data"] for block in sent.blocks("image")] == [DOT]
        assert json.dumps(sent.messages[1:]).count("What does this picture show?") == 1
        assert ROWS.splitlines()[350] not in sent.text
    with open_store(Paths(home=home.store), Settings()) as store:
        (found,) = ingest(store, home.transcripts()[0])
    assert found.turns == 4


def test_instructions_behind_compact_steer_the_brief(home: ClaudeHome, api: Provider) -> None:
    """Headless /compact: the user's words reach the Brief and the Fold."""
    with headless(home) as client:
        api.steps.extend([cat(), Step(text="Seen.")])
        client.say("Look at rows.txt.")
        client.say("/compact mind the checksum column")
        client.say("Go on.")
    assert not api.of_kind("summary")
    assert "mind the checksum column" in str(last_main(api).messages[0])
    assert [fold.instructions for fold in folds_of(home, client.session)] == ["mind the checksum column"]


def test_an_output_from_before_the_swap_is_found_and_read_byte_for_byte(home: ClaudeHome, api: Provider) -> None:
    """The model's own search and read, called inside the client after the swap, reach the whole old output."""
    with headless(home) as client:
        api.steps.extend([cat(), Step(text="Seen.")])
        client.say("Look at rows.txt.")
        for number in range(2):  # so that the tail has no room for the old output
            api.steps.extend([Step(text=f"Filler {number}. " + "word " * 6_000)])
            client.say(f"Tell me more, number {number}.")
        client.say("/compact")
        wanted = ROWS.splitlines()[351]
        api.steps.append(Step(tool=f"{TOOLS}search", arguments={"query": wanted.split()[2]}))
        client.say("Find the row.")
        found = json.dumps(last_main(api).blocks("tool_result")[-1])
        ref = re.search(r"\be\d+\b", found)
        assert ref is not None, found
        api.steps.append(Step(tool=f"{TOOLS}read", arguments={"ref": ref[0]}))
        client.say("Read it whole.")
    (swapped,) = [
        each for each in api.of_kind("main") if "Find the row." in str(each.messages[-1:]) + str(each.messages[-2:-1])
    ][:1]
    assert wanted not in swapped.text
    content = last_main(api).blocks("tool_result")[-1]["content"]
    text = content if isinstance(content, str) else "".join(block["text"] for block in content)
    assert ROWS in text


def test_resume_fork_and_five_compactions_keep_one_brief_and_a_way_back(home: ClaudeHome, api: Provider) -> None:
    """--resume and --fork-session after a swap send Brief and tail alone; the fifth swap is as good as the first."""
    with headless(home) as client:
        api.steps.extend([cat(), Step(text="Seen.")])
        client.say("Look at rows.txt; never touch zork.cfg.")
        for number in range(5):
            client.say("/compact")
            client.say(f"Work item {number}.")
        first = client.session
    assert briefs(last_main(api)) == 1
    with headless(home, "--resume", first) as client:
        client.say("I am back.")
        resumed = last_main(api)
    with headless(home, "--resume", first, "--fork-session") as client:
        client.say("Another way.")
        forked = last_main(api)
        client.say("/compact")
        api.steps.append(Step(tool=f"{TOOLS}search", arguments={"query": ROWS.splitlines()[351].split()[2]}))
        client.say("And on.")
        second = client.session
    assert not api.of_kind("summary")
    assert "row 00351" in json.dumps(last_main(api).blocks("tool_result")[-1]["content"])
    for sent in (resumed, forked, last_main(api)):
        assert briefs(sent) == 1
        assert "never touch zork.cfg" in sent.text
        assert ROWS.splitlines()[350] not in sent.text
        assert results_fit_calls(sent)
    assert second != first
    assert len(folds_of(home, first)) == 5
    assert len(folds_of(home, second)) == 1


ASKS_TO_COMPACT = """
let turns = 0;
export const register = (on) => {
  on("turn.complete", async ($, e, next) => {
    const done = await next(e);
    turns += 1;
    if (turns === 1) await $.session.compact({ instructions: "mind the plan" });
    return done;
  });
};
"""


def test_another_plugin_that_asks_for_a_compaction_gets_the_swap(home: ClaudeHome, api: Provider) -> None:
    """Trigger ``plugin``, on a terminal (headless sessions offer it to no plugin)."""
    other = home.root / "other"
    (other / ".claude-plugin").mkdir(parents=True)
    (other / ".claude-plugin" / "plugin.json").write_text('{"name": "other", "version": "0.0.1"}')
    (other / "hooks").mkdir()
    (other / "hooks" / "hooks.json").write_text('{"hooks": {}, "modules": ["./other.js"]}')
    (other / "hooks" / "other.js").write_text(ASKS_TO_COMPACT)
    with interactive(home, "--plugin-dir", str(other)) as terminal:
        terminal.wait_for("/effort")
        api.steps.extend([cat(), Step(text="All rows seen.")])
        terminal.say("Look at rows.txt.")
        terminal.wait_for("All rows seen.")
        terminal.wait_for("Conversation compacted")
        terminal.say("Work goes on.")
        terminal.settle(api, 3)
    assert not api.of_kind("summary")
    assert briefs(last_main(api)) == 1
    assert "mind the plan" in str(last_main(api).messages[0])


def test_compact_and_clear_in_the_terminal(home: ClaudeHome, api: Provider) -> None:
    """Interactive: /compact swaps, the session goes on, and after /clear the server serves the new session."""
    with interactive(home) as terminal:
        terminal.wait_for("/effort")
        api.steps.extend([cat(), Step(text="All rows seen.")])
        terminal.say("Look at rows.txt, first session.")
        terminal.wait_for("All rows seen.")
        terminal.say("/compact keep the checksums")
        terminal.wait_for("Compacted")
        terminal.say("Work goes on.")
        terminal.settle(api, 3)
        swapped = last_main(api)
        terminal.say("/clear")
        terminal.say("Second session about a zebra crossing.")
        terminal.settle(api, 4)
        terminal.wait_for("OK")
        api.steps.extend([Step(tool=f"{TOOLS}search", arguments={"query": "zebra crossing", "scope": "session"})])
        terminal.say("Find it.")
        terminal.settle(api, 6)
    assert not api.of_kind("summary")
    assert briefs(swapped) == 1
    assert "keep the checksums" in swapped.text
    assert briefs(api.of_kind("main")[3]) == 0
    assert "zebra crossing" in json.dumps(last_main(api).blocks("tool_result")[-1]["content"])


BREAKAGES = {
    "the interpreter is gone": 'const PYTHON = "/nonexistent/python3";',
    "the hook is killed": 'const PYTHON = "KILLED";',
    "the hook prints half an answer": 'const PYTHON = "HALF";',
    "the hook prints a wrong shape": 'const PYTHON = "SHAPE";',
    "the hook hangs": 'const PYTHON = "HANGS";',
}
STAND_INS = {
    "KILLED": "kill -9 $$",
    "HALF": """printf '{"messages": [{"role": "us'""",
    "SHAPE": """printf '{"messages": [{"role": "system", "x": 1}]}'""",
    "HANGS": "exec sleep 60",
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_when_ours_fails_the_built_in_summary_runs(home: ClaudeHome, api: Provider, breakage: str) -> None:
    """Whatever the mod's helper does wrong, the client compacts as if we were not there, and goes on."""
    mod = target_of(home).folder / "hooks" / "compact.js"
    text = re.sub(r'^const PYTHON = ".*";', BREAKAGES[breakage], mod.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^const TIMEOUT_MS = .*;", "const TIMEOUT_MS = 1000;", text, flags=re.MULTILINE)
    for name, script in STAND_INS.items():
        stand_in = home.root / name
        stand_in.write_text(f"#!/bin/sh\n{script}\n")
        stand_in.chmod(0o755)
        text = text.replace(f'"{name}"', f'"{stand_in}"')
    mod.write_text(text)
    with headless(home) as client:
        client.say("Look around.")
        client.say("/compact")
        ended = client.say("Go on.")
    assert len(api.of_kind("summary")) == 1
    assert SUMMARY in last_main(api).text
    assert ended["result"] == "OK"


@needs_proc
def test_a_killed_server_takes_neither_the_client_nor_the_swap_along(home: ClaudeHome, api: Provider) -> None:
    """The swap needs no server; the session goes on."""
    with headless(home) as client:
        api.steps.extend([Step(tool=f"{TOOLS}status"), Step(text="Seen.")])
        client.say("Look around.")
        os.kill(server_of(client.process.pid).pid, signal.SIGKILL)
        client.say("/compact")
        ended = client.say("Go on.")
    assert not api.of_kind("summary")
    assert briefs(last_main(api)) == 1
    assert ended["result"] == "OK"


def test_a_store_that_cannot_be_used_leaves_the_client_working(home: ClaudeHome, api: Provider) -> None:
    """The database is not one: the built-in runs, one line is logged, the session is marked degraded."""
    home.store.joinpath("store.db").write_bytes(b"this is no database" * 1000)
    with headless(home) as client:
        client.say("Look around.")
        client.say("/compact")
        ended = client.say("Go on.")
    assert len(api.of_kind("summary")) == 1
    assert ended["result"] == "OK"
    assert "database" in home.store.joinpath("rlm-mcp.log").read_text()
    assert client.session in {mark.client_session for mark in degraded.read(Paths(home=home.store))}


def test_without_mods_the_brief_stands_beside_the_built_in_summary(home: ClaudeHome, api: Provider) -> None:
    """Older clients and managed machines: PreCompact tells the summariser, SessionStart(compact) adds the Brief."""
    manifest = target_of(home).folder / "hooks" / "hooks.json"
    hooks = json.loads(manifest.read_text())
    del hooks["modules"]
    manifest.write_text(json.dumps(hooks))
    with headless(home) as client:
        api.steps.extend([cat(), Step(text="Seen.")])
        client.say("Look at rows.txt; never touch zork.cfg.")
        client.say("/compact mind the checksum column")
        client.say("Go on.")
    (asked,) = api.of_kind("summary")
    assert "Keep every Ref" in asked.text
    assert "mind the checksum column" in asked.text
    sent = last_main(api)
    assert SUMMARY in sent.text
    assert briefs(sent) == 1
    assert "persisted-output" not in sent.text


def test_uninstall_gives_the_clients_files_back_byte_for_byte(tmp_path: Path, claude_binary: Path) -> None:
    """Settings of odd layout come back exactly; installing twice changes nothing the second time."""
    made = ClaudeHome(root=tmp_path, binary=claude_binary, url="http://127.0.0.1:9")
    made.prepare()
    settings = made.config / "settings.json"
    settings.write_text('{\n    "model": "opus",   "permissions": {"allow": ["Bash"]}\n}')
    target = target_of(made)
    before = snapshot(made.config)
    install(made)
    assert json.loads(settings.read_text())["enabledPlugins"] == {"rlm-mcp@rlm-mcp": True}
    assert install_claude.plan_install(target).steps == ()
    for step in install_claude.plan_uninstall(target).steps:
        step.apply()
    assert snapshot(made.config) == before
    assert install_claude.plan_uninstall(target).steps == ()


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file but the client's own diary of starts and backups."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".claude.json" and "backups" not in path.parts
    }


def test_a_clone_works_as_a_plugin_folder_as_it_is(home: ClaudeHome, api: Provider, tmp_path: Path) -> None:
    """``--plugin-dir`` of a checkout: ``python3`` on PATH serves, nothing has to be rendered."""
    clone = tmp_path / "clone"
    root = Path(install_claude.__file__).parent.parent.parent
    for name in ("hooks", ".claude-plugin", "rlm_mcp"):
        shutil.copytree(root / name, clone / name, ignore=shutil.ignore_patterns("__pycache__", "types"))
    shutil.copy(root / ".mcp.json", clone)
    fresh = ClaudeHome(root=tmp_path / "other", binary=home.binary, url=api.url)
    fresh.prepare()
    with headless(fresh, "--plugin-dir", str(clone)) as client:
        client.say("Look around.")
        client.say("/compact")
        client.say("Go on.")
    assert not api.of_kind("summary")
    assert briefs(last_main(api)) == 1
