"""The loss report: totals, what is shown, what is outside."""

from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.brief.loss import LossReport

PAIRS = st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)).map(lambda pair: (max(pair), min(pair)))


@given(st.dictionaries(st.sampled_from(["event", "edit", "error", "command", "something new"]), PAIRS))
def test_outside_is_what_is_not_shown(kinds: dict[str, tuple[int, int]]):
    """Kinds that are wholly shown are not named; every number of the line is one of the report."""
    report = LossReport(kinds=kinds)
    assert report.outside == {kind: total - shown for kind, (total, shown) in kinds.items() if total != shown}
    for kind, count in report.outside.items():
        assert f"{count:,}" in report.line(), kind
    assert report.line()


def test_nothing_outside_says_nothing():
    """In so many words."""
    assert LossReport(kinds={"edit": (3, 3)}).line() == "nothing"
