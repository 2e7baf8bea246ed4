"""read: exact bytes, whole characters, errors that name the value and the cure."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import RefError, UsageError
from rlm_mcp.store import cells, events, runs, sessions
from rlm_mcp.store.cells import CellRow, CellStatus
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.runs import RunRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import estimate_tokens
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from tests.build import Transcript, a_day
from tests.documents import TOKEN, loaded_text, session_in
from tests.looks import log_bytes


def pages(store: Store, session: SessionRow, ref: str, max_tokens: int, *, start: int = 0) -> tuple[str, int]:
    """What reading on from page to page gives, and how many pages it took."""
    texts: list[str] = []
    offset: int | None = start
    while offset is not None:
        answer = read(store, session, ref, offset=offset, max_tokens=max_tokens)
        assert answer.start == offset
        assert answer.end == offset + len(answer.text.encode())
        assert answer.next_offset in {None, answer.end}
        assert "\ufffd" not in answer.text
        texts.append(answer.text)
        offset = answer.next_offset
        assert len(texts) < 5_000
    return "".join(texts), len(texts)


@pytest.fixture
def wide(store: Store, tmp_path: Path) -> SessionRow:
    """A session whose texts hold characters of one to four bytes."""
    made = Transcript()
    made.user("Zürich 日本語 \U0001f680 " * 40)
    made.bash("cat poem", "αβγ δεζ\r\n\t\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 ﬁn\n" * 60)
    made.reply("")
    made.reply("ok é")
    return locate(store, transcript=made.save(tmp_path / "s.jsonl"))


@pytest.mark.parametrize("tokens", [1, 7, 100, 10_000])
@pytest.mark.parametrize("place", ["s", "t1", "e1", "e3"])
def test_pages_join_to_the_exact_bytes(store: Store, wide: SessionRow, place: str, tokens: int):
    """Whatever the page size, and no page cuts a character."""
    whole = read(store, wide, place, max_tokens=100_000)
    assert whole.next_offset is None
    joined, count = pages(store, wide, place, tokens)
    assert joined == whole.text
    assert len(whole.text.encode()) == whole.total_bytes
    assert count > 1 or tokens == 10_000


def test_an_event_is_its_span_of_the_log(recorded: tuple[Store, SessionRow]):
    """Every Event of the recording, byte for byte, alone and by its place in the log."""
    store, session = recorded
    log = log_bytes(store, session)
    for event in events.all_events(store, session):
        wanted = log[event.start : event.start + event.length].decode()
        assert read(store, session, f"e{event.seq}", max_tokens=100_000).text == wanted
        place = f"log:{event.start}-{event.start + event.length}"
        assert read(store, session, place, max_tokens=100_000).text == wanted
        assert read(store, session, f"{session.key}.e{event.seq}", max_tokens=100_000).text == wanted


def test_the_turns_and_the_events_are_all_of_the_log(recorded: tuple[Store, SessionRow]):
    """Every byte of the log is in just one Turn."""
    store, session = recorded
    turns = events.turns(store, session)
    texts = [pages(store, session, f"t{turn.number}", 50_000)[0] for turn in turns]
    assert sum(len(text.encode()) for text in texts) == session.log_bytes
    assert "".join(texts).encode() == log_bytes(store, session)


@given(start=st.integers(0, 80), length=st.integers(0, 60), offset=st.integers(0, 60))
@hypothesis_settings(max_examples=60)
def test_a_span_that_cuts_characters_is_widened_to_them(
    start: int, length: int, offset: int, wide_store: tuple[Store, SessionRow]
):
    """Never half a character, never less than what was asked for, at most nine bytes more."""
    store, session = wide_store
    whole = read(store, session, "e1", max_tokens=100_000).text.encode()
    answer = read(store, session, f"e1:{start}-{start + length}", offset=min(offset, length))
    asked = whole[start + min(offset, length) : start + length]
    assert asked in answer.text.encode()
    assert len(answer.text.encode()) <= len(asked) + 9
    assert answer.next_offset is None
    assert answer.text in whole.decode()


@pytest.fixture(scope="module")
def wide_store(tmp_path_factory: pytest.TempPathFactory):
    """A prompt of characters of one to four bytes."""
    folder = tmp_path_factory.mktemp("wide")
    made = Transcript()
    made.user("aé日\U0001f680" * 40)
    with open_store(Paths(home=folder / "store"), Settings()) as opened:
        yield opened, locate(opened, transcript=made.save(folder / "s.jsonl"))


@pytest.mark.parametrize("tokens", [50, 400, 3_000])
def test_a_page_keeps_to_its_budget(recorded: tuple[Store, SessionRow], tokens: int):
    """Within a twentieth, on every page of the whole log."""
    store, session = recorded
    offset: int | None = 0
    while offset is not None:
        answer = read(store, session, "s", offset=offset, max_tokens=tokens)
        assert estimate_tokens(answer.text) <= tokens * 1.05
        offset = answer.next_offset


def test_the_default_budget_is_the_setting(recorded: tuple[Store, SessionRow]):
    """``read_tokens``."""
    store, session = recorded
    text = read(store, session, "s").text
    assert store.settings.read_tokens * 0.8 <= estimate_tokens(text) <= store.settings.read_tokens * 1.05


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("e99999", "e1 to e60"),
        ("e0", "e1 to e60"),
        ("t77", "t1 to t4"),
        ("e1:0-99999", "ends behind its event"),
        ("log:0-99999999", "ends behind the log"),
        ("ffffffff.e1", "no session 'ffffffff'"),
        ("nonsense", "'e12'"),
        ("e999999999999", "e1 to e60"),
    ],
)
def test_a_ref_to_nothing_names_itself_and_what_there_is(day: tuple[Store, SessionRow], ref: str, said: str):
    """RefError, with the value and where to look."""
    store, session = day
    with pytest.raises(RefError) as raised:
        read(store, session, ref)
    assert ref.rpartition(".")[2] in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize("offset", [-1, 10**9])
def test_an_offset_outside_names_the_size(day: tuple[Store, SessionRow], offset: int):
    """UsageError with the true length."""
    store, session = day
    with pytest.raises(UsageError, match="bytes"):
        read(store, session, "e1", offset=offset)


def test_reading_at_the_very_end_gives_nothing_and_no_next(day: tuple[Store, SessionRow]):
    """An offset equal to the length is the end, not an error."""
    store, session = day
    total = read(store, session, "e1").total_bytes
    answer = read(store, session, "e1", offset=total)
    assert (answer.text, answer.next_offset) == ("", None)


def test_a_ref_with_a_key_reaches_another_session(store: Store, tmp_path: Path):
    """Refs of search over the project carry the key of their Session."""
    one = locate(store, transcript=a_day("11111111-0000-4000-8000-000000000000").save(tmp_path / "1.jsonl"))
    two = locate(store, transcript=a_day("22222222-0000-4000-8000-000000000000", turns=1).save(tmp_path / "2.jsonl"))
    assert read(store, two, f"{one.key}.t4").text == read(store, one, "t4").text
    with pytest.raises(RefError):
        read(store, two, "t4")


def test_a_stale_session_row_reads_what_it_knew(store: Store, tmp_path: Path):
    """A server that looked up the Session before an ingest still reads rightly after it."""
    path = a_day(turns=1).save(tmp_path / "s.jsonl")
    before = locate(store, transcript=path)
    path.write_bytes(a_day(turns=3).content)
    after = locate(store, transcript=path)
    assert after.events > before.events
    assert read(store, before, "s", max_tokens=100_000).text == read(store, after, "t1", max_tokens=100_000).text
    assert sessions.by_key(store, before.key) == after


@pytest.mark.parametrize("tokens", [1, 7, 100, 100_000])
def test_pages_of_a_document_join_to_its_text(store: Store, tmp_path: Path, tokens: int):
    """Whole, and a span of it."""
    session = session_in(store, tmp_path)
    text = "αβγ \U0001f680 line of text\r\n" * 40
    row = loaded_text(store, session, "a.txt", text)
    assert pages(store, session, row.ref, tokens)[0] == text
    assert pages(store, session, f"{row.ref}:7-11", tokens)[0] == "\U0001f680"  # three letters of two bytes, a blank
    assert read(store, session, f"{row.ref}:5-6").text == "\u03b3"
    assert read(store, session, f"{row.ref}:4-4").text == ""


def test_a_span_behind_a_document_is_refused_with_its_length(store: Store, tmp_path: Path):
    """And another session's document is read as well: it belongs to the store."""
    session = session_in(store, tmp_path)
    row = loaded_text(store, session, "a.txt", "some text")
    with pytest.raises(RefError, match=f"9 bytes; '{row.ref}' is all of it"):
        read(store, session, f"{row.ref}:0-10")
    with pytest.raises(UsageError, match="9 bytes"):
        read(store, session, row.ref, offset=10)
    other = session_in(store, tmp_path, session="99999999-0000-4000-8000-000000000001")
    assert read(store, other, row.ref).text == "some text"


def test_a_documents_secrets_are_marks_and_the_note_says_so(store: Store, tmp_path: Path):
    """The counts are those of the text as it is kept; the next page begins where this one ended."""
    session = session_in(store, tmp_path)
    text = f"key {TOKEN} behind"
    row = loaded_text(store, session, "a.txt", text)
    answer = read(store, session, row.ref)
    assert (answer.text, answer.note) == ("key [REDACTED:github-token] behind", "1 secret replaced by marks")
    assert (answer.start, answer.end, answer.total_bytes) == (0, len(text), len(text))
    assert read(store, session, f"{row.ref}:8-12").text == "[REDACTED:github-token]"
    offset: int | None = 0
    said = ""
    while offset is not None:
        answer = read(store, session, row.ref, offset=offset, max_tokens=1)
        said += answer.text
        offset = answer.next_offset
    assert said.replace("[REDACTED:github-token]", "") == "key  behind"


def cell(store: Store, session: SessionRow, number: int, output: str, lost_bytes: int = 0) -> None:
    """A Cell that printed something."""
    with store.writing():
        cells.add(
            store,
            CellRow(
                session_key=session.key,
                number=number,
                time=1.0,
                seconds=0.1,
                code="print()",
                status=CellStatus.OK,
                output=output,
                lost_bytes=lost_bytes,
            ),
        )


@pytest.mark.parametrize("tokens", [1, 7, 100, 100_000])
def test_pages_of_a_cells_output_join_to_all_it_printed(store: Store, wide: SessionRow, tokens: int):
    """By number, of this session or another."""
    cell(store, wide, 1, "")
    cell(store, wide, 2, "αβγ \U0001f680 printed\n" * 50)
    assert pages(store, wide, "c1", tokens)[0] == ""
    assert pages(store, wide, "c2", tokens)[0] == "αβγ \U0001f680 printed\n" * 50
    assert pages(store, wide, f"{wide.key}.c2", tokens)[0] == "αβγ \U0001f680 printed\n" * 50


def test_what_a_cell_printed_beyond_the_limit_is_told_at_the_end(store: Store, wide: SessionRow):
    """With its secrets replaced; a Cell that did not run is told with those that did."""
    with pytest.raises(RefError, match="its Repl has run none"):
        read(store, wide, "c1")
    cell(store, wide, 1, f"{TOKEN}\n" + "x" * 1000, lost_bytes=1_234)
    answer = read(store, wide, "c1")
    assert answer.text.startswith("[REDACTED:github-token]\n")
    assert answer.note == "1 secret replaced by marks; 1,234 more bytes were printed and not kept"
    assert read(store, wide, "c1", max_tokens=20).note == "1 secret replaced by marks"
    with pytest.raises(RefError, match="it has cells c1 to c1"):
        read(store, wide, "c2")


def test_a_ref_of_a_session_names_it_where_none_is_at_hand(store: Store, wide: SessionRow):
    """Or is refused, with what to write."""
    assert read(store, None, f"{wide.key}.e1").text == read(store, wide, "e1").text
    for ref in ("e1", "t1", "s", "c1"):
        with pytest.raises(RefError, match=rf"1f2e3d4c\.{ref}"):
            read(store, None, ref)


def test_a_run_reads_as_what_it_came_to(store: Store, wide: SessionRow):
    """Its answer and the quotes that were found; without an answer what it had, and a word that it is none."""
    for number in range(4):
        _begin_run(store, f"r0000000{number}")
    found = {"quote": "q", "is_verified": True, "source": "", "ref": "e1:0-1"}
    evidence = (found, {**found, "quote": "w", "is_verified": False})
    _end_run(store, "r00000000", status="ok", answer="é 42", evidence=evidence)
    _end_run(store, "r00000001", status="calls", partial="seen: 7")
    _end_run(store, "r00000002", status="model")
    assert read(store, wide, "r00000000").text == 'é 42\n- "q"  e1:0-1'
    assert read(store, wide, "r00000001").text == "no answer (calls); what it had by then:\nseen: 7"
    with pytest.raises(RefError, match="came to nothing"):
        read(store, wide, "r00000002")
    with pytest.raises(RefError, match="no answer yet"):
        read(store, wide, "r00000003")
    with pytest.raises(UsageError, match="no run 'r99999999'"):
        read(store, wide, "r99999999")


def _begin_run(store: Store, run: str) -> None:
    row = RunRow(
        id=run,
        parent="",
        root=run,
        session_key="0badcafe",
        depth=0,
        question="?",
        scope="session",
        model="",
        sub_model="",
        backend="",
        limits={},
        started=time.time(),
    )
    with store.writing():
        runs.begin(store, row)


def _end_run(store: Store, run: str, *, status: str, answer: str = "", evidence: tuple = (), partial: str = "") -> None:
    with store.writing():
        runs.end(store, run, status=status, answer=answer, evidence=evidence, partial=partial, error=None)
