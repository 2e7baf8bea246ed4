"""The host side of ``rlm_query``: child Runs, and the texts they are given to look at.

A Cell names a part of what it sees by place (so many bytes of its ``context``, of the Session, of a Document), which is
then mapped into the child as it was into the parent; only a text that a Cell made itself comes through the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rlm_mcp.errors import QueryError
from rlm_mcp.recursion.scope import Scope, Source
from rlm_mcp.refs import Ref
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import Binding, Handed

AT_ONCE = 4
"""Children of one Run that work at the same time."""
_MADE_BYTES = 32 << 20
"""Texts that one Cell may make for its children, all together: they are kept in this process."""
_MOST_ASKED = 1_000
_REF_DIGITS = 16
"""Enough that no two Documents begin alike."""

Child = Callable[[str, Scope, int], dict[str, JSON]]
"""Runs a child to its end, which is so-manieth of those that the Cell asks, from 1; its entry for the Cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What children may be given parts of."""

    session_key: str
    scope: Scope
    """That of the Run which asks."""
    bindings: Mapping[str, Binding]
    """Over Session and Documents."""


class Children:
    """What one Cell asks of children."""

    def __init__(self, parent: Parent, child: Child) -> None:
        self._parent = parent
        self._child = child
        self._made: list[list[str]] = []
        self._made_bytes = 0
        self._asked = 0

    def bindings(self) -> Mapping[str, Binding]:
        """Name -> host function."""
        return {"give": self.give, "rlm_query": self.ask}

    def give(self, text: Any, number: Any) -> JSON:
        """Take a text that a Cell made, or go on with the one of that number; its number."""
        if not isinstance(text, str):
            raise QueryError(f"text is {text!r:.80}; give a text")
        size = len(text.encode("utf-8", "replace"))
        if self._made_bytes + size > _MADE_BYTES:
            raise QueryError(
                f"more than {_MADE_BYTES:,} bytes of new text for children in one Cell; give slices of context, of "
                "session.text or of a document's text: they are not copied"
            )
        if number is None:
            self._made.append([])
            number = len(self._made) - 1
        self._pieces(number).append(text)
        self._made_bytes += size
        return _place(number)

    def ask(self, asked: Any) -> JSON:
        """An entry for each question: ``answer``, ``quotes``, ``refs`` and ``run``, or ``error`` and ``message``."""
        if not isinstance(asked, list) or not 1 <= len(asked) <= _MOST_ASKED:
            raise QueryError(f"asked is {asked!r:.80}; give 1 to {_MOST_ASKED:,} questions")
        rows = [self._row(one) for one in asked]
        placed = [(*row, place) for place, row in enumerate(rows, start=self._asked + 1)]
        self._asked += len(rows)
        with ThreadPoolExecutor(min(AT_ONCE, len(rows)), thread_name_prefix="rlm-mcp child") as pool:
            return list(pool.map(lambda row: self._child(*row), placed))

    def _row(self, one: Any) -> tuple[str, Scope]:
        if not isinstance(one, dict) or not isinstance(one.get("question"), str):
            raise QueryError(f"{one!r:.80} is no question")
        context = one.get("context")
        if context is None:
            return one["question"], self._parent.scope
        parts = context if isinstance(context, list) else [context]
        texts = tuple(self._source(number, part) for number, part in enumerate(parts))
        return one["question"], Scope(name=_name(texts), texts=texts, is_list=isinstance(context, list))

    def _source(self, number: int, part: Any) -> Source:
        name = f"context[{number}]"
        if isinstance(part, str):
            return Source(name=name, content=part.encode("utf-8", "replace"))
        if not isinstance(part, dict):
            raise QueryError(f"context is {part!r:.80}; give a text or a list of texts")
        if "given" in part:
            return Source(name=name, content="".join(self._pieces(part["given"])).encode("utf-8", "replace"))
        whole = self._whole(part)
        start, end = _place(part.get("start")), _place(part.get("end"))
        if not start <= end <= whole.size:
            raise QueryError(f"bytes {start:,} to {end:,} are not in {whole.name!r}, which has {whole.size:,}")
        return whole.part(start, end)

    def _whole(self, part: Mapping[str, Any]) -> Source:
        """What a part is of: a text of ``context``, a Session's log, or a Document."""
        if "part" in part:
            texts, number = self._parent.scope.texts or (), _place(part["part"])
            if number >= len(texts):
                raise QueryError(f"context has no part {number:,}")
            return texts[number]
        if "log" in part:
            key = part["log"]
            handed = self._handed("log", session=key)
            ref = Ref(session="" if key == self._parent.session_key else key, whole=True)
            return Source(name=f"session {key}", path=handed.path, end=handed.length, ref=ref)
        if "document" in part:
            handed = self._handed("document", sha256=part["document"])
            name = str(part["document"])[:_REF_DIGITS]
            return Source(name=f"document {name}", path=handed.path, end=handed.length, ref=Ref(document=name))
        raise QueryError(f"context is {part!r:.80}; give a text or a list of texts")

    def _handed(self, binding: str, **named: Any) -> Handed:
        """The file that a host function hands over; it refuses what is none of this Session's."""
        if binding not in self._parent.bindings:
            raise QueryError("there is no session here; give texts")
        handed = self._parent.bindings[binding](**named)
        if not isinstance(handed, Handed) or handed.path is None:
            raise QueryError("only what lies in a file can be given by place; give the text itself")
        return handed

    def _pieces(self, number: Any) -> list[str]:
        if _place(number) >= len(self._made):
            raise QueryError(f"no text {number:,} was given")
        return self._made[number]


def _place(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise QueryError(f"{value!r:.80} is no place; give a whole number")
    return value


def _name(texts: Sequence[Source]) -> str:
    """In words, for whoever looks at the Run."""
    if len(texts) != 1:
        return f"{len(texts):,} texts of a Cell"
    source = texts[0]
    return source.ref_of(source.start, source.end) or "a text of a Cell"
