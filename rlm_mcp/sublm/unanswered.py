"""What an answer without text means for whoever asked: it was paid for, and there is nothing to use."""

from __future__ import annotations

from rlm_mcp.errors import SubLMBusy, SubLMError, SubLMRefused
from rlm_mcp.sublm.lm import Reply, Request

_ANOTHER = "(--model, --sub-model)"


def unanswered(request: Request, reply: Reply, *, can_say_more: bool) -> SubLMError:
    """Refused, used up, or empty; the message says what came, and the cure.

    Args:
        can_say_more: whoever asks says how long a reply may be.
    """
    if reply.refusal:
        return SubLMRefused(f"{reply.model!r} refuses to answer: {reply.refusal[:300]!r}; ask otherwise")
    instead = f" ({reply.instead})" if reply.instead else ""
    if reply.is_cut:
        cure = "give it a larger max_tokens, or ask" if can_say_more else "ask"
        return SubLMRefused(
            f"{reply.model!r} used up all {request.max_tokens:,} tokens before it said anything{instead}; {cure} a "
            f"model that thinks less {_ANOTHER}",
            is_used_up=True,
        )
    return SubLMBusy(
        f"{reply.model!r} answered without a text{instead}; ask for plain text, or ask another model {_ANOTHER}",
        is_paid=True,
    )
