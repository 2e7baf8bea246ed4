"""search: its contract, whatever its wording: budgets, totals, paging, Refs, filters, scopes, hostile patterns."""

import json
import re
from pathlib import Path

import pytest

from rlm_mcp.errors import QueryError
from rlm_mcp.events import LinkKind
from rlm_mcp.refs import parse_ref
from rlm_mcp.store import events, facts, lineage, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.text import estimate_tokens
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import SearchAnswer, search
from tests.build import Transcript, a_day

QUERIES = (
    "which commands failed", "files edited", "files read", "failing tests", "what did the user forbid", "open todos",
    "last commands", "errors", "decisions", "commits", "what values did the user give", "test results", "the plan",
    "functions added", "questions", "sub-agents", "prompts",
    "quotes to zone Z4 one cent too low", "zones", "the", "ROUND_HALF_UP Decimal", "surcharge island fee october",
    '"def "', "/def \\w+/", "/./", "/\\d+\\.\\d+/", '"import"', "importer finance decimal comma",
    "zzzznothing", "pytest",
    "What went wrong in the importer?", "e", "Decimal Decimal Decimal", "a" * 300, "price " * 60,
)  # fmt: skip
REF = re.compile(r"(?<![\w.])(?:[0-9a-f]{8}\.)?(?:e\d+(?::\d+-\d+)?|t\d+)(?![\w.:-])")


def refs_of(answer: SearchAnswer) -> list[str]:
    """Refs of the hits, and those at the ends of the answer's lines."""
    ends = [found[-1] for line in answer.text.split("\n") if (found := REF.findall(line)) and line.endswith(found[-1])]
    return [hit.ref for hit in answer.hits] + ends


def pages(store: Store, session: SessionRow, query: str, **more: object) -> list[SearchAnswer]:
    """Every page of an answer, by the offset that each names."""
    found: list[SearchAnswer] = []
    offset = 0
    while True:
        answer = search(store, session, query, offset=offset, **more)  # type: ignore[arg-type]
        found.append(answer)
        if not answer.is_cut:
            return found
        named = re.search(r"offset=(\d+)", answer.text)
        assert named is not None
        assert int(named[1]) > offset, "the next page begins where this one did"
        offset = int(named[1])
        assert len(found) < 2_000


@pytest.mark.parametrize("tokens", [100, 140, 200, 400, 1_000, 2_500, 5_000])
def test_an_answer_keeps_to_its_budget(recorded: tuple[Store, SessionRow], tokens: int):
    """Within a twentieth, for every kind of query; ``tokens`` is what the text costs."""
    store, session = recorded
    over = []
    for query in QUERIES:
        for offset in (0, 3):
            answer = search(store, session, query, max_tokens=tokens, offset=offset)
            assert answer.tokens == estimate_tokens(answer.text)
            if answer.tokens > tokens * 1.05:
                over.append((query[:40], offset, answer.tokens))
    assert not over


def test_a_wider_budget_never_shows_less(recorded: tuple[Store, SessionRow]):
    """More room, at least as many hits."""
    store, session = recorded
    for query in QUERIES:
        shown = [search(store, session, query, max_tokens=tokens).shown for tokens in (200, 800, 3_000)]
        assert shown[0] <= shown[2], query


def test_the_default_budget_is_the_setting(recorded: tuple[Store, SessionRow]):
    """``search_tokens``."""
    store, session = recorded
    assert search(store, session, "/./").tokens <= store.settings.search_tokens * 1.05
    assert search(store, session, "/./").tokens > store.settings.search_tokens * 0.7


def test_every_ref_of_every_answer_resolves(recorded: tuple[Store, SessionRow]):
    """Hits and the ends of lines alike."""
    store, session = recorded
    seen = 0
    for query in QUERIES:
        for ref in refs_of(search(store, session, query, max_tokens=3_000)):
            assert read(store, session, ref).total_bytes >= 0
            seen += 1
    assert seen > 300


@pytest.mark.parametrize(
    ("pattern", "expression"),
    [("/Decimal/", "Decimal"), ('"ROUND_HALF_UP"', "ROUND_HALF_UP"), ("/[a-z_]+\\.py/", "[a-z_]+\\.py")],
)
def test_places_are_exact_and_their_total_true(recorded: tuple[Store, SessionRow], pattern: str, expression: str):
    """Each hit's Ref reads just what matches; the total is what a scan of every Event's text counts."""
    store, session = recorded
    flags = 0 if re.search("[A-Z]", expression) else re.IGNORECASE
    compiled = re.compile(expression, flags)
    wanted = []
    for event in events.all_events(store, session):
        text = events.text_of(store, event)
        wanted += [(event.seq, len(text[: found.start()].encode())) for found in compiled.finditer(text)]
    found = pages(store, session, pattern, max_tokens=4_000)
    assert {answer.total for answer in found} == {len(wanted)}
    hits = [hit for answer in found for hit in answer.hits]
    for hit in hits:
        assert compiled.fullmatch(read(store, session, hit.ref).text)
    places = [(ref.event, ref.span.start) for ref in (parse_ref(hit.ref) for hit in hits) if ref.span is not None]
    assert sorted(places) == sorted(wanted)


@pytest.mark.parametrize(
    "query", ["which commands failed", "files edited", "decisions", "files read", "last commands", "errors"]
)
@pytest.mark.parametrize("tokens", [150, 400])
def test_the_pages_of_a_typed_answer_hold_every_item_once(recorded: tuple[Store, SessionRow], query: str, tokens: int):
    """By the offsets the answer names, in the order of the whole."""
    store, session = recorded
    whole = search(store, session, query, max_tokens=20_000)
    assert not whole.is_cut
    assert whole.shown == whole.total == len(whole.hits)
    found = pages(store, session, query, max_tokens=tokens)
    assert {answer.total for answer in found} == {whole.total}
    assert [hit.ref for answer in found for hit in answer.hits] == [hit.ref for hit in whole.hits]


@pytest.mark.parametrize("query", ["zones", "Decimal", "importer finance", "surcharge", "pytest"])
@pytest.mark.parametrize("tokens", [300, 1_000])
def test_the_pages_of_a_word_answer_hold_every_event_once(recorded: tuple[Store, SessionRow], query: str, tokens: int):
    """Events that hold the words: each on one page, none twice, none lost (a digest may name some of them besides)."""
    store, session = recorded
    found = pages(store, session, query, max_tokens=tokens)
    assert len({answer.total for answer in found}) == 1
    hits = [hit.ref for answer in found for hit in answer.hits if hit.kind != "turn"]
    assert len(hits) == len(set(hits))
    turns = {hit.turn for answer in found for hit in answer.hits if hit.kind == "turn"}
    words = query.lower().split()
    holding = [
        event
        for event in events.all_events(store, session)
        if all(
            re.search(rf"(?<![^\W_]){word}(?![^\W_])", events.text_of(store, event), re.IGNORECASE) for word in words
        )
    ]
    missing = [event.seq for event in holding if f"e{event.seq}" not in hits and event.turn not in turns]
    assert not missing


@pytest.mark.parametrize("kind", ["result", "call", "reply", "prompt"])
@pytest.mark.parametrize("query", ["zones", '"zone"', "/zone/"])
def test_a_kind_filter_admits_that_kind_alone_with_its_true_total(
    recorded: tuple[Store, SessionRow], kind: str, query: str
):
    """Compared with a scan."""
    store, session = recorded
    found = pages(store, session, query, kind=kind, max_tokens=2_000)
    hits = [hit for answer in found for hit in answer.hits]
    assert {hit.kind for hit in hits} <= {kind}
    if query[0] in '"/':
        wanted = sum(
            len(re.findall("zone", events.text_of(store, event), re.IGNORECASE))
            for event in events.all_events(store, session)
            if event.kind == kind
        )
    else:
        wanted = sum(
            re.search(r"(?<![^\W_])zones(?![^\W_])", events.text_of(store, event), re.IGNORECASE) is not None
            for event in events.all_events(store, session)
            if event.kind == kind
        )
    assert found[0].total == wanted
    assert len(hits) == wanted


@pytest.mark.parametrize("query", ["zones", "/zone/", "which commands ran", "files edited"])
def test_a_turn_range_admits_those_turns_alone(recorded: tuple[Store, SessionRow], query: str):
    """One Turn, a range, with or without the t."""
    store, session = recorded
    for turns, allowed in (("3", {3}), ("2-4", {2, 3, 4}), ("t2 - t3", {2, 3})):
        found = pages(store, session, query, turns=turns, max_tokens=3_000)
        assert {hit.turn for answer in found for hit in answer.hits} <= allowed
    all_turns = search(store, session, query, max_tokens=20_000).total
    assert sum(search(store, session, query, turns=str(n), max_tokens=20_000).total for n in range(8)) >= all_turns > 0


def test_a_typed_answer_is_the_complete_current_set(day: tuple[Store, SessionRow]):
    """Compared with the Facts in the store, one by one."""
    store, session = day
    scope = [ScopePart(session=session, max_seq=session.events)]
    edited = search(store, session, "files edited", max_tokens=5_000)
    assert edited.total == 4
    assert all(f"src/area{number}/loader.py" in edited.text for number in range(1, 5))
    failed = search(store, session, "which commands failed", max_tokens=5_000)
    assert failed.total == len(
        [f for f in facts.of_kind(store, scope, ["command"], current_only=False) if f.status == "failed"]
    )
    assert "never touch the public API of parser.py" in search(store, session, "what did the user forbid").text.replace(
        "Never", "never"
    )
    assert all(f"check_{number}" in search(store, session, "functions added").text for number in range(1, 5))
    assert all(f"area{number}" in search(store, session, "decisions made").text for number in range(1, 5))


def test_the_words_of_a_prompt_find_what_was_done_in_its_turn(day: tuple[Store, SessionRow]):
    """None of the answer's words are in the query: commands, edits, tests and decisions of that Turn come."""
    store, session = day
    answer = search(store, session, "Please fix ticket ACME-300")
    for wanted in ("pytest tests/area3", "src/area3/loader.py", "check_3", "drop the offset in area3"):
        assert wanted in answer.text
    assert any(hit.turn == 3 for hit in answer.hits)


def test_an_open_todo_that_was_done_or_dropped_is_not_open(store: Store, tmp_path: Path):
    """Only the latest state of the latest list stands."""
    made = Transcript()
    made.user("Do three things")
    made.todos(("wash", "in_progress"), ("iron", "pending"), ("fold", "pending"))
    made.todos(("wash", "completed"), ("iron", "in_progress"))
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    text = search(store, session, "open todos").text
    assert "iron" in text
    assert "wash" not in text
    assert "fold" not in text


# Patterns


def test_a_hostile_pattern_ends_at_once(store: Store, tmp_path: Path):
    """Linear time, whatever the pattern: exponential in a backtracking engine (a^n never ends with these)."""
    made = Transcript()
    made.user("run it")
    made.bash("hostile", "a" * 200_000 + "!\n" + "ab" * 100_000)
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    for pattern in ("(a+)+$", "(a|a)*b!", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"):
        answer = search(store, session, pattern, mode="regex")
        assert answer.tokens <= 1_050


@pytest.mark.parametrize(
    "pattern", ["(", "[a-", "*a", "a{5,2}", "\\p{Nope}", "(?<=a)b", "(?P<x>a)(?P<x>b)", "a{1000}{1000}{1000}"]
)
def test_an_invalid_pattern_says_why(day: tuple[Store, SessionRow], pattern: str):
    """QueryError with the pattern in it."""
    store, session = day
    with pytest.raises(QueryError) as raised:
        search(store, session, pattern, mode="regex")
    assert repr(pattern) in str(raised.value)


@pytest.mark.parametrize(
    "query",
    [
        "a\x00b",
        "\ud800",
        "-e",
        "--files",
        "-",
        "a\nb",
        "'; DROP TABLE event; --",
        '"',
        '""',
        "*",
        "NEAR(",
        "AND OR NOT",
        "col:umn",
        "^",
        "/",
        "//",
        "///",
        "\u202e",
        "e12",
        "_",
        "____ ___",
        "'",
        "\\",
    ],
)
@pytest.mark.parametrize("mode", ["auto", "words", "phrase", "regex"])
def test_no_query_breaks_the_search(day: tuple[Store, SessionRow], query: str, mode: str):
    """An answer, or a QueryError."""
    store, session = day
    try:
        answer = search(store, session, query, mode=mode)
    except QueryError as error:
        assert str(error)  # noqa: PT017  # either is right
    else:
        assert answer.tokens <= 1_050
        for ref in refs_of(answer):
            read(store, session, ref)


def test_a_pattern_over_lines_gives_refs_that_resolve(day: tuple[Store, SessionRow]):
    """With a line end in it: the place lies in its Event."""
    store, session = day
    answer = search(store, session, "1 failed.*\\n?", mode="regex", max_tokens=3_000)
    answer_over = search(store, session, "loader\\.py\\n[^@]*", mode="regex", max_tokens=3_000)
    for ref in refs_of(answer) + refs_of(answer_over):
        read(store, session, ref)
    assert answer.total == 4


def test_headers_of_the_log_are_not_found(day: tuple[Store, SessionRow]):
    """What we wrote between the Events is none of them."""
    store, session = day
    assert search(store, session, "@e1 t1 prompt", mode="phrase").total == 0
    assert search(store, session, "^@e\\d+ t\\d+", mode="regex").total == 0


def test_a_phrase_is_found_as_it_stands(day: tuple[Store, SessionRow]):
    """Points and brackets are no pattern; smart case."""
    store, session = day
    assert search(store, session, '"sum(rows)"').total > 0
    assert search(store, session, '"totals come out wrong."').total == 4
    assert search(store, session, '"TOTALS come out wrong."').total == 0
    assert search(store, session, "totals come out", mode="phrase").total == 4


# Errors and edges


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kind": "nonsense"}, "nonsense"), ({"turns": "abc"}, "abc"), ({"turns": "9-"}, "9-"),
        ({"scope": "world"}, "world"),
        ({"mode": "fuzzy"}, "fuzzy"), ({"offset": -1}, "-1"),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_names_itself_and_the_choices(
    day: tuple[Store, SessionRow], more: dict[str, object], said: str
):
    """QueryError."""
    store, session = day
    with pytest.raises(QueryError, match=said):
        search(store, session, "loader", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("scope", ["session", "docs"])
@pytest.mark.parametrize(
    ("query", "modes", "said"),
    [
        ("ab " * 3_334, ("auto", "words", "phrase", "regex"), r"10,002 characters .* 10,000"),
        (" ".join(f"w{number}" for number in range(201)), ("auto", "words"), r"201 different words .* 200"),
    ],
)
def test_a_query_that_is_too_long_names_its_length_and_the_cure(
    day: tuple[Store, SessionRow], scope: str, query: str, modes: tuple[str, ...], said: str
):
    """QueryError, before anything is searched; a little shorter, or as a phrase, it is answered."""
    store, session = day
    for mode in modes:
        with pytest.raises(QueryError, match=said) as raised:
            search(store, session, query, scope=scope, mode=mode)
        assert "give" in str(raised.value)
        assert search(store, session, query[:-3].rsplit(" ", 1)[0], scope=scope, mode=mode).text
    assert search(store, session, query[:9_000], scope=scope, mode="phrase").total == 0


def test_turns_are_numbers_as_refs_have_them(day: tuple[Store, SessionRow]):
    """No digits of other scripts."""
    store, session = day
    with pytest.raises(QueryError, match="not a range"):
        search(store, session, "loader", turns="\u0663-\u0664")


@pytest.mark.parametrize("query", ["", "   ", "\n"])
def test_an_empty_query_says_what_a_query_may_be(day: tuple[Store, SessionRow], query: str):
    """In every mode."""
    store, session = day
    for mode in ("auto", "words", "phrase", "regex"):
        with pytest.raises(QueryError, match="empty"):
            search(store, session, query, mode=mode)


@pytest.mark.parametrize("query", ["files edited", "loader", "/loader/", "which commands failed"])
def test_an_offset_behind_the_end_gives_nothing_but_the_total(day: tuple[Store, SessionRow], query: str):
    """No error and no first page again."""
    store, session = day
    total = search(store, session, query).total
    answer = search(store, session, query, offset=100_000)
    assert answer.hits == ()
    assert not answer.is_cut
    assert answer.total in {0, total}


def test_nothing_found_says_so(day: tuple[Store, SessionRow]):
    """Total 0, no hits, a text that says it."""
    store, session = day
    for query in ("xyzzyplugh", "/xyzzy+/", '"xyzzy plugh"', "pull requests", "sub-agents"):
        answer = search(store, session, query)
        assert (answer.total, answer.hits, answer.is_cut) == (0, (), False)
        assert answer.text


def test_a_session_without_events_can_be_searched(store: Store, tmp_path: Path):
    """Just begun."""
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"type": "summary", "summary": "x", "leafUuid": "y"}) + "\n" + a_day().lines[0].decode())
    session = locate(store, transcript=path)
    assert search(store, session, "which commands failed").total == 0


def test_a_huge_event_is_found_by_pattern_behind_the_indexed_part(store: Store, tmp_path: Path):
    """The word index holds the first 200,000 characters; phrases and patterns reach the rest."""
    made = Transcript()
    made.user("big one")
    made.bash("cat", "filler words here\n" * 30_000 + "needle-in-haystack 42")
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    (hit,) = search(store, session, '"needle-in-haystack 42"').hits
    assert read(store, session, hit.ref).text == "needle-in-haystack 42"


def test_the_same_search_gives_the_same_answer(recorded: tuple[Store, SessionRow]):
    """Nothing depends on order of dictionaries, time or chance."""
    store, session = recorded
    for query in QUERIES:
        assert search(store, session, query) == search(store, session, query)


# Scopes


def _chain(store: Store, folder: Path, link: LinkKind) -> tuple[SessionRow, SessionRow]:
    """A parent, and a Session that came out of it."""
    parent = locate(store, transcript=a_day("11111111-0000-4000-8000-000000000000", turns=2).save(folder / "1.jsonl"))
    child_id = "22222222-0000-4000-8000-000000000000"
    made = Transcript(child_id, seed=5)
    made.clock = made.clock.replace(hour=12)
    made.user("Go on with the exporter in src/export.py")
    made.bash("make export", "exported 12 rows")
    ingest(store, made.save(folder / "2.jsonl"))
    lineage.hint(store.paths, child_id, parent.client_session, link)
    child = sessions.by_client_id(store, child_id)
    assert child is not None
    return parent, lineage.settle(store, child)


@pytest.mark.parametrize("link", [LinkKind.RESUME, LinkKind.FORK, LinkKind.CLEAR, LinkKind.COMPACT])
def test_the_lineage_is_searched_and_its_refs_carry_the_key(store: Store, tmp_path: Path, link: LinkKind):
    """A resume, a fork, a compaction and a /clear alike: what came before is one search away."""
    parent, child = _chain(store, tmp_path, link)
    for query in ("ACME-200 loader", '"ACME-200"', "which commands failed"):
        answer = search(store, child, query, scope="lineage", max_tokens=3_000)
        assert answer.total > 0
        keyed = [hit.ref for hit in answer.hits if hit.ref.startswith(f"{parent.key}.")]
        assert keyed
        for ref in refs_of(answer):
            read(store, child, ref)
        assert all(not hit.ref.startswith(f"{parent.key}.") for hit in search(store, parent, query).hits)
    assert search(store, parent, '"make export"').total == 0
    assert search(store, child, '"make export"').total == 1


def test_what_a_session_continues_is_searched_unasked(store: Store, tmp_path: Path):
    """A fork reaches its parent by default."""
    _parent, child = _chain(store, tmp_path, LinkKind.FORK)
    assert search(store, child, '"ACME-200"').total > 0


def test_a_clear_begins_anew_and_says_what_was_before(store: Store, tmp_path: Path):
    """A cleared conversation is not mixed into the new one; that it is there is said."""
    _parent, child = _chain(store, tmp_path, LinkKind.CLEAR)
    answer = search(store, child, '"ACME-200"')
    assert answer.total == 0
    assert "scope=lineage" in answer.text
    assert search(store, child, "which commands failed").total == 0


def test_a_forks_parent_ends_where_the_fork_began(store: Store, tmp_path: Path):
    """What the parent did afterwards is not the fork's past."""
    parent, child = _chain(store, tmp_path, LinkKind.FORK)
    with store.writing() as connection:
        connection.execute("UPDATE session SET parent_events = 15 WHERE id = ?", (child.id,))
    child = sessions.by_id(store, child.id) or child
    assert search(store, child, '"ACME-100"').total > 0
    assert search(store, child, '"ACME-200"').total == 0
    found = search(store, child, "ACME-200", max_tokens=3_000)
    assert all(int(hit.ref.rpartition(".e")[2]) <= 15 for hit in found.hits if hit.ref.startswith(parent.key))
    assert "area2" not in search(store, child, "files edited", max_tokens=3_000).text


def test_project_and_all_reach_other_sessions(store: Store, tmp_path: Path):
    """``project``: those of the same folder; ``all``: every one."""
    here = locate(store, transcript=a_day("11111111-0000-4000-8000-000000000000", turns=1).save(tmp_path / "1.jsonl"))
    locate(store, transcript=a_day("22222222-0000-4000-8000-000000000000", turns=2).save(tmp_path / "2.jsonl"))
    elsewhere = a_day("33333333-0000-4000-8000-000000000000", turns=3, cwd="/home/dev/other")
    locate(store, transcript=elsewhere.save(tmp_path / "3.jsonl"))
    totals = {
        scope: search(store, here, '"ACME-200"', scope=scope).total
        for scope in ("session", "lineage", "project", "all")
    }
    assert totals["session"] == totals["lineage"] == 0
    assert 0 < totals["project"] < totals["all"]
    answer = search(store, here, '"ACME-300"', scope="all")
    for ref in refs_of(answer):
        assert "ACME-300" in read(store, here, ref).text


def test_a_sessions_own_turn_number_does_not_take_its_parents(store: Store, tmp_path: Path):
    """A typed question with the words of a Turn's prompt stays in that Session's Turn."""
    parent, child = _chain(store, tmp_path, LinkKind.CLEAR)
    answer = search(store, child, "which commands ran for the exporter?", max_tokens=3_000)
    assert "make export" in answer.text
    assert not [hit for hit in answer.hits if hit.kind == "command" and hit.ref.startswith(parent.key)]


def test_totals_and_pages_are_true_where_a_filter_meets_many_hits(store: Store, tmp_path: Path):
    """More Events hold the word than the index looks at for one page; the filtered kind is rare among them."""
    made = Transcript()
    for number in range(260):
        made.reply(f"gadget gadget gadget {number}")
        if number % 20 == 0:
            made.user(
                f"Why is the gadget of row {number} so heavy? It stands in a long sentence with many other words."
            )
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    found = pages(store, session, "gadget", kind="prompt", max_tokens=400)
    assert {answer.total for answer in found} == {13}
    assert len({hit.ref for answer in found for hit in answer.hits}) == 13
    found = pages(store, session, "gadget", turns="3-4", max_tokens=400)
    assert {answer.total for answer in found} == {42}
    assert len({hit.ref for answer in found for hit in answer.hits if hit.kind != "turn"}) == 42
