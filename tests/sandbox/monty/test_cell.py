"""rlm_mcp.sandbox.monty.cell: a last expression is found, and only that; a failure is told shortly."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.sandbox.monty.cell import Frame, explained, showing_value

_STATEMENTS = (
    "x",
    "x + 1",
    "f(a,\n  b)",
    "'text # no comment'",
    '"""two\nlines; x"""',
    "x = 1",
    "x += 1",
    "x: int",
    "x: int = 3",
    "(y := 2)",
    "x == 2",
    "x <= 2",
    "[i for i in x]",
    "{1: 2}",
    "x[1:2]",
    "lambda: 0",
    "lambda a, b=1: {a: b}",
    "not x",
    "await x",
    "*a, b",
    "(yield)",
    "del x",
    "pass",
    "import a.b as c",
    "from a import (b,\n  c)",
    "global x",
    "assert x, 1",
    "raise x",
    "return",
    "if x: y",
    "if x:\n    y",
    "if x:\n  y\nelse:\n  z",
    "for i in x: y; z",
    "while x:\n    y\n\n    z",
    "def f(a: int = 1) -> int:\n    return a",
    "class A:\n    x = 1",
    "@d\ndef f(): pass",
    "with a as b: c",
    "try:\n    x\nexcept E:\n    y",
    "x if y else z",
    "x; y",
    "x = 1; y",
    "x;",
    "x; y;",
    "f'{x:>5}'",
    "f'{x!r}' 'b'",
    "print(x)  # shown",
    "# only a comment",
    "",
    "é + 値",
    "x \\\n  + 1",
    "a.b.c",
    "None",
    "match x:\n    case 1: y",
    "async def f(): pass",
    "x = lambda: 1",
    "x, y = 1, 2",
    "x, y",
    "...",
    "-x",
    "~x",
    "(\n  x\n)",
    "x\t+ 1",
    "type(x)",
)


def _last_value(code: str) -> str | None:
    """The text of the last expression as Python's own parser finds it."""
    tree = ast.parse(code)
    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        return None
    return ast.get_source_segment(code, tree.body[-1].value)


def _agree(code: str) -> None:
    shown = showing_value(code)
    expected = _last_value(code)
    if expected is None:
        assert shown == code
        return
    assert shown.count("\n") == code.count("\n")
    last = ast.parse(shown).body[-1]
    assert isinstance(last, ast.Expr)
    assert isinstance(last.value, ast.Call)
    assert ast.unparse(last.value.func) == "_rlm.shown"
    assert ast.unparse(last.value.args[0]) == ast.unparse(ast.parse(f"({expected}\n)", mode="eval"))
    assert [ast.unparse(one) for one in ast.parse(shown).body[:-1]] == [
        ast.unparse(one) for one in ast.parse(code).body[:-1]
    ]


@pytest.mark.parametrize("code", _STATEMENTS)
def test_the_last_expression_is_the_one_python_finds(code):
    """Whatever stands there."""
    _agree(code)


@given(st.lists(st.sampled_from(_STATEMENTS), max_size=5), st.sampled_from(["\n", "\n\n", "\n# c\n", " \n"]))
def test_in_every_row_of_statements(statements, between):
    """Whatever comes before and between."""
    _agree(between.join(statements) + between)


@given(st.text(max_size=200))
def test_no_text_breaks_it(code):
    """What is no Python is left to Monty."""
    shown = showing_value(code)
    assert shown == code or "_rlm.shown((" in shown


@pytest.mark.parametrize("code", ["(" * 100_000, "[" * 50_000 + "]" * 50_000, "-" * 99_999 + "1", "1+" * 49_000 + "1"])
def test_no_depth_breaks_it(code):
    """Tokens are counted, nothing is nested."""
    showing_value(code)


def test_a_very_long_cell_is_left_as_it_is():
    """Its last value is not shown; looking for it would take too long."""
    assert showing_value("x\n" * 60_000) == "x\n" * 60_000


def _frame(line: int) -> Frame:
    return Frame(cell=3, line=line, function="<module>" if line == 1 else "f", source=f"  line {line}")


def test_a_short_traceback_is_whole():
    """As Python prints it, without columns."""
    assert explained([_frame(1), _frame(2)], "ValueError: no") == (
        "Traceback (most recent call last):\n"
        '  File "<cell 3>", line 1, in <module>\n    line 1\n'
        '  File "<cell 3>", line 2, in f\n    line 2\n'
        "ValueError: no"
    )


def test_a_long_traceback_keeps_its_ends():
    """The first frames and the last."""
    told = explained([_frame(line) for line in range(1, 1000)], "RecursionError: too deep")
    assert told.count("File ") == 12
    assert "line 1," in told
    assert "line 999," in told


def test_a_missing_piece_of_python_is_explained():
    """Once, behind the error."""
    told = explained([], "NotImplementedError: The monty syntax parser does not yet support the 'del' statement")
    assert told.splitlines()[1].startswith("(This Repl runs Monty, a subset of Python; help()")
