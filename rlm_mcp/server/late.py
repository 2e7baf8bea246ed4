"""The Asker of a server, made when somebody is asked: importing what asks takes as long as the whole server's start."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rlm_mcp.sandbox.repl import Binding, Handed, called
from rlm_mcp.sandbox.wire import JSON
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.wiring import Stores

if TYPE_CHECKING:
    from rlm_mcp.asker import Asker

_ASKED_IN_CELLS = ("llm_query", "llm_map")


class LateAsker:
    """Makes the one Asker. Safe to use from any thread."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._lock = threading.Lock()
        self._asker: Asker | None = None

    def get(self) -> Asker:
        """It, made now if need be."""
        from rlm_mcp.asker import Asker

        with self._lock:
            if self._asker is None:
                self._asker = Asker(self._stores)
            return self._asker

    def ask(self, store: Store, session: SessionRow, arguments: Mapping[str, Any], stop: Stop) -> str:
        """The answer, if it is there soon; else the job. Raises as :meth:`rlm_mcp.asker.Asker.start` does."""
        from rlm_mcp.asker import How
        from rlm_mcp.server.asking_text import job_text

        how = How(scope=arguments.get("scope", ""), usd=arguments.get("max_usd"), seconds=arguments.get("max_seconds"))
        job = self.get().start(store, session, arguments["question"], how, parent=stop)
        return job_text(job.wait(self._stores.settings.ask_wait_seconds))

    def job(self, job_id: str, action: str) -> str:
        """What became of a job. Raises as :meth:`rlm_mcp.verbs.jobs.Jobs.act` does."""
        from rlm_mcp.server.asking_text import job_text

        return job_text(self.get().act(job_id, action))

    def cell_bindings(self, session: SessionRow, stop: Stop) -> Mapping[str, Binding]:
        """``llm_query`` and its kind for a Cell outside of any Run."""
        return {name: partial(self._ask, name, session, stop) for name in _ASKED_IN_CELLS}

    def close(self) -> None:
        """Close it, if it was made."""
        with self._lock:
            if self._asker is not None:
                self._asker.close()

    def _ask(self, name: str, session: SessionRow, stop: Stop, **arguments: Any) -> JSON | Handed:
        return called(self.get().asking(session.key, stop).bindings(), name, arguments)
