"""What is written down of a Run as it goes, without secrets: it can be watched, and looked at when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

from rlm_mcp.errors import RlmError
from rlm_mcp.recursion.evidence import Evidence
from rlm_mcp.redact import redact
from rlm_mcp.sandbox.repl import Outcome
from rlm_mcp.store import runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import RunRow, StepRow
from rlm_mcp.text import cut

_PARTIAL_CHARS = 200_000
"""Kept of what there was without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """What a Run came to."""

    run: str
    status: str
    """``ok``, or what ended it: ``calls``, ``tokens``, ``usd``, ``seconds``, ``depth``, ``steps``, ``cancelled``,
    ``model``, ``repl``, ``no_code``, ``unread``."""
    answer: str
    """Empty unless ``ok``."""
    evidence: tuple[Evidence, ...] = ()
    partial: str = ""
    """What it had printed and been answered last, where it has no answer."""
    error: RlmError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Of one Run. Each function raises ``StoreError`` where it cannot write."""

    run: str
    lend: Callable[[], AbstractContextManager[Store]]

    def begin(self, row: RunRow) -> int:
        """It begins, or goes on in another way; how many before it asked the same in vain."""
        with self.lend() as store, store.writing():
            runs.begin(store, row)
            return 0 if row.parent else runs.in_vain(store, row)

    def begin_step(self, number: int, said: str, code: str) -> None:
        """The root said this, and its Cell runs from now on; :meth:`step` takes the place of it."""
        step = StepRow(
            run=self.run,
            number=number,
            time=time.time(),
            said=redact(said)[0],
            code=redact(code)[0],
            output="",
            status=runs.RUNNING,
            seconds=0.0,
        )
        with self.lend() as store, store.writing():
            runs.add_step(store, step)

    def step(self, number: int, said: str, *, code: str, told: str, outcome: Outcome | None = None) -> None:
        """The root said this, and was told that; the whole output is kept where ``told`` has it cut.

        Args:
            outcome: without secrets already: it may be long.
        """
        step = StepRow(
            run=self.run,
            number=number,
            time=time.time(),
            said=redact(said)[0],
            code=redact(code)[0],
            output=redact(told)[0],
            status="no_code" if outcome is None else str(outcome.ending or "ended"),
            seconds=0.0 if outcome is None else outcome.seconds,
        )
        whole = "" if outcome is None or outcome.output.rstrip("\n") in told else outcome.output
        with self.lend() as store, store.writing():
            runs.add_step(store, step, whole)

    def end(self, found: RunAnswer) -> None:
        """It ended so."""
        error = {"type": type(found.error).__name__, "message": str(found.error)} if found.error else None
        with self.lend() as store, store.writing():
            runs.end(
                store,
                self.run,
                status=found.status,
                answer=found.answer,
                evidence=tuple(asdict(one) for one in found.evidence),
                partial=cut(found.partial, _PARTIAL_CHARS),
                error=error,
            )
