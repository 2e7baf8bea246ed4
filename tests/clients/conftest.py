"""Finds the real client binaries, pinned in ``package.json`` beside this file."""

import os
import platform
from pathlib import Path

import pytest

_MODULES = Path(__file__).parent / "node_modules"
_PLATFORM = f"{platform.system().lower()}-{'arm64' if platform.machine() in ('arm64', 'aarch64') else 'x64'}"
_CLAUDE = f"@anthropic-ai/claude-code-{_PLATFORM}*/claude"
_CODEX = f"@openai/codex-{_PLATFORM}*/vendor/*/bin/codex"


def _binary(variable: str, pattern: str) -> Path:
    named = os.environ.get(variable)
    found = [Path(named)] if named else sorted(_MODULES.glob(pattern))
    if found and found[0].is_file():
        return found[0].resolve()
    reason = f"no client binary: name one in {variable}, or run 'npm install --prefix tests/clients'"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The real Claude Code."""
    return _binary("RLM_MCP_CLAUDE", _CLAUDE)


@pytest.fixture(scope="session")
def codex_binary() -> Path:
    """The real Codex."""
    return _binary("RLM_MCP_CODEX", _CODEX)
