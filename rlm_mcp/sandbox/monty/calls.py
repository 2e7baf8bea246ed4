"""A Cell's calls of host functions, as they come from Monty: any of them may be forged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlm_mcp.errors import RlmError
from rlm_mcp.sandbox import messages, wire
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import Binding, Handed, called

_PIECE_BYTES = 16 << 20
"""Of a large value, handed over at once."""
_WHOLE_BYTES = 128 << 20
"""A large value that comes in one piece may be so long."""
_ERROR_CHARS = 2_000
_GIVEN = ("", "", "", 0)
"""How, name, arguments as JSON, first byte."""


def answered(bindings: Mapping[str, Binding], given: tuple[Any, ...]) -> Any:
    """What a host function says, as Monty takes it; a refusal is raised in the Cell."""
    try:
        how, asked, start = _read(given)
        answer = called(bindings, asked.name, asked.arguments)
        if how == "bytes":
            return {"return_value": _piece(_file(asked.name, answer), start, _PIECE_BYTES)}
        return {"return_value": _text(asked.name, answer)}
    except (RlmError, OSError) as error:  # OSError: the file is gone
        return {"exc_type": "RuntimeError", "message": str(error)[:_ERROR_CHARS].encode("utf-8", "replace").decode()}


def _read(given: tuple[Any, ...]) -> tuple[str, messages.Call, int]:
    """How it is to be answered, the call, the first byte: by the same rules as a call that comes over the wire.

    Raises:
        RlmError: it is none.
    """
    how, name, text, start = given if len(given) == len(_GIVEN) else _GIVEN
    if how not in ("text", "bytes") or type(text) is not str or type(start) is not int or not 0 <= start < 1 << 53:
        raise RlmError("a host function is called by what is given: session, repo, docs, read")
    if len(text) > wire.MAX_FROM_CHILD:
        raise RlmError(f"{len(text):,} characters in one call; at most {wire.MAX_FROM_CHILD:,} fit")
    try:
        body = text.encode("utf-8")
        wire.check_call(str(name), body)
        wire.check_values(body)
        message = wire.from_child({"kind": "Call", "name": name, "arguments": json.loads(text)})
    except (ValueError, RecursionError, wire.WireBroken) as error:
        raise RlmError(f"no call of a host function: {error}") from error
    assert isinstance(message, messages.Call)
    return how, message, start


def _file(name: str, answer: JSON | Handed) -> Handed:
    if not isinstance(answer, Handed):
        raise RlmError(f"{name} hands over no file")
    return answer


def _text(name: str, answer: JSON | Handed) -> str:
    """A file's text, or a value as JSON."""
    if not isinstance(answer, Handed):
        return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
    raw = _piece(answer, 0, _WHOLE_BYTES + 1)
    if len(raw) > _WHOLE_BYTES:
        raise RlmError(f"{name} has more than {_WHOLE_BYTES:,} bytes to say; ask for a part of it")
    return raw.decode("utf-8", "replace")


def _piece(large: Handed, start: int, most: int) -> bytes:
    """Bytes of it from there on, at most so many."""
    if large.path is None:
        return large.content[start : start + most]
    with large.path.open("rb") as file:
        file.seek(start)
        return file.read(max(0, min(most, large.length - start)))
