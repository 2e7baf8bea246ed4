"""Any history of a transcript (grown, cut, replaced, deleted, read by several processes) leaves a whole store."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import TranscriptMissing, UnknownFormat
from rlm_mcp.store import sessions
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.export import export_raw
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.search import search
from tests.build import Transcript, a_day
from tests.looks import assert_whole, everything, log_bytes, raw


class History(RuleBasedStateMachine):
    """A client writes and we read; the model is the file's content and what each Session held when it was replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "s.jsonl"
        self.source = a_day(turns=3)
        self.written = 0
        self.content = b""
        self.unread = False
        self.stores: list[Store] = [self._open(), self._open()]
        self.left: dict[str, tuple[bytes, bytes]] = {}

    def _open(self) -> Store:
        return open_store(Paths(home=Path(self.folder.name) / "store"), Settings())

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def _write(self, content: bytes) -> None:
        self.content = content
        self.path.write_bytes(content)
        self.unread = True

    @rule(size=st.integers(1, 6_000))
    def the_client_writes(self, size: int) -> None:
        """A piece, cut anywhere."""
        whole = self.source.content
        piece = whole[self.written : self.written + size]
        self.written += len(piece)
        self._write(self.content + piece)

    @rule(seed=st.integers(1, 5))
    def the_file_is_replaced(self, seed: int) -> None:
        """By another session's, or the same one's other past."""
        self._read(0)
        self._remember()
        self.source = Transcript(f"{seed:08d}-0000-4000-8000-000000000000", seed=seed)
        for number in range(6):
            self.source.user(f"Another {seed} {number}")
            self.source.bash(f"make {number}", f"made {number}")
        self.written = len(self.source.lines[0])
        self._write(self.source.lines[0])

    def _remember(self) -> None:
        if not self.path.exists() or not self.content:
            return
        for row in sessions.by_path(self.stores[0], str(self.path)):
            self.left[row.key] = (log_bytes(self.stores[0], row), b"".join(export_raw(self.stores[0], session=row)))

    @rule(reader=st.integers(0, 1))
    def it_is_read(self, reader: int) -> None:
        """By one of two processes."""
        self._read(reader)

    def _read(self, reader: int) -> None:
        try:
            ingest(self.stores[reader], self.path)
            self.unread = False
        except (UnknownFormat, TranscriptMissing):
            assert b"\n" not in self.content

    @rule(reader=st.integers(0, 1))
    def a_process_begins_anew(self, reader: int) -> None:
        """Its connection is another one."""
        self.stores[reader].close()
        self.stores[reader] = self._open()

    @precondition(lambda self: b"\n" in self.content)
    @rule(reader=st.integers(0, 1))
    def it_is_asked(self, reader: int) -> None:
        """Locate ingests first; every verb answers."""
        session = locate(self.stores[reader], transcript=self.path)
        self.unread = False
        assert brief(self.stores[reader], session, tokens=1_000).text
        search(self.stores[reader], session, "which commands failed")
        compact(self.stores[reader], session, trigger="auto")

    @precondition(lambda self: b"\n" in self.content and not self.unread)
    @rule()
    def it_is_whole(self) -> None:
        """As if it had been read at once; what was replaced is as it was left."""
        store = self.stores[0]
        assert raw(store, self.path) == self.content
        current = {row.key for row in sessions.by_path(store, str(self.path))}
        for row in sessions.all_sessions(store, 100):
            if row.key in self.left and row.key not in current:
                assert (log_bytes(store, row), b"".join(export_raw(store, session=row))) == self.left[row.key]
        with open_store(Paths(home=Path(self.folder.name) / "alone"), Settings()) as alone:
            ingest(alone, self.path, rebuild=True)
            here = [log_bytes(store, row) for row in sessions.by_path(store, str(self.path))]
            there = [log_bytes(alone, row) for row in sessions.by_path(alone, str(self.path))]
            assert here == there

    @invariant()
    def the_store_is_sound(self) -> None:
        """After every step."""
        assert_whole(self.stores[0])


TestHistory = History.TestCase
TestHistory.settings = hypothesis_settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    """Three sessions ingested in any order give the same Events and Facts each."""
    made = [
        a_day(f"{number:08d}-0000-4000-8000-000000000000", turns=number, hour=9 + number).save(
            tmp_path / f"{number}.jsonl"
        )
        for number in (1, 2, 3)
    ]
    seen = []
    for order in (made, made[::-1]):
        with open_store(Paths(home=tmp_path / f"store-{len(seen)}"), Settings()) as store:
            for path in order:
                ingest(store, path)
            found = everything(store)
            seen.append({name: sorted(rows, key=repr) for name, rows in found.items()})
    assert seen[0] == seen[1]
