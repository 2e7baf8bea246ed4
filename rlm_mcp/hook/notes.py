"""An MCP server named ``notes``: Codex asks its tool ``thread_hint`` for a text whenever it opens a new window.

Codex calls no SessionStart hook when a *sub-agent's* window is replaced, and with ``token_budget`` the new window holds
not even the task. ``thread_hint`` is asked there too, by ``_meta.threadId``, before the replacement is written down;
the text stands in the new window (seen with 0.169; undocumented). Main threads get an empty text: their hook speaks.

Standard library alone, so that it costs a session next to nothing. JSON-RPC 2.0, one object per line
(https://modelcontextprotocol.io/specification/2025-06-18/basic/transports). Run as ``python -m rlm_mcp.hook.notes``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlm_mcp.config import read_paths, read_settings
from rlm_mcp.errors import RlmError
from rlm_mcp.events import Client
from rlm_mcp.hook.handlers import AddContext, decide
from rlm_mcp.hook.payloads import HookCall, Moment
from rlm_mcp.store import degraded
from rlm_mcp.store.database import open_store

_THREAD = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HEAD_BYTES = 1 << 20
_TOOL = {
    "name": "thread_hint",
    "description": "For the client alone: what a sub-agent's new window needs to know. Never call it yourself.",
    "inputSchema": {"type": "object", "properties": {}},
    "annotations": {"readOnlyHint": True},
}


def main() -> None:
    """Answer requests until the client closes the input."""
    for line in sys.stdin:
        reply = answer(line, os.environ)
        if reply:
            sys.stdout.write(reply + "\n")
            sys.stdout.flush()


def answer(line: str, environ: Mapping[str, str]) -> str:
    """The reply to one message; empty for those that want none."""
    try:
        asked = json.loads(line)
    except ValueError:
        return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "not JSON"}})
    if not isinstance(asked, dict) or "id" not in asked or "method" not in asked:
        return ""
    given = asked.get("params")
    parameters = given if isinstance(given, dict) else {}
    return json.dumps({"jsonrpc": "2.0", "id": asked["id"], **_reply(str(asked["method"]), parameters, environ)})


def _reply(method: str, parameters: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    match method:
        case "initialize":
            version = parameters.get("protocolVersion", "2025-06-18")
            server = {"name": "rlm-mcp notes", "version": "1"}
            return {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}}
        case "ping":
            return {"result": {}}
        case "tools/list":
            return {"result": {"tools": [_TOOL]}}
        case "tools/call":
            return {"result": {"content": [{"type": "text", "text": _hint(parameters, environ)}]}}
        case _:
            return {"error": {"code": -32601, "message": f"no method {method!r}"}}


def _hint(parameters: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    told = parameters.get("_meta")
    thread = str(told.get("threadId", "")) if isinstance(told, dict) else ""
    if parameters.get("name") != "thread_hint" or not _THREAD.fullmatch(thread) or environ.get("RLM_MCP_SUBCALL"):
        return ""
    rollout = _rollout(thread, environ)
    if rollout is None or not has_worked_as_sub_agent(rollout):
        return ""
    paths = read_paths(environ)
    call = HookCall(
        client=Client.CODEX,
        moment=Moment.SESSION_START,
        session=thread,
        transcript=str(rollout),
        source="compact",
    )
    try:
        settings = read_settings(paths, environ)
        with open_store(paths, settings, busy_seconds=settings.hook_seconds) as store:
            decision = decide(call, store)
    except (RlmError, OSError) as error:
        with contextlib.suppress(OSError):  # the store's folder may be what is broken
            degraded.mark(paths, thread, f"thread_hint: {error}", time.time())
        return ""
    return decision.text if isinstance(decision, AddContext) else ""


def _rollout(thread: str, environ: Mapping[str, str]) -> Path | None:
    home = Path(environ.get("CODEX_HOME") or Path(environ.get("HOME") or Path.home()) / ".codex")
    found = sorted((home / "sessions").glob(f"**/rollout-*{thread}.jsonl"))
    return found[-1] if found else None


def has_worked_as_sub_agent(rollout: Path) -> bool:
    """Whether the thread was sent by another, and did something already: then this is not its first window.

    Raises:
        OSError: the file cannot be read.
    """
    with rollout.open("rb") as file:
        first = file.readline(_HEAD_BYTES)
        return b'"parent_thread_id"' in first and any(map(_is_work, file))


def _is_work(line: bytes) -> bool:
    return b'"response_item"' in line and (b'_call"' in line or b'"assistant"' in line)


if __name__ == "__main__":
    main()
