"""ingest: bring what is new of a transcript into the store.

Parsing and fact extraction happen outside the write lock; inside it the Watermark is checked again, so that two
processes on the same file neither lose nor double an Event. Each Batch is one transaction.
"""

from __future__ import annotations

import json
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import StoreBusy, TranscriptError
from rlm_mcp.events import Client, Event, SkipReason
from rlm_mcp.facts.extract import FactExtractor
from rlm_mcp.facts.kinds import Fact
from rlm_mcp.facts.supersede import SUPERSEDED_BY_NEWER
from rlm_mcp.locks import Held, locked
from rlm_mcp.store import appending, belongings, degraded, lineage, sessions, sources
from rlm_mcp.store import events as stored_events
from rlm_mcp.store.database import Store
from rlm_mcp.store.facts import FactRow
from rlm_mcp.store.sources import SourceRow
from rlm_mcp.transcripts.claude_code import related_files
from rlm_mcp.transcripts.reader import Batch, Change, Watermark, changed, detect, read_batch

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) after each Batch."""

_MAX_RACES = 100
_UNREAD = "sub-agent file that could not be read yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What a transcript holds of one Session, after an ingest."""

    session: str
    """The Session's key, as Refs print it."""
    client_session: str
    client: Client
    path: str
    events: int
    turns: int
    bytes: int
    """Of the session's transcript files that are ingested."""
    unknown: int
    """Records of unknown type: kept raw, counted."""
    skipped: int
    """Records that gave no Event for another reason (not JSON, cut off ...): kept raw, counted."""
    reasons: tuple[tuple[str, int], ...]
    """Why, and how many."""
    new_events: int
    """Since the last ingest."""


def ingest(
    store: Store, path: Path | str, *, progress: Progress | None = None, rebuild: bool = False
) -> tuple[Ingested, ...]:
    """Ingest what is new of a transcript and of the sub-agent files beside it; one record per Session found.

    Args:
        rebuild: read the whole file anew, as after a damaged log. The old Sessions stay under their old keys, without
            what exists only with us (variables, loaded Documents, Runs, summaries): that goes to the new ones.

    Raises:
        TranscriptMissing, UnknownFormat: the file cannot be read.
        StoreBusy: another process writes for too long; or a Cell of a Session to be built anew runs.
        StoreFull, StoreDamaged: the store cannot be written; nothing of the current Batch is kept.
    """
    known = sources.main_path(store, sources.real(path))
    before = {row.key: row.events for row in sessions.by_path(store, known)}
    main = _ingest_file(store, known, agent="", main_source=0, progress=progress, rebuild=rebuild)
    if main is None:
        return ()
    unread = 0
    for related, agent in related_files(Path(known)) if main.client is Client.CLAUDE_CODE else ():
        try:
            _ingest_file(
                store, sources.real(related), agent=agent, main_source=main.id, progress=progress, rebuild=rebuild
            )
        except TranscriptError:  # just begun or just gone: counted, and tried again by the next ingest
            unread += 1
    found = lineage.settle_new(store, sessions.by_path(store, known))
    for row in found:
        _give_variables(store, row, progress)
    for row in found:
        degraded.clear(store.paths, row.client_session)
    return tuple(_report(store, row, before.get(row.key, 0), unread) for row in found)


def _give_variables(store: Store, session: sessions.SessionRow, progress: Progress | None) -> None:
    """Let a fork begin with its parent's variables; done once, and cheap when there is nothing to do."""
    parent = belongings.parent_to_copy(store, session)
    if parent is None:
        return
    if parent.path != session.path:  # or its transcript was replaced by the fork's
        with suppress(TranscriptError):  # gone: what was ingested of it serves
            ingest(store, parent.path, progress=progress)  # up to where the fork begins
    belongings.copy_to_fork(store, lineage.settle(store, session), parent)


def _ingest_file(
    store: Store, path: str, *, agent: str, main_source: int, progress: Progress | None, rebuild: bool
) -> SourceRow | None:
    """The source after everything whole in it is ingested; None for an empty file."""
    source = _source_to_continue(store, path, agent=agent, main_source=main_source, rebuild=rebuild)
    if source is None:
        return None
    races = 0
    while races <= _MAX_RACES:
        batch = read_batch(Path(path), _watermark(source))
        if _size(path) >= 0 and not _is_still_there(path, source):  # replaced while it was read
            races += 1
            source = _source_to_continue(store, path, agent=agent, main_source=main_source, rebuild=False)
            if source is None:
                return None
            continue
        applied = _apply(store, source, batch)  # False: read on from the winner's Watermark
        races += not applied
        source = _current(store, path)
        if progress is not None:
            progress(source.offset, max(source.offset, _size(path)))
        if applied and batch.at_end:
            return source
    raise StoreBusy(f"other processes keep ingesting {path!r}; try again")


def _source_to_continue(store: Store, path: str, *, agent: str, main_source: int, rebuild: bool) -> SourceRow | None:
    source = sources.current(store, path)
    if source is not None and not rebuild and source.main_source == main_source and _is_still_there(path, source):
        return source
    if _size(path) == 0:
        return None
    client = detect(Path(path)).client
    keys: dict[str, str] = {}
    if rebuild and not agent and source is not None and _is_still_there(path, source):  # Refs stay what they are
        names = sessions.client_ids(store, path)
        keys = {name: sessions.session_key(client, name, path, source.generation) for name in names}
    with _no_cell_runs(store, keys.values()), store.writing():
        now = sources.current(store, path)
        if now == source:  # else another process began it meanwhile
            generation = sources.add(store, path, client, agent=agent, main_source=main_source)
            for name, old in keys.items():
                new = sessions.session_key(client, name, path, generation)
                belongings.move(store, old, new, is_same_text=True)
    return _current(store, path)


@contextmanager
def _no_cell_runs(store: Store, keys: Iterable[str]) -> Iterator[None]:
    """No Cell of these Sessions runs meanwhile: it would be written down under a key that has nothing any more."""
    with ExitStack() as held:
        for key in keys:
            lock = locked(store.paths.repl / f"{key}.lock", patience_seconds=store.settings.busy_seconds)
            try:
                held.enter_context(lock)
            except Held as error:
                raise StoreBusy(
                    f"process {error} runs a Cell of session {key}, which cannot be built anew meanwhile; wait for it, "
                    "or cancel it there"
                ) from error
        yield


def _is_still_there(path: str, source: SourceRow) -> bool:
    """Whether the file is the one that was read so far: the same, or grown."""
    return changed(Path(path), _watermark(source)) in (Change.SAME, Change.GROWN)


def _size(path: str) -> int:
    """Bytes of a regular file; -1 for what is none, on which the reader has the say."""
    try:
        found = Path(path).stat()
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _current(store: Store, path: str) -> SourceRow:
    source = sources.current(store, path)
    if source is None:
        raise StoreBusy(f"{path!r} vanished from the store while it was ingested; try again")
    return source


def _watermark(source: SourceRow) -> Watermark:
    return Watermark(offset=source.offset, digest=source.digest, state=source.reader_state)


def _apply(store: Store, source: SourceRow, batch: Batch) -> bool:
    """Write a Batch; False if another process was there first."""
    if not batch.raw and len(batch.tail) == 0 and source.tail_bytes == 0:
        return True
    extractor = FactExtractor(json.loads(source.facts_state))
    events = [(event, _new_facts(event, extractor.facts(event))) for event in batch.events]
    adding = appending.Appending(
        start=batch.start,
        offset=batch.watermark.offset,
        digest=batch.watermark.digest,
        reader_state=batch.watermark.state,
        facts_state=json.dumps(extractor.state()),
        tail=zlib.compress(batch.tail, 1) if batch.tail and store.settings.keep_raw else b"",
        raw_blocks=sources.compress(batch.raw) if store.settings.keep_raw else [],
        events=events,
        news=batch.news,
        skips=batch.skips,
    )
    with store.writing():
        now = _current(store, source.path)
        if (now.id, now.offset) != (source.id, source.offset):
            return False
        appending.append(store, now, adding)
    return True


def _new_facts(event: Event, facts: list[Fact]) -> list[appending.NewFact]:
    return [
        appending.NewFact(
            row=FactRow(
                session=0,
                seq=0,
                turn=0,
                kind=fact.kind,
                subject=fact.subject,
                text=fact.text,
                status=fact.status,
                start=_byte_offset(event.text, fact.start),
                end=_byte_offset(event.text, fact.end),
                exit_code=fact.exit_code,
                seconds=fact.seconds,
                added=fact.added,
                removed=fact.removed,
                note=fact.note,
            ),
            supersedes=fact.kind in SUPERSEDED_BY_NEWER and bool(fact.subject),
            closes=tuple((closed.kind, closed.subject) for closed in fact.closes),
        )
        for fact in facts
    ]


def _byte_offset(text: str, chars: int) -> int:
    return chars if text.isascii() else len(text[:chars].encode("utf-8", "replace"))


def _report(store: Store, session: sessions.SessionRow, events_before: int, unread_files: int) -> Ingested:
    counted = stored_events.skip_counts(store, session)
    unknown = sum(count for reason, _what, count in counted if reason == SkipReason.UNKNOWN_TYPE)
    counted += [(SkipReason.INCOMPLETE, "", 1)] if _has_tail(store, session) else []
    counted += [(_UNREAD, "", unread_files)] if unread_files else []
    reasons = [(f"{reason}: {what}" if what else str(reason), count) for reason, what, count in counted]
    row = store.connection.execute(
        "SELECT sum(offset) FROM source WHERE id = (SELECT source FROM session WHERE id = ?) "
        "OR main_source = (SELECT source FROM session WHERE id = ?)",
        (session.id, session.id),
    ).fetchone()
    return Ingested(
        session=session.key,
        client_session=session.client_session,
        client=session.client,
        path=session.path,
        events=session.events,
        turns=session.turns,
        bytes=int(row[0] or 0),
        unknown=unknown,
        skipped=sum(count for _reason, count in reasons) - unknown,
        reasons=tuple(reasons),
        new_events=session.events - events_before,
    )


def _has_tail(store: Store, session: sessions.SessionRow) -> bool:
    row = store.connection.execute(
        "SELECT length(tail) > 0 FROM source WHERE id = (SELECT source FROM session WHERE id = ?)", (session.id,)
    ).fetchone()
    return bool(row[0])
