"""Whatever a child sends, the host gets a message whose every field is what it must be, or one of two errors."""

import json
import socket
import struct
import threading
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_mcp.sandbox import messages, wire
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.wire import WireBroken

_NAMES = st.text(st.characters(codec="utf-8"), max_size=40)
_VARIABLES = _NAMES.filter(str.isidentifier) | st.sampled_from(("x", "\u00e4", "a1"))
_LINES = _NAMES.filter(str.isprintable)
_COUNTS = st.integers(0, (1 << 53) - 1)
_PAIRS = st.lists(st.tuples(_VARIABLES, _LINES), max_size=5).map(tuple)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)
_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_MESSAGES = st.one_of(
    st.builds(messages.Ready, layers=st.lists(_LINES, max_size=5).map(tuple)),
    st.builds(messages.Refused, message=_LINES),
    st.builds(messages.Call, name=_NAMES, arguments=st.dictionaries(_NAMES, _JSON, max_size=5)),
    st.builds(
        messages.Done,
        number=_COUNTS,
        ending=st.sampled_from(Ending),
        written_bytes=_COUNTS,
        lost_bytes=_COUNTS,
        final_start=st.integers(-1, (1 << 53) - 1),
        variables=_PAIRS,
    ),
    st.builds(
        messages.Saved,
        variables=st.lists(st.tuples(_VARIABLES, _COUNTS, _COUNTS), max_size=5).map(tuple),
        unsaved=_PAIRS,
        complaint=_LINES,
    ),
    st.builds(messages.Restored, lost=_PAIRS),
)
_FIELDS = (
    "kind", "number", "layers", "message", "name", "arguments", "ending", "written_bytes", "lost_bytes", "final_start",
    "variables", "unsaved", "complaint", "lost",
)  # fmt: skip
_KINDS = ("Ready", "Refused", "Call", "Done", "Saved", "Restored", "Run", "Value")


def _received(sent: bytes) -> messages.FromChild | None:
    """What the host makes of it; None for an error it may be."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=_send, args=(theirs, sent))
        sender.start()
        try:
            found, descriptors = wire.receive(ours, max_bytes=1 << 20, deadline=time.monotonic() + 5)
            assert descriptors == ()
            return wire.from_child(found)
        except (WireBroken, TimeoutError):
            return None
        finally:
            ours.close()
            sender.join()


def _send(end: socket.socket, sent: bytes) -> None:
    try:
        end.sendall(sent)
    except OSError:
        return  # the host would not have more
    finally:
        end.close()


def _is_whole(message: messages.FromChild) -> bool:
    """Whether it could have been sent: then every field is of its type."""
    frame = wire.framed(message)
    return wire.framed(wire.from_child(json.loads(frame[4:]))) == frame


@given(message=_MESSAGES)
def test_every_message_survives_the_wire(message: messages.FromChild) -> None:
    """It is the same at the other end."""
    assert _received(wire.framed(message)) == message


@given(sent=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_broken_wire(sent: bytes) -> None:
    """Nothing else is raised."""
    found = _received(sent)
    assert found is None or _is_whole(found)


@given(body=st.binary(max_size=200))
def test_any_bytes_in_a_frame_are_a_message_or_a_broken_wire(body: bytes) -> None:
    """Nothing else is raised."""
    assert _received(struct.pack(">I", len(body)) + body) is None


@given(found=st.dictionaries(st.sampled_from(_FIELDS) | st.text(), _ANY_JSON, max_size=8))
def test_any_object_is_a_message_or_a_broken_wire(found: dict[str, Any]) -> None:
    """Nothing else is raised."""
    body = json.dumps(found).encode()
    received = _received(struct.pack(">I", len(body)) + body)
    assert received is None or _is_whole(received)


@given(
    message=_MESSAGES,
    changes=st.dictionaries(
        st.sampled_from(_FIELDS), _ANY_JSON | st.sampled_from(_KINDS) | _COUNTS, min_size=1, max_size=2
    ),
)
@settings(max_examples=300)
def test_a_changed_message_is_a_message_or_a_broken_wire(message: messages.FromChild, changes: dict[str, Any]) -> None:
    """Nothing else is raised, and what comes through has every field as it must be."""
    body = json.dumps(json.loads(wire.framed(message)[4:]) | changes).encode()
    received = _received(struct.pack(">I", len(body)) + body)
    assert received is None or _is_whole(received)


@given(message=_MESSAGES, cut=st.integers(0, 10_000))
def test_a_cut_message_is_no_message(message: messages.FromChild, cut: int) -> None:
    """However far it came."""
    frame = wire.framed(message)
    assert _received(frame[: cut % len(frame)]) is None


@given(messages=st.lists(_MESSAGES, min_size=2, max_size=4))
def test_what_follows_a_message_lies_there_still(messages: list[messages.FromChild]) -> None:
    """One frame is taken at a time; that there is more can be seen."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(map(wire.framed, messages)))
        for message in messages:
            assert wire.has_more(ours)
            found, _descriptors = wire.receive(ours, max_bytes=1 << 20, deadline=time.monotonic() + 5)
            assert wire.from_child(found) == message
        assert not wire.has_more(ours)
