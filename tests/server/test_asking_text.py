"""rlm_mcp.server.asking_text: answers, jobs and costs in plain words."""

from dataclasses import replace

import pytest

from rlm_mcp.costs import Spent
from rlm_mcp.errors import BudgetExceeded
from rlm_mcp.recursion.evidence import Evidence
from rlm_mcp.server.asking_text import answer_text, cut_answer_text, estimate_text, job_text
from rlm_mcp.server.spent_text import spent_text
from rlm_mcp.verbs.ask import AskAnswer, Estimate
from rlm_mcp.verbs.jobs import JobState


def test_only_what_was_checked_is_shown_as_a_source() -> None:
    """What was not found is counted, never quoted."""
    evidence = (
        Evidence(quote="it is so", is_verified=True, source="a.log", ref="d1f2e3d4c:0-8"),
        Evidence(quote="made up", is_verified=False),
    )
    told = answer_text(
        AskAnswer(answer="So.", status="ok", way="run", spent=Spent(), evidence=evidence, run="r1f2e3d4c")
    )
    assert told.startswith('So.\n- "it is so"  d1f2e3d4c:0-8\n')
    assert "made up" not in told
    assert "1 quote was not found" in told
    assert told.endswith("[r1f2e3d4c; by run; 0 calls, 0 + 0 tokens, $0.0000]")


def test_no_answer_says_why_and_what_there_was() -> None:
    """And never looks like one."""
    error = BudgetExceeded("the limit of 4 calls is reached", limit="calls")
    found = AskAnswer(answer="", status="calls", way="run", spent=Spent(calls=4), partial="seen: 7", error=error)
    told = answer_text(found).splitlines()
    assert told[0] == "no answer (the limit of calls is reached: the limit of 4 calls is reached)"
    assert told[1:3] == ["what it had by then (no answer):", "seen: 7"]


def test_a_long_answer_is_cut_for_a_tool_and_stands_whole_at_the_command_line() -> None:
    """Head and tail, the true length, the Ref of the whole; what is short is the same in both."""
    long = "first " + "x" * 200_000 + " last"
    evidence = tuple(Evidence(quote="q" * 4_000, is_verified=True, ref=f"e{n}:0-4000") for n in range(50))
    found = AskAnswer(answer=long, status="ok", way="run", spent=Spent(), evidence=evidence, run="r1f2e3d4c")
    told = cut_answer_text(found)
    assert told.startswith("first ")
    assert " last\n- " in told
    assert "left out; whole: r1f2e3d4c ..." in told
    assert "left out; whole: e0:0-4000 ..." in told
    assert "\n(30 more quotes: read r1f2e3d4c)\n" in told
    assert told.endswith("; 200,011 characters, cut; whole: read r1f2e3d4c]")
    assert len(told) < 16_000
    whole = answer_text(found)
    assert long in whole
    assert whole.count("q" * 4_000) == 50
    short = replace(found, answer="So.", evidence=evidence[:0])
    assert cut_answer_text(short) == answer_text(short)


def test_what_there_was_without_an_answer_is_cut_too() -> None:
    """Of a run that ended, and of one that goes on; what could not be asked is no text but an error."""
    error = BudgetExceeded("e" * 50_000, limit="calls")
    found = AskAnswer(answer="", status="calls", way="run", spent=Spent(), partial="p" * 50_000, error=error, run="r1")
    state = JobState(id="r1", question="?", seconds=1.0, told="", partial="", answer=found, error=None)
    assert "50,000 characters, cut; whole: read r1]" in job_text(state)
    going = replace(state, partial="p" * 50_000, answer=None)
    broken = replace(state, answer=None, error=error)
    assert [len(job_text(one)) < 6_000 for one in (state, going)] == [True, True]
    with pytest.raises(BudgetExceeded):
        job_text(broken)


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        (Spent(calls=2, tokens_in=1_500, tokens_out=20, usd=0.01), "2 calls, 1,500 + 20 tokens, $0.0100"),
        (Spent(calls=1, unpriced=1), "1 call, 0 + 0 tokens, price unknown"),
        (Spent(cached=3, failed=1), "0 calls, 0 + 0 tokens, $0.0000, 3 from the cache, 1 failed"),
    ],
)
def test_what_was_spent_is_a_line(spent: Spent, told: str) -> None:
    """An unknown price is never told as nothing."""
    assert spent_text(spent) == told


def test_a_job_that_runs_says_what_it_has_and_what_to_do() -> None:
    """Its answer, or its error, where it is over."""
    state = JobState(id="r1", question="?", seconds=46.2, told="calls 3", partial="seen: 7", answer=None, error=None)
    told = job_text(state)
    assert told.startswith('job r1 runs since 46 s; calls 3. Go on with other work; job("r1", "wait")')
    assert told.endswith("what it has so far (no answer):\nseen: 7")


def test_an_estimate_says_the_way_and_the_most_it_costs() -> None:
    """A price that is not known leaves the cap of tokens."""
    one = Estimate(way="one call", scope_bytes=900, model="m", calls=1, tokens=1_300, usd=None, seconds=0.0)
    assert estimate_text(one) == (
        "900 bytes fit into one call of m: at most 1,300 tokens, price unknown, so the limit of tokens counts"
    )
    nobody = estimate_text(replace(one, model="", missing="set it up"))
    assert nobody.startswith("900 bytes fit into one call of a model: ")
    assert nobody.endswith("\nnobody is there to be asked yet: set it up")
