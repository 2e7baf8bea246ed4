"""search, scope ``docs``: words, phrases and patterns in the Documents a Session has loaded; secrets are not shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from rlm_mcp.brief.fit import Line, fit
from rlm_mcp.errors import QueryError
from rlm_mcp.store import document_search as index
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store
from rlm_mcp.store.document_search import PieceHit, PlaceHit
from rlm_mcp.store.documents import LoadedRow
from rlm_mcp.store.search import matching, words_of
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import one_line
from rlm_mcp.verbs.hits import Hit, SearchAnswer, answered
from rlm_mcp.verbs.query import content_words

_HITS = 40
_FEW_HITS = 3
_NARROWEST = 110
_PLACE_TOKENS = 20
"""A hit takes no less in an answer."""
_PASSAGE_BYTES = 200
"""Shown of a piece: its best line, and the next ones up to this much."""
_LINE_BYTES = 600
"""Of a longer line, what stands around the first word."""
_NAME_CHARS = 80


def search_docs(store: Store, session: SessionRow, query: str, *, mode: str, budget: int, offset: int) -> SearchAnswer:
    """Search the Session's Documents; an empty query lists them.

    Args:
        mode: ``auto`` and ``words`` take words, ``phrase`` and ``regex`` a pattern.
        budget: of the answer's text, in tokens.

    Raises:
        QueryError: the pattern is not valid, or the search took too long.
        StoreDamaged: the text of a Document is gone.
    """
    among = documents.known_to(store, session)
    asking = _Search(store=store, among=among, query=query, budget=budget, offset=offset)
    if not among:
        return asking.nothing("no documents are loaded in this session; load brings files in")
    if mode in ("regex", "phrase"):
        return asking.places(query, fixed=mode == "phrase")
    if not query.strip():
        return asking.listed()
    return asking.words(content_words(query) or words_of(query))


def mention(store: Store, session: SessionRow, pattern: str, *, fixed: bool) -> str:
    """Behind "nothing matches": that the Session's Documents hold it, if they do; else nothing."""
    among = documents.known_to(store, session)
    if not among:
        return ""
    words = words_of(pattern) if fixed else []
    count = index.count_words(store, among, matching(words, every=True)) if words else 0
    count = count or index.by_pattern(store, among, pattern, fixed=fixed).total
    where = "1 place in loaded documents does" if count == 1 else f"{count:,} places in loaded documents do"
    return f" here, but {where}: scope=docs" if count else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """One search under way."""

    store: Store
    among: Sequence[LoadedRow]
    query: str
    budget: int
    offset: int

    @property
    def _most(self) -> int:
        """Hits that an answer can hold."""
        return self.budget // _PLACE_TOKENS

    def listed(self) -> SearchAnswer:
        """The Documents by name."""
        makes = [partial(_described, row) for row in self.among[self.offset : self.offset + self._most]]
        return self._answer(makes, len(self.among), noun="documents")

    def words(self, words: Sequence[str]) -> SearchAnswer:
        """Pieces with every word before those with any."""
        tokens = list(dict.fromkeys(token for word in words for token in words_of(word)))
        if not tokens:
            raise QueryError('the query holds no word; give words, a "phrase" or a /pattern/')
        found, total = self._pieces(tokens)
        if not found:
            return self.places(" ".join(words), fixed=True)
        rows = {row.document: row for row in self.among}
        pattern = _any_of(tokens)
        makes = [
            partial(self._passage, rows[piece.document], piece, pattern, len(tokens)) for piece in found[self.offset :]
        ]
        return self._answer(makes, total, noun="passages hold these words")

    def _pieces(self, tokens: Sequence[str]) -> tuple[list[PieceHit], int]:
        limit = self.offset + _HITS
        match = matching(tokens, every=True)
        found = index.by_words(self.store, self.among, match, limit)
        if len(found) < _FEW_HITS and len(tokens) > 1:
            match = matching(tokens, every=False)
            seen = set(found)
            found += [hit for hit in index.by_words(self.store, self.among, match, limit) if hit not in seen]
        if len(found) < limit:
            return found, len(found)
        return found, index.count_words(self.store, self.among, match)

    def _passage(self, row: LoadedRow, piece: PieceHit, words: re.Pattern[str], count: int) -> Hit:
        """The line of a piece that holds most of the ``count`` words, and where it stands."""
        content = documents.read(self.store, row.sha256, piece.start, piece.length)
        start, end = _best(content, words, count)
        number = piece.line + content.count(b"\n", 0, start)
        return self._hit(row, piece.start + start, piece.start + end, number, content[start:end])

    def _hit(self, row: LoadedRow, start: int, end: int, line: int, content: bytes) -> Hit:
        """Bytes ``start`` to ``end`` of a Document, which are ``content``."""
        secrets = documents.secrets_in(self.store, row.document, start, end)
        text = documents.masked(content, start, secrets)
        return Hit(
            ref=f"{row.ref}:{start}-{end}", kind="document", turn=0, text=f"{_name(row)}:{line}: {text}", time=row.time
        )

    def places(self, pattern: str, *, fixed: bool) -> SearchAnswer:
        """Places where a phrase or pattern stands, in order."""
        found = index.by_pattern(self.store, self.among, pattern, fixed=fixed)
        if not found.total:
            count = len(self.among)
            return self.nothing(f"nothing in {count:,} loaded documents matches {one_line(pattern, 120)!r}")
        makes = [partial(self._place, hit) for hit in found.hits[self.offset : self.offset + self._most]]
        return self._answer(makes, found.total, noun="places")

    def _place(self, hit: PlaceHit) -> Hit:
        """The line of a match, or as much of it as is near; its Ref is that of the match."""
        row = hit.document
        first, last = max(0, hit.start - 80), min(row.length, hit.end + 160, hit.start + 2_000)
        content = documents.read(self.store, row.sha256, first, last - first)
        begin = first + content.rfind(b"\n", 0, hit.start - first) + 1
        stop = content.find(b"\n", min(hit.end, last) - first)
        end = last if stop < 0 else first + stop
        line = index.line_at(self.store, row, hit.start)
        shown = self._hit(row, begin, max(begin, end), line, content[begin - first : max(begin, end) - first])
        return Hit(ref=f"{row.ref}:{hit.start}-{hit.end}", kind="document", turn=0, text=shown.text, time=row.time)

    def nothing(self, why: str) -> SearchAnswer:
        """Nothing is found."""
        return answered(self.query, [why], [], 0, is_cut=False)

    def _answer(self, makes: Sequence[Callable[[], Hit]], total: int, *, noun: str) -> SearchAnswer:
        """As many hits, each made when it is first needed, as there is room for."""
        if not makes:
            return answered(
                self.query, [f"{total:,} {noun}, none from offset {self.offset} on"], [], total, is_cut=False
            )
        made = [cache(make) for make in makes[: self._most]]
        fitted = fit([_line(hit) for hit in made], self.budget - 30, narrowest=_NARROWEST)
        written = list(fitted.lines) or [one_line(_line(made[0])(_NARROWEST), self.budget * 2)]
        shown = len(written)
        is_cut = self.offset + shown < total
        if is_cut or self.offset:
            rest = f"; more: offset={self.offset + shown}" if is_cut else ""
            written[-1] += f"  [{total:,} {noun}{rest}]"
        return answered(self.query, written, [hit() for hit in made[:shown]], total, is_cut=is_cut)


def _line(make: Callable[[], Hit]) -> Line:
    return lambda width: f"{one_line(make().text, width)} {make().ref}"


def _described(row: LoadedRow) -> Hit:
    text = f"{row.name}: {row.length:,} bytes, {row.lines:,} lines, {row.encoding}, from {row.path}"
    return Hit(ref=row.ref, kind="document", turn=0, text=text, time=row.time)


def _name(row: LoadedRow) -> str:
    """The name, or the end of a long one."""
    return row.name if len(row.name) <= _NAME_CHARS else "\u2026" + row.name[1 - _NAME_CHARS :]


def _any_of(words: Sequence[str]) -> re.Pattern[str]:
    """Finds whole words in folded text, as the index splits them."""
    either = "|".join(re.escape(_folded(word)) for word in words)
    return re.compile(f"(?<![a-z0-9])(?:{either})(?![a-z0-9])")


def _best(content: bytes, words: re.Pattern[str], count: int) -> tuple[int, int]:
    """Where in a piece the passage to show begins and ends: from the line that holds most of the ``count`` words."""
    text = content.decode("utf-8", "replace")
    best, first = _best_line(_folded(text), words, count)
    if len(text) != len(content):
        best, first = (len(text[:place].encode()) for place in (best, first))
    end = content.find(b"\n", best)
    while 0 <= end < best + _PASSAGE_BYTES:
        end = content.find(b"\n", end + 1)
    end = len(content) if end < 0 else end
    if end - best <= _LINE_BYTES:
        return best, end
    begin = max(best, first - 100)
    return _whole(content, begin), _whole(content, min(end, begin + _LINE_BYTES))


def _best_line(folded: str, words: re.Pattern[str], count: int) -> tuple[int, int]:
    """Where the line begins that holds most of the words, and where its first word stands; in characters."""
    best = first = most = line_end = line_first = 0
    held: set[str] = set()
    for found in words.finditer(folded):
        if found.start() >= line_end:
            end = folded.find("\n", found.start())
            line_end, line_first, held = end if end >= 0 else len(folded), found.start(), set()
        held.add(found[0])
        if len(held) > most:
            best, first, most = folded.rfind("\n", 0, line_first) + 1, line_first, len(held)
        if most >= count:
            break
    return best, first


class _Folding(dict[int, int]):
    """Character -> the small letter without its accent, one for one, as the index folds it; filled as it is asked."""

    def __missing__(self, code: int) -> int:
        """The first character of the small letter's canonical parts."""
        self[code] = ord(unicodedata.normalize("NFD", chr(code).lower())[0])
        return self[code]


_FOLDING = _Folding()


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_FOLDING)


def _whole(content: bytes, at: int) -> int:
    """``at``, or where the character it lies in begins."""
    while 0 < at < len(content) and content[at] & 0xC0 == 0x80:
        at -= 1
    return at
