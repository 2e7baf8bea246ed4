"""The Asker of a server, made when somebody is asked: importing what asks takes as long as the whole server's start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import Binding, Handed, called
from rlm_mcp.server.progress import Progress
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lent import LentModel
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.wiring import Stores

if TYPE_CHECKING:
    from rlm_mcp.asker import Asker
    from rlm_mcp.recursion.asking import Asking
    from rlm_mcp.recursion.children import Children

_ASKED_IN_CELLS = ("llm_query", "llm_map")
_ASKED_OF_CHILDREN = ("rlm_query", "give")


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
        cell = _Cell(self.get, session, stop)
        return {
            **{name: partial(cell.ask, name) for name in _ASKED_IN_CELLS},
            **{name: partial(cell.ask_children, name) for name in _ASKED_OF_CHILDREN},
        }

    def close(self) -> None:
        """Close it, if it was made."""
        with self._lock:
            if self._asker is not None:
                self._asker.close()


class _Cell:
    """Whom one Cell asks, within one budget; looked for when it asks first. A Cell calls one function at a time."""

    def __init__(self, asker: Callable[[], Asker], session: SessionRow, stop: Stop) -> None:
        self._asker = asker
        self._session = session
        self._stop = stop
        self._asking: Asking | None = None
        self._children: Children | None = None

    def ask(self, name: str, **arguments: Any) -> JSON | Handed:
        """What the host function of that name says."""
        return called(self._found().bindings(), name, arguments)

    def ask_children(self, name: str, **arguments: Any) -> JSON | Handed:
        """What that function over Runs of their own says."""
        if self._children is None:
            self._children = self._asker().children(self._session, self._found())
        return called(self._children.bindings(), name, arguments)

    def _found(self) -> Asking:
        if self._asking is None:
            self._asking = self._asker().asking(self._session.key, self._stop)
        return self._asking
