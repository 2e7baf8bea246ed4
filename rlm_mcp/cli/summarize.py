"""``summarize``: what is too long to read, condensed by other models within a budget."""

from __future__ import annotations

from typing import Any

import click

from rlm_mcp.cli.options import Which, as_json, which_session
from rlm_mcp.cli.question import Asking, answered, asking_options


@click.command("summarize", cls=Asking)
@click.option("--focus", default="", metavar="TEXT", help="What matters most.")
@which_session
@asking_options
@as_json
def summarize_command(which: Which, focus: str, as_json: bool, **how: Any) -> None:
    """Summarise a session, documents or files with other models, within a budget.

    Pieces of about 3,000 tokens are summarised, the summaries condensed, until one is left. Each stands for a Ref.
    Asked again, only what is new is paid. Nothing needs it: the Brief is made without a model.

    \b
    Examples:
      rlm-mcp summarize
      rlm-mcp summarize --context server.log --focus "what failed" --max-usd 0.50
      rlm-mcp summarize --scope docs --json

    Needs somebody to ask, as `rlm-mcp ask` does. Exit codes: 0 done, 1 not done, 2 the call itself is wrong.
    """
    answered(which, focus, {**how, "is_summary": True}, as_json=as_json)
