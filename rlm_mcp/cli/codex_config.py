"""Codex's ``config.toml`` as text: our block in, our lines out, everything else byte for byte as it was.

Codex keeps comments and order when it changes its own file, but puts new tables where it likes, also inside our block.
So ours are known by their names, not by the marks around them. Every change is checked by parsing before and after.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlm_mcp.errors import ClientError

START = "# >>> rlm-mcp: written by `rlm-mcp install codex`, taken out by `rlm-mcp uninstall codex`"
END = "# <<< rlm-mcp"

Path = tuple[str, ...]
"""Names of a table from the root."""

_MARKS = (START, END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of lines: a table with its header, or what precedes the first table."""

    path: Path | None
    """None before the first header."""
    text: str


def parse(text: str, name: str) -> dict[str, Any]:
    """The settings in ``text``.

    Raises:
        ClientError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ClientError(f"{name!r} is not TOML ({error}); mend it, then install again") from error


def has(settings: Mapping[str, Any], path: Path) -> bool:
    """Whether ``path`` is set."""
    at: Any = settings
    for name in path:
        if not isinstance(at, Mapping) or name not in at:
            return False
        at = at[name]
    return True


def value(settings: Mapping[str, Any], path: Path) -> Any:
    """What ``path`` is set to; None where it is not."""
    at: Any = settings
    for name in path:
        at = at.get(name) if isinstance(at, Mapping) else None
    return at


def parts(text: str) -> list[Part]:
    """``text`` cut before each table header; joined they are ``text`` again."""
    cuts: list[tuple[int, Path | None]] = [(0, None)]
    offset = 0
    for line in text.splitlines(keepends=True):
        path = _header(line)
        if path is not None and _is_toml(text[:offset]):  # a bracket inside a value leaves its beginning unfinished
            cuts.append((offset, path))
        offset += len(line)
    ends = [start for start, _ in cuts[1:]] + [len(text)]
    return [Part(path=path, text=text[start:end]) for (start, path), end in zip(cuts, ends, strict=True)]


def _header(line: str) -> Path | None:
    if not line.lstrip().startswith("["):
        return None
    try:
        at: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    names: list[str] = []
    while isinstance(at, Mapping) and len(at) == 1:
        name, at = next(iter(at.items()))
        names.append(name)
        if isinstance(at, list):
            at = at[0]
    return tuple(names)


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def with_block(text: str, lines: Iterable[str], name: str) -> str:
    """``text`` with a marked block of ``lines`` before its first table.

    Raises:
        ClientError: the result is no TOML, or says something else where it is not ours: a key is there already, in a
            form that cannot be added to.
    """
    head, *tables = parts(text)
    body, comments = _trailing_comments(head.text) if tables else (head.text, "")
    gap = "" if not body or body.endswith("\n") else "\n"
    block = "\n".join([START, *lines, END]) + "\n"
    changed = f"{body}{gap}{block}{comments}{''.join(table.text for table in tables)}"
    try:
        tomllib.loads(changed)
    except tomllib.TOMLDecodeError as error:
        raise ClientError(
            f"{name!r} sets features, marketplaces, plugins or mcp_servers in a form that cannot be added to "
            f"({error}); write them as [tables], then install again"
        ) from error
    return changed


def _trailing_comments(text: str) -> tuple[str, str]:
    """``text`` without the comment lines at its very end, and those: they belong to the table that follows."""
    lines = text.splitlines(keepends=True)
    place = len(lines)
    while place and lines[place - 1].lstrip().startswith("#") and lines[place - 1].strip() not in _MARKS:
        place -= 1
    return "".join(lines[:place]), "".join(lines[place:])


def without_ours(text: str, owned: Iterable[Path], own_lines: Iterable[str]) -> str:
    """``text`` without our marks, our tables and, inside our marks, our lines.

    Args:
        owned: tables to take out, with all below them.
        own_lines: lines that are ours where they stand between the marks.
    """
    roots, ours = tuple(owned), frozenset(own_lines)
    kept: list[str] = []
    is_inside = False
    for part in parts(text):
        is_ours = part.path is not None and any(part.path[: len(root)] == root for root in roots)
        lines = part.text.splitlines(keepends=True)
        body = _body_length(lines) if is_ours else 0
        for number, line in enumerate(lines):
            stripped = line.strip()
            if stripped in _MARKS:
                is_inside = stripped == START
            elif number >= body and not (is_inside and stripped in ours):
                kept.append(line)
    return "".join(kept)


def _body_length(lines: list[str]) -> int:
    """How many lines belong to a table: all but comments of others at its end."""
    place = len(lines)
    while place and (not lines[place - 1].strip() or lines[place - 1].lstrip().startswith("#")):
        place -= 1
    if any(line.lstrip().startswith("#") and line.strip() not in _MARKS for line in lines[place:]):
        return place
    while place < len(lines) and not lines[place].strip():
        place += 1
    return place


def says_the_same(text: str, other: str) -> bool:
    """Whether two files hold the same settings and comments, whatever their blank lines."""
    return (
        _is_toml(text)
        and _is_toml(other)
        and tomllib.loads(text) == tomllib.loads(other)
        and _notes(text) == _notes(other)
    )


def _notes(text: str) -> list[str]:
    return sorted(line.strip() for line in text.splitlines() if line.lstrip().startswith("#"))


def quoted(text: str) -> str:
    """``text`` as a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
