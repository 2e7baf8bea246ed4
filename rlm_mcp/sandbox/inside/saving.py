"""Variables as pickles, so that they outlive the child: written and read inside the Jail alone.

All variables go through one Pickler, so that what two of them share is still shared afterwards; each has a place of its
own in the file, so that one that cannot be saved costs no other. cloudpickle takes functions and classes made in Cells
by value; here their globals are the namespace itself, before and after.
"""

from __future__ import annotations

import errno
import os
import pickle
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import cloudpickle

from rlm_mcp.sandbox.wire import Restored, Saved

_WHY_CHARS = 300
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_BUFFER_BYTES = 1 << 20


class Given(Protocol):
    """What the host gives to Cells: never pickled, but named, and found again by that name."""

    def name_of(self, value: object) -> str:
        """Its name; empty where it is not given."""

    def named(self, name: str) -> object:
        """What has that name."""


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where variables come from and go to: one a process, because what a pickle calls has no other way to know it."""

    namespace: dict[str, Any] = field(default_factory=dict)
    given: Given | None = None


_PLACE = _Place()


def begin(namespace: dict[str, Any], given: Given) -> None:
    """Whose variables are saved and restored."""
    _PLACE.namespace, _PLACE.given = namespace, given


class _Named:
    """Stands in a pickle for something given."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self.name,)


def _named(name: str) -> object:
    assert _PLACE.given is not None
    return _PLACE.given.named(name)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle ships no types
    """Takes functions of the namespace without their globals, and what is given by its name."""

    def reducer_override(self, value: Any) -> Any:
        """See ``pickle.Pickler``; asked for every value but those of the built-in types."""
        if type(value) is types.FunctionType and value.__globals__ is _PLACE.namespace:
            filled = (
                tuple(_contents(cell) for cell in value.__closure__ or ()),
                value.__defaults__,
                value.__kwdefaults__,
                value.__dict__,
                value.__annotations__,
                value.__qualname__,
                value.__doc__,
            )
            return _function, (value.__code__, value.__name__), filled, None, None, _fill
        name = _name_of(value)
        return (_named, (name,)) if name else super().reducer_override(value)


def _name_of(value: object) -> str:
    return _PLACE.given.name_of(value) if _PLACE.given is not None else ""


def _function(code: types.CodeType, name: str) -> types.FunctionType:
    """A function whose globals are the namespace; its closure is still empty."""
    cells = tuple(types.CellType() for _name in code.co_freevars)
    return types.FunctionType(code, _PLACE.namespace, name, None, cells)


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    """What a closure's cell holds; nothing where it is empty."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _fill(function: types.FunctionType, filled: tuple[Any, ...]) -> None:
    """The rest of a function, once it is there to be referred to."""
    contents, defaults, keyword_defaults, attributes, annotations, qualname, doc = filled
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        if content:
            cell.cell_contents = content[0]
    function.__defaults__ = defaults
    function.__kwdefaults__ = keyword_defaults
    function.__dict__.update(attributes)
    function.__annotations__ = annotations
    function.__qualname__ = qualname
    function.__doc__ = doc


def save(descriptor: int, variables: Mapping[str, Any]) -> Saved:
    """Pickle the variables into the file; those that cannot be are named with the reason."""
    unsaved: dict[str, str] = {}
    while True:
        try:
            places, failed = _saved(descriptor, variables, unsaved)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            return Saved(variables=(), unsaved=(), complaint=str(error))
        if not failed:
            return Saved(variables=tuple(places), unsaved=tuple(unsaved.items()))
        unsaved.update(failed)


def _saved(
    descriptor: int, variables: Mapping[str, Any], skipped: Mapping[str, str]
) -> tuple[list[tuple[str, int, int]], dict[str, str]]:
    """Places of the variables; or the one that failed and why, after which the Pickler is of no more use."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    places: list[tuple[str, int, int]] = []
    with open(descriptor, "wb", buffering=_BUFFER_BYTES, closefd=False) as file:
        pickler = _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL)
        for name, value in variables.items():
            if name in skipped:
                continue
            start = file.tell()
            given = _name_of(value)
            try:
                pickler.dump(_Named(given) if given else value)
            except Exception as error:  # noqa: BLE001  # whatever a value's own pickling raises
                if isinstance(error, OSError) and error.errno in _NO_ROOM:
                    raise
                return [], {name: f"{type(error).__name__}: {error}"[:_WHY_CHARS]}
            places.append((name, start, file.tell() - start))
    return places, {}


def restore(descriptor: int, places: list[tuple[str, int, int]]) -> Restored:
    """Put the saved variables into the namespace; those that cannot be are named with the reason."""
    lost: dict[str, str] = {}
    with open(descriptor, "rb", buffering=_BUFFER_BYTES, closefd=False) as file:
        unpickler = pickle.Unpickler(file)
        for name, start, _length in places:
            file.seek(start)
            try:
                _PLACE.namespace[name] = unpickler.load()
            except Exception as error:  # noqa: BLE001  # whatever a value's own unpickling raises
                lost[name] = f"{type(error).__name__}: {error}"[:_WHY_CHARS]
    return Restored(lost=tuple(lost.items()))
