"""Token estimate, cuts that say what they left out, cleaning."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_mcp.text import clean, cut, estimate_tokens, one_line, snippet

ANY_TEXT = st.text(st.characters(), max_size=400)
WITH_SURROGATES = st.text(st.one_of(st.characters(), st.characters(categories=["Cs"])), max_size=200)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        ("The quick brown fox jumps over the lazy dog.", 8, 13),
        ("def add(a: int, b: int) -> int:\n    return a + b\n", 16, 26),
        ("1234567890", 3, 5),
        ("\n" * 40, 0, 40),
        ("日本語のテキスト", 6, 12),
    ],
)
def test_the_estimate_lies_near_what_tokenisers_make(text: str, low: int, high: int):
    """Words, code, digits and other scripts are priced apart."""
    assert low <= estimate_tokens(text) <= high


@given(ANY_TEXT)
@settings(max_examples=50, deadline=None)
def test_the_estimate_never_exceeds_two_tokens_a_byte(text: str):
    """A bound that budgets may rely on, whatever the text."""
    assert 0 <= estimate_tokens(text) <= 2 * len(text.encode("utf-8", "replace")) + 1


def test_a_long_text_is_sampled_near_its_whole_price():
    """What is sampled differs from the whole by little, so a budget over many lines holds."""
    line = "2026-03-02 worker-7 wrote 512 rows to ledger.batch in 31 ms (ok)\n"
    text = line * 3_000
    assert estimate_tokens(text) == pytest.approx(estimate_tokens(line * 100) * 30, rel=0.03)


@given(WITH_SURROGATES)
@settings(max_examples=80, deadline=None)
def test_clean_text_can_be_written_and_holds_no_nul(text: str):
    """UTF-8 takes it, no NUL is left, and cleaning twice is cleaning once."""
    cleaned = clean(text)
    assert "\x00" not in cleaned
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert clean(cleaned) == cleaned


def test_clean_leaves_good_text_as_it_is():
    """Line ends and astral characters are not touched."""
    text = "a\r\nb\t\u00e9 \U0001f600"
    assert clean(text) == text
    assert clean("a\x00b\ud800c") == "a\u2400b?c"


@given(ANY_TEXT, st.integers(80, 300))
@settings(max_examples=80, deadline=None)
def test_a_cut_keeps_within_its_limit_and_counts_what_is_left_out(text: str, most: int):
    """Head and tail are the text's own, and the number between them is exact."""
    shown = cut(text, most, "e12")
    assert len(shown) <= most
    if len(text) <= most:
        assert shown == text
        return
    head, _, rest = shown.partition(" [... ")
    count, _, tail = rest.partition(" characters left out; whole: e12 ...] ")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert int(count.replace(",", "")) == len(text) - len(head) - len(tail)


def test_a_cut_of_a_very_long_text_is_exact():
    """The count of a million characters is not off by the width of its own mark."""
    text = "".join(str(number % 10) for number in range(1_234_567))
    shown = cut(text, 1_000)
    kept = len(shown) - (shown.index("...] ") + 5 - shown.index(" [..."))
    assert f"{len(text) - kept:,} characters" in shown


@given(ANY_TEXT, st.integers(4, 200))
@settings(max_examples=80, deadline=None)
def test_one_line_is_one_line_within_its_width(text: str, width: int):
    """No line end comes through; a cut ends with an ellipsis."""
    shown = one_line(text, width)
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= width
    if shown != " ".join(text.split()):
        assert shown.endswith("\u2026")


def test_a_snippet_stands_where_most_of_the_words_are():
    """Not at the first of them; what precedes it is marked."""
    text = "alpha is far away. " + "filler " * 100 + "\nhere alpha meets beta and gamma\n" + "filler " * 100
    assert snippet(text, ["alpha", "beta", "gamma"], 60).startswith("...here alpha meets beta and gamma")
    assert snippet("nothing of it", ["alpha"], 60) == "nothing of it"
