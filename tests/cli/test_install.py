"""rlm_mcp.cli.install: show, ask, do. What the clients make of it is tested with the real ones (tests/clients)."""

import json
from pathlib import Path

import pytest

from rlm_mcp.cli.main import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from tests.cli.rig import CommandLine


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's, without any client in it."""
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def claude(tmp_path: Path) -> Path:
    """A program that says it is Claude Code, and writes down how it was called."""
    program = tmp_path / "claude"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "2.1.330 (Claude Code)"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("client", ["claude", "codex"])
def test_a_client_that_is_not_there_is_an_error_with_the_cure(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    """Nothing is written."""
    monkeypatch.setenv("PATH", "/nonexistent")
    said = cli("install", client, "--yes")
    assert said.code == EXIT_FAILED
    assert "--client-binary" in said.err
    assert "Traceback" not in said.err


def test_a_dry_run_shows_every_change_and_makes_none(cli: CommandLine, claude: Path, home: Path) -> None:
    """As text, and as JSON for scripts."""
    told = cli("install", "claude", "--client-binary", claude, "--dry-run")
    assert told.code == EXIT_OK
    assert "# claude: what changes" in told.out
    assert "1. " in told.out
    record = json.loads(cli("install", "claude", "--client-binary", claude, "--dry-run", "--json").out)
    assert record["done"] is False
    assert all(step in told.out for step in record["steps"])
    assert list(home.iterdir()) == []


def test_nobody_to_ask_means_nothing_is_done(cli: CommandLine, claude: Path, home: Path) -> None:
    """Without a terminal, --yes has to be said."""
    said = cli("install", "claude", "--client-binary", claude)
    assert (said.code, list(home.iterdir())) == (EXIT_USAGE, [])
    assert "--yes" in said.err


def test_the_steps_are_taken_in_order(cli: CommandLine, claude: Path, tmp_path: Path) -> None:
    """The plugin is written before the client is told of it."""
    told = cli("install", "claude", "--client-binary", claude, "--yes")
    assert told.code == EXIT_OK
    assert told.out.endswith("Done. Restart the client to see it.\n")
    calls = [call.split() for call in (tmp_path / "calls").read_text().splitlines()]
    added = next(call for call in calls if call[:3] == ["plugin", "marketplace", "add"])
    folder = Path(added[-1])
    assert (folder / "hooks" / "compact.js").is_file()
    assert cli("uninstall", "claude", "--client-binary", claude, "--yes").code == EXIT_OK
    assert not folder.exists()


def test_nothing_to_take_back_is_no_error(cli: CommandLine, claude: Path) -> None:
    """It says so."""
    said = cli("uninstall", "claude", "--client-binary", claude, "--yes")
    assert (said.code, "nothing to change" in said.out) == (EXIT_OK, True)
