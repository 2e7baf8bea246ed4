"""locate: the Session a caller means, or an error that says what there is."""

from pathlib import Path

import pytest

from rlm_mcp.errors import SessionNotFound, TranscriptMissing, UnknownFormat
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.locate import locate
from tests.build import Transcript, a_day

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
