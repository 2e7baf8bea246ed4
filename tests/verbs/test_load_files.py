"""Which files a load means: one, a folder's by git or without it, a glob's; all else is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.errors import DocumentError
from rlm_mcp.store import copying
from rlm_mcp.verbs import load_files
from rlm_mcp.verbs.load_files import Picked, pick


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder of a project, resolved."""
    folder = tmp_path.resolve() / "work"
    folder.mkdir()
    return folder


def make(folder: Path, *paths: str, content: str = "text\n") -> None:
    """Files below the folder."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def picked(work: Path, asked: str, name: str = "") -> Picked:
    """With the store in the folder beside it."""
    return pick(asked, name, cwd=str(work), store_home=work.parent / "store")


def names(found: Picked) -> list[str]:
    """Of what is wanted."""
    return [wanted.name for wanted in found.wanted]


def reasons(found: Picked) -> dict[str, str]:
    """Why each was passed over."""
    return {skipped.path: skipped.why for skipped in found.skipped}


def git(folder: Path, *arguments: str) -> None:
    """A git command that knows who it is."""
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=folder, check=True)


def test_a_file_is_found_from_the_sessions_folder_or_absolute(work: Path, monkeypatch: pytest.MonkeyPatch):
    """Under its own name or another; ``~`` is the home folder."""
    make(work, "logs/app.log")
    for asked in ("logs/app.log", "./logs/../logs/app.log", str(work / "logs/app.log"), " logs/app.log\n"):
        found = picked(work, asked)
        assert (names(found), found.folder) == (["app.log"], "")
        assert found.wanted[0].file == work / "logs/app.log"
    assert names(picked(work, "logs/app.log", "run 7")) == ["run 7"]
    monkeypatch.setenv("HOME", str(work))
    assert names(picked(work, "~/logs/app.log")) == ["app.log"]
    make(work, "what[1].log")
    assert names(picked(work, "what[1].log")) == ["what[1].log"]


def test_a_folder_gives_each_file_by_its_path(work: Path):
    """Folders that tools fill are passed over, and named."""
    make(work, "docs/a.md", "docs/sub/b.md", "docs/node_modules/x.js", "docs/.git/config", "docs/.hidden")
    found = picked(work, "docs")
    assert names(found) == ["docs/.hidden", "docs/a.md", "docs/sub/b.md"]
    assert found.folder == "docs"
    assert reasons(found)["node_modules/"] == "filled by a tool"
    assert names(picked(work, "docs/", "manual")) == ["manual/.hidden", "manual/a.md", "manual/sub/b.md"]


def test_in_a_repository_git_says_what_counts(work: Path):
    """For the whole of it and for a folder in it; a folder that is ignored counts when it is named itself."""
    make(work, ".gitignore", content="*.log\nout/\n")
    make(work, "a.md", "b.log", "docs/c.md", "docs/d.log", "docs[1]/e.md", "out/f.txt", "new.md")
    git(work, "init", "-q")
    git(work, "add", "a.md", "docs")
    git(work, "commit", "-q", "-m", "x")
    (work / "docs" / "gone.md").write_text("x")
    git(work, "add", "docs/gone.md")
    (work / "docs" / "gone.md").unlink()
    everything = ["work/.gitignore", "work/a.md", "work/docs/c.md", "work/docs[1]/e.md", "work/new.md"]
    assert names(picked(work, ".")) == everything
    assert names(picked(work, "docs")) == ["docs/c.md"]
    assert names(picked(work, "docs[1]")) == ["docs[1]/e.md"]
    assert names(picked(work, "out")) == ["out/f.txt"]
    assert names(picked(work, "b.log")) == ["b.log"]


def test_a_glob_is_laid_on_what_lies_below_its_plain_part(work: Path):
    """``*`` stays in its folder, ``**`` does not."""
    make(work, "logs/a.log", "logs/b.txt", "logs/sub/c.log", "d.log")
    assert names(picked(work, "logs/*.log")) == ["logs/a.log"]
    assert names(picked(work, "logs/**/*.log")) == ["logs/a.log", "logs/sub/c.log"]
    assert names(picked(work, "logs/*.{log,txt}", "all")) == ["all/a.log", "all/b.txt"]
    assert names(picked(work, "*.log")) == ["work/d.log"]
    assert names(picked(work, str(work / "logs" / "?.log"))) == ["logs/a.log"]
    for asked in ("*.nothing", "nowhere/*.log", "logs/a.log/*"):
        with pytest.raises(DocumentError):
            picked(work, asked)


def test_links_are_followed_inside_the_folder_only(work: Path):
    """Outside, in circles, to folders: passed over and named."""
    make(work, "docs/a.md", "docs/sub/b.md", "secret.txt")
    for name, target in (
        ("inside", "a.md"), ("outside", "../secret.txt"), ("circle", "circle"), ("nowhere", "no-such-file"),
        ("folder", "sub"), ("up", ".."),
    ):  # fmt: skip
        (work / "docs" / name).symlink_to(target)
    found = picked(work, "docs")
    assert names(found) == ["docs/a.md", "docs/inside", "docs/sub/b.md"]
    assert reasons(found) == {
        "outside": "links out of the folder",
        "up": "links out of the folder",
        "circle": "broken links",
        "nowhere": "broken links",
        "folder": "links to folders",
    }
    (work / "link.md").symlink_to("docs/a.md")
    assert picked(work, "link.md").wanted[0].file == work / "docs" / "a.md"
    (work / "linked").symlink_to("docs")
    assert names(picked(work, "linked")) == ["linked/a.md", "linked/inside", "linked/sub/b.md"]


def test_credentials_are_refused_by_name_and_passed_over_in_folders(work: Path):
    """Also through a link, and by the folder above."""
    make(work, ".env", ".env.example", "app.py", ".ssh/id_rsa", "sub/.aws/config")
    for asked in (".env", ".ssh", ".ssh/id_rsa", "sub/.aws", "sub/.aws/*", "/proc/self/environ"):
        with pytest.raises(DocumentError, match="not loaded; what is needed of it, the user can put"):
            picked(work, asked)
    (work / "innocent.txt").symlink_to(".env")
    with pytest.raises(DocumentError, match="credentials"):
        picked(work, "innocent.txt")
    found = picked(work, ".")
    assert names(found) == ["work/.env.example", "work/app.py"]
    assert set(reasons(found).values()) == {"a file of credentials", "a place of credentials"}


def test_the_store_itself_is_never_loaded(work: Path):
    """Nor what lies in it, in a folder around it."""
    make(work.parent, "store/store.db", "other.txt")
    (work.parent / "by-link").symlink_to("store")
    for asked in ("../store", "../store/store.db", "../by-link", "../by-link/*"):
        with pytest.raises(DocumentError, match="the store of rlm-mcp itself"):
            picked(work, asked)
    found = picked(work, "..", "all")
    assert names(found) == ["all/other.txt"]
    assert reasons(found)["store/store.db"] == "the store of rlm-mcp itself"


def test_what_is_not_there_is_told_with_the_folder_it_was_looked_for_in(work: Path):
    """And a relative path without a folder to start from."""
    with pytest.raises(DocumentError, match="is not there") as raised:
        picked(work, "nothing.txt")
    assert str(work) in str(raised.value)
    with pytest.raises(DocumentError, match="write it absolute"):
        pick("a.txt", "", cwd="", store_home=work)
    for asked in ("", "  ", "a\0b", "~no-such-user-here/x", "\ud800"):
        with pytest.raises(DocumentError):
            picked(work, asked)


def test_too_much_is_refused_before_anything_is_read(work: Path, monkeypatch: pytest.MonkeyPatch):
    """Files, bytes of one, bytes of all: the limit and the cure."""
    make(work, *(f"many/{number}.txt" for number in range(12)))
    monkeypatch.setattr(load_files, "MOST_FILES", 11)
    with pytest.raises(DocumentError, match="12 files, one load takes 11; name a folder in it"):
        picked(work, "many")
    monkeypatch.undo()
    os.truncate(work / "many" / "1.txt", 5 << 30)
    found = picked(work, "many")
    assert len(found.wanted) == 11
    assert reasons(found) == {"1.txt": "larger than 4 GiB"}
    for number in (2, 3, 4):
        os.truncate(work / "many" / f"{number}.txt", 3 << 30)
    with pytest.raises(DocumentError, match="one load takes 8,589,934,592"):
        picked(work, "many")


def test_pipes_and_the_like_in_a_folder_are_counted(work: Path):
    """They are never opened."""
    make(work, "docs/a.md")
    os.mkfifo(work / "docs" / "pipe")
    found = picked(work, "docs")
    assert (names(found), found.left_out) == (["docs/a.md"], 1)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes UTF-8 alone")
def test_names_can_be_printed_on_one_line(work: Path):
    """Bytes that are no UTF-8 and line ends stand as escapes; what is no name is refused."""
    Path(os.fsdecode(bytes(work) + b"/docs")).mkdir()
    for name in (b"caf\xe9.txt", b"two\nlines.txt", "日本.txt".encode()):
        with open(bytes(work) + b"/docs/" + name, "wb") as file:  # noqa: PTH123  # a Path cannot be made of bytes
            file.write(b"x")
    assert names(picked(work, "docs")) == [r"docs/caf\udce9.txt", r"docs/two\nlines.txt", "docs/日本.txt"]
    make(work, "a.txt")
    for name in ("/", "x" * 301):
        with pytest.raises(DocumentError, match="no name for a document"):
            picked(work, "a.txt", name)
    assert names(picked(work, "a.txt", "/x/y/")) == ["x/y"]


def test_a_folder_that_became_a_link_after_it_was_looked_at_is_not_read(work: Path):
    """Neither a folder's files nor a single one: what is not looked at may be private."""
    make(work, "docs/sub/a.md", "docs/b.md")
    make(work.parent, "outside/a.md", content="outside\n")
    wanted = [*picked(work, "docs").wanted, *picked(work, "docs/sub/a.md").wanted]
    (work / "docs" / "sub").rename(work / "docs" / "was")
    (work / "docs" / "sub").symlink_to(work.parent / "outside")
    paths = Paths(home=work.parent / "store")
    paths.documents.mkdir(parents=True)
    read = []
    for each in wanted:
        try:
            copying.copy(paths, each.file, most_bytes=1_000)
        except DocumentError:
            continue
        read.append(each.name)
    assert read == ["docs/b.md"]
