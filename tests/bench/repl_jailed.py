"""The Jail and its Repl without a server around them: starts, native speed, saving, a thousand Cells."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlm_mcp.config import Paths, Settings
from rlm_mcp.sandbox.jail import Jail, Limits
from rlm_mcp.sandbox.jailed import JailedRepl
from rlm_mcp.sandbox.layers import confinement, survey
from rlm_mcp.sandbox.mounts import Mapped
from rlm_mcp.sandbox.repl import Cell
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.repl_answer import ReplAnswer
from rlm_mcp.wiring import Repls, Stores
from tests.bench import big_session
from tests.bench.measured import Row, interleaved, row

_KNOWN: dict[str, Any] = {
    "key": "00000000", "events": 0, "turns": 0, "log_bytes": 0, "title": "", "cwd": "", "model": "", "started": None,
    "updated": None, "earlier": [],
}  # fmt: skip


def _milliseconds(run: Callable[[], object]) -> float:
    before = time.perf_counter()
    run()
    return (time.perf_counter() - before) * 1000


def starts(runs: int) -> list[Row]:
    """Spawn to ready, with every layer and without bubblewrap, beside a Python that does nothing."""
    walls = confinement(survey())
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    choices = {"all layers": walls}
    if walls.bubblewrap is not None and walls.landlock:
        choices["without bubblewrap"] = dataclasses.replace(walls, bubblewrap=None)
    measures: dict[str, Callable[[], float]] = {
        "bare": lambda: _milliseconds(lambda: subprocess.run(bare, env={}, check=True)),
        "bare, cloudpickle and json": lambda: _milliseconds(
            lambda: subprocess.run([sys.executable, "-I", "-c", "import cloudpickle, json"], env={}, check=True)
        ),
    }
    for name, layers in choices.items():
        measures[name] = lambda layers=layers: _started(layers)  # type: ignore[misc]  # bound here
    for measure in measures.values():
        measure()
    found = interleaved(measures, runs)
    part = "2 start of a Jail"
    rows = [row(part, "python -I -S -c pass", found["bare"])]
    rows.append(row(part, "python -I, importing cloudpickle and json", found["bare, cloudpickle and json"]))
    return rows + [
        row(part, f"spawn to ready, {name}", found[name], beside=("bare", found["bare"]), at_most=100.0)
        for name in choices
    ]


def _started(layers: Any) -> float:
    before = time.perf_counter()
    repl = JailedRepl(Jail.start(Mapped(), Limits(), layers))
    took = (time.perf_counter() - before) * 1000
    repl.close()
    return took


@contextmanager
def _session(folder: Path, name: str) -> Iterator[tuple[Stores, Store, SessionRow, Repls]]:
    """A Session with its Repl, in this process."""
    home = folder / name
    found = big_session.write(home, events=100, event_bytes=200)
    with Stores(Paths(home=home), Settings()) as stores, stores.lend() as store, Repls(stores) as repls:
        yield stores, store, found, repls


def _wait_for_spare(repls: Repls) -> None:
    deadline = time.monotonic() + 10.0
    while not repls._spares and time.monotonic() < deadline:
        time.sleep(0.01)


def restarts(folder: Path, runs: int) -> list[Row]:
    """The Cell behind a killed child, with and without a spare, with nothing and with 1 MB of variables saved."""
    part = "2 start of a Jail"
    rows: list[Row] = []
    with _session(folder, "restarts") as (_stores, store, session, repls):

        def run(code: str) -> ReplAnswer:
            return repls.run(store, session, code)

        def again(*, has_spare: bool) -> float:
            run("import os; os._exit(1)")
            if has_spare:
                _wait_for_spare(repls)
            else:
                _wait_for_spare(repls)
                repls._end_spares()
            return _milliseconds(lambda: run("1"))

        run("1")
        for what, code in (
            ("nothing saved", "reset()"),
            ("1 MB of variables", "rows = [{'id': i, 'name': f'row {i}', 'score': i / 7} for i in range(26_000)]"),
        ):
            run(code)
            repls._held[session.key].repl.park(store, session)
            found = interleaved({"spare": lambda: again(has_spare=True), "none": lambda: again(has_spare=False)}, runs)
            rows.append(row(part, f"first Cell, a warm spare, {what}", found["spare"], at_most=100.0))
            rows.append(row(part, f"first Cell, no spare, {what}", found["none"]))
    return rows


_WORK = {
    "regex over 50 MB": (
        "import re\ntext = ('the quick brown fox jumps over the lazy dog, order PX-20417;\\n' * 900_000)[:50_000_000]",
        r"found = len(re.findall(r'PX-\d+', text))",
    ),
    "loop of 3 million, in the open": ("", "total = 0\nfor i in range(3_000_000):\n    total += i & 7"),
    "loop of 3 million, in a function": (
        "def add(n):\n    total = 0\n    for i in range(n):\n        total += i & 7\n    return total",
        "add(3_000_000)",
    ),
    "json.loads of 20 MB": (
        "import json\ntext = json.dumps([{'id': i, 'name': f'row {i}', 'tags': ['a', 'b']} for i in range(400_000)])",
        "rows = json.loads(text)\ndel rows",
    ),
    "sorting a million numbers": (
        "import random\nchance = random.Random(5)\nnumbers = [chance.random() for _ in range(1_000_000)]",
        "kept = sorted(numbers)\ndel kept",
    ),
    "a dict of a million, counted": (
        "",
        "seen = {}\nfor i in range(1_000_000):\n    seen[i % 5000] = seen.get(i % 5000, 0) + 1",
    ),
}
"""What to prepare, what to measure."""
_TIMED = "import time\n_before = time.process_time()\n{code}\nprint(time.process_time() - _before)"
"""Processor time: others on the machine do not count."""
_OUTSIDE = """
import json, sys
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    exec(compile(json.loads(line), "<cell>", "exec"), namespace)
    print("done", flush=True)
"""


def native(runs: int) -> list[Row]:
    """The same code in the Jail and in a Python without walls: parts of the latter's speed."""
    rows: list[Row] = []
    outside = [sys.executable, "-I", "-X", "utf8", "-c", _OUTSIDE]
    for what, (prepare, code) in _WORK.items():
        repl = JailedRepl(Jail.start(Mapped(), Limits(), confinement(survey())))
        number = 0

        def inside(cell: str, repl: JailedRepl = repl) -> str:
            nonlocal number
            number += 1
            outcome = repl.run(Cell(number=number, code=cell, timeout_seconds=60.0, session=_KNOWN), {})
            assert not outcome.why, outcome
            return outcome.output

        with subprocess.Popen(outside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            timed = _TIMED.format(code=code)
            try:
                inside(prepare)
                _outside(other, prepare)
                inside(timed)
                _outside(other, timed)
                found = interleaved(
                    {
                        "inside": lambda inside=inside, timed=timed: float(inside(timed)) * 1000,  # type: ignore[misc]
                        "outside": lambda other=other, timed=timed: float(_outside(other, timed)) * 1000,  # type: ignore[misc]
                    },
                    runs,
                )
            finally:
                repl.close()
                other.stdin.close()  # type: ignore[union-attr]  # a pipe
        rows.append(
            row(
                "3 native speed", what, found["inside"], beside=("speed without walls", found["outside"]),
                is_speed=True, ratio_at_least=0.95,
            )
        )  # fmt: skip
    return rows


def _outside(other: subprocess.Popen[str], code: str) -> str:
    """What the other Python prints."""
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write(json.dumps(code) + "\n")
    other.stdin.flush()
    said = ""
    while (line := other.stdout.readline()) != "done\n":
        assert line, "it ended"
        said += line
    return said


_ROWS = "rows = [{'id': i, 'name': f'row number {i}', 'score': i / 7, 'tags': ['x', str(i)]} for i in range(550_000)]"
_PLAIN_SAVE = "import pickle, io\nfile = io.BytesIO()\npickle.Pickler(file, protocol=5).dump(rows)"
_PLAIN_LOAD = "again = pickle.loads(file.getbuffer())\ndel again"


def saving(folder: Path, runs: int) -> list[Row]:
    """Some 37 MB of dicts saved and taken back, beside pickle in a Python without walls."""
    part = "6 saving"
    times: dict[str, list[float]] = {"save": [], "restore": [], "pickle": [], "unpickle": []}
    with (
        _session(folder, "saving") as (_stores, store, session, repls),
        subprocess.Popen(
            [sys.executable, "-I", "-c", _OUTSIDE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other,
    ):
        repls.run(store, session, _ROWS)
        _outside(other, _ROWS)
        held = repls._held[session.key].repl
        for _ in range(runs):
            repls.run(store, session, "1")
            _wait_for_spare(repls)
            times["save"].append(_milliseconds(lambda: held.park(store, session)))
            times["pickle"].append(float(_outside(other, _TIMED.format(code=_PLAIN_SAVE))) * 1000)
            times["restore"].append(_milliseconds(lambda: repls.run(store, session, "len(rows)")))
            times["unpickle"].append(float(_outside(other, _TIMED.format(code=_PLAIN_LOAD))) * 1000)
        size = sum(path.stat().st_size for path in store.paths.repl.glob("*.vars")) / 1e6
        assert other.stdin is not None
        other.stdin.close()
    return [
        row(part, f"{size:.0f} MB saved, its process ended", times["save"], beside=("pickle", times["pickle"])),
        row(
            part, "  restored by the next Cell, a spare there", times["restore"], beside=("unpickle", times["unpickle"])
        ),
    ]


def many_cells(folder: Path, count: int) -> list[Row]:
    """Small Cells in a row: what each takes at first and at last, and what each leaves in the store."""
    part = f"6 {count:,} small Cells"
    with _session(folder, "many") as (_stores, store, session, repls):
        before = _size(store.paths.home)
        times = [
            _milliseconds(lambda n=n: repls.run(store, session, f"x{n % 50} = {n}\nx{n % 50} + 1"))  # type: ignore[misc]
            for n in range(count)
        ]
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        grown = (_size(store.paths.home) - before) / count
    tenth = max(1, count // 10)
    return [
        row(part, "each, the first tenth", times[:tenth]),
        row(part, "each, the last tenth", times[-tenth:], beside=("the first tenth", times[:tenth])),
        row(part, "store, each Cell", [grown], unit="bytes"),
    ]


def _size(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
