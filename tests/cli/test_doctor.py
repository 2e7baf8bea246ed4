"""rlm_mcp.cli.doctor: one screen, an exit code, and nothing changed."""

import json
from pathlib import Path

import pytest

from rlm_mcp.cli import install_claude
from rlm_mcp.cli.main import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from rlm_mcp.config import read_paths
from rlm_mcp.verbs.doctor import attempts_here
from tests.cli.rig import CommandLine
from tests.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a folder on PATH before the others for stand-ins of clients."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    return programs


def client(folder: Path, name: str, says: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


def test_all_is_well_here(cli: CommandLine) -> None:
    """One line a finding; each part is there but the escape suite, which ``--quick`` leaves out."""
    said = cli("doctor", "--quick")
    assert said.code == EXIT_OK, said.out
    lines = said.out.splitlines()
    assert lines[-1] == "All is well."
    assert list(dict.fromkeys(line.split()[1] for line in lines[:-1] if not line.startswith(" "))) == [
        "installation",
        "store",
        "programs",
        "clients",
        "jail",
    ]


def test_json_is_one_object(cli: CommandLine) -> None:
    """Findings and verdicts as the verb gives them."""
    group, attempt = attempts_here()[0]
    said = cli("doctor", "--attempt", attempt.name, "--json")
    (line,) = said.out.splitlines()
    found = json.loads(line)
    assert (said.code, found["ok"], set(found)) == (EXIT_OK, True, {"ok", "findings", "verdicts"})
    assert {"part", "what", "told", "level", "cure"} == set(found["findings"][0])
    (verdict,) = found["verdicts"]
    assert (verdict["group"], verdict["name"], verdict["is_held"]) == (group, attempt.name, True)


def test_an_attempt_that_is_not_there_is_a_wrong_call(cli: CommandLine) -> None:
    """With the groups there are."""
    said = cli("doctor", "--attempt", "no such attempt")
    assert (said.code, said.out) == (EXIT_USAGE, "")
    assert attempts_here()[0][0] in said.err


def test_a_repl_without_jail_must_be_mended(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loudly, with exit code 1."""
    monkeypatch.setenv("RLM_MCP_UNSAFE_REPL_WITHOUT_JAIL", "true")
    said = cli("doctor", "--quick")
    assert (said.code, said.out.splitlines()[-1]) == (EXIT_FAILED, "1 thing must be mended.")
    assert "UNSAFE: NOT JAILED" in said.out


def test_a_bad_setting_is_one_finding_among_others(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is looked at nevertheless."""
    monkeypatch.setenv("RLM_MCP_READ_TOKENS", "3")
    said = cli("doctor", "--quick", "--json")
    found = json.loads(said.out)
    assert (said.code, found["ok"]) == (EXIT_FAILED, False)
    assert [one["what"] for one in found["findings"] if one["level"] == "bad"] == ["settings"]
    assert found["findings"][-1]["what"] == "REPL"


def test_clients_are_told_whether_they_are_connected(cli: CommandLine, machine: Path, tmp_path: Path) -> None:
    """Not found, not connected, in part, connected; nothing of theirs is touched."""
    assert _clients(cli) == ["not found ('claude' is not on PATH)", "not found ('codex' is not on PATH)"]
    client(machine, "claude", "2.1.330 (Claude Code)")
    client(machine, "codex", "codex-cli 0.169.0")
    assert _clients(cli) == ["2.1.330, not connected", "0.169.0, not connected"]
    assert not (tmp_path / "home" / ".claude").exists()
    assert not (tmp_path / "home" / ".codex").exists()
    target = install_claude.find_target(read_paths(), {"HOME": str(tmp_path / "home"), "PATH": str(machine)})
    for step in install_claude.plan_install(target).steps[:1]:
        step.apply()
    assert "not as it should be: marketplace, plugin" in _clients(cli)[0]
    plugins = target.config / "plugins"
    plugins.mkdir(parents=True)
    known = {"rlm-mcp": {"installLocation": str(target.folder)}}
    (plugins / "known_marketplaces.json").write_text(json.dumps(known))
    (plugins / "installed_plugins.json").write_text(json.dumps({"plugins": {"rlm-mcp@rlm-mcp": []}}))
    (target.config / "settings.json").write_text(json.dumps({"enabledPlugins": {"rlm-mcp@rlm-mcp": True}}))
    assert _clients(cli)[0] == "2.1.330, connected"
    client(machine, "claude", "who knows")
    assert "answers --version with" in _clients(cli)[0]


def _clients(cli: CommandLine) -> list[str]:
    found = json.loads(cli("doctor", "--quick", "--json").out)["findings"]
    return [one["told"] for one in found if one["part"] == "clients"]


def test_a_person_sees_marks_and_progress() -> None:
    """At a terminal; the sum is the last line."""
    with Terminal("doctor", "--attempt", attempts_here()[0][1].name) as terminal:
        shown = terminal.until("All is well.")
        code, _rest = terminal.end()
    assert code == EXIT_OK
    assert "jail" in shown
    assert "\u2713 REPL" in shown
    assert "escape suite" in shown
    assert "1 of 1 attempts held" in shown
