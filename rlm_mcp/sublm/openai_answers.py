"""What an endpoint's answer holds, in all the shapes that endpoints use. Pure; nothing of it is trusted.

Format: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, TypeGuard
from urllib.parse import urljoin

from rlm_mcp.sublm.lm import Request, Usage
from rlm_mcp.sublm.sending import Answer
from rlm_mcp.text import estimate_tokens

SAID_CHARS = 300
OVERHEAD_TOKENS = 32
"""Roles and marks around the messages, at most."""
_MOST_TOKENS, _MOST_USD = 1 << 40, 1e6
"""No call takes so much; who says so is not believed."""


def parsed_json(content: bytes) -> Any:
    """As JSON; None where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def first_choice(found: Any) -> dict[str, Any] | None:
    """The first choice with a message; None where there is none."""
    choices = found.get("choices") if isinstance(found, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) and isinstance(choice.get("message"), dict) else None


def text_of(content: Any) -> str:
    """Of a message: plain, or in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def other_kind(answer: Answer) -> str:
    """What an answer that is no JSON is, where that is something which an endpoint never says; else ''."""
    told = next((value for name, value in answer.headers.items() if name.lower() == "content-type"), "")
    start = answer.content.lstrip()[:6]
    if told.startswith("text/event-stream") or start.startswith((b"data:", b"event:")):
        return "a stream of events"
    return "a page (HTML)" if told.startswith("text/html") or start.startswith(b"<") else ""


def place_of(headers: Mapping[str, str], address: str) -> str:
    """Where an answer leads that came from that address, without what is private in it."""
    told = next((value for name, value in headers.items() if name.lower() == "location"), "")
    whole = urljoin(address, told).partition("?")[0] if told else "nowhere"
    return re.sub(r"//[^/@]*@", "//", whole)


def instead_of_text(message: dict[str, Any], finish: Any, told: Any) -> str:
    """What a message without text holds, in words."""
    details = told.get("completion_tokens_details") if isinstance(told, dict) else None
    thought = details.get("reasoning_tokens") if isinstance(details, dict) else None
    calls = message.get("tool_calls")
    words = [f"finish_reason {finish!r}"]
    if isinstance(calls, list) and calls:
        words.append("a call of a tool, though it has none")
    if _is_count(thought) and thought:
        words.append(f"{thought:,} tokens of reasoning")
    elif message.get("reasoning_content") or message.get("reasoning"):
        words.append("reasoning alone")
    return ", ".join(words)


def error_text(content: bytes) -> str:
    """The message of an error, in one of the shapes that endpoints use; '' for none."""
    body = parsed_json(content)
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
    return said if isinstance(said, str) else json.dumps(said)[:SAID_CHARS] if said else ""


def usage_of(told: Any, request: Request, text: str) -> tuple[Usage, float | None]:
    """Tokens as the endpoint counted them, else estimated; and dollars, where it names them (as OpenRouter does)."""
    told = told if isinstance(told, dict) else {}
    tokens_in, tokens_out, usd = told.get("prompt_tokens"), told.get("completion_tokens"), told.get("cost")
    is_priced = isinstance(usd, int | float) and not isinstance(usd, bool) and 0 <= usd < _MOST_USD
    if _is_count(tokens_in) and _is_count(tokens_out):
        return Usage(tokens_in=tokens_in, tokens_out=tokens_out), usd if is_priced else None
    said = [turn for pair in request.history for turn in pair]
    read = sum(map(estimate_tokens, (request.prompt, request.system, request.schema, *said)))
    estimate = Usage(tokens_in=read + OVERHEAD_TOKENS, tokens_out=estimate_tokens(text), is_estimate=True)
    return estimate, usd if is_priced else None


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS


def after_seconds(given: Mapping[str, str]) -> float | None:
    """When to come again: milliseconds, seconds or a date (RFC 9110, 10.2.3); None where it is not said."""
    headers = {name.lower(): value for name, value in given.items()}
    for name, unit in (("retry-after-ms", 1_000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) / unit)
        except ValueError:
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time())
    except ValueError:
        return None
