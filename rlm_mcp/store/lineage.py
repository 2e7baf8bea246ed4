"""Where a Session came from, when its own transcript does not say, or says it in bytes.

Claude Code names the parent of a fork or of a /clear nowhere. For a /clear the SessionStart hook knows it and leaves a
hint file; a forked transcript begins with copies of its parent's rows, so the parent is found by content: it holds an
Event of the same kind, time (to the millisecond) and length as the fork's first one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlm_mcp.config import Paths
from rlm_mcp.events import Client, LinkKind
from rlm_mcp.store import live, sessions, sources
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow

_KIND = "parent"
_CANDIDATES = 20


def hint(paths: Paths, client_session: str, parent: str, link: LinkKind) -> None:
    """Leave word that a Session, perhaps not ingested yet, came out of ``parent``.

    Raises:
        OSError: the folder cannot be written.
    """
    if client_session and client_session != parent:
        live.leave(paths, live.path_of(paths, _KIND, client_session), {"parent": parent, "link": link})


def settle_new(store: Store, rows: Sequence[SessionRow]) -> list[SessionRow]:
    """``rows``, those settled that never were; a writer that is killed before leaves it to the next.

    Raises:
        StoreError: a parent cannot be recorded.
    """
    run = store.connection.execute
    new = {row.id for row in rows if not run("SELECT settled FROM session WHERE id = ?", (row.id,)).fetchone()[0]}
    if not new:
        return list(rows)
    found = [settle(store, row) if row.id in new else row for row in rows]
    with store.writing() as connection:
        connection.executemany("UPDATE session SET settled = 1 WHERE id = ?", [(each,) for each in new])
    return found


def settle(store: Store, session: SessionRow) -> SessionRow:
    """``session`` with its parent recorded, and how much of it, where that was not and can be told.

    Cheap when there is nothing to do.

    Raises:
        StoreError: the parent cannot be recorded.
    """
    if session.client is Client.CODEX:
        return _counted(store, session)
    if session.parent:
        return session
    known = _hinted(store.paths, session.client_session) or _copied_from(store, session)
    if known is None:
        return session
    parent, link, events = known
    with store.writing() as connection:
        connection.execute(
            "UPDATE session SET parent = ?, link = ?, parent_events = ? WHERE id = ? AND parent = ''",
            (parent, link, events, session.id),
        )
    live.path_of(store.paths, _KIND, session.client_session).unlink(missing_ok=True)
    return sessions.by_id(store, session.id) or session


def _counted(store: Store, session: SessionRow) -> SessionRow:
    """A Codex fork says how many bytes of its parent it goes on from; counted in Events once those are known."""
    if not session.parent or session.parent_events >= 0:
        return session
    run = store.connection.execute
    end = run("SELECT parent_bytes FROM session WHERE id = ?", (session.id,)).fetchone()["parent_bytes"]
    scope = sessions.continued(store, session)
    source = sources.current(store, scope[1].session.path) if len(scope) > 1 else None
    if not end or source is None or source.offset < end:
        return session
    row = run(
        "SELECT max(seq) AS last FROM event WHERE session = ? AND source = ? AND record_offset < ?",
        (scope[1].session.id, source.id, end),
    ).fetchone()
    with store.writing() as connection:
        connection.execute("UPDATE session SET parent_events = ? WHERE id = ?", (row["last"] or 0, session.id))
    return sessions.by_id(store, session.id) or session


def _hinted(paths: Paths, client_session: str) -> tuple[str, LinkKind, int] | None:
    word = live.found(live.path_of(paths, _KIND, client_session))
    if not word.get("parent") or word.get("link") not in set(LinkKind):
        return None
    return word["parent"], LinkKind(word["link"]), -1


def _copied_from(store: Store, session: SessionRow) -> tuple[str, LinkKind, int] | None:
    run = store.connection.execute
    first = run("SELECT kind, time, length FROM event WHERE session = ? AND seq = 1", (session.id,)).fetchone()
    if first is None or first["time"] is None:
        return None
    candidates = run(
        "SELECT id, client_session FROM session WHERE client = ? AND cwd = ? AND id != ? AND client_session != ? "
        "AND started <= ? AND updated >= ? ORDER BY updated DESC LIMIT ?",
        (
            session.client,
            session.cwd,
            session.id,
            session.client_session,
            first["time"],
            first["time"],
            _CANDIDATES,
        ),
    ).fetchall()
    found: list[tuple[float, int, str, int]] = []
    for candidate in candidates:
        same = run(
            "SELECT seq FROM event WHERE session = ? AND kind = ? AND time = ? AND length = ? ORDER BY seq LIMIT 1",
            (candidate["id"], first["kind"], first["time"], first["length"]),
        ).fetchone()
        if same is not None and _older(store, candidate["id"], session.id):
            until = shared_until(store, session.id, candidate["id"]) or 0.0
            found.append((until, -candidate["id"], str(candidate["client_session"]), int(same["seq"]) - 1))
    if not found:
        return None
    _until, _id, parent, events = max(found)  # an earlier fork began alike, but shares fewer or came later
    return parent, LinkKind.FORK, events


def shared_until(store: Store, one: int, other: int) -> float | None:
    """The time of the last Event that is in both Sessions, in seconds since the epoch; None where none is."""
    events = "SELECT time, kind, length FROM event WHERE session = ? AND time IS NOT NULL"
    row = store.connection.execute(f"SELECT max(time) FROM ({events} INTERSECT {events})", (one, other)).fetchone()
    return None if row[0] is None else float(row[0])


def _older(store: Store, candidate: int, session: int) -> bool:
    """The original holds what came before the copy, or was there first."""
    begun = [
        store.connection.execute("SELECT started, id FROM session WHERE id = ?", (each,)).fetchone()
        for each in (candidate, session)
    ]
    return tuple(begun[0]) < tuple(begun[1])
