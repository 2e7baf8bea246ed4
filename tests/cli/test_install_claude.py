"""What connecting Claude Code would change. The changes themselves: tests/clients, with the real program."""

import json
import sys
from pathlib import Path

import pytest

from rlm_mcp.cli import install_claude
from rlm_mcp.cli.install_claude import ClaudeTarget
from rlm_mcp.config import Paths
from rlm_mcp.errors import ClientError


@pytest.fixture
def target(tmp_path: Path, paths: Paths) -> ClaudeTarget:
    """A program that only knows its version."""
    return target_of(tmp_path, paths, "2.1.330 (Claude Code)")


def target_of(folder: Path, paths: Paths, says: str) -> ClaudeTarget:
    binary = folder / "claude"
    binary.write_text(f"#!/bin/sh\necho '{says}'\n")
    binary.chmod(0o755)
    environ = {"HOME": str(folder), "PATH": str(folder)}
    return install_claude.find_target(paths, environ, "")


def test_the_program_is_found_on_path_and_its_folder_in_home(target: ClaudeTarget, tmp_path: Path) -> None:
    """Or where CLAUDE_CONFIG_DIR says."""
    assert target.binary == tmp_path / "claude"
    assert target.config == tmp_path / ".claude"
    moved = install_claude.find_target(target.paths, {"CLAUDE_CONFIG_DIR": "/c"}, str(target.binary))
    assert moved.config == Path("/c")


@pytest.mark.parametrize("named", ["", "/nowhere/claude"])
def test_no_claude_code_is_an_error_that_names_the_cure(paths: Paths, named: str) -> None:
    """Install it, or name it."""
    with pytest.raises(ClientError, match=r"npm install -g @anthropic-ai/claude-code.*--client-binary"):
        install_claude.find_target(paths, {"PATH": ""}, named)


def test_the_plugin_is_rendered_with_absolute_paths(target: ClaudeTarget) -> None:
    """This interpreter, this package, this store: nothing is looked up at run time."""
    files = install_claude.rendered(target)
    assert f'const PYTHON = "{sys.executable}";' in files["hooks/compact.js"].decode()
    assert f'const STORE_FOLDER = "{target.paths.home}";' in files["hooks/lend.js"].decode()
    hooks = json.loads(files["hooks/hooks.json"])
    commands = [hook["command"] for matchers in hooks["hooks"].values() for each in matchers for hook in each["hooks"]]
    assert all(command.startswith(f'"{sys.executable}" -I -S ') for command in commands)
    server = json.loads(files[".mcp.json"])["mcpServers"]["rlm-mcp"]
    assert server["command"] == sys.executable
    assert server["env"]["RLM_MCP_HOME"] == str(target.paths.home)
    guard = files["hooks/run_hook.py"].decode()
    assert 'PACKAGE_FOLDER = ""' not in guard
    assert f'STORE_FOLDER = "{target.paths.home}"' in guard


def test_a_plan_changes_nothing_by_itself(target: ClaudeTarget, tmp_path: Path) -> None:
    """It shows the files, the backup and the client's own commands, in order."""
    plan = install_claude.plan_install(target)
    shown = [step.shown for step in plan.steps]
    assert [line.split()[0] for line in shown] == ["write", "keep", "run:", "run:"]
    assert "claude plugin marketplace add" in shown[2]
    assert "claude plugin install rlm-mcp@rlm-mcp" in shown[3]
    assert not target.folder.exists()
    assert not target.config.exists()


def test_an_older_client_is_told_what_it_will_get(tmp_path: Path, paths: Paths) -> None:
    """No mods before 2.1.287: the Brief beside the built-in summary."""
    (note,) = install_claude.plan_install(target_of(tmp_path, paths, "2.1.286 (Claude Code)")).notes
    assert "2.1.286" in note
    assert "PreCompact" in note


def test_a_program_that_is_not_claude_code_is_refused(tmp_path: Path, paths: Paths) -> None:
    """Its answer is quoted."""
    with pytest.raises(ClientError, match="'BusyBox"):
        install_claude.plan_install(target_of(tmp_path, paths, "BusyBox v1"))


def test_settings_that_are_no_json_are_not_touched(target: ClaudeTarget) -> None:
    """The person mends them first."""
    target.config.mkdir()
    (target.config / "settings.json").write_text("{")
    (target.config / "plugins").mkdir()
    (target.config / "plugins" / "known_marketplaces.json").write_text("{")
    with pytest.raises(ClientError, match="is not JSON"):
        install_claude.plan_install(target)


def test_there_is_nothing_to_uninstall_where_nothing_is_installed(target: ClaudeTarget) -> None:
    """Idempotent from the other side."""
    assert install_claude.plan_uninstall(target).steps == ()
