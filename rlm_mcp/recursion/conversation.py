"""What passes between a Run and its root model: the budget line it reads at each step, and a past that stays short.

Everything told depends on the question, the texts and the answers alone: not on the clock (until time runs short), on
ids, or on what a cache has saved. So the same Run asks the same again, and is answered from the cache.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rlm_mcp.costs import Cost, Limits, Spent
from rlm_mcp.text import cut

_PAST_CHARS = 48_000
"""Of what was told before; longer, and the older outputs are cut."""
_WHOLE_TURNS = 3
"""Latest turns that are never cut."""
_OLD_CHARS = 800
_SHORT_TIME = 1 / 3
"""Of the time: from then on the root is told how much is left."""
_MILLION, _THOUSAND, _MANY = 1_000_000, 1_000, 10_000


class Tally:
    """What the answers of a Run and all below it are worth, whoever paid for them. Safe to use from any thread."""

    def __init__(self, parent: Tally | None = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._calls = self._tokens = 0
        self._usd = 0.0

    def add(self, worth: Sequence[Cost]) -> None:
        """Count answers."""
        with self._lock:
            self._calls += len(worth)
            self._tokens += sum(cost.tokens for cost in worth)
            self._usd += sum(cost.usd or 0.0 for cost in worth)
        if self._parent is not None:
            self._parent.add(worth)

    def used(self, spent: Spent) -> Spent:
        """That, or what was spent in truth, whichever is more."""
        with self._lock:
            calls, tokens, usd = self._calls, self._tokens, self._usd
        return Spent(calls=max(calls, spent.calls), tokens_in=max(tokens, spent.tokens), usd=max(usd, spent.usd))


def budget_line(limits: Limits, used: Spent, seconds_left: float | None) -> str:
    """What a Run may still spend, for its root."""
    words: list[str] = []
    if limits.calls is not None:
        words.append(f"{max(0, limits.calls - used.calls):,} calls")
    if limits.tokens is not None:
        words.append(f"{_rounded(max(0, limits.tokens - used.tokens))} tokens")
    if limits.usd is not None:
        words.append(f"${max(0.0, limits.usd - used.usd):.2f}")
    words += _time(limits, seconds_left)
    return f"[left: {', '.join(words) or 'no limit'}; depth {limits.depth}]"


def shared_line(limits: Limits, used: Spent, seconds_left: float | None, depth: int) -> str:
    """As :func:`budget_line`, for a Run that shares with others which work at the same time: in tenths."""
    pairs = ((used.calls, limits.calls), (used.tokens, limits.tokens), (used.usd, limits.usd))
    parts = [1 - spent / limit if limit else 0.0 for spent, limit in pairs if limit is not None]
    words = [f"{max(0, int(10 * min(parts))) * 10}% of the budget"] if parts else []
    words += _time(limits, seconds_left)
    return f"[left: {', '.join(words) or 'no limit'}; depth {depth}]"


def shortened(history: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The past as it is told again: whole while it is short, else with older outputs cut; the question stays."""
    is_short = sum(len(told) + len(said) for told, said in history) <= _PAST_CHARS
    if is_short or len(history) <= _WHOLE_TURNS + 1:
        return list(history)
    first, older, latest = history[:1], history[1:-_WHOLE_TURNS], history[-_WHOLE_TURNS:]
    return [*first, *((cut(told, _OLD_CHARS), said) for told, said in older), *latest]


def _time(limits: Limits, seconds_left: float | None) -> list[str]:
    if limits.seconds is None or seconds_left is None or seconds_left > limits.seconds * _SHORT_TIME:
        return []
    return [f"{max(0.0, seconds_left):.0f} s"]


def _rounded(tokens: int) -> str:
    if tokens >= _MILLION:
        return f"{tokens // (_MANY) / 100:.2f}M"
    return f"{tokens // _THOUSAND}k" if tokens >= _MANY else f"{tokens:,}"
