"""Searching the working tree by pattern: ripgrep over exactly the files that :func:`rlm_mcp.repo.tree.files` lists.

The list is handed to ripgrep, symlinks left out, so that what is ignored is decided in one place and nothing outside
the folder is read. ripgrep tells places alone (line, column, offset); their text is then read from the file, so that a
line of any length costs its surroundings only.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp import ripgrep
from rlm_mcp.errors import QueryError
from rlm_mcp.repo import tree
from rlm_mcp.repo.tree import TreeLimits

_ARGUMENT_BYTES = 256 << 10
"""Paths of one run; systems allow 1 MB and more."""
_OPTIONS = (
    "--null", "--with-filename", "--no-heading", "--line-number", "--column", "--byte-offset", "--max-columns=1",
    "--encoding=none", "--no-mmap", "--no-ignore", "--hidden",
)  # fmt: skip
_PLACE = re.compile(rb"([^\0]+)\0(\d+):(\d+):(\d+):[^\n]*\n")
_BINARY = re.compile(rb'[^\0]*: binary file matches \(found "[^"\n]*" byte around offset \d+\)\n')
"""ripgrep's own line on a file with NUL bytes, instead of a place."""
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
        QueryError: no valid pattern or glob, or it took too long.
        UsageError, ProcessError: see :func:`rlm_mcp.repo.tree.files`.
    """
    if not 0 <= limits.matches <= _MAX_MATCHES:
        raise QueryError(f"{limits.matches!r} matches cannot be shown; write a number from 0 to {_MAX_MATCHES:,}")
    deadline = time.monotonic() + limits.seconds
    listing = tree.files(root, glob or "**/*", limits=TreeLimits(seconds=limits.seconds))
    wanted = [path for path in listing.paths if path not in listing.links]
    options = [*_OPTIONS, "--ignore-case" if ignore_case else "--case-sensitive"]
    found: list[tuple[str, int, int, int]] = []
    binary, is_cut = 0, listing.is_cut
    left = limits.seconds
    for paths in _portions(wanted):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        ended = ripgrep.search(pattern, paths, options=options, fixed=fixed, timeout_seconds=left, cwd=listing.root)
        places, binary_here = _places(ended.output, set(paths))
        found += places
        binary += binary_here
        is_cut = is_cut or ended.is_cut
        if ended.is_cut:
            break
    if left <= 0:
        raise QueryError(f"searching {pattern!r} took longer than {limits.seconds:g} s; narrow it by a glob")
    found.sort()
    return GrepAnswer(
        matches=tuple(_match(listing.root, place) for place in found[: limits.matches]),
        total=len(found),
        is_at_least=is_cut,
        files=len({place[0] for place in found}),
        binary=binary,
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


def _places(output: bytes, known: set[str]) -> tuple[list[tuple[str, int, int, int]], int]:
    """Path, line, column and offset of each line told, in no order; and how many files were binary."""
    places: list[tuple[str, int, int, int]] = []
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
        path, end = os.fsdecode(place[1]), place.end()
        if path in known:
            line, column, start = int(place[2]), int(place[3]), int(place[4])
            places.append((path, line, column, start + column - 1))


def _match(root: Path, place: tuple[str, int, int, int]) -> Match:
    path, line, column, offset = place
    return Match(path=path, line=line, column=column, text=_text_at(root / path, offset, column))


def _text_at(path: Path, offset: int, column: int) -> str:
    """The line around ``offset``, cut on both sides where it is long; empty if the file is gone by now."""
    before = min(column - 1, _BEFORE_BYTES)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            raw = os.pread(descriptor, before + _AROUND_BYTES, offset - before) if is_file else b""
        finally:
            os.close(descriptor)
    except OSError:
        return ""
    start, newline, _rest = raw[before:].partition(b"\n")
    is_short = len(raw) < before + _AROUND_BYTES
    text = (raw[:before] + start).decode("utf-8", "ignore").rstrip("\r")
    head = "\u2026" if before < column - 1 else ""
    tail = "" if newline or is_short else "\u2026"
    return head + text + tail
