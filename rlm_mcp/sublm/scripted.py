"""A SubLM that answers as it is told: for tests, and for playing a Run again without paying."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from rlm_mcp.errors import SubLMError, SubLMRefused
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.text import estimate_tokens

Said = str | Reply | SubLMError
"""What a script gives: a text, a whole reply, or an error to raise."""
Script = Callable[[Request], Said]


class Scripted:
    """Answers from a list, one after the other, or by a function. Safe to use from any thread."""

    def __init__(
        self, script: Script | Iterable[Said], *, seconds: float = 0.0, name: str = "scripted", model: str = "scripted"
    ) -> None:
        """``seconds``: taken by each answer."""
        self._script = script if callable(script) else None
        self._said: Iterator[Said] = iter(()) if callable(script) else iter(script)
        self._seconds = seconds
        self._name = name
        self._model = model
        self._lock = threading.Lock()
        self.requests: list[Request] = []
        """All that came, in order."""
        self.under_way = 0
        self.most_at_once = 0

    @property
    def name(self) -> str:
        """Of the backend."""
        return self._name

    @property
    def default_model(self) -> str:
        """Asked where a request names none."""
        return self._model

    @property
    def overhead_tokens(self) -> int:
        """It adds nothing."""
        return 0

    def warm(self) -> None:
        """There is nothing to prepare."""

    def complete(self, request: Request, stop: Stop) -> Reply:
        """The next answer, or the function's.

        Raises:
            SubLMError: so the script says.
            SubLMRefused: the list is at its end.
        """
        stop.left(1.0)
        with self._lock:
            self.requests.append(request)
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            said = None if self._script else next(self._said, None)
        try:
            if self._seconds:
                stop.wait(self._seconds)
            if self._script is not None:
                said = self._script(request)
            return self._reply(request, said)
        finally:
            with self._lock:
                self.under_way -= 1

    def close(self) -> None:
        """It holds nothing."""

    def _reply(self, request: Request, said: Said | None) -> Reply:
        if said is None:
            raise SubLMRefused(f"the script has no answer to {request.prompt[:80]!r}; it ended before")
        if isinstance(said, SubLMError):
            raise said
        if isinstance(said, Reply):
            return said
        turns = [text for turn in request.history for text in turn]
        read = sum(map(estimate_tokens, (request.prompt, request.system, request.schema, *turns)))
        usage = Usage(tokens_in=read, tokens_out=estimate_tokens(said))
        return Reply(text=said, usage=usage, model=request.model or self._model)
