"""rlm_mcp.server.incoming: whoever waits for an answer gets one, though what it sent is no message."""

import json
import subprocess
import sys
from pathlib import Path

import mcp_types as types
import pytest
from pydantic import ValidationError

from rlm_mcp.server.incoming import refusal
from tests.server.rig import environment


def _refused(line: str) -> types.JSONRPCError | None:
    with pytest.raises(ValidationError) as raised:
        types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    return refusal(raised.value)


@pytest.mark.parametrize("number", [7, "seven"])
@pytest.mark.parametrize("half", ["\\ud800", "\\uDFFF"])
def test_half_a_character_is_named_to_whoever_sent_it(number: int | str, half: str):
    """In an error for that very call: valid JSON that no text can be made of."""
    call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "repl", "arguments": {}}}
    found = _refused(json.dumps(call).replace('"arguments": {}', f'"arguments": {{"code": "{half}x"}}'))
    assert found is not None
    assert found.id == number
    assert found.error.code == -32700
    assert half.lower() in found.error.message
    found.model_dump_json()


@pytest.mark.parametrize(
    "line",
    ["no json", "", "[]", "5", '{"jsonrpc": "2.0"}', '{"id": 5', '{"method": "x", "id": true, "a": "\\ud800"}',
     '{"method": "notifications/x", "params": {"a": "\\ud800"}}', '{"id": 5, "result": {"a": "\\ud800"}}', "[" * 9_000],
)  # fmt: skip
def test_what_nobody_waits_for_is_not_answered(line: str):
    """No id of a call, no answer."""
    assert _refused(line) is None


def test_the_server_answers_half_a_character_and_goes_on(tmp_path: Path):
    """Over real pipes; the next call is answered as ever."""
    sent = (
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
        '"clientInfo":{"name":"c","version":"1"}}}\n'
        '{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
        '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"repl","arguments":{"code":"\\ud800x"}}}\n'
        '{"jsonrpc":"2.0","id":3,"method":"tools/list"}\n'
    )
    command = [sys.executable, "-m", "rlm_mcp", "serve"]
    environ = environment(RLM_MCP_HOME=str(tmp_path / "store"), HOME=str(tmp_path))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, cwd=tmp_path, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(sent)
        server.stdin.flush()
        answers = {}
        while answers.keys() < {1, 2, 3}:
            answer = json.loads(server.stdout.readline())
            answers[answer.get("id")] = answer
        server.stdin.close()
    assert "half a character" in answers[2]["error"]["message"]
    assert answers[3]["result"]["tools"]
