"""The command line, for people: one command a verb, exit codes, and errors as one clear line.

Commands live in modules of their own that are imported when called: ``rlm-mcp brief`` must not pay for the MCP SDK.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from rlm_mcp import __version__
from rlm_mcp.cli.view import say, say_json
from rlm_mcp.errors import RlmError, UsageError

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

_AGAIN_SECONDS = 1.0
"""A signal that comes again so soon is the same word: ``timeout`` tells its child, and then its child's group."""

_COMMANDS = {
    "demo": ("rlm_mcp.cli.demo", "See a recorded session cross its limit."),
    "install": ("rlm_mcp.cli.install", "Connect a client: claude or codex."),
    "uninstall": ("rlm_mcp.cli.install", "Disconnect a client."),
    "search": ("rlm_mcp.cli.ask", "Search a session's whole past."),
    "read": ("rlm_mcp.cli.ask", "Give the exact text of a Ref."),
    "brief": ("rlm_mcp.cli.ask", "Print the Brief of a session."),
    "compact": ("rlm_mcp.cli.ask", "Make and record the Brief of a compaction."),
    "repl": ("rlm_mcp.cli.repl", "Work on a session and its repository in Python."),
    "load": ("rlm_mcp.cli.load", "Bring files into a session as documents."),
    "status": ("rlm_mcp.cli.keep", "Show what is held."),
    "ingest": ("rlm_mcp.cli.keep", "Take transcripts into the store."),
    "export": ("rlm_mcp.cli.keep", "Give a session back, as Markdown or byte for byte."),
    "doctor": ("rlm_mcp.cli.doctor", "Look whether this machine gives what it takes."),
    "ask": ("rlm_mcp.cli.question", "Answer a question with other models, within a budget."),
    "summarize": ("rlm_mcp.cli.summarize", "Condense what is too long to read, with other models."),
    "runs": ("rlm_mcp.cli.runs", "List questions that were asked."),
    "run": ("rlm_mcp.cli.runs", "Show one as a tree."),
    "serve": ("rlm_mcp.cli.serve", "Serve MCP on standard input and output."),
}
"""Name -> (module, what it does in a line)."""


class _Lazy(click.Group):
    """A group whose commands are attributes ``<name>_command`` of modules, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _line = _COMMANDS[cmd_name]
        gc.disable()  # an import makes much that stays and no garbage: a sixth of the server's start goes into looking
        found = getattr(importlib.import_module(module), f"{cmd_name}_command")
        gc.freeze()
        gc.enable()
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_module, line) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="rlm-mcp")
def cli() -> None:
    """Cross a coding assistant's window limit with nothing lost.

    rlm-mcp keeps every byte of a Claude Code or Codex session. When the window is full, a short Brief takes its place
    at once, without a model call, and everything earlier is one call away.

    \b
    First steps:
      rlm-mcp demo                      see a recorded session cross its limit
      rlm-mcp install claude            connect Claude Code (or: codex)
      rlm-mcp status                    what is held

    \b
    On any transcript file:
      rlm-mcp brief  --transcript FILE --tokens 4000
      rlm-mcp search --transcript FILE "which commands failed"
      rlm-mcp export --transcript FILE --raw -o copy.jsonl

    Without --transcript or --session the newest session of the current folder is meant. Exit codes: 0 done,
    1 failed, 2 the call itself is wrong.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _end_in_order()
    sys.exit(run(given))


def _end_in_order() -> None:
    """SIGTERM and SIGHUP unwind as Ctrl-C does, with the exit code of shells for them, unless ignored (``nohup``)."""
    told = [-math.inf]

    def leave(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - told[0] > _AGAIN_SECONDS:
            told[0] = now
            raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, leave)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    try:
        code = cli.main(args=list(arguments), prog_name="rlm-mcp", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        return _complain(error.format_message(), "UsageError", arguments, error)
    except click.Abort:
        return EXIT_INTERRUPTED
    except RlmError as error:
        return _complain(str(error), type(error).__name__, arguments, error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left; nothing more to say
        return EXIT_OK
    return code if isinstance(code, int) else EXIT_OK


def _complain(message: str, kind: str, arguments: Sequence[str], error: Exception) -> int:
    if "--json" in arguments:
        say_json({"error": {"type": kind, "message": message}})
    else:
        say(f"rlm-mcp: {message}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            say(f"Try '{error.ctx.command_path} --help'.", err=True)
    return EXIT_USAGE if isinstance(error, click.UsageError | UsageError) else EXIT_FAILED
