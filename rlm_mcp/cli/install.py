"""``install`` and ``uninstall``: show what would change in a client, ask, change it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

from rlm_mcp.cli import install_claude, install_codex
from rlm_mcp.cli.options import as_json, print_json
from rlm_mcp.cli.plan import Plan
from rlm_mcp.cli.view import show
from rlm_mcp.config import read_paths
from rlm_mcp.errors import UsageError

_CLIENTS = ("claude", "codex")
_client = click.argument("client", type=click.Choice(_CLIENTS))
_binary = click.option(
    "--client-binary", default="", metavar="FILE", help="The client's program (default: the one on PATH)."
)
_yes = click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
_dry = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")


def _plan(client: str, binary: str, *, installing: bool) -> Plan:
    paths = read_paths()
    if client == "claude":
        claude = install_claude.find_target(paths, os.environ, binary)
        return install_claude.plan_install(claude) if installing else install_claude.plan_uninstall(claude)
    codex = install_codex.find_target(paths, os.environ, binary)
    return install_codex.plan_install(codex) if installing else install_codex.plan_uninstall(codex)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (as_json, _dry, _yes, _binary, _client):
        function = option(function)
    return function


@click.command("install")
@_options
def install_command(client: str, client_binary: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Connect a client: Claude Code (claude) or Codex (codex).

    Shows every change first and asks. Installs the plugin (hooks and MCP server) with this Python's absolute path,
    keeps a backup of what it changes, and does nothing where all is in place already.

    \b
    Examples:
      rlm-mcp install claude
      rlm-mcp install codex --dry-run
      rlm-mcp install claude --yes
    """
    _carry_out(client, _plan(client, client_binary, installing=True), yes=yes, dry_run=dry_run, as_json=as_json)


@click.command("uninstall")
@_options
def uninstall_command(client: str, client_binary: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Disconnect a client and leave its files as they were before.

    The store stays; remove ~/.rlm-mcp (or $RLM_MCP_HOME) to forget everything.

    \b
    Examples:
      rlm-mcp uninstall claude
      rlm-mcp uninstall codex --yes
    """
    _carry_out(client, _plan(client, client_binary, installing=False), yes=yes, dry_run=dry_run, as_json=as_json)


def _carry_out(client: str, plan: Plan, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Show, ask, do.

    Raises:
        UsageError: nobody is there to ask, and ``--yes`` is not given.
        ClientError: a step fails; those before it stay done, a second call goes on from there.
    """
    is_doing = bool(plan.steps) and not dry_run
    if not as_json:
        _show(client, plan)
    if is_doing and not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError("nobody is there to ask; --yes goes ahead, --dry-run only shows")
        is_doing = click.confirm("Go ahead?", default=True)
    if is_doing:
        for step in plan.steps:
            step.apply()
    if as_json:
        steps = [step.shown for step in plan.steps]
        print_json({"client": client, "steps": steps, "notes": list(plan.notes), "done": is_doing})
    elif is_doing:
        show("Done. Restart the client to see it.")


def _show(client: str, plan: Plan) -> None:
    if plan.steps:
        show(f"# {client}: what changes")
        for number, step in enumerate(plan.steps, 1):
            show(f"  {number}. {step.shown}")
    else:
        show(f"{client}: all is in place, nothing to change")
    for note in plan.notes:
        show(f"  note: {note}")
