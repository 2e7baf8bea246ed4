"""Figures beside what was asked of them: one row each, as a table for people or as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of one run."""

    part: str
    what: str
    median: float
    p95: float
    most: float
    runs: int
    unit: str = "ms"
    beside: str = ""
    """What it is measured beside, in the same run."""
    ratio: float | None = None
    """Of the medians."""
    asked: str = ""
    is_met: bool | None = None
    """None where nothing was asked."""


def row(
    part: str,
    what: str,
    values: Sequence[float],
    *,
    beside: tuple[str, Sequence[float]] | None = None,
    is_speed: bool = False,
    ratio_at_most: float | None = None,
    ratio_at_least: float | None = None,
    at_most: float | None = None,
    p95_at_most: float | None = None,
    unit: str = "ms",
) -> Row:
    """A figure of several runs.

    Args:
        values: in ``unit``.
        beside: name and values of the baseline.
        is_speed: the ratio says how fast it is in parts of the baseline's speed, not how much longer it takes.
        at_most: asked of the median.
        p95_at_most: asked of all but the slowest twentieth.
    """
    middle = statistics.median(values)
    ratio = None
    if beside is not None:
        other = statistics.median(beside[1])
        ratio = (other / middle if is_speed else middle / other) if middle and other else None
    asked: list[str] = []
    met: list[bool] = []
    for name, found, limit, is_most in (
        ("ratio", ratio, ratio_at_most, True),
        ("ratio", ratio, ratio_at_least, False),
        ("median", middle, at_most, True),
        ("p95", percentile(values, 0.95), p95_at_most, True),
    ):
        if limit is not None and found is not None:
            asked.append(f"{name} {'<=' if is_most else '>='} {limit:g}")
            met.append(found <= limit if is_most else found >= limit)
    return Row(
        part=part,
        what=what,
        median=round(middle, 3),
        p95=round(percentile(values, 0.95), 3),
        most=round(max(values), 3),
        runs=len(values),
        unit=unit,
        beside="" if beside is None else beside[0],
        ratio=None if ratio is None else round(ratio, 3),
        asked=", ".join(asked),
        is_met=all(met) if met else None,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which so large a share lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def interleaved(measures: Mapping[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """What each gives, one after the other in every round, so that the machine's load falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(runs):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def table(rows: Sequence[Row]) -> str:
    """For people."""
    lines = [("", "median", "p95", "max", "", "ratio", "beside", "asked", "")]
    part = ""
    for one in rows:
        if one.part != part:
            part = one.part
            lines.append((f"\n{part}", *[""] * 8))
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        verdict = "" if one.is_met is None else "met" if one.is_met else "MISSED"
        figures = (_figure(one.median), _figure(one.p95), _figure(one.most))
        lines.append((f"  {one.what}", *figures, one.unit, ratio, one.beside, one.asked, verdict))
    widths = [max(len(line[at].lstrip("\n")) for line in lines) for at in range(9)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in {0, 4, 6, 7, 8} else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
