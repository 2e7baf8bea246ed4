"""Degraded Sessions: marks left by a hook that failed, taken away by the Session's next successful ingest.

One small JSON file per Session below ``live/``, so that a mark can be left even when the database cannot be opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.config import Paths
from rlm_mcp.store import live

_KIND = "degraded"
_MAX_MARKS = 1_000
_MAX_REASON_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A hook of this Session did not finish."""

    client_session: str
    """Empty where the hook could not even read which Session it was called for."""
    reason: str
    time: float
    """Seconds since the epoch."""


def mark(paths: Paths, client_session: str, reason: str, time: float) -> None:
    """Leave a mark; a newer one replaces it.

    Raises:
        OSError: the folder cannot be written.
    """
    content = {"client_session": client_session, "reason": reason[:_MAX_REASON_CHARS], "time": time}
    live.leave(paths, live.path_of(paths, _KIND, client_session), content)


def read(paths: Paths) -> tuple[Mark, ...]:
    """The marks, newest first (at most 1,000). One that cannot be read counts with its file's name for a reason."""
    marks = [_read(path) for path in sorted(paths.live.glob(f"{_KIND}-*.json"))[:_MAX_MARKS]]
    return tuple(sorted(marks, key=lambda each: each.time, reverse=True))


def clear(paths: Paths, client_session: str) -> None:
    """Take the Session's mark away, if it has one; a mark that names no Session goes too."""
    for name in (client_session, ""):
        live.path_of(paths, _KIND, name).unlink(missing_ok=True)


def _read(path: Path) -> Mark:
    found = live.found(path)
    try:
        return Mark(client_session=found["client_session"], reason=found["reason"], time=float(found["time"]))
    except (KeyError, ValueError):
        return Mark(client_session="", reason=f"the mark {path.name!r} cannot be read", time=0.0)
