"""rlm_mcp.store.cells: the journal of a Session's Repl, and where its saved variables lie."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import RefError, StoreError
from rlm_mcp.store import cells
from rlm_mcp.store.cells import CellRow, CellStatus, Checkpoint
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from tests.build import a_day


def _row(number: int = 1, session: str = "0badcafe", **more: object) -> CellRow:
    row = CellRow(
        session_key=session, number=number, time=1.5, seconds=0.25, code="1 + 1", status=CellStatus.OK, output="2\n"
    )
    return replace(row, **more)  # type: ignore[arg-type]


def _add(store: Store, *rows: CellRow) -> None:
    with store.writing():
        for row in rows:
            cells.add(store, row)


def test_cells_come_back_in_order_and_as_they_went_in(store: Store) -> None:
    """Each Session has its own, from 1."""
    rows = [_row(number, variables=(("x", f"int, {number}"),), lost_bytes=number) for number in (1, 2, 3)]
    other = _row(1, "feedf00d", status=CellStatus.ERROR)
    _add(store, rows[0], other, rows[1], rows[2])
    assert cells.after(store, "0badcafe", 0) == rows
    assert cells.after(store, "0badcafe", 1) == rows[1:]
    assert cells.after(store, "0badcafe", 0, limit=1) == rows[:1]
    assert cells.latest(store, "0badcafe") == rows[2]
    assert cells.last_number(store, "0badcafe") == 3
    assert cells.latest(store, "feedf00d") == other
    assert (cells.last_number(store, "nothing!"), cells.latest(store, "nothing!")) == (0, None)


@given(
    output=st.text(st.characters(codec="utf-8")),
    code=st.text(st.characters(codec="utf-8")),
    variables=st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))),
    status=st.sampled_from(CellStatus),
)
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, output, code, variables, status) -> None:
    """In code, output and variables."""
    with open_store(Paths(home=tmp_path_factory.mktemp("store")), Settings()) as store:
        row = _row(output=output, code=code, variables=tuple(variables), status=status)
        _add(store, row)
        assert cells.latest(store, "0badcafe") == row


def test_journals_are_read_without_outputs_where_those_are_not_wanted(store: Store) -> None:
    """Fifty of sixteen megabytes each are nothing to have in main storage for their code's sake."""
    _add(store, _row(output="x" * 100_000))
    assert cells.after(store, "0badcafe", 0, has_output=False) == [_row(output="")]


def test_a_number_is_written_once(store: Store) -> None:
    """Two processes that both think it theirs would lose one."""
    _add(store, _row(1))
    with pytest.raises(StoreError):
        _add(store, _row(1))


def test_a_cell_that_never_ran_is_refused_with_those_that_did(store: Store, tmp_path: Path) -> None:
    """By its Ref."""
    session = locate(store, transcript=a_day().save(tmp_path / "s.jsonl"))
    with pytest.raises(RefError, match=r"'c1' is not in session .*: its Repl has run none"):
        cells.cell_row(store, session, 1)
    _add(store, _row(1, session.key), _row(2, session.key))
    assert cells.cell_row(store, session, 2).number == 2
    for number in (0, 3):
        with pytest.raises(RefError, match=f"'c{number}' is not in session .*: it has cells c1 to c2"):
            cells.cell_row(store, session, number)


def test_the_latest_checkpoint_stands_alone(store: Store) -> None:
    """A newer one takes its place; each Session has its own."""
    first = Checkpoint(
        session_key="0badcafe",
        cell=3,
        file="a.vars",
        variables=(("x", 0, 10), ("\u00e4", 10, 5)),
        unsaved=(("g", "TypeError: no"),),
        time=1.0,
    )
    assert cells.checkpoint(store, "0badcafe") is None
    with store.writing():
        cells.set_checkpoint(store, first)
        cells.set_checkpoint(store, replace(first, session_key="feedf00d"))
    assert cells.checkpoint(store, "0badcafe") == first
    with store.writing():
        cells.set_checkpoint(store, replace(first, cell=4, file="", variables=(), unsaved=()))
    found = cells.checkpoint(store, "0badcafe")
    assert found is not None
    assert (found.cell, found.file, found.variables) == (4, "", ())
    assert cells.checkpoint(store, "feedf00d") == replace(first, session_key="feedf00d")


def test_a_repl_in_short_tells_cells_variables_and_what_is_saved(store: Store) -> None:
    """Without reading any output; nothing where none ran."""
    assert cells.repl_row(store, "0badcafe") is None
    _add(store, _row(1), _row(2, variables=(("x", "int, 1"),)))
    found = cells.repl_row(store, "0badcafe")
    assert found is not None
    assert (found.cells, found.variables, found.saved_cell, found.saved_time) == (2, (("x", "int, 1"),), 0, None)


def test_a_rebuild_drops_no_journal(store: Store, tmp_path: Path) -> None:
    """It is only here, and goes on under the new key."""
    path = a_day().save(tmp_path / "s.jsonl")
    session: SessionRow = locate(store, transcript=path)
    _add(store, _row(1, session.key))
    (again,) = ingest(store, path, rebuild=True)
    assert again.session != session.key
    assert (cells.last_number(store, session.key), cells.last_number(store, again.session)) == (0, 1)
