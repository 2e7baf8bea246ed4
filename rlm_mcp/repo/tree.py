"""The working tree as the host sees it: its top folder, whether it may be mapped into a Jail, and its files.

In a git repository its files are the tracked ones and the new ones that are not ignored; elsewhere all but those in
folders that tools fill (``node_modules``, ``.venv`` ...). Repositories inside are listed by their own rules, submodules
too; one that git cannot read is a plain folder. Symlinks are listed, and never followed.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rlm_mcp.errors import ProcessError, UsageError
from rlm_mcp.repo import git
from rlm_mcp.repo.git import Git, Repository
from rlm_mcp.repo.globs import matcher

FILLED_BY_TOOLS = frozenset({
    ".git", ".hg", ".svn", ".jj", "node_modules", "bower_components", "__pycache__", ".venv", "venv", ".tox", ".nox",
    ".eggs", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", "target", "dist",
    ".gradle", ".next", ".nuxt", ".svelte-kit", ".turbo", ".parcel-cache", ".terraform", ".cache", ".direnv",
})  # fmt: skip
"""Folders passed over where no git says what is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLimits:
    """How much of a tree is listed."""

    files: int = 200_000
    depth: int = 100
    """Parts of a path."""
    repositories: int = 200
    """Repositories inside the tree."""
    seconds: float = 30.0


LIMITS = TreeLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a working tree."""

    root: Path
    paths: tuple[str, ...]
    """Relative, with ``/``, sorted; bytes that are no UTF-8 stand as ``os.fsdecode`` writes them."""
    links: frozenset[str]
    """Those that are symlinks."""
    is_git: bool
    """Whether git told what is ignored."""
    total: int
    """Files listed before the glob was laid on."""
    passed_over: tuple[str, ...]
    """Folders that tools fill (the first 20)."""
    unread: tuple[str, ...]
    """Folders with a repository that git cannot read (the first 20): what it ignores is listed too."""
    left_out: int
    """Neither files nor symlinks, too deep, or folders closed to us."""
    is_cut: bool
    """A limit was met: there are more files."""


def root_of(folder: Path, *, home: Path | None = None) -> Path:
    """The top of the git work tree that ``folder`` is in, else ``folder`` itself; resolved.

    Args:
        home: a work tree that begins at this folder or above it (dotfiles under git) does not count.

    Raises:
        UsageError: there is no such folder.
    """
    start = resolved(folder)
    outside = set() if home is None else {home.resolve(), *home.resolve().parents}
    for top in (start, *start.parents):
        if top not in outside and git.repository_at(top) is not None:
            return top
    return start


def mappable(root: Path, *, home: Path, store_home: Path) -> None:
    """Make sure that a Jail may see all of ``root``.

    Raises:
        UsageError: it holds the user's home or our store, or lies in the store, or is no folder.
    """
    top = resolved(root)
    own = store_home.resolve()
    for kept, what in ((home.resolve(), "your home folder"), (own, "the store of rlm-mcp")):
        if top == kept or top in kept.parents:
            raise UsageError(
                f"{str(top)!r} holds {what}, and a Cell would see all of it; start the client in a project folder"
            )
    if own in top.parents:
        raise UsageError(f"{str(top)!r} is inside the store of rlm-mcp; start the client in a project folder")


def resolved(folder: Path) -> Path:
    """The folder's true path.

    Raises:
        UsageError: there is no such folder.
    """
    try:
        found = folder.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"{str(folder)!r} cannot be used ({error}); name a folder that is there") from error
    if not found.is_dir():
        raise UsageError(f"{str(folder)!r} is no folder; name the folder of your project")
    return found


def files(root: Path, glob: str = "**/*", *, limits: TreeLimits = LIMITS) -> Listing:
    """The files below ``root`` that ``glob`` means (see :mod:`rlm_mcp.repo.globs`).

    Raises:
        QueryError: the glob means nothing.
        UsageError: there is no such folder.
        ProcessError: git failed or took too long.
    """
    means = matcher(glob)
    tree = Tree(resolved(root), limits)
    tree.list_all()
    return Listing(
        root=tree.root,
        paths=tuple(sorted(path for path in tree.kinds if means(path))),
        links=frozenset(path for path, kind in tree.kinds.items() if kind is Kind.LINK and means(path)),
        is_git=tree.repository is not None,
        total=len(tree.kinds),
        passed_over=tuple(sorted(tree.passed_over)[:20]),
        unread=tuple(sorted(tree.unread)[:20]),
        left_out=tree.left_out,
        is_cut=tree.is_cut,
    )


def readable(listing: Listing) -> list[str]:
    """Its paths without links that lead out of the folder, or nowhere."""
    return [path for path in listing.paths if path not in listing.links or _leads_inside(listing.root, path)]


def _leads_inside(root: Path, path: str) -> bool:
    """Whether a link leads below ``root``, by a relative path: a Jail shows the folder elsewhere."""
    try:
        return root in (root / path).resolve(strict=True).parents and not (root / path).readlink().is_absolute()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return False


class Kind(Enum):
    """What a name in a folder is."""

    FILE = 1
    LINK = 2
    FOLDER = 3
    OTHER = 4
    """Pipes, sockets, devices."""


class Tree:
    """One look at a working tree."""

    def __init__(self, root: Path, limits: TreeLimits) -> None:
        self.root = root
        self.limits = limits
        self.repository: Repository | None = git.repository_at(root) if git.has_git() else None
        self.kinds: dict[str, Kind] = {}
        """Files and links found."""
        self.passed_over: set[str] = set()
        self.unread: set[str] = set()
        self.left_out = 0
        self.is_cut = False
        self._deadline = time.monotonic() + limits.seconds
        self._folders: dict[str, dict[str, Kind]] = {}
        self._repositories = 0

    def list_all(self) -> None:
        """Fill ``kinds``."""
        if self.repository is None:
            self._walk("")
        else:
            self._ask_git("", self.repository)

    def list_inside(self, path: str) -> None:
        """Add to ``kinds`` what the repository in the folder ``path`` holds, if one is there."""
        nested = git.repository_at(self.root / path) if self.kind_of(path) is Kind.FOLDER else None
        if nested is not None:
            self._ask_git(path, nested)

    def kind_of(self, path: str) -> Kind | None:
        """What lies at ``path``, if anything does; what is behind a symlink is not there."""
        folder, _, name = path.rpartition("/")
        return self._names(folder).get(name)

    def _names(self, folder: str) -> dict[str, Kind]:
        """What lies in ``folder``; nothing if the way there leads over a symlink. Looked at once."""
        known = self._folders.get(folder)
        if known is not None:
            return known
        way = folder.split("/") if folder else []
        for count in range(len(way)):
            above = "/".join(way[:count])
            if above not in self._folders:
                self._folders[above] = self._look(above)
            if self._folders[above].get(way[count]) is not Kind.FOLDER:
                break
        else:
            self._folders[folder] = self._look(folder)
        return self._folders.setdefault(folder, {})

    def _look(self, folder: str) -> dict[str, Kind]:
        try:
            with os.scandir(self.root / folder) as entries:
                return {entry.name: _kind(entry) for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError:  # closed to us
            self.left_out += 1
            return {}

    def _ask_git(self, inside: str, repository: Repository) -> None:
        """Take in the files of the repository in the folder ``inside``, and of those inside it."""
        waiting = deque([(inside, repository)])
        while waiting:
            if self._is_enough():
                return
            folder, asked = waiting.popleft()
            try:
                listed = self._listed(folder, asked)
            except ProcessError:
                if not folder:
                    raise
                self.unread.add(folder)
                self._walk(folder)
                continue
            for path in listed:
                if self._is_enough():
                    return
                kind = self.add(path)
                if kind is Kind.FOLDER:
                    nested = git.repository_at(self.root / path)
                    if nested is not None:
                        waiting.append((path, nested))

    def add(self, path: str) -> Kind | None:
        """Take a path into ``kinds`` if a file or link is there; what is there in any case."""
        if path.count("/") >= self.limits.depth:
            self.left_out += 1
            return None
        kind = self.kind_of(path)
        if kind is Kind.FILE or kind is Kind.LINK:
            self.kinds[path] = kind
        elif kind is Kind.OTHER:
            self.left_out += 1
        return kind

    def _listed(self, folder: str, repository: Repository) -> list[str]:
        """What git tells of the repository in ``folder``: tracked and new, the folder put before each."""
        self._repositories += 1
        top = self.root / folder
        runner = Git(git_dir=repository.git_dir, work_tree=top, settings=git.inert_settings(repository, top))
        ended = runner.run(
            "ls-files", "-z", "--cached", "--others", "--exclude-standard",
            timeout_seconds=max(1.0, self._deadline - time.monotonic()),
            max_bytes=256 << 20,
        )  # fmt: skip
        before = f"{folder}/" if folder else ""
        return [before + path.removesuffix("/") for path in os.fsdecode(ended.output).split("\0") if path]

    def _walk(self, start: str) -> None:
        """Take in all files below ``start``, those of repositories as git tells them."""
        waiting = deque([start])
        can_ask = git.has_git()
        while waiting:
            folder = waiting.popleft()
            before = f"{folder}/" if folder else ""
            for name, kind in sorted(self._names(folder).items()):
                if self._is_enough():
                    return
                path = before + name
                if kind is not Kind.FOLDER and name != ".git":
                    self.add(path)
                elif kind is not Kind.FOLDER:
                    continue
                elif name in FILLED_BY_TOOLS or "pyvenv.cfg" in self._names(path):
                    self.passed_over.add(path)
                elif path.count("/") >= self.limits.depth:
                    self.left_out += 1
                else:
                    nested = git.repository_at(self.root / path) if can_ask and ".git" in self._names(path) else None
                    if nested is not None:
                        self._ask_git(path, nested)
                    else:
                        waiting.append(path)

    def _is_enough(self) -> bool:
        self.is_cut = self.is_cut or (
            len(self.kinds) >= self.limits.files
            or self._repositories > self.limits.repositories
            or time.monotonic() > self._deadline
        )
        return self.is_cut


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return Kind.LINK
    if entry.is_dir(follow_symlinks=False):
        return Kind.FOLDER
    return Kind.FILE if entry.is_file(follow_symlinks=False) else Kind.OTHER
