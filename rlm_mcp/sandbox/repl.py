"""What a Repl is: a persistent namespace that runs Cells. Fulfilled by ``jailed.py`` and ``monty.py``.

One caller at a time; ``close`` and ``printed`` alone may come from any thread. Whatever the code does, each call ends
by its deadline (a host function that it asked for may take its own time), with an :class:`Outcome` or with
:class:`~rlm_mcp.errors.ReplGone`. The journal is the caller's business.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rlm_mcp.errors import RlmError
from rlm_mcp.sandbox.messages import JSON, Ending, Restored, Saved

GRACE_SECONDS = 0.5
"""How long a Cell may take to stop in order, once told to."""

ENDING_OR_ASKING = frozenset(
    {"FINAL", "FINAL_VAR", "llm_query", "llm_query_batched", "llm_map", "rlm_query", "rlm_query_batched"}
)
"""Given names that end a Run or ask for it: each Cell of a Run has them, whatever one before made of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A large value for a Cell: it is mapped, and never copied through a frame."""

    content: bytes = b""
    path: Path | None = None
    """A file of ours, in place of ``content``."""
    length: int = 0
    """Bytes of the file that count; it may be longer."""


Binding = Callable[..., JSON | Handed]
"""A host function that Cells may call: keyword arguments in, JSON or a file out; refuses with an ``RlmError``.

Its arguments come from model-written code: of any JSON type, of any size.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A piece of code to run."""

    number: int
    code: str
    timeout_seconds: float
    session: Mapping[str, Any]
    """What ``session`` is told of the Session as it is now: see ``inside.session``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a Cell ended."""

    ending: Ending | None
    """None: what ran it had to be ended, or died; the variables are gone."""
    output: str
    """All that is kept of what it printed, with the last expression's value or the traceback behind it."""
    seconds: float
    lost_bytes: int = 0
    """Printed beyond the limit."""
    final: str | None = None
    """What was given to FINAL; not part of ``output``."""
    variables: tuple[tuple[str, str], ...] = ()
    """Name and what it is."""
    why: str = ""
    """Why it had to be ended."""


class Repl(Protocol):
    """Runs Cells in one namespace."""

    @property
    def layers(self) -> tuple[str, ...]:
        """What confines it, in words."""

    @property
    def is_alive(self) -> bool:
        """Whether it can run another Cell."""

    def run(
        self,
        cell: Cell,
        bindings: Mapping[str, Binding],
        *,
        stop: threading.Event | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> Outcome:
        """Run a Cell.

        Args:
            stop: set from any thread to stop the Cell, also before it has begun.
            grace_seconds: how long it may take to stop.
        """

    def save(self, descriptor: int, left_out: Collection[str] = ()) -> Saved:
        """Save all variables but those left out into the file.

        Raises:
            ReplGone: it died of it.
        """

    def restore(
        self,
        session: Mapping[str, Any],
        places: Sequence[tuple[str, int, int]],
        descriptor: int | None,
        bindings: Mapping[str, Binding],
        left_out: Collection[str] = (),
    ) -> Restored:
        """Throw all variables away and take these from the file, but for those left out.

        Raises:
            ReplGone: it died of it.
        """

    def printed(self, most_bytes: int) -> str:
        """The end of what the Cell that runs has printed so far; from any thread. Not redacted."""

    def close(self) -> None:
        """End it."""


def called(bindings: Mapping[str, Binding], name: str, arguments: Mapping[str, JSON]) -> JSON | Handed:
    """What a host function says to a Cell that calls it by that name, whatever it gives.

    Raises:
        RlmError: there is none of that name, it takes no such arguments, or it refuses.
        OSError: a file of ours cannot be read.
    """
    binding = bindings.get(name)
    if binding is None:
        raise RlmError(f"no host function {name!r}")
    try:
        bound = inspect.signature(binding).bind(**arguments)
    except TypeError as error:
        raise RlmError(f"{name}: {error}") from error
    return binding(*bound.args, **bound.kwargs)
