"""A server of the same SDK that does nothing but echo: what any server made with it costs."""

from __future__ import annotations

from typing import Any

import anyio
import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

_ECHO = types.Tool(
    name="echo",
    description="Says it again.",
    input_schema={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
)


async def _list(_context: ServerRequestContext[Any], _params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[_ECHO])


async def _call(_context: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
    said = str((params.arguments or {})["text"])
    return types.CallToolResult(content=[types.TextContent(type="text", text=said)])


async def _serve() -> None:
    server: Server[Any] = Server("echo", on_list_tools=_list, on_call_tool=_call)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(_serve)
