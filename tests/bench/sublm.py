"""Asking other models: what our side adds to an endpoint's own time, in time, memory and requests.

    python -m tests.bench.sublm [--json] [--runs 15]

The endpoint runs in a process of its own on loopback and keeps its connections; what it takes itself is measured
beside, by a bare socket.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rlm_mcp.costs import Call, CallEnd, CallStatus, Cost, Kept, Limits
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Asked
from rlm_mcp.sublm.openai_api import OpenAIEndpoint
from tests.bench.measured import Row, row, table
from tests.sublm.endpoint import RemoteEndpoint, endpoint_process
from tests.sublm.rig import Rig

SERIAL = 200
_START = """
import sys, time
before = time.perf_counter()
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.openai_api import OpenAIEndpoint
backend = OpenAIEndpoint(base_url=sys.argv[1], key="k", model="m", is_plain=sys.argv[2] == "plain")
backend.complete(Request(prompt="hello"), Stop())
print(time.perf_counter() - before)
"""


@contextmanager
def rig(remote: RemoteEndpoint, *, is_plain: bool = True) -> Iterator[Rig]:
    """A Metered with a fresh store before that endpoint."""
    backend = OpenAIEndpoint(base_url=remote.url, key="k", model="m", is_plain=is_plain)
    with tempfile.TemporaryDirectory() as folder:
        made = Rig(Path(folder), backend, limits=Limits(calls=1_000_000))
        made.ask("first")
        yield made
        made.close()


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of it."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare(remote: RemoteEndpoint) -> Callable[[], None]:
    """The endpoint's own time for a request: a kept socket and nothing else."""
    host, port = remote.url.split("/")[2].split(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 64}).encode()
    sent = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    def ask() -> None:
        connection.sendall(sent)
        connection.recv(65_536)

    return ask


def batched(remote: RemoteEndpoint, runs: int, *, is_plain: bool) -> Row:
    """100 questions of 50 ms at width 16."""
    with rig(remote, is_plain=is_plain) as one:
        one.ask_all([f"warm {number}" for number in range(32)], 16)
        found = []
        for turn in range(runs):
            prompts = [f"[[seconds=0.05]] {turn} {number}" for number in range(100)]
            found.append(seconds_of(lambda prompts=prompts: one.ask_all(prompts, 16)))  # type: ignore[misc]
    what = "100 questions of 50 ms, 16 at a time" + ("" if is_plain else ", openai package")
    return row("batch", what, found, at_most=0.40, unit="s", beside=("ideal", [0.35]))


def serial(remote: RemoteEndpoint, runs: int, *, is_plain: bool) -> list[Row]:
    """What one question takes beyond the endpoint's own time."""
    own, ours, backend_alone = [], [], []
    with rig(remote, is_plain=is_plain) as one:
        socket_only = bare(remote)
        for turn in range(runs):
            own.append(seconds_of(lambda: [socket_only() for _ in range(SERIAL)]) / SERIAL * 1_000)
            backend_alone.append(
                seconds_of(
                    lambda: [one.backend.complete(Request(prompt="x", model="m"), Stop()) for _ in range(SERIAL)]
                )
                / SERIAL
                * 1_000
            )
            prompts = [f"s {turn} {number}" for number in range(SERIAL)]
            ours.append(seconds_of(lambda prompts=prompts: [one.ask(p) for p in prompts]) / SERIAL * 1_000)  # type: ignore[misc]
    named = "" if is_plain else ", openai package"
    return [
        row("serial", f"the endpoint itself, by a bare socket{named}", own),
        row("serial", f"backend alone, over it{named}", [a - b for a, b in zip(backend_alone, own, strict=True)]),
        row(
            "serial",
            f"cache, budget, Ledger and backend, over it{named}",
            [a - b for a, b in zip(ours, own, strict=True)],
            at_most=1.0 if is_plain else None,
        ),
    ]


def ledger(remote: RemoteEndpoint, runs: int) -> Row:
    """A request noted before and after, with its reply."""
    call = Call(
        run="", session="s", backend="b", model="m", purpose="p", most=Cost(tokens_in=10, tokens_out=10, usd=0.1)
    )
    cost = Cost(tokens_in=5, tokens_out=5, usd=0.01)
    found = []
    with rig(remote) as one:
        for turn in range(runs):

            def note(turn: int = turn) -> None:
                for number in range(SERIAL):
                    reply = Kept(text="x" * 400, model="m", cost=cost, is_cut=False)
                    end = CallEnd(status=CallStatus.OK, cost=cost, seconds=0.1, key=f"{turn} {number}", reply=reply)
                    one.ledger.settled(one.ledger.sent(call), end)

            found.append(seconds_of(note) / SERIAL * 1_000)
    return row("ledger", "a request, noted before and after", found, at_most=1.0)


def queued(remote: RemoteEndpoint) -> list[Row]:
    """10,000 questions in one batch: peak of main storage over what they are themselves, and threads."""
    prompts = [f"queued {number} " + "x" * 200 for number in range(10_000)]
    with rig(remote) as one:
        one.ask_all(prompts[:100], 16)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        threads = 0
        over = threading.Event()

        def watch() -> None:
            nonlocal threads
            while not over.wait(0.01):
                threads = max(threads, threading.active_count())

        watcher = threading.Thread(target=watch)
        watcher.start()
        seconds = seconds_of(lambda: one.ask_all(prompts, 16))
        over.set()
        watcher.join()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return [
        row("10,000 queued", "main storage grown by", [grown], unit="MB", at_most=30.0),
        row("10,000 queued", "threads, ours and the watcher's", [threads], unit="", at_most=20.0),
        row("10,000 queued", "time for each", [seconds / 10_000 * 1_000]),
    ]


def identical(remote: RemoteEndpoint) -> Row:
    """50 at once."""
    with rig(remote) as one:
        before = remote.served()["requests"]
        one.ask_all(["[[seconds=0.05]] the same"] * 50, 50)
        return row("identical", "requests for 50 at once", [remote.served()["requests"] - before], unit="", at_most=1.0)


def cancelled(remote: RemoteEndpoint, runs: int) -> list[Row]:
    """16 under way and 84 waiting: from the word to the end of the batch; and requests after it."""
    took, late = [], []
    for turn in range(runs):
        with rig(remote) as one, ThreadPoolExecutor(1) as pool:
            before = remote.served()["requests"]
            asking = pool.submit(one.ask_all, [f"[[fault=hang]] {turn} {number}" for number in range(100)], 16)
            while remote.served()["requests"] < before + 16:
                time.sleep(0.002)
            began = time.perf_counter()
            one.stop.now()
            found = asking.result()
            took.append((time.perf_counter() - began) * 1_000)
            time.sleep(0.05)
            late.append(float(remote.served()["requests"] - before - 16))
            assert not any(isinstance(each, Asked) for each in found)
    return [
        row("cancel", "from the word to the end of the batch", took, p95_at_most=100.0),
        row("cancel", "requests after it", late, unit="", p95_at_most=0.0),
    ]


def started(remote: RemoteEndpoint, runs: int) -> list[Row]:
    """From nothing to the first answer, in a fresh process."""
    rows = []
    for way in ("plain", "package"):
        found = []
        for _ in range(min(runs, 5)):
            command = [sys.executable, "-c", _START, remote.url, way]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(float(ended.stdout) * 1_000)
        rows.append(row("start", f"imports to first answer, {way}", found))
    return rows


def measure(runs: int) -> list[Row]:
    """All of it."""
    with endpoint_process() as remote:
        return [
            batched(remote, runs, is_plain=True),
            batched(remote, min(runs, 5), is_plain=False),
            *serial(remote, runs, is_plain=True),
            *serial(remote, min(runs, 5), is_plain=False),
            ledger(remote, runs),
            *queued(remote),
            identical(remote),
            *cancelled(remote, min(runs, 5)),
            *started(remote, runs),
        ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    rows = measure(given.runs)
    print(json.dumps([asdict(one) for one in rows], indent=2) if given.json else table(rows))


if __name__ == "__main__":
    main()
