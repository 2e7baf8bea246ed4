"""Asking the host from inside Monty."""

import json
from typing import Any


class Host:
    """What answers: ``call(how, name, arguments, start)`` is the one function that leaves the interpreter."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def ask(self, name: str, arguments: "dict[str, Any]") -> Any:
        """What a host function says. Raises RuntimeError where it refuses or fails."""
        return json.loads(self._call("text", name, json.dumps(arguments), 0))

    def text(self, name: str, arguments: "dict[str, Any]") -> Any:
        """A file that a host function hands over, as text."""
        return self._call("text", name, json.dumps(arguments), 0)

    def bytes_from(self, start: int, name: str, arguments: "dict[str, Any]") -> bytes:
        """A file that a host function hands over, from that byte on."""
        told = json.dumps(arguments)
        pieces = []
        piece = b" "
        while piece:
            piece = self._call("bytes", name, told, start)
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)
