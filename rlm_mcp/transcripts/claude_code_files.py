"""Where Claude Code puts things beside a transcript: sub-agents' files, large results, attachments' texts."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from rlm_mcp import redact
from rlm_mcp.events import Payload
from rlm_mcp.text import clean
from rlm_mcp.transcripts.claude_code_text import content_text, outline

_AGENT_FILE = re.compile(r"agent-([\w-]{1,80})\.jsonl")
_PERSISTED = re.compile(r"tool-results[/\\]([\w.-]{1,200}?)(?=\s|$|<|\))")
_PERSISTED_BYTES = 64 << 20
_FIRST_LINE_BYTES = 1 << 20


def agent_of(path: Path) -> str:
    """The sub-agent whose file ``path`` is; empty for a main transcript."""
    found = _AGENT_FILE.fullmatch(path.name)
    return found[1] if found else ""


def session_folder(path: Path) -> Path:
    """The folder that holds ``subagents/`` and ``tool-results/`` of the transcript ``path``."""
    return path.parent.parent if path.parent.name == "subagents" else path.with_suffix("")


def agent_file(folder: Path, agent: str) -> Path:
    """Where the sub-agent's own transcript would be."""
    return folder / "subagents" / f"agent-{agent}.jsonl"


def related_files(path: Path) -> list[tuple[Path, str]]:
    """Sub-agents' transcripts that belong to the main transcript ``path``, with the agents' ids, by name.

    Both layouts: ``<session>/subagents/agent-<id>.jsonl``, and the older ``agent-<id>.jsonl`` beside the transcript
    (those whose first record names the same session).
    """
    if agent_of(path):
        return []
    found = _agents_in(session_folder(path) / "subagents")
    beside = _agents_in(path.parent)
    if beside:
        session = _session(path)
        found += [(entry, agent) for entry, agent in beside if session and _session(entry) == session]
    return found


def folders_beside(path: Path) -> tuple[Path, ...]:
    """Where files that belong to the main transcript ``path`` appear; each may be missing."""
    own = session_folder(path)
    return path.parent, own, own / "subagents"


def _agents_in(folder: Path) -> list[tuple[Path, str]]:
    """Sub-agents' transcripts right below the folder, with the agents' ids, by name; a project has many other files."""
    try:
        with os.scandir(folder) as entries:
            named = [(entry, _AGENT_FILE.fullmatch(entry.name)) for entry in entries]
            return sorted(
                (Path(entry.path), found[1])
                for entry, found in named
                if found is not None and entry.is_file(follow_symlinks=False)
            )
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _session(path: Path) -> str:
    """The session the first telling record names."""
    try:
        with path.open("rb") as file:
            head = file.read(_FIRST_LINE_BYTES)
    except OSError:
        return ""
    for line in head.split(b"\n")[:50]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("sessionId"), str):
            return str(record["sessionId"])
    return ""


def persisted(stub: str, folder: Path) -> str:
    """The whole of a result that the client moved to ``tool-results/``; empty where it is not there (any more).

    Only files right below the transcript's own ``tool-results/`` are opened, whatever the stub says.
    """
    named = _PERSISTED.search(stub)
    if named is None:
        return ""
    path = folder / "tool-results" / named[1]
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(file.fileno()).st_size > _PERSISTED_BYTES:
            return ""
        try:
            found = file.read()
        except OSError:
            return ""
    text, _ = redact.redact(found.decode("utf-8", "replace"))
    return clean(text)


def attachment_text(attachment: dict[str, Any], rendered: Any) -> tuple[str, tuple[Payload, ...]]:
    """An attachment as the model was shown it, or its content where that is not kept."""
    content = attachment.get("content")
    if isinstance(content, dict):
        file = content.get("file")
        if isinstance(file, dict) and isinstance(file.get("content"), str):
            return f"{attachment.get('filename', '')}\n{file['content']}", ()
        if isinstance(file, dict) and isinstance(file.get("base64"), str):
            source = {"type": "base64", "media_type": file.get("type") or "image/png", "data": file["base64"]}
            return content_text([{"type": "image", "source": source}])
    if isinstance(rendered, list):
        texts = [content_text(item.get("content"))[0] for item in rendered if isinstance(item, dict)]
        shown = "\n".join(_unwrapped(text) for text in texts if text.strip())
        if shown.strip():
            return shown, ()
    text, payloads = content_text(content)
    if text.strip():
        return text, payloads
    left = {key: value for key, value in attachment.items() if key != "type" and value not in (None, "", [], {})}
    return (outline(left) if left else ""), ()


def _unwrapped(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith("<system-reminder>") and stripped.endswith("</system-reminder>"):
        return stripped[len("<system-reminder>") : -len("</system-reminder>")].strip()
    return text
