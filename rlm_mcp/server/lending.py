"""Where our mod in Claude Code comes for requests: HTTP over a Unix socket that its owner alone may use.

Its path stands in ``live/lend-<client's process id>.json`` = ``{"socket"}``. ``POST /take`` and ``POST /give`` are
:meth:`LentModel.take` and :meth:`LentModel.give`, JSON in and out. A tool of ours would do as well, but each of the
mod's calls of it would count as a tool call of the client, with its hooks and permissions.
"""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from rlm_mcp.config import Paths
from rlm_mcp.store import live
from rlm_mcp.sublm.lent import LentModel

_MOST_BYTES = 64 << 20
_MOST_PATH_BYTES = 100
"""Of a socket; 107 on Linux, 103 on macOS (unix(7), unix(4))."""
_SECONDS = 30.0
"""The longest that one message may take to come."""


class Door(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Open from the start to :meth:`shut`; each message is answered in a thread of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, paths: Paths, parent_id: int, lent: LentModel) -> None:
        """Open it, and leave word where it is.

        Args:
            parent_id: process id of the client.

        Raises:
            OSError: no socket, or no file, can be made.
        """
        self.lent = lent
        self._word = live.path_of(paths, "lend", str(parent_id))
        self._socket = self._word.with_suffix(f".{os.getpid()}")
        self._folder: Path | None = None
        if len(os.fsencode(self._socket)) > _MOST_PATH_BYTES:
            self._folder = Path(tempfile.mkdtemp(prefix="rlm-mcp-"))
            self._socket = self._folder / "lend"
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        super().__init__(str(self._socket), _Messages)
        self._socket.chmod(0o600)
        live.leave(paths, self._word, {"socket": str(self._socket)})
        threading.Thread(target=self.serve_forever, args=(0.05,), name="rlm-mcp lend", daemon=True).start()

    def shut(self) -> None:
        """Nothing is answered any more; socket and word are removed."""
        if live.found(self._word).get("socket") == str(self._socket):  # not that of a server that came after
            self._word.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.shutdown()
        self.server_close()


class _Messages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS
    server: Door

    def log_message(self, *_: Any) -> None:
        """Nothing is printed: standard output is the client's."""

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            self._answer(413, {})
            return
        try:
            told = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            self._answer(400, {})
            return
        if self.path == "/take":
            self._answer(200, self.server.lent.take())
        elif self.path == "/give" and isinstance(told, dict):
            self.server.lent.give(told)
            self._answer(200, {})
        else:
            self._answer(404, {})

    def _answer(self, status: int, told: dict[str, Any]) -> None:
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
