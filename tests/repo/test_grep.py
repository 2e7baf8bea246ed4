"""A pattern is searched in the listed files alone; places, counts and cuts are exact."""

import os
from pathlib import Path

import pytest

from rlm_mcp.errors import QueryError
from rlm_mcp.repo import tree
from rlm_mcp.repo.grep import GREP_LIMITS, GrepLimits, Search, grep
from tests.repo.made import git, hostile, repository, written


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Tracked, new, ignored, linked, binary and special files."""
    top = repository(tmp_path / "r", a_py="def one():\n    return load(1)\n", src__b_py="x = load(2)\r\ny = LOAD\r\n")
    written(top, new_txt="load load load\nnothing\n", out_log="load\n")
    (top / ".gitignore").write_text("*.log\n")
    (top / "bin.dat").write_bytes(b"load\0load\n")
    (tmp_path / "secret").write_text("load the secret\n")
    (top / "link").symlink_to(tmp_path / "secret")
    (top / "dirlink").symlink_to(tmp_path)
    return top


def places(top: Path, pattern: str, **more: object) -> list[tuple[str, int, int, str]]:
    answer = grep(top, pattern, **more)  # type: ignore[arg-type]
    assert (answer.total, answer.is_at_least) == (len(answer.matches), False)
    return [(match.path, match.line, match.column, match.text) for match in answer.matches]


def test_lines_are_found_in_listed_files_only(top: Path):
    """In order; line ends are not part of the text; a line counts once."""
    assert places(top, "load") == [
        ("a.py", 2, 12, "    return load(1)"),
        ("new.txt", 1, 1, "load load load"),
        ("src/b.py", 1, 5, "x = load(2)"),
    ]
    answer = grep(top, "load")
    assert (answer.files, answer.binary) == (3, 1)


def test_globs_case_and_plain_text_narrow(top: Path):
    """Each of them."""
    assert [place[0] for place in places(top, "load", glob="*.py")] == ["a.py", "src/b.py"]
    assert [place[0] for place in places(top, "load", glob="src/")] == ["src/b.py"]
    assert [place[1] for place in places(top, "load", glob="src/*", ignore_case=True)] == [1, 2]
    assert [place[0] for place in places(top, "load(1)", fixed=True)] == ["a.py"]
    assert places(top, "load", glob="*.rs") == []


def test_an_ignored_file_is_not_searched_though_a_glob_names_it(top: Path):
    """Unlike ripgrep's own globs."""
    assert places(top, "load", glob="out.log") == []
    git(top, "add", "-f", "out.log")
    assert [place[0] for place in places(top, "load", glob="out.log")] == ["out.log"]


def test_more_than_shown_is_counted(tmp_path: Path):
    """The true total."""
    top = written(tmp_path / "r", a="x\n" * 5_000, b="x\n")
    answer = grep(top, "x", limits=GrepLimits(matches=3))
    assert [match.line for match in answer.matches] == [1, 2, 3]
    assert (answer.total, answer.is_at_least, answer.files) == (5_001, False, 2)
    assert grep(top, "x", limits=GrepLimits(matches=0)).total == 5_001
    for wrong in (-1, 10_001):
        with pytest.raises(QueryError, match="write a number"):
            grep(top, "x", limits=GrepLimits(matches=wrong))


def test_a_flood_of_matches_is_at_least(tmp_path: Path):
    """More than is read of ripgrep."""
    top = written(tmp_path / "r", a="x\n" * 400_000)
    answer = grep(top, "x")
    assert len(answer.matches) == 200
    assert answer.is_at_least
    assert 50_000 < answer.total < 400_000


def test_a_long_line_is_cut_around_its_match(tmp_path: Path):
    """Megabytes in one line cost a line's width."""
    long = "a" * 3_000_000 + "é needle é" + "b" * 3_000_000
    top = written(tmp_path / "r", min_js=f"first\n{long}\nlast needle {'c' * 1_000}\nneedle\n")
    first, second, third = grep(top, "needle").matches
    assert (first.line, first.column) == (2, 3_000_004)
    assert first.text.startswith("…aaa")
    assert first.text.endswith("bbb…")
    assert "é needle é" in first.text
    assert len(first.text) < 700
    assert second.text.startswith("last needle ccc")
    assert second.text.endswith("c…")
    assert third.text == "needle"


def test_bytes_that_are_no_text_do_not_stand_in_the_way(tmp_path: Path):
    """In names and in lines; a file name may hold line ends and colons."""
    top = written(tmp_path / "r", a="")
    for name in (b"caf\xe9", b"new\nline:3:4", b"-e", b"--files", b"b\nx: binary file matches"):
        Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_bytes(b"\xff\xfe needle \xe9\n")
    Path(top / "zz").write_bytes(b"needle\0")
    answer = grep(top, "needle")
    assert (answer.total, answer.binary) == (5, 1)
    assert all("needle" in match.text for match in answer.matches)
    assert {os.fsencode(match.path) for match in answer.matches} >= {b"caf\xe9", b"new\nline:3:4", b"--files"}


def test_many_files_are_searched_in_several_runs(tmp_path: Path):
    """Longer together than a command line may be."""
    top = tmp_path / "r"
    folder = top / ("d" * 200)
    folder.mkdir(parents=True)
    for number in range(1_800):
        (folder / f"{number:04}{'n' * 100}").write_text("needle\n" if number % 3 == 0 else "hay\n")
    answer = grep(top, "needle", limits=GrepLimits(matches=10))
    assert (answer.total, answer.files, answer.is_at_least) == (600, 600, False)


@pytest.mark.parametrize("count", [3, 1_100])
def test_a_folder_that_became_a_link_after_the_listing_is_not_read(tmp_path: Path, count: int):
    """Neither shown nor counted, with few files and with many; what lies beside it is found."""
    top, other = tmp_path / "r", tmp_path / "other"
    for folder in (top / "swapped", other):
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.py").write_text(f"needle {folder.name}\n")
    (other / "0.py").write_bytes(b"needle\0")
    written(top, a_py="needle\n")
    listing = tree.files(top)
    (top / "swapped").rename(tmp_path / "was")
    (top / "swapped").symlink_to(other)
    answer = Search("needle", GREP_LIMITS, ignore_case=False, fixed=False).run(listing)
    assert [match.path for match in answer.matches] == ["a.py"]
    assert (answer.total, answer.files, answer.binary) == (1, 1, 0)


def test_a_file_that_became_a_link_after_the_listing_is_not_read(tmp_path: Path):
    """Neither shown nor counted."""
    top = written(tmp_path / "r", a_py="needle\n", b_py="needle\n")
    (tmp_path / "secret").write_text("needle\nneedle\n")
    listing = tree.files(top)
    (top / "b.py").unlink()
    (top / "b.py").symlink_to(tmp_path / "secret")
    answer = Search("needle", GREP_LIMITS, ignore_case=False, fixed=False).run(listing)
    assert (answer.total, answer.files) == (1, 1)


def test_a_giant_file_is_passed_over_and_named(tmp_path: Path):
    """With few files and with many."""
    top = written(tmp_path / "r", a="needle\n", big="needle\n" * 100)
    limits = GrepLimits(file_bytes=500)
    for files in (0, 1_100):
        for number in range(files):
            (top / f"{number}.txt").write_text("hay\n")
        answer = grep(top, "needle", limits=limits)
        assert [match.path for match in answer.matches] == ["a"]
        assert (answer.left_out, answer.files_left_out) == (("big",), 1)


def test_a_search_that_nobody_waits_for_is_ended(top: Path):
    """As soon as the descriptor can be read."""
    told, tell = os.pipe()
    try:
        os.write(tell, b"x")
        with pytest.raises(QueryError, match="nobody waits"):
            grep(top, "load", limits=GrepLimits(told=told))
    finally:
        os.close(told)
        os.close(tell)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(", "unclosed group"), ("", "everywhere"), ("\0", "could not be searched"), ("x" * 20_000, "too long")],
)
def test_a_bad_pattern_says_why(top: Path, pattern: str, reason: str):
    """With ripgrep's reason."""
    with pytest.raises(QueryError, match=reason):
        grep(top, pattern)


@pytest.mark.parametrize("pattern", ["-e", "--pre=sh", "-f/etc/passwd", "--no-ignore", "-", "--"])
def test_a_pattern_is_never_an_option(top: Path, pattern: str):
    """It is looked for."""
    assert places(top, pattern) == []
    written(top, dash=f"a {pattern} b\n")
    assert [place[0] for place in places(top, pattern, fixed=True)] == ["dash"]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_explodes(tmp_path: Path, pattern: str):
    """Ripgrep's time is linear in the text."""
    top = written(tmp_path / "r", a=f"{'a' * 50_000}!\n")
    grep(top, pattern)


def test_a_search_that_takes_too_long_is_ended(top: Path):
    """With the limit named."""
    with pytest.raises(QueryError, match="s; narrow it"):
        grep(top, "load", limits=GrepLimits(seconds=0))


def test_settings_of_ripgrep_and_programs_of_the_repository_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """RIPGREP_CONFIG_PATH, .ignore files, and a hostile git config."""
    ran = hostile(tmp_path / "r")
    written(tmp_path / "r", _ignore="*\n")
    (tmp_path / "rc").write_text(f"--pre={tmp_path}/r-program\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "rc"))
    assert [place[0] for place in places(tmp_path / "r", "changed|new")] == ["a.evil", "new.evil"]
    assert not ran.exists()
