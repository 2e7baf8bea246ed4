"""Migrations: each once, in order, by one of many processes."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import StoreTooNew
from rlm_mcp.store import schema
from rlm_mcp.store.database import open_store


def test_a_new_store_has_every_migration_recorded_by_name(tmp_path: Path):
    """Number and name."""
    with open_store(Paths(home=tmp_path), Settings()) as store:
        recorded = [
            tuple(row) for row in store.connection.execute("SELECT number, name FROM migration ORDER BY number")
        ]
        assert recorded == [(number, name) for number, (name, _step) in enumerate(schema.MIGRATIONS, start=1)]
        assert store.connection.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)


def test_an_older_store_gets_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store of this version opened by a later one: only the new steps run, what is there stays."""
    with open_store(Paths(home=tmp_path), Settings()) as store, store.writing() as connection:
        connection.execute("INSERT INTO source (path, client) VALUES ('x', 'codex')")
    later = (*schema.MIGRATIONS, ("later", lambda connection: connection.execute("CREATE TABLE later (x)")))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    for _ in range(2):
        with open_store(Paths(home=tmp_path), Settings()) as store:
            assert store.connection.execute("SELECT count(*) FROM later").fetchone()[0] == 0
            assert store.connection.execute("SELECT path FROM source").fetchone()[0] == "x"


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each step is a transaction of its own."""
    with open_store(Paths(home=tmp_path), Settings()):
        pass

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (x)")
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("broken", broken)))
        with pytest.raises(ZeroDivisionError):
            open_store(Paths(home=tmp_path), Settings())
    with open_store(Paths(home=tmp_path), Settings()) as store:
        assert store.connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone()[0] == 0


def test_a_later_schema_is_refused():
    """Before anything is read or written."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreTooNew, match="999"):
        schema.migrate(connection)
    connection.close()


def test_many_processes_may_open_a_new_store_at_once(tmp_path: Path):
    """Every one of them finds it whole: no "table exists", no lock error."""
    code = (
        "import sys; from pathlib import Path; from rlm_mcp.config import Paths, Settings\n"
        "from rlm_mcp.store.database import open_store\n"
        "sys.stdin.readline()\n"
        "with open_store(Paths(home=Path(sys.argv[1])), Settings()) as store:\n"
        "    print(store.connection.execute('SELECT count(*) FROM migration').fetchone()[0])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "new")]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    ended = []
    for child in started:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    ended = [(child.communicate(), child.returncode) for child in started]
    assert [said for said, _ in ended] == [(f"{len(schema.MIGRATIONS)}\n", "")] * 6
