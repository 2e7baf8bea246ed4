"""A request put in words, for backends that take no schema or no history."""

from __future__ import annotations

from functools import cache
from importlib import resources

from rlm_mcp.sublm.lm import Request


def system_with_schema(request: Request) -> str:
    """The system text, and the schema said in words where there is one."""
    if not request.schema:
        return request.system
    told = _prompt("schema").replace("{schema}", request.schema)
    return f"{request.system}\n\n{told}" if request.system else told


def system_text(request: Request) -> str:
    """As :func:`system_with_schema`, never empty: a client program would put its own in the place."""
    return system_with_schema(request) or _prompt("neutral")


def prompt_with_history(request: Request) -> str:
    """The prompt, and before it all earlier turns where there are some."""
    if not request.history:
        return request.prompt
    turns = [text for asked, said in request.history for text in (_turn("prompt", asked), _turn("answer", said))]
    return _prompt("turns").replace("{turns}", "\n".join([*turns, _turn("prompt", request.prompt)]))


def _turn(name: str, text: str) -> str:
    return f"<{name}>\n{text}\n</{name}>"


@cache
def _prompt(name: str) -> str:
    return (resources.files("rlm_mcp.sublm") / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()
