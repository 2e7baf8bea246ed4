"""rlm_mcp.cli.view: colours for people, plain text for everything else."""

import ast
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.cli.view import progress_on, tamed
from tests.asked import a_log, environment, programs
from tests.cli.rig import ROOT, CommandLine
from tests.sublm.endpoint import running_endpoint

OBEYED = "\x1b]0;title\x07\x1b[2J\x1b]52;c;YQ==\x07\x9b2J\x7f\u202egnp.exe\u2066\r"
"""Title, clear screen, clipboard, C1, DEL, turns of direction, and a return to the line's beginning."""
PICTURES = "\u241b]0;title\u2407\u241b[2J\u241b]52;c;YQ==\u2407\u24212J\u2421<U+202E>gnp.exe<U+2066>\u240d"


def at_a_terminal(*arguments: str | Path, **environ: str) -> bytes:
    """What a command prints when a person looks."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rlm_mcp", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "200", **environ},
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


def _obeyed(told: bytes) -> set[str]:
    """What of it a terminal would obey, but for our own colours, line ends and the clearing of a line."""
    return set(re.sub(r"\r\n|\r\x1b\[2K|\x1b\[[0-9;]*m", "", told.decode())) & set(re.sub("[ -~]", "", OBEYED))


def test_a_terminal_obeys_nothing_of_what_is_shown(tmp_path: Path) -> None:
    """Words of a model, of a file, of whoever calls: in an answer, a tree, a list, an error, exactly read."""
    log = a_log(tmp_path / "server.log")
    script = programs(f"print(context[:3], {OBEYED!r})", f"FINAL({OBEYED!r} + context[:9])")
    with running_endpoint(script) as endpoint:
        around = environment(endpoint, tmp_path / "home")
        told = [at_a_terminal("ask", "-q", f"What {OBEYED}?", "--context", log, **around)]
        (run,) = set(re.findall(r"(?:\b|m)(r[0-9a-f]{8})", told[0].decode()))
        lines = (("run", run), ("runs",), ("read", run), ("read", f"x{OBEYED}"))
        told += [at_a_terminal(*line, **around) for line in lines]
    assert [_obeyed(one) for one in told] == [set()] * 5
    assert [word for word in told[:4] if PICTURES[:20] not in word.decode()] == []


def test_runs_are_listed_in_lines_that_fit_a_narrow_terminal(tmp_path: Path) -> None:
    """In two each; in one where there is room, and in a pipe."""
    log = a_log(tmp_path / "server.log")
    with running_endpoint(programs("FINAL(context[:9])")) as endpoint:
        around = environment(endpoint, tmp_path / "home", NO_COLOR="1")
        at_a_terminal("ask", "-q", "What of it? " * 20, "--context", log, **around)
        narrow = at_a_terminal("runs", **{**around, "COLUMNS": "80"}).decode().splitlines()
        wide = at_a_terminal("runs", **{**around, "COLUMNS": "160"}).decode().splitlines()
    assert len(narrow) == 2
    assert len(wide) == 1
    assert max(map(len, narrow)) <= 80


def test_what_a_terminal_would_obey_has_a_picture() -> None:
    """Tabs and line ends stay, of both kinds."""
    assert tamed(OBEYED) == PICTURES
    assert tamed("a\tb\r\nc\n") == "a\tb\nc\n"


def test_json_says_the_same_at_a_terminal(tmp_path: Path) -> None:
    """With its own escapes."""
    told = at_a_terminal("read", f"x{OBEYED}", "--json", RLM_MCP_HOME=str(tmp_path))
    assert _obeyed(told) == set()
    assert json.loads(told)["error"]["message"].startswith("'x\\x1b]0;title")


def test_all_that_is_printed_goes_through_here() -> None:
    """Or a terminal would obey it: no command writes by other means."""
    ways = {"echo", "secho", "print", "Console"}
    for path in (ROOT / "rlm_mcp" / "cli").glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in calls}
        allowed = {"view.py": ways, "runs.py": {"Console", "print"}, "doctor.py": {"Console", "print"}}
        assert not names & ways - allowed.get(path.name, set()), path.name
