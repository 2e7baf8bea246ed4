"""``doctor``: one screen that says whether all is well here, and what to do where it is not."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import click

from rlm_mcp.cli import install_claude, install_codex
from rlm_mcp.cli.options import as_json, print_json
from rlm_mcp.cli.view import say, styled
from rlm_mcp.config import Paths, Settings, read_paths
from rlm_mcp.errors import ClientError, ProcessError, ReplError
from rlm_mcp.sandbox.escapes.attempt import Attempt, Verdict
from rlm_mcp.verbs import doctor
from rlm_mcp.verbs.doctor import Finding, Level
from rlm_mcp.wiring import start_repl

_EXIT_FAILED = 1
_WHAT_CHARS = 11
_MARKS = {Level.OK: ("\u2713", "green"), Level.NOTE: ("!", "yellow"), Level.BAD: ("\u2717", "bold red")}


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Leave the escape suite out.")
@click.option("--attempt", default="", metavar="NAME", help="Of the escape suite, only this attempt or group.")
@as_json
def doctor_command(quick: bool, attempt: str, as_json: bool) -> None:
    """Look whether this machine gives what rlm-mcp needs.

    Store, settings, ripgrep and git, the clients; and the jail in which the REPL runs model-written code: which of its
    walls are active, how fast it starts, and whether anything of the escape suite gets out. Nothing is changed but
    that the store is made where there is none. Exit codes: 0 all is well, 1 something must be mended.

    \b
    Examples:
      rlm-mcp doctor
      rlm-mcp doctor --quick
      rlm-mcp doctor --attempt network
      rlm-mcp doctor --json
    """
    paths = read_paths()
    wanted = [] if quick and not attempt else doctor.attempts_here(attempt)
    settings, findings = doctor.look_at_settings(paths, os.environ)
    looks: Sequence[Callable[[], Sequence[Finding]]] = (
        lambda: [*doctor.look_at_installation(), *findings],
        partial(doctor.look_at_store, paths, settings),
        doctor.look_at_programs,
        partial(_clients, paths, os.environ),
        partial(doctor.look_at_jail, settings, partial(start_repl, paths, settings, None)),
    )
    found: list[Finding] = []
    for look in looks:
        found += _shown(look(), as_json=as_json)
    verdicts: list[Verdict] = []
    if wanted:
        found += _shown(_escapes(wanted, verdicts, settings), as_json=as_json)
    bad = sum(one.level is Level.BAD for one in found)
    if as_json:
        told = {"findings": [dataclasses.asdict(one) for one in found]}
        print_json({"ok": not bad, **told, "verdicts": [dataclasses.asdict(one) for one in verdicts]})
    else:
        _show_end(bad)
    if bad:
        click.get_current_context().exit(_EXIT_FAILED)


def _clients(paths: Paths, environ: Mapping[str, str]) -> list[Finding]:
    """Which clients are on PATH, and whether they are connected. Only looked at."""
    return [
        _client("claude", "Claude Code", partial(_claude, paths, environ)),
        _client("codex", "Codex", partial(_codex, paths, environ)),
    ]


def _claude(paths: Paths, environ: Mapping[str, str]) -> tuple[tuple[int, ...], dict[str, bool]]:
    target = install_claude.find_target(paths, environ)
    return install_claude.client_version(target), install_claude.in_place(target)


def _codex(paths: Paths, environ: Mapping[str, str]) -> tuple[tuple[int, ...], dict[str, bool]]:
    target = install_codex.find_target(paths, environ)
    return install_codex.client_version(target), install_codex.in_place(target)


def _client(name: str, title: str, look: Callable[[], tuple[tuple[int, ...], dict[str, bool]]]) -> Finding:
    if shutil.which(name) is None:
        return Finding(part="clients", what=title, told=f"not found ({name!r} is not on PATH)")
    cure = f"rlm-mcp install {name}"
    try:
        numbers, in_place = look()
    except (ClientError, ProcessError) as error:
        return doctor.complaint("clients", title, error, Level.NOTE)
    version = ".".join(map(str, numbers))
    missing = [part for part, is_there in in_place.items() if not is_there]
    if not missing:
        return Finding(part="clients", what=title, told=f"{version}, connected")
    if len(missing) == len(in_place):
        return Finding(part="clients", what=title, told=f"{version}, not connected", level=Level.NOTE, cure=cure)
    told = f"{version}, connected in part or by an older rlm-mcp; not as it should be: {', '.join(missing)}"
    return Finding(part="clients", what=title, told=told, level=Level.NOTE, cure=cure)


def _escapes(wanted: Sequence[tuple[str, Attempt]], verdicts: list[Verdict], settings: Settings) -> list[Finding]:
    """Try them, with progress at a terminal; each verdict is put behind ``verdicts``."""
    broken: list[Finding] = []
    with _progress(len(wanted)) as tell:
        try:
            for verdict in doctor.try_to_escape(wanted):
                verdicts.append(verdict)
                tell(f"{verdict.group}: {verdict.name}")
        except (ReplError, OSError) as error:
            broken = [doctor.complaint("escapes", "not run" if not verdicts else "broken off", error)]
    return [*broken, *doctor.judged(verdicts, is_switched_off=settings.unsafe_repl_without_jail)]


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """On standard error of a terminal; elsewhere nothing."""
    if not total or not sys.stderr.isatty():
        yield lambda _told: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("escape suite"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda told: bar.update(task, advance=1, description=told)


def _shown(findings: Sequence[Finding], *, as_json: bool) -> Sequence[Finding]:
    if not as_json and sys.stdout.isatty():
        _show_table(findings)
    elif not as_json:
        for one in findings:
            say(f"{one.level:4}  {one.part:12}  {one.what}: {one.told}")
            if one.cure:
                say(f"{'':20}cure: {one.cure}")
    return findings


def _show_table(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    for width in (12, 1, _WHAT_CHARS):
        table.add_column(width=width)
    table.add_column(overflow="fold")
    part = ""
    for one in findings:
        mark, style = _MARKS[one.level]
        told = styled(one.told, "" if one.level is Level.OK else style)
        if one.cure:
            told.append(styled(f"\n\u2192 {one.cure}", "default not bold"))
        head = styled(one.part if one.part != part else "", "bold")
        table.add_row(head, styled(mark, style), styled(one.what), told)
        part = one.part
    Console(highlight=False).print(table)


def _show_end(bad: int) -> None:
    said = "All is well." if not bad else f"{bad} {'thing' if bad == 1 else 'things'} must be mended."
    say(said, bold=True, fg="red" if bad else "green")
