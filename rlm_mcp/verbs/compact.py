"""compact: make the Brief that takes the place of the folded past, and record the Fold."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rlm_mcp.brief.render import Brief
from rlm_mcp.redact import redact
from rlm_mcp.store import folds
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import clean
from rlm_mcp.verbs.brief import brief


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A compaction answered."""

    number: int
    """The Fold's number in the store."""
    brief: Brief
    seconds: float
    """From call to Brief."""


def compact(
    store: Store,
    session: SessionRow,
    *,
    trigger: str,
    instructions: str = "",
    tokens: int | None = None,
    latest_tokens: int = 0,
) -> Fold:
    """Make the Brief of a Session at a compaction and record the Fold with its loss report.

    Args:
        trigger: what started it: ``auto``, ``manual``, ``plugin``, ``codex`` or ``cli``.
        instructions: what the user wrote behind ``/compact``; it steers the Brief's focus. Secrets in it are replaced.

    Raises:
        UsageError: ``tokens`` is out of range.
        StoreError: the Fold cannot be recorded.
    """
    began = time.perf_counter()
    focus, _ = redact(clean(instructions))
    made = brief(store, session, tokens=tokens, focus=focus, latest_tokens=latest_tokens)
    seconds = time.perf_counter() - began
    number = folds.add(
        store,
        session,
        folds.NewFold(
            trigger=trigger,
            instructions=focus,
            brief=made.text,
            tokens=made.tokens,
            loss=made.loss.kinds,
            time=time.time(),
            seconds=seconds,
        ),
    )
    return Fold(number=number, brief=made, seconds=seconds)
