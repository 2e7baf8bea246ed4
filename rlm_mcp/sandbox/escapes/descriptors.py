"""What is open already: the socket, the output file, the three that lead nowhere."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected

ATTEMPTS = (
    Attempt(
        name="every number, read",
        cells=(
            """
import os, stat
found = {}
for number in range(0, 1 << 16):
    try:
        found[number] = stat.S_IFMT(os.fstat(number).st_mode)
    except OSError:
        continue
print(found)
sockets = [number for number, kind in found.items() if kind == stat.S_IFSOCK]
files = [number for number, kind in found.items() if kind == stat.S_IFREG]
tried('more than one socket', lambda: empty(sockets[1:]))
tried('more than one file', lambda: empty(files[1:]))
tried('folders', lambda: empty([number for number, kind in found.items() if kind == stat.S_IFDIR]))
for number in set(found) - set(sockets):
    tried(str(number), lambda: empty(os.pread(number, 1000, 0)) and None or empty(None))
""",
        ),
    ),
    Attempt(
        name="standard input",
        cells=(
            """
import os, sys
tried('read', lambda: empty(os.read(0, 100)))
tried('input', lambda: input())
tried('stdin', lambda: empty(sys.stdin and sys.stdin.read()))
""",
        ),
    ),
    Attempt(
        name="standard output and error, which may be the host's own pipe",
        expected=Expected.ANY,
        cells=(
            """
import os, sys
for number in (1, 2):
    os.write(number, b'{"jsonrpc": "2.0", "method": "notifications/cancelled"}\\n' * 1000)
for stream in (sys.__stdout__, sys.__stderr__):
    if stream is not None:
        stream.write('x' * 100_000)
        stream.flush()
print('written')
""",
        ),
    ),
    Attempt(
        name="a flood into standard output and error",
        expected=Expected.ANY,
        cells=(
            """
import os
piece = bytes(1 << 20)
for number in (1, 2):
    for _ in range(500):
        os.write(number, piece)
""",
        ),
    ),
    Attempt(
        name="one number put in place of another",
        cells=(
            """
import os
number = next(wires())
for other in (0, 1, 2, 50):
    tried('dup2', lambda: os.dup2(number, other))
    tried('dup2 back', lambda: os.dup2(other, number))
""",
        ),
    ),
    Attempt(
        name="as many descriptors as there may be",
        expected=Expected.ANY,
        cells=(
            """
import os
made = []
try:
    while len(made) < 100_000:
        made.append(os.dup(0))
except OSError as error:
    print('refused: at', len(made), error)
else:
    print('ESCAPED: no limit')
for number in made:
    os.close(number)
""",
        ),
    ),
    Attempt(
        name="the socket closed",
        expected=Expected.ENDED,
        cells=(
            """
import os
for number in list(wires()):
    os.close(number)
print('closed')
""",
        ),
    ),
    Attempt(
        name="the socket's number given to another file",
        expected=Expected.ENDED,
        cells=(
            """
import os
number = next(wires())
os.close(number)
print(os.dup(0), number)
""",
        ),
    ),
    Attempt(
        name="everything closed",
        expected=Expected.ENDED,
        cells=(
            """
import os
os.closerange(0, 100_000)
for number in range(100_000):
    try:
        os.close(number)
    except OSError:
        pass
""",
        ),
    ),
    Attempt(
        name="the output file made large",
        expected=Expected.ANY,
        cells=(
            """
import os, stat
for number in range(3, 64):
    try:
        kind = os.fstat(number).st_mode
    except OSError:
        continue
    if stat.S_ISREG(kind):
        tried('endless', lambda: os.ftruncate(number, 1 << 50))
        os.ftruncate(number, 1 << 29)
        os.pwrite(number, b'forged', (1 << 29) - 10)
print('after')
""",
            "1 + 1",
        ),
    ),
    Attempt(
        name="the output file written over",
        expected=Expected.ANY,
        cells=(
            """
import mmap, os, stat
for number in range(3, 64):
    try:
        status = os.fstat(number)
    except OSError:
        continue
    if stat.S_ISREG(status.st_mode):
        os.ftruncate(number, 1 << 20)
        room = mmap.mmap(number, 1 << 20)
        room[:100] = b'\\xff' * 100
        os.ftruncate(number, 0)
print('after')
""",
            "1 + 1",
        ),
    ),
    Attempt(
        name="the output file sealed against the host",
        cells=(
            """
import fcntl, os, stat
for number in range(3, 64):
    for seals in (1, 2, 4, 8, 16, 15):
        tried('seal', lambda: fcntl.fcntl(number, 1033, seals))
    tried('lease', lambda: fcntl.fcntl(number, 1024, 1))
""",
        ),
    ),
    Attempt(
        name="descriptors sent outward",
        expected=Expected.ANY,
        cells=(
            """
import array, socket, struct
end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=next(wires()))
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 40))]
frame = b'{"kind": "Call", "name": "none", "arguments": {}}'
try:
    for _ in range(20):
        end.sendmsg([struct.pack('>I', len(frame)) + frame], rights)
finally:
    end.detach()
""",
        ),
    ),
)
