"""rlm_mcp.server.watch: the transcript is ingested while nobody asks, and no error ends it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.server.watch import Tail
from rlm_mcp.store import sessions
from rlm_mcp.wiring import Stores
from tests.server.rig import until


@pytest.fixture
def stores(paths: Paths) -> Iterator[Stores]:
    with Stores(paths, Settings()) as made:
        yield made


class Where:
    """The transcript that is being written now; a test changes it."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def __call__(self) -> Path | None:
        return self.path


@pytest.fixture
def where(tmp_path: Path) -> Where:
    return Where(tmp_path / "not there yet" / "session.jsonl")


@pytest.fixture
def tail(stores: Stores, where: Where) -> Iterator[Tail]:
    made = Tail(stores, where)
    made.start()
    yield made
    made.close()


def events_of(stores: Stores, path: Path) -> int:
    with stores.lend() as store:
        return sum(row.events for row in sessions.by_path(store, str(path)))


@pytest.mark.usefixtures("tail")
def test_a_transcript_is_followed_from_before_it_exists(stores: Stores, where: Where, recorded_session: Path) -> None:
    """Its folder may come later too; then everything that is written is taken in."""
    assert where.path is not None
    lines = recorded_session.read_bytes().splitlines(keepends=True)
    where.path.parent.mkdir()
    where.path.write_bytes(b"".join(lines[:50]))
    until(lambda: events_of(stores, where.path or Path()) > 0)
    before = events_of(stores, where.path)
    with where.path.open("ab") as file:
        file.writelines(lines[50:])
    until(lambda: events_of(stores, where.path or Path()) > before)


@pytest.mark.usefixtures("tail")
def test_another_transcript_is_followed_once_it_is_named(
    stores: Stores, where: Where, recorded_session: Path, tmp_path: Path
) -> None:
    """As after /clear."""
    where.path = recorded_session
    until(lambda: events_of(stores, recorded_session) > 0)
    second = tmp_path / "second.jsonl"
    second.write_bytes(recorded_session.read_bytes())
    where.path = second
    until(lambda: events_of(stores, second) > 0)


@pytest.mark.usefixtures("tail")
def test_a_file_that_cannot_be_read_does_not_end_it(
    stores: Stores, where: Where, recorded_session: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and goes on when the file is sound again."""
    assert where.path is not None
    where.path.parent.mkdir()
    where.path.mkdir()
    until(lambda: "tailing failed" in caplog.text)
    where.path.rmdir()
    where.path.write_bytes(recorded_session.read_bytes())
    until(lambda: events_of(stores, where.path or Path()) > 0)
    assert caplog.text.count("tailing failed") == 1


def test_it_stops_when_told(stores: Stores) -> None:
    """Also with nothing to follow."""
    made = Tail(stores, lambda: None)
    made.start()
    made.close(timeout_seconds=10)
    assert not made._thread.is_alive()
