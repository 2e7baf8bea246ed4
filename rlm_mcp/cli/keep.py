"""``ingest``, ``status``, ``export``: what is kept, and how to have it back."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from rlm_mcp import __version__
from rlm_mcp.cli.options import Which, as_json, opened, print_json, which_session
from rlm_mcp.cli.view import progress_on, show, tamed_for
from rlm_mcp.errors import TranscriptMissing, UsageError
from rlm_mcp.hook.prepare import prepare
from rlm_mcp.server.status_text import size, status_text
from rlm_mcp.store import sessions, sources
from rlm_mcp.store.cells import ReplRow
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.export import export_markdown, export_raw
from rlm_mcp.verbs.ingest import Ingested, ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.status import Status, status
from rlm_mcp.wiring import wire


@click.command("ingest")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--rebuild", is_flag=True, help="Read the whole file anew, as after damage.")
@as_json
def ingest_command(files: tuple[Path, ...], rebuild: bool, as_json: bool) -> None:
    """Take transcripts of Claude Code or Codex into the store.

    Only what is new is read. With --json: one object per session found, with session, events, turns, bytes, unknown
    and skipped records.

    \b
    Examples:
      rlm-mcp ingest ~/.claude/projects/*/*.jsonl
      rlm-mcp ingest rollout.jsonl --json
    """
    with wire() as stores, stores.lend() as store:
        for file in files:
            with progress_on(file.name, _size(file)) as progress:
                found = ingest(store, file, progress=progress, rebuild=rebuild)
            for one in found:
                _print_ingested(one, as_json=as_json)
            for session in sessions.by_path(store, sources.real(file))[-1:]:
                prepare(store, session)
            if not found:
                _print_empty(file, as_json=as_json)


def _print_ingested(one: Ingested, *, as_json: bool) -> None:
    if as_json:
        record = dataclasses.asdict(one)
        record["reasons"] = dict(one.reasons)
        print_json(record)
        return
    lost = f"; {one.unknown} records of unknown type, {one.skipped} skipped" if one.unknown + one.skipped else ""
    show(
        f"{one.session}  {one.client} {one.client_session}: {one.events:,} events ({one.new_events:,} new), "
        f"{one.turns:,} turns, {size(one.bytes)}{lost}"
    )
    for reason, count in one.reasons:
        show(f"    {reason}: {count}")


def _print_empty(file: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"session": None, "path": str(file), "events": 0, "turns": 0, "bytes": 0, "unknown": 0, "skipped": 0}
        )
    else:
        show(f"{file}: no whole record yet")


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


@click.command("status")
@which_session
@as_json
def status_command(which: Which, as_json: bool) -> None:
    """Show what is held: of one session, or (without options) of the store.

    \b
    Examples:
      rlm-mcp status
      rlm-mcp status --session 1f2e3d4c
      rlm-mcp status --transcript FILE --json
    """
    if not which.is_named:
        with wire() as stores, stores.lend() as store:
            found = status(store)
    else:
        with opened(which) as (store, row):
            found = status(store, row)
    if as_json:
        print_json(_status_record(found))
    else:
        show(status_text(found))


def _status_record(found: Status) -> dict[str, object]:
    record = dataclasses.asdict(found)
    record["version"] = __version__
    record["skips"] = [{"reason": reason, "what": what, "count": count} for reason, what, count in found.skips]
    record["fact_counts"] = {kind: {"total": total, "current": now} for kind, total, now in found.fact_counts}
    record["repl"] = _repl_record(found.repl) if found.repl is not None else None
    record["folds"] = [{k: v for k, v in dataclasses.asdict(fold).items() if k != "brief"} for fold in found.folds]
    return record


def _repl_record(repl: ReplRow) -> dict[str, object]:
    return {**dataclasses.asdict(repl), "variables": dict(repl.variables)}


@click.command("export")
@click.argument("session", default="")
@click.option("--transcript", type=click.Path(path_type=Path), metavar="FILE", help="The session of this file.")
@click.option("--raw", is_flag=True, help="The client's own file, byte for byte.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to (default: standard output)."
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@as_json
def export_command(
    session: str, transcript: Path | None, raw: bool, output: Path | None, force: bool, as_json: bool
) -> None:
    """Give a session back: as readable Markdown, or with --raw byte for byte as its client wrote it.

    Clients delete their transcripts after some weeks; the store still has them.

    \b
    Examples:
      rlm-mcp export 1f2e3d4c > session.md
      rlm-mcp export 1f2e3d4c --raw -o session.jsonl
      rlm-mcp export --transcript FILE --raw | cmp - FILE
    """
    if bool(session) == (transcript is not None):
        raise UsageError("name what to export: either SESSION or --transcript FILE")
    if as_json and output is None:
        raise UsageError("--json tells what was written; name the file with -o FILE")
    if output is not None and output.exists() and not force:
        raise UsageError(f"{str(output)!r} exists; --force overwrites it")
    with wire() as stores, stores.lend() as store:
        pieces = _pieces(store, session, transcript, raw=raw)
        if output is None:
            _to_stdout(pieces, raw=raw)
            return
        written = _to_file(pieces, output)
    if as_json:
        print_json({"path": str(output), "bytes": written, "raw": raw})
    else:
        show(f"{output}: {size(written)}")


def _pieces(store: Store, session: str, transcript: Path | None, *, raw: bool) -> Iterator[bytes]:
    if raw and transcript is not None:
        with suppress(TranscriptMissing):  # deleted by the client: what was ingested is given back
            ingest(store, transcript)
        return export_raw(store, transcript=transcript)
    row = locate(store, transcript=transcript) if transcript is not None else locate(store, session=session)
    if raw:
        return export_raw(store, session=row)
    return (piece.encode("utf-8", "replace") for piece in export_markdown(store, row))


def _to_stdout(pieces: Iterator[bytes], *, raw: bool) -> None:
    for piece in pieces:
        sys.stdout.buffer.write(piece if raw else tamed_for(sys.stdout, piece.decode()).encode())
    sys.stdout.buffer.flush()


def _to_file(pieces: Iterator[bytes], output: Path) -> int:
    """Written beside it first, so that a failure leaves no half file.

    Raises:
        UsageError: the file cannot be written.
    """
    beside = output.with_name(f"{output.name}.part-{os.getpid()}")
    written = 0
    try:
        with beside.open("xb") as file:
            for piece in pieces:
                written += file.write(piece)
        beside.replace(output)
    except OSError as error:
        raise UsageError(f"{str(output)!r} cannot be written ({error})") from error
    finally:
        beside.unlink(missing_ok=True)
    return written
