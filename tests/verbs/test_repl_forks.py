"""repl in Sessions that came out of others: a fork has its parent's variables, a rebuilt one its own, /clear none."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rlm_mcp.events import LinkKind
from rlm_mcp.store import cells, lineage
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from tests.build import Transcript, a_day
from tests.verbs.test_repl import Holder

FORK = "5f1c9d1e-0000-4000-8000-00000000f0f0"


@pytest.fixture
def holding(store: Store) -> Iterator[Callable[[SessionRow], Holder]]:
    """Makes who runs a Session's Cells, each with a child of its own."""
    made: list[Holder] = []

    def hold(session: SessionRow) -> Holder:
        made.append(Holder(store, session))
        return made[-1]

    yield hold
    for holder in made:
        holder.repl.close()


@pytest.fixture
def made() -> Transcript:
    """A conversation of some minutes ago."""
    return a_day(turns=1)


@pytest.fixture
def parent(store: Store, made: Transcript, holding: Callable[[SessionRow], Holder], tmp_path: Path) -> Holder:
    """Its Session, whose Repl holds ``rows``, saved, and ``total``, not saved yet."""
    holder = holding(locate(store, transcript=made.save(tmp_path / "parent.jsonl")))
    holder.run("rows = [1, 2, 3]\nalias = rows\nprint('made')")
    holder.save()
    holder.run("def total():\n    return sum(rows)")
    return holder


def _fork(store: Store, made: Transcript, folder: Path) -> SessionRow:
    """A fork of what has happened by now."""
    made.clock = datetime.now(UTC)
    made.reply("The Cells ran.")
    made.save(folder / "parent.jsonl")
    fork = made.forked(FORK)
    fork.user("Try it another way.")
    return locate(store, transcript=fork.save(folder / "fork.jsonl"))


def test_a_fork_written_over_its_parents_transcript_is_read_once(store, made, parent, holding, tmp_path):
    """Where the parent's file would be, the fork's own is: it is served from what is stored."""
    made.clock = datetime.now(UTC)
    made.reply("The Cells ran.")
    fork = made.forked(FORK)
    fork.user("Try it another way.")
    found = locate(store, transcript=fork.save(tmp_path / "parent.jsonl"))
    assert found.key != parent.session.key
    assert found.link is LinkKind.FORK
    assert holding(found).run("1").output == "1"


def test_a_fork_has_the_variables_and_says_whose_they_were(store, made, parent, holding, tmp_path):
    """In its first answer alone; the Brief lists them before, Refs of Cells mean what they meant, objects stay one."""
    fork = _fork(store, made, tmp_path)
    assert "repl: total (function), alias (list, 3), rows (list, 3) are still set [c2]" in brief(store, fork).text
    assert read(store, fork, "c1").text == "made\n"
    holder = holding(fork)
    first = holder.run("rows.append(4)\ntotal(), alias is rows")
    assert (first.ref, first.output) == ("c3", "(10, True)")
    key = parent.session.key
    assert first.notes[0] == f"variables taken over from session {key} as of its c2; from here on each has its own"
    assert first.notes[1].startswith("variables restored as of c1; run again: c2; ")
    assert not any("taken over" in note for note in holder.run("rows").notes)
    holder.repl.close()
    assert not any("taken over" in note for note in holder.run("rows").notes)


def test_neither_changes_the_others(store, made, parent, holding, tmp_path):
    """Not by a Cell, not by saving again and again, not by a reset, and not when both come back."""
    holder = holding(_fork(store, made, tmp_path))
    assert holder.shown("rows.append('fork')\nrows") == "[1, 2, 3, 'fork']"
    assert parent.shown("rows.append('parent')\nrows") == "[1, 2, 3, 'parent']"
    for each in (parent, holder, parent, holder):
        each.run("rows.append(0)")
        each.save()
        each.repl.close()
    assert holder.shown("rows") == "[1, 2, 3, 'fork', 0, 0]"
    assert parent.shown("rows") == "[1, 2, 3, 'parent', 0, 0]"
    parent.run("reset()")
    holder.repl.close()
    assert holder.shown("len(rows)") == "6"


def test_what_the_parent_did_after_the_fork_is_not_the_forks(store, made, parent, holding, tmp_path):
    """Though all of it is saved by the time the fork runs its first Cell."""
    made.clock = datetime.now(UTC)
    made.reply("The Cells ran.")
    fork = made.forked(FORK)
    fork.user("Try it another way.")
    made.save(tmp_path / "parent.jsonl")
    parent.run("rows.clear()\nlater = 1")
    with store.writing() as connection:  # later; no test waits
        connection.execute(
            "UPDATE cell SET time = time + 60 WHERE session_key = ? AND number = 3", (parent.session.key,)
        )
    parent.save()
    holder = holding(locate(store, transcript=fork.save(tmp_path / "fork.jsonl")))
    found = holder.run("rows, 'later' in globals()")
    assert found.output == "([1, 2, 3], False)"
    assert found.notes[1].startswith("run again: c1 to c2; ")


def test_a_fork_that_begins_with_a_reset_has_nothing(store, made, parent, holding, tmp_path):
    """And is told of nothing that it did not keep."""
    holder = holding(_fork(store, made, tmp_path))
    assert holder.run("reset()").notes == ()
    assert "NameError" in holder.run("rows").output
    assert parent.shown("rows") == "[1, 2, 3]"


def test_after_a_clear_nothing_is_set(store, parent, holding, tmp_path):
    """A new conversation."""
    lineage.hint(store.paths, FORK, parent.session.client_session, LinkKind.CLEAR)
    session = locate(store, transcript=a_day(FORK, turns=1, hour=12).save(tmp_path / "cleared.jsonl"))
    found = holding(session).run("rows")
    assert (found.ref, found.notes) == ("c1", ())
    assert "NameError" in found.output


def test_a_rebuilt_session_has_its_variables_and_can_be_saved_again(store, parent, holding, tmp_path):
    """No file is left that nothing names; who held the old one saves nothing over it."""
    (again,) = ingest(store, parent.session.path, rebuild=True)
    parent.run("1")  # who has not heard of it: the Cell goes where the old Session is
    parent.save()
    session = locate(store, transcript=Path(parent.session.path))
    assert session.key == again.session != parent.session.key
    holder = holding(session)
    found = holder.run("rows.append(4)\ntotal()")
    assert (found.ref, found.output) == ("c3", "10")
    assert found.notes[0].startswith("variables restored as of c1; run again: c2; ")
    holder.save()
    parent.repl.close()
    holder.repl.close()
    assert holder.shown("rows") == "[1, 2, 3, 4]"
    assert {path.name for path in store.paths.repl.glob("*.vars")} == cells.saved_files(store)
