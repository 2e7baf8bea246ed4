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
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from rlm_mcp.sandbox.inside.telling import (
    BROKEN_HINT,
    OutputTooLong,
    cut,
    displayed,
    explained,
    is_imported,
    kind_of,
    one_line_of,
    own_attributes,
)
from rlm_mcp.sandbox.messages import MARK_BYTES, Done, Ending

_FLUSH_CHARS = 8_192
_WORD_CHARS = 16_000
ROOM_FOR_A_WORD = 4 * _WORD_CHARS + 200
"""Bytes kept for the runner's own word behind the limit."""
_NUDGE_SECONDS = 0.05
"""A Cell that swallows its time-out is told again this often, until the host ends it."""
_VARIABLES = 200
_NAME_CHARS = 100
_ROOM_FRAMES = 60
"""Calls that an exchange with the host takes, with room to spare."""
T = TypeVar("T")


class CellTimeout(BaseException):
    """A Cell ran into its time limit. Not an ``Exception``, so that ``except Exception`` lets it through."""

    __module__ = "builtins"


_TOLD = {
    CellTimeout: "the Cell ran into its time limit; what it assigned until then is kept",
    KeyboardInterrupt: "the Cell was interrupted; what it assigned until then is kept",
}


class _Final(BaseException):
    """FINAL was called."""


class _Reset(BaseException):
    """reset was called."""


class Output(io.TextIOBase):
    """Standard output and error of a Cell: written through to the host's file, up to a limit."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, descriptor: int, limit_bytes: int) -> None:
        self._descriptor = descriptor
        self._limit_bytes = limit_bytes
        self._waiting: list[str] = []
        self._waiting_chars = 0
        self._last = "\n"
        self.written_bytes = 0
        self.lost_bytes = 0

    def begin(self) -> None:
        """A new Cell."""
        self._waiting, self._waiting_chars, self._last = [], 0, "\n"
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
        self.put(self._limit_bytes - self.written_bytes)
        if self.lost_bytes:
            raise OutputTooLong(
                f"the Cell printed more than {self._limit_bytes:,} bytes; put it into a variable and show a part"
            )

    def say(self, text: str) -> None:
        """The runner's own closing word, on lines of its own; there is always room for it."""
        last = self._waiting[-1] if self._waiting else self._last
        self._waiting.append(("" if last.endswith("\n") else "\n") + cut(text, _WORD_CHARS) + "\n")
        self.put(self._limit_bytes + ROOM_FOR_A_WORD - self.written_bytes)

    def mark(self, name: str) -> None:
        """Tell the host what is worked at, should this process end over it."""
        os.pwrite(self._descriptor, name.encode("utf-8", "replace") + b"\0", 0)

    def put(self, room_bytes: int) -> None:
        """Write what waits, as much of it as there is room for."""
        text = "".join(self._waiting)
        raw = text.encode("utf-8", "backslashreplace")
        self._waiting, self._waiting_chars, self._last = [], 0, text[-1:] or self._last
        view = memoryview(raw)[: max(0, room_bytes)]
        self.lost_bytes += len(raw) - len(view)
        while view:
            count = os.pwrite(self._descriptor, view, MARK_BYTES + self.written_bytes)
            self.written_bytes += count
            view = view[count:]


class Runner:
    """The namespace, and what runs in it.

    Signals raise only within :meth:`limited`: wherever they come, none is ever raised in the child's own loop.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.cell = 0
        """Number of the Cell that runs, or ran last."""
        self.module = types.ModuleType("__main__")
        self.given: dict[str, Any] = {}
        self._lazy: dict[str, Callable[[], Any]] = {}
        self._stale: set[str] = set()
        self._told: type[BaseException] | None = None
        """What whoever runs has been told to stop by."""
        self._is_heard = False
        """It has stopped, and is not to be told again."""
        self._is_whole = False
        """What happens now is not to be broken off."""
        self._final: str | None = None
        self._variables: tuple[tuple[str, str], ...] = ()
        self._recursion = sys.getrecursionlimit()
        self._listen()

    @property
    def namespace(self) -> dict[str, Any]:
        """Globals of every Cell."""
        return self.module.__dict__

    def give(self, names: Mapping[str, Any], lazy: Mapping[str, Callable[[], Any]]) -> None:
        """What every Cell sees; ``lazy`` ones are made when a Cell's code names them."""
        self.given = {"FINAL": self.final, "FINAL_VAR": self._final_var, "reset": _reset, **names}
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

    def _give_back(self) -> None:
        """What a Cell has deleted of what is given is there again."""
        for name in self.given.keys() - self.namespace.keys() - self._lazy.keys():
            self.namespace[name] = self.given[name]

    def variables(self) -> dict[str, Any]:
        """What Cells have made: neither given nor private."""
        return {
            name: value
            for name, value in self.namespace.items()
            if _is_a_name(name) and not (name in self.given and value is self.given[name])
        }

    def run(self, number: int, code: str, timeout_seconds: float) -> Done:
        """Run a Cell to its end, whatever it is."""
        self.cell = number
        self._give_back()
        self.output.begin()
        self._final, self._variables = None, ()
        sys.stdout = sys.stderr = self.output
        try:
            ending = self.limited(lambda: self._ended(number, code), timeout_seconds)
        except BaseException as error:  # noqa: BLE001  # the Cell executor: also what telling of it may raise
            self._tidy()
            is_stopped = isinstance(error, CellTimeout | KeyboardInterrupt)
            self.output.say(one_line_of(error) if is_stopped else f"{one_line_of(error)}\n{BROKEN_HINT}")
            ending = Ending.INTERRUPTED if is_stopped else Ending.ERROR
        return self._done(ending)

    def mark(self, name: str) -> None:
        """Tell the host which variable is worked at."""
        self.output.mark(name)

    def limited(self, work: Callable[[], T], seconds: float) -> T:
        """Run Cells' code: past its time, or on an interrupt, ``CellTimeout`` or ``KeyboardInterrupt`` is raised in it.

        Raises:
            BaseException: whatever the work raises.
        """
        self._told, self._is_heard, self._is_whole = None, False, False
        self._listen()
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, _NUDGE_SECONDS)
            return _within(work)
        finally:
            self._listen()

    def _listen(self) -> None:
        """Have all signals come here, whatever a Cell has set."""
        signal.signal(signal.SIGALRM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        """Raise in what runs, if anything does; what must not be broken off is told behind it."""
        if self._told is None:
            self._told = CellTimeout if number == signal.SIGALRM else KeyboardInterrupt
        if not self._is_heard and not self._is_whole and _is_within(frame):
            raise self._told(_TOLD[self._told])

    def calling(self, exchange: Callable[[], T]) -> T:
        """Run ``exchange`` with the host, which half done could not be taken up again, to its end.

        A signal meanwhile is raised behind it. There is always room in the stack for it, or none is asked of the host.
        """
        limit = sys.getrecursionlimit()
        _has_room()
        self._is_whole = True
        try:
            sys.setrecursionlimit(limit + _ROOM_FRAMES)
            return exchange()
        finally:
            sys.setrecursionlimit(limit)
            self._is_whole = False
            if self._told is not None and not self._is_heard:
                raise self._told(_TOLD[self._told])

    def _ended(self, number: int, code: str) -> Ending:
        ending = self._stopped(number, code)
        self._is_heard = True
        self._tidy()
        self._variables = self._told_variables()
        return ending

    def _stopped(self, number: int, code: str) -> Ending:
        try:
            self._execute(code, f"<cell {number}>")
            self.output.flush()
        except _Final:
            return Ending.FINAL
        except _Reset:
            self.clear()
            return Ending.RESET
        except (CellTimeout, KeyboardInterrupt) as error:
            self._is_heard = True
            self.output.say(explained(error))
            return Ending.INTERRUPTED
        except SystemExit as error:
            self.output.say(f"SystemExit: {error.code} (a Cell need not exit; its variables are kept)")
            return Ending.ERROR
        except BaseException as error:  # noqa: BLE001  # the Cell executor: whatever the code raised is its answer
            self.output.say(explained(error))
            return Ending.ERROR
        return Ending.OK if self._final is None else Ending.FINAL

    def _execute(self, code: str, name: str) -> None:
        code = code.removeprefix("\ufeff")  # of a file that was pasted
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        tree = ast.parse(code, name)
        last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        body = ast.Module(body=tree.body[:-1] if last is not None else tree.body, type_ignores=[])
        compiled = compile(body, name, "exec", dont_inherit=True)
        value_of = None if last is None else compile(ast.Expression(last.value), name, "eval", dont_inherit=True)
        self._make_lazy(_names(compiled) | (_names(value_of) if value_of is not None else set()))
        exec(compiled, self.namespace)  # noqa: S102  # this is what the Jail is for
        value = None if value_of is None else eval(value_of, self.namespace)  # noqa: S307  # as above
        if value is not None:
            self.output.write(displayed(value) + "\n")

    def _make_lazy(self, names: set[str]) -> None:
        """Make the lazy names that the code uses, unless a Cell has made them its own; anew where they are stale."""
        made = self.given.keys() & self.namespace.keys() - self._stale
        unmade = self._lazy.keys() - made
        wanted = unmade & names
        if unmade - wanted:
            wanted |= unmade & set().union(*(_names(code) for code in _codes(self.namespace.values())))
        for name in wanted:
            if name not in self.namespace or self.namespace[name] is self.given.get(name):
                self.namespace[name] = self.given[name] = self._lazy[name]()
            self._stale.discard(name)

    def outdate(self) -> None:
        """What the lazy names stand for has changed."""
        self._stale = {name for name in self._lazy if name in self.given}

    def final(self, value: object) -> NoReturn:
        """End the Cell with this value as the answer."""
        if value is None:
            raise TypeError("FINAL(None) is no answer; give a text or a value")
        self._final = str.__str__(value) if isinstance(value, str) else displayed(value)
        raise _Final

    def _final_var(self, name: object) -> NoReturn:
        """End the Cell with the value of the variable of that name as the answer."""
        if not isinstance(name, str) or len(name) > _NAME_CHARS:
            raise TypeError("FINAL_VAR takes a variable's name, FINAL_VAR('answer'); FINAL(answer) takes its value")
        if name not in self.namespace:
            raise NameError(f"FINAL_VAR: there is no variable {name!r}")
        self.final(self.namespace[name])

    def _tidy(self) -> None:
        """Undo what one Cell may set in the interpreter and what would break the next."""
        sys.settrace(None)
        sys.setprofile(None)
        if sys.getrecursionlimit() < self._recursion:
            sys.setrecursionlimit(self._recursion)

    def _done(self, ending: Ending) -> Done:
        start = -1
        try:
            self.output.flush()
            if ending is Ending.FINAL and self._final is not None:
                start = self.output.written_bytes
                self.output.write(self._final)
                self.output.flush()
        except OutputTooLong as error:
            if ending is Ending.FINAL:
                self.output.say(f"OutputTooLong: FINAL: {error}")
                ending, start = Ending.ERROR, -1
        return Done(
            number=self.cell,
            ending=ending,
            written_bytes=self.output.written_bytes,
            lost_bytes=self.output.lost_bytes,
            final_start=start,
            variables=self._variables,
        )

    def _told_variables(self) -> tuple[tuple[str, str], ...]:
        """The latest variables; what was only imported is not told."""
        found = [(name, value) for name, value in self.variables().items() if not is_imported(value)]
        return tuple((name, kind_of(value)) for name, value in found[-_VARIABLES:])


def _within(work: Callable[[], T]) -> T:
    """Stands in the stack wherever a signal may raise."""
    return work()


def _is_within(frame: types.FrameType | None) -> bool:
    if frame is not None and frame.f_code is Output.put.__code__:
        return False  # or text would be lost or doubled; the next nudge comes soon
    while frame is not None and frame.f_code is not _within.__code__:
        frame = frame.f_back
    return frame is not None


def _has_room(calls: int = 3) -> None:
    """Raise RecursionError here where there is no room for so many calls more."""
    if calls:
        _has_room(calls - 1)


def _reset() -> NoReturn:
    """End the Cell and throw all variables away."""
    raise _Reset


def _is_a_name(name: object) -> bool:
    """Whether a global of that name is a variable: Cells may set any key."""
    return type(name) is str and len(name) <= _NAME_CHARS and name.isidentifier() and not name.startswith("_")


def _codes(values: Iterable[object]) -> Iterator[types.CodeType]:
    """Code of the functions and classes that Cells have made."""
    for value in values:
        if type(value) is types.FunctionType and value.__module__ == "__main__":
            yield value.__code__
        elif type(value) is staticmethod or type(value) is classmethod:
            yield from _codes((value.__func__,))
        elif type(value) is property:
            yield from _codes((value.fget, value.fset))
        elif issubclass(type(value), type) and not is_imported(value):
            yield from _codes(list(own_attributes(value).values()))


def _names(code: types.CodeType) -> set[str]:
    """Every name the code uses, at any depth."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found
