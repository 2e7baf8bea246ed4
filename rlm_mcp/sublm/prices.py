"""What models cost, in US dollars per million tokens: a small table that goes stale, and that the user can override."""

from __future__ import annotations

from collections.abc import Mapping

from rlm_mcp.config import Price
from rlm_mcp.costs import Cost
from rlm_mcp.sublm.lm import Usage

KNOWN: Mapping[str, Price] = {
    "gpt-5": Price(usd_in=1.25, usd_out=10.0),
    "gpt-5-mini": Price(usd_in=0.25, usd_out=2.0),
    "gpt-5-nano": Price(usd_in=0.05, usd_out=0.40),
    "gpt-4.1": Price(usd_in=2.0, usd_out=8.0),
    "gpt-4.1-mini": Price(usd_in=0.40, usd_out=1.60),
    "gpt-4.1-nano": Price(usd_in=0.10, usd_out=0.40),
    "gpt-4o": Price(usd_in=2.50, usd_out=10.0),
    "gpt-4o-mini": Price(usd_in=0.15, usd_out=0.60),
    "claude-opus-4-5": Price(usd_in=5.0, usd_out=25.0),
    "claude-sonnet-4-5": Price(usd_in=3.0, usd_out=15.0),
    "claude-haiku-4-5": Price(usd_in=1.0, usd_out=5.0),
    "opus": Price(usd_in=5.0, usd_out=25.0),
    "sonnet": Price(usd_in=3.0, usd_out=15.0),
    "haiku": Price(usd_in=1.0, usd_out=5.0),
}
"""List prices as published by the makers in 2025, without discounts; ``prices`` in config.toml overrides."""


def price_of(model: str, own: Mapping[str, Price]) -> Price | None:
    """The price of a model: the user's own first, then the table; a dated or prefixed name has its model's price."""
    plain = model.rpartition("/")[2].partition(":")[0]
    for table in (own, KNOWN):
        for name in (model, plain, plain.replace(".", "-")):
            if name in table:
                return table[name]
        fitting = [name for name in table if plain.startswith(f"{name}-20") or plain == f"{name}-latest"]
        if fitting:
            return table[max(fitting, key=len)]
    return None


def cost_of(usage: Usage, price: Price | None, usd: float | None = None) -> Cost:
    """What so many tokens cost; ``usd`` is the backend's own word, which counts before any table."""
    if usd is None and price is not None:
        usd = (usage.tokens_in * price.usd_in + usage.tokens_out * price.usd_out) / 1_000_000
    return Cost(tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, usd=usd)
