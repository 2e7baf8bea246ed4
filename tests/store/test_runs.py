"""rlm_mcp.store.runs: Runs as a tree that outlives whoever ran them."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from rlm_mcp.errors import RefError, UsageError
from rlm_mcp.store import runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import LOST, RUNNING, RunRow, StepRow


def _row(run_id: str, *, parent: str = "", root: str = "", session: str = "0badcafe", started: float = 0.0) -> RunRow:
    return RunRow(
        id=run_id,
        parent=parent,
        root=root or run_id,
        session_key=session,
        depth=1 if parent else 0,
        question=f"What of {run_id}?",
        scope="session",
        refs="d01234567:0-5 log:0-9",
        model="big",
        sub_model="small",
        backend="scripted",
        limits={"calls": 5, "usd": None},
        started=started or time.time(),
    )


def _step(run: str, number: int) -> StepRow:
    return StepRow(run=run, number=number, time=1.0, said="words", code="x = 1", output="1", status="ok", seconds=0.5)


def _begin(store: Store, *rows: RunRow) -> None:
    with store.writing():
        for row in rows:
            runs.begin(store, row)


def _end(store: Store, run_id: str, status: str = "ok") -> None:
    with store.writing():
        runs.end(
            store,
            run_id,
            status=status,
            answer="é 42" if status == "ok" else "",
            evidence=({"quote": "“q”", "is_verified": True, "ref": "e1:0-3"},),
            partial="" if status == "ok" else "half of it",
            error=None if status == "ok" else {"type": "BudgetExceeded", "message": "too much"},
        )


def test_a_run_is_read_as_it_was_written(store: Store) -> None:
    """While it runs, and when it is over; by its id or how that begins."""
    row = _row("r0000abcd")
    _begin(store, row)
    found = runs.run_row(store, "r0000abcd")
    assert found == replace(row, pid=os.getpid(), status=RUNNING)
    _end(store, "r0000abcd")
    found = runs.run_row(store, " r0000 ")
    assert (found.status, found.answer, found.partial, found.error) == ("ok", "é 42", "", None)
    assert found.evidence == ({"quote": "“q”", "is_verified": True, "ref": "e1:0-3"},)
    assert found.ended is not None
    _begin(store, _row("r1000abcd"))
    _end(store, "r1000abcd", "calls")
    found = runs.run_row(store, "r1000abcd")
    assert (found.status, found.answer, found.partial) == ("calls", "", "half of it")
    assert found.error == {"type": "BudgetExceeded", "message": "too much"}


def test_a_run_that_goes_on_in_another_way_is_one_run(store: Store) -> None:
    """It keeps when it began."""
    row = replace(_row("r0000abcd"), way="one call")
    _begin(store, row)
    assert runs.run_row(store, "r0000abcd").way == "one call"
    _begin(store, replace(row, way="run", started=row.started + 5))
    assert runs.latest(store) == [replace(row, way="run", pid=os.getpid(), status=RUNNING)]


def test_a_run_that_is_dropped_takes_all_below_it_along(store: Store) -> None:
    """And nothing else."""
    _begin(store, _row("r0000aaaa"), _row("r0000bbbb", parent="r0000aaaa", root="r0000aaaa"), _row("r1000cccc"))
    with store.writing():
        for run in ("r0000aaaa", "r0000bbbb", "r1000cccc"):
            runs.add_step(store, _step(run, 1))
        runs.drop(store, "r0000aaaa")
    left = [row["run"] for row in store.connection.execute("SELECT run FROM step")]
    assert [row.id for row in runs.latest(store)] == left == ["r1000cccc"]


def test_a_name_that_fits_no_run_or_several_is_refused(store: Store) -> None:
    """With what to do."""
    _begin(store, _row("r0000aaaa"), _row("r0000bbbb"))
    for name, what in (
        ("r9", "there is no run"),
        ("r0000", "more than one run"),
        ("", "more than one"),
        ("%", "no run"),
    ):
        with pytest.raises(UsageError, match=what):
            runs.run_row(store, name)


def test_runs_are_listed_the_newest_first_without_those_below(store: Store) -> None:
    """Of one session, or of all."""
    now = time.time()
    _begin(store, _row("r1", started=now), _row("r2", started=now + 1, session="1badcafe"), _row("r3", started=now + 2))
    _begin(store, _row("r4", parent="r1", root="r1", started=now + 3))
    assert [row.id for row in runs.latest(store)] == ["r3", "r2", "r1"]
    assert [row.id for row in runs.latest(store, session_key="0badcafe", limit=1)] == ["r3"]
    _begin(
        store, _row("r5", parent="r4", root="r1", started=now + 3), _row("r6", parent="r1", root="r1", started=now + 4)
    )
    with store.writing() as connection:
        connection.execute("UPDATE run SET depth = 2 WHERE id = 'r5'")
    assert [row.id for row in runs.tree(store, "r1")] == ["r1", "r4", "r5", "r6"]
    assert [row.id for row in runs.tree(store, "r4")] == ["r4", "r5"]
    assert [row.id for row in runs.tree(store, "r6")] == ["r6"]
    assert runs.tree(store, "r9") == []


def test_steps_are_read_in_order_and_their_outputs_whole(store: Store) -> None:
    """What was cut for the root is there; a step that is not is an error."""
    _begin(store, _row("r1"))
    with store.writing():
        runs.add_step(store, _step("r1", 1), "é" * 1_000_000)
        runs.add_step(store, _step("r1", 2))
    assert runs.steps(store, "r1") == [_step("r1", 1), _step("r1", 2)]
    assert runs.whole_output(store, "r1", 1) == "é" * 1_000_000
    assert runs.whole_output(store, "r1", 2) == "1"
    for run, number in (("r1", 3), ("r2", 1)):
        with pytest.raises(RefError, match="has no step"):
            runs.whole_output(store, run, number)


def test_a_step_that_runs_is_there_and_ends_with_its_run(store: Store) -> None:
    """Its end takes the place of its beginning; where none came, the Run's end is one."""
    _begin(store, _row("r1"))
    with store.writing():
        for number in (1, 2):
            runs.add_step(store, replace(_step("r1", number), output="", status=RUNNING, seconds=0.0))
        runs.add_step(store, _step("r1", 1))
    assert [step.status for step in runs.steps(store, "r1")] == ["ok", RUNNING]
    _end(store, "r1", "cancelled")
    assert [step.status for step in runs.steps(store, "r1")] == ["ok", "ended"]


def test_what_was_asked_in_vain_is_counted(store: Store) -> None:
    """Ends by the root's own doing; not limits, other questions, other sessions or children."""
    ends = ("steps", "no_code", "unread", "calls", "ok")
    for number, status in enumerate(ends):
        row = replace(_row(f"r{number}", started=float(number + 1)), question="Q", scope="S")
        _begin(
            store, row, replace(row, id=f"s{number}", parent=row.id), replace(row, id=f"t{number}", question="other")
        )
        for name in ("r", "s", "t"):
            _end(store, f"{name}{number}", status)
    asked = replace(_row("r9", started=100.0), question="Q", scope="S")
    assert runs.in_vain(store, asked) == 3
    assert runs.in_vain(store, replace(asked, started=3.0)) == 2
    assert runs.in_vain(store, replace(asked, session_key="1badcafe")) == 0


def test_a_run_whose_process_is_gone_is_lost(store: Store) -> None:
    """Also where another process has its id by now; what it did stays readable."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    _begin(store, _row("r1"), _row("r2"), _row("r3", started=1.0))
    with store.writing() as connection:
        runs.add_step(store, _step("r1", 1))
        connection.execute("UPDATE run SET pid = ? WHERE id = 'r1'", (int(gone.stdout),))
    assert runs.run_row(store, "r1").status == LOST
    assert runs.run_row(store, "r2").status == RUNNING
    assert len(runs.steps(store, "r1")) == 1
    assert runs.run_row(store, "r3").status == (LOST if sys.platform == "linux" else RUNNING)
    _end(store, "r1")
    assert runs.run_row(store, "r1").status == "ok"
