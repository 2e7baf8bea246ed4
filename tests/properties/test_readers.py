"""However a transcript is cut, the same bytes give the same Events; whatever stands in it, nothing is raised."""

import json
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rlm_mcp.events import Event, SessionNews
from rlm_mcp.transcripts.claude_code import ClaudeCodeReader
from rlm_mcp.transcripts.reader import Watermark, read_batch

FIXTURES = Path(__file__).parent.parent / "fixtures"
RECORDED = sorted([*FIXTURES.glob("claude/**/*.jsonl"), *FIXTURES.glob("codex/*.jsonl")])
Found = tuple[bytes, tuple[Event, ...], tuple[SessionNews, ...]]


def as_array(path: Path) -> bytes:
    """The records of a recording as an exporter writes them."""
    return json.dumps([json.loads(line) for line in path.read_bytes().splitlines()], indent=2).encode()


@cache
def contents(path: Path) -> bytes:
    return as_array(path.with_suffix("")) if path.suffix == ".array" else path.read_bytes()


SOURCES = [*RECORDED, *(path.with_name(path.name + ".array") for path in RECORDED if path.stat().st_size < 40_000)]


def read_in_steps(content: bytes, ends: Iterable[int], max_bytes: int) -> Found:
    """The file as it grows: at each of ``ends`` all that is there is read."""
    raw, events, news = b"", [], []
    mark: Watermark | None = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.jsonl"
        for end in [*ends, len(content)]:
            path.write_bytes(content[:end])
            at_end = False
            while not at_end:
                batch = read_batch(path, mark, max_bytes=max_bytes)
                assert batch.start + len(batch.raw) == batch.watermark.offset
                raw += batch.raw
                events += batch.events
                news += batch.news
                mark, at_end = batch.watermark, batch.at_end
        raw += batch.tail
    return raw, tuple(events), tuple(news)


@cache
def at_once(path: Path) -> Found:
    return read_in_steps(contents(path), (), 64 << 20)


@given(st.data())
@hypothesis_settings(max_examples=60)
def test_a_transcript_cut_anywhere_gives_the_same(data: st.DataObject) -> None:
    """The same Events, news and bytes, cut at any bytes and read in batches of any size."""
    path = data.draw(st.sampled_from(SOURCES))
    content = contents(path)
    ends = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
    max_bytes = data.draw(st.sampled_from([1, 100, 5_000, 4 << 20])) if len(content) < 80_000 else 4 << 20
    assert read_in_steps(content, ends, max(max_bytes, len(content) // 200)) == at_once(path)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_transcript_cut_around_its_line_ends_gives_the_same(path: Path) -> None:
    """The places where a record is just whole, or just not."""
    content = contents(path)
    line_end = -1
    for _ in range(6):
        line_end = content.find(b"\n", line_end + 1 + len(content) // 6)
        if line_end < 0:
            break
        for cut in (line_end - 1, line_end, line_end + 1):
            assert read_in_steps(content, (cut,), 4 << 20) == at_once(path)


def test_real_transcripts_cut_anywhere_give_the_same(real_transcripts: Path) -> None:
    """Twenty places in each, far from line ends and near."""
    for path in sorted(real_transcripts.glob("c*/*")):
        content = path.read_bytes()
        whole = read_in_steps(content, (), 64 << 20)
        assert whole[0] == content
        places = [len(content) * number // 11 for number in range(1, 11)]
        assert read_in_steps(content, places, 100_000) == whole
        assert read_in_steps(content, [content.find(b"\n", place) for place in places], 1 << 20) == whole


_WORDS = st.sampled_from(
    ["type", "user", "assistant", "system", "attachment", "progress", "queue-operation", "message", "content", "text",
     "tool_use", "tool_result", "tool_use_id", "id", "name", "input", "toolUseResult", "uuid", "sessionId", "timestamp",
     "subtype", "compact_boundary", "compactMetadata", "isCompactSummary", "Bash", "Edit", "TodoWrite",
     "AskUserQuestion", "Read", "file", "structuredPatch", "questions", "todos", "agent_progress", "data", "operation",
     "enqueue",
     "queued_command", "prompt", "image", "source", "base64", "model", "usage", "input_tokens", "parentUuid", "summary",
     "<task-notification>", "2026-11-22T06:41:03.913Z"]
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=4), inner, max_size=6),
    max_leaves=16,
)
_BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image"])},
    optional={
        "text": _JSON,
        "thinking": _JSON,
        "id": _WORDS,
        "tool_use_id": _WORDS,
        "name": _WORDS,
        "input": st.dictionaries(_WORDS, _JSON) | _JSON,
        "content": _JSON,
        "source": _JSON,
        "is_error": _JSON,
    },
)
_RECORD = st.fixed_dictionaries(
    {"type": st.sampled_from(["user", "assistant", "system", "attachment", "progress", "queue-operation", "summary"])},
    optional={
        "message": st.fixed_dictionaries({"content": st.lists(_BLOCK, max_size=4) | _JSON}) | _JSON,
        "toolUseResult": st.dictionaries(_WORDS, _JSON, max_size=6) | _JSON,
        "attachment": st.dictionaries(_WORDS, _JSON) | _JSON,
        "data": st.dictionaries(_WORDS, _JSON) | _JSON,
        "sessionId": _WORDS,
        "uuid": st.text(max_size=3),
        "parentUuid": st.text(max_size=3),
        "timestamp": _WORDS | _JSON,
        "subtype": _WORDS,
        "isMeta": _JSON,
        "compactMetadata": _JSON,
        "isCompactSummary": _JSON,
        "content": _JSON,
        "origin": _JSON,
        "rendered": _JSON,
    },
)


@given(st.lists(_RECORD | st.dictionaries(_WORDS, _JSON), max_size=8))
@hypothesis_settings(max_examples=300)
def test_no_record_makes_the_claude_code_reader_raise(records: list[dict[str, Any]]) -> None:
    """Odd shapes are counted; the state always fits in JSON and goes on."""
    reader = ClaudeCodeReader(None)
    for record in records:
        reading = reader.read(record, 0, 1)
        assert reading.events or reading.news or reading.skip or reading.known_without_event
        assert all(isinstance(event.text, str) for event in reading.events)
        reader = ClaudeCodeReader(json.loads(json.dumps(reader.state())))


@given(st.binary(max_size=2_000), st.integers(0, 3))
def test_no_bytes_make_reading_raise_or_lose_any(noise: bytes, place: int) -> None:
    """Anything between the records of a transcript."""
    lines = contents(FIXTURES / "claude" / "planned.jsonl").splitlines(keepends=True)
    content = b"".join([*lines[:place], noise, b"\n", *lines[place:]]) if place else lines[0] + noise
    raw, events, _ = read_in_steps(content, (), 1 << 20)
    assert raw == content
    assert len(events) >= (0 if not place else 15)


def test_the_recordings_are_there() -> None:
    """Or the properties above would hold for nothing."""
    assert len(RECORDED) > 8
    assert all(path.stat().st_size for path in RECORDED)
