"""The prompt of ``rlm-mcp repl``: lines into Cells, what was typed before, names at the tab key, a few own words."""

from __future__ import annotations

import builtins
import codeop
import keyword
import os
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from rlm_mcp import __version__
from rlm_mcp.cli.running import Runner, show_answer, show_error
from rlm_mcp.cli.view import say, show_aside
from rlm_mcp.errors import RlmError
from rlm_mcp.redact import redact
from rlm_mcp.sandbox.inside.found import Fact, Match
from rlm_mcp.sandbox.inside.seen import Docs, Document, Place, Repo
from rlm_mcp.sandbox.inside.session import Event, Session, Turn
from rlm_mcp.server.status_text import session_line
from rlm_mcp.store import cells
from rlm_mcp.text import one_line
from rlm_mcp.verbs.repl import MAX_SECONDS, MIN_SECONDS
from rlm_mcp.verbs.repl_answer import Variables
from rlm_mcp.wiring import Ready

FIRST, NEXT = ">>> ", "... "
_INDENT = "    "
_KEPT_ENTRIES = 1_000
_MOST_ENTRY_CHARS = 20_000
_SHOWN_VARIABLES = 6
_LEAVING = frozenset({"exit", "quit", "exit()", "quit()"})
GIVEN: dict[str, type | None] = {
    "session": Session,
    "repo": Repo,
    "docs": Docs,
    "context": str,
    "read": None,
    "show": None,
    "help": None,
    "reset": None,
    "FINAL": None,
    "FINAL_VAR": None,
}
"""What every Cell sees, and of which type it is, where that has attributes to complete."""
_PLAIN = (str, bytes, int, float, bool, list, tuple, dict, set, frozenset)
_OURS = (Session, Event, Turn, Fact, Match, Document, Place)
_TYPES: dict[str, type] = {kind.__name__: kind for kind in (*_PLAIN, *_OURS)}
_ESCAPED = re.compile(r"\\(.)")
_HELP = f"""\
Type Python; a block ends with an empty line. What you assign stays, after you leave too, and the model's tool
`rlm-mcp repl` sees the same variables.
  session, repo, docs, context, read(ref), show(x)   help() says what they are, help(session) more
  %vars        the variables there are now
  %time N      a cell may run N seconds, {MIN_SECONDS:g} to {MAX_SECONDS:g}
  %reset       throw all variables away
  %help        this
Tab completes, up and down bring back what was typed, Ctrl-C stops a cell, Ctrl-D leaves."""


def converse(runner: Runner, history: Path, ready: Ready) -> None:
    """Talk with a person until they leave."""
    conversation = Conversation(runner)
    conversation.greet(ready)
    with _line_editing(History(history), conversation.completions) as remember:
        while True:
            try:
                code = read_cell(input)
                if code in _LEAVING:
                    return
                if code:
                    remember(code)
                    conversation.answer(code)
            except EOFError:
                say()
                return
            except KeyboardInterrupt:  # no Cell runs: one that does stops by itself
                say()


def read_cell(ask: Callable[[str], str]) -> str:
    """One Cell, line by line as Python's own prompt takes it; without blanks around.

    Args:
        ask: shows a prompt and gives a line; where one was pasted, it may hold several.
    """
    lines = [ask(FIRST)]
    while not _is_whole(lines):
        lines.append(ask(NEXT))
    return textwrap.dedent("\n".join(lines)).strip()


def _is_whole(lines: Sequence[str]) -> bool:
    """Whether nothing is missing at the end; what is wrong otherwise, running it will tell."""
    code = "\n".join(lines)
    if not code.strip() or code.startswith("%"):
        return True
    is_block = "\n" in lines[-1]  # pasted, or brought back: no empty line need close it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in ("exec",) if is_block else ("single", "exec"):
            try:
                return codeop.compile_command(code, "<cell>", kind) is not None
            except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
                continue
    return True


class Conversation:
    """What is answered to each line, and what the tab key knows."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        latest = cells.latest(runner.store, runner.session.key)
        self._variables: Variables = latest.variables if latest is not None else ()

    def greet(self, ready: Ready) -> None:
        """Say where we are."""
        say(f"rlm-mcp {__version__}, session {session_line(self._runner.session)}", bold=True)
        title = one_line(self._runner.session.title, 100)
        shown = self._variables[-_SHOWN_VARIABLES:]
        more = f" and {len(self._variables) - len(shown)} more" if len(self._variables) > len(shown) else ""
        now = ", ".join(f"{name} ({what})" for name, what in shown)
        show_aside(
            *([title] if title else []),
            f"repository: {ready.repo if ready.repo is not None else f'none ({ready.repo_missing})'}",
            f"jail: {', '.join(ready.layers)}",
            f"Variables stay, here and for the model{f'; now: {now}{more}' if now else ''}.",
            "%help tells more, Ctrl-D leaves.",
        )

    def answer(self, code: str) -> None:
        """Do what a line says."""
        word, _blank, rest = code.partition(" ")
        if not code.startswith("%"):
            self._run(code)
        elif word == "%reset" and not rest:
            self._run("reset()")
        elif word == "%vars" and not rest:
            say("\n".join(f"{name}  ({what})" for name, what in self._variables) or "no variables yet")
        elif word == "%time":
            self._limit(rest)
        else:
            say(_HELP)

    def completions(self, line: str, word: str) -> Sequence[str]:
        """What the word at the end of the line may become."""
        if line.startswith("%"):
            return [one for one in ("%help", "%vars", "%time ", "%reset") if one.startswith(word)]
        owner, dot, begun = word.rpartition(".")
        if not dot:
            own = [name for name, _what in self._variables if name.isidentifier()]  # or a Cell would draw on the screen
            known = {*own, *GIVEN, *keyword.kwlist, *dir(builtins)}
            return sorted(name for name in known if name.startswith(word) and (word or not name.startswith("_")))
        found = [name for name in dir(self._type_of(owner)) if name.startswith(begun)]
        return [f"{owner}.{name}" for name in found if begun.startswith("_") or not name.startswith("_")]

    def _type_of(self, name: str) -> type | None:
        what = dict(self._variables).get(name)
        return GIVEN.get(name) if what is None else _TYPES.get(what.partition(",")[0])

    def _run(self, code: str) -> None:
        try:
            answer = self._runner.run(code)
        except RlmError as error:
            show_error(str(error))
            return
        self._variables = answer.variables
        show_answer(answer)

    def _limit(self, said: str) -> None:
        try:
            seconds = float(said)
        except ValueError:
            seconds = 0.0
        if MIN_SECONDS <= seconds <= MAX_SECONDS:
            self._runner.timeout_seconds = seconds
            say(f"a cell may run {seconds:g} s now")
        else:
            say(f"%time {said!r} cannot be; write {MIN_SECONDS:g} to {MAX_SECONDS:g}, such as: %time 60")


class History:
    """What was typed in earlier conversations, in a file that only its owner can read. Secrets are not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""

    def entries(self) -> list[str]:
        """The latest ones, in order; the file is shortened where it has grown far beyond them."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        kept = lines[-_KEPT_ENTRIES:]
        if len(lines) > 2 * _KEPT_ENTRIES:
            fresh = self._path.with_name(f"{self._path.name}.part-{os.getpid()}")
            _append(fresh, "".join(f"{line}\n" for line in kept))
            fresh.replace(self._path)
        return [_ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], line) for line in kept]

    def add(self, code: str) -> None:
        """Write one more, unless it is the one before or very long."""
        code, _secrets = redact(code)
        if code != self._last and len(code) <= _MOST_ENTRY_CHARS:
            self._last = code
            escaped = "\\n".join(line.replace("\\", "\\\\") for line in code.splitlines())
            _append(self._path, f"{escaped}\n")


def _append(path: Path, text: str) -> None:
    """Write at the end of a file that only its owner can read.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        os.write(descriptor, text.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


@contextmanager
def _line_editing(
    history: History, completions: Callable[[str, str], Sequence[str]]
) -> Iterator[Callable[[str], None]]:
    """Editing, history and completion in ``input``, where this Python has them; gives what takes an entry in."""
    try:
        import readline
    except ImportError:
        yield lambda _code: None
        return
    _bind(readline, completions)
    readline.set_auto_history(False)  # whole Cells, not lines
    for entry in history.entries():
        readline.add_history(entry)

    def remember(code: str) -> None:
        readline.add_history(code)
        try:
            history.add(code)
        except OSError as error:
            show_error(f"the history was not kept ({error})")

    try:
        yield remember
    finally:
        readline.set_completer(None)


def _bind(readline: ModuleType, completions: Callable[[str, str], Sequence[str]]) -> None:
    found: list[str] = []

    def complete(word: str, number: int) -> str | None:
        line = readline.get_line_buffer()
        if not line.strip():
            return _INDENT if number == 0 else None
        if number == 0:
            found[:] = completions(line, word)
        return found[number] if number < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n`~!@#$^&*()-=+[{]}\\|;:'\",<>/?")
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
