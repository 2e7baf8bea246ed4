"""Small JSON files below ``live/``: what short-lived hooks leave for others, even when the database cannot be opened.

Written whole or not at all (a draft, then a rename), readable by their owner alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from rlm_mcp.config import Paths

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,80}")
_KEEP_SECONDS = 60 * 86_400.0
_MAX_FILES = 5_000


def path_of(paths: Paths, kind: str, name: str) -> Path:
    """The file of that kind for a client's id; ids that are no plain words stand there by their hash."""
    plain = name if _PLAIN.fullmatch(name) else "x-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    return paths.live / f"{kind}-{plain}.json"


def leave(paths: Paths, path: Path, content: Mapping[str, object]) -> None:
    """Write ``content``; it replaces what was there.

    Raises:
        OSError: the folder cannot be written.
    """
    for folder in (paths.home, paths.live):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, json.dumps(content).encode())
    finally:
        os.close(descriptor)
    draft.replace(path)


def found(path: Path) -> dict[str, str]:
    """The texts of a file; empty where there is none, or none that can be read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: str(value) for name, value in content.items()} if isinstance(content, dict) else {}


def tidy(paths: Paths, kind: str) -> None:
    """Remove files of a kind that nobody has touched for 60 days."""
    oldest = time.time() - _KEEP_SECONDS
    for path in sorted(paths.live.glob(f"{kind}-*"))[:_MAX_FILES]:
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
