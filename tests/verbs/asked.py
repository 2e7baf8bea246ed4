"""Questions for tests: a real store and session, a scripted model, Cells in a real Jail, as the server wires them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlm_mcp.asker import Asker, How
from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.ledger import StoreLedger
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.metered import Metered
from rlm_mcp.sublm.scripted import Script
from rlm_mcp.verbs.ask import AskAnswer
from rlm_mcp.verbs.jobs import JobState
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.wiring import Stores
from tests.build import Transcript
from tests.recursion.rig import PLENTY, ROOT, SUB, Watched


class Asked:
    """Asks questions over one session."""

    def __init__(self, stores: Stores, folder: Path, model: Watched) -> None:
        self.stores = stores
        self.folder = folder
        self.model = model
        self.asker = Asker(stores, {})
        self.asker._metered = Metered(model, StoreLedger(stores.lend, PLENTY))
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)
        self.transcript = Transcript(cwd=str(self.work))
        self.transcript.user("Look after the importer, please; never touch zone Z4")

    @property
    def session(self) -> SessionRow:
        """As it is now; what was written to the transcript is ingested first."""
        with self.stores.lend() as store:
            return locate(store, transcript=self.transcript.save(self.folder / "s.jsonl"))

    def ask(self, question: str, *, session: SessionRow | None = None, **how: Any) -> AskAnswer:
        """Ask and wait."""
        state = self.start(question, session=session, **how)
        assert state.answer is not None, state.error
        return state.answer

    def start(self, question: str, *, session: SessionRow | None = None, **how: Any) -> JobState:
        """Ask and wait; the job as it is then."""
        how = {"model": ROOT, "sub_model": SUB, **how}
        with self.stores.lend() as store:
            own = None if how.get("files") else session or self.session
            return self.asker.start(store, own, question, How(**how)).wait(60)

    def read(self, ref: str) -> str:
        """What a Ref names."""
        with self.stores.lend() as store:
            return read(store, self.session, ref).text


@contextmanager
def asked_with(folder: Path, script: Script, *, seconds: float = 0.0) -> Iterator[Asked]:
    """Everything, in a throwaway folder."""
    with Stores(Paths(home=folder / "store"), Settings()) as stores:
        made = Asked(stores, folder, Watched(script, seconds=seconds))
        with made.asker:
            yield made
