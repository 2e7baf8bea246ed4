"""What a Brief is made of: rows of the store, gathered by the verb, with no I/O of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlm_mcp.store.cells import ReplRow
from rlm_mcp.store.facts import FactRow, Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the user asked to open a Turn."""

    turn: int
    ref: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLine:
    """An older Turn in a line."""

    turn: int
    ref: str
    prompt: str
    counts: Mapping[str, int]
    """FactKind (and ``failed`` for failed commands) -> how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestEvent:
    """One of the last Events, verbatim."""

    ref: str
    kind: str
    tool: str
    text: str
    """Whole, or its beginning and end with what is left out counted between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """What another model wrote of the Session, when it was asked to."""

    text: str
    ref: str
    """Of the bytes it stands for."""
    upto_turn: int
    """The last Turn that it saw some of."""
    turns: int
    """That the Session has by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything a Brief may say. Lists are newest first and bounded; ``totals`` says how many there are in all."""

    session_key: str
    client: str
    cwd: str
    git_branch: str
    events: int
    turns: int
    first_ask: Ask | None
    latest_ask: Ask | None
    last_reply: LatestEvent | None
    latest: Sequence[LatestEvent]
    """The last Events, oldest first; empty where they stay in the Window anyway."""
    facts: Mapping[str, Sequence[FactRow]]
    """FactKind -> current Facts."""
    edits: Sequence[Group]
    reads: Sequence[Group]
    symbols: Mapping[str, Sequence[FactRow]]
    """Path -> what was added there, newest first; without files that are gone."""
    turn_lines: Sequence[TurnLine]
    """Newest first."""
    totals: Mapping[str, int]
    """FactKind -> how many current ones (distinct subjects for edits, reads, commands, symbols)."""
    repl: ReplRow | None
    """The Session's own; None where it ran no Cell."""
    summary: SessionSummary | None = None
    """None where none was asked for."""
    focus: str = ""
    """What the user asked the Brief to dwell on."""
