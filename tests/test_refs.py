"""Refs: what is printed parses back; what is no Ref says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.errors import RefError
from rlm_mcp.refs import Ref, Span, parse_ref

KEYS = st.one_of(st.just(""), st.text("0123456789abcdef", min_size=8, max_size=8))
NUMBERS = st.integers(0, 10**12 - 1)
SPANS = st.tuples(NUMBERS, NUMBERS).map(lambda pair: Span(start=min(pair), end=max(pair)))
REFS = st.one_of(
    st.builds(Ref, session=KEYS, event=NUMBERS, span=st.one_of(st.none(), SPANS)),
    st.builds(Ref, session=KEYS, turn=NUMBERS),
    st.builds(Ref, session=KEYS, log=SPANS),
    st.builds(Ref, session=KEYS, cell=NUMBERS),
    st.builds(
        Ref,
        run=st.text("0123456789abcdef", min_size=8, max_size=8).map("r{}".format),
        cell=st.one_of(st.none(), st.integers(0, 999_999)),
    ),
    st.builds(
        Ref,
        document=st.text("0123456789abcdef", min_size=8, max_size=64),
        span=st.one_of(st.none(), SPANS),
    ),
    st.builds(Ref, session=KEYS, whole=st.just(True)),
)


@given(REFS)
def test_every_ref_parses_back_from_its_print(ref: Ref):
    """``parse_ref(str(ref)) == ref``."""
    assert parse_ref(str(ref)) == ref


@pytest.mark.parametrize("text", [" e12 ", "[e12]", "`e12`", "<e12>", "[`e12`]", "e12\n"])
def test_what_a_model_puts_around_a_ref_is_forgiven(text: str):
    """Blanks, brackets and backticks are no part of it."""
    assert parse_ref(text) == Ref(event=12)


@pytest.mark.parametrize(
    "text",
    ["", "12", "e", "E12", "e-1", "e12:", "e12:4", "e1:2-", "t", "x3", "log:4", "log", "1f2e3d4.e1", "1F2E3D4C.e1",
     "r1f2e3d4", "r1f2e3d4c.", "r1f2e3d4c:0-4", "1f2e3d4c.r1f2e3d4c",
     "1f2e3d4c.", "e12 e13", "e12:0-400:2", "e" + "9" * 13, "c", "c1:0-4", "d1f2e3d4",
     "1f2e3d4c.d1f2e3d4c", "d1F2E3D4C", "d" + "0" * 65, "d1f2e3d4c:", "d1f2e3d4c:4",
     "e\u0663", "e1\u0662:0-1x", "e1:0-\u0664", "t\u0967", "c\uff11", "../e1", "\x00"],
)  # fmt: skip
def test_what_is_no_ref_is_named_with_examples_of_refs(text: str):
    """The message shows the value and what Refs look like."""
    with pytest.raises(RefError) as raised:
        parse_ref(text)
    assert repr(text) in str(raised.value)
    assert "'e12'" in str(raised.value)


@pytest.mark.parametrize("text", ["e12:9-3", "log:9-3", "1f2e3d4c.e1:9-3", "d1f2e3d4c:9-3"])
def test_a_span_that_ends_before_it_starts_is_refused(text: str):
    """The cure is in the message."""
    with pytest.raises(RefError, match="start first"):
        parse_ref(text)


@pytest.mark.parametrize(
    ("text", "alone"),
    [("e12", False), ("c4", False), ("s", False), ("1f2e3d4c.e12", True), ("d1f2e3d4c:0-4", True), ("r1f2e3d4c", True)],
)
def test_a_ref_stands_alone_or_needs_a_session(text: str, alone: bool):
    """Documents and Runs belong to the store; others may name their Session."""
    assert parse_ref(text).stands_alone is alone


def test_an_empty_span_is_a_ref():
    """Half-open ranges may be empty."""
    assert parse_ref("e12:5-5").span == Span(start=5, end=5)


@pytest.mark.parametrize(
    "text", ["e12", "t0", "s", "log:0-4", "c3", "d1f2e3d4c", "d1f2e3d4c:0-0", "1f2e3d4c.c3", "r1f2e3d4c"]
)
def test_refs_are_equal_where_they_print_alike(text: str):
    """And tell the places apart: a Document is no Event, whatever its digits."""
    others = ["e12", "t0", "s", "log:0-4", "c3", "d1f2e3d4c", "d1f2e3d4c:0-0", "1f2e3d4c.c3", "r1f2e3d4c"]
    assert [str(parse_ref(other)) for other in others if parse_ref(other) == parse_ref(text)] == [text]
