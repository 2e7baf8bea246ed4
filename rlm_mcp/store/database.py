"""The opened store: SQLite in WAL mode beside the text logs. Processes meet here; each may die at any moment.

Writing order inside one write transaction: bytes are appended to the log and raw files at the *committed* length the
database names (what a killed writer left beyond it is cut off first), then the rows, then COMMIT. A reader therefore
never sees a row whose bytes are not there.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import StoreBusy, StoreDamaged, StoreError, StoreFull
from rlm_mcp.store.connection import Connection, store_error
from rlm_mcp.store.schema import migrate


class Store:
    """One connection to the store. One caller at a time; open one per thread."""

    def __init__(self, connection: Connection, paths: Paths, settings: Settings) -> None:
        self.connection = connection
        self.paths = paths
        self.settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; further use raises ``StoreError``."""
        self.connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: commits at the end, rolls back on any exception. Keep it short.

        Raises:
            StoreBusy: another process held the write lock longer than the store's patience.
            StoreFull: the disk is full.
            StoreDamaged: the database file is not sound.
        """
        with translated(self.paths):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise


@contextmanager
def translated(paths: Paths) -> Iterator[None]:
    """Turn the system's errors on our own files into the store's own (SQLite's already are: ``store.connection``)."""
    try:
        yield
    except OSError as error:
        raise store_error(error, paths.home) from error


def open_store(paths: Paths, settings: Settings, *, busy_seconds: float | None = None) -> Store:
    """Open the store below ``paths.home``, made and migrated where need be (folders 0700, files 0600).

    Raises:
        StoreError: the folder cannot be made or written.
        StoreBusy, StoreDamaged, StoreTooNew: see there.
    """
    try:
        for folder in (paths.home, paths.sessions, paths.raw, paths.payloads, paths.live, paths.documents, paths.repl):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # never a file that is there: closing it would take the locks of this process's other connections away, and the
        # next process that closes its own would throw away what they write (2.2 of sqlite.org/howtocorrupt.html)
        with suppress(FileExistsError):
            os.close(os.open(paths.database, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        found = store_error(error, paths.home)
        if isinstance(found, StoreFull):
            raise found from error
        raise StoreError(
            f"the store folder {str(paths.home)!r} cannot be used ({error}); set RLM_MCP_HOME to a folder you can write"
        ) from error
    patience = settings.busy_seconds if busy_seconds is None else busy_seconds
    connection = _connect(paths.database, patience)
    try:
        _into_wal(connection, patience)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.row_factory = sqlite3.Row
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return Store(connection, paths, settings)


def _connect(path: Path, patience_seconds: float) -> Connection:
    try:
        connection = sqlite3.connect(
            path,
            timeout=patience_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            factory=Connection,
        )
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    connection.path = path
    return connection


def _into_wal(connection: Connection, patience_seconds: float) -> None:
    """Switch to WAL; SQLite ignores the busy time-out for this one when several processes open a new file at once."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            connection.execute("PRAGMA journal_mode = WAL")
        except StoreBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def check(store: Store) -> str:
    """Integrity of the database file: '' if it is sound, else what is wrong. Reads all of it."""
    try:
        said = str(store.connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except StoreDamaged as error:
        return str(error)
    return "" if said == "ok" else f"{str(store.paths.database)!r} is damaged: {said}"


def append_at(path: Path, offset: int, content: bytes) -> None:
    """Write ``content`` at ``offset`` of a file of ours, cutting off what lies beyond (a killed writer's rest).

    The caller holds the write lock.

    Raises:
        StoreDamaged: the file is shorter than ``offset``.
        StoreFull: there is no room for it.
        StoreError: the file cannot be written.
    """
    try:
        _write_at(path, offset, content)
    except OSError as error:
        raise store_error(error, path) from error


def _write_at(path: Path, offset: int, content: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size < offset:
            raise StoreDamaged(
                f"{str(path)!r} has {size:,} bytes where the index expects {offset:,}; run 'rlm-mcp ingest --rebuild' "
                "on the session's transcript"
            )
        if size > offset:
            os.ftruncate(descriptor, offset)
        view = memoryview(content)
        while view:
            written = os.pwrite(descriptor, view, offset)
            offset += written
            view = view[written:]
    finally:
        os.close(descriptor)


def read_at(path: Path, offset: int, length: int) -> bytes:
    """``length`` bytes at ``offset`` of a file of ours.

    Raises:
        StoreDamaged: they are not there.
        StoreError: the file cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), length, offset)
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise store_error(error, path) from error
    if len(content) < length:
        raise StoreDamaged(
            f"{str(path)!r} ends before byte {offset + length:,}; run 'rlm-mcp ingest --rebuild' on its transcript"
        )
    return content
