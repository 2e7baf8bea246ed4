"""What the host does for a Cell: functions that model-written code may call, over one Session and its repository.

Every argument is hostile: of any JSON type and size. None of them names a file of the host; paths are of the
repository, and only what the repository's own functions let through.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

from rlm_mcp.errors import QueryError, RefError, SubLMUnavailable, UsageError
from rlm_mcp.facts.kinds import FactKind
from rlm_mcp.refs import Ref, parse_ref
from rlm_mcp.repo import grep, times, tree
from rlm_mcp.repo.diffs import BaseKind, DiffAnswer, DiffQuery, commit_named, diff
from rlm_mcp.repo.git import Commit
from rlm_mcp.repo.grep import GREP_LIMITS, GrepAnswer, GrepLimits
from rlm_mcp.sandbox.answering import leave
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import Binding, Handed
from rlm_mcp.store import documents, events, facts, log
from rlm_mcp.store.database import Store, read_at
from rlm_mcp.store.facts import FactRow
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.read import log_spans, read
from rlm_mcp.verbs.search import search

_FACTS = 100_000
_ROWS_AT_ONCE = 1_000
_WHOLE_TOKENS = 16_000_000
_WHOLE_BYTES = 64 << 20
_DIFF_BYTES = 32 << 20
_NUMBERS_END = 1 << 53
"""SQLite and floats hold no number of any size."""
_BASES = {
    BaseKind.SNAPSHOT: "the snapshot",
    BaseKind.COMMIT: "the commit (no older snapshot: uncommitted work of then counts as new)",
    BaseKind.OLDEST: "the first snapshot (nothing is older)",
    BaseKind.NAMED: "the commit",
}
_FILTERS = {"kind": str, "turns": str, "scope": str, "mode": str, "max_tokens": int, "offset": int}


def bindings(
    store: Store, scope: Sequence[ScopePart], *, repo: Path | None, repo_missing: str, stop: Stop | None = None
) -> Mapping[str, Binding]:
    """Name -> host function.

    Args:
        scope: the Session and those it continues.
        repo: the repository's folder, where one is mapped.
        repo_missing: why none is.
        stop: ends what takes long, also where no :func:`leave` is told; its deadline is that of the Cell.
    """
    session = scope[0].session
    seen = _Seen(store=store, session=session, scope=tuple(scope))
    found: dict[str, Binding] = {
        "log": seen.log,
        "events": seen.events,
        "facts": seen.facts,
        "search": seen.search,
        "read": seen.read,
        "documents": seen.documents,
        "document": seen.document,
        "repo_missing": lambda: repo_missing,
        "quotes": _no_quotes,
        "looked": _nobody_asks,
        **dict.fromkeys(("llm_query", "llm_map", "rlm_query", "give"), _no_sub_lm),
    }
    if repo is not None:
        mapped = _Mapped(store=store, session=session, root=repo, stop=stop)
        found |= {"repo_files": mapped.files, "repo_grep": mapped.grep, "repo_diff": mapped.diff}
    else:
        found |= dict.fromkeys(("repo_files", "repo_grep", "repo_diff"), partial(_refuse, repo_missing))
    return found


def lent(
    lend: Callable[[], AbstractContextManager[Store]], made: Callable[[Store], Mapping[str, Binding]]
) -> Mapping[str, Binding]:
    """Host functions that are lent a Store for each call: several may be at work, some of them for nobody any more.

    What SQLite does for a call ends when nobody waits for it.

    Args:
        made: those over one Store, as :func:`bindings` makes them.
    """
    with lend() as store:
        return {name: _lent(lend, made, name, pattern) for name, pattern in made(store).items()}


def _lent(
    lend: Callable[[], AbstractContextManager[Store]],
    made: Callable[[Store], Mapping[str, Binding]],
    name: str,
    pattern: Binding,
) -> Binding:
    @wraps(pattern)  # so that arguments are still checked by its signature
    def called(*given: Any, **named: Any) -> JSON | Handed:
        with lend() as store, leave().waking(store.connection.interrupt):
            return made(store)[name](*given, **named)

    return called


def known(store: Store, scope: Sequence[ScopePart]) -> dict[str, Any]:
    """What ``session`` in a Cell is told of the Session as it is now, with those it continues."""
    own = _known(store, scope[0])
    own["earlier"] = [_known(store, part) for part in scope[1:]]
    return own


def _known(store: Store, part: ScopePart) -> dict[str, Any]:
    row = part.session
    turns, log_bytes = _extent(store, part)
    return {
        "key": row.key,
        "events": min(part.max_seq, row.events),
        "turns": turns,
        "log_bytes": log_bytes,
        "title": row.title,
        "cwd": row.cwd,
        "model": row.model,
        "started": row.started,
        "updated": row.updated,
    }


def _extent(store: Store, part: ScopePart) -> tuple[int, int]:
    """Turns of the part, and bytes of the log: up to its last Event where another Session goes on from there."""
    if part.max_seq >= part.session.events:
        return part.session.turns, part.session.log_bytes
    if part.max_seq < 1:
        return 0, 0
    last = events.event_row(store, part.session, part.max_seq)
    return last.turn, last.start + last.length


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Over the Session, those it continues, and its Documents."""

    store: Store
    session: SessionRow
    scope: tuple[ScopePart, ...]

    def log(self, session: Any) -> Handed:
        """The log's file."""
        part = self._part(session)
        _turns, length = _extent(self.store, part)
        if not length:
            return Handed(content=b"")  # its file may not be there yet
        return Handed(path=log.log_path(self.store.paths, part.session.key), length=length)

    def events(self, session: Any, after: Any) -> Handed:
        """Rows of ``inside.session.Event``, from the one behind ``after`` on."""
        part = self._part(session)
        rows = events.table(self.store, part.session, after=_number(after, "after"), upto=part.max_seq)
        return Handed(content=_as_json(rows))

    def facts(self, kind: Any, current: Any) -> Handed:
        """Facts in order of time, as ``inside.session.Fact`` takes them."""
        kinds = [str(one) for one in FactKind]
        if _text(kind, "kind") and kind not in kinds:
            raise QueryError(f"kind {kind!r} is not known; known: {', '.join(kinds)}")
        rows = facts.of_kind(
            self.store,
            self.scope,
            [kind] if kind else kinds,
            current_only=bool(current),
            newest_first=False,
            limit=_FACTS,
        )
        return Handed(content=_as_json([self._fact(row) for row in rows]))

    def _fact(self, row: FactRow) -> dict[str, Any]:
        prefix = "" if row.session_key == self.session.key else f"{row.session_key}."
        return {
            "kind": row.kind,
            "subject": row.subject,
            "text": row.text,
            "status": row.status,
            "turn": row.turn,
            "ref": prefix + row.ref,
            "time": row.time,
            "exit_code": row.exit_code,
            "seconds": row.seconds,
            "added": row.added,
            "removed": row.removed,
            "note": row.note,
            "current": row.superseded_by == 0,
        }

    def search(self, /, query: Any, **filters: Any) -> JSON:
        """As the verb."""
        for name, value in filters.items():
            if name not in _FILTERS or type(value) is not _FILTERS[name]:
                raise QueryError(f"search takes no {name}={_briefly(value)}; it takes: {', '.join(_FILTERS)}")
            if isinstance(value, int):
                _number(value, name)
        answer = search(self.store, self.session, _text(query, "query"), **filters)
        return {"text": answer.text, "total": answer.total, "hits": [asdict(hit) for hit in answer.hits]}

    def read(self, ref: Any) -> Handed:
        """The whole text of a Ref."""
        parsed = parse_ref(_text(ref, "ref"))
        if not (parsed.document or parsed.run or parsed.cell is not None):
            return self._of_log(parsed)
        answer = read(self.store, self.session, ref, max_tokens=_WHOLE_TOKENS)
        if answer.next_offset is not None:
            raise _too_long(ref, answer.total_bytes)
        return Handed(content=answer.text.encode("utf-8", "replace"))

    def _of_log(self, ref: Ref) -> Handed:
        """Bytes of a log as they are: while many become text and bytes again, no other thread works."""
        owner, spans = log_spans(self.store, self.session, ref)
        total = sum(span.end - span.start for span in spans)
        if total > _WHOLE_BYTES:
            raise _too_long(str(ref), total)
        path = log.log_path(self.store.paths, owner.key)
        return Handed(content=b"".join(read_at(path, span.start, span.end - span.start) for span in spans))

    def documents(self) -> JSON:
        """What is loaded, by name."""
        rows = documents.known_to(self.store, self.session)
        return [{**asdict(row), "ref": row.ref} for row in rows]

    def document(self, sha256: Any) -> Handed:
        """A loaded Document's file."""
        for row in documents.known_to(self.store, self.session):
            if row.sha256 == sha256:
                return Handed(path=documents.document_path(self.store, row.sha256), length=row.length)
        raise QueryError(f"no document {_briefly(sha256)} is loaded")

    def _part(self, key: Any) -> ScopePart:
        for part in self.scope:
            if part.session.key == key:
                return part
        raise QueryError(f"session {_briefly(key)} is not one that this session continues")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mapped:
    """Over the repository."""

    store: Store
    session: SessionRow
    root: Path
    stop: Stop | None

    def files(self, glob: Any) -> JSON:
        """Paths that fit, without links that lead out of the repository, or nowhere: a Cell cannot read those."""
        return list(tree.readable(tree.files(self.root, _text(glob, "glob"))))

    def grep(self, pattern: Any, glob: Any, ignore_case: Any, limit: Any) -> JSON:
        """Path, line number and line of each match; how many there are; whether there may be more; what to know."""
        with _told(self.stop) as told:
            limits = GrepLimits(matches=_number(limit, "limit"), seconds=self._seconds(), told=told)
            answer = grep.grep(
                self.root,
                _text(pattern, "pattern"),
                glob=_text(glob, "glob"),
                ignore_case=bool(ignore_case),
                limits=limits,
            )
        rows: list[JSON] = [[match.path, match.line, match.text] for match in answer.matches]
        return {
            "matches": rows,
            "total": answer.total,
            "is_at_least": answer.is_at_least,
            "note": f"not searched, too large: {_named(answer)}" if answer.left_out else "",
        }

    def _seconds(self) -> float:
        """For a search: what the Cell has left; all of it where Cells of before are run again, late."""
        left = 0.0 if self.stop is None or self.stop.deadline is None else self.stop.deadline - time.monotonic()
        return min(left, GREP_LIMITS.seconds) if left > 0 else GREP_LIMITS.seconds

    def diff(self, since: Any, path: Any, stat: Any) -> Handed:
        """Unified diff since then, behind a line that says what it was compared with."""
        when, commit = self._since(since)
        query = DiffQuery(since=when, commit=commit, path=_text(path, "path"), stat=bool(stat), max_bytes=_DIFF_BYTES)
        answer = diff(self.store.paths, self.root, query, time.time())
        return Handed(content=json.dumps(f"{_compared(answer)}\n{answer.text}").encode("ascii"))

    def _since(self, since: Any) -> tuple[float, Commit | None]:
        """A time, or the time of a Turn or Event; or a commit."""
        if isinstance(since, str):
            try:
                return self._time_named(since), None
            except (RefError, QueryError) as error:
                commit = commit_named(self.root, since)
                if commit is None and isinstance(error, RefError):
                    raise
                if commit is None:
                    raise QueryError(f"{error}; and no commit has that name here") from error
                return commit.time, commit
        if isinstance(since, int | float) and not isinstance(since, bool) and abs(since) < _NUMBERS_END:
            return times.parse_since(since, time.time()), None
        raise QueryError(
            f"since is {_briefly(since)}; give a time ('2 hours ago', '2026-11-22T09:00'), a Ref ('t12') or a commit "
            "('HEAD')"
        )

    def _time_named(self, since: str) -> float:
        try:
            ref = parse_ref(since)
        except RefError:
            return times.parse_since(since, time.time())
        found = self._time_of(ref)
        if found is None:
            raise QueryError(f"{since!r} has no time; name another turn or event, or a time")
        return found

    def _time_of(self, ref: Ref) -> float | None:
        if ref.turn is not None:
            return events.turn_row(self.store, self.session, ref.turn).started
        if ref.event is not None:
            return events.event_row(self.store, self.session, ref.event).time
        raise QueryError(f"'{ref}' is no turn or event; write 't12' or 'e40'")


def _compared(answer: DiffAnswer) -> str:
    """With what the working tree was compared, and what the comparison does not show."""
    base = answer.base
    named = f" {base.name[:12]}" if base.kind is BaseKind.NAMED else ""
    words = [f"# {len(answer.changes):,} files changed since {_BASES[base.kind]}{named} of {log.stamp(base.time)}"]
    if answer.is_cut:
        words.append(f"cut: {answer.total_bytes:,} bytes in all")
    if answer.files_left_out:
        words.append(f"not looked at: {_named(answer)}")
    return "; ".join(words)


def _named(answer: DiffAnswer | GrepAnswer) -> str:
    """The files left out."""
    rest = answer.files_left_out - len(answer.left_out)
    return ", ".join(answer.left_out) + (f" and {rest:,} more" if rest else "")


@contextmanager
def _told(stop: Stop | None) -> Iterator[int]:
    """A descriptor that can be read as soon as nobody waits for this call, or ``stop`` is told."""
    told, tell = os.pipe()
    try:
        with leave().waking(lambda: _write(tell)), nullcontext() if stop is None else stop.waking(lambda: _write(tell)):
            yield told
    finally:
        os.close(told)
        os.close(tell)


def _write(descriptor: int) -> None:
    os.write(descriptor, b"x")


def _no_sub_lm(**_arguments: Any) -> Any:
    raise SubLMUnavailable(
        "no sub-LM is set up. Work with session, repo, docs and Python; or have the user set OPENAI_API_KEY or "
        "sub_backend (see the README)"
    )


def _no_quotes(quotes: Any) -> None:
    """Outside of a Run nobody checks them."""


def _nobody_asks() -> None:
    """Outside of a Run nobody asks whether a Cell has looked at anything."""


def _as_json(rows: Sequence[object]) -> bytes:
    """A long list, some rows at a time: while the encoder works, no other thread does."""
    pieces = (json.dumps(rows[at : at + _ROWS_AT_ONCE])[1:-1] for at in range(0, len(rows), _ROWS_AT_ONCE))
    return f"[{', '.join(pieces)}]".encode("ascii")


def _too_long(ref: str, count: int) -> RefError:
    return RefError(f"{ref!r} has {count:,} bytes, too many to read at once; read spans of it")


def _refuse(why: str, /, **_arguments: Any) -> Any:
    raise UsageError(why)


def _briefly(value: Any) -> str:
    """A Cell's argument as a refusal names it; one of a million parts is not looked through for that."""
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value):,}"
    return repr(value[:80]) if isinstance(value, str) else f"{value!r:.80}"


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{name} is {_briefly(value)}; give a text")
    return value


def _number(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _NUMBERS_END:
        raise QueryError(f"{name} is {_briefly(value)}; give a whole number, 0 or more")
    return value
