"""A process that takes a snapshot of a folder and may be killed at the n-th of its steps.

python taker.py HOME FOLDER NOW N: N is the step at which it kills itself (SIGKILL); 0 lets it end and print the count.
A step is a file opened, renamed or removed, a folder made, a child about to be started, and a child just started (which
then goes on alone).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rlm_mcp import process
from rlm_mcp.config import Paths
from rlm_mcp.repo.snapshots import take

_STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.utime", "subprocess.Popen"}


def main() -> None:
    """Take one."""
    home, folder, now, last = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    count = 0

    def step(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in _STEPS or (event == "open" and not str(arguments[0]).startswith(str(home))):
            return
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    collect = process._collect

    def collect_after_a_step(child: subprocess.Popen[bytes], *limits: Any) -> process.Ended:
        step("subprocess.Popen", ())
        return collect(child, *limits)

    process._collect = collect_after_a_step
    sys.addaudithook(step)
    print(take(Paths(home=home), folder, now).tree, count)


if __name__ == "__main__":
    main()
