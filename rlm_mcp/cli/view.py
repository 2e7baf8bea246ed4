"""How answers look. Plain text everywhere; colours and progress only where a person looks at a terminal.

All that the command line prints goes through here, for what it prints may be anybody's words: at a terminal control
characters are shown, never obeyed. A pipe or a file gets every character as it is.

``rich`` is imported when it is needed: scripts and hooks must not pay for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from rich.text import Text

Progress = Callable[[int, int], None]

_REF = r"\b(?:(?:[0-9a-f]{8}\.)?(?:e\d+(?::\d+-\d+)?|[tc]\d+)|d[0-9a-f]{8,64}(?::\d+-\d+)?|r[0-9a-f]{8}(?:\.c\d+)?)\b"
_LONG_BYTES = 4_000_000
_LOUD = "NOT JAILED"
_TURNS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""What turns the direction of text, so that it reads otherwise than it is (UAX #9: embeddings, overrides, isolates)."""
_PICTURES: Mapping[int, int | str] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    **dict.fromkeys((0x7F, *range(0x80, 0xA0)), "\u2421"),
    **{code: f"<U+{code:04X}>" for code in _TURNS},
}
"""What a terminal would obey -> its picture: C0 but for tab and line end, DEL, C1, and turns of direction."""
_ESCAPED = {code: f"\\u{code:04x}" for code in (0x7F, *range(0x80, 0xA0), *_TURNS)}
"""The same within JSON, which then stands for the same: C0 is escaped there already."""
_FALLBACK_COLUMNS = 80


def tamed(text: str) -> str:
    """Text that a terminal shows and obeys nothing of; lines may end as Windows ends them."""
    return text.replace("\r\n", "\n").translate(_PICTURES)


def tamed_for(stream: TextIO, text: str) -> str:
    """Tamed, where the stream is a terminal; else as it is."""
    return tamed(text) if stream.isatty() else text


def styled(text: str, style: str = "") -> Text:
    """For what ``rich`` draws at a terminal: tamed, and no markup."""
    from rich.text import Text

    return Text(tamed(text), style=style)


def say(text: str = "", *, err: bool = False, fg: str | None = None, bold: bool | None = None) -> None:
    """Lines on standard output, or on standard error."""
    click.secho(tamed_for(sys.stderr if err else sys.stdout, text), err=err, fg=fg, bold=bold)


def say_json(record: Mapping[str, object]) -> None:
    """One line of JSON: the same value everywhere."""
    line = json.dumps(record, ensure_ascii=False)
    click.echo(line.translate(_ESCAPED) if sys.stdout.isatty() else line)


def show(text: str) -> None:
    """Text for people: headings and Refs stand out at a terminal, elsewhere it is plain."""
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for line in tamed(text).split("\n"):
        shown = styled(line, _style(line))
        shown.highlight_regex(_REF, "cyan")
        console.print(shown)


def _style(line: str) -> str:
    if line.startswith("#"):
        return "bold"
    return "bold green" if line.startswith("$ ") else ""


def show_exact(text: str) -> None:
    """Text byte for byte; at a terminal it is tamed, and a missing line end added."""
    sys.stdout.flush()
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    else:
        whole = text if text.endswith("\n") else f"{text}\n"
        sys.stdout.buffer.write(tamed(whole).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def show_aside(*lines: str) -> None:
    """What is said beside an answer: on standard error, faint at a terminal."""
    sys.stdout.flush()
    if not sys.stderr.isatty():
        click.echo("\n".join(lines), err=True)
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in lines:
        console.print(styled(line, "bold red" if _LOUD in line else "dim"))


def show_passing(line: str) -> None:
    """A line on a terminal's standard error that takes the place of the one before; the empty one clears it."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or _FALLBACK_COLUMNS
    except OSError:
        columns = _FALLBACK_COLUMNS
    click.echo(f"\r\x1b[2K{tamed(line)[: columns - 1]}", nl=False, err=True)


@contextmanager
def progress_on(label: str, size_bytes: int) -> Iterator[Progress | None]:
    """A progress bar on standard error for long work at a terminal; else None."""
    if size_bytes < _LONG_BYTES or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(tamed(label)), total=size_bytes)
        yield lambda done, total: bar.update(task, completed=done, total=total)
