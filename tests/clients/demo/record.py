"""Records ``rlm_mcp/cli/recorded_session.jsonl`` with the real client: ``python -m tests.clients.demo.record CLAUDE``.

``script.json`` holds the small repository's files, the prompts, what the model says and calls, and the summary that the
fake provider gives when the client's own compaction asks for one: all written by hand. The commands, their outputs, the
edits and the compaction are real. Left out of the recording: whole records that hold the client's own prompt texts, or
hashes of what it sent; replaced: this machine's paths.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from tests.clients.claude_provider import Provider, Step
from tests.clients.claude_rig import ClaudeHome, headless
from tests.clients.demo import repository

RECORDING = Path(__file__).resolve().parents[3] / "rlm_mcp" / "cli" / "recorded_session.jsonl"
_SCRIPT = Path(__file__).with_name("script.json")
_LEFT_OUT = {
    "api-request",
    "api-request-blob",
    "api-request-shape",
    "atis-latch",
    "cost-state",
    "queue-operation",
    "tools-used",
}
_ATTACHMENTS = {"date", "edited_text_file", "file", "model"}
_FLAGS = (
    "--model",
    "claude-sonnet-4-5",
    "--dangerously-skip-permissions",
    "--system-prompt",
    "You are a coding assistant.",
    "--tools",
    "Bash,Read,Edit,Write,ToolSearch,TaskCreate,TaskUpdate",
    "--disable-slash-commands",
)
_LIMIT = {"CLAUDE_CODE_AUTO_COMPACT_WINDOW": "100000", "CLAUDE_AUTOCOMPACT_PCT_OVERRIDE": "52"}
"""Compaction at about 41,600 tokens: in the middle of the last turn."""


class _Scripted(Provider):
    """Answers the summariser with the script's summary."""

    summary = ""

    def _step(self, kind: str, body: dict[str, Any]) -> Step:
        return Step(text=self.summary) if kind == "summary" else super()._step(kind, body)


def record(binary: Path, root: Path) -> str:
    """The recorded transcript's text."""
    script: dict[str, Any] = json.loads(_SCRIPT.read_text(encoding="utf-8"))
    provider = _Scripted()
    provider.summary = script["summary"]
    threading.Thread(target=provider.serve, daemon=True).start()
    found = Path(sys.executable).parent
    extra = {**_LIMIT, "PATH": f"{found}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    home = ClaudeHome(root=root, binary=binary, url=provider.url, extra=extra)
    home.prepare()
    repository.make(home.project, script["files"])
    for turn in script["turns"]:
        provider.steps += [_step(step, str(home.project)) for step in turn["steps"]]
    with headless(home, *_FLAGS, limit_seconds=300) as client:
        for turn in script["turns"]:
            client.say(turn["prompt"])
    summaries = len(provider.of_kind("summary"))
    provider.close()
    assert summaries == 1, f"the client compacted {summaries} times; adjust _LIMIT"
    (transcript,) = home.transcripts()
    kept = [line for line in transcript.read_text(encoding="utf-8").splitlines() if _is_kept(json.loads(line))]
    text = "\n".join(kept) + "\n"
    slug = str(home.project).replace("/", "-").replace("_", "-").replace(".", "-")
    for here, there in (
        (str(home.project), "/home/dev/parcel"),
        (slug, "-home-dev-parcel"),
        (str(root / "home"), "/home/dev"),
        (str(found), "/usr/bin"),
    ):
        text = text.replace(here, there)
    return text


def _step(step: dict[str, Any], project: str) -> Step:
    filled = json.loads(json.dumps(step).replace("{project}", project))
    calls = [(name, arguments) for name, arguments in filled.get("calls", [])]
    first: tuple[str, dict[str, object]] = calls[0] if calls else ("", {})
    return Step(text=filled.get("text", ""), tool=first[0], arguments=first[1], more_calls=tuple(calls[1:]))


def _is_kept(record: dict[str, Any]) -> bool:
    if record["type"] == "attachment":
        return record["attachment"]["type"] in _ATTACHMENTS
    return record["type"] not in _LEFT_OUT


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="rlm-mcp-record-") as folder:
        recorded = record(Path(sys.argv[1]), Path(folder))
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else RECORDING
    target.write_text(recorded, encoding="utf-8")
    print(f"{target}: {len(recorded):,} characters")
