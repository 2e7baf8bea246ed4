"""A recorded Claude Code session in its place, and the calls a client makes about it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A transcript where a client keeps it."""

    transcript: Path
    session: str

    def payload(self, event: str = "", **fields: object) -> bytes:
        """What the client writes to a hook's standard input."""
        about = {"session_id": self.session, "transcript_path": str(self.transcript), "cwd": "/home/dev/parcel"}
        return json.dumps({**about, **({"hook_event_name": event} if event else {}), **fields}).encode()

    def window(self) -> list[dict[str, object]]:
        """A window's last messages as the mod sends them: a large output, an interrupted call, a pending prompt."""
        call = {"tool_use_id": self.big_call, "tool": "Bash", "input": {"command": "python -m cProfile"}}
        lonely = {"tool_use_id": "toolu_never_answered", "tool": "Bash", "input": {"command": "sleep 9"}}
        output = {"tool_use_id": self.big_call, "text": "profile line\n" * 20_000, "isError": False}
        return [
            {"role": "user", "text": "<command-name>/compact</command-name>", "toolUses": [], "handle": "0"},
            {"role": "assistant", "text": "I measure.", "toolUses": [call], "handle": "1"},
            {"role": "user", "text": "", "toolUses": [], "toolResults": [output], "handle": "2"},
            {"role": "assistant", "text": "", "toolUses": [lonely], "handle": "3"},
            {"role": "user", "text": "What is next?", "toolUses": [], "handle": "4"},
        ]

    @property
    def big_call(self) -> str:
        """A call id the transcript knows."""
        for line in self.transcript.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            for block in (record.get("message") or {}).get("content") or []:
                if isinstance(block, dict) and block.get("type") == "tool_result":
                    return str(block["tool_use_id"])
        raise AssertionError("the recording holds no tool result")


@pytest.fixture
def recorded(tmp_path: Path, recorded_session: Path) -> Recorded:
    """The recording that ships with the package, under its session's id."""
    first = json.loads(recorded_session.read_text(encoding="utf-8").partition("\n")[0])
    transcript = tmp_path / "projects" / f"{first['sessionId']}.jsonl"
    transcript.parent.mkdir()
    shutil.copy(recorded_session, transcript)
    return Recorded(transcript=transcript, session=first["sessionId"])
