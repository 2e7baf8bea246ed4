"""A whole day through the verbs: work, five compactions, a fork, a deleted transcript; nothing is ever out of reach."""

from pathlib import Path

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store import folds
from rlm_mcp.store.database import open_store
from rlm_mcp.text import estimate_tokens
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.export import export_raw
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from rlm_mcp.verbs.status import status
from tests.build import a_day
from tests.looks import assert_whole


def test_a_day_of_work_over_five_compactions(tmp_path: Path) -> None:
    """Each Brief carries the ask and the state of then; all that left the Window comes back by one search or read."""
    paths, path = Paths(home=tmp_path / "store"), tmp_path / "day.jsonl"
    whole = a_day(turns=25)
    per_turn = len(whole.lines) // 25
    for swap in range(1, 6):
        path.write_bytes(b"".join(whole.lines[: swap * 5 * per_turn]))
        with open_store(paths, Settings()) as store:  # every swap in a process of its own
            session = locate(store, transcript=path)
            made = compact(store, session, trigger="auto")
            now = swap * 5
            assert estimate_tokens(made.brief.text) <= 4_200
            assert f"Please fix ticket ACME-{now}00" in made.brief.text
            assert "Never touch the public API of parser.py" in made.brief.text
            assert f"drop the offset in area{now}" in made.brief.text
            assert "failed(1)" not in made.brief.text.partition("## Commands")[2].partition("## ")[0]
            for turn in {1, now // 2, now}:
                found = search(store, session, f"Please fix ticket ACME-{turn}00: totals come out wrong")
                assert found.tokens <= 1_050
                for wanted in (
                    f"src/area{turn}/loader.py",
                    f"pytest tests/area{turn}",
                    f"check_{turn}",
                    f"test_total_{turn}",
                ):
                    assert wanted in found.text
                (failing,) = [
                    hit for hit in search(store, session, f'"FAILED tests/area{turn}/"').hits if hit.turn == turn
                ]
                event = failing.ref.partition(":")[0]
                text = read(store, session, event).text
                assert text.endswith(f"1 failed, {turn + 2} passed in 0.1{turn}s")
                assert text.encode() in path.read_bytes().replace(b"\\n", b"\n")

    path.unlink()
    with open_store(paths, Settings()) as store:
        session = locate(store, session=whole.session)
        assert folds.count(store, session.client_session) == 5
        assert b"".join(export_raw(store, session=session)) == whole.content
        assert "25" in search(store, session, "files edited").text.partition(":")[0]
        found = status(store, session)
        assert (found.damage, found.skips, len(found.folds)) == ("", (), 5)
        assert_whole(store)


def test_two_days_of_one_project_reach_each_other(tmp_path: Path) -> None:
    """What was decided yesterday is found from today's session of the same folder."""
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        ingest(store, a_day("11111111-0000-4000-8000-000000000000", turns=9).save(tmp_path / "yesterday.jsonl"))
        today = a_day("22222222-0000-4000-8000-000000000000", turns=2)
        session = locate(store, transcript=today.save(tmp_path / "today.jsonl"))
        assert search(store, session, '"drop the offset in area9"').total == 0
        (hit,) = search(store, session, '"drop the offset in area9"', scope="project").hits
        assert "drop the offset in area9" in read(store, session, hit.ref.partition(":")[0]).text
