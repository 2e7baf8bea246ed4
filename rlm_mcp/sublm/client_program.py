"""A client program asked once: a process of its own, its prompt on standard input, ended with its Stop.

The prompt, the texts it quotes and what they may tell a model to do are data of others: the program is started without
tools, hooks and servers, in an empty folder. Whatever of it still comes back to us finds ``RLM_MCP_SUBCALL`` in its
environment, and does nothing.

It costs its user money while it runs, so it ends with us however we end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rlm_mcp.errors import Cancelled, ProcessError, StoreError, SubLMTimeout, SubLMUnavailable
from rlm_mcp.locks import Held, locked
from rlm_mcp.process import Ended, run
from rlm_mcp.sublm.lm import Stop

SUBCALL = "RLM_MCP_SUBCALL"
"""Set for every process of ours below a client program."""
_LONGEST_SECONDS = 3_600.0
_MOST_BYTES = 32 << 20
_FOLDER = "rlm-mcp-asked-"
_LOCK = "lock"
"""In a folder, held as long as its owner lives."""


class ClientProgram:
    """A program and an empty folder for it. Safe to use from any thread."""

    def __init__(self, binary: Path, environ: Mapping[str, str]) -> None:
        """Nothing is started yet. ``environ``: the program's whole environment, but for the mark."""
        self.binary = binary
        self.environ = {**environ, SUBCALL: "1"}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._owned = ExitStack()

    def ask(self, arguments: Sequence[str], prompt: str, stop: Stop, extra: Mapping[str, str] | None = None) -> Ended:
        """Run to the end.

        Args:
            extra: further environment.

        Raises:
            SubLMUnavailable: it cannot be started.
            SubLMTimeout, Cancelled: it was ended, with all that it had started.
        """
        seconds = stop.left(_LONGEST_SECONDS)
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        try:
            with stop.waking(lambda: _write(tell)):
                ended = run(
                    [str(self.binary), *arguments],
                    timeout_seconds=seconds,
                    max_bytes=_MOST_BYTES,
                    cwd=self.folder(),
                    environ={**self.environ, **(extra or {})},
                    standard_input=prompt.encode("utf-8", "replace"),
                    told=told,
                    is_guarded=True,
                )
        except ProcessError as error:
            if "ran longer" in str(error):
                raise SubLMTimeout(f"{self.binary.name!r} was ended after {seconds:.0f} s") from error
            raise SubLMUnavailable(
                f"{str(self.binary)!r} cannot be started ({error}); install it, or set sub_backend"
            ) from error
        finally:
            os.close(told)
            os.close(tell)
        if ended.is_told:
            raise Cancelled("cancelled")
        return ended

    def folder(self) -> Path:
        """Where it runs: nothing is there but files made by :meth:`file`."""
        with self._lock:
            if self._folder is None:
                _sweep()
                made = Path(tempfile.mkdtemp(prefix=f"new-{_FOLDER}"))
                self._owned.enter_context(locked(made / _LOCK, patience_seconds=0.0))
                self._folder = made.rename(made.with_name(made.name.removeprefix("new-")))
            return self._folder

    def file(self, text: str, ending: str) -> Path:
        """A file with that text, in the folder; made once."""
        encoded = text.encode("utf-8", "replace")
        path = self.folder() / f"{hashlib.sha256(encoded).hexdigest()[:32]}{ending}"
        if not path.exists():
            made = path.with_name(f"{path.name}.{threading.get_ident()}")
            made.write_bytes(encoded)
            made.replace(path)
        return path

    def close(self) -> None:
        """Remove the folder."""
        with self._lock:
            folder, self._folder = self._folder, None
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            self._owned.close()


def _sweep() -> None:
    """Remove the folders of those who were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        try:
            found = left.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                with locked(left / _LOCK, patience_seconds=0.0):
                    shutil.rmtree(left, ignore_errors=True)
        except (Held, StoreError, FileNotFoundError):  # its owner lives, or somebody has removed it by now
            continue


def json_lines(output: bytes) -> list[dict[str, Any]]:
    """The objects of the output, one a line; what is none is left out."""
    found = []
    for line in output.splitlines():
        try:
            read = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict):
            found.append(read)
    return found


def _write(descriptor: int) -> None:
    os.write(descriptor, b".")
