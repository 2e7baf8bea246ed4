"""A Run as a tree: its steps, below each the Runs that it asked for, what they cost and came to."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rlm_mcp.cli.view import styled
from rlm_mcp.recursion.run import OK
from rlm_mcp.server.spent_text import spent_text
from rlm_mcp.store import ledger, runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import RunRow, StepRow
from rlm_mcp.text import one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.tree import Tree

_LINE_CHARS = 160
_HEAD_LINES, _TAIL_LINES = 9, 3
"""Shown of code and of output: how a traceback ends tells most."""
_INDENT = "   "
_HEAD_ROOM = 2
"""Lines that the head may take where it is wrapped."""
_SET_OFF = re.compile(r"^</?output [0-9a-f]{4,64}>(?:\n|\Z)", re.MULTILINE)
"""Lines between which the root is told of an output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Lines, and what hangs below them."""

    text: str
    style: str = ""
    is_exact: bool = False
    """Code or output: lines are cut at the screen's edge, never wrapped."""
    below: tuple[Node, ...] = ()


def run_node(store: Store, top: RunRow, *, with_steps: bool) -> Node:
    """The Run with all below it, as they are now."""
    rows = runs.tree(store, top.id)
    return _run(store, top, _children(rows), len(rows), with_steps=with_steps)


def steps_of(store: Store, row: RunRow) -> list[StepRow]:
    """What the Run did, in order; where its process is gone, so is the step that ran."""
    return [
        replace(step, status=row.status) if step.status == runs.RUNNING else step for step in runs.steps(store, row.id)
    ]


def in_order(children: Sequence[RunRow]) -> list[RunRow]:
    """As their parent asked them."""
    return sorted(children, key=lambda row: (row.step or float("inf"), row.place, row.started))


def plain_lines(node: Node, indent: str = "") -> Iterator[str]:
    """The tree for a pipe."""
    yield from (indent + line for line in node.text.split("\n"))
    for one in node.below:
        yield from plain_lines(one, indent + _INDENT)


def drawn(node: Node) -> Tree:
    """The tree for a terminal."""
    from rich.tree import Tree

    text = styled(node.text, node.style)
    if node.is_exact:
        text.no_wrap, text.overflow = True, "ellipsis"
    tree = Tree(text)
    tree.children.extend(map(drawn, node.below))
    return tree


def _children(rows: Sequence[RunRow]) -> dict[str, list[RunRow]]:
    """By parent."""
    found: dict[str, list[RunRow]] = {}
    for row in in_order(rows):
        found.setdefault(row.parent, []).append(row)
    return found


def _run(store: Store, row: RunRow, children: dict[str, list[RunRow]], count: int, *, with_steps: bool) -> Node:
    """A Run: of the topmost one, which is one of ``count``, what all of them cost; of others what they did alone."""
    below = [Node(text=line) for line in _told(row)]
    left = children.get(row.id, [])
    for step in steps_of(store, row) if with_steps else ():
        asked = [child for child in left if child.step == step.number]
        left = [child for child in left if child.step != step.number]
        nodes = [_run(store, child, children, 0, with_steps=with_steps) for child in asked]
        below.append(_step(step, nodes))
    below += [_run(store, child, children, 0, with_steps=with_steps) for child in left]
    style = {OK: "green", runs.RUNNING: "yellow"}.get(row.status, "red")
    return Node(text=_head(store, row, count), style=style, below=tuple(below))


def _head(store: Store, row: RunRow, count: int) -> str:
    seconds = (row.ended or time.time()) - row.started
    cost = spent_text(ledger.spent(store, run=row.id) if count else ledger.spent_by(store, row.id))
    whole = f" ({count:,} runs together)" if count > 1 else ""
    return f"{row.id}  {row.status}  by {row.way}  {seconds:.1f} s  {cost}{whole}"


def _told(row: RunRow) -> Iterator[str]:
    """What was asked, of whom, and what came of it."""
    whom = f"{row.backend}, {row.model or 'its default'}" if row.backend else ""
    yield f"{one_line(row.question, _LINE_CHARS)}  ({'; '.join(word for word in (row.scope, whom) if word)})"
    if row.answer:
        yield f"= {one_line(row.answer, _LINE_CHARS)}"
    if row.error:
        yield f"! {row.error['type']}: {one_line(row.error['message'], _LINE_CHARS)}"


def _step(step: StepRow, children: Sequence[Node]) -> Node:
    seconds = f"{time.time() - step.time:.0f} s" if step.status == runs.RUNNING else f"{step.seconds:.2f} s"
    code = [f"{'...' if number else '>>>'} {line}" for number, line in enumerate(_some(step.code))]
    shown = [*code, *_some(_SET_OFF.sub("", step.output))]
    below = [Node(text="\n".join(shown), style="dim", is_exact=True)] if shown else []
    return Node(text=f"{step.number}. {step.status}, {seconds}", style="bold", below=(*below, *children))


def _some(text: str) -> list[str]:
    """Its lines as they stand; of many, the first and the last."""
    lines = [line if len(line) <= _LINE_CHARS else f"{line[: _LINE_CHARS - 3]}..." for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    left_out = len(lines) - _HEAD_LINES - _TAIL_LINES
    if left_out <= 1:
        return lines
    return [*lines[:_HEAD_LINES], f"... {left_out:,} more lines ...", *lines[-_TAIL_LINES:]]


class Fitting:
    """A tree on a screen that it may be too high for: its head and as much of its end as there is room for."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See ``rich.protocol``."""
        from rich.segment import Segment

        lines = console.render_lines(self._tree, options.update(height=None), pad=False)
        room = console.height - 1
        left_out = len(lines) - room + 1
        if left_out > 1 and room > _HEAD_ROOM + 1:
            mark = [Segment(f"... {left_out:,} lines, shown when it is over ...")]
            lines = [*lines[:_HEAD_ROOM], mark, *lines[left_out + _HEAD_ROOM :]]
        for line in lines:
            yield from line
            yield Segment.line()
