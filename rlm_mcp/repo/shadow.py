"""Our own bare git repository beside the user's: it holds snapshots of a working tree as trees, each under a ref.

``Paths.repos/<digest>/``, where the digest is of the folder's path. It borrows the user's objects (its
``objects/info/alternates``; gitrepository-layout(5)) and writes new ones into its own folder, so nothing of the user's
is ever written. A snapshot is the ref ``refs/snapshots/<milliseconds since 1970>``, which names a tree. All but objects
is small and written by rename; who writes holds the lock beside the folder, which falls with its process. So a process
may be killed at any moment: what it left half-done is objects without a ref, or files that the next one clears.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.config import Paths
from rlm_mcp.errors import StoreBusy, StoreError, StoreFull
from rlm_mcp.locks import Held, locked
from rlm_mcp.repo import git
from rlm_mcp.repo.contained import is_contained
from rlm_mcp.repo.git import Git, Repository

_PATIENCE_SECONDS = 60.0
_KEPT = 200
_KEPT_SECONDS = 14 * 86_400.0
_KEPT_BYTES = 2 << 30
_PRUNED_SECONDS = 86_400.0
"""How often objects without a ref are thrown away."""
_UNUSED_SECONDS = 30 * 86_400.0
_PRUNE_TIMEOUT_SECONDS = 120.0
_EXPIRY = "1.hour.ago"
"""What is younger may belong to a snapshot that is being taken by a git whose parent was killed."""
_INDEX_BYTES = 256 << 20
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHA256 = re.compile(rb"^\s*objectformat\s*=\s*sha256\s*$", re.IGNORECASE | re.MULTILINE)
_ATTRIBUTES = b"* !filter !working-tree-encoding\n"
"""Over whatever the tree's own .gitattributes say: no filter, and no encoding that may fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A snapshot there is."""

    time: float
    """Seconds since the epoch."""
    tree: str
    """Its git object."""


class Shadow:
    """The repository of ours for one working tree. Made by :func:`opened`."""

    def __init__(self, folder: Path, root: Path, repository: Repository | None) -> None:
        self.folder = folder
        self.root = root
        self.repository = repository
        """The user's, where its content is its own; else None, as without git."""
        self.settings = git.inert_settings(git.repository_at(root), root)
        self.index = folder / "taking"
        """The index of the snapshot being taken."""
        self._index_kept = folder / "index"
        self._index_origin = folder / "index-origin"

    def git(self) -> Git:
        """How git is run on it."""
        return Git(git_dir=self.folder, work_tree=self.root, settings=self.settings, index=self.index)

    def kept(self) -> list[Kept]:
        """The snapshots there are, oldest first."""
        found = []
        for entry in sorted(os.scandir(self._refs), key=lambda entry: entry.name):
            tree = Path(entry).read_text(encoding="ascii", errors="replace").strip()
            if entry.name.isdigit() and _OID.fullmatch(tree):
                found.append(Kept(time=int(entry.name) / 1_000, tree=tree))
        return found

    def keep(self, tree: str, time: float) -> Kept:
        """Make a tree that was written a snapshot of that time."""
        self._write(self._ref(time), f"{tree}\n".encode())
        return Kept(time=round(time * 1_000) / 1_000, tree=tree)

    def drop(self, kept: Kept) -> None:
        """Forget a snapshot; its objects go when they are next thrown away."""
        self._ref(kept.time).unlink(missing_ok=True)

    def start_index(self) -> bool:
        """Put an index to begin with at ``index``, for what it knows of files that did not change; False if none is.

        The one our last snapshot left, unless the user's own was written since: then a copy of that. It tells, too,
        what is tracked though ignored, and what a sparse checkout leaves out.
        """
        self.index.unlink(missing_ok=True)
        source = None if self.repository is None else self.repository.git_dir / "index"
        origin = "" if source is None else _identity(source)
        if self._index_kept.is_file() and self._index_origin.read_bytes() == origin.encode():
            return _copy(self._index_kept, self.index)
        self._write(self._index_origin, origin.encode())
        if source is None or not origin:
            return False
        assert self.repository is not None
        for shared in self.repository.git_dir.glob("sharedindex.*"):  # a split index lies in two files
            _copy(shared, self.folder / shared.name)
        return _copy(source, self.index)

    def index_entries(self) -> int:
        """How many files the index at ``index`` names; 0 without one (gitformat-index(5): "DIRC", version, count)."""
        if not self.index.exists():
            return 0
        with self.index.open("rb") as file:
            return int.from_bytes(file.read(12)[8:], "big")

    def keep_index(self) -> None:
        """The next snapshot may begin with the index of this one."""
        if self.index.exists():
            self.index.replace(self._index_kept)

    def forget_index(self) -> None:
        """The next snapshot begins from nothing, as after damage."""
        self._index_kept.unlink(missing_ok=True)
        self.index.unlink(missing_ok=True)

    def prune(self, now: float) -> None:
        """Drop old snapshots; once a day throw away what no snapshot needs any more.

        Raises:
            ProcessError: git failed at it; nothing that is needed is lost.
        """
        kept = self.kept()
        old = sum(each.time < now - _KEPT_SECONDS for each in kept)  # the last of them is what later ones began with
        for each in kept[: max(old - 1, len(kept) - _KEPT, 0)]:
            self.drop(each)
        pruned = self.folder / "pruned"
        last = float(pruned.read_text(encoding="ascii") or 0) if pruned.is_file() else now
        if last <= now - _PRUNED_SECONDS or not pruned.is_file():
            self._write(pruned, f"{now:.0f}".encode())
        if last > now - _PRUNED_SECONDS:
            return
        self._repack()
        while self._size() > _KEPT_BYTES and len(kept := self.kept()) > 1:
            for each in kept[: (len(kept) + 1) // 2]:
                self.drop(each)
            self._repack()

    def _repack(self) -> None:
        """One pack of what is needed; of the rest what is old is thrown away."""
        runner = Git(git_dir=self.folder, work_tree=self.root)
        repack = ("repack", "-A", "-d", "-l", "-q", "--window=0", f"--unpack-unreachable={_EXPIRY}")
        if runner.run(*repack, timeout_seconds=_PRUNE_TIMEOUT_SECONDS, may_fail=True).exit_code:
            for each in self.kept():  # the user's repository may have lost objects that an old one names
                told = runner.run("rev-list", "--objects", "--quiet", each.tree, may_fail=True)
                if told.exit_code:
                    self.drop(each)
            self.forget_index()
            runner.run(*repack, timeout_seconds=_PRUNE_TIMEOUT_SECONDS)
        runner.run("prune", f"--expire={_EXPIRY}", timeout_seconds=_PRUNE_TIMEOUT_SECONDS)

    def _size(self) -> int:
        """Bytes of our own objects."""
        return sum(path.stat().st_size for path in (self.folder / "objects").rglob("*") if path.is_file())

    def make(self) -> None:
        """Make it where it is not there, clear what a killed process left, and point it at the user's objects."""
        shutil.rmtree(self.folder.with_suffix(".begun"), ignore_errors=True)
        if not (self.folder / "HEAD").is_file():
            self._make_new()
        self._refs.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.utime(self.folder / "description")  # in use
        for left in (*self.folder.glob("taking*"), *self.folder.glob("sharedindex.*"), *self.folder.glob("*.new")):
            left.unlink(missing_ok=True)
        objects = b"" if self.repository is None else _quoted(self.repository.common_dir / "objects")
        for name, content in (("objects/info/alternates", objects), ("info/attributes", _ATTRIBUTES)):
            path = self.folder / name
            if not path.is_file() or path.read_bytes() != content:
                self._write(path, content)

    def _make_new(self) -> None:
        """As ``git init --bare`` would, without templates, and whole or not at all (gitrepository-layout(5))."""
        is_long = self.repository is not None and uses_sha256(self.repository)
        config = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n"
        config += "[extensions]\n\tobjectformat = sha256\n" if is_long else ""
        begun = self.folder.with_suffix(".begun")
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("objects/info", "objects/pack", "refs/snapshots", "info"):
            (begun / name).mkdir(mode=0o700, parents=True)
        (begun / "HEAD").write_bytes(b"ref: refs/heads/none\n")
        (begun / "config").write_text(config, encoding="ascii")
        (begun / "description").write_bytes(b"rlm-mcp: snapshots of " + os.fsencode(self.root) + b"\n")
        begun.rename(self.folder)

    @property
    def _refs(self) -> Path:
        return self.folder / "refs" / "snapshots"

    def _ref(self, time: float) -> Path:
        return self._refs / f"{round(time * 1_000):015d}"

    def _write(self, path: Path, content: bytes) -> None:
        new = self.folder / f"{path.name}.new"
        new.write_bytes(content)
        new.replace(path)


@contextmanager
def opened(paths: Paths, root: Path) -> Iterator[Shadow]:
    """The shadow repository of the resolved folder ``root``, made where it is missing; no one else has it meanwhile.

    Raises:
        StoreBusy: another process takes a snapshot of the folder for longer than a minute.
        StoreError, StoreFull: our own folder cannot be written.
        ProcessError: git is missing, or cannot read the user's settings.
    """
    found = git.repository_at(root)
    repository = found if found is not None and is_contained(found) else None
    folder = paths.repos / _digest(root, repository)
    try:
        paths.repos.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock"), patience_seconds=_PATIENCE_SECONDS):
            shadow = Shadow(folder, root, repository)
            shadow.make()
            yield shadow
    except Held as error:
        raise StoreBusy(f"process {error} is taking a snapshot of {str(root)!r}; try again") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"the disk under {str(folder)!r} is full ({error}); free some room") from error
        raise StoreError(f"{str(folder)!r} cannot be used ({error}); check that it is yours") from error


def sweep(paths: Paths, now: float) -> int:
    """Remove the shadow repositories that nobody used for a month; how many those were."""
    count = 0
    for folder in [path for path in paths.repos.glob("*") if not path.suffix]:
        used = folder / "description"
        if used.is_file() and used.stat().st_mtime > now - _UNUSED_SECONDS:
            continue
        try:
            with locked(folder.with_suffix(".lock"), patience_seconds=0):
                shutil.rmtree(folder, ignore_errors=True)
                count += 1
        except Held:
            continue
    return count


def uses_sha256(repository: Repository) -> bool:
    """Whether its objects have the longer names."""
    config = repository.common_dir / "config"
    return config.is_file() and _SHA256.search(config.read_bytes()) is not None


def _digest(root: Path, repository: Repository | None) -> str:
    longer = b"\0sha256" if repository is not None and uses_sha256(repository) else b""
    return hashlib.sha256(os.fsencode(root) + longer).hexdigest()[:16]


def _quoted(path: Path) -> bytes:
    """A line of ``alternates``; a path with a line end or a quote in front is written as C would."""
    raw = os.fsencode(path)
    if b"\n" in raw:
        escaped = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
        raw = b'"' + escaped + b'"'
    return raw + b"\n"


def _identity(index: Path) -> str:
    """What tells one writing of an index from the next; empty where there is none, or none that is read."""
    if not index.is_file():
        return ""
    found = index.stat()
    if found.st_size > _INDEX_BYTES:
        return ""
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _copy(source: Path, target: Path) -> bool:
    """With its time of writing: files written after it are looked at more closely ("racy git")."""
    with source.open("rb") as file:
        found = os.fstat(file.fileno())
        target.write_bytes(file.read(_INDEX_BYTES))
    os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
    return True
