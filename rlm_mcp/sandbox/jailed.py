"""A Repl in a Jail: native CPython in a confined child."""

from __future__ import annotations

import fcntl
import inspect
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from rlm_mcp.errors import ReplGone, RlmError
from rlm_mcp.sandbox import wire
from rlm_mcp.sandbox.jail import Jail
from rlm_mcp.sandbox.repl import GRACE_SECONDS, Binding, Cell, Handed, Outcome

_START_SECONDS = 20.0
_SAVE_SECONDS = 60.0
_LOOK_SECONDS = 0.1
"""How often a wait looks whether it was interrupted."""
_INLINE_BYTES = 64 << 10
"""A larger answer to a Cell is handed over mapped."""
_OUTPUT_BYTES = 16 << 20
_WORD_BYTES = 64 << 10
"""Room for the child's own word behind a full output."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_Message = TypeVar("_Message", wire.Ready, wire.Done, wire.Saved, wire.Restored)


class JailedRepl:
    """Asks one child; ends it when it misbehaves."""

    def __init__(self, jail: Jail, *, output_bytes: int = _OUTPUT_BYTES) -> None:
        """Lock the child down.

        Raises:
            ReplGone: it could not be.
        """
        self._jail = jail
        self._output = os.memfd_create("rlm-mcp-output", os.MFD_CLOEXEC)
        self._output_bytes = output_bytes
        self.layers = jail.layers
        self._interrupted_at: float | None = None
        self._lock = threading.Lock()
        message = wire.SetUp(bounds=asdict(jail.bounds), repo=jail.repo, output_bytes=output_bytes)
        try:
            self._ask(message, (self._output,), wire.Ready, _START_SECONDS)
        except ReplGone:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether the child is there."""
        return self._jail.is_alive()

    def run(self, cell: Cell, bindings: Mapping[str, Binding], *, grace_seconds: float = GRACE_SECONDS) -> Outcome:
        """Run a Cell; whatever it does, the outcome is there at its time-out and grace."""
        started = time.monotonic()
        os.ftruncate(self._output, 0)
        with self._lock:
            self._interrupted_at = None
        message = wire.Run(
            number=cell.number, code=cell.code, timeout_seconds=cell.timeout_seconds, session=cell.session
        )
        try:
            deadline = started + cell.timeout_seconds + grace_seconds
            done = self._exchange(message, (), wire.Done, bindings, deadline, grace_seconds)
        except (wire.WireBroken, wire.FrameTooLong) as error:
            return self._ended(started, str(error))
        except TimeoutError:
            told = "it did not stop when it was told to" if self._interrupted_at else "it ran into its time limit"
            return self._ended(started, f"{told} and would not end")
        output = self._written(done.written_bytes)
        final_at = len(output) if done.final_start < 0 else min(done.final_start, len(output))
        return Outcome(
            ending=done.ending,
            output=output[:final_at].decode("utf-8", "replace"),
            seconds=time.monotonic() - started,
            lost_bytes=done.lost_bytes,
            final=None if done.final_start < 0 else output[final_at:].decode("utf-8", "replace"),
            variables=done.variables,
        )

    def save(self, descriptor: int) -> wire.Saved:
        """Save all variables; raises ``ReplGone``."""
        return self._ask(wire.Save(), (descriptor,), wire.Saved, _SAVE_SECONDS)

    def restore(
        self,
        session: Mapping[str, Any],
        places: Sequence[tuple[str, int, int]],
        descriptor: int | None,
        bindings: Mapping[str, Binding],
    ) -> wire.Restored:
        """Take saved variables back; raises ``ReplGone``."""
        message = wire.Restore(session=session, variables=tuple(places))
        with_it = () if descriptor is None else (descriptor,)
        return self._ask(message, with_it, wire.Restored, _SAVE_SECONDS, bindings)

    def interrupt(self) -> None:
        """Tell the Cell to stop; where it does not, its child is ended after the grace."""
        with self._lock:
            if self._interrupted_at is None:
                self._interrupted_at = time.monotonic()
                self._jail.interrupt()

    def close(self) -> None:
        """End the child."""
        self._jail.kill()
        with self._lock:
            if self._output >= 0:
                os.close(self._output)
            self._output = -1

    def _exchange(  # noqa: PLR0913  # one turn of the wire
        self,
        message: wire.FromHost,
        descriptors: tuple[int, ...],
        kind: type[_Message],
        bindings: Mapping[str, Binding],
        deadline: float,
        grace_seconds: float,
    ) -> _Message:
        """One turn: send, do what the child calls for, and take its answer."""
        end = self._jail.socket
        if wire.has_more(end):
            raise wire.WireBroken("it spoke out of turn, or is gone")
        wire.send(end, message, descriptors, deadline=deadline)
        while True:
            self._await(deadline, grace_seconds)
            found, _none = wire.receive(end, max_bytes=wire.MAX_FROM_CHILD, deadline=deadline)
            said = wire.from_child(found)
            if isinstance(said, kind):
                return said
            if isinstance(said, wire.Refused):
                raise wire.WireBroken(said.message)
            if not isinstance(said, wire.Call):
                raise wire.WireBroken(f"{type(said).__name__} in place of {kind.__name__}")
            self._answer(said, bindings, deadline)

    def _await(self, deadline: float, grace_seconds: float) -> None:
        """Wait until the child speaks; an interrupt moves the deadline forward."""
        while not wire.can_receive(self._jail.socket, min(deadline, time.monotonic() + _LOOK_SECONDS)):
            last = self._interrupted_at
            if time.monotonic() >= (deadline if last is None else min(deadline, last + grace_seconds)):
                raise TimeoutError

    def _answer(self, call: wire.Call, bindings: Mapping[str, Binding], deadline: float) -> None:
        """Call the host function and send what it says."""
        end = self._jail.socket
        try:
            answer = _called(call, bindings)
            opened = _opened(answer) if isinstance(answer, Handed) else None
        except (RlmError, OSError) as error:  # OSError: the file is gone, or no descriptor is left
            wire.send(end, wire.Failure(error=type(error).__name__, message=str(error)), deadline=deadline)
            return
        if opened is None:
            wire.send(end, wire.Value(value=answer), deadline=deadline)
            return
        descriptor, length = opened
        try:
            wire.send(end, wire.Value(value={"length": length}), (descriptor,), deadline=deadline)
        finally:
            os.close(descriptor)

    def _ask(
        self,
        message: wire.FromHost,
        descriptors: tuple[int, ...],
        kind: type[_Message],
        seconds: float,
        bindings: Mapping[str, Binding] | None = None,
    ) -> _Message:
        if not self._jail.is_alive():
            raise ReplGone(f"the Repl's process is not there any more: {self._jail.why_ended()}")
        with self._lock:
            self._interrupted_at = None
        try:
            return self._exchange(message, descriptors, kind, bindings or {}, time.monotonic() + seconds, seconds)
        except (wire.WireBroken, wire.FrameTooLong, TimeoutError) as error:
            why = self._end(str(error) or f"no answer in {seconds:g} s")
            raise ReplGone(f"the Repl's process was ended: {why}") from error

    def _ended(self, started: float, why: str) -> Outcome:
        """The child is ended; what it had printed is kept."""
        why = self._end(why)
        return Outcome(
            ending=None,
            output=self._written(1 << 62).decode("utf-8", "replace"),
            seconds=time.monotonic() - started,
            why=why,
        )

    def _end(self, why: str) -> str:
        """End the child; its own way of ending, where it had one, is the better reason."""
        self._jail.kill()
        return self._jail.why_ended() or why

    def _written(self, count: int) -> bytes:
        """Of the output file, which the child may have made of any length."""
        size = min(os.fstat(self._output).st_size, count, self._output_bytes + _WORD_BYTES)
        return os.pread(self._output, size, 0)


def _called(call: wire.Call, bindings: Mapping[str, Binding]) -> wire.JSON | Handed:
    """What the host function says; a large answer is put into a file."""
    binding = bindings.get(call.name)
    if binding is None:
        raise RlmError(f"no host function {call.name!r}")
    try:
        bound = inspect.signature(binding).bind(**call.arguments)
    except TypeError as error:
        raise RlmError(f"{call.name}: {error}") from error
    answer = binding(*bound.args, **bound.kwargs)
    if isinstance(answer, Handed):
        return answer
    text = json.dumps(answer)
    return answer if len(text) <= _INLINE_BYTES else Handed(content=text.encode("ascii"))


def _opened(large: Handed) -> tuple[int, int]:
    """A descriptor of it, for reading alone, and how many bytes count."""
    if large.path is not None:
        return os.open(large.path, os.O_RDONLY | os.O_CLOEXEC), large.length
    descriptor = os.memfd_create("rlm-mcp", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(large.content)
    while view:
        view = view[os.write(descriptor, view) :]
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor, len(large.content)
