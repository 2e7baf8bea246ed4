"""search: words, phrases, patterns and typed questions over a Session, its lineage or its project.

Three answers, the fitting ones together within the token budget: the complete set a typed question asks for; a digest
of the Turn whose prompt the words are from (so that the user's own words find what was run, changed, decided or went
wrong there); and the Events that hold the words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from rlm_mcp.brief.fit import Line, fit
from rlm_mcp.brief.lines import View
from rlm_mcp.errors import QueryError
from rlm_mcp.events import EventKind
from rlm_mcp.store import events, sessions
from rlm_mcp.store import search as index
from rlm_mcp.store.database import Store
from rlm_mcp.store.events import EventRow, TurnRow
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.text import estimate_tokens, one_line, snippet
from rlm_mcp.verbs import typed as sets
from rlm_mcp.verbs.digest import digest
from rlm_mcp.verbs.hits import Hit, SearchAnswer, answered
from rlm_mcp.verbs.query import MAX_QUERY_CHARS, Question, TypedQuery, content_words, understand
from rlm_mcp.verbs.search_docs import mention, search_docs

MODES = ("auto", "words", "phrase", "regex")
SCOPES = ("session", "lineage", "project", "all", "docs")
MIN_TOKENS, MAX_TOKENS = 100, 20_000
MAX_QUERY_WORDS = 200
"""Different ones; a phrase or pattern may have more."""
_PROMPT_TURNS = 5
_COVERED = 0.6
_SNIPPET_CHARS = 220
_WIDEST_SNIPPET = 500
_SNIPPET_BYTES = 100_000
"""Of an Event's text, looked at for the place to show."""
_HITS = 40
_FEW_HITS = 3
_ONE_HIT = 64
"""Tokens kept for Events that hold the words, whatever the digests take."""
_PLACE_TOKENS = 20
"""A place takes no less in an answer."""


def search(  # noqa: PLR0913  # the tool's own parameters
    store: Store,
    session: SessionRow,
    query: str,
    *,
    kind: str = "",
    turns: str = "",
    scope: str = "session",
    mode: str = "auto",
    max_tokens: int | None = None,
    offset: int = 0,
) -> SearchAnswer:
    """Search the scope; the answer's text fits ``max_tokens``.

    Args:
        kind: only Events of this EventKind, or (typed) the Facts of this FactKind.
        turns: ``"4"``, ``"3-9"``; empty for all.
        scope: ``session`` (this one and what it continues by resume, fork or compaction), ``lineage`` (what came before
            a /clear too), ``project`` (its folder's), ``all``; ``docs``: the Documents it has loaded.
        mode: ``auto`` understands typed questions, "quoted phrases" and /patterns/; the others say it outright.
        offset: how many lines or hits to pass over (for the next page).

    Raises:
        QueryError: a filter, mode, scope or pattern that cannot be, or a query that is too long.
    """
    mode, wanted = _mode(mode, query)
    only = _only(kind, turns)
    budget = _budget(store, max_tokens, offset)
    if scope == "docs":
        if kind or turns:
            raise QueryError(f"documents have neither kind ({kind!r}) nor turns ({turns!r}); leave these out")
        return search_docs(store, session, wanted, mode=mode, budget=budget, offset=offset)
    parts = _scope(store, session, scope)
    asking = _Search(
        store=store,
        view=View(cwd=session.cwd, session_key=session.key),
        parts=parts,
        only=only,
        budget=budget,
        offset=offset,
        query=query,
        mentions_docs=scope == "session",
    )
    if mode in ("regex", "phrase"):
        return asking.places(wanted, fixed=mode == "phrase")
    if only.kind in sets.NOUNS and only.kind not in set(EventKind):
        question = Question(typed=(TypedQuery(kind=only.kind),), words=tuple(content_words(query)))
        return asking.typed(replace(question, is_plain_question=not question.words))
    if mode == "auto" and not only.kind:
        return asking.understood(understand(query))
    return asking.words(content_words(query) or index.words_of(query))


def _budget(store: Store, max_tokens: int | None, offset: int) -> int:
    if offset < 0:
        raise QueryError(f"offset {offset!r} is less than 0; give how many lines to pass over")
    wanted = store.settings.search_tokens if max_tokens is None else max_tokens
    if not MIN_TOKENS <= wanted <= MAX_TOKENS:
        raise QueryError(f"max_tokens {wanted!r} cannot be; ask for {MIN_TOKENS:,} to {MAX_TOKENS:,}")
    return wanted


def _only(kind: str, turns: str) -> index.Only:
    if kind and kind not in set(EventKind) and kind not in sets.NOUNS:
        known = ", ".join(sorted({*map(str, EventKind), *sets.NOUNS}))
        raise QueryError(f"kind {kind!r} is not known; known: {known}")
    if not turns:
        return index.Only(kind=kind)
    found = re.fullmatch(r"\s*t?(\d{1,9})\s*(?:-\s*t?(\d{1,9})\s*)?", turns, re.ASCII)
    if found is None:
        raise QueryError(f"turns {turns!r} is not a range; write '4' or '3-9'")
    first = int(found[1])
    return index.Only(kind=kind, turns=(first, int(found[2]) if found[2] else first))


def _scope(store: Store, session: SessionRow, scope: str) -> list[ScopePart]:
    if scope == "session":
        return sessions.continued(store, session)
    if scope == "lineage":
        return sessions.lineage(store, session)
    if scope == "project":
        return sessions.of_project(store, session)
    if scope == "all":
        rows = [row for row in sessions.all_sessions(store, 200) if row.id != session.id]
        return [ScopePart(session=row, max_seq=row.events) for row in (session, *rows)]
    raise QueryError(f"scope {scope!r} is not known; known: {', '.join(SCOPES)}")


def _mode(mode: str, query: str) -> tuple[str, str]:
    """How to search, and for what: the one place where a query's length is looked at."""
    if mode not in MODES:
        raise QueryError(f"mode {mode!r} is not known; known: {', '.join(MODES)}")
    if len(query) > MAX_QUERY_CHARS:
        raise QueryError(
            f"a query of {len(query):,} characters is too long; the limit is {MAX_QUERY_CHARS:,}: give the words that "
            "matter, or a part of it"
        )
    stripped = query.strip()
    if not stripped and mode != "auto":
        raise QueryError("the query is empty; give words, a phrase or a pattern")
    if mode == "auto" and len(stripped) > 2 and stripped[0] == stripped[-1] == '"':
        return "phrase", stripped[1:-1]
    if mode == "auto" and len(stripped) > 2 and stripped[0] == stripped[-1] == "/" and "/" not in stripped[1:-1]:
        return "regex", stripped[1:-1]
    words = 0 if mode in ("regex", "phrase") else len(index.word_set(query))
    if words > MAX_QUERY_WORDS:
        raise QueryError(
            f"a query of {words:,} different words is too long; the limit is {MAX_QUERY_WORDS}: give what matters, "
            "or a line of it as a phrase (mode=phrase)"
        )
    return mode, query if mode != "phrase" else stripped.strip('"')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """One search under way."""

    store: Store
    view: View
    parts: Sequence[ScopePart]
    only: index.Only
    budget: int
    offset: int
    query: str
    mentions_docs: bool
    """Say where nothing is found that loaded Documents hold it."""

    def understood(self, question: Question) -> SearchAnswer:
        """Typed set, digest of the Turn the words are from, or plain word hits: what fits the question."""
        if not question.typed:
            return self.words(list(question.words) or index.words_of(self.query))
        if question.is_plain_question and not self._is_a_prompt():
            return self.typed(question)
        answer = self.typed(replace(question, is_plain_question=not question.words))
        if answer.total and not self._is_a_prompt():
            return answer
        return self.words(content_words(self.query) or index.words_of(self.query))

    def _is_a_prompt(self) -> bool:
        """Whether the query is, nearly word for word, what the user said to open a Turn."""
        words = set(index.words_of(self.query))
        for _part, turn, _share in self._turns_of(sorted(words))[:1]:
            said = set(index.words_of(turn.prompt))
            return bool(words) and len(words & said) / len(words | said) >= 0.75
        return False

    def typed(self, question: Question) -> SearchAnswer:
        """The complete set, narrowed by the question's other words where they fit anything."""
        found: dict[tuple[str, str], sets.Item] = {}
        for query in question.typed:
            for item in sets.items(self.store, self.parts, query, self.view):
                if self._admits(item.turn):
                    found.setdefault((item.kind, item.text + item.ref), item)
        items = list(found.values())
        if question.words:
            items = self._narrowed(items, question.words)
        if not items:
            return self._nothing(self._none_of(question))
        page = items[self.offset :]
        if not page:
            return answered(
                self.query, [f"{len(items)} in all, none from {self.offset} on"], [], len(items), is_cut=False
            )
        kinds = list(dict.fromkeys(item.kind for item in page))
        fitted = fit(
            [item.line for item in page], self.budget - 30 - 12 * len(kinds), narrowest=sets.narrowest(question.typed)
        )
        lines = list(fitted.lines) or [one_line(page[0].line(100), self.budget * 2)]
        shown = page[: len(lines)]
        for kind in kinds:  # a kind's noun and number stand before its first line, so that every line is an answer
            first = next((number for number, item in enumerate(shown) if item.kind == kind), None)
            if first is not None:
                lines[first] = f"{self._noun(kind, items)}: {lines[first]}"
        return self._answer(lines, shown, len(items), is_cut=self.offset + len(shown) < len(items))

    def _noun(self, kind: str, items: Sequence[sets.Item]) -> str:
        count = sum(item.kind == kind for item in items)
        return f"{sets.NOUNS[kind]} ({count}{f', from {self.offset + 1} on' if self.offset else ''})"

    def _none_of(self, question: Question) -> str:
        """That there is none, and how many there are that do not fit."""
        asked = question.typed[0]
        noun = sets.NOUNS[asked.kind]
        about = f" for {' '.join(question.words)}" if question.words else ""
        every = sets.items(self.store, self.parts, TypedQuery(kind=asked.kind), self.view) if asked.statuses else []
        if not every:
            return f"no {noun} recorded{about}"
        return f"no {' or '.join(asked.statuses).replace('_', ' ')} {noun}{about} ({len(every)} others)"

    def _narrowed(self, items: Sequence[sets.Item], words: Sequence[str]) -> list[sets.Item]:
        scored = [(sum(word in item.text.lower() for word in words), item) for item in items]
        best = [item for score, item in sorted(scored, key=lambda pair: -pair[0]) if score > 0]
        if best:
            return best
        turns = {(part.session.key, turn.number) for part, turn, share in self._turns_of(words) if share >= _COVERED}
        return [item for item in items if (item.session_key, item.turn) in turns]

    def words(self, words: Sequence[str]) -> SearchAnswer:
        """Digests of the Turns the words are from (on the first page), then the Events that hold them."""
        if not words:
            raise QueryError('the query is empty; give words, a "phrase", a /pattern/ or a typed question')
        tokens = list(dict.fromkeys(token for word in words for token in index.words_of(word)))
        leading = [] if self.only.kind else self._leading(tokens)
        hits, total = self._word_hits(tokens)
        if not hits and not leading:
            return self.places(" ".join(words), fixed=True)
        lines, found = ([], []) if self.offset else self._digests(leading)
        room = max(_ONE_HIT, self.budget - 24 - sum(estimate_tokens(line) + 1 for line in lines))
        page = hits[self.offset :]
        fitted = fit([self._hit_line(hit.event, tokens) for hit in page], room, narrowest=_ONE_HIT)
        shown = len(fitted.lines)
        lines += fitted.lines
        found += [self._hit(hit.event, tokens) for hit in page[:shown]]
        is_cut = self.offset + shown < total
        if is_cut and lines:
            lines[-1] += f"  [{total} events hold these words; more: offset={self.offset + shown}]"
        return answered(
            self.query, lines or [f"{total} events, none from offset {self.offset} on"], found, total, is_cut=is_cut
        )

    def _leading(self, tokens: Sequence[str]) -> list[tuple[ScopePart, TurnRow]]:
        """The Turns whose prompts the words are from; fewer where there is little room to tell of them."""
        most = 0 if self.budget < 200 else 1 if self.budget < 700 else 3
        return [(part, turn) for part, turn, share in self._turns_of(tokens) if share >= _COVERED][:most]

    def _digests(self, leading: Sequence[tuple[ScopePart, TurnRow]]) -> tuple[list[str], list[Hit]]:
        lines: list[str] = []
        hits: list[Hit] = []
        room = self.budget - 24 - _ONE_HIT
        for number, (part, turn) in enumerate(leading):
            share = 1.0 if number == len(leading) - 1 else 0.62
            made = digest(self.store, part, turn, self.view, int(room * share))
            room -= sum(estimate_tokens(line) + 1 for line in made)
            lines += made
            prefix = "" if part.session.key == self.view.session_key else f"{part.session.key}."
            hits.append(
                Hit(ref=f"{prefix}t{turn.number}", kind="turn", turn=turn.number, text=turn.prompt, time=turn.started)
            )
        return lines, hits

    def _word_hits(self, tokens: Sequence[str]) -> tuple[list[index.WordHit], int]:
        """Events in the order of all pages: those with every word before those with any."""
        limit = self.offset + _HITS
        match = index.matching(tokens, every=True)
        hits = index.by_words(self.store, self.parts, match, only=self.only, limit=limit)
        if len(hits) < _FEW_HITS and len(tokens) > 1:
            match = index.matching(tokens, every=False)
            seen = {(hit.event.session, hit.event.seq) for hit in hits}
            loose = index.by_words(self.store, self.parts, match, only=self.only, limit=limit)
            hits += [hit for hit in loose if (hit.event.session, hit.event.seq) not in seen]
        if len(hits) < limit:
            return hits, len(hits)
        return hits, index.count_words(self.store, self.parts, match, only=self.only)

    def _turns_of(self, words: Sequence[str]) -> list[tuple[ScopePart, TurnRow, float]]:
        """Turns by how much of the words their prompt holds, the best first."""
        if not words:
            return []
        match = index.matching(words, every=False, columns="prompt")
        hits = index.by_words(self.store, self.parts, match, only=index.Only(turns=self.only.turns), limit=60)
        parts = {part.session.id: part for part in self.parts}
        found: list[tuple[ScopePart, TurnRow, float, float]] = []
        for hit in hits[: _PROMPT_TURNS * 4]:
            part = parts[hit.event.session]
            said = index.word_set(events.text_of(self.store, hit.event, max_bytes=40_000))
            share = sum(word in said for word in words) / len(words)
            closeness = share * (1.0 + 0.5 * min(1.0, len(words) / max(1, len(said))))
            found.append((part, events.turn_row(self.store, part.session, hit.event.turn), share, closeness))
        found.sort(key=lambda row: (-row[3], -row[1].number))
        best = found[0][3] if found else 0.0
        return [(part, turn, share) for part, turn, share, close in found[:_PROMPT_TURNS] if close >= best * 0.75]

    def places(self, pattern: str, *, fixed: bool) -> SearchAnswer:
        """Places where a phrase or pattern stands, in order, several of one Event on lines of their own."""
        found, is_cut = index.by_pattern(self.store, self.parts, pattern, fixed=fixed)
        admitted = [hit for hit in found if self._admits(hit.turn) and self.only.kind in ("", hit.kind)]
        if not admitted:
            session = self.parts[0].session
            there = mention(self.store, session, pattern, fixed=fixed) if self.mentions_docs else ""
            return self._nothing(f"nothing matches {one_line(pattern, 120)!r}{there}")
        page = admitted[self.offset :]
        lines: list[Line] = []
        hits: list[Hit] = []
        for hit in page[: self.budget // _PLACE_TOKENS]:
            event = events.event_row(self.store, hit.session, hit.seq)
            around = events.around(self.store, event, hit.start, hit.end)
            ref = self.view.ref(event.session_key, event.seq, f":{hit.start}-{hit.end}")
            hits.append(Hit(ref=ref, kind=event.kind, turn=event.turn, text=around, time=event.time))
            lines.append(_place_line(event, around, ref))
        fitted = fit(lines, self.budget - 30, narrowest=110)
        shown = len(fitted.lines)
        more = "at least " if is_cut else ""
        head = f"{more}{len(admitted)} places: "
        written = [head + line if number == 0 else line for number, line in enumerate(fitted.lines)]
        return self._answer(written, hits[:shown], len(admitted), is_cut=is_cut or self.offset + shown < len(admitted))

    def _admits(self, turn: int) -> bool:
        return self.only.turns is None or self.only.turns[0] <= turn <= self.only.turns[1]

    def _hit(self, event: EventRow, words: Sequence[str]) -> Hit:
        return Hit(
            ref=self.view.ref(event.session_key, event.seq),
            kind=event.kind,
            turn=event.turn,
            text=snippet(events.text_of(self.store, event, max_bytes=_SNIPPET_BYTES), words, _SNIPPET_CHARS),
            time=event.time,
        )

    def _hit_line(self, event: EventRow, words: Sequence[str]) -> Line:
        ref = self.view.ref(event.session_key, event.seq)
        tool = f" {event.tool}" if event.tool else ""

        @cache
        def shown() -> str:  # found once, when the line is first written, and cut to each width asked for
            return snippet(events.text_of(self.store, event, max_bytes=_SNIPPET_BYTES), words, _WIDEST_SNIPPET)

        return lambda width: f"t{event.turn} {event.kind}{tool}: {one_line(shown(), width)} {ref}"

    def _nothing(self, why: str) -> SearchAnswer:
        before = len(sessions.lineage(self.store, self.parts[0].session)) - len(self.parts)
        hint = f"; {before} earlier before /clear: scope=lineage" if before > 0 else ""
        return answered(self.query, [why + hint], [], 0, is_cut=False)

    def _answer(self, lines: list[str], shown: Sequence[sets.Item | Hit], total: int, *, is_cut: bool) -> SearchAnswer:
        hits = [
            row
            if isinstance(row, Hit)
            else Hit(ref=row.ref, kind=row.kind, turn=row.turn, text=row.line(600), time=row.time)
            for row in shown
        ]
        if is_cut:
            rest = total - self.offset - len(shown)
            lines[-1] += f"  [{rest} more: offset={self.offset + len(shown)}, or narrow by turns]"
        return answered(self.query, lines, hits, total, is_cut=is_cut)


def _place_line(event: EventRow, around: str, ref: str) -> Line:
    tool = f" {event.tool}" if event.tool else ""
    return lambda width: f"t{event.turn} {event.kind}{tool}: {one_line(around, width)} {ref}"
