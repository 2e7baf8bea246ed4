"""Which Client wrote a file: told by its first telling record."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rlm_mcp.errors import TranscriptMissing, UnknownFormat
from rlm_mcp.events import Client
from rlm_mcp.transcripts import claude_code, jsonl
from rlm_mcp.transcripts.jsonl import Framing

_FIRST_BYTES = 1 << 20
_MOST_BYTES = 256 << 20
_CODEX_TYPES = frozenset(
    {
        "compacted",
        "event_msg",
        "inter_agent_communication",
        "response_item",
        "session_meta",
        "token_usage_record",
        "turn_context",
        "world_state",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What a source file is."""

    client: Client
    framing: Framing


def open_file(path: Path) -> BinaryIO:
    """The regular file at ``path``, to read.

    Raises:
        TranscriptMissing: no such file, not a regular file, or no permission.
    """
    name = repr(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise TranscriptMissing(f"{name} may not be read; give yourself read permission (chmod u+r)") from error
    except (OSError, ValueError) as error:
        raise TranscriptMissing(f"{name} cannot be opened ({error}); name an existing transcript file") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TranscriptMissing(f"{name} is not a regular file; name a transcript file inside it or beside it")
    return os.fdopen(descriptor, "rb")


def object_of(line: bytes) -> dict[str, Any] | None:
    """The object that ``line`` is; None where it is none."""
    try:
        found = jsonl.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def probe(path: Path, file: BinaryIO) -> Format | None:
    """The file's format by its first telling record; None where nothing tells yet.

    Raises:
        UnknownFormat: it holds something, and no Reader knows it.
    """
    wanted = _FIRST_BYTES
    while True:
        file.seek(0)
        buffer = file.read(wanted)
        ended = len(buffer) < wanted
        framing = _framing(buffer)
        strange = False
        for start, end in _probe_spans(buffer, framing, ended):
            frame = buffer[start:end]
            records = _records(frame)
            for client in filter(None, map(_client, records)):
                return Format(client=client, framing=framing)
            strange = strange or bool(records) or _is_text(frame)
        if strange or wanted >= _MOST_BYTES:
            break
        if ended:
            if framing is Framing.ARRAY or _may_become(buffer):
                return None
            break
        wanted *= 8
    raise _unknown(path)


def _unknown(path: Path) -> UnknownFormat:
    return UnknownFormat(
        f"{str(path)!r} is not a transcript rlm-mcp knows; it reads Claude Code's projects/**/*.jsonl and Codex's"
        " sessions/**/rollout-*.jsonl"
    )


def _framing(buffer: bytes) -> Framing:
    head = buffer.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_array = head[:1] == b"[" and head[1:200].lstrip()[:1] in {b"{", b""}
    return Framing.ARRAY if is_array else Framing.JSONL


def _probe_spans(buffer: bytes, framing: Framing, ended: bool) -> Iterator[tuple[int, int]]:
    frames = jsonl.split(buffer, framing)
    yield from frames.spans
    if ended and framing is Framing.JSONL:
        last = jsonl.trim(buffer, frames.consumed, len(buffer))
        if last is not None and buffer[last[1] - 1] == ord("}") and object_of(buffer[last[0] : last[1]]) is not None:
            yield last


def _records(frame: bytes) -> list[dict[str, Any]]:
    whole = object_of(frame)
    if whole is not None:
        return [whole]
    spans, _ = jsonl.objects_of_line(frame)
    return [record for start, end in spans if (record := object_of(frame[start:end])) is not None]


def _is_text(frame: bytes) -> bool:
    return bool(frame.strip(b"\x00 \t\r")) and not frame.startswith(b"//")


def _may_become(buffer: bytes) -> bool:
    """Nothing but comments, blanks and the beginning of a record."""
    last = buffer[buffer.rfind(b"\n") + 1 :].strip(b"\x00 \t\r\xef\xbb\xbf")
    return not last or last.startswith((b"{", b"[", b"/"))


def _client(record: dict[str, Any]) -> Client | None:
    if claude_code.is_record(record):
        return Client.CLAUDE_CODE
    if record.get("type") in _CODEX_TYPES and isinstance(record.get("payload"), dict):
        return Client.CODEX
    return None
