"""What a search answers with, wherever it looked."""

from __future__ import annotations

from dataclasses import dataclass


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
