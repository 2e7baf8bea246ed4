"""A process that ingests and may be killed at the n-th of its steps.

python driver.py HOME TRANSCRIPT N [rebuild]: N is the step at which it kills itself (SIGKILL); 0 lets it end and print
the count.
A step is an SQL statement begun, a run of 400 instructions of SQLite inside one, a file linked, or a write to a log or
raw file (half of which is done).
"""

import os
import signal
import sys
from pathlib import Path

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.ingest import ingest


class Steps:
    """Counts, and kills."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0

    def step(self, *_: object) -> int:
        """One more."""
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0


def main() -> None:
    """Ingest once."""
    steps = Steps(int(sys.argv[3]))
    whole = os.pwrite

    def torn(descriptor: int, content: bytes, offset: int) -> int:
        if steps.count + 1 == steps.last:
            whole(descriptor, content[: len(content) // 2], offset)
        steps.step()
        return whole(descriptor, content, offset)

    link = os.link

    def linked(source: Path, target: Path) -> None:
        steps.step()
        link(source, target)
        steps.step()

    os.pwrite, os.link = torn, linked  # type: ignore[assignment]
    with open_store(Paths(home=Path(sys.argv[1])), Settings()) as store:
        store.connection.set_trace_callback(steps.step)
        store.connection.set_progress_handler(steps.step, 400)
        ingest(store, sys.argv[2], rebuild="rebuild" in sys.argv[4:])
    print(steps.count)


if __name__ == "__main__":
    main()
