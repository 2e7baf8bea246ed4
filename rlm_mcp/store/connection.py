"""A SQLite connection whose errors are the store's own, wherever a statement or a row of it fails."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from rlm_mcp.errors import RlmError, StoreBusy, StoreDamaged, StoreError, StoreFull, UsageError

_CursorT = TypeVar("_CursorT", bound=sqlite3.Cursor)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def store_error(error: BaseException, path: Path) -> RlmError:
    """The store's own error for what SQLite or the system said of the file or folder ``path``."""
    name, said = repr(str(path)), str(error)
    if isinstance(error, UnicodeEncodeError):
        return UsageError(f"{error.object!r} is not valid text (a lone surrogate in it); leave that character out")
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return StoreFull(f"the disk under {name} is full ({said}); free some room")
        return StoreError(f"{name} cannot be used ({said}); check that it is yours and can be read and written")
    if isinstance(error, sqlite3.OperationalError):
        return _operational(said, name)
    return StoreDamaged(f"{name} is damaged ({said}); move it away and run 'rlm-mcp ingest' on your transcripts")


def _operational(said: str, name: str) -> StoreError:
    if "locked" in said or "busy" in said:
        return StoreBusy(f"another process is writing to {name} for too long; try again, or raise RLM_MCP_BUSY_SECONDS")
    if "full" in said or "disk I/O" in said:
        return StoreFull(f"the disk under {name} is full or failing ({said}); free some room")
    return StoreError(f"{name}: {said}; 'rlm-mcp status' tells more")


class Cursor(sqlite3.Cursor):
    """Raises ``StoreError`` and its kind in place of ``sqlite3.Error``."""

    connection: Connection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """As in ``sqlite3``.

        Raises:
            StoreError: and its kind.
            UsageError: a parameter is text that UTF-8 cannot hold.
        """
        try:
            return super().execute(sql, parameters)
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise store_error(error, self.connection.path) from error

    def executemany(self, sql: str, rows: Iterable[Any], /) -> Self:
        """As in ``sqlite3``; raises as :meth:`execute` does."""
        try:
            return super().executemany(sql, rows)
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise store_error(error, self.connection.path) from error

    def fetchone(self) -> Any:
        """As in ``sqlite3``."""
        try:
            return super().fetchone()
        except sqlite3.Error as error:
            raise store_error(error, self.connection.path) from error

    def fetchall(self) -> list[Any]:
        """As in ``sqlite3``."""
        try:
            return super().fetchall()
        except sqlite3.Error as error:
            raise store_error(error, self.connection.path) from error

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.Error as error:
            raise store_error(error, self.connection.path) from error


class Connection(sqlite3.Connection):
    """Its cursors raise the store's own errors; closed, ``StoreError`` too."""

    path: Path
    """Of the database file, for messages."""

    @overload
    def cursor(self, factory: None = None) -> Cursor: ...
    @overload
    def cursor(self, factory: Callable[[sqlite3.Connection], _CursorT]) -> _CursorT: ...
    def cursor(self, factory: Callable[[sqlite3.Connection], sqlite3.Cursor] | None = None) -> sqlite3.Cursor:
        """A cursor of ours."""
        try:
            return super().cursor(factory or Cursor)
        except sqlite3.Error as error:
            raise StoreError(f"{str(self.path)!r}: {error}; open the store again") from error

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        """As in ``sqlite3``, through a cursor of ours.

        Raises:
            StoreError: and its kind.
            UsageError: a parameter is text that UTF-8 cannot hold.
        """
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Any], /) -> Cursor:
        """As in ``sqlite3``, through a cursor of ours."""
        return self.cursor().executemany(sql, rows)
