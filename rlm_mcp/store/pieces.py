"""A Document's text in the word index: pieces of about 4 kB at line ends, without secrets, in short transactions.

What is read and cut lies outside the write lock; inside it the row is looked at again, so that of two processes that
index one Document each batch is written once. Killed in between, the next load goes on where this one stood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlm_mcp.redact import Secret, find
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store
from rlm_mcp.store.documents import DocumentRow

Told = Callable[[int], None]
"""Called with the number of bytes just indexed."""

ID_BITS = 36
"""Of a piece's id, for where it begins: a text has less than 64 GiB."""
_PIECE_BYTES = 4096
_BATCH_BYTES = 256 << 10
_REACH_BYTES = 24 << 10
"""Looked at on either side of a batch: no secret is longer (a private key may have 20,000 characters)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What one transaction writes."""

    pieces: Sequence[tuple[int, int, int]]
    """(id, length, line)."""
    words: Sequence[tuple[int, str]]
    """(id, text without secrets)."""
    secrets: Sequence[Secret]
    """Those that begin in it, in bytes of the text."""
    end: int
    line_ends: int
    """From the beginning of the text."""


def index(store: Store, sha256: str, told: Told | None = None) -> DocumentRow:
    """Bring what is not yet indexed of a Document into the word index; its row afterwards.

    Raises:
        RefError: there is no such Document.
        StoreDamaged, StoreFull, StoreBusy: see ``Store.writing`` and ``documents.read``; what was written stays.
    """
    row = documents.by_sha256(store, sha256)
    while row.indexed < row.length:
        batch = _batch(store, row)
        with store.writing() as connection:
            now = documents.by_sha256(store, sha256)
            if now.indexed == row.indexed:  # else another process was there first: on from where it stands
                connection.executemany("INSERT INTO piece VALUES (?, ?, ?)", batch.pieces)
                connection.executemany("INSERT INTO piece_fts (rowid, said) VALUES (?, ?)", batch.words)
                connection.executemany(
                    "INSERT OR IGNORE INTO secret VALUES (?, ?, ?, ?)",
                    [(row.id, secret.start, secret.end, secret.label) for secret in batch.secrets],
                )
                connection.execute(
                    "UPDATE document SET indexed = ?, indexed_lines = ? WHERE id = ?",
                    (batch.end, batch.line_ends, row.id),
                )
        before, row = row.indexed, documents.by_sha256(store, sha256)
        if told is not None:
            told(row.indexed - before)
    return row


def secrets_between(store: Store, row: DocumentRow, start: int, end: int) -> list[Secret]:
    """Secrets that reach into those bytes of a Document: as indexed, or looked for where the index does not reach."""
    if row.indexed >= min(row.length, end + _REACH_BYTES):
        return documents.secrets_in(store, row.id, start, end)
    first, last = max(0, start - _REACH_BYTES), min(row.length, end + _REACH_BYTES)
    found = secrets_of(documents.read(store, row.sha256, first, last - first), first)
    return [secret for secret in found if secret.start < end and secret.end > start]


def _batch(store: Store, row: DocumentRow) -> _Batch:
    start = row.indexed
    first = max(0, start - _REACH_BYTES)
    last = min(row.length, start + _BATCH_BYTES + _REACH_BYTES)
    window = documents.read(store, row.sha256, first, last - first)
    secrets = secrets_of(window, first)
    end = start + _BATCH_BYTES
    pieces: list[tuple[int, int, int]] = []
    words: list[tuple[int, str]] = []
    line_ends = row.indexed_lines
    at = start
    while at < min(end, row.length):
        stop = first + _piece_end(window, at - first)
        content = window[at - first : stop - first]
        number = (row.id << ID_BITS) + at
        pieces.append((number, stop - at, line_ends + 1))
        words.append((number, _blanked(content, at, secrets)))
        line_ends += content.count(b"\n")
        at = stop
    return _Batch(
        pieces=pieces,
        words=words,
        secrets=[secret for secret in secrets if start <= secret.start < at],
        end=at,
        line_ends=line_ends,
    )


def _piece_end(window: bytes, at: int) -> int:
    """Where the piece that begins there ends: behind a line end, else behind a blank, else between two characters."""
    most = at + _PIECE_BYTES
    if most >= len(window):
        return len(window)
    for mark in (b"\n", b" "):
        found = window.rfind(mark, at + _PIECE_BYTES // 2, most)
        if found >= 0:
            return found + 1
    while most > at + 1 and window[most] & 0xC0 == 0x80:  # inside a character (RFC 3629)
        most -= 1
    return most


def secrets_of(window: bytes, offset: int = 0) -> list[Secret]:
    """The secrets in a window that begins at ``offset`` of a text, in bytes of the text, in order."""
    begin = 0
    while begin < min(4, len(window)) and window[begin] & 0xC0 == 0x80:
        begin += 1
    text = window[begin:].decode("utf-8", "ignore")
    found = find(text)
    if text.isascii():
        return [
            Secret(start=one.start + begin + offset, end=one.end + begin + offset, label=one.label) for one in found
        ]
    placed: list[Secret] = []
    chars, at = 0, begin + offset
    for one in found:
        start = at + len(text[chars : one.start].encode())
        at = start + len(text[one.start : one.end].encode())
        chars = one.end
        placed.append(Secret(start=start, end=at, label=one.label))
    return placed


def _blanked(content: bytes, offset: int, secrets: Sequence[Secret]) -> str:
    """The words of a piece; a blank in place of each secret, and of each NUL."""
    kept = bytearray(content)
    for secret in secrets:
        start, end = max(0, secret.start - offset), min(len(kept), secret.end - offset)
        if start < end:
            kept[start:end] = b" " * (end - start)
    return kept.decode("utf-8", "ignore").replace("\0", " ")
