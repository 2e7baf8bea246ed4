"""Which Session a server stands beside: found anew at each call, because /clear and resume change it.

Sources (both seen with the real clients): Codex puts ``threadId`` into the ``_meta`` of each tools/call; Claude Code
starts the server with ``CLAUDE_CODE_SESSION_ID`` and ``CLAUDE_CONFIG_DIR``, and our SessionStart hook leaves
``live/<client>-<client's process id>.json`` = ``{"session", "transcript", "cwd"}``, which also follows /clear.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.config import Paths
from rlm_mcp.errors import SessionNotFound, TranscriptMissing
from rlm_mcp.events import Client
from rlm_mcp.store import live
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.locate import Unchanged, locate

_THREAD = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]")
_STALE_SECONDS = 60.0
_UNWRITTEN_SECONDS = 1.0
"""How long a client may take to write what it has named: it begins the file as it sends its first request."""
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Where the server was started: by whom, in which folder, for which file."""

    paths: Paths
    environ: Mapping[str, str]
    parent_id: int
    cwd: Path
    transcript: Path | None = None
    """Named by the user: no other Session is looked for."""
    started: float = 0.0
    """Seconds since the epoch."""


def beside(paths: Paths, *, transcript: Path | None = None, cwd: Path | None = None) -> Beside:
    """Of this process, now."""
    return Beside(
        paths=paths,
        environ=dict(os.environ),
        parent_id=os.getppid(),
        cwd=cwd or Path.cwd(),
        transcript=transcript,
        started=time.time(),
    )


class SessionFinder:
    """Finds the Session of each call, and the transcript to tail between calls."""

    def __init__(self, where: Beside) -> None:
        self._where = where
        self._rollouts: dict[str, Path] = {}
        self._last_thread = ""
        self._known = Unchanged()

    @property
    def parent_id(self) -> int:
        """Process id of the Client."""
        return self._where.parent_id

    def find(self, store: Store, thread_id: str = "") -> SessionRow:
        """The Session of a call, with all that its transcript holds by now ingested.

        Args:
            thread_id: Codex's id from the call's ``_meta``; empty from other Clients.

        Raises:
            SessionNotFound: no transcript and nothing in the store for this folder.
            TranscriptError, StoreError: the transcript was found, but cannot be read or stored.
        """
        transcript = self.transcript(thread_id)
        if transcript is not None:
            return self._located(store, transcript)
        try:
            return locate(store, session=thread_id) if thread_id else locate(store, cwd=str(self._where.cwd))
        except SessionNotFound as error:
            raise SessionNotFound(
                f"no session of {str(self._where.cwd)!r} is known yet. In Claude Code or Codex: run 'rlm-mcp install' "
                "and restart the client. For another file: 'rlm-mcp serve --transcript FILE'"
            ) from error

    def _located(self, store: Store, transcript: Path) -> SessionRow:
        """The Session of a transcript; one that the client is just beginning to write is waited for a little."""
        deadline = time.monotonic() + _UNWRITTEN_SECONDS
        while True:
            try:
                return self._known.locate(store, transcript)
            except (SessionNotFound, TranscriptMissing):
                if self._where.transcript is not None or time.monotonic() >= deadline:
                    raise
                time.sleep(_LOOK_SECONDS)

    def transcript(self, thread_id: str = "") -> Path | None:
        """The transcript of a call, or (without an id) the one that is being written now; None where nobody says."""
        if self._where.transcript is not None:
            return self._where.transcript
        if thread_id:
            self._last_thread = thread_id
        if self._last_thread:
            return self._rollout(self._last_thread)
        return self._live() or self._claude()

    def _rollout(self, thread_id: str) -> Path | None:
        known = self._rollouts.get(thread_id)
        if known is None and _THREAD.fullmatch(thread_id):
            home = Path(self._where.environ.get("CODEX_HOME") or self._home() / ".codex")
            found = sorted((home / "sessions").glob(f"**/rollout-*{thread_id}.jsonl"))
            known = found[-1] if found else None
            if known is not None:
                self._rollouts[thread_id] = known
        return known

    def _live(self) -> Path | None:
        """What the SessionStart hook of our Client left, unless an older process of that id left it."""
        for client in Client:
            path = live.path_of(self._where.paths, client, str(self._where.parent_id))
            transcript = live.found(path).get("transcript", "")
            if transcript and not (self._is_older(path) and self._claude() is not None):
                return Path(transcript)
        return None

    def _is_older(self, path: Path) -> bool:
        return path.stat().st_mtime < self._where.started - _STALE_SECONDS

    def _claude(self) -> Path | None:
        session = self._where.environ.get("CLAUDE_CODE_SESSION_ID", "")
        if not _THREAD.fullmatch(session):
            return None
        projects = Path(self._where.environ.get("CLAUDE_CONFIG_DIR") or self._home() / ".claude") / "projects"
        folder = self._where.environ.get("CLAUDE_PROJECT_DIR") or str(self._where.cwd)
        expected = projects / _NOT_ALPHANUMERIC.sub("-", folder) / f"{session}.jsonl"
        if expected.is_file():
            return expected
        found = sorted(projects.glob(f"*/{session}.jsonl"))
        return found[0] if found else expected

    def _home(self) -> Path:
        return Path(self._where.environ.get("HOME") or Path.home())
