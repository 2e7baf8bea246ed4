"""From process start: the command line, and the server until it has answered its client's first request."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.measured import Row, interleaved, row
from tests.bench.repl_served import HERE, a_project, environment

_HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}


def from_start(folder: Path, runs: int) -> list[Row]:
    """Spawn to exit of commands; spawn to the first answer of servers."""
    _repo, day = a_project(folder)
    transcript = str(day.save(folder / "started.jsonl"))
    environ = environment(folder / "started")
    ours = [sys.executable, "-m", "rlm_mcp"]

    def command(*words: str) -> Callable[[], float]:
        return lambda: _until_exit([*ours, *words], environ)

    def server(*words: str) -> Callable[[], float]:
        return lambda: _until_answer(list(words), environ)

    measures = {
        "bare python": lambda: _until_exit([sys.executable, "-c", "import json, sqlite3"], environ),
        "rlm-mcp status": command("status", "--transcript", transcript),
        "rlm-mcp repl -c 1": command("repl", "--transcript", transcript, "-c", "1"),
        "echo server": server(sys.executable, str(HERE / "echo_alone.py")),
        "our server": server(*ours, "serve", "--transcript", transcript),
    }
    for measure in measures.values():
        measure()
    found = interleaved(measures, runs)
    part = "8 from process start"
    bare, echo = ("bare python", found["bare python"]), ("echo server", found["echo server"])
    status = ("rlm-mcp status", found["rlm-mcp status"])
    return [
        row(part, "bare python, json and sqlite3", found["bare python"]),
        row(part, "rlm-mcp status", found["rlm-mcp status"], beside=bare),
        row(part, "rlm-mcp repl -c 1", found["rlm-mcp repl -c 1"], beside=status),
        row(part, "a server of the SDK that only echoes, to initialize", found["echo server"], beside=bare),
        row(part, "our server, to initialize", found["our server"], beside=echo, ratio_at_most=1.15),
    ]


def _until_exit(command: list[str], environ: dict[str, str]) -> float:
    before = time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - before) * 1000


def _until_answer(command: list[str], environ: dict[str, str]) -> float:
    before = time.perf_counter()
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(_HELLO).encode() + b"\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        took = (time.perf_counter() - before) * 1000
        assert b"serverInfo" in answer, answer
        server.stdin.close()
        server.wait(10)
    return took
