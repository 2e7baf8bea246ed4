"""The files of a working tree are listed as git means them, and nothing outside it ever."""

import os
from pathlib import Path

import pytest

from rlm_mcp.errors import ProcessError, QueryError, UsageError
from rlm_mcp.repo import tree
from rlm_mcp.repo.tree import TreeLimits
from tests.repo.made import commit, git, hostile, repository, written


def paths(root: Path, glob: str = "**/*") -> list[str]:
    return list(tree.files(root, glob).paths)


def test_tracked_and_new_files_are_listed_ignored_and_deleted_ones_are_not(tmp_path: Path):
    """As `git status` sees the folder."""
    top = repository(tmp_path / "r", a_py="1", gone_py="2", src__b_py="3")
    written(top, new_txt="4", skip_log="5")
    (top / ".gitignore").write_text("*.log\nbuilt/\n")
    written(top, built__x_py="6")
    (top / "gone.py").unlink()
    found = tree.files(top)
    assert found.paths == (".gitignore", "a.py", "new.txt", "src/b.py")
    assert (found.is_git, found.total, found.is_cut, found.left_out) == (True, 4, False, 0)
    assert paths(top, "*.py") == ["a.py", "src/b.py"]
    assert paths(top, "src/") == ["src/b.py"]


def test_a_tracked_file_is_listed_though_a_rule_ignores_it(tmp_path: Path):
    """Git says so."""
    top = repository(tmp_path / "r", a_log="1")
    (top / ".gitignore").write_text("*.log\n")
    assert paths(top) == [".gitignore", "a.log"]


def test_ignores_of_the_repository_and_of_the_person_count(tmp_path: Path):
    """info/exclude; the global file, by its default place and by its setting."""
    top = repository(tmp_path / "r", a_py="1")
    written(top, b_one="", c_two="", d_three="")
    (top / ".git" / "info" / "exclude").write_text("*.one\n")
    (tmp_path / "home" / ".config" / "git").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "git" / "ignore").write_text("*.two\n")
    assert paths(top) == ["a.py", "d.three"]
    (tmp_path / "home" / "mine").write_text("*.three\n")
    (tmp_path / "home" / ".gitconfig").write_text("[core]\n\texcludesFile = ~/mine\n")
    assert paths(top) == ["a.py", "c.two"]


def test_symlinks_are_listed_and_never_followed(tmp_path: Path):
    """To files, to folders, out of the root, to nothing."""
    outside = written(tmp_path / "outside", secret_txt="s")
    top = repository(tmp_path / "r", sub__a_py="1")
    for name, target in (("file", "sub/a.py"), ("folder", "sub"), ("out", str(outside)), ("nothing", "no")):
        (top / name).symlink_to(target)
    found = tree.files(top)
    assert found.paths == ("file", "folder", "nothing", "out", "sub/a.py")
    assert found.links == {"file", "folder", "nothing", "out"}
    (top / ".git").rename(tmp_path / "away")
    assert tree.files(top).paths == found.paths
    assert tree.files(top).links == found.links


def test_a_folder_that_became_a_symlink_hides_what_git_still_tracks_behind_it(tmp_path: Path):
    """An index can name a path that now leads out of the root."""
    outside = written(tmp_path / "outside", passwd="s")
    top = repository(tmp_path / "r", sub__passwd="1", keep="2")
    (top / "sub" / "passwd").unlink()
    (top / "sub").rmdir()
    (top / "sub").symlink_to(outside)
    assert paths(top) == ["keep", "sub"]


def test_repositories_inside_are_listed_by_their_own_rules(tmp_path: Path):
    """New ones, submodules, and those in a folder without git."""
    inner = repository(tmp_path / "inner", x_py="1")
    top = repository(tmp_path / "r", a_py="1")
    git(top, "submodule", "add", "-q", str(inner), "mod")
    new = repository(top / "new", y_py="1", z_log="2")
    (new / ".git" / "info" / "exclude").write_text("*.tmp\n")
    written(new, q_tmp="")
    assert paths(top) == [".gitmodules", "a.py", "mod/x.py", "new/y.py", "new/z.log"]
    assert paths(tmp_path, "**/*.py") == ["inner/x.py", "r/a.py", "r/mod/x.py", "r/new/y.py"]
    assert not tree.files(tmp_path).is_git


def test_a_folder_without_git_is_walked_past_what_tools_fill(tmp_path: Path):
    """And the folders passed over are named."""
    top = written(tmp_path / "r", a_py="1")
    for name in ("node_modules", "__pycache__", ".venv", "env", "src"):
        (top / name).mkdir()
        (top / name / "x.js").write_text("")
    (top / "env" / "pyvenv.cfg").write_text("")
    os.mkfifo(top / "pipe")
    (top / "src" / ".git").write_text("gitdir: nowhere\n")
    found = tree.files(top)
    assert found.paths == ("a.py", "src/x.js")
    assert (found.is_git, found.left_out) == (False, 1)
    assert found.passed_over == (".venv", "__pycache__", "env", "node_modules")


def test_a_repository_inside_that_git_cannot_read_is_a_plain_folder(tmp_path: Path):
    """And named; in a repository and without; the outermost one is refused with git's words."""
    for top in (repository(tmp_path / "git", a_py="1"), written(tmp_path / "plain", a_py="1")):
        for name in ("broken", "fine"):
            repository(top / "lib" / name, b_py="2", _gitignore="*.log\n")
            (top / "lib" / name / "x.log").write_text("ignored")
        (top / "lib" / "broken" / ".git" / "config").write_text("[no config")
        found = tree.files(top)
        assert found.paths == (
            "a.py", "lib/broken/.gitignore", "lib/broken/b.py", "lib/broken/x.log", "lib/fine/.gitignore",
            "lib/fine/b.py",
        )  # fmt: skip
        assert found.unread == ("lib/broken",)
    with pytest.raises(ProcessError, match="config"):
        tree.files(tmp_path / "git" / "lib" / "broken")


def test_links_that_lead_out_or_nowhere_are_not_readable(tmp_path: Path):
    """Those that lead to what is inside are, by a relative path."""
    top = repository(tmp_path / "r", a_py="1", src__b_py="2")
    (tmp_path / "secret").write_text("secret")
    for name, target in (
        ("in", "a.py"), ("in_folder", "src"), ("src/up", "../a.py"), ("by_link", "in"), ("out", "../secret"),
        ("out_absolute", str(tmp_path / "secret")), ("absolute", str(top / "a.py")), ("nowhere", "gone"),
        ("circle", "circle"), ("out_by_link", "out"),
    ):  # fmt: skip
        (top / name).symlink_to(target)
    found = tree.files(top)
    assert tree.readable(found) == ["a.py", "by_link", "in", "in_folder", "src/b.py", "src/up"]
    assert set(found.paths) - set(tree.readable(found)) == {
        "out", "out_absolute", "absolute", "nowhere", "circle", "out_by_link",
    }  # fmt: skip


def test_names_that_are_no_text_are_given_as_python_gives_them(tmp_path: Path):
    """Not UTF-8, with line ends, quotes and blanks: they open."""
    top = repository(tmp_path / "r", a="1")
    for name in (b"caf\xe9.py", b"new\nline.py", b'quo"te .py', "n\u00e4ive.py".encode(), b"-x.py"):
        Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_text("x")
    found = paths(top, "*.py")
    assert len(found) == 5
    assert all((top / name).read_text() == "x" for name in found)


def test_limits_cut_and_say_so(tmp_path: Path):
    """Files, depth, repositories inside."""
    top = repository(tmp_path / "r", a="1", b="2", c="3", d__e__f="4")
    assert not tree.files(top, limits=TreeLimits(files=4)).is_cut
    assert tree.files(top, limits=TreeLimits(files=3)).is_cut
    assert tree.files(top, limits=TreeLimits(depth=2)).left_out == 1
    for name in ("m", "n"):
        repository(top / name, x="1")
    assert tree.files(top, limits=TreeLimits(repositories=2)).is_cut
    (top / ".git").rename(tmp_path / "away")
    assert tree.files(top, limits=TreeLimits(files=3)).is_cut
    assert tree.files(top, limits=TreeLimits(depth=2)).left_out == 1
    assert tree.files(top, limits=TreeLimits(seconds=-1)).is_cut


def test_a_path_deeper_than_any_stack_is_left_out(tmp_path: Path):
    """Two thousand folders in each other, tracked."""
    top = repository(tmp_path / "r", a="1")
    oid = git(top, "hash-object", "-w", "a").strip()
    git(top, "update-index", "--add", "--cacheinfo", f"100644,{oid},{'d/' * 1_900}x")
    assert paths(top) == ["a"]


def test_worktrees_and_bare_pointers_are_understood(tmp_path: Path):
    """`.git` is a file there."""
    top = repository(tmp_path / "r", a_py="1")
    git(top, "worktree", "add", "-q", str(tmp_path / "w"))
    written(tmp_path / "w", new_py="2")
    assert paths(tmp_path / "w") == ["a.py", "new.py"]
    assert tree.files(tmp_path / "w").is_git
    assert tree.root_of(tmp_path / "w") == (tmp_path / "w").resolve()


def test_a_sparse_checkout_lists_what_is_there(tmp_path: Path):
    """What is tracked and not checked out is not in the working tree."""
    top = repository(tmp_path / "r", a__x="1", b__y="2", c="3")
    git(top, "sparse-checkout", "set", "a")
    assert paths(top) == ["a/x", "c"]


def test_a_repository_without_commits_is_listed(tmp_path: Path):
    """HEAD is unborn."""
    top = written(repository(tmp_path / "r"), a="1")
    assert paths(top) == ["a"]
    assert tree.root_of(top / ".git") == top.resolve()


def test_nothing_that_a_repositorys_config_names_is_run(tmp_path: Path):
    """Programs in every setting, hooks and attributes; the listing is as ever."""
    top = tmp_path / "r"
    ran = hostile(top)
    assert paths(top) == [".gitattributes", "a.evil", "b.txt", "new.evil"]
    assert not ran.exists()
    git(tmp_path, "init", "-q", "control")
    (tmp_path / "control" / ".git" / "config").write_text((top / ".git" / "config").read_text())
    git(tmp_path / "control", "ls-files", "--others", "--cached")
    assert ran.exists()  # the trap works: git itself, not held back, runs it


def test_a_broken_config_is_told(tmp_path: Path):
    """With git's own words."""
    top = repository(tmp_path / "r", a="1")
    (top / ".git" / "config").write_text("[core\n")
    with pytest.raises(ProcessError, match="bad config line 1"):
        paths(top)


def test_another_owners_repository_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Git refuses it for fear of what its config names; we run none of that."""
    top = repository(tmp_path / "r", a="1")
    if os.geteuid():
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    else:
        os.chown(top / ".git", 12_345, 12_345)
        os.chown(top, 12_345, 12_345)
    assert paths(top) == ["a"]


def test_without_git_the_folder_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And the answer says so."""
    top = repository(tmp_path / "r", a="1")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = tree.files(top)
    assert (found.paths, found.is_git) == (("a",), False)


def test_a_git_beside_the_files_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative folder in PATH is no place to find git."""
    top = repository(tmp_path / "r", a="1")
    (top / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (top / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    monkeypatch.chdir(top)
    assert paths(top) == ["a", "git"]
    assert not (tmp_path / "ran").exists()


def test_the_root_is_the_work_trees_top(tmp_path: Path):
    """Of a folder inside it, through a symlink too; else the folder; a home under git does not count."""
    home = repository(tmp_path / "h", dotfile="1")
    (home / "plain" / "deep").mkdir(parents=True)
    top = repository(home / "project", src__a="1")
    commit_folder = top / "src"
    (tmp_path / "link").symlink_to(commit_folder)
    assert tree.root_of(commit_folder) == top.resolve()
    assert tree.root_of(tmp_path / "link", home=home) == top.resolve()
    assert tree.root_of(home / "plain" / "deep") == home.resolve()
    assert tree.root_of(home / "plain" / "deep", home=home) == (home / "plain" / "deep").resolve()


@pytest.mark.parametrize("path", ["missing", "file", "a\0b"])
def test_what_is_no_folder_is_refused(tmp_path: Path, path: str):
    """By each entrance."""
    (tmp_path / "file").write_text("")
    for enter in (tree.root_of, tree.files):
        with pytest.raises(UsageError, match=r"name (a|the) folder"):
            enter(tmp_path / path)


def test_only_project_folders_may_be_mapped(tmp_path: Path):
    """Not what holds the home or the store, nor what lies in the store."""
    home, store = tmp_path / "users" / "me", tmp_path / "var" / "store"
    for folder in (home / "project", store / "sessions", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    for refused in (Path("/"), tmp_path, tmp_path / "users", home, tmp_path / "link", store, tmp_path / "var",
                    store / "sessions"):  # fmt: skip
        with pytest.raises(UsageError, match="start the client in a project folder"):
            tree.mappable(refused, home=home, store_home=store)
    for folder in (home / "project", tmp_path / "elsewhere"):
        tree.mappable(folder, home=home, store_home=store)
    with pytest.raises(UsageError, match="name a folder"):
        tree.mappable(tmp_path / "missing", home=home, store_home=store)


def test_a_bad_glob_is_refused_before_anything_is_read(tmp_path: Path):
    """Whatever the folder."""
    with pytest.raises(QueryError):
        tree.files(tmp_path / "missing", "../*")


def test_a_commit_in_between_changes_nothing(tmp_path: Path):
    """The working tree is what counts, not what is committed."""
    top = repository(tmp_path / "r", a="1")
    written(top, b="2")
    before = paths(top)
    commit(top)
    assert paths(top) == before
