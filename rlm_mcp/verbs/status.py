"""status: what is held of a Session, what was skipped, what was folded, and whether the store is sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rlm_mcp.costs import Spent
from rlm_mcp.store import cells, degraded, documents, events, facts, folds, ledger, sessions
from rlm_mcp.store.cells import ReplRow
from rlm_mcp.store.database import Store, check
from rlm_mcp.store.folds import FoldRow
from rlm_mcp.store.ledger import Caps
from rlm_mcp.store.sessions import SessionRow

_CHECKED = 1000
"""Sessions whose logs are looked at in a check of the whole store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """State of the store, and of one Session where one was named."""

    home: str
    database_bytes: int
    log_bytes: int
    raw_bytes: int
    documents: int
    """Loaded by the Session and those it continues; held by the store, where no Session was named."""
    document_bytes: int
    """Of their texts."""
    session: SessionRow | None
    lineage: tuple[str, ...]
    """Keys of the Sessions it came out of, newest first."""
    skips: tuple[tuple[str, str, int], ...]
    """(reason, detail, count) of records that gave no Event."""
    fact_counts: tuple[tuple[str, int, int], ...]
    """(kind, in all, current)."""
    folds: tuple[FoldRow, ...]
    """Newest first."""
    repl: ReplRow | None
    """The Session's; None where it ran no Cell, or no Session was named."""
    spent: Spent | None
    """On other models, by the Session; None where none was named."""
    root_tokens: int
    """Of these, tokens of the models that lead Runs."""
    spent_today: Spent
    """By all, since midnight (UTC); not looked at where the store is damaged."""
    root_tokens_today: int
    caps: Caps
    degraded: tuple[str, ...]
    """Sessions whose last hook did not finish, with the reason."""
    damage: str
    """Empty while log and index agree (of the Session, or of the whole store and its database file)."""
    latest_sessions: tuple[SessionRow, ...]


def status(store: Store, session: SessionRow | None = None) -> Status:
    """Look at the store and, if given, at one Session."""
    paths = store.paths
    damage = _damage(store, session)
    today = _midnight()
    count, count_bytes = documents.held(store)
    found_skips: Sequence[tuple[str, str, int]] = ()
    counted: dict[str, tuple[int, int, int]] = {}
    made: Sequence[FoldRow] = ()
    older: tuple[str, ...] = ()
    if session is not None:
        scope = sessions.lineage(store, session)
        found_skips = events.skip_counts(store, session)
        counted = facts.counts(store, scope)
        made = folds.of_session(store, session.client_session)
        older = tuple(part.session.key for part in scope[1:])
        count, count_bytes = documents.held_by(store, session)
    return Status(
        home=str(paths.home),
        database_bytes=_size(paths.database) + _size(paths.database.with_name(paths.database.name + "-wal")),
        log_bytes=_folder_size(paths.sessions),
        raw_bytes=_folder_size(paths.raw) + _folder_size(paths.payloads),
        documents=count,
        document_bytes=count_bytes,
        session=session,
        lineage=older,
        skips=tuple(found_skips),
        fact_counts=tuple((kind, total, current) for kind, (total, current, _subjects) in sorted(counted.items())),
        folds=tuple(made),
        repl=cells.repl_row(store, session.key) if session is not None else None,
        spent=ledger.spent(store, session=session.key) if session is not None else None,
        root_tokens=ledger.root_tokens(store, session=session.key) if session is not None else 0,
        spent_today=ledger.spent(store, since=today) if not damage else Spent(),
        root_tokens_today=ledger.root_tokens(store, since=today) if not damage else 0,
        caps=Caps(
            session_tokens=store.settings.session_tokens,
            session_usd=store.settings.session_usd,
            day_tokens=store.settings.day_tokens,
            day_usd=store.settings.day_usd,
        ),
        degraded=tuple(f"{mark.client_session}: {mark.reason}" for mark in degraded.read(paths)),
        damage=damage,
        latest_sessions=tuple(sessions.all_sessions(store, 20)),
    )


def _damage(store: Store, session: SessionRow | None) -> str:
    if session is not None:
        return events.check_log(store, session)
    found = check(store)
    checks = (events.check_log(store, row) for row in sessions.all_sessions(store, _CHECKED)) if not found else ()
    return found or next((damage for damage in checks if damage), "")


def _midnight() -> float:
    """When this day began (UTC), as the caps count it."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _folder_size(folder: Path) -> int:
    return sum(_size(path) for path in folder.iterdir()) if folder.is_dir() else 0
