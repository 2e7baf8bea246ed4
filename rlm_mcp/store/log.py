"""The text log of a Session: what a person would read, append-only UTF-8, one header line before each Event.

``@e12 t3 result Bash 2026-02-12T04:07:16Z`` and the Event's text on the following lines. ripgrep, mmap and the Repl use
the file as it is; the index knows where each text begins and ends.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rlm_mcp.config import Paths
from rlm_mcp.events import Event
from rlm_mcp.text import one_line


def log_path(paths: Paths, session_key: str) -> Path:
    """The log file of a Session."""
    return paths.sessions / f"{session_key}.log"


def render(event: Event, seq: int, turn: int) -> tuple[bytes, bytes]:
    """Header (with its line end) and text of an Event as they stand in the log; the caller adds a final line end."""
    words = [f"@e{seq}", f"t{turn}", str(event.kind)]
    if event.tool:
        words.append(one_line(event.tool, 80))
    if event.agent:
        words.append(f"agent={one_line(event.agent, 60)}")
    if event.failed:
        words.append("failed")
    if event.time is not None:
        words.append(stamp(event.time))
    return (" ".join(words) + "\n").encode("utf-8", "replace"), event.text.encode("utf-8", "replace")


def stamp(time_seconds: float) -> str:
    """Seconds since the epoch as ``2026-02-12T04:07:16Z``; the number itself where it is out of range."""
    try:
        return datetime.fromtimestamp(time_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return f"{time_seconds:.0f}"
