"""Searching the working tree by pattern: ripgrep over exactly the files that :func:`rlm_mcp.repo.tree.files` lists.

The list is handed to ripgrep, symlinks left out, so that what is ignored is decided in one place and nothing outside
the folder is read. Somebody may put a link in the place of a folder meanwhile; so a run over paths tells only which
files are worth a look, and what counts is found in files that we have opened ourselves, link by no part of their path.
There ripgrep tells places alone (line, column, offset); their text is then read from the file, so that a line of any
length costs its surroundings only.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp import ripgrep, unlinked
from rlm_mcp.errors import QueryError
from rlm_mcp.process import Ended
from rlm_mcp.repo import tree
from rlm_mcp.repo.tree import Listing, TreeLimits

_ARGUMENT_BYTES = 256 << 10
"""Paths of one run; systems allow 1 MB and more."""
_OF_ALL = ("--null", "--encoding=none", "--no-mmap", "--no-ignore", "--hidden")
_OF_A_CANDIDATE = ("--files-with-matches",)
_OF_A_PLACE = (
    "--with-filename", "--no-heading", "--line-number", "--column", "--byte-offset", "--max-columns=1",
)  # fmt: skip
_PLACE = re.compile(rb"([^\0]+)\0(\d+):(\d+):(\d+):[^\n]*\n")
_BINARY = re.compile(rb'[^\0]*: binary file matches \(found "[^"\n]*" byte around offset \d+\)\n')
"""ripgrep's own line on a file with NUL bytes, instead of a place."""
_NAMED = 20
_SHARE, _MOST_AT_ONCE = 16, 1_000
"""Files open at once: such a part of the descriptors this process may have, as others search at the same time."""
_BEFORE_BYTES = 160
_AROUND_BYTES = 480
_MAX_MATCHES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GrepLimits:
    """How much is shown, and how long it may take."""

    matches: int = 200
    """Shown; at most 10,000."""
    seconds: float = 20.0
    """For all of it."""
    file_bytes: int = 256 << 20
    """A larger file is passed over, and named."""
    told: int | None = None
    """A descriptor; as soon as it can be read, the search is given up."""


GREP_LIMITS = GrepLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A line in which the pattern matches."""

    path: str
    line: int
    """From 1."""
    column: int
    """Of the first match in the line: from 1, in bytes."""
    text: str
    """The line; a long one around its first match, with an ellipsis where it is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrepAnswer:
    """What was found."""

    matches: tuple[Match, ...]
    """In order of path and line."""
    total: int
    """Lines that match, shown or not."""
    is_at_least: bool
    """There may be more of them: a limit was met."""
    files: int
    """Files with such a line."""
    binary: int
    """Files with NUL bytes that match; their places are not shown."""
    left_out: tuple[str, ...]
    """Files too large to be searched (the first 20)."""
    files_left_out: int


def grep(
    root: Path,
    pattern: str,
    *,
    glob: str = "",
    ignore_case: bool = False,
    fixed: bool = False,
    limits: GrepLimits = GREP_LIMITS,
) -> GrepAnswer:
    """Lines of the working tree's files that ``pattern`` (a Rust regex, or with ``fixed`` plain text) matches.

    Args:
        glob: only in these files (see :mod:`rlm_mcp.repo.globs`); empty for all.

    Raises:
        QueryError: no valid pattern or glob, it took too long, or was given up.
        UsageError, ProcessError: see :func:`rlm_mcp.repo.tree.files`.
    """
    if not 0 <= limits.matches <= _MAX_MATCHES:
        raise QueryError(f"{limits.matches!r} matches cannot be shown; write a number from 0 to {_MAX_MATCHES:,}")
    search = Search(pattern, limits, ignore_case=ignore_case, fixed=fixed)
    return search.run(tree.files(root, glob or "**/*", limits=TreeLimits(seconds=limits.seconds)))


class Search:
    """A search of its own time; :func:`grep` is the way to it."""

    def __init__(self, pattern: str, limits: GrepLimits, *, ignore_case: bool, fixed: bool) -> None:
        self._matches: list[Match] = []
        self._total = self._files = self._binary = 0
        self._too_large: set[str] = set()
        self._is_cut = False
        self._pattern = pattern
        self._limits = limits
        self._case = "--ignore-case" if ignore_case else "--case-sensitive"
        self._fixed = fixed
        self._deadline = time.monotonic() + limits.seconds

    def run(self, listing: Listing) -> GrepAnswer:
        """Search the files listed, once; raises as :func:`grep` does."""
        wanted = [path for path in listing.paths if path not in listing.links]
        self._left()
        allowed = os.sysconf("SC_OPEN_MAX")  # -1: no limit
        at_once = max(1, min(_MOST_AT_ONCE, allowed // _SHARE)) if allowed > 0 else _MOST_AT_ONCE
        if len(wanted) > at_once:
            wanted = self._candidates(listing.root, wanted)
        try:
            with unlinked.folder(listing.root) as top:
                for start in range(0, len(wanted), at_once):
                    with ExitStack() as closing:
                        self._look(self._opened(top, wanted[start : start + at_once], closing))
                    if self._is_cut:
                        break
        except OSError as error:
            raise QueryError(f"{str(listing.root)!r} cannot be searched ({error}); try again") from error
        return GrepAnswer(
            matches=tuple(self._matches),
            total=self._total,
            is_at_least=self._is_cut or listing.is_cut,
            files=self._files,
            binary=self._binary,
            left_out=tuple(sorted(self._too_large)[:_NAMED]),
            files_left_out=len(self._too_large),
        )

    def _candidates(self, root: Path, wanted: Sequence[str]) -> list[str]:
        """Those in which ripgrep finds the pattern, as it opens them by their paths."""
        found: set[str] = set()
        small = [path for path in wanted if self._is_small(root, path)]
        for paths in _portions(small):
            ended = self._ripgrep(paths, _OF_A_CANDIDATE, cwd=root)
            found.update(os.fsdecode(ended.output).split("\0"))
        return [path for path in small if path in found]

    def _is_small(self, root: Path, path: str) -> bool:
        try:
            size = os.lstat(f"{root}/{path}").st_size
        except OSError:  # gone by now
            return False
        if size > self._limits.file_bytes:
            self._too_large.add(path)
        return size <= self._limits.file_bytes

    def _opened(self, top: int, paths: Sequence[str], closing: ExitStack) -> dict[int, str]:
        """Descriptors of the files below the folder ``top``; without those that are gone, closed to us, or too large.

        Raises:
            OSError: there is no room for more descriptors.
        """
        found: dict[int, str] = {}
        for path in paths:
            try:
                descriptor = unlinked.opened(path, below=top)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise
                continue
            closing.callback(os.close, descriptor)
            status = os.fstat(descriptor)
            if status.st_size > self._limits.file_bytes:
                self._too_large.add(path)
            elif stat.S_ISREG(status.st_mode):
                found[descriptor] = path
        return found

    def _look(self, opened: Mapping[int, str]) -> None:
        """Take in what is found in these files, which are in order of path."""
        files = tuple(opened)
        names = [ripgrep.path_of(descriptor) for descriptor in files]
        ended = self._ripgrep(names, _OF_A_PLACE, passed=files)
        places, binary = _places(ended.output, {os.fsencode(name): number for number, name in enumerate(names)})
        places.sort()
        self._total += len(places)
        self._files += len({place[0] for place in places})
        self._binary += binary
        self._is_cut = ended.is_cut
        for number, line, column, offset in places[: self._limits.matches - len(self._matches)]:
            descriptor = files[number]
            text = _text_at(descriptor, offset, column)
            self._matches.append(Match(path=opened[descriptor], line=line, column=column, text=text))

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise QueryError(
                f"searching {self._pattern!r} took longer than {self._limits.seconds:g} s; narrow it by a glob"
            )
        return left

    def _ripgrep(
        self, paths: Sequence[str], options: Sequence[str], *, cwd: Path | None = None, passed: Sequence[int] = ()
    ) -> Ended:
        return ripgrep.search(
            self._pattern,
            paths,
            options=[*options, *_OF_ALL, self._case],
            fixed=self._fixed,
            timeout_seconds=self._left(),
            cwd=cwd,
            passed=passed,
            told=self._limits.told,
        )


def _portions(paths: Sequence[str]) -> Iterator[list[str]]:
    """``paths`` in runs short enough for a command line."""
    portion: list[str] = []
    length = 0
    for path in paths:
        length += len(os.fsencode(path)) + 16  # its pointer as well
        if length > _ARGUMENT_BYTES and portion:
            yield portion
            portion, length = [], 0
        portion.append(path)
    if portion:
        yield portion


def _places(output: bytes, known: Mapping[bytes, int]) -> tuple[list[tuple[int, int, int, int]], int]:
    """File by its number, line, column and offset of each line told, in no order; and how many files were binary."""
    places: list[tuple[int, int, int, int]] = []
    binary = 0
    end = 0
    while True:
        told = _BINARY.match(output, end)
        if told is not None:
            binary, end = binary + 1, told.end()
            continue
        place = _PLACE.match(output, end)
        if place is None:
            return places, binary
        number, end = known.get(place[1]), place.end()
        if number is not None:
            line, column, start = int(place[2]), int(place[3]), int(place[4])
            places.append((number, line, column, start + column - 1))


def _text_at(descriptor: int, offset: int, column: int) -> str:
    """The line around ``offset``, cut on both sides where it is long; empty if the file is shorter by now."""
    before = min(column - 1, _BEFORE_BYTES)
    raw = os.pread(descriptor, before + _AROUND_BYTES, offset - before)
    start, newline, _rest = raw[before:].partition(b"\n")
    is_short = len(raw) < before + _AROUND_BYTES
    text = (raw[:before] + start).decode("utf-8", "ignore").rstrip("\r")
    head = "\u2026" if before < column - 1 else ""
    tail = "" if newline or is_short else "\u2026"
    return head + text + tail
