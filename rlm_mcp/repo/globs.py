"""Which paths a glob means: ``*`` within a folder, ``**`` over folders. Pure, and in bounded time for any glob.

A glob without a slash is laid on a path's last part, in any folder (``*.py``), as git and ripgrep do it; one with a
slash on the whole path (``src/**/*.py``). ``{a,b}`` means either. A name without wildcards also means all that lies
below a folder of that path (``src``, ``src/api/``). ``*`` matches names that begin with a dot, too.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import cache

from rlm_mcp.errors import QueryError

_MAX_CHARS = 1_000
_MAX_EITHER = 64
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_WILD = re.compile(r"[*?\[]")

Matcher = Callable[[str], bool]
"""Whether a path, relative and with ``/``, is meant."""


def matcher(glob: str) -> Matcher:
    """What tells the paths that ``glob`` means.

    Raises:
        QueryError: it is too long, holds a NUL, or means nothing below a folder (``/``, ``..``).
    """
    if len(glob) > _MAX_CHARS or "\0" in glob:
        raise QueryError(f"{glob[:80]!r} is no glob: at most {_MAX_CHARS:,} characters, no NUL; write 'src/**/*.py'")
    wanted = [_one(each) for each in _either(glob)]
    if len(wanted) == 1:
        return wanted[0]
    return lambda path: any(each(path) for each in wanted)


def _either(glob: str) -> list[str]:
    """``glob`` with its braces multiplied out."""
    done: list[str] = []
    open_ones = [glob]
    while open_ones:
        each = open_ones.pop()
        found = _BRACES.search(each)
        if found is None:
            done.append(each)
        else:
            open_ones += [each[: found.start()] + piece + each[found.end() :] for piece in found[1].split(",")]
        if len(done) + len(open_ones) > _MAX_EITHER:
            raise QueryError(f"{glob!r} means more than {_MAX_EITHER} globs; write fewer braces")
    return done


def _one(glob: str) -> Matcher:
    parts = [part for part in glob.removeprefix("./").split("/") if part != "."]
    is_folder = len(parts) > 1 and not parts[-1]
    parts = [part for part in parts if part]
    if glob.startswith("/") or ".." in parts or not parts:
        raise QueryError(f"{glob!r} means nothing in the folder; write a relative glob like 'src/**/*.py' or '*.toml'")
    if not _WILD.search(glob):
        path = "/".join(parts)
        below = f"{path}/"
        anywhere = f"/{path}"
        if is_folder:
            return lambda each: each.startswith(below)
        if len(parts) > 1:
            return lambda each: each == path or each.startswith(below)
        return lambda each: each == path or each.startswith(below) or each.endswith(anywhere)
    if is_folder:
        parts.append("**")
    if parts in (["**"], ["**", "*"]):
        return lambda _each: True
    if len(parts) == 1 or (len(parts) == 2 and parts[0] == "**"):
        name = _part(parts[-1])
        return lambda each: name(each.rpartition("/")[2])
    runs = _runs(parts)
    return lambda each: _matches(runs, each.split("/"))


@cache
def _part(glob: str) -> Matcher:
    """One part of a path. ``fnmatch`` writes each ``*`` as an atomic group, so that nothing is tried twice."""
    compiled = re.compile(fnmatch.translate(glob))
    return lambda name: compiled.match(name) is not None


def _runs(parts: Sequence[str]) -> list[list[Matcher]]:
    """What stands between the ``**``: always one more than there are of them."""
    runs: list[list[Matcher]] = [[]]
    for part in parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(_part(part))
    return runs


def _matches(runs: Sequence[Sequence[Matcher]], parts: Sequence[str]) -> bool:
    """The first run at the start, the last at the end, those between at the first place there is: no way back."""
    first, last = runs[0], runs[-1]
    if len(runs) == 1:
        return len(parts) == len(first) and _fits(first, parts, 0)
    end = len(parts) - len(last)
    if len(first) > end or not _fits(first, parts, 0) or not _fits(last, parts, end):
        return False
    place = len(first)
    for run in runs[1:-1]:
        while place + len(run) <= end and not _fits(run, parts, place):
            place += 1
        place += len(run)
        if place > end:
            return False
    return last != [] or place < len(parts)


def _fits(run: Sequence[Matcher], parts: Sequence[str], place: int) -> bool:
    return all(matches(parts[place + number]) for number, matches in enumerate(run))
