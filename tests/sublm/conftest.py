"""The real client programs, as the tests of the clients find them."""

import os

import pytest

from tests.clients.conftest import claude_binary, codex_binary

__all__ = ["claude_binary", "codex_binary"]

_VARIABLES = ("RLM_MCP_CLAUDE", "RLM_MCP_CODEX")


@pytest.fixture(scope="session", autouse=True)
def named_binaries() -> dict[str, str]:
    """What names the binaries, read before each test's environment is cleared."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}
