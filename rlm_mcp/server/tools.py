"""The tools: arguments in, a verb called, its answer as plain text out. No logic of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlm_mcp.errors import QueryError
from rlm_mcp.server.late import LateAsker
from rlm_mcp.server.progress import Progress
from rlm_mcp.server.schemas import TOOLS, checked
from rlm_mcp.server.session import SessionFinder
from rlm_mcp.server.status_text import status_text
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.load import load
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.repl import DEFAULT_SECONDS
from rlm_mcp.verbs.search import search
from rlm_mcp.verbs.status import status
from rlm_mcp.wiring import Repls, Stores

_BY_NAME = {tool.name: tool for tool in TOOLS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call of a tool."""

    name: str
    arguments: Mapping[str, Any]
    thread_id: str = ""
    """Codex's id of the conversation."""
    stop: Stop = field(default_factory=Stop, compare=False)
    """Told when nobody waits for the answer any more."""
    progress: Progress = field(default_factory=Progress, compare=False)
    """Followed by the client while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the tools work with."""

    stores: Stores
    repls: Repls
    asker: LateAsker
    finder: SessionFinder

    def call(self, asked: Asked) -> str:
        """What the tool answers, over the Session as it is now.

        Raises:
            QueryError: no such tool, or its arguments cannot be.
            RlmError: whatever the verb raises.
        """
        tool = _BY_NAME.get(asked.name)
        if tool is None:
            raise QueryError(f"no tool {asked.name!r}; there are: {', '.join(_BY_NAME)}")
        found = checked(tool, asked.arguments)
        with self.stores.lend() as store:
            session = self.finder.find(store, asked.thread_id)
            if asked.name == "job":
                return self.asker.job(found["id"], found.get("action", "wait"), asked.progress)
            if asked.name == "ask":
                return self.asker.ask(store, session, found, asked.stop, asked.progress)
            if asked.name == "repl":
                stop = Stop(seconds=found.get("timeout_seconds", DEFAULT_SECONDS), parent=asked.stop)
                more = self.asker.cell_bindings(session, stop)
                with self.asker.working():
                    return self.repls.run(store, session, owner=asked, more=more, **found).text
            if asked.name == "load":
                return load(store, session, **found, stop=asked.stop.event).text
            return _ANSWERS[asked.name](store, session, found)

    def cancel(self, asked: Asked) -> None:
        """Nobody waits for the answer any more: a Cell, Run or load is stopped, all else is quick."""
        self.repls.interrupt(asked)
        asked.stop.now()


def _search(store: Store, session: SessionRow, arguments: dict[str, Any]) -> str:
    return search(store, session, **arguments).text


def _read(store: Store, session: SessionRow, arguments: dict[str, Any]) -> str:
    answer = read(store, session, **arguments)
    if answer.next_offset is None and answer.start == 0:
        return answer.text
    more = f"; read on with offset={answer.next_offset}" if answer.next_offset is not None else ""
    return f"{answer.text}\n[bytes {answer.start}-{answer.end} of {answer.total_bytes} of {answer.ref}{more}]"


def _brief(store: Store, session: SessionRow, arguments: dict[str, Any]) -> str:
    return brief(store, session, **arguments).text


def _status(store: Store, session: SessionRow, _arguments: dict[str, Any]) -> str:
    return status_text(status(store, session))


_ANSWERS: dict[str, Callable[[Store, SessionRow, dict[str, Any]], str]] = {
    "search": _search,
    "read": _read,
    "brief": _brief,
    "status": _status,
}
