"""A Batch written: Events numbered without gaps, Turns, news, skips; payloads apart."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from rlm_mcp.config import Paths, Settings
from rlm_mcp.events import Client, Event, EventKind, Payload, SessionNews, Skip, SkipReason
from rlm_mcp.store import events, sessions, sources
from rlm_mcp.store.appending import Appending, append
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from tests.looks import assert_whole


def put(store: Store, *added: Event, news: Sequence[SessionNews] = (), skips: Sequence[Skip] = ()) -> SessionRow:
    """A Batch of these Events of session ``s``."""
    with store.writing():
        if sources.current(store, "/x/s.jsonl") is None:
            sources.add(store, "/x/s.jsonl", Client.CLAUDE_CODE)
        source = sources.current(store, "/x/s.jsonl")
        assert source is not None
        adding = Appending(
            start=source.offset, offset=source.offset + 10, digest="d", reader_state="{}", facts_state="{}", tail=b"",
            raw_blocks=[], events=[(event, ()) for event in added], news=news, skips=skips,
        )  # fmt: skip
        append(store, source, adding)
    found = sessions.by_client_id(store, "s")
    assert found is not None
    return found


def event(kind: EventKind, text: str, **more: object) -> Event:
    """An Event of session ``s``."""
    return Event(kind=kind, text=text, client_session="s", **more)  # type: ignore[arg-type]


PROMPT, REPLY, RESULT = EventKind.PROMPT, EventKind.REPLY, EventKind.RESULT


def test_events_are_numbered_over_batches_and_belong_to_turns(store: Store):
    """A prompt of the main agent opens a Turn; what came before the first is Turn 0."""
    put(store, event(REPLY, "hello"), event(PROMPT, "one"))
    session = put(store, event(REPLY, "ä"), event(PROMPT, "two"), event(PROMPT, "of an agent", agent="a"))
    found = list(events.all_events(store, session))
    assert [(row.seq, row.turn) for row in found] == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert [events.text_of(store, row) for row in found] == ["hello", "one", "ä", "two", "of an agent"]
    turns = events.turns(store, session)
    assert [(turn.number, turn.first_seq, turn.last_seq) for turn in turns] == [(0, 1, 1), (1, 2, 3), (2, 4, 5)]
    assert_whole(store)


def test_a_sub_agents_event_belongs_to_the_turn_of_its_time(store: Store):
    """Its file may be read after the Turn is over."""
    put(store, event(PROMPT, "one", time=100.0), event(PROMPT, "two", time=200.0))
    session = put(store, event(REPLY, "late", time=150.0, agent="a"), event(REPLY, "no time", agent="a"))
    assert [row.turn for row in events.all_events(store, session)] == [1, 2, 1, 2]
    spans = events.turn_spans(store, session, 1)
    assert len(spans) == 2


def test_news_fill_the_session_and_empty_fields_say_nothing(store: Store):
    """The folder is that of the beginning, the rest the latest; compactions add up."""
    news = [
        SessionNews(client_session="s", cwd="/first", model="m1", title="t", compactions=1),
        SessionNews(client_session="s", cwd="/second", model="m2", window_tokens=500, compactions=1),
        SessionNews(client_session="s"),
    ]
    session = put(store, event(PROMPT, "x", time=5.0), event(REPLY, "y", time=3.0), news=news)
    assert (session.cwd, session.model, session.title) == ("/first", "m2", "t")
    assert (session.window_tokens, session.compactions) == (500, 2)
    assert (session.started, session.updated) == (3.0, 5.0)


def test_skips_are_counted_by_reason_and_unknown_types_by_name(store: Store):
    """Each record once, however often it is told."""
    skips = [
        Skip(reason=SkipReason.UNKNOWN_TYPE, detail="a", offset=0, length=2),
        Skip(reason=SkipReason.UNKNOWN_TYPE, detail="a", offset=5, length=2),
        Skip(reason=SkipReason.NOT_JSON, detail="zzz", offset=9, length=2),
        Skip(reason=SkipReason.NOT_JSON, detail="zzz", offset=9, length=2),
    ]
    session = put(store, event(PROMPT, "x"), skips=skips)
    assert sorted(events.skip_counts(store, session)) == [("not JSON", "", 1), ("unknown record type", "a", 2)]


def payload(data: bytes) -> Payload:
    """An image."""
    return Payload(sha256=hashlib.sha256(data).hexdigest(), media_type="image/png", data=data)


def test_payloads_are_kept_apart_once(store: Store):
    """By hash; none of it in log or database."""
    image = payload(b"\x89PNG" + bytes(range(256)) * 20)
    put(store, event(PROMPT, "look", payloads=(image, image)), event(PROMPT, "again", payloads=(image,)))
    (kept,) = store.paths.payloads.iterdir()
    assert kept.read_bytes() == image.data
    assert kept.stat().st_mode & 0o777 == 0o600
    assert store.connection.execute("SELECT count(*) FROM payload").fetchone()[0] == 2


def test_a_payload_torn_by_a_killed_writer_is_written_again(store: Store):
    """A part of it under the right name is not it."""
    image = payload(b"0123456789" * 100)
    (store.paths.payloads / image.sha256).write_bytes(image.data[:300])
    put(store, event(PROMPT, "look", payloads=(image,)))
    assert (store.paths.payloads / image.sha256).read_bytes() == image.data


def test_without_keep_raw_no_payload_is_kept(tmp_path: Path):
    """Its row stays: there was one."""
    with open_store(Paths(home=tmp_path), Settings(keep_raw=False)) as store:
        put(store, event(PROMPT, "look", payloads=(payload(b"x"),)))
        assert list(store.paths.payloads.iterdir()) == []
        assert store.connection.execute("SELECT length FROM payload").fetchone()[0] == 1
