"""The MCP server: stdio in, tools called in threads, stdio out. It ends with its client and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

from rlm_mcp import __version__
from rlm_mcp.errors import RlmError
from rlm_mcp.server.incoming import Incoming
from rlm_mcp.server.late import LateAsker
from rlm_mcp.server.lending import Door
from rlm_mcp.server.progress import tell
from rlm_mcp.server.schemas import INSTRUCTIONS, META, TOOLS
from rlm_mcp.server.session import SessionFinder, beside
from rlm_mcp.server.tools import Asked, Tools
from rlm_mcp.server.watch import Tail
from rlm_mcp.sublm.lent import LentModel
from rlm_mcp.text import cut
from rlm_mcp.wiring import Repls, Stores, wire

_log = logging.getLogger("rlm_mcp")

_CALLS_AT_ONCE = 8
_CELLS_AT_ONCE = 16
"""Cells wait in threads of their own, so that the other tools never wait for them."""
_SLOW = frozenset({"ask", "job", "load"})
_MOD = "hooks/lend.js"
_TOLD = frozenset({"ask", "job"})
"""How far they are is told while the client waits."""
_ERROR_CHARS = 4_000
_PARENT_CHECK_SECONDS = 1.0
_END_SECONDS = 5.0
"""The longest that an end in order may take: a client that waits for it kills soon."""
_SWITCH_SECONDS = 0.001
"""A thread that works on what a Cell has printed lets the others go on so soon."""
_UNORDERED = frozenset({"codex-mcp-client"})
"""Clients that send calls of read-only tools in any order, seen with Codex 0.169; those of other tools one by one."""


def build(tools: Tools) -> Server[Any]:
    """The server with its tools; runs on any transport."""
    limiter, cells = anyio.CapacityLimiter(_CALLS_AT_ONCE), anyio.CapacityLimiter(_CELLS_AT_ONCE)
    turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
    """Of each conversation: first come, first served."""

    async def list_tools(
        context: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tool_list(client_name(context)))

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        asked = Asked(name=params.name, arguments=params.arguments or {}, thread_id=thread_id(context.params))
        if asked.name not in _TOLD:
            return await answered(asked)
        async with anyio.create_task_group() as group:
            group.start_soon(tell, context.session, asked.progress)
            result = await answered(asked)
            group.cancel_scope.cancel()
        return result

    async def answered(asked: Asked) -> types.CallToolResult:
        try:
            if asked.name == "repl":  # a reply's Cells come all at once, and each builds on the one before it
                async with turns[asked.thread_id]:
                    text = await anyio.to_thread.run_sync(tools.call, asked, abandon_on_cancel=True, limiter=cells)
            else:
                room = cells if asked.name in _SLOW else limiter
                text = await anyio.to_thread.run_sync(tools.call, asked, abandon_on_cancel=True, limiter=room)
        except RlmError as error:
            return _result(cut(f"{type(error).__name__}: {error}", _ERROR_CHARS), is_error=True)
        except anyio.get_cancelled_exc_class():
            tools.cancel(asked)
            raise
        return _result(text)

    return Server(
        "rlm-mcp",
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def tool_list(client: str = "") -> list[types.Tool]:
    """The tools as the client of that name is told of them."""
    return [
        types.Tool(
            name=tool.name,
            description=tool.description,
            input_schema=tool.schema(),
            annotations=types.ToolAnnotations(
                read_only_hint=tool.is_read_only and not (tool.name == "repl" and client in _UNORDERED),
                destructive_hint=False,
                open_world_hint=tool.reaches_out,
            ),
            _meta=META,
        )
        for tool in TOOLS
    ]


def client_name(context: ServerRequestContext[Any]) -> str:
    """What the client calls itself; empty where it does not say."""
    told = context.session.client_params
    return told.client_info.name if told is not None else ""


def thread_id(params: Any) -> str:
    """Codex's id of the conversation, out of the ``_meta`` of a tools/call; empty from other Clients."""
    meta = params.get("_meta") if params else None
    found = meta.get("threadId") if isinstance(meta, dict) else None
    return found if isinstance(found, str) else ""


def _result(text: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=is_error)


def serve(*, transcript: Path | None = None, repo: Path | None = None) -> NoReturn:
    """Serve on standard input and output until the client closes them or ends, or SIGTERM or SIGHUP comes.

    Raises:
        UsageError: a setting is unknown or out of its limits.
    """
    stores = wire()
    sys.setswitchinterval(_SWITCH_SECONDS)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="rlm-mcp: %(message)s")
    finder = SessionFinder(beside(stores.paths, transcript=transcript, cwd=repo))
    tail = Tail(stores, finder.transcript)
    tail.start()
    door = _lending(stores, finder.parent_id)
    repls, asker = Repls(stores), LateAsker(stores, door.lent if door is not None else None)
    end = _End([asker.close, *([door.shut] if door is not None else []), tail.close, repls.close])
    end.on_signals(is_ours=sys.stdin.isatty())
    threading.Thread(target=_end_with_parent, args=(finder.parent_id, end), name="rlm-mcp parent", daemon=True).start()
    anyio.run(_serve, build(Tools(stores=stores, repls=repls, asker=asker, finder=finder)))
    end.now()


class _End:
    """The end of the server, in order: nothing more is asked and paid, and what runs is noted, saved, ended."""

    def __init__(self, closing: Sequence[Callable[[], None]]) -> None:
        """``closing``: what is to be called, in this order."""
        self._closing = closing
        self._lock = threading.Lock()

    def on_signals(self, *, is_ours: bool) -> None:
        """From now on, end on signals, unless they are ignored (``nohup``).

        Args:
            is_ours: the terminal; of a client's terminal, Ctrl-C goes to all of the group and is meant for the client.
        """
        if not is_ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._told)

    def _told(self, _signal: int, _frame: FrameType | None) -> None:
        threading.Thread(target=self.now, name="rlm-mcp end", daemon=True).start()  # the event loop waits for its input

    def now(self) -> NoReturn:
        """End. Who comes second waits for the first."""
        with self._lock:
            late = threading.Timer(_END_SECONDS, _leave)
            late.daemon = True
            late.start()
            try:
                for close in self._closing:
                    close()
            except (RlmError, OSError) as error:
                _log.warning("not ended in order: %s", error)
            finally:
                _leave()


def _lending(stores: Stores, parent_id: int) -> Door | None:
    """Where our mod comes to, if a Claude Code that has it started this server."""
    plugin = os.environ.get("CLAUDE_PLUGIN_ROOT", "")
    if not plugin or not (Path(plugin) / _MOD).is_file() or stores.settings.sub_backend not in {"auto", "lent"}:
        return None
    try:
        return Door(stores.paths, parent_id, LentModel(model=stores.settings.sub_model))
    except OSError as error:
        _log.warning("the client's model cannot be lent (%s)", error)
        return None


async def _serve(server: Server[Any]) -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(Incoming(incoming, outgoing), outgoing, server.create_initialization_options())


def _end_with_parent(parent_id: int, end: _End) -> None:
    """A client that was killed may leave the pipe open in a child of its own; then only its id tells."""
    while os.getppid() == parent_id:
        time.sleep(_PARENT_CHECK_SECONDS)
    _log.warning("the client is gone")
    end.now()


def _leave() -> NoReturn:
    """End at once. A call still running in a thread has nobody to answer; what it writes is whole or not at all."""
    sys.stderr.flush()
    os._exit(0)
