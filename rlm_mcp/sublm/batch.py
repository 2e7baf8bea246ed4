"""Questions that are under way together: many of one batch, or one that several ask at the same time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

from rlm_mcp.errors import BudgetExceeded, Cancelled, SubLMError
from rlm_mcp.sublm.lm import Stop

_Answer = TypeVar("_Answer")


class Batch(Generic[_Answer]):
    """Questions that are taken one after the other by several threads."""

    def __init__(self, length: int, stop: Stop) -> None:
        self.found: list[_Answer | BudgetExceeded | SubLMError | None] = [None] * length
        self.stop = stop
        self.over: BudgetExceeded | SubLMError | None = None
        """Why no more is asked."""
        self._next = itertools.count()

    def numbers(self) -> Iterator[int]:
        """The next one each, until there are no more or it is over."""
        while self.over is None and not self.stop.is_told:
            number = next(self._next)
            if number >= len(self.found):
                return
            yield number

    def answers(self) -> list[_Answer | BudgetExceeded | SubLMError]:
        """In order; why it was over in the place of what was not asked."""
        missing = self.over or Cancelled("cancelled")
        return [missing if one is None else one for one in self.found]


def landed(flight: Future[_Answer], stop: Stop) -> None:
    """Wait until the other one's flight is over.

    Raises:
        SubLMBusy, SubLMRefused: so it ended; asking the same again would end as it did.
        Cancelled, SubLMTimeout: it is not waited for any more.
    """
    over = threading.Event()
    flight.add_done_callback(lambda _flight: over.set())
    with stop.waking(over.set):
        while not over.wait(stop.left(60.0)):
            continue
    stop.left(1.0)
    if not flight.cancelled():
        flight.result()
