"""rlm_mcp.verbs.summarize: a tree of summaries with Refs, paid once, and honest where it did not come to its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.errors import QueryError, SubLMRefused
from rlm_mcp.store import ledger, runs, summaries
from rlm_mcp.sublm.lm import Request
from tests.verbs.asked import Asked, asked_with


def told(request: Request) -> str:
    """A summary that says what it was made from."""
    return f"{len(request.prompt)} of {request.prompt[:30]!r}"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Asked]:
    with asked_with(tmp_path, told) as made:
        yield made


def lines(start: int, count: int) -> str:
    return "".join(
        f"line {number} of the log, with some words behind it — naïve ones too\n"
        for number in range(start, start + count)
    )


def test_leaves_are_whole_pieces_of_the_text_and_each_ref_resolves(at: Asked, tmp_path: Path) -> None:
    """Together they are the text, byte for byte; each level stands for all below it."""
    (tmp_path / "big.log").write_text(lines(0, 3_000), encoding="utf-8")
    found = at.ask("", files=(tmp_path / "big.log",), is_summary=True)
    assert (found.status, found.way) == ("ok", "summary")
    with at.stores.lend() as store:
        tree = summaries.tree(store, str(tmp_path / "big.log"))
        (row,) = runs.latest(store)
        assert (row.id, row.way, row.status, row.answer) == (found.run, "summary", "ok", found.answer)
        assert ledger.spent(store, run=found.run) == found.spent
    leaves = [row for row in tree if row.level == 0]
    assert len(leaves) > 10
    assert tree[0].text == found.answer
    prompts = {served.request.prompt for served in at.model.came}
    whole = (tmp_path / "big.log").read_text(encoding="utf-8")
    at_byte = 0
    for leaf in leaves:
        span = leaf.ref.partition(":")[2]
        start, end = map(int, span.split("-"))
        assert start == at_byte
        assert whole.encode()[start:end].decode() in prompts
        at_byte = end
    assert at_byte == len(whole.encode())
    below = {row.number for row in tree if row.level == 1}
    assert {child for row in tree if row.level == 2 for child in row.children} == below


def test_a_text_that_has_grown_is_paid_only_where_it_is_new(at: Asked, tmp_path: Path) -> None:
    """And asked again as it is, nothing is."""
    log = tmp_path / "big.log"
    log.write_text(lines(0, 2_000), encoding="utf-8")
    at.ask("", files=(log,), is_summary=True)
    first = len(at.model.came)
    again = at.ask("", files=(log,), is_summary=True)
    assert len(at.model.came) == first
    assert again.spent.calls == 0
    log.write_text(lines(0, 2_100), encoding="utf-8")
    at.ask("", files=(log,), is_summary=True)
    assert len(at.model.came) - first < first / 2


@pytest.mark.parametrize("at_line", [0, 900])
def test_a_text_that_was_edited_anywhere_is_paid_only_there(at: Asked, tmp_path: Path, at_line: int) -> None:
    """What follows a line put in keeps its pieces: they end where their own content says so."""
    log = tmp_path / "big.log"
    log.write_text(lines(0, 2_000), encoding="utf-8")
    at.ask("", files=(log,), is_summary=True)
    first = len(at.model.came)
    log.write_text(f"{lines(0, at_line)}one more line\n{lines(at_line, 2_000 - at_line)}", encoding="utf-8")
    assert at.ask("", files=(log,), is_summary=True).status == "ok"
    assert len(at.model.came) - first < first / 2


def test_a_long_text_is_read_a_part_at_a_time(at: Asked, tmp_path: Path) -> None:
    """However many pieces it has, each is asked once, and a level has as many texts as pieces."""
    log = tmp_path / "long.log"
    log.write_text(lines(0, 60_000), encoding="utf-8")
    found = at.ask("", files=(log,), is_summary=True, calls=10_000, tokens=100_000_000)
    assert found.status == "ok"
    with at.stores.lend() as store:
        tree = summaries.tree(store, str(log))
    leaves = [row.number for row in tree if row.level == 0]
    assert leaves == list(range(len(leaves)))
    assert len(leaves) > 256
    assert found.spent.calls + found.spent.cached == len(tree)


def test_a_limit_leaves_no_summary_but_what_there_was(at: Asked, tmp_path: Path) -> None:
    """Never ok, never a guess; the parts that were made are told, and nothing is kept as finished."""
    (tmp_path / "big.log").write_text(lines(0, 3_000), encoding="utf-8")
    found = at.ask("", files=(tmp_path / "big.log",), is_summary=True, calls=3)
    assert (found.status, found.answer, found.spent.calls) == ("calls", "", 3)
    assert "line 0" in found.partial
    assert "line 0" in at.read(found.run)
    with at.stores.lend() as store:
        assert summaries.top(store, str(tmp_path / "big.log")) is None


def test_nothing_to_summarise_is_said_before_anybody_is_asked(at: Asked, tmp_path: Path) -> None:
    """And makes no Run."""
    (tmp_path / "empty.log").write_text("")
    assert isinstance(at.start("", files=(tmp_path / "empty.log",), is_summary=True).error, QueryError)
    with at.stores.lend() as store:
        assert runs.latest(store) == []


def test_a_model_that_refuses_ends_it_typed(tmp_path: Path) -> None:
    """As in every other question."""

    def refuses(_request: Request) -> str:
        raise SubLMRefused("no")

    (tmp_path / "a.log").write_text("one line\n", encoding="utf-8")
    with asked_with(tmp_path, refuses) as at:
        found = at.ask("", files=(tmp_path / "a.log",), is_summary=True)
    assert (found.status, found.answer) == ("model", "")
    assert isinstance(found.error, SubLMRefused)


def test_a_session_is_summarised_with_a_focus(at: Asked) -> None:
    """What matters most is told to every level; what is made with a focus is not kept as the session's summary."""
    at.transcript.user("Why is the importer slow?")
    found = at.ask("the importer", is_summary=True)
    assert found.status == "ok"
    assert all("What matters most: the importer" in served.request.system for served in at.model.came)
    with at.stores.lend() as store:
        assert summaries.top(store, f"session {at.session.key}") is None
    assert at.ask("", is_summary=True).status == "ok"
    with at.stores.lend() as store:
        top = summaries.top(store, f"session {at.session.key}")
    assert top is not None
    assert at.read(top.ref)
