"""One Run: a root model writes Cells over data it never reads whole, until one of them calls FINAL.

The loop is that of Recursive Language Models (arXiv 2512.24601), with two changes its authors asked for: a Run ends by
a call inside a Cell, never by words in prose, and every limit is held before a call is sent. A Run that ends otherwise
than by FINAL has no answer; what it had by then is kept beside.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from rlm_mcp.costs import Limits
from rlm_mcp.errors import BudgetExceeded, Cancelled, QueryError, ReplError, RlmError, SubLMError, SubLMTimeout
from rlm_mcp.recursion.asking import Asking, prompt_text
from rlm_mcp.recursion.evidence import MAX_QUOTES, Evidence, Source, check
from rlm_mcp.redact import redact
from rlm_mcp.sandbox.repl import Binding, Cell, Handed, Outcome, Repl
from rlm_mcp.sandbox.wire import JSON
from rlm_mcp.store import runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import RunRow, StepRow
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Metered, Purpose
from rlm_mcp.text import cut

OK = "ok"
_CELL_GRACE_SECONDS = 0.1
_LEAST_CELL_SECONDS = 0.05
_NO_CODE = 3
"""Replies without code in a row that are borne."""
_UNREAD = 2
"""FINALs before anything was read that are sent back."""
_PARTIAL_CHARS = 2_000
_CHILDREN_AT_ONCE = 4
_FENCE = re.compile(r"^[ \t]*```[ \t]*(?:repl|python|py|)[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a Run looks at."""

    name: str
    """In words."""
    texts: tuple[Source, ...] | None
    """What ``context`` is; None for the Session's text."""
    is_list: bool = False
    """``context`` is a list, even of one."""
    sources: tuple[Source, ...] = ()
    """What quotes are checked against."""

    def told(self, session: Mapping[str, Any]) -> str:
        """What the root reads of it at first: kind and sizes."""
        if self.texts is None:
            what = f"the session {session['key']}, {session['turns']:,} turns"
            return f"context: str, {session['log_bytes']:,} bytes: {what}"
        sizes = [source.size for source in self.texts]
        if not self.is_list and len(sizes) == 1:
            return f"context: str, {sizes[0]:,} bytes ({self.name})"
        shown = ", ".join(f"{size:,}" for size in sizes[:8])
        more = " ..." if len(sizes) > 8 else ""
        return f"context: list of {len(sizes):,} str, {sum(sizes):,} bytes in all ({shown}{more})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What Runs work with."""

    root: Metered
    sub: Metered
    root_model: str
    sub_model: str
    start: Callable[[], Repl]
    """Starts a Repl for one Run."""
    data: Mapping[str, Binding]
    """Host functions over Session, Documents and repository."""
    session: Mapping[str, Any]
    """The Session as Cells are told of it."""
    lend: Callable[[], AbstractContextManager[Store]]
    width: int = 8
    max_steps: int = 30
    cell_seconds: float = 300.0
    output_chars: int = 8_000
    reply_tokens: int = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """What a Run came to."""

    run: str
    status: str
    """``ok``, or what ended it: ``calls``, ``tokens``, ``usd``, ``seconds``, ``depth``, ``steps``, ``cancelled``,
    ``model``, ``repl``, ``no_code``, ``unread``."""
    answer: str
    """Empty unless ``ok``."""
    evidence: tuple[Evidence, ...] = ()
    partial: str = ""
    """The end of what it had printed, where it has no answer."""
    error: RlmError | None = None


def ended_by(error: BudgetExceeded | SubLMError | ReplError) -> str:
    """The status of what ended by this error."""
    if isinstance(error, BudgetExceeded):
        return error.limit
    for kind, status in ((Cancelled, "cancelled"), (SubLMTimeout, "seconds"), (SubLMError, "model")):
        if isinstance(error, kind):
            return status
    return "repl"


class Run:
    """A Run under way. One thread; its children have theirs."""

    def __init__(  # what a Run is
        self,
        engine: Engine,
        question: str,
        scope: Scope,
        *,
        budget: Budget,
        stop: Stop,
        parent: Run | None = None,
    ) -> None:
        self.id = runs.new_id()
        self._engine = engine
        self._question = question
        self._scope = scope
        self._budget = budget
        self._stop = stop
        self._parent = parent
        self.root_id: str = parent.root_id if parent is not None else self.id
        """Of the Run at the top of the tree."""
        self.depth: int = parent.depth + 1 if parent is not None else 0
        """Runs above this one."""
        self._quotes: list[str] = []
        self._has_read = False
        self._partial = ""

    def to_the_end(self) -> RunAnswer:
        """Run, note every step, and say how it ended. Raises nothing but a ``StoreError``."""
        self._begin()
        try:
            found = self._answered()
        except (BudgetExceeded, SubLMError, ReplError) as error:
            found = self._ended(ended_by(error), error)
        self._note_end(found)
        return found

    def _answered(self) -> RunAnswer:
        history: list[tuple[str, str]] = []
        prompt = f"{self._question}\n\n{self._scope.told(self._engine.session)}\n{self._budget.told()}"
        without_code = unread = 0
        repl = self._engine.start()
        try:
            for number in range(1, self._engine.max_steps + 1):
                said = self._say(prompt, history)
                history.append((prompt, said))
                code = "\n".join(_FENCE.findall(said))
                if not code.strip():
                    without_code += 1
                    self._note_step(self._step(number, said, "", "", None))
                    if without_code >= _NO_CODE:
                        return self._ended("no_code", QueryError("the root model writes no code"))
                    prompt = f"{prompt_text('no_code').strip()}\n{self._budget.told()}"
                    continue
                without_code = 0
                outcome = self._run_cell(repl, number, code)
                shown = cut(outcome.output.rstrip("\n"), self._engine.output_chars)
                self._partial = (outcome.output or self._partial)[-_PARTIAL_CHARS:]
                self._note_step(self._step(number, said, code, shown, outcome))
                if outcome.final is not None:
                    if self._has_read:
                        return self._final(outcome.final)
                    unread += 1
                    if unread > _UNREAD:
                        return self._ended("unread", QueryError("the root model answers without having looked"))
                    shown += "\nFINAL refused: you have not looked at any of the data yet."
                if outcome.ending is None:
                    repl.close()
                    repl = self._engine.start()
                    shown += f"\n(the REPL was ended: {outcome.why}; its variables are gone)"
                self._stop.left(1.0)
                prompt = f"{shown or '(no output)'}\n{self._budget.told()}"
        finally:
            repl.close()
        return self._ended("steps", QueryError(f"no FINAL in {self._engine.max_steps} steps"))

    def _say(self, prompt: str, history: Sequence[tuple[str, str]]) -> str:
        request = Request(
            prompt=prompt,
            history=tuple(history),
            system=prompt_text("root").strip(),
            model=self._engine.root_model,
            max_tokens=self._engine.reply_tokens,
        )
        purpose = Purpose(run=self.id, session=self._engine.session["key"], what="root")
        return self._engine.root.ask(request, self._budget, self._stop, purpose).text

    def _run_cell(self, repl: Repl, number: int, code: str) -> Outcome:
        seconds = max(_LEAST_CELL_SECONDS, self._stop.left(self._engine.cell_seconds))
        cell = Cell(number=number, code=code, timeout_seconds=seconds, session=self._told_session())
        self._quotes = []
        return repl.run(cell, self._bindings(), stop=self._stop.event, grace_seconds=_CELL_GRACE_SECONDS)

    def _told_session(self) -> dict[str, Any]:
        texts = self._scope.texts
        context = None if texts is None else {"parts": len(texts), "is_list": self._scope.is_list or len(texts) != 1}
        return {**self._engine.session, "context": context}

    def _bindings(self) -> Mapping[str, Binding]:
        asking = Asking(
            metered=self._engine.sub,
            budget=self._budget,
            stop=self._stop,
            run=self.id,
            session=self._engine.session["key"],
            model=self._engine.sub_model,
            width=self._engine.width,
        )
        data = {name: self._seen(binding) for name, binding in self._engine.data.items()}
        own: dict[str, Binding] = {
            "context": self._seen(self._context),
            "quotes": self._quoted,
            "rlm_query": self._ask_children,
        }
        return {**data, **asking.bindings(), **own}

    def _seen(self, binding: Binding) -> Binding:
        """The same function; that it was called is noted."""

        @functools.wraps(binding)  # so that arguments are still checked by its signature
        def called(*given: Any, **named: Any) -> JSON | Handed:
            self._has_read = True
            return binding(*given, **named)

        return called

    def _context(self, part: Any) -> Handed:
        texts = self._scope.texts or ()
        if not isinstance(part, int) or isinstance(part, bool) or not 0 <= part < len(texts):
            raise QueryError(f"context has no part {part!r:.80}")
        source = texts[part]
        if source.path is not None:
            return Handed(path=source.path, length=source.end)
        return Handed(content=source.content)

    def _quoted(self, quotes: Any) -> None:
        if not isinstance(quotes, list) or not all(isinstance(quote, str) for quote in quotes):
            raise QueryError(f"quotes is {quotes!r:.80}; give a list of texts")
        self._quotes = quotes[:MAX_QUOTES]

    def _ask_children(self, asked: Any) -> JSON:
        """An entry for each question, in order: ``answer``, ``refs``, ``run``; or ``error`` and ``message``."""
        rows = [_child_question(one) for one in asked] if isinstance(asked, list) else []
        if not rows:
            raise QueryError(f"asked is {asked!r:.80}; give questions")
        with ThreadPoolExecutor(_CHILDREN_AT_ONCE, thread_name_prefix="rlm-mcp child") as pool:
            return list(pool.map(lambda row: self._ask_child(*row), rows))

    def _ask_child(self, question: str, context: Any) -> JSON:
        try:
            budget = self._budget.child(Limits(depth=self._budget.limits.depth))
        except BudgetExceeded as error:
            return {"error": "BudgetExceeded", "message": str(error)}
        scope = self._scope if context is None else _given_scope(context)
        child = Run(self._engine, question, scope, budget=budget, stop=Stop(parent=self._stop), parent=self)
        found = child.to_the_end()
        if found.status != OK:
            return {"error": found.status, "message": str(found.error or found.status)}
        refs: list[JSON] = [one.ref for one in found.evidence if one.is_verified and one.ref]
        return {"answer": found.answer, "refs": refs, "run": found.run}

    def _final(self, value: str) -> RunAnswer:
        evidence = check(self._quotes, (*(self._scope.texts or ()), *self._scope.sources))
        return RunAnswer(run=self.id, status=OK, answer=redact(value)[0], evidence=evidence)

    def _ended(self, status: str, error: RlmError) -> RunAnswer:
        return RunAnswer(run=self.id, status=status, answer="", partial=redact(self._partial)[0], error=error)

    def _begin(self) -> None:
        engine = self._engine
        row = RunRow(
            id=self.id,
            parent=self._parent.id if self._parent is not None else "",
            root=self.root_id,
            session_key=engine.session["key"],
            depth=self.depth,
            question=redact(self._question)[0],
            scope=self._scope.name,
            model=engine.root_model or engine.root.backend.default_model,
            sub_model=engine.sub_model or engine.sub.backend.default_model,
            backend=engine.root.backend.name,
            limits=asdict(self._budget.limits),
            started=time.time(),
        )
        with engine.lend() as store, store.writing():
            runs.begin(store, row)

    def _step(self, number: int, said: str, code: str, shown: str, outcome: Outcome | None) -> StepRow:
        return StepRow(
            run=self.id,
            number=number,
            time=time.time(),
            said=redact(said)[0],
            code=redact(code)[0],
            output=redact(shown)[0],
            status="no_code" if outcome is None else str(outcome.ending or "ended"),
            seconds=0.0 if outcome is None else outcome.seconds,
        )

    def _note_step(self, step: StepRow) -> None:
        with self._engine.lend() as store, store.writing():
            runs.add_step(store, step)

    def _note_end(self, found: RunAnswer) -> None:
        error = {"type": type(found.error).__name__, "message": str(found.error)} if found.error else None
        with self._engine.lend() as store, store.writing():
            runs.end(
                store,
                self.id,
                status=found.status,
                answer=found.answer,
                evidence=tuple(asdict(one) for one in found.evidence),
                error=error,
            )


def _child_question(one: Any) -> tuple[str, Any]:
    if not isinstance(one, dict) or not isinstance(one.get("question"), str):
        raise QueryError(f"{one!r:.80} is no question")
    context = one.get("context")
    is_texts = isinstance(context, list) and all(isinstance(part, str) for part in context)
    if context is not None and not isinstance(context, str) and not is_texts:
        raise QueryError(f"context is {context!r:.80}; give a text or a list of texts")
    return one["question"], context


def _given_scope(context: str | list[str]) -> Scope:
    parts = [context] if isinstance(context, str) else context
    texts = tuple(
        Source(name=f"context[{number}]", content=part.encode("utf-8", "replace")) for number, part in enumerate(parts)
    )
    return Scope(name="a part", texts=texts, is_list=not isinstance(context, str))
