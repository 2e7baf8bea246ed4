"""Whether a repository shows its own content alone.

A folder from a stranger may hold a ``.git`` that leads into another repository of the user: a pointer file, a symlink,
an ``alternates`` or ``commondir`` file. Git follows them all, and a diff against HEAD would then show that repository's
content. So content is borrowed only where nothing leads out, or what is led to confirms it: a worktree's folder in the
main repository and a submodule's in its parent name the work tree they belong to (gitrepository-layout(5),
git-worktree(1)). Elsewhere git is asked for names alone, and only those count that are there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from rlm_mcp.repo.git import Repository

_WORKTREE = re.compile(rb'^\s*worktree\s*=\s*"?([^"\n]+?)"?\s*$', re.IGNORECASE | re.MULTILINE)
_OTHER_PLACE = re.compile(rb"^\s*refstorage\s*=.*/", re.IGNORECASE | re.MULTILINE)
_MAX_CONFIG = 1 << 20
_MAX_REFS = 100_000


def is_contained(repository: Repository) -> bool:
    """Whether what git shows of this repository is its own."""
    if (repository.top / ".git").is_symlink() or not _belongs(repository):
        return False
    own, shared = repository.git_dir, repository.common_dir
    if own != shared and (own.parent.name != "worktrees" or not _is_same(own.parent.parent, shared)):
        return False
    if not (own == shared or _has_no_links(own, own / "logs", own / "refs")):
        return False
    objects = shared / "objects"
    if (objects / "info" / "alternates").exists() or _OTHER_PLACE.search(_read(shared / "config")):
        return False
    return _has_no_links(
        shared, shared / "logs", objects, objects / "info", objects / "info" / "commit-graphs", objects / "pack",
        shared / "reftable",
    ) and _refs_have_no_links(shared / "refs")  # fmt: skip


def _belongs(repository: Repository) -> bool:
    """Whether the git folder lies in the work tree, or names it."""
    git_dir, top = Path(os.path.realpath(repository.git_dir)), Path(os.path.realpath(repository.top))
    if top in git_dir.parents:
        return True
    for line in _read(git_dir / "gitdir").splitlines()[:1]:
        if _is_same(git_dir / os.fsdecode(line), top / ".git"):
            return True
    named = _WORKTREE.search(_read(git_dir / "config"))
    return named is not None and _is_same(git_dir / os.fsdecode(named[1]), top)


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _read(path: Path) -> bytes:
    """The file's start; nothing if there is no such file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_MAX_CONFIG)


def _has_no_links(*folders: Path) -> bool:
    """Neither these folders nor what lies in them, one level deep; those that are not there have none."""
    return not any(entry.is_symlink() for folder in folders for entry in _entries(folder))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from entries


def _refs_have_no_links(folder: Path) -> bool:
    waiting, count = [folder], 0
    while waiting:
        for entry in _entries(waiting.pop()):
            count += 1
            if entry.is_symlink() or count > _MAX_REFS:
                return False
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry))
    return True
