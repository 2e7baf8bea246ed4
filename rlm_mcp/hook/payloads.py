"""What the clients send to hooks, and what they want back: JSON on one side, plain records on the other.

Formats: https://code.claude.com/docs/en/hooks (Claude Code's classic hooks), the declarations Claude Code ships for
mods (``session.compact``), https://developers.openai.com/codex/hooks (Codex); all seen with the real programs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from rlm_mcp.brief.tail import Message, Role, ToolResult, ToolUse
from rlm_mcp.errors import UsageError
from rlm_mcp.events import Client

ADDITIONAL_CONTEXT_CHARS = 10_000
"""Claude Code shows a hook's text whole up to here; a longer one goes to a file, with a preview of 2 KB."""

_COMMAND_ROWS = (
    "<local-command-stdout>",
    "<local-command-caveat>",
    "<command-name>/compact</command-name>",
)
"""Rows Claude Code writes about /compact itself."""


class Moment(StrEnum):
    """When the client calls."""

    COMPACT = "compact"
    """Claude Code's mod: the window is about to be replaced, and the answer replaces it."""
    SESSION_START = "SessionStart"
    PRE_COMPACT = "PreCompact"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """One call of a hook."""

    client: Client
    moment: Moment
    session: str
    """The Client's id of the Session."""
    transcript: str
    """Path; empty where the client keeps none."""
    cwd: str = ""
    source: str = ""
    """Of SESSION_START: startup, resume, clear, compact or fork."""
    trigger: str = ""
    """Of COMPACT and PRE_COMPACT: auto, manual or plugin."""
    instructions: str = ""
    """What the user wrote behind /compact."""
    process: str = ""
    """The Client's process id, where it says."""
    messages: tuple[Message, ...] = ()
    """Of COMPACT: the latest messages of the Window, oldest first."""


def parse(client: Client, payload: bytes, environ: Mapping[str, str], *, from_mod: bool) -> HookCall:
    """The call that ``payload`` describes.

    Raises:
        UsageError: it is not the JSON object the client is known to send.
    """
    try:
        found = json.loads(payload)
    except ValueError as error:
        raise UsageError(f"a hook was called with {len(payload)} bytes that are not JSON ({error})") from error
    if not isinstance(found, dict):
        raise UsageError(f"a hook was called with JSON of type {type(found).__name__!r}; it must be an object")
    transcript = _text(found, "transcript_path")
    name = _text(found, "hook_event_name")
    known = {str(moment): moment for moment in (Moment.SESSION_START, Moment.PRE_COMPACT)}
    return HookCall(
        client=client,
        moment=Moment.COMPACT if from_mod else known.get(name, Moment.OTHER),
        session=_text(found, "session_id") or PurePath(transcript).stem,
        transcript=transcript,
        cwd=_text(found, "cwd"),
        source=_text(found, "source"),
        trigger=_text(found, "trigger"),
        instructions=_text(found, "instructions") or _text(found, "custom_instructions"),
        process=environ.get("CLAUDE_PID", ""),
        messages=_messages(found.get("messages", [])) if from_mod else (),
    )


def swap_reply(brief: str, tail: Sequence[Message]) -> bytes:
    """The mod's answer: the messages that take the window's place.

    None carries a ``handle``: a kept one brings the whole old conversation back at the next ``--resume``.
    """
    messages = [{"role": "user", "text": brief, "toolUses": []}, *map(_print, tail)]
    return json.dumps({"messages": messages}).encode()


def decline_reply(reason: str) -> bytes:
    """The mod's answer that lets the built-in compaction run."""
    return json.dumps({"decline": reason}).encode()


def context_reply(text: str) -> bytes:
    """A SessionStart hook's answer, of both clients: text for the model."""
    return json.dumps(context_object(text)).encode()


def context_object(text: str) -> dict[str, dict[str, str]]:
    """The same before it is printed."""
    return {"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": text}}


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _messages(found: object) -> tuple[Message, ...]:
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"the mod sent messages of type {type(found).__name__!r}; they must be a list of objects")
    return tuple(_message(each) for each in found if not _text(each, "text").startswith(_COMMAND_ROWS))


def _message(found: Mapping[str, Any]) -> Message:
    return Message(
        role=Role.ASSISTANT if found.get("role") == "assistant" else Role.USER,
        text=_text(found, "text"),
        uses=tuple(
            ToolUse(call_id=str(use["tool_use_id"]), tool=str(use["tool"]), arguments=use.get("input") or {})
            for use in found.get("toolUses") or []
        ),
        results=tuple(
            ToolResult(
                call_id=str(result["tool_use_id"]), text=_text(result, "text"), is_error=bool(result.get("isError"))
            )
            for result in found.get("toolResults") or []
        ),
    )


def _print(message: Message) -> dict[str, Any]:
    printed: dict[str, Any] = {
        "role": str(message.role),
        "text": message.text,
        "toolUses": [
            {"tool_use_id": use.call_id, "tool": use.tool, "input": dict(use.arguments)} for use in message.uses
        ],
    }
    if message.results:
        printed["toolResults"] = [
            {"tool_use_id": result.call_id, "text": result.text, "isError": result.is_error}
            for result in message.results
        ]
    return printed
