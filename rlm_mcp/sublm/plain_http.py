"""Plain HTTP to a server on this machine or its network: kept-alive connections, a request in the thread that asks.

The general client (``openai_package``) takes most of a second and 25 MB to import, and about 1 ms of every request; a
local model server (vLLM, Ollama, llama.cpp) needs neither its TLS nor its proxies. Every wait is for the socket or for
the Stop, whichever comes first. Format: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import select
import socket
import threading
from typing import Any, cast

from rlm_mcp.errors import Cancelled, SubLMBusy
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.sublm.sending import CONNECT_SECONDS, Answer, no_connection

_LONGEST_SECONDS = 3_600.0
_MOST_BYTES = 64 << 20
_MOST_IDLE = 64


class PlainSender:
    """Posts to one ``http://`` address whose host is an IP address or ``localhost``."""

    def __init__(self, host: str, port: int, path: str, key: str) -> None:
        """Nothing is opened yet. ``key``: empty for none."""
        self._address = (host, port)
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {f'[{host}]' if ':' in host else host}:{port}",
            "Accept: application/json",
            "Content-Type: application/json",
            "User-Agent: rlm-mcp",
            *([f"Authorization: Bearer {key}"] if key else []),
        ]
        self._head = "\r\n".join(lines).encode("latin-1", "replace")
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._is_closed = False

    def warm(self) -> None:
        """There is nothing to prepare."""

    def send(self, content: bytes, stop: Stop) -> Answer:
        """Post; see :class:`rlm_mcp.sublm.sending.Sender` for what is raised."""
        stop.left(_LONGEST_SECONDS)
        connection = self._connection()
        is_whole = False
        try:
            with stop.waking(connection.wake):
                answer, is_whole = connection.post(self._head, content, self._address, stop)
            return answer
        finally:
            self._put_back(connection, is_whole=is_whole)

    def close(self) -> None:
        """Close the connections that are idle; those under way, once they are over."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connection(self) -> _Connection:
        """An idle one that its server has not closed, or a new one."""
        with self._lock:
            if self._is_closed:
                raise Cancelled("the endpoint is closed")
            while self._idle:
                connection = self._idle.pop()
                if connection.is_alive:
                    return connection
                connection.close()
        return _Connection()

    def _put_back(self, connection: _Connection, *, is_whole: bool) -> None:
        with self._lock:
            keep = is_whole and not self._is_closed and len(self._idle) < _MOST_IDLE
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()


class _Connection:
    """One connection; what it waits for can be cut short from any thread."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._stop = Stop()
        self._has_read = False

    @property
    def is_alive(self) -> bool:
        """The server has neither closed it nor said anything unasked."""
        return self._socket is not None and not _is_ready(self._socket, select.POLLIN, 0.0)

    def wake(self) -> None:
        """Cut short what is waited for."""
        os.write(self._waker, b".")

    def post(self, head: bytes, content: bytes, address: tuple[str, int], stop: Stop) -> tuple[Answer, bool]:
        """Send and read; the answer, and whether the connection can be used again.

        Raises:
            SubLMBusy, SubLMTimeout, Cancelled: see the Protocol; the connection is of no more use.
        """
        self._stop, self._has_read = stop, False
        is_used = self._socket is not None
        if self._socket is None:
            self._socket = self._connected(address)
        response = http.client.HTTPResponse(cast("socket.socket", self), method="POST")
        try:
            self._write(b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(content), content))
            response.begin()
            body = response.read(_MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            why = f"connection lost ({str(error) or type(error).__name__})"
            after_seconds = 0.0 if is_used and not self._has_read else None  # closed by its server while it was idle
            raise SubLMBusy(why, after_seconds=after_seconds, may_be_charged=self._has_read) from error
        finally:
            response.close()
        if response.length:
            raise SubLMBusy(f"connection lost, {response.length:,} bytes before the end", may_be_charged=True)
        if len(body) > _MOST_BYTES:
            raise SubLMBusy(f"an answer of more than {_MOST_BYTES:,} bytes", may_be_charged=True)
        return Answer(status=response.status, headers=dict(response.headers), content=body), not response.will_close

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What ``http.client`` asks of a socket."""
        return io.BufferedReader(_Reader(self))

    def read_into(self, buffer: memoryview) -> int:
        """What is there, or comes."""
        assert self._socket is not None
        while True:
            try:
                count = self._socket.recv_into(buffer)
            except BlockingIOError:
                self._wait(self._socket, select.POLLIN)
            else:
                self._has_read = self._has_read or count > 0
                return count

    def close(self) -> None:
        """For good."""
        os.close(self._woken)
        os.close(self._waker)
        if self._socket is not None:
            self._socket.close()

    def _connected(self, address: tuple[str, int]) -> socket.socket:
        """A connected socket that never blocks."""
        refused: OSError | None = None
        for family, kind, protocol, _name, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            made = socket.socket(family, kind, protocol)
            try:
                self._connect(made, place)
            except OSError as error:
                made.close()
                refused = error
            except BaseException:
                made.close()
                raise
            else:
                return made
        raise SubLMBusy(no_connection(str(refused))) from refused

    def _connect(self, made: socket.socket, place: Any) -> None:
        made.setblocking(False)
        code = made.connect_ex(place)
        if code == errno.EINPROGRESS:
            self._wait(made, select.POLLOUT, CONNECT_SECONDS)
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _write(self, content: bytes) -> None:
        assert self._socket is not None
        view = memoryview(content)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._wait(self._socket, select.POLLOUT)

    def _wait(self, waiting: socket.socket, event: int, most: float = _LONGEST_SECONDS) -> None:
        """Until the socket is ready.

        Raises:
            SubLMTimeout, Cancelled: the Stop says so.
            TimeoutError: it took longer than ``most``.
        """
        is_ready = _is_ready(waiting, event, self._stop.left(most), self._woken)
        self._stop.left(most)
        if not is_ready:
            raise TimeoutError(f"nothing within {most:g} s")


class _Reader(io.RawIOBase):
    """A connection as a file. Closed, it leaves the connection open."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader gives a memoryview
        """As of every raw file."""
        return self._connection.read_into(buffer)


def _is_ready(waiting: socket.socket, event: int, seconds: float, *also: int) -> bool:
    """Whether the socket is, or becomes so in time; also where one of the pipes ``also`` can be read."""
    poll = select.poll()
    poll.register(waiting, event)
    for pipe in also:
        poll.register(pipe, select.POLLIN)
    return bool(poll.poll(seconds * 1_000))
