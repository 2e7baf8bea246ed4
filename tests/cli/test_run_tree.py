"""rlm_mcp.cli.run_tree: a Run as a person sees it, while it goes on and when it is over."""

import io
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from rlm_mcp.cli.run_tree import Fitting, Node, drawn, plain_lines, run_node, steps_of
from rlm_mcp.config import Paths, Settings
from rlm_mcp.costs import Call, CallEnd, CallStatus, Cost
from rlm_mcp.store import runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.ledger import Caps, StoreLedger
from rlm_mcp.store.runs import LOST, RUNNING, RunRow, StepRow
from rlm_mcp.wiring import Stores

TRACEBACK = 'Traceback (most recent call last):\n  File "c2", line 1\n    1 / 0\n    ~~^~~\nZeroDivisionError: no\n'


@pytest.fixture
def stores(paths: Paths) -> Iterator[Stores]:
    with Stores(paths, Settings()) as made:
        yield made


@pytest.fixture
def tree(stores: Stores) -> RunRow:
    """A Run whose second step asked two children, the later one first to begin; its third step runs."""
    row = RunRow(
        id="r0000aaaa", parent="", root="r0000aaaa", session_key="s", depth=0, question="What of it all?",
        scope="a.log", model="big", sub_model="small", backend="b", limits={}, started=time.time(),
    )  # fmt: skip
    step = StepRow(run=row.id, number=1, time=time.time(), said="", code="x = 1", output="", status="ok", seconds=0.5)
    with stores.lend() as store, store.writing():
        runs.begin(store, row)
        for place, started in ((1, 20.0), (2, 10.0)):
            child = replace(row, id=f"r{place}000bbbb", parent=row.id, depth=1, question=f"Part {place}?")
            runs.begin(store, replace(child, step=2, place=place, started=row.started + started))
        runs.add_step(store, step)
        runs.add_step(store, replace(step, number=2, code="rlm_query_batched(parts)", output=TRACEBACK))
        runs.add_step(store, replace(step, number=3, code="slow()", status=RUNNING, seconds=0.0))
    most = 1 << 40
    ledger = StoreLedger(stores.lend, Caps(session_tokens=most, session_usd=most, day_tokens=most, day_usd=most))
    for run in (row.id, "r1000bbbb", "r2000bbbb"):
        call = Call(run=run, session="s", backend="b", model="m", purpose="root", most=Cost(usd=0.0))
        ledger.settled(
            ledger.sent(call),
            CallEnd(status=CallStatus.OK, cost=Cost(tokens_in=5, tokens_out=2, usd=0.0), seconds=0.1),
        )
    ledger.sent(replace(call, run=row.id))
    with stores.lend() as store:
        return runs.run_row(store, row.id)


def shown(store: Store, row: RunRow) -> list[str]:
    return list(plain_lines(run_node(store, row, with_steps=True)))


def test_children_hang_below_the_step_that_asked_them_in_the_order_asked(stores: Stores, tree: RunRow) -> None:
    """Not in the order in which they began."""
    with stores.lend() as store:
        told = shown(store, tree)
        without = list(plain_lines(run_node(store, tree, with_steps=False)))
    found = [line.strip()[:7] for line in told if any(word in line for word in ("2. ok", "Part", "3. running"))]
    assert found == ["2. ok, ", "Part 1?", "Part 2?", "3. runn"]
    assert [line.strip()[:9] for line in without if line.strip().startswith("r")] == [
        "r0000aaaa", "r1000bbbb", "r2000bbbb",
    ]  # fmt: skip


def test_the_step_that_runs_is_shown_with_its_code(stores: Stores, tree: RunRow) -> None:
    """For how long it has been running; where its process is gone, it is lost with it."""
    with stores.lend() as store, store.writing() as connection:
        told = shown(store, tree)
        connection.execute("UPDATE run SET started = 1.0")
        lost = steps_of(store, runs.run_row(store, tree.id))
    at = next(number for number, line in enumerate(told) if line.strip().startswith("3. running, "))
    assert told[at + 1].strip() == ">>> slow()"
    assert [step.status for step in lost][:2] == ["ok", "ok"]
    assert lost[2].status in {LOST, RUNNING}  # only Linux tells when a process began


def test_the_head_tells_what_the_whole_tree_cost_and_each_child_its_own(stores: Stores, tree: RunRow) -> None:
    """Calls under way are no failures."""
    with stores.lend() as store:
        heads = [line.strip() for line in shown(store, tree) if line.strip().startswith("r") and "by run" in line]
    assert heads[0].endswith("4 calls, 15 + 6 tokens, $0.0000, 1 under way (3 runs together)")
    assert [head.endswith("1 call, 5 + 2 tokens, $0.0000") for head in heads[1:]] == [True, True]


def test_code_and_output_keep_their_indentation(stores: Stores, tree: RunRow) -> None:
    """A traceback its carets, at a terminal too; of much, the first and the last lines are shown."""
    with stores.lend() as store:
        plain = "\n".join(shown(store, tree))
        screen = on_screen(run_node(store, tree, with_steps=True))
        with store.writing():
            many_lines = "\n".join(f"line {n}" for n in range(50))
            many = StepRow(run=tree.id, number=1, time=1.0, said="", code="", output="", status="ok", seconds=0.1)
            runs.add_step(store, replace(many, output=f"<output 3f9a>\n{many_lines}\n</output 3f9a>"))
        long = "\n".join(shown(store, tree))
    for told in (plain, screen):
        lines = told.splitlines()
        at = next(number for number, line in enumerate(lines) if line.endswith("1 / 0"))
        assert lines[at + 1].index("~~^~~") == lines[at].index("1 / 0")
    assert "output 3f9a" not in long
    assert "line 8\n" in long
    assert "... 38 more lines ...\n" in long
    assert "line 46\n" not in long
    assert "line 49\n" in long


def on_screen(node: Node, *, width: int = 80, height: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(Fitting(drawn(node)))
    return captured.get()


def test_a_tree_that_is_too_high_shows_its_head_and_its_end() -> None:
    """As a person watches it, what happens now is on the screen."""
    node = Node(text="the head", below=tuple(Node(text=f"step {number}") for number in range(40)))
    told = on_screen(node, height=10).splitlines()
    assert len(told) == 9
    assert told[0] == "the head"
    assert told[1].endswith("step 0")
    assert told[2] == "... 33 lines, shown when it is over ..."
    assert told[-1].endswith("step 39")
    assert len(on_screen(node, height=60).splitlines()) == 41
