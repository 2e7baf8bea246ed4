"""Questions over long texts, beside what was asked of them: score, root tokens, first call, storage, ends in time.

    python -m tests.bench.asking [--json] [--megabytes 1,10,100] [--runs 3]

Each question is put to ``rlm-mcp ask`` in a process of its own; the models are a scripted endpoint on loopback that
writes the code and, as a sub-model, knows the gold labels.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.asked import block, environment, is_root
from tests.bench.measured import Row, row, table
from tests.bench.processes import below
from tests.sublm.endpoint import Answer, Endpoint, Seen, running_endpoint

REPOSITORY = Path(__file__).resolve().parents[2]
_ANIMALS = ("otter", "kraken", "heron", "badger")
_COUNT = """\
import re
from collections import Counter
asked = [m for m in re.finditer(r"^(\\S+) (user\\d+) ASKS (.*)$", context, re.M)]
animals = ["otter", "kraken", "heron", "badger"]
labels = llm_map([m[3] for m in asked], "Which animal is meant? {item}", schema={"enum": animals})
found = list(zip([m[1] for m in asked], [m[2] for m in asked], labels))
"""
_HALVES = """\
half = len(context) // 2
parts = rlm_query_batched([("NEXT", context[:half]), ("NEXT", context[half:])])
FINAL(sum(int(part) for part in parts))"""
_CODES = {
    "needle": 'import re\nm = re.search(r"secret word is (\\S+)", context)\nFINAL(m[1], quotes=[m[0]])',
    "count": f'{_COUNT}FINAL(Counter(labels)["kraken"])',
    "most common": f"{_COUNT}FINAL(Counter(labels).most_common(1)[0][0])",
    "per user": f"{_COUNT}FINAL(sum(label == 'otter' for _, user, label in found if user == 'user3'))",
    "date range": f"{_COUNT}FINAL(sum(one == 'heron' for day, _, one in found if '2026-11-05' <= day <= '2026-11-10'))",
    "pairs": f"""{_COUNT}import itertools
by_user = {{}}
for _, user, label in found:
    by_user.setdefault(user, set()).add(label)
FINAL(sum(bool(a & b) for a, b in itertools.combinations(by_user.values(), 2)))""",
    "multi-hop": """\
import re
door = re.search(r"the key lies behind door (\\w+)", context)[1]
room = re.search(rf"door {door} leads to room (\\w+)", context)[1]
FINAL(llm_query("Which animal is meant? " + re.search(rf"in room {room} lives (.*)", context)[1]))""",
    "depth 3": _HALVES.replace("NEXT", "part"),
    "part": _HALVES.replace("NEXT", "leaf"),
    "leaf": r"import re; FINAL(len(re.findall(r'^\S+ user\d+ ASKS ', context, re.M)))",
}
QUESTIONS = [name for name in _CODES if name not in {"part", "leaf"}]


@dataclass(slots=True, kw_only=True)
class World:
    """A text, and the answers to all questions about it."""

    path: Path
    gold: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def made(path: Path, size: int) -> World:
    """About ``size`` bytes of lines; 60 of them ask."""
    world = World(path=path)
    filler = (
        "2026-11-{day:02d} user{user} said nothing of note about the house, the garden and the weather of the week\n"
    )
    block_text = "".join(filler.format(day=n % 28 + 1, user=n % 37) for n in range(1_000))
    blocks = max(8, size // len(block_text))
    rows = [(n % 28 + 1, n % 7, _ANIMALS[(n * 7 + n // 9) % 4], f"riddle {n}: it is number {n}") for n in range(60)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(blocks):
            file.write(block_text)
            for day, user, animal, riddle in rows[number * 60 // blocks : (number + 1) * 60 // blocks]:
                world.labels[riddle] = animal
                file.write(f"2026-11-{day:02d} user{user} ASKS {riddle}\n")
            if number == blocks * 2 // 3:
                file.write("2026-11-07 the secret word is kraken-4711\nthe key lies behind door X9\n")
            if number == blocks // 3:
                file.write("door X9 leads to room Q7\n")
            if number == blocks // 2:
                file.write("in room Q7 lives riddle 7: it is number 7\n")
    by_user: dict[int, set[str]] = {}
    for _day, user, animal, _riddle in rows:
        by_user.setdefault(user, set()).add(animal)
    users = list(by_user.values())
    counted = Counter(animal for _day, _user, animal, _riddle in rows)
    world.gold = {
        "needle": "kraken-4711",
        "count": str(counted["kraken"]),
        "most common": counted.most_common(1)[0][0],
        "per user": str(sum(user == 3 and animal == "otter" for _d, user, animal, _r in rows)),
        "date range": str(sum(5 <= day <= 10 and animal == "heron" for day, _u, animal, _r in rows)),
        "pairs": str(sum(bool(a & b) for at, a in enumerate(users) for b in users[at + 1 :])),
        "multi-hop": world.labels["riddle 7: it is number 7"],
        "depth 3": "60",
    }
    return world


def knows(world: World) -> Any:
    """The script of models that program and know the labels."""

    def script(seen: Seen) -> Answer:
        if is_root(seen):
            question = seen.messages[1][1].partition("\n")[0].partition("?")[0]
            return Answer(text=block(_CODES[question]))
        found = re.search(r"riddle \d+: it is number \d+", seen.prompt)
        assert found is not None
        label = world.labels[found[0]]
        return Answer(text=json.dumps(label) if "response_format" in seen.body else label)

    return script


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One ``rlm-mcp ask``."""

    found: Mapping[str, Any]
    seconds: float
    first_call_seconds: float
    tree_mb: float
    """Of all its processes, when the first call came."""
    requests: Sequence[Seen]


def ask(endpoint: Endpoint, home: Path, path: Path, question: str, *more: str, kill_after: float = 0.0) -> Ran:
    """Ask, in a process of its own; Ctrl-C after so many seconds from the second call on, if any are given."""
    plain, before = endpoint.script, len(endpoint.requests)
    process: list[subprocess.Popen[bytes]] = []
    resident: list[float] = []

    def watched(seen: Seen) -> Answer:
        if not resident:
            resident.append(sum(_resident(pid) for pid in (process[0].pid, *below(process[0].pid))))
        return plain(seen)

    endpoint.script = watched
    started, began = time.monotonic(), time.perf_counter()
    process.append(
        subprocess.Popen(
            [sys.executable, "-m", "rlm_mcp", "ask", "-q", question, "--context", str(path), "--json", *more],
            env=environment(endpoint, home, PYTHONPATH=str(REPOSITORY)),
            cwd=home,
            stdout=subprocess.PIPE,
        )
    )
    if kill_after:
        endpoint.wait_for(lambda now: len(now.requests) > before + 1)
        time.sleep(kill_after)
        began = time.perf_counter()
        process[0].send_signal(signal.SIGINT)
    out, _err = process[0].communicate()
    took = time.perf_counter() - began
    endpoint.script = plain
    came = endpoint.requests[before:]
    first = came[0].time - started if came else 0.0
    return Ran(
        found=json.loads(out), seconds=took, first_call_seconds=first, tree_mb=resident[0] if resident else 0.0,
        requests=came,
    )  # fmt: skip


def _resident(pid: int) -> float:
    try:
        pages = int((Path("/proc") / str(pid) / "statm").read_text(encoding="ascii").split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def questions(folder: Path, megabytes: int) -> list[Row]:
    """Every question once, on a store of its own: score, root tokens, first call, storage; the Ledger beside."""
    world, home = made(folder / f"{megabytes}.log", megabytes * 1_000_000), folder / f"home-{megabytes}"
    home.mkdir()
    part = f"{megabytes} MB"
    with running_endpoint(knows(world)) as endpoint:
        rans = {name: ask(endpoint, home, world.path, f"{name}?", "--max-depth", "3") for name in QUESTIONS}
        roots = [one for one in endpoint.served if is_root(one.seen)]
        told = subprocess.run(
            [sys.executable, "-m", "rlm_mcp", "status", "--json"],
            env=environment(endpoint, home, PYTHONPATH=str(REPOSITORY)), cwd=home, capture_output=True, check=True,
        )  # fmt: skip
        spent = json.loads(told.stdout)["spent_today"]
        apart = abs(spent["tokens_in"] - endpoint.tokens_in) + abs(spent["tokens_out"] - endpoint.tokens_out)
        apart += abs(spent["calls"] - len(endpoint.requests))
    right = [float(rans[name].found["answer"] == world.gold[name]) for name in QUESTIONS]
    for name, score in zip(QUESTIONS, right, strict=True):
        if not score:
            print(name, rans[name].found, "gold", world.gold[name], file=sys.stderr)
    by_question = Counter[str]()
    for one in roots:
        by_question[one.seen.messages[1][1].partition("?")[0]] += one.tokens_in + one.tokens_out
    tokens = [float(by_question[name]) for name in QUESTIONS if name != "depth 3"]
    return [
        row(part, "right of all questions (1 = all)", [sum(right) / len(right)], unit=""),
        row(part, "root tokens of a question", tokens, at_most=1_000, unit="tokens"),
        row(
            part, "process start to first root call", [r.first_call_seconds for r in rans.values()], unit="s", at_most=1
        ),
        row(part, "whole process tree then", [r.tree_mb for r in rans.values()], unit="MB", at_most=150),
        row(part, "a question, from start to exit", [r.seconds for r in rans.values()], unit="s"),
        row(part, "Ledger and endpoint apart", [float(apart)], unit="", at_most=0),
    ]


def ends(folder: Path, runs: int) -> list[Row]:
    """How long after Ctrl-C and after its limit of time a question ends; what is sent after that."""
    world, home = made(folder / "ends.log", 1_000_000), folder / "home-ends"
    home.mkdir()
    late, over, after = [], [], []

    def script(seen: Seen) -> Answer:
        if not is_root(seen):
            return Answer(seconds=3600)
        code = (
            "while True: pass"
            if "loop" in seen.prompt
            else f"llm_query_batched([f'{{n}} {seen.number}' for n in range(50)])"
        )
        return Answer(text=block(code))

    with running_endpoint(script) as endpoint:
        for number in range(runs):
            cancelled = ask(endpoint, home, world.path, f"cancel {number}", kill_after=0.3)
            sent = len(endpoint.requests)
            late.append(cancelled.seconds)
            limited = ask(endpoint, home, world.path, f"loop {number}", "--max-seconds", "2")
            over.append(limited.seconds - 2)
            after.append(float(len(endpoint.requests) - sent - len(limited.requests)))
    part = "ends"
    return [
        row(part, "Ctrl-C to exit", late, unit="s", at_most=0.1),
        row(part, "beyond a limit of 2 s, from process start to exit", over, unit="s", at_most=0.2),
        row(part, "requests after Ctrl-C", after, unit="", at_most=0),
    ]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--megabytes", default="1,10,100")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asking-") as name:
        rows = [row for size in args.megabytes.split(",") if size for row in questions(Path(name), int(size))]
        rows += ends(Path(name), args.runs)
    print(json.dumps([asdict(one) for one in rows], indent=1) if args.json else table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
