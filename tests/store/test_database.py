"""The opened store: private files, typed errors, bytes written where they belong."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreTooNew, UsageError
from rlm_mcp.store.database import Store, append_at, open_store, read_at
from rlm_mcp.store.schema import MIGRATIONS
from rlm_mcp.verbs.ingest import ingest
from tests.build import a_day
from tests.looks import everything


def test_every_folder_is_0700_and_every_file_0600(store: Store, tmp_path: Path):
    """Whatever the umask, no one else may look: database, WAL, logs, raw bytes, payloads, marks."""
    old = os.umask(0)
    try:
        with open_store(Paths(home=tmp_path / "open"), Settings()) as opened:
            ingest(opened, a_day().save(tmp_path / "s.jsonl"))
            seen = list((tmp_path / "open").rglob("*"))
            assert len([path for path in seen if path.is_file()]) >= 4
            for path in [tmp_path / "open", *seen]:
                wanted = 0o700 if path.is_dir() else 0o600
                assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    finally:
        os.umask(old)


def test_an_opened_store_can_be_opened_again_beside(store: Store):
    """Many processes, many connections."""
    with open_store(store.paths, Settings()) as other:
        other.connection.execute("SELECT count(*) FROM event").fetchone()
        assert other.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def fill(store: Store, rows: int, *, then_fail: bool = False) -> None:
    """Write so many rows in one transaction."""
    with store.writing() as connection:
        for number in range(rows):
            connection.execute("INSERT INTO source (path, client) VALUES (?, 'codex')", (f"{number}" * 100,))
        if then_fail:
            raise ZeroDivisionError


def test_a_write_is_rolled_back_on_any_exception(store: Store):
    """Nothing of a broken transaction stays, and the next one works."""
    with pytest.raises(ZeroDivisionError):
        fill(store, 1, then_fail=True)
    with store.writing() as connection:
        assert connection.execute("SELECT count(*) FROM source").fetchone()[0] == 0


def test_another_writer_too_long_is_store_busy_and_named(store: Store):
    """The patience is the caller's; the message names the cure."""
    with open_store(store.paths, Settings(), busy_seconds=0.1) as impatient, store.writing():
        with pytest.raises(StoreBusy, match="RLM_MCP_BUSY_SECONDS"), impatient.writing():
            pass
        assert impatient.connection.execute("SELECT count(*) FROM event").fetchone()[0] == 0  # reading goes on
    with open_store(store.paths, Settings(), busy_seconds=0.1) as impatient, impatient.writing():
        pass


def test_a_full_database_is_store_full_and_whole_afterwards(store: Store):
    """SQLite's own "database or disk is full"."""
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match="free some room"):
        fill(store, 1_000)
    store.connection.execute("PRAGMA max_page_count = 1000000")
    with store.writing() as connection:
        assert connection.execute("SELECT count(*) FROM source").fetchone()[0] == 0


def test_a_file_that_is_no_database_is_store_damaged(tmp_path: Path):
    """The message says what to do with it."""
    home = tmp_path / "store"
    home.mkdir()
    (home / "store.db").write_bytes(b"this is not a database at all, but it is long enough to be one" * 100)
    with pytest.raises(StoreDamaged, match="move it away"):
        open_store(Paths(home=home), Settings())


def test_a_torn_database_is_store_damaged_wherever_it_is_met(store: Store, tmp_path: Path):
    """Not at opening, but while rows are read: still typed."""
    ingest(store, a_day(turns=60).save(tmp_path / "s.jsonl"))
    store.close()
    content = bytearray(store.paths.database.read_bytes())
    for at in range(len(content) // 8192 * 4096, len(content), 4096):
        content[at : at + 4096] = b"\xa5" * min(4096, len(content) - at)
    store.paths.database.write_bytes(content)
    with open_store(store.paths, Settings()) as again, pytest.raises(StoreDamaged):
        everything(again)


def test_a_closed_store_says_so(store: Store):
    """Typed, with the cure."""
    store.close()
    with pytest.raises(StoreError, match="open the store again"):
        store.connection.execute("SELECT 1")


def test_text_that_cannot_be_stored_is_the_callers_mistake(store: Store):
    """A lone surrogate (possible in JSON from a client) is a UsageError, not a crash."""
    with pytest.raises(UsageError, match="surrogate"):
        store.connection.execute("SELECT ?", ("\ud800",))


@pytest.mark.parametrize("what", ["a file", "below a file"])
def test_a_home_that_cannot_be_a_folder_names_the_setting(tmp_path: Path, what: str):
    """The cure is RLM_MCP_HOME."""
    home = tmp_path / "file"
    home.write_text("x")
    with pytest.raises(StoreError, match="RLM_MCP_HOME"):
        open_store(Paths(home=home if what == "a file" else home / "below"), Settings())


def test_a_store_of_a_later_version_is_left_alone(store: Store):
    """StoreTooNew, and not a byte of it is changed."""
    store.connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    store.close()
    before = store.paths.database.read_bytes()
    with pytest.raises(StoreTooNew, match="upgrade"):
        open_store(store.paths, Settings())
    assert store.paths.database.read_bytes() == before


def test_a_killed_writers_rest_is_cut_off(tmp_path: Path):
    """What lies beyond the committed length goes before the next bytes are written."""
    path = tmp_path / "log"
    append_at(path, 0, b"committed")
    append_at(path, 9, b"torn rest of a killed writer")
    append_at(path, 9, b"+new")
    assert path.read_bytes() == b"committed+new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_shorter_than_the_index_says_is_damage(tmp_path: Path):
    """Never a hole in a log; the cure is a rebuild."""
    path = tmp_path / "log"
    append_at(path, 0, b"abc")
    with pytest.raises(StoreDamaged, match="rebuild"):
        append_at(path, 5, b"x")
    with pytest.raises(StoreDamaged, match="rebuild"):
        read_at(path, 1, 5)
    with pytest.raises(StoreDamaged, match="rebuild"):
        read_at(tmp_path / "none", 0, 1)
    assert read_at(path, 1, 2) == b"bc"
    assert path.read_bytes() == b"abc"


def test_a_write_in_pieces_comes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The system may take fewer bytes than it was given."""
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, view, offset: whole(descriptor, view[:3], offset))
    append_at(tmp_path / "log", 0, b"0123456789")
    assert (tmp_path / "log").read_bytes() == b"0123456789"


@pytest.mark.parametrize("what", ["append", "read"])
def test_a_file_of_ours_that_is_a_folder_is_a_typed_error(tmp_path: Path, what: str):
    """The system's refusals on our own files are StoreErrors that name the file."""
    folder = tmp_path / "log"
    folder.mkdir()
    with pytest.raises(StoreError, match="log"):
        append_at(folder, 0, b"x") if what == "append" else read_at(folder, 0, 1)


def test_no_raw_sqlite_error_leaves_a_cursor(store: Store):
    """Bad SQL, a broken row, an interrupt: all StoreErrors."""
    with pytest.raises(StoreError):
        store.connection.execute("SELECT nonsense")
    cursor = store.connection.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000) SELECT x FROM n"
    )
    store.connection.set_progress_handler(lambda: 1, 1000)
    try:
        with pytest.raises(StoreError):
            cursor.fetchall()
        with pytest.raises(StoreError):
            list(store.connection.execute("SELECT * FROM sqlite_master, sqlite_master, sqlite_master, sqlite_master"))
    finally:
        store.connection.set_progress_handler(None, 0)
    assert isinstance(store.connection.execute("SELECT 1 AS one").fetchone(), sqlite3.Row)


_OPENS_AND_CLOSES = """
import sys
from pathlib import Path
from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import open_store
open_store(Paths(home=Path(sys.argv[1])), Settings()).close()
"""
_LOOKS = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM kept')"


def test_what_is_written_beside_a_second_store_of_this_process_is_kept(paths: Paths) -> None:
    """A process with several Stores keeps its locks when it opens one more: another that ends takes no WAL away."""
    with open_store(paths, Settings()) as first:
        open_store(paths, Settings()).close()
        subprocess.run(
            [sys.executable, "-c", _OPENS_AND_CLOSES, str(paths.home)], check=True, cwd=Path(__file__).parents[2]
        )
        with first.writing():
            first.connection.execute("CREATE TABLE kept (x)")
        subprocess.run([sys.executable, "-c", _LOOKS, str(paths.database)], check=True)
