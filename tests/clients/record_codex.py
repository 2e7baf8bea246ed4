"""Records the fixtures of ``tests/fixtures/codex`` with the real client: ``python -m tests.clients.record_codex``.

Paths of this machine are replaced, and the client's own long texts (instructions, skills) are cut; nothing else is
changed. ``RLM_MCP_CODEX`` names the binary.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clients.codex_provider import Provider, Request, Step, ToolCall, running_provider
from tests.clients.codex_rig import CodexHome, find_codex

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "codex"
_ECHO = Path(__file__).resolve().parent / "echo_server.py"
_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="
)
_PATCH = """*** Begin Patch
*** Add File: new.txt
+one
+two
*** Update File: README.md
@@
-hello
+hello there
+more
*** End Patch"""
_PLAN = [
    {"step": "look", "status": "completed"},
    {"step": "change", "status": "in_progress"},
    {"step": "test", "status": "pending"},
]
_MCP = f'[mcp_servers.echo]\ncommand = "python3"\nargs = ["{_ECHO}"]\n'
_BRIEF_HOOK = (
    "import json,sys; d=json.load(sys.stdin); "
    "print(json.dumps({'hookSpecificOutput': {'hookEventName': 'SessionStart', "
    "'additionalContext': '# rlm-mcp brief\\nfrom ' + d['source']}}) if d['source'] == 'compact' else '')"
)


def shell(command: str, **more: Any) -> ToolCall:
    """A call of the client's shell tool."""
    return ToolCall(name="exec_command", arguments={"cmd": command, **more})


def _poll(request: Request) -> Step:
    session = re.findall(r"running with session ID (\d+)", request.text)[-1]
    poll = {"session_id": int(session), "chars": "", "yield_time_ms": 5000}
    return Step(calls=(ToolCall(name="write_stdin", arguments=poll),))


def _tools(home: CodexHome, provider: Provider) -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    search["action"] = {"type": "search", "query": "codex rollout format"}  # type: ignore[assignment]
    (home.project / "pic.png").write_bytes(_PICTURE)
    provider.steps = [
        Step(reasoning="**Thinking** about it", text="I look around first.", calls=(shell("echo hi; cat README.md"),)),
        Step(calls=(shell("seq 1 600"), shell("ls missing.txt"))),
        Step(calls=(ToolCall(name="apply_patch", arguments=_PATCH),)),
        Step(calls=(ToolCall(name="apply_patch", arguments=_PATCH.replace("-hello", "-not there")),)),
        Step(calls=(shell("apply_patch <<'EOF'\n*** Begin Patch\n*** Delete File: new.txt\n*** End Patch\nEOF"),)),
        Step(calls=(ToolCall(name="update_plan", arguments={"explanation": "so far", "plan": _PLAN}),)),
        Step(calls=(shell("echo start; sleep 2; echo end", yield_time_ms=300),)),
        _poll,
        Step(calls=(ToolCall(name="view_image", arguments={"path": "pic.png"}),)),
        Step(
            calls=(
                ToolCall(name="echo", namespace="mcp__echo", arguments={"text": "hello"}),
                ToolCall(name="big", namespace="mcp__echo", arguments={"lines": 60}),
                ToolCall(name="broken", namespace="mcp__echo", arguments={}),
            )
        ),
        Step(items=(search,), calls=(shell("true"),)),
        Step(text="All done."),
    ]
    home.exec("do the things", f"--image={home.project / 'pic.png'}")
    provider.steps = [Step(calls=(ToolCall(name="no_such_tool", arguments={"a": 1}),)), Step(text="Sorry.")]
    home.exec("and more")


def _compaction(home: CodexHome, provider: Provider) -> None:
    hook = home.root / "hook.py"
    hook.write_text(_BRIEF_HOOK)
    handler = {"type": "command", "command": f"python3 {hook}"}
    hooks = {"hooks": {"SessionStart": [{"matcher": "compact|resume|startup", "hooks": [handler]}]}}
    (home.codex_home / "hooks.json").write_text(json.dumps(hooks))
    trusted = "--dangerously-bypass-hook-trust"
    provider.summary = Step(text="The summary.", tokens=30_000)
    if home.name == "OpenAI":
        provider.summary = Step(items=({"type": "compaction", "encrypted_content": "QlJJRUY="},), tokens=30_000)
    provider.steps = [
        Step(calls=(shell("echo first"),), tokens=20_000),
        Step(calls=(shell("echo second"),), tokens=60_000),
        Step(calls=(shell("echo third"),), tokens=9_000),
        Step(text="First answer.", tokens=60_000),
        Step(text="Second answer.", tokens=9_000),
    ]
    home.exec("the task", trusted)
    home.resume("go on", trusted)


def _scripts(home: CodexHome, provider: Provider) -> None:
    def script(text: str) -> Step:
        return Step(calls=(ToolCall(name="exec", arguments=text),))

    (home.project / "pic.png").write_bytes(_PICTURE)
    patch = json.dumps("*** Begin Patch\n*** Add File: n.txt\n+one\n*** End Patch")
    plan = '{plan: [{step: \'look \\\'here\\\'\', status: \'completed\'}, {"step": "test", "status": "pending"}]}'
    provider.steps = [
        script('const r = await tools.exec_command({cmd: "echo nested; seq 1 5"}); text(r.output);'),
        script('await tools.exec_command({cmd: "false"}); text(await tools.mcp__echo__echo({text: "hello"}));'),
        script(f"text(await tools.apply_patch({patch}));"),
        script(f"await tools.update_plan({plan}); await tools.view_image({{path: 'pic.png'}}); text('planned');"),
        Step(text="All done."),
    ]
    home.exec("do it by script")


def _agents(home: CodexHome, provider: Provider) -> None:
    def wait(request: Request) -> Step:
        found = re.findall(r'"agent_id":\s*"([^"]+)"', request.text)
        calls = (ToolCall(name="wait_agent", namespace="multi_agent_v1", arguments={"targets": found}),)
        return Step(text="" if found else "Looked: fine.", calls=calls if found else ())

    spawn = ToolCall(name="spawn_agent", namespace="multi_agent_v1", arguments={"message": "please look at X"})
    provider.steps = [Step(calls=(spawn,)), wait, wait, Step(text="All looked at.")]
    home.exec("ask an agent")


def _terminal(home: CodexHome, provider: Provider) -> None:
    provider.steps = [Step(calls=(shell("echo one"),)), Step(text="First answer."), Step(calls=(shell("sleep 30"),))]
    with home.terminal() as terminal:
        terminal.settle(1.0)
        terminal.say("first question")
        terminal.wait_for("First answer.")
        terminal.settle()
        terminal.say("!echo by the user")
        terminal.settle(1.0)
        terminal.say("second question")
        provider.wait_for(lambda told: len(told.of("turn")) >= 3)
        terminal.settle(1.0, seconds=3.0)
        terminal.key(b"\x1b")
        terminal.wait_for("interrupted", 10)
        terminal.settle(1.0)
        terminal.say("/fork")
        terminal.settle(2.0)
        terminal.say("after the fork")
        provider.wait_for(lambda told: "after the fork" in told.requests[-1].text)
        terminal.settle(1.0)


def _scrubbed(value: Any, root: str, long: bool) -> Any:
    if isinstance(value, dict):
        own = value.get("role") == "developer" or value.get("type") in {"session_meta", "world_state"}
        return {_scrubbed(key, root, False): _scrubbed(part, root, long or own) for key, part in value.items()}
    if isinstance(value, list):
        return [_scrubbed(part, root, long) for part in value]
    if not isinstance(value, str):
        return value
    text = value.replace(f"{root}/home", "/home/dev").replace(root, "/home/dev").replace(str(_ECHO.parent), "/opt/echo")
    return text[:400] + " [cut in the fixture]" if long and len(text) > 1_000 and text[:2] != "# " else text


def _record(fixture: str, act: Callable[[CodexHome, Provider], None], **home: str) -> None:
    if len(sys.argv) > 1 and fixture not in sys.argv[1:]:
        return
    binary = find_codex()
    assert binary is not None, "set RLM_MCP_CODEX"
    with tempfile.TemporaryDirectory(prefix="codex-record-") as root, running_provider() as provider:
        user = CodexHome(root=Path(root), binary=binary, url=provider.url, **home)  # type: ignore[arg-type]
        user.prepare()
        act(user, provider)
        for number, rollout in enumerate(user.rollouts()):
            records = [json.loads(line) for line in rollout.read_text().splitlines()]
            lines = [json.dumps(_scrubbed(record, root, False), ensure_ascii=False) for record in records]
            target = FIXTURES / f"{fixture}-{number}.jsonl"
            target.write_text("\n".join(lines) + "\n")
            print(target.name, len(lines), target.stat().st_size)


def main() -> None:
    """Record every fixture, or those named as arguments."""
    FIXTURES.mkdir(parents=True, exist_ok=True)
    budget = "[features.token_budget]\nenabled = true\n"
    _record("tools", _tools, top="tool_output_token_limit = 300", tables=_MCP + "[tools.update_plan]\nenabled = true\n")
    _record("compact-token-budget", _compaction, tables=budget)
    _record("compact-local", _compaction)
    _record("compact-remote", _compaction, name="OpenAI")
    _record("scripts", _scripts, model="gpt-6.1-sol", tables=_MCP + "[tools.update_plan]\nenabled = true\n")
    _record("agents", _agents, model="gpt-5.1-codex")
    _record("terminal", _terminal, model="gpt-5.1-codex")


if __name__ == "__main__":
    main()
