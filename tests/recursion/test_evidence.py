"""rlm_mcp.recursion.evidence: a quote is what stands there byte for byte, or it is none."""

from pathlib import Path

import pytest

from rlm_mcp.recursion.evidence import MAX_QUOTE_CHARS, MAX_QUOTES, check, verified_refs, without_secrets
from rlm_mcp.recursion.scope import Source
from rlm_mcp.redact import redact
from rlm_mcp.refs import Ref
from tests.documents import TOKEN

_TEXT = "Über die Brücke: “quoted” — naïve 𝄞 café.\nSecond line\twith a tab.\r\nThird.\n"


def _file(folder: Path, content: bytes, name: str = "text") -> Source:
    path = folder / name
    path.write_bytes(content)
    return Source(name=name, path=path, end=len(content), ref=Ref(document="0123456789abcdef"))


@pytest.mark.parametrize("quote", ["Über", "“quoted” — naïve 𝄞", "line\twith a tab.\r\nThird", _TEXT, "é"])
def test_a_quote_that_stands_there_has_the_ref_of_its_bytes(tmp_path: Path, quote: str) -> None:
    """In bytes of UTF-8, wherever it stands."""
    raw = _TEXT.encode()
    (found,) = check([quote], [_file(tmp_path, raw)])
    assert found.is_verified
    span = found.ref.removeprefix("d0123456789abcdef:").split("-")
    assert raw[int(span[0]) : int(span[1])].decode() == quote


@pytest.mark.parametrize(
    "quote",
    ["über", "Uber", '"quoted"', "“quoted” - naïve", "Second  line", "Second line with", "Third.\n\n", "cafe\u0301", "",
     "x" * (MAX_QUOTE_CHARS + 1), "\ud800", "?"],
)  # fmt: skip
def test_a_quote_that_is_nearly_right_is_not_verified(tmp_path: Path, quote: str) -> None:
    """Case, blanks, dashes, other quotation marks, another normal form, nothing, too much."""
    (found,) = check([quote], [_file(tmp_path, _TEXT.encode())])
    assert (found.is_verified, found.ref, found.source) == (False, "", "")


def test_quotes_are_found_over_the_ends_of_pieces(tmp_path: Path) -> None:
    """A long file is read piece by piece; the first place counts."""
    raw = bytearray(b"." * (9 << 20))
    for at in ((4 << 20) - 3, (8 << 20) - 1, (9 << 20) - 6):
        raw[at : at + 6] = b"needle"
    raw[(8 << 20) - 1 : (8 << 20) + 5] = b"second"
    found = check(["needle", "second", "absent"], [_file(tmp_path, bytes(raw))])
    assert [one.ref.partition(":")[2] for one in found] == [
        f"{(4 << 20) - 3}-{(4 << 20) + 3}", f"{(8 << 20) - 1}-{(8 << 20) + 5}", "",
    ]  # fmt: skip
    assert verified_refs(found) == (found[0].ref, found[1].ref)


def test_only_the_part_that_counts_is_looked_at(tmp_path: Path) -> None:
    """What lies before or behind it in the same file proves nothing; the Ref is of the whole file."""
    source = _file(tmp_path, b"before|inside|behind")
    part = Source(name="part", path=source.path, start=7, end=13, ref=source.ref)
    found = check(["before", "inside", "e|in", "behind"], [part])
    assert [one.is_verified for one in found] == [False, True, False, False]
    assert found[1].ref == "d0123456789abcdef:7-13"


def test_a_text_that_only_the_run_knows_proves_without_a_ref() -> None:
    """It is named by what it is."""
    (found,) = check(["inside"], [Source(name="context[3]", content=b"it is inside here")])
    assert (found.is_verified, found.source, found.ref) == (True, "context[3]", "")


def test_quotes_have_limits_and_each_counts_once() -> None:
    """Fifty of them are looked for, and the others are not verified; the same one twice is one."""
    source = Source(name="x", content=" ".join(map(str, range(200))).encode())
    found = check([str(number) for number in range(200)], [source])
    assert [one.is_verified for one in found] == [True] * MAX_QUOTES + [False] * (200 - MAX_QUOTES)
    assert len(check(["1", "1", "2"], [source])) == 2


def test_what_is_not_found_in_time_is_not_verified(tmp_path: Path) -> None:
    """Nobody waits for a proof behind the end of a Run."""
    source = _file(tmp_path, b"." * (9 << 20) + b"end")
    assert not check(["end"], [source], lambda: True)[0].is_verified
    looks = iter([False, False, True, True, True])
    assert not check(["end"], [source], lambda: next(looks))[0].is_verified


def test_secrets_in_quotes_leave_as_marks(tmp_path: Path) -> None:
    """The quote is verified by its bytes, and shown without the secret."""
    quote = f"key = {TOKEN}"
    (found,) = without_secrets(check([quote], [_file(tmp_path, quote.encode())]), lambda text: redact(text)[0])
    assert found.is_verified
    assert TOKEN not in found.quote
    assert found.quote.startswith("key = [REDACTED")
