"""rlm_mcp.wiring: stores are lent to one caller at a time, Repls kept warm, saved, parked; all is closed in the end."""

import dataclasses
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import ReplGone, StoreError, UsageError
from rlm_mcp.sandbox.jailed import JailedRepl
from rlm_mcp.store import cells
from rlm_mcp.store.cells import CellStatus
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.locate import locate
from rlm_mcp.wiring import Repls, Stores, wire
from tests.build import a_day
from tests.repls import start


def test_two_callers_at_once_never_share_a_store(paths: Paths) -> None:
    """The second gets one of its own; later ones get what lies idle."""
    with Stores(paths, Settings()) as stores:
        with stores.lend() as first, stores.lend() as second:
            assert first is not second
        with stores.lend() as again:
            assert again in (first, second)


def test_a_closed_pool_closes_what_is_idle_now_and_what_is_lent_when_it_comes_back(paths: Paths) -> None:
    """No connection outlives it unused."""
    stores = Stores(paths, Settings())
    with stores.lend() as lent:
        with stores.lend() as idle:
            pass
        stores.close()
        with pytest.raises(StoreError):
            idle.connection.execute("SELECT 1")
        assert lent.connection.execute("SELECT 1").fetchone()[0] == 1
    with pytest.raises(StoreError):
        lent.connection.execute("SELECT 1")


def test_settings_come_from_the_environment_given(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And a wrong one is refused before anything is opened."""
    home = tmp_path_factory.mktemp("home")
    assert wire({"RLM_MCP_HOME": str(home), "RLM_MCP_BRIEF_TOKENS": "900"}).settings.brief_tokens == 900
    with pytest.raises(UsageError, match="RLM_MCP_BRIEF_TOKENS"):
        wire({"RLM_MCP_HOME": str(home), "RLM_MCP_BRIEF_TOKENS": "9"})
    assert list(home.iterdir()) == []


# Repls


def _until(condition: Callable[[], object]) -> None:
    """Wait for another thread's work, at most as long as a test may take."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


def _session(store: Store, folder: Path, number: int = 1, *, cwd: Path | None = None) -> SessionRow:
    """An ordinary Session of its own."""
    made = a_day(f"5f1c9d1e-0000-4000-8000-{number:012}", turns=1, cwd=str(cwd or "/home/dev/acme"))
    return locate(store, transcript=made.save(folder / f"{number}.jsonl"))


def _pid(repls: Repls, session: SessionRow) -> int:
    """Of the child that runs the Session's Cells."""
    live = repls._held[session.key].repl._live
    assert isinstance(live, JailedRepl)
    return live._jail.pid


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def stores(paths: Paths) -> Iterator[Stores]:
    """Where nothing lies idle long; skipped where no Jail can be had."""
    start().close()
    with Stores(paths, Settings(repl_idle_seconds=0.0)) as made:
        yield made


def test_each_session_has_a_child_of_its_own(stores: Stores, tmp_path: Path) -> None:
    """Their variables are apart; one that loops does not hold the other."""
    with stores.lend() as store, stores.lend() as other, Repls(stores) as repls:
        first, second = _session(store, tmp_path, 1), _session(store, tmp_path, 2)
        repls.run(store, first, "x = 1")
        assert repls.run(store, second, "x").status is CellStatus.ERROR
        looping = threading.Thread(target=repls.run, args=(other, first, "while True: pass"), kwargs={"owner": "first"})
        looping.start()
        _until(lambda: repls._held[first.key].repl._number == -1)
        assert repls.run(store, second, "40 + 2").output == "42"
        assert _pid(repls, first) != _pid(repls, second)
        repls.interrupt("nobody")
        repls.interrupt("first")
        looping.join()
        assert repls.run(store, first, "x").output == "1"


def test_a_warm_spare_runs_the_next_sessions_first_cell(stores: Stores, tmp_path: Path) -> None:
    """And is replaced by another; without a session there is none."""
    with stores.lend() as store, Repls(stores) as repls:
        first, second = _session(store, tmp_path, 1), _session(store, tmp_path, 2)
        assert repls._spares == {}
        repls.run(store, first, "1")
        _until(lambda: repls._spares)
        (spare,) = repls._spares.values()
        repls.run(store, second, "2")
        assert repls._held[second.key].repl._live is spare
        _until(lambda: repls._spares)
        (another,) = repls._spares.values()
        assert another is not spare
    assert not spare.is_alive
    assert not another.is_alive


def test_who_wants_no_spare_has_none(stores: Stores, tmp_path: Path) -> None:
    """A command that runs a few Cells and ends."""
    with stores.lend() as store, Repls(stores, has_spare=False) as repls:
        session = _session(store, tmp_path)
        ready = repls.ready(session)
        assert ready.layers
        (spare,) = repls._spares.values()
        repls.run(store, session, "1")
        assert repls._held[session.key].repl._live is spare
        assert repls._spares == {}


def test_an_idle_repl_is_parked_and_comes_back_with_its_variables(stores: Stores, tmp_path: Path) -> None:
    """Its process ends, and so does the spare; nothing is run again."""
    with stores.lend() as store, Repls(stores) as repls:
        session = _session(store, tmp_path)
        repls.run(store, session, "import random; r = random.random()")
        r = repls.run(store, session, "r").output
        _until(lambda: repls._spares)
        (spare,) = repls._spares.values()
        pid = _pid(repls, session)

        def is_parked() -> bool:
            repls._park_idle()  # again where its variables are just being saved: then it is not idle yet
            return not _is_running(pid)

        _until(is_parked)
        assert not spare.is_alive
        answer = repls.run(store, session, "r")
        assert (answer.output, answer.notes) == (r, ("variables restored as of c2",))


def test_a_repl_whose_cell_runs_is_not_idle(stores: Stores, tmp_path: Path) -> None:
    """However long that takes."""
    with stores.lend() as store, stores.lend() as other, Repls(stores) as repls:
        session = _session(store, tmp_path)
        answers = []
        running = threading.Thread(
            target=lambda: answers.append(repls.run(other, session, "while not stop: pass\n'done'", owner="me"))
        )
        repls.run(store, session, "stop = False")
        running.start()
        _until(lambda: repls._held[session.key].repl._number == -1)
        repls._park_idle()
        assert running.is_alive()
        repls.interrupt("me")
        running.join()
        assert answers[0].status is CellStatus.INTERRUPTED


@pytest.mark.parametrize("code", ["x = 1", "x = bytes(3 << 20)\nimport time; time.sleep(0.1)"])
def test_variables_are_saved_behind_a_cell(code: str, stores: Stores, tmp_path: Path) -> None:
    """By the keeper, without another Cell, however quick it was."""
    with stores.lend() as store, Repls(stores) as repls:
        session = _session(store, tmp_path)
        repls.run(store, session, code)
        _until(lambda: (found := cells.checkpoint(store, session.key)) is not None and found.cell == 1)


def test_closing_saves_and_ends_every_process(stores: Stores, tmp_path: Path) -> None:
    """Also one whose Cell runs; later Cells are refused, and the next server has all variables."""
    with stores.lend() as store, stores.lend() as other:
        sessions = [_session(store, tmp_path, number) for number in (1, 2, 3)]
        repls = Repls(stores)
        for number, session in enumerate(sessions):
            repls.run(store, session, f"x = {number}")
        pids = [_pid(repls, session) for session in sessions]
        answers = []
        running = threading.Thread(target=lambda: answers.append(repls.run(other, sessions[2], "while True: pass")))
        running.start()
        _until(lambda: repls._held[sessions[2].key].repl._number == -1)
        repls.close()
        running.join()
        assert answers[0].status is CellStatus.ENDED
        assert not any(map(_is_running, pids))
        with pytest.raises(ReplGone, match="is ending"):
            repls.run(store, sessions[0], "1")
        with Repls(stores) as again:
            for number, session in enumerate(sessions):
                assert again.run(store, session, "x").output == str(number)


def test_the_repository_of_the_sessions_folder_is_mapped(stores: Stores, tmp_path: Path) -> None:
    """Its root; another one as soon as the session works there; one that appears later, then."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "src").mkdir(parents=True)
        (folder / "src" / f"{folder.name}.py").write_text("x = 1\n", encoding="ascii")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    with stores.lend() as store, Repls(stores) as repls:
        session = _session(store, tmp_path, cwd=one / "src")
        assert repls.run(store, session, "kept = list(repo.files()); kept").output == "['src/one.py']"
        assert repls.run(store, session, "repo.read('src/one.py')").output == "x = 1"
        moved = dataclasses.replace(session, cwd=str(two))
        assert repls.run(store, moved, "list(repo.files())").output == "['src/two.py']"
        assert repls.run(store, moved, "open(repo.root + '/src/two.py').read()").output == "x = 1"
        assert repls.run(store, moved, "kept").output == "['src/one.py']"
        nowhere = dataclasses.replace(session, cwd=str(tmp_path / "three"))
        assert "is not there, so no repository is mapped" in repls.run(store, nowhere, "repo.root").output
        (tmp_path / "three").mkdir()
        (tmp_path / "three" / "late.txt").write_text("late\n", encoding="ascii")
        assert repls.run(store, nowhere, "repo.read('late.txt')").output == "late"


def test_the_store_is_never_mapped_as_part_of_a_repository(stores: Stores, tmp_path: Path) -> None:
    """Though it lies below the session's folder: there are secrets of other sessions in it."""
    folder = stores.paths.home.parent
    with stores.lend() as store, Repls(stores) as repls:
        session = _session(store, tmp_path, cwd=folder)
        name = stores.paths.home.name
        found = repls.run(store, session, f"import os; os.listdir(repo.root + '/{name}')").output
        assert "store.db" not in found
