"""Documents: how long a load takes, how long it keeps other writers waiting, and how fast 100 MB are searched.

    python -m tests.bench.documents [--json] [--megabytes 100] [--runs 60]

The text is generated: lines of a log and of prose over a vocabulary whose words are as unequal in number as in English.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.load import load
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.search import search
from tests.build import Transcript

Figures = dict[str, object]
_WORDS = 30_000


def vocabulary(chance: random.Random) -> list[str]:
    """Words and identifiers, the common ones first."""
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    made = {"".join(chance.choices(letters, range(26, 0, -1), k=chance.randint(2, 11))) for _ in range(_WORDS)}
    return sorted(made, key=lambda word: (len(word), word))


def write(path: Path, size: int, words: Sequence[str], chance: random.Random) -> None:
    """About ``size`` bytes of lines."""
    weights = [1 / (rank + 2) for rank in range(len(words))]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            drawn = chance.choices(words, weights, k=60_000)
            lines = [" ".join(drawn[at : at + 12]) for at in range(0, len(drawn), 12)]
            file.write("".join(f"2026-03-02 09:00:00 {line}\n" for line in lines))


def _milliseconds(values: Sequence[float]) -> Figures:
    ordered = sorted(values)
    return {
        "median_ms": round(statistics.median(ordered) * 1000, 2),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1000, 2),
        "max_ms": round(ordered[-1] * 1000, 2),
        "runs": len(ordered),
    }


def timed_load(store: Store, session: SessionRow, path: Path) -> Figures:
    """Wall and CPU seconds, and what another process's small writes wait meanwhile."""
    waits: list[float] = []
    done = threading.Event()

    def write_now_and_then() -> None:
        with open_store(store.paths, store.settings) as other:
            while not done.wait(0.05):
                before = time.perf_counter()
                with other.writing() as connection:
                    connection.execute("DELETE FROM fold WHERE id < 0")
                waits.append(time.perf_counter() - before)

    writer = threading.Thread(target=write_now_and_then)
    writer.start()
    wall, cpu = time.perf_counter(), time.process_time()
    load(store, session, str(path))
    found: Figures = {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }
    done.set()
    writer.join()
    return {**found, "other_writers": _milliseconds(waits or [0.0])}


def searches(store: Store, session: SessionRow, words: Sequence[str], runs: int, chance: random.Random) -> Figures:
    """Wall time of each way to search, rare and common words mixed."""
    weights = [1 / (rank + 200) for rank in range(len(words))]

    def some(count: int) -> str:
        return " ".join(chance.choices(words, weights, k=count))

    asked = {
        "words": [some(number % 3 + 1) for number in range(runs)],
        "phrase": [some(2) for _ in range(runs)],
        "regex": [rf"\b{some(1)}\w* \d*{some(1)}" for _ in range(runs)],
    }
    found: Figures = {}
    for mode, queries in asked.items():
        times: list[float] = []
        for query in queries:
            before = time.perf_counter()
            search(store, session, query, scope="docs", mode=mode)
            times.append(time.perf_counter() - before)
        found[mode] = _milliseconds(times)
    return found


def measure(*, megabytes: float, runs: int) -> Figures:
    """Everything, in a folder of its own."""
    chance = random.Random(5)
    words = vocabulary(chance)
    with tempfile.TemporaryDirectory(prefix="documents-") as name:
        folder = Path(name)
        write(folder / "big.log", int(megabytes * 1_000_000), words, chance)
        made = Transcript(cwd=name)
        made.user("Look at the log")
        with open_store(Paths(home=folder / "store"), Settings()) as store:
            session = locate(store, transcript=made.save(folder / "s.jsonl"))
            return {
                "bytes": (folder / "big.log").stat().st_size,
                "load": timed_load(store, session, folder / "big.log"),
                "index_bytes": sum(path.stat().st_size for path in store.paths.home.glob("store.db*")),
                "search": searches(store, session, words, runs, chance),
            }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--runs", type=int, default=60)
    args = parser.parse_args()
    figures = measure(megabytes=args.megabytes, runs=args.runs)
    print(json.dumps(figures, indent=1 if args.json else 2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
