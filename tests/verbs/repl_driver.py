"""A process that runs Cells of a Session and may be killed at the n-th of its steps.

python repl_driver.py HOME TRANSCRIPT N: N is the step at which it kills itself (SIGKILL); 0 lets it end and print the
count. A step is an SQL statement begun, a file of saved variables opened or removed, or a message to the child.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlm_mcp.config import Paths, Settings
from rlm_mcp.sandbox import wire
from rlm_mcp.store import sessions
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.bindings import bindings
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.repl import SessionRepl
from tests.repls import start

CELLS = (
    "rows = [1]; mine = rows",
    "rows.append(len(rows) + 1)",
    "def total():\n    return sum(rows)\nrows.append(3)",
    "import time; time.sleep(0.06); rows.append(4)",
    "rows.append(5); raise ValueError('after it was set')",
    "rows.append(6)",
)


class Steps:
    """Counts, and kills."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.count = 0

    def step(self, *_: object) -> None:
        """One more."""
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, whole: Callable[..., Any]) -> Callable[..., Any]:
        """``whole``, with a step before it."""

        def stepping(*given: Any, **named: Any) -> Any:
            self.step()
            return whole(*given, **named)

        return stepping


def main() -> None:
    """Run the Cells, saving behind each as the keeper would; tell of each that was answered."""
    steps = Steps(int(sys.argv[3]))
    repl = SessionRepl(start)
    with open_store(Paths(home=Path(sys.argv[1])), Settings()) as store:
        session = locate(store, transcript=Path(sys.argv[2]))
        scope = sessions.continued(store, session)
        functions = bindings(store, scope, repo=None, repo_missing="none")
        store.connection.set_trace_callback(steps.step)
        wire.send, os.open, os.unlink = steps.before(wire.send), steps.before(os.open), steps.before(os.unlink)
        for code in CELLS:
            repl.run(store, scope, code, functions)
            print("answered", flush=True)
            repl.save(store, session)
        repl.park(store, session)
    print(steps.count, flush=True)


if __name__ == "__main__":
    main()
