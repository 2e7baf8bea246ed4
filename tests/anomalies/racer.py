"""A process that ingests a growing file over and over until it holds what it waits for.

python racer.py HOME TRANSCRIPT BYTES: ends once the store has BYTES of the file; prints how often it ingested.
"""

import sys
from pathlib import Path

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.ingest import ingest

_MOST = 100_000


def main() -> None:
    """Ingest until done."""
    home, transcript, wanted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with open_store(Paths(home=home), Settings(busy_seconds=60)) as store:
        for count in range(1, _MOST):
            found = ingest(store, transcript)
            if found and found[0].bytes >= wanted:
                print(count)
                return
    sys.exit("never saw the whole file")


if __name__ == "__main__":
    main()
