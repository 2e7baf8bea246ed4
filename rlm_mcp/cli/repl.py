"""``repl``: Cells of a Session, from a prompt for people, from arguments, files and pipes for scripts."""

from __future__ import annotations

import dataclasses
import io
import sys
import tokenize
from contextlib import closing
from pathlib import Path

import click

from rlm_mcp.cli.options import Amount, Which, as_json, find, print_json, which_session
from rlm_mcp.cli.prompt import converse
from rlm_mcp.cli.running import Runner, is_done, show_answer
from rlm_mcp.errors import UsageError
from rlm_mcp.server.late import LateAsker
from rlm_mcp.verbs.repl import DEFAULT_SECONDS, MAX_SECONDS, MIN_SECONDS
from rlm_mcp.wiring import Repls, Stores, wire

_EXIT_FAILED = 1
_MAX_TOKENS = 5_000_000
"""More than is kept of any Cell's output."""


@click.command("repl")
@click.argument("file", required=False, metavar="[FILE | -]")
@click.option("-c", "codes", multiple=True, metavar="CODE", help="Run this; may be given several times.")
@which_session
@click.option(
    "--timeout",
    type=Amount(MIN_SECONDS, MAX_SECONDS),
    default=None,
    metavar="SECONDS",
    help=f"How long one cell may run (default: {DEFAULT_SECONDS:g}; at the prompt {MAX_SECONDS:g}).",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(100, _MAX_TOKENS),
    default=None,
    help="Shown of each cell's output (default: the setting repl_tokens); the whole is kept.",
)
@as_json
def repl_command(  # one for each option
    which: Which,
    file: str | None,
    codes: tuple[str, ...],
    timeout: float | None,
    max_tokens: int | None,
    as_json: bool,
) -> None:
    """Work on a session and its repository in Python.

    The session is a variable, not text to read: session, repo, docs and context are there, and what you assign stays,
    for you and for the model, which has the same variables in its tool of this name. Code runs in a jail: no network,
    no processes, no writing; llm_query, llm_query_batched and llm_map ask other models.

    Without code, at a terminal, a prompt opens (%help tells more). Each -c, a FILE, or standard input is one cell; its
    last expression is shown. Several -c run in order up to the first that fails. Exit codes: 0 done, 1 the cell failed
    or was interrupted, 2 the call itself is wrong.

    \b
    Examples:
      rlm-mcp repl
      rlm-mcp repl --transcript FILE -c "len(session.turns)"
      rlm-mcp repl -c "hits = session.grep('timeout')" -c "hits[:5]"
      rlm-mcp repl analysis.py --timeout 300 --json
      echo "repo.files('**/*.py')" | rlm-mcp repl -
    """
    cells = _cells(codes, file)
    if cells is None and as_json:
        raise UsageError("--json needs code: -c CODE, a FILE, or standard input")
    patience = timeout or (MAX_SECONDS if cells is None else DEFAULT_SECONDS)
    wired = wire()
    settings = wired.settings if max_tokens is None else dataclasses.replace(wired.settings, repl_tokens=max_tokens)
    with (
        Stores(wired.paths, settings) as stores,
        stores.lend() as store,
        Repls(stores, has_spare=False) as repls,
        closing(LateAsker(stores)) as asker,
        Runner(store, repls, asker, find(store, which), timeout_seconds=patience) as runner,
    ):
        if cells is None:
            converse(runner, wired.paths.repl_history, repls.ready(runner.session))
        elif not all(_passes(runner, code, as_json=as_json) for code in cells):
            click.get_current_context().exit(_EXIT_FAILED)


def _passes(runner: Runner, code: str, *, as_json: bool) -> bool:
    """Run a Cell and print what it came to; whether it did not fail."""
    answer = runner.run(code)
    if as_json:
        print_json(dataclasses.asdict(answer))
    else:
        show_answer(answer)
    return is_done(answer)


def _cells(codes: tuple[str, ...], file: str | None) -> list[str] | None:
    """The Cells to run; None where a person is to write them.

    Raises:
        UsageError: both kinds are given, or the file cannot be read.
    """
    if codes and file:
        raise UsageError(f"give either -c or the file {file!r}, not both")
    if codes:
        return list(codes)
    if not file and sys.stdin.isatty() and sys.stdout.isatty():
        return None
    try:
        raw = sys.stdin.buffer.read() if file in (None, "-") else Path(file).read_bytes()
        encoding, _lines = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return [io.TextIOWrapper(io.BytesIO(raw), encoding).read()]
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UsageError(f"{file or '-'!r} cannot be read as Python ({error})") from error
