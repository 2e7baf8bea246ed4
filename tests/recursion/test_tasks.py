"""With a sub-model that never errs, Runs answer rightly: counts, users, dates, pairs, needles, hops, at depth three."""

from itertools import pairwise
from pathlib import Path

import pytest

from rlm_mcp.costs import Limits
from rlm_mcp.refs import Ref
from rlm_mcp.store import runs
from tests.recursion.conftest import Rigs
from tests.recursion.rig import RunRig, by_model, file_source, texts_scope
from tests.recursion.tasks import TASKS, Dataset, made, question, root, sub

_LIMITS = Limits(calls=5_000, tokens=200_000_000, seconds=120.0, depth=3)


@pytest.fixture(scope="module", params=[1, 10], ids=["1 MB", "10 MB"])
def dataset(request: pytest.FixtureRequest) -> Dataset:
    """A text of that size."""
    return made(request.param << 20)


@pytest.fixture
def rig(runs_with: Rigs) -> RunRig:
    """With a root and a sub-model that know what to do."""
    return runs_with(by_model(root=root, sub=sub))


@pytest.mark.parametrize("task", TASKS)
def test_a_task_over_a_file_is_answered_rightly(rig: RunRig, dataset: Dataset, tmp_path: Path, task: str) -> None:
    """The score is 1.0, the Ledger says what was served, and the root took 1,000 tokens at most."""
    path = tmp_path / "data.txt"
    path.write_text(dataset.text, encoding="utf-8")
    came = rig.ask(question(task), scope=texts_scope(file_source(path)), limits=_LIMITS)
    assert (came.answer.status, came.answer.answer) == ("ok", dataset.gold[task])
    spent = rig.ledger(came.answer.run)
    assert spent.calls == len(rig.model.came)
    assert (spent.tokens_in, spent.tokens_out) == (rig.model.tokens_in, rig.model.tokens_out)
    assert came.spent == spent
    if task != "depth 3":
        replies = [reply for reply in rig.model.answered if reply.model == "root"]
        assert sum(reply.usage.tokens_in + reply.usage.tokens_out for reply in replies) <= 1_500


def test_a_task_over_many_texts_is_answered_rightly(rig: RunRig, tmp_path: Path) -> None:
    """Some in files, some small, some of the Run alone; ``context`` is a list then."""
    dataset = made(1 << 20)
    lines = dataset.text.split("\n")
    texts = ["\n".join(lines[at : at + 500]) for at in range(0, len(lines), 500)]
    whole = tmp_path / "data.txt"
    whole.write_text("\n".join([*texts[:3], "x" * 300_000]), encoding="utf-8")
    source = file_source(whole)
    sizes = [len(text.encode()) for text in texts[:3]]
    parts = [
        source.part(0, sizes[0]),
        source.part(sizes[0] + 1, sizes[0] + 1 + sizes[1]),
        source.part(sizes[0] + sizes[1] + 2, sum(sizes) + 2),
    ]
    for task in ("count", "date range", "pairs", "two hops"):
        came = rig.ask(question(task), *parts, *texts[3:], limits=_LIMITS)
        assert (came.answer.status, came.answer.answer) == ("ok", dataset.gold[task]), task
    evidence = came.answer.evidence
    assert [one.is_verified for one in evidence] == [True, True]


def test_children_see_parts_of_the_very_file_and_their_quotes_have_its_refs(rig: RunRig, tmp_path: Path) -> None:
    """Four by four parts of one file: a tree of 1 + 4 + 16 Runs, nothing of it sent as text."""
    dataset = made(2 << 20)
    path = tmp_path / "data.txt"
    path.write_text(dataset.text, encoding="utf-8")
    source = file_source(path)
    scope = texts_scope(type(source)(name="data", path=path, end=source.end, ref=Ref(document="0123456789abcdef")))
    came = rig.ask(question("depth 3"), scope=scope, limits=_LIMITS)
    assert came.answer.answer == dataset.gold["depth 3"]
    with rig.stores.lend() as store:
        tree = runs.tree(store, came.answer.run)
    assert [sum(row.depth == depth for row in tree) for depth in range(4)] == [1, 4, 16, 0]
    leaves = sorted(tuple(map(int, row.scope.partition(":")[2].split("-"))) for row in tree if row.depth == 2)
    assert all(row.scope.startswith("d0123456789abcdef:") for row in tree if row.depth)
    assert leaves[0][0] == 0
    assert leaves[-1][1] == source.end
    assert all(before[1] == after[0] for before, after in pairwise(leaves))
    assert {row.status for row in tree} == {"ok"}
    parents = {row.id: row for row in tree}
    assert all(parents[row.parent].depth == row.depth - 1 for row in tree if row.depth)


def test_the_same_run_again_costs_nothing(rig: RunRig) -> None:
    """Root and sub-models: all is answered from the cache, at every depth."""
    dataset = made(1 << 20)
    for task in ("depth 3", "pairs", "two hops"):
        first = rig.ask(question(task), dataset.text, limits=_LIMITS)
        served = len(rig.model.came)
        again = rig.ask(question(task), dataset.text, limits=_LIMITS)
        assert len(rig.model.came) == served, task
        assert again.answer.answer == first.answer.answer == dataset.gold[task]
        assert (again.spent.calls, again.spent.tokens) == (0, 0)
        assert again.spent.cached == first.spent.calls + first.spent.cached
