"""What asking other models costs: records that travel between ``sublm``, which spends, and ``store``, which notes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be spent; None is no limit."""

    calls: int | None = None
    """Requests sent, retries included."""
    tokens: int | None = None
    """In and out together."""
    usd: float | None = None
    seconds: float | None = None
    """From the budget's beginning."""
    depth: int = 2
    """Runs below this one: 0 allows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a call costs, or may cost at most."""

    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = None
    """None where the price is not known."""

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What is spent so far."""

    calls: int = 0
    """Requests sent, retries included."""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    cached: int = 0
    """Answers that cost nothing, because they were there."""
    failed: int = 0
    """Requests that brought no answer."""
    abandoned: int = 0
    """Of these, requests nobody waited for to the end: they may have been charged all the same."""
    unpriced: int = 0
    """Calls of a model without a known price: not in ``usd``."""
    under_way: int = 0
    """Of the calls, those that have not ended yet."""

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.tokens_in + self.tokens_out


class CallStatus(StrEnum):
    """How a request ended."""

    SENT = "sent"
    """It has not ended yet, or its process was killed."""
    OK = "ok"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Nobody waited for its end; it may have been charged."""
    CACHED = "cached"
    """It was not sent: the answer was there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, as the Ledger notes it before it is sent."""

    run: str
    """Id of the Run that asks; empty for a Cell outside of any."""
    session: str
    """Key of the Session it is asked for; empty for none."""
    backend: str
    model: str
    purpose: str
    """``root``, ``llm_query``, ``llm_map``, ``summarize`` ..."""
    most: Cost
    """What it can cost at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A reply as it is kept for whoever asks the same again."""

    text: str
    model: str
    cost: Cost
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """How a request ended."""

    status: CallStatus
    cost: Cost
    seconds: float
    key: str = ""
    """Under which its reply is kept; empty without."""
    reply: Kept | None = None
