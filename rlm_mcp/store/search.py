"""Finding Events: by words (FTS5, BM25 as SQLite computes it) and by pattern (ripgrep over the logs, linear time)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp import ripgrep
from rlm_mcp.events import EventKind
from rlm_mcp.store import events, log
from rlm_mcp.store.database import Store
from rlm_mcp.store.events import EventRow
from rlm_mcp.store.sessions import ScopePart, SessionRow

_GREP_SECONDS = 5.0
_MAX_WORDS = 24
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WordHit:
    """An Event that holds words of the query."""

    event: EventRow
    score: float
    """Higher is better; comparable within one query only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternHit:
    """A place in a log where the pattern matches."""

    session: SessionRow
    seq: int
    turn: int
    kind: EventKind
    start: int
    """In the Event's text, in bytes."""
    end: int


def words_of(query: str) -> list[str]:
    """The query's words as the index splits them, each once, at most 24."""
    return list(dict.fromkeys(_WORD.findall(query.lower())))[:_MAX_WORDS]


def word_set(text: str) -> set[str]:
    """All words of a text as the index splits them."""
    return set(_WORD.findall(text.lower()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Which Events count."""

    kind: str = ""
    """An EventKind; empty for all."""
    turns: tuple[int, int] | None = None
    """First and last Turn."""

    def condition(self) -> tuple[str, tuple[object, ...]]:
        """As SQL over ``event``, with its values."""
        text = " AND event.kind = ?" if self.kind else ""
        values: tuple[object, ...] = (self.kind,) if self.kind else ()
        if self.turns is not None:
            text, values = f"{text} AND event.turn BETWEEN ? AND ?", (*values, *self.turns)
        return text, values


ALL = Only()


def by_words(
    store: Store, scope: Sequence[ScopePart], match: str, *, only: Only = ALL, limit: int = 50
) -> list[WordHit]:
    """Events that fit ``match`` (see :func:`matching`), the best first.

    Raises:
        StoreDamaged: the word index cannot be read.
    """
    found: list[tuple[int, float]] = []
    condition, values = only.condition()
    for part in scope:
        rows = store.connection.execute(
            "SELECT event_fts.rowid, bm25(event_fts, 4.0, 1.5, 1.0) AS score FROM event_fts "
            "CROSS JOIN event ON event.id = event_fts.rowid "  # the word index first, whatever the planner thinks
            "WHERE event_fts MATCH ? AND event_fts.rowid BETWEEN ? AND ? AND event.session = ? AND event.seq <= ?"
            f"{condition} ORDER BY score, event_fts.rowid DESC LIMIT ?",
            (match, *_rowids(store, part), part.session.id, part.max_seq, *values, limit),
        )
        found.extend((row[0], -row[1]) for row in rows)
    found.sort(key=lambda pair: (-pair[1], -pair[0]))
    rows_by_id = events.by_rowids(store, [rowid for rowid, _score in found[:limit]])
    return [WordHit(event=rows_by_id[rowid], score=score) for rowid, score in found[:limit]]


def count_words(store: Store, scope: Sequence[ScopePart], match: str, *, only: Only = ALL) -> int:
    """How many Events :func:`by_words` would find without its limit."""
    condition, values = only.condition()
    total = 0
    for part in scope:
        row = store.connection.execute(
            "SELECT count(*) FROM event_fts CROSS JOIN event ON event.id = event_fts.rowid WHERE event_fts MATCH ? "
            f"AND event_fts.rowid BETWEEN ? AND ? AND event.session = ? AND event.seq <= ?{condition}",
            (match, *_rowids(store, part), part.session.id, part.max_seq, *values),
        ).fetchone()
        total += int(row[0])
    return total


def matching(words: Sequence[str], *, every: bool, columns: str = "") -> str:
    """The index's own expression for every (or any) of the words.

    Args:
        words: at least one.
        columns: restricts to ``prompt``, ``said`` or ``done`` (space-separated); empty for all.
    """
    joined = (" AND " if every else " OR ").join('"' + word.replace('"', '""') + '"' for word in words)
    return f"{{{columns}}} : ({joined})" if columns else joined


def _rowids(store: Store, part: ScopePart) -> tuple[int, int]:
    run = store.connection.execute
    first = run("SELECT id FROM event WHERE session = ? AND seq = 1", (part.session.id,)).fetchone()
    last = run(
        "SELECT id FROM event WHERE session = ? AND seq <= ? ORDER BY seq DESC LIMIT 1", (part.session.id, part.max_seq)
    ).fetchone()
    return (first[0] if first else 0, last[0] if last else 0)


def by_pattern(
    store: Store, scope: Sequence[ScopePart], pattern: str, *, fixed: bool, limit: int = 2000
) -> tuple[list[PatternHit], bool]:
    """Places where ``pattern`` (a Rust regex, or with ``fixed`` plain text) matches, newest Session first, in order.

    Smart case: a pattern without capitals ignores case. Returns the hits and whether more were left.

    Raises:
        QueryError: the pattern is not a valid regex, ripgrep is missing, or the search took longer than 5 s.
    """
    found: list[PatternHit] = []
    is_cut = False
    for part in scope:
        hits, cut_here = _grep(store, part, pattern, fixed=fixed, limit=limit - len(found))
        found += hits
        is_cut = is_cut or cut_here
        if len(found) >= limit:
            return found[:limit], True
    return found, is_cut


def _grep(store: Store, part: ScopePart, pattern: str, *, fixed: bool, limit: int) -> tuple[list[PatternHit], bool]:
    path = log.log_path(store.paths, part.session.key)
    if not path.exists():
        return [], False
    options = ["--text", "--byte-offset", "--only-matching", "--no-filename", "--no-line-number", "--smart-case"]
    ended = ripgrep.search(
        pattern,
        [str(path)],
        options=[*options, f"--max-count={limit + 1}"],
        fixed=fixed,
        timeout_seconds=_GREP_SECONDS,
    )
    return _placed(store, part, ended.output, limit), ended.is_cut


def _placed(store: Store, part: ScopePart, output: bytes, limit: int) -> list[PatternHit]:
    """Ripgrep's ``offset:match`` lines, in order, laid beside the Events, in order; header lines are passed over."""
    rows = store.connection.execute(
        "SELECT seq, turn, kind, tool, start, length FROM event WHERE session = ? AND seq <= ? ORDER BY seq",
        (part.session.id, part.max_seq),
    )
    hits: list[PatternHit] = []
    at = rows.fetchone()
    for line in output.split(b"\n"):
        number, colon, matched = line.partition(b":")
        if not colon or not number.isdigit():
            continue
        offset = int(number)
        while at is not None and offset >= at["start"] + at["length"]:
            at = rows.fetchone()
        if at is None or len(hits) >= limit:
            break
        start = offset - at["start"]
        if start >= 0 and at["tool"] != events.OWN:
            hits.append(
                PatternHit(
                    session=part.session,
                    seq=at["seq"],
                    turn=at["turn"],
                    kind=EventKind(at["kind"]),
                    start=start,
                    end=start + len(matched),
                )
            )
    return hits
