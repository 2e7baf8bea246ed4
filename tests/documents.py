"""Documents for tests: loaded from files made on the spot."""

from pathlib import Path

from rlm_mcp.store.database import Store
from rlm_mcp.store.documents import LoadedRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.load import load
from rlm_mcp.verbs.locate import locate
from tests.build import Transcript

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eFaB3d"


def session_in(store: Store, folder: Path, *, session: str = "") -> SessionRow:
    """A session whose folder is ``folder/work``, which is made."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    made = Transcript(cwd=str(work)) if not session else Transcript(session, cwd=str(work))
    made.user(f"Look at what is loaded {session}")
    return locate(store, transcript=made.save(folder / f"{session or 's'}.jsonl"))


def loaded_text(store: Store, session: SessionRow, name: str, content: str | bytes) -> LoadedRow:
    """A Document of that content."""
    path = Path(session.cwd) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (row,) = load(store, session, str(path), name).documents
    return row
