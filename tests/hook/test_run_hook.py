"""The guard: whatever fails, exit code 0, a valid reply, a line in the log and a mark."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.store import degraded
from tests.hook.conftest import Recorded

ROOT = Path(__file__).parent.parent.parent
GUARD = ROOT / "hooks" / "run_hook.py"


def hook(paths: Paths, payload: bytes, *arguments: str, guard: Path = GUARD) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(guard), *arguments],
        input=payload,
        env={"PATH": os.environ["PATH"], "HOME": str(paths.home.parent), "RLM_MCP_HOME": str(paths.home)},
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_a_swap_through_the_guard(paths: Paths, recorded: Recorded) -> None:
    """Spawned as the mod spawns it: isolated, without site-packages."""
    ended = hook(paths, recorded.payload(trigger="auto", messages=recorded.window()), "claude-code", "compact")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert json.loads(ended.stdout)["messages"][0]["text"].startswith("# rlm-mcp brief")


@pytest.mark.parametrize("payload", [b"", b"{", b"null", b"\x00\xff", b'{"transcript_path": 3}'])
def test_a_payload_nobody_understands_declines_the_swap(paths: Paths, payload: bytes) -> None:
    """Exit code 0, valid JSON, nothing on standard error."""
    ended = hook(paths, payload, "claude-code", "compact")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "decline" in json.loads(ended.stdout)


def test_a_classic_hook_that_fails_prints_nothing(paths: Paths) -> None:
    """Anything else would be taken for text to the model."""
    ended = hook(paths, b"{", "codex")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_a_failure_leaves_a_line_and_a_mark_which_the_next_success_takes_away(paths: Paths, recorded: Recorded) -> None:
    """The transcript is missing for once."""
    away = recorded.transcript.with_suffix(".away")
    recorded.transcript.rename(away)
    payload = recorded.payload(trigger="auto", messages=[])
    ended = hook(paths, payload, "claude-code", "compact")
    assert "TranscriptMissing" in json.loads(ended.stdout)["decline"]
    (line,) = paths.own_log.read_text().splitlines()
    assert "TranscriptMissing" in line
    assert recorded.session in line
    assert paths.own_log.stat().st_mode & 0o777 == 0o600
    assert [mark.client_session for mark in degraded.read(paths)] == [recorded.session]
    away.rename(recorded.transcript)
    assert "messages" in json.loads(hook(paths, payload, "claude-code", "compact").stdout)
    assert degraded.read(paths) == ()


def test_a_broken_package_is_a_failure_like_any_other(paths: Paths, tmp_path: Path, recorded: Recorded) -> None:
    """Nothing of rlm_mcp can be imported: the line is written all the same."""
    (tmp_path / "hooks").mkdir()
    (tmp_path / "rlm_mcp").mkdir()
    (tmp_path / "rlm_mcp" / "__init__.py").write_text("raise RuntimeError('half an upgrade')\n")
    guard = Path(shutil.copy(GUARD, tmp_path / "hooks"))
    ended = hook(paths, recorded.payload("SessionStart", source="compact"), "codex", guard=guard)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert "half an upgrade" in paths.own_log.read_text()


def test_a_home_that_cannot_be_written_still_lets_the_client_go_on(tmp_path: Path, recorded: Recorded) -> None:
    """RLM_MCP_HOME is a file: not even the log line can be left."""
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    ended = hook(Paths(home=blocked), recorded.payload(trigger="auto", messages=[]), "claude-code", "compact")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "decline" in json.loads(ended.stdout)
