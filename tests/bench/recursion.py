"""Figures of recursive Runs beside what was asked of them: the start at 100 MB, tasks, time caps, cancelling.

    python -m tests.bench.recursion [--json] [--parts 1,2,3,4] [--runs 5] [--mb 100]

1: ``rlm-mcp ask`` over one file, from the start of its process to the first request, and the storage of its tree then.
2: every task by ``rlm-mcp ask`` against an endpoint that knows the answers: score, calls, tokens of the root.
3: how long after its time cap a Run of an adversarial root ends.
4: how long after it was cancelled a Run ends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rlm_mcp.costs import Limits
from rlm_mcp.sublm.lm import Reply, Request, Stop
from tests.bench.measured import Row, row, table
from tests.bench.processes import below, storage
from tests.recursion import tasks
from tests.recursion.rig import RunRig, Watched, block, by_model, rig
from tests.sublm.endpoint import Answer, Endpoint, Seen, running_endpoint

_ROOT_FOLDER = Path(__file__).resolve().parents[2]
_CAP_SECONDS = 1.0
_TEXT = "\n".join(f"user{number % 7}: message {number}" for number in range(20_000))
_ROOTS = {
    "endless loop": "while True: pass",
    "swallows everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "swallows and asks on": "while True:\n    try: llm_query('again')\n    except BaseException: pass",
    "one call per line": "for line in context.splitlines(): llm_query(line)",
    "batch of 10,000": "llm_query_batched([f'{n}' for n in range(10_000)])",
    "batch that hangs": "llm_query_batched([f'hang {n} {context[:3]}' for n in range(20)])",
    "child that never ends": "rlm_query('LOOP')",
    "sleeps": "import time\ntime.sleep(100)",
    "regex": "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')",
    "prints for ever": "while True: print('y' * 100_000)",
}


def measure(parts: Sequence[str], runs: int, size_mb: int) -> list[Row]:
    """Those parts, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="recursion-") as name:
        folder = Path(name)
        known: dict[str, Callable[[], list[Row]]] = {
            "1": lambda: _start(folder, runs, size_mb),
            "2": lambda: _tasks(folder, size_mb),
            "3": lambda: _caps(folder, runs),
            "4": lambda: _cancelled(folder, runs),
        }
        return [one for part in parts or known for one in known[part]()]


def _request(seen: Seen) -> Request:
    """As a backend was given it."""
    said = [text for role, text in seen.messages if role not in {"system", "developer"}]
    history = tuple(zip(said[:-1:2], said[1:-1:2], strict=True))
    return Request(prompt=said[-1], system=seen.system, model=str(seen.body["model"]), history=history)


def _answering(seen: Seen) -> Answer:
    request = _request(seen)
    return Answer(text=tasks.root(request) if request.model == "root" else tasks.sub(request))


def _environment(home: Path, endpoint: Endpoint) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT_FOLDER),
        "HOME": str(home),
        "RLM_MCP_HOME": str(home / "store"),
        "OPENAI_BASE_URL": endpoint.url,
        "OPENAI_API_KEY": "dummy",
        "RLM_MCP_DAY_TOKENS": "1000000000",
    }


def _command(task: str, path: Path) -> list[str]:
    limits = ["--max-calls", "10000", "--max-tokens", "900000000", "--max-seconds", "900", "--max-depth", "3"]
    models = ["--model", "root", "--sub-model", "sub"]
    question = tasks.question(task)
    return [sys.executable, "-m", "rlm_mcp", "ask", "-q", question, "--context", str(path), *models, *limits, "--json"]


def _start(folder: Path, runs: int, size_mb: int) -> list[Row]:
    path = folder / "big.txt"
    path.write_bytes(b"2026-01-01 | user01 | some words of a line #1\n" * (size_mb * (1 << 20) // 46))
    seconds: list[float] = []
    megabytes: list[float] = []
    for number in range(runs):
        came = threading.Event()

        def script(_seen: Seen, came: threading.Event = came) -> Answer:
            came.set()
            return Answer(text=block("FINAL(len(context))"), seconds=0.5)

        with running_endpoint(script) as endpoint:
            started = time.monotonic()
            home = folder / f"start{number}"
            process = subprocess.Popen(
                _command("needle", path), env=_environment(home, endpoint), stdout=subprocess.PIPE, text=True
            )
            assert came.wait(60)
            seconds.append(endpoint.requests[0].time - started)
            held = storage(process.pid, *below(process.pid))
            megabytes.append(held.own + held.mapped)
            process.communicate()
    part = f"start at {size_mb} MB"
    return [
        row(part, "process start to first root call", seconds, at_most=1.0, unit="s"),
        row(part, "storage of the process tree then", megabytes, at_most=150, unit="MB"),
    ]


def _tasks(folder: Path, size_mb: int) -> list[Row]:
    dataset = tasks.made(size_mb << 20)
    path = folder / "data.txt"
    path.write_text(dataset.text, encoding="utf-8")
    found: list[Row] = []
    part = f"tasks at {size_mb} MB"
    for task in tasks.TASKS:
        held: list[float] = []
        pids: list[int] = []

        def script(seen: Seen, held: list[float] = held, pids: list[int] = pids) -> Answer:
            held.extend(storage(pid).peak for pid in pids)
            return _answering(seen)

        with running_endpoint(script) as endpoint:
            started = time.monotonic()
            home = folder / task.replace(" ", "")
            with subprocess.Popen(
                _command(task, path), env=_environment(home, endpoint), stdout=subprocess.PIPE, text=True
            ) as process:
                pids.append(process.pid)
                answer = json.loads(process.communicate()[0])
            seconds = time.monotonic() - started
            is_right = answer["answer"] == dataset.gold[task]
            is_counted = answer["tokens"] == {"in": endpoint.tokens_in, "out": endpoint.tokens_out}
            roots = [served for served in endpoint.served if served.seen.body["model"] == "root"]
            of_root = sum(served.tokens_in + served.tokens_out for served in roots)
        most = None if task == "depth 3" else 1_000
        found += [
            row(
                part, f"{task}: right, and the Ledger equals what was served", [float(is_right and is_counted)], unit=""
            ),
            row(part, f"{task}: calls", [float(answer["calls"])], unit=""),
            row(part, f"{task}: tokens of the root", [float(of_root)], at_most=most, unit=""),
            row(part, f"{task}: seconds", [seconds], unit="s"),
            row(part, f"{task}: storage of the host process at most", [max(held)], at_most=150, unit="MB"),
        ]
    return found


def _caps(folder: Path, runs: int) -> list[Row]:
    found: list[Row] = []
    for name, code in _ROOTS.items():
        late: list[float] = []
        with rig(folder / "caps", _script(code), seconds=0.005, model=_Hanging) as at:
            for _run in range(runs):
                came = at.ask(f"? {_run}", _TEXT, limits=Limits(seconds=_CAP_SECONDS, depth=2))
                assert came.answer.status == "seconds", (name, came.answer)
                late.append(1000 * (came.seconds - _CAP_SECONDS))
        found.append(row("end behind the time cap", name, late, at_most=200))
    return found


def _cancelled(folder: Path, runs: int) -> list[Row]:
    found: list[Row] = []
    late: list[float] = []
    for name, code in _ROOTS.items():
        took: list[float] = []
        behind: list[float] = []
        with rig(folder / "cancelled", _script(code), seconds=0.005, model=_Hanging) as at:
            for _run in range(runs):
                stop = Stop(seconds=60.0)
                ended: list[float] = []

                def work(number: int = _run, stop: Stop = stop, ended: list[float] = ended, at: RunRig = at) -> None:
                    at.ask(f"? {number}", _TEXT, stop=stop)
                    ended.append(time.monotonic())

                thread = threading.Thread(target=work)
                thread.start()
                time.sleep(0.5)
                told = time.monotonic()
                stop.now()
                thread.join()
                took.append(1000 * (ended[0] - told))
                behind.append(float(sum(served.time > told + 0.1 for served in at.model.came)))
        found.append(row("end behind a cancel", name, took, at_most=100))
        late += behind
    return [*found, row("end behind a cancel", "requests behind it, all together", [sum(late)], at_most=0, unit="")]


class _Hanging(Watched):
    """As a model that answers soon, or never."""

    def complete(self, request: Request, stop: Stop) -> Reply:
        """See ``SubLM``."""
        if "hang" in request.prompt:
            stop.wait(1_000.0)
        return super().complete(request, stop)


def _script(code: str) -> Callable[[Request], str]:
    def sub(_request: Request) -> str:
        return "spam"

    def root(request: Request) -> str:
        first = request.history[0][0] if request.history else request.prompt
        return block(f"print(context[:9])\n{'while True: pass' if 'LOOP' in first else code}")

    return by_model(root=root, sub=sub)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--parts", default="", help="numbers of the parts to take, such as 1,4; default: all")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mb", type=int, default=100)
    args = parser.parse_args()
    rows = measure([part for part in args.parts.split(",") if part], args.runs, args.mb)
    print(json.dumps([asdict(one) for one in rows], indent=1) if args.json else table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
