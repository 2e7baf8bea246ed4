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
from rlm_mcp.sandbox.inside.lockdown import Bounds
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
_Message = TypeVar("_Message", wire.Ready, wire.Saved, wire.Restored)


class JailedRepl:
    """Asks one child; ends it when it misbehaves."""

    def __init__(self, jail: Jail, bounds: Bounds, *, output_bytes: int = _OUTPUT_BYTES) -> None:
        """Lock the child down.

        Raises:
            ReplGone: it could not be.
        """
        self._jail = jail
        self._output = os.memfd_create("rlm-mcp-output", os.MFD_CLOEXEC)
        self._output_bytes = output_bytes
        self._interrupted_at: float | None = None
        self._lock = threading.Lock()
        message = wire.SetUp(bounds=asdict(bounds), repo=jail.repo, output_bytes=output_bytes)
        try:
            self.layers = jail.layers + self._ask(message, (self._output,), wire.Ready, _START_SECONDS).layers
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
            done = self._run(message, bindings, started + cell.timeout_seconds + grace_seconds, grace_seconds)
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
        self, session: Mapping[str, Any], places: Sequence[tuple[str, int, int]], descriptor: int | None
    ) -> wire.Restored:
        """Take saved variables back; raises ``ReplGone``."""
        message = wire.Restore(session=session, variables=tuple(places))
        return self._ask(message, () if descriptor is None else (descriptor,), wire.Restored, _SAVE_SECONDS)

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

    def _run(
        self, message: wire.Run, bindings: Mapping[str, Binding], deadline: float, grace_seconds: float
    ) -> wire.Done:
        end = self._jail.socket
        if wire.has_more(end):
            raise wire.WireBroken("it spoke out of turn, or is gone")
        wire.send(end, message, deadline=deadline)
        while True:
            self._await(deadline, grace_seconds)
            found, _none = wire.receive(end, max_bytes=wire.MAX_FROM_CHILD, deadline=deadline)
            said = wire.from_child(found)
            if isinstance(said, wire.Done):
                return said
            if not isinstance(said, wire.Call):
                raise wire.WireBroken(f"{type(said).__name__} in place of an answer")
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
        except RlmError as error:
            wire.send(end, wire.Failure(error=type(error).__name__, message=str(error)), deadline=deadline)
            return
        if not isinstance(answer, Handed):
            wire.send(end, wire.Value(value=answer), deadline=deadline)
            return
        try:
            wire.send(end, wire.Value(value={"length": answer.length}), (answer.descriptor,), deadline=deadline)
        finally:
            os.close(answer.descriptor)

    def _ask(
        self, message: wire.FromHost, descriptors: tuple[int, ...], kind: type[_Message], seconds: float
    ) -> _Message:
        end, deadline = self._jail.socket, time.monotonic() + seconds
        try:
            wire.send(end, message, descriptors, deadline=deadline)
            found, _none = wire.receive(end, max_bytes=wire.MAX_FROM_CHILD, deadline=deadline)
            said = wire.from_child(found)
        except (wire.WireBroken, wire.FrameTooLong, TimeoutError) as error:
            raise self._gone(str(error) or f"no answer in {seconds:g} s") from error
        if isinstance(said, kind):
            return said
        raise self._gone(said.message if isinstance(said, wire.Refused) else f"{type(said).__name__} out of turn")

    def _gone(self, why: str) -> ReplGone:
        return ReplGone(f"the Repl's process was ended: {self._end(why)}")

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
        ended_itself = not self._jail.is_alive()
        self._jail.kill()
        return (ended_itself and self._jail.why_ended()) or why

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
    return answer if len(text) <= _INLINE_BYTES else handed(text.encode("ascii"))


def handed(content: bytes) -> Handed:
    """Bytes as a file to hand over, sealed: the Cell can only read it."""
    descriptor = os.memfd_create("rlm-mcp", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return Handed(descriptor=descriptor, length=len(content))
