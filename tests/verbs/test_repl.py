"""repl: a Session's variables outlive whatever ends the process that holds them; the journal says what ran."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import ReplBusy, ReplGone, StoreError, UsageError
from rlm_mcp.sandbox.repl import Repl
from rlm_mcp.store import cells, sessions
from rlm_mcp.store.cells import CellStatus
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.bindings import bindings
from rlm_mcp.verbs.load import load
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.repl import MAX_CODE_CHARS, SessionRepl
from rlm_mcp.verbs.repl_answer import ReplAnswer
from tests.build import a_day
from tests.documents import TOKEN
from tests.repls import start
from tests.verbs.repl_driver import CELLS

_ROOT = Path(__file__).parents[2]
_AS_OF = "what they read (files, clock, random numbers) is as of"
_LOST = "not saved from now on, and lost if the process ends"
_ROWS_AFTER = (0, 1, 2, 3, 4, 5, 6)
"""Length of ``rows`` after so many of the driver's Cells."""


class Holder:
    """One process's hold on the Repl of a Session, as far as the verb knows."""

    def __init__(self, store: Store, session: SessionRow, start_one: Callable[[], Repl] = start) -> None:
        self.store = store
        self.session = session
        self.started = 0
        self._start_one = start_one
        self.repl = SessionRepl(self._start)

    def _start(self) -> Repl:
        self.started += 1
        return self._start_one()

    def run(self, code: str, seconds: float = 20.0, owner: object = None) -> ReplAnswer:
        """Run a Cell."""
        scope = sessions.continued(self.store, self.session)
        functions = bindings(self.store, scope, repo=None, repo_missing="none")
        return self.repl.run(self.store, scope, code, functions, timeout_seconds=seconds, owner=owner)

    def shown(self, code: str) -> str:
        """What a Cell shows that ends well."""
        found = self.run(code)
        assert found.status is CellStatus.OK, found.text
        return found.output

    def save(self) -> None:
        """Save now, due or not."""
        self.repl._since.seconds = 1e9
        self.repl._since.cells += 1
        self.repl.save(self.store, self.session)

    def as_if_large(self) -> None:
        """From now on, until they are saved, variables are as if saving them took long."""
        self.repl._since.is_cheap = False

    def kill(self) -> None:
        """The child, from outside."""
        live = self.repl._live
        assert live is not None
        os.kill(live._jail.pid, signal.SIGKILL)  # type: ignore[attr-defined]  # a JailedRepl
        while live.is_alive:
            pass


@pytest.fixture
def session(store: Store, tmp_path: Path) -> SessionRow:
    """An ordinary Session."""
    return locate(store, transcript=a_day(turns=1).save(tmp_path / "s.jsonl"))


@pytest.fixture
def holder(store: Store, session: SessionRow) -> Iterator[Holder]:
    """Whoever runs its Cells."""
    made = Holder(store, session)
    yield made
    made.repl.close()


@pytest.fixture
def other(store: Store, session: SessionRow) -> Iterator[Holder]:
    """Another process that runs Cells of the same Session: with a store and a child of its own."""
    with open_store(store.paths, store.settings) as opened:
        made = Holder(opened, session)
        yield made
        made.repl.close()


# the journal and the answer


def test_every_cell_goes_into_the_journal(holder, store, session):
    """Its code, output, ending and variables; its whole output is read by its Ref."""
    holder.run("x = 5\nprint('told')")
    holder.run("1 / 0")
    holder.run("FINAL('answer')")
    holder.run("while True: pass", 0.2)
    holder.run("import os; os._exit(3)")
    rows = cells.after(store, session.key, 0)
    assert [(row.number, row.status) for row in rows] == [
        (1, "ok"), (2, "error"), (3, "final"), (4, "interrupted"), (5, "ended"),
    ]  # fmt: skip
    assert rows[0].code == "x = 5\nprint('told')"
    assert rows[0].variables == rows[4].variables == (("x", "int, 5"),)
    assert read(store, session, "c1").text == "told\n"
    assert read(store, session, "c3").text == "answer"
    assert "CellTimeout" in read(store, session, "c4").text


def test_an_answer_says_what_a_model_must_know(holder):
    """Ref, time, what is new; what was cut, and where the whole is."""
    found = holder.run("x = 1\nprint('y')")
    assert (found.ref, found.status, found.output, found.closing) == ("c1", "ok", "y", "c1; set x (int, 1)")
    assert found.text == "y\n[c1; set x (int, 1)]"
    assert holder.run("x").closing == "c2"
    assert holder.run("x = 2").closing == "c3; set x (int, 2)"
    long = holder.run("print('z' * 50_000)")
    assert long.is_cut
    assert long.output_chars == 50_001
    assert len(long.output) <= holder.store.settings.repl_tokens * 4
    assert "characters left out; whole: c4" in long.output
    assert "50,001 characters, cut; whole: read c4" in long.closing
    final = holder.run("print('before')\nFINAL([1, 2])")
    assert (final.final, final.output, final.status) == ("[1, 2]", "before\n[1, 2]", "final")
    flood = holder.run("print('f' * 3_000_000)")
    assert "bytes more were printed and not kept" in flood.closing
    many = holder.run("globals().update({f'v{i}': i for i in range(50)})")
    assert "and 38 more" in many.closing
    assert "\x00" not in holder.run("print('a\\0b')").text


def test_secrets_are_neither_in_the_answer_nor_in_the_journal(holder, store, session):
    """Nor in what is read of it; the variable itself is whole, also after a restart."""
    found = holder.run(f"token = '{TOKEN}'\nprint(token)\nFINAL(token)")
    assert TOKEN not in found.text + (found.final or "")
    assert "[REDACTED:github-token]" in found.output
    (row,) = cells.after(store, session.key, 0)
    assert TOKEN not in row.code + row.output
    for path in store.paths.home.rglob("*"):
        assert path.suffix == ".vars" or not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    holder.kill()
    assert holder.shown(f"token == '{TOKEN[:10]}' + '{TOKEN[10:]}'") == "True"


def test_no_slice_of_a_loaded_documents_secret_is_in_the_answer_or_the_journal(holder, store, session, tmp_path):
    """A part has no shape to be known by; that it is part of something loaded is known. Cells see all of it."""
    assert TOKEN[10:30] in holder.run(f"print('{TOKEN[10:30]}')").output
    (tmp_path / "key.txt").write_text(f"token: {TOKEN} end")
    load(store, session, str(tmp_path / "key.txt"), "key.txt")
    found = holder.run(f"part = '{TOKEN[10:30]}'\nprint(part, len(part))\nFINAL(part[:16])")
    assert found.output == "[REDACTED:secret] 20\n[REDACTED:secret]"
    assert found.final == "[REDACTED:secret]"
    assert cells.after(store, session.key, 1)[0].output == found.output


def test_code_that_cannot_be_is_refused_before_anything_runs(holder):
    """Too long, of half characters, with a time limit that makes no sense."""
    for code in ("x" * (MAX_CODE_CHARS + 1), "x = '\ud800'"):
        with pytest.raises(UsageError):
            holder.run(code)
    for seconds in (0.0, -1.0, 601.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="timeout_seconds"):
            holder.run("1", seconds)
    assert holder.started == 0


def test_a_cell_of_the_largest_code_runs(holder):
    """Up to the limit."""
    assert holder.shown("'" + "x" * (MAX_CODE_CHARS - 10) + "'[:3]") == "'xxx'"


# restored


def test_a_killed_child_comes_back_with_its_variables(holder):
    """Without anything saved yet: the Cells are run again, and it is said."""
    holder.as_if_large()
    holder.run("rows = [1]; mine = rows")
    holder.run("rows.append(2)")
    holder.run("1 / 0")
    holder.kill()
    found = holder.run("rows, mine is rows")
    assert found.output == "([1, 2], True)"
    assert found.notes == (f"run again: c1 to c3; {_AS_OF} now",)
    assert holder.run("rows").notes == ()
    assert holder.started == 2


def test_saved_variables_are_taken_and_only_the_cells_since_are_run_again(holder, store):
    """What was saved is not computed anew."""
    holder.run("import random; drawn = random.random(); rows = [drawn]")
    drawn = holder.shown("drawn")
    holder.save()
    holder.run("rows.append('since')")
    holder.kill()
    found = holder.run("rows[0] == drawn, drawn, rows[1]")
    assert found.output == f"(True, {drawn}, 'since')"
    assert found.notes == (f"variables restored as of c2; run again: c3; {_AS_OF} now",)
    assert len(list(store.paths.repl.glob("*.vars"))) == 1


def test_what_could_not_be_saved_is_named_when_it_is_gone(holder):
    """With the reason; all else is there."""
    holder.run("gen = (i for i in range(3)); x = 1; import threading; lock = threading.Lock()")
    holder.save()
    holder.kill()
    found = holder.run("x")
    assert found.output == "1"
    assert found.notes[0].startswith(
        "variables restored as of c1; not restored: gen (TypeError: cannot pickle 'generator'"
    )
    assert "lock (TypeError" in found.notes[0]


def test_a_cell_that_ends_otherwise_when_run_again_is_named(holder):
    """What it depends on has changed; nobody may think that all is as before."""
    holder.as_if_large()
    holder.run("import os, builtins\nif hasattr(builtins, 'seen'): raise ValueError('second time')\nx = 1")
    holder.run("y = 2")
    live = holder.repl._live
    holder.repl._number = -1  # as if another process had gone on meanwhile: the same child runs them again
    holder.repl._live = live
    holder.run("builtins.seen = 1")
    holder.repl._number = -1
    found = holder.run("y")
    assert "came to another end than before: c1" in found.notes[0]


def test_an_interrupted_cell_is_never_run_again(holder, store, session):
    """Its state is saved at once; were that lost, it would be named and not run."""
    holder.run("x = 0")
    holder.run("while True: x += 1", 0.2)
    before = holder.shown("x")
    assert cells.checkpoint(store, session.key).cell == 2
    holder.kill()
    found = holder.run("x")
    assert found.output == before
    assert found.notes == (f"variables restored as of c2; run again: c3; {_AS_OF} now",)
    holder.as_if_large()
    with store.writing():
        store.connection.execute("DELETE FROM checkpoint")
    holder.kill()
    found = holder.run("x")
    assert found.output == "0"
    assert found.notes == (f"run again: c1, c3 to c4; {_AS_OF} now; not run again: c2 (it was interrupted)",)


def test_a_cell_whose_secrets_are_not_kept_is_never_run_again(holder, store, session):
    """It would put a mark in the secret's place."""
    holder.run(f"token = '{TOKEN}'; x = 1")
    assert cells.checkpoint(store, session.key).cell == 1
    with store.writing():
        store.connection.execute("DELETE FROM checkpoint")
    holder.kill()
    found = holder.run("y = 2")
    assert found.notes == ("not run again: c1 (its secrets are not kept)",)
    assert holder.run("token").status is CellStatus.ERROR


def test_a_cell_that_ended_its_process_has_left_nothing(holder):
    """Variables are as before it, and it is never run again."""
    holder.run("x = 1")
    found = holder.run("x = 2\nprint('before')\nimport os; os._exit(3)")
    assert (found.status, found.output) == (CellStatus.ENDED, "before")
    assert found.notes == (
        "the process was ended (ended by itself with exit code 3); variables are as they were before this Cell",
    )
    found = holder.run("x")
    assert (found.output, found.notes) == ("1", ("variables restored as of c1",))


@pytest.mark.parametrize("ending", ["import os; os._exit(1)", "sum(range(10**12))"])
def test_what_a_cell_drew_or_read_is_the_same_after_the_next_one_ended_its_process(holder, ending):
    """A remembered value is what a model compares against: small variables are saved before another Cell runs."""
    drawn = holder.shown("import random, time, uuid; drawn = random.random(), time.time(), uuid.uuid4(); drawn")
    found = holder.run(ending, 2.0)
    assert found.status is CellStatus.ENDED
    assert found.notes[-1].endswith("; variables are as they were before this Cell")
    found = holder.run("drawn")
    assert (found.output, found.notes) == (drawn, ("variables restored as of c1",))


def test_a_cell_that_ended_its_process_says_which_will_be_run_again(holder):
    """Where variables are too large to be saved behind each: nobody may think that they are as they were."""
    holder.run("x = 1; gen = (i for i in 'ab')")
    holder.save()
    holder.as_if_large()
    holder.run("import random; drawn = random.random()")
    found = holder.run("import os; os._exit(1)")
    assert found.notes[0].startswith(
        "the process was ended (ended by itself with exit code 1); variables are as saved after c1, "
        f"and the next Cell runs c2 again; {_AS_OF} then; lost: gen (TypeError: cannot pickle 'generator'"
    )
    assert holder.run("drawn").notes[0].startswith(f"variables restored as of c1; run again: c2; {_AS_OF} now; not")


def test_large_variables_are_not_saved_behind_every_cell(holder, store, session):
    """But behind those that took longer than saving does, and when nobody has run any for a while."""
    holder.run("big = bytes(3 << 20)")
    holder.repl.save(holder.store, holder.session)
    assert cells.checkpoint(store, session.key).cell == 1
    holder.repl._since.save_seconds = 1.0
    holder.run("x = 1")
    holder.run("x = 2")
    assert not holder.repl.is_due
    holder.repl.save(holder.store, holder.session)
    assert cells.checkpoint(store, session.key).cell == 1
    holder.repl.used -= 101.0
    assert holder.repl.is_due
    holder.repl.save(holder.store, holder.session)
    assert cells.checkpoint(store, session.key).cell == 3
    assert not holder.repl.is_due


def test_a_cell_that_keeps_descriptors_of_saved_variables_has_one_file_of_them(holder, store):
    """Not one more each time: they would be as many gigabytes. Nor is what is saved within its reach."""
    holder.run(
        "import os\nkept = []\ndef keep(descriptor): kept.append((descriptor, os.fstat(descriptor).st_ino))\n"
        "os.close = keep"
    )
    for _time in range(3):
        holder.save()
        holder.run("1")
    assert holder.shown("len(kept) > 2, len({number for _descriptor, number in kept})") == "(True, 1)"
    holder.save()
    holder.run("os.pwrite(kept[0][0], b'x' * 1000, 0)")
    (path,) = store.paths.repl.glob("*.vars")
    assert b"x" * 100 not in path.read_bytes()
    holder.kill()
    assert holder.shown("len(kept) > 2") == "True"


def test_reset_holds_over_a_restart(holder, store, session):
    """Whatever was saved before, and at whatever moment the process ended."""
    holder.run("x = 1")
    holder.save()
    assert holder.run("reset()").status is CellStatus.RESET
    assert not list(store.paths.repl.glob("*.vars"))
    holder.run("y = 2")
    holder.kill()
    assert holder.run("y").notes == (f"run again: c3; {_AS_OF} now",)
    assert holder.run("x").status is CellStatus.ERROR
    holder.save()
    holder.run("x = 3")
    holder.run("if True:\n    reset()")
    with store.writing():  # as if killed between the journal and the checkpoint
        store.connection.execute("UPDATE checkpoint SET cell = 4, file = 'gone.vars', variables = '[[\"x\", 0, 1]]'")
    holder.kill()
    found = holder.run("z = 1")
    assert found.notes == ()
    assert holder.run("x").status is CellStatus.ERROR


def test_reset_works_whatever_was_done_to_the_repl(holder):
    """A broken interpreter, a full store, an endless Cell to be run again: none is in its way."""
    holder.run("import ast; ast.parse = None")
    assert "reset() begins anew" in holder.run("1 + 1").text
    assert holder.run(" reset() \n").status is CellStatus.RESET
    assert holder.shown("1 + 1") == "2"


def test_a_cell_that_ends_the_process_when_run_again_is_left_out(holder):
    """The Repl comes back without it."""
    holder.as_if_large()
    holder.run("x = 1")
    holder.run("import os, builtins, sys\nif getattr(sys, 'again', False): os._exit(9)\nsys.again = True")
    holder.run("y = 2")
    holder.repl._number = -1  # the same child runs them again: c2 ends it
    found = holder.run("x, y")
    assert found.output == "(1, 2)"
    assert "run again: c1, c3; " in found.notes[0]
    assert "not run again: c2 (its process ended)" in found.notes[0]


def test_a_variable_that_ends_the_process_when_it_is_restored_costs_no_other(holder):
    """It alone is named, with what shares something with it; the next time all is well at once."""
    holder.run("import os\nclass Bad:\n    def __setstate__(self, state): os._exit(7)\nbad = Bad(); bad.x = 1")
    holder.run("a = [1]; worse = Bad(); worse.a = shared = ['s']; text = 'kept' * 3; b = (text, a)")
    holder.save()
    holder.kill()
    started = holder.started
    found = holder.run("a, text, b[1] is a, [name for name in ('bad', 'worse', 'shared') if name in globals()]")
    assert found.output == "([1], 'keptkeptkept', True, [])"
    for name in ("bad", "worse"):
        assert f"{name} (the Repl's process was ended: ended by itself with exit code 7)" in found.notes[0]
    assert "shared (" in found.notes[0]
    assert holder.started == started + 3
    holder.repl.save(holder.store, holder.session)  # it is due
    holder.kill()
    found = holder.run("a")
    assert (found.output, found.notes) == ("[1]", ("variables restored as of c3",))
    assert holder.started == started + 4


def test_very_many_variables_that_end_the_process_are_given_up(holder):
    """All that was saved is named as lost then; the Repl goes on."""
    holder.run("import os\nclass Bad:\n    def __reduce__(self): return os._exit, (9,)")
    holder.run("globals().update({f'bad{n}': Bad() for n in range(20)}); x = 1")
    holder.save()
    holder.kill()
    found = holder.run("'goes on'")
    assert found.output == "'goes on'"
    assert "not restored: os (" in found.notes[0]
    assert " more" in found.notes[0]


def test_saved_variables_that_are_gone_or_damaged_are_named(holder, store):
    """A file that someone has removed, or overwritten."""
    holder.run("x = [1]; y = 2")
    holder.save()
    (path,) = store.paths.repl.glob("*.vars")
    content = path.read_bytes()
    path.unlink()
    holder.kill()
    found = holder.run("1")
    assert "not restored: x ([Errno 2]" in found.notes[0]
    path.write_bytes(b"\xff" * len(content))
    holder.kill()
    found = holder.run("1")
    assert "not restored: x (" in found.notes[0]


def test_a_repl_whose_saving_ends_the_process_goes_on_by_its_journal(holder):
    """It is said of which variable, and that one is not tried again."""
    holder.run("import os\nclass Bad:\n    def __reduce__(self): os._exit(5)\nx = 1; bad = Bad()")
    holder.save()
    assert not holder.repl.is_live
    found = holder.run("x")
    assert found.output == "1"
    assert found.notes == (
        f"run again: c1; {_AS_OF} now",
        f"{_LOST}: bad (the Repl's process was ended: ended by itself with exit code 5)",
    )
    assert holder.run("x").notes == ()
    holder.kill()
    found = holder.run("x")
    assert found.notes[0].startswith(f"variables restored as of c2; run again: c3; {_AS_OF} now; not restored: bad (")


def test_a_variable_that_is_slow_to_save_is_tried_once_and_said_to_be_left_out(store, session):
    """The Cell behind it has waited for that; no other does, unless it is another value by then."""
    holder = Holder(store, session, lambda: start(variable_seconds=1.0))
    try:
        code = "tries = []\nclass Slow:\n    def __reduce__(self):\n        tries.append(1)\n        while True: pass"
        holder.run(code)
        holder.run("slow = Slow(); x = 1")
        holder.save()
        (note,) = holder.run("x").notes
        assert note == f"{_LOST}: slow (it took longer than 1 s)"
        found = holder.run("len(tries)")
        assert (found.output, found.notes) == ("1", ())
        holder.run("slow = 5")
        holder.run("1")
        holder.kill()
        assert holder.shown("slow, x") == "(5, 1)"
    finally:
        holder.repl.close()


def test_an_open_file_is_named_as_lost(holder):
    """And does not come back as its text."""
    holder.run("import os\nfile = open(os.__file__); x = 1")
    holder.save()
    holder.kill()
    found = holder.run("x, 'file' in globals()")
    assert found.output == "(1, False)"
    assert "not restored: file (TypeError: an open file cannot be saved)" in found.notes[0]


def test_no_room_keeps_what_was_saved_before(store, session):
    """The newer variables are brought back by running the Cells since."""
    holder = Holder(store, session, lambda: start(file_bytes=200_000))
    try:
        holder.run("x = 1")
        holder.save()
        holder.run("big = 'x' * 1_000_000; x = 2")
        holder.save()
        assert cells.checkpoint(store, session.key).cell == 1
        assert len(list(store.paths.repl.glob("*.vars"))) == 1
        holder.kill()
        found = holder.run("x, len(big)")
        assert (found.output, found.notes) == (
            "(2, 1000000)",
            (f"variables restored as of c1; run again: c2; {_AS_OF} now",),
        )
    finally:
        holder.repl.close()


def test_parking_saves_and_ends_the_process(holder):
    """The next Cell starts another; nothing is run again."""
    holder.run("x = 1; import random; r = random.random()")
    r = holder.shown("r")
    holder.repl.park(holder.store, holder.session)
    assert not holder.repl.is_live
    found = holder.run("r")
    assert (found.output, found.notes) == (r, ("variables restored as of c2",))


def test_functions_that_use_the_context_work_after_a_restart(holder):
    """Though no code of the next Cell names it."""
    holder.run("def n(): return len(context)\nclass A:\n    @property\n    def n(self): return len(context)\na = A()")
    holder.save()
    holder.kill()
    assert holder.shown("n() == a.n > 100") == "True"


def test_a_session_that_grows_is_seen_as_it_is_by_cells_that_are_run_again(store, tmp_path):
    """And by the next ones."""
    made = a_day(turns=1)
    path = made.save(tmp_path / "s.jsonl")
    holder = Holder(store, locate(store, transcript=path))
    try:
        holder.run("first = session.events[0]; turns = len(session.turns)")
        holder.save()
        made.user("more")
        made.save(path)
        holder.session = locate(store, transcript=path)
        assert holder.shown("turns, len(session.turns), first.text == session.events[0].text") == "(1, 2, True)"
        holder.kill()
        assert holder.shown("turns, len(session.turns), first is session.events[0]") == "(1, 2, True)"
    finally:
        holder.repl.close()


# several at once


def test_two_processes_take_turns_on_one_session(holder, other, store, session):
    """Each sees what the other's Cells have made; the journal has them in order."""
    holder.run("rows = []")
    for number in range(6):
        found = (holder, other)[number % 2].run(f"rows.append({number}); rows")
        assert found.output == str(list(range(number + 1)))
    assert [row.number for row in cells.after(store, session.key, 0)] == list(range(1, 8))


def test_a_process_that_is_behind_does_not_overwrite_newer_saved_variables(holder, other, store, session):
    """It has nothing to say of the Cells that another has run since."""
    holder.run("x = 1")
    other.run("x = 2")
    other.save()
    holder.save()
    holder.repl.park(store, session)
    assert cells.checkpoint(store, session.key).cell == 2
    assert holder.run("x").output == "2"


def test_a_cell_waits_for_another_of_its_session_and_is_refused_in_the_end(holder, other):
    """Within a process and over processes; who holds it is told."""
    holder.run("begun = True")
    running = threading.Thread(target=holder.run, args=("while True: pass", 3.0))
    running.start()
    while not holder.repl._lock.locked() or holder.repl._number != -1:
        pass
    with pytest.raises(ReplBusy, match="is still running"):
        holder.run("1", 0.2)
    with pytest.raises(ReplBusy, match=f"process {os.getpid()} runs a Cell"):
        other.run("1", 0.2)
    with pytest.raises(ReplBusy):
        holder.repl.save(holder.store, holder.session)
    with pytest.raises(ReplBusy):
        holder.repl.park(holder.store, holder.session)
    assert holder.repl.is_live
    holder.repl.interrupt()
    running.join()
    assert other.shown("1") == "1"


def test_an_owner_stops_its_own_cell_alone_and_also_one_that_waits(holder, store):
    """Nobody else's; and the next one runs."""
    mine, theirs = object(), object()
    holder.run("begun = True")
    answers = {}

    def run(name: str, code: str, owner: object) -> None:
        with open_store(store.paths, store.settings) as opened:
            runner = Holder(opened, holder.session)
            runner.repl = holder.repl
            try:
                answers[name] = runner.run(code, 20.0, owner).status
            except ReplBusy as error:
                answers[name] = str(error)

    first = threading.Thread(target=run, args=("first", "while True: pass", mine))
    first.start()
    while holder.repl._number != -1:
        pass
    second = threading.Thread(target=run, args=("second", "ran = True", theirs))
    second.start()
    while len(holder.repl._callers) < 2:
        pass
    holder.repl.interrupt(object())
    holder.repl.interrupt(theirs)
    second.join()
    assert "is still running" in answers["second"]
    assert first.is_alive()
    holder.repl.interrupt(mine)
    first.join()
    assert answers["first"] is CellStatus.INTERRUPTED
    assert holder.run("ran").status is CellStatus.ERROR
    assert holder.shown("1") == "1"


def test_a_cell_cancelled_while_variables_are_restored_does_not_run(holder):
    """What was being run again is stopped as well; the next Cell restores anew."""
    holder.run("import time; x = 1")
    holder.run("time.sleep(1.0); y = 2")
    holder.kill()
    holder.repl._unsaved_cells = 0

    def stop() -> None:
        while holder.repl._number != -1:
            pass
        holder.repl.interrupt("me")

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(ReplBusy, match="cancelled before it began"):
        holder.run("x = 'never'", owner="me")
    stopper.join()
    assert holder.shown("x, y") == "(1, 2)"


def test_closing_while_a_cell_runs_ends_it(holder):
    """It goes into the journal as such; nothing breaks."""
    holder.run("y = 1")

    def close() -> None:
        while holder.repl._number != -1:
            pass
        holder.repl.close()

    closer = threading.Thread(target=close)
    closer.start()
    found = holder.run("x = 1\nwhile True: pass")
    closer.join()
    assert found.status is CellStatus.ENDED
    assert holder.run("1").output == "1"


def test_a_cell_that_could_not_be_written_down_has_not_been(holder, store):
    """The journal is what counts: its variables are gone with it."""
    holder.run("x = 1")
    store.connection.execute("ALTER TABLE cell RENAME TO hidden")
    with pytest.raises(StoreError):
        holder.run("x = 2")
    store.connection.execute("ALTER TABLE hidden RENAME TO cell")
    assert holder.shown("x") == "1"
    with open_store(Paths(home=store.paths.home / "empty"), Settings()) as empty:
        fresh = Holder(empty, holder.session)
        empty.connection.execute("ALTER TABLE cell RENAME TO hidden")
        with pytest.raises(StoreError):
            fresh.run("x = 'lost'")
        empty.connection.execute("ALTER TABLE hidden RENAME TO cell")
        assert fresh.run("x").status is CellStatus.ERROR
        fresh.repl.close()


def test_a_start_that_fails_is_told_and_tried_again(store, session):
    """By its own error."""
    fails = [ReplGone("no child today")]

    def start_one() -> Repl:
        if fails:
            raise fails.pop()
        return start()

    holder = Holder(store, session, start_one)
    try:
        with pytest.raises(ReplGone, match="no child today"):
            holder.run("1")
        assert holder.shown("1") == "1"
    finally:
        holder.repl.close()


# a host that is killed


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many steps the driver takes."""
    start().close()  # or there is nothing to test here
    folder = tmp_path_factory.mktemp("count")
    ended = _driven(folder, a_day(turns=1).save(folder / "s.jsonl"), 0)
    assert ended.returncode == 0, ended.stderr.decode()
    return int(ended.stdout.split()[-1])


def _driven(folder: Path, transcript: Path, last: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, str(_ROOT / "tests/verbs/repl_driver.py"), str(folder / "store"), str(transcript), str(last)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("part", range(4))
def test_a_host_killed_at_any_step_loses_no_cell_that_was_answered(part, steps, tmp_path):
    """Whoever comes next has the variables of every Cell that was answered, and of none but the one after it."""
    transcript = a_day(turns=1).save(tmp_path / "s.jsonl")
    for last in range(1 + part, steps + 1, 4):
        folder = tmp_path / str(last)
        ended = _driven(folder, transcript, last)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        answered = ended.stdout.count(b"answered")
        with open_store(Paths(home=folder / "store"), Settings()) as store:
            holder = Holder(store, locate(store, transcript=transcript))
            try:
                written = cells.last_number(store, holder.session.key)
                assert written in (answered, min(answered + 1, len(CELLS))), last
                if written:
                    found = holder.run("len(rows), mine is rows, 'total' not in globals() or total() == sum(rows)")
                    assert found.output == f"({_ROWS_AFTER[written]}, True, True)", (last, found.text)
                    assert "came to another end" not in found.text
                holder.repl.park(store, holder.session)
                assert len(list(store.paths.repl.glob("*.vars"))) <= 1
            finally:
                holder.repl.close()


def test_two_processes_at_once_lose_no_cell(tmp_path):
    """Each runs the same Cells as fast as it can."""
    start().close()
    transcript = a_day(turns=1).save(tmp_path / "s.jsonl")
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        holder = Holder(store, locate(store, transcript=transcript))
        holder.run("n = 0")
        code = (
            "import sys; sys.path[:0] = [sys.argv[1]]\n"
            "from tests.verbs.test_repl import counting; counting(*sys.argv[2:])"
        )
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(_ROOT), str(tmp_path / "store"), str(transcript)],
                stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )
            for _racer in range(2)
        ]  # fmt: skip
        for _time in range(10):
            holder.run("n += 1")
        for racer in racers:
            out, _error = racer.communicate(timeout=120)
            assert (racer.returncode, out) == (0, b"10\n")
        assert holder.shown("n") == "30"
        holder.repl.close()


def counting(home: str, transcript: str) -> None:
    """Count ten times, in a process of its own."""
    with open_store(Paths(home=Path(home)), Settings()) as store:
        holder = Holder(store, locate(store, transcript=Path(transcript)))
        done = sum(holder.run("n += 1").status is CellStatus.OK for _time in range(10))
        holder.repl.close()
    print(done)
