"""rlm_mcp.server.tools: each tool answers what its verb answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import QueryError
from rlm_mcp.server.session import Beside, SessionFinder
from rlm_mcp.server.tools import call
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.search import search
from rlm_mcp.wiring import Stores


@pytest.fixture
def stores(paths: Paths) -> Iterator[Stores]:
    with Stores(paths, Settings()) as made:
        yield made


@pytest.fixture
def finder(paths: Paths, recorded_session: Path) -> SessionFinder:
    return SessionFinder(
        Beside(paths=paths, environ={}, parent_id=1, cwd=Path("/"), transcript=recorded_session, started=0.0)
    )


def test_search_and_brief_answer_as_the_verbs_do(stores: Stores, finder: SessionFinder, recorded_session: Path) -> None:
    """One verb, one name, one text."""
    found = call(stores, finder, "search", {"query": "failing tests", "max_tokens": 300}, "")
    made = call(stores, finder, "brief", {"tokens": 800, "focus": "importer"}, "")
    with stores.lend() as store:
        session = locate(store, transcript=recorded_session)
        assert found == search(store, session, "failing tests", max_tokens=300).text
        assert made == brief(store, session, tokens=800, focus="importer").text


def test_a_long_read_goes_on_piece_by_piece(stores: Stores, finder: SessionFinder) -> None:
    """Each piece says where it stands and how to go on; together they are the whole, byte for byte."""
    pieces, offset = [], 0
    while True:
        answer = call(stores, finder, "read", {"ref": "t2", "max_tokens": 2_000, "offset": offset}, "")
        text, _mark, told = answer.rpartition("\n[bytes ")
        pieces.append(text)
        if "read on with offset=" not in told:
            break
        offset = int(told.partition("offset=")[2].rstrip("]"))
    whole = call(stores, finder, "read", {"ref": "t2", "max_tokens": 100_000}, "")
    assert len(pieces) > 3
    assert "".join(pieces) == whole
    assert "6.4 The amount is rounded half up to the cent, once, at the end." in whole


def test_status_tells_of_the_session_at_hand(stores: Stores, finder: SessionFinder) -> None:
    """Session, window, what was skipped, the store."""
    text = call(stores, finder, "status", {}, "")
    for part in ("claude-code 237e5a5c", "window: ", "events", "0 of unknown type", "folds: 0", "store: "):
        assert part in text


def test_an_unknown_tool_is_named(stores: Stores, finder: SessionFinder) -> None:
    """With those there are."""
    with pytest.raises(QueryError, match="search, read, brief, status"):
        call(stores, finder, "forget", {}, "")
