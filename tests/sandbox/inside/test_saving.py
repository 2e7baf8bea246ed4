"""rlm_mcp.sandbox.inside.saving: variables come back as they were, in another process, or are named with the reason."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from rlm_mcp.errors import ReplGone
from rlm_mcp.sandbox.messages import Ending, Restored, Saved
from rlm_mcp.sandbox.repl import Handed
from tests.repls import NOBODY, Rig, opened, rigged, start


class Again:
    """Saves a Repl's variables, and restores them in another."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by again()
        self.saved: Saved | None = None
        self.restored: Restored | None = None

    def save(self, rig: Rig) -> Saved:
        self.saved = rig.repl.save(self.file.fileno())
        return self.saved

    def restore(self, rig: Rig, bindings: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Names of what is lost, and why."""
        assert self.saved is not None
        found = rig.repl.restore(rig.session, self.saved.variables, self.file.fileno(), bindings or {})
        return dict(found.lost)


@pytest.fixture
def again() -> Iterator[Again]:
    made = Again()
    with made.file:
        yield made


@contextmanager
def _restarted(rig: Rig, again: Again) -> Iterator[Rig]:
    """Another process with the variables of this one; all of them."""
    saved = again.save(rig)
    assert (saved.unsaved, saved.complaint) == ((), "")
    rig.repl.close()
    with rigged() as other:
        assert again.restore(other) == {}
        yield other


ROUND_TRIPS = {
    "plain values": ("a = [1, 2.5, 'text', b'raw', None, True, {'k': (1, {2})}, 10**50]", "a", None),
    "text of any script": ("a = '\\u00e4\\U0001f600\\x00\\ud800'", "ascii(a)", None),
    "a function": ("def f(x, y=2, *, z=3): return x + y + z", "f(1), f.__name__, f.__module__", "(6, 'f', '__main__')"),
    "recursion": ("def f(n): return 1 if n < 2 else n * f(n - 1)", "f(10)", "3628800"),
    "mutual recursion": (
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)",
        "even(11), odd(11)",
        "(False, True)",
    ),
    "a closure": (
        (
            "def counter():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n"
            "        return n\n    return up\nc = counter(); c()"
        ),
        "c(), c()",
        "(2, 3)",
    ),
    "a closure on itself": (
        "def make():\n    def f(n): return 0 if n == 0 else 1 + f(n - 1)\n    return f\nf = make()",
        "f(5)",
        "5",
    ),
    "two closures of one cell": (
        (
            "def make():\n    n = [0]\n    def up(): n[0] += 1\n    def get(): return n[0]\n"
            "    return up, get\nup, get = make()"
        ),
        "up(), get()",
        "(None, 1)",
    ),
    "an empty closure": (
        "def make():\n    def f(): return later\n    if False: later = 1\n    return f\nf = make()",
        "f.__closure__[0] is not None",
        "True",
    ),
    "a decorated function": (
        (
            "import functools\ndef twice(f):\n    @functools.wraps(f)\n"
            "    def g(*a): return f(*a) * 2\n    return g\n@twice\ndef h(x):\n    'says'\n"
            "    return x"
        ),
        "h(4), h.__name__, h.__doc__, h.__wrapped__(4)",
        "(8, 'h', 'says', 4)",
    ),
    "a cached function": (
        "import functools\n@functools.lru_cache\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)",
        "fib(30)",
        "832040",
    ),
    "a lambda in a dict": ("table = {'double': lambda x: x * 2}", "table['double'](4)", "8"),
    "a partial": ("import functools\ndef add(a, b): return a + b\np = functools.partial(add, 5)", "p(1)", "6"),
    "attributes of a function": ("def f(): return f.calls\nf.calls = 7", "f()", "7"),
    "annotations": ("def f(x: int) -> str: ...", "f.__annotations__", None),
    "a generator function": ("def g():\n    yield 1\n    yield 2", "list(g())", "[1, 2]"),
    "a class": (
        (
            "class A:\n    size = 3\n    def __init__(self, x): self.x = x\n"
            "    def get(self): return self.x + self.size\na = A(4)"
        ),
        "a.get(), A(5).get(), type(a) is A",
        "(7, 8, True)",
    ),
    "inheritance and super": (
        "class A:\n    def who(self): return 'A'\nclass B(A):\n    def who(self): return 'B' + super().who()\nb = B()",
        "b.who(), isinstance(b, A), B.__mro__[1] is A",
        "('BA', True, True)",
    ),
    "properties, class and static methods": (
        (
            "class A:\n    def __init__(self): self._x = 2\n    @property\n"
            "    def x(self): return self._x\n    @x.setter\n    def x(self, v): self._x = v\n"
            "    @classmethod\n    def make(cls): return cls()\n    @staticmethod\n"
            "    def three(): return 3\na = A.make(); a.x = 9"
        ),
        "a.x, A.make().x, A.three()",
        "(9, 2, 3)",
    ),
    "slots": ("class S:\n    __slots__ = ('a', 'b')\ns = S(); s.a = 1", "s.a, hasattr(s, 'b'), S.__slots__", None),
    "a dataclass": (
        (
            "from dataclasses import dataclass, field\n@dataclass(frozen=True, order=True)\n"
            "class P:\n    x: int\n    y: list = field(default_factory=list)\np = P(1)"
        ),
        "p, p == P(1), p < P(2)",
        "(P(x=1, y=[]), True, True)",
    ),
    "a slotted dataclass": (
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass P:\n    x: int\np = P(1)",
        "p, p == P(1)",
        "(P(x=1), True)",
    ),
    "an enum": (
        "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\ne = E.A; f = {E.B: 1}",
        "e is E.A, f[E.B], E(2).name, list(E)",
        "(True, 1, 'B', [<E.A: 1>, <E.B: 2>])",
    ),
    "a named tuple": (
        (
            "from collections import namedtuple\nfrom typing import NamedTuple\n"
            "N = namedtuple('N', 'a b')\nclass M(NamedTuple):\n    a: int = 3\n"
            "n = N(1, 2); m = M()"
        ),
        "n, m, n.b",
        "(N(a=1, b=2), M(a=3), 2)",
    ),
    "a nested class": ("class A:\n    class B:\n        x = 1\nb = A.B()", "b.x, type(b) is A.B", "(1, True)"),
    "an abstract class": (
        (
            "import abc\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\n"
            "class B(A):\n    def f(self): return 1\nb = B()"
        ),
        "b.f(), isinstance(b, A), A.__abstractmethods__",
        "(1, True, frozenset({'f'}))",
    ),
    "a metaclass": (
        "class M(type):\n    def hi(cls): return cls.__name__\nclass A(metaclass=M): pass",
        "A.hi()",
        "'A'",
    ),
    "an exception": (
        "class E(Exception): pass\ntry:\n    raise E('why')\nexcept E as x:\n    e = x",
        "repr(e), type(e) is E",
        None,
    ),
    "methods as values": ("class A:\n    def f(self): return 5\na = A(); m = a.f", "m(), m.__self__ is a", "(5, True)"),
    "keys with a hash of their own": (
        (
            "class K:\n    def __init__(self, x): self.x = x\n"
            "    def __hash__(self): return hash(self.x)\n"
            "    def __eq__(self, o): return isinstance(o, K) and self.x == o.x\n"
            "d = {K(1): 'a', K(2): 'b'}; s = {K(3)}"
        ),
        "d[K(2)], K(3) in s",
        "('b', True)",
    ),
    "the standard library's": (
        (
            "import collections, datetime, decimal, fractions, pathlib, re, uuid, array\n"
            "c = collections.Counter('aab'); o = collections.OrderedDict(a=1)\n"
            "d = collections.defaultdict(list, a=[1])\n"
            "q = collections.deque([1, 2], 5); t = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)\n"
            "x = decimal.Decimal('1.1'); f = fractions.Fraction(1, 3); p = pathlib.PurePosixPath('/a/b')\n"
            "r = re.compile('a+', re.I); a = array.array('i', [1])"
        ),
        "c, o, d, q, t, x, f, p, r.findall('xAa'), a",
        None,
    ),
    "modules": (
        "import json as j, os.path, collections.abc as cabc",
        "j.loads('[1]'), os.path.join('a', 'b'), cabc.Sized.__name__",
        None,
    ),
    "a mutable with itself inside": (
        "a = [1]; a.append(a); d = {}; d['d'] = d",
        "a[1] is a, d['d'] is d",
        "(True, True)",
    ),
    "a taken given name": ("repo = 'mine'; docs = [1]", "repo, docs", "('mine', [1])"),
    "an iterator": ("i = iter([1, 2, 3]); next(i)", "list(i)", "[2, 3]"),
}


@pytest.mark.parametrize(("code", "asked", "shown"), ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_variables_come_back_in_another_process(rig, again, code, asked, shown):
    """And work there as they did."""
    assert rig.run(code).ending is Ending.OK
    expected = shown
    if shown is None:
        expected = rig.shown(asked)
    with _restarted(rig, again) as other:
        assert other.shown(asked) == expected


def test_what_variables_share_is_still_shared(rig, again):
    """Also through objects, functions and closures."""
    rig.run("a = [1]; b = a; c = {'a': a}\nclass Node: pass\nn = Node(); n.rows = a\ndef f(rows=a): return rows")
    with _restarted(rig, again) as other:
        other.run("a.append(2)")
        assert other.shown("b, c['a'], n.rows, f() is a") == "([1, 2], [1, 2], [1, 2], True)"


def test_a_restored_function_sees_globals_as_they_are_now(rig, again):
    """A later Cell may define them anew, as before the restart."""
    rig.run(
        "rate = 2\ndef tax(x): return helper(x) * rate\ndef helper(x): return x\nclass A:\n"
        "    def cost(self): return rate"
    )
    with _restarted(rig, again) as other:
        other.run("rate = 10\ndef helper(x): return x + 1")
        assert other.shown("tax(1), A().cost()") == "(20, 10)"
        other.run("def g():\n    global rate\n    rate = 5\ng()")
        assert other.shown("tax(1), tax.__globals__ is globals()") == "(10, True)"


def test_what_the_host_gives_is_saved_by_its_name_alone(rig, again):
    """The log's text and bytes, as far as they went; host functions; nothing of their content is in the file."""
    log = b"@e1 t1 prompt\n" + b"text \xc3\xa4 " * 100_000
    bindings = {"log": lambda session: Handed(content=log), "repo_missing": lambda: "none"}
    rig.bindings, rig.session = bindings, {**NOBODY, "log_bytes": len(log)}
    rig.run(
        "t = session.text; r = session.raw; part = session.raw[:40]; c = context; g = "
        "session.grep; s = [session, repo, docs]"
    )
    rig.run("view = memoryview(b'own'); find = read; some = t[:10]")
    saved = again.save(rig)
    assert saved.unsaved == ()
    assert os.fstat(again.file.fileno()).st_size < 5_000
    grown = log + b"\n@e2 t1 reply\nmore"
    with rigged({**bindings, "log": lambda session: Handed(content=grown)}) as other:
        other.session = {**NOBODY, "log_bytes": len(grown)}
        assert again.restore(other, other.bindings) == {}
        assert (
            other.shown("len(t.encode()), len(r), bytes(part), bytes(view)")
            == f"({len(log)}, {len(log)}, {log[:40]!r}, b'own')"
        )
        assert other.shown("t == context[:len(t)], c == t, len(context.encode())") == f"(True, True, {len(grown)})"
        assert (
            other.shown("s[0] is session, s[1] is repo, s[2] is docs, g.__self__ is session, find is read")
            == "(True, True, True, True, True)"
        )


def test_restored_variables_can_be_saved_again(rig, again):
    """As often as processes come and go."""
    rig.run("class A:\n    def f(self): return n\nn = 1; a = [A()]; b = a")
    for step in range(3):
        with _restarted(rig, again) as other:
            assert other.shown("a[0].f(), a is b, type(a[0]) is A") == f"({step + 1}, True, True)"
            other.run("n += 1")
            again.save(other)
            rig = Rig(start(), {})
            assert again.restore(rig) == {}
    rig.repl.close()


def test_restoring_into_a_live_repl_replaces_its_variables(rig, again):
    """Another process went on meanwhile: what is only here is gone."""
    rig.run("x = 1; keep = [1]")
    again.save(rig)
    rig.run("x = 2; only_here = 1")
    assert again.restore(rig) == {}
    assert rig.shown("x, keep") == "(1, [1])"
    assert rig.fails("only_here").startswith("NameError")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("bad = (i for i in range(3))", "generator"),
        (("import io; bad = open(__import__('os').devnull) if False else iter(lambda: 1, 2); "
"bad = (bad, (i for i in ''))"), "generator"),
        ("import threading; bad = threading.Lock()", "lock"),
        ("import sys; bad = sys._getframe()", "frame"),
        ("bad = {'deep': [{'er': (i for i in '')}]}", "generator"),
        ("class Bad:\n    def __reduce__(self): raise ValueError('not me')\nbad = Bad()", "ValueError: not me"),
        ("class Bad:\n    def __reduce__(self): raise SystemExit(1)\nbad = Bad()", "SystemExit"),
        ("class Bad:\n    def __reduce__(self): raise KeyboardInterrupt\nbad = Bad()", "KeyboardInterrupt"),
        ("class Bad:\n    def __reduce__(self): FINAL(1)\nbad = Bad()", "_Final"),
        ("class Bad:\n    def __reduce__(self): return 5\nbad = Bad()", "reduce"),
        ("class Bad:\n    def __reduce__(self): return repo.root\nbad = Bad()", "HostError"),
        ("bad = None\nfor i in range(100_000):\n    bad = [bad]", "recursion"),
        (("class Bad(Exception):\n    def __str__(self): raise self\nclass Worse:\n"
"    def __reduce__(self): raise Bad\nbad = Worse()"), "it raised what cannot be told"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_is_named_with_the_reason(rig, again, code, why):
    """All else is saved, what stands before and behind it, and what they share."""
    rig.run("first = [1]; shared = first")
    rig.run(code)
    rig.run("last = [2]; also = first")
    saved = again.save(rig)
    unsaved = dict(saved.unsaved)
    assert list(unsaved) in (["bad"], ["bad", "i"])
    assert why in unsaved["bad"]
    with rigged() as other:
        assert again.restore(other) == {}
        assert other.shown("last, also is first, shared is first") == "([2], True, True)"
        assert other.fails("bad").startswith("NameError")


def test_many_that_cannot_be_saved_cost_one_more_pass(rig, again):
    """Not one for each: the big one is not written fifty times."""
    rig.run("big = list(range(300_000))\nglobals().update({f'g{i}': (x for x in '') for i in range(50)})\nlast = 1")
    rig.run(
        "class Counted:\n    times = 0\n    def __reduce__(self):\n"
        "        Counted.times += 1\n        return Counted, ()\ncounted = Counted()"
    )
    saved = again.save(rig)
    assert len(saved.unsaved) == 50
    assert {name for name, _at, _length in saved.variables} == {"big", "last", "x", "Counted", "counted"} - {"x"}
    assert int(rig.shown("Counted.times")) <= 3


def test_an_endless_pickling_is_given_up(again):
    """A variable's own code gets its time, and no more; the Repl lives on."""
    with rigged(variable_seconds=0.5) as rig:
        rig.run("class Bad:\n    def __reduce__(self):\n        while True: pass\nbad = Bad(); good = 1")
        saved = again.save(rig)
        assert dict(saved.unsaved) == {"bad": "it took longer than 0.5 s"}
        assert [name for name, _at, _length in saved.variables] == ["Bad", "good"]
        assert rig.shown("good") == "1"


def test_a_pickling_that_ends_the_process_is_told(rig, again):
    """There is no other way to know."""
    rig.run("import os\nclass Bad:\n    def __reduce__(self): os._exit(9)\nbad = Bad()")
    with pytest.raises(ReplGone, match="exit code 9"):
        again.save(rig)


@pytest.mark.parametrize(
    ("restoring", "why"),
    [
        ("raise ValueError('not again')", "ValueError: not again"),
        ("raise SystemExit", "SystemExit"),
        ("FINAL(1)", "_Final"),
        ("reset()", "_Reset"),
    ],
)
def test_what_cannot_be_restored_costs_only_what_shares_something_with_it(rig, again, restoring, why):
    """And never gives one variable the content of another, or half of one."""
    rig.run(
        f"before = ['b']\nclass Bad:\n    def __setstate__(self, state): {restoring}\n"
        "bad = [['in bad'], Bad(), before]; bad[1].x = 1\n"
        "shares = [bad[0]]; apart = ['a', before]; word = 'w' * 50; words = [word, word, apart]"
    )
    assert again.save(rig).unsaved == ()
    with rigged() as other:
        lost = again.restore(other)
        assert set(lost) == {"bad", "shares"}
        assert why in lost["bad"]
        assert other.shown("before, apart[1] is before, words[2] is apart, words[0] is word, len(word)") == (
            "(['b'], True, True, True, 50)"
        )
        assert other.fails("shares").startswith("NameError")


def test_an_endless_restoring_is_given_up(rig, again):
    """All else comes back."""
    rig.run(
        "class Bad:\n    def __setstate__(self, state):\n        while True: pass\nbad = Bad(); bad.x = 1; good = 1"
    )
    again.save(rig)
    with rigged(variable_seconds=0.5) as other:
        assert again.restore(other) == {"bad": "it took longer than 0.5 s"}
        assert other.shown("good") == "1"


def test_damaged_files_lose_variables_and_nothing_else(rig, again):
    """Cut, empty, overwritten at any place: what cannot be read is named."""
    rig.run("a = list(range(1000)); b = {'k': a}; c = 'text' * 100")
    saved = again.save(rig)
    size = os.fstat(again.file.fileno()).st_size
    whole = os.pread(again.file.fileno(), size, 0)
    for damaged in (b"", whole[:10], whole[: size // 2], b"\0" * size, whole[: size // 2] + b"\xff" * (size // 2)):
        os.ftruncate(again.file.fileno(), 0)
        os.pwrite(again.file.fileno(), damaged, 0)
        lost = again.restore(rig)
        assert lost
        assert set(lost) <= {name for name, _at, _length in saved.variables}
        assert rig.shown("1") == "1"
    found = rig.repl.restore(NOBODY, (("x", 1 << 40, 5), ("y", 3, 0)), again.file.fileno(), {})
    assert {name for name, _why in found.lost} == {"x", "y"}


def test_a_large_variable_comes_back(rig, again):
    """37 MB of text, once, though two variables hold it."""
    rig.run("big = 'x\\u00e4' * 12_500_000; same = [big]; raw = bytes(1_000_000)")
    with _restarted(rig, again) as other:
        assert os.fstat(again.file.fileno()).st_size < 40_000_000
        assert other.shown("len(big), same[0] is big, len(raw), big[-2:]") == "(25000000, True, 1000000, 'x\u00e4')"


def test_no_room_is_a_complaint_and_no_half_saved_state():
    """What the file may not hold is not there; the Repl lives on, and saves what fits later."""
    with rigged(file_bytes=1_000_000) as rig, tempfile.TemporaryFile() as file:
        rig.run("big = bytes(range(256)) * 8_000; small = 1")
        saved = rig.repl.save(file.fileno())
        assert saved.complaint
        assert (saved.variables, saved.unsaved) == ((), ())
        rig.run("del big")
        saved = rig.repl.save(file.fileno())
        assert (saved.complaint, [name for name, _at, _length in saved.variables]) == ("", ["small"])


def test_a_file_that_cannot_be_written_is_a_complaint(rig, tmp_path):
    """Not a loss of every variable."""
    path = tmp_path / "vars"
    path.touch()
    rig.run("x = 1")
    with path.open("rb") as file:
        saved = rig.repl.save(file.fileno())
    assert saved.complaint
    assert rig.shown("x") == "1"


def test_very_many_variables_are_saved_up_to_a_number_and_the_rest_is_counted(rig, again):
    """The latest; none breaks the wire."""
    rig.run("globals().update({f'v{i}': i for i in range(20_000)})")
    saved = again.save(rig)
    assert len(saved.variables) == 9_000
    assert saved.unsaved == (("...", "11,000 variables more"),)
    rig.run("reset()")
    rig.run("globals().update({f'g{i}': (x for x in '') for i in range(1_000)})")
    saved = again.save(rig)
    assert len(saved.unsaved) == 201
    assert saved.unsaved[-1] == ("...", "800 variables more")
    assert rig.shown("1") == "1"


def test_no_descriptor_stays_open_over_saving_and_restoring(rig, again):
    """On either side."""
    rig.run(
        "import os\nx = [1]\ndef opened():\n    n = 0\n    for i in range(512):\n"
        "        try:\n            os.fstat(i); n += 1\n        except OSError: pass\n"
        "    return n"
    )
    before = rig.shown("opened()")
    ours = opened()
    for _time in range(20):
        again.save(rig)
        again.restore(rig)
    assert rig.shown("opened()") == before
    assert opened() == ours


def test_a_variable_that_ends_the_process_is_named_and_left_out_the_next_time(rig, again):
    """On saving as on restoring, whatever is printed meanwhile; what others share with it is found all the same."""
    rig.run(
        "import os\nclass Bad:\n    def __reduce__(self):\n        print('!' * 600); os._exit(9)\nbad = Bad(); x = [1]"
    )
    with pytest.raises(ReplGone) as ended:
        again.save(rig)
    assert ended.value.variable == "bad"
    with rigged() as other:
        other.run("import os\nclass Bad:\n    def __reduce__(self): return os._exit, (9,)")
        other.run("text = 'shared ' * 9; bad = [text, Bad()]; x = [text]; y = x; del text")
        saved = again.save(other)
    with rigged() as other:
        with pytest.raises(ReplGone) as ended:
            again.restore(other)
        assert ended.value.variable == "bad"
    with rigged() as other:
        places, file = saved.variables, again.file.fileno()
        assert other.repl.restore(NOBODY, places, file, {}, ("bad",)).lost == ()
        assert other.shown("y is x, x[0] == 'shared ' * 9, 'bad' in globals()") == "(True, True, False)"
        assert "x" not in {name for name, _start, _length in other.repl.save(file, ("x",)).variables}


def test_an_open_file_is_not_saved_as_its_text(rig, again):
    """It would be no file afterwards, and nobody would be told."""
    rig.run("import os\nfile = open(os.__file__); files = [file]; x = 1")
    assert dict(again.save(rig).unsaved) == dict.fromkeys(("file", "files"), "TypeError: an open file cannot be saved")


def test_a_pickling_that_was_given_up_is_not_tried_again_while_the_variable_is_the_same(again):
    """It would take its time behind every Cell."""
    with rigged(variable_seconds=1.0) as rig:
        rig.run("tries = []\nclass Slow:\n    def __reduce__(self):\n        tries.append(1)\n        while True: pass")
        rig.run("slow = Slow()")
        for _time in range(2):
            assert dict(again.save(rig).unsaved) == {"slow": "it took longer than 1 s"}
        assert rig.shown("len(tries)") == "1"
        rig.run("slow = Slow()")
        again.save(rig)
        assert rig.shown("len(tries)") == "2"
