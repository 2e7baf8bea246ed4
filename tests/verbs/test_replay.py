"""rlm_mcp.verbs.replay: every kind of question comes to the same again, and nobody is asked."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rlm_mcp.errors import SubLMRefused, UsageError
from rlm_mcp.store import runs
from rlm_mcp.sublm.lm import Request
from rlm_mcp.verbs.load import load
from tests.recursion.rig import block
from tests.verbs.asked import Asked, asked_with

Makes = Callable[..., Asked]
LOOK = "print(type(context).__name__)\nFINAL(llm_query(f'{type(context).__name__} {len(context)}'), quotes=['word 7 '])"


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Makes]:
    """Makes a session whose model is that script."""
    with ExitStack() as stack:
        yield lambda script, **more: stack.enter_context(asked_with(tmp_path, script, **more))


def _script(request: Request) -> str:
    if "block at a time" in request.system:
        return block(LOOK)
    return json.dumps({"answer": "small"}) if request.schema else f"heard {request.prompt[:40]}"


def _kept(at: Asked) -> list[tuple[object, ...]]:
    """All that is noted of questions."""
    with at.stores.lend() as store:
        return [
            tuple(row)
            for table in ("run", "step", "call", "reply", "cap")
            for row in store.connection.execute(f"SELECT * FROM {table}")
        ]


def _long(at: Asked) -> Path:
    path = at.work / "long.txt"
    path.write_text(" ".join(f"word {number} " for number in range(20_000)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "way",
    ["file", "files", "small file", "one document", "event", "turns", "session", "repo", "small", "search", "summary"],
)
def test_a_question_of_every_kind_is_played_again(asked: Makes, way: str) -> None:
    """The same answer over the same text; no request, no row, no dollar more."""
    at = asked(_script)
    at.transcript.bash("pytest -q", "1 failed", exit_code=1)
    long = _long(at)
    match way:
        case "file" | "files" | "summary":
            paths = (long,) if way != "files" else (long, long)
            found = at.ask("How long?", files=paths, is_summary=way == "summary")
        case "one document":
            with at.stores.lend() as store:
                load(store, at.session, str(long), "long.txt")
            found = at.ask("How long?", scope="docs")
            assert found.answer == "heard list 1"
        case "event" | "turns" | "session":
            at.transcript.bash("cat long.txt", long.read_text())
            found = at.ask("How long?", scope={"event": "e5", "turns": "t1 e2"}.get(way, way))
        case "small file":
            (at.work / "small, really.txt").write_text("word 7 and others")
            found = at.ask("How long?", files=(at.work / "small, really.txt",))
        case "repo":
            found = at.ask("How long?", scope="repo")
        case "small":
            found = at.ask("How long?")
        case _:
            found = at.ask("which commands failed?")
    assert found.status == "ok", found.error
    came, kept = len(at.model.came), _kept(at)
    with at.stores.lend() as store:
        again = at.asker.replay(store, found.run)
    assert again.is_same, again
    assert (again.now.answer, again.now.way, again.now.evidence) == (found.answer, found.way, found.evidence)
    assert again.record()["run"] == found.run
    assert len(at.model.came) == came
    assert _kept(at) == kept


def test_a_question_that_came_to_nothing_comes_to_nothing_again(asked: Makes, tmp_path: Path) -> None:
    """The same end; a text that is not the same any more has another."""
    at = asked(lambda _request: SubLMRefused("no such model"))
    found = at.ask("How long?")
    with at.stores.lend() as store:
        again = at.asker.replay(store, found.run)
        assert again.is_same
        assert isinstance(again.now.error, SubLMRefused)
    at = asked(_script)
    found = at.ask("How long?")
    at.transcript.reply("More was said.")
    assert at.session.turns
    with at.stores.lend() as store:
        again = at.asker.replay(store, found.run)
    assert not again.is_same
    assert (again.then.answer, again.now.answer, again.now.status) == ("small", "", "model")


def test_what_cannot_be_played_says_why(asked: Makes) -> None:
    """A part of another one, a text that only a Cell knew, one that goes on."""
    child = "found = rlm_query('CHILD', 'abc' * 20_000)\nFINAL(found)"
    at = asked(lambda r: block("FINAL(len(context))" if "CHILD" in str((r.prompt, r.history)) else child))
    found = at.ask("How long?", files=(_long(at),))
    assert (found.answer, found.way) == ("60000", "run")
    with at.stores.lend() as store:
        _root, below = runs.tree(store, found.run)
        with pytest.raises(UsageError, match=f"part of '{found.run}'"):
            at.asker.replay(store, below.id)
        with store.writing() as connection:
            connection.execute("UPDATE run SET parent = '', root = id WHERE id = ?", (below.id,))
        with pytest.raises(UsageError, match="is not kept"):
            at.asker.replay(store, below.id)
        with store.writing() as connection:
            connection.execute("UPDATE run SET status = 'running' WHERE id = ?", (found.run,))
        with pytest.raises(UsageError, match="still runs"):
            at.asker.replay(store, found.run)
