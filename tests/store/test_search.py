"""Finding Events by words and by pattern: within the scope, best or first first, with true counts."""

import pytest

from rlm_mcp.events import EventKind
from rlm_mcp.store import events
from rlm_mcp.store import search as index
from rlm_mcp.store.database import Store
from rlm_mcp.store.search import Only
from rlm_mcp.store.sessions import ScopePart, SessionRow
from tests.store.test_appending import PROMPT, REPLY, RESULT, event, put


@pytest.fixture
def session(store: Store) -> SessionRow:
    """Six Events in two Turns."""
    return put(
        store,
        event(PROMPT, "Fix the café loader"),
        event(REPLY, "The loader is broken; load_rows() fails"),
        event(RESULT, "loader loader loader\nError: nope\n"),
        event(PROMPT, "And the_other_thing"),
        event(REPLY, "Loader done, naïve CAFE"),
        event(REPLY, "nothing"),
    )


def found(store: Store, session: SessionRow, *words: str, every: bool = True, columns: str = "", most: int = 99,
          only: Only = index.ALL) -> set[int]:  # fmt: skip
    """Numbers of the Events; the count agrees."""
    match = index.matching(words, every=every, columns=columns)
    scope = [ScopePart(session=session, max_seq=most)]
    hits = index.by_words(store, scope, match, only=only)
    assert index.count_words(store, scope, match, only=only) == len(hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return {hit.event.seq for hit in hits}


def test_words_are_found_whatever_their_case_and_accents(store: Store, session: SessionRow):
    """Every one of them, or any."""
    assert found(store, session, "loader") == {1, 2, 3, 5}
    assert found(store, session, "cafe") == {1, 5}
    assert found(store, session, "loader", "cafe") == {1, 5}
    assert found(store, session, "nope", "nothing", every=False) == {3, 6}
    assert found(store, session, "missing") == set()


def test_identifiers_are_found_whole(store: Store, session: SessionRow):
    """Parts joined by an underscore stand side by side in the index."""
    assert found(store, session, "load_rows") == {2}
    assert found(store, session, "the_other_thing") == {4}
    assert found(store, session, "rows_load") == set()


def test_columns_scope_and_filters_narrow(store: Store, session: SessionRow):
    """Who said it, up to which Event, which kind and Turns."""
    assert found(store, session, "loader", columns="prompt") == {1}
    assert found(store, session, "loader", columns="said") == {2, 5}
    assert found(store, session, "loader", columns="done") == {3}
    assert found(store, session, "loader", most=2) == {1, 2}
    assert found(store, session, "loader", only=Only(kind="reply")) == {2, 5}
    assert found(store, session, "loader", only=Only(turns=(2, 2))) == {5}


@pytest.mark.parametrize("word", ['"', "*", "a*", "NEAR", "AND", "col:x", "_", "'", "(", "^a", "-"])
def test_no_word_is_syntax(store: Store, session: SessionRow, word: str):
    """The index's own language is never spoken by a query."""
    found(store, session, word)


def places(
    store: Store, session: SessionRow, pattern: str, *, fixed: bool = False, limit: int = 100
) -> list[tuple[int, str]]:
    """(Event, text) of each place."""
    hits, _ = index.by_pattern(
        store, [ScopePart(session=session, max_seq=session.events)], pattern, fixed=fixed, limit=limit
    )
    texts = {row.seq: events.text_of(store, row).encode() for row in events.all_events(store, session)}
    return [(hit.seq, texts[hit.seq][hit.start : hit.end].decode()) for hit in hits]


def test_places_are_in_order_and_exact(store: Store, session: SessionRow):
    """Smart case; bytes, not characters."""
    assert places(store, session, "loader") == [(1, "loader"), (2, "loader"), (3, "loader"), (3, "loader"),
                                                (3, "loader"), (5, "Loader")]  # fmt: skip
    assert places(store, session, "Loader") == [(5, "Loader")]
    assert places(store, session, "caf. l\\w+") == [(1, "café loader")]
    assert places(store, session, "load_rows()", fixed=True) == [(2, "load_rows()")]
    assert places(store, session, "^Error: .*$") == [(3, "Error: nope")]


def test_our_own_header_lines_are_no_places(store: Store, session: SessionRow):
    """They are not the Session's text."""
    assert places(store, session, "^@e") == []
    assert places(store, session, "prompt") == []


def test_more_places_than_looked_at_are_told(store: Store, session: SessionRow):
    """The caller can say "at least"."""
    scope = [ScopePart(session=session, max_seq=session.events)]
    hits, is_cut = index.by_pattern(store, scope, "[a-z]", fixed=False, limit=5)
    assert (len(hits), is_cut) == (5, True)
    hits, is_cut = index.by_pattern(store, scope, "Error", fixed=False, limit=5)
    assert (len(hits), is_cut) == (1, False)


def test_a_flood_of_places_is_bounded(store: Store):
    """More output than is kept: what came first is given, and that it is not all."""
    session = put(store, event(PROMPT, "x"), event(EventKind.RESULT, "abcdefgh\n" * 300_000))
    hits, is_cut = index.by_pattern(store, [ScopePart(session=session, max_seq=2)], "[a-h]", fixed=False, limit=2_000)
    assert (len(hits), is_cut) == (2_000, True)


def test_an_event_behind_the_scope_is_not_found(store: Store, session: SessionRow):
    """A fork's parent."""
    hits, _ = index.by_pattern(store, [ScopePart(session=session, max_seq=2)], "loader", fixed=False)
    assert {hit.seq for hit in hits} == {1, 2}


def test_very_many_rows_are_fetched_at_once(store: Store):
    """More than SQLite binds in one statement."""
    session = put(store, event(PROMPT, "x"))
    assert set(events.by_rowids(store, list(range(1, 40_000)))) == {1}
    assert session.events == 1
