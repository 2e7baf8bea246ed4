"""A Repl in a Jail: native CPython in a confined child."""

from __future__ import annotations

import codecs
import fcntl
import json
import mmap
import os
import threading
import time
from bisect import bisect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from rlm_mcp.errors import ReplBusy, ReplGone, RlmError
from rlm_mcp.sandbox import messages, wire
from rlm_mcp.sandbox.answering import LOOK_SECONDS, Answerer, Turn
from rlm_mcp.sandbox.jail import Jail
from rlm_mcp.sandbox.repl import GRACE_SECONDS, Binding, Cell, Handed, Outcome, called

_START_SECONDS = 20.0
_SAVE_SECONDS = 60.0
_INLINE_BYTES = 64 << 10
"""A larger answer to a Cell is handed over mapped."""
_OUTPUT_BYTES = 16 << 20
_WORD_BYTES = 64 << 10
"""Room for the child's own word behind a full output."""
_PAGE_BYTES = 4_096
"""Looked at at once for the end of what is printed."""
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_FIXED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_PIECE_BYTES = 1 << 20
_ERROR_CHARS = 2_000
_TIME_IS_OVER = "the Cell's time is over"
_T = TypeVar("_T")
_Message = TypeVar("_Message", messages.Ready, messages.Done, messages.Saved, messages.Restored)


class JailedRepl:
    """Asks one child; ends it when it misbehaves."""

    def __init__(self, jail: Jail, *, output_bytes: int = _OUTPUT_BYTES, variable_seconds: float = 10.0) -> None:
        """Lock the child down.

        Args:
            output_bytes: kept of what one Cell prints.
            variable_seconds: for saving or restoring one variable; more, and it is named as lost.

        Raises:
            ReplGone: it could not be.
        """
        self._jail = jail
        self._output = os.memfd_create("rlm-mcp-output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._most_bytes = output_bytes + _WORD_BYTES
        os.ftruncate(self._output, messages.MARK_BYTES + self._most_bytes)
        fcntl.fcntl(self._output, fcntl.F_ADD_SEALS, _FIXED)  # it is main storage, beside the child's own limit
        self._variable_seconds = variable_seconds
        self.layers = jail.layers
        self._talking = threading.Lock()
        self._answerer = Answerer()
        self._reading = threading.Lock()
        """While it is held, the output's file stays open."""
        self._is_closed = False
        message = messages.SetUp(bounds=asdict(jail.bounds), repo=jail.repo, output_bytes=output_bytes)
        try:
            self._ask(message, (self._output,), messages.Ready, _START_SECONDS)
        except ReplGone:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether the child is there."""
        return self._jail.is_alive()

    def run(
        self,
        cell: Cell,
        bindings: Mapping[str, Binding],
        *,
        stop: threading.Event | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> Outcome:
        """Run a Cell; whatever it or a host function does, the outcome is there at its time-out and grace."""
        turn = Turn(seconds=cell.timeout_seconds + grace_seconds, stop=stop, grace_seconds=grace_seconds)
        message = messages.Run(
            number=cell.number, code=cell.code, timeout_seconds=cell.timeout_seconds, session=cell.session
        )
        with self._turn():
            if self._is_closed:
                return Outcome(ending=None, output="", seconds=0.0, why="it was closed")
            self._wipe()
            try:
                done = self._exchange(message, (), messages.Done, bindings, turn)
            except (wire.WireBroken, wire.FrameTooLong) as error:
                return self._ended(turn, str(error))
            except TimeoutError:
                told = "did not stop when it was told to" if turn.told_at else "ran into its time limit"
                return self._ended(turn, f"it {told} and would not end")
            if done.number != cell.number:
                return self._ended(turn, f"the end of c{done.number} in place of that of c{cell.number}")
            return self._outcome(turn, done)

    def save(self, descriptor: int, left_out: Collection[str] = ()) -> messages.Saved:
        """Save all variables; raises ``ReplGone``."""
        message = messages.Save(variable_seconds=self._variable_seconds, left_out=tuple(left_out))
        return self._ask(message, (descriptor,), messages.Saved, _SAVE_SECONDS)

    def restore(
        self,
        session: Mapping[str, Any],
        places: Sequence[tuple[str, int, int]],
        descriptor: int | None,
        bindings: Mapping[str, Binding],
        left_out: Collection[str] = (),
    ) -> messages.Restored:
        """Take saved variables back; raises ``ReplGone``."""
        message = messages.Restore(
            session=session,
            variable_seconds=self._variable_seconds,
            variables=tuple(places),
            left_out=tuple(left_out),
        )
        with_it = () if descriptor is None else (descriptor,)
        return self._ask(message, with_it, messages.Restored, _SAVE_SECONDS, bindings)

    def printed(self, most_bytes: int) -> str:
        """The end of what the Cell that runs has printed so far; nothing once it is closed."""
        with self._reading:
            if self._output < 0:
                return ""
            end = _PAGE_BYTES * bisect(range(self._most_bytes // _PAGE_BYTES), False, key=self._is_blank)
            start = max(0, end - _PAGE_BYTES - most_bytes)
            content = os.pread(self._output, end - start, messages.MARK_BYTES + start).rstrip(b"\0")
        return content[-most_bytes:].decode("utf-8", "replace").lstrip("\ufffd")  # it may begin within a character

    def _is_blank(self, page: int) -> bool:
        """Whether nothing is written there, nor behind it: text is written from the beginning on."""
        return not os.pread(self._output, _PAGE_BYTES, messages.MARK_BYTES + page * _PAGE_BYTES).strip(b"\0")

    def close(self) -> None:
        """End the child, from any thread; whoever talks with it is told that it ended."""
        self._is_closed = True
        self._jail.kill()
        if self._talking.acquire(blocking=False):
            self._free()
            self._talking.release()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else talks with the child meanwhile, and the output's file stays open.

        Whatever is raised within ends the child: half a turn cannot be taken up again.
        """
        try:
            with self._talking:
                yield
        except BaseException:
            self._jail.kill()
            raise
        finally:
            self._answerer.close()
            if self._is_closed and self._talking.acquire(blocking=False):
                self._free()
                self._talking.release()

    def _free(self) -> None:
        with self._reading:
            if self._output >= 0:
                os.close(self._output)
            self._output = -1

    def _exchange(
        self,
        message: messages.FromHost,
        descriptors: tuple[int, ...],
        kind: type[_Message],
        bindings: Mapping[str, Binding],
        turn: Turn,
    ) -> _Message:
        """One turn: send, do what the child calls for, and take its answer."""
        end = self._jail.socket
        if wire.has_more(end):
            raise wire.WireBroken("it spoke out of turn, or is gone")
        wire.send(end, message, descriptors, deadline=turn.soon())
        while True:
            self._await(turn)
            said = self._said(turn)
            if isinstance(said, kind):
                return said
            if isinstance(said, messages.Refused):
                raise wire.WireBroken(said.message)
            if not isinstance(said, messages.Call):
                raise wire.WireBroken(f"{type(said).__name__} in place of {kind.__name__}")
            self._answer(said, bindings, turn)

    def _await(self, turn: Turn) -> None:
        """Wait until the child speaks; one that is to stop is told so until it does.

        Raises:
            TimeoutError: its time, or its grace, is over.
        """
        while True:
            if turn.is_to_stop():
                self._jail.interrupt()
            if time.monotonic() >= turn.deadline:
                raise TimeoutError
            if wire.can_receive(self._jail.socket, min(turn.deadline, time.monotonic() + LOOK_SECONDS)):
                return

    def _said(self, turn: Turn) -> messages.FromChild:
        try:
            found, _none = wire.receive(self._jail.socket, max_bytes=wire.MAX_FROM_CHILD, deadline=turn.soon())
        except TimeoutError as error:
            raise wire.WireBroken("a frame that is cut") from error
        return wire.from_child(found)

    def _answer(self, call: messages.Call, bindings: Mapping[str, Binding], turn: Turn) -> None:
        """Call the host function and send what it says; where the Cell's time ends meanwhile, that it did."""
        end = self._jail.socket
        try:
            answer = self._waited(partial(_answered, call, bindings), turn)
            opened = _opened(answer) if isinstance(answer, Handed) else None
        except (RlmError, OSError) as error:  # OSError: the file is gone, or no descriptor is left
            told = messages.Failure(error=type(error).__name__, message=str(error)[:_ERROR_CHARS])
            wire.send(end, told, deadline=turn.soon())
            return
        if opened is None:
            assert not isinstance(answer, Handed)
            wire.send(end, messages.Value(value=answer), deadline=turn.soon())
            return
        descriptor, length = opened
        try:
            wire.send(end, messages.Value(file_bytes=length), (descriptor,), deadline=turn.soon())
        finally:
            os.close(descriptor)

    def _waited(self, work: Callable[[], _T], turn: Turn) -> _T:
        """What a host function says; it is told when the turn's time is over, and left half its grace later.

        Raises:
            ReplBusy: it was left, or too many that were left are still at work; why, the child knows better.
            TimeoutError: it was left, and there was no grace.
        """
        if not self._answerer.is_free:
            raise ReplBusy("host functions that earlier Cells did not wait for are still at work; try again soon")
        if turn.is_past():
            raise ReplBusy(_TIME_IS_OVER)
        pending = self._answerer.begin(work)
        is_done = False
        try:
            while not is_done and not turn.is_past():
                if turn.is_to_stop():
                    self._jail.interrupt()
                if turn.is_over():
                    pending.leave.now()
                is_done = pending.wait(turn.next_look())
        finally:
            if not is_done:
                pending.leave.now()
                self._answerer.abandon()
        if not is_done:
            turn.leave()
            raise ReplBusy(_TIME_IS_OVER)
        return pending.found()

    def _ask(
        self,
        message: messages.FromHost,
        descriptors: tuple[int, ...],
        kind: type[_Message],
        seconds: float,
        bindings: Mapping[str, Binding] | None = None,
    ) -> _Message:
        with self._turn():
            if not self._jail.is_alive():
                raise ReplGone(f"the Repl's process is not there any more: {self._jail.why_ended() or 'it was closed'}")
            self._wipe()
            try:
                return self._exchange(message, descriptors, kind, bindings or {}, Turn(seconds=seconds))
            except (wire.WireBroken, wire.FrameTooLong, TimeoutError) as error:
                self._jail.kill()
                why = self._jail.why_ended() or str(error) or f"no answer in {seconds:g} s"
                variable = "" if self._is_closed else self._marked()
                raise ReplGone(f"the Repl's process was ended: {why}", variable=variable) from error

    def _ended(self, turn: Turn, why: str) -> Outcome:
        """End the child (its own way of ending is the better reason); what it had printed is kept."""
        self._jail.kill()
        return Outcome(
            ending=None,
            output=_text(self._written(1 << 62)),
            seconds=turn.seconds(),
            why=self._jail.why_ended() or why,
        )

    def _outcome(self, turn: Turn, done: messages.Done) -> Outcome:
        output = self._written(done.written_bytes)
        final_at = len(output) if done.final_start < 0 else min(done.final_start, len(output))
        return Outcome(
            ending=done.ending,
            output=_text(output[:final_at]),
            seconds=turn.seconds(),
            lost_bytes=done.lost_bytes,
            final=None if done.final_start < 0 else _text(output[final_at:]),
            variables=done.variables,
        )

    def _written(self, count: int) -> bytes:
        """Of the output; without NULs behind it where nobody knows how long it is."""
        found = os.pread(self._output, min(count, self._most_bytes), messages.MARK_BYTES)
        return found.rstrip(b"\0") if count > self._most_bytes else found

    def _wipe(self) -> None:
        """Empty the output file, and give its storage back."""
        size = messages.MARK_BYTES + self._most_bytes
        try:
            with mmap.mmap(self._output, size) as view:
                view.madvise(mmap.MADV_REMOVE)
        except OSError:  # a kernel without (gVisor)
            os.pwrite(self._output, bytes(size), 0)

    def _marked(self) -> str:
        """The variable that the child was at."""
        return os.pread(self._output, messages.MARK_BYTES, 0).partition(b"\0")[0].decode("utf-8", "replace")


def _text(raw: bytes) -> str:
    """As text, some of it at a time: while a decoder works, no other thread does."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    pieces = [decode(raw[at : at + _PIECE_BYTES]) for at in range(0, len(raw), _PIECE_BYTES)]
    return "".join([*pieces, decode(b"", final=True)])


def _answered(call: messages.Call, bindings: Mapping[str, Binding]) -> messages.JSON | Handed:
    """What the host function says; a large answer is put into a file."""
    answer = called(bindings, call.name, call.arguments)
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
