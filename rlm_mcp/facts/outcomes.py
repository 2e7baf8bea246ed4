"""Outcomes of test runs, read from a runner's printed output: counts, failing test names, the counts line itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rlm_mcp.facts.counting import whole_line
from rlm_mcp.facts.runners import RUNNERS, Runner

MAX_FAILING = 200
"""Failing tests named per run."""


@dataclass(frozen=True, slots=True)
class Failing:
    """One failing test."""

    name: str
    start: int
    end: int
    """Where the line that names it stands in the output, in characters."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test run came to."""

    runner: str
    passed: int
    failed: int
    """Failures and errors."""
    ok: bool
    start: int
    end: int
    """Where the counts line stands in the output, in characters."""
    failing: tuple[Failing, ...]
    failing_left_out: int
    passing: frozenset[str]
    """Names of tests said to have passed (only where the runner prints each)."""


_NEEDLES = tuple(sorted({needle for runner in RUNNERS for needle in runner.needles}))


def read_outcome(output: str) -> Outcome | None:
    """The outcome of the test run in ``output``, by the first runner whose closing lines are there."""
    present = {needle for needle in _NEEDLES if needle in output}
    if not present:
        return None
    for runner in RUNNERS:
        if present.isdisjoint(runner.needles):
            continue
        counts = runner.counts(output)
        if counts is None or (counts.passed == 0 and counts.failed == 0 and runner.name in {"jest", "vitest"}):
            continue
        failing, left_out = _failing(runner, output) if not counts.ok else ((), 0)
        ok = counts.ok if counts.ok is not None else counts.failed == 0
        passing = frozenset(runner.passing.findall(output)) if runner.passing else frozenset()
        return Outcome(
            runner.name, counts.passed, counts.failed, ok, counts.start, counts.end, failing, left_out, passing
        )
    return None


def _failing(runner: Runner, output: str) -> tuple[tuple[Failing, ...], int]:
    found: dict[str, Failing] = {}
    for failing in _all_failing(runner, output):
        found.setdefault(failing.name, failing)
    everything = tuple(found.values())
    return everything[:MAX_FAILING], max(0, len(everything) - MAX_FAILING)


def _all_failing(runner: Runner, output: str) -> Iterator[Failing]:
    for pattern in runner.failing:
        matches = list(pattern.finditer(output))
        for match in matches:
            yield Failing(match["name"].strip(), *whole_line(output, match.start("name"), match.end("name")))
        if matches and runner.name not in {"pytest", "unittest"}:
            return
