"""``runs``, ``run``: questions that were asked, and what became of them."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from typing import Any, NoReturn

import click

from rlm_mcp.asker import Asker
from rlm_mcp.cli.options import Which, as_json, find, print_json, which_session
from rlm_mcp.cli.run_tree import Fitting, drawn, in_order, plain_lines, run_node, steps_of
from rlm_mcp.cli.view import show
from rlm_mcp.server.asking_text import replayed_text
from rlm_mcp.server.spent_text import spent_text
from rlm_mcp.store import ledger, runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.log import stamp
from rlm_mcp.store.runs import RunRow
from rlm_mcp.text import one_line
from rlm_mcp.wiring import wire

_EXIT_FAILED = 1
_LOOK_SECONDS = 0.2
_QUESTION_CHARS = 80
_WIDE_COLUMNS = 140


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
        for row in found:
            if as_json:
                print_json(_record(store, row))
            else:
                show(_listed(row, spent_text(ledger.spent(store, run=row.id))))
    if not found and not as_json:
        show("no runs yet; 'rlm-mcp ask' makes one")


@click.command("run")
@click.argument("run_id", metavar="ID")
@click.option("--steps/--no-steps", default=True, help="Show the code of each step and what it printed.")
@click.option("--replay", is_flag=True, help="Play it again from what was answered then; ask nobody.")
@as_json
def run_command(run_id: str, steps: bool, replay: bool, as_json: bool) -> None:
    """Show a run as a tree: its steps, the runs below it, what they cost and came to. Live while it runs.

    The topmost line tells what the whole tree cost, the others what each run did by itself; in JSON `spent` is always
    with all below, `spent_alone` without.

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
            _show_at_terminal(store, top, with_steps=steps)
        else:
            show("\n".join(plain_lines(run_node(store, top, with_steps=steps))))


def _listed(row: RunRow, cost: str) -> str:
    """A Run in a line; in two where a person's terminal is narrow."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE_COLUMNS
    if columns >= _WIDE_COLUMNS:
        asked = one_line(row.question, _QUESTION_CHARS) or row.scope
        return f"{row.id}  {stamp(row.started)}  {row.status:9}  {row.way:8}  {cost}  {asked}"
    head = f"{row.id}  {row.status:9}  "
    asked = one_line(row.question or row.scope, max(_QUESTION_CHARS // 4, columns - len(head)))
    return f"{head}{asked}\n    {stamp(row.started)}  by {row.way}  {cost}"


def _replay(run_id: str, *, as_json: bool) -> NoReturn:
    with wire() as stores, Asker(stores) as asker, stores.lend() as store:
        found = asker.replay(store, run_id)
    if as_json:
        print_json(found.record())
    else:
        show(replayed_text(found))
    click.get_current_context().exit(0 if found.is_same else _EXIT_FAILED)


def _record(store: Store, row: RunRow) -> dict[str, Any]:
    """A Run as it is kept, and what it cost: with all below it, and alone."""
    return {
        **dataclasses.asdict(row),
        "evidence": [dict(one) for one in row.evidence],
        "spent": dataclasses.asdict(ledger.spent(store, run=row.id)),
        "spent_alone": dataclasses.asdict(ledger.spent_by(store, row.id)),
    }


def _tree_record(store: Store, top: RunRow) -> dict[str, Any]:
    """The Run with its steps, and the Runs below it, each alike."""
    rows = runs.tree(store, top.id)

    def told(row: RunRow) -> dict[str, Any]:
        return {
            **_record(store, row),
            "steps": [dataclasses.asdict(step) for step in steps_of(store, row)],
            "runs": [told(child) for child in in_order([one for one in rows if one.parent == row.id])],
        }

    return told(top)


def _show_at_terminal(store: Store, top: RunRow, *, with_steps: bool) -> None:
    """The tree; drawn anew while the Run goes on."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if top.status != runs.RUNNING:
        console.print(drawn(run_node(store, top, with_steps=with_steps)))
        return
    with Live(console=console, auto_refresh=False) as live:
        row = top
        while True:
            tree = drawn(run_node(store, row, with_steps=with_steps))
            if row.status != runs.RUNNING:
                live.update(tree, refresh=True)
                return
            live.update(Fitting(tree), refresh=True)
            time.sleep(_LOOK_SECONDS)
            row = runs.run_row(store, top.id)
            if row.status == runs.LOST:  # or it ended between the look at the store and that at its process
                row = runs.run_row(store, top.id)
