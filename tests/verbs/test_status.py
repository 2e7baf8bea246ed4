"""status: what is held, skipped, folded and degraded, and whether the store is sound."""

from pathlib import Path

from rlm_mcp.events import LinkKind, SkipReason
from rlm_mcp.store import cells, degraded, lineage, sessions
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint, ReplRow
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.status import status
from tests.build import Transcript, a_day
from tests.documents import loaded_text, session_in


def test_an_empty_store_has_a_status(store: Store):
    """Nothing held, nothing wrong."""
    found = status(store)
    assert (found.session, found.damage, found.latest_sessions, found.folds) == (None, "", (), ())
    assert found.home == str(store.paths.home)


def test_a_session_is_told_with_its_counts(store: Store, tmp_path: Path):
    """Skips with reasons, Facts by kind (in all, current), Folds, sizes."""
    made = a_day()
    made.line(b"not json")
    made.add({"type": "from-the-future"})
    made.add({"type": "from-the-future"})
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    compact(store, session, trigger="auto")
    found = status(store, session)
    assert found.session == session
    assert (str(SkipReason.UNKNOWN_TYPE), "from-the-future", 2) in found.skips
    assert (str(SkipReason.NOT_JSON), "", 1) in found.skips
    counted = {kind: (total, current) for kind, total, current in found.fact_counts}
    assert counted["command"] == (8, 4)
    assert counted["edit"] == (4, 4)
    assert [fold.trigger for fold in found.folds] == ["auto"]
    assert found.log_bytes == session.log_bytes
    assert found.database_bytes > 0
    assert found.raw_bytes > 0
    assert found.damage == ""
    assert [row.key for row in found.latest_sessions] == [session.key]


def test_the_lineage_is_named_newest_first(store: Store, tmp_path: Path):
    """Over /clear too."""
    keys = []
    for number in (1, 2, 3):
        client_session = f"{number}{number}{number}{number}0000-0000-4000-8000-000000000000"
        made = Transcript(client_session, seed=number)
        made.clock = made.clock.replace(hour=9 + number)
        made.user(f"Part {number}")
        if keys:
            lineage.hint(store.paths, client_session, keys[-1].client_session, LinkKind.CLEAR)
        ingest(store, made.save(tmp_path / f"{number}.jsonl"))
        row = sessions.by_client_id(store, client_session)
        assert row is not None
        keys.append(lineage.settle(store, row))
    assert status(store, keys[-1]).lineage == (keys[1].key, keys[0].key)


def test_a_degraded_session_is_shown_until_its_next_ingest(store: Store, tmp_path: Path):
    """A hook that failed left a mark."""
    made = a_day()
    degraded.mark(store.paths, made.session, "the disk was full", 1.0)
    assert status(store).degraded == (f"{made.session}: the disk was full",)
    ingest(store, made.save(tmp_path / "s.jsonl"))
    assert status(store).degraded == ()


def test_damage_is_told_and_does_not_keep_status_from_answering(store: Store, tmp_path: Path):
    """A log cut short: seen for its Session and for the whole store."""
    session = locate(store, transcript=a_day().save(tmp_path / "s.jsonl"))
    log = store.paths.sessions / f"{session.key}.log"
    log.write_bytes(log.read_bytes()[:-5])
    assert session.key in status(store, session).damage
    assert session.key in status(store).damage


def test_a_torn_database_is_told(store: Store, tmp_path: Path):
    """By SQLite's own check."""
    ingest(store, a_day(turns=20).save(tmp_path / "s.jsonl"))
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.connection.execute("PRAGMA shrink_memory")
    size = store.paths.database.stat().st_size
    with store.paths.database.open("r+b") as file:
        for at in range(size // 8192 * 4096, size, 4096):
            file.seek(at)
            file.write(b"\xa5" * 512)
    assert "damaged" in status(store).damage


def test_the_repl_is_told_without_being_started(store: Store, tmp_path: Path):
    """Cells run, the variables there are after the last one, and as of which Cell they are saved."""
    session = locate(store, transcript=a_day().save(tmp_path / "s.jsonl"))
    assert status(store, session).repl is None
    named = (("rows", "list, 3"), ("total", "int, 7"))
    with store.writing():
        for number in (1, 2):
            row = CellRow(
                session_key=session.key, number=number, time=1.0, seconds=0.1, code="...", status=CellStatus.OK,
                output="", variables=named[:number],
            )  # fmt: skip
            cells.add(store, row)
    assert status(store, session).repl == ReplRow(cells=2, variables=named, saved_cell=0, saved_time=None)
    with store.writing():
        saved = Checkpoint(session_key=session.key, cell=2, file="x.vars", variables=(), unsaved=(), time=9.0)
        cells.set_checkpoint(store, saved)
    assert status(store, session).repl == ReplRow(cells=2, variables=named, saved_cell=2, saved_time=9.0)
    assert status(store).repl is None


def test_loaded_documents_are_counted(store: Store, tmp_path: Path):
    """The session's by name, the store's by content."""
    session = session_in(store, tmp_path)
    assert (status(store, session).documents, status(store).document_bytes) == (0, 0)
    for name in ("a.txt", "b.txt"):
        loaded_text(store, session, name, "same text")
    found = status(store, session)
    assert (found.documents, found.document_bytes) == (2, 18)
    assert (status(store).documents, status(store).document_bytes) == (1, 9)
