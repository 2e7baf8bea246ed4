"""Globs mean what git, ripgrep and pathlib mean by them, and cost the same whatever is asked."""

import sys
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rlm_mcp.errors import QueryError
from rlm_mcp.repo.globs import matcher

PATHS = [
    "README.md", "setup.py", ".env", "src/app.py", "src/api/app.py", "src/api/v1/deep.py", "src/api/v1/deep.ts",
    "tests/src/app.py", "src.py", "a b/c[1].txt", "new\nline.py",
]  # fmt: skip


@pytest.mark.parametrize(
    ("glob", "wanted"),
    [
        ("**/*", PATHS),
        ("**", PATHS),
        ("*", PATHS),
        ("*.py", [path for path in PATHS if path.endswith(".py")]),
        ("**/*.py", [path for path in PATHS if path.endswith(".py")]),
        ("./*.md", ["README.md"]),
        ("src/*.py", ["src/app.py"]),
        ("src/**", ["src/app.py", "src/api/app.py", "src/api/v1/deep.py", "src/api/v1/deep.ts"]),
        ("src/**/*.py", ["src/app.py", "src/api/app.py", "src/api/v1/deep.py"]),
        ("src/**/v1/*.{py,ts}", ["src/api/v1/deep.py", "src/api/v1/deep.ts"]),
        ("**/api/**/*.ts", ["src/api/v1/deep.ts"]),
        ("**/src/app.py", ["src/app.py", "tests/src/app.py"]),
        ("*/*/app.py", ["src/api/app.py", "tests/src/app.py"]),
        ("src", ["src/app.py", "src/api/app.py", "src/api/v1/deep.py", "src/api/v1/deep.ts"]),
        ("src/", ["src/app.py", "src/api/app.py", "src/api/v1/deep.py", "src/api/v1/deep.ts"]),
        ("*/src/", ["tests/src/app.py"]),
        ("src/api", ["src/api/app.py", "src/api/v1/deep.py", "src/api/v1/deep.ts"]),
        ("app.py", ["src/app.py", "src/api/app.py", "tests/src/app.py"]),
        ("src/app.py", ["src/app.py"]),
        ("{README,setup}.{md,py}", ["README.md", "setup.py"]),
        ("c[[]1].txt", ["a b/c[1].txt"]),
        ("[!s]*.py", ["src/app.py", "src/api/app.py", "src/api/v1/deep.py", "tests/src/app.py", "new\nline.py"]),
        ("SRC/*", []),
        ("app", []),
    ],
)
def test_a_glob_means_these_paths(glob: str, wanted: list[str]):
    """Names anywhere, paths from the top, folders with all they hold."""
    means = matcher(glob)
    assert [path for path in PATHS if means(path)] == wanted


@pytest.mark.parametrize("glob", ["", "/", "/etc/passwd", "../x", "src/../../x", "a\0b", "x" * 1_001, "{a,b}" * 7])
def test_a_glob_that_means_nothing_here_is_refused(glob: str):
    """With the cure."""
    with pytest.raises(QueryError, match="write"):
        matcher(glob)


def test_no_glob_takes_long():
    """Stars upon stars over a long path: decided without a second try (a naive one would outlast the universe)."""
    assert not matcher("*a" * 400 + "b")("a" * 4_000)
    assert not matcher("**/a/" * 150 + "b")("/".join("a" * 2_000))
    assert matcher("**/a/" * 150 + "**/b")("/".join("a" * 2_000) + "/b")


_PART = some.sampled_from(["*", "**", "a", "b", "a*", "*b", "?"])
_PATH = some.lists(some.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=6)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="pathlib's own answer came with 3.13")
@given(parts=some.lists(_PART, min_size=2, max_size=6), path=_PATH)
def test_globs_with_a_slash_mean_what_pathlib_means(parts: list[str], path: list[str]):
    """But for names without wildcards, which mean a folder's contents as well."""
    glob, joined = "/".join(parts), "/".join(path)
    if any(mark in glob for mark in "*?"):
        assert matcher(glob)(joined) == PurePosixPath(joined).full_match(glob)  # type: ignore[attr-defined]


def tried(parts: list[str], path: list[str]) -> bool:
    """The same by trying every way."""
    if not parts:
        return not path
    if parts[0] == "**":
        least = 1 if len(parts) == 1 else 0
        return any(tried(parts[1:], path[taken:]) for taken in range(least, len(path) + 1))
    return bool(path) and matcher(f"{parts[0]}*" if parts[0] in "ab" else parts[0])(path[0]) and tried(
        parts[1:], path[1:]
    )  # fmt: skip


@given(parts=some.lists(some.sampled_from(["*", "**", "a*", "*b", "?"]), min_size=2, max_size=6), path=_PATH)
def test_going_through_once_finds_what_trying_every_way_finds(parts: list[str], path: list[str]):
    """No way back is needed."""
    assert matcher("/".join(parts))("/".join(path)) == tried(parts, path)
