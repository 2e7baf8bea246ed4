"""Whether what a Run may spend is reached, and what all Runs of one question share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rlm_mcp.errors import BudgetExceeded, Cancelled, RlmError, SubLMRefused, SubLMTimeout
from rlm_mcp.recursion.children import AT_ONCE
from rlm_mcp.recursion.conversation import Tally
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Stop

_INSISTED = 3
"""Calls behind a limit, after which the Cell is interrupted: it swallows what it is told."""
_LOOK_SECONDS = 0.05


class Limit:
    """What one Run has reached: then it has no answer, whatever its Cells make of it."""

    def __init__(self, own_model: Callable[[], str]) -> None:
        """``own_model``: whom Cells ask where they name nobody; only looked at when a model refuses everything."""
        self._own_model = own_model
        self.error: RlmError | None = None
        """What was reached first: money, calls, tokens, time; or that it was cancelled, or has no model to ask."""
        self.depth: BudgetExceeded | None = None
        """The running Cell asked for a Run below, and there may be none."""
        self.insists = threading.Event()
        """The running Cell goes on asking behind a limit."""
        self._depth_cells = 0
        self._calls_after = 0

    def hit(self, error: RlmError) -> None:
        """Note it."""
        if isinstance(error, BudgetExceeded) and error.limit == "depth":
            self.depth = error
        elif self.error is None:
            self.error = error

    def failed(self, error: RlmError, *, is_last: bool) -> None:
        """A question failed so; note it where no other could be answered.

        Args:
            is_last: the Cell's time is the Run's.
        """
        is_limit = isinstance(error, BudgetExceeded | Cancelled) or (isinstance(error, SubLMTimeout) and is_last)
        if is_limit or (isinstance(error, SubLMRefused) and error.model and error.model == self._own_model()):
            self.hit(error)

    def called(self) -> None:
        """The Cell asks for something."""
        if self.error is not None:
            self._calls_after += 1
            if self._calls_after >= _INSISTED:
                self.insists.set()

    def begin_cell(self) -> None:
        """Another Cell runs from now on."""
        self.depth = None

    def over(self) -> RlmError | None:
        """What ends the Run behind this Cell; depth does when it is reached in a second Cell."""
        self._depth_cells += self.depth is not None
        return self.error or (self.depth if self._depth_cells > 1 else None)


class Slots:
    """How many Runs of one tree work at once: so many on each level, so that none waits for those that wait for it."""

    def __init__(self) -> None:
        self._levels: dict[int, threading.Semaphore] = {}
        self._lock = threading.Lock()

    @contextmanager
    def at(self, depth: int, stop: Stop) -> Iterator[None]:
        """A place on that level, as soon as there is one; raises as :meth:`Stop.left` does."""
        with self._lock:
            level = self._levels.setdefault(depth, threading.Semaphore(AT_ONCE))
        while not level.acquire(timeout=stop.left(_LOOK_SECONDS)):
            continue
        try:
            yield
        finally:
            level.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What all Runs of one question share."""

    root: str
    """Id of the Run at the top."""
    budget: Budget
    """Of all together."""
    tally: Tally = field(default_factory=Tally)
    slots: Slots = field(default_factory=Slots)
