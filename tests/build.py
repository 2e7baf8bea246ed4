"""Transcripts for tests, written record by record in the shapes Claude Code 2.1.330 writes (copied from recordings)."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]
SESSION = "5f1c9d1e-0000-4000-8000-000000000001"
CWD = "/home/dev/acme"


class Transcript:
    """A Claude Code session under construction; the same calls give the same bytes."""

    def __init__(self, session: str = SESSION, *, cwd: str = CWD, seed: int = 0, agent: str = "") -> None:
        self.session = session
        self.cwd = cwd
        self.agent = agent
        self.lines: list[bytes] = []
        self.clock = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self._parent: str | None = None
        self._count = 0
        self._name = f"{session}/{agent}/{seed}"

    def _uuid(self) -> str:
        self._count += 1
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._name}/{self._count}"))

    def add(self, record: Json) -> Json:
        """Any record, as it is."""
        self.lines.append(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        return record

    def line(self, raw: bytes) -> None:
        """Any bytes, with a line end."""
        self.lines.append(raw + b"\n")

    def _row(self, kind: str, **more: Any) -> Json:
        self.clock += timedelta(seconds=2)
        row: Json = {
            "parentUuid": self._parent,
            "isSidechain": bool(self.agent),
            **({"agentId": self.agent} if self.agent else {}),
            "type": kind,
            **more,
            "uuid": self._uuid(),
            "timestamp": self.clock.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "userType": "external",
            "entrypoint": "cli",
            "cwd": self.cwd,
            "sessionId": self.session,
            "version": "2.1.330",
            "gitBranch": "main",
        }
        self._parent = str(row["uuid"])
        return self.add(row)

    def user(self, text: str) -> Json:
        """A prompt: opens a Turn."""
        return self._row("user", message={"role": "user", "content": text}, promptId=self._uuid())

    def _assistant(self, block: Json) -> Json:
        message = {
            "id": f"msg_{self._count:05d}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [block], "stop_reason": None, "stop_sequence": None,
            "usage": {"input_tokens": 1000 + self._count, "output_tokens": 50},
        }  # fmt: skip
        return self._row("assistant", message=message, requestId=f"req_{self._count:05d}")

    def reply(self, text: str) -> Json:
        """What the model says."""
        return self._assistant({"type": "text", "text": text})

    def call(self, tool: str, arguments: Json, content: Any, result: Any, *, failed: bool = False) -> str:
        """A tool call and its result; gives the call's id."""
        call_id = f"toolu_{self._uuid().replace('-', '')[:24]}"
        asked = self._assistant({"type": "tool_use", "id": call_id, "name": tool, "input": arguments})
        block = {"tool_use_id": call_id, "type": "tool_result", "content": content, "is_error": failed}
        self._row(
            "user",
            message={"role": "user", "content": [block]},
            toolUseResult=result,
            sourceToolAssistantUUID=asked["uuid"],
        )
        return call_id

    def bash(self, command: str, output: str = "", *, exit_code: int = 0) -> str:
        """A shell command that ran."""
        arguments = {"command": command, "description": "Run it"}
        if exit_code:
            text = f"Exit code {exit_code}\n{output}"
            return self.call("Bash", arguments, text, f"Error: {text}", failed=True)
        result = {"stdout": output, "stderr": "", "interrupted": False, "isImage": False, "noOutputExpected": False}
        return self.call("Bash", arguments, output, result)

    def read(self, path: str, text: str) -> str:
        """A file shown to the model."""
        shown = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(text.split("\n"), start=1))
        count = text.count("\n") + 1
        file = {"filePath": path, "content": text, "numLines": count, "startLine": 1, "totalLines": count}
        return self.call("Read", {"file_path": path}, shown, {"type": "text", "file": file})

    def edit(self, path: str, old: str, new: str) -> str:
        """A change to a file."""
        lines = [f"-{line}" for line in old.split("\n")] + [f"+{line}" for line in new.split("\n")]
        patch = [{
            "oldStart": 1, "oldLines": old.count("\n") + 1, "newStart": 1, "newLines": new.count("\n") + 1,
            "lines": lines,
        }]  # fmt: skip
        result = {
            "filePath": path, "oldString": old, "newString": new, "originalFile": old, "structuredPatch": patch,
            "userModified": False, "replaceAll": False,
        }  # fmt: skip
        arguments = {"file_path": path, "old_string": old, "new_string": new, "replace_all": False}
        return self.call("Edit", arguments, f"The file {path} has been updated successfully.", result)

    def write(self, path: str, content: str) -> str:
        """A file made."""
        result = {"type": "create", "filePath": path, "content": content, "structuredPatch": [], "originalFile": None}
        return self.call(
            "Write", {"file_path": path, "content": content}, f"File created successfully at: {path}", result
        )

    def todos(self, *entries: tuple[str, str]) -> str:
        """The whole todo list: (text, status)."""
        todos = [{"content": text, "status": status, "activeForm": text} for text, status in entries]
        said = "Todos have been modified successfully. Ensure that you continue to use the todo list."
        return self.call("TodoWrite", {"todos": todos}, said, {"oldTodos": [], "newTodos": todos})

    def boundary(self, summary: str) -> None:
        """A built-in compaction."""
        self._row(
            "system",
            subtype="compact_boundary",
            content="Conversation compacted",
            level="info",
            compactMetadata={"trigger": "auto", "preTokens": 150_000},
        )
        self._row(
            "user",
            message={"role": "user", "content": summary},
            isCompactSummary=True,
            isVisibleInTranscriptOnly=True,
        )

    def forked(self, session: str) -> Transcript:
        """What ``--fork-session`` begins with: copies of all rows so far, their times and ids too, under a new id."""
        made = Transcript(session, cwd=self.cwd, seed=1)
        made.clock, made._parent = self.clock, self._parent
        made.lines = [line.replace(self.session.encode(), session.encode()) for line in self.lines]
        return made

    @property
    def content(self) -> bytes:
        """The whole file."""
        return b"".join(self.lines)

    def save(self, path: Path) -> Path:
        """Written to ``path``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)
        return path


def a_day(session: str = SESSION, *, turns: int = 4, cwd: str = CWD, hour: int = 9) -> Transcript:
    """A session of ordinary work: rules, edits, failing and passing tests, todos, a decision a Turn."""
    made = Transcript(session, cwd=cwd)
    made.clock = made.clock.replace(hour=hour)
    for turn in range(1, turns + 1):
        rule = "Never touch the public API of parser.py. " if turn == 1 else ""
        made.user(f"Please fix ticket ACME-{turn}00 in src/area{turn}/loader.py: totals come out wrong. {rule}")
        made.todos((f"Find the cause of ACME-{turn}00", "in_progress"), (f"Test area{turn}", "pending"))
        made.reply(f"I'll look at area{turn} first.")
        made.read(f"{cwd}/src/area{turn}/loader.py", f"def load_{turn}(rows):\n    return sum(rows) + {turn}\n")
        made.bash(
            f"pytest tests/area{turn} -q",
            f"FAILED tests/area{turn}/test_loader.py::test_total_{turn} - AssertionError: assert {turn} == 0\n"
            f"1 failed, {turn + 2} passed in 0.1{turn}s",
            exit_code=1,
        )
        made.edit(
            f"{cwd}/src/area{turn}/loader.py",
            f"    return sum(rows) + {turn}",
            f"    return sum(rows)\n\n\ndef check_{turn}(rows):\n    return all(rows)",
        )
        made.bash(f"pytest tests/area{turn} -q", f"{turn + 3} passed in 0.1{turn}s")
        made.todos((f"Find the cause of ACME-{turn}00", "completed"), (f"Test area{turn}", "completed"))
        made.reply(
            f"I decided to drop the offset in area{turn} because the caller adds it already. Done with ACME-{turn}00."
        )
    return made
