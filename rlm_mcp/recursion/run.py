"""One Run: a root model writes Cells over data it never reads whole, until one of them calls FINAL.

The loop is that of Recursive Language Models (arXiv 2512.24601), with two changes its authors asked for: a Run ends by
a call inside a Cell, never by words in prose, and every limit is held before a call is sent. A Run that ends otherwise
than by FINAL has no answer; what it had by then is kept beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from rlm_mcp.costs import Limits
from rlm_mcp.errors import BudgetExceeded, Cancelled, RlmError, RunEnded, StoreError, SubLMError, SubLMTimeout
from rlm_mcp.recursion.asking import Asking, failed, prompt_text
from rlm_mcp.recursion.bindings import Looking, RunBindings
from rlm_mcp.recursion.conversation import Tally, budget_line, shared_line, shortened
from rlm_mcp.recursion.evidence import Evidence, check, verified_refs, without_secrets
from rlm_mcp.recursion.known import Known
from rlm_mcp.recursion.limit import Limit, Tree
from rlm_mcp.recursion.noting import Notes, RunAnswer
from rlm_mcp.recursion.reply import code_of
from rlm_mcp.recursion.run_repl import RunRepl
from rlm_mcp.recursion.scope import Scope, Source
from rlm_mcp.recursion.setting_off import set_off
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import ENDING_OR_ASKING, Binding, Cell, Outcome, Repl
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import RunRow, new_id
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Asked, Metered, Purpose
from rlm_mcp.text import cut

OK = "ok"
_CELL_GRACE_SECONDS = 0.05
_LEAST_CELL_SECONDS = 0.02
_MARGIN_SECONDS = 0.15
"""So long before a Cell's time is over, what it asks of models comes back as it is, so that the Cell can keep it."""
_NO_CODE = 3
"""Replies without code in a row, after which the Run ends."""
_SENT_BACK = 3
"""FINALs that do not count, after which the Run ends."""
_PARTIAL_CHARS = 2_000
_PEEK_BYTES = 64 << 10
"""Read of what a Cell has printed while it runs: much more than is shown, so that no secret is cut unseen."""
_ANSWER_CHARS = 200_000
_ELSEWHERE = 5
"""Quotes that are looked for in the repository."""


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
    """Host functions over Session, Documents and repository; called from several threads."""
    session: Mapping[str, Any]
    """The Session as Cells are told of it."""
    lend: Callable[[], AbstractContextManager[Store]]
    elsewhere: Callable[[str], Source | None] | None = None
    """Finds a quote that stands in nothing else that is kept: in the repository."""
    known: Known = field(default_factory=Known)
    """The secrets of all that Cells may see."""
    width: int = 8
    max_steps: int = 30
    cell_seconds: float = 300.0
    output_chars: int = 8_000
    """Told of a Cell's output; the whole is kept."""
    reply_tokens: int = 4_096


def ended_by(error: RlmError) -> str:
    """The status of what ended by this error."""
    if isinstance(error, BudgetExceeded):
        return error.limit
    if isinstance(error, RunEnded):
        return error.status
    for kind, status in ((Cancelled, "cancelled"), (SubLMTimeout, "seconds"), (SubLMError, "model")):
        if isinstance(error, kind):
            return status
    return "repl"


def entry(found: RunAnswer) -> dict[str, JSON]:
    """What a Cell is told of a Run that it asked for."""
    if found.error is not None:
        return failed(type(found.error).__name__, str(found.error))
    quotes: list[JSON] = [one.quote for one in found.evidence if one.is_verified]
    refs: list[JSON] = [*verified_refs(found.evidence)]
    return {"answer": found.answer, "quotes": quotes, "refs": refs, "run": found.run}


class Run:
    """A Run under way. One thread; its children have theirs."""

    def __init__(  # what a Run is
        self, engine: Engine, question: str, scope: Scope, *, budget: Budget, stop: Stop, parent: Run | None = None
    ) -> None:
        self.id = new_id()
        self.depth: int = parent.depth + 1 if parent is not None else 0
        """Runs above this one."""
        self.place = (0, 0)
        """Number of the parent's step that asked, and which of its questions this is."""
        self.tree: Tree = parent.tree if parent is not None else Tree(root=self.id, budget=budget)
        self.tally: Tally = Tally(parent.tally) if parent is not None else self.tree.tally
        self._engine = engine
        self._question = question
        self._scope = scope
        self._budget = budget
        self._stop = Stop(seconds=budget.seconds_left(), parent=stop)
        self._parent = parent
        self._limit = Limit(lambda: self._sub_model)
        self._notes = Notes(run=self.id, lend=engine.lend)
        looking = Looking(
            run=self.id, session_key=engine.session["key"], scope=scope, data=engine.data, lend=engine.lend
        )
        self._given = RunBindings(looking, self._limit, self.tally)
        self._printed = ""
        self._running: Repl | None = None
        """What runs a Cell now."""

    @property
    def so_far(self) -> str:
        """What it has printed and been answered last; from any thread."""
        running = self._running
        now = self._engine.known.redact(running.printed(_PEEK_BYTES)) if running is not None else ""
        printed = now[-_PARTIAL_CHARS:].strip() or self._printed.strip()
        return "\n".join(word for word in (printed, self._given.so_far) if word)

    def begin(self, way: str) -> int:
        """Note that it begins, or goes on, in that way (see :class:`RunRow`); how many asked the same in vain before.

        Raises:
            StoreError: it cannot be noted.
        """
        return self._notes.begin(self._row(way))

    def end(self, found: RunAnswer) -> None:
        """Note how it ended; raises as :meth:`begin` does."""
        self._notes.end(found)

    def to_the_end(self) -> RunAnswer:
        """Run, note every step, and say how it ended. Raises nothing but a ``StoreError``."""
        in_vain = self.begin("run")
        try:
            with self._own_repl() as repl:
                found = self._run(repl, in_vain)
        except StoreError:
            raise
        except RlmError as error:
            found = RunAnswer(run=self.id, status=ended_by(error), answer="", partial=self.so_far, error=error)
        self.end(found)
        return found

    @contextmanager
    def _own_repl(self) -> Iterator[RunRepl]:
        """Ended with the Run, and at once when the Run is cancelled."""
        repl = RunRepl(self._engine.start)
        try:
            with self._stop.waking(repl.close):
                yield repl
        finally:
            repl.close()

    def _run(self, repl: RunRepl, in_vain: int) -> RunAnswer:
        history: list[tuple[str, str]] = []
        told = f"{self._question}\n\n{self._scope.told(self._engine.session)}"
        if in_vain:  # or all would be answered from the cache, and end as it did
            told += f"\n{prompt_text('again').format(number=in_vain + 1)}"
        without_code = sent_back = 0
        for number in range(1, self._engine.max_steps + 1):
            prompt = f"{told}\n{self._budget_line()}"
            reply = self._say(prompt, history)
            history.append((prompt, reply.text))
            code = code_of(reply.text)
            if not code.text or (code.is_open and reply.is_cut):
                told = prompt_text("cut" if reply.is_cut else "no_code")
                self._notes.step(number, reply.text, code="", told=told)
                without_code += 1
                if without_code == _NO_CODE:
                    raise RunEnded("the root model writes no code", status="no_code")
                continue
            without_code = 0
            self._notes.begin_step(number, reply.text, code.text)
            outcome = self._run_cell(repl, number, code.text)
            refusal = self._refusal(outcome)
            told = self._told(outcome, number, refusal)
            self._notes.step(number, reply.text, code=code.text, told=told, outcome=outcome)
            over = self._limit.over()
            if over is not None:
                raise over
            if outcome.final is not None and not refusal:
                return self._final(outcome.final)
            sent_back += bool(refusal)
            if sent_back == _SENT_BACK:
                raise RunEnded(f"the root model gives no answer that counts: {refusal}", status="unread")
            self._stop.left(1.0)
            if outcome.ending is None:
                repl.replace()
        raise RunEnded(f"no FINAL in {self._engine.max_steps} steps", status="steps")

    def _say(self, prompt: str, history: Sequence[tuple[str, str]]) -> Asked:
        request = Request(
            prompt=prompt,
            history=tuple(shortened(history)),
            system=prompt_text("root"),
            model=self._engine.root_model,
            max_tokens=self._engine.reply_tokens,
        )
        purpose = Purpose(run=self.id, session=self._engine.session["key"], what="root")
        found = self._engine.root.ask(request, self._budget, self._stop, purpose)
        self.tally.add([found.worth])
        return found

    def _run_cell(self, repl: RunRepl, number: int, code: str) -> Outcome:
        self._engine.known.ready(self._stop)
        ready = repl.ready(self._stop)
        most = self._engine.cell_seconds
        seconds = max(_LEAST_CELL_SECONDS, self._stop.left(most))
        is_last = seconds < most
        stop = Stop(seconds=max(0.0, seconds - min(_MARGIN_SECONDS, seconds / 10)), parent=self._stop)
        self._limit.begin_cell()
        self._running = ready
        told = {**self._engine.session, "context": self._scope.known()}
        outcome = ready.run(
            Cell(number=number, code=code, timeout_seconds=seconds, session=told),
            self._given.of_cell(
                self._asking(stop, is_last=is_last),
                lambda question, scope, place: self._child(
                    question, scope, stop, place=(number, place), is_last=is_last
                ),
            ),
            stop=self._limit.insists,
            grace_seconds=_CELL_GRACE_SECONDS,
        )
        outcome = self._engine.known.without(outcome)
        self._printed = outcome.output[-_PARTIAL_CHARS:] or self._printed
        self._running = None
        return outcome

    def _asking(self, stop: Stop, *, is_last: bool) -> Asking:
        """Whom one Cell may ask.

        Args:
            stop: when that ends.
            is_last: the Cell's time is the Run's.
        """
        return Asking(
            metered=self._engine.sub,
            budget=self._budget,
            stop=stop,
            run=self.id,
            session=self._engine.session["key"],
            model=self._engine.sub_model,
            width=self._engine.width,
            asks=self._given.asks,
            came=lambda answer: self._given.came(answer.text),
            heard=lambda answers: self._given.heard(answers, is_last=is_last),
        )

    def _refusal(self, outcome: Outcome) -> str:
        """Why a FINAL does not count; empty where it does, and where there is none."""
        if outcome.final is None:
            return ""
        if self._limit.depth is not None:
            return f"FINAL refused: {self._limit.depth}."
        if not self._given.has_read:
            return "FINAL refused: you have not looked at any of the data yet."
        if len(outcome.final) > _ANSWER_CHARS:
            return f"FINAL refused: {len(outcome.final):,} characters; at most {_ANSWER_CHARS:,} are an answer."
        return "" if outcome.final.strip() else "FINAL refused: the answer is empty."

    def _told(self, outcome: Outcome, number: int, refusal: str) -> str:
        """What the root is told of a Cell."""
        printed = cut(outcome.output.rstrip("\n"), self._engine.output_chars, f"read('c{number}')")
        words = [set_off(printed, "output") if printed else ""]
        if outcome.lost_bytes:
            words.append(f"({outcome.lost_bytes:,} bytes more were printed and not kept)")
        if outcome.ending is None:
            words.append(f"(the REPL was ended: {outcome.why}; its variables are gone)")
        taken = sorted({name for name, _what in outcome.variables} & ENDING_OR_ASKING)
        if taken:
            words.append(f"({', '.join(taken)}: ours again from here on; name yours otherwise)")
        told = "\n".join(word for word in (*words, refusal) if word)
        return told or ("" if outcome.final is not None else "(no output)")

    def _budget_line(self) -> str:
        top = self.tree.budget
        used = self.tree.tally.used(top.spent)
        if self._parent is None:
            return budget_line(top.limits, used, top.seconds_left())
        return shared_line(top.limits, used, top.seconds_left(), self._budget.limits.depth)

    def _child(
        self, question: str, scope: Scope, stop: Stop, *, place: tuple[int, int], is_last: bool
    ) -> dict[str, JSON]:
        """Run a child to its end; its entry for the Cell."""
        self._given.asks(1)
        try:
            if self._limit.error is not None:
                raise self._limit.error
            budget = self._budget.child(Limits(depth=self._budget.limits.depth))
            with self.tree.slots.at(self.depth + 1, stop):
                child = Run(self._engine, question, scope, budget=budget, stop=stop, parent=self)
                child.place = place
                found = child.to_the_end()
                if found.error is not None:
                    raise found.error
        except StoreError:
            raise
        except RlmError as error:
            self._limit.failed(error, is_last=is_last)
            return failed(type(error).__name__, str(error))
        self._given.heard_child(found.answer)
        return entry(found)

    def _final(self, value: str) -> RunAnswer:
        evidence = without_secrets(self._checked(self._given.quotes), self._engine.known.redact)
        return RunAnswer(run=self.id, status=OK, answer=value, evidence=evidence)

    def _checked(self, quotes: Sequence[str]) -> tuple[Evidence, ...]:
        found = check(quotes, self._scope.all_sources, self._is_over)
        look = self._engine.elsewhere
        missing = [one.quote for one in found if not one.is_verified][:_ELSEWHERE] if look is not None else []
        more = [source for quote in missing if not self._is_over() and look is not None and (source := look(quote))]
        return found if not more else check(quotes, (*self._scope.all_sources, *more), self._is_over)

    def _is_over(self) -> bool:
        deadline = self._stop.deadline
        return self._stop.is_told or (deadline is not None and time.monotonic() >= deadline)

    @property
    def _sub_model(self) -> str:
        """Whom Cells ask where they name nobody."""
        return self._engine.sub_model or self._engine.sub.backend.default_model

    def _row(self, way: str) -> RunRow:
        engine = self._engine
        return RunRow(
            id=self.id,
            parent=self._parent.id if self._parent is not None else "",
            root=self.tree.root,
            session_key=engine.session["key"],
            depth=self.depth,
            question=engine.known.redact(self._question),
            scope=self._scope.name,
            way=way,
            step=self.place[0],
            place=self.place[1],
            refs=self._scope.refs,
            model=engine.root_model or engine.root.backend.default_model,
            sub_model=self._sub_model,
            backend=engine.root.backend.name,
            limits=asdict(self._budget.limits),
            started=time.time(),
        )
