"""Settings -> opened Stores and live Repls, closed in the end. What server and CLI stand on."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from rlm_mcp.config import Paths, Settings, read_paths, read_settings
from rlm_mcp.errors import JailUnavailable, ReplBusy, ReplGone, RlmError, UsageError
from rlm_mcp.repo.tree import mappable, root_of
from rlm_mcp.sandbox.repl import Binding, Repl
from rlm_mcp.store import sessions
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.bindings import bindings, lent
from rlm_mcp.verbs.repl import DEFAULT_SECONDS, SessionRepl
from rlm_mcp.verbs.repl_answer import ReplAnswer

_log = logging.getLogger("rlm_mcp")

_MOVE_SECONDS = 5.0
"""How long a Cell may go on in the folder that its Session has left."""
_BEHIND_SECONDS = 0.003
"""The answer goes out first, then variables are saved."""
_LOOK_SECONDS = 5.0
"""How often it is looked whether a Repl lies idle."""


class Stores:
    """Opened Stores, each lent to one caller at a time; a Store has one caller, a server has many."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.paths = paths
        self.settings = settings
        self._idle: list[Store] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def lend(self) -> Iterator[Store]:
        """An opened Store for this caller alone; an idle one if there is any.

        Raises:
            StoreError: it cannot be opened.
        """
        with self._lock:
            store = self._idle.pop() if self._idle else None
        if store is None:
            store = open_store(self.paths, self.settings)
        try:
            yield store
        finally:
            with self._lock:
                keep = not self._is_closed
                if keep:
                    self._idle.append(store)
            if not keep:
                store.close()

    def close(self) -> None:
        """Close the idle ones now, and those lent out when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for store in reversed(idle):
            store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A Session's Repl, and what it works on."""

    session: SessionRow
    repl: SessionRepl
    repo: Path | None
    """The repository's folder, where one is mapped."""
    repo_missing: str
    """Why none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What waits for a Session's first Cell."""

    layers: tuple[str, ...]
    """What confines it, in words."""
    repo: Path | None
    """The repository's folder, where one is mapped."""
    repo_missing: str
    """Why none is."""


class Repls:
    """The Repls of a process, one for each Session that ran a Cell; idle ones are parked, one spare is kept warm.

    A thread of its own saves variables after a Cell was answered, parks, and starts the spare.
    """

    def __init__(self, stores: Stores, *, has_spare: bool = True) -> None:
        """``has_spare``: keep one; who runs a few Cells and ends has no use for it."""
        self._stores = stores
        self._has_spare = has_spare
        self._held: dict[str, _Held] = {}
        self._spares: dict[Path | None, Repl] = {}
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._keeper: threading.Thread | None = None
        self._running: list[tuple[object, Stop]] = []
        """Who waits for a Cell, and what ends what the Cell asks of us."""
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def run(
        self,
        store: Store,
        session: SessionRow,
        code: str,
        *,
        timeout_seconds: float = DEFAULT_SECONDS,
        owner: object = None,
        more: Mapping[str, Binding] | None = None,
    ) -> ReplAnswer:
        """Run a Cell of the Session; see :meth:`rlm_mcp.verbs.repl.SessionRepl.run` for what it raises.

        Args:
            owner: who may interrupt it.
            more: host functions beside those over Session, Documents and repository.
        """
        scope = sessions.continued(store, session)
        held = self._of(session)
        stop = Stop(seconds=timeout_seconds)
        made = partial(bindings, scope=scope, repo=held.repo, repo_missing=held.repo_missing, stop=stop)
        functions = {**lent(self._stores.lend, made), **(more or {})}
        self._running.append((owner, stop))
        try:
            answer = held.repl.run(store, scope, code, functions, timeout_seconds=timeout_seconds, owner=owner)
        finally:
            self._running.remove((owner, stop))
        if held.repl.is_due or (self._has_spare and held.repo not in self._spares):
            self._work.put(session.key)
        return answer

    def ready(self, session: SessionRow) -> Ready:
        """Start what will run the Session's first Cell, ahead of it.

        Raises:
            JailUnavailable, ReplGone: see :func:`start_repl`.
        """
        repo, why_not = repo_of(session, self._stores.paths)
        started = self._started(repo)
        with self._lock:
            self._spares[repo] = started
        return Ready(layers=started.layers, repo=repo, repo_missing=why_not)

    def interrupt(self, owner: object = None) -> None:
        """Stop the Cells that were run for ``owner``."""
        for held in list(self._held.values()):
            held.repl.interrupt(owner)
        for other, stop in list(self._running):
            if other is owner:
                stop.now()

    def close(self) -> None:
        """Save what is unsaved and end every process; no Cell runs from then on."""
        self._is_closed = True
        self._work.put(None)
        if self._keeper is not None:
            self._keeper.join()
        for held in list(self._held.values()):
            self._park(held)
            held.repl.close()
        self._end_spares()

    def _of(self, session: SessionRow) -> _Held:
        with self._lock:
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="rlm-mcp repls", daemon=True)
                self._keeper.start()
            held = self._held.get(session.key)
        is_there = held is not None and (held.repo is not None or not Path(session.cwd).is_dir())
        if held is not None and is_there and held.session.cwd == session.cwd:
            return held
        repo, why_not = repo_of(session, self._stores.paths)
        with self._lock:
            before = self._held.get(session.key)
            is_same = before is not None and before.repo == repo
            repl = before.repl if before is not None and is_same else SessionRepl(partial(self._started, repo))
            held = self._held[session.key] = _Held(session=session, repl=repl, repo=repo, repo_missing=why_not)
        if before is not None and not is_same:  # the session works elsewhere now
            self._park(before, patience_seconds=_MOVE_SECONDS)
            before.repl.close()
        return held

    def _started(self, repo: Path | None) -> Repl:
        if self._is_closed:
            raise ReplGone("rlm-mcp is ending; the next server or command brings the variables back")
        with self._lock:
            spare = self._spares.pop(repo, None)
        if spare is not None and spare.is_alive:
            return spare
        return start_repl(self._stores.paths, self._stores.settings, repo)

    def _keep(self) -> None:
        while True:
            try:
                key = self._work.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                for held in list(self._held.values()):
                    self._save(held)
                self._park_idle()
                continue
            if key is None:
                return
            time.sleep(_BEHIND_SECONDS)
            self._save(self._held[key])
            if self._has_spare:
                self._warm(self._held[key].repo)

    def _save(self, held: _Held) -> None:
        if not held.repl.is_due:
            return
        try:
            with self._stores.lend() as store:
                held.repl.save(store, held.session)
        except ReplBusy:
            return  # the next Cell runs already, and is followed by its own saving
        except (RlmError, OSError) as error:
            _log.warning("variables of %s were not saved: %s", held.session.key, error)

    def _warm(self, repo: Path | None) -> None:
        """Have one spare, for the repository that was used last."""
        with self._lock:
            stale = [self._spares.pop(other) for other in list(self._spares) if other != repo]
            is_there = repo in self._spares
        for spare in stale:
            spare.close()
        if is_there:
            return
        try:
            started = start_repl(self._stores.paths, self._stores.settings, repo)
        except (RlmError, OSError) as error:
            _log.warning("no spare Repl: %s", error)
            return
        with self._lock:
            self._spares[repo] = started

    def _park_idle(self) -> None:
        patience = self._stores.settings.repl_idle_seconds
        for held in list(self._held.values()):
            if held.repl.is_live and time.monotonic() - held.repl.used > patience:
                self._park(held)
        if not any(held.repl.is_live for held in self._held.values()):
            self._end_spares()

    def _park(self, held: _Held, *, patience_seconds: float = 0.0) -> None:
        try:
            with self._stores.lend() as store:
                held.repl.park(store, held.session, patience_seconds=patience_seconds)
        except ReplBusy:
            return  # a Cell runs: it is not idle
        except (RlmError, OSError) as error:
            _log.warning("variables of %s were not saved: %s", held.session.key, error)

    def _end_spares(self) -> None:
        with self._lock:
            spares, self._spares = list(self._spares.values()), {}
        for spare in spares:
            spare.close()


def repo_of(session: SessionRow, paths: Paths) -> tuple[Path | None, str]:
    """The repository's folder, if it may be shown to a Jail; or none, and why."""
    folder = Path(session.cwd)
    if not session.cwd or not folder.is_dir():
        return None, f"the session's folder {session.cwd!r} is not there, so no repository is mapped"
    root = root_of(folder)
    try:
        mappable(root, home=Path.home(), store_home=paths.home)
    except UsageError as error:
        return None, str(error)
    return root, ""


def start_repl(paths: Paths, settings: Settings, repo: Path | None) -> Repl:
    """A Repl in the strongest Jail this machine gives; in Monty where it gives none.

    Raises:
        JailUnavailable: there is neither.
        ReplGone: it could not be started.
    """
    from rlm_mcp.sandbox.layers import confinement, survey

    try:
        walls = confinement(survey(), is_unsafe=settings.unsafe_repl_without_jail)
    except JailUnavailable:
        if find_spec("pydantic_monty") is None:
            raise
        from rlm_mcp.sandbox.monty.repl import MontyRepl

        return MontyRepl(repo, memory_bytes=settings.repl_memory_mb << 20)

    from rlm_mcp.sandbox.jail import Jail, Limits
    from rlm_mcp.sandbox.jailed import JailedRepl
    from rlm_mcp.sandbox.mounts import Mapped

    limits = Limits(memory_bytes=settings.repl_memory_mb << 20, open_files=4_096)
    return JailedRepl(Jail.start(Mapped(repo=repo, hidden=(paths.home,)), limits, walls))


def wire(environ: Mapping[str, str] | None = None) -> Stores:
    """Stores below the environment's home, with its settings; nothing is opened yet.

    Raises:
        UsageError: a setting is unknown or out of its limits.
    """
    paths = read_paths(environ)
    return Stores(paths, read_settings(paths, environ))
