"""rlm_mcp.store.belongings: a fork begins with a copy of its parent's variables; a rebuilt Session keeps its own."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rlm_mcp.errors import RefError, StoreBusy
from rlm_mcp.events import LinkKind
from rlm_mcp.locks import locked
from rlm_mcp.store import belongings, cells, documents, ledger, lineage, runs, sessions, summaries
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.database import Store
from rlm_mcp.store.runs import RunRow
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.store.summaries import SummaryRow
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from tests.build import Transcript, a_day

FORK = "5f1c9d1e-0000-4000-8000-00000000f0f0"


def _ran(store: Store, key: str, number: int, time: float, **more: object) -> CellRow:
    """A Cell in the journal."""
    row = CellRow(
        session_key=key,
        number=number,
        time=time,
        seconds=0.25,
        code=f"x = {number}",
        status=CellStatus.OK,
        output=f"output {number}",
        variables=(("x", f"int, {number}"),),
    )
    row = replace(row, **more)  # type: ignore[arg-type]
    with store.writing():
        cells.add(store, row)
    return row


def _saved(store: Store, key: str, cell: int, text: bytes = b"pickles") -> Checkpoint:
    """Variables saved as of a Cell, in place of those before."""
    row = Checkpoint(
        session_key=key,
        cell=cell,
        file=f"{key}-{cell}.vars",
        variables=(("x", 0, 7),),
        unsaved=(("g", "no"),),
        time=1.0,
    )
    (store.paths.repl / row.file).write_bytes(text)
    with store.writing():
        cells.set_checkpoint(store, row)
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A Session, in the store, and what its fork's transcript begins with, not there yet."""

    store: Store
    folder: Path
    parent: SessionRow
    made: Transcript
    fork: Transcript

    @property
    def began(self) -> float:
        """The time of the last Event that both have."""
        return self.made.clock.timestamp()

    def found(self) -> SessionRow:
        """The fork in the store, a prompt of its own behind the copies."""
        self.fork.user("Try it the other way.")
        return locate(self.store, transcript=self.fork.save(self.folder / "fork.jsonl"))

    def copied(self) -> list[CellRow]:
        """What of the parent's Cells the fork has."""
        return cells.after(self.store, self.found().key, 0)


@pytest.fixture
def family(store: Store, tmp_path: Path) -> Family:
    """A Session of two Turns that is forked now."""
    made = a_day(turns=2)
    parent = locate(store, transcript=made.save(tmp_path / "parent.jsonl"))
    return Family(store=store, folder=tmp_path, parent=parent, made=made, fork=made.forked(FORK))


# forks


def test_a_fork_begins_with_the_parents_journal_and_saved_variables(family: Family) -> None:
    """Cells with numbers, outputs and all; the saved file under a name of its own."""
    store, parent = family.store, family.parent.key
    rows = [_ran(store, parent, number, family.began - 10 + number) for number in (1, 2, 3)]
    saved = _saved(store, parent, 2)
    fork = family.found()
    assert (fork.link, fork.parent) == (LinkKind.FORK, family.parent.client_session)
    assert cells.after(store, fork.key, 0) == [replace(row, session_key=fork.key) for row in rows]
    own = cells.checkpoint(store, fork.key)
    assert own == replace(saved, session_key=fork.key, file=f"{fork.key}-2.vars")
    (store.paths.repl / saved.file).unlink()
    assert (store.paths.repl / own.file).read_bytes() == b"pickles"
    assert cells.after(store, parent, 0) == rows
    assert all(belongings.is_copied(store, fork.key, number, parent) for number in (1, 2, 3))
    assert "repl: x (int, 3) is still set [c3]" in brief(store, fork).text


def test_only_cells_up_to_the_fork_count(family: Family) -> None:
    """What the parent ran since is not the fork's past; variables saved before the fork are still good."""
    store, parent = family.store, family.parent.key
    _ran(store, parent, 1, family.began - 5)
    _saved(store, parent, 1)
    _ran(store, parent, 2, family.began + 0.0004)  # the client cuts its times to milliseconds
    _ran(store, parent, 3, family.began + 5)
    fork = family.found()
    assert cells.last_number(store, fork.key) == 2
    own = cells.checkpoint(store, fork.key)
    assert own is not None
    assert own.cell == 1


def test_variables_saved_after_the_fork_are_not_taken(family: Family) -> None:
    """Quick Cells are run again instead, from the first one on."""
    store, parent = family.store, family.parent.key
    _ran(store, parent, 1, family.began - 5)
    _ran(store, parent, 2, family.began + 5)
    _saved(store, parent, 2)
    fork = family.found()
    assert (cells.last_number(store, fork.key), cells.checkpoint(store, fork.key)) == (1, None)


def test_what_would_take_long_to_run_again_is_named_as_lost(family: Family) -> None:
    """By name, with the reason; Cells before a reset take no time."""
    store, parent = family.store, family.parent.key
    _ran(store, parent, 1, family.began - 8, seconds=50.0)
    _ran(store, parent, 2, family.began - 7, seconds=50.0)
    _ran(store, parent, 3, family.began + 5)
    _saved(store, parent, 3)
    fork = family.found()
    own = cells.checkpoint(store, fork.key)
    assert own is not None
    assert (own.cell, own.file, own.variables) == (2, "", ())
    assert own.unsaved == (("x", f"session {parent} has gone on since the fork"),)


def test_cells_before_a_reset_take_no_time(family: Family) -> None:
    """They are not run again."""
    store, parent = family.store, family.parent.key
    _ran(store, parent, 1, family.began - 8, seconds=500.0)
    _ran(store, parent, 2, family.began - 7, status=CellStatus.RESET)
    _ran(store, parent, 3, family.began - 6)
    _ran(store, parent, 4, family.began + 5)
    _saved(store, parent, 4)
    fork = family.found()
    assert (cells.last_number(store, fork.key), cells.checkpoint(store, fork.key)) == (3, None)


def test_saved_variables_whose_file_is_gone_are_still_told_of(family: Family) -> None:
    """Whoever restores them says which are lost."""
    store, parent = family.store, family.parent.key
    _ran(store, parent, 1, family.began - 5)
    (store.paths.repl / _saved(store, parent, 1).file).unlink()
    own = cells.checkpoint(store, family.found().key)
    assert own is not None
    assert own.variables == (("x", 0, 7),)


def test_the_parents_transcript_is_read_up_to_the_fork_first(store: Store, tmp_path: Path) -> None:
    """Its last records are often in no store yet: the result of the very Cell is not when the Cell runs."""
    made = a_day(turns=1)
    parent = locate(store, transcript=made.save(tmp_path / "parent.jsonl"))
    ran = made.clock.timestamp() + 1
    _ran(store, parent.key, 1, ran)
    made.reply("Done, x is 1.")
    family = Family(store=store, folder=tmp_path, parent=parent, made=made, fork=made.forked(FORK))
    made.save(tmp_path / "parent.jsonl")
    assert [row.code for row in family.copied()] == ["x = 1"]


def test_a_fork_of_which_only_copies_are_there_waits(family: Family) -> None:
    """The client may not have written all of them; what is the fork's own comes behind."""
    store, began = family.store, family.began
    _ran(store, family.parent.key, 1, began - 5)
    lines = list(family.fork.lines)
    path = family.folder / "fork.jsonl"
    for count in (len(lines) // 2, len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        fork = locate(store, transcript=path)
        assert (fork.link, cells.last_number(store, fork.key)) == (LinkKind.FORK, 0)
    assert len(family.copied()) == 1


def test_a_parent_whose_transcript_is_gone_serves_as_far_as_it_is_known(family: Family) -> None:
    """The client deletes old ones."""
    _ran(family.store, family.parent.key, 1, family.began - 5)
    Path(family.parent.path).unlink()
    assert len(family.copied()) == 1


def test_a_fork_that_ran_cells_of_its_own_gets_no_others(family: Family) -> None:
    """Nor is one that got its copy served twice."""
    store, parent = family.store, family.parent.key
    fork = family.found()
    _ran(store, fork.key, 1, family.began + 9, code="own = 1")
    _ran(store, parent, 1, family.began - 5)
    assert [row.code for row in family.copied()] == ["own = 1"]
    assert not belongings.is_copied(store, fork.key, 1, parent)
    assert belongings.copy_to_fork(store, fork, family.parent) == 0


def test_nothing_is_copied_while_a_cell_of_the_fork_runs(family: Family) -> None:
    """It would be written down under a number that is taken; when none has been written down after all, it is."""
    store, parent = family.store, family.parent.key
    fork = family.found()
    _ran(store, parent, 1, family.began - 5)
    with locked(store.paths.repl / f"{fork.key}.lock", patience_seconds=0.0):
        assert family.copied() == []
    assert [row.number for row in family.copied()] == [1]


def test_each_of_several_forks_has_the_variables_of_its_own_parent(family: Family) -> None:
    """A later fork of the same parent shares its beginning with the earlier one; a fork of a fork shares more."""
    store, made, parent = family.store, family.made, family.parent.key
    _ran(store, parent, 1, family.began - 5)
    first = family.found()
    _ran(store, first.key, 2, family.fork.clock.timestamp() + 1, code="of the first fork")
    family.fork.reply("Done another way.")
    family.fork.save(family.folder / "fork.jsonl")

    def forked(of: Transcript, number: int) -> SessionRow:
        again = of.forked(f"5f1c9d1e-0000-4000-8000-00000000f1{number:02}")
        again.clock = again.clock.replace(hour=11, minute=number)
        again.user("And again.")
        return locate(store, transcript=again.save(family.folder / f"{number}.jsonl"))

    second, of_fork = forked(made, 1), forked(family.fork, 2)
    made.clock = made.clock.replace(hour=10)
    made.reply("Meanwhile here.")
    made.save(Path(family.parent.path))
    _ran(store, parent, 2, made.clock.timestamp() - 1, code="of the parent")
    third = forked(made, 3)
    assert [row.parent for row in (second, of_fork, third)] == [made.session, FORK, made.session]
    codes = [[row.code for row in cells.after(store, row.key, 1)] for row in (second, of_fork, third)]
    assert codes == [[], ["of the first fork"], ["of the parent"]]


def test_nothing_comes_of_a_parent_without_cells(family: Family) -> None:
    """Neither rows nor files."""
    assert family.copied() == []
    assert list(family.store.paths.repl.glob("*.vars")) == []


@pytest.mark.parametrize("link", [LinkKind.CLEAR, LinkKind.RESUME])
def test_after_a_clear_the_repl_is_empty(store: Store, tmp_path: Path, link: LinkKind) -> None:
    """The user began anew; so is every other new id but a fork's."""
    parent = locate(store, transcript=a_day(turns=1).save(tmp_path / "1.jsonl"))
    _ran(store, parent.key, 1, parent.updated or 0.0)
    lineage.hint(store.paths, FORK, parent.client_session, link)
    after = a_day(FORK, turns=1, hour=12)
    (found,) = ingest(store, after.save(tmp_path / "2.jsonl"))
    row = sessions.by_key(store, found.session)
    assert row is not None
    assert (row.link, row.parent) == (link, parent.client_session)
    assert cells.last_number(store, row.key) == 0
    assert "still set" not in brief(store, row).text


def _codex(folder: Path, *, says_where: bool) -> tuple[Path, Path]:
    """Rollouts of a Session with prompts at 09:01 to 09:04 and of its fork at 09:02, prompted at 09:05."""
    lines = _rollout({"id": "old", "cwd": "/w"}, 1, 2, 3, 4)
    base = {"thread_id": "old", "end_byte_offset": len(b"".join(lines[:3]))} if says_where else None
    parent, fork = folder / "rollout-old.jsonl", folder / "rollout-new.jsonl"
    parent.write_bytes(b"".join(lines))
    meta = {"id": "new", "forked_from_id": "old", "cwd": "/w", "history_base": base}
    fork.write_bytes(b"".join(_rollout(meta, 5)))
    return parent, fork


def _rollout(meta: dict[str, object], *minutes: int) -> list[bytes]:
    prompts = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"prompt {minute}"}]}
        for minute in minutes
    ]
    told = [
        (minutes[0], "session_meta", meta),
        *((at, "response_item", p) for at, p in zip(minutes, prompts, strict=True)),
    ]
    return [
        json.dumps({"timestamp": f"2026-03-02T09:{at:02}:00.000Z", "type": kind, "payload": payload}).encode() + b"\n"
        for at, kind, payload in told
    ]


@pytest.mark.parametrize(("says_where", "expected"), [(True, 2), (False, 4)])
def test_a_codex_fork_says_where_it_begins(store: Store, tmp_path: Path, says_where: bool, expected: int) -> None:
    """Cells behind that place are not its past; one that does not say goes on from all that came before its prompt."""
    nine = datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()
    parent, fork = _codex(tmp_path, says_where=says_where)
    key = locate(store, transcript=parent).key
    for number in (1, 2, 3, 4, 5):
        _ran(store, key, number, nine + 60 * number - 1 + 20 * (number == 5))
    found = locate(store, transcript=fork)
    assert cells.last_number(store, found.key) == expected


# Sessions built anew


def _run(key: str) -> RunRow:
    return RunRow(
        id="r0000abcd",
        parent="",
        root="r0000abcd",
        session_key=key,
        depth=0,
        question="What?",
        scope=f"session {key}",
        model="big",
        sub_model="small",
        backend="scripted",
        limits={},
        started=1.0,
    )


def _summary(key: str) -> SummaryRow:
    return SummaryRow(
        scope=f"session {key}", level=0, number=0, ref="log:0-9", text="all", children=(), model="m", time=1.0
    )


def _given(store: Store, key: str) -> None:
    """One of everything that exists only with us."""
    _ran(store, key, 1, 1.0)
    _saved(store, key, 1)
    with store.writing() as connection:
        connection.execute("INSERT INTO document (id, sha256, length, lines, encoding) VALUES (1, 'ab', 1, 1, 'utf-8')")
        connection.execute("INSERT INTO loaded VALUES (?, 'log', 1, '/log', 1.0)", (key,))
        connection.execute("INSERT INTO cap VALUES (?, 5, 0.5)", (ledger.of_session(key),))
        runs.begin(store, _run(key))
        summaries.put(store, f"session {key}", [_summary(key)])
        summaries.put(
            store, f"2 documents of session {key}", [replace(_summary(key), scope=f"2 documents of session {key}")]
        )


def _belongs(store: Store, key: str) -> dict[str, int]:
    """How much of it that Session has."""
    spent = store.connection.execute("SELECT count(*) FROM cap WHERE scope = ?", (ledger.of_session(key),)).fetchone()
    return {
        "cells": len(cells.after(store, key, 0)),
        "saved": int(cells.checkpoint(store, key) is not None),
        "loaded": len(documents.loaded(store, key)),
        "spent": spent[0],
        "runs": len(runs.latest(store, session_key=key)),
        "summary": int(summaries.top(store, f"session {key}") is not None),
        "documents": len(summaries.tree(store, f"2 documents of session {key}")),
    }


ALL = dict.fromkeys(("cells", "saved", "loaded", "spent", "runs", "summary", "documents"), 1)
NONE = dict.fromkeys(ALL, 0)


def test_a_rebuilt_session_has_all_that_exists_only_with_us(store: Store, tmp_path: Path) -> None:
    """Under its new key, and the old one has nothing any more; once more, with what came since."""
    path = a_day(turns=1).save(tmp_path / "s.jsonl")
    first = locate(store, transcript=path)
    _given(store, first.key)
    (second,) = ingest(store, path, rebuild=True)
    assert (_belongs(store, first.key), _belongs(store, second.session)) == (NONE, ALL)
    _ran(store, second.session, 2, 2.0)
    (third,) = ingest(store, path, rebuild=True)
    assert (_belongs(store, second.session), _belongs(store, third.session)) == (NONE, ALL | {"cells": 2})
    assert len({first.key, second.session, third.session}) == 3
    assert read(store, first, "c2").text == "output 2"
    with pytest.raises(RefError, match="'c3' is not in session"):
        read(store, first, "c3")


def test_a_replaced_transcript_keeps_the_variables_and_not_what_points_into_the_old_one(
    store: Store, tmp_path: Path
) -> None:
    """Refs of Runs and summaries are of the old text, which is kept with them."""
    path = a_day(turns=1).save(tmp_path / "s.jsonl")
    old = locate(store, transcript=path)
    _given(store, old.key)
    a_day(turns=1, hour=8).save(path)
    new = locate(store, transcript=path)
    stays = {"runs": 1, "summary": 1, "documents": 1}
    assert new.key != old.key
    assert (_belongs(store, old.key), _belongs(store, new.key)) == (NONE | stays, ALL | dict.fromkeys(stays, 0))


def test_what_a_rebuilt_session_has_already_is_mixed_with_nothing(store: Store) -> None:
    """A journal of two would be neither's."""
    for key, last in (("0badcafe", 3), ("feedf00d", 1)):
        for number in range(1, last + 1):
            _ran(store, key, number, 1.0, code=key)
    with store.writing():
        belongings.move(store, "0badcafe", "feedf00d", is_same_text=True)
    assert [row.code for row in cells.after(store, "feedf00d", 0)] == ["feedf00d"]
    assert cells.last_number(store, "0badcafe") == 3


def test_no_session_is_built_anew_under_a_running_cell(store: Store, tmp_path: Path) -> None:
    """Its Cell would be written down where nobody looks."""
    path = a_day(turns=1).save(tmp_path / "s.jsonl")
    session = locate(store, transcript=path)
    _ran(store, session.key, 1, 1.0)
    store.settings = replace(store.settings, busy_seconds=0.01)
    with (
        locked(store.paths.repl / f"{session.key}.lock", patience_seconds=0.0),
        pytest.raises(StoreBusy, match=f"runs a Cell of session {session.key}"),
    ):
        ingest(store, path, rebuild=True)
    assert locate(store, transcript=path).key == session.key
    assert cells.last_number(store, session.key) == 1


def test_a_fork_of_a_rebuilt_session_has_its_variables(family: Family) -> None:
    """And the fork, built anew, keeps its copy."""
    store = family.store
    _ran(store, family.parent.key, 1, family.began - 5)
    (parent,) = ingest(store, family.parent.path, rebuild=True)
    fork = family.found()
    assert belongings.is_copied(store, fork.key, 1, parent.session)
    (again,) = ingest(store, fork.path, rebuild=True)
    assert [row.code for row in cells.after(store, again.session, 0)] == ["x = 1"]
