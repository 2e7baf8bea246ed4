"""Values and identifiers a user gave."""

import pytest

from rlm_mcp.facts.values import MAX_VALUES, values_in


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("see https://example.com/a/b?c=1, please", ["https://example.com/a/b?c=1"]),
        ("(docs: https://example.com/wiki/X_(y))", ["https://example.com/wiki/X_(y)"]),
        ("edit src/cart/total.ts:41 and ./run.sh", ["src/cart/total.ts:41", "./run.sh"]),
        ("it is in /srv/shop/config", ["/srv/shop/config"]),
        (r"open C:\work\shop\app.ini", [r"C:\work\shop\app.ini"]),
        ("rename `total` to `grand_total`", ["total", "grand_total"]),
        ('the label says "Pay now"', ["Pay now"]),
        ("the label says \u201cPay now\u201d", ["Pay now"]),
        ("fix issue #42 and owner/repo#7", ["#42", "owner/repo#7"]),
        ("PR 1533 is stale", ["PR 1533"]),
        ("set the timeout to 30 seconds and 5MB", ["30 seconds", "5MB"]),
        ("retry 3 times within 200ms", ["3 times", "200ms"]),
        ("use port 8081 on localhost:3000", ["port 8081", "localhost:3000"]),
        ("bump to v2.3.1 or 2.4.0-rc1", ["v2.3.1", "2.4.0-rc1"]),
        ("we run Python 3.11 and Node 20", ["Python 3.11", "Node 20"]),
        ("mail ops@example.com", ["ops@example.com"]),
        ("set API_BASE_URL", ["API_BASE_URL"]),
        ("call computeTotal and TotalView and tax_rate", ["computeTotal", "TotalView", "tax_rate"]),
        ("since commit 3fa9c1d it fails", ["3fa9c1d"]),
        ("accent is #8abeb7, links f0c674", ["#8abeb7", "f0c674"]),
        ("due 2025-03-01", ["2025-03-01"]),
        ("a branch called fix/rounding", ["fix/rounding"]),
        ("a service named ledger", ["ledger"]),
        ("pass --dry-run", ["--dry-run"]),
        ("ticket SHOP-482", ["SHOP-482"]),
        ("/deploy:staging 8402", ["/deploy:staging", "8402"]),
        ("coverage must be 85%", ["85%"]),
        ("session 5f8a361a-cf7b-42ad-8d3e-123456789abc", ["5f8a361a-cf7b-42ad-8d3e-123456789abc"]),
    ],
)
def test_a_value_is_found_verbatim(text: str, values: list[str]) -> None:
    """In the order in which they stand, with their place."""
    found, more = values_in(text)
    assert [value.text for value in found] == values
    assert more == 0
    assert all(text[value.start : value.end] == value.text for value in found)


@pytest.mark.parametrize(
    "text",
    [
        "continue",
        "please fix the tests and push",
        "it's not what I wanted, don't you see",
        "a well-known copy-paste problem",
        "no longer called from here",
        "[image image/png 24,021 bytes sha256:cbc0103b]",
    ],
)
def test_plain_words_are_no_values(text: str) -> None:
    """Neither are marks that the Client sets for images."""
    assert values_in(text) == ([], 0)


def test_identifiers_in_pasted_code_are_left_out_but_addresses_are_not() -> None:
    """Code has too many names to be a list of what the user gave."""
    text = "see\n```py\nmy_name = other_name\nurl = 'https://example.com/x'\n```\n"
    assert [value.text for value in values_in(text)[0]] == ["https://example.com/x"]


def test_values_over_the_limit_are_counted() -> None:
    """Nothing is cut silently."""
    found, more = values_in(" ".join(f"#{i}" for i in range(1, 101)))
    assert (len(found), more) == (MAX_VALUES, 20)
