"""The n-th write, statement or read fails, for n = 1, 2, 3 ... until clean: typed error, whole store, then healing."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import RlmError, StoreBusy, StoreError, StoreFull
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.export import export_markdown, export_raw
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from rlm_mcp.verbs.status import status
from tests.build import Transcript, a_day
from tests.looks import assert_whole, everything

_MOST = 3_000


@pytest.fixture(scope="module")
def transcript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small session."""
    made = Transcript()
    made.user("Fix it in a.py, and never touch b.py")
    made.bash("pytest -q", "1 failed, 2 passed in 0.1s", exit_code=1)
    made.edit("/home/dev/acme/a.py", "x = 1", "x = 2")
    made.reply("I decided to use 2 because 1 is wrong.")
    made.line(b"not json")
    return made.save(tmp_path_factory.mktemp("t") / "s.jsonl")


@pytest.fixture(scope="module")
def expected(transcript: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What an undisturbed ingest gives."""
    with open_store(Paths(home=tmp_path_factory.mktemp("e")), Settings()) as store:
        ingest(store, transcript)
        return everything(store)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, code: int) -> Callable[[], int]:
    """``os.<name>`` fails at its ``number``-th call from now on; gives the count of calls."""
    calls = 0
    whole = getattr(os, name)

    def fail(*args: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(code, os.strerror(code))
        return whole(*args, **more)

    monkeypatch.setattr(os, name, fail)
    return lambda: calls


def outcome(store: Store, transcript: Path) -> tuple[bool, RlmError | None]:
    """Whether an ingest went well, and what it raised if not."""
    try:
        ingest(store, transcript)
    except RlmError as error:
        return False, error
    return True, None


@pytest.mark.parametrize("name", ["pwrite", "open", "ftruncate"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_system_call_that_fails_is_typed_and_healed(
    tmp_path: Path, transcript: Path, expected: dict[str, object], name: str, code: int
):
    """Each n-th call in turn, on log, raw and database files (the transcript's own opening aside)."""
    for number in range(1, 50):
        paths = Paths(home=tmp_path / f"store-{number}")
        with open_store(paths, Settings()) as store:
            (paths.sessions / "stale").touch()
            with pytest.MonkeyPatch.context() as patched:
                calls = failing(patched, name, number, code)
                clean, said = outcome(store, transcript)
                clean = clean and calls() < number
            wanted = StoreFull if code == errno.ENOSPC else RlmError
            assert said is None or isinstance(said, wanted) or "s.jsonl" in str(said)
            assert_whole(store)
            ingest(store, transcript)
            assert everything(store) == expected
        if clean:
            return
    pytest.fail("never clean")


def test_a_disk_that_fills_up_during_any_write_is_typed_and_healed(tmp_path: Path):
    """SQLite's own "database or disk is full", with room for n pages more, until n is enough."""
    transcript = a_day(turns=6).save(tmp_path / "s.jsonl")
    with open_store(Paths(home=tmp_path / "undisturbed"), Settings()) as store:
        ingest(store, transcript)
        expected = everything(store)
    for room in range(0, 90, 3):
        with open_store(Paths(home=tmp_path / f"store-{room}"), Settings()) as store:
            pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
            store.connection.execute(f"PRAGMA max_page_count = {pages + room}")
            clean = True
            try:
                ingest(store, transcript)
            except StoreFull:
                clean = False
            store.connection.execute("PRAGMA max_page_count = 1000000")
            assert_whole(store)
            ingest(store, transcript)
            assert_whole(store)
            assert everything(store) == expected
        if clean:
            assert room > 0
            return
    pytest.fail("never clean")


def test_a_statement_broken_off_anywhere_is_typed_and_healed(
    tmp_path: Path, transcript: Path, expected: dict[str, object]
):
    """SQLite breaks off (SQLITE_INTERRUPT) after n runs of 60 instructions, for n = 1, 2, 3 ... until clean."""
    paths = Paths(home=tmp_path / "store")
    step = 1
    with open_store(paths, Settings()) as store:
        while step < _MOST:
            seen = 0

            def break_off() -> int:
                nonlocal seen
                seen += 1
                return int(seen == step)  # noqa: B023  # called within this turn of the loop only

            store.connection.set_progress_handler(break_off, 60)
            clean = False
            try:
                ingest(store, transcript, rebuild=step == 1)
                clean = seen < step
            except StoreError:
                pass
            finally:
                store.connection.set_progress_handler(None, 0)
            if clean:
                break
            assert not store.connection.in_transaction
            step += 1 + step // 8
        assert step > 10
        assert_whole(store)
        ingest(store, transcript)
        assert everything(store)["events"] == expected["events"]
        assert everything(store)["facts"] == expected["facts"]


_VERBS: dict[str, Callable[[Store, Path], object]] = {
    "brief": lambda store, path: brief(store, locate(store, session="5f1c")),
    "compact": lambda store, path: compact(store, locate(store, session="5f1c"), trigger="cli"),
    "search typed": lambda store, path: search(store, locate(store, session="5f1c"), "which commands failed"),
    "search words": lambda store, path: search(store, locate(store, session="5f1c"), "ACME-200 loader"),
    "read": lambda store, path: read(store, locate(store, session="5f1c"), "t1"),
    "status": lambda store, path: status(store, locate(store, session="5f1c")),
    "export": lambda store, path: b"".join(export_raw(store, transcript=path)),
    "export as markdown": lambda store, path: "".join(export_markdown(store, locate(store, session="5f1c"))),
    "ingest": ingest,
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Path]:
    """A store with a day in it."""
    folder = tmp_path_factory.mktemp("kept")
    path = a_day().save(folder / "s.jsonl")
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        ingest(store, path)
    return Paths(home=folder / "store"), path


@pytest.mark.parametrize("verb", _VERBS)
def test_every_verb_fails_typed_wherever_sqlite_breaks_off(kept: tuple[Paths, Path], verb: str):
    """No raw error of SQLite, no partial answer; untouched afterwards."""
    paths, path = kept
    with open_store(paths, Settings()) as store:
        before = everything(store)
        step, broken = 1, 0
        while step < _MOST:
            seen = 0

            def break_off() -> int:
                nonlocal seen
                seen += 1
                return int(seen == step)  # noqa: B023  # called within this turn of the loop only

            store.connection.set_progress_handler(break_off, 25)
            try:
                _VERBS[verb](store, path)
            except StoreError:
                broken += 1
            finally:
                store.connection.set_progress_handler(None, 0)
            if seen < step:
                break
            assert not store.connection.in_transaction
            step += 1 + step // 4
        assert broken == 0 or broken < step
        assert broken > 0 or verb == "ingest"
        assert everything(store) == before


def test_a_writer_that_finds_the_store_locked_says_so_and_heals(tmp_path: Path, transcript: Path):
    """StoreBusy after the patience given; nothing of it stays."""
    paths = Paths(home=tmp_path / "store")
    with open_store(paths, Settings()) as holder, open_store(paths, Settings(), busy_seconds=0.05) as store:
        with holder.writing():
            with pytest.raises(StoreBusy, match="another process"):
                ingest(store, transcript)
            with pytest.raises(StoreBusy):
                compact_nothing(store)
        assert_whole(store)
        (row,) = ingest(store, transcript)
        assert row.events == 6
        assert_whole(store)


def compact_nothing(store: Store) -> None:
    """A write of another kind."""
    with store.writing() as connection:
        connection.execute("DELETE FROM fold")


def test_a_raw_file_torn_or_gone_is_damage_that_names_the_cure(store: Store, tmp_path: Path):
    """Export never gives wrong bytes."""
    path = a_day().save(tmp_path / "s.jsonl")
    ingest(store, path)
    (kept_raw,) = store.paths.raw.iterdir()
    content = kept_raw.read_bytes()
    for broken in (content[:-5], content[:50] + b"\xff\xff\xff" + content[53:], b""):
        kept_raw.write_bytes(broken)
        with pytest.raises(StoreError, match="ingest"):
            b"".join(export_raw(store, transcript=path))
    kept_raw.unlink()
    with pytest.raises(StoreError, match="ingest"):
        b"".join(export_raw(store, transcript=path))


def test_a_log_that_is_gone_is_damage_for_every_reader_of_it(store: Store, tmp_path: Path):
    """Read, words and Brief say what to do; a status still answers, with the damage in it."""
    path = a_day().save(tmp_path / "s.jsonl")
    (row,) = ingest(store, path)
    (store.paths.sessions / f"{row.session}.log").unlink()
    session = locate(store, session=row.session)
    for act in (
        lambda: read(store, session, "e1"),
        lambda: brief(store, session),
        lambda: search(store, session, "loader"),
    ):
        with pytest.raises(StoreError, match="rebuild"):
            act()
    assert row.session in status(store, session).damage
