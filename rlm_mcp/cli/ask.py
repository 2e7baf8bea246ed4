"""``search``, ``read``, ``brief``, ``compact``: questions to one Session."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from rlm_mcp.brief.render import Brief
from rlm_mcp.cli.options import Which, as_json, find, opened, print_json, which_session
from rlm_mcp.cli.view import say, show, show_exact
from rlm_mcp.refs import parse_ref
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import MODES, SCOPES, search
from rlm_mcp.wiring import wire


@click.command("search")
@click.argument("query")
@which_session
@click.option("--kind", default="", metavar="KIND", help="Only this kind: prompt, reply, call, result, edit, error ...")
@click.option("--turns", default="", metavar="N[-M]", help="Only these turns.")
@click.option("--scope", type=click.Choice(SCOPES), default="session", show_default=True, help="Where to look.")
@click.option("--mode", type=click.Choice(MODES), default="auto", show_default=True, help="How to take the query.")
@click.option("--max-tokens", type=click.IntRange(100, 20_000), default=None, help="Size of the answer.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Lines to pass over: the next page.")
@as_json
def search_command(which: Which, query: str, as_json: bool, **filters: Any) -> None:
    """Search a session's whole past.

    Plain words, "exact phrases", /regex/, or a typed question that is answered completely.

    \b
    Examples:
      rlm-mcp search "rounding of zone Z4"
      rlm-mcp search "which commands failed"
      rlm-mcp search "what did the user forbid" --transcript FILE
      rlm-mcp search "/Error: .*utf-8/" --turns 3-9
      rlm-mcp search "files edited" --scope project --json
      rlm-mcp search "connection refused" --scope docs

    Lines end in a Ref; `rlm-mcp read REF` gives its exact text.
    """
    with opened(which) as (store, found):
        answer = search(store, found, query, **filters)
    if as_json:
        print_json(dataclasses.asdict(answer))
    else:
        show(answer.text)


@click.command("read")
@click.argument("ref")
@which_session
@click.option("--offset", type=click.IntRange(0), default=0, help="Byte to begin at.")
@click.option("--max-tokens", type=click.IntRange(100), default=None, help="Size of the answer.")
@click.option("--all", "whole", is_flag=True, help="Read on to the end.")
@as_json
def read_command(which: Which, ref: str, offset: int, max_tokens: int | None, whole: bool, as_json: bool) -> None:
    """Give the exact text of a Ref. Of a document, a run, or with its session's key, it needs no other session.

    \b
    Examples:
      rlm-mcp read e12              an event
      rlm-mcp read e12:0-400        bytes 0 to 400 of it
      rlm-mcp read t3 --all         a whole turn
      rlm-mcp read s --all          the whole session
      rlm-mcp read c4               what a cell of the REPL printed
      rlm-mcp read d1f2e3d4c        a loaded document
      rlm-mcp read r1f2e3d4c        what a run came to
    """
    needs_none = not which.is_named and parse_ref(ref).stands_alone
    with wire() as stores, stores.lend() as store:
        found = None if needs_none else find(store, which)
        while True:
            answer = read(store, found, ref, offset=offset, max_tokens=max_tokens)
            if as_json:
                print_json(dataclasses.asdict(answer))
            else:
                show_exact(answer.text)
            if answer.next_offset is None or not whole:
                break
            offset = answer.next_offset
    if answer.note and not as_json:
        say(f"\n[{answer.note}]", err=True)
    if answer.next_offset is not None and not as_json:
        told = (
            f"bytes {answer.start:,}-{answer.end:,} of {answer.total_bytes:,}; read on: --offset {answer.next_offset}"
        )
        say(f"\n[{told}, or --all]", err=True)


@click.command("brief")
@which_session
@click.option("--tokens", type=click.IntRange(500, 20_000), default=None, help="Size of the Brief (default 4000).")
@click.option("--focus", default="", metavar="TEXT", help="What matters most; lines with these words come first.")
@as_json
def brief_command(which: Which, tokens: int | None, focus: str, as_json: bool) -> None:
    """Print the Brief: what would stand in the window in place of the session.

    Made from facts by rules, without a model; the same session gives the same Brief. Nothing is recorded.

    \b
    Examples:
      rlm-mcp brief
      rlm-mcp brief --transcript FILE --tokens 4000
      rlm-mcp brief --focus "the importer"
    """
    with opened(which) as (store, found):
        made = brief(store, found, tokens=tokens, focus=focus)
    if as_json:
        print_json({"session": found.key, **_brief_record(made)})
    else:
        show(made.text)


@click.command("compact")
@which_session
@click.option("--instructions", default="", metavar="TEXT", help="As written behind /compact: steers the Brief.")
@click.option("--tokens", type=click.IntRange(500, 20_000), default=None, help="Size of the Brief (default 4000).")
@as_json
def compact_command(which: Which, instructions: str, tokens: int | None, as_json: bool) -> None:
    """Make the Brief of a compaction, record the Fold, and print Brief and loss report.

    The client's own window is not touched: clients compact through their plugin (`rlm-mcp install`).

    \b
    Examples:
      rlm-mcp compact --transcript FILE
      rlm-mcp compact --instructions "keep what concerns the importer" --json
    """
    with opened(which) as (store, found):
        fold = compact(store, found, trigger="cli", instructions=instructions, tokens=tokens)
    if as_json:
        print_json(
            {"session": found.key, "fold": fold.number, "seconds": round(fold.seconds, 4), **_brief_record(fold.brief)}
        )
        return
    show(fold.brief.text)
    show(f"\n# loss report of fold {fold.number} ({fold.brief.tokens:,} tokens in {fold.seconds * 1000:.0f} ms)")
    for kind, (total, shown) in fold.brief.loss.kinds.items():
        show(f"{kind}: {total:,} in all, {shown:,} in the Brief, {max(0, total - shown):,} one call away")


def _brief_record(made: Brief) -> dict[str, object]:
    return {
        "tokens": made.tokens,
        "text": made.text,
        "loss": {kind: {"total": total, "shown": shown} for kind, (total, shown) in made.loss.kinds.items()},
    }
