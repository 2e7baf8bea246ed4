"""What the Cells of one Run may call on the host, and what is known by that they did: looked, quoted, asked.

Every argument is hostile: of any JSON type and size.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from rlm_mcp.errors import QueryError
from rlm_mcp.recursion.asking import Answered, Asking
from rlm_mcp.recursion.children import Child, Children, Parent
from rlm_mcp.recursion.conversation import Tally
from rlm_mcp.recursion.evidence import MAX_QUOTES
from rlm_mcp.recursion.limit import Limit
from rlm_mcp.recursion.scope import Scope
from rlm_mcp.redact import redact
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import Binding, Handed
from rlm_mcp.store import runs
from rlm_mcp.store.database import Store
from rlm_mcp.sublm.metered import Asked

_PARTIAL_ANSWERS = 20
_PARTIAL_ANSWER_CHARS = 200
_OWN_CELL = re.compile(r"c(\d{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """Where the Cells of a Run look."""

    run: str
    session_key: str
    scope: Scope
    data: Mapping[str, Binding]
    """Host functions over Session, Documents and repository."""
    lend: Callable[[], AbstractContextManager[Store]]


class RunBindings:
    """Host functions of one Run, and what its Cells have done with them."""

    def __init__(self, looking: Looking, limit: Limit, tally: Tally) -> None:
        self.has_read = False
        """A Cell has looked at something, or asked a child that did."""
        self.quotes: list[str] = []
        """Given to the last FINAL."""
        self._looking = looking
        self._limit = limit
        self._tally = tally
        self._lock = threading.Lock()
        self._asked = self._answered = 0
        self._latest: tuple[str, ...] = ()

    @property
    def so_far(self) -> str:
        """What models have answered last; from any thread."""
        with self._lock:
            asked, answered, latest = self._asked, self._answered, self._latest
        if not asked:
            return ""
        head = f"{answered:,} of {asked:,} questions to models were answered{', the last ones:' if latest else ''}"
        return redact("\n".join([head, *(f"- {answer}" for answer in latest)]))[0]

    def of_cell(self, asking: Asking, child: Child) -> Mapping[str, Binding]:
        """All that one Cell may call."""
        looking = self._looking
        self.quotes = []
        children = Children(Parent(session_key=looking.session_key, scope=looking.scope, bindings=looking.data), child)
        asked = {**asking.bindings(), **children.bindings()}
        return {
            **{name: self._seen(binding) for name, binding in looking.data.items()},
            **{name: self._counted(binding) for name, binding in asked.items()},
            "context": self._seen(self._context),
            "context_places": looking.scope.places,
            "context_pack": self._seen(self._context_pack),
            "looked": self._seen(_nothing),
            "quotes": self._quoted,
            "read": self._seen(self._read),
        }

    def heard(self, answers: Sequence[Answered], *, is_last: bool) -> None:
        """Models have answered, or not.

        Args:
            is_last: the Cell's time is the Run's.
        """
        came = [answer for answer in answers if isinstance(answer, Asked)]
        self._tally.add([answer.worth for answer in came])
        for answer in answers:
            if not isinstance(answer, Asked):
                self._limit.failed(answer, is_last=is_last)

    def heard_child(self, answer: str) -> None:
        """A child has answered."""
        self.has_read = True
        self.came(answer)

    def asks(self, count: int) -> None:
        """So many questions are asked, of models or children."""
        with self._lock:
            self._asked += count

    def came(self, answer: str) -> None:
        """One of them was answered; from any thread."""
        with self._lock:
            self._answered += 1
            self._latest = (*self._latest, answer[:_PARTIAL_ANSWER_CHARS])[-_PARTIAL_ANSWERS:]

    def _seen(self, binding: Binding) -> Binding:
        """The same function; that it was called is noted."""

        @wraps(binding)  # its signature too: a Cell may call it in any way
        def called(*given: Any, **named: Any) -> JSON | Handed:
            self.has_read = True
            return binding(*given, **named)

        return called

    def _counted(self, binding: Binding) -> Binding:
        """The same function; a Cell that goes on calling it behind a limit is interrupted."""

        @wraps(binding)
        def called(*given: Any, **named: Any) -> JSON | Handed:
            self._limit.called()
            return binding(*given, **named)

        return called

    def _context(self, part: Any) -> Handed:
        """One text, by itself."""
        texts = self._looking.scope.texts or ()
        if not isinstance(part, int) or isinstance(part, bool) or not 0 <= part < len(texts):
            raise QueryError(f"context has no part {part!r:.80}")
        source = texts[part]
        if source.path is not None and source.start == 0:
            return Handed(path=source.path, length=source.end)
        return Handed(content=source.read())

    def _context_pack(self, number: Any) -> Handed:
        is_number = isinstance(number, int) and not isinstance(number, bool)
        handed = self._looking.scope.pack(number) if is_number else None
        if handed is None:
            raise QueryError(f"context has no pack {number!r:.80}")
        return handed

    def _read(self, ref: Any) -> JSON | Handed:
        """The text of a Ref; ``c3`` is what the third Cell of this Run printed."""
        own = _OWN_CELL.fullmatch(ref.strip()) if isinstance(ref, str) else None
        if own is not None:
            with self._looking.lend() as store:
                whole = runs.whole_output(store, self._looking.run, int(own[1]))
            return Handed(content=whole.encode("utf-8", "replace"))
        if "read" not in self._looking.data:
            raise QueryError(f"there is no session here, so {ref!r:.80} names nothing; 'c1' is your first output")
        return self._looking.data["read"](ref=ref)

    def _quoted(self, quotes: Any) -> None:
        if not isinstance(quotes, list) or not all(isinstance(quote, str) for quote in quotes):
            raise QueryError(f"quotes is {quotes!r:.80}; give a list of texts")
        if len(quotes) > MAX_QUOTES:
            raise QueryError(f"{len(quotes):,} quotes; at most {MAX_QUOTES} are checked: give those that prove most")
        self.quotes = quotes


def _nothing() -> None:
    """Nothing is to be done."""
