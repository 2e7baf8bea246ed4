"""A Repl where no Jail can be had: Cells run in Monty, an interpreter of a subset of Python.

What confines is the interpreter itself: it has no system calls to offer, asks the host for all it wants, and runs in a
process of its own with an empty environment. Nothing of the operating system stands behind it. What Cells see is in
``inside``; what comes from there is as hostile as what comes over ``wire``.
Source: github.com/pydantic/monty, docs/security.md.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic_monty
from pydantic_monty import MontyError, MontyRuntimeError, MontySyntaxError

from rlm_mcp.errors import ReplGone
from rlm_mcp.sandbox.messages import Ending, Restored, Saved
from rlm_mcp.sandbox.monty.calls import answered
from rlm_mcp.sandbox.monty.cell import Frame, explained, showing_value
from rlm_mcp.sandbox.monty.worker import REPO, Function, Unreadable, Worker, WorkerGone
from rlm_mcp.sandbox.repl import GRACE_SECONDS, Binding, Cell, Outcome
from rlm_mcp.sandbox.wire import is_name, shown

_BEGIN_SECONDS = 20.0
_SAVE_SECONDS = 60.0
_WORD_CHARS = 16_000
_VARIABLES, _MANY_VARIABLES = 200, 10_000
_NAME_CHARS = 1_000
_PRINTED_PIECES = 500
"""Looked at of a Cell's output while it runs."""
_HELD_PART = 8
"""The session's log is held where it is at most one so-manieth of what a Cell may hold: it is there three times."""
_WALLS = (
    ", in a process of its own: a subset of Python (no inheritance, no imports but some modules), "
    "confined by its interpreter alone"
)
_MAGIC = b"rlm-mcp monty\n"
_NAMES = re.compile(r"\b(?:session|turns|text|context|docs|earlier)\b")
"""What is made ready once a Cell names it: an attribute cannot be made when it is asked for."""
_MODULES = ("asking", "found", "session", "repo", "docs", "models", "seen")
_FED = re.compile(r"<python-input-(\d+)>")
_IMPORT = re.compile(r"^from rlm_mcp\.\S+ import (?:\([^)]*\)|.*)$", re.MULTILINE)
_BEGIN = """\
_rlm_space = {}
exec(_rlm_source, _rlm_space)
_rlm_source = None
def _rlm_of_name(_rlm_name): return eval(_rlm_name)
_rlm = _rlm_space["Given"](_rlm_call, _rlm_end, _rlm_of_name)
session, repo, docs, context = _rlm.session, _rlm.repo, _rlm.docs, _rlm.names["context"]
read, show, help = _rlm.names["read"], _rlm.names["show"], _rlm.names["help"]
reset, Failed, SubLMFailed = _rlm.names["reset"], _rlm.names["Failed"], _rlm.names["SubLMFailed"]
print, len = _rlm.names["print"], _rlm.names["len"]
"""
_ENDING_AND_ASKING = """\
FINAL, FINAL_VAR, rlm_query = _rlm.names["FINAL"], _rlm.names["FINAL_VAR"], _rlm.names["rlm_query"]
llm_query, llm_map = _rlm.names["llm_query"], _rlm.names["llm_map"]
llm_query_batched, rlm_query_batched = _rlm.names["llm_query_batched"], _rlm.names["rlm_query_batched"]
"""
"""Given anew at each Cell of a Run."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    """What one call to the Repl has come to so far."""

    bindings: Mapping[str, Binding]
    printed: list[str] = field(default_factory=list)
    printed_bytes: int = 0
    lost_bytes: int = 0
    end: str = ""
    """How the Cell asked to end: ``final`` or ``reset``."""
    final: str | None = None


class MontyRepl:
    """Asks one worker process; ends it when it misbehaves."""

    def __init__(self, repo: Path | None, *, memory_bytes: int = 2 << 30, output_bytes: int = 16 << 20) -> None:
        """Start a worker.

        Args:
            repo: the folder that Cells may read.
            memory_bytes: what a Cell may hold.
            output_bytes: what is kept of a Cell's output.

        Raises:
            ReplGone: it cannot be started.
        """
        self._root = REPO if repo is not None else ""
        self._memory_bytes = memory_bytes
        self._output_bytes = output_bytes
        self._talking = threading.Lock()
        self._is_closed = False
        self._running: _Turn | None = None
        self._cells: dict[int, int] = {}
        self._named: set[str] = set()
        self.layers = (f"Monty {pydantic_monty.__version__}{_WALLS}",)
        try:
            self._worker = Worker(repo, memory_bytes=memory_bytes)
        except (OSError, WorkerGone) as error:
            raise ReplGone(
                f"Monty cannot be started ({error}); pip install --force-reinstall pydantic-monty"
            ) from error
        try:
            with self._exchange(_BEGIN_SECONDS):
                self._begin(_Turn(bindings={}))
        except (WorkerGone, MontyError) as error:
            raise ReplGone(f"Monty cannot be started ({error})") from error

    @property
    def is_alive(self) -> bool:
        """Whether the worker is there."""
        return self._worker.is_there

    def run(
        self,
        cell: Cell,
        bindings: Mapping[str, Binding],
        *,
        stop: threading.Event | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> Outcome:
        """Run a Cell; the outcome is there at its time-out: its worker cannot be told to stop, only be ended."""
        del grace_seconds
        started = time.monotonic()
        turn = self._running = _Turn(bindings=bindings)
        told, why = "", ""
        ending: Ending | None = None
        variables: tuple[tuple[str, str], ...] = ()
        try:
            with self._exchange(cell.timeout_seconds, stop):
                ending, told, variables = self._ran(turn, cell)
        except (WorkerGone, MontyError) as error:
            why = str(error)
        return Outcome(
            ending=ending,
            output="".join(turn.printed) + _closing(told, turn.printed),
            seconds=time.monotonic() - started,
            lost_bytes=turn.lost_bytes,
            final=turn.final if ending is Ending.FINAL else None,
            variables=variables[-_VARIABLES:],
            why=why,
        )

    def save(self, descriptor: int, left_out: Collection[str] = ()) -> Saved:
        """Save all variables, in one piece; raises ``ReplGone``."""
        del left_out  # it never tells which variable it ended over
        turn = _Turn(bindings={})
        try:
            with self._exchange(_SAVE_SECONDS):
                self._feed(turn, "_rlm.shed()")
                names = [name for name, _what in self._variables(turn)]
                dumped = self._worker.dump()
        except Unreadable as error:
            return Saved(variables=(), unsaved=(), complaint=str(error))
        except (WorkerGone, MontyError) as error:
            raise ReplGone(f"the Repl's process was ended: {error}") from error
        head = {"stamp": _stamp(), "cells": self._cells, "named": sorted(self._named)}
        content = b"".join((_MAGIC, json.dumps(head).encode("ascii"), b"\n", dumped))
        try:
            _write(descriptor, content)
        except OSError as error:
            return Saved(variables=(), unsaved=(), complaint=str(error))
        return Saved(variables=tuple((name, 0, len(content)) for name in names), unsaved=())

    def restore(
        self,
        session: Mapping[str, Any],
        places: Sequence[tuple[str, int, int]],
        descriptor: int | None,
        bindings: Mapping[str, Binding],
        left_out: Collection[str] = (),
    ) -> Restored:
        """Take saved variables back, all or none; raises ``ReplGone``."""
        del session, left_out  # the next Cell brings the one, the other is never known
        turn = _Turn(bindings=bindings)
        why = ""
        try:
            with self._exchange(_SAVE_SECONDS):
                if descriptor is not None and places:
                    why = self._take(descriptor)
                if descriptor is None or not places or why:
                    self._worker.renew()
                    self._begin(turn)
        except (WorkerGone, MontyError) as error:
            raise ReplGone(f"the Repl's process was ended: {error}") from error
        return Restored(lost=tuple((name, why) for name, _offset, _length in places) if why else ())

    def printed(self, most_bytes: int) -> str:
        """The end of what the Cell that runs has printed so far."""
        if self._running is None or self._is_closed:
            return ""
        pieces = self._running.printed[-_PRINTED_PIECES:]
        content = "".join(pieces)[-most_bytes:].encode("utf-8", "replace")
        return content[-most_bytes:].decode("utf-8", "replace").lstrip("\ufffd")

    def close(self) -> None:
        """End the worker, from any thread; whoever talks with it is told that it ended."""
        self._is_closed = True
        self._worker.kill("it was closed")
        if self._talking.acquire(blocking=False):
            try:
                self._worker.close()
            finally:
                self._talking.release()

    @contextmanager
    def _exchange(self, seconds: float, stop: threading.Event | None = None) -> Iterator[None]:
        """One call to the worker; nobody else talks with it meanwhile. Whatever is raised within ends it.

        Raises:
            WorkerGone: it was not there, was killed, or died.
        """
        with self._talking:
            try:
                with self._worker.turn(seconds, stop):
                    yield
            except Unreadable:
                raise
            except BaseException:
                self._worker.close()
                raise
            finally:
                if self._is_closed:
                    self._worker.close()

    def _begin(self, turn: _Turn) -> None:
        """Make all that Cells see."""
        self._cells, self._named = {}, set()
        self._feed(turn, _BEGIN + _ENDING_AND_ASKING, {"_rlm_source": _source()})

    def _ran(self, turn: _Turn, cell: Cell) -> tuple[Ending, str, tuple[tuple[str, str], ...]]:
        """How the Cell ended, the Repl's own word on it, and the variables there are."""
        before = frozenset(self._named)
        self._named.update(_NAMES.findall(cell.code))
        try:
            self._make_ready(turn, cell)
        except MontyError as error:  # what it names cannot be had
            self._named.intersection_update(before)
            self._make_sure(turn, error, ())
            return Ending.ERROR, explained((), _message(error)), self._variables(turn)
        self._cells[self._next()] = cell.number
        try:
            self._feed(turn, showing_value(cell.code))
        except MontyError as error:
            ending, told = self._failed(turn, error, cell)
        else:
            ending, told = Ending.OK if turn.final is None else Ending.FINAL, ""
        if ending is Ending.RESET:
            self._worker.renew()
            self._begin(turn)
            return ending, told, ()
        return ending, told, self._variables(turn)

    def _make_ready(self, turn: _Turn, cell: Cell) -> None:
        """Bring what Cells see to what it is now."""
        now = {
            "session": dict(cell.session),
            "repo": self._root,
            "code": cell.code,
            "wanted": sorted(self._named),
            "most_bytes": self._memory_bytes // _HELD_PART,
            "output_bytes": self._output_bytes,
        }
        self._feed(turn, "_rlm.at(_rlm_now)", {"_rlm_now": now})
        if "context" in cell.session:
            self._feed(turn, _ENDING_AND_ASKING)
        if "context" in self._named:
            self._feed(turn, "context = _rlm.scope(locals().get('context'))")
        self._feed(turn, "_rlm_here()")

    def _next(self) -> int:
        """Number of the text that Monty is fed next."""
        fed = _FED.fullmatch(self._worker.asked_at)
        if fed is None:
            raise WorkerGone(f"Monty names a text {self._worker.asked_at!r}")
        return int(fed[1]) + 1

    def _failed(self, turn: _Turn, error: MontyError, cell: Cell) -> tuple[Ending, str]:
        """How a Cell that raised has ended, and what is told of it.

        Raises:
            WorkerGone: the worker is of no more use after it.
        """
        cause = error.exception()
        if isinstance(cause, SystemExit):
            if turn.end:
                return (Ending.RESET if turn.end == "reset" else Ending.FINAL), ""
            return Ending.ERROR, f"SystemExit: {cause} (a Cell need not exit; its variables are kept)"
        frames = self._frames(error, cell)
        self._make_sure(turn, error, frames)
        return Ending.ERROR, explained(frames, _message(error))

    def _make_sure(self, turn: _Turn, error: MontyError, frames: Sequence[Frame]) -> None:
        """Make sure that the worker is still of use.

        Raises:
            WorkerGone: it ran out of storage, and Monty promises nothing of what is left then.
        """
        if isinstance(error.exception(), MemoryError):
            turn.printed.append(_closing(explained(frames, _message(error)), turn.printed))
            raise WorkerGone(f"it was to hold more than its limit of {self._memory_bytes >> 20:,} MB")

    def _frames(self, error: MontyError, cell: Cell) -> list[Frame]:
        """Frames of Cells alone; Monty names the texts it was fed ``<python-input-7>``."""
        told = error.traceback() if isinstance(error, MontyRuntimeError | MontySyntaxError) else []
        lines = cell.code.splitlines()
        found: list[Frame] = []
        for frame in told:
            fed = _FED.fullmatch(frame.filename)
            number = self._cells.get(int(fed[1])) if fed else None
            if number is None:
                continue
            own = number == cell.number and 0 < frame.line <= len(lines)
            source = lines[frame.line - 1] if own else frame.source_line or ""
            found.append(Frame(cell=number, line=frame.line, function=frame.function_name or "", source=source))
        return found

    def _variables(self, turn: _Turn) -> tuple[tuple[str, str], ...]:
        """What Cells have made, and what it is.

        Raises:
            WorkerGone: a Cell took away what tells of it.
        """
        try:
            told = self._feed(turn, "_rlm.told(locals())").output
        except MontyError as error:
            raise WorkerGone(f"a Cell took away what this Repl needs ({_message(error)})") from error
        rows, lost = (told.get("variables"), told.get("lost")) if isinstance(told, dict) else (None, None)
        if not isinstance(rows, list) or len(rows) > _MANY_VARIABLES or not isinstance(lost, int):
            raise WorkerGone("a Cell took away what this Repl needs")
        turn.lost_bytes += max(0, lost)
        found: list[tuple[str, str]] = []
        for row in rows:
            if not (isinstance(row, tuple) and len(row) == 2 and all(isinstance(word, str) for word in row)):
                raise WorkerGone("a Cell took away what this Repl needs")
            if is_name(row[0]):
                found.append((row[0], shown(row[1][:_NAME_CHARS])))
        return tuple(found)

    def _take(self, descriptor: int) -> str:
        """Put the saved variables into the worker; why it cannot be done, or nothing."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read()
        head, _newline, dumped = content.removeprefix(_MAGIC).partition(b"\n")
        if not content.startswith(_MAGIC) or not head.startswith(b"{"):
            return "saved by a Repl of another kind"
        known = json.loads(head)
        if known.get("stamp") != _stamp():
            return "saved by another version of rlm-mcp or Monty"
        try:
            self._worker.load(dumped)
        except Unreadable as error:
            return str(error)[:_NAME_CHARS]
        self._cells = {int(fed): number for fed, number in known["cells"].items()}
        self._named = set(known["named"])
        return ""

    def _feed(self, turn: _Turn, code: str, inputs: Mapping[str, Any] | None = None) -> Any:
        """Run a piece of code; see :meth:`rlm_mcp.sandbox.monty.worker.Worker.feed`."""
        functions: dict[str, Function] = {
            "_rlm_here": lambda _given: {"return_value": None},
            "_rlm_call": lambda given: self._worker.waited(lambda: answered(turn.bindings, given)),
            "_rlm_end": lambda given: self._end(turn, given),
        }
        return self._worker.feed(code, functions, lambda text: self._print(turn, text), inputs)

    def _print(self, turn: _Turn, text: str) -> None:
        """Keep what was printed, up to the limit; ``print`` in a Cell keeps to it, Monty's own would not."""
        raw = text.encode("utf-8", "replace")
        room = self._output_bytes - turn.printed_bytes
        if len(raw) > room:
            turn.lost_bytes += len(raw) - max(0, room)
            text = raw[: max(0, room)].decode("utf-8", "ignore")
            self._worker.kill(f"it printed more than {self._output_bytes:,} bytes")
        turn.printed_bytes += len(raw)
        turn.printed.append(text)

    def _end(self, turn: _Turn, given: tuple[Any, ...]) -> Any:
        """The Cell asks to be ended: FINAL, reset."""
        how, text = given if len(given) == 2 else ("", "")
        if how not in ("final", "reset") or not isinstance(text, str):
            return {"exc_type": "TypeError", "message": "_rlm_end takes 'final' and a text, or 'reset' and ''"}
        if len(text.encode("utf-8", "replace")) > self._output_bytes:
            message = f"OutputTooLong: FINAL: more than {self._output_bytes:,} bytes; put it into a variable"
            return {"exc_type": "RuntimeError", "message": message}
        turn.end, turn.final = how, text if how == "final" else turn.final
        return {"exc_type": "SystemExit", "message": how}


def _message(error: MontyError) -> str:
    """Kind of the exception, and what it says."""
    return error.display("type-msg") if isinstance(error, MontyRuntimeError | MontySyntaxError) else str(error)


def _closing(text: str, printed: Sequence[str]) -> str:
    """The Repl's own word behind what was printed, on lines of its own."""
    begins = "" if not printed or printed[-1].endswith("\n") else "\n"
    return f"{begins}{text[:_WORD_CHARS]}\n" if text else ""


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


@functools.cache
def _source() -> str:
    """What Cells see, as one text for Monty."""
    folder = Path(__file__).with_name("inside")
    texts = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in _MODULES]
    return "\n".join(_IMPORT.sub("", text) for text in texts)


@functools.cache
def _stamp() -> str:
    """What a saved Repl must have been made by to be read again."""
    return hashlib.sha256(f"{pydantic_monty.__version__}\n{_BEGIN}\n{_source()}".encode()).hexdigest()[:16]
