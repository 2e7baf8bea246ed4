"""Patterns that are compiled when first used: a hook that reads three Events must not pay for every rule there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator


class LazyPattern:
    """A regular expression with the methods of ``re.Pattern`` that are used here. Compiled at the first call of one."""

    __slots__ = ("_flags", "_text", "findall", "finditer", "fullmatch", "match", "search", "split", "sub")

    findall: Callable[..., list[str]]
    """As ``re.Pattern``'s; so the others."""
    finditer: Callable[..., Iterator[re.Match[str]]]
    fullmatch: Callable[..., re.Match[str] | None]
    match: Callable[..., re.Match[str] | None]
    search: Callable[..., re.Match[str] | None]
    split: Callable[..., list[str]]
    sub: Callable[..., str]

    def __init__(self, text: str, flags: int = 0) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> object:
        """Reached once per pattern: the slots of the methods are empty until then."""
        if name.startswith("_"):
            raise AttributeError(name)
        pattern = re.compile(self._text, self._flags)
        for method in ("findall", "finditer", "fullmatch", "match", "search", "split", "sub"):
            setattr(self, method, getattr(pattern, method))
        return object.__getattribute__(self, name)

    @property
    def groups(self) -> frozenset[str]:
        """Names of its groups, read from its text."""
        return frozenset(re.findall(r"\(\?P<(\w+)>", self._text))


def lazy(*alternatives: str, flags: int = 0) -> LazyPattern:
    """One pattern of all ``alternatives``."""
    return LazyPattern("|".join(alternatives), flags)
