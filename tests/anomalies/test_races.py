"""Two servers and a hook at once on one growing file: Events neither lost nor doubled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.export import export_raw
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from tests.anomalies import racer
from tests.build import a_day
from tests.looks import assert_whole, everything, raw

_ROOT = Path(__file__).parent.parent.parent


def test_three_processes_on_a_growing_file_lose_and_double_nothing(tmp_path: Path):
    """They all ingest while the client writes, in pieces that end in the middle of a record as often as not."""
    whole = a_day(turns=6).content
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"")
    command = [sys.executable, str(Path(racer.__file__)), str(tmp_path / "store"), str(path), str(len(whole))]
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    racing = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        for _ in range(3)
    ]
    with path.open("ab", buffering=0) as file, open_store(Paths(home=tmp_path / "store"), Settings()) as hook:
        for start in range(0, len(whole), 1_700):
            file.write(whole[start : start + 1_700])
            if start:
                ingest(hook, path)
    for child in racing:
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
        assert int(out) > 0
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        assert_whole(store)
        found = everything(store)
        assert raw(store, path) == whole
    with open_store(Paths(home=tmp_path / "alone"), Settings()) as alone:
        ingest(alone, path)
        assert found == everything(alone)


@pytest.mark.parametrize("opening", range(1, 6))
def test_a_file_replaced_while_it_is_read_is_not_mixed_with_the_old_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: int
):
    """Rewritten in place just before the n-th opening of an ingest: the old Session stays, the new one is whole."""
    path = a_day(turns=2).save(tmp_path / "s.jsonl")
    (old,) = ingest(store, path)
    before = path.read_bytes()
    path.write_bytes(before + a_day(turns=3).lines[-1])
    new = a_day(turns=6, cwd="/home/dev/other").content
    count = 0
    whole = os.open

    def replace_then_open(name: object, *more: int, **named: object) -> int:
        nonlocal count
        count += str(name) == str(path)
        if count == opening and str(name) == str(path):
            path.write_bytes(new)
        return whole(name, *more, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", replace_then_open)
        ingest(store, path)
    (row,) = ingest(store, path)
    assert row.bytes == path.stat().st_size
    assert raw(store, path) == path.read_bytes()
    if path.read_bytes() == new:
        assert row.session != old.session
        assert row.events == 90
        kept = b"".join(export_raw(store, session=locate(store, session=old.session)))
        assert kept.startswith(before)
    assert_whole(store)


def test_a_batch_read_before_another_process_wrote_it_is_not_written_again(store: Store, tmp_path: Path):
    """Parsed outside the lock, checked inside it: here the other one wins between the two."""
    path = a_day(turns=2).save(tmp_path / "s.jsonl")
    with open_store(store.paths, Settings()) as other:
        won: list[int] = []

        def win_once(statement: str) -> None:
            if statement.startswith("BEGIN") and len(won) == 1:
                won.append(2)
                store.connection.set_trace_callback(None)
                ingest(other, path)
            elif statement.startswith("BEGIN"):
                won.append(1)

        # The first BEGIN adds the source, the second would write the Batch: just before it the other one ingests.
        store.connection.set_trace_callback(win_once)
        try:
            (row,) = ingest(store, path)
        finally:
            store.connection.set_trace_callback(None)
        assert won == [1, 2]
    assert row.events == 30
    assert_whole(store)
    assert raw(store, path) == path.read_bytes()
