"""Asking within a Budget: cache, one flight for identical questions, reserve, retries, settle, the Ledger's rows.

Whoever asks goes through here, so nothing is sent that was not reserved, nothing is paid twice, and everything that was
sent stands in the Ledger, however it ended.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from random import SystemRandom
from typing import Protocol
from weakref import WeakKeyDictionary

from rlm_mcp import redact as secrets
from rlm_mcp.config import Price
from rlm_mcp.costs import Call, CallEnd, CallStatus, Cost, Kept
from rlm_mcp.errors import BudgetExceeded, Cancelled, SubLMBusy, SubLMError, SubLMRefused, SubLMTimeout
from rlm_mcp.sublm.batch import Batch, landed
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop, SubLM, Usage
from rlm_mcp.sublm.prices import cost_of, price_of
from rlm_mcp.sublm.thinking import without_thinking
from rlm_mcp.sublm.unanswered import unanswered
from rlm_mcp.text import clean, estimate_tokens

jitter = SystemRandom().uniform
_TRIES = 5
_MOST_LOST = 1
"""Answers that were charged and are of no use, or may have been and never came, after which it is asked again."""
_MORE_ROOM, _MOST_TOKENS = 4, 64_000
"""So many times its tokens is a model given that used up all without a word (it thinks within that number), at most."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 20.0
_LONGEST_WISH_SECONDS = 120.0
"""An endpoint that wants a longer pause is not waited for."""
_SAFETY = 1.15
"""Prompts are estimated; a reservation must not be smaller than what is counted in the end."""
_MOST_SAFETY = 10.0
_CAP_PAUSE_SECONDS = 0.1
"""Before a cap of session or day is looked at again: calls under way, of any process, may cost less than reserved."""
_SAY_HOW_LONG = frozenset({"llm_query", "llm_map", "repair"})
"""What is asked by code that can say how long a reply may be."""
_KEY_FIELDS = tuple(sorted(field.name for field in fields(Request)))
"""What makes two questions different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An answered question."""

    text: str
    model: str
    cost: Cost
    """Nothing, where it was there already."""
    worth: Cost
    """What it cost when it was paid for."""
    is_cut: bool = False


def _nobody(_answer: Asked) -> None:
    """Nobody wants to hear it now."""


class Ledger(Protocol):
    """What is sent and what it cost, kept over processes; it knows the limits of session and day."""

    def sent(self, call: Call) -> int:
        """Note that a call is about to be sent; its number.

        Raises:
            BudgetExceeded: a limit of the session or the day forbids it; ``may_pass`` where only what is reserved for
                calls under way stands in the way.
        """

    def unsent(self, number: int) -> None:
        """It was not sent after all: it is as if it had never been noted."""

    def settled(self, number: int, ended: CallEnd) -> None:
        """Note how it ended, together with its reply where it brought one."""

    def cached(self, call: Call) -> None:
        """Note an answer that cost nothing."""

    def known(self, key: str) -> Kept | None:
        """The reply that was given to the same question before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """For what a call is made, for the Ledger."""

    run: str
    session: str
    what: str
    """``root``, ``llm_query``, ``llm_map``, ``summarize`` ..."""


class Metered:
    """A SubLM behind cache, budget and Ledger. Safe to use from any thread."""

    def __init__(
        self,
        backend: SubLM,
        ledger: Ledger,
        *,
        prices: Mapping[str, Price] | None = None,
        redact: Callable[[str], str] | None = None,
        call_seconds: float = 120.0,
    ) -> None:
        """Wrap a backend.

        Args:
            prices: the user's own, before the table's.
            redact: takes secrets out of a text; ``rlm_mcp.redact`` unless given.
            call_seconds: the longest that one request is waited for.
        """
        self.backend = backend
        self._ledger = ledger
        self._prices = prices or {}
        self._redact = redact or _redacted
        self._call_seconds = call_seconds
        self._lock = threading.Lock()
        self._flights: dict[str, Future[Asked]] = {}
        self._safety: dict[str, float] = {}
        self._refusing: WeakKeyDictionary[object, dict[str, str]] = WeakKeyDictionary()
        """By tree of budgets: models that refuse whatever they are asked, and why; the next question looks again."""
        self._room: dict[str, int] = {}
        """Tokens that helped a model which had used up all it was given."""

    def taking_out(self, redact: Callable[[str], str]) -> Metered:
        """The same, which takes other secrets out of what it sends: for one that knows more of the texts."""
        same = copy.copy(self)
        same._redact = redact  # noqa: SLF001  # of its own kind
        return same

    def ask(self, request: Request, budget: Budget, stop: Stop, purpose: Purpose) -> Asked:
        """Ask once, whoever else asks the same at the same time.

        A model that refuses whatever it is asked is not asked again within the same tree of budgets.

        Raises:
            BudgetExceeded: a limit forbids it; nothing was sent.
            SubLMError: and its kind.
        """
        stop.left(1.0)
        request = self._ready(request)
        key = self.key(request)
        while True:
            stop.left(1.0)
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    flight = self._flights[key] = Future()
                    break
            landed(flight, stop)
            found = self._known(key, request, budget, purpose)
            if found is not None:
                return found  # else the other one was ended, and this one tries for itself
        try:
            return self._known(key, request, budget, purpose) or self._asked(key, request, budget, stop, purpose)
        except (SubLMBusy, SubLMRefused) as error:
            flight.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._flights[key]
            flight.cancel()

    def ask_all(
        self,
        requests: Sequence[Request],
        budget: Budget,
        stop: Stop,
        purpose: Purpose,
        *,
        width: int,
        came: Callable[[Asked], None] = _nobody,
    ) -> list[Asked | BudgetExceeded | SubLMError]:
        """Ask all, at most ``width`` at a time; answers in order, and errors in the place of those that failed.

        After a limit is reached, it was told to stop, or their model refuses whatever it is asked, nothing more is
        sent; what is there is kept. All are to one model.

        Args:
            came: told of each answer as soon as it is there, from any thread.

        Raises:
            RlmError: the Ledger cannot be written; nothing more is sent then, and requests under way are ended.
        """
        batch = Batch[Asked](len(requests), Stop(parent=stop))

        def work() -> None:
            for number in batch.numbers():
                try:
                    batch.found[number] = answer = self.ask(requests[number], budget, batch.stop, purpose)
                    came(answer)
                except (Cancelled, SubLMTimeout, BudgetExceeded) as error:
                    batch.found[number] = batch.over = error
                except SubLMRefused as error:
                    batch.found[number] = error
                    batch.over = error if error.model else batch.over
                except SubLMError as error:
                    batch.found[number] = error

        with ThreadPoolExecutor(min(width, len(requests)) or 1, thread_name_prefix="rlm-mcp ask") as pool:
            working = [pool.submit(work) for _ in range(min(width, len(requests)))]
            try:
                for one in wait(working, return_when=FIRST_EXCEPTION).done:
                    one.result()
            except BaseException:
                batch.stop.now()
                raise
        return batch.answers()

    def most(self, request: Request) -> Cost:
        """What a call may cost at most."""
        said = [text for turn in request.history for text in turn]
        texts = (request.prompt, request.system, request.schema, *said)
        safety = self._safety.get(request.model, _SAFETY)
        tokens = int(sum(map(estimate_tokens, texts)) * safety) + 4 * len(texts) + self.backend.overhead_tokens
        usage = Usage(tokens_in=tokens, tokens_out=request.max_tokens)
        return cost_of(usage, price_of(request.model, self._prices))

    def key(self, request: Request) -> str:
        """Of the question in the cache: backend, model, texts and parameters."""
        named = json.dumps([self.backend.name, *(getattr(request, name) for name in _KEY_FIELDS)])
        return hashlib.sha256(named.encode("ascii")).hexdigest()

    def _ready(self, request: Request) -> Request:
        """As it is sent: without secrets, with a model."""
        return Request(
            prompt=self._redact(request.prompt),
            model=clean(request.model) or self.backend.default_model,
            system=self._redact(request.system),
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            history=tuple((self._redact(asked), self._redact(said)) for asked, said in request.history),
            schema=self._redact(request.schema),
        )

    def _known(self, key: str, request: Request, budget: Budget, purpose: Purpose) -> Asked | None:
        reply = self._ledger.known(key)
        if reply is None:
            return None
        budget.count_cached()
        self._ledger.cached(self._call(request, purpose, Cost(usd=0.0)))
        return Asked(
            text=reply.text,
            model=reply.model,
            cost=Cost(usd=0.0),
            worth=reply.cost,
            is_cut=reply.is_cut,
        )

    def _call(self, request: Request, purpose: Purpose, most: Cost) -> Call:
        return Call(
            run=purpose.run,
            session=purpose.session,
            backend=self.backend.name,
            model=request.model,
            purpose=purpose.what,
            most=most,
        )

    def _asked(self, key: str, request: Request, budget: Budget, stop: Stop, purpose: Purpose) -> Asked:
        refusing = self._refusing.setdefault(budget.tree, {})
        if request.model in refusing:
            raise SubLMRefused(refusing[request.model], model=request.model)
        pause, lost = _FIRST_PAUSE_SECONDS, 0
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                return self._with_room(key, request, budget, stop, purpose)
            except SubLMBusy as error:
                lost += error.may_be_charged or error.is_paid
                wanted = error.after_seconds if error.after_seconds is not None else pause * jitter(0.5, 1.0)
                left = budget.seconds_left()
                patience = _LONGEST_WISH_SECONDS if left is None else min(_LONGEST_WISH_SECONDS, left)
                if not tries_left or lost > _MOST_LOST or wanted > patience:
                    raise
                stop.wait(wanted)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            except SubLMRefused as error:
                if error.model:
                    refusing[request.model] = str(error)
                raise
        raise AssertionError("the last try returns or raises")

    def _with_room(self, key: str, request: Request, budget: Budget, stop: Stop, purpose: Purpose) -> Asked:
        """As :meth:`_sent`; a model that uses up its tokens before it says anything gets more of them, once."""
        wider = replace(request, max_tokens=min(_MORE_ROOM * request.max_tokens, _MOST_TOKENS))
        known = self._room.get(request.model, 0)
        if known >= request.max_tokens:
            request = replace(request, max_tokens=min(known, wider.max_tokens))
        try:
            return self._sent(key, request, budget, stop, purpose)
        except SubLMRefused as error:
            if not error.is_used_up or request.max_tokens >= wider.max_tokens:
                raise
            refused = error
        try:
            found = self._sent(key, wider, budget, stop, purpose)
        except BudgetExceeded:
            raise refused from None  # no limit forbade what was asked
        except SubLMRefused as other:
            if other.is_used_up:
                raise
            raise refused from other
        self._room[request.model] = wider.max_tokens
        return found

    def _sent(self, key: str, request: Request, budget: Budget, stop: Stop, purpose: Purpose) -> Asked:
        """One request: reserved before, settled after, whatever comes between."""
        most = self.most(request)
        number = self._noted(self._call(request, purpose, most), budget, stop)
        started = time.monotonic()
        cost, status, kept = Cost(usd=0.0), CallStatus.FAILED, None
        try:
            reply = self.backend.complete(request, Stop(seconds=self._seconds(budget), parent=stop))
            cost = cost_of(reply.usage, price_of(request.model, self._prices), reply.usd)
            self._learn(request.model, most, reply.usage)
            text, model = without_thinking(clean(reply.text)), clean(reply.model)
            if not text.strip():
                raise unanswered(request, reply, can_say_more=purpose.what in _SAY_HOW_LONG)
            status, kept = CallStatus.OK, Kept(text=text, model=model, cost=cost, is_cut=reply.is_cut)
            return Asked(text=text, model=model, cost=cost, worth=cost, is_cut=reply.is_cut)
        except SubLMTimeout as error:
            status = CallStatus.ABANDONED
            stop.left(1.0)  # raises, where it is not this request's time alone that is over
            raise SubLMBusy(f"no answer within {time.monotonic() - started:.1f} s", may_be_charged=True) from error
        except Cancelled:
            status = CallStatus.ABANDONED
            raise
        except SubLMBusy as error:
            status = CallStatus.ABANDONED if error.may_be_charged else CallStatus.FAILED
            raise
        finally:
            budget.settle(most, cost, is_failed=kept is None, is_abandoned=status is CallStatus.ABANDONED)
            seconds = time.monotonic() - started
            self._ledger.settled(number, CallEnd(status=status, cost=cost, seconds=seconds, key=key, reply=kept))

    def _noted(self, call: Call, budget: Budget, stop: Stop) -> int:
        """Reserve for a call in budget and Ledger, as soon as it fits; its number there.

        Raises:
            BudgetExceeded: it might pass a limit, whatever becomes of calls under way.
            Cancelled, SubLMTimeout: nobody waits any more. Then, too, it counts as no call.
        """
        while True:
            budget.reserve(call.most, stop)
            try:
                return self._wanted(call, stop)
            except BudgetExceeded as error:
                budget.give_back(call.most)
                if not error.may_pass:
                    raise
            except BaseException:
                budget.give_back(call.most)
                raise
            stop.wait(_CAP_PAUSE_SECONDS)

    def _wanted(self, call: Call, stop: Stop) -> int:
        """Note a call; if nobody waits for it by then, it is forgotten, and raised as by :meth:`Stop.left`."""
        number = self._ledger.sent(call)
        try:
            stop.left(1.0)
        except SubLMError:
            self._ledger.unsent(number)
            raise
        return number

    def _seconds(self, budget: Budget) -> float:
        """How long one request may take."""
        left = budget.seconds_left()
        return self._call_seconds if left is None else max(0.0, min(self._call_seconds, left))

    def _learn(self, model: str, most: Cost, usage: Usage) -> None:
        """Where a model counts more tokens than were reserved for a prompt, more are reserved from now on."""
        if usage.tokens_in > most.tokens_in and not usage.is_estimate:
            before = self._safety.get(model, _SAFETY)
            self._safety[model] = min(_MOST_SAFETY, before * 1.1 * usage.tokens_in / most.tokens_in)


def _redacted(text: str) -> str:
    return secrets.redact(clean(text))[0]
