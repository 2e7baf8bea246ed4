"""How answers look. Plain text everywhere; colours and progress only where a person looks at a terminal.

``rich`` is imported when it is needed: scripts and hooks must not pay for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

Progress = Callable[[int, int], None]

_REF = r"\b(?:(?:[0-9a-f]{8}\.)?(?:e\d+(?::\d+-\d+)?|[tc]\d+)|d[0-9a-f]{8,64}(?::\d+-\d+)?|r[0-9a-f]{8}(?:\.c\d+)?)\b"
_LONG_BYTES = 4_000_000
_LOUD = "NOT JAILED"
_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | dict.fromkeys(
    (0x7F, *range(0x80, 0xA0)), "\u2421"
)
"""What a terminal would obey -> its picture: C0 but for tab and line end, DEL and C1."""


def show(text: str) -> None:
    """Text for people: headings and Refs stand out at a terminal, elsewhere it is plain."""
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in text.split("\n"):
        styled = Text(line, style=_style(line))
        styled.highlight_regex(_REF, "cyan")
        console.print(styled)


def _style(line: str) -> str:
    if line.startswith("#"):
        return "bold"
    return "bold green" if line.startswith("$ ") else ""


def show_exact(text: str) -> None:
    """Text byte for byte; at a terminal a missing line end is added."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    if sys.stdout.isatty() and not text.endswith("\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def show_output(text: str) -> None:
    """What a Cell printed. At a terminal its control characters are shown, never obeyed: they may be anybody's."""
    click.echo(text.replace("\r\n", "\n").translate(_PICTURES) if sys.stdout.isatty() else text)


def show_aside(*lines: str) -> None:
    """What is said beside an answer: on standard error, faint at a terminal."""
    sys.stdout.flush()
    if not sys.stderr.isatty():
        click.echo("\n".join(lines), err=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in lines:
        style = "bold red" if _LOUD in line else "dim"
        console.print(Text(line.translate(_PICTURES), style=style))


@contextmanager
def progress_on(label: str, size_bytes: int) -> Iterator[Progress | None]:
    """A progress bar on standard error for long work at a terminal; else None."""
    if size_bytes < _LONG_BYTES or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=size_bytes)
        yield lambda done, total: bar.update(task, completed=done, total=total)
