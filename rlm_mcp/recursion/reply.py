"""The code in what a root model said: fenced blocks alone; words around them are no code, whatever they say.

Blocks named ``repl`` or ``python`` count; where there is none of these, blocks without a name do. A block goes on over
fences inside it that are opened with a name and closed, so that a prompt in a string may show a fence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_MARKS = 3
_NAMES = frozenset({"repl", "python", "py", "python3", "py3", "ipython"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a reply holds."""

    text: str
    """The blocks in order, as one Cell; empty where there is no code."""
    is_open: bool
    """The last block is never closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fence:
    indent: str
    mark: str
    """All its backticks or tildes."""
    words: str
    """Behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    name: str
    text: str
    is_closed: bool


def code_of(said: str) -> Code:
    """The code of a reply."""
    blocks = _blocks([line.removesuffix("\r") for line in said.split("\n")])
    named = [block for block in blocks if block.name in _NAMES]
    wanted = named or [block for block in blocks if not block.name]
    return Code(
        text="\n".join(block.text for block in wanted if block.text.strip()),
        is_open=bool(wanted) and not wanted[-1].is_closed,
    )


def _blocks(lines: Sequence[str]) -> list[_Block]:
    found: list[_Block] = []
    at = 0
    while at < len(lines):
        opened = _fence(lines[at])
        at += 1
        if opened is None:
            continue
        end = _end(lines, at, opened.mark)
        body = [line.removeprefix(opened.indent) for line in lines[at:end]]
        found.append(_Block(name=_name(opened.words), text="\n".join(body), is_closed=end < len(lines)))
        at = end + 1
    return found


def _fence(line: str) -> _Fence | None:
    """The fence that a line is, if it is one (CommonMark 0.31, 4.5; indented as deep as may be)."""
    words = line.strip(" \t")
    first = words[:1]
    mark = words[: len(words) - len(words.lstrip(first))] if first in {"`", "~"} else ""
    words = words[len(mark) :].strip(" \t")
    if len(mark) < _LEAST_MARKS or (first == "`" and "`" in words):
        return None
    return _Fence(indent=line[: len(line) - len(line.lstrip(" \t"))], mark=mark, words=words)


def _end(lines: Sequence[str], at: int, mark: str) -> int:
    """Line of the fence that closes a block whose first line is ``at``; behind the last line where none does.

    Fences with a name inside are taken as opened there, so the next bare one closes them; where that leaves no fence
    to close the block, its first bare one does.
    """
    first, depth = len(lines), 1
    for number in range(at, len(lines)):
        fence = _fence(lines[number])
        if fence is None or not fence.mark.startswith(mark):
            continue
        depth += 1 if fence.words else -1
        if not fence.words:
            first = min(first, number)
        if depth == 0:
            return number
    return first


def _name(words: str) -> str:
    """``python`` of ``Python title="x"`` or ``{python}``."""
    first = words.split(maxsplit=1)[0] if words else ""
    return first.strip("{}.").lower()
