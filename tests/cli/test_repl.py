"""rlm_mcp.cli.repl: Cells for scripts and, at a prompt, for people."""

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.cli.main import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from rlm_mcp.cli.prompt import GIVEN, History, read_cell
from rlm_mcp.config import read_paths
from rlm_mcp.locks import locked
from rlm_mcp.store import cells
from rlm_mcp.verbs.locate import locate
from rlm_mcp.wiring import Repls, wire
from tests.asked import environment, programs
from tests.cli.rig import ROOT, CommandLine
from tests.cli.terminal import Terminal, prompt
from tests.sublm.endpoint import Answer, running_endpoint

_KEY = "sk-ant-api03-" + "aB3" * 20


def test_each_c_is_a_cell_and_names_stay(cli: CommandLine, recorded_session: Path) -> None:
    """In one call, and in the next; the output is what the Cell printed and nothing else."""
    first = cli("repl", "--transcript", recorded_session, "-c", "n = len(session.turns)", "-c", "n")
    assert (first.code, first.out, first.err) == (EXIT_OK, "7\n", "")
    second = cli("repl", "--transcript", recorded_session, "-c", "n + 1")
    assert (second.code, second.out) == (EXIT_OK, "8\n")
    assert cli("read", "--transcript", recorded_session, "c3").out == "8\n"


def test_the_first_cell_that_fails_ends_a_script(cli: CommandLine, recorded_session: Path) -> None:
    """Exit code 1; what comes behind it is not run."""
    said = cli("repl", "--transcript", recorded_session, "-c", "1/0", "-c", "print('no')")
    assert said.code == EXIT_FAILED
    assert said.out.endswith("ZeroDivisionError: division by zero\n")
    assert said.err == "[c1]\n"
    late = cli("repl", "--transcript", recorded_session, "--timeout", "0.2", "-c", "while True: pass")
    assert (late.code, "CellTimeout" in late.out) == (EXIT_FAILED, True)
    gone = cli("repl", "--transcript", recorded_session, "-c", "import os; os._exit(3)")
    assert (gone.code, "the process was ended" in gone.err) == (EXIT_FAILED, True)


def test_final_and_reset_are_no_failures(cli: CommandLine, recorded_session: Path) -> None:
    """A Cell may end by giving its answer."""
    said = cli("repl", "--transcript", recorded_session, "-c", "x = 5", "-c", "FINAL(f'{x} of them')", "-c", "reset()")
    assert (said.code, said.out) == (EXIT_OK, "5 of them\n")


def test_a_file_or_a_pipe_is_one_cell(
    cli: CommandLine, recorded_session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may begin with the mark of its encoding; ``-`` and nothing at all are the pipe."""
    script = tmp_path / "count.py"
    script.write_text("def turns():\n    return len(session.turns)\n\nturns(), 'é'\n", encoding="utf-8-sig")
    assert cli("repl", "--transcript", recorded_session, script).out == "(7, 'é')\n"
    for arguments in ((), ("-",)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfa = 2\r\na * 21\n")))
        assert cli("repl", "--transcript", recorded_session, *arguments).out == "42\n"
    reading, writing = os.pipe()
    os.write(writing, b"# coding: latin-1\nlen('\xe9')\n")
    os.close(writing)
    assert cli("repl", "--transcript", recorded_session, f"/dev/fd/{reading}").out == "1\n"  # as <(command) gives it
    os.close(reading)


def test_json_is_one_line_a_cell(cli: CommandLine, recorded_session: Path) -> None:
    """With all that is known of it."""
    said = cli("repl", "--transcript", recorded_session, "-c", "x = [1, 2]", "-c", "FINAL(x)", "--json")
    first, second = (json.loads(line) for line in said.out.splitlines())
    assert (first["ref"], first["status"], first["final"], first["variables"]) == ("c1", "ok", None, [["x", "list, 2"]])
    assert (second["ref"], second["status"], second["final"], second["output"]) == ("c2", "final", "[1, 2]", "[1, 2]")
    assert said.err == ""


def test_a_long_output_is_cut_as_asked(cli: CommandLine, recorded_session: Path) -> None:
    """To the setting, or to ``--max-tokens``; the whole is read by its Ref."""
    code = "print('z' * 50_000)"
    by_setting = cli("repl", "--transcript", recorded_session, "-c", code)
    assert len(by_setting.out) < 8_100
    assert "50,001 characters, cut; whole: read c1" in by_setting.err
    assert cli("repl", "--transcript", recorded_session, "-c", code, "--max-tokens", "20000").out == "z" * 50_000 + "\n"
    assert len(cli("read", "--transcript", recorded_session, "c1", "--all").out) == 50_001


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "1", "script.py"],
        ["no-such-file.py"],
        ["-c", "1", "--timeout", "0"],
        ["-c", "1", "--max-tokens", "5"],
        ["-c", "1", "--session", "no-such-session"],
    ],
)
def test_a_wrong_call_ends_with_2(cli: CommandLine, recorded_session: Path, arguments: list[str]) -> None:
    """And runs nothing."""
    cli("ingest", recorded_session)
    said = cli("repl", *arguments)
    assert (said.code, said.out) == (EXIT_USAGE, "")
    assert said.err.startswith("rlm-mcp: ")


def test_a_reader_that_leaves_early_is_no_error(recorded_session: Path) -> None:
    """As in ``rlm-mcp repl ... | head -1``: no traceback."""
    command = (
        f'"{sys.executable}" -m rlm_mcp repl --transcript "{recorded_session}" --max-tokens 1000000 '
        """-c "print('line\\n' * 100_000)" 2>/dev/null | head -1"""
    )
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (EXIT_OK, b"line\n")


def test_server_and_command_line_see_the_same_variables(cli: CommandLine, recorded_session: Path) -> None:
    """A Session has one namespace, whichever process runs its next Cell."""
    with wire() as stores, stores.lend() as store, Repls(stores) as repls:
        session = locate(store, transcript=recorded_session)
        repls.run(store, session, "mine = 'of the server'")
        assert (
            cli("repl", "--session", session.key, "-c", "mine", "-c", "yours = mine.upper()").out == "'of the server'\n"
        )
        answer = repls.run(store, session, "yours")
        assert answer.output == "'OF THE SERVER'"
        assert cli("repl", "--session", session.key, "-c", "yours[:2]").out == "'OF'\n"


def test_the_prompt_takes_cells_as_pythons_own_does(recorded_session: Path) -> None:
    """Values are shown, a block ends with an empty line, errors leave it open, Ctrl-D leaves."""
    with prompt("--transcript", recorded_session) as terminal:
        assert terminal.answer("len(session.turns)") == "7\n[c1]\n"
        terminal.answer("def double(n):", "... ")
        terminal.answer("    return n * 2", "... ")
        assert "set double (function)" in terminal.answer("")
        assert terminal.answer("double(21)") == "42\n[c3]\n"
        assert "ZeroDivisionError" in terminal.answer("1/0")
        assert "SyntaxError" in terminal.answer("x = = 1")
        assert terminal.answer("") == ""
        assert "double  (function)" in terminal.answer("%vars")
        terminal.type("\x04")
        assert terminal.end()[0] == EXIT_OK


def test_the_prompt_says_where_it_is(recorded_session: Path) -> None:
    """Session, repository, walls; and what there is already."""
    with prompt("--transcript", recorded_session) as terminal:
        terminal.answer("kept = 1")
        terminal.type("exit\n")
        assert terminal.end()[0] == EXIT_OK
    with Terminal("repl", "--transcript", recorded_session) as terminal:
        shown = terminal.until(">>> ")
    for word in ("claude-code", "200 events", "repository: ", "jail: ", "rlimits", "now: kept (int, 1)", "%help"):
        assert word in shown


def test_ctrl_c_stops_the_cell_and_keeps_the_prompt(recorded_session: Path) -> None:
    """What was assigned until then is kept; at the prompt, it throws away what is typed."""
    with prompt("--transcript", recorded_session) as terminal:
        terminal.answer("x = 1")
        assert "KeyboardInterrupt" in _interrupted(terminal, "all((x := n) == 0 for n in iter(int, 1))")
        assert "True" in terminal.answer("x == 0")
        terminal.type("thrown away")
        terminal.interrupt()
        terminal.until(">>> ")
        assert "'still here'" in terminal.answer("'still ' + 'here'")


def test_a_cell_at_the_prompt_asks_other_models_and_ctrl_c_ends_it(recorded_session: Path, tmp_path: Path) -> None:
    """``llm_query`` as in a Run; a request under way is ended with its Cell."""
    script = programs("no root is asked", sub=lambda prompt: Answer(text=prompt, seconds=3600 * (prompt == "slow")))
    with running_endpoint(script) as endpoint:
        environ = environment(endpoint, tmp_path / "home-of-rlm-mcp")
        with prompt("--transcript", recorded_session, **environ) as terminal:
            assert "'quick'" in terminal.answer("llm_query('quick')")
            terminal.type("llm_query('slow')\n")
            endpoint.wait_for(lambda now: now.under_way == 1)
            terminal.type("\x03")
            terminal.until(">>> ")
            endpoint.wait_for(lambda now: now.under_way == 0)
            assert "'still here'" in terminal.answer("llm_query('still here')")


def _interrupted(terminal: Terminal, endless: str) -> str:
    """What is shown of a Cell that Ctrl-C stopped."""
    terminal.type(f"{endless}\n")
    terminal.until(f"{endless}\r\n")
    terminal.interrupt()
    return terminal.until(">>> ")


def test_who_will_not_wait_for_another_process_may_leave(recorded_session: Path) -> None:
    """It holds the Session: Ctrl-C says so, the next one leaves, and no Cell is run."""
    with wire() as stores, stores.lend() as store:
        session = locate(store, transcript=recorded_session)
        with (
            prompt("--transcript", recorded_session) as terminal,
            locked(store.paths.repl / f"{session.key}.lock", patience_seconds=0.0),
        ):
            terminal.type("x = 1\n")
            terminal.until("x = 1\r\n")
            terminal.interrupt()
            terminal.until("again leaves")
            terminal.interrupt()
            assert terminal.end()[0] == EXIT_INTERRUPTED
        assert cells.last_number(store, session.key) == 0


def test_sigterm_ends_a_cell_in_order(cli: CommandLine, recorded_session: Path, tmp_path: Path) -> None:
    """What earlier Cells assigned is kept, nothing is asked any more, and the exit code is that of shells."""
    script = programs("no root is asked", sub=lambda _prompt: Answer(seconds=3600))
    with running_endpoint(script) as endpoint:
        command = [sys.executable, "-m", "rlm_mcp", "repl", "--transcript", str(recorded_session), "--timeout", "600"]
        environ = environment(endpoint, read_paths().home, PYTHONPATH=str(ROOT))
        with subprocess.Popen(
            [*command, "-c", "x = 41", "-c", "llm_query('slow')"], env=environ, cwd=ROOT, stdout=subprocess.PIPE
        ) as running:
            endpoint.wait_for(lambda now: now.under_way == 1)
            running.terminate()
            out, _ = running.communicate(timeout=60)
        assert (running.returncode, out) == (143, b"")
    assert cli("repl", "--transcript", recorded_session, "-c", "x").out == "41\n"


def test_sigterm_ends_a_prompt(recorded_session: Path) -> None:
    """It waits for a line, and leaves."""
    with prompt("--transcript", recorded_session) as terminal:
        terminal.answer("x = 1")
        assert terminal.ended_by(signal.SIGTERM) == 143


def test_a_cell_that_kills_its_process_leaves_the_prompt_open(recorded_session: Path) -> None:
    """It is told; variables are back."""
    with prompt("--transcript", recorded_session) as terminal:
        terminal.answer("x = 41")
        assert "the process was ended" in terminal.answer("import os; os._exit(3)")
        assert terminal.answer("x + 1").startswith("42\n")


def test_a_terminal_obeys_no_output(recorded_session: Path) -> None:
    """Whatever a Cell prints, its control characters are shown."""
    with prompt("--transcript", recorded_session) as terminal:
        told = terminal.answer(r"print(chr(27) + ']52;c;aGk=' + chr(7), chr(0x9b))")
    assert "\u241b]52;c;aGk=\u2407 \u2421\n" in told


def test_own_words_of_the_prompt(recorded_session: Path) -> None:
    """A limit of time, a reset, and help for all else."""
    with prompt("--transcript", recorded_session) as terminal:
        assert terminal.answer("%time 0.3") == "a cell may run 0.3 s now\n"
        terminal.answer("while True: pass", "... ")
        assert "CellTimeout" in terminal.answer("")
        assert "cannot be" in terminal.answer("%time soon")
        terminal.answer("x = 1")
        assert "reset" in terminal.answer("%reset")
        assert terminal.answer("%vars") == "no variables yet\n"
        assert "Ctrl-D leaves" in terminal.answer("%what")


def test_tab_completes_what_the_session_has(recorded_session: Path) -> None:
    """Given names and their attributes, and what Cells have made."""
    with prompt("--transcript", recorded_session) as terminal:
        terminal.answer("my_findings = [3]")
        terminal.type("my_f\t")
        terminal.until("my_findings")
        terminal.type(".app\t")
        terminal.until("append")
        terminal.type("(4)\n")
        terminal.until(">>> ")
        terminal.type("len(sess\t.tu\t)")
        terminal.until("len(session.turns)")
        terminal.type("\n")
        assert "7" in terminal.until(">>> ")


def test_what_was_typed_comes_back_without_its_secrets(recorded_session: Path) -> None:
    """In a file that only its owner reads; a block comes back whole."""
    with prompt("--transcript", recorded_session) as terminal:
        terminal.answer(f"key = '{_KEY}'")
        terminal.answer("for n in range(2):", "... ")
        terminal.answer(r"    print(n, 'a\\b')", "... ")
        terminal.answer("")
        terminal.type("\x04")
        terminal.end()
    history = read_paths().repl_history
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert _KEY not in history.read_text()
    assert History(history).entries() == [
        "key = '[REDACTED:anthropic-key]'",
        "for n in range(2):\n    print(n, 'a\\\\b')",
    ]
    with prompt("--transcript", recorded_session) as terminal:
        terminal.type("\x10\n")
        assert re.search(r"0 a\\b\s+1 a\\b", terminal.until("[c"))


def test_a_history_stays_short(tmp_path: Path) -> None:
    """The oldest are forgotten; the same twice in a row is kept once."""
    history = History(tmp_path / "history")
    assert history.entries() == []
    for number in range(2_100):
        history.add(f"x = {number}")
        history.add(f"x = {number}")
    assert history.entries() == [f"x = {number}" for number in range(1_100, 2_100)]
    assert (tmp_path / "history").read_text().count("\n") == 1_000
    assert stat.S_IMODE((tmp_path / "history").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("lines", "cell"),
    [
        (["1"], "1"),
        (["if x:", "    y", ""], "if x:\n    y"),
        (["'''a", "b'''"], "'''a\nb'''"),
        (["f(", "1)"], "f(\n1)"),
        (["x = = 1"], "x = = 1"),
        (["a = 1\ndef f():\n    return a\nf()"], "a = 1\ndef f():\n    return a\nf()"),
        (["a = 1\nf(", "2)"], "a = 1\nf(\n2)"),
        (["    indented = 1"], "indented = 1"),
        (["%time 5"], "%time 5"),
        (["   "], ""),
    ],
)
def test_lines_become_cells(lines: list[str], cell: str) -> None:
    """Typed one by one, or pasted."""
    left = iter(lines)
    assert read_cell(lambda _prompt: next(left)) == cell
    assert list(left) == []


def test_the_prompt_knows_what_every_cell_sees(cli: CommandLine, recorded_session: Path) -> None:
    """No name is offered that is not there."""
    said = cli("repl", "--transcript", recorded_session, "-c", f"len([{', '.join(GIVEN)}])")
    assert (said.code, said.out) == (EXIT_OK, f"{len(GIVEN)}\n")
