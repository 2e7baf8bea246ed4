"""rlm_mcp.sandbox.inside.session: the whole past as Python objects, exact to the byte, over a real store."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.store import events, lineage, sessions
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.log import log_path
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from tests.build import Transcript, a_day
from tests.looks import log_bytes
from tests.repls import Rig, seeing
from tests.store.test_lineage import boundary, forked


def scripts() -> Transcript:
    """A session in many scripts, with empty texts, line ends of every kind and words of the log's own format."""
    made = Transcript()
    made.user("\u00dcberpr\u00fcfe die \u5024 \U0001f600 und Stra\u00dfe")
    made.reply("\u7b54\u3048: 42\nn\u00e4chste Zeile \U0001f3f4\U000e0067\n")
    made.bash("echo '\u0447\u0442\u043e'", "\u0447\u0442\u043e\r\n\ttabs\n\n\nend")
    made.user("@e1 t1 prompt fake header\n@e99 t7 result Bash")
    made.reply("e\u0301 combining, \u200f right to left, \u2028 line separator, \u00a0 blank")
    made.bash("true", "")
    made.user("last \u00e4")
    return made


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, SessionRow, Rig]]:
    """Only looked at."""
    folder = tmp_path_factory.mktemp("scripts")
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        session = locate(store, transcript=scripts().save(folder / "s.jsonl"))
        with seeing(store, session) as rig:
            yield store, session, rig


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory, recorded_session: Path
) -> Iterator[tuple[Store, SessionRow, Rig]]:
    """The recorded session. Only looked at."""
    with open_store(Paths(home=tmp_path_factory.mktemp("recorded") / "store"), Settings()) as store:
        session = locate(store, transcript=recorded_session)
        with seeing(store, session) as rig:
            yield store, session, rig


def _json(rig: Rig, expression: str) -> object:
    """What an expression gives, as JSON."""
    return json.loads(rig.shown(f"import json; print(json.dumps({expression}))"))


@pytest.mark.parametrize("which", ["written", "recorded"])
def test_every_event_is_as_the_store_has_it(which, request):
    """Number, Turn, kind, tool, time, text and bytes; its Ref reads the same."""
    store, session, rig = request.getfixturevalue(which)
    found = _json(
        rig, "[[e.seq, e.turn, e.kind, e.tool, e.failed, e.time, e.text, len(e), e.ref] for e in session.events]"
    )
    rows = list(events.all_events(store, session))
    assert len(found) == len(rows) == session.events
    for (seq, turn, kind, tool, failed, time, text, length, ref), row in zip(found, rows, strict=True):
        assert (seq, turn, kind, tool, failed, time) == (row.seq, row.turn, row.kind, row.tool, row.failed, row.time)
        assert text == events.text_of(store, row)
        assert length == len(text.encode())
        assert read(store, session, ref, max_tokens=1_000_000).text == text
    assert _json(rig, "all(e.raw.decode() == e.text for e in session.events)") is True


@pytest.mark.parametrize("which", ["written", "recorded"])
def test_the_text_is_the_log(which, request):
    """As one str, as mapped bytes, and as ``context``; its length is told in bytes."""
    store, session, rig = request.getfixturevalue(which)
    log = log_bytes(store, session)
    assert _json(rig, "session.text") == log.decode()
    assert _json(rig, "[context == session.text, session.raw.tobytes().decode() == context, len(session)]") == [
        True,
        True,
        len(log),
    ]


@pytest.mark.parametrize("which", ["written", "recorded"])
@pytest.mark.parametrize(
    "pattern",
    [
        r"\w+", r"(?i)e\w*", r"[^\x00-\x7f]+", r"^.*$", r"$", r"", r"\d+", r"(?s)e.*e", r"\n", r"\s+", r"@e\d+ t\d+",
        r"prompt", r"(\w)(\w)?", r"\S+\Z", r"\A.", r"x*", r"end$", r"[\U0001f600-\U0001f6ff]", r"(?m)^t.*", r"\r",
    ],
)  # fmt: skip
def test_every_match_of_grep_is_read_by_its_ref(which, pattern, request):
    """The same places as searching each event alone; bytes of a Ref are just what matched."""
    store, session, rig = request.getfixturevalue(which)
    limit = 3_000
    found = _json(
        rig,
        (
            f"[[m.ref, m.found if isinstance(m.found, str) else list(m.found), m.event.seq, "
            f"m.line] for m in session.grep({pattern!r}, limit={limit})]"
        ),
    )
    expected = [
        (row.seq, match)
        for row in events.all_events(store, session)
        for match in re.compile(pattern, re.MULTILINE).finditer(events.text_of(store, row))
    ][:limit]
    assert len(found) == len(expected)
    for (ref, told, seq, line), (number, match) in list(zip(found, expected, strict=True))[
        :: max(1, len(found) // 150)
    ]:
        assert seq == number
        assert told == (match[0] if not match.groups() else [group or "" for group in match.groups()])
        assert read(store, session, ref, max_tokens=1_000_000).text == match[0]
        assert "\n" in match[0] or match[0] in line


def test_grep_is_narrowed_by_kind_flags_and_limit(recorded):
    """As it says."""
    _store, _session, rig = recorded
    assert _json(rig, "sorted({m.event.kind for m in session.grep('price', kind='result')})") == ["result"]
    assert _json(rig, "len(session.grep('PRICE')) < len(session.grep('PRICE', flags=__import__('re').I))") is True
    assert _json(rig, "len(session.grep('e', limit=7))") == 7
    assert _json(
        rig, "(lambda c: c.grep(__import__('re').compile('PRICE', 2))[0].ref == c.grep('(?i)price')[0].ref)(session)"
    )
    assert rig.fails("session.grep('(')").split(":")[0] in ("error", "re.error", "re.PatternError")


@pytest.mark.parametrize("which", ["written", "recorded"])
def test_a_part_greps_with_refs_of_the_whole(which, request):
    """A Turn, a slice, a span of one event: each match is read by its Ref."""
    store, session, rig = request.getfixturevalue(which)
    for part in ("session['t2']", "session['e2':'e5']", "session['e2:4-22']", "session[1:]", "session['e1:1-9']"):
        found = _json(rig, f"[[m.ref, m.found] for m in {part}.grep(r'[^\\s]+')]")
        for ref, told in found[:40]:
            assert read(store, session, ref, max_tokens=100_000).text == told, (part, ref)
    span = _json(rig, "[session['e2:4-22'].events[0].ref, session['e2:4-22'].text]")
    assert read(store, session, span[0], max_tokens=100_000).text == span[1]
    assert read(store, session, "e2:4-22", max_tokens=100_000).text == span[1]


def test_slices_by_turn_ref_and_time(recorded):
    """Each gives a Part; the end is not part of it; a number counts Turns."""
    store, session, rig = recorded
    rows = list(events.all_events(store, session))
    first = next(row.time for row in rows if row.turn == 3)

    def seqs(place: str) -> object:
        return _json(rig, f"[e.seq for e in session[{place}].events]")

    def of(test) -> list[int]:
        return [row.seq for row in rows if test(row)]

    assert seqs("'t3'") == seqs("3") == of(lambda row: row.turn == 3)
    assert seqs("-1") == of(lambda row: row.turn == session.turns)
    assert seqs("'e12'") == [12]
    assert seqs(f"'{session.key}.e12'") == [12]
    assert seqs("3:5") == seqs("'t3':'t5'") == of(lambda row: 3 <= row.turn < 5)
    assert seqs("'e5':'e9'") == [5, 6, 7, 8]
    assert seqs("'e5':'t2'") == of(lambda row: row.seq >= 5 and row.turn < 2)
    assert seqs(":") == seqs("'2020-01-01':") == [row.seq for row in rows]
    assert seqs("-2:") == of(lambda row: row.turn >= session.turns - 1)
    assert seqs(":-1") == of(lambda row: row.turn < session.turns)
    assert seqs("999:") == seqs("'e999999':") == []
    assert seqs(f"{first}:") == of(lambda row: row.seq >= next(r.seq for r in rows if r.time and r.time >= first))
    assert seqs("__import__('datetime').datetime(2100, 1, 1):") == []
    for wrong in ("'t999'", "999", "'e0'", "'e999999'", "'nothing'", "'c3'", "None", "'ffffffff.e1'"):
        assert rig.fails(f"session[{wrong}]").startswith("KeyError"), wrong
    for wrong in ("'soon':", "'e1':'later'", "object():"):
        assert rig.fails(f"session[{wrong}]").startswith("ValueError"), wrong


def test_what_was_found_has_its_fields_by_name_too(recorded):
    """As models write it: an attribute or a key."""
    _store, _session, rig = recorded
    assert rig.shown("hit = session.search('importer').hits[0]; hit['ref'] == hit.ref, session['e1'].ref") == (
        "(True, 'e1')"
    )
    assert rig.shown("session['e1':'e4'].ref, session.facts('prompt')[0]['kind']") == "('e1 e3', 'prompt')"
    assert rig.fails("session.grep('the')[0]['nothing']") == "KeyError: 'nothing'"


def test_turns_have_prompts_and_events(recorded):
    """In order; their texts are those of their events."""
    store, session, rig = recorded
    found = _json(rig, "[[t.number, t.ref, t.prompt, len(t.events), t.started] for t in session.turns]")
    for number, ref, prompt, count, started in found:
        row = events.turn_row(store, session, number)
        assert (ref, started) == (f"t{number}", row.started)
        assert prompt.startswith(row.prompt[:40])
        assert count == len([event for event in events.all_events(store, session) if event.turn == number])
    assert sum(turn[3] for turn in found) == session.events
    assert _json(rig, "session.turns[1].text == '\\n'.join(e.text for e in session.turns[1].events)") is True


def test_facts_and_searches_are_those_of_the_tools(recorded):
    """With Refs that read; superseded ones where they are asked for; wrong kinds are refused by name."""
    store, session, rig = recorded
    found = _json(rig, "[[f.kind, f.text, f.ref, f.current] for f in session.facts('edit', current=False)]")
    assert {kind for kind, *_rest in found} == {"edit"}
    assert all(read(store, session, ref).text for _kind, _text, ref, _current in found)
    assert _json(rig, "[len(session.facts(current=False)) > len(session.facts()) > 0]") == [True]
    assert rig.fails("session.facts('bla')").startswith("HostError: kind 'bla' is not known")
    assert _json(rig, "[h.ref for h in session.search('island fee')]") == _json(
        rig, "[h.ref for h in session.search('island fee').hits]"
    )
    assert "which commands failed" not in rig.fails("session.search('x', kind=[])")
    assert _json(rig, "str(session.search('island fee', kind='prompt')) != ''") is True


def test_everything_shows_itself_in_few_lines(recorded):
    """However many there are."""
    _store, session, rig = recorded
    assert rig.shown("session").startswith(f"session {session.key}: {session.turns} turns, {session.events} events")
    assert len(rig.shown("session.events").splitlines()) == 61
    assert "left out ..." in rig.shown("session.events")
    for shown in (
        "session.turns",
        "session[1]",
        "session.facts()",
        "session.grep('e')[:5]",
        "session.search('fee')",
        "session.earlier",
    ):
        assert 0 < len(rig.shown(shown)) < 40_000
    assert rig.shown("session.earlier, session.events[:0]") == "([] (none), [] (none))"


def test_a_session_that_grows_is_seen_as_it_is_now(store: Store, tmp_path: Path):
    """Between Cells, by objects that were taken before as well; what was taken out of it stays as it was."""
    made = a_day(turns=1)
    path = made.save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    with seeing(store, session) as rig:
        assert rig.shown("s = session; n = len(session.events); t = session.text; e = session.events[0]; n") == str(
            session.events
        )
        assert rig.shown("def count(): return len(context)\ncount() == len(t)") == "True"
        for turn in range(4):
            made.user(f"One more: \u00e4\u00f6 {turn}")
            made.reply("Yes.")
            made.save(path)
            session = locate(store, transcript=path)
            rig.see(store, session)
            log = log_bytes(store, session).decode()
            assert _json(rig, "[s is session, len(s.events), s.text == session.text, len(s.text)]") == [
                True, session.events, True, len(log),
            ]  # fmt: skip
            assert rig.shown("session.events[-2].text") == f"'One more: \u00e4\u00f6 {turn}'"
            assert (
                rig.shown(f"count() == {len(log)}, context.startswith(t), len(t) < len(context)")
                == "(True, True, True)"
            )
            assert rig.shown("e is session.events[0], session.grep(r'One more: \\S+ \\d')[-1].found").endswith(
                f"{turn}')"
            )


def test_a_context_that_a_cell_has_made_its_own_stays(store: Store, tmp_path: Path):
    """Also when the session grows."""
    made = a_day(turns=1)
    path = made.save(tmp_path / "s.jsonl")
    with seeing(store, locate(store, transcript=path)) as rig:
        rig.run("context = context[:10]")
        made.user("more")
        made.save(path)
        rig.see(store, locate(store, transcript=path))
        assert rig.shown("len(context)") == "10"
        rig.run("del context")
        assert rig.shown("len(context) == len(session.text)") == "True"


def test_what_a_fork_continues_is_seen_up_to_where_it_began(store: Store, tmp_path: Path, recorded_session: Path):
    """Earlier sessions have the same ways; their Refs name them and are read from here."""
    (found,) = ingest(store, recorded_session)
    parent = sessions.by_client_id(store, found.client_session)
    assert parent is not None
    child = "aaaaaaaa-0000-4000-8000-000000000001"
    ingest(store, forked(recorded_session, tmp_path, child, boundary(recorded_session)))
    row = sessions.by_client_id(store, child)
    assert row is not None
    row = lineage.settle(store, row)
    assert 0 < row.parent_events < parent.events
    with seeing(store, row) as rig:
        key, count, last, turns = _json(
            rig, "(lambda e: [e.key, len(e.events), e.events[-1].ref, len(e.turns)])(session.earlier[0])"
        )
        assert (key, count, last) == (parent.key, row.parent_events, f"{parent.key}.e{row.parent_events}")
        assert turns == events.event_row(store, parent, row.parent_events).turn
        last_row = events.event_row(store, parent, row.parent_events)
        whole = log_bytes(store, parent)[: last_row.start + last_row.length].decode()
        assert _json(rig, "session.earlier[0].text") == whole
        assert _json(rig, "len(session.earlier[0])") == len(whole.encode())
        found = _json(rig, "[[m.ref, m.found] for m in session.earlier[0].grep(r'price\\w*')][:20]")
        assert found
        for ref, told in found:
            assert ref.startswith(f"{parent.key}.e")
            assert read(store, row, ref).text == told
        assert rig.fails("session.earlier[0].events[0].text; session.earlier[0]['e99999']").startswith("KeyError")
        assert rig.shown(f"session.earlier[0]['{parent.key}.e3'].events[0].ref") == f"'{parent.key}.e3'"
        assert rig.shown("session.earlier[0] is session.earlier[0]") == "True"


def test_a_session_that_is_read_anew_keeps_what_was_taken_of_it(store: Store, tmp_path: Path):
    """A rebuild gives it another key and another log; the old one is still there for the old key."""
    path = a_day(turns=2).save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    with seeing(store, session) as rig:
        before = rig.shown("e = session.events[3]; e.text")
        ingest(store, path, rebuild=True)
        again = locate(store, transcript=path)
        assert again.key != session.key
        found = sessions.by_key(store, session.key)
        assert found is not None
        rig.see(store, found)
        assert rig.shown("e.text") == before
        assert rig.shown("session.key") == repr(session.key)


def test_a_log_that_was_cut_is_an_error_or_the_end_of_the_child(store: Store, tmp_path: Path):
    """Someone's doing; the host lives on, and a log that is whole again is read again."""
    path = a_day(turns=40).save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    whole = log_bytes(store, session)
    file = log_path(store.paths, session.key)
    with seeing(store, session) as rig:
        file.write_bytes(whole[:100])
        assert rig.fails("session.text").startswith("ValueError")
        file.write_bytes(whole)
        assert rig.shown("len(session.raw)") == str(len(whole))
        file.write_bytes(b"")
        found = rig.run("session.raw.tobytes()")
        assert found.ending in (None, Ending.OK)
        assert found.ending is Ending.OK or "bus error" in found.why
    file.write_bytes(whole)
    with seeing(store, session) as rig:
        assert rig.shown("len(session.raw)") == str(len(whole))


def test_a_session_in_which_nothing_happened_yet(store: Store, tmp_path: Path):
    """Empty everywhere, and no error."""
    made = Transcript()
    made.add({"type": "summary", "summary": "Nothing yet", "leafUuid": "x"})
    made.user("")
    path = made.save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    with seeing(store, session) as rig:
        assert rig.run("session, session.events, session.turns, session.text, session.grep('x'), "
"session.facts(), context, session[:], session.raw").ending is Ending.OK  # fmt: skip
