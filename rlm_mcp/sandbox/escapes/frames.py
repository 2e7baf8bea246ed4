"""The wire: what a child may say to its host that no honest child would say."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected


def _forged(name: str, code: str, *, expected: Expected = Expected.ENDED) -> Attempt:
    """One forgery; then an honest Cell, should the child live."""
    return Attempt(name=name, cells=("import json\n" + code, "1 + 1"), expected=expected)


_FIELDS = "'ending': 'ok', 'written_bytes': 0, 'lost_bytes': 0, 'final_start': -1, 'variables': []"
_DONE = "{'kind': 'Done', " + _FIELDS + ", **changed}"


def _done(name: str, changed: str, *, expected: Expected = Expected.ENDED) -> Attempt:
    """A Cell's end that says something it may not, or cannot know."""
    code = f"changed = {changed}\nforge(json.dumps({_DONE}).encode())\n"
    return _forged(name, code, expected=expected)


ATTEMPTS = (
    _forged("a frame of four gigabytes", "raw(bytes([255] * 4) + b'x' * 100)"),
    _forged("a frame a little too long", "raw((9 << 20).to_bytes(4, 'big') + b' ' * (9 << 20))"),
    _forged("a frame as long as it may be", "forge(b' ' * ((4 << 20) - 2) + b'{}')"),
    _forged("an empty frame", "forge(b'')"),
    _forged("no frame but noise", "raw(bytes(range(240, 256)) * 1000)"),
    _forged(
        "half a header, then the end",
        """
import os
raw(b'\\0\\0')
os._exit(0)
""",
    ),
    _forged(
        "half a frame, then the end",
        """
import os
raw((100).to_bytes(4, 'big') + b'{"kind"')
os._exit(0)
""",
    ),
    Attempt(
        name="half a frame, then silence",
        cells=(
            """
raw((1000).to_bytes(4, 'big') + b'{')
while True: pass
""",
        ),
        timeout_seconds=0.3,
        expected=Expected.ENDED,
    ),
    Attempt(
        name="a frame byte by byte, without end",
        cells=(
            """
import time
raw((1 << 20).to_bytes(4, 'big'))
while True:
    raw(b' ')
    time.sleep(0.01)
""",
        ),
        timeout_seconds=0.3,
        expected=Expected.ENDED,
    ),
    _forged("deep JSON", "forge(b'[' * 1_000_000)"),
    _forged("deep JSON, closed", "forge(b'{\"a\":' * 200_000 + b'1' + b'}' * 200_000)"),
    _forged("JSON that is no object", "forge(b'[1, 2]')"),
    _forged("JSON with a number too long to read", "forge(b'{\"kind\": ' + b'9' * 100_000 + b'}')"),
    _forged("JSON in another encoding", "forge('{\"kind\": \"Done\"}'.encode('utf-16'))"),
    _forged("bytes that are no text", "forge(b'\\xff\\xfe\\x00')"),
    _forged("JSON that is none: NaN, Infinity", 'forge(b\'{"kind": NaN, "x": Infinity}\')'),
    _forged("no kind", "forge(b'{}')"),
    _forged("a kind that is no text", 'forge(b\'{"kind": ["Done"]}\', b\'{"kind": {}}\')'),
    _forged("a message of the host", "forge(json.dumps({'kind': 'Run', 'code': '1'}).encode())"),
    _forged("ready once more", "forge(json.dumps({'kind': 'Ready', 'layers': []}).encode())"),
    _forged("refused after the fact", "forge(json.dumps({'kind': 'Refused', 'message': 'x' * 900}).encode())"),
    _forged(
        "saved what nobody asked for", "forge(json.dumps({'kind': 'Saved', 'variables': [], 'unsaved': []}).encode())"
    ),
    _forged("the end of the Cell, twice", f"changed = {{}}\nforge(*[json.dumps({_DONE}).encode()] * 2)"),
    _forged("the end of a hundred Cells to come", f"changed = {{}}\nforge(*[json.dumps({_DONE}).encode()] * 100)"),
    _done("more output than there is", "{'written_bytes': (1 << 53) - 1}", expected=Expected.ANY),
    _done("a number too large", "{'written_bytes': 1 << 60}"),
    _done("a number below zero", "{'written_bytes': -5}"),
    _done("a number that is none", "{'written_bytes': True}"),
    _done("a fraction", "{'written_bytes': 1.5}"),
    _done("an answer that begins beyond the output", "{'final_start': 1 << 40}", expected=Expected.ANY),
    _done("an ending that is none", "{'ending': 'root'}"),
    _done("too many variables", "{'variables': [['a', 'b']] * 20_000}"),
    _done("a variable's name of megabytes", "{'variables': [['a' * (2 << 20), 'b']]}"),
    _done("variables of another shape", "{'variables': [['a', 'b', 'c'], 'd', None]}"),
    _done("a field too many", "{'host': 'x'}"),
    _done("control characters", "{'variables': [['\\x1b[2J', '\\x00\\ud800']]}", expected=Expected.ANY),
    _forged(
        "calls of host functions that are none",
        """
import struct
for name in ('', 'run', '__class__', '__init__', 'read\\0', '../read', 'os.system', 'x' * 900):
    frame = json.dumps({'kind': 'Call', 'name': name, 'arguments': {}}).encode()
    forge(frame)
""",
        expected=Expected.ANY,
    ),
    _forged(
        "calls with arguments of any shape",
        """
for arguments in ({}, {'self': 1}, {'': 1}, {'ref': {'a': [None] * 1000}}, {'x' * 10_000: 'y' * (7 << 20)}):
    forge(json.dumps({'kind': 'Call', 'name': 'read', 'arguments': arguments}).encode())
""",
        expected=Expected.ANY,
    ),
    Attempt(
        name="calls without end, no answer read",
        cells=(
            """
frame = b'{"kind": "Call", "name": "x", "arguments": {}}'
while True:
    forge(frame)
""",
        ),
        timeout_seconds=0.5,
        expected=Expected.ENDED,
    ),
    Attempt(
        name="a gigabyte into the socket",
        cells=(
            """
while True:
    raw(bytes(1 << 20))
""",
        ),
        timeout_seconds=0.5,
        expected=Expected.ENDED,
    ),
    Attempt(
        name="the runner's own way of speaking, replaced",
        expected=Expected.ANY,
        cells=(
            """
import gc
from rlm_mcp.sandbox import wire
from rlm_mcp.sandbox.inside import child
honest = wire.send
def send(end, message, *more, **named):
    honest(end, wire.Done(ending='final', written_bytes=1 << 40, lost_bytes=0, final_start=0, variables=(('x', 'y'),)))
wire.send = child.wire.send = send
print('before')
""",
            "print('again')",
        ),
    ),
    Attempt(
        name="what was saved, forged",
        is_restored=True,
        expected=Expected.ANY,
        cells=(
            """
from rlm_mcp.sandbox import wire
from rlm_mcp.sandbox.inside import child, saving
places = (('a', 1 << 50, 5), ('b', 0, 1 << 52), ('__builtins__', 0, 1), ('print', 0, 1))
saving.save = child.saving.save = lambda *_: wire.Saved(variables=places, unsaved=(('c', 'x' * 900),))
kept = 1
""",
            "print(1 + 1)",
        ),
    ),
)
