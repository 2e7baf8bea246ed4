"""Errors of SQLite and of the system become the store's own, by what they say."""

import errno
import sqlite3
from pathlib import Path

import pytest

from rlm_mcp.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, UsageError
from rlm_mcp.store.connection import store_error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.OperationalError("database is locked"), StoreBusy),
        (sqlite3.OperationalError("database table is locked"), StoreBusy),
        (sqlite3.OperationalError("database or disk is full"), StoreFull),
        (sqlite3.OperationalError("disk I/O error"), StoreFull),
        (sqlite3.OperationalError("attempt to write a readonly database"), StoreError),
        (sqlite3.OperationalError("interrupted"), StoreError),
        (sqlite3.DatabaseError("file is not a database"), StoreDamaged),
        (sqlite3.DatabaseError("database disk image is malformed"), StoreDamaged),
        (OSError(errno.ENOSPC, "No space left on device"), StoreFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StoreFull),
        (PermissionError(errno.EACCES, "Permission denied"), StoreError),
        (OSError(errno.EIO, "Input/output error"), StoreError),
    ],
)
def test_each_error_has_its_type_its_file_and_its_words(error: Exception, kind: type[StoreError]):
    """The message names the file and what was said, or the cure."""
    found = store_error(error, Path("/home/dev/.rlm-mcp/store.db"))
    assert type(found) is kind
    assert "/home/dev/.rlm-mcp/store.db" in str(found)
    assert kind is StoreBusy or str(error) in str(found)


def test_text_that_cannot_be_encoded_is_the_callers():
    """A lone surrogate in a name or query."""
    with pytest.raises(UnicodeEncodeError) as raised:
        "a\ud800".encode()
    assert isinstance(store_error(raised.value, Path("x")), UsageError)
