"""The secrets of all that a Run's Cells may see, known by value: so no slice of one leaves, in whatever a Cell makes.

What ``context`` is stays as it is, byte for byte; what Cells print, ask and answer is looked through on the host.
Documents that are indexed have their secrets listed already; other texts are searched once, before the first Cell runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from rlm_mcp.errors import StoreDamaged
from rlm_mcp.fragments import Fragments
from rlm_mcp.recursion.scope import Source, pieces
from rlm_mcp.redact import find, redact
from rlm_mcp.sandbox.repl import Outcome
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store
from rlm_mcp.store.documents import DocumentRow, LoadedRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lm import Stop

_PIECE_BYTES = 1 << 20
_OVERLAP_BYTES = 64 << 10
"""No secret is longer."""
_Lend = Callable[[], AbstractContextManager[Store]]


class Known:
    """Takes secrets out of texts: those of known shape, and every part of those that it knows. For any thread."""

    def __init__(
        self,
        lend: _Lend | None = None,
        *,
        sources: Sequence[Source] = (),
        loaded: Sequence[LoadedRow] = (),
        keys: Sequence[str] = (),
    ) -> None:
        """Nothing is looked at yet.

        Args:
            sources: texts that Cells see.
            loaded: Documents that they can come by.
            keys: secrets that we hold ourselves.
        """
        self._lend = lend
        self._sources = sources
        self._loaded = loaded
        self._keys = keys
        self._lock = threading.Lock()
        self._is_ready = False
        self._fragments = Fragments(keys=keys)

    def ready(self, stop: Stop) -> None:
        """Look for the secrets, unless that is done: to be called before anything of the texts is sent or written.

        Raises:
            Cancelled, SubLMTimeout: it was ended meanwhile.
            StoreError: the texts cannot be read.
        """
        with self._lock:
            if not self._is_ready:
                self._fragments = Fragments(self._found(stop), self._keys)
                self._is_ready = True

    def redact(self, text: str) -> str:
        """``text`` without secrets."""
        return self._fragments.redact(redact(text)[0])

    def without(self, outcome: Outcome) -> Outcome:
        """What a Cell has printed and given to FINAL, without secrets."""
        final = None if outcome.final is None else self.redact(outcome.final)
        return replace(outcome, output=self.redact(outcome.output), final=final)

    def _found(self, stop: Stop) -> Iterator[str]:
        if self._lend is None:
            return
        with self._lend() as store:
            rows: dict[int, DocumentRow | LoadedRow] = {row.document: row for row in self._loaded}
            for source in self._sources:
                stop.left(1.0)
                if source.ref is None:
                    yield from _searched(source, stop)
                elif source.ref.document:  # else it is of a log, which holds none
                    found = documents.by_prefix(store, source.ref.document)
                    if found.indexed < found.length:
                        yield from _searched(source, stop)
                    else:
                        rows[found.id] = found
            for number, row in rows.items():
                stop.left(1.0)
                yield from _listed(store, number, row)


class OfSession:
    """The secrets of what a Session has loaded, for its own Cells; read again where another Document is there."""

    def __init__(self) -> None:
        self._loaded: frozenset[int] = frozenset()
        self._known = Known()

    def known(self, store: Store, session: SessionRow) -> Known:
        """As of now."""
        rows = documents.known_to(store, session)
        loaded = frozenset(row.document for row in rows)
        if loaded != self._loaded:
            self._known = Known(lambda: nullcontext(store), loaded=rows)
            self._known.ready(Stop())
            self._loaded = loaded
        return self._known


def _listed(store: Store, number: int, row: DocumentRow | LoadedRow) -> Iterator[str]:
    try:
        for secret in documents.secrets_in(store, number, 0, row.length):
            content = documents.read(store, row.sha256, secret.start, secret.end - secret.start)
            yield content.decode("utf-8", "replace")
    except StoreDamaged:
        return  # the text is gone: no Cell can see it either


def _searched(source: Source, stop: Stop) -> Iterator[str]:
    for _offset, piece in pieces(source, _OVERLAP_BYTES, _PIECE_BYTES):
        stop.left(1.0)
        text = piece.decode("utf-8", "replace")
        is_whole = source.path is None or len(piece) <= _PIECE_BYTES
        own = len(text) if is_whole else len(piece[:_PIECE_BYTES].decode("utf-8", "replace"))
        yield from (text[secret.start : secret.end] for secret in find(text) if secret.start < own)
