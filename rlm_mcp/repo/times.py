"""Points of time as people and models write them. Pure: what is "now" is given."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from rlm_mcp.errors import QueryError

_UNITS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3_600.0, "hr": 3_600.0,
    "hour": 3_600.0, "d": 86_400.0, "day": 86_400.0, "w": 604_800.0, "week": 604_800.0,
}  # fmt: skip
_PIECE = r"(\d{1,9}(?:\.\d{1,6})?|an?\b) ?([a-z]+)"
_AGO = re.compile(rf"{_PIECE}(?:(?:,? and |, ?| ?){_PIECE})?(?: ago)?")
_EXAMPLES = (
    "write an age ('90m', '2 hours ago'), 'today', 'yesterday', a time ('2026-02-12T14:30', '2026-02-12T14:30Z') or "
    "seconds since 1970"
)
_EARLIEST = 100_000_000
"""1973, in seconds: a smaller number is no time, but someone's idea of an age."""
_MILLISECONDS = 100_000_000_000
"""From here on a number is read as milliseconds, as JavaScript counts."""
_LATER_SECONDS = 60.0
"""A time that much after now is a clock's inaccuracy; it is taken as now."""


def parse_since(since: str | float, now: float) -> float:
    """Seconds since the epoch of the time that ``since`` names.

    A time without a zone is local time, as this machine keeps it; ``today`` and ``yesterday`` are their first moment,
    local time; a number is seconds since the epoch (milliseconds from 10**11 on).

    Args:
        now: seconds since the epoch; ages count from it, nothing may lie after it.

    Raises:
        QueryError: it names no time, or one to come.
    """
    if isinstance(since, bool) or not isinstance(since, str | int | float):
        raise QueryError(f"{since!r} is no time; {_EXAMPLES}")
    if not isinstance(since, str):
        return _past(since, _of_number(float(since), since), now)
    text = " ".join(since[:100].lower().split())
    if re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", text):
        return _past(since, _of_number(float(text), since), now)
    if text in ("now", "today", "yesterday"):
        return now if text == "now" else _midnight(now, days_before=1 if text == "yesterday" else 0)
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - _seconds(ago[1], ago[2], since) - (_seconds(ago[3], ago[4], since) if ago[3] else 0.0)
    return _past(since, _of_date(since), now)


def _of_number(number: float, since: str | float) -> float:
    if not math.isfinite(number) or number < _EARLIEST:
        raise QueryError(f"{since!r} is no time in seconds since 1970; {_EXAMPLES}")
    return number / 1_000 if number >= _MILLISECONDS else number


def _past(since: str | float, found: float, now: float) -> float:
    if found > now + _LATER_SECONDS:
        said = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise QueryError(f"{since!r} is yet to come (it is {said}); {_EXAMPLES}")
    return min(found, now)


def _seconds(count: str, unit: str, since: str | float) -> float:
    known = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
    if known is None:
        raise QueryError(f"{since!r}: {unit!r} is no unit of time (s, m, h, d, w); {_EXAMPLES}")
    return known * (1.0 if count in ("a", "an") else float(count))


def _midnight(now: float, *, days_before: int) -> float:
    today = datetime.fromtimestamp(now, UTC).astimezone()
    start = datetime(today.year, today.month, today.day) - timedelta(days=days_before)  # noqa: DTZ001  # local, as promised
    return start.timestamp()


def _of_date(since: str) -> float:
    try:
        return datetime.fromisoformat(since.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise QueryError(f"{since[:100]!r} is no time; {_EXAMPLES}") from error
