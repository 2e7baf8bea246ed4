"""Snapshots of a working tree, and what changed since a time, committed or not.

A snapshot is a git tree in a repository of ours (:mod:`rlm_mcp.repo.shadow`); the user's repository, index, refs and
config are only read. Taken again, it costs a look at each file's times, not at its content. Filters (git-lfs) are not
run: a file under one stands in the tree as the user's index has it while it is unchanged, else as it lies on disk.
Submodules stand as their commit; other repositories inside as plain files.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rlm_mcp.config import Paths
from rlm_mcp.errors import ProcessError, UsageError
from rlm_mcp.repo import git, shadow
from rlm_mcp.repo.contained import is_contained
from rlm_mcp.repo.git import Git, Repository
from rlm_mcp.repo.shadow import Shadow
from rlm_mcp.repo.tree import Kind, Tree, TreeLimits, files, resolved

_GITLINK = "160000"
_MANY = 1_000
"""From so many new files on they are written into one pack ..."""
_INTO_ONE_PACK = ("core.bigFileThreshold=1", "pack.compression=1")
"""... as git does with large files; compressed as lightly as it compresses single ones."""
_NAMED = 20
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLimits:
    """What a snapshot may hold, and cost."""

    files: int = 200_000
    """In all."""
    new_files: int = 50_000
    """Changed since the last one, or not yet in git."""
    file_bytes: int = 10 << 20
    """A larger file is left out."""
    new_bytes: int = 1 << 30
    """Changed since the last one, or not yet in git, together."""
    seconds: float = 300.0


LIMITS = SnapshotLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A working tree as it was."""

    root: Path
    time: float
    """Seconds since the epoch: of the first snapshot that found the tree like this."""
    tree: str
    """Its git object."""
    is_new: bool
    """False: nothing had changed since the last one."""
    left_out: tuple[str, ...]
    """Files too large or closed to us (the first 20): their changes are not seen."""
    files_left_out: int
    trouble: str
    """What went wrong with throwing old snapshots away; empty for nothing."""


def take(paths: Paths, root: Path, now: float, *, limits: SnapshotLimits = LIMITS) -> Snapshot:
    """A snapshot of the folder ``root`` as it is; nothing new is kept if the last one is the same.

    Args:
        now: seconds since the epoch.

    Raises:
        UsageError: there is no such folder, or more in it than ``limits`` allow.
        ProcessError: git is missing, failed or took too long.
        StoreBusy, StoreFull, StoreError: our own folder.
    """
    with shadow.opened(paths, resolved(root)) as own:
        return take_in(own, now, limits)


def take_in(own: Shadow, now: float, limits: SnapshotLimits) -> Snapshot:
    """As :func:`take`, in a shadow repository that is open."""
    tree, missed = _written(own, limits)
    kept = [each for each in own.kept() if each.time <= now]  # a clock may have been set back
    is_new = not kept or kept[-1].tree != tree
    latest = own.keep(tree, now) if is_new else kept[-1]
    own.keep_index()
    trouble = ""
    try:
        own.prune(now)
    except ProcessError as error:
        trouble = str(error)
    return Snapshot(
        root=own.root,
        time=latest.time,
        tree=tree,
        is_new=is_new,
        left_out=tuple(sorted(missed)[:_NAMED]),
        files_left_out=len(missed),
        trouble=trouble,
    )


def _written(own: Shadow, limits: SnapshotLimits) -> tuple[str, set[str]]:
    """The tree as a git object, and what is not in it. Tried again while files come and go, at last from nothing."""
    deadline = time.monotonic() + limits.seconds
    own.start_index()
    for attempt in range(1, _TRIES + 1):
        try:
            return _Taking(own, limits, deadline).write()
        except ProcessError:
            if attempt == _TRIES or time.monotonic() > deadline:
                raise
        if attempt == _TRIES - 1:
            own.forget_index()
    raise AssertionError("the last try returns or raises")


@dataclass(slots=True, kw_only=True)
class _Changes:
    """What is to be done to the index."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    """Too large, or closed to us."""
    size: int = 0
    """Bytes of those added."""


class _Taking:
    """One try at a snapshot: what changed, into the index, into a tree."""

    def __init__(self, own: Shadow, limits: SnapshotLimits, deadline: float) -> None:
        self.own = own
        self.limits = limits
        self.git: Git = own.git()
        self.deadline = deadline
        self.tree = Tree(own.root, TreeLimits(files=limits.files + 1, seconds=max(1.0, self._left())))

    def write(self) -> tuple[str, set[str]]:
        """The tree's object, and what is not in it."""
        changes = _Changes()
        for path, told in self._changed():
            kind = self.tree.kind_of(path)
            if kind is Kind.FOLDER and told.startswith(f":{_GITLINK}"):
                module = git.repository_at(self.own.root / path)
                if module is not None and is_contained(module):
                    changes.added.append(path)
            elif kind is Kind.FILE or kind is Kind.LINK:
                self._consider(path, changes)
            else:
                changes.removed.append(path)
            if told.endswith("U") and path in changes.missed:  # unmerged, it would be no tree
                changes.removed.append(path)
        changes.removed += self._ignored_since()
        count = self.own.index_entries() - len(changes.removed)
        for path in self._new():
            self._consider(path, changes)
            count += 1
        if self.tree.is_cut or count > self.limits.files:
            raise self._too_much(f"more than {self.limits.files:,} files")
        self._check(changes)
        self._update(changes.removed, "--force-remove")
        self._update(changes.added, "--add", "--remove", "--replace")
        return self._run("write-tree").strip(), changes.missed

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _run(self, *arguments: str) -> str:
        ended = self.git.run(*arguments, timeout_seconds=max(0.1, self._left()), max_bytes=256 << 20)
        return os.fsdecode(ended.output)

    def _changed(self) -> Iterator[tuple[str, str]]:
        """Paths in the index whose file is another by its times, or gone; with git's words (git-diff-files(1))."""
        if not self.own.index.exists():
            return
        fields = iter(self._run("diff-files", "-z", "--raw", "--ignore-submodules=dirty").split("\0"))
        seen = ""
        for told in fields:
            path = next(fields, "")
            if path and path != seen:  # what is unmerged is told twice
                yield path, told
            seen = path

    def _new(self) -> Iterable[str]:
        """Files that are not in the index, nor ignored."""
        if self.own.repository is None or not self.own.index.exists():
            self.tree.list_all()
            is_certain = False
        else:
            is_certain = self._list_others(self.own.repository)
        if is_certain or not self.own.index.exists():
            return self.tree.kinds
        return self.tree.kinds.keys() - set(self._run("ls-files", "-z").split("\0"))

    def _ignored_since(self) -> list[str]:
        """Files that were new once, and have been ignored since: not tracked by the user, so no part of the tree."""
        if self.own.repository is None or not self.own.index.exists():
            return []
        told = self._run("ls-files", "-z", "--cached", "--ignored", *self._excludes(self.own.repository)).split("\0")
        ignored = {path for path in told if path}
        return sorted(ignored.difference(files(self.own.root).paths)) if ignored else []

    def _excludes(self, repository: Repository) -> list[str]:
        """Options that name what is ignored."""
        own = repository.common_dir / "info" / "exclude"
        return ["--exclude-standard", *([f"--exclude-from={own}"] if own.is_file() else [])]

    def _list_others(self, repository: Repository) -> bool:
        """Take in what git tells is new; whether none of it can be in the index already."""
        is_certain = True
        for path in self._run("ls-files", "-z", "--others", *self._excludes(repository)).split("\0"):
            if path.endswith("/"):
                self.tree.list_inside(path.removesuffix("/"))
                is_certain = False
            elif path:
                self.tree.add(path)
        return is_certain

    def _consider(self, path: str, changes: _Changes) -> None:
        """To be added, unless it is too large, closed to us, or just gone."""
        full = self.own.root / path
        try:
            found = full.lstat()
        except OSError:
            changes.removed.append(path)
            return
        is_link = stat.S_ISLNK(found.st_mode)
        if not is_link and (found.st_size > self.limits.file_bytes or not os.access(full, os.R_OK)):
            changes.missed.add(path)
            return
        changes.added.append(path)
        changes.size += found.st_size

    def _check(self, changes: _Changes) -> None:
        if len(changes.added) > self.limits.new_files:
            raise self._too_much(f"{len(changes.added):,} new or changed files (at most {self.limits.new_files:,})")
        if changes.size > self.limits.new_bytes:
            raise self._too_much(
                f"{changes.size / 1e6:,.0f} MB in new or changed files (at most {self.limits.new_bytes / 1e6:,.0f} MB)"
            )

    def _too_much(self, what: str) -> UsageError:
        return UsageError(
            f"no snapshot can be taken of {str(self.own.root)!r}: {what}; name what is generated in .gitignore"
        )

    def _update(self, paths: list[str], *options: str) -> None:
        if not paths:
            return
        given = self.own.folder / "taking-paths"
        given.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
        packed = _INTO_ONE_PACK if len(paths) > _MANY else ()
        replace(self.git, settings=(*self.git.settings, *packed)).run(
            "update-index", "-z", *options, "--stdin", timeout_seconds=max(0.1, self._left()), standard_input=given
        )
        given.unlink()
