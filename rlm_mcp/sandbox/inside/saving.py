"""Variables as pickles, so that they outlive the child: written and read inside the Jail alone.

All variables go through one Pickler, so that what two of them share is still shared afterwards; each has a place of its
own in the file, so that one that cannot be saved costs no other, and one that cannot be restored only those that share
something with it. cloudpickle takes functions and classes made in Cells by value; here their globals are the namespace
itself, before and after.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, Protocol

import cloudpickle  # type: ignore[import-untyped]  # it ships none

from rlm_mcp.sandbox.inside.cell import CellTimeout
from rlm_mcp.sandbox.inside.telling import clean
from rlm_mcp.sandbox.messages import MORE, SLOW, Restored, Saved

_LEAVES, _PUTS = frozenset({"GLOBAL", "BINUNICODE", "BINBYTES", "SHORT_BINBYTES"}), frozenset({"BINPUT", "LONG_BINPUT"})
_PROTOCOL = 3
"""The last whose pickles name each place of their memo, so that one can be left out when they are read."""
_VARIABLES = 9_000
_UNSAVED = 200
"""Named of those that cannot be saved or restored."""
_WHY_CHARS = 300
_LINE_BYTES = 1 << 16


_CACHED = type(lru_cache(lambda: None))


class Given(Protocol):
    """What the host gives to Cells: never pickled, but named, and found again by that name."""

    def name_of(self, value: object) -> str:
        """Its name; empty where it is not given."""

    def named(self, name: str) -> object:
        """What has that name."""


class Place(Protocol):
    """Where variables come from and go to."""

    @property
    def namespace(self) -> dict[str, Any]:
        """Their globals."""

    def mark(self, name: str) -> None:
        """Tell the host which one is worked at."""

    def limited(self, work: Callable[[], object], seconds: float) -> object:
        """Run what Cells have made; raises past its time."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """One a process, because what a pickle calls has no other way to know it."""

    place: Place | None = None
    given: Given | None = None
    slow: dict[str, Any] = field(default_factory=dict)
    """Variables that took too long to save; not tried again while they are the same."""


_KNOWN = _Known()


def begin(place: Place, given: Given) -> None:
    """Whose variables are saved and restored."""
    _KNOWN.place, _KNOWN.given = place, given


def _namespace() -> dict[str, Any]:
    assert _KNOWN.place is not None
    return _KNOWN.place.namespace


def _mark(name: str) -> None:
    assert _KNOWN.place is not None
    _KNOWN.place.mark(name)


def _tried(work: Callable[[], object], seconds: float) -> str:
    """Why the work, which may run any code of Cells, failed; empty where it did not."""
    assert _KNOWN.place is not None
    try:
        _KNOWN.place.limited(work, seconds)
    except CellTimeout:
        return f"{SLOW} {seconds:g} s"
    except BaseException as error:  # noqa: BLE001  # the Cell executor: whatever a value's own pickling raises
        return _why(error)
    return ""


def _why(error: BaseException) -> str:
    try:
        return clean(f"{type(error).__name__}: {error}"[:_WHY_CHARS])
    except BaseException:  # noqa: BLE001  # as above: an exception's own text
        return "it raised what cannot be told"


class _Named:
    """Stands in a pickle for something given."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self.name,)


def _named(name: str) -> object:
    assert _KNOWN.given is not None
    return _KNOWN.given.named(name)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle ships no types
    """Takes functions of the namespace without their globals, and what is given by its name."""

    def reducer_override(self, value: Any) -> Any:
        """See ``pickle.Pickler``; asked for every value but those of the built-in types."""
        if type(value) is types.FunctionType and value.__globals__ is _namespace():
            filled = (
                tuple(_contents(cell) for cell in value.__closure__ or ()),
                value.__defaults__,
                value.__kwdefaults__,
                value.__dict__,
                value.__annotations__,
                value.__qualname__,
                value.__module__,
                value.__doc__,
            )
            return _function, (value.__code__, value.__name__), filled, None, None, _fill
        if type(value) is io.TextIOWrapper:
            raise TypeError("an open file cannot be saved")  # cloudpickle would keep what it says
        if type(value) is _CACHED and value.__wrapped__.__module__ == "__main__":
            return _cached, (value.__wrapped__, value.cache_parameters())
        name = _name_of(value)
        if type(value) is memoryview and not name:
            return memoryview, (bytes(value),)
        return (_named, (name,)) if name else super().reducer_override(value)


def _name_of(value: object) -> str:
    assert _KNOWN.given is not None
    return _KNOWN.given.name_of(value)


def _function(code: types.CodeType, name: str) -> types.FunctionType:
    """A function whose globals are the namespace; its closure is still empty."""
    cells = tuple(types.CellType() for _name in code.co_freevars)
    return types.FunctionType(code, _namespace(), name, None, cells)


def _cached(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """A function behind ``functools.lru_cache``; its cache is empty."""
    cached: Callable[..., Any] = lru_cache(**parameters)(function)
    return cached


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    """What a closure's cell holds; nothing where it is empty."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _fill(function: types.FunctionType, filled: tuple[Any, ...]) -> None:
    """The rest of a function, once it is there to be referred to."""
    contents, defaults, keyword_defaults, attributes, annotations, qualname, module, doc = filled
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        if content:
            cell.cell_contents = content[0]
    function.__defaults__ = defaults
    function.__kwdefaults__ = keyword_defaults
    function.__dict__.update(attributes)
    function.__annotations__ = annotations
    function.__qualname__ = qualname
    function.__module__ = module
    function.__doc__ = doc


class _Sink:
    """Where pickles go: a file, or nowhere."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.written_bytes = 0
        self.error: OSError | None = None

    def clear(self) -> None:
        """Begin anew."""
        if self._descriptor is not None:
            try:
                os.ftruncate(self._descriptor, 0)
                os.lseek(self._descriptor, 0, os.SEEK_SET)
            except OSError as error:
                self.error = error

    def write(self, content: Any) -> int:
        """Take bytes, or anything that holds some."""
        view = memoryview(content).cast("B")
        count = len(view)
        while view and self._descriptor is not None:
            try:
                written = os.write(self._descriptor, view)
            except OSError as error:
                self.error = error
                raise
            view = view[written:]
        self.written_bytes += count
        return count


def save(descriptor: int, variables: Mapping[str, Any], seconds: float) -> Saved:
    """Pickle the variables into the file; those that cannot be in so many seconds are named with the reason."""
    wanted = dict(list(variables.items())[-_VARIABLES:])
    slow = _KNOWN.slow = {name: value for name, value in _KNOWN.slow.items() if wanted.get(name) is value}
    unsaved = dict.fromkeys(slow, f"{SLOW} {seconds:g} s")
    while True:
        sink = _Sink(descriptor)
        sink.clear()
        places, failed = _saved(sink, {name: wanted[name] for name in wanted if name not in unsaved}, seconds)
        if sink.error is not None:
            return Saved(variables=(), unsaved=(), complaint=str(sink.error)[:_WHY_CHARS])
        unsaved.update(failed)
        slow.update((name, wanted[name]) for name, why in failed.items() if why.startswith(SLOW))
        if not failed:
            return Saved(variables=tuple(places), unsaved=_named_at_most(unsaved, len(variables) - len(wanted)))


def _saved(
    sink: _Sink, variables: Mapping[str, Any], seconds: float
) -> tuple[list[tuple[str, int, int]], dict[str, str]]:
    """Places of the variables; or those that cannot be saved, with the reason.

    What a failed one has in common with others is lost with it, so that all has to be written again without it.
    """
    places: list[tuple[str, int, int]] = []
    failed: dict[str, str] = {}
    pickler = _Pickler(sink, protocol=_PROTOCOL)
    for name, value in variables.items():
        start = sink.written_bytes
        _mark(name)
        why = _tried(partial(_dump, pickler, value), seconds)
        if sink.error is not None:
            break
        if why:
            failed[name] = why
            pickler = _Pickler(_Sink(None), protocol=_PROTOCOL)  # the rest is only tried
        elif not failed:
            places.append((name, start, sink.written_bytes - start))
    return places, failed


def _dump(pickler: _Pickler, value: object) -> None:
    given = _name_of(value)
    pickler.dump(_Named(given) if given else value)


def _named_at_most(unsaved: Mapping[str, str], more: int) -> tuple[tuple[str, str], ...]:
    """The first of them, and a word on the rest."""
    named = tuple(unsaved.items())
    left_out = len(named) - len(named[:_UNSAVED]) + more
    return (*named[:_UNSAVED], *([(MORE, f"{left_out:,} variables more")] if left_out else []))


class _Source:
    """Where pickles come from, one at a time: an Unpickler reads ahead, and would keep what belongs to the next."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._content: bytes | None = None
        self._at = self._end = 0

    def begin(self, start: int, length: int) -> None:
        """The next pickle lies there in the file."""
        self._content, self._at, self._end = None, start, start + length

    def begin_with(self, content: bytes) -> None:
        """This is the next pickle."""
        self._content, self._at, self._end = content, 0, len(content)

    def peek(self, count: int) -> bytes:
        """Bytes that are read next, at most so many."""
        count = min(count, self._end - self._at)
        if self._content is not None:
            return self._content[self._at : self._at + count]
        return os.pread(self._descriptor, count, self._at)

    def read(self, count: int) -> bytes:
        """As many bytes, or all there are."""
        found = self.peek(count)
        self._at += len(found)
        return found

    def readline(self) -> bytes:
        """Up to a line end. Pickles of our protocol have short lines alone."""
        found = self.peek(_LINE_BYTES).partition(b"\n")
        return self.read(len(found[0]) + len(found[1]))


def restore(
    descriptor: int, places: list[tuple[str, int, int]], seconds: float, left_out: Collection[str] = ()
) -> Restored:
    """Put the saved variables into the namespace, but for those left out; name those that cannot be, with the reason.

    One that fails may leave half-made things behind, so all is read again without it; what shares something with it
    then fails as well.
    """
    lost: dict[str, str] = {}
    leaves = {place[0]: _leaves(descriptor, place, seconds) for place in places if place[0] in left_out}
    while True:
        failed = _restored(descriptor, places, seconds, leaves)
        if failed is None:
            return Restored(lost=_named_at_most(lost, 0))
        place, lost[failed[0][0]] = failed
        leaves[place[0]] = _leaves(descriptor, place, seconds)


def _leaves(descriptor: int, place: tuple[str, int, int], seconds: float) -> bytes:
    """What is read of a variable that cannot be had: what others may share with it."""
    _name, start, length = place
    found: list[bytes] = []
    _tried(partial(_find_leaves, os.pread(descriptor, length, start), found), seconds)
    return b"".join((*found, pickle.NONE, pickle.STOP))


def _restored(
    descriptor: int, places: list[tuple[str, int, int]], seconds: float, leaves: Mapping[str, bytes]
) -> tuple[tuple[str, int, int], str] | None:
    """The first that cannot be restored, and why. Of those known to fail their ``leaves`` alone are read."""
    source = _Source(descriptor)
    unpickler = pickle.Unpickler(source)  # noqa: S301  # only ever inside the Jail
    for name, start, length in places:
        if name in leaves:
            source.begin_with(leaves[name])
            _tried(unpickler.load, seconds)
            continue
        source.begin(start, length)
        _mark(name)
        why = _tried(partial(_load, unpickler, name), seconds)
        if why:
            return (name, start, length), why
    return None


def _find_leaves(content: bytes, found: list[bytes]) -> None:
    """Pieces of a pickle that put into the memo what cannot be half made: texts, bytes, and what modules have."""
    before, start = "", 0
    places = [(opcode.name, at) for opcode, _argument, at in pickletools.genops(content) if at is not None]
    for (name, at), (_next_name, end) in pairwise(places):
        if name in _PUTS and before in _LEAVES:
            found.append(content[start:end] + pickle.POP)
        before, start = name, at


def _load(unpickler: pickle.Unpickler, name: str) -> None:
    _namespace()[name] = unpickler.load()
