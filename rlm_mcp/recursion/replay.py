"""A Run played again: its root says what it said then, and models answer what they answered, from the cache.

Nobody is asked and nothing is paid. A question to a model that is not in the cache any more is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp.costs import Call, CallEnd, Kept
from rlm_mcp.errors import SubLMRefused
from rlm_mcp.recursion.asking import prompt_text
from rlm_mcp.store import runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import StepRow
from rlm_mcp.sublm.lm import Request
from rlm_mcp.sublm.metered import Ledger
from rlm_mcp.sublm.scripted import Said, Scripted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    """One Run as it was."""

    question: str
    steps: Sequence[StepRow]


class Unnoted:
    """A Ledger that knows what is kept in another one, and notes nothing: what is played again was paid before."""

    def __init__(self, kept: Ledger) -> None:
        self._kept = kept

    def sent(self, _call: Call) -> int:
        """Nothing is sent."""
        return 0

    def unsent(self, _number: int) -> None:
        """Nor is this."""

    def settled(self, _number: int, _ended: CallEnd) -> None:
        """So nothing ends."""

    def cached(self, _call: Call) -> None:
        """It cost nothing then, or was counted."""

    def known(self, key: str) -> Kept | None:
        """The reply that was given then."""
        return self._kept.known(key)


def recorded(store: Store, run_id: str) -> Scripted:
    """A backend that plays the Run of that id, with all below it; it has the name and model of the one that was asked.

    Raises:
        UsageError: there is no such Run.
    """
    top = runs.run_row(store, run_id)
    played = [_Played(question=row.question, steps=runs.steps(store, row.id)) for row in runs.tree(store, top.id)]

    def script(request: Request) -> Said:
        if request.system != prompt_text("root"):
            return SubLMRefused(f"{request.prompt[:80]!r} is not in the cache; a replay asks nobody")
        return _next(played, request)

    return Scripted(script, name=top.backend, model=top.model)


def _next(played: Sequence[_Played], request: Request) -> Said:
    """What the root said then: that of the Run which was told the same so far, or at least said the same."""
    number = len(request.history)
    first = request.history[0][0] if request.history else request.prompt
    said = [reply for _told, reply in request.history]
    told = [_without_budget(prompt) for prompt, _reply in request.history[1:]]
    if number:
        told.append(_without_budget(request.prompt))
    fitting = [
        one
        for one in played
        if first.startswith(one.question) and len(one.steps) > number and [s.said for s in one.steps[:number]] == said
    ]
    alike = [one for one in fitting if [step.output for step in one.steps[:number]] == told]
    for one in (*alike, *fitting):
        return one.steps[number].said
    return SubLMRefused(f"step {number + 1} of {first[:80]!r} was never taken; the Run is played up to here")


def _without_budget(told: str) -> str:
    """What a root was told, without the budget line behind it."""
    return told.rpartition("\n")[0]
