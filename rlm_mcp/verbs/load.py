"""load: files become Documents of the Session: kept whole, searchable, in the Repl, without passing the Window.

Files go in one after the other, each in short transactions: text first, then its index, then its name. Killed in
between, what was named stays, and the next load of the rest goes on where this one stood.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rlm_mcp.errors import DocumentError
from rlm_mcp.store import copying, documents, pieces
from rlm_mcp.store.database import Store
from rlm_mcp.store.documents import LoadedRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.load_files import MOST_BYTES_OF_ONE, Picked, Skipped, Wanted, pick

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all); a byte is done when it is copied and indexed."""

_STOPPED = "stopped"
_LISTED = 10
_NAMED_EACH = 3
"""Of those skipped for one reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAnswer:
    """What was loaded."""

    text: str
    """A few lines that tell it."""
    documents: tuple[LoadedRow, ...]
    total_bytes: int
    """Of their texts."""
    replaced: tuple[str, ...]
    """Names that stood for something else before."""
    forgotten: int
    """Names below the folder's that stand for nothing any more."""
    changed: tuple[str, ...]
    """Names of files that were written to while they were read."""
    secrets: int
    """In all of them; answers show marks in their place."""
    skipped: tuple[Skipped, ...]


def load(
    store: Store,
    session: SessionRow,
    path: str,
    name: str = "",
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> LoadAnswer:
    """Bring a file, a folder or what a glob matches into the store, and let the Session know it by name.

    A file becomes one Document called ``name`` (else by the file's name); of a folder or glob each file becomes one,
    called ``name/<path in the folder>``. What a name stood for before is replaced. Relative paths are taken from the
    Session's folder.

    Args:
        stop: set from any thread, it ends the load; files that were done stay loaded.

    Raises:
        DocumentError: nothing is there or nothing of it is text, it holds credentials, it is too much, or was stopped.
        StoreFull, StoreBusy, StoreError: the store cannot be written; files that were done stay loaded.
        UsageError, QueryError, ProcessError: the folder cannot be listed, or the glob means nothing.
    """
    picked = pick(path, name, cwd=session.cwd, store_home=store.paths.home)
    copying.tidy(store.paths)
    work = _Work(store, session, progress, sum(each.size for each in picked.wanted), stop)
    skipped = list(picked.skipped)
    for wanted in picked.wanted:
        try:
            work.bring(wanted)
        except DocumentError as error:
            if not picked.folder or error.why == _STOPPED:
                raise
            skipped.append(Skipped(path=wanted.name.removeprefix(f"{picked.folder}/"), why=error.why))
        work.done(wanted)
    if not work.rows:
        told = _skipped_line(skipped, picked.left_out) or "there is no file"
        raise DocumentError(f"nothing of {path!r} was loaded: {told}; name what is text", why="nothing")
    forgotten = 0
    if picked.folder:
        with store.writing():
            names = {row.name for row in work.rows}
            forgotten = documents.forget_others(store, session.key, picked.folder, names)
    secrets = documents.count_secrets(store, {row.document for row in work.rows})
    answer = LoadAnswer(
        text="",
        documents=tuple(work.rows),
        total_bytes=sum(row.length for row in work.rows),
        replaced=tuple(work.replaced),
        forgotten=forgotten,
        changed=tuple(work.changed),
        secrets=secrets,
        skipped=tuple(skipped),
    )
    return replace(answer, text=_text(answer, picked))


class _Work:
    """A load under way."""

    def __init__(
        self,
        store: Store,
        session: SessionRow,
        progress: Progress | None,
        total: int,
        stop: threading.Event | None,
    ) -> None:
        self.store = store
        self.session = session
        self.rows: list[LoadedRow] = []
        self.replaced: list[str] = []
        self.changed: list[str] = []
        self._progress = progress
        self._total = total
        self._stop = stop
        self._done = 0
        """Bytes of the files that are done."""

    def bring(self, wanted: Wanted) -> None:
        """Copy, index and name one file.

        Raises:
            DocumentError: it cannot be loaded.
        """
        copied_bytes = indexed_bytes = 0

        def copied_more(count: int) -> None:
            nonlocal copied_bytes
            copied_bytes += count
            self._tell(copied_bytes // 2)

        copied = copying.copy(self.store.paths, wanted.file, most_bytes=MOST_BYTES_OF_ONE, told=copied_more)

        def indexed_more(count: int) -> None:
            nonlocal indexed_bytes
            indexed_bytes += count
            self._tell((wanted.size + wanted.size * indexed_bytes // copied.length) // 2)

        with self.store.writing():
            documents.add(self.store, copied)
        document = pieces.index(self.store, copied.sha256, indexed_more)
        row = LoadedRow(
            name=wanted.name,
            sha256=document.sha256,
            ref=document.ref,
            path=str(wanted.file).encode("utf-8", "backslashreplace").decode(),
            length=document.length,
            lines=document.lines,
            encoding=document.encoding,
            time=time.time(),
            document=document.id,
        )
        with self.store.writing():
            before = documents.by_name(self.store, self.session.key, row.name)
            documents.set_name(self.store, self.session.key, row)
        self.rows.append(row)
        if before is not None and before.sha256 != row.sha256:
            self.replaced.append(row.name)
        if copied.changed:
            self.changed.append(row.name)

    def done(self, wanted: Wanted) -> None:
        """A file is loaded, or skipped."""
        self._done += wanted.size
        self._tell(0)

    def _tell(self, of_this: int) -> None:
        if self._stop is not None and self._stop.is_set():
            raise DocumentError(
                f"the load was stopped; {len(self.rows):,} documents are loaded, load it again for the rest",
                why=_STOPPED,
            )
        if self._progress is not None:
            self._progress(min(self._done + of_this, self._total), self._total)


def _text(answer: LoadAnswer, picked: Picked) -> str:
    rows = answer.documents
    lines = [_row_line(row) for row in rows] if len(rows) <= _LISTED else _summed(rows, picked.folder)
    if answer.replaced:
        lines.append(f"replaced: {_some(answer.replaced)}")
    if answer.forgotten:
        lines.append(f"{answer.forgotten:,} names below {picked.folder}/ are not there any more")
    if answer.changed:
        lines.append(f"written to while they were read, as they were then: {_some(answer.changed)}")
    if answer.secrets:
        many = f"{answer.secrets:,} secrets in them are shown as marks"
        lines.append(many if answer.secrets > 1 else "1 secret in them is shown as a mark")
    skipped = _skipped_line(answer.skipped, picked.left_out)
    if skipped:
        lines.append(f"skipped {skipped}")
    if picked.unread:
        lines.append(f"git cannot read the repository in {_some(picked.unread)}: what it ignores is loaded too")
    key = picked.folder or rows[0].name
    lines.append(f"search them with scope=docs, read them by Ref; docs[{key!r}] in the REPL")
    return "\n".join(lines)


def _row_line(row: LoadedRow) -> str:
    encoding = "" if row.encoding == copying.UTF_8 else f", {row.encoding}"
    lines = "1 line" if row.lines == 1 else f"{row.lines:,} lines"
    return f"loaded {row.name}: {row.length:,} bytes, {lines}{encoding} {row.ref}"


def _summed(rows: Sequence[LoadedRow], folder: str) -> list[str]:
    """Many Documents in a few lines."""
    below = Counter(_first_part(row.name, folder) for row in rows)
    shown = ", ".join(f"{part} {count:,}" for part, count in below.most_common(_LISTED))
    rest = f", {len(below) - _LISTED:,} other folders" if len(below) > _LISTED else ""
    size, lines = sum(row.length for row in rows), sum(row.lines for row in rows)
    largest = sorted(rows, key=lambda row: -row.length)[:_NAMED_EACH]
    return [
        f"loaded {len(rows):,} documents as {folder}/...: {size:,} bytes, {lines:,} lines ({shown}{rest})",
        *(_row_line(row).replace("loaded", "largest:", 1) for row in largest),
    ]


def _first_part(name: str, folder: str) -> str:
    first, slash, _rest = name.removeprefix(f"{folder}/").partition("/")
    return f"{first}/" if slash else "./"


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _NAMED_EACH:,} more" if len(names) > _NAMED_EACH else ""
    return ", ".join(names[:_NAMED_EACH]) + rest


def _skipped_line(skipped: Sequence[Skipped], left_out: int) -> str:
    """How many of each reason, the first ones named."""
    reasons: dict[str, list[str]] = {}
    for each in skipped:
        reasons.setdefault(each.why, []).append(each.path)
    told = [f"{len(paths):,} ({why}: {_some(paths)})" for why, paths in reasons.items()]
    if left_out:
        told.append(f"{left_out:,} (pipes, sockets, devices, or folders closed or too deep)")
    return "; ".join(told)
