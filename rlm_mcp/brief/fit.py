"""Fitting lines into a token budget: narrower lines first, fewer lines last, and what is left out is counted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlm_mcp.text import estimate_tokens

Line = Callable[[int], str]
"""A line written for a width in characters."""

_LADDER = (1200, 900, 700, 550, 430, 340, 270, 220, 180, 150, 125, 105, 88, 74, 62, 52, 44)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Lines that fit."""

    lines: tuple[str, ...]
    tokens: int
    left_out: int
    """How many lines there was no room for."""


def fit(lines: Sequence[Line], max_tokens: int, *, narrowest: int = 84) -> Fitted:
    """As many of ``lines``, in order, as fit ``max_tokens``.

    All of them at the widest width that lets all fit, else the first of them at the narrowest.
    """
    widths = [width for width in _LADDER if width > narrowest]
    best = _at(lines, narrowest, max_tokens)
    low, high = 0, len(widths)
    while best.left_out == 0 and low < high:  # the wider the lines, the fewer fit
        middle = (low + high) // 2
        fitted = _at(lines, widths[middle], max_tokens)
        if fitted.left_out == 0:
            best, high = fitted, middle
        else:
            low = middle + 1
    return best


def _at(lines: Sequence[Line], width: int, max_tokens: int) -> Fitted:
    kept: list[str] = []
    tokens = 0
    for line in lines:
        written = line(width)
        cost = estimate_tokens(written) + 1
        if tokens + cost > max_tokens:
            break
        kept.append(written)
        tokens += cost
    return Fitted(lines=tuple(kept), tokens=tokens, left_out=len(lines) - len(kept))


def share_out(wants: Sequence[int], shares: Sequence[float], room: int) -> list[int]:
    """Tokens for each of several parts: what it wants, or its share of the room.

    What a part does not want goes to the others, by their shares; what nobody wants is given to all for wider lines.
    """
    given = [0] * len(wants)
    open_ones = set(range(len(wants)))
    left = room
    while open_ones and left > 0:
        total = sum(shares[number] for number in open_ones)
        content = {number for number in open_ones if wants[number] <= left * shares[number] / total}
        if not content:
            for number in open_ones:
                given[number] = int(left * shares[number] / total)
            return given
        for number in content:
            given[number] = wants[number]
        left -= sum(wants[number] for number in content)
        open_ones -= content
    if left > 0:
        total = sum(shares)
        given = [tokens + int(left * share / total) for tokens, share in zip(given, shares, strict=True)]
    return given
