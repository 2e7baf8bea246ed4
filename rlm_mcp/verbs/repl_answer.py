"""What is written down of a Cell that ran, and what is told of it. Pure but for the clock."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rlm_mcp.config import Settings
from rlm_mcp.redact import redact
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.repl import Cell, Outcome, Repl
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import clean, cut, one_line

STATUS = {
    Ending.OK: CellStatus.OK,
    Ending.FINAL: CellStatus.FINAL,
    Ending.ERROR: CellStatus.ERROR,
    Ending.INTERRUPTED: CellStatus.INTERRUPTED,
    Ending.RESET: CellStatus.RESET,
}
_CHARS_PER_TOKEN = 4
_NEW_VARIABLES = 12
_NAMED = 10
_AS_OF = "what they read (files, clock, random numbers) is as of"
_MARK = re.compile(r"\[REDACTED:[a-z-]+\]")
"""Stands in a Cell's code where a secret was."""

Variables = tuple[tuple[str, str], ...]
"""Name and what it is, of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplAnswer:
    """What a Cell came to."""

    ref: str
    """Of its whole output: ``c12``."""
    status: CellStatus
    output: str
    """Cut; with the last expression's value, the traceback or what was given to FINAL behind it."""
    closing: str
    """What there is to say of it, in a line: time taken, length, what is new."""
    output_chars: int
    """Of the whole output."""
    is_cut: bool
    seconds: float
    final: str | None
    """What was given to FINAL, whole."""
    variables: Variables
    """All variables: name and what it is."""
    notes: tuple[str, ...]
    """What a user should know: variables restored or lost, a process that was ended, missing walls."""

    @property
    def text(self) -> str:
        """All of it, for the Window."""
        said = (f"[{word}]" for word in (self.closing, *self.notes))
        return "\n".join([*([self.output] if self.output else []), *said])


def written(session: SessionRow, cell: Cell, outcome: Outcome, before: Variables) -> tuple[CellRow, bool]:
    """The Cell as the journal keeps it, without secrets; whether its code had any."""
    code, secrets = redact(cell.code)
    output, _count = redact(outcome.output)
    final = "" if outcome.final is None else redact(outcome.final)[0]
    status = CellStatus.ENDED if outcome.ending is None else STATUS[outcome.ending]
    row = CellRow(
        session_key=session.key,
        number=cell.number,
        time=time.time(),
        seconds=outcome.seconds,
        code=code,
        status=status,
        output=output + final,
        lost_bytes=outcome.lost_bytes,
        variables=outcome.variables,
    )
    if status is CellStatus.ENDED:
        row = replace(row, variables=before)
    return row, secrets > 0


def answer(settings: Settings, row: CellRow, outcome: Outcome, before: Variables, notes: tuple[str, ...]) -> ReplAnswer:
    """What a Cell came to, cut to the size of an answer."""
    ref = f"c{row.number}"
    most = settings.repl_tokens * _CHARS_PER_TOKEN
    shown = clean(cut(row.output.rstrip("\n"), most, ref))
    is_cut = len(row.output) > most
    words = [ref]
    if row.status not in (CellStatus.OK, CellStatus.ERROR):
        words.append(row.status)
    if row.seconds >= 0.1:
        words.append(f"{row.seconds:.1f} s")
    if is_cut:
        words.append(f"{len(row.output):,} characters, cut; whole: read {ref}")
    if row.lost_bytes:
        words.append(f"{row.lost_bytes:,} bytes more were printed and not kept")
    known_before = dict(before)
    new = [f"{name} ({what})" for name, what in row.variables if known_before.get(name) != what]
    if new:
        more = f" and {len(new) - _NEW_VARIABLES} more" if len(new) > _NEW_VARIABLES else ""
        words.append(f"set {', '.join(one_line(one, 60) for one in new[-_NEW_VARIABLES:])}{more}")
    return ReplAnswer(
        ref=ref,
        status=row.status,
        output=shown,
        closing="; ".join(words),
        output_chars=len(row.output),
        is_cut=is_cut,
        seconds=row.seconds,
        final=None if outcome.final is None else redact(outcome.final)[0],
        variables=row.variables,
        notes=notes,
    )


def why_not_again(row: CellRow) -> str:
    """Why the Cell is not run again to bring its variables back; empty where it is."""
    if row.status is CellStatus.INTERRUPTED:
        return "it was interrupted"
    return "its secrets are not kept" if _MARK.search(row.code) else ""


def without_file(saved: Checkpoint, why: str) -> Checkpoint:
    """Saved variables of which none can be had."""
    lost = tuple((name, why) for name, _offset, _length in saved.variables)
    return replace(saved, file="", variables=(), unsaved=(*saved.unsaved, *lost))


def told_restored(
    saved: Checkpoint | None,
    again: Sequence[int],
    left_out: Mapping[int, str],
    lost: Variables,
    failed: Sequence[str],
) -> tuple[str, ...]:
    """What to tell of a restart.

    Args:
        saved: what was taken.
        again: Cells that were run again.
        left_out: Cells that were not, and why.
        lost: names of variables, and why.
        failed: Refs of the Cells that came to another end.
    """
    said: list[str] = []
    if saved is not None and saved.variables:
        said.append(f"variables restored as of c{saved.cell}")
    if again:
        said.append(f"run again: {_spans(again)}; {_AS_OF} now")
    if failed:
        said.append(f"came to another end than before: {_some(failed)}")
    if left_out:
        said.append(f"not run again: {_some([f'c{number} ({why})' for number, why in sorted(left_out.items())])}")
    if lost:
        said.append(f"not restored: {_some([f'{one_line(name, 60)} ({one_line(why, 80)})' for name, why in lost])}")
    return ("; ".join(said),) if said else ()


def told_ended(why: str, saved: Checkpoint | None, since: Sequence[CellRow]) -> str:
    """What to tell of a Cell whose process ended.

    Args:
        saved: what the next Cell will take.
        since: those that will then be run again, or named.
    """
    said = f"the process was ended ({why}); variables are as "
    if since:
        numbers = [row.number for row in since]
        said += f"saved after c{saved.cell}" if saved is not None and saved.variables else "at the beginning"
        said += f", and the next Cell runs {_spans(numbers)} again; {_AS_OF} then"
    else:
        said += "they were before this Cell"
    lost = [f"{one_line(name, 60)} ({one_line(reason, 80)})" for name, reason in saved.unsaved] if saved else []
    return f"{said}; lost: {_some(lost)}" if lost else said


def told_left_out(left_out: Mapping[str, str]) -> str:
    """What to tell of variables that are not saved, and why, as soon as that is known."""
    named = [f"{one_line(name, 60)} ({one_line(why, 120)})" for name, why in left_out.items()]
    return f"not saved from now on, and lost if the process ends: {_some(named)}"


def told_taken_over(parent_key: str, number: int) -> str:
    """What to tell when a fork uses its parent's variables for the first time."""
    return f"variables taken over from session {parent_key} as of its c{number}; from here on each has its own"


def _spans(numbers: Sequence[int]) -> str:
    """``c1, c3 to c5``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return _some([" to ".join(f"c{number}" for number in span) for span in spans])


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more


def walls(live: Repl) -> tuple[str, ...]:
    """A word where the walls are not what they should be."""
    return tuple(layer for layer in live.layers if layer.startswith("NOT JAILED"))
