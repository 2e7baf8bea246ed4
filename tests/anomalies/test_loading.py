"""A load that is killed, fails or races: the store stays whole, and the next load makes good what is missing."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import RlmError, StoreError, StoreFull
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.pieces import ID_BITS
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.load import load
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from tests.anomalies import loader
from tests.build import Transcript
from tests.documents import TOKEN
from tests.looks import assert_whole, rows

_ROOT = Path(__file__).parent.parent.parent
_POINTS = 12
_OURS_ALONE = {"write", "fsync", "rename"}
"""Calls on files of ours; the others are also made on what is loaded."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transcript, and a folder with a text of two batches, one that is not UTF-8, and one with a secret."""
    found = tmp_path_factory.mktemp("made").resolve()
    docs = found / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("".join(f"line {number} of a long text\n" for number in range(25_000)))
    (docs / "b.txt").write_bytes(b"Caf\xe9 noir\n" * 100)
    (docs / "c.txt").write_text(f"token {TOKEN} end\n")
    (docs / "d.png").write_bytes(bytes(100))
    made = Transcript(cwd=str(found))
    made.user("Look at the documents")
    made.save(found / "s.jsonl")
    return found


def session_of(store: Store, folder: Path) -> SessionRow:
    """The one session."""
    return locate(store, transcript=folder / "s.jsonl")


def everything(store: Store) -> dict[str, Any]:
    """All of the Documents, in a form to compare."""
    names = "SELECT name, sha256, path FROM loaded JOIN document ON document.id = loaded.document ORDER BY name"
    place = f"id & {(1 << ID_BITS) - 1}"
    pieces = (
        f"SELECT sha256, {place}, piece.length, line FROM piece JOIN document ON document.id = piece.id >> {ID_BITS}"
    )
    secrets = 'SELECT sha256, start, "end", label FROM secret JOIN document ON document.id = secret.document'
    return {
        "names": rows(store, names),
        "documents": rows(store, "SELECT sha256, length, lines, encoding, indexed FROM document ORDER BY sha256"),
        "pieces": rows(store, f"{pieces.replace('id &', 'piece.id &')} ORDER BY 1, 2"),
        "secrets": rows(store, f"{secrets} ORDER BY 1, 2"),
        "words": rows(store, "SELECT count(*) FROM piece_fts WHERE piece_fts MATCH 'line OR noir OR token'"),
        "files": {path.name: path.read_bytes() for path in store.paths.documents.iterdir()},
    }


def assert_documents_whole(store: Store) -> None:
    """Index sound; what a Session knows is there, wholly indexed, every byte in one piece; no secret to be found."""
    assert_whole(store)
    with store.writing() as connection:
        connection.execute("INSERT INTO piece_fts(piece_fts) VALUES ('integrity-check')")
    for row in store.connection.execute("SELECT * FROM document"):
        found = store.connection.execute(
            "SELECT count(*) AS count, coalesce(sum(length), 0) AS bytes FROM piece WHERE id >> ? = ?",
            (ID_BITS, row["id"]),
        ).fetchone()
        assert found["bytes"] == row["indexed"] <= row["length"]
        assert documents.document_path(store, row["sha256"]).stat().st_size == row["length"]
    halves = "SELECT count(*) FROM loaded JOIN document ON document.id = loaded.document WHERE indexed < length"
    assert rows(store, halves) == [(0,)]
    assert rows(store, f"SELECT count(*) FROM piece_fts WHERE piece_fts MATCH '\"{TOKEN[4:].lower()}\"'") == [(0,)]


def run(home: Path, folder: Path, step: int) -> subprocess.CompletedProcess[str]:
    """The loader in a process of its own."""
    command = [sys.executable, str(Path(loader.__file__)), str(home), str(folder / "s.jsonl")]
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    return subprocess.run(
        [*command, str(folder / "docs"), str(step)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environ,
        check=False,
    )


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[str, Any]]]:
    """The steps a load takes, and what it gives."""
    home = tmp_path_factory.mktemp("undisturbed") / "store"
    ended = run(home, folder, 0)
    assert ended.returncode == 0, ended.stderr
    with open_store(Paths(home=home), Settings()) as store:
        assert_documents_whole(store)
        found = everything(store)
        assert len(found["names"]) == 3
        assert len(found["secrets"]) == 1
        yield int(ended.stdout), found


@pytest.mark.parametrize("point", range(_POINTS))
def test_a_killed_load_is_finished_by_the_next(
    undisturbed: tuple[int, dict[str, Any]], folder: Path, tmp_path: Path, point: int
):
    """Killed anywhere: whole at once, complete after one more load. Drafts stay for an hour, no longer."""
    steps, expected = undisturbed
    assert steps > _POINTS * 3
    step = steps - 1 if point == _POINTS - 1 else 1 + point * (steps - 1) // (_POINTS - 1)
    home = tmp_path / "store"
    ended = run(home, folder, step)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with open_store(Paths(home=home), Settings()) as store:
        assert_documents_whole(store)
        for draft in store.paths.documents.glob("draft-*"):
            os.utime(draft, (1, 1))
        load(store, session_of(store, folder), str(folder / "docs"))
        assert_documents_whole(store)
        assert everything(store) == expected


@pytest.mark.parametrize("name", ["write", "open", "fsync", "rename", "read", "pread", "lstat", "fstat"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_system_call_that_fails_is_typed_and_healed(
    undisturbed: tuple[int, dict[str, Any]], folder: Path, tmp_path: Path, name: str, code: int
):
    """Each n-th call in turn; what cannot be read of the user's is skipped and named, what is ours is raised."""
    expected = undisturbed[1]
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        session = session_of(store, folder)
        for number in range(1, 400, 1 if name in {"write", "fsync", "rename", "read"} else 7):
            calls = 0
            said: RlmError | None = None
            whole = getattr(os, name)

            def fail(*arguments: Any, **more: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == number:  # noqa: B023  # called within this turn of the loop only
                    raise OSError(code, os.strerror(code))
                return whole(*arguments, **more)  # noqa: B023

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(os, name, fail)
                try:
                    load(store, session, str(folder / "docs"))
                except RlmError as error:
                    said = error
            assert said is None or code != errno.ENOSPC or name not in _OURS_ALONE or isinstance(said, StoreFull)
            assert_documents_whole(store)
            if calls < number:
                break
            with store.writing() as connection:
                for table in ("loaded", "document", "piece", "secret"):
                    connection.execute(f"DELETE FROM {table}")
                connection.execute("INSERT INTO piece_fts(piece_fts) VALUES ('delete-all')")
            for path in store.paths.documents.iterdir():
                path.unlink()
        else:
            pytest.fail("never clean")
        load(store, session, str(folder / "docs"))
        assert everything(store)["names"] == expected["names"]
        assert everything(store)["files"] == expected["files"]


def test_a_disk_that_fills_up_is_typed_and_healed(
    undisturbed: tuple[int, dict[str, Any]], folder: Path, tmp_path: Path
):
    """SQLite's own "database or disk is full", with room for n pages more, until n is enough."""
    for room in range(0, 400, 12):
        with open_store(Paths(home=tmp_path / f"store-{room}"), Settings()) as store:
            session = session_of(store, folder)
            pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
            store.connection.execute(f"PRAGMA max_page_count = {pages + room}")
            clean = True
            try:
                load(store, session, str(folder / "docs"))
            except StoreFull:
                clean = False
            store.connection.execute("PRAGMA max_page_count = 1000000")
            assert_documents_whole(store)
            load(store, session, str(folder / "docs"))
            assert_documents_whole(store)
            assert everything(store) == undisturbed[1]
        if clean:
            assert room > 0
            return
    pytest.fail("never clean")


def test_searches_and_reads_of_documents_fail_typed_wherever_sqlite_breaks_off(folder: Path, tmp_path: Path):
    """No raw error of SQLite, no partial answer."""
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        session = session_of(store, folder)
        row = load(store, session, str(folder / "docs")).documents[2]
        before = everything(store)
        for act in (
            lambda: search(store, session, "line text", scope="docs"),
            lambda: search(store, session, "/line 1?7 /", scope="docs"),
            lambda: search(store, session, "noir"),
            lambda: read(store, session, row.ref),
        ):
            whole = act()
            step, broken = 1, 0
            while step < 3_000:
                seen = 0

                def break_off() -> int:
                    nonlocal seen
                    seen += 1
                    return int(seen == step)  # noqa: B023  # called within this turn of the loop only

                store.connection.set_progress_handler(break_off, 25)
                try:
                    assert act() == whole
                except StoreError:
                    broken += 1
                finally:
                    store.connection.set_progress_handler(None, 0)
                if seen < step:
                    break
                step += 1 + step // 4
            assert broken > 0
        assert everything(store) == before


def test_two_loads_at_once_lose_and_double_nothing(
    undisturbed: tuple[int, dict[str, Any]], folder: Path, tmp_path: Path
):
    """Three processes, one store, the same folder."""
    command = [sys.executable, str(Path(loader.__file__)), str(tmp_path / "store"), str(folder / "s.jsonl")]
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    racing = [
        subprocess.Popen(
            [*command, str(folder / "docs"), "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        for _ in range(3)
    ]
    for child in racing:
        _out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        assert_documents_whole(store)
        assert everything(store) == undisturbed[1]
