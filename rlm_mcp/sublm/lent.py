"""The model of the client we run in, lent by our mod in Claude Code: its own login, no key, no process per request.

The mod (``hooks/lend.js``) takes the requests that wait here, asks ``$.model.complete`` and gives back what came: a
bare completion, without tools, hooks and history. It comes for requests only while one of our tools runs, and goes on
as long as something is :meth:`LentModel.working`.
API: https://code.claude.com/docs/en/plugins/mods/reference, as of Claude Code 2.1.330.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rlm_mcp.errors import SubLMBusy, SubLMError, SubLMRefused, SubLMTimeout, SubLMUnavailable
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.sublm.wording import prompt_with_history, system_with_schema

_DEFAULT_MODEL = "haiku"
_MOST_TOKENS = 64_000
"""The longest reply that the client lets a mod ask for."""
_OVERHEAD_TOKENS = 2_400
"""The client's own words, and 2,048 tokens for thinking, which it adds to the reply's limit."""
_LONGEST_SECONDS = 600.0
_COMES_SECONDS = 2.0
"""How soon the mod comes once a tool is called."""
_GONE_SECONDS = 5.0
"""It comes at least twice a second; when it has not for so long, it is gone."""
_LOOK_SECONDS = 0.25
_TAKE_SECONDS, _IDLE_SECONDS = 0.5, 0.05
"""How long the mod is kept waiting: the client begins no new turn meanwhile."""
_GONE = "the mod of rlm-mcp in Claude Code is gone"
_CURE = "set sub_backend to 'claude', or OPENAI_BASE_URL and a key"


@dataclass(slots=True, kw_only=True)
class _Asked:
    """A request that waits for its reply."""

    request: Request
    seconds: float
    over: threading.Event = field(default_factory=threading.Event)
    """Set when ``told`` is there, and when nobody waits any more."""
    is_taken: bool = False
    told: Mapping[str, Any] | None = None


class LentModel:
    """A SubLM behind the mod. Safe to use from any thread."""

    def __init__(self, *, model: str = "") -> None:
        """``model``: asked where a request names none; a name of the client's, such as ``haiku``."""
        self._model = model or _DEFAULT_MODEL
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._waiting: list[int] = []
        self._left: list[int] = []
        """Taken, and nobody waits for them any more."""
        self._working = 0
        self._inside = 0
        """Calls of :meth:`take` under way."""
        self._last_seen: float | None = None

    @property
    def name(self) -> str:
        """Of the backend."""
        return "lent"

    @property
    def default_model(self) -> str:
        """Asked where a request names none."""
        return self._model

    @property
    def overhead_tokens(self) -> int:
        """The client's own."""
        return _OVERHEAD_TOKENS

    def warm(self) -> None:
        """The mod comes by itself."""

    def comes(self, seconds: float = _COMES_SECONDS) -> bool:
        """Whether the mod is there; waits so long for it to come."""
        with self._changed:
            return self._changed.wait_for(self._is_near, seconds)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Meanwhile the mod is wanted: something runs that may ask."""
        with self._changed:
            self._working += 1
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def complete(self, request: Request, stop: Stop) -> Reply:
        """Ask; see the Protocol for what is raised."""
        if not request.prompt.strip():
            raise SubLMRefused("the prompt is empty; ask something")
        seconds = stop.left(_LONGEST_SECONDS)
        if not self.comes(min(seconds, _COMES_SECONDS)):
            raise SubLMUnavailable(f"{_GONE}; {_CURE}")
        asked = _Asked(request=request, seconds=stop.left(seconds))
        with self._changed:
            number = next(self._numbers)
            self._asked[number] = asked
            self._waiting.append(number)
            self._changed.notify_all()
        try:
            with stop.waking(asked.over.set):
                told = self._told(asked, stop)
        finally:
            self._forget(number, asked)
        return self._reply(request, told)

    def close(self) -> None:
        """It holds nothing; a mod that waits is let go."""
        with self._changed:
            self._changed.notify_all()

    def take(self) -> dict[str, Any]:
        """For the mod: what is to be asked, what is to be ended, and whether all is over. Waits up to half a second.

        Returns:
            As JSON: ``{"requests": [{id, model, prompt, system, maxTokens, timeoutMs}], "ended": [id], "isOver"}``.
        """
        with self._changed:
            self._inside += 1
            self._changed.notify_all()
            try:
                wait_seconds = _TAKE_SECONDS if self._working else _IDLE_SECONDS
                was_working = self._working > 0
                self._changed.wait_for(
                    lambda: self._waiting or self._left or (was_working and not self._working), wait_seconds
                )
                return self._taken()
            finally:
                self._inside -= 1
                self._last_seen = time.monotonic()

    def give(self, told: Mapping[str, Any]) -> None:
        """From the mod: what ``$.model.complete`` gave for a request, and its ``id``; dropped if nobody awaits it."""
        with self._changed:
            asked = self._asked.get(told.get("id", 0))
            if asked is not None:
                asked.told = told
                asked.over.set()

    def _is_near(self) -> bool:
        seen = self._last_seen
        return self._inside > 0 or (seen is not None and time.monotonic() - seen < _GONE_SECONDS)

    def _taken(self) -> dict[str, Any]:
        waiting, self._waiting = self._waiting, []
        ended, self._left = self._left, []
        requests = []
        for number in waiting:
            asked = self._asked[number]
            asked.is_taken = True
            requests.append(
                {
                    "id": number,
                    "model": asked.request.model or self._model,
                    "prompt": prompt_with_history(asked.request),
                    "system": system_with_schema(asked.request),
                    "maxTokens": min(asked.request.max_tokens, _MOST_TOKENS),
                    "timeoutMs": max(1, int(asked.seconds * 1_000)),
                }
            )
        return {"requests": requests, "ended": ended, "isOver": not self._working and not requests}

    def _told(self, asked: _Asked, stop: Stop) -> Mapping[str, Any]:
        """What the mod gave, when it has.

        Raises:
            SubLMTimeout, Cancelled: it was ended before.
            SubLMBusy: the mod took it, and is gone.
            SubLMUnavailable: nobody took it.
        """
        while not asked.over.wait(stop.left(_LOOK_SECONDS)):
            with self._changed:
                is_near = self._is_near()
            if not is_near and asked.told is None:
                if asked.is_taken:
                    raise SubLMBusy(f"{_GONE} with the request", may_be_charged=True)
                raise SubLMUnavailable(f"{_GONE}; {_CURE}")
        if asked.told is None:
            stop.left(1.0)
            raise SubLMTimeout("the time is over")
        return asked.told

    def _forget(self, number: int, asked: _Asked) -> None:
        with self._changed:
            del self._asked[number]
            if number in self._waiting:
                self._waiting.remove(number)
            elif asked.told is None:
                self._left.append(number)
                self._changed.notify_all()

    def _reply(self, request: Request, told: Mapping[str, Any]) -> Reply:
        model = request.model or self._model
        usage = _usage(told.get("usage"))
        text = told.get("text")
        is_cut = usage.tokens_out >= min(request.max_tokens, _MOST_TOKENS)  # the client does not say
        if told.get("isAnswered") is True and isinstance(text, str):
            return Reply(text=text, usage=usage, model=model, is_cut=is_cut)
        if told.get("reason") == "empty-reply":
            return Reply(text="", usage=usage, model=model, is_cut=is_cut)
        raise _error(model, told)


def _error(model: str, told: Mapping[str, Any]) -> SubLMError:
    """What a reason of the client means."""
    reason, status = told.get("reason"), told.get("status")
    said = " ".join(str(told.get("error") or reason).split())[:300]
    if reason == "aborted":
        return SubLMBusy("Claude Code ended the request", may_be_charged=True)
    if reason != "api-error":
        return SubLMRefused(f"Claude Code refuses to ask {model!r} ({said}); set sub_model to a model it offers")
    if status in {401, 403}:
        return SubLMUnavailable(f"Claude Code is not logged in ({status}, {said}); log in with /login")
    if status is None or status in {408, 409, 429} or (isinstance(status, int) and status >= 500):
        return SubLMBusy(f"Claude Code got no answer from {model!r} ({status}, {said})")
    return SubLMRefused(f"Claude Code was refused by {model!r} ({status}, {said}); ask otherwise, or set sub_model")


def _usage(told: Any) -> Usage:
    """As the client counted it: what the prompt cache served or kept was read too."""
    told = told if isinstance(told, dict) else {}

    def count(name: str) -> int:
        found = told.get(name, 0)
        return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else 0

    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return Usage(tokens_in=sum(map(count, read)), tokens_out=count("output_tokens"))
