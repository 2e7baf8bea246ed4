"""export: the client's bytes back, or Markdown for people."""

import re
from pathlib import Path

import pytest

from rlm_mcp.errors import SessionNotFound
from rlm_mcp.store import events
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.export import export_markdown, export_raw
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from tests.build import Transcript, a_day


def test_a_session_and_its_file_give_the_same_bytes(store: Store, tmp_path: Path):
    """By name or by path."""
    path = a_day().save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    assert b"".join(export_raw(store, session=session)) == path.read_bytes()
    assert b"".join(export_raw(store, transcript=path)) == path.read_bytes()


def test_what_was_never_ingested_is_named(store: Store, tmp_path: Path):
    """And nothing named at all is a mistake too."""
    with pytest.raises(SessionNotFound, match=r"never\.jsonl"):
        export_raw(store, transcript=tmp_path / "never.jsonl")
    with pytest.raises(SessionNotFound, match="--transcript"):
        export_raw(store)


def test_an_export_is_of_one_moment(store: Store, tmp_path: Path):
    """Another process ingests more while the pieces are fetched: the bytes are those of the beginning."""
    path = a_day(turns=1).save(tmp_path / "s.jsonl")
    ingest(store, path)
    before = path.read_bytes()
    pieces = export_raw(store, transcript=path)
    path.write_bytes(a_day(turns=3).content)
    with open_store(store.paths, store.settings) as other:
        ingest(other, path)
    assert b"".join(pieces) == before
    assert b"".join(export_raw(store, transcript=path)) == path.read_bytes()


def test_markdown_holds_every_event_with_its_ref(recorded: tuple[Store, SessionRow]):
    """In order, under their Turns, their texts whole."""
    store, session = recorded
    text = "".join(export_markdown(store, session))
    refs = [int(number) for number in re.findall(r"^### .*\(e(\d+)[,)]", text, re.MULTILINE)]
    assert refs == list(range(1, session.events + 1))
    assert [int(number) for number in re.findall(r"^## Turn (\d+)$", text, re.MULTILINE)] == list(
        range(1, session.turns + 1)
    )
    for event in events.all_events(store, session):
        assert events.text_of(store, event) in text


def test_fences_in_a_result_do_not_end_its_block(store: Store, tmp_path: Path):
    """The fence is longer than any in the text."""
    made = Transcript()
    made.user("show it")
    made.bash("cat readme", "```python\nx\n```\n`````\n")
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    text = "".join(export_markdown(store, session))
    assert "\n``````\n```python" in text
