"""Times are read as they are meant, or refused with examples."""

import math
import time
from datetime import UTC, datetime

import pytest

from rlm_mcp.errors import QueryError
from rlm_mcp.repo.times import parse_since

NOW = datetime(2026, 2, 12, 15, 0, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def _in_new_york(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("since", "wanted"),
    [
        ("90m", NOW - 5_400),
        ("2 hours ago", NOW - 7_200),
        ("2h", NOW - 7_200),
        ("1h30m", NOW - 5_400),
        ("1 hour and 30 minutes ago", NOW - 5_400),
        ("an hour ago", NOW - 3_600),
        ("a day ago", NOW - 86_400),
        ("1.5 days", NOW - 129_600),
        ("3 weeks ago", NOW - 3 * 604_800),
        ("  45 Secs  AGO ", NOW - 45),
        ("now", NOW),
        ("2026-02-12T14:30Z", NOW - 1_800),
        ("2026-02-12T09:30", NOW - 1_800),
        ("2026-02-12 15:30:00+01:00", NOW - 1_800),
        ("today", NOW - 36_000),
        ("2026-02-12", NOW - 36_000),
        ("yesterday", NOW - 36_000 - 86_400),
        (NOW - 5, NOW - 5),
        (int(NOW) - 5, int(NOW) - 5),
        (str(int(NOW) - 5), int(NOW) - 5),
        ((int(NOW) - 5) * 1_000, int(NOW) - 5),
        (NOW + 30, NOW),
    ],
)
def test_a_time_is_read(since: str | float, wanted: float):
    """Ages, local and zoned times, seconds and milliseconds."""
    assert parse_since(since, NOW) == wanted


def test_yesterday_begins_at_midnight_when_the_clock_was_changed():
    """23 hours before the midnight of the day after."""
    after_the_change = datetime(2026, 3, 9, 15, 0, tzinfo=UTC).timestamp()
    assert parse_since("yesterday", after_the_change) == datetime(2026, 3, 8, 5, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "since",
    ["", "soon", "tomorrow", "90", 90, 0, -1, -NOW, math.nan, math.inf, True, None, [], "2 parsecs ago", "-3h", "t12",
     "2026-13-01", "2026-02-13", NOW + 61, "0001-01-01", "9999-12-31T23:59:59-12:00", "\0", "9" * 500, "h"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_examples(since: object):
    """Among them what lies ahead, and small numbers that may be meant as ages."""
    if since == "0001-01-01":
        assert parse_since("0001-01-03", NOW) < 0
        return
    with pytest.raises(QueryError, match=r"'90m', '2 hours ago'"):
        parse_since(since, NOW)  # type: ignore[arg-type]
