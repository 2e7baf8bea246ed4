"""What changed in a working tree since a time: the snapshot of then against a snapshot of now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rlm_mcp.config import Paths
from rlm_mcp.errors import ProcessError, QueryError
from rlm_mcp.repo import git, shadow
from rlm_mcp.repo.contained import is_contained
from rlm_mcp.repo.git import Commit, Git
from rlm_mcp.repo.shadow import Shadow
from rlm_mcp.repo.snapshots import LIMITS, SnapshotLimits, take_in
from rlm_mcp.repo.tree import resolved

_MAX_BYTES = 64 << 20
_SECONDS = 60.0


class BaseKind(StrEnum):
    """What stands for the working tree as it was."""

    SNAPSHOT = "snapshot"
    """The last one taken before the time."""
    COMMIT = "commit"
    """No snapshot is so old: what HEAD was then. Uncommitted work of then shows as if done since."""
    OLDEST = "oldest"
    """Nothing is so old: the first snapshot there is. What was done before it does not show."""
    NAMED = "named"
    """The commit that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What the working tree of now is compared with."""

    kind: BaseKind
    time: float
    """When that was the state, in seconds since the epoch."""
    name: str
    """The commit's or the tree's object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffQuery:
    """What is asked for."""

    since: float
    """Seconds since the epoch."""
    commit: Commit | None = None
    """In place of the time: a commit of the folder's repository."""
    path: str = ""
    """Only this file, or what lies below this folder; relative to the root, or absolute and in it. Empty for all."""
    stat: bool = False
    """Counts per file in place of the changes."""
    max_bytes: int = 200_000
    """Of the text; what is beyond is cut off, behind a line's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file that changed."""

    path: str
    was: str
    """The path it was renamed or copied from; empty for none."""
    added: int | None
    """Lines; None for bytes that are no text."""
    removed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffAnswer:
    """What changed."""

    base: Base
    now: float
    """When the newer side was the state, in seconds since the epoch."""
    changes: tuple[Change, ...]
    """All files that changed, in order of path."""
    text: str
    """A unified diff, or counts per file."""
    total_bytes: int
    """Of the whole text, cut or not; beyond 64 MiB nothing is counted."""
    is_cut: bool
    left_out: tuple[str, ...]
    """Files too large or closed to us (the first 20): their changes are not seen."""
    files_left_out: int


def diff(paths: Paths, root: Path, query: DiffQuery, now: float, *, limits: SnapshotLimits = LIMITS) -> DiffAnswer:
    """What changed below ``root`` between ``query.since`` and ``now``, uncommitted and untracked files included.

    Raises:
        QueryError: the path is not in the folder, or the state of then cannot be read any more.
        UsageError, ProcessError, StoreError: see :func:`rlm_mcp.repo.snapshots.take`.
    """
    top = resolved(root)
    path = _inside(top, query.path)
    with shadow.opened(paths, top) as own:
        found = _base(own, query.since) if query.commit is None else _at(query.commit)
        snapshot = take_in(own, now, limits)
        first = Base(kind=BaseKind.OLDEST, time=snapshot.time, name=snapshot.tree)
        base, tree = found or (first, snapshot.tree)
        text, changes = _compared(own, (tree, snapshot.tree, path), query)
    whole = len(text)
    if whole > query.max_bytes:
        text = text[: text.rfind(b"\n", 0, max(0, query.max_bytes)) + 1]
    return DiffAnswer(
        base=base,
        now=now,
        changes=changes,
        text=text.decode("utf-8", "replace"),
        total_bytes=whole,
        is_cut=len(text) < whole,
        left_out=snapshot.left_out,
        files_left_out=snapshot.files_left_out,
    )


def commit_named(root: Path, name: str) -> Commit | None:
    """The commit of that name in the repository of the folder ``root``; None if there is none, or no repository.

    Raises:
        UsageError: there is no such folder.
        ProcessError: git is missing, or took too long.
    """
    found = git.repository_at(resolved(root))
    return git.commit_named(found, name) if found is not None and is_contained(found) else None


def _at(commit: Commit) -> tuple[Base, str]:
    return Base(kind=BaseKind.NAMED, time=commit.time, name=commit.oid), commit.tree


def _base(own: Shadow, since: float) -> tuple[Base, str] | None:
    """What to compare with, and its tree; None if nothing was kept before now."""
    kept = own.kept()
    before = [each for each in kept if each.time <= since]
    if before:
        last = before[-1]
        return Base(kind=BaseKind.SNAPSHOT, time=last.time, name=last.tree), last.tree
    commit = git.head_at(own.repository, since) if own.repository is not None else None
    if commit is not None:
        return Base(kind=BaseKind.COMMIT, time=commit.time, name=commit.oid), commit.tree
    if kept:
        return Base(kind=BaseKind.OLDEST, time=kept[0].time, name=kept[0].tree), kept[0].tree
    return None


def _compared(own: Shadow, sides: tuple[str, str, str], query: DiffQuery) -> tuple[bytes, tuple[Change, ...]]:
    """The text between two trees below a path, and the files in it."""
    runner = Git(git_dir=own.folder, work_tree=own.root, settings=own.settings)
    before, after, path = sides
    asked = ["diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color"]
    trees = [before, after, "--", *([path] if path else [])]
    form = ["--stat=120"] if query.stat else ["--patch", "--src-prefix=a/", "--dst-prefix=b/"]
    try:
        counts = runner.run(*asked, "--numstat", "-z", *trees, timeout_seconds=_SECONDS, max_bytes=_MAX_BYTES)
        told = runner.run(*asked, *form, *trees, timeout_seconds=_SECONDS, max_bytes=_MAX_BYTES, may_be_cut=True)
    except ProcessError as error:
        if "unable to read" not in str(error) and "bad object" not in str(error):
            raise
        raise QueryError(
            f"the folder's state of then cannot be read any more, as your git threw objects of it away ({error}); "
            "ask for a later time"
        ) from error
    return told.output, _changes(os.fsdecode(counts.output))


def _changes(said: str) -> tuple[Change, ...]:
    """Of ``added TAB removed TAB path NUL``, or with an empty path followed by the old and the new (git-diff(1))."""
    found: list[Change] = []
    fields = iter(said.split("\0"))
    for each in fields:
        if not each:
            continue
        added, removed, path = each.split("\t", 2)
        was = "" if path else next(fields, "")
        found.append(
            Change(
                path=path or next(fields, ""),
                was=was,
                added=None if added == "-" else int(added),
                removed=None if removed == "-" else int(removed),
            )
        )
    return tuple(found)


def _inside(root: Path, path: str) -> str:
    """``path`` relative to ``root``; empty for all of it."""
    if "\0" in path or len(path) > 4_096:
        raise QueryError(f"{path[:80]!r} is no path; write one relative to {str(root)!r}, like 'src/app.py'")
    joined = os.path.normpath(root / path)
    if joined == str(root):
        return ""
    relative = os.path.relpath(joined, root)
    if relative.startswith("../") or relative == "..":
        raise QueryError(f"{path!r} is not in {str(root)!r}; write a path relative to it, like 'src/app.py'")
    return relative
