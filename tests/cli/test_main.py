"""rlm_mcp.cli.main: exit codes, errors as one line, nothing imported that is not needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp import __version__
from rlm_mcp.cli.main import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from tests.cli.rig import ROOT, CommandLine, shell


def test_the_version_is_told(cli: CommandLine) -> None:
    """As one line."""
    assert cli("--version").out.split() == ["rlm-mcp,", "version", __version__]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["search"],
        ["search", "x", "--scope", "world"],
        ["read", "e1", "--offset", "-3"],
        ["read", "nonsense"],
        ["search", "x", "--session", "no-such-session"],
        ["search", "x", "--session", "a", "--transcript", "b"],
        ["brief", "--tokens", "1"],
        ["export"],
        ["export", "a", "--transcript", "b"],
    ],
)
def test_a_wrong_call_ends_with_2_and_a_clear_line(
    cli: CommandLine, arguments: list[str], recorded_session: Path
) -> None:
    """No traceback; with --json the error is an object."""
    cli("ingest", recorded_session)
    if arguments[0] == "read":
        arguments = [*arguments, "--transcript", str(recorded_session)]
    said = cli(*arguments)
    assert said.code == EXIT_USAGE
    assert said.err.startswith("rlm-mcp: ")
    assert "Traceback" not in said.err
    assert said.out == ""
    error = json.loads(cli(*arguments, "--json").out)["error"]
    assert set(error) == {"type", "message"}
    assert error["message"]


def test_a_transcript_that_is_not_there_ends_with_1(cli: CommandLine, tmp_path: Path) -> None:
    """Also a folder, an unknown format, an unreadable file."""
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text('{"hello": "world"}\n' * 3)
    for path in (tmp_path / "none.jsonl", tmp_path, foreign):
        said = cli("brief", "--transcript", path)
        assert said.code == EXIT_FAILED, path
        assert said.err.startswith("rlm-mcp: ")
        assert path.name in said.err
        assert "Traceback" not in said.err
        error = json.loads(cli("ingest", path, "--json").out)["error"]
        assert error["type"] in {"TranscriptMissing", "UnknownFormat"}


def test_a_bad_setting_is_a_users_mistake(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with its limits."""
    monkeypatch.setenv("RLM_MCP_BRIEF_TOKENS", "3")
    said = cli("status")
    assert (said.code, said.err.count("\n")) == (EXIT_USAGE, 1)
    assert "RLM_MCP_BRIEF_TOKENS" in said.err


def test_a_reader_that_leaves_early_is_no_error(recorded_session: Path) -> None:
    """As in ``rlm-mcp export ... | head -1``: nothing on standard error."""
    command = f'"{sys.executable}" -m rlm_mcp export --transcript "{recorded_session}" --raw | head -c 10'
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=environ, cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, len(ended.stdout), ended.stderr) == (EXIT_OK, 10, b"")


def test_python_m_is_the_same(recorded_session: Path) -> None:
    """``python -m rlm_mcp`` and ``rlm-mcp``."""
    told = shell("brief", "--transcript", recorded_session, "--tokens", "600")
    assert told.returncode == EXIT_OK
    assert told.stdout.startswith(b"# rlm-mcp brief")
    assert shell("nonsense").returncode == EXIT_USAGE


def test_a_verb_never_pays_for_the_server_or_the_terminal() -> None:
    """The MCP SDK, rich and openai are not imported by a verb whose output goes into a pipe."""
    script = (
        "import sys\nfrom rlm_mcp.cli.main import run\nrun(['status'])\n"
        "print([name for name in ('mcp', 'rich', 'openai', 'watchdog', 'pydantic') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT, env={**os.environ}, timeout=60
    )
    assert ended.stdout.splitlines()[-1] == b"[]"
