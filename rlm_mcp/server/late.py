"""The Asker of a server, made when somebody is asked: importing what asks takes as long as the whole server's start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from rlm_mcp.errors import UsageError
from rlm_mcp.sandbox.repl import Binding, Handed, called
from rlm_mcp.sandbox.wire import JSON
from rlm_mcp.server.progress import Progress
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lent import LentModel
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.wiring import Stores

if TYPE_CHECKING:
    from rlm_mcp.asker import Asker
    from rlm_mcp.recursion.asking import Asking

_ASKED_IN_CELLS = ("llm_query", "llm_map")
_ASKED_IN_RUNS = ("rlm_query", "give")


class LateAsker:
    """Makes the one Asker. Safe to use from any thread."""

    def __init__(self, stores: Stores, lent: LentModel | None = None) -> None:
        """``lent``: where the client's mod may lend its model."""
        self._stores = stores
        self._lent = lent
        self._lock = threading.Lock()
        self._asker: Asker | None = None

    def get(self) -> Asker:
        """It, made now if need be."""
        from rlm_mcp.asker import Asker

        with self._lock:
            if self._asker is None:
                self._asker = Asker(self._stores, lent=self._lent)
            return self._asker

    def ask(
        self, store: Store, session: SessionRow, arguments: Mapping[str, Any], stop: Stop, progress: Progress
    ) -> str:
        """The answer, if it is there soon; else the job. Raises as :meth:`rlm_mcp.asker.Asker.start` does."""
        from rlm_mcp.asker import How
        from rlm_mcp.server.asking_text import job_text

        how = How(
            scope=arguments.get("scope", ""),
            is_summary=arguments.get("mode") == "summary",
            usd=arguments.get("max_usd"),
            seconds=arguments.get("max_seconds"),
        )
        job = self.get().start(store, session, arguments["question"], how, parent=stop)
        progress.follow(job.state)
        return job_text(job.wait(self._stores.settings.ask_wait_seconds))

    def job(self, job_id: str, action: str, progress: Progress) -> str:
        """What became of a job. Raises as :meth:`rlm_mcp.verbs.jobs.Jobs.act` does."""
        from rlm_mcp.server.asking_text import job_text

        asker = self.get()
        progress.follow(lambda: asker.act(job_id, "poll"))
        return job_text(asker.act(job_id, action))

    def working(self) -> AbstractContextManager[None]:
        """Meanwhile, a client that lends its model is kept at hand."""
        return self._lent.working() if self._lent is not None else nullcontext()

    def cell_bindings(self, session: SessionRow, stop: Stop) -> Mapping[str, Binding]:
        """``llm_query`` and its kind for one Cell outside of any Run."""
        cell = _Cell(self.get, session.key, stop)
        return {
            **{name: partial(cell.ask, name) for name in _ASKED_IN_CELLS},
            **dict.fromkeys(_ASKED_IN_RUNS, _not_in_a_run),
        }

    def close(self) -> None:
        """Close it, if it was made."""
        with self._lock:
            if self._asker is not None:
                self._asker.close()


class _Cell:
    """Whom one Cell asks, within one budget; looked for when it asks first."""

    def __init__(self, asker: Callable[[], Asker], session_key: str, stop: Stop) -> None:
        self._asker = asker
        self._session_key = session_key
        self._stop = stop
        self._asking: Asking | None = None

    def ask(self, name: str, **arguments: Any) -> JSON | Handed:
        """What the host function of that name says; a Cell calls one at a time."""
        if self._asking is None:
            self._asking = self._asker().asking(self._session_key, self._stop)
        return called(self._asking.bindings(), name, arguments)


def _not_in_a_run(**_arguments: Any) -> NoReturn:
    raise UsageError("there is no run here to ask another; use llm_query, or ask (the tool, or 'rlm-mcp ask')")
