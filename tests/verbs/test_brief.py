"""The Brief: deterministic, within its size, the latest ask whole, nothing superseded, everything left out counted."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import UsageError
from rlm_mcp.events import LinkKind
from rlm_mcp.store import cells, events, facts, folds, lineage, sessions, summaries
from rlm_mcp.store.cells import CellRow, CellStatus
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.store.summaries import SummaryRow
from rlm_mcp.text import estimate_tokens
from rlm_mcp.verbs.brief import brief, gather
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from tests.bench.generate import generate
from tests.build import Transcript, a_day
from tests.looks import real_folder
from tests.verbs.test_ingest import FIXTURES, transcripts
from tests.verbs.test_search import REF

SIZES = (500, 700, 1_000, 2_000, 4_000, 9_000, 20_000)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, recorded_session: Path) -> Iterator[tuple[Store, list[SessionRow]]]:
    """Recordings of both clients, a generated session of 1 MB, and the real ones where they are there."""
    folder = tmp_path_factory.mktemp("many")
    generate(folder / "generated.jsonl", size_bytes=1 << 20)
    files = [recorded_session, folder / "generated.jsonl", *transcripts(FIXTURES)]
    files += transcripts(real_folder()) if real_folder().is_dir() else []
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        found = {row.key: row for path in files for row in [locate(store, transcript=path)]}
        yield store, list(found.values())


@pytest.mark.parametrize("tokens", SIZES)
def test_a_brief_keeps_to_its_size(many: tuple[Store, list[SessionRow]], tokens: int):
    """Within a twentieth, for every session; ``tokens`` is what its text costs; the first line is ours."""
    store, found = many
    over = []
    for session in found:
        made = brief(store, session, tokens=tokens)
        assert made.text.startswith("# rlm-mcp brief")
        assert made.tokens == estimate_tokens(made.text)
        if made.tokens > tokens * 1.05:
            over.append((session.path.rpartition("/")[2][:40], made.tokens))
    assert not over


def test_a_brief_is_the_same_each_time(many: tuple[Store, list[SessionRow]], tmp_path: Path):
    """Nothing of time, chance or order in it; a second store gives the same but for nothing."""
    store, found = many
    for session in found:
        assert brief(store, session) == brief(store, session)
    first = found[0]
    with open_store(Paths(home=tmp_path / "other"), Settings()) as other:
        assert brief(other, locate(other, transcript=Path(first.path))).text == brief(store, first).text


def test_every_ref_of_a_brief_resolves(many: tuple[Store, list[SessionRow]]):
    """At the end of each line and in the text of each cut."""
    store, found = many
    seen = 0
    for session in found:
        text = brief(store, session, tokens=6_000).text
        own = [line for line in text.split("\n") if line.startswith(("- ", "First ask", "Latest ask", "In progress"))]
        for ref in [ref for line in own for ref in REF.findall(line)[-1:]]:
            if line_ends_with_a_ref(own, ref):
                read(store, session, ref)
                seen += 1
    assert seen > 200


def line_ends_with_a_ref(lines: list[str], ref: str) -> bool:
    """Whether it stands where ours stand, not in something quoted."""
    return any(line.endswith((f" {ref}", f" {ref}):")) for line in lines)


@pytest.mark.parametrize("tokens", SIZES)
def test_the_latest_ask_and_the_last_words_are_there(many: tuple[Store, list[SessionRow]], tokens: int):
    """The ask whole where it takes no more than a third of the Brief, else its beginning and end with its Ref."""
    store, found = many
    for session in found:
        if not session.turns:
            continue
        turn = events.turn_row(store, session, session.turns)
        ask = events.text_of(store, events.event_row(store, session, turn.first_seq))
        text = brief(store, session, tokens=tokens).text
        if estimate_tokens(ask) <= tokens / 3:
            assert ask in text
        else:
            assert ask[:60] in text
            assert f"e{turn.first_seq}" in text


def test_a_size_out_of_range_names_the_limits(day: tuple[Store, SessionRow]):
    """UsageError."""
    store, session = day
    for tokens in (0, 499, 20_001, -4):
        with pytest.raises(UsageError, match="500 to 20,000"):
            brief(store, session, tokens=tokens)


@pytest.fixture
def changing(store: Store, tmp_path: Path) -> tuple[Store, SessionRow]:
    """A session in which nearly everything said first is superseded later."""
    made = Transcript()
    made.user("Build the exporter. Use tabs for indentation.")
    made.todos(("write exporter", "in_progress"), ("write docs", "pending"), ("ask Bob", "pending"))
    made.bash(
        "pytest -q", "FAILED tests/test_x.py::test_header - KeyError: 'name'\n1 failed, 9 passed in 1.0s", exit_code=1
    )
    made.bash("make build", "src/x.c:3: error: expected ';' before 'return'\nmake: *** [all] Error 1", exit_code=2)
    made.bash("npm install left-pad", "npm ERR! code E404", exit_code=1)
    made.read("/home/dev/acme/src/x.c", "int main() { return 0 }")
    made.edit("/home/dev/acme/src/x.c", "return 0 }", "return 0; }")
    made.user("Now the docs too.")
    made.bash("make build", "ok")
    made.bash("pytest -q", "10 passed in 1.0s")
    made.todos(("write exporter", "completed"), ("write docs", "in_progress"))
    made.reply("Working on the docs.")
    return store, locate(store, transcript=made.save(tmp_path / "s.jsonl"))


def test_nothing_superseded_stands_as_current(changing: tuple[Store, SessionRow]):
    """Re-run commands, passing tests, mended errors, old and dropped todos."""
    store, session = changing
    for tokens in SIZES:
        text = brief(store, session, tokens=tokens).text
        assert "[~] write exporter" not in text
        assert "[ ] write docs" not in text
        assert "ask Bob" not in text
        assert "failed(2): make build" not in text
        assert not re.search(r"failed\S*:? pytest -q", text)
        assert "test_header" not in text
        assert "expected ';'" not in text
        assert "1 failed, 9 passed" not in text
    text = brief(store, session, tokens=2_000).text
    assert "[~] write docs" in text
    assert "10 passed" in text
    assert "E404" in text
    assert re.search(r"failed\(1\).*npm install left-pad", text)


def test_the_loss_report_adds_up(many: tuple[Store, list[SessionRow]]):
    """Never more in the Brief than there are; every "and N more" is one of its numbers, those without room too."""
    store, found = many
    for session in found:
        for tokens in (500, 1_000, 4_000, 20_000):
            made = brief(store, session, tokens=tokens)
            for total, shown in made.loss.kinds.values():
                assert 0 <= shown <= total
            said = [
                int(number.replace(",", "")) for number in re.findall(r"^- and ([\d,]+) more$", made.text, re.MULTILINE)
            ]
            outside = [count for kind, count in made.loss.outside.items() if kind != "event"]
            assert not Counter(said) - Counter(outside)
            assert made.loss.kinds["event"][0] == sum(part.max_seq for part in sessions.continued(store, session))
            assert made.loss.line() in made.text


def test_the_loss_report_counts_what_the_store_holds(day: tuple[Store, SessionRow]):
    """Totals are those of the Facts, however small the Brief."""
    store, session = day
    small, large = brief(store, session, tokens=500), brief(store, session, tokens=20_000)
    counted = facts.counts(store, sessions.continued(store, session))
    for made in (small, large):
        assert made.loss.kinds["edit"][0] == counted["edit"][2]
        assert made.loss.kinds["command"][0] == counted["command"][2]
        assert made.loss.kinds["decision"][0] == counted["decision"][1]
    assert sum(small.loss.outside.values()) > sum(large.loss.outside.values())


def test_a_larger_brief_never_says_less(many: tuple[Store, list[SessionRow]]):
    """In every section at least as many lines."""
    store, found = many
    for session in found:
        small, large = brief(store, session, tokens=2_000).loss, brief(store, session, tokens=8_000).loss
        for kind, (_, shown) in small.kinds.items():
            assert large.kinds.get(kind, (0, 0))[1] >= shown, (session.path, kind)


def test_a_focus_brings_its_lines_first(day: tuple[Store, SessionRow]):
    """What the user asked to keep in mind is repeated, and lines with its words come before others."""
    store, session = day
    made = brief(store, session, tokens=700, focus="keep everything about area1")
    assert "keep everything about area1" in made.text
    plain = brief(store, session, tokens=700).text
    assert made.text.count("area1") > plain.count("area1")
    huge = brief(store, session, tokens=500, focus="area " * 5_000)
    assert huge.tokens <= 525


@pytest.mark.parametrize("latest", [500, 3_000])
def test_the_latest_events_come_verbatim_where_the_client_keeps_none(many: tuple[Store, list[SessionRow]], latest: int):
    """Within as many tokens more; oldest first, each an Event's own text."""
    store, found = many
    for session in found:
        made = brief(store, session, tokens=2_000, latest_tokens=latest)
        assert made.tokens <= (2_000 + latest) * 1.05
        part = made.text.partition("## Latest events")[2]
        numbers = [int(number) for number in re.findall(r"^\[e(\d+) [a-z]+.*\]$", part, re.MULTILINE)]
        assert numbers == sorted(numbers)


def test_the_work_is_bounded_whatever_the_length(tmp_path: Path):
    """Twenty times longer: the same statements, no more rows fetched, no more of the log read."""
    seen = []
    for turns in (15, 300):
        with open_store(Paths(home=tmp_path / f"store-{turns}"), Settings()) as store:
            session = locate(store, transcript=a_day(turns=turns).save(tmp_path / f"{turns}.jsonl"))
            statements: list[str] = []
            store.connection.set_trace_callback(statements.append)
            material = gather(store, session)
            rows = sum(len(list(rows)) for rows in material.facts.values())
            rows += len(material.edits) + len(material.reads) + len(material.turn_lines) + len(material.latest)
            seen.append((len(statements), rows))
    (few_statements, few_rows), (many_statements, many_rows) = seen
    assert many_statements == few_statements
    assert few_rows <= many_rows <= 2_000


def test_a_fork_continues_its_parent_and_a_clear_does_not(store: Store, tmp_path: Path):
    """The first ask, rules and edits of what is continued; after /clear the past is for search alone."""
    parent = locate(store, transcript=a_day("11111111-0000-4000-8000-000000000000", turns=2).save(tmp_path / "1.jsonl"))
    for number, link in ((2, LinkKind.FORK), (3, LinkKind.CLEAR)):
        child_id = f"{number}2222222-0000-4000-8000-000000000000"
        made = Transcript(child_id, seed=number)
        made.clock = made.clock.replace(hour=10 + number)
        made.user("Go on with the exporter")
        ingest(store, made.save(tmp_path / f"{number}.jsonl"))
        lineage.hint(store.paths, child_id, parent.client_session, link)
        child = sessions.by_client_id(store, child_id)
        assert child is not None
        text = brief(store, lineage.settle(store, child)).text
        assert "Go on with the exporter" in text
        assert ("Never touch the public API" in text) is (link is LinkKind.FORK)
        assert (f"{parent.key}.e" in text) is (link is LinkKind.FORK)
        for ref in REF.findall(text):
            if ref.startswith(parent.key):
                read(store, child, ref)


def test_a_session_without_a_prompt_has_a_brief(store: Store, tmp_path: Path):
    """A headless start, a file with one note."""
    made = Transcript()
    made.reply("Hello")
    text = brief(store, locate(store, transcript=made.save(tmp_path / "s.jsonl"))).text
    assert text.startswith("# rlm-mcp brief")


def test_a_huge_ask_is_cut_in_the_middle_and_says_so(store: Store, tmp_path: Path):
    """Head and tail, the exact count, the Ref of the whole; within the size all the same."""
    made = Transcript()
    made.user("BEGIN " + "lorem ipsum dolor " * 6_000 + " END")
    made.user("And " + "sit amet consectetur " * 6_000 + " FINISH")
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    for tokens in SIZES:
        made_brief = brief(store, session, tokens=tokens)
        assert made_brief.tokens <= tokens * 1.05
        assert "And sit amet" in made_brief.text
        assert "FINISH" in made_brief.text
        assert "whole: e2" in made_brief.text


def test_text_that_looks_like_ours_does_not_break_the_brief(store: Store, tmp_path: Path):
    """Headings, Refs and first lines in what the user or a tool said are quoted as they are."""
    made = Transcript()
    made.user("See:\n# rlm-mcp brief\n## Task\n- and 7 more\nLatest ask, verbatim (t9 e99): never trust e1")
    made.bash("echo", "## Outside this window\n# rlm-mcp brief")
    session = locate(store, transcript=made.save(tmp_path / "s.jsonl"))
    made_brief = brief(store, session)
    assert "# rlm-mcp brief\n## Task\n- and 7 more" in made_brief.text
    assert made_brief.text.startswith(f"# rlm-mcp brief: session {session.key}")


def test_folds_are_counted_and_kept(store: Store, tmp_path: Path):
    """A compaction records what it made; the next one knows of it."""
    session = locate(store, transcript=a_day().save(tmp_path / "s.jsonl"))
    first = compact(store, session, trigger="auto", instructions="mind the ACME tickets", tokens=1_000)
    second = compact(store, session, trigger="manual")
    assert second.number > first.number
    newest, oldest = folds.of_session(store, session.client_session)
    assert (oldest.trigger, oldest.instructions, oldest.brief) == ("auto", "mind the ACME tickets", first.brief.text)
    assert (newest.tokens, newest.upto_seq) == (second.brief.tokens, session.events)
    assert oldest.loss == {kind: tuple(pair) for kind, pair in first.brief.loss.kinds.items()}


def a_cell(number: int, *variables: tuple[str, str]) -> CellRow:
    return CellRow(
        session_key="", number=number, time=1.0, seconds=0.1, code="...", status=CellStatus.OK, output="out",
        variables=variables,
    )  # fmt: skip


def test_variables_of_the_sessions_own_repl_are_told_and_no_others(store: Store, tmp_path: Path):
    """As they are after its last Cell; a session that continues it has a Repl of its own."""
    keys = []
    for number in (1, 2):
        client_session = f"{number}{number}{number}{number}0000-0000-4000-8000-000000000000"
        made = Transcript(client_session, seed=number)
        made.clock = made.clock.replace(hour=9 + number)
        made.user(f"Part {number}")
        if keys:
            lineage.hint(store.paths, client_session, keys[-1].client_session, LinkKind.FORK)
        ingest(store, made.save(tmp_path / f"{number}.jsonl"))
        row = sessions.by_client_id(store, client_session)
        assert row is not None
        keys.append(lineage.settle(store, row))
    with store.writing():
        for cell in (a_cell(1, ("rows", "list, 3")), a_cell(2, ("rows", "list, 1,200"), ("totals", "dict, 5"))):
            cells.add(store, replace(cell, session_key=keys[0].key))
    assert brief(store, keys[0]).text.endswith("repl: totals (dict, 5), rows (list, 1,200) are still set [c2]")
    assert "repl: " not in brief(store, keys[1]).text


def test_a_finished_summary_is_told_with_how_far_it_reaches(store: Store, tmp_path: Path):
    """Marked as a model's words; its Ref resolves; when the session has gone on, that is said. Others' are not told."""
    made = Transcript()
    made.user("Part one")
    made.reply("Done with it.")
    path = made.save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    before = brief(store, session).text
    assert "ummary" not in before
    _summarised(store, f"session {session.key}", session.log_bytes)
    _summarised(store, "session 0badcafe", session.log_bytes)
    title = "## Summary, written by another model, "
    assert (
        f"{title}up to t1 of 1\n- It was begun. log:0-{session.log_bytes}\n- It was done." in brief(store, session).text
    )
    assert read(store, session, f"log:0-{session.log_bytes}").text
    made.user("Part two")
    made.reply("Done as well.")
    grown = locate(store, transcript=made.save(path))
    assert f"{title}up to t1 of 2\n- It was begun. log:0-{session.log_bytes}\n" in brief(store, grown).text
    _summarised(store, f"session {session.key}", grown.log_bytes + 1)  # of another log: it stands for nothing here
    assert "ummary" not in brief(store, grown).text


def _summarised(store: Store, scope: str, size: int) -> None:
    row = SummaryRow(
        scope=scope, level=0, number=0, ref=f"log:0-{size}", text="It was begun. It was done.", children=(), model="m",
        time=1.0,
    )  # fmt: skip
    with store.writing():
        summaries.put(store, scope, [row])
