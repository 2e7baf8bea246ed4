"""A process that loads a folder and may be killed at the n-th of its steps.

python loader.py HOME TRANSCRIPT FOLDER N: N is the step at which it kills itself (SIGKILL); 0 lets it end and print the
count. A step is an SQL statement begun, a run of 400 instructions of SQLite inside one, a write to a draft (half of
which is done), a draft synced, a draft renamed.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.load import load
from rlm_mcp.verbs.locate import locate
from tests.anomalies.driver import Steps


def main() -> None:
    """Load once."""
    home, transcript, folder, step = sys.argv[1:]
    with open_store(Paths(home=Path(home)), Settings()) as store:
        session = locate(store, transcript=Path(transcript))
        steps = Steps(int(step))
        whole = os.write

        def torn(descriptor: int, content: bytes) -> int:
            if steps.count + 1 == steps.last:
                whole(descriptor, content[: len(content) // 2])
            steps.step()
            return whole(descriptor, content)

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def stepping(*arguments: object, **more: object) -> object:
                steps.step()
                return call(*arguments, **more)

            return stepping

        os.write = torn  # type: ignore[assignment]
        os.fsync = counted(os.fsync)
        os.rename = counted(os.rename)
        store.connection.set_trace_callback(steps.step)
        store.connection.set_progress_handler(steps.step, 400)
        load(store, session, folder)
    print(steps.count)


if __name__ == "__main__":
    main()
