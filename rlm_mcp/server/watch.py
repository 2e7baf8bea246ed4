"""Tails the transcript while the client works, so that a swap or a question finds it already ingested.

A thread of its own: woken by watchdog when the transcript's folder changes, and every few seconds to reconcile (the
folder may not exist yet, /clear may have begun another file, an event may have been lost).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from rlm_mcp.errors import RlmError
from rlm_mcp.hook.prepare import prepare
from rlm_mcp.repo.shadow import sweep
from rlm_mcp.repo.snapshots import take
from rlm_mcp.store import live, sessions
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.wiring import Stores, repo_of

_log = logging.getLogger("rlm_mcp")

_DEBOUNCE_SECONDS = 0.2
_RECONCILE_SECONDS = 3.0
_SNAPSHOT_SECONDS = 20.0
"""Between two snapshots of the working tree."""
_Signature = tuple[int, int, int]


class Tail:
    """Ingests the transcript that ``where`` names whenever it grows. Errors are logged once and tried again."""

    def __init__(self, stores: Stores, where: Callable[[], Path | None]) -> None:
        self._stores = stores
        self._where = where
        self._woken = threading.Event()
        self._is_stopping = threading.Event()
        self._observer = Observer()
        self._observer.daemon = True
        self._watch: ObservedWatch | None = None
        self._watched: Path | None = None
        self._seen: tuple[Path, _Signature] | None = None
        self._kept_turns, self._kept_time = -1, 0.0
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name="rlm-mcp tail", daemon=True)

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Stop; an ingest under way is waited for at most so long (its transaction is whole either way)."""
        self._is_stopping.set()
        self._woken.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            self._observer.start()
        except OSError as error:
            self._complain(f"the transcript is looked at every {_RECONCILE_SECONDS:g} s only ({error})")
        is_first = True
        while not self._is_stopping.is_set():
            self._woken.clear()
            self._follow()
            if is_first:
                self._tidy()
                is_first = False
            self._woken.wait(_RECONCILE_SECONDS)
            self._is_stopping.wait(_DEBOUNCE_SECONDS if self._woken.is_set() else 0)
        if self._observer.is_alive():
            self._observer.stop()

    def _tidy(self) -> None:
        """Remove what servers and snapshots of long ago have left."""
        paths = self._stores.paths
        try:
            live.tidy(paths, "lend")
            sweep(paths, time.time())
        except (RlmError, OSError) as error:
            self._complain(f"old files were not removed: {error}")

    def _follow(self) -> None:
        """Ingest what is new, if anything; whatever goes wrong is tried again at the next wake."""
        try:
            path = self._where()
            signature = _signature(path) if path is not None else None
            if path is None or signature is None:
                return
            self._observe(path)
            if (path, signature) == self._seen:
                return
            with self._stores.lend() as store:
                ingest(store, path)
                latest = sessions.by_path(store, str(path))[-1:]
                for session in latest:
                    prepare(store, session)
            self._seen = (path, signature)
            for session in latest:
                self._keep_tree(session)
            self._complaint = ""
        except (RlmError, OSError) as error:
            self._complain(f"tailing failed, will try again: {error}")

    def _keep_tree(self, session: SessionRow) -> None:
        """A snapshot of the working tree at each Turn: what ``repo.diff`` in a Cell compares with, later."""
        now = time.time()
        if session.turns == self._kept_turns or now - self._kept_time < _SNAPSHOT_SECONDS:
            return
        repo, _why_not = repo_of(session, self._stores.paths)
        if repo is not None and (repo / ".git").exists():
            self._kept_turns, self._kept_time = session.turns, now
            take(self._stores.paths, repo, now)

    def _observe(self, path: Path) -> None:
        if self._watched == path or not self._observer.is_alive():
            return
        if self._watch is not None:
            self._observer.unschedule(self._watch)
        self._watch = self._observer.schedule(_Waker(path.name, self._woken), str(path.parent))
        self._watched = path

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            _log.warning("%s", complaint)
        self._complaint = complaint


class _Waker(FileSystemEventHandler):
    """Wakes the tail when its file changes."""

    def __init__(self, name: str, woken: threading.Event) -> None:
        self._name = name
        self._woken = woken

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in {"created", "modified", "moved"} and Path(str(event.src_path)).name == self._name:
            self._woken.set()


def _signature(path: Path) -> _Signature | None:
    """Changes whenever the file does; None while it is not there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
