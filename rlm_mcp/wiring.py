"""Settings -> opened Stores, closed in the end. What server and CLI stand on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rlm_mcp.config import Paths, Settings, read_paths, read_settings
from rlm_mcp.store.database import Store, open_store


class Stores:
    """Opened Stores, each lent to one caller at a time; a Store has one caller, a server has many."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.paths = paths
        self.settings = settings
        self._idle: list[Store] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def lend(self) -> Iterator[Store]:
        """An opened Store for this caller alone; an idle one if there is any.

        Raises:
            StoreError: it cannot be opened.
        """
        with self._lock:
            store = self._idle.pop() if self._idle else None
        if store is None:
            store = open_store(self.paths, self.settings)
        try:
            yield store
        finally:
            with self._lock:
                keep = not self._is_closed
                if keep:
                    self._idle.append(store)
            if not keep:
                store.close()

    def close(self) -> None:
        """Close the idle ones now, and those lent out when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for store in reversed(idle):
            store.close()


def wire(environ: Mapping[str, str] | None = None) -> Stores:
    """Stores below the environment's home, with its settings; nothing is opened yet.

    Raises:
        UsageError: a setting is unknown or out of its limits.
    """
    paths = read_paths(environ)
    return Stores(paths, read_settings(paths, environ))
