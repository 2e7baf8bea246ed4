"""A tiny stdio MCP server for recordings: ``echo`` repeats its text, ``big`` answers at length, ``broken`` fails."""

from __future__ import annotations

import json
import sys
from typing import Any

_TOOLS = [
    {"name": name, "description": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    for name in ("echo", "big", "broken")
]


def _result(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        version = parameters["protocolVersion"]
        return {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "echo", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": _TOOLS}
    given = parameters.get("arguments") or {}
    texts = {
        "echo": str(given.get("text")),
        "big": "\n".join(f"line {number} {'x' * 60}" for number in range(int(given.get("lines", 1)))),
        "broken": "it is broken",
    }
    name = str(parameters.get("name"))
    return {"content": [{"type": "text", "text": texts.get(name, "")}], "isError": name == "broken"}


def main() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            reply = {"jsonrpc": "2.0", "id": message["id"]}
            reply["result"] = _result(message["method"], message.get("params") or {})
            print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
