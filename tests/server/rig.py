"""Starts the real server as a client would, and speaks MCP with it."""

import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

ROOT = Path(__file__).parent.parent.parent
DEADLINE_SECONDS = 30.0


def environment(**more: str) -> dict[str, str]:
    """Of a server process: this process's, without what a real client may have left in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "CODEX"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@asynccontextmanager
async def serving(
    *arguments: str, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[ClientSession]:
    """An initialised MCP session with ``rlm-mcp serve ARGUMENTS``."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "rlm_mcp", "serve", *arguments],
        env=dict(environ or environment()),
        cwd=cwd,
    )
    async with (
        stdio_client(parameters) as (incoming, outgoing),
        ClientSession(incoming, outgoing) as session,
    ):
        await session.initialize()
        yield session


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread or process does; fails after a generous while."""
    pause = threading.Event()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.02)
