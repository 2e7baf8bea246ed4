"""A Cell as Monty is given it, and its failure as its author should read it. Pure, and no word of Monty's own API."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp.text import one_line

_SHOWN = "_rlm.shown"
"""What the last expression is handed to; see ``inside.seen.Given``."""
_PARSED_CHARS = 100_000
"""A longer Cell's last value is not shown: looking for it would take too long."""
_FRAMES = 12
_LINE_CHARS = 200
_SYNTAX = "SyntaxError"
_BEGIN_VALUES = frozenset({"not", "lambda", "await", "None", "True", "False"})
"""Keywords that an expression may begin with."""
_UNSEEN = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER})
_ASSIGNING = frozenset({"=", ":=", "+=", "-=", "*=", "/=", "//=", "%=", "@=", "&=", "|=", "^=", ">>=", "<<=", "**="})
_HINTS = {
    "monty syntax parser": "(This Repl runs Monty, a subset of Python; help() says what is missing.)",
    "ModuleNotFoundError": "(This Repl runs Monty, a subset of Python; help() names the modules there are.)",
    "not yet supported": "(This Repl runs Monty, a subset of Python; help() says what is missing.)",
    "in this environment": "(No network, processes or environment; use session, repo, docs.)",
    "slice indices must be integers": '(Write session.between("t3", "t9") for a slice by Refs or times.)',
    "in this synchronous context": (
        "(What asks the host cannot be called inside map, filter, a key= function or a special method; use a loop.)"
    ),
    "PermissionError": "(No files but the repository's, read-only; use repo.read, session, docs.)",
}
"""What is in an error's last line, and what its reader should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One entry of a traceback."""

    cell: int
    """Number of the Cell."""
    line: int
    """From 1."""
    function: str
    """Empty where the text could not be compiled."""
    source: str
    """That line."""


def showing_value(code: str) -> str:
    """The code, its last expression handed to what shows it; as it is where the last statement is none.

    Lines stay where they are. It is found by tokens: those are made step by step, so that no text, however deeply
    nested, holds the interpreter's lock or exhausts its stack, as it could a parser's.
    """
    if len(code) > _PARSED_CHARS:
        return code
    try:
        last = _last_statement(code)
    except (tokenize.TokenError, SyntaxError):
        return code  # Monty says what is wrong with it
    if not last or not _is_expression(last):
        return code
    lines = io.StringIO(code).readlines()
    start, end = _offset(lines, last[0].start), _offset(lines, last[-1].end)
    return f"{code[:start]}{_SHOWN}(({code[start:end]})){code[end:]}"


def _last_statement(code: str) -> list[tokenize.TokenInfo]:
    """Tokens of the last simple statement, where no block ends the code."""
    last: list[tokenize.TokenInfo] = []
    line: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NEWLINE:
            last, line = line or last, []
        elif token.type not in _UNSEEN:
            line.append(token)
    statements: list[list[tokenize.TokenInfo]] = [[]]
    for token, depth in zip(last, _depths(last), strict=True):
        if token.string == ";" and not depth:
            statements.append([])
        else:
            statements[-1].append(token)
    is_in_block = not last or last[0].start[1] > 0 or (len(statements) > 1 and ":" in _outer(statements[0]))
    return [] if is_in_block else next((one for one in reversed(statements) if one), [])


def _is_expression(statement: Sequence[tokenize.TokenInfo]) -> bool:
    """Whether it has a value."""
    first = statement[0].string
    is_other = first == "@" or (keyword.iskeyword(first) and first not in _BEGIN_VALUES)
    outer = _outer(statement)
    return not is_other and ":" not in outer and not _ASSIGNING.intersection(outer)


def _outer(statement: Sequence[tokenize.TokenInfo]) -> list[str]:
    """What stands in it outside of all brackets, but for the parameters of lambdas and their colons."""
    found: list[str] = []
    lambdas = 0
    for token, depth in zip(statement, _depths(statement), strict=True):
        if token.string == "lambda" and not depth:
            lambdas += 1
        elif token.string == ":" and not depth and lambdas:
            lambdas -= 1
        elif not depth and not lambdas:
            found.append(token.string)
    return found


def _depths(tokens: Sequence[tokenize.TokenInfo]) -> list[int]:
    """How many brackets are open before each token; where it opens or closes one, with it."""
    depth = 0
    found: list[int] = []
    for token in tokens:
        opens = token.type == tokenize.OP and token.string in "([{"
        closes = token.type == tokenize.OP and token.string in ")]}"
        depth += opens
        found.append(depth)
        depth -= closes
    return found


def _offset(lines: Sequence[str], place: tuple[int, int]) -> int:
    """Of a row (from 1) and column in the whole text."""
    row, column = place
    return sum(len(line) for line in lines[: row - 1]) + column


def explained(frames: Sequence[Frame], message: str) -> str:
    """A short traceback.

    Args:
        frames: of Cells alone, outermost first.
        message: kind of the exception and what it says.
    """
    kept = list(frames)
    if len(kept) > _FRAMES:
        kept = kept[: _FRAMES // 4] + kept[-_FRAMES * 3 // 4 :]
    lines = ["Traceback (most recent call last):"] if kept and not message.startswith(_SYNTAX) else []
    for frame in kept:
        where = f'  File "<cell {frame.cell}>", line {frame.line}'
        lines.append(f"{where}, in {frame.function}" if frame.function else where)
        if frame.source.strip():
            lines.append(f"    {one_line(frame.source, _LINE_CHARS)}")
    hints = dict.fromkeys(hint for sign, hint in _HINTS.items() if sign in message)
    return "\n".join([*lines, message, *hints])
