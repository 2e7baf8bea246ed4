"""Codex's messages: who speaks, what a person would read, and the text by which two records of one message are known.

A ``role: user`` item may be the user's words or text of the client's own. From 0.169 on ``content_item_kinds`` says
which (``user.text``; ``environments.environment_context``, ``hooks.additional_context`` ...); before, the client's own
texts are known by how they begin.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from rlm_mcp.events import Payload
from rlm_mcp.transcripts.codex_output import image, string

_BRIEF = "# rlm-mcp brief"
_IMAGE_TAG = re.compile(r"\s*(?:<image\b[^>]*>|</image>)\s*")
_IMAGE_PATH = re.compile(r"path=\"([^\"]+)\"")
_IMAGE_NAME = re.compile(r"name=(\[[^\]]*\]|[^\s>]+)")
_USER_SHELL = re.compile(r"<user_shell_command>\s*<command>\n?(.*?)\n?</command>", re.DOTALL)
_PLAN_BLOCK = re.compile(r"<proposed_plan>.*?</proposed_plan>", re.DOTALL)
_OF_CLIENT = re.compile(
    r"# AGENTS\.md instructions|<(?:environment_context|environments_instructions|user_instructions|INSTRUCTIONS"
    r"|permissions instructions|collaboration_mode|personality_spec|model_switch|skill|skills_instructions"
    r"|plugins_instructions|apps_instructions|subagent_notification|user_shell_command|hook_prompt|context_window"
    r"|recommended_plugins|goal_context|turn_aborted|memory_instructions|realtime_conversation)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, whichever record told of it."""

    role: str
    """``prompt``, ``reply``, ``note``, ``aborted`` or ``user_shell``."""
    text: str
    echo: str = ""
    """What both records of one message have in common."""
    uuid: str = ""
    payloads: tuple[Payload, ...] = ()


def is_brief(text: str) -> bool:
    """Whether a note of the client is a Brief that our hook gave."""
    return text.lstrip().startswith(_BRIEF)


def squeezed(text: str) -> str:
    """``text`` without white space."""
    return "".join(text.split())


def plain(value: Any) -> str:
    """Readable text of a value: strings and content items as they are, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [item["text"] for item in value if isinstance(item, dict) and isinstance(item.get("text"), str)]
        if texts:
            return "\n".join(texts)
    return json.dumps(value, ensure_ascii=False)


def summary_body(message: str) -> str:
    """The model's own words in the message of a local compaction, without the client's introduction of them."""
    return message.partition(":\n")[2] if message.startswith("Another language model ") else message


def item_message(item: dict[str, Any]) -> Message:
    """The message of a ``response_item``."""
    content = item.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    if isinstance(content, str):
        parts = [{"text": content}]
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    words = [text for text in texts if not _IMAGE_TAG.fullmatch(text)]
    pictures = [_picture(text) for text in texts if _IMAGE_TAG.fullmatch(text) and "</image>" not in text]
    payloads = tuple(payload for payload in map(image, parts) if payload is not None)
    role = _role(item, "\n".join(words))
    shown = "\n".join([*words, *(pictures or ["[image]"] * len(payloads))])
    return Message(
        role=role, text=shown, echo=_echo(role, "".join(words)), uuid=string(item.get("id")), payloads=payloads
    )


def _echo(role: str, text: str) -> str:
    """What the other record of a message has in common with ``text``."""
    if role == "reply":
        return _PLAN_BLOCK.sub("", text)
    ran = _USER_SHELL.match(text) if role == "user_shell" else None
    return ran[1] if ran else "" if role == "aborted" else text


def _role(item: dict[str, Any], text: str) -> str:
    role = item.get("role")
    if role == "assistant":
        return "reply"
    if role != "user":
        return "note"
    passed = item.get("internal_chat_message_metadata_passthrough")
    kinds = passed.get("content_item_kinds") if isinstance(passed, dict) else None
    if text.startswith(("<turn_aborted>", "<user_shell_command>")):
        return "aborted" if text.startswith("<turn") else "user_shell"
    if isinstance(kinds, list) and kinds and "unknown" not in kinds:
        return "prompt" if any(isinstance(kind, str) and kind.startswith("user.") for kind in kinds) else "note"
    return "note" if _OF_CLIENT.match(text.lstrip()) else "prompt"


def _picture(tag: str) -> str:
    found = _IMAGE_PATH.search(tag) or _IMAGE_NAME.search(tag)
    return f"[image: {found[1].strip('[]')}]" if found else "[image]"


def event_message(role: str, event: dict[str, Any]) -> Message:
    """The message of a ``user_message`` or ``agent_message`` event, or of a completed item."""
    content = event.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    words = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    if isinstance(event.get("message"), str):
        words = [event["message"]]
    local = event.get("local_images")
    paths = [path for path in local if isinstance(path, str)] if isinstance(local, list) else []
    paths += [string(part.get("path")) for part in parts if part.get("type") == "local_image"]
    pictures = [f"[image: {path}]" for path in paths]
    return Message(
        role=role,
        text="\n".join([*filter(None, words), *pictures]),
        echo=_echo(role, "".join(words)),
        uuid=string(event.get("id")),
    )


def sections(*lists: Any) -> list[str]:
    """Texts of reasoning: strings, or items with ``text``."""
    entries = [entry for one in lists if isinstance(one, list) for entry in one]
    return [string(entry.get("text")) if isinstance(entry, dict) else string(entry) for entry in entries]
