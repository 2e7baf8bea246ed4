"""Asking another model: the records, the errors, and the Protocol that every backend fulfils.

A SubLM takes one prompt and gives one text, or raises. It knows no budget, no cache and no retries: those are
``metered.py``'s. It ends when told to, by its deadline or by whoever called it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rlm_mcp.errors import Cancelled, SubLMTimeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a model."""

    prompt: str
    model: str = ""
    """As the backend names it; empty for its own default."""
    system: str = ""
    max_tokens: int = 2_048
    """Of the reply."""
    temperature: float | None = None
    history: tuple[tuple[str, str], ...] = ()
    """Earlier turns, the oldest first: (prompt, reply)."""
    schema: str = ""
    """JSON schema of the reply, as JSON text; empty for free text. A backend that cannot enforce it may ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, as the endpoint counted them."""

    tokens_in: int = 0
    tokens_out: int = 0
    is_estimate: bool = False
    """The endpoint did not say; estimated from the texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model answered."""

    text: str
    usage: Usage
    model: str
    """That answered."""
    usd: float | None = None
    """Where the backend itself names its price."""
    is_cut: bool = False
    """It ran into ``max_tokens``."""
    refusal: str = ""
    """Why there is no text, in the words of the model or its endpoint. A reply without text costs all the same."""
    instead: str = ""
    """What came in the place of a text, where there is none and nothing was refused."""


class Stop:
    """When to end: at a deadline, or as soon as someone says so. For any thread; made from another, it ends with it."""

    def __init__(self, *, seconds: float | None = None, parent: Stop | None = None) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], None]] = []
        self._parent = parent
        self._children: weakref.WeakSet[Stop] = weakref.WeakSet()
        own = None if seconds is None else time.monotonic() + seconds
        known = [moment for moment in (own, parent.deadline if parent is not None else None) if moment is not None]
        self.deadline: float | None = min(known, default=None)
        """By ``time.monotonic()``; None for none."""
        if parent is not None:
            parent.adopt(self)

    @property
    def event(self) -> threading.Event:
        """Set as soon as it is told."""
        return self._event

    @property
    def is_told(self) -> bool:
        """Someone said so."""
        return self._event.is_set()

    def now(self) -> None:
        """End now; every waker is called once, in this thread."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            for wake in self._wakers:
                wake()
            children = list(self._children)
        for child in children:
            child.now()

    def left(self, most: float) -> float:
        """Seconds left, at most ``most``.

        Raises:
            Cancelled: it was told.
            SubLMTimeout: the deadline has passed.
        """
        if self.is_told:
            raise Cancelled("cancelled")
        if self.deadline is None:
            return most
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise SubLMTimeout("the time is over")
        return min(most, left)

    def wait(self, seconds: float) -> None:
        """Wait so long, or until told; raises as :meth:`left` does."""
        self._event.wait(self.left(seconds))
        self.left(seconds)

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Meanwhile, and never after, ``wake`` is called when it is told (at once, if it was already).

        ``wake`` must neither block nor use this Stop.
        """
        with self._lock:
            self._wakers.append(wake)
            if self._event.is_set():
                wake()
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)

    def adopt(self, child: Stop) -> None:
        """From now on, the child ends with this one. Only for children that are being made."""
        with self._lock:
            self._children.add(child)
            is_late = self._event.is_set()
        if is_late:
            child.now()


class SubLM(Protocol):
    """A model that can be asked."""

    @property
    def name(self) -> str:
        """Of the backend and where it is: ``openai https://...``, ``claude``; part of the cache's key."""

    @property
    def default_model(self) -> str:
        """The model that is asked where a request names none."""

    @property
    def overhead_tokens(self) -> int:
        """What it adds to every prompt, at most."""

    def warm(self) -> None:
        """Begin with what takes long before the first request, without waiting for it. Sends nothing."""

    def complete(self, request: Request, stop: Stop) -> Reply:
        """Ask, in one request.

        Raises:
            SubLMBusy: refused for now (429, 5xx, no connection): worth another try; says when, where it knows.
            SubLMRefused: refused for good (key, model, prompt): no other try would help.
            SubLMUnavailable: it is not set up as it must be: not installed, no key, no login.
            SubLMTimeout, Cancelled: it was ended. Nothing is sent any more then.
        """

    def close(self) -> None:
        """Give back what it holds."""
