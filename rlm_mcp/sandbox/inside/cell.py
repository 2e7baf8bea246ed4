"""Runs one Cell after the other in one namespace: output, the last expression's value, a traceback of the Cell alone.

Here, and in ``hooks/run_hook.py``, any exception may be caught: a Cell's failure is an answer, not an accident.
"""

from __future__ import annotations

import ast
import builtins
import io
import linecache
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from rlm_mcp.sandbox.wire import Done, Ending

_FLUSH_CHARS = 8_192
_WORD_CHARS = 16_000
ROOM_FOR_A_WORD = 4 * _WORD_CHARS + 8
"""Bytes kept for the runner's own word behind the limit."""
_VALUE_CHARS = 1_000_000
"""A last expression's value is shown up to here; a longer one is worth a variable."""
_NUDGE_SECONDS = 0.05
"""A Cell that swallows its time-out is told again this often, until the host ends it."""
_FRAMES = 12
_VARIABLES = 200
_NAME_CHARS = 100
_MEMORY_HINT = "(The Repl's limit of main storage; work on parts, and del what is no longer needed.)"
_JAIL_HINT = (
    "(The Jail has no network, no processes, no threads and no files but the repository, read-only; "
    "use session, repo, docs.)"
)


class OutputTooLong(Exception):
    """A Cell printed more than is kept."""

    __module__ = "builtins"  # as a traceback should name it


class CellTimeout(BaseException):
    """A Cell ran into its time limit. Not an ``Exception``, so that ``except Exception`` lets it through."""

    __module__ = "builtins"


class _Final(BaseException):
    """FINAL was called."""


class _Reset(BaseException):
    """reset was called."""


class Output(io.TextIOBase):
    """Standard output and error of a Cell: written through to the host's file, up to a limit."""

    def __init__(self, descriptor: int, limit_bytes: int) -> None:
        self._descriptor = descriptor
        self._limit_bytes = limit_bytes
        self._waiting: list[str] = []
        self._waiting_chars = 0
        self.written_bytes = 0
        self.lost_bytes = 0

    def begin(self) -> None:
        """A new Cell."""
        self._waiting, self._waiting_chars = [], 0
        self.written_bytes = self.lost_bytes = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Take text.

        Raises:
            OutputTooLong: the Cell has printed more than is kept.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._waiting.append(text)
        self._waiting_chars += len(text)
        if self._waiting_chars > _FLUSH_CHARS or "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Write what waits; raises as :meth:`write` does."""
        self._put(self._limit_bytes - self.written_bytes)
        if self.lost_bytes:
            raise OutputTooLong(
                f"the Cell printed more than {self._limit_bytes:,} bytes; put it into a variable and show a part"
            )

    def tell(self, text: str) -> None:
        """The runner's own closing word, on lines of its own; there is always room for it."""
        begins = self.written_bytes == 0 and not self._waiting
        self._waiting.append(("" if begins else "\n") + text[:_WORD_CHARS] + "\n")
        self._put(self._limit_bytes + ROOM_FOR_A_WORD - self.written_bytes)

    def _put(self, room_bytes: int) -> None:
        raw = "".join(self._waiting).encode("utf-8", "backslashreplace")
        self._waiting, self._waiting_chars = [], 0
        view = memoryview(raw)[: max(0, room_bytes)]
        self.lost_bytes += len(raw) - len(view)
        while view:
            count = os.pwrite(self._descriptor, view, self.written_bytes)
            self.written_bytes += count
            view = view[count:]


class Runner:
    """The namespace, and what runs in it."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.module = types.ModuleType("__main__")
        self.given: dict[str, Any] = {}
        self._lazy: dict[str, Callable[[], Any]] = {}
        self._is_armed = False
        self._is_calling = False
        self._pending: type[BaseException] | None = None
        self._final: str | None = None
        self._stale: set[str] = set()

    @property
    def namespace(self) -> dict[str, Any]:
        """Globals of every Cell."""
        return self.module.__dict__

    def give(self, names: Mapping[str, Any], lazy: Mapping[str, Callable[[], Any]]) -> None:
        """What every Cell sees; ``lazy`` ones are made when a Cell's code names them."""
        self.given = {**names, "FINAL": self.final, "FINAL_VAR": self._final_var, "reset": _reset}
        self._lazy = dict(lazy)
        self._stale = set()
        self.clear()

    def grant(self, name: str, value: object) -> None:
        """Give one more name."""
        self.given[name] = self.namespace[name] = value

    def clear(self) -> None:
        """Throw all variables away."""
        self.namespace.clear()
        self.namespace.update(__name__="__main__", __builtins__=builtins, **self.given)
        sys.modules["__main__"] = self.module

    def variables(self) -> dict[str, Any]:
        """What Cells have made: neither given nor private."""
        return {
            name: value
            for name, value in self.namespace.items()
            if isinstance(name, str)
            and not name.startswith("_")
            and not (name in self.given and value is self.given[name])
        }

    def run(self, number: int, code: str, timeout_seconds: float) -> Done:
        """Run a Cell to its end, whatever it is."""
        self.output.begin()
        self._final, self._pending, self._is_calling = None, None, False
        sys.stdout = sys.stderr = self.output
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGINT, self._on_interrupt)
        ending = Ending.INTERRUPTED
        try:
            self._is_armed = True
            signal.setitimer(signal.ITIMER_REAL, timeout_seconds, _NUDGE_SECONDS)
            ending = self._ended(number, code)
            self._is_armed = False
        except (CellTimeout, KeyboardInterrupt) as error:
            self._is_armed = False
            self.output.tell(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        finally:
            self._is_armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        return self._done(ending)

    def _ended(self, number: int, code: str) -> Ending:
        name = f"<cell {number}>"
        try:
            self._execute(code, name)
            self.output.flush()
        except _Final:
            return Ending.FINAL
        except _Reset:
            self.clear()
            return Ending.RESET
        except (CellTimeout, KeyboardInterrupt) as error:
            self._is_armed = False
            self.output.tell(_explained(error))
            return Ending.INTERRUPTED
        except SystemExit as error:
            self.output.tell(f"SystemExit: {error.code} (a Cell need not exit; its variables are kept)")
            return Ending.ERROR
        except BaseException as error:  # noqa: BLE001  # the Cell executor: whatever the code raised is its answer
            self.output.tell(_explained(error))
            return Ending.ERROR
        return Ending.OK if self._final is None else Ending.FINAL

    def _execute(self, code: str, name: str) -> None:
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        tree = ast.parse(code, name)
        last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        body = ast.Module(body=tree.body[:-1] if last is not None else tree.body, type_ignores=[])
        compiled = compile(body, name, "exec")
        value_of = None if last is None else compile(ast.Expression(last.value), name, "eval")
        self._make_lazy(_names(compiled) | (_names(value_of) if value_of is not None else set()))
        exec(compiled, self.namespace)  # noqa: S102  # this is what the Jail is for
        value = None if value_of is None else eval(value_of, self.namespace)  # noqa: S307  # as above
        if value is not None:
            self.output.write(displayed(value) + "\n")

    def _make_lazy(self, names: set[str]) -> None:
        """Make the lazy names that the code uses, unless a Cell has made them its own; and anew where they are stale."""
        wanted = names & self._lazy.keys()
        if self._stale:
            functions = [value for value in self.namespace.values() if isinstance(value, types.FunctionType)]
            wanted |= self._stale & set().union(*(_names(function.__code__) for function in functions))
        for name in wanted:
            is_ours = name not in self.namespace or self.namespace[name] is self.given.get(name)
            if is_ours and (name not in self.given or name in self._stale):
                self.namespace[name] = self.given[name] = self._lazy[name]()
            self._stale.discard(name)

    def outdate(self) -> None:
        """What the lazy names stand for has changed."""
        self._stale = {name for name in self._lazy if name in self.given}

    def final(self, value: object) -> NoReturn:
        """End the Cell with this value as the answer."""
        self._final = value if isinstance(value, str) else displayed(value)
        raise _Final

    def _final_var(self, name: str) -> NoReturn:
        """End the Cell with the value of the variable of that name as the answer."""
        if not isinstance(name, str) or name not in self.namespace:
            raise NameError(f"FINAL_VAR: there is no variable {name!r}")
        self.final(self.namespace[name])

    def calling(self, exchange: Callable[[], Any]) -> Any:
        """Run ``exchange`` with the host to its end; a time-out or interrupt meanwhile is raised after it."""
        self._is_calling = True
        try:
            return exchange()
        finally:
            self._is_calling = False
            pending, self._pending = self._pending, None
            if pending is not None:
                raise pending("while a host function was asked")

    def _on_alarm(self, _signal: int, _frame: types.FrameType | None) -> None:
        self._told(CellTimeout, "the Cell ran into its time limit; what it assigned until then is kept")

    def _on_interrupt(self, _signal: int, _frame: types.FrameType | None) -> None:
        self._told(KeyboardInterrupt, "the Cell was interrupted; what it assigned until then is kept")

    def _told(self, kind: type[BaseException], message: str) -> None:
        if self._is_calling:
            self._pending = kind
        elif self._is_armed:
            raise kind(message)

    def _done(self, ending: Ending) -> Done:
        start = -1
        if ending is Ending.FINAL and self._final is not None:
            start = self.output.written_bytes
            try:
                self.output.write(self._final)
                self.output.flush()
            except OutputTooLong as error:
                self.output.tell(f"FINAL: {error}")
                ending, start = Ending.ERROR, -1
        return Done(
            ending=ending,
            written_bytes=self.output.written_bytes,
            lost_bytes=self.output.lost_bytes,
            final_start=start,
            variables=self._told_variables(),
        )

    def _told_variables(self) -> tuple[tuple[str, str], ...]:
        """The latest variables; what was only imported is not told."""
        found = [(name, value) for name, value in self.variables().items() if not _is_imported(value)]
        return tuple((name[:_NAME_CHARS], kind_of(value)) for name, value in found[-_VARIABLES:])


def _reset() -> NoReturn:
    """End the Cell and throw all variables away."""
    raise _Reset


def _is_imported(value: object) -> bool:
    """A module, or a class or function that no Cell made."""
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return value.__module__ != "__main__"
    return isinstance(value, types.ModuleType)


def _names(code: types.CodeType) -> set[str]:
    """Every name the code uses, at any depth."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found


def displayed(value: object) -> str:
    """A value as a person would have it: text of several lines as it is, all else by ``repr``; cut where endless."""
    text = value if isinstance(value, str) and "\n" in value else repr(value)
    if len(text) <= _VALUE_CHARS:
        return text
    half = _VALUE_CHARS // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} of {len(text):,} characters left out ...\n{text[-half:]}"


def kind_of(value: object) -> str:
    """What a variable is, in a few words: ``list, 1,200``."""
    name = "list" if isinstance(value, list) else type(value).__name__[:60]
    if isinstance(value, str):
        return f"{name}, {len(value):,} characters"
    if isinstance(value, list | tuple | dict | set | frozenset | bytes | bytearray):
        return f"{name}, {len(value):,}"
    if isinstance(value, bool | int | float):
        text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "long"
        return f"{name}, {text}"
    return name


def _explained(error: BaseException) -> str:
    """The traceback without frames that are not a Cell's."""
    try:
        told = traceback.TracebackException.from_exception(error, compact=True)
    except (MemoryError, RecursionError):
        return f"{type(error).__name__}: {error}"
    _keep_cells(told, depth=0)
    lines = "".join(told.format(chain=True)).rstrip("\n")
    if isinstance(error, MemoryError):
        return f"{lines}\n{_MEMORY_HINT}"
    return f"{lines}\n{_JAIL_HINT}" if isinstance(error, PermissionError | ChildProcessError) else lines


def _keep_cells(told: traceback.TracebackException, depth: int) -> None:
    frames = [frame for frame in told.stack if frame.filename.startswith("<cell ")]
    if len(frames) > _FRAMES:
        frames = frames[: _FRAMES // 4] + frames[-_FRAMES * 3 // 4 :]
    told.stack = traceback.StackSummary.from_list(frames)
    for further in (told.__cause__, told.__context__):
        if further is not None and depth < 5:
            _keep_cells(further, depth + 1)
