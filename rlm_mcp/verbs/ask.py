"""ask: a question answered over a Session, Documents or texts by a recursive Run, within a Budget.

The cheapest way that answers is taken first: a typed question is answered by search alone; what fits into one prompt is
answered by one call; only then a root model programs a Repl.
"""

from __future__ import annotations

import json
import re
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
from rlm_mcp.redact import redact
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Purpose
from rlm_mcp.verbs.query import understand
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
"""How a question for a list begins."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAnswer:
    """What a question came to."""

    answer: str
    """Empty unless ``status`` is ``ok``."""
    status: str
    """``ok``, or what ended it; see :class:`rlm_mcp.recursion.run.RunAnswer`."""
    way: str
    """``search``, ``one call`` or ``run``."""
    spent: Spent
    evidence: tuple[Evidence, ...] = ()
    refs: tuple[str, ...] = ()
    """Where the answer stands, each checked."""
    run: str = ""
    """Id of the Run; empty where none was needed."""
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
        run: the Run to use where one is needed; made here otherwise.

    Raises:
        QueryError: there is no question.
        StoreError: what is done cannot be noted.
    """
    if not question.strip():
        raise QueryError("the question is empty; ask something")
    if session is not None and scope.texts is None:
        found = by_search(store, session, question)
        if found is not None:
            return found
    at_once = _in_one_call(question, scope, engine, budget, stop)
    if at_once is not None:
        return at_once
    ended = (run or Run(engine, question, scope, budget=budget, stop=stop)).to_the_end()
    return _answer(ended, budget)


def estimate(session: SessionRow | None, question: str, scope: Scope, engine: Engine, limits: Limits) -> Estimate:
    """The way that would be taken, and the most it can cost."""
    size = sum(source.size for source in _read_at_once(scope))
    model = engine.root_model or engine.root.backend.default_model
    if session is not None and scope.texts is None and _asks_for_a_list(question):
        return Estimate(way="search", scope_bytes=size, model="", calls=0, tokens=0, usd=0.0, seconds=0.0)
    if _fits_one_call(scope):
        most = engine.root.most(_atomic_request(question, scope, engine))
        return Estimate(
            way="one call", scope_bytes=size, model=model, calls=1, tokens=most.tokens, usd=most.usd, seconds=0.0
        )
    return Estimate(
        way="run",
        scope_bytes=size,
        model=model,
        calls=limits.calls or 0,
        tokens=limits.tokens or 0,
        usd=limits.usd,
        seconds=limits.seconds or 0.0,
    )


def _asks_for_a_list(question: str) -> bool:
    """Whether a list of Facts is the answer, and no thought about them is asked for."""
    words = re.findall(r"[a-z]+", question.lower())
    begins = " ".join(words[:2]) == "how many" or words[:1] in _LISTING
    return begins and not _THOUGHT.intersection(words) and understand(question).is_plain_question


def _fits_one_call(scope: Scope) -> bool:
    """Whether all there is to read goes into one prompt."""
    is_listing = scope.texts is not None and scope.has_more
    return not is_listing and sum(source.size for source in _read_at_once(scope)) <= _GATE_BYTES


def _read_at_once(scope: Scope) -> Sequence[Source]:
    return scope.texts if scope.texts is not None else scope.sources[:1]


def _atomic_request(question: str, scope: Scope, engine: Engine) -> Request:
    texts = (f"<text name={source.name!r}>\n{source.text()}\n</text>" for source in _read_at_once(scope))
    return Request(
        prompt="\n\n".join((question, *texts)),
        system=prompt_text("atomic"),
        model=engine.root_model or engine.root.backend.default_model,
        max_tokens=_GATE_REPLY_TOKENS,
        schema=_ATOMIC,
    )


def by_search(store: Store, session: SessionRow, question: str) -> AskAnswer | None:
    """The answer of search, where the question is a typed one and nothing else, and search finds something."""
    if not _asks_for_a_list(question):
        return None
    found = search(store, session, question, max_tokens=_SEARCH_TOKENS)
    if not found.total:
        return None
    refs = tuple(dict.fromkeys(hit.ref for hit in found.hits))
    return AskAnswer(answer=found.text, status=OK, way="search", spent=Spent(), refs=refs)


def _in_one_call(question: str, scope: Scope, engine: Engine, budget: Budget, stop: Stop) -> AskAnswer | None:
    """The answer of one call with the whole scope in its prompt; None where that is too much, or did not answer."""
    sources = _read_at_once(scope)
    if not _fits_one_call(scope):
        return None
    request = _atomic_request(question, scope, engine)
    purpose = Purpose(run="", session=engine.session["key"], what="one call")
    try:
        said = engine.root.ask(request, budget, stop, purpose)
    except (BudgetExceeded, SubLMError) as error:
        return AskAnswer(answer="", status=ended_by(error), way="one call", spent=budget.spent, error=error)
    value, complaint = parsed(said.text, _ATOMIC)
    if complaint:
        return None
    if not value["answer"]:
        if scope.has_more:
            return None
        return AskAnswer(
            answer="",
            status=NOT_FOUND,
            way="one call",
            spent=budget.spent,
            error=RunEnded("the answer is not in the text, which was read whole", status=NOT_FOUND),
        )
    evidence = without_secrets(check(value.get("quotes", []), sources))
    return AskAnswer(
        answer=redact(value["answer"])[0],
        status=OK,
        way="one call",
        spent=budget.spent,
        evidence=evidence,
        refs=verified_refs(evidence),
    )


def _answer(ended: RunAnswer, budget: Budget) -> AskAnswer:
    return AskAnswer(
        answer=ended.answer,
        status=ended.status,
        way="run",
        spent=budget.spent,
        evidence=ended.evidence,
        refs=verified_refs(ended.evidence),
        run=ended.run,
        partial=ended.partial,
        error=ended.error,
    )
