"""rlm_mcp.sandbox.monty.repl: what is Monty's own, beside what every Repl does (test_repl_conformance.py)."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import ReplGone
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.repl import Handed
from rlm_mcp.store import sessions
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.bindings import bindings
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.repl import SessionRepl
from tests.build import a_day
from tests.repls import NOBODY, Rig

pytest.importorskip("pydantic_monty")

from rlm_mcp.sandbox.monty.repl import MontyRepl  # where there is one

_OUTPUT_BYTES = 1 << 16


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A Repl that sees nothing."""
    repl = MontyRepl(None, memory_bytes=256 << 20, output_bytes=_OUTPUT_BYTES)
    yield Rig(repl, {})
    repl.close()


def _pid(rig: Rig) -> int:
    with rig.repl._worker.turn(5.0):
        return rig.repl._worker._pid


def test_what_is_missing_of_python_is_said(rig):
    """By help, by the layers, and behind the error that it leads to."""
    assert "a subset of Python" in rig.repl.layers[0]
    told = rig.shown("help()")
    for word in ("no class inheritance", "modules: re json math", "session.between", "no network"):
        assert word in told
    for code in ("class A(Exception): pass", "import subprocess", "x = 1\ndel x", "def f():\n    yield 1"):
        assert rig.fails(code).startswith("(This Repl runs Monty, a subset of Python; help()")
    assert "session.between" in rig.fails("session['t1':'t2']")
    assert "use a loop" in rig.fails("sorted(['e1'], key=read)")


def test_the_modules_that_help_names_are_there(rig):
    """And no other of the well-known ones."""
    told = rig.shown("help()").partition("modules: ")[2].partition(", and no other")[0]
    names = told.replace("\n", " ").split()
    assert len(names) > 15
    for name in names:
        rig.shown(f"import {name}")
    for name in ("statistics", "textwrap", "difflib", "string", "operator", "enum", "io", "zlib", "uuid"):
        assert name not in names
        rig.fails(f"import {name}")


def test_a_flood_past_our_own_print_ends_the_worker(rig):
    """A Cell can find Monty's own print; what is kept is still bounded."""
    found = rig.run("loud = eval('print', {})\nwhile True:\n    loud('y' * 1000)")
    assert found.ending is None
    assert "printed more than" in found.why
    assert len(found.output) <= _OUTPUT_BYTES
    assert found.lost_bytes > 0


@pytest.mark.parametrize(
    "code",
    [
        "_rlm = 3",
        "class Fake:\n    def told(self, names): return {'variables': [('a',)] * 3, 'lost': 0}\n_rlm = Fake()",
        "class Fake:\n    def told(self, names): return {'variables': [('a', 'b')] * 20_000, 'lost': 0}\n_rlm = Fake()",
        "class Fake:\n    def told(self, names): return {'variables': [], 'lost': 'x'}\n_rlm = Fake()",
        "class Fake:\n    def told(self, names): return 'x'\n_rlm = Fake()",
        "_rlm_call(locals())",
    ],
)
def test_a_cell_that_breaks_what_the_host_needs_ends_its_worker(rig, code):
    """The host believes nothing that is not of the right shape."""
    found = rig.run(code)
    assert found.ending is None
    assert found.why
    assert not rig.repl.is_alive


def test_a_giant_value_in_a_call_is_refused(rig):
    """It crosses the wire, and that is all."""
    assert "what is given" in rig.fails("_rlm_call([0] * 1_000_000)")
    assert rig.shown("1 + 1") == "2"


def test_a_worker_that_dies_by_itself_is_told(rig):
    """Its variables are gone; what it had printed is kept."""
    pid = _pid(rig)
    rig.bindings = {"read": lambda ref: os.kill(pid, signal.SIGKILL) or Handed(content=b"")}
    found = rig.run("print('so far')\nread('e1')")
    assert (found.ending, found.output) == (None, "so far\n")
    assert "died" in found.why


def test_no_worker_is_left(rig):
    """Neither after the end of a Repl nor after a Cell that had to be ended."""
    pids = [_pid(rig)]
    rig.run("while True: pass", 0.2)
    other = Rig(MontyRepl(None), {})
    pids.append(_pid(other))
    other.repl.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_folder_that_is_not_there_cannot_be_mapped(tmp_path):
    """It is said when the Repl is started."""
    with pytest.raises(ReplGone, match="nowhere"):
        MontyRepl(tmp_path / "nowhere")


def test_frames_name_their_cells_whatever_monty_refused_before(rig):
    """Monty gives no number to some texts that it does not take."""
    rig.run("1+" * 20_000 + "1")
    rig.run("x = = 1")
    rig.shown("def half(a): return a / 0")
    assert "<cell 4>" in rig.run("half(1)").output
    assert "<cell 3>" in rig.run("half(1)").output


def _log(tmp_path: Path, length: int) -> tuple[dict, dict]:
    """A session with one event of that length, and the host functions over it."""
    path = tmp_path / "log"
    path.write_bytes(b"@e1\n" + b"x" * length + b"\n")
    session = {**NOBODY, "events": 1, "turns": 1, "log_bytes": length + 5}
    rows = [[1, 1, "prompt", "", "", 0, 1.0, 4, length]]
    functions = {
        "log": lambda session: Handed(path=path, length=length + 5),
        "events": lambda session, after: Handed(content=json.dumps(rows[after:]).encode()),
        "search": lambda query: {"text": f"found {query}", "total": 0, "hits": []},
    }
    return session, functions


def test_a_session_that_is_too_long_to_hold_is_said_to_be(rig, tmp_path):
    """Search and read go on; Cells that do not need its text are not troubled."""
    rig.session, rig.bindings = _log(tmp_path, 40 << 20)
    for code in ("session['t1']", "session.grep('x')", "context", "[e for e in session]"):
        assert "too many to hold here; use session.search" in rig.fails(code)
    assert rig.shown("session.search('y').text") == "'found y'"
    assert rig.shown("1 + 1") == "2"


def test_a_long_session_arrives_in_pieces(rig, tmp_path):
    """And only once."""
    rig.session, rig.bindings = _log(tmp_path, 20 << 20)
    assert rig.shown("len(session.events[0].text), len(context), session['e1:5-9'].text") == (
        f"({20 << 20}, {(20 << 20) + 5}, 'xxxx')"
    )


def test_documents_beyond_what_can_be_held_are_there_by_name(rig):
    """Named in the Cell, or read in spans."""
    rows = [
        {"name": name, "sha256": name * 64, "ref": f"d{name}", "path": "", "length": 20 << 20}
        | {"lines": 1, "encoding": "utf-8"}
        for name in "ab"
    ]
    rig.bindings = {
        "documents": lambda: rows,
        "document": lambda sha256: Handed(content=sha256[:1].encode() * (20 << 20)),
    }
    assert rig.shown("len(docs['a'].text)") == str(20 << 20)
    assert "read spans of it: read('db:0-100000')" in rig.fails("[len(docs[name]) for name in docs]")


def test_what_cells_have_named_is_kept_over_a_save(rig, tmp_path):
    """A function made before it finds the session as it is now."""
    rig.session, rig.bindings = _log(tmp_path, 10)
    rig.shown("def size(): return len(context) + len(session.events)")
    descriptor = os.open(tmp_path / "saved", os.O_RDWR | os.O_CREAT)
    saved = rig.repl.save(descriptor)
    rig.repl.close()
    rig.repl = MontyRepl(None, memory_bytes=256 << 20)
    assert rig.repl.restore(rig.session, saved.variables, descriptor, rig.bindings).lost == ()
    assert rig.shown("size()") == "16"
    os.close(descriptor)


def test_variables_of_another_version_are_lost_by_name(rig, tmp_path):
    """Monty reads only what the same version of it wrote."""
    descriptor = os.open(tmp_path / "saved", os.O_RDWR | os.O_CREAT)
    rig.shown("x = 1")
    saved = rig.repl.save(descriptor)
    content = os.pread(descriptor, 1 << 24, 0)
    stamp = json.loads(content.split(b"\n")[1])["stamp"].encode()
    os.pwrite(descriptor, content.replace(stamp, b"f" * len(stamp)), 0)
    assert dict(rig.repl.restore(NOBODY, saved.variables, descriptor, {}).lost) == {
        "x": "saved by another version of rlm-mcp or Monty"
    }
    os.pwrite(descriptor, content[:-100] + bytes(100), 0)
    assert list(dict(rig.repl.restore(NOBODY, saved.variables, descriptor, {}).lost)) == ["x"]
    assert rig.shown("1 + 1") == "2"
    os.close(descriptor)


def test_variables_outlive_a_cell_that_had_to_be_ended(tmp_path):
    """In a Session the journal brings them back: as they were before that Cell."""
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        session = locate(store, transcript=a_day().save(tmp_path / "day.jsonl"))
        scope = sessions.continued(store, session)
        functions = bindings(store, scope, repo=None, repo_missing="none")
        repl = SessionRepl(lambda: MontyRepl(None, memory_bytes=256 << 20))
        repl.run(store, scope, "x = [1]\ndef more(): x.append(len(x) + 1)", functions)
        repl.run(store, scope, "more()", functions)
        ended = repl.run(store, scope, "x.clear()\nwhile True: pass", functions, timeout_seconds=0.3)
        assert any("variables are as they were before this Cell" in note for note in ended.notes)
        after = repl.run(store, scope, "more()\nx", functions)
        assert after.output == "[1, 2, 3]"
        assert after.ref == "c4"
        repl.close()
        again = SessionRepl(lambda: MontyRepl(None, memory_bytes=256 << 20))
        assert again.run(store, scope, "x, len(session.turns)", functions).output == "([1, 2, 3], 4)"
        again.close()


def test_a_run_sees_the_texts_it_was_given(rig):
    """``context`` is what ``rlm_query`` was given for it; quotes go to the host."""
    quoted: list[list[str]] = []

    def quote(quotes):
        quoted.append(quotes)

    rig.session = {**NOBODY, "context": {"parts": 2, "is_list": True}}
    rig.bindings = {
        "context": lambda part: Handed(content=f"text {part} \u00e4".encode()),
        "quotes": quote,
    }
    assert rig.shown("context, len(context)") == "(['text 0 \u00e4', 'text 1 \u00e4'], 2)"
    found = rig.run("FINAL('done', quotes=['text 0'])")
    assert (found.ending, found.final, quoted) == (Ending.FINAL, "done", [["text 0"]])
