"""rlm_mcp.recursion.replay: a Run is played again from what was noted: same code, same answer, nothing paid."""

from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.costs import Limits
from rlm_mcp.errors import SubLMRefused, UsageError
from rlm_mcp.recursion.replay import recorded
from rlm_mcp.store import runs
from rlm_mcp.store.ledger import StoreLedger
from rlm_mcp.sublm.metered import Metered
from tests.recursion.conftest import Rigs
from tests.recursion.rig import PLENTY, Came, RunRig, block, by_model, steps
from tests.recursion.tasks import made, question, root, sub


def _played(rig: RunRig, run: str, asked: str, *texts: str, limits: Limits | None = None) -> Came:
    with rig.stores.lend() as store:
        model = recorded(store, run)
    metered = Metered(model, StoreLedger(rig.stores.lend, PLENTY))
    before, rig.engine = rig.engine, replace(rig.engine, root=metered, sub=metered)
    try:
        return rig.ask(asked, *texts, limits=limits)
    finally:
        rig.engine = before


@pytest.mark.parametrize("task", ["two hops", "depth 3", "count"])
def test_a_run_is_played_again_with_the_same_code_and_answer(runs_with: Rigs, task: str) -> None:
    """Also where its root's own replies are not in the cache any more, and with other limits."""
    dataset = made(1 << 20)
    rig = runs_with(by_model(root=root, sub=sub))
    limits = Limits(calls=1_000, tokens=90_000_000, seconds=60.0, depth=3)
    first = rig.ask(question(task), dataset.text, limits=limits)
    served = len(rig.model.came)
    with rig.stores.lend() as store, store.writing() as connection:
        connection.execute("DELETE FROM reply WHERE model = 'root'")
    again = _played(rig, first.answer.run, question(task), dataset.text, limits=replace(limits, calls=500))
    assert len(rig.model.came) == served
    assert again.answer.answer == first.answer.answer == dataset.gold[task]
    assert [(step.code, step.output) for step in again.steps] == [(step.code, step.output) for step in first.steps]
    with rig.stores.lend() as store:
        trees = [runs.tree(store, one.answer.run) for one in (first, again)]
        codes = [sorted(step.code for row in tree for step in runs.steps(store, row.id)) for tree in trees]
    assert codes[0] == codes[1]


def test_a_replay_asks_nobody(runs_with: Rigs) -> None:
    """What is not in the cache is refused, and steps that were never taken too."""
    rig = runs_with(by_model(root=steps(block("x = llm_query('a' + context)"), block("FINAL(x)")), sub=lambda _r: "b"))
    first = rig.ask("?", "hello")
    with rig.stores.lend() as store, store.writing() as connection:
        connection.execute("DELETE FROM reply")
    again = _played(rig, first.answer.run, "?", "hello")
    assert again.answer.status == "model"
    assert isinstance(again.answer.error, SubLMRefused)
    assert "SubLMRefused" in again.steps[0].output
    other = _played(rig, first.answer.run, "Another question?", "hello")
    assert isinstance(other.answer.error, SubLMRefused)
    with rig.stores.lend() as store, pytest.raises(UsageError):
        recorded(store, "r99999999")


def test_a_run_knows_by_which_refs_it_can_be_asked_again(runs_with: Rigs, tmp_path: Path) -> None:
    """None where a text is only its own."""
    rig = runs_with(steps(block("FINAL(len(context))")))
    came = rig.ask("?", "hello")
    with rig.stores.lend() as store:
        assert runs.run_row(store, came.answer.run).refs == ""
