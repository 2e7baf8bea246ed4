"""What a Brief says, section by section, the most valuable first within each. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlm_mcp.brief.fit import Line
from rlm_mcp.brief.lines import View, edit_group_line, fact_line, only_looks, read_group_line
from rlm_mcp.brief.material import Material, TurnLine
from rlm_mcp.store.facts import FactRow
from rlm_mcp.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and its lines, the most valuable first."""

    title: str
    kinds: tuple[str, ...]
    """The kinds of Fact it speaks of, for the loss report."""
    lines: Sequence[Line]
    total: int
    """How many there are in all (``lines`` may be bounded)."""
    share: float
    """Of the room, when room is short."""
    narrowest: int = 84
    """Characters below which its lines no longer say what they must."""


_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")
_WHOLE_PLAN = "plan"
"""Subject of a plan as a whole; its steps are Facts of their own."""
_OPEN_TODO = {"in_progress": 0, "pending": 1, "completed": 2, "cancelled": 3}
_TURN_WORDS = (
    ("edit", "edits"),
    ("command", "commands"),
    ("failed", "failed"),
    ("error", "error lines"),
    ("decision", "decisions"),
    ("commit", "commits"),
)


def sections(material: Material) -> list[Section]:
    """Every section that has something to say, in the order they stand in the Brief."""
    view = View(cwd=material.cwd, session_key=material.session_key)
    built = [
        _facts(
            material, view, "User's rules and corrections, verbatim", ("constraint", "correction"), 0.14, narrowest=200
        ),
        _plan(material, view),
        _todos(material, view),
        _facts(material, view, "Tests, latest outcome", ("test", "failing_test"), 0.06),
        _facts(material, view, "Open errors, verbatim", ("error",), 0.1, narrowest=110),
        _edits(material, view),
        _symbols(material, view),
        _commands(material, view),
        _facts(material, view, "Decisions", ("decision",), 0.09, narrowest=140),
        _facts(material, view, "Commits and pull requests", ("commit", "pull_request"), 0.04),
        _facts(material, view, "Questions and sub-agent tasks", ("question", "task"), 0.05),
        _reads(material, view),
        _values(material, view),
        _turns(material),
        _summary(material),
    ]
    return [_focused(section, material.focus) for section in built if section.lines]


def _facts(
    material: Material, view: View, title: str, kinds: tuple[str, ...], share: float, *, narrowest: int = 84
) -> Section:
    found = [row for kind in kinds for row in material.facts.get(kind, ())]
    rows = list({row.text or row.subject: row for row in found}.values())
    rows.sort(key=lambda row: _stands_in_an_ask(row, material))  # those give way first when room is short
    said_twice = len(found) - len(rows)
    return Section(
        title=title,
        kinds=kinds,
        lines=[_line(row, view) for row in rows],
        total=max(len(rows), sum(material.totals.get(kind, 0) for kind in kinds) - said_twice),
        share=share,
        narrowest=narrowest,
    )


def _stands_in_an_ask(row: FactRow, material: Material) -> bool:
    return any(
        row.text in ask.text for ask in (material.first_ask, material.latest_ask) if ask is not None and row.text
    )


def _line(row: FactRow, view: View) -> Line:
    return lambda width: "- " + fact_line(row, replace(view, width=width))


def _plan(material: Material, view: View) -> Section:
    rows = [row for row in material.facts.get("plan", ()) if row.subject == _WHOLE_PLAN][:1]
    asks = [ask.text for ask in (material.first_ask, material.latest_ask) if ask is not None]
    rows = [row for row in rows if not any(row.text[:200] in ask for ask in asks)]  # it stands in the ask already
    return Section(
        title="Plan",
        kinds=("plan",),
        lines=[_plan_line(row, view) for row in rows],
        total=len(rows),
        share=0.1,
        narrowest=400,
    )


def _plan_line(row: FactRow, view: View) -> Line:
    ref = view.ref(row.session_key, row.seq)
    return lambda width: f"- {row.status or 'stated'}: {one_line(row.text, width * 3)} {ref}"


def _todos(material: Material, view: View) -> Section:
    rows = sorted(material.facts.get("todo", ()), key=lambda row: (_OPEN_TODO.get(row.status, 1), row.seq))
    return Section(
        title="Todos ([~] in progress, [ ] open, [x] done)",
        kinds=("todo",),
        lines=[_line(row, view) for row in rows],
        total=material.totals.get("todo", 0),
        share=0.07,
        narrowest=60,
    )


def _edits(material: Material, view: View) -> Section:
    return Section(
        title="Files edited (lines added-removed)",
        kinds=("edit",),
        lines=[
            (
                lambda width, group=group: (
                    "- "
                    + edit_group_line(  # type: ignore[misc]
                        group, replace(view, width=width)
                    )
                )
            )
            for group in material.edits
        ],
        total=material.totals.get("edit", 0),
        share=0.17,
        narrowest=40,
    )


def _symbols(material: Material, view: View) -> Section:
    return Section(
        title="Functions and types added",
        kinds=("symbol",),
        lines=[_symbol_line(path, rows, view) for path, rows in material.symbols.items()],
        total=len(material.symbols),
        share=0.1,
        narrowest=40,
    )


def _symbol_line(path: str, rows: Sequence[FactRow], view: View) -> Line:
    joined = ", ".join(dict.fromkeys(row.subject for row in reversed(rows)))
    ref = view.ref(rows[0].session_key, rows[0].seq)
    return lambda width: f"- {view.path(path)}: {one_line(joined, width * 2)} {ref}"


def _reads(material: Material, view: View) -> Section:
    edited_at = {group.subject: group.last_seq for group in material.edits}
    only_read = [group for group in material.reads if group.subject not in edited_at]
    return Section(
        title="Files read, not edited",
        kinds=("read",),
        lines=[
            (lambda width, group=group: "- " + read_group_line(group, replace(view, width=width), edited_at))  # type: ignore[misc]
            for group in only_read
        ],
        total=max(0, material.totals.get("read", 0) - (len(material.reads) - len(only_read))),
        share=0.11,
        narrowest=40,
    )


def _commands(material: Material, view: View) -> Section:
    rows = sorted(
        material.facts.get("command", ()),
        key=lambda row: (row.status != "failed", only_looks(row.text or row.subject), -row.seq),
    )
    return Section(
        title="Commands, latest outcome each (failed ones first, those that only look last)",
        kinds=("command",),
        lines=[_line(row, view) for row in rows],
        total=material.totals.get("command", 0),
        share=0.2,
        narrowest=68,
    )


def _values(material: Material, view: View) -> Section:
    asks = " ".join(ask.text for ask in (material.first_ask, material.latest_ask) if ask is not None)
    by_event: dict[tuple[str, int], list[str]] = {}
    for row in material.facts.get("value", ()):
        if row.subject not in asks:
            by_event.setdefault((row.session_key, row.seq), []).append(row.subject)
    return Section(
        title="Values the user gave",
        kinds=("value",),
        lines=[_values_line(names, view.ref(*place)) for place, names in by_event.items()],
        total=len(by_event),
        share=0.04,
        narrowest=60,
    )


def _values_line(names: Sequence[str], ref: str) -> Line:
    return lambda width: f"- {one_line(', '.join(names), width * 2)} {ref}"


def _turns(material: Material) -> Section:
    latest = material.latest_ask.turn if material.latest_ask else 0
    older = [line for line in material.turn_lines if line.turn != latest and line.prompt]
    return Section(
        title="Earlier turns, newest first",
        kinds=("prompt",),
        lines=[_turn_line(line) for line in older],
        total=max(0, material.turns - (1 if latest else 0)),
        share=0.12,
        narrowest=60,
    )


def _summary(material: Material) -> Section:
    """A model's words: below all facts, with what it stands for, and up to where that reaches."""
    found = material.summary
    sentences = [one for one in _SENTENCE_ENDS.split(found.text.strip()) if one] if found is not None else []
    refs = [f" {found.ref}" if found is not None and number == 0 else "" for number in range(len(sentences))]
    where = f"up to t{found.upto_turn} of {found.turns}" if found is not None else ""
    return Section(
        title=f"Summary, written by another model, {where}",
        kinds=("summary",),
        lines=[_summary_line(sentence, ref) for sentence, ref in zip(sentences, refs, strict=True)],
        total=len(sentences),
        share=0.02,
        narrowest=150,
    )


def _summary_line(sentence: str, ref: str) -> Line:
    return lambda width: f"- {one_line(sentence.removeprefix('- '), width)}{ref}"


def _turn_line(line: TurnLine) -> Line:
    did = ", ".join(f"{line.counts[kind]} {word}" for kind, word in _TURN_WORDS if line.counts.get(kind))
    return lambda width: f'- t{line.turn} "{one_line(line.prompt, width)}"{f" ({did})" if did else ""} {line.ref}'


def _focused(section: Section, focus: str) -> Section:
    """Lines that hold words of the focus stand first."""
    words = [word for word in focus.lower().split() if len(word) > 3]
    if not words:
        return section
    ranked = sorted(section.lines, key=lambda line: not any(word in line(1200).lower() for word in words))
    return replace(section, lines=ranked, share=section.share)
