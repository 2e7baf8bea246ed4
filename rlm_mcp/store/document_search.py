"""Finding places in Documents: by words (FTS5, BM25) and by pattern (ripgrep over their texts, linear time)."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp import ripgrep
from rlm_mcp.redact import Secret
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store
from rlm_mcp.store.documents import LoadedRow
from rlm_mcp.store.pieces import ID_BITS

_GREP_SECONDS = 15.0
_FILES_AT_ONCE = 2_000
"""Named to one ripgrep: their names take 130 kB of the 2 MB a command line may have."""
_MATCH_BYTES = 4_096
"""Of one match, printed by ripgrep; a longer one ends there for us."""
_AMONG = (
    "FROM piece_fts WHERE piece_fts MATCH ? AND rowid BETWEEN ? AND ? "
    f"AND rowid >> {ID_BITS} IN (SELECT value FROM json_each(?))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceHit:
    """A piece that holds words of the query."""

    document: int
    start: int
    """In the Document's text, in bytes."""
    length: int
    line: int
    """Number of the line it begins in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHit:
    """A place where the pattern matches."""

    document: LoadedRow
    start: int
    """In the Document's text, in bytes."""
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Places where a pattern matches, in the order of the Documents and within each."""

    hits: Sequence[PlaceHit]
    total: int
    """How many there are in all; more than ``hits`` where the output was too much."""


def by_words(store: Store, among: Sequence[LoadedRow], match: str, limit: int) -> list[PieceHit]:
    """Pieces of those Documents that fit ``match`` (see ``search.matching``), the best first."""
    if not among:
        return []
    rows = store.connection.execute(
        f"SELECT rowid, bm25(piece_fts) AS score {_AMONG} ORDER BY score, rowid LIMIT ?",
        (*_values(among, match), limit),
    ).fetchall()
    ids = [row["rowid"] for row in rows]
    pieces = {
        row["id"]: row
        for row in store.connection.execute(
            "SELECT * FROM piece WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
        )
    }
    return [
        PieceHit(
            document=number >> ID_BITS,
            start=number & ((1 << ID_BITS) - 1),
            length=pieces[number]["length"],
            line=pieces[number]["line"],
        )
        for number in ids
    ]


def count_words(store: Store, among: Sequence[LoadedRow], match: str) -> int:
    """How many pieces :func:`by_words` would find without its limit."""
    if not among:
        return 0
    row = store.connection.execute(f"SELECT count(*) AS count {_AMONG}", _values(among, match)).fetchone()
    return int(row["count"])


def _values(among: Sequence[LoadedRow], match: str) -> tuple[str, int, int, str]:
    numbers = [row.document for row in among]
    return match, min(numbers) << ID_BITS, (max(numbers) + 1 << ID_BITS) - 1, json.dumps(numbers)


def by_pattern(store: Store, among: Sequence[LoadedRow], pattern: str, *, fixed: bool) -> Places:
    """Places where ``pattern`` (a Rust regex, or with ``fixed`` plain text) matches; smart case as in ``search``.

    What begins or ends inside a secret is no hit. A Document known under two names is searched once.

    Raises:
        QueryError: the pattern is not a valid regex, ripgrep is missing, or the search took too long.
        StoreDamaged: the text of one of them is gone.
    """
    rows = {row.sha256: row for row in reversed(among)}
    names = list(dict.fromkeys(row.sha256 for row in among))
    hits: list[PlaceHit] = []
    uncounted: list[str] = []
    total = 0
    for at in range(0, len(names), _FILES_AT_ONCE):
        group = names[at : at + _FILES_AT_ONCE]
        output, is_cut = _grep(store, group, pattern, fixed=fixed)
        found = _outside_secrets(store, [_hit(rows, *place) for place in _parsed(output)])
        hits += found
        if is_cut:
            uncounted += group
        else:
            total += len(found)
    return Places(hits=hits, total=total + _count(store, uncounted, pattern, fixed=fixed))


_OPTIONS = ("--text", "--encoding=none", "--mmap", "--threads=1", "--smart-case", "--with-filename", "--null")
"""Every byte as it is (a byte order mark and NUL too); one thread, as it takes the files in order."""


def _grep(store: Store, names: Sequence[str], pattern: str, *, fixed: bool) -> tuple[bytes, bool]:
    ended = ripgrep.search(
        pattern,
        names,
        options=[
            *_OPTIONS,
            "--no-heading",
            "--no-line-number",
            "--byte-offset",
            "--only-matching",
            f"--max-columns={_MATCH_BYTES}",
        ],
        fixed=fixed,
        timeout_seconds=_GREP_SECONDS,
        cwd=store.paths.documents,
    )
    if ended.exit_code == 2 and not ended.is_cut:  # a file could not be read: which one is told by its own error
        for name in names:
            documents.read(store, name, 0, 0)
    return ended.output, ended.is_cut


def _count(store: Store, names: Sequence[str], pattern: str, *, fixed: bool) -> int:
    total = 0
    for at in range(0, len(names), _FILES_AT_ONCE):
        ended = ripgrep.search(
            pattern,
            names[at : at + _FILES_AT_ONCE],
            options=[*_OPTIONS, "--count-matches"],
            fixed=fixed,
            timeout_seconds=_GREP_SECONDS,
            cwd=store.paths.documents,
        )
        total += sum(int(line.rpartition(b"\0")[2]) for line in ended.output.splitlines())
    return total


_OMITTED = b"[Omitted long matching line]"


def _parsed(output: bytes) -> list[tuple[str, int, int]]:
    """(file, start, end) of ripgrep's lines ``file NUL offset:match``; the lines of one match repeat its offset."""
    found: list[tuple[str, int, int]] = []
    for line in output.split(b"\n"):
        name, nul, rest = line.partition(b"\0")
        number, colon, matched = rest.partition(b":")
        if not nul or not colon or not number.isdigit():
            continue
        start = int(number)
        length = _MATCH_BYTES if matched == _OMITTED else len(matched)
        if found and (found[-1][0], found[-1][1]) == (name.decode(), start):
            found[-1] = (found[-1][0], start, found[-1][2] + 1 + length)
        else:
            found.append((name.decode(), start, start + length))
    return found


def line_at(store: Store, row: LoadedRow, offset: int) -> int:
    """Number of the line, from 1, in which byte ``offset`` of the Document's text stands."""
    piece = store.connection.execute(
        "SELECT * FROM piece WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
        (row.document << ID_BITS, (row.document << ID_BITS) + offset),
    ).fetchone()
    if piece is None:  # the Document is empty
        return 1
    start = piece["id"] & ((1 << ID_BITS) - 1)
    return int(piece["line"]) + documents.read(store, row.sha256, start, offset - start).count(b"\n")


def _hit(rows: dict[str, LoadedRow], name: str, start: int, end: int) -> PlaceHit:
    return PlaceHit(document=rows[name], start=start, end=min(end, rows[name].length))


def _outside_secrets(store: Store, hits: Sequence[PlaceHit]) -> list[PlaceHit]:
    """Those hits that do not tell what a secret begins, ends or goes on with."""
    kept: list[PlaceHit] = []
    at = -1
    secrets: list[Secret] = []
    starts: list[int] = []
    for hit in hits:
        if hit.document.document != at:
            at = hit.document.document
            secrets = documents.secrets_in(store, at, 0, hit.document.length)
            starts = [secret.start for secret in secrets]
        if not (_is_inside(hit.start, secrets, starts) or _is_inside(hit.end, secrets, starts)):
            kept.append(hit)
    return kept


def _is_inside(place: int, secrets: Sequence[Secret], starts: Sequence[int]) -> bool:
    """Whether a secret has bytes on both sides of that place."""
    number = bisect_right(starts, place) - 1
    return number >= 0 and secrets[number].start < place < secrets[number].end
