"""Loaded Documents: what they are, under which names Sessions know them, and their text with secrets replaced.

A Document belongs to the store, at one content hash; names belong to Sessions. ``copying`` brings the text in,
``pieces`` makes it searchable. The files in ``documents`` hold the texts as they are, secrets too, as the user's own
files do; :func:`shown` is how a text leaves the store.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import RefError, StoreDamaged
from rlm_mcp.redact import Secret
from rlm_mcp.store import copying, sessions
from rlm_mcp.store.connection import store_error
from rlm_mcp.store.copying import Copied
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import clean

_REF_DIGITS, _LONG_REF_DIGITS = 8, 16
_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """A Document."""

    id: int
    sha256: str
    """Of the original bytes; 64 hex digits."""
    ref: str
    """``d`` and the first 8 digits of ``sha256``, or 16 where another Document begins so."""
    length: int
    """Of its text, in bytes of UTF-8."""
    lines: int
    encoding: str
    """Of the original, see ``Copied``."""
    indexed: int
    """Bytes of the text in the word index; less than ``length`` where a load was broken off."""
    indexed_lines: int
    """Line ends in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRow:
    """A Document as a Session knows it."""

    name: str
    sha256: str
    ref: str
    path: str
    """Of the file it was loaded from."""
    length: int
    lines: int
    encoding: str
    time: float
    """Seconds since the epoch, when it was loaded."""
    document: int
    """``DocumentRow.id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Text of a Document as it may be shown."""

    text: str
    replaced: int
    """Secrets in whose place marks stand."""


_REF = (
    "'d' || substr(document.sha256, 1, CASE WHEN (SELECT count(*) FROM document AS other WHERE other.sha256 BETWEEN "
    f"substr(document.sha256, 1, {_REF_DIGITS}) AND substr(document.sha256, 1, {_REF_DIGITS}) || 'g') > 1 "
    f"THEN {_LONG_REF_DIGITS} ELSE {_REF_DIGITS} END) AS ref"
)
_DOCUMENTS = f"SELECT document.*, {_REF} FROM document "
_LOADED = (
    f"SELECT loaded.*, document.sha256, document.length, document.lines, document.encoding, {_REF} "
    "FROM loaded JOIN document ON document.id = loaded.document "
)

_HELD_BY = (
    "SELECT count(*) AS count, coalesce(sum(length), 0) AS bytes FROM ("
    "SELECT document.length AS length, min(part.key) FROM json_each(?) AS part "
    "JOIN loaded ON loaded.session_key = part.value JOIN document ON document.id = loaded.document "
    "GROUP BY loaded.name)"
)
"""Of each name the first Session's, of a list of keys; SQLite takes the other columns from the row with the minimum."""


def document_path(store: Store, sha256: str) -> Path:
    """Where the text of a Document lies."""
    return copying.document_path(store.paths, sha256)


def by_prefix(store: Store, prefix: str) -> DocumentRow:
    """The Document whose sha256 begins with ``prefix``.

    It may not be indexed whole: asked about, or its load broken off.

    Raises:
        RefError: none does, or several do.
    """
    rows = store.connection.execute(
        _DOCUMENTS + "WHERE document.sha256 BETWEEN ? AND ? ORDER BY document.sha256 LIMIT ?",
        (prefix, prefix + "g", _NAMED_AT_MOST),
    ).fetchall()
    if len(rows) > 1:
        there = ", ".join("d" + row["sha256"][:_LONG_REF_DIGITS] for row in rows)
        raise RefError(f"'d{prefix}' begins {len(rows)} documents: {there}; write more digits")
    if not rows:
        raise RefError(f"no document 'd{prefix}' in the store: {_there(store)}")
    return _document(rows[0])


def _there(store: Store) -> str:
    rows = store.connection.execute(_LOADED + "ORDER BY loaded.time DESC LIMIT ?", (_NAMED_AT_MOST,)).fetchall()
    if not rows:
        return "none was loaded yet"
    return "loaded last were " + ", ".join(dict.fromkeys(f"{row['ref']} ({row['name']})" for row in rows))


def by_sha256(store: Store, sha256: str) -> DocumentRow:
    """The Document of that hash.

    Raises:
        RefError: there is none.
    """
    row = store.connection.execute(_DOCUMENTS + "WHERE document.sha256 = ?", (sha256,)).fetchone()
    if row is None:
        raise RefError(f"no document 'd{sha256[:_LONG_REF_DIGITS]}' in the store: {_there(store)}")
    return _document(row)


def loaded(store: Store, session_key: str) -> list[LoadedRow]:
    """What the Session has loaded itself, by name."""
    rows = store.connection.execute(_LOADED + "WHERE loaded.session_key = ? ORDER BY loaded.name", (session_key,))
    return [_loaded(row) for row in rows]


def known_to(store: Store, session: SessionRow) -> list[LoadedRow]:
    """What the Session and those it continues (resume, fork, compact) have loaded, by name; the newest of a name."""
    found: dict[str, LoadedRow] = {}
    for part in reversed(sessions.continued(store, session)):
        found.update((row.name, row) for row in loaded(store, part.session.key))
    return [found[name] for name in sorted(found)]


def held_by(store: Store, session: SessionRow) -> tuple[int, int]:
    """How many Documents :func:`known_to` gives, and the bytes of their texts, without taking them up one by one."""
    keys = [part.session.key for part in sessions.continued(store, session)]
    row = store.connection.execute(_HELD_BY, (json.dumps(keys),)).fetchone()
    return row["count"], row["bytes"]


def by_name(store: Store, session_key: str, name: str) -> LoadedRow | None:
    """What the Session itself knows under that name."""
    row = store.connection.execute(
        _LOADED + "WHERE loaded.session_key = ? AND loaded.name = ?", (session_key, name)
    ).fetchone()
    return None if row is None else _loaded(row)


def held(store: Store) -> tuple[int, int]:
    """How many Documents the store holds, and the bytes of their texts."""
    row = store.connection.execute("SELECT count(*) AS count, coalesce(sum(length), 0) AS bytes FROM document")
    found = row.fetchone()
    return found["count"], found["bytes"]


def add(store: Store, copied: Copied) -> None:
    """Write a Document whose text is there, unless it is known. Inside ``writing()``."""
    store.connection.execute(
        "INSERT OR IGNORE INTO document (sha256, length, lines, encoding) VALUES (?, ?, ?, ?)",
        (copied.sha256, copied.length, copied.lines, copied.encoding),
    )


def set_name(store: Store, session_key: str, row: LoadedRow) -> None:
    """Let the Session know a wholly indexed Document; the name's earlier one makes room. Inside ``writing()``."""
    store.connection.execute(
        "INSERT OR REPLACE INTO loaded VALUES (?, ?, ?, ?, ?)",
        (session_key, row.name, row.document, row.path, row.time),
    )


def forget_others(store: Store, session_key: str, folder: str, names: Collection[str]) -> int:
    """Take the names below ``folder/`` from the Session that are not in ``names``; how many. Inside ``writing()``."""
    rows = store.connection.execute(
        "SELECT name FROM loaded WHERE session_key = ? AND name >= ? AND name < ?",
        (session_key, f"{folder}/", f"{folder}0"),  # '0' is the character after '/'
    )
    gone = [(session_key, row["name"]) for row in rows if row["name"] not in names]
    store.connection.executemany("DELETE FROM loaded WHERE session_key = ? AND name = ?", gone)
    return len(gone)


def read(store: Store, sha256: str, offset: int, length: int) -> bytes:
    """Bytes of a Document's text.

    Raises:
        StoreDamaged: they are not there.
        StoreError: its file cannot be read.
    """
    path = document_path(store, sha256)
    try:
        with path.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), length, offset)
    except FileNotFoundError as error:
        raise StoreDamaged(f"{str(path)!r} is gone; load the document's file again") from error
    except OSError as error:
        raise store_error(error, path) from error
    if len(content) < length:
        raise StoreDamaged(f"{str(path)!r} ends before byte {offset + length:,}; load the document's file again")
    return content


def secrets_in(store: Store, document: int, start: int, end: int) -> list[Secret]:
    """Where secrets stand in bytes ``start`` to ``end`` of the Document's text, in order."""
    rows = store.connection.execute(
        'SELECT start, "end", label FROM secret WHERE document = ? AND start < ? AND "end" > ? ORDER BY start',
        (document, end, start),
    )
    return [Secret(start=row["start"], end=row["end"], label=row["label"]) for row in rows]


def count_secrets(store: Store, numbers: Collection[int]) -> int:
    """How many secrets stand in those Documents (by ``id``)."""
    row = store.connection.execute(
        "SELECT count(*) AS count FROM secret WHERE document IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(numbers)),),
    ).fetchone()
    return int(row["count"])


def shown(store: Store, row: DocumentRow | LoadedRow, start: int, end: int) -> Shown:
    """Bytes ``start`` to ``end`` of the text, a mark in place of every secret that reaches into them.

    Cut characters at either end are left out; NUL shows as its picture.

    Raises:
        StoreDamaged, StoreError: see :func:`read`.
    """
    number = row.id if isinstance(row, DocumentRow) else row.document
    content = read(store, row.sha256, start, end - start)
    secrets = secrets_in(store, number, start, end)
    return Shown(text=masked(content, start, secrets), replaced=len(secrets))


def masked(content: bytes, offset: int, secrets: Sequence[Secret]) -> str:
    """``content``, which begins at ``offset`` of a text, with marks in place of the text's secrets."""
    pieces: list[bytes] = []
    at = 0
    for secret in secrets:
        pieces += (content[at : max(at, secret.start - offset)], secret.mark.encode())
        at = max(at, secret.end - offset)
    return clean(b"".join((*pieces, content[at:])).decode("utf-8", "ignore"))


def _document(row: sqlite3.Row) -> DocumentRow:
    return DocumentRow(
        id=row["id"],
        sha256=row["sha256"],
        ref=row["ref"],
        length=row["length"],
        lines=row["lines"],
        encoding=row["encoding"],
        indexed=row["indexed"],
        indexed_lines=row["indexed_lines"],
    )


def _loaded(row: sqlite3.Row) -> LoadedRow:
    return LoadedRow(
        name=row["name"],
        sha256=row["sha256"],
        ref=row["ref"],
        path=row["path"],
        length=row["length"],
        lines=row["lines"],
        encoding=row["encoding"],
        time=row["time"],
        document=row["document"],
    )
