"""Degraded Sessions: marks left by a hook that failed, taken away by the Session's next successful ingest.

One small JSON file per Session below ``live/``, so that a mark can be left even when the database cannot be opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.config import Paths

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,80}")
_MAX_MARKS = 1000
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
    paths.live.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"client_session": client_session, "reason": reason[:_MAX_REASON_CHARS], "time": time}
    target = _path(paths, client_session)
    draft = target.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, json.dumps(content).encode())
    finally:
        os.close(descriptor)
    draft.replace(target)


def read(paths: Paths) -> tuple[Mark, ...]:
    """The marks, newest first (at most 1,000). A mark that cannot be read counts as one without a reason."""
    found = [_read(path) for path in sorted(paths.live.glob("degraded-*.json"))[:_MAX_MARKS]]
    return tuple(sorted(found, key=lambda each: each.time, reverse=True))


def clear(paths: Paths, client_session: str) -> None:
    """Take the Session's mark away, if it has one; a mark that names no Session goes too."""
    for name in {client_session, ""}:
        with contextlib.suppress(FileNotFoundError):
            _path(paths, name).unlink()


def _path(paths: Paths, client_session: str) -> Path:
    plain = _PLAIN.fullmatch(client_session) is not None
    digest = hashlib.sha256(client_session.encode("utf-8", "replace")).hexdigest()
    name = client_session if plain else f"x-{digest[:16]}"
    return paths.live / f"degraded-{name}.json"


def _read(path: Path) -> Mark:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Mark(client_session=str(found["client_session"]), reason=str(found["reason"]), time=float(found["time"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Mark(client_session="", reason=f"unreadable mark {path.name!r}", time=0.0)
