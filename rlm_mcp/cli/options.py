"""Options that several commands share, and the Session they name."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rlm_mcp.cli.view import say_json
from rlm_mcp.errors import UsageError
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.wiring import wire


class Amount(click.FloatRange):
    """A number within limits. ``nan`` and ``inf`` are none, though no comparison refuses the one, and few the other."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; click refuses what is none, or out of its limits."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no amount; give a number such as 0.5, or leave the option out.", param, ctx)
        return found


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for scripts.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """The Session a person means."""

    transcript: Path | None
    session: str
    repo: Path | None

    @property
    def is_named(self) -> bool:
        """Any of them is given."""
        return self.transcript is not None or bool(self.session) or self.repo is not None


_OPTIONS = (
    click.option(
        "--transcript",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A client's transcript file; what is new in it is ingested first.",
    ),
    click.option(
        "--session", default="", metavar="ID", help="A session in the store: its key or id, or how they begin."
    ),
    click.option(
        "--repo",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The newest session of this folder (default: the current one).",
    ),
)


def which_session(function: Callable[..., None]) -> Callable[..., None]:
    """``--transcript``, ``--session`` and ``--repo``; the command gets them as one argument, ``which``."""

    @functools.wraps(function)
    def command(transcript: Path | None, session: str, repo: Path | None, **others: object) -> None:
        function(which=Which(transcript=transcript, session=session, repo=repo), **others)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextmanager
def opened(which: Which) -> Iterator[tuple[Store, SessionRow]]:
    """The store and the Session, with all that its transcript holds by now.

    Raises:
        UsageError: both a transcript and a session are named.
        SessionNotFound, TranscriptError, StoreError: see the verbs.
    """
    with wire() as stores, stores.lend() as store:
        yield store, find(store, which)


def find(store: Store, which: Which) -> SessionRow:
    """The Session, with all that its transcript holds by now; raises as :func:`opened` does."""
    if which.transcript is not None and which.session:
        raise UsageError("name either --transcript or --session, not both")
    if which.transcript is not None:
        return locate(store, transcript=which.transcript)
    folder = str((which.repo or Path.cwd()).absolute())
    found = locate(store, session=which.session) if which.session else locate(store, cwd=folder)
    if Path(found.path).is_file():
        ingest(store, found.path)
        return locate(store, session=found.key)
    return found


def print_json(record: Mapping[str, object]) -> None:
    """One line of JSON."""
    say_json(record)
