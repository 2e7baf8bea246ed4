"""What other models have cost, as plain text. Pure."""

from __future__ import annotations

from rlm_mcp.costs import Spent


def spent_text(spent: Spent) -> str:
    """What was spent, in a line."""
    words = [
        "1 call" if spent.calls == 1 else f"{spent.calls:,} calls",
        f"{spent.tokens_in:,} + {spent.tokens_out:,} tokens",
    ]
    words.append("price unknown" if spent.unpriced else f"${spent.usd:.4f}")
    if spent.cached:
        words.append(f"{spent.cached:,} from the cache")
    if spent.failed:
        words.append(f"{spent.failed:,} failed")
    if spent.under_way:
        words.append(f"{spent.under_way:,} under way")
    return ", ".join(words)
