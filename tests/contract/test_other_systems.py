"""Where there is no Linux: the server and the command line start, and Cells run in Monty or are refused with a cure."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MODULES = ("rlm_mcp.server.app", "rlm_mcp.wiring", "rlm_mcp.cli.main", "rlm_mcp.hook.main", "rlm_mcp.sandbox.layers")
PRETENDING = """
import os, sys, types
import asyncio, click, mcp, mcp.server.lowlevel, mcp.server.stdio, rich.console, subprocess, watchdog.observers
blocked, absent, platform = {blocked!r}, {absent!r}, {platform!r}
for name in blocked:
    sys.modules[name] = None
for name in absent:
    for module in (os, __import__("signal"), __import__("socket"), __import__("select")):
        if hasattr(module, name):
            delattr(module, name)
sys.platform = platform
if platform == "win32":
    sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.path.insert(0, {root!r})
"""
MACOS = {
    "platform": "darwin",
    "blocked": (),
    "absent": (
        "memfd_create",
        "pidfd_open",
        "pidfd_send_signal",
        "MFD_CLOEXEC",
        "MFD_ALLOW_SEALING",
        "O_PATH",
        "O_TMPFILE",
        "epoll",
    ),
}
WINDOWS = {
    "platform": "win32",
    "blocked": ("fcntl", "resource", "termios", "pwd", "grp", "pty", "tty"),
    "absent": (
        *MACOS["absent"],
        "fork",
        "getuid",
        "geteuid",
        "killpg",
        "setsid",
        "pread",
        "wait4",
        "O_CLOEXEC",
        "O_NOFOLLOW",
        "O_NONBLOCK",
        "SIGKILL",
        "SIGALRM",
        "setitimer",
        "AF_UNIX",
        "SCM_RIGHTS",
        "CMSG_SPACE",
        "poll",
    ),
}
START = """
from rlm_mcp.config import read_paths, read_settings
from rlm_mcp.sandbox.repl import Cell
from rlm_mcp.wiring import start_repl
paths = read_paths({{"HOME": {home!r}, "RLM_MCP_HOME": {home!r}}})
{more}
session = dict(key="0" * 8, events=0, turns=0, log_bytes=0, title="", cwd="", model="", started=None, updated=None)
repl = start_repl(paths, read_settings(paths, {{}}), None)
outcome = repl.run(Cell(number=1, code="6 * 7", timeout_seconds=9, session=session), {{}})
print(repl.layers[0].partition(" ")[0], outcome.output)
repl.close()
"""


def _run(system: dict, then: str) -> subprocess.CompletedProcess[str]:
    script = PRETENDING.format(root=str(ROOT), **system) + then
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("system", [MACOS, WINDOWS], ids=["macos", "windows"])
@pytest.mark.parametrize("module", MODULES)
def test_nothing_of_linux_is_touched_by_an_import(system: dict, module: str) -> None:
    """What only Linux has is imported where a Jail is started, never before."""
    ended = _run(system, f"import {module}")
    assert ended.returncode == 0, ended.stderr


def test_a_cell_runs_in_monty_on_macos(tmp_path: Path) -> None:
    """The same start as on Linux, another Repl."""
    pytest.importorskip("pydantic_monty")
    ended = _run(MACOS, START.format(home=str(tmp_path), more=""))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["Monty", "42"]


def test_without_monty_a_cell_is_refused_and_the_cure_is_named(tmp_path: Path) -> None:
    """Never unconfined."""
    ended = _run(MACOS, START.format(home=str(tmp_path), more="sys.modules['pydantic_monty'] = None"))
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("rlm_mcp.errors.JailUnavailable: ")
    assert "pip install 'rlm-mcp[monty]'" in last
