"""What an install or uninstall would do: steps that a person reads before they are taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change."""

    shown: str
    """What a person reads before agreeing."""
    apply: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done; nothing is, until the steps are applied in order."""

    steps: tuple[Step, ...]
    """Empty: it is so already."""
    notes: tuple[str, ...] = ()
    """What a person should know besides."""
