"""A hook from standard input to standard output: parse, decide, print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlm_mcp.config import Paths, read_paths, read_settings
from rlm_mcp.errors import UsageError
from rlm_mcp.events import Client
from rlm_mcp.hook.handlers import AddContext, Decision, Instruct, Nothing, Swap, decide, start
from rlm_mcp.hook.payloads import HookCall, Moment, context_reply, decline_reply, parse, swap_reply
from rlm_mcp.store.database import open_store

EMPTY = b""
"""What says nothing to a client's classic hooks."""


def run(arguments: Sequence[str], payload: bytes, environ: Mapping[str, str]) -> bytes:
    """The reply to one call.

    Args:
        arguments: the client's name, and ``compact`` when its mod calls.

    Raises:
        RlmError, OSError: the call cannot be understood, or the Store cannot be used.
    """
    call = parse(_client(arguments), payload, environ, from_mod=is_from_mod(arguments))
    return answer(call, read_paths(environ), environ)


def answer(call: HookCall, paths: Paths, environ: Mapping[str, str]) -> bytes:
    """The reply to a parsed call; the Store is opened only where it is needed."""
    if environ.get("RLM_MCP_SUBCALL") or not start(call, paths):
        return _reply(call, Nothing(reason="nothing to do"))
    settings = read_settings(paths, environ)
    with open_store(paths, settings, busy_seconds=settings.hook_seconds) as store:
        return _reply(call, decide(call, store))


def is_from_mod(arguments: Sequence[str]) -> bool:
    """Claude Code's mod calls, and waits for messages."""
    return Moment.COMPACT in arguments[1:]


def _client(arguments: Sequence[str]) -> Client:
    name = arguments[0] if arguments else ""
    try:
        return Client(name)
    except ValueError as error:
        raise UsageError(f"run_hook.py was called for client {name!r}; known: {', '.join(Client)}") from error


def _reply(call: HookCall, decision: Decision) -> bytes:
    match decision:
        case Swap(brief=text, tail=tail):
            return swap_reply(text, tail)
        case AddContext(text=text):
            return context_reply(text)
        case Instruct(text=text):
            return text.encode()
        case Nothing(reason=reason):
            return decline_reply(reason) if call.moment is Moment.COMPACT else EMPTY
