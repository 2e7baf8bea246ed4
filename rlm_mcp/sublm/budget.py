"""One tree of budgets: what a Run may spend, and all that is spent below it.

Before a call is sent, the most it can cost is reserved in its own budget and in every one above, under one lock; after
it, what it did cost takes the reservation's place. So no sum of calls, threads and child Runs can pass a limit.
"""

from __future__ import annotations

import threading
import time
from dataclasses import fields, replace

from rlm_mcp.costs import Cost, Limits, Spent
from rlm_mcp.errors import BudgetExceeded


class Budget:
    """A node of the tree. Safe to use from any thread."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._line: tuple[_Account, ...] = (_Account(limits),)
        """Its own account, and those above."""
        self._lock = threading.Lock()
        """One for the whole tree."""

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
        child._lock = self._lock
        return child

    @property
    def spent(self) -> Spent:
        """By this Run and all below it."""
        with self._lock:
            return self._line[0].spent

    def reserve(self, most: Cost) -> None:
        """Set aside what a call may cost at most, here and above, and count it as sent.

        Raises:
            BudgetExceeded: it might pass a limit; nothing is reserved then.
        """
        with self._lock:
            for account in self._line:
                account.check(most)
            for account in self._line:
                account.add(calls=1)
                account.reserve(most, 1)

    def settle(self, most: Cost, cost: Cost, *, is_failed: bool = False, is_abandoned: bool = False) -> None:
        """Put what the call did cost in the place of what was reserved for it.

        Args:
            is_abandoned: nobody waited for the end of it. It may have been served and charged all the same, so what
                was reserved stays reserved.
        """
        with self._lock:
            for account in self._line:
                if not is_abandoned:
                    account.reserve(most, -1)
                account.add(
                    tokens_in=cost.tokens_in,
                    tokens_out=cost.tokens_out,
                    usd=cost.usd or 0.0,
                    failed=int(is_failed),
                    abandoned=int(is_abandoned),
                    unpriced=int(cost.usd is None and cost.tokens > 0),
                )

    def count_cached(self) -> None:
        """An answer came from the cache."""
        with self._lock:
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


class _Account:
    """What one Run and all below it have spent and reserved. Not for more than one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.end = None if limits.seconds is None else time.monotonic() + limits.seconds
        self.spent = Spent()
        self.reserved_tokens = 0
        self.reserved_usd = 0.0

    def check(self, most: Cost) -> None:
        """Whether a call that costs so much may be sent.

        Raises:
            BudgetExceeded: it might pass a limit.
        """
        limits = self.limits
        if limits.calls is not None and self.spent.calls + 1 > limits.calls:
            raise BudgetExceeded(f"the limit of {limits.calls:,} calls is reached", limit="calls")
        tokens = self.spent.tokens + self.reserved_tokens + most.tokens
        if limits.tokens is not None and tokens > limits.tokens:
            raise BudgetExceeded(
                f"the next call may take {most.tokens:,} tokens, which would pass the limit of {limits.tokens:,}",
                limit="tokens",
            )
        if limits.usd is not None and self.spent.usd + self.reserved_usd + (most.usd or 0.0) > limits.usd:
            raise BudgetExceeded(
                f"the next call may cost ${most.usd or 0.0:.4f}, which would pass the limit of ${limits.usd:.2f}",
                limit="usd",
            )
        if self.end is not None and time.monotonic() >= self.end:
            raise BudgetExceeded(f"the limit of {limits.seconds:g} s is reached", limit="seconds")

    def reserve(self, most: Cost, calls: int) -> None:
        """Reserve for a call (1), or give back (-1)."""
        self.reserved_tokens += calls * most.tokens
        self.reserved_usd += calls * (most.usd or 0.0)

    def add(self, **more: float) -> None:
        """Count as spent."""
        self.spent = Spent(**{f.name: getattr(self.spent, f.name) + more.get(f.name, 0) for f in fields(Spent)})


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit:,}"
