"""locate: the Session a caller means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import SessionNotFound, TranscriptMissing
from rlm_mcp.store import sessions, sources
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.transcripts.claude_code import folders_beside, related_files
from rlm_mcp.verbs.ingest import ingest

_Look = tuple[int, int, int, int] | None
"""What the file system says of a file or folder: inode, bytes, times of the last change of content and of anything;
None where it is missing."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A transcript as it was when it was last ingested."""

    path: str
    looks: tuple[tuple[str, _Look], ...]
    """Of it, of all that belongs to it, and of the folders where more of it would appear."""
    reached: tuple[int, int]
    """See ``sources.reached``: another process may have begun it anew."""


class Unchanged:
    """Locates the same transcripts again and again, and reads only those that have changed. Safe from any thread.

    A look at a few files takes the place of reading them; anything that looks otherwise is ingested as ever.
    """

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}

    def locate(self, store: Store, transcript: Path) -> SessionRow:
        """As :func:`locate` of that transcript; raises the same."""
        seen = self._seen.get(transcript)
        if (
            seen is not None
            and all(_look(path) == before for path, before in seen.looks)
            and sources.reached(store, seen.path) == seen.reached
        ):
            found = sessions.by_path(store, seen.path)
            if found:
                return found[-1]
        path = Path(sources.main_path(store, sources.real(transcript)))
        # before it is read, and folders before what lies in them: what comes meanwhile looks new at the next call
        looks = {str(place): _look(str(place)) for place in (path, *folders_beside(path), store.paths.live)}
        looks |= {str(place): _look(str(place)) for place, _agent in related_files(path)}
        row = _of_transcript(store, transcript)
        self._seen[transcript] = _Seen(
            path=row.path, looks=tuple(looks.items()), reached=sources.reached(store, row.path)
        )
        return row


def _look(path: str) -> _Look:
    try:
        found = os.stat(path)  # noqa: PTH116  # pathlib takes twice as long, and this is done at every call
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


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
