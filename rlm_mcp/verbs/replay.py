"""run --replay: a question asked again of what was answered then, to see whether it comes to the same.

Roots say what they said, other models' answers come from the cache; nobody is asked, nothing is paid, and nothing is
noted of it. What a question was asked about is looked at as it is now.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlm_mcp.costs import Limits
from rlm_mcp.errors import UsageError
from rlm_mcp.recursion.run import Engine, Run
from rlm_mcp.recursion.scope import Scope
from rlm_mcp.store import runs, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import RunRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.ask import AskAnswer, ask
from rlm_mcp.verbs.ask_scopes import documents_scope, refs_scope, repository_scope, session_scope
from rlm_mcp.verbs.summarize import summarized


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a Run came to then and now."""

    then: RunRow
    now: AskAnswer
    seconds: float
    """That it took now."""

    @property
    def is_same(self) -> bool:
        """It ended alike, with the same answer."""
        return (self.then.status, self.then.answer) == (self.now.status, self.now.answer)

    def record(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        then = {"status": self.then.status, "answer": self.then.answer, "error": self.then.error}
        now = {**self.now.record(), "run": ""}
        return {
            "run": self.then.id,
            "is_same": self.is_same,
            "seconds": round(self.seconds, 3),
            "then": then,
            "now": {name: now[name] for name in (*then, "partial")},
        }


def replayable(store: Store, run_id: str) -> RunRow:
    """The Run of that id, if it can be played.

    Raises:
        UsageError: there is none, it still runs, or it is part of another one.
    """
    row = runs.run_row(store, run_id)
    if row.status == runs.RUNNING:
        raise UsageError(f"run {row.id!r} still runs; replay it when it is over")
    if row.parent:
        raise UsageError(f"run {row.id!r} is part of {row.root!r}; replay that one")
    return row


def scope_again(store: Store, session: SessionRow | None, row: RunRow) -> Scope:
    """What the Run looked at, as it is now.

    Raises:
        UsageError: it was a text of which nothing is kept, or of a session that is not there any more.
        RlmError: so does what the scope is made of.
    """
    if session is not None and row.scope == f"session {session.key}":
        return session_scope(store, sessions.continued(store, session))
    folder = row.scope.removeprefix("repository ")
    if folder != row.scope:
        return repository_scope(Path(folder))
    named = row.scope.removesuffix(f" of session {row.session_key}")
    refs = row.refs.split()
    names = [named] if len(refs) == 1 else named.split(", ")
    if session is not None and named != row.scope:
        if not named.endswith(" documents"):
            return refs_scope(store, session, named.split(", "))
        found = documents_scope(store, session)
        return found if found.refs == row.refs else replace(refs_scope(store, session, refs), is_list=True)
    if refs:  # of files, which may have changed since, or of what a Cell gave
        return refs_scope(store, session, refs, names if len(names) == len(refs) else refs)
    raise UsageError(f"run {row.id!r} looked at {row.scope!r}, which is not kept; it cannot be played again")


def replay(store: Store, session: SessionRow | None, row: RunRow, scope: Scope, engine: Engine) -> Replayed:
    """Play it again, within the limits it had.

    Args:
        engine: whose models say what was said then, and note nothing.

    Raises:
        RlmError: as :func:`rlm_mcp.verbs.ask.ask` does.
    """
    started = time.monotonic()
    budget = Budget(Limits(**row.limits))
    stop = Stop(seconds=budget.limits.seconds)
    run = Run(engine, row.question, scope, budget=budget, stop=stop)
    try:
        if row.way == "summary":
            now = summarized(store, run, scope, engine, budget=budget, stop=stop, focus=row.question)
        else:
            now = ask(store, session, row.question, scope, engine, budget=budget, stop=stop, run=run)
    finally:
        with store.writing():
            runs.drop(store, run.id)
    return Replayed(then=row, now=now, seconds=time.monotonic() - started)
