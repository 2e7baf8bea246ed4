"""Run a child process: time-out, the whole group killed, output capped; where asked for, ended though we are killed."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rlm_mcp.errors import ProcessError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended."""

    exit_code: int
    output: bytes
    """Standard output, at most ``max_bytes``."""
    complaint: bytes
    """Standard error, at most 64 KiB."""
    is_cut: bool
    """More output came than was kept; the child was ended then."""
    is_told: bool = False
    """It was ended because ``told`` could be read."""


_COMPLAINT_BYTES = 64 << 10
_SHELL = Path("/bin/sh")
_GUARDED = """\
exec 5<"/dev/fd/$0" 4>&2 3<&0 2>/dev/null
"$@" <&3 2>&4 3<&- 4>&- 5<&- &
program=$!
{ read word; kill -9 $program; } <&5 >/dev/null 3<&- 4>&- 5<&- &
guard=$!
wait $program
code=$?
[ $code = 137 ] && kill -9 0
kill -9 $guard
wait $guard
exit $code
"""
"""A shell that is the program's parent; its other child reads a pipe, and kills the program when our end is closed.

``$0`` is the number of that pipe's end: above 9, it stands in no redirection that every shell has. A program killed is
followed by all of its group, but reaped before: there may be no init to do that. The shell itself complains nowhere.
"""
_CANNOT_RUN = frozenset({126, 127})
"""A shell's exit code for a program that it cannot start."""
_OWN_END_SECONDS = 1.0
"""The shell's, before it is killed too."""
_STAT = Path("/proc/self/stat")
_STARTTIME = 22 - 3
"""Which of its fields behind the name, the third on, says when the process began, in ticks since boot (proc(5))."""
_START_SECONDS = 5.0
"""More than a start waits for its turn: older than that, it was another program first, which called exec."""


def seconds_since_start(stat: Path = _STAT) -> float:
    """How long this process runs, its start on a busy machine included; where nobody tells, what it has computed."""
    computed = time.process_time()
    try:
        ticks = int(stat.read_bytes().rpartition(b")")[2].split()[_STARTTIME])
        runs = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):  # another system
        return computed
    return runs if computed < runs < computed + _START_SECONDS else computed


def run(  # noqa: PLR0913  # what a child can be given
    command: Sequence[str],
    *,
    timeout_seconds: float,
    max_bytes: int = 4 << 20,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    standard_input: Path | bytes | None = None,
    told: int | None = None,
    passed: Sequence[int] = (),
    is_guarded: bool = False,
) -> Ended:
    """Run ``command`` in a process group of its own; its standard input is that file or text, or empty.

    Args:
        told: a descriptor; as soon as it can be read, the group is killed.
        passed: descriptors that the child has too, of the same numbers.
        is_guarded: it does not outlive this process, even if that is killed.

    Raises:
        ProcessError: it cannot be started, or ran longer than ``timeout_seconds`` (its group is killed).
    """
    cannot = f"{command[0]!r} cannot be started (%s); is it installed, and are its arguments plain text?"
    if is_guarded and shutil.which(command[0]) is None:
        raise ProcessError(cannot % "there is no such program")
    with _leashed(command) if is_guarded else nullcontext((command, (), None)) as (whole, more, leash):
        try:
            with _given(standard_input) as given:
                child = subprocess.Popen(
                    whole,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=cwd,
                    env=None if environ is None else dict(environ),
                    start_new_session=True,
                    pass_fds=(*passed, *more),
                )
        except (OSError, ValueError) as error:  # ValueError: a NUL byte or lone surrogate in an argument
            raise ProcessError(cannot % error) from error
        try:
            ended = _collect(child, time.monotonic() + timeout_seconds, max_bytes, told, leash)
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise ProcessError(
                f"{command[0]!r} ran longer than {timeout_seconds:g} s and was ended; give it less to do"
            ) from error
        finally:
            _end(child, leash)
    if is_guarded and ended.exit_code in _CANNOT_RUN and not ended.output:
        raise ProcessError(cannot % ended.complaint.decode("utf-8", "replace").strip())
    return ended


@contextmanager
def _leashed(command: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[int], IO[bytes] | None]]:
    """The command behind a shell, the end of a pipe that goes with it, and the one we keep; itself, where none is."""
    if not _SHELL.exists():
        yield command, (), None
        return
    theirs, ours = os.pipe()
    with open(theirs, "rb", buffering=0), open(ours, "wb", buffering=0) as leash:  # noqa: PTH123  # descriptors
        yield (str(_SHELL), "-c", _GUARDED, str(theirs), *command), (theirs,), leash


@contextmanager
def _given(standard_input: Path | bytes | None) -> Iterator[IO[bytes]]:
    """What a child reads: a file, so that nobody has to write while it runs."""
    if isinstance(standard_input, bytes):
        with tempfile.TemporaryFile() as file:
            file.write(standard_input)
            file.seek(0)
            yield file
    else:
        with Path(os.devnull if standard_input is None else standard_input).open("rb") as file:
            yield file


def _collect(
    child: subprocess.Popen[bytes], deadline: float, max_bytes: int, told: int | None, leash: IO[bytes] | None
) -> Ended:
    assert child.stdout is not None
    assert child.stderr is not None
    output, complaint = bytearray(), bytearray()
    kept = {child.stdout.fileno(): output, child.stderr.fileno(): complaint}
    is_cut = is_told = False
    open_streams = set(kept)
    with selectors.DefaultSelector() as selector:
        for descriptor in (*kept, *(() if told is None else (told,))):
            selector.register(descriptor, selectors.EVENT_READ)
        while open_streams and not is_cut and not is_told:
            left = deadline - time.monotonic()
            ready = selector.select(max(0.0, left))
            if not ready or left < 0:
                raise TimeoutError
            for key, _mask in ready:
                if key.fd == told:
                    is_told = True
                    continue
                piece = os.read(key.fd, 1 << 16)
                if not piece:
                    selector.unregister(key.fd)
                    open_streams.remove(key.fd)
                kept[key.fd] += piece
            is_cut = len(output) > max_bytes
            del complaint[_COMPLAINT_BYTES:]
    if is_cut or is_told:
        _end(child, leash)
    exit_code = child.wait(timeout=max(0.1, deadline - time.monotonic()))
    return Ended(
        exit_code=exit_code,
        output=bytes(output[:max_bytes]),
        complaint=bytes(complaint),
        is_cut=is_cut,
        is_told=is_told,
    )


def _end(child: subprocess.Popen[bytes], leash: IO[bytes] | None) -> None:
    """End the child's whole group, unless it was seen to end by itself. Not yet waited for, its id is still its own."""
    if leash is not None and child.returncode is None:
        leash.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_OWN_END_SECONDS)
    if child.returncode is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS refuses for a group that has ended already
            child.kill()
        child.wait()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()
