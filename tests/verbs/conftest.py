"""Sessions ingested once and read by many tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.locate import locate
from tests.build import a_day


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, SessionRow]]:
    """An ordinary session of four Turns (``tests.build.a_day``). Only looked at."""
    folder = tmp_path_factory.mktemp("day")
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        yield store, locate(store, transcript=a_day().save(folder / "day.jsonl"))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, recorded_session: Path) -> Iterator[tuple[Store, SessionRow]]:
    """The recorded session. Only looked at."""
    with open_store(Paths(home=tmp_path_factory.mktemp("recorded") / "store"), Settings()) as store:
        yield store, locate(store, transcript=recorded_session)
