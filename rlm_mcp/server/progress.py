"""How far a question is, told while the client waits for it: MCP progress, where the client asked to be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
from mcp.server.session import ServerSession

if TYPE_CHECKING:
    from rlm_mcp.verbs.jobs import JobState

_EVERY_SECONDS = 1.0


class Progress:
    """What a call that takes long has to tell. Set by its thread, read by the event loop."""

    def __init__(self) -> None:
        self._state: Callable[[], JobState] | None = None

    def follow(self, state: Callable[[], JobState]) -> None:
        """From now on, tell of this job. ``state`` must not wait."""
        self._state = state

    def told(self) -> tuple[float, str] | None:
        """Seconds since the job began, and in words what it has spent; None where nothing runs."""
        state = self._state() if self._state is not None else None
        if state is None or state.is_over:
            return None
        return state.seconds, f"{state.id}: {state.seconds:.0f} s; {state.told}"


async def tell(session: ServerSession, progress: Progress) -> None:
    """Tell each second, until cancelled. Nothing is sent to a client that gave no token for it."""
    while True:
        await anyio.sleep(_EVERY_SECONDS)
        told = progress.told()
        if told is not None:
            seconds, message = told
            await session.report_progress(seconds, message=message)
