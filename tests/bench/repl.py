"""The Repl's figures beside what was asked of them: round trip, starts, native speed, long sessions, floods, saving.

    python -m tests.bench.repl [--json] [--parts 1,2,3] [--runs 15]

Each is taken beside a baseline in the same run, one after the other, so that the machine's load falls on both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import anyio

from tests.bench import repl_jailed, repl_served, repl_started
from tests.bench.measured import Row, table

_BUSY_SECONDS = 1.5


def measure(parts: Sequence[str], runs: int) -> list[Row]:
    """Those parts, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="repl-") as name:
        folder = Path(name)
        few = max(2, runs // 5)
        known: dict[str, list[Callable[[], list[Row]]]] = {
            "1": [partial(anyio.run, repl_served.round_trips, folder, 20 * runs)],
            "2": [partial(repl_jailed.starts, runs), partial(repl_jailed.restarts, folder, runs // 2)],
            "3": [partial(repl_jailed.native, max(5, runs // 2))],
            "4": [partial(anyio.run, repl_served.long_session, folder, few)],
            "5": [partial(anyio.run, repl_served.meanwhile, folder, _BUSY_SECONDS)],
            "6": [partial(repl_jailed.saving, folder, few), partial(repl_jailed.many_cells, folder, 1_000)],
            "7": [partial(anyio.run, repl_served.floods, folder, few)],
            "8": [partial(repl_started.from_start, folder, runs)],
        }
        return [row for part in parts or known for ask in known[part] for row in ask()]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--parts", default="", help="numbers of the parts to take, such as 1,4; default: all")
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    rows = measure([part for part in args.parts.split(",") if part], args.runs)
    print(json.dumps([asdict(row) for row in rows], indent=1) if args.json else table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
