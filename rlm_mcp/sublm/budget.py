"""One tree of budgets: what a Run may spend, and all that is spent below it.

Before a call is sent, the most it can cost is reserved in its own budget and in every one above, under one lock; after
it, what it did cost takes the reservation's place. So no sum of calls, threads and child Runs can pass a limit.

Most calls cost a part of what is reserved for them. So one that fits beside what is spent, but not beside what is
reserved, waits in line until others have ended; only one that does not fit beside what is spent is refused. Whoever
holds a reservation has been sent and waits for nobody here, so the line always moves.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, fields, replace

from rlm_mcp.costs import Cost, Limits, Spent
from rlm_mcp.errors import BudgetExceeded, Cancelled, SubLMTimeout
from rlm_mcp.sublm.lm import Stop

_LONGEST_SECONDS = 60.0


class Budget:
    """A node of the tree. Safe to use from any thread."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._line: tuple[_Account, ...] = (_Account(limits),)
        """Its own account, and those above."""
        self._queue = _Queue()
        """One for the whole tree, with its lock."""

    def child(self, limits: Limits) -> Budget:
        """A budget for a Run below this one's: its own limits, and all of those above.

        Raises:
            BudgetExceeded: no Run may lie below this one.
        """
        if self.limits.depth < 1:
            raise BudgetExceeded(
                "depth is reached: a Run may have none below it here; use llm_query, or raise --max-depth",
                limit="depth",
            )
        child = Budget(replace(limits, depth=min(limits.depth, self.limits.depth - 1)))
        child._line += self._line
        child._queue = self._queue
        return child

    @property
    def tree(self) -> object:
        """The same for all budgets of one tree."""
        return self._queue

    @property
    def spent(self) -> Spent:
        """By this Run and all below it."""
        with self._queue.lock:
            return self._line[0].spent

    def reserve(self, most: Cost, stop: Stop) -> None:
        """Set aside what a call may cost at most, here and above, and count it as sent.

        Waits where only what is reserved for calls under way stands in the way: until it fits, or is refused.

        Raises:
            BudgetExceeded: it might pass a limit, whatever becomes of the others.
            Cancelled, SubLMTimeout: it would have to wait longer than ``stop`` lets it.
            Nothing is reserved then.
        """
        place = _Place(line=self._line, most=most)
        with self._queue.lock:
            self._queue.join(place)
        if not place.over.is_set():
            self._wait(place, stop)
        if place.error is not None:
            raise place.error

    def give_back(self, most: Cost) -> None:
        """What was reserved for a call that is not sent after all; it counts no more."""
        with self._queue.lock:
            for account in self._line:
                account.release(most)
                account.add(calls=-1)
            self._queue.move()

    def settle(self, most: Cost, cost: Cost, *, is_failed: bool = False, is_abandoned: bool = False) -> None:
        """Put what the call did cost in the place of what was reserved for it.

        Args:
            is_abandoned: nobody waited for the end of it. It may have been served and charged all the same, so what
                was reserved counts against the limits for good.
        """
        with self._queue.lock:
            for account in self._line:
                account.release(most)
                if is_abandoned:
                    account.hold(most)
                account.add(
                    tokens_in=cost.tokens_in,
                    tokens_out=cost.tokens_out,
                    usd=cost.usd or 0.0,
                    failed=int(is_failed),
                    abandoned=int(is_abandoned),
                    unpriced=int(cost.usd is None and cost.tokens > 0),
                )
            self._queue.move()

    def count_cached(self) -> None:
        """An answer came from the cache."""
        with self._queue.lock:
            for account in self._line:
                account.add(cached=1)

    def seconds_left(self) -> float | None:
        """Of the time; None for no limit."""
        ends = [account.end for account in self._line if account.end is not None]
        return min(ends) - time.monotonic() if ends else None

    def told(self) -> str:
        """What is left, in a line that a model reads at each step."""
        spent, limits = self.spent, self.limits
        parts = [f"calls {spent.calls:,}{_of(limits.calls)}", f"tokens {spent.tokens:,}{_of(limits.tokens)}"]
        if limits.usd is not None:
            parts.append(f"${spent.usd:.4f} of ${limits.usd:.2f}")
        left = self.seconds_left()
        if left is not None:
            parts.append(f"{max(0.0, left):.0f} s left")
        return f"budget: {', '.join(parts)}; depth left {limits.depth}"

    def _wait(self, place: _Place, stop: Stop) -> None:
        """Until the place is over; raises as :meth:`Stop.left` does, with nothing reserved."""
        try:
            with stop.waking(place.over.set):
                while not place.over.wait(self._patience(stop)):
                    with self._queue.lock:
                        self._queue.move()  # where the time is over, it is refused
            stop.left(1.0)
        except (Cancelled, SubLMTimeout):
            with self._queue.lock:
                was_waiting = self._queue.leave(place)
            if not was_waiting and place.error is None:
                self.give_back(place.most)
            raise

    def _patience(self, stop: Stop) -> float:
        left = self.seconds_left()
        return stop.left(_LONGEST_SECONDS if left is None else min(_LONGEST_SECONDS, max(0.0, left)))


@dataclass(slots=True, kw_only=True, eq=False)
class _Place:
    """A call that is to be reserved for."""

    line: tuple[_Account, ...]
    most: Cost
    over: threading.Event = field(default_factory=threading.Event)
    """Set when it is reserved for or refused, and when nobody waits any more."""
    error: BudgetExceeded | None = None
    """Why it is refused."""


class _Queue:
    """Calls that wait for others to end, in the order in which they came. Whoever calls it holds its lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Of the whole tree."""
        self._places: list[_Place] = []

    def join(self, place: _Place) -> None:
        """Come last, and move on."""
        self._places.append(place)
        self.move()

    def leave(self, place: _Place) -> bool:
        """Whether it was waiting; it does so no more, and those behind it move on."""
        if place not in self._places:
            return False
        self._places.remove(place)
        self.move()
        return True

    def move(self) -> None:
        """Refuse all that can never be sent, reserve for those that fit; nobody overtakes who waits for the same."""
        waited_for: set[_Account] = set()
        for place in tuple(self._places):
            place.error = next((error for account in place.line if (error := account.refusal(place.most))), None)
            if place.error is None:
                if not waited_for.isdisjoint(place.line):
                    continue
                full = [account for account in place.line if not account.has_room(place.most)]
                if full:
                    waited_for.update(full)
                    continue
                for account in place.line:
                    account.reserve(place.most)
                    account.add(calls=1)
            self._places.remove(place)
            place.over.set()


class _Account:
    """What one Run and all below it have spent and reserved. Not for more than one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.end = None if limits.seconds is None else time.monotonic() + limits.seconds
        self.spent = Spent()
        self._under_way = 0
        self._reserved_tokens = self._held_tokens = 0
        self._reserved_usd = self._held_usd = 0.0

    def refusal(self, most: Cost) -> BudgetExceeded | None:
        """Why a call that may cost so much can never be sent, whatever becomes of others; None where it may be."""
        limits, spent = self.limits, self.spent
        if limits.calls is not None and spent.calls + 1 > limits.calls:
            return BudgetExceeded(f"the limit of {limits.calls:,} calls is reached", limit="calls")
        if limits.tokens is not None and spent.tokens + self._held_tokens + most.tokens > limits.tokens:
            return BudgetExceeded(
                f"the next call may take {most.tokens:,} tokens, which would pass the limit of {limits.tokens:,}",
                limit="tokens",
            )
        if limits.usd is not None and spent.usd + self._held_usd + (most.usd or 0.0) > limits.usd:
            return BudgetExceeded(
                f"the next call may cost ${most.usd or 0.0:.4f}, which would pass the limit of ${limits.usd:.2f}",
                limit="usd",
            )
        if self.end is not None and time.monotonic() >= self.end:
            return BudgetExceeded(f"the limit of {limits.seconds:g} s is reached", limit="seconds")
        return None

    def has_room(self, most: Cost) -> bool:
        """Whether a call that may cost so much fits beside all that is spent and reserved."""
        if not self._under_way:
            return True  # as it was not refused
        tokens = self.spent.tokens + self._held_tokens + self._reserved_tokens + most.tokens
        usd = self.spent.usd + self._held_usd + self._reserved_usd + (most.usd or 0.0)
        limits = self.limits
        return (limits.tokens is None or tokens <= limits.tokens) and (limits.usd is None or usd <= limits.usd)

    def reserve(self, most: Cost) -> None:
        """Reserve for a call."""
        self._under_way += 1
        self._reserved_tokens += most.tokens
        self._reserved_usd += most.usd or 0.0

    def release(self, most: Cost) -> None:
        """Reserve for it no more."""
        self._under_way -= 1
        self._reserved_tokens -= most.tokens
        self._reserved_usd -= most.usd or 0.0

    def hold(self, most: Cost) -> None:
        """It may have been charged, and nobody will know: it counts against the limits from now on."""
        self._held_tokens += most.tokens
        self._held_usd += most.usd or 0.0

    def add(self, **more: float) -> None:
        """Count as spent."""
        self.spent = Spent(**{f.name: getattr(self.spent, f.name) + more.get(f.name, 0) for f in fields(Spent)})


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit:,}"
