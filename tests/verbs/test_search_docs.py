"""search, scope docs: lines with name, number and Ref; true totals; pages that join; nothing of the log."""

from pathlib import Path

import pytest

from rlm_mcp.errors import QueryError, StoreDamaged
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import estimate_tokens
from rlm_mcp.verbs.hits import SearchAnswer
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from tests.documents import loaded_text, session_in


@pytest.fixture
def session(store: Store, tmp_path: Path) -> SessionRow:
    """A session with a log, notes and a list loaded."""
    session = session_in(store, tmp_path)
    log = "".join(
        f"2026-03-02 09:{number // 60:02}:{number % 60:02} INFO request {number} done\n" for number in range(3_000)
    )
    log += "2026-03-02 10:00:00 ERROR the pool of connections timed out\n" + log
    loaded_text(store, session, "server.log", log)
    loaded_text(store, session, "notes/naïve.md", "# Notes\n\nThe café's loader is naïve.\nIt reads load_rows twice.\n")
    loaded_text(store, session, "list.csv", "".join(f"row{number};{'x' * (number % 50)}\n" for number in range(500)))
    return session


def docs(store: Store, session: SessionRow, query: str, **more: object) -> SearchAnswer:
    """With the scope set, and what always holds checked."""
    answer = search(store, session, query, scope="docs", **more)  # type: ignore[arg-type]
    assert answer.tokens == estimate_tokens(answer.text) <= int(str(more.get("max_tokens", 1000))) + 10
    assert answer.shown == len(answer.hits) <= answer.total or not answer.hits
    for hit in answer.hits:
        assert hit.ref in answer.text
        assert hit.kind == "document"
    return answer


def test_words_give_the_line_its_number_and_an_exact_ref(store: Store, session: SessionRow):
    """One passage a piece."""
    answer = docs(store, session, "pool timed out")
    assert answer.total == 1
    (hit,) = answer.hits
    assert hit.text.startswith("server.log:3001: 2026-03-02 10:00:00 ERROR the pool of connections timed out")
    assert read(store, session, hit.ref).text.startswith(
        "2026-03-02 10:00:00 ERROR the pool of connections timed out\n"
    )
    assert docs(store, session, "cafe naive").hits[0].text.startswith("notes/naïve.md:3: The café's loader is naïve.")
    assert docs(store, session, "load_rows").hits[0].text.startswith("notes/naïve.md:4:")


def test_every_word_comes_before_any_word(store: Store, session: SessionRow):
    """And any is tried where few hold all."""
    answer = docs(store, session, "loader request")
    assert "notes/" in answer.hits[0].text or "server.log" in answer.hits[0].text
    assert answer.total > 50
    answer = docs(store, session, "naïve loader reads")
    assert answer.hits[0].text.startswith("notes/naïve.md")


def test_phrases_and_patterns_give_places_with_exact_refs(store: Store, session: SessionRow):
    """In the order of names, then of place; the first line tells how many."""
    answer = docs(store, session, '"request 299 done"')
    assert answer.total == 2
    for hit in answer.hits:
        assert read(store, session, hit.ref).text == "request 299 done"
        assert "09:04:59 INFO request 299 done" in hit.text
    assert [hit.text.split(":")[1] for hit in answer.hits] == ["300", "3301"]
    assert "[2 places]" not in answer.text
    answer = docs(store, session, r"/^row\d;$|loader/")
    assert [read(store, session, hit.ref).text for hit in answer.hits] == ["row0;", "loader"]
    assert docs(store, session, "ERROR", mode="phrase").total == 1
    assert docs(store, session, r"\d{4} ERROR", mode="regex").total == 0


@pytest.mark.parametrize("query", ["request", '"done"', "/row/", ""])
@pytest.mark.parametrize("tokens", [100, 700])
def test_pages_join_to_all_there_is(store: Store, session: SessionRow, query: str, tokens: int):
    """Without a gap or a repetition, the total the same on each."""
    refs: list[str] = []
    total = docs(store, session, query).total
    while len(refs) < min(total, 90):
        answer = docs(store, session, query, offset=len(refs), max_tokens=tokens)
        assert answer.total == total
        assert answer.shown > 0
        assert answer.is_cut == (len(refs) + answer.shown < total)
        refs += [hit.ref for hit in answer.hits]
    assert len(set(refs)) == len(refs)
    behind = docs(store, session, query, offset=total)
    assert (behind.shown, behind.total, behind.is_cut) == (0, total, False)


def test_an_empty_query_lists_the_documents(store: Store, session: SessionRow):
    """By name, with size and where they are from."""
    answer = docs(store, session, " ")
    assert [hit.text.split(":")[0] for hit in answer.hits] == ["list.csv", "notes/naïve.md", "server.log"]
    assert "6,001 lines" in answer.text


def test_nothing_found_says_where_it_was_looked(store: Store, session: SessionRow, tmp_path: Path):
    """And a session without documents what to do."""
    assert docs(store, session, "absent").text == "nothing in 3 loaded documents matches 'absent'"
    other = session_in(store, tmp_path, session="99999999-0000-4000-8000-000000000001")
    assert docs(store, other, "request").text == "no documents are loaded in this session; load brings files in"


def test_what_events_have_alone_is_refused(store: Store, session: SessionRow):
    """Kind and turns."""
    for filters in ({"kind": "error"}, {"turns": "3"}):
        with pytest.raises(QueryError, match="leave these out"):
            docs(store, session, "request", **filters)
    for mode in ("regex", "phrase"):
        with pytest.raises(QueryError):
            docs(store, session, "", mode=mode)
    with pytest.raises(QueryError, match="no word"):
        docs(store, session, "!?")


def test_the_log_mentions_documents_only_where_it_has_nothing(store: Store, session: SessionRow):
    """Words, phrase and pattern, in one short line; not where they hold nothing either, and not in other scopes."""
    for query in ("naïve loader", '"request 299 done"', r"/naïve\./"):
        told = search(store, session, query).text
        assert "scope=docs" in told
        assert len(told) < 150
    assert "1 place in loaded documents does: scope=docs" in search(store, session, "naïve loader").text
    assert "scope=docs" not in search(store, session, "absent").text
    assert "scope=docs" not in search(store, session, "loaded").text
    assert "scope=docs" not in search(store, session, "naïve loader", scope="project").text


def test_many_words_and_long_names_fit_the_budget(store: Store, session: SessionRow):
    """The end of a name is shown."""
    loaded_text(store, session, "d/" * 70 + "end.txt", "zebra " * 3_000)
    answer = docs(store, session, "zebra", max_tokens=200)
    assert "d/end.txt:1: zebra" in answer.text
    assert answer.is_cut


def test_a_text_that_is_gone_is_damage(store: Store, session: SessionRow):
    """Never a partial answer."""
    (row,) = [row for row in documents.known_to(store, session) if row.name == "server.log"]
    documents.document_path(store, row.sha256).unlink()
    for query in ("request", "/request/"):
        with pytest.raises(StoreDamaged, match="load the document's file again"):
            docs(store, session, query)
