"""Framing: where one record ends and the next begins, in bytes.

Two ways a transcript may be written:

* JSONL: one JSON object a line (what the Clients write);
* an array: one JSON array of objects, pretty-printed or not (what some exporters write).

Everything that is no record (blank lines, brackets, commas) belongs to the bytes consumed, so that nothing is lost.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DECODER = json.JSONDecoder(strict=False)
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|"|[{}]', re.DOTALL)
_BETWEEN_ELEMENTS = re.compile(rb"[\s,\[\]]*")
_BETWEEN_OBJECTS = re.compile(rb"[\s\x00]*")
_JUNK = re.compile(rb"[^\n{\]]++")
_OPEN_BRACE = 0x7B


class Framing(StrEnum):
    """How records are set apart."""

    JSONL = "jsonl"
    ARRAY = "array"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Where the records of a buffer lie."""

    spans: tuple[tuple[int, int], ...]
    """Half-open byte ranges in the buffer; line ends and surrounding blanks are not in them, blank lines left out."""
    consumed: int
    """Bytes of the buffer that are spoken for; what follows is an unfinished record."""


def split(buffer: bytes, framing: Framing) -> Frames:
    """The whole records of ``buffer``, which begins between two records."""
    return split_lines(buffer) if framing is Framing.JSONL else split_array(buffer)


def split_lines(buffer: bytes) -> Frames:
    """Whole lines; the last one without its line end is left over."""
    spans = []
    consumed = 0
    start = 3 if buffer.startswith(_BYTE_ORDER_MARK) else 0
    while (end := buffer.find(b"\n", start)) >= 0:
        if (span := trim(buffer, start, end)) is not None:
            spans.append(span)
        consumed = start = end + 1
    return Frames(spans=tuple(spans), consumed=consumed)


def trim(buffer: bytes, start: int, end: int) -> tuple[int, int] | None:
    """The range without the blanks at its ends; None where only blanks are in it."""
    while end > start and buffer[end - 1] in b" \t\r":
        end -= 1
    while start < end and buffer[start] in b" \t\r":
        start += 1
    return (start, end) if end > start else None


def split_array(buffer: bytes) -> Frames:
    """Whole elements of a JSON array, or of a part of one.

    Text that is no object is given as a span up to the end of its line, to be counted.
    """
    spans: list[tuple[int, int]] = []
    position = 3 if buffer.startswith(_BYTE_ORDER_MARK) else 0
    while True:
        position = _skip(_BETWEEN_ELEMENTS, buffer, position)
        if position >= len(buffer):
            return Frames(spans=tuple(spans), consumed=position)
        if buffer[position] == _OPEN_BRACE:
            end = object_end(buffer, position)
        else:
            end = _skip(_JUNK, buffer, position)
            end = -1 if end == len(buffer) else end
        if end < 0:
            return Frames(spans=tuple(spans), consumed=position)
        spans.append((position, end))
        position = end


def _skip(pattern: re.Pattern[bytes], buffer: bytes, position: int) -> int:
    match = pattern.match(buffer, position)
    return match.end() if match else position


def object_end(buffer: bytes, start: int) -> int:
    """Where the JSON object that begins at ``start`` ends, or -1 when it does not."""
    depth = 0
    for token in _TOKEN.finditer(buffer, start):
        mark = token.group()
        if mark == b"{":
            depth += 1
        elif mark == b"}":
            depth -= 1
            if depth == 0:
                return token.end()
        elif mark == b'"':
            return -1
    return -1


def objects_of_line(line: bytes) -> tuple[tuple[tuple[int, int], ...], int]:
    """The objects of a line that is not one JSON value, as two writers racing for a file leave them.

    Returns:
        Their ranges in ``line``, and where the rest begins that is no object (``len(line)`` where nothing is left).
    """
    spans = []
    position = _skip(_BETWEEN_OBJECTS, line, 0)
    while position < len(line) and line[position] == _OPEN_BRACE:
        end = object_end(line, position)
        if end < 0:
            break
        spans.append((position, end))
        position = _skip(_BETWEEN_OBJECTS, line, end)
    return tuple(spans), position


def loads(text: str) -> Any:
    """The JSON value of ``text``; control characters inside strings are forgiven.

    Raises:
        ValueError: not JSON, or a number with thousands of digits.
        RecursionError: nested too deep.
    """
    try:
        return json.loads(text)
    except ValueError:
        return _DECODER.decode(text)
