"""brief: the text that stands in the Window in place of the folded past.

Work is bounded whatever the length of the Session: every list asked of the store has a limit, totals come from its
indexes.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlm_mcp.brief.material import Ask, LatestEvent, Material, SessionSummary, TurnLine
from rlm_mcp.brief.render import Brief, render
from rlm_mcp.errors import UsageError
from rlm_mcp.events import EditKind, EventKind
from rlm_mcp.refs import parse_ref
from rlm_mcp.store import cells, events, facts, sessions, summaries
from rlm_mcp.store.database import Store
from rlm_mcp.store.events import EventRow
from rlm_mcp.store.facts import FactRow, Group
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.text import cut
from rlm_mcp.verbs import typed

MIN_TOKENS, MAX_TOKENS = 500, 20_000

_ROWS = 150
"""Rows of one kind at most; a Brief of 20,000 tokens holds no more."""
_TURNS = 120
_LATEST_EVENTS = 40
_LATEST_BYTES = 24_000
_LISTED = (
    "constraint",
    "correction",
    "plan",
    "todo",
    "test",
    "failing_test",
    "error",
    "decision",
    "commit",
    "pull_request",
    "question",
    "task",
    "command",
    "value",
)


def brief(
    store: Store, session: SessionRow, *, tokens: int | None = None, focus: str = "", latest_tokens: int = 0
) -> Brief:
    """The Brief of a Session and of what it continues.

    Args:
        tokens: its size, 500 to 20,000; the setting ``brief_tokens`` by default.
        focus: what the user asked to keep in mind; lines with its words come first.
        latest_tokens: this many more for the last Events, verbatim (for a Client that keeps none of them).

    Raises:
        UsageError: ``tokens`` is out of range.
    """
    wanted = store.settings.brief_tokens if tokens is None else tokens
    if not MIN_TOKENS <= wanted <= MAX_TOKENS:
        raise UsageError(f"a brief of {wanted!r} tokens cannot be made; ask for {MIN_TOKENS:,} to {MAX_TOKENS:,}")
    return render(gather(store, session, focus=focus, with_latest=latest_tokens > 0), wanted, latest_tokens)


def gather(store: Store, session: SessionRow, *, focus: str = "", with_latest: bool = False) -> Material:
    """What the Brief is made of."""
    scope = sessions.continued(store, session)
    listed = {kind: _listed(store, scope, kind) for kind in _LISTED}
    edits = facts.grouped(store, scope, "edit", limit=_ROWS)
    reads = facts.grouped(store, scope, "read", limit=_ROWS)
    counted = facts.counts(store, scope)
    latest_ask = _ask(store, session, session.turns)
    return Material(
        session_key=session.key,
        client=session.client,
        cwd=session.cwd,
        git_branch=session.git_branch,
        events=sum(part.max_seq for part in scope),
        turns=sum(part.session.turns for part in scope),
        first_ask=_ask(store, scope[-1].session, 1, home=session),
        latest_ask=latest_ask,
        last_reply=_last_reply(store, session),
        latest=_latest(store, session) if with_latest else (),
        facts=listed,
        edits=edits,
        reads=reads,
        symbols=_symbols(store, scope, edits),
        turn_lines=_turn_lines(store, scope, session),
        totals={
            kind: len(listed[kind])
            if len(listed.get(kind, ())) in range(1, _ROWS)  # all of them, what is said twice counted once
            else subjects
            if kind in ("edit", "read", "command", "symbol", "value")
            else current
            for kind, (_total, current, subjects) in counted.items()
        },
        summary=_summary(store, session),
        focus=focus,
        repl=cells.repl_row(store, session.key),
    )


def _summary(store: Store, session: SessionRow) -> SessionSummary | None:
    """What other models made of the Session, where somebody asked them to; it may be older than the Session is."""
    found = summaries.top(store, f"session {session.key}")
    span = parse_ref(found.ref).log if found is not None and found.ref else None
    if found is None or span is None or span.end > session.log_bytes:
        return None
    upto = events.turn_before(store, session, span.end)
    return SessionSummary(text=found.text, ref=found.ref, upto_turn=upto, turns=session.turns)


def _listed(store: Store, scope: Sequence[ScopePart], kind: str) -> list[FactRow]:
    current_only = kind != "value"
    rows = facts.of_kind(store, scope, [kind], current_only=current_only, limit=_ROWS)
    return typed.distinct(rows, kind)


def _symbols(store: Store, scope: Sequence[ScopePart], edits: Sequence[Group]) -> dict[str, list[FactRow]]:
    """Path -> what was added there and is not gone with the file, the file touched last first."""
    gone = {group.subject for group in edits if group.status == EditKind.DELETE}
    rows = facts.of_kind(store, scope, ["symbol"], limit=_ROWS * 3)
    found: dict[str, list[FactRow]] = {}
    for row in rows:
        if row.status not in gone:
            found.setdefault(row.status, []).append(row)
    return found


def _ask(store: Store, session: SessionRow, turn: int, *, home: SessionRow | None = None) -> Ask | None:
    """The prompt of a Turn; where it is a bare answer ("yes", "6"), it stands all the same: it is the latest ask."""
    if turn < 1 or session.turns < turn:
        return None
    row = events.turn_row(store, session, turn)
    event = events.event_row(store, session, row.first_seq)
    prefix = f"{session.key}." if home is not None and home.key != session.key else ""
    return Ask(turn=turn, ref=f"{prefix}e{event.seq}", text=events.text_of(store, event, max_bytes=200_000))


def _last_reply(store: Store, session: SessionRow) -> LatestEvent | None:
    for event in reversed(events.latest(store, session, _LATEST_EVENTS)):
        if event.kind is EventKind.REPLY and not event.agent:
            return _latest_event(store, event)
    return None


def _latest(store: Store, session: SessionRow) -> list[LatestEvent]:
    rows = events.latest(store, session, _LATEST_EVENTS)
    kept = [row for row in rows if not row.agent and row.kind not in (EventKind.NOTE, EventKind.SUMMARY)]
    return [_latest_event(store, row) for row in kept]


def _latest_event(store: Store, event: EventRow) -> LatestEvent:
    text = events.text_of(store, event)
    ref = f"e{event.seq}"
    return LatestEvent(ref=ref, kind=event.kind, tool=event.tool, text=cut(text, _LATEST_BYTES, ref))


def _turn_lines(store: Store, scope: Sequence[ScopePart], home: SessionRow) -> list[TurnLine]:
    found: list[TurnLine] = []
    for part in scope:
        room = _TURNS - len(found)
        if room <= 0:
            break
        rows = events.turns(store, part.session, first=1, limit=room)
        did = facts.counts_by_turn(store, part, rows[0].number if rows else 0)
        prefix = f"{part.session.key}." if part.session.key != home.key else ""
        found += [
            TurnLine(
                turn=row.number,
                ref=f"{prefix}e{row.first_seq}",
                prompt=row.prompt,
                counts=did.get(row.number, {}),
            )
            for row in reversed(rows)
            if row.first_seq <= part.max_seq
        ]
    return found
