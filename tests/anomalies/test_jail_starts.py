"""kill -9 in the middle of the start of a Jail: no process is left."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox.jail import Jail, Limits
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.mounts import Mapped
from tests.anomalies import starter
from tests.sandbox.walls import ways

_ROOT = Path(__file__).parent.parent.parent
_CHILDREN = Path(f"/proc/self/task/{threading.get_native_id()}/children")


@pytest.mark.skipif("bubblewrap" not in ways(), reason="this machine does not give bubblewrap")
@pytest.mark.skipif(not _CHILDREN.exists(), reason="this kernel does not tell a process's children")
@pytest.mark.parametrize("victim", ["host", "bubblewrap", "both"])
def test_killed_at_any_moment_of_a_start_host_or_bubblewrap_nothing_is_left(victim: str):
    """From the first process to the Python that runs; also where the host lives on, and knows of it by then."""
    command = [sys.executable, str(Path(starter.__file__)), victim]
    environ = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == []


def test_a_bubblewrap_that_is_killed_before_its_child_may_go_on_leaves_no_child(tmp_path: Path):
    """Such a child waits for ever, and nobody has been told its id: the host ends it all the same."""
    told = tmp_path / "child"
    killed = tmp_path / "bwrap"
    killed.write_text(f"#!/bin/sh\nsleep 600 &\necho $! >{told}\nkill -9 $$\n", encoding="ascii")
    killed.chmod(0o700)
    with pytest.raises(JailUnavailable, match="started nothing"):
        Jail.start(Mapped(), Limits(), Confinement(bubblewrap=killed, landlock=False, seccomp=True))
    try:
        handle = os.pidfd_open(int(told.read_text(encoding="ascii")))
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 10)[0], "the child lives on"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
