"""kill -9 in the middle of an ingest: the store opens, the next ingest heals, nothing is lost or doubled."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.ingest import ingest
from tests.anomalies import driver
from tests.build import a_day
from tests.looks import assert_whole, everything, raw

_ROOT = Path(__file__).parent.parent.parent
_POINTS = 10


def run(home: Path, transcript: Path, step: int) -> subprocess.CompletedProcess[str]:
    """The driver in a process of its own."""
    command = [sys.executable, str(Path(driver.__file__)), str(home), str(transcript), str(step)]
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
