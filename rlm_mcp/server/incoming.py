"""What a client sends, with an answer where it is no message: the SDK gives none, and the client would wait for it."""

from __future__ import annotations

import json
import re
from contextvars import Context
from types import TracebackType
from typing import Any, Self

import mcp_types as types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

_HALF = re.compile(r"[\ud800-\udfff]")


class Incoming:
    """A stream of messages, in place of the SDK's own."""

    def __init__(self, lines: Any, outgoing: Any) -> None:
        """The SDK's streams, as ``stdio_server`` gives them."""
        self._lines = lines
        self._outgoing = outgoing

    @property
    def last_context(self) -> Context | None:
        """Of whoever sent the last message."""
        return getattr(self._lines, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message; what is none is answered, if somebody waits."""
        async for item in self._lines:
            refused = refusal(item) if isinstance(item, ValidationError) else None
            if refused is None:
                return item  # type: ignore[no-any-return]  # the SDK's
            await self._outgoing.send(SessionMessage(refused))
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it."""
        await self._lines.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return await self.receive()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def refusal(error: ValidationError) -> types.JSONRPCError | None:
    """What to answer to a line that is JSON and yet no message; None where nobody is known to wait."""
    wrong = error.errors(include_url=False, include_context=False)[0]
    try:
        found = json.loads(wrong["input"]) if isinstance(wrong["input"], str) else None
    except (ValueError, RecursionError):
        return None
    waits = found.get("id") if isinstance(found, dict) and "method" in found else None
    if not isinstance(waits, str | int) or isinstance(waits, bool):
        return None
    half = _HALF.search(json.dumps(found, ensure_ascii=False))
    why = (
        f"{half[0]!r} is half a character (a lone surrogate), which UTF-8 cannot hold; leave it out"
        if half is not None
        else str(wrong["msg"])
    )
    return types.JSONRPCError(
        jsonrpc="2.0", id=waits, error=types.ErrorData(code=types.PARSE_ERROR, message=f"no message: {why}")
    )
