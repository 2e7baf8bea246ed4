"""The server named notes: a sub-agent's new window gets its Brief, everything else an empty text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.hook import notes
from tests.transcripts.codex_rollouts import records

ROOT = Path(__file__).resolve().parents[2]


def _said(role, text):
    return ("response_item", {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]})


def _rollout(home: Path, thread: str, *, parent: str = "", worked: bool = True) -> None:
    folder = home / "sessions" / "2026" / "01" / "02"
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"id": thread, "cwd": "/w", "cli_version": "0.169.0", **({"parent_thread_id": parent} if parent else {})}
    call = {"type": "function_call", "name": "exec_command", "arguments": '{"cmd": "make"}', "call_id": "c"}
    lines = records(("session_meta", meta), _said("user", "look at X"), *([("response_item", call)] if worked else []))
    (folder / f"rollout-2026-01-02T03-04-05-{thread}.jsonl").write_bytes(b"".join(lines))


def _ask(environ: dict[str, str], method: str, **parameters: object) -> dict:
    asked = {"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}
    return json.loads(notes.answer(json.dumps(asked), environ))


def _hint(environ: dict[str, str], thread: str) -> str:
    reply = _ask(environ, "tools/call", name="thread_hint", arguments={}, _meta={"threadId": thread})
    return reply["result"]["content"][0]["text"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"CODEX_HOME": str(tmp_path), "RLM_MCP_HOME": str(tmp_path / "store"), "HOME": str(tmp_path)}


def test_a_sub_agents_new_window_gets_its_own_brief(environ, tmp_path):
    """Its task, verbatim."""
    _rollout(tmp_path, "sub", parent="main")
    text = _hint(environ, "sub")
    assert text.startswith("# rlm-mcp brief")
    assert "look at X" in text


def test_main_threads_first_windows_and_unknown_threads_get_nothing(environ, tmp_path):
    """The main thread has its hook; a first window has lost nothing; a strange id reaches no file."""
    _rollout(tmp_path, "main")
    _rollout(tmp_path, "fresh", parent="main", worked=False)
    assert [_hint(environ, thread) for thread in ("main", "fresh", "gone", "../../etc", "*")] == [""] * 5
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_used_gives_an_empty_text(environ, tmp_path):
    """The window opens all the same, and the session is marked."""
    _rollout(tmp_path, "sub", parent="main")
    (tmp_path / "store").write_text("no folder")
    assert _hint(environ, "sub") == ""


def test_the_protocol_is_answered(environ):
    """initialize, list, ping; unknown methods are refused, notifications are not answered, junk is."""
    assert _ask(environ, "initialize", protocolVersion="2025-06-18")["result"]["protocolVersion"] == "2025-06-18"
    assert [tool["name"] for tool in _ask(environ, "tools/list")["result"]["tools"]] == ["thread_hint"]
    assert _ask(environ, "ping")["result"] == {}
    assert _ask(environ, "resources/list")["error"]["code"] == -32601
    assert notes.answer('{"jsonrpc": "2.0", "method": "notifications/initialized"}', environ) == ""
    assert json.loads(notes.answer("junk", environ))["error"]["code"] == -32700


def test_it_runs_as_a_program_without_site_packages(environ):
    """As the installer writes it down."""
    asked = '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}\n'
    ran = subprocess.run(
        [sys.executable, "-S", "-m", "rlm_mcp.hook.notes"],
        input=asked,
        text=True,
        capture_output=True,
        env={**environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    assert json.loads(ran.stdout)["result"]["tools"]
