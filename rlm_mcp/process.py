"""Run a child process: time-out, the whole group killed, output capped."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
) -> Ended:
    """Run ``command`` in a process group of its own; its standard input is that file or text, or empty.

    Args:
        told: a descriptor; as soon as it can be read, the group is killed.
        passed: descriptors that the child has too, of the same numbers.

    Raises:
        ProcessError: it cannot be started, or ran longer than ``timeout_seconds`` (its group is killed).
    """
    try:
        with _given(standard_input) as given:
            child = subprocess.Popen(
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=None if environ is None else dict(environ),
                start_new_session=True,
                pass_fds=passed,
            )
    except (OSError, ValueError) as error:  # ValueError: a NUL byte or lone surrogate in an argument
        raise ProcessError(
            f"{command[0]!r} cannot be started ({error}); is it installed, and are its arguments plain text?"
        ) from error
    try:
        return _collect(child, time.monotonic() + timeout_seconds, max_bytes, told)
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise ProcessError(
            f"{command[0]!r} ran longer than {timeout_seconds:g} s and was ended; give it less to do"
        ) from error
    finally:
        _end(child)


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


def _collect(child: subprocess.Popen[bytes], deadline: float, max_bytes: int, told: int | None) -> Ended:
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
        _end(child)
    exit_code = child.wait(timeout=max(0.1, deadline - time.monotonic()))
    return Ended(
        exit_code=exit_code,
        output=bytes(output[:max_bytes]),
        complaint=bytes(complaint),
        is_cut=is_cut,
        is_told=is_told,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole group, unless it was seen to end by itself. Not yet waited for, its id is still its own."""
    if child.returncode is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS refuses for a group that has ended already
            child.kill()
        child.wait()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()
