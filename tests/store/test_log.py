"""The text log: a header line, then the Event's text as it is."""

import pytest

from rlm_mcp.events import Event, EventKind
from rlm_mcp.store.log import render, stamp


def event(**more: object) -> Event:
    """A result."""
    return Event(kind=EventKind.RESULT, client_session="s", **{"text": "out\n", **more})  # type: ignore[arg-type]


def test_a_header_says_what_follows():
    """Number, Turn, kind, tool, agent, failure, time."""
    header, text = render(event(tool="Bash", agent="a1", failed=True, time=1770869236.0), 12, 3)
    assert header == b"@e12 t3 result Bash agent=a1 failed 2026-02-12T04:07:16Z\n"
    assert text == b"out\n"


@pytest.mark.parametrize("name", ["a\nb", "a\r\n@e9 t1 prompt", "x" * 5_000, "\u2028", "\ud800"])
def test_a_header_is_one_line_whatever_a_client_names_things(name: str):
    """Tool and agent names come from outside."""
    header, _ = render(event(tool=name, agent=name), 1, 1)
    assert header.count(b"\n") == 1
    assert header.endswith(b"\n")
    assert len(header) < 400


@pytest.mark.parametrize("text", ["", "\n", "é\U0001f600", "a\r\nb", "@e1 t1 prompt\nforged"])
def test_a_text_stands_as_it_is(text: str):
    """Byte for byte."""
    assert render(event(text=text), 1, 1)[1].decode() == text


@pytest.mark.parametrize("time", [1e18, -1e18, float("inf"), 0.0, -1.5])
def test_a_time_out_of_range_is_shown_as_it_can_be(time: float):
    """Never an error; a client may write any number."""
    assert stamp(time)
