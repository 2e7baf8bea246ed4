"""Readers: a Client's transcript file -> Events, incrementally.

A source file is read in Batches from a Watermark. The same bytes give the same Events whether the file is read at
once or cut at any byte and resumed: whatever a format needs to remember between records lives in the Watermark.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from rlm_mcp import redact
from rlm_mcp.errors import UnknownFormat
from rlm_mcp.events import Client, Event, SessionNews, Skip, SkipReason
from rlm_mcp.text import clean, one_line
from rlm_mcp.transcripts import claude_code, jsonl
from rlm_mcp.transcripts.codex import CodexReader
from rlm_mcp.transcripts.detection import Format, object_of, open_file, probe
from rlm_mcp.transcripts.jsonl import Framing
from rlm_mcp.transcripts.reading import Batch, FormatReader, Reading, Watermark

__all__ = [
    "Batch",
    "Change",
    "Format",
    "FormatReader",
    "Framing",
    "Reading",
    "Watermark",
    "changed",
    "detect",
    "digest_before",
    "read_batch",
]

BATCH_BYTES = 4 << 20
RECORD_BYTES = 256 << 20
_UNDECIDED_BYTES = 1 << 20
_DIGEST_BYTES = 4 << 10
_SPLIT_BYTES = 8 << 20
"""Longer broken lines are not searched for the records in them."""


class Change(StrEnum):
    """What became of a source file since a Watermark."""

    SAME = "same"
    GROWN = "grown"
    TRUNCATED = "truncated"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a Watermark's state holds."""

    format: Format | None = None
    inside_long_record: bool = False
    reader: dict[str, Any] | None = None

    def to_json(self, reader_state: dict[str, Any]) -> str:
        if self.format is None:
            return "{}"
        return json.dumps(
            {
                "client": self.format.client,
                "framing": self.format.framing,
                "long": self.inside_long_record,
                "reader": reader_state,
            }
        )


def detect(path: Path) -> Format:
    """Which Client wrote the file, and how its records are set apart.

    Raises:
        TranscriptMissing: no such file, not a regular file, or no permission.
        UnknownFormat: it is empty so far, or no Reader knows it.
    """
    with open_file(path) as file:
        found = probe(path, file)
    if found is None:
        raise UnknownFormat(f"{str(path)!r} holds no record yet; try again once the client has written to it")
    return found


def changed(path: Path, watermark: Watermark) -> Change:
    """What became of the file since ``watermark``: a look at its size and at 8 KiB of it.

    Raises:
        TranscriptMissing: no such file, not a regular file, or no permission.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size < watermark.offset:
            return Change.TRUNCATED
        if watermark.offset and _digest(file, watermark.offset) != watermark.digest:
            return Change.REPLACED
    return Change.SAME if size == watermark.offset else Change.GROWN


def digest_before(path: Path, offset: int) -> str:
    """A digest that tells files apart that differ in their first 4 KiB or the last 4 KiB before ``offset``.

    Raises:
        TranscriptMissing: no such file, not a regular file, or no permission.
    """
    with open_file(path) as file:
        return _digest(file, offset)


def read_batch(
    path: Path, watermark: Watermark | None, *, max_bytes: int = BATCH_BYTES, max_record_bytes: int = RECORD_BYTES
) -> Batch:
    """The next whole records from ``watermark`` on.

    Args:
        max_bytes: about how much to read; a longer record is read whole.
        max_record_bytes: a longer record is skipped; its bytes come in ``raw``, in pieces.

    Raises:
        TranscriptMissing: no such file, not a regular file, or no permission.
        UnknownFormat: no Reader knows the file.
    """
    mark = watermark or Watermark()
    kept = _load(mark.state)
    with open_file(path) as file:
        found = kept.format or probe(path, file)
        file.seek(mark.offset)
        if found is None:
            return Batch(start=mark.offset, raw=b"", watermark=mark, tail=file.read(_UNDECIDED_BYTES).strip())
        kept = _Kept(format=found, inside_long_record=kept.inside_long_record, reader=kept.reader)
        window = _fill(file, kept, max_bytes, max_record_bytes)
        raw = window.buffer[: window.consumed]
        reader = _reader(found, path, kept.reader)
        harvest = _Harvest(reader=reader, start=mark.offset, raw=raw)
        for start, end in window.spans:
            harvest.take(start, end)
        if window.too_long and not kept.inside_long_record:
            harvest.skip(SkipReason.TOO_LONG, raw[:40], 0, len(raw))
        offset = mark.offset + len(raw)
        after = _Kept(format=found, inside_long_record=window.too_long)
        return Batch(
            start=mark.offset,
            raw=raw,
            events=tuple(harvest.events),
            news=tuple(harvest.news),
            skips=tuple(harvest.skips),
            watermark=Watermark(offset=offset, digest=_digest(file, offset), state=after.to_json(reader.state())),
            at_end=window.at_end,
            tail=window.buffer[window.consumed :] if window.at_end else b"",
        )


def _load(state: str) -> _Kept:
    found = json.loads(state or "{}")
    if "client" not in found:
        return _Kept()
    return _Kept(
        format=Format(client=Client(found["client"]), framing=Framing(found["framing"])),
        inside_long_record=bool(found["long"]),
        reader=found["reader"],
    )


def _digest(file: BinaryIO, offset: int) -> str:
    found = hashlib.blake2b(str(offset).encode(), digest_size=16)
    file.seek(0)
    found.update(file.read(min(_DIGEST_BYTES, offset)))
    tail_start = max(0, offset - _DIGEST_BYTES)
    file.seek(tail_start)
    found.update(file.read(offset - tail_start))
    return found.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """What of the file lies in hand."""

    buffer: bytes
    spans: tuple[tuple[int, int], ...]
    consumed: int
    at_end: bool
    too_long: bool = False
    """The buffer ends inside a record over the size limit."""


def _fill(file: BinaryIO, kept: _Kept, max_bytes: int, max_record_bytes: int) -> _Window:
    """Reads on until a whole record is there, the file ends, or the record is over the limit."""
    framing = kept.format.framing if kept.format else Framing.JSONL
    buffer = file.read(max_bytes)
    ended = len(buffer) < max_bytes
    if kept.inside_long_record:
        end = buffer.find(b"\n")
        consumed = len(buffer) if end < 0 else end + 1
        at_end = ended and consumed == len(buffer)
        return _Window(buffer=buffer, spans=(), consumed=consumed, at_end=at_end, too_long=end < 0)
    while True:
        frames = jsonl.split(buffer, framing)
        if frames.consumed or ended:
            break
        if len(buffer) >= max_record_bytes:
            return _Window(buffer=buffer, spans=(), consumed=len(buffer), at_end=False, too_long=True)
        wanted = min(len(buffer), max_record_bytes - len(buffer)) or 1
        more = file.read(wanted)
        ended = len(more) < wanted
        buffer += more
    spans, consumed = frames.spans, frames.consumed
    if ended and framing is Framing.JSONL and consumed < len(buffer):
        last = jsonl.trim(buffer, consumed, len(buffer))
        if last is None:
            consumed = len(buffer)
        elif buffer[last[1] - 1] == ord("}") and object_of(buffer[last[0] : last[1]]) is not None:
            spans, consumed = (*spans, last), len(buffer)
    return _Window(buffer=buffer, spans=spans, consumed=consumed, at_end=ended)


class _Harvest:
    """Collects what the records of one batch give."""

    def __init__(self, *, reader: FormatReader, start: int, raw: bytes) -> None:
        self._reader = reader
        self._start = start
        self._raw = raw
        self._suspects = redact.Suspects(raw)
        self.events: list[Event] = []
        self.news: list[SessionNews] = []
        self.skips: list[Skip] = []

    def take(self, start: int, end: int) -> None:
        """One frame: mostly one record."""
        frame = self._raw[start:end]
        try:
            value = self._parse(frame, start)
        except (ValueError, RecursionError):
            self._take_run(frame, start)
            return
        self._give(value, frame, start)

    def _parse(self, frame: bytes, start: int) -> Any:
        text = frame.decode("utf-8", "replace")
        if self._suspects.within(start, start + len(frame)):
            text, _ = redact.redact(text)
        value = jsonl.loads(text)
        if "\\u0000" in text or "\\ud" in text or "\\uD" in text or "\x00" in text:
            return _scrub(value)
        return value

    def _take_run(self, frame: bytes, start: int) -> None:
        spans, rest = jsonl.objects_of_line(frame) if len(frame) <= _SPLIT_BYTES else ((), 0)
        for begin, end in spans:
            piece = frame[begin:end]
            try:
                value = self._parse(piece, start + begin)
            except (ValueError, RecursionError):
                self.skip(SkipReason.NOT_JSON, piece, start + begin, len(piece))
                continue
            self._give(value, piece, start + begin)
        if not spans:
            self.skip(SkipReason.NOT_JSON, frame, start, len(frame))
        elif rest < len(frame):
            self.skip(SkipReason.NOT_JSON, frame[rest:], start + rest, len(frame) - rest)

    def _give(self, value: Any, frame: bytes, start: int) -> None:
        if not isinstance(value, dict):
            self.skip(SkipReason.NOT_A_RECORD, frame, start, len(frame))
            return
        reading = self._reader.read(value, self._start + start, len(frame))
        self.events.extend(reading.events)
        self.news.extend(reading.news)
        if reading.skip is not None:
            self.skips.append(reading.skip)

    def skip(self, reason: SkipReason, head: bytes, start: int, length: int) -> None:
        """Counts a record that gave nothing; ``start`` lies in the batch."""
        detail, _ = redact.redact(clean(head[:4096].decode("utf-8", "replace")))
        self.skips.append(Skip(reason=reason, detail=one_line(detail, 60), offset=self._start + start, length=length))


def _scrub(value: Any) -> Any:
    """``value`` with every string fit for a log."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _scrub(item) for key, item in value.items()}
    return value


def _reader(found: Format, path: Path, state: dict[str, Any] | None) -> FormatReader:
    if found.client is Client.CODEX:
        return CodexReader(state)
    return claude_code.reader_for(path, state)
