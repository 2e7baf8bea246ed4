"""rlm_mcp.sandbox.inside.cell and telling: what a Cell shows, how it ends, what stays; in a real Jail."""

import pytest

from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.repl import Handed
from tests.repls import Rig, rigged


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2"),
        ("None", ""),
        ("", ""),
        ("# nothing", ""),
        ("x = 3", ""),
        ("x = 3\nx", "3"),
        ("'one line'", "'one line'"),
        ("'two\\nlines'", "two\nlines"),
        ("print('a'); 5", "a\n5"),
        ("print('a', end=''); 5", "a5"),
        ("for i in range(3):\n    i", ""),
        ("def f():\n    return 1\nf()", "1"),
        ("'''doc'''\n7", "7"),
        ("if True:\n    4", ""),
        ("(a := 4)", "4"),
        ("import sys; sys.stderr.write('told\\n')", "told\n5"),
        ("import logging; logging.warning('told')", "WARNING:root:told"),
        ("float('nan')", "nan"),
        ("'\\ud800'", "'\\ud800'"),
        ("print('\\ud800')", "\\ud800"),
        ("'\\u00e4\\U0001f600'", "'\u00e4\U0001f600'"),
        ("from __future__ import annotations\n1", "1"),
        ("import sys; sys.stdout.encoding", "'utf-8'"),
        ("import sys; sys.stdout.isatty()", "False"),
        ("type(lambda: 0).__name__", "'function'"),
        ("lambda: 0", None),
    ],
)
def test_the_last_expression_is_shown_behind_what_was_printed(rig: Rig, code, shown):
    """As a person would have it; None is not shown."""
    found = rig.shown(code)
    assert shown is None or found == shown


def test_variables_stay_from_cell_to_cell(rig):
    """Functions, classes, imports and comprehensions see one another, as in one module."""
    rig.run("import re\nfactor = 3\ndef times(x):\n    return x * factor\nclass A:\n    size = times(2)")
    assert rig.shown("[times(i) for i in range(3)], A.size, re.escape('.')") == "([0, 3, 6], 6, '\\\\.')"
    rig.run("factor = 10")
    assert rig.shown("times(1), A.__module__, times.__module__, __name__") == "(10, '__main__', '__main__', '__main__')"
    assert rig.shown("import __main__; __main__.factor") == "10"


def test_annotations_are_as_the_cell_has_them(rig):
    """No future import of ours leaks into it."""
    assert rig.shown("def f(x: int): pass\nf.__annotations__['x']") == "<class 'int'>"
    rig.run("from __future__ import annotations")
    assert rig.shown("def f(x: int): pass\nf.__annotations__['x']") == "<class 'int'>"


def test_an_error_is_a_short_traceback_of_the_cell_alone(rig):
    """With lines of every Cell it came through, and none of ours; what it printed before stays."""
    rig.run("def inner():\n    return 1 / 0")
    found = rig.run("print('before')\nx = 1\ninner()\nx = 2")
    assert found.ending is Ending.ERROR
    assert found.output.startswith("before\nTraceback")
    assert "<cell 1>" in found.output
    assert "<cell 2>" in found.output
    assert "inner()" in found.output
    assert found.output.endswith("ZeroDivisionError: division by zero\n")
    assert "cell.py" not in found.output
    assert rig.shown("x") == "1"


def test_a_syntax_error_shows_its_place(rig):
    """And nothing of the Cell has run."""
    found = rig.run("y = 1\nprint(y\nz = 2")
    assert found.ending is Ending.ERROR
    assert 'File "<cell 1>", line 2' in found.output
    assert "SyntaxError" in found.output
    assert rig.fails("y") == "NameError: name 'y' is not defined"
    assert rig.fails("a\0b").startswith("SyntaxError: source code") or "ValueError" in rig.fails("a\0b")


def test_chained_and_grouped_errors_show_no_frame_of_ours(rig):
    """Causes, contexts and groups alike; a long chain ends with the last error all the same."""
    code = """
def chain(n):
    try:
        if n:
            chain(n - 1)
        else:
            import json; json.loads("{")
    except Exception as error:
        raise ValueError(f"level {n}") from error
try:
    chain(3)
except ValueError as error:
    raise ExceptionGroup("both", [error, KeyError("x")])
"""
    found = rig.run(code)
    assert "ExceptionGroup: both" in found.output
    assert "/rlm_mcp/" not in found.output
    assert "decoder.py" not in found.output
    assert rig.fails(code.replace("chain(3)", "chain(60)\nchain(60)")) != ""
    last = rig.run("def deep(n):\n    raise ValueError('end' * n)\ndeep(20_000)").output
    assert len(last) < 20_000
    assert last.startswith("Traceback")
    assert last.endswith("end\n")


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("def f(): return f()\nf()", "RecursionError"),
        ("raise SystemExit(3)", "SystemExit: 3 (a Cell need not exit; its variables are kept)"),
        ("exit()", "NameError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise BaseException('own')", "BaseException: own"),
        ("x = bytearray(1 << 40)", "MemoryError"),
        ("input('? ')", "EOFError"),
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("await f()", "SyntaxError"),
        ("class E(Exception):\n    def __str__(self): raise KeyError('in str')\nraise E", "<exception str() failed>"),
        ("raise Exception('\\ud800')", "\\ud800"),
        ("import sys; sys.setrecursionlimit(70)\ndef g(): return g()\ng()", "RecursionError"),
    ],
)
def test_whatever_is_raised_is_the_cells_answer(rig, code, end):
    """And the next Cell runs."""
    found = rig.run(code)
    assert found.ending is Ending.ERROR, found
    assert end in found.output
    assert rig.shown("1") == "1"


def test_an_exception_that_breaks_being_told_is_still_an_answer(rig):
    """Its text may raise what no one expects, or never end."""
    code = """
class Bad(Exception):
    def __str__(self):
        raise SystemExit
raise Bad
"""
    found = rig.run(code)
    assert found.ending in (Ending.ERROR, None)
    rig2 = rig if rig.repl.is_alive else None
    assert rig2 is None or rig2.shown("1") == "1"


def test_a_keyboard_interrupt_of_the_cell_itself_is_an_interruption(rig):
    """As if it had been stopped."""
    found = rig.run("x = 1\nraise KeyboardInterrupt")
    assert found.ending is Ending.INTERRUPTED
    assert rig.shown("x") == "1"


# FINAL


@pytest.mark.parametrize(
    ("code", "printed", "final"),
    [
        ("FINAL('done')", "", "done"),
        ("FINAL({'a': 1})", "", "{'a': 1}"),
        ("FINAL(False)", "", "False"),
        ("FINAL([])", "", "[]"),
        ("FINAL('')", "", ""),
        ("FINAL('two\\nlines')", "", "two\nlines"),
        ("x = [1]; FINAL_VAR('x')", "", "[1]"),
        ("print('before'); FINAL('done'); print('after')", "before\n", "done"),
        ("print('before', end=''); FINAL('done')", "before", "done"),
        ("def f():\n    FINAL('inner')\nf()", "", "inner"),
        ("[FINAL(i) for i in range(3)]", "", "0"),
        ("def g():\n    yield FINAL('generated')\nlist(g())", "", "generated"),
        ("try:\n    FINAL('x')\nfinally:\n    print('finally')", "finally\n", "x"),
        ("try:\n    FINAL('x')\nexcept Exception:\n    print('caught')", "", "x"),
        ("try:\n    FINAL('x')\nexcept BaseException:\n    pass\nprint('went on')", "went on\n", "x"),
        ("try:\n    FINAL('x')\nexcept:\n    FINAL('y')", "", "y"),
        ("import contextlib\nwith contextlib.suppress(BaseException):\n    FINAL('x')\n3", "3\n", "x"),
        ("class S(str):\n    def __len__(self): raise ValueError\nFINAL(S('sub'))", "", "sub"),
        ("FINAL('\\u00e4\\ud800')", "", "\u00e4\\ud800"),
    ],
)
def test_final_ends_the_cell_with_its_value(rig, code, printed, final):
    """Wherever it is called, also where the Cell catches everything; it is apart from what was printed."""
    found = rig.run(code)
    assert (found.ending, found.output, found.final) == (Ending.FINAL, printed, final)


def test_final_of_a_swallowed_call_and_a_later_error_is_an_error(rig):
    """The Cell did not come to its answer."""
    found = rig.run("try:\n    FINAL('x')\nexcept BaseException:\n    pass\n1 / 0")
    assert (found.ending, found.final) == (Ending.ERROR, None)
    assert rig.run("1").final is None


def test_final_var_of_no_variable_names_it(rig):
    """Instead of ending with nothing."""
    assert rig.fails("FINAL(None)") == "TypeError: FINAL(None) is no answer; give a text or a value"
    assert rig.fails("FINAL_VAR('nothing')") == "NameError: FINAL_VAR: there is no variable 'nothing'"
    assert rig.fails("FINAL_VAR([])") == (
        "TypeError: FINAL_VAR takes a variable's name, FINAL_VAR('answer'); FINAL(answer) takes its value"
    )


def test_warnings_and_failures_that_nothing_catches_are_a_line_each(rig):
    """Without paths and frames of ours."""
    assert rig.shown("import warnings\nwarnings.warn('careful')").endswith(":2: UserWarning: careful")
    told = rig.run("import asyncio\nasync def one(): return 1\nasyncio.run(one())").output
    assert "RuntimeWarning: coroutine 'one' was never awaited" in told
    assert "/" not in told.partition("(The Jail has no network")[2]


def test_a_value_that_cannot_show_itself_is_at_fault_itself(rig):
    """Nobody is advised to throw all variables away for it."""
    rig.run("class A:\n    def __repr__(self): return None")
    assert rig.fails("A()") == "TypeError: __repr__ returned non-string (type NoneType)"


def test_a_byte_order_mark_before_the_code_is_passed_over(rig):
    """As files have it that were pasted."""
    assert rig.shown("\ufeff1 + 1") == "2"


def test_final_longer_than_the_output_is_an_error_that_says_so():
    """Not a cut answer."""
    with rigged() as rig:
        found = rig.run("print('before'); FINAL('x' * 2_000_000)")
        assert (found.ending, found.final) == (Ending.ERROR, None)
        assert found.output.endswith("put it into a variable and show a part\n")
        assert found.lost_bytes > 0
        assert rig.shown("1") == "1"


# reset, and what is given


def test_reset_throws_variables_away_and_keeps_what_is_given(rig):
    """Also where a given name was taken or deleted."""
    rig.run("x = 1; session = 2\ndel repo, docs")
    assert rig.run("reset()").ending is Ending.RESET
    assert rig.fails("x") == "NameError: name 'x' is not defined"
    assert (
        rig.shown("type(session).__name__, type(repo).__name__, type(docs).__name__") == "('Session', 'Repo', 'Docs')"
    )
    assert rig.run("try:\n    reset()\nexcept BaseException:\n    pass\nx = 1").ending is Ending.OK


def test_variables_are_told_with_what_they_are(rig):
    """Not private ones, nor what was given or only imported; a given name that the Cell took is its own."""
    code = """
import re, collections
from math import pi, floor
from dataclasses import dataclass
a, b, c, d, e = 1, 1.5, True, "text", [1, 2]
f, g, h, i = {1: 2}, {1}, (1,), b"x"
big = 10 ** 5_000
_private = 1
@dataclass
class Point:
    x: int
point = Point(1)
def function(): pass
repo = "mine"
globals()[5] = 1
globals()["no name"] = 1
globals()["\\ud800"] = 1
globals()["x" * 5_000] = 1
"""
    found = dict(rig.run(code).variables)
    assert found == {
        "a": "int, 1", "b": "float, 1.5", "c": "bool, True", "d": "str, 4 characters", "e": "list, 2",
        "f": "dict, 1", "g": "set, 1", "h": "tuple, 1", "i": "bytes, 1", "big": "int, long",
        "pi": "float, 3.141592653589793", "Point": "type", "point": "Point", "function": "function",
        "repo": "str, 4 characters",
    }  # fmt: skip


def test_telling_variables_runs_nothing_of_theirs(rig):
    """Their classes lie about length, class and name, or would never come back."""
    code = """
class Loud(type):
    @property
    def __name__(cls): raise SystemExit
    @property
    def __module__(cls): raise SystemExit
    def __instancecheck__(cls, other): raise SystemExit
    def __subclasscheck__(cls, other): raise SystemExit
class Liar(metaclass=Loud):
    @property
    def __class__(self): raise SystemExit
    def __len__(self): raise SystemExit
    def __repr__(self): raise SystemExit
    def __bool__(self): raise SystemExit
    def __eq__(self, other): raise SystemExit
class Long(list):
    def __len__(self):
        while True: pass
class Text(str):
    def __len__(self): return -1
class Number(int):
    def __repr__(self): raise SystemExit
    def bit_length(self): raise SystemExit
a, b, c, d = Liar(), Long([1]), Text("abc"), Number(7)
"""
    found = rig.run(code)
    assert found.ending is Ending.OK, found
    told = dict(found.variables)
    assert (told["a"], told["b"], told["c"], told["d"]) == ("Liar", "list, 1", "Text, 3 characters", "Number, 7")
    assert rig.shown("d + 1") == "8"


def test_the_latest_variables_are_told_of_very_many(rig):
    """As many as the host takes."""
    found = rig.run("globals().update({f'v{i}': i for i in range(30_000)})")
    assert found.ending is Ending.OK
    assert len(found.variables) == 200
    assert found.variables[-1] == ("v29999", "int, 29999")


# a Cell that tampers with what runs it


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.stdout = None; sys.stderr = None",
        "import sys, io; sys.stdout = io.StringIO(); print('lost')",
        "import sys; sys.stdout.close()",
        "import sys; del sys.stdout, sys.stderr",
        "import sys; sys.stdout.write = None",
        "import sys; sys.modules.clear()",
        "import sys; sys.modules['__main__'] = None",
        "import sys; sys.path[:] = []; sys.meta_path[:] = []",
        "import sys; sys.setrecursionlimit(60)",
        "import sys; sys.settrace(lambda *a: 1 / 0)",
        "import sys; sys.setprofile(lambda *a: 1 / 0)",
        "import sys; sys.excepthook = sys.unraisablehook = sys.displayhook = None",
        "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)",
        "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)",
        "import signal; signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)",
        "import signal; signal.setitimer(signal.ITIMER_REAL, 0)",
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
        "import atexit; atexit.register(lambda: 1 / 0)",
        "import gc; gc.disable(); gc.set_threshold(0)",
        "import linecache; linecache.cache = None; linecache.getline = None",
        "import builtins; builtins.print = None",
        "import builtins; builtins.help = 1; del builtins.input",
        "print = None; len = None; str = None; Exception = None; __builtins__ = None",
        "globals().clear()",
        "del __builtins__, __name__",
        "import ast, traceback; ast.parse = traceback.TracebackException = None",
        "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
        "import signal; signal.raise_signal(signal.SIGALRM)",
        "import json; json.dumps = json.loads = None",
        "import time; time.sleep = time.monotonic = None",
        "import os; os.pwrite = None",
        "session._host.runner.run = lambda *given: 1 / 0",
        "type(session._host.runner).limited = type(session._host.runner)._done = None",
        "session._host._end = session._host.runner.output = None",
        "import sys; sys.modules['signal'] = sys.modules['rlm_mcp.sandbox.inside.cell'] = None",
        "import sys; wire = sys.modules['rlm_mcp.sandbox.wire']; wire.send = wire.receive = wire.framed = None",
        "import sys; sys.modules['rlm_mcp.sandbox.inside.telling'].__dict__.clear()",
        "session._host.runner._on_signal = lambda *given: None",
        "import gc; [one.clear() for one in gc.get_objects() if type(one) is dict and one is not globals()]",
    ],
)
def test_what_a_cell_does_to_its_interpreter_does_not_outlive_its_process(rig, code):
    """The next Cell runs as ever, or it is said what to do, or the child is gone; its time limit holds in any case."""
    found = rig.run(code)
    if found.ending is not None and rig.repl.is_alive:
        after = rig.run("x = 40 + 2\nx")
        is_told = after.ending is Ending.ERROR and "reset() begins anew" in after.output
        assert is_told or (after.ending, after.output) in ((Ending.OK, "42\n"), (None, "")), after
    if rig.repl.is_alive:
        stopped = rig.run("while True: pass", 0.2)
        assert stopped.ending in (Ending.INTERRUPTED, None) or "reset() begins anew" in stopped.output
    if rig.repl.is_alive:
        found = rig.run("7").output
        assert found == "7\n" or "reset() begins anew" in found


def test_a_signal_that_comes_when_nothing_runs_raises_nowhere(rig):
    """Neither before the first Cell, nor between two, nor in a flood of both kinds."""
    rig.repl._jail.interrupt()
    assert rig.shown("1") == "1"
    for _time in range(200):
        rig.repl._jail.interrupt()
        found = rig.run("2")
        assert found.ending in (Ending.OK, Ending.INTERRUPTED)
        rig.repl._jail.interrupt()
    code = """
import signal
for i in range(3_000):
    try:
        signal.raise_signal(signal.SIGALRM)
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        pass
"""
    assert rig.run(code).ending is Ending.OK
    assert rig.shown("3") == "3"


def test_a_signal_right_at_the_end_of_a_cell_ends_that_cell_alone(rig):
    """At whatever point its timer strikes."""
    rig.run("import signal, time")
    endings = set()
    for step in range(150):
        found = rig.run(f"signal.setitimer(signal.ITIMER_REAL, {step * 4e-6 + 1e-6})\nx = {step}")
        endings.add(found.ending)
        assert found.ending in (Ending.OK, Ending.INTERRUPTED), found
    assert rig.shown("4") == "4"
    assert Ending.OK in endings


def test_recursion_into_host_functions_ends_in_an_error_of_the_cell(rig):
    """Half an exchange with the host would be the end of the child."""
    rig.bindings = {"documents": list, "repo_missing": lambda: "none"}
    code = """
def down(n):
    try:
        repo.root
    except RecursionError:
        raise
    except Exception:
        pass
    down(n + 1)
down(0)
"""
    found = rig.run(code)
    assert found.ending is Ending.ERROR, found
    assert "RecursionError" in found.output
    assert rig.shown("len(docs)") == "0"


# output


def test_output_beyond_the_limit_is_cut_and_counted(rig):
    """The Cell is told by an exception, and what it printed until then is there."""
    found = rig.run("print('x' * 1_500_000)")
    assert found.ending is Ending.ERROR
    assert found.output.startswith("x" * (1 << 20))
    assert found.lost_bytes == 1_500_000 - (1 << 20)
    assert "OutputTooLong" in found.output[-400:]
    found = rig.run("import sys\nfor i in range(200_000):\n    sys.stdout.write('0123456789')")
    assert found.ending is Ending.ERROR
    assert found.output[: 1 << 20].count("0123456789") == (1 << 20) // 10
    assert rig.shown("1") == "1"


def test_a_value_of_any_length_is_shown_head_and_tail(rig):
    """A million characters are enough to see what it is."""
    found = rig.shown("list(range(1_000_000))")
    assert len(found) < 1_000_200
    assert found.startswith("[0, 1, 2")
    assert found.endswith("999998, 999999]")
    assert "of 7,888,890 characters left out" in found
    assert rig.shown("show(list(range(100_000)), limit=100)").count("\n") == 2


def test_an_endless_repr_is_stopped_by_the_time_limit(rig):
    """It is Cells' code like any other; so is one that is very long."""
    rig.run(
        "class A:\n    def __repr__(self):\n        while True: pass\nclass B:\n"
        "    def __repr__(self): return 'y' * (3 << 20)"
    )
    assert rig.run("A()", 0.3).ending is Ending.INTERRUPTED
    assert rig.run("[A()]", 0.3).ending is Ending.INTERRUPTED
    assert rig.run("FINAL(A())", 0.3).ending is Ending.INTERRUPTED
    assert len(rig.shown("B()")) < 1_000_200
    assert rig.run("[0] * 60_000_000", 0.5).ending is Ending.INTERRUPTED


def test_text_without_a_line_end_stands_before_the_runners_own_word(rig):
    """On a line of its own."""
    assert rig.run("print('half', end='')\n1 / 0").output.startswith("half\nTraceback")
    assert rig.run("print('whole')\n1 / 0").output.startswith("whole\nTraceback")


# what may be asked of the lazy name


def test_context_is_made_when_code_names_it_also_within_functions(rig):
    """And is there as an ordinary text."""
    rig.bindings = {"log": lambda session: Handed(content=b"")}
    assert rig.shown("def n():\n    return len(context)\nn()") == "0"
    assert rig.shown("[len(context) for _ in range(2)]") == "[0, 0]"
    rig.run("context = 'mine'")
    assert rig.shown("n(), context") == "(4, 'mine')"
