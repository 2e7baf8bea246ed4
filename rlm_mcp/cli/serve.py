"""``rlm-mcp serve``: the MCP server on standard input and output."""

from __future__ import annotations

from pathlib import Path

import click

from rlm_mcp.server.app import serve


@click.command("serve")
@click.option(
    "--transcript", type=click.Path(path_type=Path), metavar="FILE", help="Serve this transcript and no other."
)
@click.option(
    "--repo", type=click.Path(path_type=Path), metavar="DIR", help="The project's folder (default: the current one)."
)
def serve_command(transcript: Path | None, repo: Path | None) -> None:
    """Serve MCP on standard input and output.

    Clients start this themselves after `rlm-mcp install`. The server finds its session by itself: Claude Code by the
    environment, Codex by the thread id of each call. It tails the transcript and ends with its client.

    \b
    For any other MCP client:
      rlm-mcp serve --transcript FILE

    Tools: search, read, repl, load, ask, job, brief, status.
    """
    serve(
        transcript=transcript.absolute() if transcript is not None else None,
        repo=repo.absolute() if repo is not None else None,
    )
