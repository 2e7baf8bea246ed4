"""rlm_mcp.store.summaries: trees of summaries as they are kept."""

from rlm_mcp.store import summaries
from rlm_mcp.store.database import Store
from rlm_mcp.store.summaries import SummaryRow


def row(level: int, number: int, *children: int) -> SummaryRow:
    return SummaryRow(
        scope="session x",
        level=level,
        number=number,
        ref=f"log:{number}-{number + 1}",
        text=f"text {level}.{number}",
        children=children,
        model="m",
        time=1.0,
    )


def test_a_tree_comes_back_with_its_top_first(store: Store):
    """And takes the place of the one before, whole."""
    with store.writing():
        summaries.put(store, "session x", [row(0, 0), row(0, 1), row(0, 2), row(1, 0, 0, 1, 2)])
    assert [(one.level, one.number) for one in summaries.tree(store, "session x")] == [(1, 0), (0, 0), (0, 1), (0, 2)]
    assert summaries.top(store, "session x") == row(1, 0, 0, 1, 2)
    with store.writing():
        summaries.put(store, "session x", [row(0, 0)])
    assert summaries.tree(store, "session x") == [row(0, 0)]


def test_nothing_was_summarised(store: Store):
    """No tree, no top, no error."""
    assert summaries.tree(store, "session y") == []
    assert summaries.top(store, "session y") is None
