"""Fitting lines into a budget: in order, at the widest width that lets all fit, the rest counted."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.brief.fit import fit
from rlm_mcp.text import estimate_tokens

TEXTS = st.lists(st.text(st.sampled_from("abcdefg hij.,\t0123é日"), min_size=1, max_size=300), max_size=30)


def lines_of(texts: list[str]) -> list[Callable[[int], str]]:
    """Lines that shorten themselves."""
    return [lambda width, text=text: text[:width] for text in texts]


@given(TEXTS, st.integers(-10, 600))
def test_what_fits_is_a_prefix_within_the_budget(texts: list[str], tokens: int):
    """Never more tokens than asked for; the number left out is exact."""
    fitted = fit(lines_of(texts), tokens)
    assert fitted.tokens <= max(0, tokens)
    assert sum(estimate_tokens(line) + 1 for line in fitted.lines) == fitted.tokens
    assert len(fitted.lines) + fitted.left_out == len(texts)
    for line, text in zip(fitted.lines, texts, strict=False):
        assert text.startswith(line)


@given(TEXTS, st.integers(0, 300))
def test_more_room_never_shows_less(texts: list[str], tokens: int):
    """In lines shown."""
    assert len(fit(lines_of(texts), tokens).lines) <= len(fit(lines_of(texts), tokens + 100).lines)


def test_lines_grow_narrower_before_they_grow_fewer():
    """All are kept while their narrow forms fit."""
    texts = ["word " * 100] * 8
    assert len(fit(lines_of(texts), 8 * 130).lines[0]) == 500
    narrow = fit(lines_of(texts), 8 * 25)
    assert len(narrow.lines) == 8
    assert len(narrow.lines[0]) < 150


def test_a_line_is_never_narrower_than_it_may_be():
    """Rather fewer than unreadable."""
    fitted = fit(lines_of(["word " * 100] * 8), 120, narrowest=200)
    assert 0 < len(fitted.lines) < 8
    assert all(len(line) >= 200 for line in fitted.lines)


def test_no_lines_and_no_room_are_no_error():
    """Nothing in, nothing out."""
    assert fit([], 100).lines == ()
    assert fit(lines_of(["a b c"]), 0).left_out == 1
