"""Places in Documents: by words and by pattern, exact offsets, true totals, no place inside a secret."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import QueryError, StoreDamaged
from rlm_mcp.store import document_search as index
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.documents import LoadedRow
from rlm_mcp.store.search import matching
from rlm_mcp.store.sessions import SessionRow
from tests.documents import TOKEN, loaded_text, session_in


@pytest.fixture
def session(store: Store, tmp_path: Path) -> SessionRow:
    """A session with nothing loaded."""
    return session_in(store, tmp_path)


def texts(store: Store, hits: list[index.PlaceHit] | tuple[index.PlaceHit, ...]) -> list[str]:
    """What stands at the places."""
    return [
        documents.read(store, hit.document.sha256, hit.start, hit.end - hit.start).decode("utf-8", "replace")
        for hit in hits
    ]


def places(store: Store, among: list[LoadedRow], pattern: str, *, fixed: bool = False) -> list[str]:
    """What a pattern finds; the total agrees."""
    found = index.by_pattern(store, among, pattern, fixed=fixed)
    assert found.total == len(found.hits)
    return texts(store, list(found.hits))


def test_words_are_found_in_the_documents_asked_for_alone(store: Store, session: SessionRow):
    """The piece, its line, the best first; the count agrees."""
    first = loaded_text(store, session, "a.txt", "filler line\n" * 1000 + "the café loader breaks\n" + "more\n" * 1000)
    second = loaded_text(store, session, "b.txt", "another loader\n")
    loaded_text(store, session, "c.txt", "a third loader\n")
    match = matching(["loader"], every=True)
    hits = index.by_words(store, [first, second], match, 10)
    assert {hit.document for hit in hits} == {first.document, second.document}
    assert index.count_words(store, [first, second], match) == 2
    (hit,) = index.by_words(store, [first], matching(["cafe", "loader"], every=True), 10)
    text = documents.read(store, first.sha256, hit.start, hit.length).decode()
    assert "café loader" in text
    assert hit.line + text[: text.index("the café")].count("\n") == 1001
    assert index.by_words(store, [], match, 10) == []
    assert index.count_words(store, [], match) == 0


def test_the_piece_that_says_it_most_comes_first(store: Store, session: SessionRow):
    """BM25 over pieces."""
    row = loaded_text(store, session, "a.txt", "word " * 2000 + "needle " * 30 + "word " * 2000 + "needle")
    hits = index.by_words(store, [row], matching(["needle"], every=True), 10)
    assert len(hits) == 2
    assert hits[0].start < hits[1].start


def test_patterns_give_exact_places_in_the_order_of_the_documents(store: Store, session: SessionRow):
    """By name, then by place; the same Document under two names once."""
    first = loaded_text(store, session, "a.txt", "é foo1\nfoo2 foo3\n")
    second = loaded_text(store, session, "b.txt", "foo4")
    again = loaded_text(store, session, "c.txt", "foo4")
    assert places(store, [first, second, again], r"foo\d") == ["foo1", "foo2", "foo3", "foo4"]
    assert places(store, [second, first], r"foo\d") == ["foo4", "foo1", "foo2", "foo3"]
    assert places(store, [first], "FOO1") == []
    assert places(store, [first], "foo[", fixed=True) == []
    with pytest.raises(QueryError, match="not a valid pattern"):
        index.by_pattern(store, [first], "foo[", fixed=False)
    assert index.by_pattern(store, [], "foo", fixed=True).total == 0


def test_a_match_over_several_lines_is_one_place(store: Store, session: SessionRow):
    """Its whole length."""
    row = loaded_text(store, session, "a.txt", "a start\nmiddle\nend here\nstart\nend")
    assert places(store, [row], r"start\n(middle\n)?end") == ["start\nmiddle\nend", "start\nend"]


def test_odd_bytes_are_searched_as_they_are(store: Store, session: SessionRow):
    """A byte order mark, NULs far in, carriage returns, no line end."""
    row = loaded_text(store, session, "a.txt", "\ufeffnow\r\n" + "x" * 9000 + "\0\0 found\rhere")
    assert places(store, [row], "now") == ["now"]
    assert places(store, [row], "found|here") == ["found", "here"]


def test_a_very_long_match_is_cut_not_lost(store: Store, session: SessionRow):
    """One line of 5 MB."""
    row = loaded_text(store, session, "a.txt", "x" * 5_000_000 + " end")
    found = index.by_pattern(store, [row], "x+", fixed=False)
    assert (found.total, found.hits[0].start, found.hits[0].end) == (1, 0, 4096)
    assert places(store, [row], "end") == ["end"]


def test_the_total_is_true_when_there_are_too_many_to_list(store: Store, session: SessionRow):
    """Counted by ripgrep then."""
    row = loaded_text(store, session, "a.txt", "ab\n" * 200_000)
    found = index.by_pattern(store, [row], "[ab]", fixed=False)
    assert found.total == 400_000
    assert 0 < len(found.hits) < 400_000


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"TOKEN=.*", ["TOKEN=" + TOKEN]),
        (TOKEN[:8], []),
        (TOKEN[8:20], []),
        ("TOKEN=" + TOKEN[:5], []),
        (TOKEN[-5:] + "\n", []),
        (r"[A-Z]+=", ["TOKEN=", "B="]),
    ],
)
def test_no_place_begins_or_ends_inside_a_secret(store: Store, session: SessionRow, pattern: str, expected: list[str]):
    """What a secret begins or goes on with cannot be found out piece by piece."""
    row = loaded_text(store, session, "a.txt", f"TOKEN={TOKEN}\nB=2\n")
    assert places(store, [row], pattern) == expected


def test_the_line_of_a_place_is_counted(store: Store, session: SessionRow):
    """Across pieces."""
    text = "".join(f"line {number}\n" for number in range(1, 3001))
    row = loaded_text(store, session, "a.txt", text)
    found = index.by_pattern(store, [row], r"line (1|1500|3000)\b", fixed=False)
    assert [index.line_at(store, row, hit.start) for hit in found.hits] == [1, 1500, 3000]
    assert index.line_at(store, loaded_text(store, session, "e.txt", ""), 0) == 1


def test_a_text_that_is_gone_is_damage_not_silence(store: Store, session: SessionRow):
    """A pattern must not pass over it."""
    row = loaded_text(store, session, "a.txt", "some text")
    documents.document_path(store, row.sha256).unlink()
    with pytest.raises(StoreDamaged, match="load the document's file again"):
        index.by_pattern(store, [row], "some", fixed=True)


@given(st.lists(st.sampled_from(["ab", "a", "b", "\n", "é", " ", "x" * 50]), max_size=80))
def test_patterns_find_what_python_finds(tmp_path_factory: pytest.TempPathFactory, parts: list[str]):
    """The same places, in bytes."""
    text = "".join(parts)
    folder = tmp_path_factory.mktemp("any")
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        session = session_in(store, folder)
        row = loaded_text(store, session, "a.txt", text)
        found = index.by_pattern(store, [row], "a+b|é", fixed=False)
        wanted = [match[0] for match in re.finditer("a+b|é", text)]
        assert texts(store, list(found.hits)) == wanted
        starts = [len(text[: match.start()].encode()) for match in re.finditer("a+b|é", text)]
        assert [hit.start for hit in found.hits] == starts
