"""What a process and those below it hold of the machine's storage, as the kernel counts it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Of a process, in MB."""

    own: float
    """Pages of its own: what it costs."""
    mapped: float
    """Pages of files, which the kernel shares and may drop."""
    peak: float
    """The most it has held of both."""


def storage(*pids: int) -> Storage:
    """Of all of them together."""
    own = mapped = peak = 0.0
    for pid in pids:
        try:
            said = (_PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found = {
            name: int(kilobytes) / 1024 for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB$", said, re.MULTILINE)
        }
        own += found.get("RssAnon", 0.0) + found.get("RssShmem", 0.0)
        mapped += found.get("RssFile", 0.0)
        peak += found.get("VmHWM", 0.0)
    return Storage(own=own, mapped=mapped, peak=peak)


def forget_peak(pid: int) -> None:
    """Count the peak anew from here. Source: ``clear_refs`` in proc(5)."""
    (_PROC / str(pid) / "clear_refs").write_text("5", encoding="ascii")


def below(pid: int) -> list[int]:
    """Processes it started, and those these started."""
    parents: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(words[1]), []).append(int(folder.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def named(pid: int, word: str) -> int:
    """The process below it whose command line has that word."""
    for child in below(pid):
        try:
            if word.encode() in (_PROC / str(child) / "cmdline").read_bytes():
                return child
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise LookupError(f"no process {word!r} below {pid}")
