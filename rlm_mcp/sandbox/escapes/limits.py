"""Using up what others need: storage, processor, output, the stack."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected


def _stopped(name: str, code: str, *, timeout_seconds: float = 5.0) -> Attempt:
    return Attempt(name=name, cells=(code,), expected=Expected.STOPPED, timeout_seconds=timeout_seconds)


ATTEMPTS = (
    _stopped(
        "3 GB at once",
        """
x = bytearray(3 << 30)
print('ESCAPED:', len(x))
""",
    ),
    _stopped(
        "3 GB, touched",
        """
x = b'x' * (3 << 30)
print('ESCAPED:', len(x))
""",
    ),
    _stopped(
        "storage in small pieces",
        """
kept = []
while True:
    kept.append(b'x' * (1 << 16))
""",
        timeout_seconds=20.0,
    ),
    _stopped(
        "storage mapped",
        """
import mmap
kept = []
while True:
    kept.append(mmap.mmap(-1, 1 << 28))
""",
    ),
    _stopped("a list that doubles", "x = [0]\nwhile True:\n    x += x", timeout_seconds=20.0),
    _stopped("text that is multiplied", "x = 'x' * (1 << 40)"),
    _stopped(
        "an archive that swells",
        """
import zlib
small = zlib.compress(bytes(1 << 27), 1)
kept = [zlib.decompress(small) for _ in range(100)]
""",
        timeout_seconds=2.0,
    ),
    _stopped(
        "XML that swells",
        """
import xml.etree.ElementTree as tree
lines = ['<!ENTITY a0 "' + 'x' * 1000 + '">']
lines += [f'<!ENTITY a{n} "' + f'&a{n - 1};' * 20 + '">' for n in range(1, 12)]
try:
    tree.fromstring('<!DOCTYPE x [' + ''.join(lines) + ']><x>&a11;</x>')
except tree.ParseError as error:
    print('refused:', error)
""",
    ),
    _stopped("a loop", "while True:\n    pass", timeout_seconds=0.5),
    _stopped(
        "a loop that swallows every exception",
        """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
        timeout_seconds=0.5,
    ),
    _stopped(
        "a loop in C",
        """
import itertools
sum(itertools.repeat(0))
""",
        timeout_seconds=0.5,
    ),
    _stopped(
        "a regex that explodes",
        """
import re
re.match(r'(a+)+$', 'a' * 40 + 'b')
""",
        timeout_seconds=0.5,
    ),
    _stopped("a power that is too large", "x = 7 ** (10 ** 9)", timeout_seconds=0.5),
    _stopped(
        "numbers printed that take long to write out",
        """
import sys
sys.set_int_max_str_digits(0)
while True:
    print(str(1 << 10_000_000)[:10])
""",
        timeout_seconds=0.5,
    ),
    _stopped(
        "a sort that is huge",
        """
import random
sorted(random.random() for _ in range(10 ** 9))
""",
        timeout_seconds=0.5,
    ),
    _stopped("sleep", "import time\ntime.sleep(1000)", timeout_seconds=0.3),
    _stopped(
        "a loop with the signals ignored",
        """
import signal
for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
signal.setitimer(signal.ITIMER_REAL, 0)
while True:
    pass
""",
        timeout_seconds=0.3,
    ),
    _stopped(
        "output without end",
        """
while True:
    print('x' * 1000)
""",
        timeout_seconds=10.0,
    ),
    _stopped("output at once", "print('x' * (200 << 20))", timeout_seconds=10.0),
    _stopped(
        "output that is no text",
        """
import sys
sys.stdout.write(b'x')
""",
    ),
    _stopped(
        "output written past the runner",
        """
import os
while True:
    for number in range(3, 64):
        try:
            os.write(number, b'x' * 65536)
        except OSError:
            pass
""",
        timeout_seconds=0.5,
    ),
    _stopped(
        "a value that is endless to show",
        """
class Endless:
    def __repr__(self):
        while True:
            pass
Endless()
""",
        timeout_seconds=0.5,
    ),
    Attempt(
        name="a value whose text is huge",
        cells=(
            """
class Huge:
    def __repr__(self):
        return 'x' * (100 << 20)
Huge()
""",
        ),
        expected=Expected.ANY,
    ),
    _stopped(
        "an error whose text is endless",
        """
class Endless(Exception):
    def __str__(self):
        while True:
            pass
raise Endless
""",
        timeout_seconds=0.5,
    ),
    _stopped("an error whose text is huge", "raise ValueError('x' * (100 << 20))"),
    _stopped(
        "an error with a chain without end",
        """
error = ValueError('x')
for n in range(100_000):
    further = ValueError(n)
    further.__context__ = error
    error = further
raise error
""",
        timeout_seconds=2.0,
    ),
    _stopped(
        "recursion",
        """
def deeper():
    return deeper()
deeper()
""",
    ),
    _stopped(
        "recursion without its limit",
        """
import sys
sys.setrecursionlimit(1 << 30)
def deeper(n):
    return [deeper(n + 1)]
deeper(0)
""",
        timeout_seconds=1.0,
    ),
    _stopped(
        "recursion in C",
        """
import sys
sys.setrecursionlimit(1 << 30)
x = []
for _ in range(1_000_000):
    x = [x]
repr(x)
""",
        timeout_seconds=10.0,
    ),
    _stopped("recursion of the compiler", "eval('(' * 100_000 + ')' * 100_000)"),
    _stopped(
        "recursion of comparison",
        """
import sys
sys.setrecursionlimit(1 << 30)
a, b = [], []
a.append(b)
b.append(a)
a == b
""",
        timeout_seconds=10.0,
    ),
    Attempt(
        name="a deep object, let go",
        cells=(
            """
x = None
for _ in range(1_000_000):
    x = (x,)
del x
""",
        ),
        expected=Expected.ANY,
    ),
    Attempt(
        name="more variables than anyone has",
        cells=("globals().update({f'variable_{n}': n for n in range(300_000)})", "1 + 1"),
        expected=Expected.ANY,
        timeout_seconds=10.0,
    ),
    Attempt(
        name="variables with impossible names",
        cells=("globals().update({1: 2, None: 3, 'x' * 1_000_000: 4, 'a b': 5, '\\ud800': 6, '\\x1b[2J': 7})", "1 + 1"),
        expected=Expected.ANY,
    ),
)
