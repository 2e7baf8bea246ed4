"""What came back from a tool call of Claude Code, whatever the tool."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from rlm_mcp.events import Action, OtherTool, Payload
from rlm_mcp.text import one_line
from rlm_mcp.transcripts.claude_code_text import content_text

_USER_SAID = re.compile(r"\bthe user said:\n?|reason for the rejection:\s*", re.IGNORECASE)
REFUSALS = (
    "The user doesn't want to",
    "User rejected",
    "[Request interrupted by user",
    "Permission for this",
    "Permission to use",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call whose result is awaited; empty where the call was not seen."""

    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    time: float | None = None
    call_id: str = ""
    cwd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """One finished call."""

    name: str
    arguments: dict[str, Any]
    text: str
    """What came back, whole."""
    detail: dict[str, Any]
    """``toolUseResult`` where it is an object, else empty."""
    failed: bool = False
    cwd: str = ""
    seconds: float | None = None


def full_text(shown: str, detail: Any) -> str:
    """The longer of what the model saw and what the client kept beside it."""
    kept = ""
    if isinstance(detail, dict):
        streams = [detail[key] for key in ("stdout", "stderr") if isinstance(detail.get(key), str) and detail[key]]
        file = detail.get("file")
        if streams and not detail.get("isImage"):
            kept = streams[0] if len(streams) == 1 else streams[0].removesuffix("\n") + "\n" + streams[1]
        elif isinstance(file, dict) and isinstance(file.get("content"), str) and detail.get("type") == "text":
            kept = file["content"]
        elif isinstance(detail.get("content"), str) and detail.get("mode") == "content":
            kept = detail["content"]
    return kept if len(kept) > len(shown) else shown


def picture_of(detail: Any) -> tuple[tuple[Payload, ...], str]:
    """The picture a shell command printed, and the marker that stands for it."""
    if not isinstance(detail, dict) or detail.get("isImage") is not True or not isinstance(detail.get("stdout"), str):
        return (), ""
    head, _, encoded = detail["stdout"].partition(";base64,")
    block = {"type": "base64", "media_type": head.removeprefix("data:") or "image/png", "data": encoded}
    marker, payloads = content_text([{"type": "image", "source": block}])
    return payloads, marker


def background_task(result: ToolResult) -> str:
    """The id of the background task that the call began; empty where it came to its end."""
    if result.detail.get("isAsync") is True or result.detail.get("status") == "async_launched":
        return string(result.detail, "agentId")
    return string(result.detail, "backgroundTaskId")


def refused(result: ToolResult) -> bool:
    """The user or a rule said no: the tool never ran."""
    return result.failed and result.text.startswith(REFUSALS)


def words_of_user(result_text: str) -> str:
    """What the user said when refusing a tool; empty where nothing."""
    found = _USER_SAID.search(result_text)
    return result_text[found.end() :].strip() if found else ""


def other_tool(result: ToolResult) -> OtherTool:
    """The untyped view of a call: its name and its main arguments on one line."""
    parts = [f"{key}={one_line(str(value), 80)}" for key, value in list(result.arguments.items())[:8]]
    return OtherTool(name=result.name, summary=one_line(", ".join(parts), 300), failed=result.failed)


def any_tool(result: ToolResult) -> tuple[Action, ...]:
    """``other_tool`` as a tool's Actions."""
    return (other_tool(result),)


def string(source: dict[str, Any], *keys: str) -> str:
    """The first of ``keys`` that holds a string; empty where none does."""
    return next((source[key] for key in keys if isinstance(source.get(key), str)), "")


def number(source: dict[str, Any], key: str) -> int:
    """The integer at ``key``, or 0."""
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
