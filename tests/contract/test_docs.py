"""The README tells the truth: its blocks run, and it names every command, tool and setting."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest

from rlm_mcp.cli.main import cli
from rlm_mcp.config import Settings
from rlm_mcp.server.schemas import TOOLS, ToolText

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh run\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = cli.list_commands(click.Context(cli))


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_readmes_blocks_run(block: str, tmp_path: Path, recorded_session: Path) -> None:
    """As they stand, line by line, on a machine that has only the package."""
    (tmp_path / "session.jsonl").write_bytes(recorded_session.read_bytes())
    command = tmp_path / "bin" / "rlm-mcp"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rlm_mcp "$@"\n')
    command.chmod(0o755)
    environ = {
        "PATH": f"{command.parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "RLM_MCP_HOME": os.environ["RLM_MCP_HOME"],
    }
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_there_are_blocks_to_run() -> None:
    """The mark has not been lost."""
    assert BLOCKS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_teaches(name: str) -> None:
    """``--help`` ends well, with a sentence and examples that name the command."""
    assert f"`rlm-mcp {name}" in section("Command line")
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    told = command.get_help(click.Context(command, info_name=f"rlm-mcp {name}"))
    assert command.help
    assert f"rlm-mcp {name}" in told
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_tool_is_in_the_readme_with_its_arguments(tool: ToolText) -> None:
    """One row a tool."""
    row = next(line for line in section("Tools the model gets").splitlines() if line.startswith(f"| `{tool.name}` |"))
    assert re.findall(r"`(\w+)`", row.split("|")[2]) == list(tool.arguments)


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    """And no setting is there that does not exist."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section("Settings"), re.MULTILINE)
    defaults = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}
    assert dict(rows) == {name: _written(value) for name, value in defaults.items()}


def _written(value: float | str | dict[str, object]) -> str:
    if isinstance(value, dict):
        return "table"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() or "empty"


def test_every_file_the_readme_points_to_is_there() -> None:
    """Pictures and links."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).is_file(), target
