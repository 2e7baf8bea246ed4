"""Which files a ``load`` means: one file, a folder's or a glob's; what is passed over is named with the reason.

In a folder git says what counts where it is there (a folder it ignores is taken whole when it is named); elsewhere the
folders that tools fill are passed over. A glob is laid on what lies below its first part without wildcards.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import DocumentError
from rlm_mcp.repo import tree
from rlm_mcp.repo.tree import Listing
from rlm_mcp.verbs.private import why_private

MOST_FILES = 10_000
MOST_BYTES_OF_ONE = 4 << 30
MOST_BYTES = 8 << 30
_NAME_CHARS = 300
_WILD = re.compile(r"[*?\[{]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file to be loaded."""

    file: Path
    """Links resolved."""
    name: str
    size: int
    """Bytes, when it was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file or folder that was not loaded."""

    path: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """What a load means."""

    folder: str
    """All names begin with it and a slash; empty where a single file was named."""
    wanted: tuple[Wanted, ...]
    skipped: tuple[Skipped, ...]
    left_out: int = 0
    """Pipes, sockets, devices, and folders that are closed to us or too deep."""
    unread: tuple[str, ...] = ()
    """Folders in it with a repository that git cannot read: what it ignores is wanted too."""


def pick(asked: str, name: str, *, cwd: str, store_home: Path) -> Picked:
    """The files that ``asked``, a path or glob, means.

    Args:
        name: in place of the file's or folder's own.
        cwd: what a relative path is relative to.
        store_home: nothing of it is loaded.

    Raises:
        DocumentError: nothing is there, it is no file or folder, it holds credentials, or it is too much.
        UsageError, QueryError, ProcessError: the folder cannot be listed, or the glob means nothing.
    """
    path = _absolute(asked, cwd)
    home = Path(os.path.realpath(store_home))
    try:
        found = path.stat()
    except FileNotFoundError as error:
        if _WILD.search(asked):
            return _of_glob(path, name, home)
        raise DocumentError(f"{str(path)!r} is not there; write a path or glob as from {cwd!r}", why="gone") from error
    except (OSError, ValueError) as error:
        raise DocumentError(f"{str(path)!r} cannot be read ({error}); name another", why="not readable") from error
    real = _not_private(path, home)
    if stat.S_ISDIR(found.st_mode):
        return _of_folder(path, name, home)
    wanted = Wanted(file=real, name=_plain(name or path.name), size=found.st_size)
    return Picked(folder="", wanted=(wanted,), skipped=())


def _absolute(asked: str, cwd: str) -> Path:
    stripped = asked.strip()
    if not stripped or "\0" in stripped:
        raise DocumentError(f"the path {asked!r} names no file; write the path of a file or folder", why="no path")
    try:
        path = Path(stripped).expanduser()
    except RuntimeError as error:
        raise DocumentError(f"{asked!r} names no folder ({error}); write an absolute path", why="no path") from error
    if not path.is_absolute() and not cwd:
        raise DocumentError(f"{asked!r} is relative, and the session has no folder; write it absolute", why="no path")
    return Path(os.path.normpath(Path(cwd) / path))


def _not_private(path: Path, home: Path) -> Path:
    """The path with its links resolved, where neither way of writing it is a private place."""
    real = Path(os.path.realpath(path))
    why = why_private(path, home) or why_private(real, home)
    if why:
        raise DocumentError(
            f"{str(path)!r} is {why} and is not loaded; what is needed of it, the user can put into a file elsewhere",
            why=why,
        )
    return real


def _of_folder(folder: Path, name: str, home: Path) -> Picked:
    top = tree.root_of(folder)
    real = folder.resolve()
    paths, listing = _listed(real)
    if top != real:
        inside = real.relative_to(top).as_posix()
        by_git = tree.files(top, f"{_literal(inside)}/**")
        if by_git.paths and not by_git.is_cut:  # else git ignores all of it, or there is too much around it
            paths, listing = [path.removeprefix(f"{inside}/") for path in by_git.paths], by_git
    _not_too_many(folder, len(paths), is_cut=listing.is_cut)
    return _picked(real, _plain(name or folder.name or "root"), paths, listing, home)


def _listed(folder: Path, glob: str = "**/*") -> tuple[list[str], Listing]:
    listing = tree.files(folder, glob)
    return list(listing.paths), listing


def _literal(path: str) -> str:
    """A glob that means just this path."""
    return re.sub(r"([*?\[{])", r"[\1]", path)


def _of_glob(path: Path, name: str, home: Path) -> Picked:
    parts = path.parts
    first = next(number for number, part in enumerate(parts) if _WILD.search(part))
    base, glob = Path(*parts[:first]), "/".join(parts[first:])
    if not base.is_dir():
        raise DocumentError(f"{str(base)!r}, where {str(path)!r} begins, is no folder; mend the path", why="gone")
    _not_private(base, home)
    paths, listing = _listed(base.resolve(), glob)
    if len(parts) == first + 1 and "**" not in glob:
        paths = [each for each in paths if "/" not in each]
    _not_too_many(path, len(paths), is_cut=listing.is_cut)
    if not paths:
        rules = ", and what .gitignore names is left out" if listing.is_git else ""
        raise DocumentError(
            f"no file matches {str(path)!r} ('**' goes over folders{rules}); name a file or folder itself", why="gone"
        )
    return _picked(base.resolve(), _plain(name or base.name or "root"), paths, listing, home)


def _not_too_many(what: Path, count: int, *, is_cut: bool) -> None:
    if is_cut or count > MOST_FILES:
        found = "more files than can be listed" if is_cut else f"{count:,} files"
        raise DocumentError(
            f"{str(what)!r} means {found}, one load takes {MOST_FILES:,}; name a folder in it, or a glob",
            why="too many files",
        )


def _picked(root: Path, folder: str, paths: Iterable[str], listing: Listing, home: Path) -> Picked:
    wanted: list[Wanted] = []
    skipped = [Skipped(path=f"{path}/", why="filled by a tool") for path in listing.passed_over]
    for path in paths:
        try:
            wanted.append(_member(root, path, folder, home))
        except DocumentError as error:
            skipped.append(Skipped(path=_plain(path), why=error.why))
    total = sum(each.size for each in wanted)
    if total > MOST_BYTES:
        raise DocumentError(
            f"{str(root)!r} means {total:,} bytes, one load takes {MOST_BYTES:,}; name a folder in it, or a glob",
            why="too large",
        )
    return Picked(
        folder=folder,
        wanted=tuple(wanted),
        skipped=tuple(skipped),
        left_out=listing.left_out,
        unread=tuple(path.encode("utf-8", "backslashreplace").decode() for path in listing.unread),
    )


def _member(root: Path, path: str, folder: str, home: Path) -> Wanted:
    """A file listed in a folder.

    Raises:
        DocumentError: it is gone, a link that leads elsewhere, private, or too large; only ``why`` is shown.
    """
    file = root / path
    try:
        if file.is_symlink():
            file = _followed(root, path)
        found = file.lstat()
    except FileNotFoundError as error:
        raise DocumentError(f"{path!r} is gone; look for its name", why="gone") from error
    except OSError as error:
        raise DocumentError(f"{path!r} cannot be read ({error}); mend it", why="not readable") from error
    why = why_private(root / path, home) or why_private(file, home)
    if why:
        raise DocumentError(f"{path!r} is {why}; leave it", why=why)
    if stat.S_ISDIR(found.st_mode):
        raise DocumentError(f"{path!r} leads to a folder; name it itself", why="links to folders")
    if found.st_size > MOST_BYTES_OF_ONE:
        raise DocumentError(f"{path!r} is too large; load a part of it", why="larger than 4 GiB")
    return Wanted(file=file, name=_plain(f"{folder}/{path}"), size=found.st_size)


def _followed(root: Path, path: str) -> Path:
    try:
        file = (root / path).resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise DocumentError(f"{path!r} leads nowhere ({error}); mend it", why="broken links") from error
    if root not in file.parents:
        raise DocumentError(f"{path!r} leads out of the folder; name it itself", why="links out of the folder")
    return file


def _plain(name: str) -> str:
    """A name that can be printed on one line: other bytes than UTF-8, and control characters, written as escapes.

    Raises:
        DocumentError: it is too long, or nothing.
    """
    text = name.encode("utf-8", "backslashreplace").decode().strip().strip("/")
    text = _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)
    if not text or len(text) > _NAME_CHARS:
        raise DocumentError(
            f"{name[:80]!r} is no name for a document; give one of 1 to {_NAME_CHARS} characters", why="no name"
        )
    return text
