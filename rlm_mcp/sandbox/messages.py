"""What host and Jail say to each other: the messages of :mod:`rlm_mcp.sandbox.wire`, which carries and checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

MARK_BYTES = 512
"""What the output file begins with: the name of the variable that is being saved or restored, up to a NUL."""
MORE = "..."
"""Stands for the names of all variables that are too many to be named."""
SLOW = "it took longer than"
"""How the reason begins why a variable is not saved that takes too long."""


class Ending(StrEnum):
    """How a Cell ended, as the child tells it."""

    OK = "ok"
    FINAL = "final"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """First frame: how to confine oneself, and what Cells write to."""

    bounds: Mapping[str, Any]
    """Fields of ``inside.lockdown.Bounds``."""
    repo: str = ""
    """Where the repository is seen from inside; empty where there is none."""
    output_bytes: int = 16 << 20
    """Kept of a Cell's output. One descriptor comes along: the file it is written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run a Cell."""

    number: int
    code: str
    timeout_seconds: float
    session: Mapping[str, Any]
    """What is known of the Session now; see ``inside.seen.Session``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A host function's answer."""

    value: JSON = None
    file_bytes: int = -1
    """Bytes that count of the file whose descriptor comes along; -1 where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A host function failed; raised in the Cell."""

    error: str
    """The exception's name."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """Pickle all variables into the file whose descriptor comes along."""

    variable_seconds: float
    """For one of them; its own code may run."""
    left_out: tuple[str, ...] = ()
    """Names of those not to be tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Throw all variables away, then take these from the file whose descriptor comes along (if there are any)."""

    session: Mapping[str, Any]
    """As in :class:`Run`."""
    variable_seconds: float
    """As in :class:`Save`."""
    variables: tuple[tuple[str, int, int], ...] = ()
    """Name, offset, length."""
    left_out: tuple[str, ...] = ()
    """As in :class:`Save`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The child is locked down."""

    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The child could not lock itself down, and ended."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A Cell calls a host function."""

    name: str
    arguments: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A Cell ended."""

    number: int
    """Of the Cell: what was forged for one is no answer to the next."""
    ending: Ending
    written_bytes: int
    """In the output file."""
    lost_bytes: int
    """Printed beyond the limit."""
    final_start: int
    """Where the value given to FINAL begins in the output; -1 without."""
    variables: tuple[tuple[str, str], ...]
    """Name and what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Variables lie in the file."""

    variables: tuple[tuple[str, int, int], ...]
    unsaved: tuple[tuple[str, str], ...]
    """Name, and why not."""
    complaint: str = ""
    """Why nothing could be written at all: no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Variables are there again."""

    lost: tuple[tuple[str, str], ...]
    """Name, and why not."""


FromHost = SetUp | Run | Value | Failure | Save | Restore
FromChild = Ready | Refused | Call | Done | Saved | Restored
