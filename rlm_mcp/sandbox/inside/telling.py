"""How values, variables and failures are told in words."""

from __future__ import annotations

import sys
import traceback
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

_VALUE_CHARS = 1_000_000
"""A value is shown up to here; a longer one is worth a variable."""
_FRAMES = 12
_CHAINED = 5
"""Exceptions behind an exception whose frames are shown."""
_NAME_CHARS = 100
_LONG_BITS = 200
BROKEN_HINT = "(A Cell may have broken the interpreter itself; reset() begins anew.)"
_JAIL_HINT = (
    "(The Jail has no network, no processes, no threads and no files but the repository, read-only; "
    "use session, repo, docs.)"
)
_HINTS: Mapping[type[BaseException], str] = {
    MemoryError: "(The Repl's limit of main storage; work on parts, and del what is no longer needed.)",
    PermissionError: _JAIL_HINT,
    ChildProcessError: _JAIL_HINT,
    FileNotFoundError: "(Files are those of the repository: repo.read(path), or open(f'{repo.root}/{path}').)",
}


class OutputTooLong(Exception):
    """A Cell printed more than is kept."""

    __module__ = "builtins"  # as a traceback should name it


_SIGNS_OF_BREAKAGE = (TypeError, AttributeError, NameError, ImportError)
"""Where one of these comes from no line of a Cell, what runs Cells is not what it was."""


def displayed(value: object) -> str:
    """A value as a person would have it: text of several lines as it is, all else by ``repr``; cut where endless."""
    text = value if isinstance(value, str) and "\n" in value else repr(value)
    return cut(text, _VALUE_CHARS)


def kind_of(value: object) -> str:
    """What a variable is, in a few words: ``list, 1,200``. Runs no code of its class, which may be a Cell's."""
    kind = type(value)
    name = "list" if issubclass(kind, list) else str(type.__dict__["__name__"].__get__(kind))[:_NAME_CHARS]
    for plain, words in _IN_WORDS.items():
        if issubclass(kind, plain):
            return clean(f"{name}, {words(value)}")
    return clean(name)


_IN_WORDS: Mapping[type, Callable[[Any], str]] = {
    str: lambda value: f"{str.__len__(value):,} characters",
    list: lambda value: f"{list.__len__(value):,}",
    tuple: lambda value: f"{tuple.__len__(value):,}",
    dict: lambda value: f"{dict.__len__(value):,}",
    set: lambda value: f"{set.__len__(value):,}",
    frozenset: lambda value: f"{frozenset.__len__(value):,}",
    bytes: lambda value: f"{bytes.__len__(value):,}",
    bytearray: lambda value: f"{bytearray.__len__(value):,}",
    bool: bool.__repr__,
    int: lambda value: int.__repr__(value) if int.bit_length(value) < _LONG_BITS else "long",
    float: float.__repr__,
}


def clean(text: str) -> str:
    """Text of whole characters, as the host takes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut(text: str, most: int) -> str:
    """Head and tail of a text, with what was left out between."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} of {len(text):,} characters left out ...\n{text[-half:]}"


def speak_briefly() -> None:
    """Have warnings, and failures that nothing could catch, told in a line each: where ours stands is of no use."""
    warnings.formatwarning = _warning  # type: ignore[assignment]  # of any line
    sys.unraisablehook = _unraisable


def _warning(
    message: Warning | str, category: type[Warning], filename: str, line_number: int, _line: object = None
) -> str:
    where = f"{filename}:{line_number}: " if filename.startswith("<cell ") else ""
    return f"{where}{category.__name__}: {message}\n"


def _unraisable(told: sys.UnraisableHookArgs) -> None:
    if told.exc_value is not None:
        print(f"Exception ignored in {told.object!r}: {one_line_of(told.exc_value)}")  # noqa: T201  # a Cell's output


def explained(error: BaseException) -> str:
    """The traceback without frames that are not a Cell's."""
    try:
        told = traceback.TracebackException.from_exception(error, compact=True)
    except (MemoryError, RecursionError):
        return one_line_of(error)
    _keep_cells(told, depth=0)
    lines = "".join(told.format(chain=True)).rstrip("\n")
    hint = next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), "")
    if not told.stack and isinstance(error, _SIGNS_OF_BREAKAGE) and not _is_of_display(error):
        hint = BROKEN_HINT
    return f"{lines}\n{hint}" if hint else lines


def _keep_cells(told: traceback.TracebackException, depth: int) -> None:
    frames = [frame for frame in told.stack if frame.filename.startswith("<cell ")]
    if len(frames) > _FRAMES:
        frames = frames[: _FRAMES // 4] + frames[-_FRAMES * 3 // 4 :]
    told.stack = traceback.StackSummary.from_list(frames)
    for further in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if further is not None and depth < _CHAINED:
            _keep_cells(further, depth + 1)
        elif further is not None:
            further.stack = traceback.StackSummary()


def _is_of_display(error: BaseException) -> bool:
    """Whether it was raised where a value was to be shown: then the value's ``__repr__`` is at fault."""
    return any(frame.f_code is displayed.__code__ for frame, _line in traceback.walk_tb(error.__traceback__))


def one_line_of(error: BaseException) -> str:
    """What happened, without where."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def is_imported(value: object) -> bool:
    """A module, or a class or function that no Cell made. Asks the value itself nothing: its class may be a Cell's."""
    kind = type(value)
    if kind is types.FunctionType or kind is types.BuiltinFunctionType:
        return bool(value.__module__ != "__main__")
    if issubclass(kind, type):
        return own_attributes(value).get("__module__") != "__main__"
    return issubclass(kind, types.ModuleType)


def own_attributes(kind: object) -> Mapping[str, Any]:
    """What a class itself has, without asking its metaclass."""
    found: Mapping[str, Any] = type.__dict__["__dict__"].__get__(kind)
    return found
