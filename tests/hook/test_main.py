"""From standard input to standard output."""

import json

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.errors import UsageError
from rlm_mcp.hook.main import run
from tests.hook.conftest import Recorded


def test_the_mod_gets_messages(paths: Paths, recorded: Recorded) -> None:
    """Brief first, then the tail."""
    payload = recorded.payload(trigger="auto", messages=recorded.window())
    reply = json.loads(run(["claude-code", "compact"], payload, {"RLM_MCP_HOME": str(paths.home)}))
    assert reply["messages"][0]["text"].startswith("# rlm-mcp brief")
    assert reply["messages"][-1]["text"] == "What is next?"


def test_a_plain_start_says_nothing_and_opens_no_store(paths: Paths, recorded: Recorded) -> None:
    """It costs the session nothing."""
    payload = recorded.payload("SessionStart", source="startup")
    assert run(["claude-code"], payload, {"RLM_MCP_HOME": str(paths.home), "CLAUDE_PID": "1"}) == b""
    assert not paths.database.exists()


def test_a_sub_model_of_ours_is_left_alone(paths: Paths, recorded: Recorded) -> None:
    """RLM_MCP_SUBCALL marks a client that we started ourselves."""
    environ = {"RLM_MCP_HOME": str(paths.home), "RLM_MCP_SUBCALL": "1"}
    assert "decline" in json.loads(run(["claude-code", "compact"], recorded.payload(messages=[]), environ))
    assert run(["codex"], recorded.payload("SessionStart", source="compact"), environ) == b""


def test_an_unknown_client_is_named(paths: Paths) -> None:
    """The message names the clients there are."""
    with pytest.raises(UsageError, match="'emacs'; known: claude-code, codex"):
        run(["emacs"], b"{}", {"RLM_MCP_HOME": str(paths.home)})
