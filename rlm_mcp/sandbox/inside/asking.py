"""Asking the host from inside a Cell."""

from __future__ import annotations

import json
import mmap
import os
import socket
from typing import Any

from rlm_mcp.sandbox import wire
from rlm_mcp.sandbox.inside.cell import Runner


class HostError(Exception):
    """A host function refused or failed; the message says why and what to do."""

    __module__ = "builtins"


class Mapped:
    """Bytes the host handed over as a descriptor, mapped and never copied."""

    def __init__(self, descriptor: int, length: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | bytes = b""
        self.length = -1
        self.grow(length)

    def grow(self, length: int) -> None:
        """The file has grown to so many bytes that count."""
        if length != self.length:
            self._map = mmap.mmap(self._descriptor, length, prot=mmap.PROT_READ) if length else b""
            self.length = length

    @property
    def view(self) -> memoryview:
        """All of it."""
        return memoryview(self._map)

    def text(self, start: int = 0, end: int | None = None) -> str:
        """Bytes ``start`` to ``end`` as text."""
        return str(self.view[start : self.length if end is None else end], "utf-8", "replace")

    def __del__(self) -> None:
        os.close(self._descriptor)


class Host:
    """The other side of the socket."""

    def __init__(self, end: socket.socket, runner: Runner) -> None:
        self._end = end
        self.runner = runner

    def receive(self) -> tuple[wire.FromHost, tuple[int, ...]]:
        """The host's next message, and descriptors that came along."""
        found, descriptors = wire.receive(self._end, max_bytes=wire.MAX_FROM_HOST)
        return wire.from_host(found), descriptors

    def ask(self, name: str, /, **arguments: Any) -> Any:
        """Call a host function; a large answer comes mapped and is read here.

        Raises:
            HostError: it refused or failed.
        """
        value, mapped = self.ask_mapped(name, **arguments)
        return value if mapped is None else json.loads(bytes(mapped.view))

    def ask_mapped(self, name: str, /, **arguments: Any) -> tuple[Any, Mapped | None]:
        """Call a host function that may hand over a file; its answer then names the file's ``length``."""
        message, descriptors = self.runner.calling(lambda: self._exchange(wire.Call(name=name, arguments=arguments)))
        if isinstance(message, wire.Failure):
            raise HostError(message.message)
        value = message.value
        return value, Mapped(descriptors[0], value["length"]) if descriptors else None

    def _exchange(self, call: wire.Call) -> tuple[wire.FromHost, tuple[int, ...]]:
        wire.send(self._end, call)
        return self.receive()
