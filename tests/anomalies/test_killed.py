"""kill -9 in the middle of an ingest: the store opens, the next ingest heals, nothing is lost or doubled."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store import cells
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from tests.anomalies import driver
from tests.build import a_day
from tests.looks import assert_whole, everything, raw

_ROOT = Path(__file__).parent.parent.parent
_POINTS = 10
_VARIABLE_POINTS = 16


def run(home: Path, transcript: Path, step: int, *more: str) -> subprocess.CompletedProcess[str]:
    """The driver in a process of its own."""
    command = [sys.executable, str(Path(driver.__file__)), str(home), str(transcript), str(step), *more]
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """A transcript, the steps its ingest takes, and the store it gives."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = a_day(turns=2).save(folder / "s.jsonl")
    ended = run(folder / "store", path, 0)
    assert ended.returncode == 0, ended.stderr
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        yield path, int(ended.stdout), everything(store)


@pytest.mark.parametrize("point", range(_POINTS))
def test_a_killed_ingest_is_healed_by_the_next(
    undisturbed: tuple[Path, int, dict[str, Any]], tmp_path: Path, point: int
):
    """Ten points over statements, half-done statements and half-done writes, the last ones (COMMIT) among them."""
    transcript, steps, expected = undisturbed
    assert steps > _POINTS * 3
    step = steps - 1 if point == _POINTS - 1 else 1 + point * (steps - 1) // (_POINTS - 1)
    home = tmp_path / "store"
    ended = run(home, transcript, step)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with open_store(Paths(home=home), Settings()) as store:
        assert_whole(store)
        ingest(store, transcript)
        assert_whole(store)
        assert everything(store) == expected
        assert raw(store, transcript) == transcript.read_bytes()


def test_a_killed_later_ingest_keeps_what_was_there(tmp_path: Path):
    """Killed in the middle of the second Batch of a Session: the first stays, the rest comes with the next ingest."""
    whole = a_day(turns=3)
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(whole.lines[:15]))
    home = tmp_path / "store"
    assert run(home, path, 0).returncode == 0
    path.write_bytes(whole.content)
    assert run(home, path, 60).returncode == -signal.SIGKILL
    with open_store(Paths(home=home), Settings()) as store:
        assert_whole(store)
        assert store.connection.execute("SELECT sum(events) FROM session").fetchone()[0] == 15
        ingest(store, path)
        found = everything(store)
        assert raw(store, path) == whole.content
    with open_store(Paths(home=tmp_path / "other"), Settings()) as store:
        ingest(store, path)
        assert found == everything(store)


def _with_variables(folder: Path) -> tuple[Path, Path]:
    """A Session that ran two Cells, the first saved, and the transcript of its fork."""
    made = a_day(turns=1)
    transcript = made.save(folder / "s.jsonl")
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        session = locate(store, transcript=transcript)
        with store.writing():
            for number in (1, 2):
                cells.add(store, _cell(session.key, number, (session.updated or 0.0) - 9 + number))
            saved = Checkpoint(
                session_key=session.key, cell=1, file="saved.vars", variables=(("x", 0, 7),), unsaved=(), time=1.0
            )
            cells.set_checkpoint(store, saved)
        (store.paths.repl / saved.file).write_bytes(b"pickles")
    fork = made.forked("5f1c9d1e-0000-4000-8000-00000000f0f0")
    fork.user("Try it another way.")
    return transcript, fork.save(folder / "fork.jsonl")


def _cell(key: str, number: int, time: float) -> CellRow:
    return CellRow(
        session_key=key, number=number, time=time, seconds=0.1, code=f"x = {number}", status=CellStatus.OK, output=""
    )


def _variables(store: Store, key: str) -> list[str]:
    """The Cells of a Session and its saved variables, file and all."""
    saved = cells.checkpoint(store, key)
    texts = [] if saved is None else [(store.paths.repl / saved.file).read_text()]
    return [row.code for row in cells.after(store, key, 0)] + texts


@pytest.mark.parametrize("what", ["fork", "rebuild"])
def test_a_kill_while_variables_change_hands_loses_none(tmp_path: Path, what: str):
    """A fork's copy and a rebuilt Session's own are there after the next ingest, wherever the first one was killed."""
    transcript, fork = _with_variables(tmp_path)
    path, more = (fork, ()) if what == "fork" else (transcript, ("rebuild",))
    shutil.copytree(tmp_path / "store", tmp_path / "whole")
    steps = int(run(tmp_path / "whole", path, 0, *more).stdout)
    for step in range(1, steps + 1, max(1, steps // _VARIABLE_POINTS)):
        home = tmp_path / f"store-{step}"
        shutil.copytree(tmp_path / "store", home)
        assert run(home, path, step, *more).returncode == -signal.SIGKILL
        with open_store(Paths(home=home), Settings()) as store:
            keys = {locate(store, transcript=transcript).key, locate(store, transcript=path).key}
            assert len(keys) == 1 + (what == "fork")
            assert [_variables(store, key) for key in keys] == [["x = 1", "x = 2", "pickles"]] * len(keys)
            assert store.connection.execute("SELECT count(*) FROM cell").fetchone()[0] == 2 * len(keys)
