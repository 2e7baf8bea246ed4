"""A file is opened where its path says, or not at all."""

import os
from pathlib import Path

import pytest

from rlm_mcp import unlinked

_LINKED = r"Not a directory|symbolic links"


def text(path: Path, *, below: Path | None = None) -> bytes:
    """What is read by the path; with ``below`` by its end from that folder on."""
    if below is None:
        descriptor = unlinked.opened(str(path))
    else:
        with unlinked.folder(below) as top:
            descriptor = unlinked.opened(str(path.relative_to(below)), below=top)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with a file two folders deep, and links of every kind; another beside it."""
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "top" / "a" / "b" / "f").write_text("inside")
    (tmp_path / "other" / "b").mkdir(parents=True)
    (tmp_path / "other" / "b" / "f").write_text("outside")
    (tmp_path / "top" / "way").symlink_to(tmp_path / "other")
    (tmp_path / "top" / "near").symlink_to("a")
    (tmp_path / "top" / "a" / "last").symlink_to(tmp_path / "other" / "b" / "f")
    return (tmp_path / "top").resolve()


def test_a_file_is_read_by_its_whole_path_and_from_a_folder_on(top: Path):
    """Both give the same."""
    assert text(top / "a" / "b" / "f") == text(top / "a" / "b" / "f", below=top) == b"inside"


@pytest.mark.parametrize("path", ["way/b/f", "near/b/f", "a/last"])
def test_a_link_anywhere_on_the_way_is_refused(top: Path, path: str):
    """Wherever it leads."""
    for below in (None, top):
        with pytest.raises(OSError, match=_LINKED):
            text(top / path, below=below)


def test_a_folder_that_became_a_link_is_refused(top: Path):
    """Also as the folder to begin in."""
    (top / "a").rename(top / "was")
    (top / "a").symlink_to(top.parent / "other")
    for below in (None, top):
        with pytest.raises(OSError, match=_LINKED):
            text(top / "a" / "b" / "f", below=below)
    with pytest.raises(OSError, match=_LINKED), unlinked.folder(top / "a"):
        pass


def test_a_folder_once_opened_stays_the_same(top: Path):
    """Whatever is put in its place."""
    with unlinked.folder(top / "a") as held:
        (top / "a").rename(top / "was")
        (top / "a").symlink_to(top.parent / "other")
        with os.fdopen(unlinked.opened("b/f", below=held), "rb") as file:
            assert file.read() == b"inside"


@pytest.mark.parametrize(("path", "is_below"), [("a/../a/b/f", True), ("/a", True), ("a", False), ("/a/../b", False)])
def test_a_path_that_does_not_say_where_it_leads_is_refused(top: Path, path: str, is_below: bool):
    """Upwards, or from nowhere."""
    with unlinked.folder(top) as held, pytest.raises(ValueError, match="resolve it first"):
        unlinked.opened(path, below=held if is_below else None)


def test_a_folder_that_may_be_passed_but_not_listed_stands_in_no_ones_way(top: Path):
    """As home folders often are; where the system can tell the two apart."""
    (top / "a").chmod(0o111)
    try:
        if not hasattr(os, "O_PATH") and os.geteuid():
            pytest.skip("only Linux opens such a folder")
        assert text(top / "a" / "b" / "f") == b"inside"
    finally:
        (top / "a").chmod(0o755)
