"""The Repl through the real server, as a client meets it: round trips, a long session, other tools meanwhile, floods.

Started and asked over standard input and output by the client of the SDK.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.bench import big_session
from tests.bench.measured import Row, row
from tests.bench.processes import below, forget_peak, named, storage
from tests.build import Transcript, a_day

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
_WARM_UP = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server with a client."""

    session: ClientSession
    pid: int

    async def said(self, name: str, **arguments: Any) -> str:
        """What a tool answers.

        Raises:
            RuntimeError: it failed.
        """
        answer = await self.session.call_tool(name, arguments)
        text = "".join(getattr(block, "text", "") for block in answer.content)
        if answer.is_error:
            raise RuntimeError(f"{name}: {text}")
        return text

    async def milliseconds(self, name: str, **arguments: Any) -> float:
        """How long a tool takes to answer."""
        before = time.perf_counter()
        await self.said(name, **arguments)
        return (time.perf_counter() - before) * 1000


def environment(home: Path) -> dict[str, str]:
    """Of a server whose store lies below ``home``."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "RLM_MCP_HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
    }


@asynccontextmanager
async def serving(home: Path, command: list[str], word: str, cwd: Path | None = None) -> AsyncIterator[Served]:
    """A server started as a client does; ``word`` of its command line tells its process."""
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment(home), cwd=cwd)
    async with stdio_client(parameters) as (incoming, outgoing), ClientSession(incoming, outgoing) as session:
        await session.initialize()
        await session.list_tools()
        yield Served(session=session, pid=named(os.getpid(), word))


def a_project(folder: Path) -> tuple[Path, Transcript]:
    """A folder to work in, and a transcript of an ordinary day there."""
    repo = folder / "project"
    shutil.rmtree(repo, ignore_errors=True)
    (repo / ".git").mkdir(parents=True)
    (repo / "app.py").write_text("print('hello')\n", encoding="utf-8")
    return repo, a_day(cwd=str(repo))


async def round_trips(folder: Path, runs: int) -> list[Row]:
    """A Cell beside ``echo`` of the same server, and of a server that does nothing else; then while a session grows."""
    _repo, day = a_project(folder)
    transcript = day.save(folder / "day.jsonl")
    command = [sys.executable, str(HERE / "echo_beside.py"), str(transcript)]
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(serving(folder / "round", command, "echo_beside"))
        alone = await stack.enter_async_context(
            serving(folder / "round", [sys.executable, str(HERE / "echo_alone.py")], "echo_alone")
        )
        calls: dict[str, Callable[[], Awaitable[float]]] = {
            "echo of a server that does nothing else": lambda: alone.milliseconds("echo", text="1"),
            "echo": lambda: ours.milliseconds("echo", text="1"),
            'repl "1"': lambda: ours.milliseconds("repl", code="1"),
            'read "e1"': lambda: ours.milliseconds("read", ref="e1"),
        }
        still = await _in_turn(calls, _WARM_UP, runs, lambda: None)

        def grow() -> None:
            day.lines.clear()
            day.reply("Something more was said about the loader, and it took a line of text to say it.")
            with transcript.open("ab") as file:
                file.write(day.content)

        growing = await _in_turn(calls, 3, runs // 2, grow)
    echo = ("echo of the same server", still["echo"])
    part = "1 round trip"
    rows = [row(part, name, values) for name, values in still.items() if name.startswith("echo")]
    rows.append(row(part, 'repl "1"', still['repl "1"'], beside=echo, ratio_at_most=1.15))
    rows.append(row(part, 'read "e1"', still['read "e1"'], beside=echo))
    grown = ("echo, a record more each", growing["echo"])
    return rows + [
        row(part, f"{name}, a record more each", growing[name], beside=grown) for name in ('repl "1"', 'read "e1"')
    ]


async def _in_turn(
    calls: dict[str, Callable[[], Awaitable[float]]], warm_up: int, runs: int, between: Callable[[], None]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + runs):
        for name, call in calls.items():
            between()
            took = await call()
            if number >= warm_up:
                found[name].append(took)
    return found


_BIG_CELLS = (
    ("session.raw[:100]", "bytes(session.raw[:100])", 50.0),
    ("len(session)", "len(session)", 50.0),
    ("context, first use (decoded)", "len(context)", None),
    ("session.text, again", "len(session.text)", None),
    ("session.events, first use", "len(session.events)", None),
    ("session.events, again", "len(session.events)", None),
    ("session.grep, rare", f"len(session.grep({big_session.RARE!r}))", None),
    ("session.turns", "len(session.turns)", None),
    ('session["t500"].text', 'len(session["t500"].text)', None),
)


async def long_session(folder: Path, runs: int, *, events: int = 100_000) -> list[Row]:
    """100 MB of session: when it is there, and what it costs server and child. A fresh child each run."""
    rows: list[Row] = []
    for name, extra in (("ASCII", ""), ("with emoji", "\U0001f600")):
        home, repo = folder / f"long-{name[:4]}", folder / f"long-{name[:4]}-repo"
        repo.mkdir()
        found = big_session.write(home, events=events, event_bytes=1_000, extra=extra, cwd=str(repo))
        part = f"4 {found.log_bytes / 1e6:,.0f} MB of session, {name}"
        plain = plain_times(home / "sessions" / f"{found.key}.log", runs)
        command = [sys.executable, "-m", "rlm_mcp", "serve", "--repo", str(repo)]
        times: dict[str, list[float]] = {what: [] for what, _code, _asked in _BIG_CELLS}
        pages: dict[str, list[float]] = {}
        async with serving(home, command, str(repo)) as ours:
            for _ in range(runs):
                await _one_long(ours, times, pages)
        for what, _code, asked in _BIG_CELLS:
            beside = next(((f"plain Python: {key}", plain[key]) for key in plain if what.startswith(key)), None)
            rows.append(row(part, what, times[what], beside=beside, at_most=asked))
        rows += [
            row(part, what, values, unit="MB", at_most=1.0 if "raw" in what and "server" in what else None)
            for what, values in sorted(pages.items())
        ]
        shutil.rmtree(home)
    return rows


async def _one_long(ours: Served, times: dict[str, list[float]], pages: dict[str, list[float]]) -> None:
    """One fresh child takes all the Cells; times in ms, storage in MB above what was there before."""
    await ours.said("repl", code="reset()")
    await ours.said("repl", code="import os; os._exit(1)")
    await ours.said("repl", code="1")
    await anyio.sleep(1.0)  # the spare is there
    forget_peak(ours.pid)
    before, child_before = storage(ours.pid), storage(*below(ours.pid))
    for what, code, _asked in _BIG_CELLS:
        times[what].append(await ours.milliseconds("repl", code=code))
        if what.startswith(_WEIGHED):
            now, child = storage(ours.pid), storage(*below(ours.pid))
            pages.setdefault(f"server, own pages, after {what}", []).append(now.own - before.own)
            pages.setdefault(f"child, own pages, after {what}", []).append(child.own - child_before.own)
    peak = storage(ours.pid).peak - before.own - before.mapped
    pages.setdefault("server's peak above before, all of it", []).append(peak)


def plain_times(log: Path, runs: int) -> dict[str, list[float]]:
    """The same work on the file by a Python without walls: reading it as text, one pattern over it."""
    found: dict[str, list[float]] = {"context": [], "session.grep": []}
    for _ in range(runs):
        before = time.perf_counter()
        text = log.read_bytes().decode("utf-8", "replace")
        found["context"].append((time.perf_counter() - before) * 1000)
        before = time.perf_counter()
        assert len(re.findall(big_session.RARE, text)) > 0
        found["session.grep"].append((time.perf_counter() - before) * 1000)
    return found


_WEIGHED = ("session.raw", "context", "session.events, first")
_BUSY_CELLS = {
    "a loop": "while True: pass",
    "a regex that explodes": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
    "3 GB asked for, over and over": (
        "while True:\n    try:\n        kept = bytearray(3 << 30)\n"
        "    except MemoryError:\n        kept = [bytes(1 << 20) for _ in range(300)]"
    ),
    "output without end": "while True: print('x' * 1000)",
    "output, a frame's worth a line": "for _ in range(12): print('y' * 1_000_000)\nwhile True: pass",
    "search after search": "while True: session.search('loader totals', max_tokens=2000)",
    "facts after facts": "while True: session.facts(current=False)",
    "all events anew": "while True:\n    session._rows.clear()\n    session.events",
    "arguments of a million": (
        "found = [0] * 1_000_000\nwhile True:\n    try:\n        session.search('x', kind=found)\n"
        "    except Exception as error:\n        said = str(error)"
    ),
}
"""What a Cell does meanwhile. The last ones keep the server's own threads at work."""


async def meanwhile(folder: Path, seconds: float) -> list[Row]:
    """Other tools' answers while a Cell is busy, beside the same calls when none is."""
    home, repo = folder / "busy", folder / "busy-repo"
    repo.mkdir()
    big_session.write(home, events=100_000, event_bytes=200, cwd=str(repo))
    command = [sys.executable, "-m", "rlm_mcp", "serve", "--repo", str(repo)]
    rows: list[Row] = []
    part = "5 other tools meanwhile"
    async with serving(home, command, str(repo)) as ours:
        await ours.said("repl", code="import re, os; len(session.events)")
        calls = {
            "status": lambda: ours.milliseconds("status"),
            "search": lambda: ours.milliseconds("search", query="needle"),
        }
        idle: dict[str, list[float]] = {name: [] for name in calls}
        for name, call in calls.items():
            idle[name] = [await call() for _ in range(40)][10:]
            rows.append(row(part, f"{name}; no Cell runs", idle[name]))
        for what, code in _BUSY_CELLS.items():
            found = await _while(ours, code, seconds, calls)
            for name, values in found.items():
                rows.append(row(part, f"{name}; {what}", values, beside=("no Cell", idle[name]), p95_at_most=50.0))
        await ours.said(
            "repl", code="import time; big = [str(i) for i in range(200_000)]\ntime.sleep(1.5)", timeout_seconds=20
        )
        found = await _while(ours, "os._exit(1)", 0.0, calls)
        found = await _while(ours, "1", 0.0, calls)
        for name, values in found.items():
            rows.append(
                row(part, f"{name}; a killed child restored", values, beside=("no Cell", idle[name]), p95_at_most=50.0)
            )
    return rows


async def _while(
    ours: Served, code: str, seconds: float, calls: dict[str, Callable[[], Awaitable[float]]]
) -> dict[str, list[float]]:
    """The calls' times while a Cell runs that long (0: as long as it runs)."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    is_over = anyio.Event()

    async def cell() -> None:
        await ours.said("repl", code=code, timeout_seconds=seconds or 30.0)
        is_over.set()

    async with anyio.create_task_group() as group:
        group.start_soon(cell)
        await anyio.sleep(0.01)
        while not is_over.is_set():
            for name, call in calls.items():
                found[name].append(await call())
            await anyio.sleep(0.005)
    return found


async def floods(folder: Path, runs: int) -> list[Row]:
    """50 MB printed: how long, what comes back, what it costs the server."""
    home, repo = folder / "flood", folder / "flood-repo"
    repo.mkdir()
    big_session.write(home, events=100, event_bytes=200, cwd=str(repo))
    command = [sys.executable, "-m", "rlm_mcp", "serve", "--repo", str(repo)]
    rows: list[Row] = []
    async with serving(home, command, str(repo)) as ours:
        for what, code in (
            ("50 MB printed at once", "print('abcdefghi ' * 5_000_000)"),
            ("50 MB printed, a line of 100 each", "for n in range(500_000): print(f'{n:099d}')"),
            ("10 MB printed at once (all kept)", "print('abcdefghi ' * 1_000_000)"),
            ("10 MB printed, words that differ", "print(' '.join(map(str, range(1_300_000))))"),
        ):
            times, shown, peaks = [], [], []
            for _ in range(runs):
                await ours.said("repl", code="1")
                forget_peak(ours.pid)
                before = storage(ours.pid)
                started = time.perf_counter()
                text = await ours.said("repl", code=code)
                times.append((time.perf_counter() - started) * 1000)
                shown.append(float(len(text)))
                peaks.append(storage(ours.pid).peak - before.own - before.mapped)
            rows.append(row("7 floods", what, times))
            rows.append(row("7 floods", "  shown", shown, unit="characters"))
            rows.append(row("7 floods", "  server's peak above before", peaks, unit="MB"))
    return rows
