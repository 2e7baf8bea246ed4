"""Asking, wired: the backend that the settings name, the Ledger, the Engine of a Run, and the jobs of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rlm_mcp.costs import Limits
from rlm_mcp.errors import BudgetExceeded, SubLMUnavailable, UsageError
from rlm_mcp.recursion.asking import Asking, failed
from rlm_mcp.recursion.children import Children, Parent
from rlm_mcp.recursion.known import Known
from rlm_mcp.recursion.replay import Unnoted, recorded
from rlm_mcp.recursion.run import Engine, Run, entry
from rlm_mcp.recursion.scope import Scope
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.store import documents, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.ledger import Caps, StoreLedger
from rlm_mcp.store.runs import new_id
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.choose import choose
from rlm_mcp.sublm.lent import LentModel
from rlm_mcp.sublm.lm import Stop, SubLM
from rlm_mcp.sublm.metered import Ledger, Metered
from rlm_mcp.sublm.scripted import Scripted
from rlm_mcp.verbs.ask import (
    AskAnswer,
    Estimate,
    Planned,
    ask,
    by_search,
    estimate,
)
from rlm_mcp.verbs.ask_scopes import (
    documents_scope,
    files_scope,
    quoted_in_repository,
    refs_scope,
    repository_scope,
    session_scope,
)
from rlm_mcp.verbs.bindings import bindings, known, lent
from rlm_mcp.verbs.jobs import Job, Jobs, JobState
from rlm_mcp.verbs.replay import Replayed, replay, replayable, scope_again
from rlm_mcp.verbs.summarize import summarized
from rlm_mcp.wiring import Stores, repo_of, start_repl

_NO_SESSION: Mapping[str, Any] = {
    "key": "",
    "events": 0,
    "turns": 0,
    "log_bytes": 0,
    "title": "",
    "cwd": "",
    "model": "",
    "started": None,
    "updated": None,
    "earlier": [],
}
"""What ``session`` is told where a question is about files alone."""
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
"""Of the environment: what backends send, and nobody else is to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a question is to be answered; what is empty or None is left to the settings."""

    scope: str = ""
    """``session`` (also when empty), ``docs``, ``repo``, or Refs with blanks between them."""
    files: tuple[Path, ...] = ()
    """In place of a scope."""
    is_summary: bool = False
    """Summarise the scope; the question, which may be empty, says what matters most."""
    model: str = ""
    sub_model: str = ""
    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    depth: int | None = None

    @property
    def is_over_session(self) -> bool:
        """Whether it is asked about the whole session."""
        return not self.files and self.scope in {"", "session"}


class Asker:
    """Asks for whoever works in this process. Nothing is asked, and no backend looked for, before it is told to."""

    def __init__(
        self, stores: Stores, environ: Mapping[str, str] | None = None, *, lent: LentModel | None = None
    ) -> None:
        """``lent``: where the client's mod may lend its model."""
        self._stores = stores
        self._lent = lent
        self._environ = dict(os.environ if environ is None else environ)
        self._keys = tuple(self._environ.get(name, "") for name in _KEYS)
        self._lock = threading.Lock()
        self._metered: Metered | None = None
        self.jobs = Jobs()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(
        self, store: Store, session: SessionRow | None, question: str, how: How, *, parent: Stop | None = None
    ) -> Job:
        """Begin to answer, in a thread; the time of the question counts from here.

        Args:
            parent: ends it too when it is told to.

        Raises:
            SubLMUnavailable: there is nobody to ask, and search alone does not answer.
            QueryError, RefError, DocumentError: the question or its scope cannot be.
        """
        budget = Budget(self.limits(how))
        stop = Stop(seconds=budget.limits.seconds, parent=parent)
        try:
            backend = self.metered().backend
        except SubLMUnavailable:
            job = Job(new_id(), question, budget=budget, stop=stop)
            is_typed = how.is_over_session and not how.is_summary
            found = by_search(store, session, question, job.id) if is_typed and session is not None else None
            if found is None:
                raise
            return self._begun(job, lambda: found)
        backend.warm()
        parts = sessions.continued(store, session) if session is not None else []
        scope = self._scope(store, session, parts, how)
        engine = self._engine(parts, how.model, how.sub_model, scope=scope)
        run = Run(engine, question, scope, budget=budget, stop=stop)

        def work() -> AskAnswer:
            with self._stores.lend() as own:
                if how.is_summary:
                    return summarized(own, run, scope, engine, budget=budget, stop=stop, focus=question)
                return ask(own, session, question, scope, engine, budget=budget, stop=stop, run=run)

        return self._begun(Job(run.id, question, budget=budget, stop=stop, so_far=lambda: run.so_far), work)

    def estimate(self, store: Store, session: SessionRow | None, question: str, how: How) -> Estimate:
        """What a question may cost at most; nobody is asked, and nobody need be there. Raises as :meth:`start` does."""
        parts = sessions.continued(store, session) if session is not None else []
        scope = self._scope(store, session, parts, how)
        settings, missing = self._stores.settings, ""
        try:
            metered = self.metered()
        except SubLMUnavailable as error:
            missing = str(error)
            metered = self._behind(Scripted((), name="nobody", model=""))
        model = how.model or settings.root_model or metered.backend.default_model
        asked = Planned(
            metered=metered,
            model=model,
            sub_model=how.sub_model or settings.sub_model or model,
            limits=self.limits(how),
        )
        return replace(estimate(session, question, scope, asked), missing=missing)

    def replay(self, store: Store, run_id: str) -> Replayed:
        """Play a Run again: nobody is asked, nothing is noted; see :mod:`rlm_mcp.verbs.replay` for what is raised."""
        row = replayable(store, run_id)
        session = sessions.by_key(store, row.session_key) if row.session_key else None
        parts = sessions.continued(store, session) if session is not None else []
        scope = scope_again(store, session, row)
        metered = self._behind(recorded(store, row.id), Unnoted)
        return replay(store, session, row, scope, self._engine(parts, row.model, row.sub_model, metered, scope=scope))

    def act(self, job_id: str, action: str) -> JobState:
        """What became of a job; see :meth:`rlm_mcp.verbs.jobs.Jobs.act`."""
        return self.jobs.act(job_id, action, wait_seconds=self._stores.settings.ask_wait_seconds)

    def limits(self, how: How) -> Limits:
        """What a Run may spend: as asked for, else as the settings say."""
        settings = self._stores.settings
        found = Limits(
            calls=settings.run_calls,
            tokens=settings.run_tokens,
            usd=settings.run_usd,
            seconds=settings.run_seconds,
            depth=settings.run_depth,
        )
        asked = {"calls": how.calls, "tokens": how.tokens, "usd": how.usd, "seconds": how.seconds, "depth": how.depth}
        return replace(found, **{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]  # each of its field's type

    def metered(self) -> Metered:
        """The backend behind cache, budget and Ledger.

        Raises:
            SubLMUnavailable: there is none.
        """
        with self._lock:
            if self._metered is None:
                self._metered = self._behind(choose(self._stores.settings, self._environ, self._lent))
            return self._metered

    def _behind(self, backend: SubLM, noting: Callable[[Ledger], Ledger] = lambda ledger: ledger) -> Metered:
        """That backend behind cache, budget and Ledger.

        Args:
            noting: what stands before the store's Ledger.
        """
        settings = self._stores.settings
        caps = Caps(
            session_tokens=settings.session_tokens,
            session_usd=settings.session_usd,
            day_tokens=settings.day_tokens,
            day_usd=settings.day_usd,
        )
        ledger = noting(StoreLedger(self._stores.lend, caps))
        return Metered(backend, ledger, prices=settings.prices, redact=Known(keys=self._keys).redact)

    def close(self) -> None:
        """Tell all jobs to stop; give back what the backend holds."""
        self.jobs.close()
        with self._lock:
            if self._metered is not None:
                self._metered.backend.close()

    def asking(self, session_key: str, stop: Stop) -> Asking:
        """Whom one Cell outside of any Run may ask, within the limits of one.

        Raises:
            SubLMUnavailable: there is nobody.
        """
        settings = self._stores.settings
        with self._stores.lend() as store:
            session = sessions.by_key(store, session_key)
            known = self._known(store, session)
        known.ready(stop)
        return Asking(
            metered=self.metered().taking_out(known.redact),
            budget=Budget(replace(self.limits(How()), seconds=None)),
            stop=stop,
            run="",
            session=session_key,
            model=settings.sub_model,
            width=settings.sub_width,
        )

    def children(self, session: SessionRow, asking: Asking) -> Children:
        """``rlm_query`` for a Cell outside of any Run: each question is a Run of its own, within the Cell's budget."""
        with self._stores.lend() as store:
            parts = sessions.continued(store, session)
            scope = self._scope(store, session, parts, How())
        engine = self._engine(parts)
        engine.known.ready(asking.stop)  # what a Cell asks may hold a slice of what it has read

        def child(question: str, given: Scope, _place: int) -> dict[str, JSON]:
            try:
                budget = asking.budget.child(Limits(depth=asking.budget.limits.depth))
            except BudgetExceeded as error:
                return failed(type(error).__name__, str(error))
            return entry(Run(engine, question, given, budget=budget, stop=asking.stop).to_the_end())

        return Children(Parent(session_key=session.key, scope=scope, bindings=engine.data), child)

    def _begun(self, job: Job, work: Callable[[], AskAnswer]) -> Job:
        def held() -> AskAnswer:
            with self._lent.working() if self._lent is not None else nullcontext():
                return work()

        self.jobs.add(job)
        job.start(held)
        return job

    def _scope(self, store: Store, session: SessionRow | None, parts: Sequence[ScopePart], how: How) -> Scope:
        if how.files:
            return files_scope(store, how.files)
        if session is None:
            raise UsageError("there is nothing to ask about: name a session, or files")
        if how.is_over_session:
            return session_scope(store, parts)
        if how.scope == "repo":
            repo, why_not = repo_of(session, self._stores.paths)
            if repo is None:
                raise UsageError(why_not)
            return repository_scope(repo)
        return documents_scope(store, session) if how.scope == "docs" else refs_scope(store, session, how.scope.split())

    def _engine(
        self,
        parts: Sequence[ScopePart],
        model: str = "",
        sub_model: str = "",
        metered: Metered | None = None,
        *,
        scope: Scope | None = None,
    ) -> Engine:
        """What Runs over the Session work with; what is empty is left to the settings."""
        settings, paths = self._stores.settings, self._stores.paths
        session = parts[0].session if parts else None
        repo, why_not = repo_of(session, paths) if session is not None else (None, "no session, so no repository")
        with self._stores.lend() as store:
            told = known(store, parts) if parts else dict(_NO_SESSION)
            secrets = self._known(store, session, scope)
        made = partial(bindings, scope=parts, repo=repo, repo_missing=why_not)
        data = lent(self._stores.lend, made) if parts else {}
        metered = (metered or self.metered()).taking_out(secrets.redact)
        return Engine(
            root=metered,
            sub=metered,
            root_model=model or settings.root_model,
            sub_model=sub_model or settings.sub_model or model or settings.root_model,
            start=lambda: start_repl(paths, settings, repo),
            data=data,
            session=told,
            lend=self._stores.lend,
            elsewhere=partial(quoted_in_repository, self._stores.lend, repo) if repo is not None else None,
            known=secrets,
            width=settings.sub_width,
        )

    def _known(self, store: Store, session: SessionRow | None, scope: Scope | None = None) -> Known:
        """The secrets of what Cells over the Session and a scope may see, and our own keys."""
        loaded = documents.known_to(store, session) if session is not None else []
        sources = scope.all_sources if scope is not None else ()
        return Known(self._stores.lend, sources=sources, loaded=loaded, keys=self._keys)
