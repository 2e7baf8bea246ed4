"""A stranger's folder shows nothing of the user's other repositories, whatever its `.git` leads to."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.repo.contained import is_contained
from rlm_mcp.repo.diffs import BaseKind, DiffQuery, diff
from rlm_mcp.repo.git import repository_at
from rlm_mcp.repo.tree import files
from tests.repo.made import git, repository, written

NOW = 1_770_000_000.0


def pointer(mine: Path, private: Path) -> None:
    shutil.rmtree(mine / ".git")
    (mine / ".git").write_text(f"gitdir: {private}/.git\n")


def link(mine: Path, private: Path) -> None:
    shutil.rmtree(mine / ".git")
    (mine / ".git").symlink_to(private / ".git")


def commondir(mine: Path, private: Path) -> None:
    (mine / ".git" / "commondir").write_text(f"{private}/.git\n")


def named_worktree(mine: Path, private: Path) -> None:
    (mine / ".git").rename(mine / ".w")
    (mine / ".w" / "worktrees" / "x").mkdir(parents=True)
    for name in ("HEAD", "index"):
        shutil.copy(mine / ".w" / name, mine / ".w" / "worktrees" / "x" / name)
    (mine / ".w" / "worktrees" / "x" / "commondir").write_text(f"{private}/.git\n")
    (mine / ".git").write_text("gitdir: .w/worktrees/x\n")


def borrowed(mine: Path, private: Path) -> None:
    (mine / ".git" / "objects" / "info" / "alternates").write_text(f"{private}/.git/objects\n")
    shutil.copy(private / ".git" / "refs" / "heads" / "main", mine / ".git" / "refs" / "heads" / "main")


def linked(*names: str) -> Callable[[Path, Path], None]:
    def act(mine: Path, private: Path) -> None:
        for name in names:
            path = mine / ".git" / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(private / ".git" / name)

    return act


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """The user's own, elsewhere."""
    return repository(tmp_path / "private", at=NOW - 900, secret_txt="the secret\n")


@pytest.mark.parametrize(
    "lead",
    [
        pointer,
        link,
        commondir,
        named_worktree,
        borrowed,
        linked("objects", "refs"),
        linked("objects", "refs/heads"),
        linked("objects", "refs/heads/main"),
        linked("objects", "packed-refs"),
        linked("objects", "index"),
        linked("objects", "logs"),
        linked("objects", "logs/HEAD"),
    ],
)
def test_nothing_of_another_repository_shows(
    paths: Paths, tmp_path: Path, private: Path, lead: Callable[[Path, Path], None]
):
    """Not its content, not its file names, not as what was removed."""
    mine = repository(tmp_path / "mine", at=NOW - 800, a_txt="mine\n")
    lead(mine, private)
    found = repository_at(mine)
    assert found is None or not is_contained(found)
    assert "secret.txt" not in files(mine).paths
    for number in range(2):
        written(mine, a_txt=f"{number}\n")
        answer = diff(paths, mine, DiffQuery(since=NOW - 10), NOW + number)
        assert "secret" not in repr(answer)
        assert answer.base.kind is BaseKind.OLDEST
    assert [change.path for change in answer.changes] == ["a.txt"]


def test_repositories_worktrees_and_submodules_are_their_own(tmp_path: Path, private: Path):
    """What leads out of the folder is confirmed there."""
    top = repository(tmp_path / "r", a="1")
    git(top, "worktree", "add", "-q", str(tmp_path / "w"))
    git(top, "submodule", "add", "-q", str(private), "sub")
    git(top, "gc", "-q")
    git(top, "commit-graph", "write", "--reachable", "--split")
    for folder in (top, tmp_path / "w", top / "sub"):
        found = repository_at(folder)
        assert found is not None
        assert is_contained(found), folder


def test_a_worktree_of_another_folder_is_not_confirmed(tmp_path: Path, private: Path):
    """A pointer to a worktree's folder that names the worktree it belongs to: not this one."""
    git(private, "worktree", "add", "-q", str(tmp_path / "w"))
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(tmp_path / "w" / ".git", mine / ".git")
    found = repository_at(mine)
    assert found is not None
    assert not is_contained(found)
    git(private, "submodule", "add", "-q", str(repository(tmp_path / "other", b="2")), "sub")
    (mine / ".git").write_text(f"gitdir: {private}/.git/modules/sub\n")
    found = repository_at(mine)
    assert found is not None
    assert not is_contained(found)


def test_a_submodule_that_leads_astray_does_not_show_where(paths: Paths, tmp_path: Path, private: Path):
    """Not even the other repository's commit."""
    mine = repository(tmp_path / "mine", a="1")
    git(mine, "submodule", "add", "-q", str(repository(tmp_path / "other", b="2")), "sub")
    before = diff(paths, mine, DiffQuery(since=NOW), NOW)
    (mine / "sub" / ".git").write_text(f"gitdir: {private}/.git\n")
    answer = diff(paths, mine, DiffQuery(since=NOW), NOW + 1)
    assert git(private, "rev-parse", "HEAD").strip() not in repr(before) + repr(answer)
    assert answer.changes == ()


def test_a_clone_that_shares_objects_is_taken_with_content_of_its_own(paths: Paths, tmp_path: Path, private: Path):
    """It is not told from one that leads astray; what is ignored there is, still."""
    git(tmp_path, "clone", "-q", "--shared", str(private), "clone")
    clone = written(tmp_path / "clone", new_txt="1\n", skip_log="2\n")
    (clone / ".gitignore").write_text("*.log\n")
    first = diff(paths, clone, DiffQuery(since=NOW), NOW + 1)
    assert first.base.kind is BaseKind.OLDEST
    written(clone, secret_txt="changed\n")
    second = diff(paths, clone, DiffQuery(since=NOW + 1), NOW + 2)
    assert [change.path for change in second.changes] == ["secret.txt"]
