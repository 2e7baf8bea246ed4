"""ingest: nothing lost, nothing doubled, whatever the file and whenever it is read."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import SessionNotFound, StoreDamaged, TranscriptError, TranscriptMissing, UnknownFormat
from rlm_mcp.events import SkipReason
from rlm_mcp.store import events, sessions, sources
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.export import export_raw
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from tests.build import SESSION, Transcript, a_day
from tests.looks import assert_whole, everything, raw

FIXTURES = Path(__file__).parent.parent / "fixtures"


def transcripts(folder: Path) -> list[Path]:
    """Claude Code and Codex files below ``folder``, main files only."""
    found = [path for path in folder.rglob("*.json*") if path.suffix in {".json", ".jsonl"}]
    return sorted(path for path in found if {"claude", "codex"} & set(path.parts) and "subagents" not in path.parts)


def test_every_real_transcript_comes_back_byte_identical(store: Store, real_transcripts: Path):
    """Nothing of a real file is lost; what gives no Event is counted; a second ingest finds nothing new; size bound."""
    files = transcripts(real_transcripts)
    assert files
    for path in files:
        found = ingest(store, path)
        assert found
        assert sum(row.events for row in found) > 0
        assert all(row.skipped + row.unknown == sum(count for _, count in row.reasons) for row in found)
        assert raw(store, path) == path.read_bytes()
        before = everything(store)
        assert [row.new_events for row in ingest(store, path)] == [0] * len(found)
        assert everything(store) == before
    assert_whole(store)
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ours = store.paths.database.stat().st_size + sum(p.stat().st_size for p in store.paths.sessions.iterdir())
    assert ours <= 1.5 * sum(path.stat().st_size for path in files)


def test_every_recorded_fixture_comes_back_byte_identical(store: Store, recorded_session: Path):
    """The recordings of both clients, sub-agents' files among them: every line gives an Event or is known."""
    for path in [recorded_session, *transcripts(FIXTURES)]:
        if not path.read_bytes().strip():
            continue
        found = ingest(store, path)
        assert sum(row.events for row in found) > 0, path
        assert sum(row.unknown + row.skipped for row in found) == 0, [row.reasons for row in found]
        assert raw(store, path) == path.read_bytes()
    assert_whole(store)


def test_a_grown_file_gives_only_what_is_new(store: Store, tmp_path: Path):
    """The second ingest continues at the Watermark."""
    made = a_day(turns=3)
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(made.lines[:20]))
    (first,) = ingest(store, path)
    with path.open("ab") as file:
        file.write(b"".join(made.lines[20:]))
    (second,) = ingest(store, path)
    assert second.session == first.session
    assert second.events == first.events + second.new_events
    assert second.bytes == len(made.content)
    with open_store(Paths(home=tmp_path / "other"), Settings()) as at_once:
        ingest(at_once, path)
        assert everything(at_once) == everything(store)


_DAY = a_day(turns=2)
_DAY.user("Zurück: ändere 日本 \U0001f600 in »file.py«, und nie ohne Test.")
_DAY.bash("cat umlaut", "ä\u2028ö\r\nü\x85")
_DAY.add({"type": "from-the-future", "sessionId": SESSION, "payload": [1, 2]})
_DAY.line(b"not json at all")
_DAY.line(b"")
_DAY.bash("last", "word")
_WHOLE: dict[str, object] = {}


@given(cuts=st.lists(st.integers(0, len(_DAY.content)), min_size=1, max_size=6))
@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_and_resumed_gives_the_same(cuts: list[int], tmp_path_factory: pytest.TempPathFactory):
    """Events, Facts, Turns, counts and log bytes are equal to those of a file read at once, for any cuts."""
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "s.jsonl"
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        for end in [*sorted(cuts), len(_DAY.content)]:
            path.write_bytes(_DAY.content[:end])
            try:
                ingest(store, path)
            except UnknownFormat:  # nothing whole in it yet
                assert b"\n" not in _DAY.content[:end]
            assert end == 0 or raw_or_nothing(store, path) in {_DAY.content[:end], b""}
        found = everything(store)
        assert raw(store, path) == _DAY.content
        assert_whole(store)
    if not _WHOLE:
        with open_store(Paths(home=folder / "whole"), Settings()) as store:
            ingest(store, path)
            _WHOLE.update(everything(store))
    assert found == _WHOLE


def raw_or_nothing(store: Store, path: Path) -> bytes:
    """What is kept of a file; nothing where it was not begun."""
    try:
        return raw(store, path)
    except SessionNotFound:
        return b""


@pytest.mark.parametrize("what", ["shrinks", "is replaced", "is rotated"])
def test_a_file_that_begins_anew_leaves_the_old_session_readable(store: Store, tmp_path: Path, what: str):
    """The old Session stays under its old key, with its bytes; a new one begins."""
    path = a_day(turns=3).save(tmp_path / "s.jsonl")
    (old,) = ingest(store, path)
    old_row = sessions.by_key(store, old.session)
    assert old_row is not None
    old_bytes = b"".join(export_raw(store, session=old_row))
    old_log = read(store, old_row, "s", max_tokens=100_000).text
    if what == "shrinks":
        path.write_bytes(b"".join(a_day(turns=3).lines[:10]))
    elif what == "is replaced":
        Transcript(seed=9).save(path)
        longer = a_day(turns=5, cwd="/home/dev/other")
        longer.save(path)
    else:
        path.rename(tmp_path / "s.jsonl.1")
        a_day(turns=1).save(path)
    (new,) = ingest(store, path)
    assert new.session != old.session
    assert new.new_events == new.events > 0
    old_again = sessions.by_key(store, old.session)
    assert old_again is not None
    assert read(store, old_again, "s", max_tokens=100_000).text == old_log
    assert b"".join(export_raw(store, session=old_again)) == old_bytes
    assert raw(store, path) == path.read_bytes()
    assert locate(store, transcript=path).key == new.session
    assert locate(store, session=SESSION).key == new.session
    assert_whole(store)


def test_a_deleted_transcript_is_still_served_and_given_back(store: Store, tmp_path: Path):
    """Clients delete their files after some weeks."""
    path = a_day().save(tmp_path / "s.jsonl")
    ingest(store, path)
    content = path.read_bytes()
    path.unlink()
    session = locate(store, transcript=path)
    assert "ACME-400" in brief(store, session).text
    assert raw(store, path) == content
    with pytest.raises(TranscriptMissing, match=r"s\.jsonl"):
        ingest(store, path)


def test_an_emptied_file_keeps_what_was_there(store: Store, tmp_path: Path):
    """Truncated to nothing: the old Session is still the file's."""
    path = a_day().save(tmp_path / "s.jsonl")
    (old,) = ingest(store, path)
    path.write_bytes(b"")
    assert ingest(store, path) == ()
    assert locate(store, transcript=path).key == old.session
    path.write_bytes(a_day(turns=1).content)
    (new,) = ingest(store, path)
    assert new.session != old.session
    assert_whole(store)


# Bad input: a clear error or a counted skip; the store is whole afterwards.

_GOOD = a_day(turns=1)
_DEEP = b'{"type":"user","x":' + b'{"a":' * 3_000 + b"1" + b"}" * 3_001
_BAD_LINES: dict[str, tuple[bytes, str]] = {
    "not json": (b"not json", SkipReason.NOT_JSON),
    "half a record": (_GOOD.lines[0][: len(_GOOD.lines[0]) // 2], SkipReason.NOT_JSON),
    "an array": (b'["a", "b"]', SkipReason.NOT_A_RECORD),
    "a number": (b"42", SkipReason.NOT_A_RECORD),
    "nul bytes": (b"\x00" * 300, SkipReason.NOT_JSON),
    "invalid utf-8": (b"\xff\xfe\x80abc", SkipReason.NOT_JSON),
    "nested deep": (_DEEP, SkipReason.NOT_JSON),
    "a huge number": (b'{"type":"user","n":' + b"9" * 6_000 + b"}", ""),
    "an unknown type": (b'{"type":"from-the-future","sessionId":"x"}', SkipReason.UNKNOWN_TYPE),
    "no type": (b'{"foo":1}', ""),
    "a type that is no text": (b'{"type":{"a":1},"message":7}', ""),
    "a message that is no message": (b'{"type":"user","message":[1,2],"sessionId":"' + SESSION.encode() + b'"}', ""),
    "no session": (b'{"type":"user","message":{"role":"user","content":"who am I?"}}', ""),
}


@pytest.mark.parametrize("name", _BAD_LINES)
def test_a_bad_line_among_good_ones_is_counted_and_loses_nothing_else(store: Store, tmp_path: Path, name: str):
    """Every good record gives its Events, the bad one is counted (or harmless), its bytes are kept."""
    line, reason = _BAD_LINES[name]
    path = tmp_path / "s.jsonl"
    with open_store(Paths(home=tmp_path / "good"), Settings()) as good_store:
        path.write_bytes(_GOOD.content)
        good = ingest(good_store, path)[-1]
    half = len(_GOOD.lines) // 2
    path.write_bytes(b"".join(_GOOD.lines[:half]) + line + b"\n" + b"".join(_GOOD.lines[half:]))
    found = ingest(store, path)
    row = next(row for row in found if row.client_session == SESSION)
    assert row.events in {good.events, good.events + 1}
    if reason:
        assert row.events == good.events
        assert any(said.startswith(reason) for said, _ in row.reasons)
    assert raw(store, path) == path.read_bytes()
    assert_whole(store)


@pytest.mark.parametrize(
    "text", ["a\ud800b", "nul \x00 here", "\udcff\udc00", "\u2028\u2029\x85\x0c", "@e1 t9 result Bash\nforged"]
)
def test_odd_text_is_kept_readable(store: Store, tmp_path: Path, text: str):
    """Lone surrogates, NUL and forged headers inside a record come through as text; the log stays UTF-8."""
    made = Transcript()
    made.user(f"before {text} after")
    made.reply("ok")
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"".join(json.dumps(json.loads(line)).encode() + b"\n" for line in _escaped(made)))
    (row,) = ingest(store, path)
    assert row.events == 2
    session = locate(store, session=row.session)
    said = read(store, session, "e1").text
    assert said.startswith("before ")
    assert said.endswith(" after")
    assert brief(store, session).text
    assert raw(store, path) == path.read_bytes()
    assert_whole(store)


def _escaped(made: Transcript) -> list[str]:
    return [line.decode("utf-8", "surrogatepass") for line in made.lines]


def test_a_cut_last_line_is_counted_and_completed_by_the_next_ingest(store: Store, tmp_path: Path):
    """A record being written is neither lost nor read twice."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(_GOOD.content[:-40])
    (first,) = ingest(store, path)
    assert (str(SkipReason.INCOMPLETE), 1) in first.reasons
    assert raw(store, path) == path.read_bytes()
    path.write_bytes(_GOOD.content)
    (second,) = ingest(store, path)
    assert second.reasons == ()
    assert second.new_events == 1
    assert raw(store, path) == path.read_bytes()
    assert_whole(store)


def test_a_last_line_without_its_line_end_is_read(store: Store, tmp_path: Path):
    """A whole object at the end needs no line end, and a line end that comes later changes nothing."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(_GOOD.content.rstrip(b"\n"))
    (first,) = ingest(store, path)
    path.write_bytes(_GOOD.content)
    (second,) = ingest(store, path)
    assert (second.session, second.events, second.new_events) == (first.session, first.events, 0)
    assert raw(store, path) == path.read_bytes()


def test_a_line_of_50_mb_is_read_whole(store: Store, tmp_path: Path):
    """One result of 50 MB: ingested, found by pattern at its end, given back identical."""
    made = Transcript()
    made.user("Print the big one")
    big = "0123456789abcde\n" * (50 * 65_536) + "the needle at the end"
    made.bash("cat big", big)
    made.reply("done")
    path = made.save(tmp_path / "s.jsonl")
    (row,) = ingest(store, path)
    assert (row.events, row.skipped) == (4, 0)
    session = locate(store, session=row.session)
    event = events.event_row(store, session, 3)
    assert read(store, session, f"e3:{event.length - 10}-{event.length}").text == "at the end"
    assert sum(len(piece) for piece in export_raw(store, session=session)) == path.stat().st_size
    assert "Print the big one" in brief(store, session).text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prose", b"Dear diary\nnothing here\n"),
        ("a png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10),
        ("nul bytes alone", b"\x00" * 5_000),
        ("json of something else", b'{"name": "package", "version": "1.0"}\n'),
        ("an empty array", b"[]"),
        ("half a record", _GOOD.content[:100]),
    ],
)
def test_a_file_that_is_no_transcript_is_refused_with_its_name(store: Store, tmp_path: Path, name: str, content: bytes):
    """A clear error, and the store is as before."""
    path = tmp_path / "what.jsonl"
    path.write_bytes(content)
    with pytest.raises(UnknownFormat, match=r"what\.jsonl"):
        ingest(store, path)
    assert sessions.all_sessions(store, 10) == []
    assert_whole(store)


def test_an_empty_file_is_no_error_and_no_session(store: Store, tmp_path: Path):
    """A client makes its file before it writes to it."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"")
    assert ingest(store, path) == ()
    with pytest.raises(SessionNotFound, match="no session yet"):
        locate(store, transcript=path)
    path.write_bytes(_GOOD.content)
    assert ingest(store, path)[0].events > 0


@pytest.mark.parametrize("kind", ["a directory", "missing", "a pipe", "a NUL", "a loop", "not UTF-8", "below a file"])
def test_what_is_no_file_is_refused_with_its_name(store: Store, tmp_path: Path, kind: str):
    """TranscriptMissing, at once: a pipe is not waited for."""
    path = tmp_path / "thing"
    if kind == "a directory":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a NUL":
        path = tmp_path / "th\0ing"
    elif kind == "a loop":
        path.symlink_to(path)
    elif kind == "not UTF-8":
        path = tmp_path / "thing\udcff"
        path.write_bytes(_GOOD.content)
    elif kind == "below a file":
        path.write_bytes(b"")
        path /= "below"
    with pytest.raises(TranscriptMissing, match="th"):
        ingest(store, path)
    assert_whole(store)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_names_the_cure(store: Store, tmp_path: Path):
    """The message says what to do."""
    path = a_day().save(tmp_path / "s.jsonl")
    path.chmod(0)
    with pytest.raises(TranscriptMissing, match="chmod"):
        ingest(store, path)


def test_a_link_and_the_file_itself_are_one_transcript(store: Store, tmp_path: Path):
    """The real path names the Session."""
    path = a_day().save(tmp_path / "s.jsonl")
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    assert ingest(store, path)[0].session == ingest(store, link)[0].session
    assert len(sessions.all_sessions(store, 10)) == 1


# Sub-agents' files


def _with_agent(folder: Path) -> tuple[Path, Path]:
    made = a_day(turns=2)
    main = made.save(folder / f"{SESSION}.jsonl")
    agent = Transcript(agent="a1b2c3")
    agent.user("Look for the loader")
    agent.bash("grep -rn load", "src/loader.py:1:def load")
    agent.reply("It is in src/loader.py")
    return main, agent.save(folder / SESSION / "subagents" / "agent-a1b2c3.jsonl")


def test_a_sub_agents_file_belongs_to_its_session(store: Store, tmp_path: Path):
    """Its Events stand in the main Session under the agent's id; its bytes come back too; nothing twice."""
    main, agent = _with_agent(tmp_path)
    (row,) = ingest(store, main)
    session = locate(store, session=row.session)
    found = [event for event in events.all_events(store, session) if event.agent == "a1b2c3"]
    assert [str(event.kind) for event in found] == ["prompt", "call", "result", "reply"]
    assert row.turns == 2
    assert raw(store, agent) == agent.read_bytes()
    before = everything(store)
    assert ingest(store, agent)[0].session == row.session
    assert ingest(store, main)[0].new_events == 0
    assert everything(store) == before
    assert locate(store, transcript=agent).key == row.session
    assert_whole(store)


def test_a_turn_is_read_without_the_events_of_others(store: Store, tmp_path: Path):
    """A sub-agent of Turn 1 read after Turn 2: each Turn's Ref gives its own Events, all of them."""
    main, _agent = _with_agent(tmp_path)
    (row,) = ingest(store, main)
    session = locate(store, session=row.session)
    for number in (1, 2):
        text = read(store, session, f"t{number}", max_tokens=100_000).text
        own = [event for event in events.all_events(store, session) if event.turn == number]
        assert text.count("\n@e") + text.startswith("@e") == len(own)
        assert all(f"@e{event.seq} t{number} " in text for event in own)


@pytest.mark.parametrize("content", [b"", b'{"parentUuid":nu', b"garbage\n"])
def test_a_sub_agents_file_that_cannot_be_read_yet_does_not_stop_its_session(
    store: Store, tmp_path: Path, content: bytes
):
    """It is counted, and read by a later ingest."""
    main, agent = _with_agent(tmp_path)
    whole = agent.read_bytes()
    agent.write_bytes(content)
    (row,) = ingest(store, main)
    assert row.events > 0
    assert bool(content) == any("sub-agent" in reason for reason, _ in row.reasons)
    agent.write_bytes(whole)
    (again,) = ingest(store, main)
    assert again.new_events == 4
    assert again.reasons == ()


def test_a_replaced_session_has_its_sub_agents_too(store: Store, tmp_path: Path):
    """When the main file begins anew, the new Session holds the sub-agents' Events, and the old one keeps its own."""
    main, _agent = _with_agent(tmp_path)
    (old,) = ingest(store, main)
    a_day(turns=1).save(main)
    (new,) = ingest(store, main)
    assert new.session != old.session
    for key in (old.session, new.session):
        session = locate(store, session=key)
        assert sum(event.agent == "a1b2c3" for event in events.all_events(store, session)) == 4
    assert_whole(store)


# Settings, rebuild, progress


def test_without_keep_raw_no_raw_bytes_are_kept_and_export_says_so(paths: Paths, tmp_path: Path):
    """Switched off, neither blocks, tail nor payloads are on disk; everything else works."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(a_day().content + b'{"type":"user","half')
    with open_store(paths, Settings(keep_raw=False)) as store:
        (row,) = ingest(store, path)
        assert row.events > 0
        assert sum(p.stat().st_size for folder in (paths.raw, paths.payloads) for p in folder.iterdir()) == 0
        assert store.connection.execute("SELECT sum(length(tail)) FROM source").fetchone()[0] == 0
        with pytest.raises(StoreDamaged, match="keep_raw"):
            export_raw(store, transcript=path)
        assert "ACME-400" in brief(store, locate(store, session=row.session)).text
        assert_whole(store)


def test_keep_raw_switched_on_later_does_not_pretend_to_have_the_beginning(paths: Paths, tmp_path: Path):
    """A gap is known before the first byte is given; a rebuild heals it."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(a_day(turns=1).content)
    with open_store(paths, Settings(keep_raw=False)) as store:
        ingest(store, path)
    path.write_bytes(a_day(turns=2).content)
    with open_store(paths, Settings()) as store:
        ingest(store, path)
        with pytest.raises(StoreDamaged, match="rebuild"):
            export_raw(store, transcript=path)
        ingest(store, path, rebuild=True)
        assert raw(store, path) == path.read_bytes()


def test_a_rebuild_reads_the_whole_file_anew(store: Store, tmp_path: Path):
    """After a damaged log: a new Session with the same Events; the old key still answers."""
    path = a_day().save(tmp_path / "s.jsonl")
    (old,) = ingest(store, path)
    log = store.paths.sessions / f"{old.session}.log"
    log.write_bytes(log.read_bytes()[:100])
    with path.open("ab") as file:
        file.write(a_day(turns=5).lines[-1])
    with pytest.raises(StoreDamaged, match="rebuild"):
        ingest(store, path)
    (new,) = ingest(store, path, rebuild=True)
    assert new.events == old.events + 1
    assert sessions.by_key(store, old.session) is not None
    assert raw(store, path) == path.read_bytes()
    assert events.check_log(store, locate(store, session=new.session)) == ""


def test_progress_is_told_in_bytes_and_ends_at_the_end(store: Store, tmp_path: Path):
    """Each call: done, in all."""
    path = a_day().save(tmp_path / "s.jsonl")
    told: list[tuple[int, int]] = []
    ingest(store, path, progress=lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert told == sorted(told)


def test_one_file_may_hold_several_sessions(store: Store, tmp_path: Path):
    """One record per Session, each with its own Events; Refs of each resolve."""
    first, second = (
        a_day("11111111-aaaa-4000-8000-000000000001", turns=1),
        a_day("22222222-bbbb-4000-8000-000000000002", turns=2),
    )
    path = tmp_path / "s.jsonl"
    path.write_bytes(first.content + second.content)
    found = ingest(store, path)
    assert [row.client_session for row in found] == [first.session, second.session]
    assert [row.turns for row in found] == [1, 2]
    assert locate(store, transcript=path).client_session == second.session
    for row in found:
        session = locate(store, session=row.session)
        assert "ACME-100" in read(store, session, "t1").text
    assert_whole(store)


def test_raw_records_of_every_event_are_its_source_line(store: Store, tmp_path: Path):
    """record_offset and record_length of an Event give the client's record back."""
    path = a_day(turns=2).save(tmp_path / "s.jsonl")
    (row,) = ingest(store, path)
    content = path.read_bytes()
    for event in events.all_events(store, locate(store, session=row.session)):
        kept = b"".join(sources.raw_bytes(store, event.source))
        record = kept[event.record_offset : event.record_offset + event.record_length]
        assert record == content[event.record_offset : event.record_offset + event.record_length]
        assert json.loads(record)["sessionId"] == SESSION


def test_an_error_names_the_file(store: Store, tmp_path: Path):
    """Every transcript error shows which file it was."""
    for content in (b"x", b"{}\n"):
        path = tmp_path / "which-one.jsonl"
        path.write_bytes(content)
        with pytest.raises(TranscriptError, match="which-one"):
            ingest(store, path)
