"""rlm_mcp.cli.view: colours for people, plain text for everything else."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.cli.view import progress_on
from tests.cli.rig import ROOT, CommandLine


def at_a_terminal(*arguments: str | Path, **environ: str) -> bytes:
    """What a command prints when a person looks."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rlm_mcp", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environ},
        cwd=ROOT,
    ):
        os.close(theirs)
        pieces = []
        while piece := _some(ours):
            pieces.append(piece)
    os.close(ours)
    return b"".join(pieces)


def _some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # how Linux tells that the other end is closed
        return b""


def test_refs_and_headings_stand_out_at_a_terminal(recorded_session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the person wants no colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    told = at_a_terminal("brief", "--transcript", recorded_session, "--tokens", "600")
    assert b"\x1b[36me1\x1b[0m" in told
    assert b"\x1b[1m# rlm-mcp brief" in told
    assert b"\x1b[36m" not in at_a_terminal("brief", "--transcript", recorded_session, NO_COLOR="1")


def test_there_is_no_progress_bar_where_nobody_looks(tmp_path: Path) -> None:
    """Neither for short work."""
    with progress_on("x", 10_000_000) as progress:
        assert progress is None


def test_long_work_shows_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, at a terminal."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_on("x", 10_000_000) as progress:
        assert progress is not None
        progress(5_000_000, 10_000_000)


def test_a_pipe_gets_the_text_as_it_is(cli: CommandLine, recorded_session: Path) -> None:
    """No escape sequences, no wrapping."""
    assert "\x1b" not in cli("brief", "--transcript", recorded_session).out
