"""The database's schema as an append-only list of migrations.

Each migration is a function of the connection; its position is its number, its name is recorded. Never edit one that
was released: append another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from rlm_mcp.errors import StoreTooNew

Migration = Callable[[sqlite3.Connection], None]


def _m001_first(connection: sqlite3.Connection) -> None:
    for statement in _statements(_FIRST):
        connection.execute(statement)


def _statements(script: str) -> list[str]:
    """The script's statements; ``executescript`` would commit the transaction a migration runs in."""
    code = "\n".join(line.partition("--")[0] for line in script.splitlines())
    return [statement for part in code.split(";") if (statement := part.strip())]


_FIRST = """
-- A client's file and how far it is ingested. A replaced file gets a new row; the old one keeps what it held.
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    client TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    agent TEXT NOT NULL DEFAULT '',
    main_source INTEGER NOT NULL DEFAULT 0,      -- of a sub-agent's file: the session's own file
    is_current INTEGER NOT NULL DEFAULT 1,
    offset INTEGER NOT NULL DEFAULT 0,           -- Watermark: bytes consumed
    digest TEXT NOT NULL DEFAULT '',
    reader_state TEXT NOT NULL DEFAULT '{}',
    facts_state TEXT NOT NULL DEFAULT '{}',
    session INTEGER NOT NULL DEFAULT 0,          -- the Session its last record belonged to
    raw_bytes INTEGER NOT NULL DEFAULT 0,        -- committed length of the raw file
    tail BLOB NOT NULL DEFAULT x''               -- bytes after the last whole record, as last seen
);
CREATE UNIQUE INDEX source_path ON source(path, generation);

CREATE TABLE raw_block (
    source INTEGER NOT NULL,
    start INTEGER NOT NULL,                      -- in the client's file
    length INTEGER NOT NULL,
    file_offset INTEGER NOT NULL,                -- in our raw file
    file_length INTEGER NOT NULL,
    PRIMARY KEY (source, start)
) WITHOUT ROWID;

-- Records that gave no Event, counted with their reason.
CREATE TABLE skip (
    source INTEGER NOT NULL,
    session INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (source, offset)
) WITHOUT ROWID;

CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,                    -- 8 hex digits, as Refs print it
    client TEXT NOT NULL,
    client_session TEXT NOT NULL,
    source INTEGER NOT NULL,                     -- its main file
    cwd TEXT NOT NULL DEFAULT '',
    git_branch TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    client_version TEXT NOT NULL DEFAULT '',
    parent TEXT NOT NULL DEFAULT '',             -- client id of the Session it came out of
    link TEXT NOT NULL DEFAULT '',
    parent_events INTEGER NOT NULL DEFAULT -1,   -- how many Events the parent had then; -1: unknown, all
    started REAL,
    updated REAL,
    events INTEGER NOT NULL DEFAULT 0,
    turns INTEGER NOT NULL DEFAULT 0,
    log_bytes INTEGER NOT NULL DEFAULT 0,        -- committed length of the text log
    window_tokens INTEGER NOT NULL DEFAULT 0,
    compactions INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX session_client ON session(client_session);
CREATE INDEX session_source ON session(source);
CREATE INDEX session_cwd ON session(cwd, updated);

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,                        -- from 1, in order of ingest
    turn INTEGER NOT NULL,
    kind TEXT NOT NULL,
    agent TEXT NOT NULL,
    tool TEXT NOT NULL,
    call_id TEXT NOT NULL,
    failed INTEGER NOT NULL,
    time REAL,
    start INTEGER NOT NULL,                      -- of its text in the log, in bytes
    length INTEGER NOT NULL,
    source INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    record_length INTEGER NOT NULL
);
CREATE UNIQUE INDEX event_seq ON event(session, seq);
CREATE INDEX event_turn ON event(session, turn, seq);
CREATE INDEX event_call ON event(session, call_id) WHERE call_id != '';

CREATE TABLE turn (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,                     -- from 1; 0 is what came before the first prompt
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    prompt TEXT NOT NULL,                        -- first 400 characters
    started REAL
);
CREATE UNIQUE INDEX turn_number ON turn(session, number);

CREATE TABLE fact (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    status TEXT NOT NULL,
    start INTEGER NOT NULL,                      -- span in the Event's text, in bytes; end 0: the whole
    end INTEGER NOT NULL,
    exit_code INTEGER,
    seconds REAL,
    added INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    note TEXT NOT NULL,
    agent TEXT NOT NULL DEFAULT '',
    time REAL,
    superseded_by INTEGER NOT NULL DEFAULT 0     -- seq of the Event whose Fact replaced or closed it; 0: current
);
CREATE INDEX fact_kind ON fact(session, kind, superseded_by, subject);
CREATE INDEX fact_turn ON fact(session, turn, kind);

-- What Facts of a Session ended, so that a Session that goes on from another one can end the other's Facts for itself.
CREATE TABLE closing (
    session INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,                       -- '': every one
    seq INTEGER NOT NULL,                        -- first Event that did
    PRIMARY KEY (session, kind, subject)
) WITHOUT ROWID;

-- Words, by who said them; rowid is event.id. Contentless: the text lives in the log.
CREATE VIRTUAL TABLE event_fts USING fts5(
    prompt, said, done, content='', tokenize='unicode61 remove_diacritics 2'
);

CREATE TABLE payload (
    sha256 TEXT NOT NULL,
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (sha256, session, seq)
) WITHOUT ROWID;

-- What exists only with us: never derived, never dropped by a rebuild.
CREATE TABLE fold (
    id INTEGER PRIMARY KEY,
    client_session TEXT NOT NULL,
    session_key TEXT NOT NULL,
    time REAL NOT NULL,
    trigger TEXT NOT NULL,
    instructions TEXT NOT NULL,
    upto_seq INTEGER NOT NULL,                   -- last Event known when it was made
    brief TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    loss TEXT NOT NULL,                          -- JSON: kind -> [total, in the Brief]
    seconds REAL NOT NULL
);
CREATE INDEX fold_session ON fold(client_session, time);
"""

_REPL = """
-- The journal of each Session's Repl: its Cells in order. Exists only with us.
CREATE TABLE cell (
    session_key TEXT NOT NULL,
    number INTEGER NOT NULL,                     -- from 1
    time REAL NOT NULL,
    seconds REAL NOT NULL,
    code TEXT NOT NULL,
    status TEXT NOT NULL,                        -- a CellStatus
    output BLOB NOT NULL,                        -- UTF-8, compressed with zlib
    output_bytes INTEGER NOT NULL,               -- of what is kept
    lost_bytes INTEGER NOT NULL DEFAULT 0,       -- printed beyond the limit, not kept
    variables TEXT NOT NULL DEFAULT '[]',        -- JSON: [name, what it is] of every variable after it
    PRIMARY KEY (session_key, number)
);  -- with rowids: without, SQLite gives a row over a quarter of a page one of its own

-- The latest saved variables of each Session's Repl.
CREATE TABLE checkpoint (
    session_key TEXT PRIMARY KEY,
    cell INTEGER NOT NULL,                       -- the last Cell it holds; later ones are run again from the journal
    file TEXT NOT NULL,                          -- below ``repl``; pickles, read only inside the Jail; '' for none
    variables TEXT NOT NULL,                     -- JSON: [name, offset, length] in the order they were pickled
    unsaved TEXT NOT NULL,                       -- JSON: [name, why not]
    time REAL NOT NULL
) WITHOUT ROWID;

-- Files brought in by ``load``, at one content hash each; their text lies in ``documents``.
CREATE TABLE document (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,                 -- of the original bytes
    length INTEGER NOT NULL,                     -- of the text kept, in bytes of UTF-8
    lines INTEGER NOT NULL,
    encoding TEXT NOT NULL,                      -- of the original
    indexed INTEGER NOT NULL DEFAULT 0,          -- bytes of the text in the word index; short of length: load goes on
    indexed_lines INTEGER NOT NULL DEFAULT 0     -- line ends in them
);

-- Under which name a Session knows a Document that is wholly indexed.
CREATE TABLE loaded (
    session_key TEXT NOT NULL,
    name TEXT NOT NULL,
    document INTEGER NOT NULL,
    path TEXT NOT NULL,
    time REAL NOT NULL,
    PRIMARY KEY (session_key, name)
) WITHOUT ROWID;

-- Passages of Documents, each about 4 kB, one behind the other.
CREATE TABLE piece (
    id INTEGER PRIMARY KEY,                      -- (document << 36) + where it begins in the text, in bytes
    length INTEGER NOT NULL,
    line INTEGER NOT NULL                        -- number of the line it begins in, from 1
);

-- Words of the pieces without their secrets; rowid is piece.id. Contentless, as event_fts; all pieces are of about one
-- length, so it keeps no lengths (``columnsize``), which BM25 would look up for each piece.
CREATE VIRTUAL TABLE piece_fts USING fts5(
    said, content='', columnsize=0, tokenize='unicode61 remove_diacritics 2'
);

-- Where secrets stand in Documents: no answer shows what is there.
CREATE TABLE secret (
    document INTEGER NOT NULL,
    start INTEGER NOT NULL,                      -- in the text, in bytes
    end INTEGER NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (document, start)
) WITHOUT ROWID;
"""


def _m002_repl(connection: sqlite3.Connection) -> None:
    for statement in _statements(_REPL):
        connection.execute(statement)


_RUNS = """
-- Recursive questions: a tree by ``parent``, all of one question by ``root``. Exist only with us.
CREATE TABLE run (
    id TEXT PRIMARY KEY,                         -- r and 8 hex digits
    parent TEXT NOT NULL,                        -- '' for a root
    root TEXT NOT NULL,
    session_key TEXT NOT NULL,
    depth INTEGER NOT NULL,
    question TEXT NOT NULL,
    scope TEXT NOT NULL,                         -- what it looks at, in words
    refs TEXT NOT NULL,                          -- Refs of its texts, blanks between; '' where there are none
    model TEXT NOT NULL,
    sub_model TEXT NOT NULL,
    backend TEXT NOT NULL,
    limits TEXT NOT NULL,                        -- JSON: the fields of sublm.budget.Limits
    started REAL NOT NULL,
    ended REAL,
    pid INTEGER NOT NULL,                        -- of the process that runs it
    status TEXT NOT NULL,                        -- 'running', 'ok', or what ended it
    answer TEXT NOT NULL DEFAULT '',
    evidence TEXT NOT NULL DEFAULT '[]',         -- JSON
    partial TEXT NOT NULL DEFAULT '',            -- what it had, where it has no answer
    error TEXT NOT NULL DEFAULT '{}'             -- JSON: type, message
) WITHOUT ROWID;
CREATE INDEX run_root ON run(root, started);
CREATE INDEX run_session ON run(session_key, started);

-- What a Run did, step by step: what its root said, the Cells of it and what they printed.
CREATE TABLE step (
    run TEXT NOT NULL,
    number INTEGER NOT NULL,                     -- from 1
    time REAL NOT NULL,
    said TEXT NOT NULL,
    code TEXT NOT NULL,
    output TEXT NOT NULL,                        -- as the root was told of it: cut
    whole BLOB NOT NULL,                         -- all of the output, compressed, where it was cut; else empty
    status TEXT NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;

-- The Ledger: every request that was sent, and how it ended.
CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    session_key TEXT NOT NULL,
    time REAL NOT NULL,
    pid INTEGER NOT NULL,
    backend TEXT NOT NULL,
    model TEXT NOT NULL,
    purpose TEXT NOT NULL,
    status TEXT NOT NULL,                        -- sent, ok, failed, abandoned, cached
    most_tokens INTEGER NOT NULL,                -- reserved: counts against the caps while sent or abandoned
    most_usd REAL,
    tokens_in INTEGER NOT NULL DEFAULT 0,
    tokens_out INTEGER NOT NULL DEFAULT 0,
    usd REAL,                                    -- null: the price is not known
    seconds REAL NOT NULL DEFAULT 0
);
CREATE INDEX call_run ON call(run);
CREATE INDEX call_time ON call(time);
CREATE INDEX call_session ON call(session_key, time);

-- What counts against a cap, sums of table ``call``: by Session (``s KEY``) and by day (``d 2026-11-22``, UTC).
CREATE TABLE cap (
    scope TEXT PRIMARY KEY,
    tokens INTEGER NOT NULL,
    usd REAL NOT NULL
) WITHOUT ROWID;

-- Replies by what was asked; see sublm.metered for the key.
CREATE TABLE reply (
    key TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    model TEXT NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    usd REAL,
    is_cut INTEGER NOT NULL,
    time REAL NOT NULL
) WITHOUT ROWID;
"""


def _m003_runs(connection: sqlite3.Connection) -> None:
    for statement in _statements(_RUNS):
        connection.execute(statement)


_SUMMARIES = """
-- Trees of summaries that other models made. Exist only with us, and nothing needs them.
CREATE TABLE summary (
    scope TEXT NOT NULL,                         -- what the tree is of, in words
    level INTEGER NOT NULL,                      -- 0: a leaf
    number INTEGER NOT NULL,
    ref TEXT NOT NULL,                           -- of the bytes it stands for
    text TEXT NOT NULL,
    children TEXT NOT NULL,                      -- JSON: numbers in the level below
    model TEXT NOT NULL,
    time REAL NOT NULL,
    PRIMARY KEY (scope, level, number)
) WITHOUT ROWID;
"""


def _m004_summaries(connection: sqlite3.Connection) -> None:
    for statement in _statements(_SUMMARIES):
        connection.execute(statement)


def _m005_ways(connection: sqlite3.Connection) -> None:
    """How a question was answered: by search, one call, a summary, or a root model that programs."""
    connection.execute("ALTER TABLE run ADD COLUMN way TEXT NOT NULL DEFAULT 'run'")


def _m006_forks(connection: sqlite3.Connection) -> None:
    """How much of its parent's transcript a Session goes on from, in bytes; 0: unknown."""
    connection.execute("ALTER TABLE session ADD COLUMN parent_bytes INTEGER NOT NULL DEFAULT 0")


def _m007_settled(connection: sqlite3.Connection) -> None:
    """Whether it was looked where a Session came from; see store/lineage.py."""
    connection.execute("ALTER TABLE session ADD COLUMN settled INTEGER NOT NULL DEFAULT 0")


def _m008_places(connection: sqlite3.Connection) -> None:
    """Where in its parent a Run was asked: the step's number, and its place among what that asked; 0: unknown."""
    connection.execute("ALTER TABLE run ADD COLUMN step INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE run ADD COLUMN place INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE INDEX run_parent ON run(parent)")


MIGRATIONS: tuple[tuple[str, Migration], ...] = (
    ("first", _m001_first),
    ("repl", _m002_repl),
    ("runs", _m003_runs),
    ("summaries", _m004_summaries),
    ("ways", _m005_ways),
    ("forks", _m006_forks),
    ("settled", _m007_settled),
    ("places", _m008_places),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest schema; each step in a transaction of its own.

    Raises:
        StoreTooNew: it was written by a later version.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreTooNew(
            f"the store has schema {version}, this rlm-mcp knows up to {len(MIGRATIONS)}; upgrade rlm-mcp or set "
            "RLM_MCP_HOME to another folder"
        )
    for number, (name, step) in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] < number:  # else another process was first
                step(connection)
                connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT)")
                connection.execute("INSERT INTO migration VALUES (?, ?)", (number, name))
                connection.execute(f"PRAGMA user_version = {number:d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
