"""What a search answers with, wherever it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp.text import estimate_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One place found."""

    ref: str
    kind: str
    """Of the Event or Fact; ``document`` in a Document."""
    turn: int
    text: str
    time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """What was found, and the text of it that fits the budget."""

    query: str
    text: str
    total: int
    """How many there are in all."""
    shown: int
    tokens: int
    hits: tuple[Hit, ...]
    is_cut: bool
    """More were found than shown, or (patterns) looked at."""


def answered(query: str, lines: Sequence[str], hits: Sequence[Hit], total: int, *, is_cut: bool) -> SearchAnswer:
    """The answer whose text is these lines."""
    text = "\n".join(lines)
    return SearchAnswer(
        query=query,
        text=text,
        total=total,
        shown=len(hits),
        tokens=estimate_tokens(text),
        hits=tuple(hits),
        is_cut=is_cut,
    )
