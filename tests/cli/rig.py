"""Runs the command line: in this process, or as a person's shell does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.cli.main import run

ROOT = Path(__file__).parent.parent.parent


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


class CommandLine:
    """``cli("search", "errors", "--json")``."""

    def __init__(self, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        self._captured = capsysbinary

    def __call__(self, *arguments: str | Path) -> Said:
        code = run([str(argument) for argument in arguments])
        out, err = self._captured.readouterr()
        return Said(code, out.decode(), err.decode())


def shell(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """``python -m rlm_mcp ARGUMENTS`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rlm_mcp", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        cwd=ROOT,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
