"""Our server with one more tool, ``echo``, which goes the way of all its tools and answers with its text.

python tests/bench/echo_beside.py TRANSCRIPT
"""

from __future__ import annotations

import sys
from pathlib import Path

from rlm_mcp.server import app
from rlm_mcp.server.schemas import TOOLS, ToolText
from rlm_mcp.server.tools import Asked, Tools

_ECHO = ToolText(name="echo", description="Says it again.", arguments={"text": {"type": "string"}}, required=("text",))


class _WithEcho(Tools):
    def call(self, asked: Asked) -> str:
        return str(asked.arguments["text"]) if asked.name == "echo" else Tools.call(self, asked)


if __name__ == "__main__":
    app.TOOLS = (*TOOLS, _ECHO)
    app.Tools = _WithEcho
    app.serve(transcript=Path(sys.argv[1]))
