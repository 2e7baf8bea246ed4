"""``load``: files into the store as Documents of a Session."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from rlm_mcp.cli.options import Which, as_json, opened, print_json, which_session
from rlm_mcp.cli.view import progress_on, show
from rlm_mcp.verbs.load import load

_UNKNOWN_BYTES = 1 << 40
"""Of a folder or glob: how much it is, the load itself finds out."""


@click.command("load")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--name", default="", metavar="NAME", help="What to call it; of several paths, what their names begin with."
)
@which_session
@as_json
def load_command(which: Which, paths: tuple[str, ...], name: str, as_json: bool) -> None:
    """Bring big files, logs or folders of text into a session.

    Each file becomes a document: kept whole, found by `rlm-mcp search --scope docs`, and in the REPL as docs[NAME].
    In a git repository .gitignore counts; what holds credentials by convention is left out.

    \b
    Examples:
      rlm-mcp load build.log
      rlm-mcp load docs/ --name manual
      rlm-mcp load "logs/**/*.log" --session 1f2e3d4c
      rlm-mcp load a.txt b.txt --name letters --json
    """
    with opened(which) as (store, session):
        for path in paths:
            here = str(Path.cwd() / Path(path).expanduser())
            own = f"{name}/{Path(path).name}" if name and len(paths) > 1 else name
            with progress_on(path, _size(Path(here))) as progress:
                answer = load(store, session, here, own, progress=progress)
            if as_json:
                print_json(dataclasses.asdict(answer))
            else:
                show(answer.text)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else _UNKNOWN_BYTES
