"""A client's transcript as plain Steps, read from the raw JSON alone.

Part of the continuity measure, and so apart from the product on purpose: nothing here imports ``rlm_mcp``. A Step is
one thing a careful reader would see: a prompt, a reply, a tool call together with its result, a built-in summary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Json = dict[str, Any]
StepKind = Literal["prompt", "reply", "call", "summary", "compaction", "interrupt"]

_BLOCKS = re.compile(
    r"<(system-reminder|ide_opened_file|ide_selection|local-command-\w+|environment_context|user_instructions)>"
    r".*?</\1>",
    re.DOTALL,
)
_NOT_THE_USER = re.compile(
    r"\s*(\[Request interrupted|Caveat: The messages below|<(agent|task)-notification|# AGENTS\.md instructions"
    r"|<turn_aborted|<permissions|<skill|<INSTRUCTIONS|<bash-(stdout|stderr)|<collaboration_mode|# rlm-mcp brief)"
)
_BETWEEN = re.compile(r"[\s,]*")
_SUMMARY = "This session is being continued from a previous conversation"
_COMMAND_NAME = re.compile(r"<command-name>(.*?)</command-name>", re.DOTALL)
_COMMAND_ARGS = re.compile(r"<command-args>(.*?)</command-args>", re.DOTALL)
_REFUSED = re.compile(
    r"The user doesn't want to proceed|The user doesn't want to take this action|user rejected"
    r"|\A\s*\[Request interrupted|\APermission prompt was aborted"
)
_EXIT_CODE = re.compile(r"(?:exited with code|[Ee]xit code:?|\"exit_code\":)\s*(-?\d+)")
_STILL_RUNNING = re.compile(r"Process running with session ID (\d+)")
_CODEX_FRAME = re.compile(r"\A(?:Chunk ID:.*\n|Wall time:.*\n|Process .*\n|Original token count:.*\n)*Output:\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One JSON record and where it lies in its file, in bytes; ``body`` None where the line is no JSON object."""

    start: int
    end: int
    body: Json | None


@dataclass(slots=True, kw_only=True)
class Step:
    """One thing that happened in the main conversation (sub-agents' own records are left out)."""

    kind: StepKind
    text: str
    turn: int
    """Number of the Turn, from 1; 0 before the first prompt."""
    at: int
    """Byte offset of the end of the record that completed it."""
    tool: str = ""
    args: Json = field(default_factory=dict)
    output: str = ""
    failed: bool = False
    refused: bool = False
    """The user refused the call; ``output`` says why."""
    done: bool = True
    cwd: str = ""


def read_records(path: Path) -> list[Record]:
    """Records of a JSONL file or of one JSON array, in file order."""
    raw = path.read_bytes()
    if raw.lstrip()[:1] == b"[":
        return list(_array_records(raw))
    found: list[Record] = []
    offset = 0
    for line in raw.splitlines(keepends=True):
        body = _parse(line)
        if line.strip():
            found.append(Record(start=offset, end=offset + len(line), body=body))
        offset += len(line)
    return found


def _array_records(raw: bytes) -> Iterator[Record]:
    text = raw.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder()
    at = text.index("[") + 1
    chars = offset = 0
    while (blank := _BETWEEN.match(text, at)) and text[blank.end() : blank.end() + 1] == "{":
        start = blank.end()
        body, at = decoder.raw_decode(text, start)
        first = offset + len(text[chars:start].encode("utf-8", "surrogateescape"))
        offset = first + len(text[start:at].encode("utf-8", "surrogateescape"))
        chars = at
        yield Record(start=first, end=offset, body=body if isinstance(body, dict) else None)


def _parse(line: bytes) -> Json | None:
    try:
        body = json.loads(line)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def is_codex(records: list[Record]) -> bool:
    """True for a rollout of Codex."""
    return any(r.body is not None and r.body.get("type") == "session_meta" for r in records[:5])


def read_steps(records: list[Record]) -> list[Step]:
    """Steps of these records, in the order in which they began."""
    return (_Codex if is_codex(records) else _Claude)().steps(records)


def compaction_cuts(records: list[Record]) -> list[int]:
    """How many records stood in the file when each built-in compaction began."""
    cuts: list[int] = []
    previous_was_boundary = False
    for number, record in enumerate(records):
        body = record.body or {}
        boundary = body.get("subtype") == "compact_boundary" or body.get("type") == "compacted"
        if (boundary or (body.get("isCompactSummary") and not previous_was_boundary)) and number > 3:
            cuts.append(number)
        if body.get("type") in ("user", "assistant") or boundary:
            previous_was_boundary = boundary
    return cuts


def builtin_summary(records: list[Record], cut: int) -> str:
    """Text of the built-in summary that follows the cut; empty where there is none or it is encrypted."""
    for record in records[cut : cut + 12]:
        body = record.body or {}
        if body.get("isCompactSummary"):
            return _text_of((body.get("message") or {}).get("content"))
        if body.get("type") == "compacted":
            payload = body.get("payload") or {}
            kept = [_text_of(item.get("content")) for item in payload.get("replacement_history") or []]
            return "\n".join([payload.get("message") or "", *(t for t in kept if not _NOT_THE_USER.match(t))])
    return ""


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(b.get("text", "")) for b in content if isinstance(b, dict) and "text" in b)
    return ""


def user_words(text: str) -> str:
    """What the user typed: without reminders and other blocks the client wrapped around it; '' where nothing is."""
    name = _COMMAND_NAME.search(text)
    if name:
        args = _COMMAND_ARGS.search(text)
        typed = args[1].strip() if args else ""
        command = name[1].strip()
        return f"{command} {typed}" if typed else ""
    text = _BLOCKS.sub("", text).strip()
    return "" if _NOT_THE_USER.match(text) else text


class _Claude:
    def __init__(self) -> None:
        self.found: list[Step] = []
        self.calls: dict[str, Step] = {}
        self.turn = 0

    def steps(self, records: list[Record]) -> list[Step]:
        for record in records:
            body = record.body or {}
            if body.get("subtype") == "compact_boundary":
                self._add("compaction", "", record)
            if body.get("type") not in ("user", "assistant") or body.get("isSidechain"):
                continue
            content = (body.get("message") or {}).get("content")
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
            for block in blocks:
                self._block(block, body, record)
        return self.found

    def _block(self, block: Json, body: Json, record: Record) -> None:
        kind = block.get("type")
        if kind == "tool_use":
            args = block.get("input") if isinstance(block.get("input"), dict) else {}
            step = self._add("call", "", record)
            step.tool, step.args, step.done = str(block.get("name")), args or {}, False
            step.cwd = str(body.get("cwd") or "")
            self.calls[str(block.get("id"))] = step
        elif kind == "tool_result":
            self._result(block, body, record)
        elif kind == "text" and body.get("type") == "assistant":
            if str(block.get("text", "")).strip():
                self._add("reply", str(block["text"]), record)
        elif kind == "text":
            self._user_text(str(block.get("text", "")), body, record)

    def _user_text(self, text: str, body: Json, record: Record) -> None:
        if body.get("isCompactSummary") or text.startswith(_SUMMARY):
            self._add("summary", text, record)
        elif text.startswith("[Request interrupted"):
            self._add("interrupt", text, record)
        elif not body.get("isMeta") and (words := user_words(text)):
            self.turn += 1
            self._add("prompt", words, record)

    def _result(self, block: Json, body: Json, record: Record) -> None:
        step = self.calls.get(str(block.get("tool_use_id")))
        if step is None:
            return
        shown = _text_of(block.get("content"))
        step.output = re.sub(r"<system-reminder>.*?</system-reminder>", "", shown, flags=re.DOTALL)
        extra = body.get("toolUseResult")
        interrupted = isinstance(extra, dict) and bool(extra.get("interrupted"))
        step.failed = bool(block.get("is_error")) or interrupted
        step.refused = bool(_REFUSED.search(step.output))
        step.done, step.at = True, record.end

    def _add(self, kind: StepKind, text: str, record: Record) -> Step:
        step = Step(kind=kind, text=text, turn=self.turn, at=record.end)
        self.found.append(step)
        return step


class _Codex:
    def __init__(self) -> None:
        self.found: list[Step] = []
        self.calls: dict[str, Step] = {}
        self.running: dict[str, Step] = {}
        self.turn = 0
        self.cwd = ""

    def steps(self, records: list[Record]) -> list[Step]:
        said = {
            (r.body or {}).get("payload", {}).get("type")
            for r in records
            if isinstance((r.body or {}).get("payload"), dict)
        }
        self.prompts_in_events = "user_message" in said
        for record in records:
            body = record.body or {}
            payload = body.get("payload")
            if not isinstance(payload, dict):
                continue
            if body.get("type") in ("session_meta", "turn_context"):
                self.cwd = str(payload.get("cwd") or self.cwd)
            elif body.get("type") == "compacted":
                self._add("compaction", str(payload.get("message") or ""), record)
            elif body.get("type") == "event_msg" and payload.get("type") == "user_message":
                self._prompt(str(payload.get("message") or ""), record)
            elif body.get("type") == "response_item":
                self._item(payload, record)
        return self.found

    def _item(self, payload: Json, record: Record) -> None:
        kind = payload.get("type")
        if kind == "message" and payload.get("role") == "assistant":
            self._add("reply", _text_of(payload.get("content")), record)
        elif kind == "message" and payload.get("role") == "user" and not self.prompts_in_events:
            self._prompt(_text_of(payload.get("content")), record)
        elif kind in ("function_call", "custom_tool_call", "local_shell_call"):
            self._call(payload, record)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._output(payload, record)

    def _prompt(self, text: str, record: Record) -> None:
        if words := user_words(text):
            self.turn += 1
            self._add("prompt", words, record)

    def _call(self, payload: Json, record: Record) -> None:
        step = self._add("call", "", record)
        step.tool, step.done, step.cwd = str(payload.get("name")), False, self.cwd
        given = payload.get("arguments") if "arguments" in payload else payload.get("input")
        args = _parse(str(given).encode()) if payload.get("type") == "function_call" else None
        step.args = args if args is not None else {"input": str(given)}
        step.cwd = str(step.args.get("workdir") or step.cwd)
        self.calls[str(payload.get("call_id"))] = step

    def _output(self, payload: Json, record: Record) -> None:
        step = self.calls.get(str(payload.get("call_id")))
        if step is None:
            return
        given = payload.get("output")
        shown = given if isinstance(given, str) else _text_of(given)
        if shown.startswith("{") and (packed := _parse(shown.encode())) and isinstance(packed.get("output"), str):
            code = (packed.get("metadata") or {}).get("exit_code", 0)
            shown = f"Process exited with code {code}\nOutput:\n{packed['output']}"
        step.done, step.at = True, record.end
        if step.tool == "write_stdin" and (earlier := self.running.get(str(step.args.get("session_id")))):
            step = earlier
        code_found = _EXIT_CODE.search(shown[:400])
        step.output += _CODEX_FRAME.sub("", shown)
        step.failed = bool(code_found and int(code_found[1]) != 0) or "verification failed" in shown[:200]
        if still := _STILL_RUNNING.search(shown[:400]):
            self.running[still[1]] = step

    def _add(self, kind: StepKind, text: str, record: Record) -> Step:
        step = Step(kind=kind, text=text, turn=self.turn, at=record.end)
        self.found.append(step)
        return step
