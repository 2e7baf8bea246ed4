"""An escape attempt, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Expected(StrEnum):
    """What a held attempt looks like, besides that no canary was touched."""

    REFUSED = "refused"
    """Each thing tried raised an error, at least one was tried, and the Cell came to its own end."""
    ENDED = "ended"
    """The child was ended: by the kernel, by itself or by the host."""
    STOPPED = "stopped"
    """A limit of time, storage, depth or output stopped it: by an error, an interrupt or the child's end."""
    ANY = "any"
    """It may do what it likes to itself; only the canaries and the answers of others count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Cells that try to get out, or to do harm."""

    name: str
    """What is tried, in words."""
    cells: tuple[str, ...]
    """Python text, run one after the other in one Repl, after :mod:`.prelude`; ``C`` tells where the canaries are."""
    expected: Expected = Expected.REFUSED
    timeout_seconds: float = 5.0
    is_restored: bool = False
    """Variables are saved before the last Cell, which then runs in a new child that takes them back."""
    is_control: bool = False
    """It is known to get out where there are no walls, and does no harm there: shows that the attempt is a real one."""
    machine: str = ""
    """Only for this kind of processor."""
    needs_bubblewrap: bool = False
    """Holds only where the file system is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of an attempt."""

    group: str
    name: str
    is_held: bool
    seen: tuple[str, ...]
    """Why it counts as an escape; or, where it was held, what held it."""
    seconds: float
