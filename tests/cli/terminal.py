"""A terminal with the command line in it: keys go in, what a person would see comes out."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.cli.rig import ROOT

_SECONDS = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """``python -m rlm_mcp ARGUMENTS`` at a terminal of its own."""

    def __init__(self, *arguments: str | Path, **environ: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._child = subprocess.Popen(
            [sys.executable, "-c", _START, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "INPUTRC": os.devnull, **environ},
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._unread = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        os.close(self._master)

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._master, keys.encode())

    def until(self, *texts: str) -> str:
        """What is shown up to and with the first of these texts, without colours; fails where none comes."""
        deadline = time.monotonic() + _SECONDS
        while not (found := min(((at, one) for one in texts if (at := self._unread.find(one)) >= 0), default=None)):
            assert select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0], self._unread
            piece = self._read()
            assert piece, f"it ended; shown was {self._unread!r}"
            self._unread = _ESCAPES.sub("", self._unread + piece)
        end = found[0] + len(found[1])
        shown, self._unread = self._unread[:end], self._unread[end:]
        return shown

    def answer(self, line: str, prompt: str = ">>> ") -> str:
        """Type a line at the prompt; what is shown up to the next prompt."""
        self.type(f"{line}\n")
        self.until(f"{line}\r\n")
        return self.until(prompt).removesuffix(prompt).replace("\r\n", "\n")

    def end(self) -> tuple[int, str]:
        """Wait for its end: exit code, and what was still shown."""
        for piece in iter(self._read, ""):
            self._unread += piece
        return self._child.wait(timeout=_SECONDS), _ESCAPES.sub("", self._unread)

    def _read(self) -> str:
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            return os.read(self._master, 1 << 16).decode("utf-8", "replace")
        return ""


_START = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it
from rlm_mcp.cli.main import main
main()
"""


@contextlib.contextmanager
def prompt(*arguments: str | Path, **environ: str) -> Iterator[Terminal]:
    """``rlm-mcp repl ARGUMENTS`` at its first prompt."""
    with Terminal("repl", *arguments, **environ) as terminal:
        terminal.until(">>> ")
        yield terminal
