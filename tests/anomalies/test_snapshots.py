"""Snapshots taken by processes that are killed, that run side by side, and by a git that dies."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.errors import RlmError
from rlm_mcp.repo import shadow
from rlm_mcp.repo.diffs import DiffQuery, diff
from rlm_mcp.repo.snapshots import take
from tests.anomalies import taker
from tests.repo.made import git, repository, written

_ROOT = Path(__file__).parent.parent.parent
_NOW = 1_770_000_000.0


def started(home: Path, top: Path, now: float, step: int = 0) -> "subprocess.Popen[str]":
    """The taker in a process of its own."""
    command = [sys.executable, str(Path(taker.__file__)), str(home), str(top), str(now), str(step)]
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def folder_of(home: Path) -> Path:
    (folder,) = [path for path in (home / "repos").iterdir() if path.is_dir()]
    return folder


def assert_sound(home: Path, top: Path) -> None:
    """Every snapshot there is can be read whole; the user's repository is clean."""
    with shadow.opened(Paths(home=home), top) as own:
        for each in own.kept():
            git(folder_of(home), "--git-dir=.", "rev-list", "--objects", "--quiet", each.tree)
    if (top / ".git").exists():
        git(top, "fsck", "--strict")
        assert not list((top / ".git").rglob("*.lock"))


@pytest.fixture(params=["with git", "without git"])
def top(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder that changed since its one snapshot in ``tmp_path/store``."""
    top = (tmp_path / "r").resolve()
    top.mkdir()
    files = {f"{name}_py": f"{name}\n" for name in ("a", "b", "c", "sub__d")}
    if request.param == "with git":
        repository(top, **files)
    else:
        written(top, **files)
    take(Paths(home=tmp_path / "store"), top, _NOW)
    written(top, a_py="changed\n", new_py="new\n")
    (top / "b.py").unlink()
    return top


@pytest.mark.parametrize("is_first", [True, False])
def test_a_take_killed_at_any_step_leaves_all_usable(tmp_path: Path, top: Path, is_first: bool):
    """The snapshots of before stay, the next take is right, and no one waits for a lock of the dead."""
    store = tmp_path / "store"
    if is_first:
        shutil.rmtree(store)
        store.mkdir()
    expected = ""
    step = 1
    while not expected:
        home = tmp_path / f"home{step}"
        shutil.copytree(store, home)
        child = started(home, top, _NOW + 1, step)
        out, err = child.communicate(timeout=60)
        if child.returncode == 0:
            expected = out.split()[0]
            break
        assert child.returncode == -signal.SIGKILL, err
        answer = diff(Paths(home=home), top, DiffQuery(since=_NOW), _NOW + 2)
        if not is_first:
            assert [change.path for change in answer.changes] == ["a.py", "b.py", "new.py"], step
        assert_sound(home, top)
        step += 1 + step // 12
    assert step > 20
    for home in tmp_path.glob("home*"):
        assert take(Paths(home=home), top, _NOW + 3).tree == expected


def test_processes_side_by_side_all_get_what_is_there(tmp_path: Path, top: Path):
    """They wait for each other; the folder changes meanwhile."""
    home = tmp_path / "store"
    children = []
    for number in range(4):
        children.append(started(home, top, _NOW + 10 + number))
        for count in range(30):
            (top / f"more{number}-{count}.py").write_text(f"{number}")
    for child in children:
        _out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
    assert_sound(home, top)
    last = take(Paths(home=home), top, _NOW + 100)
    assert last.tree == take(Paths(home=tmp_path / "alone"), top, _NOW).tree


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_a_git_that_dies_in_the_middle_of_a_write_is_survived(
    tmp_path: Path, top: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
):
    """Every file it writes ends after so many blocks, as on a disk that is full: typed, and healed by the next take."""
    home = tmp_path / "store"
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(f'#!/bin/sh\nulimit -f {blocks}\nexec {real} "$@"\n')
    (tmp_path / "bin" / "git").chmod(0o755)
    (top / "new.py").write_bytes(os.urandom(5_000))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        with pytest.raises(RlmError):
            take(Paths(home=home), top, _NOW + 1)
    assert_sound(home, top)
    answer = diff(Paths(home=home), top, DiffQuery(since=_NOW), _NOW + 2)
    assert [change.path for change in answer.changes] == ["a.py", "b.py", "new.py"]
    assert_sound(home, top)
