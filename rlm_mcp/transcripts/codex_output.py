"""What Codex's tools print: the client's framing around a tool's own text, content items, addresses, durations.

Shapes seen in rollouts of 0.101, 0.142 and 0.169. Outputs carry the client's framing in front of the tool's own text::

    Chunk ID: 2238c8                       exec_command and write_stdin
    Wall time: 0.1597 seconds
    Process exited with code 0             or: Process running with session ID 66818
    Original token count: 1009
    Output:
    ...

    Exit code: 0                           shell, shell_command, apply_patch
    Wall time: 0.2 seconds
    Output:
    ...

    {"output": "...", "metadata": {"exit_code": 0, "duration_seconds": 0.2}}     the same, older

    Script completed                       exec: a script that calls the other tools (code mode, gpt-6 models)
    Wall time 0.1 seconds
    Output:
    ...
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from rlm_mcp.events import Payload

_HEADER_LINE = re.compile(
    r"Chunk ID: \S*|Wall time: (?P<seconds>[\d.]+) seconds|Process exited with code (?P<exited>-?\d+)"
    r"|Process running with session ID (?P<session>\d+)|Exit code: (?P<code>-?\d+)|Original token count: \d+"
    r"|Total output lines: \d+|Script \w+|Wall time (?P<script>[\d.]+) seconds|Output:"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """An output without the client's framing."""

    output: str
    exit_code: int | None = None
    seconds: float | None = None
    session: str = ""
    """Of a process that still runs."""
    framed: bool = False


def arguments(argument: str) -> dict[str, Any]:
    """The call's arguments; empty where they are not a JSON object."""
    try:
        value = json.loads(argument)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str:
    """``value`` if it is a string, else empty."""
    return value if isinstance(value, str) else ""


def plain_json(value: Any) -> str:
    """``value`` if it is a string, else its JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def unframe(text: str) -> Framed:
    """``text`` without the client's framing, which is read; unframed text comes back as it is."""
    if text.startswith('{"output":'):
        given = arguments(text)
        metadata = given.get("metadata")
        if isinstance(given.get("output"), str) and isinstance(metadata, dict):
            code, seconds = metadata.get("exit_code"), metadata.get("duration_seconds")
            return Framed(
                output=given["output"],
                exit_code=code if isinstance(code, int) else None,
                seconds=float(seconds) if isinstance(seconds, int | float) else None,
                framed=True,
            )
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        line = text[position:] if end < 0 else text[position:end]
        header = _HEADER_LINE.fullmatch(line)
        if header is None:
            return Framed(output=text)
        found.update({name: value for name, value in header.groupdict().items() if value})
        position = len(text) if end < 0 else end + 1
        if line == "Output:":
            break
    else:
        return Framed(output=text)
    code = found.get("exited", found.get("code"))
    outer = Framed(
        output=text[position:],
        exit_code=int(code) if code else None,
        seconds=float(found["seconds"]) if "seconds" in found else None,
        session=found.get("session", ""),
        framed=True,
    )
    inner = unframe(outer.output) if outer.exit_code is None and outer.output.startswith("Exit code: ") else None
    return inner if inner is not None and inner.framed else outer


def output_parts(output: Any) -> tuple[str, tuple[Payload, ...]]:
    """Text and images of a tool's output: a string, content items, or ``{"content": ...}``."""
    if isinstance(output, str):
        return output, ()
    if isinstance(output, dict):
        inner = output.get("content_items") or output.get("content") or output.get("output")
        return output_parts(inner) if inner is not None else (plain_json(output), ())
    texts: list[str] = []
    payloads: list[Payload] = []
    for item in output if isinstance(output, list) else []:
        if not isinstance(item, dict):
            continue
        if isinstance(item.get("text"), str):
            texts.append(item["text"])
        payload = image(item)
        if payload is not None:
            payloads.append(payload)
    if len(texts) > 1 and unframe(texts[0]).framed:
        return texts[0].rstrip("\n") + "\n" + "\n".join(texts[1:]), tuple(payloads)
    return "\n".join(texts), tuple(payloads)


def image(item: dict[str, Any]) -> Payload | None:
    """The image of a content item: a data address (``image_url``), or MCP's ``data`` and ``mimeType``."""
    address = item.get("image_url")
    if isinstance(address, dict):
        address = address.get("url")
    media, encoded = string(item.get("mimeType")), string(item.get("data"))
    if isinstance(address, str) and address.startswith("data:"):
        head, _, encoded = address[5:].partition(",")
        media = head.split(";")[0]
    if not encoded or not media:
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Payload(sha256=hashlib.sha256(content).hexdigest(), media_type=media, data=content)


def as_arguments(given: Any = None, **named: Any) -> str:
    """Arguments as the model would have written them."""
    return json.dumps(named or given, ensure_ascii=False)


def file_path(address: str) -> str:
    """The path of a ``file://`` address; a path as it is."""
    if not address.startswith("file://"):
        return address
    encoded = address[len("file://") :].encode()
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), encoded).decode("utf-8", "replace")


def duration_seconds(duration: Any) -> float | None:
    """Seconds of ``{"secs", "nanos"}``."""
    if not isinstance(duration, dict):
        return None
    whole, nanos = duration.get("secs"), duration.get("nanos")
    return whole + nanos / 1e9 if isinstance(whole, int) and isinstance(nanos, int) else None
