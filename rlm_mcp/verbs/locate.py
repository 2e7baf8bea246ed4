"""locate: the Session a caller means."""

from __future__ import annotations

from pathlib import Path

from rlm_mcp.errors import SessionNotFound, TranscriptMissing
from rlm_mcp.store import sessions, sources
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.ingest import ingest


def locate(store: Store, *, transcript: Path | None = None, session: str = "", cwd: str = "") -> SessionRow:
    """The Session of a transcript file (ingested first), of a key or client id (or its beginning), or the newest.

    A file with several Sessions gives its last one; the earlier ones are its lineage. A transcript that the client
    has deleted is served from the store.

    Raises:
        SessionNotFound: nothing fits, or more than one Session does.
        TranscriptMissing, UnknownFormat: the file cannot be read and was never ingested.
    """
    if transcript is not None:
        return _of_transcript(store, transcript)
    if session:
        return _named(store, session)
    found = sessions.newest(store, cwd)
    if found is None:
        where = f" of folder {cwd!r}" if cwd else ""
        raise SessionNotFound(f"no session{where} in the store; name one with --transcript FILE or ingest it first")
    return found


def _of_transcript(store: Store, transcript: Path) -> SessionRow:
    path = sources.real(transcript)
    try:
        ingest(store, path)
    except TranscriptMissing:
        if not sessions.by_path(store, sources.main_path(store, path)):
            raise
    found = sessions.by_path(store, sources.main_path(store, path))
    if not found:
        raise SessionNotFound(f"{str(transcript)!r} holds no session yet (it has no whole record)")
    return found[-1]


def _named(store: Store, name: str) -> SessionRow:
    found = sessions.by_client_id(store, name) or sessions.by_key(store, name)
    if found is not None:
        return found
    candidates = {row.client_session: row for row in reversed(sessions.by_client_prefix(store, name))}
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    if candidates:
        raise SessionNotFound(f"{name!r} begins {len(candidates)} session ids: {', '.join(sorted(candidates)[:5])} ...")
    raise SessionNotFound(f"no session {name!r} in the store; 'rlm-mcp status' lists them")
