"""ask: a question answered over a Session, Documents or texts by a recursive Run, within a Budget.

The cheapest way that answers is taken first: a typed question is answered by search alone; what fits into one prompt is
answered by one call; only then a root model programs a Repl.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlm_mcp.costs import Limits, Spent
from rlm_mcp.errors import BudgetExceeded, QueryError, RlmError, RunEnded, SubLMError
from rlm_mcp.recursion.asking import prompt_text
from rlm_mcp.recursion.evidence import Evidence, check, verified_refs, without_secrets
from rlm_mcp.recursion.noting import RunAnswer
from rlm_mcp.recursion.run import OK, Engine, Run, ended_by
from rlm_mcp.recursion.schema import parsed
from rlm_mcp.recursion.scope import Scope, Source
from rlm_mcp.recursion.setting_off import set_off
from rlm_mcp.redact import redact
from rlm_mcp.store import runs
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import RunRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Metered, Purpose
from rlm_mcp.verbs.query import content_words, understand
from rlm_mcp.verbs.search import search

SCOPES = ("session", "docs", "repo")
NOT_FOUND = "not_found"
"""The status where the whole scope was read and does not hold the answer."""
_GATE_BYTES = 48_000
"""A scope up to here goes into one prompt: below about 16,000 tokens a Run is no better than reading."""
_GATE_REPLY_TOKENS = 1_024
_SEARCH_TOKENS = 1_000
_MOST_BYTES = 4 << 30
_WHOLE_TOKENS = 16_000_000
_LISTING = (["which"], ["what"], ["list"], ["show"], ["name"], ["give"], ["all"])
"""How a question for a list begins, where it does not begin with what it is for: "files edited"."""
_RECORDED = frozenset({"command", "edit", "read", "todo", "task", "lookup", "commit", "pull_request"})
"""Facts that calls of tools leave: no such Fact, no such call. Others are known by words, or by what was printed."""
_THOUGHT = frozenset({
    "after", "answer", "because", "before", "best", "compare", "explain", "first", "it", "largest", "last", "latest",
    "least", "longest", "mean", "means", "most", "order", "shortest", "that", "they", "this", "when", "who", "whom",
    "whose", "why", "worst",
})  # fmt: skip
"""Words that ask for more than a list, or for something that was named before."""
_ATOMIC = json.dumps(
    {
        "type": "object",
        "properties": {
            "answer": {"type": ["string", "null"]},
            "quotes": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["answer"],
    }
)
_SCALAR = {"type": ["string", "null", "number", "boolean"]}
_ANSWERED = json.dumps({"type": "object", "properties": {"answer": _SCALAR}, "required": ["answer"]})
"""What is taken for that: a number is an answer as well as a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAnswer:
    """What a question came to."""

    answer: str
    """Empty unless ``status`` is ``ok``."""
    status: str
    """``ok``, or what ended it; see :class:`rlm_mcp.recursion.run.RunAnswer`."""
    way: str
    """``search``, ``one call``, ``summary`` or ``run``."""
    spent: Spent
    evidence: tuple[Evidence, ...] = ()
    refs: tuple[str, ...] = ()
    """Where the answer stands, each checked."""
    run: str = ""
    """Id of the Run, under which the question is kept; empty where it could not begin."""
    partial: str = ""
    """What it had, where it has no answer."""
    error: RlmError | None = None

    def record(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        error = {"type": type(self.error).__name__, "message": str(self.error)} if self.error is not None else None
        spent = self.spent
        return {
            "answer": self.answer,
            "status": self.status,
            "way": self.way,
            "calls": spent.calls,
            "tokens": {"in": spent.tokens_in, "out": spent.tokens_out},
            "usd": round(spent.usd, 6) if not spent.unpriced else None,
            "cached": spent.cached,
            "failed": spent.failed,
            "abandoned": spent.abandoned,
            "refs": list(self.refs),
            "evidence": [asdict(one) for one in self.evidence],
            "run": self.run,
            "partial": self.partial,
            "error": error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a question may cost at most, without asking anybody."""

    way: str
    """``search``, ``one call`` or ``run``."""
    scope_bytes: int
    model: str
    calls: int
    tokens: int
    usd: float | None
    """None where the price is not known."""
    seconds: float
    missing: str = ""
    """Why there is nobody to ask, with the cure; empty where there is somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Who would be asked, and within what."""

    metered: Metered
    model: str
    """The root's; empty where it is not known."""
    sub_model: str
    limits: Limits

    @property
    def is_priced(self) -> bool:
        """Whether it is known what the models cost."""
        asked = (Request(prompt="", model=model) for model in (self.model, self.sub_model))
        return all(self.metered.most(request).usd is not None for request in asked)


def ask(  # noqa: PLR0913  # what a question needs
    store: Store,
    session: SessionRow | None,
    question: str,
    scope: Scope,
    engine: Engine,
    *,
    budget: Budget,
    stop: Stop,
    run: Run | None = None,
) -> AskAnswer:
    """Answer the question, in the cheapest way that does.

    Args:
        run: the Run to use; made here otherwise.

    Raises:
        QueryError: there is no question.
        StoreError: what is done cannot be noted.
    """
    if not question.strip():
        raise QueryError("the question is empty; ask something")
    if _is_blank(scope):
        raise QueryError(f"there is nothing to ask about: {scope.name} is empty")
    run = run or Run(engine, question, scope, budget=budget, stop=stop)
    if session is not None and scope.texts is None:
        found = by_search(store, session, question, run.id)
        if found is not None:
            return found
    if _fits_one_call(scope):
        run.begin("one call")
        ended = _in_one_call(run.id, question, scope, engine, budget, stop)
        if ended is not None:
            run.end(ended)
            return _answer(ended, budget, "one call")
    return _answer(run.to_the_end(), budget, "run")


def estimate(session: SessionRow | None, question: str, scope: Scope, planned: Planned) -> Estimate:
    """The way that would be taken, and the most it can cost."""
    size = sum(source.size for source in _read_at_once(scope))
    model, limits = planned.model, planned.limits
    if session is not None and scope.texts is None and _asks_for_a_list(question):
        return Estimate(way="search", scope_bytes=size, model="", calls=0, tokens=0, usd=0.0, seconds=0.0)
    if _fits_one_call(scope):
        most = planned.metered.most(_atomic_request(question, scope, model))
        return Estimate(
            way="one call", scope_bytes=size, model=model, calls=1, tokens=most.tokens, usd=most.usd, seconds=0.0
        )
    return Estimate(
        way="run",
        scope_bytes=size,
        model=model,
        calls=limits.calls or 0,
        tokens=limits.tokens or 0,
        usd=limits.usd if planned.is_priced else None,
        seconds=limits.seconds or 0.0,
    )


def _asks_for_a_list(question: str) -> bool:
    """Whether a list of Facts is the answer, and no thought about them is asked for."""
    words = re.findall(r"[a-z]+", question.lower())
    begins = " ".join(words[:2]) == "how many" or words[:1] in _LISTING
    is_named = "?" not in question and bool(words) and content_words(question)[:1] == words[:1]
    return (begins or is_named) and not _THOUGHT.intersection(words) and understand(question).is_plain_question


def _fits_one_call(scope: Scope) -> bool:
    """Whether all there is to read goes into one prompt."""
    is_listing = scope.texts is not None and scope.has_more
    return not is_listing and sum(source.size for source in _read_at_once(scope)) <= _GATE_BYTES


def _is_blank(scope: Scope) -> bool:
    """Whether there is nothing to read at all."""
    texts = scope.texts
    return texts is not None and _fits_one_call(scope) and not any(source.text().strip() for source in texts)


def _read_at_once(scope: Scope) -> Sequence[Source]:
    return scope.texts if scope.texts is not None else scope.sources[:1]


def _atomic_request(question: str, scope: Scope, model: str) -> Request:
    texts = (set_off(source.text(), "text", f"name={source.name!r}") for source in _read_at_once(scope))
    return Request(
        prompt="\n\n".join((question, *texts)),
        system=prompt_text("atomic"),
        model=model,
        max_tokens=_GATE_REPLY_TOKENS,
        schema=_ATOMIC,
    )


def by_search(store: Store, session: SessionRow, question: str, run_id: str) -> AskAnswer | None:
    """The answer of search, where the question is a typed one and nothing else, and search has the whole of it.

    Args:
        run_id: under which it is kept.
    """
    if not _asks_for_a_list(question):
        return None
    kinds = {asked.kind for asked in understand(question).typed}
    found = search(store, session, question, max_tokens=_SEARCH_TOKENS)
    is_none = not found.total and found.text.startswith("no ") and kinds <= _RECORDED  # else: "nothing matches"
    if not is_none and not (found.total and all(hit.kind in kinds for hit in found.hits)):
        return None
    row = RunRow(
        id=run_id,
        parent="",
        root=run_id,
        session_key=session.key,
        depth=0,
        question=redact(question)[0],
        scope=f"session {session.key}",
        way="search",
        model="",
        sub_model="",
        backend="",
        limits={},
        started=time.time(),
    )
    with store.writing():
        runs.begin(store, row)
        runs.end(store, run_id, status=OK, answer=found.text, evidence=(), partial="", error=None)
    refs = tuple(dict.fromkeys(hit.ref for hit in found.hits))
    return AskAnswer(answer=found.text, status=OK, way="search", spent=Spent(), refs=refs, run=run_id)


def _in_one_call(
    run_id: str, question: str, scope: Scope, engine: Engine, budget: Budget, stop: Stop
) -> RunAnswer | None:
    """The answer of one call with the whole scope in its prompt; None where it did not answer."""
    request = _atomic_request(question, scope, engine.root_model or engine.root.backend.default_model)
    purpose = Purpose(run=run_id, session=engine.session["key"], what="one call")
    try:
        engine.known.ready(stop)
        said = engine.root.ask(request, budget, stop, purpose)
    except (BudgetExceeded, SubLMError) as error:
        return RunAnswer(run=run_id, answer="", status=ended_by(error), error=error)
    value, complaint = parsed(said.text, _ANSWERED, is_cut=said.is_cut)
    if complaint:
        return None
    answer, quotes = value["answer"], value.get("quotes")
    if answer is None or answer == "":
        if scope.has_more:
            return None
        return RunAnswer(
            run=run_id,
            answer="",
            status=NOT_FOUND,
            error=RunEnded("the answer is not in the text, which was read whole", status=NOT_FOUND),
        )
    clean = engine.known.redact
    proofs = [quote for quote in quotes if isinstance(quote, str)] if isinstance(quotes, list) else []
    evidence = without_secrets(check(proofs, _read_at_once(scope)), clean)
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return RunAnswer(run=run_id, answer=clean(text), status=OK, evidence=evidence)


def _answer(ended: RunAnswer, budget: Budget, way: str) -> AskAnswer:
    return AskAnswer(
        answer=ended.answer,
        status=ended.status,
        way=way,
        spent=budget.spent,
        evidence=ended.evidence,
        refs=verified_refs(ended.evidence),
        run=ended.run,
        partial=ended.partial,
        error=ended.error,
    )
