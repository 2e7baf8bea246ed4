"""rlm_mcp.server.tools: each tool answers what its verb answers."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import DocumentError, QueryError
from rlm_mcp.server.late import LateAsker
from rlm_mcp.server.session import Beside, SessionFinder
from rlm_mcp.server.tools import Asked, Tools
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.search import search
from rlm_mcp.wiring import Repls, Stores


@pytest.fixture
def tools(paths: Paths, recorded_session: Path) -> Iterator[Tools]:
    beside = Beside(paths=paths, environ={}, parent_id=1, cwd=Path("/"), transcript=recorded_session, started=0.0)
    with Stores(paths, Settings()) as stores, Repls(stores) as repls, closing(LateAsker(stores)) as asker:
        yield Tools(stores=stores, repls=repls, asker=asker, finder=SessionFinder(beside))


def call(tools: Tools, name: str, arguments: dict[str, Any]) -> str:
    return tools.call(Asked(name=name, arguments=arguments))


def test_search_and_brief_answer_as_the_verbs_do(tools: Tools, recorded_session: Path) -> None:
    """One verb, one name, one text."""
    found = call(tools, "search", {"query": "failing tests", "max_tokens": 300})
    made = call(tools, "brief", {"tokens": 800, "focus": "importer"})
    with tools.stores.lend() as store:
        session = locate(store, transcript=recorded_session)
        assert found == search(store, session, "failing tests", max_tokens=300).text
        assert made == brief(store, session, tokens=800, focus="importer").text


def test_a_long_read_goes_on_piece_by_piece(tools: Tools) -> None:
    """Each piece says where it stands and how to go on; together they are the whole, byte for byte."""
    pieces, offset = [], 0
    while True:
        answer = call(tools, "read", {"ref": "t2", "max_tokens": 2_000, "offset": offset})
        text, _mark, told = answer.rpartition("\n[bytes ")
        pieces.append(text)
        if "read on with offset=" not in told:
            break
        offset = int(told.partition("offset=")[2].rstrip("]"))
    whole = call(tools, "read", {"ref": "t2", "max_tokens": 100_000})
    assert len(pieces) > 3
    assert "".join(pieces) == whole
    assert "6.4 The amount is rounded half up to the cent, once, at the end." in whole


def test_status_tells_of_the_session_at_hand(tools: Tools) -> None:
    """Session, window, what was skipped, the store."""
    text = call(tools, "status", {})
    for part in ("claude-code 237e5a5c", "window: ", "events", "0 of unknown type", "folds: 0", "store: "):
        assert part in text


def test_an_unknown_tool_is_named(tools: Tools) -> None:
    """With those there are."""
    with pytest.raises(QueryError, match="search, read, repl, load, ask, job, brief, status"):
        call(tools, "forget", {})


def test_repl_keeps_its_variables_from_call_to_call(tools: Tools) -> None:
    """One namespace a Session; the answer is the output and the Cell's Ref."""
    assert call(tools, "repl", {"code": "n = len(session.turns)"}).startswith("[c1; ")
    assert call(tools, "repl", {"code": "n", "timeout_seconds": 5}) == "7\n[c2]"
    assert call(tools, "read", {"ref": "c2"}) == "7\n"


def test_a_cancelled_load_stops(tools: Tools, tmp_path: Path) -> None:
    """Nothing more is loaded for nobody."""
    (tmp_path / "app.log").write_text("something")
    asked = Asked(name="load", arguments={"path": str(tmp_path / "app.log")})
    tools.cancel(asked)
    with pytest.raises(DocumentError, match="stopped"):
        tools.call(asked)


def test_load_brings_a_file_into_search_and_repl(tools: Tools, tmp_path: Path) -> None:
    """Without passing through the window: only what it is comes back."""
    (tmp_path / "server.log").write_text("started\n" * 1_000 + "the kraken woke at noon\n", encoding="utf-8")
    told = call(tools, "load", {"path": str(tmp_path / "server.log"), "name": "log"})
    assert "log" in told
    assert "kraken" not in told
    assert "the kraken woke at noon" in call(tools, "search", {"query": "kraken", "scope": "docs"})
    assert call(tools, "repl", {"code": "docs['log'].text.count('started')"}).startswith("1000\n")
