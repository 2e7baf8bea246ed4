"""locate: the Session a caller means, or an error that says what there is."""

from pathlib import Path

import pytest

from rlm_mcp.errors import SessionNotFound, TranscriptMissing, UnknownFormat
from rlm_mcp.events import Client
from rlm_mcp.store import degraded, events, sources
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import Unchanged, locate
from tests.build import SESSION, Transcript, a_day

ONE, TWO = "11111111-aaaa-4000-8000-000000000000", "11111111-bbbb-4000-8000-000000000000"


@pytest.fixture
def two(store: Store, tmp_path: Path) -> Store:
    """Two sessions whose ids begin alike, in two folders; the second is the later."""
    locate(store, transcript=a_day(ONE, turns=1, cwd="/home/dev/one").save(tmp_path / "1.jsonl"))
    later = Transcript(TWO, cwd="/home/dev/two")
    later.clock = later.clock.replace(hour=20)
    later.user("later")
    locate(store, transcript=later.save(tmp_path / "2.jsonl"))
    return store


def test_a_session_is_found_by_key_id_or_a_beginning_of_them(two: Store):
    """As people type them."""
    one = locate(two, session=ONE)
    assert locate(two, session=one.key) == one
    assert locate(two, session="11111111-a") == one
    assert locate(two, session=one.key[:7]) == one


def test_an_ambiguous_beginning_names_the_candidates(two: Store):
    """SessionNotFound with both ids."""
    with pytest.raises(SessionNotFound) as raised:
        locate(two, session="1111")
    assert ONE in str(raised.value)
    assert TWO in str(raised.value)


@pytest.mark.parametrize("name", ["zzz", "*", "[a-z]*", "?", "%", "\x00", "' OR 1=1 --"])
def test_an_unknown_name_is_named(two: Store, name: str):
    """No pattern characters work by accident."""
    with pytest.raises(SessionNotFound) as raised:
        locate(two, session=name)
    assert repr(name) in str(raised.value)


def test_without_a_name_the_newest_is_meant(two: Store):
    """In the folder that is given."""
    assert locate(two).client_session == TWO
    assert locate(two, cwd="/home/dev/one").client_session == ONE
    with pytest.raises(SessionNotFound, match="nowhere"):
        locate(two, cwd="/home/dev/nowhere")


def test_an_empty_store_says_what_to_do(store: Store):
    """The cure is in the message."""
    with pytest.raises(SessionNotFound, match="ingest"):
        locate(store)


def test_a_transcript_is_ingested_first(store: Store, tmp_path: Path):
    """What is new of it is there at once."""
    path = a_day(turns=1).save(tmp_path / "s.jsonl")
    assert locate(store, transcript=path).turns == 1
    path.write_bytes(a_day(turns=2).content)
    assert locate(store, transcript=path).turns == 2


def test_a_file_never_ingested_that_cannot_be_read_is_an_error(store: Store, tmp_path: Path):
    """Missing, or no transcript."""
    with pytest.raises(TranscriptMissing, match="none"):
        locate(store, transcript=tmp_path / "none.jsonl")
    (tmp_path / "prose.txt").write_text("hello\n")
    with pytest.raises(UnknownFormat, match="prose"):
        locate(store, transcript=tmp_path / "prose.txt")


# Located again and again


def an_agent(*said: str) -> Transcript:
    """A sub-agent's transcript."""
    made = Transcript(agent="a1b2c3")
    made.user("Look for the loader")
    for text in said:
        made.reply(text)
    return made


def agents_events(store: Store, unchanged: Unchanged, path: Path) -> list[str]:
    """What sub-agents said, as the store has it after the transcript was located."""
    session = unchanged.locate(store, path)
    return [events.text_of(store, event) for event in events.all_events(store, session) if event.agent][1:]


def test_a_transcript_located_again_is_as_new_as_its_file(store: Store, tmp_path: Path):
    """Grown, replaced by another of the same length, begun anew by another process, deleted by the client."""
    path, unchanged = tmp_path / "s.jsonl", Unchanged()
    first = unchanged.locate(store, a_day(turns=1).save(path))
    assert unchanged.locate(store, path) == first
    path.write_bytes(a_day(turns=2).content)
    assert unchanged.locate(store, path).turns == 2
    before = path.stat()
    other = path.read_bytes().replace(b"Please fix", b"Please mend"[:10])
    assert len(other) == before.st_size
    path.write_bytes(other)
    replaced = unchanged.locate(store, path)
    assert replaced.key != first.key
    ingest(store, path, rebuild=True)
    assert unchanged.locate(store, path).key not in {first.key, replaced.key}
    path.unlink()
    assert unchanged.locate(store, path).turns == 2


def test_a_file_that_another_process_has_begun_anew_is_read_to_its_end(store: Store, tmp_path: Path):
    """Should that process die meanwhile, nothing is missing."""
    path, unchanged = a_day(turns=2).save(tmp_path / "s.jsonl"), Unchanged()
    unchanged.locate(store, path)
    with store.writing():
        sources.add(store, str(path.resolve()), Client.CLAUDE_CODE)
    assert unchanged.locate(store, path).turns == 2


@pytest.mark.parametrize("folder", ["", f"{SESSION}/subagents"], ids=["beside", "below"])
def test_sub_agents_that_begin_or_go_on_are_seen(store: Store, tmp_path: Path, folder: str):
    """Though nothing is written to the transcript itself meanwhile, and wherever the client puts them."""
    path, unchanged = a_day(turns=1).save(tmp_path / f"{SESSION}.jsonl"), Unchanged()
    assert agents_events(store, unchanged, path) == []
    agent = tmp_path / folder / "agent-a1b2c3.jsonl"
    an_agent("one").save(agent)
    assert agents_events(store, unchanged, path) == ["one"]
    an_agent("one", "two").save(agent)
    assert agents_events(store, unchanged, path) == ["one", "two"]
    assert agents_events(store, unchanged, path) == ["one", "two"]


def test_a_mark_left_meanwhile_is_healed(store: Store, tmp_path: Path):
    """A hook that failed left the Session degraded; the next call takes that away, changed or not."""
    path, unchanged = a_day(turns=1).save(tmp_path / "s.jsonl"), Unchanged()
    session = unchanged.locate(store, path)
    degraded.mark(store.paths, session.client_session, "it broke", 1.0)
    unchanged.locate(store, path)
    assert degraded.read(store.paths) == ()


def test_a_sub_agents_file_that_was_empty_at_first_is_read_later(store: Store, tmp_path: Path):
    """The client makes it before it writes to it."""
    path, unchanged = a_day(turns=1).save(tmp_path / f"{SESSION}.jsonl"), Unchanged()
    agent = an_agent("one").save(tmp_path / SESSION / "subagents" / "agent-a1b2c3.jsonl")
    whole = agent.read_bytes()
    agent.write_bytes(b"")
    assert agents_events(store, unchanged, path) == []
    agent.write_bytes(whole)
    assert agents_events(store, unchanged, path) == ["one"]
