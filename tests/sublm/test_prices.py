"""Prices: the user's own first, then the table; what is not known is not guessed."""

import pytest

from rlm_mcp.config import Price
from rlm_mcp.costs import Cost
from rlm_mcp.sublm.lm import Usage
from rlm_mcp.sublm.prices import KNOWN, cost_of, price_of

OWN = {"gpt-5-mini": Price(usd_in=9, usd_out=9), "qwen3:8b": Price(usd_in=0, usd_out=0)}


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-5-mini", OWN["gpt-5-mini"]),
        ("gpt-5-mini-2025-08-07", OWN["gpt-5-mini"]),
        ("openai/gpt-5", KNOWN["gpt-5"]),
        ("gpt-5-2025-08-07", KNOWN["gpt-5"]),
        ("anthropic/claude-haiku-4.5", KNOWN["claude-haiku-4-5"]),
        ("anthropic/claude-haiku-4.5:beta", KNOWN["claude-haiku-4-5"]),
        ("claude-haiku-4-5-20251001", KNOWN["claude-haiku-4-5"]),
        ("claude-haiku-4-5-latest", KNOWN["claude-haiku-4-5"]),
        ("gpt-4.1-mini", KNOWN["gpt-4.1-mini"]),
        ("qwen3:8b", OWN["qwen3:8b"]),
        ("gpt-5-pro", None),
        ("gpt-50", None),
        ("", None),
    ],
)
def test_a_dated_or_prefixed_name_has_its_models_price(model: str, price: Price | None):
    """And a model that only begins alike has none."""
    assert price_of(model, OWN) == price


def test_what_tokens_cost():
    """Per million; the backend's own word counts before any table; without a price there is none."""
    usage = Usage(tokens_in=1_000_000, tokens_out=500_000)
    assert cost_of(usage, Price(usd_in=1.0, usd_out=10.0)) == Cost(tokens_in=1_000_000, tokens_out=500_000, usd=6.0)
    assert cost_of(usage, Price(usd_in=1.0, usd_out=10.0), 0.25).usd == 0.25
    assert cost_of(usage, None).usd is None
