"""Processes as /proc tells of them: what runs below a client, whether it works or sleeps, and that it is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sandbox.walls import ways

_PROC = Path("/proc")
_START_CPU_SECONDS = 0.4
"""More than a Python in a Jail uses before its first Cell."""
needs_proc = pytest.mark.skipif(not (_PROC / "self" / "stat").exists(), reason="looks at processes through /proc")
needs_jail = pytest.mark.skipif(not ways(), reason="no Jail here: Cells run in the server itself")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process: its id alone may belong to another some time later."""

    pid: int
    parent: int
    started: int
    """Clock ticks since the machine started."""
    words: tuple[str, ...]
    """Its command line."""

    @property
    def state(self) -> str:
        """``R`` while it computes, ``S`` while it waits; empty once it has ended."""
        found = _fields(self.pid)
        return found[0] if found and int(found[19]) == self.started and found[0] != "Z" else ""

    @property
    def cpu_seconds(self) -> float:
        """Processor time it has used."""
        found = _fields(self.pid)
        return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK") if found else 0.0

    @property
    def is_server(self) -> bool:
        """Whether it is our MCP server."""
        return "serve" in self.words

    @property
    def is_jailed(self) -> bool:
        """Whether it is the Python in a Jail, not the bubblewrap around it."""
        return "-I" in self.words and "bwrap" not in self.words[0]


def below(pid: int) -> list[Process]:
    """All that the process has started, and what those have."""
    by_parent: dict[int, list[Process]] = {}
    for entry in _PROC.glob("[0-9]*"):
        found = _process(int(entry.name))
        if found is not None:
            by_parent.setdefault(found.parent, []).append(found)
    seen: list[Process] = []
    parents = [pid]
    while parents:
        children = by_parent.get(parents.pop(), [])
        seen += children
        parents += [child.pid for child in children]
    return seen


def server_of(pid: int) -> Process:
    """The one MCP server of a client."""
    (found,) = [process for process in below(pid) if process.is_server]
    return found


def jailed_of(pid: int) -> list[Process]:
    """The Pythons in Jails below a process: those that run Cells, and the spare."""
    return [process for process in below(pid) if process.is_jailed]


def until(is_so: Callable[[], object], seconds: float = 20.0) -> None:
    """Look again and again until it is so.

    Raises:
        TimeoutError: it was not in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds} s")
        time.sleep(0.02)


def looping(pid: int) -> Process:
    """The Python in a Jail whose Cell loops; waits until it does.

    Raises:
        TimeoutError: none does.
    """
    found: list[Process] = []

    def is_found() -> bool:
        found[:] = [each for each in jailed_of(pid) if each.state == "R" and each.cpu_seconds > _START_CPU_SECONDS]
        return bool(found)

    until(is_found)
    return found[0]


def _process(pid: int) -> Process | None:
    found = _fields(pid)
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
    except OSError:
        return None
    return Process(pid=pid, parent=int(found[1]), started=int(found[19]), words=tuple(words)) if found else None


def _fields(pid: int) -> list[str]:
    """From the state on; empty where there is no such process. Source: proc_pid_stat(5)."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended meanwhile
        return []
