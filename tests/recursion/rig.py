"""Runs for tests: a scripted model, a real store and Ledger, Cells in a real Jail."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rlm_mcp.config import Paths, Settings
from rlm_mcp.costs import Limits, Spent
from rlm_mcp.recursion.noting import RunAnswer
from rlm_mcp.recursion.run import Engine, Run
from rlm_mcp.recursion.scope import Scope, Source
from rlm_mcp.sandbox.repl import Binding
from rlm_mcp.store import ledger, runs
from rlm_mcp.store.ledger import Caps, StoreLedger
from rlm_mcp.store.runs import StepRow
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Reply, Request, Stop
from rlm_mcp.sublm.metered import Metered
from rlm_mcp.sublm.scripted import Script, Scripted
from rlm_mcp.wiring import Stores
from tests.repls import NOBODY, start

ROOT, SUB = "root", "sub"
PLENTY = Caps(session_tokens=1 << 40, session_usd=1e9, day_tokens=1 << 40, day_usd=1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A request as it came, and when (``time.monotonic()``)."""

    request: Request
    time: float


class Watched(Scripted):
    """A scripted model that notes when it was asked and what it answered."""

    def __init__(self, script: Script, *, seconds: float = 0.0) -> None:
        super().__init__(script, seconds=seconds, model=ROOT)
        self.came: list[Served] = []
        """Every request, answered or not."""
        self.answered: list[Reply] = []

    def complete(self, request: Request, stop: Stop) -> Reply:
        """See ``SubLM``."""
        moment = time.monotonic()
        stop.left(1.0)  # as a backend looks, just before it sends
        self.came.append(Served(request=request, time=moment))
        reply = super().complete(request, stop)
        self.answered.append(reply)
        return reply

    def of(self, model: str) -> list[Request]:
        """What that model was asked, in order."""
        return [served.request for served in self.came if served.request.model == model]

    @property
    def tokens_in(self) -> int:
        """Of all that was answered."""
        return sum(reply.usage.tokens_in for reply in self.answered)

    @property
    def tokens_out(self) -> int:
        """Of all that was answered."""
        return sum(reply.usage.tokens_out for reply in self.answered)


def block(code: str, name: str = "repl") -> str:
    """A reply with that code."""
    return f"```{name}\n{code}\n```"


def steps(*replies: str) -> Script:
    """A root that says one after the other, and the last one again and again."""
    return lambda request: replies[min(len(request.history), len(replies) - 1)]


def by_model(**scripts: Script) -> Script:
    """Another script for each model."""
    return lambda request: scripts[request.model](request)


def nobody(request: Request) -> str:
    """A sub-model that must not be asked."""
    raise AssertionError(f"asked: {request.prompt[:200]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What a Run came to, and what it took."""

    answer: RunAnswer
    spent: Spent
    seconds: float
    deadline: float
    """By ``time.monotonic()``."""
    steps: Sequence[StepRow]


class RunRig:
    """Asks questions over given texts."""

    def __init__(self, stores: Stores, model: Watched, *, caps: Caps = PLENTY, call_seconds: float = 30.0) -> None:
        self.stores = stores
        self.model = model
        self.metered = Metered(model, StoreLedger(stores.lend, caps), call_seconds=call_seconds)
        self.engine = Engine(
            root=self.metered,
            sub=self.metered,
            root_model=ROOT,
            sub_model=SUB,
            start=partial(start, output_bytes=16 << 20),
            data={},
            session={**NOBODY, "key": ""},
            lend=stores.lend,
        )

    def over(self, data: Mapping[str, Binding], session: Mapping[str, Any]) -> None:
        """Cells see this Session."""
        self.engine = replace(self.engine, data=data, session=session)

    def ask(
        self,
        question: str = "How many?",
        *texts: str | Source,
        is_list: bool = False,
        limits: Limits | None = None,
        stop: Stop | None = None,
        scope: Scope | None = None,
    ) -> Came:
        """Ask, and wait for the end."""
        scope = scope or texts_scope(*texts, is_list=is_list)
        limits = limits or Limits(calls=1_000, tokens=10_000_000, seconds=60.0, depth=2)
        budget = Budget(limits)
        stop = stop or Stop(seconds=limits.seconds)
        started = time.monotonic()
        run = Run(self.engine, question, scope, budget=budget, stop=stop)
        answer = run.to_the_end()
        seconds = time.monotonic() - started
        with self.stores.lend() as store:
            noted = runs.steps(store, answer.run)
        deadline = started + (limits.seconds or 0.0)
        return Came(answer=answer, spent=budget.spent, seconds=seconds, deadline=deadline, steps=noted)

    def ledger(self, run: str = "") -> Spent:
        """What the Ledger says of a Run and all below it, or of everything."""
        with self.stores.lend() as store:
            return ledger.spent(store, run=run)


def texts_scope(*texts: str | Source, is_list: bool = False) -> Scope:
    """A scope of texts that only the Run knows, or of files."""
    sources = tuple(
        text if isinstance(text, Source) else Source(name=f"context[{number}]", content=text.encode())
        for number, text in enumerate(texts)
    )
    return Scope(name="texts", texts=sources, is_list=is_list)


def file_source(path: Path) -> Source:
    """A whole file."""
    return Source(name=str(path), path=path, end=path.stat().st_size)


@contextmanager
def rig(
    home: Path,
    script: Script,
    *,
    seconds: float = 0.0,
    caps: Caps = PLENTY,
    call_seconds: float = 30.0,
    model: type[Watched] = Watched,
) -> Iterator[RunRig]:
    """Everything, in a throwaway folder."""
    with Stores(Paths(home=home), Settings()) as stores:
        yield RunRig(stores, model(script, seconds=seconds), caps=caps, call_seconds=call_seconds)
