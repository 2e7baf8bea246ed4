"""Framing: every byte is either a record's or between two records."""

import pytest

from rlm_mcp.transcripts.jsonl import Framing, loads, objects_of_line, split, split_array, split_lines


def pieces(buffer: bytes, framing: Framing) -> list[bytes]:
    return [buffer[start:end] for start, end in split(buffer, framing).spans]


def test_a_line_is_a_record_without_its_line_end_and_blanks() -> None:
    """Line ends of either kind and blanks around a record are between records."""
    assert pieces(b'{"a":1}\r\n  {"b":2} \n', Framing.JSONL) == [b'{"a":1}', b'{"b":2}']


def test_blank_lines_are_no_records() -> None:
    """They are consumed, and give nothing to count."""
    frames = split_lines(b"\n \n\t\r\n")
    assert frames.spans == ()
    assert frames.consumed == 6


def test_a_cut_last_line_is_left_for_the_next_read() -> None:
    """What has no line end is not spoken for."""
    assert split_lines(b'{"a":1}\n{"b":').consumed == 8


def test_a_byte_order_mark_is_no_part_of_the_first_record() -> None:
    """In both framings."""
    assert pieces(b'\xef\xbb\xbf{"a":1}\n', Framing.JSONL) == [b'{"a":1}']
    assert pieces(b'\xef\xbb\xbf[{"a":1}]', Framing.ARRAY) == [b'{"a":1}']


def test_elements_of_an_array_are_records_whatever_stands_between_them() -> None:
    """Pretty-printed or not; braces, quotes and backslashes inside strings do not matter."""
    buffer = b'[\n  {\n    "a": "}{\\\\\\" ]"\n  },\n  {"b": {"c": {}}}\n]\n'
    assert pieces(buffer, Framing.ARRAY) == [b'{\n    "a": "}{\\\\\\" ]"\n  }', b'{"b": {"c": {}}}']
    assert split_array(buffer).consumed == len(buffer)


@pytest.mark.parametrize("cut", range(1, 40))
def test_an_array_cut_anywhere_goes_on_where_it_stopped(cut: int) -> None:
    """The second read begins with what the first left over."""
    buffer = b'[\n {"a": "x"},\n {"b": [{"c": 1}]}\n]\n'
    first = split_array(buffer[:cut])
    rest = buffer[first.consumed :]
    found = [buffer[start:end] for start, end in first.spans]
    found += [rest[start:end] for start, end in split_array(rest).spans]
    assert found == [b'{"a": "x"}', b'{"b": [{"c": 1}]}']


def test_an_unfinished_string_ends_the_search() -> None:
    """A brace after an open quote is no end of the record."""
    assert split_array(b'[{"a": "x}').spans == ()


def test_elements_that_are_no_objects_are_given_to_be_counted() -> None:
    """Up to the end of their line."""
    assert pieces(b'[1, "two",\n{"a":1}]', Framing.ARRAY) == [b'1, "two",', b'{"a":1}']


def test_objects_that_share_a_line_are_told_apart() -> None:
    """Two writers racing for one file leave two records in a line."""
    line = b'{"a":1}{"b":2} {"c"'
    spans, rest = objects_of_line(line)
    assert [line[start:end] for start, end in spans] == [b'{"a":1}', b'{"b":2}']
    assert line[rest:] == b'{"c"'


def test_control_characters_inside_strings_are_forgiven() -> None:
    """A raw tab or NUL inside a string does not cost the record."""
    assert loads('{"a": "x\ty\x00z"}') == {"a": "x\ty\x00z"}
