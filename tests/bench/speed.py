"""Speed and size: ingest, search, Brief, the two hooks, the store. Ratios where the machine's load matters.

    python -m tests.bench.speed [--json] [--megabytes 12] [--runs 15] [--python PATH]

The session is made of the real transcripts, repeated with fresh ids, or generated where there are none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.search import search
from tests.bench.careful_reader import take_notes
from tests.bench.generate import generate, repeat
from tests.bench.questions import TYPED, cue_words
from tests.bench.scenes import transcripts_folder
from tests.bench.steps import read_records, read_steps

Figures = dict[str, object]
REPOSITORY = Path(__file__).resolve().parents[2]
HOOK = REPOSITORY / "hooks" / "run_hook.py"
MEGABYTE = 1_000_000
WINDOW_BYTES = 1_500_000
"""A Claude Code transcript of about 200k tokens: a real one stood at 167k when its file had 1.4 MB."""


def make_session(target: Path, size_bytes: int, seed: int = 7) -> str:
    """Writes a Claude Code session of that size; says what it is made of."""
    folder = transcripts_folder() / "claude"
    real = [p for p in sorted(folder.glob("*.jsonl")) if p.stat().st_size > 500_000] if folder.is_dir() else []
    if real:
        repeat(real, target, size_bytes=size_bytes, seed=seed)
        return f"{len(real)} real transcripts repeated"
    generate(target, size_bytes=size_bytes, seed=seed)
    return "generated"


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _milliseconds(values: list[float]) -> Figures:
    return {
        "median_ms": round(statistics.median(values) * 1000, 2),
        "p95_ms": round(_percentile(values, 0.95) * 1000, 2),
        "max_ms": round(max(values) * 1000, 2),
        "runs": len(values),
    }


def ingest_cpu(transcript: Path, folder: Path, runs: int = 3) -> Figures:
    """CPU seconds of a first ingest, facts included, scaled to 12 MB; and how large the store became."""
    seconds: list[float] = []
    events = 0
    home = folder / "ingest"
    for _ in range(runs):
        shutil.rmtree(home, ignore_errors=True)
        with open_store(Paths(home=home), Settings()) as store:
            before = time.process_time()
            found = ingest(store, transcript)
            seconds.append(time.process_time() - before)
            events = sum(one.events for one in found)
    size = transcript.stat().st_size
    scale = 12 * MEGABYTE / size
    return {
        "transcript_bytes": size,
        "cpu_seconds": round(min(seconds), 3),
        "cpu_seconds_per_12_mb": round(min(seconds) * scale, 3),
        "all_runs_per_12_mb": [round(value * scale, 3) for value in seconds],
        "events": events,
        **store_size(Paths(home=home), size),
    }


def store_size(paths: Paths, transcript_bytes: int) -> Figures:
    """Log and database against the transcript; the raw copy apart."""
    logs = sum(p.stat().st_size for p in paths.sessions.rglob("*") if p.is_file())
    database = sum(p.stat().st_size for p in paths.home.glob("store.db*"))
    raw = sum(p.stat().st_size for p in paths.raw.rglob("*") if p.is_file()) if paths.raw.is_dir() else 0
    return {
        "log_bytes": logs,
        "database_bytes": database,
        "raw_bytes": raw,
        "log_and_database_ratio": round((logs + database) / transcript_bytes, 3),
        "raw_ratio": round(raw / transcript_bytes, 3),
    }


def queries(transcript: Path, count: int = 200) -> list[tuple[str, str]]:
    """(mode, query): words of prompts, typed questions, names, phrases and patterns, a fifth of each."""
    notes = take_notes(read_steps(read_records(transcript)))
    chance = random.Random(3)
    facts = chance.sample(notes.facts, min(len(notes.facts), 4 * count))
    cues = [cue for fact in facts if (cue := cue_words(fact, notes.prompts.get(fact.turn, "")))]
    typed = [question for phrasings in TYPED.values() for question in phrasings]
    names = [fact.needle.rsplit("/", 1)[-1] for fact in facts if fact.kind in ("edit", "read", "symbol", "value")]
    phrases = [fact.needle[:40] for fact in facts if fact.kind in ("error", "command", "decision") and fact.needle]
    patterns = [rf"\b{name[:6]}\w*" for name in names if name[:6].isalnum()]
    sources = (("auto", cues), ("auto", typed), ("auto", names), ("phrase", phrases), ("regex", patterns))
    return [(mode, pool[number % len(pool)]) for number in range(count // 5) for mode, pool in sources if len(pool) > 0]


def search_times(transcript: Path, folder: Path) -> Figures:
    """Wall time of 200 mixed searches in a warm store."""
    asked = queries(transcript)
    times: dict[str, list[float]] = {}
    with open_store(Paths(home=folder / "ingest"), Settings()) as store:
        session = locate(store, transcript=transcript)
        for mode, query in asked[:10]:
            search(store, session, query, mode=mode)
        for mode, query in asked:
            before = time.perf_counter()
            search(store, session, query, mode=mode)
            times.setdefault(mode, []).append(time.perf_counter() - before)
    every = [value for values in times.values() for value in values]
    slowest = max(zip(every, asked, strict=False))[1] if every else ("", "")
    return {**_milliseconds(every), **{mode: _milliseconds(values) for mode, values in times.items()}, "hint": slowest}


def brief_times(folder: Path, runs: int) -> Figures:
    """Wall time of a Brief in a warm store at 200k tokens and at 20 times that."""
    figures: Figures = {}
    for name, size in (("200k_tokens", WINDOW_BYTES), ("20_times", 20 * WINDOW_BYTES)):
        transcript = folder / f"{name}.jsonl"
        make_session(transcript, size)
        with open_store(Paths(home=folder / name), Settings()) as store:
            session = locate(store, transcript=transcript)
            brief(store, session)
            times: list[float] = []
            for _ in range(runs):
                before = time.perf_counter()
                brief(store, session)
                times.append(time.perf_counter() - before)
        figures[name] = _milliseconds(times)
    return figures


def _spawn(command: list[str], payload: bytes, environ: dict[str, str]) -> tuple[float, bytes]:
    before = time.perf_counter()
    done = subprocess.run(command, input=payload, env=environ, capture_output=True, check=True)
    return time.perf_counter() - before, done.stdout


def interleaved(commands: dict[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """Times of each command, one after the other in every round, so that load falls on all alike."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, run in commands.items():
            times[name].append(run())
    return times


def hook_times(folder: Path, runs: int, python: str) -> Figures:
    """Spawn to exit of both clients' hooks against a bare Python with json and sqlite3."""
    figures: Figures = {}
    for name in ("200k_tokens", "20_times"):
        transcript, home = folder / f"{name}.jsonl", folder / name
        environ = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "RLM_MCP_HOME": str(home)}
        codex = make_codex(folder, name)
        payloads = {
            "codex SessionStart(compact)": (["codex"], _codex_payload(codex)),
            "claude-code compact": (["claude-code", "compact"], _claude_payload(transcript)),
        }
        commands: dict[str, Callable[[], float]] = {"bare python": _bare(python, environ)}
        answers: dict[str, int] = {}
        for label, (words, payload) in payloads.items():
            command = [python, "-I", "-S", str(HOOK), *words]
            answers[label] = len(_spawn(command, payload, environ)[1])
            commands[label] = _hook(command, payload, environ)
        times = interleaved(commands, runs)
        bare = statistics.median(times["bare python"])
        figures[name] = {
            label: {
                **_milliseconds(values),
                "ratio_to_bare": round(statistics.median(values) / bare, 2),
                "answer_bytes": answers.get(label, 0),
            }
            for label, values in times.items()
        }
    return figures


def _bare(python: str, environ: dict[str, str]) -> Callable[[], float]:
    return lambda: _spawn([python, "-c", "import json,sqlite3"], b"", environ)[0]


def _hook(command: list[str], payload: bytes, environ: dict[str, str]) -> Callable[[], float]:
    return lambda: _spawn(command, payload, environ)[0]


def make_codex(folder: Path, name: str) -> Path:
    """A Codex rollout with the prompts and commands of the Claude Code session of that name."""
    target = folder / "sessions" / name / "rollout-2026-03-02T09-00-00-0193c0de-0000-7000-8000-000000000001.jsonl"
    if target.exists():
        return target
    target.parent.mkdir(parents=True)
    thread = "0193c0de-0000-7000-8000-000000000001"
    stamp = "2026-03-02T09:00:00.000Z"
    rows: list[tuple[str, dict[str, object]]] = [
        ("session_meta", {"id": thread, "session_id": thread, "timestamp": stamp, "cwd": str(folder), "source": "cli"})
    ]
    for number, step in enumerate(read_steps(read_records(folder / f"{name}.jsonl"))):
        if step.kind == "prompt":
            rows.append(("event_msg", {"type": "user_message", "message": step.text, "images": []}))
        elif step.kind == "reply":
            content = [{"type": "output_text", "text": step.text}]
            rows.append(("response_item", {"type": "message", "role": "assistant", "content": content}))
        elif step.kind == "call":
            shell = str(step.args.get("command") or f"sed -n '1,200p' {step.args.get('file_path', 'README.md')}")
            call = f"call_{number}"
            arguments = json.dumps({"cmd": shell, "workdir": str(folder)})
            output = f"Wall time: 0.1 seconds\nProcess exited with code {int(step.failed)}\nOutput:\n{step.output}"
            rows += [
                ("response_item", {"type": "function_call", "name": "exec_command", "arguments": arguments,
                                   "call_id": call}),
                ("response_item", {"type": "function_call_output", "call_id": call, "output": output}),
            ]  # fmt: skip
    rows.append(("compacted", {"message": "", "window_number": 1}))
    lines = [json.dumps({"timestamp": stamp, "type": kind, "payload": payload}) for kind, payload in rows]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _codex_payload(rollout: Path) -> bytes:
    payload = {
        "session_id": "0193c0de-0000-7000-8000-000000000001", "transcript_path": str(rollout), "model": "gpt-5.1-codex",
        "hook_event_name": "SessionStart", "source": "compact",
        "cwd": str(rollout.parent), "permission_mode": "default",
    }  # fmt: skip
    return json.dumps(payload).encode()


def _claude_payload(transcript: Path) -> bytes:
    """What the mod sends: the latest messages of the Window, about 200k tokens of them."""
    messages: list[dict[str, object]] = []
    for step in read_steps(read_records(transcript)):
        if step.kind == "prompt":
            messages.append({"role": "user", "text": step.text, "toolUses": []})
        elif step.kind == "reply":
            messages.append({"role": "assistant", "text": step.text, "toolUses": []})
        elif step.kind == "call":
            call = f"toolu_{len(messages)}"
            use = {"tool_use_id": call, "tool": step.tool, "input": step.args}
            result = {"tool_use_id": call, "text": step.output, "isError": step.failed}
            messages.append({"role": "assistant", "text": "", "toolUses": [use]})
            messages.append({"role": "user", "text": "", "toolUses": [], "toolResults": [result]})
    kept: list[dict[str, object]] = []
    size = 0
    for message in reversed(messages):
        size += len(json.dumps(message))
        if size > WINDOW_BYTES:
            break
        kept.insert(0, message)
    return json.dumps({"trigger": "auto", "transcript_path": str(transcript), "messages": kept}).encode()


def measure(*, megabytes: float, runs: int, python: str) -> Figures:
    """Everything, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="speed-") as name:
        folder = Path(name)
        transcript = folder / "session.jsonl"
        made_of = make_session(transcript, int(megabytes * MEGABYTE))
        return {
            "session": made_of,
            "python": python,
            "ingest": ingest_cpu(transcript, folder),
            "search": search_times(transcript, folder),
            "brief_warm": brief_times(folder, runs),
            "hooks": hook_times(folder, runs, python),
        }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--megabytes", type=float, default=12.0)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the hooks and of the bare spawn")
    args = parser.parse_args()
    figures = measure(megabytes=args.megabytes, runs=args.runs, python=args.python)
    if args.json:
        print(json.dumps(figures, indent=1))
    else:
        for part, values in figures.items():
            print(f"{part}: {json.dumps(values, indent=2) if isinstance(values, dict) else values}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
