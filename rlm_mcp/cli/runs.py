"""``runs``, ``run``: questions that were asked, and what became of them."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rlm_mcp.asker import Asker
from rlm_mcp.cli.options import Which, as_json, find, print_json, which_session
from rlm_mcp.cli.view import show, styled
from rlm_mcp.recursion.run import OK
from rlm_mcp.server.asking_text import replayed_text
from rlm_mcp.server.spent_text import spent_text
from rlm_mcp.store import ledger, runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.log import stamp
from rlm_mcp.store.runs import RunRow, StepRow
from rlm_mcp.text import one_line
from rlm_mcp.wiring import wire

if TYPE_CHECKING:
    from rich.tree import Tree

_EXIT_FAILED = 1
_LOOK_SECONDS = 0.2
_LINE_CHARS = 160
_STEP_LINES = 12


@click.command("runs")
@which_session
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="How many.")
@as_json
def runs_command(which: Which, limit: int, as_json: bool) -> None:
    """List questions that were asked, the newest first: by search, one call, a summary or a run; what each cost.

    \b
    Examples:
      rlm-mcp runs
      rlm-mcp runs --session ID --json

    Without --session, --transcript or --repo, those of all sessions. `rlm-mcp run ID` shows one.
    """
    with wire() as stores, stores.lend() as store:
        key = find(store, which).key if which.is_named else ""
        found = runs.latest(store, session_key=key, limit=limit)
        spent = {row.id: ledger.spent(store, run=row.id) for row in found}
    for row in found:
        if as_json:
            print_json({**_record(row), "spent": dataclasses.asdict(spent[row.id])})
        else:
            cost = spent_text(spent[row.id])
            asked = one_line(row.question, 80) or row.scope
            show(f"{row.id}  {stamp(row.started)}  {row.status:9}  {row.way:8}  {cost}  {asked}")
    if not found and not as_json:
        show("no runs yet; 'rlm-mcp ask' makes one")


@click.command("run")
@click.argument("run_id", metavar="ID")
@click.option("--steps/--no-steps", default=True, help="Show the code of each step and what it printed.")
@click.option("--replay", is_flag=True, help="Play it again from what was answered then; ask nobody.")
@as_json
def run_command(run_id: str, steps: bool, replay: bool, as_json: bool) -> None:
    """Show a run as a tree: its steps, the runs below it, what they cost and came to. Live while it runs.

    With --replay it is played again, over its texts as they are now: the models say what they said, nothing is paid or
    noted, and the exit code tells whether the answer is the same (0) or not (1).

    \b
    Examples:
      rlm-mcp run r1f2e3d4c
      rlm-mcp run r1f2 --no-steps
      rlm-mcp run r1f2e3d4c --json
      rlm-mcp run r1f2e3d4c --replay
    """
    if replay:
        _replay(run_id, as_json=as_json)
    with wire() as stores, stores.lend() as store:
        top = runs.run_row(store, run_id)
        if as_json:
            print_json(_tree_record(store, top))
        elif sys.stdout.isatty():
            _show_live(store, top, steps)
        else:
            show("\n".join(_tree_lines(store, top, steps)))


def _replay(run_id: str, *, as_json: bool) -> NoReturn:
    with wire() as stores, Asker(stores) as asker, stores.lend() as store:
        found = asker.replay(store, run_id)
    if as_json:
        print_json(found.record())
    else:
        show(replayed_text(found))
    click.get_current_context().exit(0 if found.is_same else _EXIT_FAILED)


def _record(row: RunRow) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "evidence": [dict(one) for one in row.evidence]}


def _tree_record(store: Store, top: RunRow) -> dict[str, Any]:
    """The Run with its steps, what it spent, and the Runs below it, each alike."""
    rows = runs.tree(store, top.root)

    def told(row: RunRow) -> dict[str, Any]:
        return {
            **_record(row),
            "spent": dataclasses.asdict(ledger.spent_by(store, row.id)),
            "steps": [dataclasses.asdict(step) for step in runs.steps(store, row.id)],
            "runs": [told(child) for child in rows if child.parent == row.id],
        }

    return told(top)


def _tree_lines(store: Store, top: RunRow, with_steps: bool) -> list[str]:
    rows = runs.tree(store, top.root)

    def lines(row: RunRow, indent: str) -> list[str]:
        found = [indent + line for line in _head(store, row)]
        if with_steps:
            for step in runs.steps(store, row.id):
                found += [f"{indent}  {line}" for line in _step_lines(step)]
        for child in rows:
            if child.parent == row.id:
                found += lines(child, indent + "    ")
        return found

    return lines(top, "")


def _head(store: Store, row: RunRow) -> list[str]:
    seconds = (row.ended or time.time()) - row.started
    head = f"{row.id}  {row.status}  by {row.way}  {seconds:.1f} s  {spent_text(ledger.spent_by(store, row.id))}"
    whom = f"{row.backend}, {row.model or 'its default'}" if row.backend else ""
    lines = [
        head,
        f"  {one_line(row.question, _LINE_CHARS)}  ({'; '.join(word for word in (row.scope, whom) if word)})",
    ]
    if row.answer:
        lines.append(f"  = {one_line(row.answer, _LINE_CHARS)}")
    if row.error:
        lines.append(f"  ! {row.error['type']}: {one_line(row.error['message'], _LINE_CHARS)}")
    return lines


def _step_lines(step: StepRow) -> list[str]:
    code = step.code.rstrip("\n").splitlines()
    output = step.output.rstrip("\n").splitlines()
    shown = [f"{step.number}. {step.status}, {step.seconds:.2f} s"]
    shown += [f"   >>> {line}" for line in code[:_STEP_LINES]]
    shown += [f"   ... {len(code) - _STEP_LINES} more lines"] if len(code) > _STEP_LINES else []
    shown += [f"   {one_line(line, _LINE_CHARS)}" for line in output[:_STEP_LINES]]
    shown += [f"   ... {len(output) - _STEP_LINES} more lines"] if len(output) > _STEP_LINES else []
    return shown


def _show_live(store: Store, top: RunRow, with_steps: bool) -> None:
    """The tree, drawn anew while the Run goes on."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if top.status != runs.RUNNING:
        console.print(_branch(store, top, runs.tree(store, top.root), with_steps))
        return
    with Live(console=console, refresh_per_second=4, vertical_overflow="visible") as live:
        row = top
        while True:
            live.update(_branch(store, row, runs.tree(store, row.root), with_steps))
            if row.status != runs.RUNNING:
                return
            time.sleep(_LOOK_SECONDS)
            row = runs.run_row(store, top.id)
            if row.status == runs.LOST:  # or it ended between the look at the store and that at its process
                row = runs.run_row(store, top.id)


def _branch(store: Store, row: RunRow, rows: list[RunRow], with_steps: bool) -> Tree:
    from rich.tree import Tree

    style = {OK: "green", runs.RUNNING: "yellow"}.get(row.status, "red")
    head, *more = _head(store, row)
    tree = Tree(styled(head, style))
    for line in more:
        tree.add(styled(line.strip()))
    if with_steps:
        for step in runs.steps(store, row.id):
            first, *rest = _step_lines(step)
            branch = tree.add(styled(first, "bold"))
            if rest:
                branch.add(styled("\n".join(line.strip() for line in rest), "dim"))
    for child in rows:
        if child.parent == row.id:
            tree.add(_branch(store, child, rows, with_steps))
    return tree
