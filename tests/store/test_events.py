"""Events and Turns read back: exact texts, whole characters, errors that name what there is."""

import pytest

from rlm_mcp.errors import RefError
from rlm_mcp.events import EventKind
from rlm_mcp.store import events
from rlm_mcp.store.database import Store
from tests.store.test_appending import PROMPT, REPLY, RESULT, event, put


def test_a_number_that_is_not_there_names_what_is(store: Store):
    """RefError."""
    session = put(store, event(PROMPT, "one"))
    with pytest.raises(RefError, match="e1 to e1"):
        events.event_row(store, session, 2)
    with pytest.raises(RefError, match="t1 to t1"):
        events.turn_row(store, session, 2)
    with pytest.raises(RefError):
        events.turn_spans(store, session, 0)


def test_the_turn_before_a_byte_is_the_last_that_began(store: Store):
    """None before the first."""
    session = put(store, event(PROMPT, "one"), event(REPLY, "two"), event(PROMPT, "three"))
    starts = [events.event_row(store, session, seq).start for seq in (1, 2, 3)]
    assert [events.turn_before(store, session, start) for start in starts] == [0, 1, 1]
    assert events.turn_before(store, session, session.log_bytes) == 2


def test_calls_and_results_are_found_by_the_clients_id(store: Store):
    """The latest of that kind."""
    session = put(store, event(EventKind.CALL, "call", call_id="c1"), event(RESULT, "result", call_id="c1"))
    call, result = (events.by_call(store, session, "c1", kind) for kind in (EventKind.CALL, RESULT))
    assert call is not None
    assert result is not None
    assert (call.seq, result.seq) == (1, 2)
    assert events.by_call(store, session, "c2", RESULT) is None


def test_the_latest_events_come_oldest_first(store: Store):
    """And before a given one."""
    session = put(store, *(event(REPLY, str(number)) for number in range(10)))
    assert [row.seq for row in events.latest(store, session, 3)] == [8, 9, 10]
    assert [row.seq for row in events.latest(store, session, 3, before=5)] == [2, 3, 4]


def test_a_text_cut_at_bytes_never_splits_a_character(store: Store):
    """max_bytes may fall inside one."""
    session = put(store, event(REPLY, "aé\U0001f600b"))
    row = events.event_row(store, session, 1)
    assert [events.text_of(store, row, max_bytes=size) for size in range(9)] == [
        "", "a", "a", "aé", "aé", "aé", "aé", "aé\U0001f600", "aé\U0001f600b",
    ]  # fmt: skip


def test_an_index_that_disagrees_with_its_log_is_seen(store: Store):
    """Lost rows, a short log, an end behind the log."""
    session = put(store, event(PROMPT, "one"), event(REPLY, "two"))
    assert events.check_log(store, session) == ""
    for damage in ("DELETE FROM event WHERE seq = 1", "UPDATE event SET length = 9999 WHERE seq = 2"):
        store.connection.execute("BEGIN")
        store.connection.execute(damage)
        assert session.key in events.check_log(store, session)
        store.connection.execute("ROLLBACK")
    log = store.paths.sessions / f"{session.key}.log"
    log.write_bytes(log.read_bytes()[:-1])
    assert session.key in events.check_log(store, session)


def test_around_gives_whole_characters(store: Store):
    """What stands about a place, though bytes fall inside characters."""
    session = put(store, event(REPLY, "é" * 300 + "needle" + "\U0001f600" * 300))
    row = events.event_row(store, session, 1)
    assert "needle" in events.around(store, row, 600, 606)
    assert "\ufffd" not in events.around(store, row, 600, 606)
