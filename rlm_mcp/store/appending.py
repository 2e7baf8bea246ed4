"""A Batch goes into the store: log and raw bytes first, then rows, all in the caller's one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rlm_mcp.events import Event, EventKind, Payload, SessionNews, Skip
from rlm_mcp.store import belongings, facts, log
from rlm_mcp.store.database import Store, append_at
from rlm_mcp.store.events import OWN
from rlm_mcp.store.sessions import session_key
from rlm_mcp.store.sources import SourceRow, append_raw

_PROMPT_CHARS = 400
_FTS_CHARS = 200_000
"""Of one Event's text at most this much is indexed by word; regex and read reach the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFact:
    """A Fact about to be stored; session, seq and turn are filled in with its Event's."""

    row: facts.FactRow
    supersedes: bool
    closes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appending:
    """What one Batch adds to the store."""

    start: int
    offset: int
    """The Watermark after it."""
    digest: str
    reader_state: str
    facts_state: str
    tail: bytes
    """Compressed."""
    raw_blocks: list[tuple[int, bytes]]
    events: Sequence[tuple[Event, Sequence[NewFact]]] = ()
    news: Sequence[SessionNews] = ()
    skips: Sequence[Skip] = ()


@dataclass(slots=True)
class _Growing:
    """A Session while a Batch is written to it."""

    id: int
    key: str
    events: int
    turns: int
    log_bytes: int
    started: float | None
    updated: float | None
    cwd: str
    compactions: int
    text: list[bytes] = field(default_factory=list)
    said: dict[str, str | int] = field(default_factory=dict)
    """Column -> what records said of the Session last."""
    last_seqs: dict[int, int] = field(default_factory=dict)
    """Turn -> its last Event."""


def append(store: Store, source: SourceRow, adding: Appending) -> None:
    """Write a Batch: log and raw bytes first, then rows. Inside ``writing()``, with the Watermark checked."""
    writer = _Writer(store, source)
    for news in adding.news:
        writer.tell(news)
    for event, new_facts in adding.events:
        writer.event(event, new_facts)
    for skip in adding.skips:
        writer.skip(skip)
    writer.finish()
    raw_length = source.raw_bytes
    if adding.raw_blocks:
        raw_length = append_raw(store, source, adding.start, adding.raw_blocks)
    store.connection.execute(
        "UPDATE source SET offset = ?, digest = ?, reader_state = ?, facts_state = ?, raw_bytes = ?, tail = ?, "
        "session = ? WHERE id = ?",
        (
            adding.offset,
            adding.digest,
            adding.reader_state,
            adding.facts_state,
            raw_length,
            adding.tail,
            writer.last_session,
            source.id,
        ),
    )


class _Writer:
    """Writes one Batch; knows the Sessions it touches."""

    def __init__(self, store: Store, source: SourceRow) -> None:
        self.store = store
        self.source = source
        self.main_source = source.main_source or source.id
        self.growing: dict[str, _Growing] = {}
        self.last_session = source.session
        self.first_row = 1 + (store.connection.execute("SELECT max(id) FROM event").fetchone()[0] or 0)
        self.rows: list[tuple[object, ...]] = []
        self.words: list[tuple[object, ...]] = []
        main = store.connection.execute(
            "SELECT path, generation FROM source WHERE id = ?", (self.main_source,)
        ).fetchone()
        self.main_path, self.generation = main["path"], main["generation"]

    def session(self, client_session: str) -> _Growing:
        """The Session of that client id in this file, made where it is new."""
        known = self.growing.get(client_session)
        if known is not None:
            return known
        run = self.store.connection.execute
        row = run(
            "SELECT * FROM session WHERE source = ? AND client_session = ?", (self.main_source, client_session)
        ).fetchone()
        if row is None:
            key = session_key(self.source.client, client_session, self.main_path, self.generation)
            run(
                "INSERT INTO session (key, client, client_session, source) VALUES (?, ?, ?, ?)",
                (key, self.source.client, client_session, self.main_source),
            )
            row = run("SELECT * FROM session WHERE key = ?", (key,)).fetchone()
            if self.generation:
                self._take_over(client_session, key)
        known = _Growing(
            id=row["id"],
            key=row["key"],
            events=row["events"],
            turns=row["turns"],
            log_bytes=row["log_bytes"],
            started=row["started"],
            updated=row["updated"],
            cwd=row["cwd"],
            compactions=row["compactions"],
        )
        self.growing[client_session] = known
        return known

    def _take_over(self, client_session: str, key: str) -> None:
        """What belonged to the Session of that id when the file was another, but for what holds Refs into that."""
        for generation in reversed(range(self.generation)):
            old = session_key(self.source.client, client_session, self.main_path, generation)
            belongings.move(self.store, old, key, is_same_text=False)

    def tell(self, news: SessionNews) -> None:
        """Take over what a record says about its Session."""
        growing = self.session(news.client_session)
        growing.compactions += news.compactions
        if self.source.agent:
            return
        growing.cwd = growing.cwd or news.cwd  # the Session's folder is where it began
        for name, value in (
            ("git_branch", news.git_branch),
            ("client_version", news.client_version),
            ("model", news.model),
            ("title", news.title[:400]),
            ("parent", news.parent),
            ("parent_bytes", news.parent_bytes),
            ("link", str(news.link) if news.link else ""),
            ("window_tokens", news.window_tokens),
        ):
            if value:
                growing.said[name] = value

    def event(self, event: Event, new_facts: Sequence[NewFact]) -> None:
        """Append one Event with its Facts."""
        growing = self.session(event.client_session)
        self.last_session = growing.id
        growing.events += 1
        seq = growing.events
        agent = event.agent or self.source.agent
        turn = self._turn(growing, event, seq, agent)
        header, text = log.render(event, seq, turn)
        start = growing.log_bytes + len(header)
        growing.text += (header, text, b"\n")
        growing.log_bytes = start + len(text) + 1
        if event.time is not None:
            growing.started = event.time if growing.started is None else min(growing.started, event.time)
            growing.updated = event.time if growing.updated is None else max(growing.updated, event.time)
        tool = _tool(event)
        self.rows.append(
            (
                self.first_row + len(self.rows),
                growing.id,
                seq,
                turn,
                event.kind,
                agent,
                tool,
                event.call_id,
                event.failed,
                event.time,
                start,
                len(text),
                self.source.id,
                event.record_offset,
                event.record_length,
            )
        )
        self.words.append((self.rows[-1][0], *_by_speaker(event, tool)))
        for new in new_facts:
            self._fact(growing, seq, turn, agent, event, new)
        for payload in event.payloads:
            self._payload(growing, seq, payload)

    def _turn(self, growing: _Growing, event: Event, seq: int, agent: str) -> int:
        run = self.store.connection.execute
        if event.kind is EventKind.PROMPT and not agent:
            growing.turns += 1
            run(
                "INSERT INTO turn (session, number, first_seq, last_seq, prompt, started) VALUES (?, ?, ?, ?, ?, ?)",
                (growing.id, growing.turns, seq, seq, event.text[:_PROMPT_CHARS], event.time),
            )
            return growing.turns
        turn = growing.turns
        if agent and event.time is not None:  # a sub-agent's file may be read after its Turn is over
            row = run(
                "SELECT max(number) FROM turn WHERE session = ? AND started <= ?", (growing.id, event.time)
            ).fetchone()
            turn = turn if row[0] is None else int(row[0])
        if turn == 0 and seq == 1:
            run(
                "INSERT INTO turn (session, number, first_seq, last_seq, prompt, started) VALUES (?, 0, 1, 1, '', ?)",
                (growing.id, event.time),
            )
        growing.last_seqs[turn] = seq
        return turn

    def _fact(self, growing: _Growing, seq: int, turn: int, agent: str, event: Event, new: NewFact) -> None:
        stored = replace(new.row, session=growing.id, seq=seq, turn=turn, agent=agent, time=event.time)
        facts.add(self.store, stored, supersedes=new.supersedes, closes=new.closes)

    def _payload(self, growing: _Growing, seq: int, payload: Payload) -> None:
        path = self.store.paths.payloads / payload.sha256
        is_whole = path.exists() and path.stat().st_size == len(payload.data)  # a killed writer leaves a part
        if self.store.settings.keep_raw and not is_whole:
            append_at(path, 0, payload.data)
        self.store.connection.execute(
            "INSERT OR IGNORE INTO payload VALUES (?, ?, ?, ?, ?)",
            (payload.sha256, growing.id, seq, payload.media_type, len(payload.data)),
        )

    def skip(self, skip: Skip) -> None:
        """Count a record that gave no Event."""
        self.store.connection.execute(
            "INSERT OR IGNORE INTO skip VALUES (?, ?, ?, ?, ?, ?)",
            (self.source.id, self.last_session, skip.offset, skip.length, skip.reason, skip.detail[:200]),
        )

    def finish(self) -> None:
        """Append to the logs; write the Events' rows and the Sessions' totals."""
        connection = self.store.connection
        connection.executemany(f"INSERT INTO event VALUES ({', '.join('?' * 15)})", self.rows)
        connection.executemany("INSERT INTO event_fts (rowid, prompt, said, done) VALUES (?, ?, ?, ?)", self.words)
        for growing in self.growing.values():
            text = b"".join(growing.text)
            if text:
                append_at(log.log_path(self.store.paths, growing.key), growing.log_bytes - len(text), text)
            connection.executemany(
                "UPDATE turn SET last_seq = ? WHERE session = ? AND number = ?",
                [(seq, growing.id, turn) for turn, seq in growing.last_seqs.items()],
            )
            columns = {
                "events": growing.events,
                "turns": growing.turns,
                "log_bytes": growing.log_bytes,
                "started": growing.started,
                "updated": growing.updated,
                "cwd": growing.cwd,
                "compactions": growing.compactions,
                **growing.said,
            }
            names = ", ".join(f"{name} = ?" for name in columns)
            connection.execute(f"UPDATE session SET {names} WHERE id = ?", (*columns.values(), growing.id))


def _tool(event: Event) -> str:
    """The tool's name; ``OWN`` for what is ours: calls of our tools, and Briefs of ours that came back."""
    name = event.tool.replace("_", "-")
    if "rlm-mcp" in name and name.startswith("mcp-"):
        return OWN
    return OWN if event.kind is EventKind.SUMMARY and event.text.startswith("# rlm-mcp brief") else event.tool


def _by_speaker(event: Event, tool: str) -> tuple[str, str, str]:
    if tool == OWN:  # kept and read by Ref, but never a hit: it repeats what stands elsewhere
        return "", "", ""
    text = event.text[:_FTS_CHARS]
    if event.kind is EventKind.PROMPT and not event.agent:
        return text, "", ""
    if event.kind in (EventKind.REPLY, EventKind.THINKING, EventKind.PROMPT):
        return "", text, ""
    return "", "", text
