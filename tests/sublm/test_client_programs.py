"""``claude`` and ``codex`` asked as programs: apart from the session we run in, ended whole, their errors typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlm_mcp.errors import Cancelled, SubLMBusy, SubLMError, SubLMRefused, SubLMTimeout, SubLMUnavailable
from rlm_mcp.sublm.claude_cli import ClaudeProgram
from rlm_mcp.sublm.client_program import ClientProgram
from rlm_mcp.sublm.codex_cli import CodexProgram
from rlm_mcp.sublm.lm import Request, Stop
from tests.clients.claude_rig import ClaudeHome
from tests.clients.codex_rig import CodexHome
from tests.sublm.endpoint import running_endpoint

ROOT = Path(__file__).parent.parent.parent
ENVIRON = {"PATH": "/usr/bin:/bin", "CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "ANTHROPIC_API_KEY": "k"}
KINDS = [pytest.param(ClaudeProgram, id="claude"), pytest.param(CodexProgram, id="codex")]


def program(folder: Path, script: str) -> Path:
    """A stand-in for a client's binary."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def ask(kind: type, binary: Path, stop: Stop | None = None, environ: Mapping[str, str] = ENVIRON, **fields: object):
    backend = kind(binary, environ)
    try:
        return backend.complete(Request(**{"prompt": "hello", **fields}), stop or Stop(seconds=60))
    finally:
        backend.close()


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_apart_from_our_own_session(tmp_path: Path, kind: type):
    """Marked, in a folder of its own, with the login that the user has; the prompt on standard input."""
    noted = tmp_path / "noted"
    with pytest.raises(SubLMError):
        ask(kind, program(tmp_path, f'[ "$1" = debug ] || {{ env; echo "cwd $(pwd)"; cat; }} > {noted}'))
    lines = noted.read_text().splitlines()
    assert "RLM_MCP_SUBCALL=1" in lines
    assert "ANTHROPIC_API_KEY=k" in lines
    assert "hello" in lines
    (folder,) = [line.removeprefix("cwd ") for line in lines if line.startswith("cwd ")]
    assert folder != str(Path.cwd())
    assert not Path(folder).exists()
    if kind is ClaudeProgram:
        assert not any(line.startswith(("CLAUDECODE=", "CLAUDE_CODE_ENTRYPOINT=")) for line in lines)
        assert "CLAUDE_CODE_DISABLE_FILE_MENTIONS=1" in lines


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_told", [True, False])
def test_it_is_ended_with_all_that_it_started(tmp_path: Path, kind: type, is_told: bool):
    """Told to stop, or past its deadline."""
    left = tmp_path / "pid"
    binary = program(
        tmp_path, f'[ "$1" = debug ] && exit 1\nsleep 600 & echo $! > {left}.new; mv {left}.new {left}; wait'
    )
    stop = Stop() if is_told else Stop(seconds=2.0)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, kind, binary, stop)
        while is_told and not left.exists():
            threading.Event().wait(0.005)
        if is_told:
            stop.now()
        with pytest.raises(Cancelled if is_told else SubLMTimeout):
            asking.result(20)
    grandchild = int(left.read_text())
    _until(lambda: not _is_running(grandchild))


ASKED = """
import sys
from pathlib import Path
from rlm_mcp.sublm import claude_cli, codex_cli
from rlm_mcp.sublm.lm import Request, Stop
kind = {"ClaudeProgram": claude_cli.ClaudeProgram, "CodexProgram": codex_cli.CodexProgram}[sys.argv[1]]
kind(Path(sys.argv[2]), {"PATH": "/usr/bin:/bin"}).complete(Request(prompt="hello"), Stop())
"""


@pytest.mark.parametrize("kind", KINDS)
def test_killed_we_leave_no_program_that_goes_on_and_its_folder_for_the_next_to_remove(tmp_path: Path, kind: type):
    """A kill -9 of us ends the program with all that it started; who asks next finds the folder and removes it."""
    left, folders = tmp_path / "pids", tmp_path / "folders"
    folders.mkdir()
    binary = program(
        tmp_path, f'[ "$1" = debug ] && exit 1\nsleep 600 & echo "$$ $!" > {left}.new; mv {left}.new {left}; wait'
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folders)}
    with subprocess.Popen([sys.executable, "-c", ASKED, kind.__name__, str(binary)], env=environ) as asking:
        _until(left.exists)
        (folder,) = folders.iterdir()
        asking.kill()
    for pid in map(int, left.read_text().split()):
        _until(lambda pid=pid: not _is_running(pid))
    program(tmp_path, "exit 1")
    ended = subprocess.run([sys.executable, "-c", ASKED, kind.__name__, str(binary)], env=environ, check=False)
    assert ended.returncode == 1
    assert not folder.exists()


def test_a_folder_in_use_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nor what only looks like one of ours, and lies elsewhere."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "rlm-mcp-asked-link").symlink_to(elsewhere)
    one, two = (ClientProgram(Path("program"), {}) for _ in range(2))
    kept = one.file("rules", ".md")
    assert two.folder() != one.folder()
    assert (kept.read_text(), list(elsewhere.iterdir())) == ("rules", [])
    for each in (one, two):
        each.close()
    assert sorted(tmp_path.iterdir()) == [elsewhere, tmp_path / "rlm-mcp-asked-link"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_is_not_there_says_so(tmp_path: Path, kind: type):
    """With the path and the cure."""
    with pytest.raises(SubLMUnavailable, match="set sub_backend"):
        ask(kind, tmp_path / "missing")
    broken = program(tmp_path, "")
    broken.write_text("#!/no/such/interpreter\n")
    with pytest.raises(SubLMUnavailable, match="set sub_backend"):
        ask(kind, broken)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_prompt_starts_nothing(tmp_path: Path, kind: type):
    """Both clients would refuse it, each in its own words."""
    with pytest.raises(SubLMRefused, match="empty"):
        ask(kind, tmp_path / "missing", prompt=" \n")


def claude_says(**result: object) -> str:
    """A result of Claude Code."""
    line = {
        "type": "result",
        "is_error": True,
        "num_turns": 1,
        "usage": {"input_tokens": 0, "output_tokens": 0},
        **result,
    }
    return json.dumps(line)


def codex_says(message: str) -> str:
    """A failed turn of Codex."""
    return json.dumps({"type": "turn.failed", "error": {"message": message}})


SAID = [
    (ClaudeProgram, claude_says(result="Not logged in · Please run /login"), SubLMUnavailable, "log in with /login"),
    (ClaudeProgram, claude_says(result="Failed to authenticate", api_error_status=401), SubLMUnavailable, "/login"),
    (ClaudeProgram, claude_says(result="5-hour limit reached", api_error_status=429), SubLMRefused, "wait for it"),
    (
        ClaudeProgram,
        claude_says(result="Credit balance is too low", api_error_status=400),
        SubLMRefused,
        "set sub_backend",
    ),
    (ClaudeProgram, claude_says(result="Request rejected (429)", api_error_status=429), SubLMBusy, "no answer"),
    (ClaudeProgram, claude_says(result="Overloaded", api_error_status=529), SubLMBusy, "no answer"),
    (ClaudeProgram, claude_says(result="Connection refused"), SubLMBusy, "Connection refused"),
    (ClaudeProgram, claude_says(result="no such model", api_error_status=404), SubLMRefused, "sub_model"),
    (ClaudeProgram, claude_says(result="Prompt is too long", api_error_status=400), SubLMRefused, "too long"),
    (ClaudeProgram, claude_says(result="not available", is_error=False, num_turns=0), SubLMRefused, "asked no model"),
    (ClaudeProgram, "no json at all", SubLMBusy, "no result"),
    (CodexProgram, codex_says("unexpected status 401 Unauthorized"), SubLMUnavailable, "codex login"),
    (CodexProgram, codex_says("Missing environment variable: `KEY`."), SubLMUnavailable, "codex login"),
    (CodexProgram, codex_says("Quota exceeded. Check your plan."), SubLMRefused, "wait for it"),
    (CodexProgram, codex_says("You've hit your usage limit."), SubLMRefused, "set sub_backend"),
    (CodexProgram, codex_says("exceeded retry limit, last status: 429"), SubLMBusy, "no answer"),
    (CodexProgram, codex_says("unexpected status 503 Service Unavailable"), SubLMBusy, "503"),
    (CodexProgram, codex_says("Connection failed: error sending request"), SubLMBusy, "Connection failed"),
    (CodexProgram, codex_says("ran out of room in the model's context window"), SubLMRefused, "ask otherwise"),
]


@pytest.mark.parametrize(("kind", "output", "error", "said"), SAID)
def test_what_a_client_says_of_itself_is_a_typed_error(tmp_path: Path, kind: type, output: str, error: type, said: str):
    """With the cure, where the user can do something."""
    (tmp_path / "output").write_text(output + "\n")
    with pytest.raises(error, match=said):
        ask(kind, program(tmp_path, f'[ "$1" = debug ] && exit 1\ncat {tmp_path / "output"}; exit 1'))


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (ClaudeProgram, "error: unknown option '--tools'"),
        (CodexProgram, "error: unexpected argument '--ephemeral' found"),
    ],
)
def test_a_client_too_old_for_the_flags_says_so(tmp_path: Path, kind: type, complaint: str):
    """Update it, or ask another."""
    with pytest.raises(SubLMUnavailable, match="too old"):
        ask(kind, program(tmp_path, f'[ "$1" = debug ] && exit 1\necho "{complaint}" >&2; exit 1'))


def test_codex_is_given_the_users_provider_and_no_secret_of_it(tmp_path: Path):
    """The rest of the settings stays outside; a command line is read by everybody."""
    (tmp_path / "config.toml").write_text(
        'model = "big"\nmodel_provider = "p"\nnotify = ["x"]\n[mcp_servers.m]\ncommand = "x"\n'
        '[model_providers.p]\nname = "A \\"p\\""\nbase_url = "http://x/v1"\nrequest_max_retries = 0\n'
        'experimental_bearer_token = "hush"\nhttp_headers = {Authorization = "hush"}\n'
    )
    noted = tmp_path / "noted"
    with pytest.raises(SubLMError):
        ask(
            CodexProgram,
            program(tmp_path, f'[ "$1" = debug ] || printf "%s\\n" "$@" > {noted}'),
            environ={**ENVIRON, "CODEX_HOME": str(tmp_path)},
        )
    given = noted.read_text().splitlines()
    assert 'model_provider="p"' in given
    assert (
        'model_providers={"p" = {"name" = "A \\"p\\"", "base_url" = "http://x/v1", "request_max_retries" = 0}}' in given
    )
    assert given[given.index("-m") + 1] == "big"
    assert not any("hush" in one or "mcp_servers" in one or "notify" in one for one in given)


def test_codex_says_what_the_users_rules_add_to_each_prompt(tmp_path: Path):
    """Its AGENTS.md goes along, so it is reserved for."""
    environ = {**ENVIRON, "CODEX_HOME": str(tmp_path)}
    before = CodexProgram(Path("codex"), environ).overhead_tokens
    (tmp_path / "AGENTS.md").write_text("rule " * 1_000)
    assert CodexProgram(Path("codex"), environ).overhead_tokens >= before + 900


@pytest.mark.client
def test_the_real_claude_runs_nothing_of_the_users(tmp_path: Path, claude_binary: Path):
    """No hook, no MCP server, no memory, no transcript: a question is a question."""
    with running_endpoint() as endpoint:
        home = ClaudeHome(root=tmp_path / "w", binary=claude_binary, url=endpoint.url.removesuffix("/v1"))
        home.prepare()
        ran = tmp_path / "ran"
        hook = [{"hooks": [{"type": "command", "command": f"echo hook >> {ran}"}]}]
        settings = {"hooks": dict.fromkeys(("SessionStart", "UserPromptSubmit", "Stop", "SessionEnd"), hook)}
        (home.config / "settings.json").write_text(json.dumps(settings))
        state = json.loads((home.config / ".claude.json").read_text())
        state["mcpServers"] = {"m": {"command": "sh", "args": ["-c", f"echo mcp >> {ran}"]}}
        (home.config / ".claude.json").write_text(json.dumps(state))
        (home.config / "CLAUDE.md").write_text("MEMORY-OF-THE-USER")
        reply = ask(ClaudeProgram, claude_binary, environ=home.environment())
        assert reply.text == "echo: hello"
        assert reply.usd is not None
        assert not ran.exists()
        assert not home.transcripts()
        (seen,) = endpoint.requests
        assert "MEMORY-OF-THE-USER" not in json.dumps(seen.body)
        assert seen.body["max_tokens"] == 2_048


@pytest.mark.client
def test_the_real_codex_runs_nothing_of_the_users(tmp_path: Path, codex_binary: Path):
    """No MCP server, no rollout; its own default model is offered no tools either."""
    with running_endpoint() as endpoint:
        ran = tmp_path / "ran"
        home = CodexHome(
            root=tmp_path / "w",
            binary=codex_binary,
            url=endpoint.url,
            tables=f'[mcp_servers.m]\ncommand = "sh"\nargs = ["-c", "echo mcp >> {ran}"]\n',
        )
        home.prepare()
        home.config.write_text(home.config.read_text().replace(f'model = "{home.model}"\n', ""))
        (home.project / "AGENTS.md").write_text("RULES-OF-THE-PROJECT")
        reply = ask(CodexProgram, codex_binary, environ=home.environment())
        assert (reply.text, reply.usd) == ("echo: hello", None)
        assert not ran.exists()
        assert not home.rollouts()
        (seen,) = endpoint.requests
        assert not seen.body.get("tools")
        assert "additional_tools" not in json.dumps(seen.body["input"])
        assert "RULES-OF-THE-PROJECT" not in json.dumps(seen.body)
        assert seen.tokens_in < 300


@pytest.mark.client
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_who_is_not_logged_in_is_told_so(tmp_path: Path, name: str, claude_binary: Path, codex_binary: Path):
    """By the real programs, without a key."""
    if name == "claude":
        home = ClaudeHome(root=tmp_path / "w", binary=claude_binary, url="http://127.0.0.1:9")
        home.prepare()
        environ = {key: value for key, value in home.environment().items() if key != "ANTHROPIC_API_KEY"}
        backend, binary = ClaudeProgram, claude_binary
    else:
        other = CodexHome(root=tmp_path / "w", binary=codex_binary, url="http://127.0.0.1:9/v1")
        other.prepare()
        environ = {key: value for key, value in other.environment().items() if key != "DUMMY_KEY"}
        backend, binary = CodexProgram, codex_binary
    with pytest.raises(SubLMUnavailable, match=r"log ?in"):
        ask(backend, binary, environ=environ)


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if is_so():
            return
        threading.Event().wait(0.005)
    pytest.fail("it did not happen")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
