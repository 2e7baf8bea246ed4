"""Source files: how far each is ingested, and their raw bytes, compressed and apart.

Raw bytes lie in ``raw/<source>.raw`` as zlib blocks (RFC 1950) in the order of the file; the table ``raw_block`` says
which block holds which bytes. They are never indexed and can be switched off (``keep_raw``).
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import StoreDamaged, TranscriptMissing
from rlm_mcp.events import Client
from rlm_mcp.store.database import Store, append_at, read_at

_BLOCK_BYTES = 1 << 20
_LEVEL = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A client's file and how far it is ingested."""

    id: int
    path: str
    client: Client
    generation: int
    agent: str
    main_source: int
    offset: int
    digest: str
    reader_state: str
    facts_state: str
    session: int
    raw_bytes: int
    tail_bytes: int


def current(store: Store, path: str) -> SourceRow | None:
    """The row of a file as it is now, or None if it was never ingested."""
    row = store.connection.execute(
        "SELECT *, length(tail) AS tail_bytes FROM source WHERE path = ? AND is_current", (path,)
    ).fetchone()
    if row is None:
        return None
    return SourceRow(
        id=row["id"],
        path=row["path"],
        client=Client(row["client"]),
        generation=row["generation"],
        agent=row["agent"],
        main_source=row["main_source"],
        offset=row["offset"],
        digest=row["digest"],
        reader_state=row["reader_state"],
        facts_state=row["facts_state"],
        session=row["session"],
        raw_bytes=row["raw_bytes"],
        tail_bytes=row["tail_bytes"],
    )


def reached(store: Store, path: str) -> tuple[int, int]:
    """Number of the file's row and how far it is ingested, in bytes; zeros where it never was."""
    row = store.connection.execute("SELECT id, offset FROM source WHERE path = ? AND is_current", (path,)).fetchone()
    return (0, 0) if row is None else (row["id"], row["offset"])


def main_path(store: Store, path: str) -> str:
    """The main transcript a file belongs to: its own path, unless it is known as a sub-agent's."""
    row = store.connection.execute(
        "SELECT main.path FROM source JOIN source AS main ON main.id = source.main_source "
        "WHERE source.path = ? AND source.is_current",
        (path,),
    ).fetchone()
    return path if row is None else str(row[0])


def add(store: Store, path: str, client: Client, *, agent: str = "", main_source: int = 0) -> int:
    """Begin a file, or a new generation of it where the old one was replaced or truncated; the number of that.

    Inside ``writing()``.
    """
    row = store.connection.execute("SELECT max(generation) FROM source WHERE path = ?", (path,)).fetchone()
    generation = 0 if row[0] is None else row[0] + 1
    store.connection.execute("UPDATE source SET is_current = 0 WHERE path = ?", (path,))
    store.connection.execute(
        "INSERT INTO source (path, client, generation, agent, main_source) VALUES (?, ?, ?, ?, ?)",
        (path, client, generation, agent, main_source),
    )
    return generation


def raw_path(store: Store, source_id: int) -> Path:
    """Where the raw bytes of a source lie."""
    return store.paths.raw / f"{source_id}.raw"


def compress(raw: bytes) -> list[tuple[int, bytes]]:
    """``raw`` as (length, zlib block) pairs; done before the write lock is taken."""
    return [
        (len(raw[at : at + _BLOCK_BYTES]), zlib.compress(raw[at : at + _BLOCK_BYTES], _LEVEL))
        for at in range(0, len(raw), _BLOCK_BYTES)
    ]


def append_raw(store: Store, source: SourceRow, start: int, blocks: list[tuple[int, bytes]]) -> int:
    """Keep the bytes of the client's file from ``start``; returns the raw file's new length. Inside ``writing()``."""
    append_at(raw_path(store, source.id), source.raw_bytes, b"".join(block for _length, block in blocks))
    at = source.raw_bytes
    for length, block in blocks:
        store.connection.execute(
            "INSERT INTO raw_block VALUES (?, ?, ?, ?, ?)", (source.id, start, length, at, len(block))
        )
        start += length
        at += len(block)
    return at


def raw_bytes(store: Store, source_id: int) -> Iterator[bytes]:
    """The client's file, byte for byte as ingested, the unfinished tail included.

    Whether all of it was kept is known before the first byte is given; what another process adds meanwhile is left out.

    Raises:
        StoreDamaged: a block is missing, torn or was not kept.
    """
    run = store.connection.execute
    found = run("SELECT path, offset, tail FROM source WHERE id = ?", (source_id,)).fetchone()
    blocks = run(
        "SELECT start, length, file_offset, file_length FROM raw_block WHERE source = ? AND start < ? ORDER BY start",
        (source_id, found["offset"]),
    ).fetchall()
    expected = 0
    for block in blocks:
        if block["start"] != expected:
            break
        expected += block["length"]
    if expected != found["offset"]:
        raise StoreDamaged(
            f"the raw bytes of {found['path']!r} were not kept from byte {expected:,} on: keep_raw was off when they "
            "were ingested; export it as Markdown, or set keep_raw and run 'rlm-mcp ingest --rebuild' on it"
        )
    return _raw_pieces(store, source_id, blocks, found["tail"])


def _raw_pieces(store: Store, source_id: int, blocks: list[sqlite3.Row], tail: bytes) -> Iterator[bytes]:
    for block in blocks:
        yield _inflate(read_at(raw_path(store, source_id), block["file_offset"], block["file_length"]), source_id)
    if tail:
        yield _inflate(tail, source_id)


def _inflate(block: bytes, source_id: int) -> bytes:
    try:
        return zlib.decompress(block)
    except zlib.error as error:
        raise StoreDamaged(
            f"a raw block of source {source_id} is torn ({error}); ingest the transcript again"
        ) from error


def real(path: Path | str) -> str:
    """The path by which a file is known: absolute, links resolved.

    Raises:
        TranscriptMissing: it holds a NUL byte, or bytes that are not UTF-8: no such path can be kept.
    """
    try:
        found = os.path.realpath(path)
        found.encode("utf-8")
    except ValueError as error:
        raise TranscriptMissing(f"{str(path)!r} is no path that can be kept ({error}); rename the file") from error
    return found
