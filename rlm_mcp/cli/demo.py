"""``rlm-mcp demo``: a recorded session crosses its limit, with neither client nor key.

The recording beside this module came out of the real Claude Code client (tests/clients/demo/record.py makes it anew); a
scripted provider played the model, so the model's texts, the built-in summary among them, were written by hand.
Everything else in it (commands, outputs, edits, the compaction) happened. What is counted here is counted at each run.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from rlm_mcp.brief.lines import View
from rlm_mcp.cli.options import as_json, print_json
from rlm_mcp.cli.view import show
from rlm_mcp.events import EventKind
from rlm_mcp.store import events, facts, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.facts import FactRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import estimate_tokens
from rlm_mcp.verbs.compact import Fold, compact
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from rlm_mcp.wiring import wire

RECORDING = Path(__file__).with_name("recorded_session.jsonl")

_BOUNDARY = b'"subtype":"compact_boundary"'
_KEPT_BY_CLIENT = 3
"""Events before the boundary that the client kept verbatim; its boundary record names them."""
_BRIEF_LINES = 24
_BRIEF_TOKENS = 2_000
_ANSWER_TOKENS = 600
_WHOLE_TOKENS = 90_000
_WIDTH = 118
_REF_AT_END = re.compile(r" e\d+(?::\d+-\d+)?$")
_KINDS = (
    ("user's rules, word for word", ("constraint", "correction")),
    ("decisions, word for word", ("decision",)),
    ("files edited", ("edit",)),
    ("files read", ("read",)),
    ("commands", ("command",)),
    ("error lines", ("error",)),
    ("values the user gave", ("value",)),
)
_QUESTIONS = (
    "what did the user forbid",
    "which commands failed",
    "Finance sends files from Windows",
)
_PHRASE = "UnicodeDecodeError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How much of one kind stands where."""

    kind: str
    total: int
    summary: int
    """In the window after the client's own compaction: summary, last messages, files it read again."""
    brief: int
    """In the Brief."""
    reachable: int
    """By one ``read``; each was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """The recorded session at its limit."""

    session: SessionRow
    at_limit: SessionRow
    """The Session before the compaction."""
    ingest_seconds: float
    fold: Fold
    summary: str
    kept: str
    """All that the client kept: the summary among it."""
    counts: tuple[Count, ...]


@click.command("demo")
@as_json
def demo_command(as_json: bool) -> None:
    """Take a recorded session across its limit, and look at what is kept.

    Needs neither client nor key nor network; leaves nothing behind.
    """
    with tempfile.TemporaryDirectory(prefix="rlm-mcp-demo-") as folder:
        transcript = Path(folder) / "session.jsonl"
        with wire({"RLM_MCP_HOME": f"{folder}/store"}) as stores, stores.lend() as store:
            crossing = cross(store, transcript)
            answers = _answers(store, crossing.session)
    if as_json:
        print_json(_record(crossing, answers))
        return
    show("\n".join(_story(crossing, answers)))


def cross(store: Store, transcript: Path) -> Crossing:
    """Ingest the recording up to its limit, compact, then ingest what the client wrote after its own compaction."""
    recorded = RECORDING.read_bytes()
    limit = recorded.rfind(b"\n", 0, recorded.index(_BOUNDARY)) + 1
    transcript.write_bytes(recorded[:limit])
    began = time.perf_counter()
    ingest(store, transcript)
    took = time.perf_counter() - began
    at_limit = locate(store, transcript=transcript)
    fold = compact(store, at_limit, trigger="cli", tokens=_BRIEF_TOKENS)
    counted = _countable(store, at_limit)
    transcript.write_bytes(recorded)
    session = locate(store, transcript=transcript)
    summary, kept = _kept_by_client(store, session, at_limit.events)
    return Crossing(
        session=session,
        at_limit=at_limit,
        ingest_seconds=took,
        fold=fold,
        summary=summary,
        kept=kept,
        counts=tuple(_count(store, at_limit, kind, rows, (kept, fold.brief.text)) for kind, rows in counted),
    )


def _kept_by_client(store: Store, session: SessionRow, limit: int) -> tuple[str, str]:
    """(the summary, everything in the window after it was made)."""
    tail = [events.event_row(store, session, limit - back) for back in reversed(range(_KEPT_BY_CLIENT))]
    after = []
    for event in events.all_events(store, session):
        if event.seq > limit and event.kind not in (EventKind.SUMMARY, EventKind.NOTE):
            break
        if event.seq > limit:
            after.append(event)
    texts = [events.text_of(store, event) for event in (*after, *tail)]
    summary = next(text for event, text in zip(after, texts, strict=False) if event.kind is EventKind.SUMMARY)
    return summary, "\n".join(texts)


def _countable(store: Store, session: SessionRow) -> list[tuple[str, list[FactRow]]]:
    scope = sessions.continued(store, session)
    return [(label, _distinct(facts.of_kind(store, scope, kinds, current_only=False))) for label, kinds in _KINDS]


def _distinct(rows: Sequence[FactRow]) -> list[FactRow]:
    return list({_said(row): row for row in rows}.values())


def _said(row: FactRow) -> str:
    """What must stand in a text for the fact to be there."""
    if row.kind in {"edit", "read"}:
        return row.subject
    return row.subject if row.kind == "value" else row.text or row.subject


def _count(store: Store, session: SessionRow, kind: str, rows: Sequence[FactRow], kept: Sequence[str]) -> Count:
    view = View(cwd=session.cwd, session_key=session.key)
    summary, brief = kept
    return Count(
        kind=kind,
        total=len(rows),
        summary=sum(_stands_in(row, summary, view) for row in rows),
        brief=sum(_stands_in(row, brief, view) for row in rows),
        reachable=sum(_is_reachable(store, session, row, view) for row in rows),
    )


def _is_reachable(store: Store, session: SessionRow, row: FactRow, view: View) -> bool:
    """One read gives it back: of its Event, or (a command stands in the call, not in its result) of its Turn."""
    return any(
        _stands_in(row, read(store, session, ref, max_tokens=_WHOLE_TOKENS).text, view)
        for ref in (row.ref, f"t{row.turn}")
    )


def _stands_in(row: FactRow, text: str, view: View) -> bool:
    said = _said(row)
    if row.kind in {"edit", "read"}:
        return view.path(said) in text
    return " ".join(said.split()) in " ".join(text.split())


def _answers(store: Store, session: SessionRow) -> list[tuple[str, str]]:
    """(command, its answer) for a few questions and one read."""
    found = [
        (f'rlm-mcp search "{query}"', search(store, session, query, max_tokens=_ANSWER_TOKENS).text)
        for query in _QUESTIONS
    ]
    places = search(store, session, _PHRASE, mode="phrase", max_tokens=_ANSWER_TOKENS)
    ref = places.hits[0].ref.partition(":")[0]
    return [
        *found,
        (f'rlm-mcp search "{_PHRASE}" --mode phrase', places.text),
        (f"rlm-mcp read {ref}", read(store, session, ref).text),
    ]


def _story(crossing: Crossing, answers: Sequence[tuple[str, str]]) -> list[str]:
    return [*_before(crossing), *_after(crossing), *_asked(answers), *_NEXT]


def _before(crossing: Crossing) -> list[str]:
    at = crossing.at_limit
    summary, kept = estimate_tokens(crossing.summary), estimate_tokens(crossing.kept)
    return [
        "# 1. A recorded session",
        f"Claude Code {at.client_version} worked in {at.cwd}: {at.turns} prompts, {at.events} events,",
        f"{at.window_tokens:,} tokens in the window. Client, commands and outputs were real; a scripted provider",
        "played the model, so its texts were written by hand, the summary of step 2 among them. The limit",
        "was set low to keep the recording small.",
        "",
        "# 2. The window is full: what the client does by itself",
        "It sends the whole window to the model once more and waits for a summary: 1 to 3 minutes at real",
        f"sizes. Here the summary has {summary:,} tokens; with the last messages and the files that the client",
        f"reads again, {kept:,} tokens are in the window afterwards.",
        "",
    ]


def _after(crossing: Crossing) -> list[str]:
    fold = crossing.fold
    lines = fold.brief.text.splitlines()
    return [
        "# 3. What rlm-mcp does instead",
        f"No model call. Transcript ingested in {_ms(crossing.ingest_seconds)} (beside a running client that is done",
        f"already), Brief of {fold.brief.tokens:,} tokens made in {_ms(fold.seconds)}. Counted just now:",
        "",
        *_table(crossing.counts),
        "",
        f"# 4. The Brief (the first {min(_BRIEF_LINES, len(lines))} of its {len(lines)} lines, cut to fit here)",
        *(_fitted(f"  | {line}") for line in lines[:_BRIEF_LINES]),
        "",
        "# 5. Everything else is one call away (lines cut to fit here)",
    ]


_NEXT = (
    "# 6. Connect a client",
    "  rlm-mcp install claude            Claude Code 2.1.287 or later",
    "  rlm-mcp install codex             Codex 0.169 or later",
    "Or try it on a transcript of your own first:",
    "  rlm-mcp brief --transcript FILE",
)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _table(counts: Sequence[Count]) -> list[str]:
    rows = [("", "in the session", "client keeps", "Brief keeps", "one call away")]
    rows += [(one.kind, str(one.total), str(one.summary), str(one.brief), str(one.reachable)) for one in counts]
    return [f"  {kind:<28}{total:>15}{kept:>14}{brief:>13}{near:>15}" for kind, total, kept, brief, near in rows]


def _asked(answers: Sequence[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    for command, answer in answers:
        lines += [f"$ {command}", *(_fitted(f"  {line}") for line in answer.splitlines()), ""]
    return lines


def _fitted(line: str) -> str:
    """Cut to the width; a Ref at its end stays."""
    if len(line) <= _WIDTH:
        return line
    found = _REF_AT_END.search(line)
    tail = "\u2026" + (found.group() if found else "")
    return line[: _WIDTH - len(tail)] + tail


def _record(crossing: Crossing, answers: Sequence[tuple[str, str]]) -> dict[str, object]:
    at, fold = crossing.at_limit, crossing.fold
    return {
        "recorded": {
            "client": at.client,
            "client_version": at.client_version,
            "turns": at.turns,
            "events": at.events,
            "window_tokens": at.window_tokens,
            "model_texts": "scripted",
        },
        "client_keeps": {
            "summary_tokens": estimate_tokens(crossing.summary),
            "window_tokens": estimate_tokens(crossing.kept),
        },
        "brief": {
            "tokens": fold.brief.tokens,
            "seconds": round(fold.seconds, 4),
            "ingest_seconds": round(crossing.ingest_seconds, 4),
            "model_calls": 0,
            "text": fold.brief.text,
        },
        "counts": [dataclasses.asdict(one) for one in crossing.counts],
        "answers": [{"command": command, "answer": answer} for command, answer in answers],
    }
