"""rlm_mcp.recursion.conversation: what a root is told is short, true and the same when it is asked again."""

from rlm_mcp.costs import Cost, Limits, Spent
from rlm_mcp.recursion.conversation import Tally, budget_line, shared_line, shortened


def test_the_budget_line_says_what_is_left() -> None:
    """Calls, tokens, money, depth; time only when it runs short."""
    limits = Limits(calls=200, tokens=2_000_000, usd=2.0, seconds=600.0, depth=2)
    used = Spent(calls=3, tokens_in=1_000, tokens_out=234, usd=0.127)
    assert budget_line(limits, used, 599.0) == "[left: 197 calls, 1.99M tokens, $1.87; depth 2]"
    assert budget_line(limits, used, 150.4) == "[left: 197 calls, 1.99M tokens, $1.87, 150 s; depth 2]"
    assert budget_line(Limits(depth=0), used, None) == "[left: no limit; depth 0]"
    assert budget_line(Limits(calls=2, tokens=20_000, depth=0), used, None) == "[left: 0 calls, 18k tokens; depth 0]"
    assert budget_line(Limits(tokens=2_000, depth=0), used, None) == "[left: 766 tokens; depth 0]"


def test_a_child_is_told_its_share_in_tenths() -> None:
    """So that what others do meanwhile does not change what it is told."""
    limits = Limits(calls=200, tokens=2_000_000, usd=2.0, seconds=600.0, depth=2)
    assert shared_line(limits, Spent(calls=3), 600.0, 1) == "[left: 90% of the budget; depth 1]"
    assert shared_line(limits, Spent(calls=199), 100.0, 0) == "[left: 0% of the budget, 100 s; depth 0]"
    assert shared_line(Limits(), Spent(), None, 1) == "[left: no limit; depth 1]"


def test_answers_from_the_cache_are_told_as_if_they_were_paid() -> None:
    """Or the same Run, asked again, would be told something else and ask something else."""
    parent = Tally()
    child = Tally(parent)
    child.add([Cost(tokens_in=10, tokens_out=5, usd=0.5), Cost(tokens_in=1, usd=None)])
    for tally in (parent, child):
        assert tally.used(Spent()) == Spent(calls=2, tokens_in=16, usd=0.5)
    assert parent.used(Spent(calls=9, tokens_in=1, usd=0.1)) == Spent(calls=9, tokens_in=16, usd=0.5)


def test_a_long_past_is_told_with_older_outputs_cut() -> None:
    """The question, the code and the latest outputs stay whole."""
    history = [(f"{number} {'x' * 10_000}", f"code {number}") for number in range(8)]
    short = shortened(history)
    assert [said for _told, said in short] == [said for _told, said in history]
    assert [len(told) < 1_000 for told, _said in short] == [False, True, True, True, True, False, False, False]
    assert shortened(history[:4]) == history[:4]
    assert shortened(history[:3]) == history[:3]
    assert shortened([]) == []
