"""A terminal with the command line in it: keys go in, what a person would see comes out."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
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
_SILENCE_SECONDS = 0.3
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

    def until(self, text: str) -> str:
        """What is shown up to and with ``text``, without colours; fails where it does not come."""
        deadline = time.monotonic() + _SECONDS
        while text not in (seen := _ESCAPES.sub("", self._unread)):
            assert select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0], self._unread
            piece = self._read()
            assert piece, f"it ended; shown was {self._unread!r}"
            self._unread += piece
        shown, found, self._unread = seen.partition(text)
        return shown + found

    def ended_by(self, number: signal.Signals) -> int:
        """Send its process a signal, and again: readline minds it only while it waits. The exit code."""
        while self._child.poll() is None:
            self._child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=5)
        return self._child.returncode

    def interrupt(self) -> None:
        """Press Ctrl-C once nothing more is shown: readline minds it only while it waits, a Cell only once it runs."""
        while select.select([self._master], [], [], _SILENCE_SECONDS)[0]:
            piece = self._read()
            assert piece, f"it ended; shown was {self._unread!r}"
            self._unread += piece
        self.type("\x03")

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
