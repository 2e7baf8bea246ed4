"""How a Session's variables are saved and taken back: when that is worth its time, and where they lie."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from rlm_mcp.sandbox.messages import Saved
from rlm_mcp.sandbox.repl import Binding, Repl
from rlm_mcp.store import cells
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.database import Store, translated
from rlm_mcp.verbs.repl_answer import without_file

MANY_CELLS = 50
"""After so many Cells the variables are saved, however quick they were."""
_CHEAP_SECONDS, _CHEAP_BYTES = 0.25, 2 << 20
"""Variables that took no more to save, and no more room, are saved behind every Cell."""
_QUICK_SECONDS = 0.05
"""Of larger ones: Cells that took less together are run again sooner than saved."""
_IDLE_FACTOR = 100.0
"""Nobody waits by then: so many times what saving takes."""


@dataclass(slots=True, kw_only=True)
class Since:
    """What the Cells since the last saving are worth, and what saving costs."""

    cells: int = 0
    seconds: float = 0.0
    save_seconds: float = 0.0
    """Taken by the last try."""
    is_cheap: bool = True
    """The last one cost so little that the next may follow every Cell."""

    def is_due(self, idle_seconds: float) -> bool:
        """Whether to save, when no Cell has run for so long."""
        if not self.cells:
            return False
        is_worth_it = self.cells >= MANY_CELLS or self.seconds > max(self.save_seconds, _QUICK_SECONDS)
        return self.is_cheap or is_worth_it or idle_seconds > self.save_seconds * _IDLE_FACTOR

    def saved(self) -> None:
        """Nothing is unsaved any more."""
        self.cells, self.seconds = 0, 0.0


def saved_now(
    store: Store, session_key: str, number: int, live: Repl, left_out: Collection[str], since: Since
) -> tuple[Saved, str]:
    """Let the live one save its variables as of that Cell; what it says, and the new file, below ``Paths.repl``.

    Where it complains, there is none. The child writes into a file of its own, the same each time, of which a copy is
    kept: it may hold every descriptor open for ever, and still has no more than that one file.

    Args:
        left_out: variables not to be tried.
        since: what saving costs is noted there.

    Raises:
        ReplGone: it ended over it.
        StoreError: there is no room for the copy.
    """
    started = time.monotonic()
    draft, path = draft_path(store, session_key), _unused(store.paths.repl, f"{session_key}-{number}")
    since.is_cheap = False
    try:
        with translated(store.paths), _opened(draft) as descriptor:
            saved = live.save(descriptor, left_out)
            size = max((start + length for _name, start, length in saved.variables), default=0)
            if saved.complaint:
                return saved, ""
            if os.fstat(descriptor).st_size > size:
                os.ftruncate(descriptor, size)
            _copy(draft, path)
    finally:
        since.save_seconds = time.monotonic() - started
    since.is_cheap = since.save_seconds <= _CHEAP_SECONDS and size <= _CHEAP_BYTES
    return saved, path.name


@contextmanager
def _opened(draft: Path) -> Iterator[int]:
    """Its descriptor; it is empty again afterwards."""
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _copy(draft: Path, path: Path) -> None:
    """All or nothing."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        shutil.copyfile(draft, path)
    except OSError:
        path.unlink()
        raise


def draft_path(store: Store, session_key: str) -> Path:
    """Where a child writes variables to; removed when another child begins, so that it shares it with none."""
    return store.paths.repl / f"{session_key}.draft"


def kept(store: Store, row: Checkpoint, *, is_first: bool) -> None:
    """Put it in place of what was saved before, and remove that.

    Args:
        is_first: of this process; it looks for what others have left when they were killed.
    """
    with store.writing():
        before = cells.checkpoint(store, row.session_key)
        cells.set_checkpoint(store, row)
    stale = {path.name for path in store.paths.repl.glob(f"{row.session_key}-*.vars")} if is_first else set()
    stale |= {before.file} if before is not None and before.file else set()  # of another key, if it was rebuilt
    for gone in stale - cells.saved_files(store):
        (store.paths.repl / gone).unlink(missing_ok=True)


def saved_and_since(store: Store, session_key: str) -> tuple[Checkpoint | None, list[CellRow]]:
    """What brings the variables back: those saved, and the Cells behind them that left something."""
    saved = cells.checkpoint(store, session_key)
    since = cells.after(store, session_key, saved.cell if saved else 0, has_output=False)
    reset = max((index for index, row in enumerate(since) if row.status is CellStatus.RESET), default=None)
    if reset is not None:
        saved, since = None, since[reset + 1 :]
    return saved, [row for row in since if row.status is not CellStatus.ENDED]


def taken(
    store: Store,
    live: Repl,
    told: Mapping[str, Any],
    saved: Checkpoint | None,
    left_out: Mapping[str, str],
    bindings: Mapping[str, Binding],
) -> tuple[tuple[str, str], ...]:
    """Throw the live one's variables away and give it the saved ones; those that are lost, and why.

    Args:
        left_out: variables not to be tried, and why.

    Raises:
        ReplGone: it ended over it.
    """
    if saved is None or not saved.file:
        live.restore(told, (), None, bindings)
        return saved.unsaved if saved else ()
    path = store.paths.repl / saved.file
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        live.restore(told, (), None, bindings)
        return without_file(saved, str(error)).unsaved
    try:
        restored = live.restore(told, saved.variables, descriptor, bindings, left_out)
    finally:
        os.close(descriptor)
    return (*saved.unsaved, *left_out.items(), *restored.lost)


def _unused(folder: Path, name: str) -> Path:
    """A new file's path: the variables saved before, perhaps as of the same Cell, are good until these are."""
    return next(path for part in count() if not (path := folder / f"{name}{f'-{part}' if part else ''}.vars").exists())
