"""rlm_mcp.cli.demo: the main job, with neither client nor key."""

import json
from pathlib import Path

from rlm_mcp.cli.demo import RECORDING
from tests.cli.rig import CommandLine, shell


def test_the_demo_takes_a_session_across_its_limit(cli: CommandLine) -> None:
    """Brief, counts, searches, a read, and how to connect; it says what was scripted."""
    told = cli("demo")
    assert told.code == 0
    for part in (
        "# 1. A recorded session",
        "written by hand",
        "No model call",
        "| # rlm-mcp brief",
        '$ rlm-mcp search "which commands failed"',
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xfc",
        "rlm-mcp install claude",
        "rlm-mcp install codex",
    ):
        assert part in told.out
    assert max(len(line) for line in told.out.splitlines()) <= 120


def test_what_the_demo_counts_is_true(cli: CommandLine) -> None:
    """Everything counted is one call away; the Brief keeps no less of any kind than the client does."""
    told = json.loads(cli("demo", "--json").out)
    assert told["brief"]["model_calls"] == 0
    assert told["brief"]["text"].startswith("# rlm-mcp brief")
    assert told["recorded"]["window_tokens"] > 40_000 > told["client_keeps"]["window_tokens"]
    for count in told["counts"]:
        assert 0 < count["total"] == count["reachable"], count
        assert count["brief"] >= count["summary"], count


def test_the_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """No store in the home, no folder among the temporary ones; no colour where nobody looks."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    told = shell("demo", HOME=str(home), TMPDIR=str(temporary), RLM_MCP_HOME=str(home / "store"), PATH="/usr/bin:/bin")
    assert told.returncode == 0
    assert b"\x1b[" not in told.stdout
    assert list(home.iterdir()) == list(temporary.iterdir()) == []


def test_the_recording_holds_nothing_of_the_recording_machine() -> None:
    """Neither its folders nor the client's own prompt texts."""
    content = RECORDING.read_text(encoding="utf-8")
    for foreign in ("/tmp/", "/work", "/root", "api-request", "prompt_snapshot", "sk-ant"):
        assert foreign not in content, foreign
