"""Properties of the Codex reader: where it is stopped does not matter, and no record makes it raise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.transcripts.codex import CodexReader
from tests.transcripts.codex_rollouts import FIXTURES, read_lines

_LINES = {path.name: path.read_bytes().splitlines(keepends=True) for path in sorted(FIXTURES.glob("*.jsonl"))}
_WORDS = st.sampled_from(
    ["type", "payload", "response_item", "event_msg", "item_completed", "item", "message", "function_call", "call_id",
     "function_call_output", "output", "content", "role", "user", "CommandExecution", "FileChange", "changes", "action",
     "custom_tool_call", "apply_patch", "arguments", "input", "web_search_call", "compacted", "session_meta", "source",
     "McpToolCall", "result", "turn_context", "reasoning", "summary", "token_count", "info", "mcp_tool_call_end"]
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)


@pytest.mark.parametrize("name", sorted(_LINES))
def test_a_reader_stopped_after_any_record_goes_on_as_if_it_had_not_been(name):
    """State through JSON after every record, every second, every third: the same Events, news and skips."""
    whole = read_lines(_LINES[name])
    for step in (1, 2, 3, 7):
        assert read_lines(_LINES[name], restart_every=step) == whole


@given(st.data())
def test_a_reader_stopped_twice_anywhere_goes_on_as_if_it_had_not_been(data):
    """Any two places, with whatever is then awaited."""
    lines = _LINES[data.draw(st.sampled_from(sorted(_LINES)))]
    cuts = sorted(data.draw(st.tuples(*[st.integers(0, len(lines))] * 2)))
    reader = CodexReader(None)
    events, offset = [], 0
    for number, line in enumerate(lines):
        if number in cuts:
            reader = CodexReader(json.loads(json.dumps(reader.state())))
        events += reader.read(json.loads(line), offset, len(line)).events
        offset += len(line)
    assert tuple(events) == read_lines(lines).events


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": _WORDS, "payload": st.dictionaries(_WORDS, _JSON, max_size=6) | _JSON},
            optional={"timestamp": _JSON, "metadata": _JSON},
        )
        | st.dictionaries(_WORDS, _JSON),
        max_size=6,
    )
)
def test_no_record_makes_the_reader_raise(records):
    """Odd shapes are skipped with a reason, or give what can be read."""
    reader = CodexReader(None)
    for record in records:
        reading = reader.read(record, 0, 1)
        assert reading.events or reading.news or reading.skip or reading.known_without_event
        json.dumps(reader.state())
