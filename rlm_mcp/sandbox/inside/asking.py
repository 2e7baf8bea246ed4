"""Asking the host from inside a Cell."""

from __future__ import annotations

import errno
import json
import mmap
import os
import socket
from typing import Any

from rlm_mcp.sandbox import messages, wire
from rlm_mcp.sandbox.inside.cell import Runner

_HALF_AN_EXCHANGE = 70
"""Exit code; ``EX_SOFTWARE`` of ``sysexits.h``."""


class HostError(Exception):
    """A host function refused or failed; the message says why and what to do."""

    __module__ = "builtins"

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        """The host's name for it."""


class Mapped:
    """Bytes the host handed over as a descriptor, mapped and never copied."""

    def __init__(self, descriptor: int, length: int) -> None:
        """The descriptor is closed; the map has one of its own."""
        self.length = length
        try:
            self._map: mmap.mmap | bytes = mmap.mmap(descriptor, length, prot=mmap.PROT_READ) if length else b""
        finally:
            os.close(descriptor)

    @property
    def view(self) -> memoryview:
        """All of it."""
        return memoryview(self._map)

    def begins(self, view: memoryview) -> bool:
        """Whether the view is of its first bytes, one by one."""
        return view.obj is self._map and view.c_contiguous and view == self.view[: view.nbytes]

    def text(self, start: int = 0, end: int | None = None) -> str:
        """Bytes ``start`` to ``end`` as text."""
        return str(self.view[start : self.length if end is None else end], "utf-8", "replace")


class Host:
    """The other side of the socket."""

    def __init__(self, end: socket.socket, runner: Runner) -> None:
        self._end = end
        self.runner = runner

    def receive(self) -> tuple[messages.FromHost, tuple[int, ...]]:
        """The host's next message, and descriptors that came along."""
        found, descriptors = wire.receive(self._end, max_bytes=wire.MAX_FROM_HOST)
        return wire.from_host(found), descriptors

    def ask(self, name: str, /, **arguments: Any) -> Any:
        """Call a host function; a large answer comes mapped and is read here.

        Raises:
            HostError: it refused or failed.
            OSError: there is no descriptor left here for a large answer.
        """
        found = self._asked(name, arguments)
        return json.loads(found.text()) if isinstance(found, Mapped) else found

    def file(self, name: str, /, **arguments: Any) -> Mapped:
        """Call a host function that hands over a file; raises as :meth:`ask` does."""
        found = self._asked(name, arguments)
        assert isinstance(found, Mapped)
        return found

    def _asked(self, name: str, arguments: dict[str, Any]) -> Any:
        frame = wire.framed(messages.Call(name=name, arguments=arguments))
        message, descriptors = self.runner.calling(lambda: self._exchange(frame))
        if isinstance(message, messages.Failure):
            raise HostError(message.message, message.error)
        assert isinstance(message, messages.Value)
        if message.file_bytes < 0:
            return message.value
        try:
            if descriptors:
                return Mapped(descriptors[0], message.file_bytes)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
        raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}; del some documents or views of texts")

    def _exchange(self, frame: bytes) -> tuple[messages.FromHost, tuple[int, ...]]:
        try:
            wire.send_framed(self._end, frame)
            return self.receive()
        except BaseException:  # noqa: BLE001  # half an exchange cannot be taken up again: better no child than a confused one
            os._exit(_HALF_AN_EXCHANGE)
