"""rlm_mcp.locks: one holder over all processes; free as soon as it ends, however it ends."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlm_mcp.errors import StoreError
from rlm_mcp.locks import Held, locked

_ROOT = Path(__file__).parents[1]
_HOLDER = """
import sys
from pathlib import Path
from rlm_mcp.locks import locked
with locked(Path(sys.argv[1]), patience_seconds=5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_waits_and_is_told_who_has_it(tmp_path: Path) -> None:
    """In the same process as in another; nothing is held by one who was refused."""
    path = tmp_path / "lock"
    with (
        locked(path, patience_seconds=0),
        pytest.raises(Held, match=f"^{os.getpid()}$"),
        locked(path, patience_seconds=0.05),
    ):
        pass
    with locked(path, patience_seconds=0), pytest.raises(Held), locked(path, patience_seconds=0):
        pass
    with locked(path, patience_seconds=0):
        assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_free_after_an_exception_within(tmp_path: Path) -> None:
    """No descriptor stays behind."""
    path = tmp_path / "lock"
    for _time in range(3):
        with pytest.raises(ZeroDivisionError), locked(path, patience_seconds=0):
            raise ZeroDivisionError
    with locked(path, patience_seconds=0):
        pass


def test_it_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    """Another process held it; who waits gets it at once, and the id of the dead one is not told for ever."""
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Held, match=f"^{holder.pid}$"), locked(path, patience_seconds=0):
            pass
        threading.Timer(0.2, os.kill, (holder.pid, signal.SIGKILL)).start()
        with locked(path, patience_seconds=10):
            pass
    with (
        locked(path, patience_seconds=0),
        pytest.raises(Held, match=f"^{os.getpid()}$"),
        locked(path, patience_seconds=0),
    ):
        pass


def test_threads_that_wait_all_get_it_in_the_end(tmp_path: Path) -> None:
    """Never two at once."""
    path = tmp_path / "lock"
    inside, seen = [], []

    def hold() -> None:
        for _time in range(10):
            with locked(path, patience_seconds=30):
                inside.append(1)
                seen.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=hold) for _thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 40


def test_a_file_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    """Its message names the file."""
    path = tmp_path / "no such folder" / "lock"
    with pytest.raises(StoreError, match="no such folder"), locked(path, patience_seconds=0):
        pass


def test_whatever_stands_in_the_file_is_told_as_text(tmp_path: Path) -> None:
    """A damaged one breaks nothing."""
    path = tmp_path / "lock"
    path.write_bytes(b"\0\xff\xfe")
    with locked(path, patience_seconds=0):
        path.write_bytes(b"")
        with pytest.raises(Held, match="unknown"), locked(path, patience_seconds=0):
            pass
