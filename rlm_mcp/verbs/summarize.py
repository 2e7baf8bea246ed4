"""summarize: a text too long to read becomes a tree of summaries, each with the Ref of what it stands for.

Leaves are made from pieces of some 2,500 tokens; every level above is condensed from the one below. Pieces and groups
end where the content itself says so (content-defined chunking: Muthitacharoen, Chen, Mazieres, "A Low-bandwidth Network
File System", 2001), so a text that has grown or was edited anywhere keeps nearly all of them. All answers are cached by
content: done again, only what is new is asked.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rlm_mcp.costs import Spent
from rlm_mcp.errors import BudgetExceeded, QueryError, RlmError, SubLMError
from rlm_mcp.recursion.asking import prompt_text
from rlm_mcp.recursion.noting import RunAnswer
from rlm_mcp.recursion.run import OK, Engine, Run, ended_by
from rlm_mcp.recursion.scope import Scope, Source
from rlm_mcp.store import summaries
from rlm_mcp.store.database import Store
from rlm_mcp.store.summaries import SummaryRow
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Asked, Purpose
from rlm_mcp.verbs.ask import AskAnswer

_LEAST_BYTES, _PIECE_BYTES = 7_000, 12_000
"""Of a piece: about 1,750 to 3,000 tokens."""
_LEAST_FAN_IN, _FAN_IN = 5, 8
"""Summaries condensed into one."""
_REPLY_TOKENS = 600
_BORDERS = (b"\n@e", b"\n\n", b"\n", b" ")
"""Where a piece may end, the best first: before an Event's header in a Session's log."""
_SIGN_BYTES = 256
"""So many before a border say whether a piece ends there."""
_AT_ONCE = 256
"""Texts that are in main storage together, however long all of it is."""
_Wanted = tuple[str, Callable[[], str], tuple[int, ...]]
"""A summary to be made: its Ref, what it is made from, the numbers of that in the level below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A tree of summaries, or what there is of it."""

    text: str
    """That stands for all; empty unless ``status`` is ``ok``."""
    status: str
    """``ok``, or what ended it, as of a Run."""
    rows: tuple[SummaryRow, ...]
    """All that was made, the leaves first."""
    pieces: int
    """Leaves there are to make."""
    spent: Spent
    error: RlmError | None = None


def summarized(  # noqa: PLR0913  # what a question needs
    store: Store, run: Run, scope: Scope, engine: Engine, *, budget: Budget, stop: Stop, focus: str = ""
) -> AskAnswer:
    """The summary as the answer to a question, kept as a Run. Raises as :func:`summarize` does."""
    if not any(source.size for source in _sources(scope)):
        raise QueryError(f"{scope.name} holds no text to summarise")
    run.begin("summary")
    found = as_answer(summarize(store, run.id, scope, engine, budget=budget, stop=stop, focus=focus), run.id)
    run.end(RunAnswer(run=run.id, status=found.status, answer=found.answer, partial=found.partial, error=found.error))
    return found


def summarize(  # noqa: PLR0913  # what a question needs
    store: Store, run_id: str, scope: Scope, engine: Engine, *, budget: Budget, stop: Stop, focus: str = ""
) -> Summary:
    """Summarise the scope, which holds some text; one without a ``focus`` is kept in the store.

    Raises:
        StoreError: it cannot be kept.
    """
    pieces = [piece for source in _sources(scope) for piece in _pieces(source)]
    making = _Making(run=run_id, scope=scope.name, engine=engine, budget=budget, stop=stop, focus=focus.strip())
    error = making.tree([(piece.ref_of(piece.start, piece.end), piece.text, ()) for piece in pieces])
    status = OK if error is None else ended_by(error)
    if error is None and not making.focus:
        with store.writing():
            summaries.put(store, scope.name, making.rows)
    return Summary(
        text=making.rows[-1].text if error is None else "",
        status=status,
        rows=tuple(making.rows),
        pieces=len(pieces),
        spent=budget.spent,
        error=error,
    )


class _Making:
    """A tree under way."""

    def __init__(self, *, run: str, scope: str, engine: Engine, budget: Budget, stop: Stop, focus: str) -> None:
        self.rows: list[SummaryRow] = []
        self.focus = focus
        self._run = run
        self._scope = scope
        self._engine = engine
        self._budget = budget
        self._stop = stop

    def tree(self, wanted: Sequence[_Wanted]) -> BudgetExceeded | SubLMError | None:
        """Make it, level by level; why it did not come to its end."""
        try:
            self._engine.known.ready(self._stop)
        except SubLMError as ended:
            return ended
        number = 0
        while True:
            level, error = self._level(number, wanted)
            self.rows += level
            if error is not None or len(level) == 1:
                return error
            wanted = [
                (_joined(group), partial(_texts, group), tuple(row.number for row in group)) for group in _groups(level)
            ]
            number += 1

    def _level(
        self, level: int, wanted: Sequence[_Wanted]
    ) -> tuple[list[SummaryRow], BudgetExceeded | SubLMError | None]:
        """One level, without those that failed; and the first failure."""
        system = prompt_text("leaf" if level == 0 else "condense")
        if self.focus:
            system = f"{system}\nWhat matters most: {self.focus}"
        purpose = Purpose(run=self._run, session=self._engine.session["key"], what="summarize")
        made: list[SummaryRow] = []
        for start in range(0, len(wanted), _AT_ONCE):
            batch = wanted[start : start + _AT_ONCE]
            requests = [
                Request(prompt=text(), system=system, model=self._engine.sub_model, max_tokens=_REPLY_TOKENS)
                for _ref, text, _children in batch
            ]
            answers = self._engine.sub.ask_all(requests, self._budget, self._stop, purpose, width=self._engine.width)
            made += [
                SummaryRow(
                    scope=self._scope,
                    level=level,
                    number=number,
                    ref=ref,
                    text=answer.text.strip(),
                    children=children,
                    model=answer.model,
                    time=time.time(),
                )
                for number, ((ref, _text, children), answer) in enumerate(zip(batch, answers, strict=True), start=start)
                if isinstance(answer, Asked)
            ]
            failed = next((answer for answer in answers if not isinstance(answer, Asked)), None)
            if failed is not None:
                return made, failed
        return made, None


def _sources(scope: Scope) -> Sequence[Source]:
    return scope.texts if scope.texts is not None else scope.sources[:1]


def _texts(group: Sequence[SummaryRow]) -> str:
    return "\n\n".join(row.text for row in group)


def _joined(group: Sequence[SummaryRow]) -> str:
    """The Ref from the beginning of the first to the end of the last, where they are of one text; else the first's."""
    first, last = group[0].ref, group[-1].ref
    start, dash, _end = first.rpartition("-")
    same = first.rpartition(":")[0] == last.rpartition(":")[0]
    return f"{start}-{last.rpartition('-')[2]}" if dash and same else first


def _pieces(source: Source) -> Iterator[Source]:
    """The source in pieces, cut at natural borders."""
    start = 0
    while start < source.size:
        piece = source.part(start, min(start + _PIECE_BYTES, source.size))
        length = piece.size if start + piece.size >= source.size else _cut(piece.read())
        yield source.part(start, start + length)
        start += length


def _cut(content: bytes) -> int:
    """Where to end a piece that goes on: of its best borders the one that the bytes before it choose."""
    for border in _BORDERS:
        ends = [found.start() + 1 for found in re.finditer(re.escape(border), content) if found.start() >= _LEAST_BYTES]
        if ends:
            return max(ends, key=lambda end: zlib.crc32(content[end - _SIGN_BYTES : end]))
    at = len(content)
    while at > 1 and content[at - 1] & 0xC0 == 0x80:  # not inside a character
        at -= 1
    return max(1, at - 1) if content[at - 1] & 0x80 else at


def _groups(level: Sequence[SummaryRow]) -> Iterator[Sequence[SummaryRow]]:
    """A level in groups to be condensed; each ends behind the one that its texts choose."""
    start = 0
    while len(level) - start > _FAN_IN:
        ends = range(start + _LEAST_FAN_IN, start + _FAN_IN + 1)
        end = max(ends, key=lambda at: zlib.crc32(level[at - 1].text.encode("utf-8", "replace")))
        yield level[start:end]
        start = end
    yield level[start:]


def as_answer(found: Summary, run_id: str) -> AskAnswer:
    """The summary as an answer, kept under that id: its Refs are those of the parts that the top was condensed from."""
    parts = [row for row in found.rows if found.status == OK and row.level == max(0, found.rows[-1].level - 1)]
    made = sum(row.level == 0 for row in found.rows)
    return AskAnswer(
        answer=found.text,
        status=found.status,
        way="summary",
        spent=found.spent,
        refs=tuple(row.ref for row in parts if row.ref),
        run=run_id,
        partial="" if found.status == OK else "\n\n".join(row.text for row in found.rows if row.level == 0),
        error=found.error or (None if made == found.pieces else QueryError("not all parts were summarised")),
    )
