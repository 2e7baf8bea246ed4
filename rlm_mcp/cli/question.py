"""``ask``: a question answered by search, one call or a recursive Run."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from rlm_mcp.asker import Asker, How
from rlm_mcp.cli.options import Amount, Which, as_json, find, print_json, which_session
from rlm_mcp.cli.view import show, show_passing
from rlm_mcp.costs import Spent
from rlm_mcp.errors import Cancelled, RlmError, StoreError, UsageError
from rlm_mcp.process import seconds_since_start
from rlm_mcp.recursion.run import OK, ended_by
from rlm_mcp.server.asking_text import answer_text, estimate_text
from rlm_mcp.verbs.ask import AskAnswer, Estimate
from rlm_mcp.verbs.jobs import Job
from rlm_mcp.wiring import wire

_EXIT_FAILED = 1
_WRONG = "usage"
_CANCELLED = "cancelled"
_EXIT_CODES = {OK: 0, _WRONG: 2, _CANCELLED: 130}
_STDIN = Path("/dev/stdin")
_LEAST_SECONDS = 0.1
_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 10.0


def _files(_context: click.Context, _option: click.Parameter, given: tuple[Path, ...]) -> tuple[Path, ...]:
    """Those named, and standard input for ``-``."""
    if Path("-") in given and (sys.stdin is None or given.count(Path("-")) > 1):
        raise click.BadParameter("'-' is standard input, which must be open, and can be read once.")
    return tuple(_STDIN if path == Path("-") else path for path in given)


_OPTIONS = (
    click.option(
        "--context",
        "files",
        type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
        callback=_files,
        multiple=True,
        metavar="FILE",
        help="These files in place of a session; - is standard input.",
    ),
    click.option("--scope", default="", metavar="SCOPE", help="session (default), docs, repo, or Refs: 'e12 t3'."),
    click.option("--model", default="", metavar="M", help="The root model, which writes the code."),
    click.option("--sub-model", default="", metavar="M", help="The model that the code asks."),
    click.option("--max-calls", "calls", type=click.IntRange(0), default=None, help="Requests at most."),
    click.option("--max-tokens", "tokens", type=click.IntRange(0), default=None, help="Tokens in and out at most."),
    click.option("--max-usd", "usd", type=Amount(0), default=None, help="US dollars at most."),
    click.option("--max-seconds", "seconds", type=Amount(0.1), default=None, help="Seconds at most."),
    click.option("--max-depth", "depth", type=click.IntRange(0, 10), default=None, help="Runs below the first one."),
)


def asking_options(function: Callable[..., None]) -> Callable[..., None]:
    """What is asked about, whom, and within what; the command gets them as fields of :class:`How`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Asking(click.Command):
    """A command that answers with one object where JSON is wanted, also to a call that is itself wrong."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """What the arguments come to."""
        wants_json = "--json" in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not wants_json:
                raise
            print_json(_nothing(_WRONG, UsageError(error.format_message())).record())
            raise click.exceptions.Exit(_EXIT_CODES[_WRONG]) from error


@click.command("ask", cls=Asking)
@click.option("--question", "-q", required=True, metavar="TEXT", help="What you want to know.")
@which_session
@asking_options
@click.option("--estimate", is_flag=True, help="Say what it may cost at most; nobody is asked, or need be there.")
@as_json
def ask_command(which: Which, question: str, estimate: bool, as_json: bool, **how: Any) -> None:
    """Answer a question over a session or files too long to read, with other models, within a budget.

    What search answers costs nothing, what fits into one prompt costs one call; else a model programs a REPL over it.

    \b
    Examples:
      rlm-mcp ask -q "Why was the importer rewritten?"
      rlm-mcp ask -q "Which user reports most errors?" --context server.log --max-usd 0.20
      journalctl -u app | rlm-mcp ask -q "What failed first?" --context -
      rlm-mcp ask -q "What did we decide about caching?" --transcript FILE --json

    Needs somebody to ask: OPENAI_API_KEY or OPENAI_BASE_URL, or a `claude` or `codex` that is logged in. Exit codes:
    0 answered, 1 not answered, 2 the call itself is wrong, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).
    """
    answered(which, question, how, as_json=as_json, is_estimate=estimate)


def answered(which: Which, question: str, how: Mapping[str, Any], *, as_json: bool, is_estimate: bool = False) -> None:
    """Ask, print what came of it, and leave with the exit code that tells it."""
    asked = _since_start(How(**how))
    found: AskAnswer | Estimate | None = None
    told: BaseException | None = None
    try:
        with wire() as stores, Asker(stores) as asker, stores.lend() as store:
            session = find(store, which) if which.is_named or not asked.files else None
            if is_estimate:
                found = asker.estimate(store, session, question, asked)
            else:
                found, told = _waited(asker.start(store, session, question, asked), as_json=as_json)
    except RlmError as error:
        if not as_json:
            raise
        found = _nothing(_status_of(error), error)
    except (KeyboardInterrupt, SystemExit) as early:
        if not as_json:
            raise
        told = early
        found = found or _nothing(_CANCELLED, Cancelled("cancelled before anything was asked"))
    if isinstance(found, Estimate):
        _print_estimate(found, as_json=as_json)
        return
    if as_json:
        print_json(found.record())
    else:
        show(answer_text(found))
    if isinstance(told, SystemExit):
        raise told
    click.get_current_context().exit(_EXIT_CODES.get(found.status, _EXIT_FAILED))


def _nothing(status: str, error: RlmError) -> AskAnswer:
    """Of a question that could not begin."""
    return AskAnswer(answer="", status=status, way="", spent=Spent(), error=error)


def _print_estimate(planned: Estimate, *, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(planned))
    else:
        show(estimate_text(planned))


def _since_start(asked: How) -> How:
    """What was spent of the time until now counts too: who gives it looks at a clock on the wall."""
    if asked.seconds is None:
        return asked
    return dataclasses.replace(asked, seconds=max(_LEAST_SECONDS, round(asked.seconds - seconds_since_start(), 2)))


def _status_of(error: RlmError) -> str:
    """Of a question that could not even begin."""
    if isinstance(error, UsageError):
        return _WRONG
    return "store" if isinstance(error, StoreError) else ended_by(error)


def _waited(job: Job, *, as_json: bool) -> tuple[AskAnswer, BaseException | None]:
    """The job's answer; at a terminal with what is spent meanwhile.

    Ctrl-C, SIGTERM or SIGHUP ends it, and what it had is kept; what they have raised is given too.
    """
    has_screen = sys.stderr.isatty() and not as_json
    told: BaseException | None = None
    try:
        state = job.wait(_LOOK_SECONDS)
        while not state.is_over:
            if has_screen:
                show_passing(f"{job.id}: {state.seconds:.0f} s, {state.told}")
            state = job.wait(_LOOK_SECONDS)
    except (KeyboardInterrupt, SystemExit) as ending:
        told = ending
        job.stop.now()
        state = job.wait(_CANCEL_SECONDS)
    if has_screen:
        show_passing("")
    if state.error is not None:
        raise state.error
    if state.answer is None:
        raise click.Abort
    return state.answer, told
