"""compact: the Brief of now, recorded as a Fold with its loss report."""

from pathlib import Path

import pytest

from rlm_mcp.config import Settings
from rlm_mcp.errors import StoreBusy, UsageError
from rlm_mcp.store import folds
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from tests.build import a_day


def test_each_compaction_is_a_fold_of_its_own(store: Store, tmp_path: Path):
    """Five in a row: each knows the Events of its time."""
    path = tmp_path / "s.jsonl"
    for turns in range(1, 6):
        session = locate(store, transcript=a_day(turns=turns).save(path))
        made = compact(store, session, trigger="auto")
        assert f"ACME-{turns}00" in made.brief.text
        assert made.seconds >= 0
    kept = folds.of_session(store, session.client_session)
    assert len(kept) == folds.count(store, session.client_session) == 5
    assert [fold.upto_seq for fold in kept] == [75, 60, 45, 30, 15]


def test_the_users_instructions_steer_the_focus(store: Store, tmp_path: Path):
    """What stands behind /compact."""
    session = locate(store, transcript=a_day().save(tmp_path / "s.jsonl"))
    made = compact(store, session, trigger="manual", instructions="keep area1 in mind", tokens=700)
    assert made.brief.text == brief(store, session, focus="keep area1 in mind", tokens=700).text
    assert folds.of_session(store, session.client_session)[0].instructions == "keep area1 in mind"


def test_folds_survive_a_rebuild(store: Store, tmp_path: Path):
    """What exists only with us is never dropped."""
    path = a_day().save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    compact(store, session, trigger="auto")
    ingest(store, path, rebuild=True)
    assert folds.count(store, session.client_session) == 1


def test_a_size_out_of_range_records_nothing(store: Store, tmp_path: Path):
    """UsageError first."""
    session = locate(store, transcript=a_day().save(tmp_path / "s.jsonl"))
    with pytest.raises(UsageError):
        compact(store, session, trigger="auto", tokens=3)
    assert folds.count(store, session.client_session) == 0


def test_a_store_that_is_locked_is_a_typed_error(store: Store, tmp_path: Path):
    """The caller decides whether to answer without a record."""
    session = locate(store, transcript=a_day().save(tmp_path / "s.jsonl"))
    with (
        open_store(store.paths, Settings(), busy_seconds=0.05) as other,
        store.writing(),
        pytest.raises(StoreBusy),
    ):
        compact(other, session, trigger="auto")
