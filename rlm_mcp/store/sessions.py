"""Sessions in the store: found by key, client id, path or folder; their lineage."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import dataclass

from rlm_mcp.events import Client, LinkKind
from rlm_mcp.store.database import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A Session as the store knows it."""

    id: int
    key: str
    client: Client
    client_session: str
    path: str
    """Of its main transcript file."""
    cwd: str
    git_branch: str
    title: str
    model: str
    client_version: str
    parent: str
    """Client id of the Session it came out of; empty for none."""
    link: LinkKind | None
    parent_events: int
    """Events of the parent that belong to the lineage; -1 for all."""
    started: float | None
    updated: float | None
    events: int
    turns: int
    log_bytes: int
    window_tokens: int
    compactions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopePart:
    """A Session, or its first Events, as part of what a search or Brief looks at."""

    session: SessionRow
    max_seq: int
    """Events up to this number belong to it."""


_SELECT = "SELECT session.*, source.path AS path FROM session JOIN source ON source.id = session.source "
_MAX_LINEAGE = 50


def session_key(client: Client, client_session: str, path: str, generation: int) -> str:
    """The 8 hex digits by which Refs name a Session: the same after a rebuild of the store."""
    named = "\0".join((client, client_session, path, str(generation)))
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def by_id(store: Store, session_id: int) -> SessionRow | None:
    """The Session of that row."""
    return _one(store, "WHERE session.id = ?", (session_id,))


def by_key(store: Store, key: str) -> SessionRow | None:
    """The Session whose key is, or begins with, ``key``, if there is just one."""
    exact = _one(store, "WHERE session.key = ?", (key,))
    if exact is not None:
        return exact
    rows = _many(store, "WHERE session.key GLOB ? LIMIT 2", (_glob_prefix(key),))
    return rows[0] if len(rows) == 1 else None


def by_client_id(store: Store, client_session: str) -> SessionRow | None:
    """The newest Session with that client id."""
    return _one(store, "WHERE session.client_session = ? ORDER BY session.id DESC LIMIT 1", (client_session,))


def by_client_prefix(store: Store, prefix: str) -> list[SessionRow]:
    """Sessions whose client id begins with ``prefix``, newest first, at most 10."""
    return _many(
        store, "WHERE session.client_session GLOB ? ORDER BY session.id DESC LIMIT 10", (_glob_prefix(prefix),)
    )


def by_path(store: Store, path: str) -> list[SessionRow]:
    """The Sessions of a transcript file as it is now, oldest first."""
    return _many(store, "WHERE source.path = ? AND source.is_current ORDER BY session.id", (os.path.realpath(path),))


def client_ids(store: Store, path: str) -> list[str]:
    """The client ids of all Sessions that a transcript file ever held."""
    rows = store.connection.execute(
        "SELECT DISTINCT session.client_session AS name FROM session JOIN source ON source.id = session.source "
        "WHERE source.path = ?",
        (path,),
    )
    return [row["name"] for row in rows]


def newest(store: Store, cwd: str = "") -> SessionRow | None:
    """The Session with the latest Event, in folder ``cwd`` where that is given."""
    if cwd:
        return _one(store, "WHERE session.cwd = ? ORDER BY session.updated DESC LIMIT 1", (cwd,))
    return _one(store, "ORDER BY session.updated DESC LIMIT 1", ())


def all_sessions(store: Store, limit: int) -> list[SessionRow]:
    """The latest Sessions, newest first."""
    return _many(store, "ORDER BY session.updated DESC LIMIT ?", (limit,))


def continued(store: Store, session: SessionRow) -> list[ScopePart]:
    """The Session and what it continues (resume, fork, compact), newest first. A /clear begins anew."""
    return _walk(store, session, stop_at_clear=True)


def lineage(store: Store, session: SessionRow) -> list[ScopePart]:
    """The Session and every Session it came out of, over /clear too, newest first."""
    return _walk(store, session, stop_at_clear=False)


def of_project(store: Store, session: SessionRow, limit: int = 200) -> list[ScopePart]:
    """All Sessions of the Session's folder, itself first, then newest first."""
    rows = _many(
        store,
        "WHERE session.cwd = ? AND session.id != ? ORDER BY session.updated DESC LIMIT ?",
        (session.cwd, session.id, limit),
    )
    return [ScopePart(session=row, max_seq=row.events) for row in (session, *rows)]


def _walk(store: Store, session: SessionRow, *, stop_at_clear: bool) -> list[ScopePart]:
    parts = [ScopePart(session=session, max_seq=session.events)]
    seen = {session.id}
    at = session
    while at.parent and len(parts) < _MAX_LINEAGE and not (stop_at_clear and at.link is LinkKind.CLEAR):
        parent = _one(
            store,
            "WHERE session.client_session = ? AND session.id != ? ORDER BY session.source = ? DESC, session.id DESC "
            "LIMIT 1",
            (at.parent, at.id, _source_of(store, at)),
        )
        if parent is None or parent.id in seen:
            break
        seen.add(parent.id)
        parts.append(ScopePart(session=parent, max_seq=parent.events if at.parent_events < 0 else at.parent_events))
        at = parent
    return parts


def _source_of(store: Store, session: SessionRow) -> int:
    row = store.connection.execute("SELECT source FROM session WHERE id = ?", (session.id,)).fetchone()
    return int(row[0])


def _glob_prefix(prefix: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in prefix) + "*"


def _one(store: Store, where: str, values: tuple[object, ...]) -> SessionRow | None:
    row = store.connection.execute(_SELECT + where, values).fetchone()
    return None if row is None else _row(row)


def _many(store: Store, where: str, values: tuple[object, ...]) -> list[SessionRow]:
    return [_row(row) for row in store.connection.execute(_SELECT + where, values)]


def _row(row: sqlite3.Row) -> SessionRow:
    return SessionRow(
        id=row["id"],
        key=row["key"],
        client=Client(row["client"]),
        client_session=row["client_session"],
        path=row["path"],
        cwd=row["cwd"],
        git_branch=row["git_branch"],
        title=row["title"],
        model=row["model"],
        client_version=row["client_version"],
        parent=row["parent"],
        link=LinkKind(row["link"]) if row["link"] else None,
        parent_events=row["parent_events"],
        started=row["started"],
        updated=row["updated"],
        events=row["events"],
        turns=row["turns"],
        log_bytes=row["log_bytes"],
        window_tokens=row["window_tokens"],
        compactions=row["compactions"],
    )
