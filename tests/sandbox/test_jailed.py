"""rlm_mcp.sandbox.jailed: whatever a Cell does, its outcome is there in time, and the next one has a Repl."""

import json
import os
import resource
import signal
import struct
import threading
import time
from pathlib import Path

import pytest

from rlm_mcp.errors import QueryError, ReplGone
from rlm_mcp.sandbox.answering import leave
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.repl import Cell, Handed
from tests.repls import NOBODY, Rig, opened, rigged, start

FIND_SOCKET = """
import socket, struct, json, os
end = session._host._end
def forge(raw, length=None):
    end.sendall(struct.pack(">I", len(raw) if length is None else length) + raw)
def done(**more):
    fields = {"kind": "Done", "number": session._host.runner.cell, "ending": "ok", "written_bytes": 0, "lost_bytes": 0}
    forge(json.dumps({**fields, "final_start": -1, "variables": [], **more}).encode())
"""


# time


def test_a_cell_that_takes_too_long_is_stopped_and_keeps_what_it_has(rig: Rig):
    """With its variables, its output and the line it was at."""
    found = rig.run("x = 1\nprint('begun')\nwhile True:\n    x += 1", 0.3)
    assert found.ending is Ending.INTERRUPTED
    assert found.output.startswith("begun\nTraceback")
    assert found.output.endswith("CellTimeout: the Cell ran into its time limit; what it assigned until then is kept\n")
    assert 'File "<cell 1>", line ' in found.output
    assert int(rig.shown("x")) > 1


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(600)",
        "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
        "while True:\n    try:\n        while True: pass\n    except Exception: pass",
        "for i in iter(int, 1): pass",
        "import select; select.select([], [], [])",
        "sum(iter(int, 1))",
        "def g():\n    while True: yield\nlist(g())",
        "import signal; signal.sigwait([signal.SIGUSR1])",
    ],
)
def test_every_kind_of_waiting_is_stopped(rig, code):
    """Where the interpreter can be told, in order; else by the end of the child."""
    found = rig.run(code, 0.3, grace=2.0)
    assert found.ending in (Ending.INTERRUPTED, None)
    if found.ending is None:
        assert found.why == "it ran into its time limit and would not end"
        assert not rig.repl.is_alive


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "def f():\n    try:\n        while True: pass\n    finally:\n        f()\nf()",
        (
            "import signal\nsignal.setitimer = signal.signal = lambda *a: None\nwhile True:\n"
            "    try:\n        while True: pass\n    except BaseException: pass"
        ),
        (
            "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
        ),
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "10 ** 10 ** 9",
        "class A:\n    def __del__(self):\n        while True: pass\na = A(); del a",
    ],
)
def test_a_cell_that_will_not_stop_is_ended_with_its_child(rig, code):
    """At its time limit and grace; what it printed before is kept."""
    began = time.monotonic()
    found = rig.run(f"print('kept')\n{code}", 0.3, grace=0.5)
    if found.ending is None:
        assert found.output.startswith("kept\n")
        assert found.why in ("it ran into its time limit and would not end", "ended by signal 14")
        assert not rig.repl.is_alive
    else:
        assert found.ending in (Ending.INTERRUPTED, Ending.OK)
        assert found.output.startswith("kept\n")
        assert "CellTimeout" in found.output
    assert time.monotonic() - began < 10


def test_a_stopped_cell_is_interrupted_from_another_thread(rig):
    """In order, with what it has; the next one runs."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    found = rig.run("x = 1\nwhile True: pass", stop=stop)
    assert found.ending is Ending.INTERRUPTED
    assert found.output.endswith("KeyboardInterrupt: the Cell was interrupted; what it assigned until then is kept\n")
    assert rig.shown("x") == "1"


def test_a_cell_that_is_stopped_before_it_begins_does_not_go_on(rig):
    """Nor one whose stop comes while a host function is asked; nor does its stop reach the next."""
    stop = threading.Event()
    stop.set()
    found = rig.run("while True: pass", stop=stop)
    assert found.ending is Ending.INTERRUPTED

    stop = threading.Event()
    rig.bindings = {"repo_missing": lambda: stop.set() or "none"}
    found = rig.run("try:\n    repo.root\nexcept Exception: pass\nwhile True: pass", stop=stop)
    assert found.ending is Ending.INTERRUPTED
    for _time in range(50):
        assert rig.shown("1") == "1"


def test_a_stop_that_a_cell_swallows_is_its_end(rig):
    """Told again and again through the grace, then ended."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    found = rig.run(code, stop=stop, grace=0.5)
    assert found.ending is None
    assert found.why == "it did not stop when it was told to and would not end"


def test_a_cell_that_asks_the_host_for_ever_is_stopped(rig):
    """By its time limit and by a stop, though it never waits for anything else."""
    rig.bindings = {"repo_missing": lambda: "none"}
    code = "while True:\n    try:\n        repo.root\n    except Exception: pass"
    assert rig.run(code, 0.5).ending is Ending.INTERRUPTED
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    assert rig.run(code, stop=stop).ending is Ending.INTERRUPTED
    found = rig.run(code.replace("Exception", "BaseException"), 0.3, grace=0.5)
    assert found.ending in (None, Ending.INTERRUPTED)


def test_a_host_function_that_takes_too_long_is_the_cells_time_out_and_not_its_end(rig):
    """It is told, and left; the Cell keeps what it has, the next one is answered, and nothing of it comes late."""
    go_on, told = threading.Event(), threading.Event()

    def slow():
        with leave().waking(told.set):
            assert go_on.wait(60)
        return "late"

    rig.bindings = {"repo_missing": slow, "read": lambda ref: Handed(content=ref.encode())}
    found = rig.run("x = 5\nprint('kept')\nrepo.root", 1.0, grace=2.0)
    assert found.ending is Ending.INTERRUPTED
    assert found.output.startswith("kept\n")
    assert found.output.rstrip().splitlines()[-1].startswith("CellTimeout: the Cell ran into its time limit")
    assert told.is_set()
    assert rig.shown("x, read('e5')") == "(5, 'e5')"
    go_on.set()
    assert rig.shown("x, read('e6')") == "(5, 'e6')"


def test_a_stop_does_not_wait_for_a_host_function(rig):
    """The Cell is interrupted, and its variables are there."""
    go_on, began, stop = threading.Event(), threading.Event(), threading.Event()
    rig.bindings = {"repo_missing": lambda: began.set() or str(go_on.wait(60))}
    threading.Thread(target=lambda: began.wait(60) and stop.set()).start()
    found = rig.run("x = 5\nrepo.root", stop=stop, grace=2.0)
    go_on.set()
    assert found.ending is Ending.INTERRUPTED
    assert "KeyboardInterrupt: the Cell was interrupted" in found.output
    assert rig.shown("x") == "5"


def test_a_cell_that_swallows_its_time_out_in_host_functions_is_ended(rig):
    """None is begun for it any more once it was left."""
    asked = []
    go_on = threading.Event()
    rig.bindings = {"repo_missing": lambda: asked.append(1) or str(go_on.wait(60))}
    code = "while True:\n    try:\n        repo.root\n    except BaseException: pass"
    found = rig.run(code, 1.0, grace=1.0)
    go_on.set()
    assert found.ending is None
    assert found.why == "it ran into its time limit and would not end"
    assert len(asked) == 1


def test_cells_that_leave_many_host_functions_behind_are_told_to_wait(rig):
    """A few may be at work for nobody; when they have ended there is room again."""
    go_on = threading.Event()
    rig.bindings = {"read": lambda ref: Handed(content=str(go_on.wait(60)).encode())}
    found = rig.run("read('e1')", 0.2, grace=2.0)
    while found.ending is not Ending.ERROR:
        assert found.ending is Ending.INTERRUPTED
        found = rig.run("read('e1')", 0.2, grace=2.0)
    assert found.output.rstrip().endswith("are still at work; try again soon")
    go_on.set()
    while rig.run("read('e1')").ending is not Ending.OK:
        pass


# its end


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os._exit(0)", "exit code 0"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.abort()", "crashed"),
        ("import ctypes; ctypes.string_at(8)", "segmentation fault"),
        ("session._host._end.close()", ""),
        ("import os; os.closerange(0, 4096)", ""),
    ],
)
def test_a_child_that_ends_in_the_middle_says_how(rig, code, why):
    """What the Cell printed before is there; nothing hangs; later calls say that it is gone."""
    found = rig.run(f"print('before')\n{code}\nprint('after')")
    assert found.ending is None
    assert found.output.startswith("before\n")
    assert why in found.why
    assert not rig.repl.is_alive
    assert rig.run("1").ending is None
    with pytest.raises(ReplGone):
        rig.repl.save(0)
    with pytest.raises(ReplGone):
        rig.repl.restore(NOBODY, (), None, {})


def test_a_child_killed_from_outside_is_told(rig):
    """While it runs a Cell, and while it waits for one."""
    killer = threading.Timer(0.3, os.kill, (rig.repl._jail.pid, signal.SIGKILL))
    killer.start()
    found = rig.run("print('before')\nwhile True: pass")
    assert (found.ending, found.output) == (None, "before\n")
    assert "killed it" in found.why
    with rigged() as other:
        os.kill(other.repl._jail.pid, signal.SIGKILL)
        while other.repl.is_alive:
            pass
        assert other.run("1").ending is None


def test_closing_from_another_thread_ends_the_cell_that_runs(rig):
    """Whoever waits for it is told; the output's descriptor is not taken from under it."""
    before = opened()
    closer = threading.Timer(0.3, rig.repl.close)
    closer.start()
    found = rig.run("print('before')\nwhile True: pass")
    closer.join()
    assert (found.ending, found.output) == (None, "before\n")
    assert rig.run("1").why == "it was closed"
    rig.repl.close()
    assert opened() < before


def test_an_interrupt_of_the_host_leaves_no_child_in_the_middle_of_a_turn(rig):
    """A Ctrl-C in the host's own main thread: the child is ended, as half a turn cannot be taken up again."""

    def interrupted() -> str:
        raise KeyboardInterrupt

    rig.bindings = {"repo_missing": interrupted}
    with pytest.raises(KeyboardInterrupt):
        rig.run("repo.root")
    assert not rig.repl.is_alive


# forged frames


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("forge(b'', 0xffffffff)", "at most"),
        ("forge(b'x' * 100, 0x7fffffff)", "at most"),
        ("forge(b'no json')", "not JSON"),
        ("forge(b'[' * 100_000)", "not JSON"),
        ("forge(b'[]')", "not an object"),
        ("forge(b'{}')", "no message"),
        ('forge(b\'{"kind": "Ready", "layers": []}\')', "Ready in place of Done"),
        ('forge(b\'{"kind": "Saved", "variables": [], "unsaved": [], "complaint": ""}\')', "Saved in place"),
        ('forge(b\'{"kind": "Restored", "lost": []}\')', "Restored in place"),
        ('forge(b\'{"kind": "Refused", "message": "I will not"}\')', "I will not"),
        ('forge(b\'{"kind": "SetUp", "bounds": {}}\')', "no message"),
        ('forge(b\'{"kind": "Run", "number": 1}\')', "no message"),
        ("done(written_bytes=-1)", "written_bytes is -1"),
        ("done(written_bytes=10**30)", "written_bytes is"),
        ("done(ending='perfect')", "ending is"),
        ("done(variables=[['x', '\\ud800']])", "variables is"),
        ("done(more=1)", "other fields"),
        ("forge(json.dumps({'kind': 'Call', 'name': 5, 'arguments': {}}).encode())", "name is 5"),
        ("forge(json.dumps({'kind': 'Call', 'name': 'log', 'arguments': [1]}).encode())", "arguments is"),
    ],
)
def test_a_forged_frame_is_the_end_of_its_child(rig, code, why):
    """Giant, cut, out of turn or of any shape: the host says what it was, and nothing else happens."""
    rig.run(FIND_SOCKET)
    found = rig.run(f"print('before')\n{code}\nimport time; time.sleep(60)")
    assert found.ending is None
    assert why in found.why
    assert found.output == "before\n"
    assert not rig.repl.is_alive


def test_a_frame_that_never_ends_is_the_end_of_its_child(rig):
    """A header and then nothing: its Cell's time is all it gets."""
    rig.run(FIND_SOCKET)
    found = rig.run("end.sendall(b'\\0\\0\\0\\x50{')\nwhile True: pass", 0.5, grace=0.5)
    assert found.ending is None
    assert not rig.repl.is_alive


def test_a_second_answer_breaks_the_wire_of_its_own_repl_alone(rig):
    """A Cell that forges its end, and then ends: one of the next turns finds what nobody asked for."""
    rig.run(FIND_SOCKET)
    found = rig.run("done(variables=[['forged', 'yes']])")
    assert found.ending is Ending.OK
    assert found.variables == (("forged", "yes"),)
    for _turn in range(3):
        found = rig.run("import time; time.sleep(0.05); 5")
        if found.ending is None:
            break
    assert found.ending is None
    assert not rig.repl.is_alive
    with rigged() as other:
        assert other.shown("5") == "5"


def test_forged_places_in_the_output_give_only_what_is_in_the_file(rig):
    """Wherever they point: no error, nothing of another Cell, no room for terabytes."""
    rig.run(FIND_SOCKET)
    rig.run("print('of the cell before')")
    for more in ("written_bytes=1 << 52", "written_bytes=5, final_start=1 << 50", "final_start=0, written_bytes=2"):
        found = rig.run(f"print('abc')\ndone({more})\nimport time; time.sleep(0.2)")
        assert found.ending is Ending.OK
        assert "before" not in found.output + (found.final or "")
        assert found.output.rstrip("\0") in ("", "abc\n")
        assert len(found.output) <= (1 << 20) + (1 << 17)
        rig.repl.close()
        rig = Rig(start(), {})
        rig.run(FIND_SOCKET)
    rig.repl.close()


def test_an_output_file_keeps_its_length_whatever_a_cell_does(rig):
    """It is main storage beyond the child's own limit; nothing of one Cell is left in it for the next."""
    rig.run("import os\noutput = __import__('sys').stdout._descriptor; size = os.fstat(output).st_size")
    assert int(rig.shown("size")) < (1 << 20) + (1 << 17)
    for forbidden in (
        "os.ftruncate(output, 1 << 29)",
        "os.ftruncate(output, 0)",
        "os.pwrite(output, b'far', 1 << 29)",
        "os.posix_fallocate(output, 0, 1 << 29)",
    ):
        found = rig.run(forbidden)
        assert found.ending is Ending.ERROR, forbidden
        assert "Error" in found.output
    rig.run("n = os.pwrite(output, b'x' * 1000, size - 1000); print('y' * 100_000)")
    assert rig.shown("os.fstat(output).st_size - size, os.pread(output, 5, size - 5)") == f"(0, {bytes(5)!r})"
    found = rig.run("print('last words')\nos._exit(0)")
    assert (found.ending, found.output) == (None, "last words\n")
    with rigged() as other:
        other.run("import os\noutput = __import__('sys').stdout._descriptor")
        assert other.run("os.close(output)\nprint('lost')").ending in (None, Ending.ERROR)


def test_a_long_output_is_whole_wherever_its_characters_lie():
    """Of several bytes each, at no round places."""
    with rigged(output_bytes=4 << 20) as long:
        found = long.run("print('x' + '\u00e4\u20ac\U0001f600' * 300_000)")
        assert found.output == "x" + "\u00e4\u20ac\U0001f600" * 300_000 + "\n"
        found = long.run("FINAL('\u20ac' * 1_000_000)")
        assert found.final == "\u20ac" * 1_000_000


def test_floods_of_forged_calls_are_answered_until_the_time_is_over(rig):
    """And replies that nobody reads do not hold the host longer than a frame may take."""
    asked = []
    rig.bindings = {"repo_missing": lambda: asked.append(1) or "none"}
    rig.run(FIND_SOCKET)
    code = (
        "frame = json.dumps({'kind': 'Call', 'name': 'repo_missing', 'arguments': {}}).encode()\n"
        "while True: forge(frame)"
    )
    found = rig.run(code, 0.5, grace=0.5)
    assert found.ending in (None, Ending.INTERRUPTED)
    assert asked


def test_frames_written_to_the_descriptor_itself_fare_no_better(rig):
    """By its number, past every object of ours."""
    found = rig.run("import os\nos.write(session._host._end.fileno(), b'\\xff' * 8)\nwhile True: pass", 5.0)
    assert found.ending is None
    assert "at most" in found.why
    assert not rig.repl.is_alive


# host functions


def test_host_functions_get_what_the_cell_gave_and_their_answers_come_back(rig):
    """Small ones in a frame, large ones mapped, files as files; errors by name and message."""
    given = []

    def search(query, **filters):
        given.append((query, filters))
        return {"text": "found", "total": 1, "hits": []}

    rig.bindings = {
        "search": search,
        "documents": lambda: [_document(number) for number in range(20_000)],
        "document": lambda sha256: Handed(content=b"x" * 1_000_000),
        "read": _failing,
    }  # fmt: skip
    assert rig.shown("session.search('\\u00e4', kind='reply').text") == "'found'"
    assert given == [("\u00e4", {"kind": "reply"})]
    assert rig.shown("len(docs), len(docs['d7'].text), docs['d7'].raw[:2].tobytes()") == "(20000, 1000000, b'xx')"
    assert rig.fails("read('e99')") == "HostError: no 'e99' here"
    assert rig.fails("session.facts()") == "HostError: no host function 'facts'"


def _document(number):
    """As the host tells of one."""
    row = {"name": f"d{number}", "sha256": str(number), "ref": "r", "path": "", "length": 3, "lines": 1}
    return {**row, "encoding": "utf-8"}


def _failing(ref):
    raise QueryError(f"no {ref!r} here")


def test_wrong_calls_of_host_functions_are_errors_of_the_cell(rig):
    """Too many arguments, too few, of other names; too long; no JSON."""
    rig.bindings = {"search": lambda query: query}
    for named in ("no", "name", "self_", "\u00e4 b"):
        call = f"session.search('x', **{{{named!r}: 1}})"
        assert rig.fails(call).startswith("HostError: search: got an unexpected keyword argument")
    assert rig.fails("session.search()").startswith("TypeError")
    assert rig.fails("session.search('x' * 9_000_000)").startswith("FrameTooLong: 9,0")
    assert rig.fails("session.search(object())").startswith("TypeError")
    assert rig.fails("session.search('\\ud800')").startswith("UnicodeEncodeError")
    assert rig.shown("1") == "1"


def test_a_host_function_that_breaks_ends_the_child_and_is_not_hushed(rig):
    """A fault of ours is seen; the child would wait for ever."""
    rig.bindings = {"repo_missing": lambda: 1 / 0}
    with pytest.raises(ZeroDivisionError):
        rig.run("repo.root")
    assert not rig.repl.is_alive


def test_a_file_that_is_gone_or_short_is_an_error_of_the_cell(rig, tmp_path):
    """And never a crash of the child."""
    path = tmp_path / "log"
    rig.bindings = {"log": lambda session: Handed(path=path, length=100)}
    rig.session = {**NOBODY, "log_bytes": 100}
    assert rig.fails("session.text").startswith("HostError")
    path.write_bytes(b"short")
    assert rig.fails("session.text").startswith("ValueError")
    path.write_bytes(b"x" * 200)
    assert rig.shown("len(session.text)") == "100"


def test_an_empty_file_is_an_empty_text(rig):
    """Nothing can be mapped of it."""
    rig.bindings = {"log": lambda session: Handed(content=b"")}
    assert rig.shown("session.text, len(session.raw)") == "('', 0)"


# the long run


def test_a_thousand_cells_leave_nothing_behind(rig):
    """No descriptor on either side; answers stay right."""
    rig.bindings = {
        "documents": list,
        "read": lambda ref: Handed(content=b"y" * 100_000),
        "log": lambda session: Handed(content=b"z" * 1_000),
    }
    rig.session = {**NOBODY, "log_bytes": 1_000}
    code = (
        "import os\ndef opened():\n    n = 0\n    for i in range(64):\n        try:\n"
        "            os.fstat(i); n += 1\n        except OSError: pass\n    return n"
    )
    rig.run(code)
    rig.shown("len(read('e1')), len(session.text), len(docs), opened()")
    ours, theirs = opened(), rig.shown("opened()")
    for number in range(1_000):
        assert rig.shown(f"len(read('e1')) + {number}") == str(100_000 + number)
        if number % 100 == 0:
            rig.run("1 / 0")
            rig.run("FINAL(1)")
    assert rig.shown("opened()") == theirs
    assert opened() == ours


def test_a_log_that_grows_between_cells_costs_no_descriptor(rig):
    """Each time it is mapped anew."""
    state = {"length": 10}
    rig.bindings = {"log": lambda session: Handed(content=b"w" * state["length"])}
    rig.run(
        "import os\n"
        "def opened(): return sum(os.path.exists(f'/proc/self/fd/{i}') or _is(i) for i in range(64))\n"
        "def _is(i):\n    try:\n        os.fstat(i); return True\n"
        "    except OSError: return False"
    )
    counts = set()
    for length in range(10, 60):
        state["length"] = length
        rig.session = {**NOBODY, "log_bytes": length}
        assert rig.shown("len(session.text)") == str(length)
        counts.add(rig.shown("opened()"))
    assert len(counts) == 1


def test_many_documents_are_read_with_few_descriptors(rig):
    """Their texts are read and let go; views of more than there is room for are an error that says so."""
    rows = [_document(number) for number in range(300)]
    rig.bindings = {"documents": lambda: rows, "document": lambda sha256: Handed(content=f"{sha256:>3}".encode())}
    assert rig.shown("sum(int(docs[name].text) for name in docs)") == str(sum(range(300)))
    found = rig.run("views = [docs[name].raw for name in docs]")
    assert found.ending is Ending.ERROR
    assert "Too many open files; del some documents or views of texts" in found.output
    assert rig.shown("len(docs)") == "300"


def test_outputs_cost_the_host_nothing_that_stays(rig):
    """A hundred megabytes printed in parts, one after the other."""
    for _time in range(3):
        rig.run("print('x' * 1_000_000)")
    before = _resident()
    for _time in range(100):
        found = rig.run("print('x' * 1_000_000)")
        assert len(found.output) == 1_000_001
    assert _resident() - before < 30_000_000


def _resident() -> int:
    """Bytes of main storage of this process, where the system tells."""
    path = Path("/proc/self/statm")
    return int(path.read_text(encoding="ascii").split()[1]) * resource.getpagesize() if path.exists() else 0


def test_a_full_store_of_variables_can_be_emptied(rig):
    """A Cell that has taken all there is leaves room to say so, and to del it."""
    rig.repl.close()
    with rigged(memory_bytes=512 << 20) as small:
        found = small.run("x = []\nwhile True: x.append(bytearray(1 << 16))")
        assert found.ending is Ending.ERROR
        assert "MemoryError" in found.output
        assert "limit of main storage" in found.output
        found = small.run("del x\n'room'")
        assert found.output == "'room'\n", found
        small.run("y = []\nwhile True: y.append(object())")
        found = small.run("del y\n'room'")
        assert found.ending in (Ending.OK, None)


def test_cells_of_two_repls_run_at_once(rig):
    """Each in its own child."""
    with rigged() as other:
        found = {}
        thread = threading.Thread(target=lambda: found.update(slow=rig.run("while True: pass", 1.0)))
        thread.start()
        assert other.shown("21 * 2") == "42"
        thread.join()
        assert found["slow"].ending is Ending.INTERRUPTED


def test_two_threads_on_one_repl_take_turns(rig):
    """Never both at once on its wire."""
    endings = []

    def many() -> None:
        for number in range(50):
            cell = Cell(number=number, code=f"{number}", timeout_seconds=20, session=NOBODY)
            endings.append(rig.repl.run(cell, {}).output == f"{number}\n")

    threads = [threading.Thread(target=many) for _thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endings == [True] * 200


def test_the_frames_header_is_what_the_forger_thinks():
    """Or the forgeries above would test nothing."""
    assert struct.pack(">I", len(json.dumps({}))) == b"\0\0\0\2"
