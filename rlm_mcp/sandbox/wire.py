"""The wire between host and Jail, and the one boundary between them: whatever comes from the child is hostile.

One stream socket, strict alternation. The host sends a request and then receives until the child's turn is over::

    host                       child
    SetUp                  ->
                           <-  Ready | Refused
    Run                    ->
                           <-  Call          as often as the Cell calls a host function
    Value | Failure        ->
                           <-  Done
    Save, Restore          ->
                           <-  Saved, Restored

A frame is four bytes of length (big endian) and so much JSON, an object whose ``kind`` names the message. Large values
do not go through frames: a descriptor (a memfd, or a file opened for reading) comes along by ``SCM_RIGHTS``, from the
host to the child only, and the child maps it.

A Cell can write to the socket itself, so a frame may be forged, giant, cut, deep, out of turn or of any shape. Each of
these raises :class:`WireBroken` at the host; the child is then ended and replaced. A well-formed forgery can claim
nothing that the Cell could not have computed and returned. Texts from the child are always whole characters: what is
half a surrogate pair cannot be sent. What it says of variables may reach a person or a model: names are identifiers,
and all else is one line of what can be seen, without characters that draw on a screen or turn a line around.

While JSON is parsed no other thread of the host runs, so a frame holds few values, however long its texts are.
"""

from __future__ import annotations

import array
import json
import re
import reprlib
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from rlm_mcp.sandbox.messages import (
    JSON,
    MORE,
    Call,
    Done,
    Ending,
    Failure,
    FromChild,
    FromHost,
    Ready,
    Refused,
    Restore,
    Restored,
    Run,
    Save,
    Saved,
    SetUp,
    Value,
)

MAX_FROM_CHILD = 4 << 20
"""Bytes of a frame from the child; a longer one breaks the wire."""
MAX_FROM_HOST = 64 << 20
_MAX_CALL = 128 << 10
"""Bytes of a call of any other host function than these."""
_LONG_CALLS = frozenset({"llm_query", "llm_map", "rlm_query", "give", "quotes"})
_MAX_VALUES = 200_000
"""In a frame from the child: lists, objects, and what stands in them."""
_STRUCTURE = (b"[", b"{", b",")
_JSON_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_CALLED = re.compile(rb'\{"kind": "Call", "name": "(\w{1,40})", ')
"""How a call begins, as :func:`framed` writes it."""
_MAX_NAMES = 10_000
_MAX_NAME = 100
"""Characters of a variable's name."""
_MAX_TEXT = 1_000
_MAX_DEPTH = 32
"""Of a call's arguments: lists in lists."""
_HEADER = struct.Struct(">I")
_DESCRIPTORS_BYTES = 4 * array.array("i").itemsize
_PIECE_BYTES = 1 << 20


class WireBroken(Exception):
    """The other side sent what cannot be, or is gone."""


class FrameTooLong(ValueError):
    """What is to be sent does not fit a frame."""

    __module__ = "builtins"  # as a Cell's traceback should name it


_FROM_HOST: dict[str, type[FromHost]] = {kind.__name__: kind for kind in (SetUp, Run, Value, Failure, Save, Restore)}


def send(
    end: socket.socket, message: FromHost | FromChild, descriptors: Sequence[int] = (), *, deadline: float | None = None
) -> None:
    """Send one frame; the descriptors (at most four) come along with its first byte.

    Args:
        deadline: by ``time.monotonic()``; a peer that has not read by then has broken the wire. None waits forever.

    Raises:
        FrameTooLong, TypeError, ValueError: see :func:`framed`.
        WireBroken: the other side is gone, or does not read.
    """
    send_framed(end, framed(message), descriptors, deadline=deadline)


def framed(message: FromHost | FromChild) -> bytes:
    """The frame of a message.

    Raises:
        FrameTooLong: it does not fit, or a child's holds too many values.
        TypeError, ValueError, RecursionError: a value in it is not JSON, or a child's text is no whole characters.
    """
    is_from_child = isinstance(message, FromChild)
    found = {"kind": type(message).__name__, **{f.name: getattr(message, f.name) for f in fields(message)}}
    body = json.dumps(found, ensure_ascii=not is_from_child).encode("utf-8")
    most = MAX_FROM_CHILD if is_from_child else MAX_FROM_HOST
    if len(body) > most:
        raise FrameTooLong(f"{len(body):,} bytes in one call; at most {most:,} fit")
    if is_from_child:
        check_values(body)
    if isinstance(message, Call):
        check_call(message.name, body)
    return _HEADER.pack(len(body)) + body


def check_call(name: str, body: bytes) -> None:
    """Make sure that a call of the host function of that name is not longer than what it can make use of.

    Raises:
        FrameTooLong: it is.
    """
    if len(body) > _MAX_CALL and name not in _LONG_CALLS:
        raise FrameTooLong(f"{len(body):,} bytes in one call of {name[:40]!r}; at most {_MAX_CALL:,} fit")


def check_values(body: bytes) -> None:
    """Make sure that JSON holds few enough values to be parsed at once; what stands in texts does not count.

    Raises:
        FrameTooLong: it does not.
    """
    if sum(map(body.count, _STRUCTURE)) <= _MAX_VALUES:
        return
    count = at = 0
    for text in _JSON_TEXT.finditer(body):
        count += sum(body.count(one, at, text.start()) for one in _STRUCTURE)
        at = text.end()
        if count > _MAX_VALUES:
            break
    if count + sum(body.count(one, at) for one in _STRUCTURE) > _MAX_VALUES:
        raise FrameTooLong(f"more than {_MAX_VALUES:,} values in one call; give them in several, or as one text")


def send_framed(
    end: socket.socket, frame: bytes, descriptors: Sequence[int] = (), *, deadline: float | None = None
) -> None:
    """As :func:`send`; raises ``WireBroken``."""
    view = memoryview(frame)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    while view:
        if not _ready(end, select.POLLOUT, deadline):
            raise WireBroken("the other side does not read")
        try:
            sent = end.sendmsg([view], rights, 0 if deadline is None else socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        except OSError as error:
            raise WireBroken(f"the other side is gone ({error})") from error
        view, rights = view[sent:], []


def receive(
    end: socket.socket, *, max_bytes: int, deadline: float | None = None
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """One frame as a JSON object, and the descriptors that came along (a host drops what a child sends).

    Raises:
        TimeoutError: nothing whole came by ``deadline``.
        WireBroken: it is too long, cut, not JSON or not an object, a child's holds too many values, or the other side
            is gone.
    """
    descriptors: list[int] = []
    (length,) = _HEADER.unpack(_exactly(end, _HEADER.size, deadline, descriptors))
    if length > max_bytes:
        raise WireBroken(f"a frame of {length:,} bytes; at most {max_bytes:,} are taken")
    body = _exactly(end, length, deadline, descriptors)
    if deadline is not None and length > _MAX_CALL:  # of a child
        _check_long(body)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireBroken(f"a frame that is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise WireBroken("a frame that is not an object")
    return found, tuple(descriptors)


def _check_long(body: bytes) -> None:
    """Before a long frame of a child is parsed: whether it may be so long. Raises ``WireBroken``."""
    called = _CALLED.match(body)
    try:
        if called is not None:
            check_call(called[1].decode("ascii", "replace"), body)
        check_values(body)
    except FrameTooLong as error:
        raise WireBroken(f"a frame of {error}") from error


def can_receive(end: socket.socket, deadline: float) -> bool:
    """Wait until something lies there to be received (or the other side is gone); False at the deadline."""
    return _ready(end, select.POLLIN, deadline)


def has_more(end: socket.socket) -> bool:
    """Whether something lies there unread, or the other side is gone: neither may be, when it is not its turn."""
    return _ready(end, select.POLLIN, 0.0)


def _exactly(end: socket.socket, count: int, deadline: float | None, descriptors: list[int]) -> bytes:
    found = bytearray()
    # without room the kernel drops descriptors: a host wants none
    room = socket.CMSG_SPACE(_DESCRIPTORS_BYTES) if deadline is None else 0
    while len(found) < count:
        if not _ready(end, select.POLLIN, deadline):
            raise TimeoutError
        try:
            piece, rights, _flags, _address = end.recvmsg(
                min(count - len(found), _PIECE_BYTES),
                room,
                0 if deadline is None else socket.MSG_DONTWAIT,
            )
        except BlockingIOError:
            continue
        except OSError as error:
            raise WireBroken(f"the other side is gone ({error})") from error
        for level, kind, content in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.extend(array.array("i", content[: len(content) // 4 * 4]))
        if not piece:
            raise WireBroken("the other side is gone")
        found += piece
    return bytes(found)


def _ready(end: socket.socket, event: int, deadline: float | None) -> bool:
    """Whether the socket is; without a deadline the call itself waits. One that our own side closed is broken."""
    if deadline is None:
        return True
    poll = select.poll()
    try:
        poll.register(end, event)
    except ValueError as error:  # another thread closed it
        raise WireBroken("our own side is closed") from error
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


def from_host(found: Mapping[str, Any]) -> FromHost:
    """The message of a frame from the host; the child trusts it.

    Raises:
        WireBroken: it is none.
    """
    kind = _FROM_HOST.get(found.get("kind", ""))
    if kind is None:
        raise WireBroken(f"no message {found.get('kind')!r}")
    return kind(**{name: value for name, value in found.items() if name != "kind"})


def from_child(found: Mapping[str, Any]) -> FromChild:
    """The message of a frame from the child: every field of its type and inside its limits, or it is none.

    Raises:
        WireBroken: any other shape.
    """
    fields_of = _Fields(found)
    match found.get("kind"):
        case "Ready":
            message: FromChild = Ready(layers=fields_of.lines("layers"))
        case "Refused":
            message = Refused(message=fields_of.line("message"))
        case "Call":
            message = Call(name=fields_of.text("name"), arguments=fields_of.mapping("arguments"))
        case "Done":
            message = Done(
                number=fields_of.number("number"),
                ending=fields_of.ending("ending"),
                written_bytes=fields_of.number("written_bytes"),
                lost_bytes=fields_of.number("lost_bytes"),
                final_start=fields_of.number("final_start", least=-1),
                variables=fields_of.pairs("variables"),
            )
        case "Saved":
            message = Saved(
                variables=fields_of.places("variables"),
                unsaved=fields_of.pairs("unsaved"),
                complaint=fields_of.line("complaint"),
            )
        case "Restored":
            message = Restored(lost=fields_of.pairs("lost"))
        case other:
            raise WireBroken(f"no message {reprlib.repr(other)}")
    if len(found) != len(fields(message)) + 1:
        raise WireBroken(f"a {found['kind']} with other fields than its own")
    return message


class _Fields:
    """Fields of a hostile object, each taken as what it must be."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = found

    def text(self, name: str) -> str:
        return _text(self._found.get(name), name)

    def line(self, name: str) -> str:
        return shown(self.text(name))

    def lines(self, name: str) -> tuple[str, ...]:
        return tuple(shown(_text(item, name)) for item in self._list(name))

    def number(self, name: str, *, least: int = 0) -> int:
        return _number(self._found.get(name), name, least)

    def mapping(self, name: str) -> dict[str, JSON]:
        found = self._found.get(name)
        if (
            not isinstance(found, dict)
            or not _is_shallow(found)
            or not _is_whole(json.dumps(found, ensure_ascii=False))
        ):
            raise _wrong(name, found)
        return found

    def ending(self, name: str) -> Ending:
        found = self.text(name)
        if found not in set(Ending):
            raise _wrong(name, found)
        return Ending(found)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Names of variables, and what there is to say of each."""
        return tuple(
            (key if key == MORE else _name(key, name), shown(_text(text, name))) for key, text in self._rows(name, 2)
        )

    def places(self, name: str) -> tuple[tuple[str, int, int], ...]:
        return tuple(
            (_name(key, name), _number(offset, name, 0), _number(length, name, 0))
            for key, offset, length in self._rows(name, 3)
        )

    def _rows(self, name: str, width: int) -> list[list[Any]]:
        rows = self._list(name)
        for row in rows:
            if not isinstance(row, list) or len(row) != width:
                raise _wrong(name, row)
        return rows

    def _list(self, name: str) -> list[Any]:
        found = self._found.get(name)
        if not isinstance(found, list) or len(found) > _MAX_NAMES:
            raise _wrong(name, found)
        return found


def _text(found: object, name: str) -> str:
    if not isinstance(found, str) or len(found) > _MAX_TEXT or not _is_whole(found):
        raise _wrong(name, found)
    return found


def _name(found: object, name: str) -> str:
    if not isinstance(found, str) or not is_name(found):
        raise _wrong(name, found)
    return found


def is_name(text: str) -> bool:
    """Whether a variable may be called so."""
    return len(text) <= _MAX_NAME and text.isidentifier()


def shown(text: str) -> str:
    """Text of a child as it may be shown: a blank in the place of each character that cannot be seen, or does more."""
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def _is_whole(text: str) -> bool:
    """Whether it is made of whole characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_shallow(found: object) -> bool:
    """Whether no list or object in it lies deeper than may be."""
    level = [found]
    for _depth in range(_MAX_DEPTH):
        within = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        if not within:
            return True
        level = [item for items in within for item in items]
    return False


def _number(found: object, name: str, least: int) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found < 1 << 53:
        raise _wrong(name, found)
    return found


def _wrong(name: str, found: object) -> WireBroken:
    return WireBroken(f"{name} is {reprlib.repr(found)}")
