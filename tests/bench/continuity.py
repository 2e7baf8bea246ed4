"""Continuity: how much of what a careful reader would note comes through a swap.

For each transcript and cut: the facts a careful reader lists (``careful_reader.py``, apart from the product), the
product's 4,000-token Brief, and for each fact one search with default arguments, asked once with words of its Turn's
prompt only and once as a plain typed question. A fact is continued where the Brief or either answer holds it.

    python -m tests.bench.continuity [--json] [--misses N] [--cli] [FILE ...]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rlm_mcp.errors import RlmError
from rlm_mcp.text import estimate_tokens
from tests.bench.baselines import grep, log_lines, plain_lists
from tests.bench.careful_reader import DEEPER, LISTED, Noted, Notes, take_notes
from tests.bench.careful_text import content_words
from tests.bench.precision import Judge
from tests.bench.product import CommandLine, InProcess, Product
from tests.bench.questions import TYPED, cue_words, question_kind, typed_question
from tests.bench.recalled import Page, recalls, shown_as_current
from tests.bench.scenes import Scene, find_transcripts, scenes_of, write_prefix
from tests.bench.steps import Step, builtin_summary, read_steps

_NONE_THERE = re.compile(r"no [\w ,]+ recorded$")
"""An answer that says there are none: judged by recall, not by precision."""
_JUDGED_IN_ANSWERS = ("todo", "test", "failing_test")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """One fact of one scene, and by which routes it came back."""

    scene: Scene
    fact: Noted
    fifth: int
    in_brief: bool
    by_cue: bool
    by_typed: bool
    cue: str
    typed: str
    builtin: bool | None
    """By the built-in summary with grep; None where the transcript holds no summary at this cut."""
    summary_alone: bool | None
    lists: bool

    @property
    def continued(self) -> bool:
        """By any route."""
        return self.in_brief or self.by_cue or self.by_typed


@dataclass(slots=True)
class Measure:
    """All that one run found."""

    outcomes: list[Outcome] = field(default_factory=list)
    stale: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Superseded facts shown as current: scene, where, fact, line."""
    lines: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """Of typed answers by kind: lines of the kind asked, all lines."""
    strays: list[tuple[str, str, str]] = field(default_factory=list)
    """Lines not of the kind asked: scene, question, line."""
    sizes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Of Briefs and answers: characters by four, and the product's own estimate."""
    phrasings: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """By typed question: facts that its answer alone holds, all facts of its kind."""
    errors: list[str] = field(default_factory=list)
    pages: dict[tuple[str, str], str] = field(default_factory=dict)
    """The texts themselves, by scene and question ('' for the Brief), to explain misses."""


def measure_scene(scene: Scene, found: Measure, *, make: Callable[[Path], Product]) -> None:
    """Adds one transcript at one cut to the measure."""
    label = f"{scene.session} @ {scene.name}"
    steps = read_steps(list(scene.records[: scene.cut]))
    notes = take_notes(steps)
    with tempfile.TemporaryDirectory(prefix="continuity-") as folder:
        product = make(Path(folder) / "home")
        prefix = Path(folder) / scene.path.name
        asked: dict[str, Page] = {}

        def ask(question: str) -> Page:
            if question not in asked:
                try:
                    text = product.search(prefix, question)
                except RlmError as error:
                    found.errors.append(f"{label}: search {question!r}: {error}")
                    text = ""
                found.sizes["search"].append((len(text) // 4, estimate_tokens(text)))
                found.pages[label, question] = text
                asked[question] = Page(text)
            return asked[question]

        try:
            write_prefix(scene, prefix, product.brief)
            text = product.brief(prefix)
            found.sizes["brief"].append((len(text) // 4, estimate_tokens(text)))
            found.pages[label, ""] = text
            _facts(scene, steps, notes, found, (Page(text), ask))
            judge = Judge(steps, notes, prefix.read_text(encoding="utf-8", errors="replace"))
            _typed_answers(label, judge, notes, found, ask)
        finally:
            product.close()


def _facts(
    scene: Scene, steps: list[Step], notes: Notes, found: Measure, product: tuple[Page, Callable[[str], Page]]
) -> None:
    brief, ask = product
    lines = log_lines(steps)
    summary = builtin_summary(list(scene.records), scene.cut)
    greps: dict[str, Page] = {}

    def grepped(question: str) -> Page:
        if question not in greps:
            greps[question] = Page(grep(lines, question))
        return greps[question]

    current = notes.current()
    lists = Page(plain_lists(steps))
    summary_page = Page(summary) if summary else None
    for fact in current:
        cue, typed = cue_words(fact, notes.prompts.get(fact.turn, "")), typed_question(fact)
        in_brief = recalls(brief, fact)
        alone = recalls(summary_page, fact) if summary_page else None
        found.outcomes.append(
            Outcome(
                scene=scene,
                fact=fact,
                fifth=min(4, fact.at * 5 // max(1, scene.bytes + 1)),
                in_brief=in_brief,
                by_cue=not in_brief and bool(cue) and recalls(ask(cue), fact),
                by_typed=not in_brief and recalls(ask(typed), fact),
                cue=cue,
                typed=typed,
                summary_alone=alone,
                builtin=None if alone is None else alone or any(recalls(grepped(q), fact) for q in (cue, typed) if q),
                lists=recalls(lists, fact),
            )
        )
    label = f"{scene.session} @ {scene.name}"
    for fact in notes.facts:
        if fact.superseded and (line := shown_as_current(brief, fact, current)):
            found.stale.append((label, "brief", f"{fact.kind}: {fact.needle[:80]} [{fact.status[:12]}]", line[:160]))


def _typed_answers(label: str, judge: Judge, notes: Notes, found: Measure, ask: Callable[[str], Page]) -> None:
    """Precision of each typed answer, recall of each phrasing, and superseded facts in it."""
    current = notes.current()
    for kind, phrasings in TYPED.items():
        wanted = [fact for fact in current if question_kind(fact) == kind]
        if not judge.knows_any(kind):
            continue
        for question in phrasings:
            page = ask(question)
            found.phrasings[f"{kind}: {question}"][0] += sum(recalls(page, fact) for fact in wanted)
            found.phrasings[f"{kind}: {question}"][1] += len(wanted)
            if not wanted and kind not in ("command", "edit", "read"):
                continue
            for line in page.lines:
                if _NONE_THERE.match(line.text):
                    continue
                right = judge.of_kind(kind, line.text)
                found.lines[kind][0] += right
                found.lines[kind][1] += 1
                if not right:
                    found.strays.append((label, question, line.text[:160]))
            for fact in notes.facts:
                judged = fact.superseded and fact.kind == kind.split()[0] and fact.kind in _JUDGED_IN_ANSWERS
                if judged and (shown := shown_as_current(page, fact, current)):
                    what = f"{fact.kind}: {fact.needle[:80]} [{fact.status[:12]}]"
                    found.stale.append((label, question, what, shown[:160]))


def measure(paths: list[Path], *, cli: bool = False, third: bool = True) -> Measure:
    """The whole measure over these transcripts."""
    found = Measure()
    for path in paths:
        for scene in scenes_of(path, third=third):
            measure_scene(scene, found, make=CommandLine if cli else InProcess)
    return found


def _share(outcomes: Iterable[Outcome], route: Callable[[Outcome], bool | None]) -> dict[str, float]:
    judged = [bool(value) for outcome in outcomes if (value := route(outcome)) is not None]
    return {"facts": len(judged), "share": round(sum(judged) / len(judged), 4) if judged else 0.0}


_ROUTES: dict[str, Callable[[Outcome], bool | None]] = {
    "continued": lambda o: o.continued,
    "brief": lambda o: o.in_brief,
    "brief or cue": lambda o: o.in_brief or o.by_cue,
    "brief or typed": lambda o: o.in_brief or o.by_typed,
    "built-in + grep": lambda o: o.builtin,
    "built-in summary alone": lambda o: o.summary_alone,
    "plain lists": lambda o: o.lists,
}


def _grouped(outcomes: list[Outcome], key: Callable[[Outcome], str]) -> dict[str, dict[str, dict[str, float]]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[key(outcome)].append(outcome)
    return {name: {route: _share(group, of) for route, of in _ROUTES.items()} for name, group in groups.items()}


def _sizes(values: list[tuple[int, int]]) -> dict[str, int]:
    if not values:
        return {}
    quarter, estimate = zip(*values, strict=True)
    return {
        "count": len(values),
        "median_chars_by_4": sorted(quarter)[len(quarter) // 2],
        "max_chars_by_4": max(quarter),
        "median_estimate": sorted(estimate)[len(estimate) // 2],
        "max_estimate": max(estimate),
    }


def report(found: Measure) -> dict[str, object]:
    """The figures as one JSON-serialisable object."""
    outcomes = found.outcomes
    right, lines = (sum(counts[i] for counts in found.lines.values()) for i in (0, 1))
    return {
        "total": {route: _share(outcomes, of) for route, of in _ROUTES.items()},
        "total_without_symbols": {
            route: _share([o for o in outcomes if o.fact.kind != "symbol"], of) for route, of in _ROUTES.items()
        },
        "by_group": _grouped(outcomes, lambda o: "listed" if o.fact.kind in LISTED else "deeper"),
        "by_kind": _grouped(outcomes, lambda o: o.fact.kind),
        "by_fifth": _grouped([o for o in outcomes if o.fact.kind != "symbol"], lambda o: f"fifth {o.fifth + 1}"),
        "by_scene": _grouped(
            outcomes, lambda o: "compaction" if o.scene.name.startswith("compaction") else o.scene.name
        ),
        "by_session": _grouped(outcomes, lambda o: f"{o.scene.session} @ {o.scene.name}"),
        "superseded_as_current": len(found.stale),
        "precision": {
            "all": round(right / lines, 4) if lines else 0.0,
            **{kind: [round(n / total, 4), total] for kind, (n, total) in found.lines.items() if total},
        },
        "phrasings": {q: [round(n / total, 4), total] for q, (n, total) in found.phrasings.items() if total},
        "sizes": {name: _sizes(values) for name, values in found.sizes.items()},
        "errors": found.errors,
    }


def print_tables(figures: dict[str, object]) -> None:
    """The figures for people."""
    short = ("continued", "brief", "brief or cue", "brief or typed", "built-in + grep", "plain lists")
    print(f"{'':44}{'facts':>6} " + " ".join(f"{name[:14]:>14}" for name in short))
    groups = ("by_group", "by_kind", "by_fifth", "by_scene", "by_session")
    rows: list[tuple[str, object]] = [
        ("total", figures["total"]),
        ("without symbols", figures["total_without_symbols"]),
    ]
    for group in groups:
        of_group = figures[group]
        assert isinstance(of_group, dict)
        order = [k for k in (*LISTED, *DEEPER) if k in of_group] if group == "by_kind" else sorted(of_group)
        rows += [("", None), *((name, of_group[name]) for name in order)]
    for name, row in rows:
        if isinstance(row, dict):
            cells = [f"{row[r]['share']:14.1%}" if row[r]["facts"] else f"{'-':>14}" for r in short]
            print(f"{name[-43:]:44}{row['continued']['facts']:6} " + " ".join(cells))
        else:
            print()
    for name in ("superseded_as_current", "precision", "sizes", "errors"):
        print(f"\n{name}: {json.dumps(figures[name])}")
    print("\nphrasings (share of the facts of the kind that this answer alone holds):")
    phrasings = figures["phrasings"]
    assert isinstance(phrasings, dict)
    for question, (share, total) in phrasings.items():
        print(f"  {share:7.1%} of {total:4}  {question}")


def print_misses(found: Measure, limit: int) -> None:
    """Missed facts by kind, each with what was asked and the nearest line that came back."""
    seen: Counter[str] = Counter()
    for outcome in found.outcomes:
        fact = outcome.fact
        if outcome.continued or seen[fact.kind] >= limit:
            continue
        seen[fact.kind] += 1
        label = f"{outcome.scene.session} @ {outcome.scene.name}"
        print(f"\nMISS {fact.kind} [{fact.status[:30]}] t{fact.turn} fifth {outcome.fifth + 1}  {label}")
        print(f"  needle: {fact.needle[:200]!r}")
        for route, question in (("brief", ""), ("cue", outcome.cue), ("typed", outcome.typed)):
            text = found.pages.get((label, question), "")
            if route == "cue" and not question:
                print("  cue:   no word of the prompt is left to ask with")
            else:
                print(f"  {route}: {question!r} -> {len(text):,} characters; nearest: {_nearest(text, fact.needle)!r}")


def _nearest(text: str, needle: str) -> str:
    wanted = set(content_words(needle))
    lines = [line for line in text.splitlines() if line.strip()]
    best = max(lines, key=lambda line: len(wanted & set(content_words(line))), default="")
    return best.strip()[:180] if wanted & set(content_words(best)) else ""


def main() -> int:
    """Runs the measure; exit code 2 where there is no transcript."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="transcripts or folders; default: the real ones")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.add_argument("--misses", type=int, default=0, metavar="N", help="list up to N misses of each kind")
    parser.add_argument("--stale", action="store_true", help="list superseded facts shown as current")
    parser.add_argument("--strays", type=int, default=0, metavar="N", help="list up to N lines not of the kind asked")
    parser.add_argument("--cli", action="store_true", help="ask through the command line (slow)")
    parser.add_argument("--quick", action="store_true", help="without the scenes after a third compaction")
    args = parser.parse_args()
    paths = find_transcripts(args.paths)
    if not paths:
        print("no transcript found; name one, or set RLM_MCP_TRANSCRIPTS", file=sys.stderr)
        return 2
    found = measure(paths, cli=args.cli, third=not args.quick)
    if args.json:
        print(json.dumps({**report(found), "stale": found.stale}, indent=1))
    else:
        print_tables(report(found))
    if args.misses:
        print_misses(found, args.misses)
    if args.stale:
        for row in found.stale:
            print("STALE", *row, sep="\n   ")
    per_question: Counter[str] = Counter()
    for label, question, line in found.strays if args.strays else ():
        per_question[question] += 1
        if per_question[question] <= args.strays:
            print(f"STRAY {question!r}: {line!r}  ({label})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
