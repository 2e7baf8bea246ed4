"""The tools: arguments in, a verb called, its answer as plain text out. No logic of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rlm_mcp.errors import QueryError
from rlm_mcp.server.schemas import TOOLS, checked
from rlm_mcp.server.session import SessionFinder
from rlm_mcp.server.status_text import status_text
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from rlm_mcp.verbs.status import status
from rlm_mcp.wiring import Stores

_BY_NAME = {tool.name: tool for tool in TOOLS}


def call(stores: Stores, finder: SessionFinder, name: str, arguments: Mapping[str, Any], thread_id: str) -> str:
    """What the tool answers, over the Session as it is now.

    Raises:
        QueryError: no such tool, or its arguments cannot be.
        RlmError: whatever the verb raises.
    """
    tool = _BY_NAME.get(name)
    if tool is None:
        raise QueryError(f"no tool {name!r}; there are: {', '.join(_BY_NAME)}")
    found = checked(tool, arguments)
    with stores.lend() as store:
        return _ANSWERS[name](store, finder.find(store, thread_id), found)


def _search(store: Store, session: SessionRow, arguments: dict[str, Any]) -> str:
    return search(store, session, **arguments).text


def _read(store: Store, session: SessionRow, arguments: dict[str, Any]) -> str:
    answer = read(store, session, **arguments)
    if answer.next_offset is None and answer.start == 0:
        return f"{answer.text}\n[{answer.note}]" if answer.note else answer.text
    note = f"; {answer.note}" if answer.note else ""
    more = f"; read on with offset={answer.next_offset}" if answer.next_offset is not None else ""
    return f"{answer.text}\n[bytes {answer.start}-{answer.end} of {answer.total_bytes} of {answer.ref}{more}{note}]"


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
