"""What every Repl must do, run on each: in a Jail and in Monty. What only one of them can is tested beside it."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import QueryError, ReplGone
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.mounts import Mapped
from rlm_mcp.sandbox.repl import ENDING_OR_ASKING, Binding, Handed, Repl
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.locate import locate
from tests.build import Transcript
from tests.documents import loaded_text
from tests.repls import NOBODY, Rig, start

_OUTPUT_BYTES = 1 << 16
_MEMORY_BYTES = 1 << 30
KINDS = ("jail", "monty")


def started(kind: str, repo: Path | None = None) -> Repl:
    """A Repl of that kind; the test is skipped where this machine has none."""
    if kind == "jail":
        return start(Mapped(repo=repo), output_bytes=_OUTPUT_BYTES, memory_bytes=_MEMORY_BYTES)
    pytest.importorskip("pydantic_monty")
    from rlm_mcp.sandbox.monty.repl import MontyRepl  # noqa: PLC0415  # where there is one

    return MontyRepl(repo, memory_bytes=_MEMORY_BYTES, output_bytes=_OUTPUT_BYTES)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of Repl."""
    return request.param


Begin = Callable[..., Rig]


@pytest.fixture
def begin(kind: str) -> Iterator[Begin]:
    """Starts Repls of that kind; they are closed in the end."""
    repls: list[Repl] = []

    def begin(bindings: Mapping[str, Binding] | None = None) -> Rig:
        repls.append(started(kind))
        return Rig(repls[-1], bindings or {})

    yield begin
    for repl in repls:
        repl.close()


@pytest.fixture
def rig(begin: Begin) -> Rig:
    """A Repl that sees nothing."""
    return begin()


# Cells


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("6 * 7", "42"),
        ("x = 1; x + 1  # a comment", "2"),
        ("'a'", "'a'"),
        ("'a\\nb'", "a\nb"),
        ("[1,\n 2]", "[1, 2]"),
        ("x = 3", ""),
        ("None", ""),
        ("for i in range(2):\n    i", ""),
        ("if True: 5", ""),
        ("print('first')\n'last'", "first\n'last'"),
        ("(lambda a: a + 1)(2)", "3"),
        ("x: int = 3", ""),
        ("f'{1:>3}' 'x'", "'  1x'"),
        ("", ""),
        ("# nothing", ""),
        ("\u00e9 = 2\n\u00e9 * '\U0001f600'", "'\U0001f600\U0001f600'"),
        ("{'a': 1}['a']", "1"),
        ("not 1", "False"),
        ("*(1, 2), 3", "(1, 2, 3)"),
        ("'a' == 'b'", "False"),
    ],
)
def test_the_value_of_a_last_expression_is_shown(rig, code, shown):
    """As at Python's own prompt; text of several lines as it is."""
    assert rig.shown(code) == shown


def test_variables_stay_and_are_told(rig):
    """Functions, classes and values; what is given is not told, nor what begins with an underscore."""
    rig.shown("import json\ndef double(a): return 2 * a\nclass Point:\n    def __init__(self, x): self.x = x\n_own = 1")
    found = rig.run("p = Point(double(4))\nwords = ['a'] * 1200\np.x")
    assert found.output == "8\n"
    told = dict(found.variables)
    assert told["words"] == "list, 1,200"
    assert told["p"] == "Point"
    assert set(told) == {"double", "Point", "p", "words"}


def test_an_error_is_told_by_the_frames_of_cells_alone(rig):
    """Also those of a function from an earlier Cell; what was assigned before it stays."""
    rig.shown("def half(a):\n    return a / 0")
    found = rig.run("kept = 5\nprint('so far')\nhalf(1)\nnever = 1")
    assert found.ending is Ending.ERROR
    lines = found.output.splitlines()
    assert lines[0] == "so far"
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert [line.strip() for line in lines if line.lstrip().startswith("File ")] == [
        'File "<cell 2>", line 3, in <module>',
        'File "<cell 1>", line 2, in half',
    ]
    assert "half(1)" in found.output
    assert dict(found.variables).keys() == {"half", "kept"}


def test_code_that_is_no_python_is_an_error(rig):
    """Nothing of it runs."""
    found = rig.run("made = 1\nx = = 2")
    assert found.ending is Ending.ERROR
    assert "<cell 1>" in found.output
    assert found.output.splitlines()[-1].startswith("SyntaxError")
    assert found.variables == ()


def test_final_ends_the_cell_with_an_answer(rig):
    """It is no output; nothing behind it runs; variables stay."""
    found = rig.run("print('before')\nx = 1\nFINAL('the answer')\nx = 2")
    assert (found.ending, found.final, found.output) == (Ending.FINAL, "the answer", "before\n")
    assert rig.shown("x") == "1"
    assert rig.run("FINAL([1, 2])").final == "[1, 2]"
    found = rig.run("y = 'b'\nFINAL_VAR('y')")
    assert (found.ending, found.final) == (Ending.FINAL, "b")
    assert rig.fails("FINAL_VAR('nowhere')").startswith("NameError")


def test_except_exception_lets_final_through(rig):
    """Model-written code likes to catch all."""
    found = rig.run("try:\n    FINAL(3)\nexcept Exception:\n    print('caught')")
    assert (found.ending, found.final, found.output) == (Ending.FINAL, "3", "")


def test_reset_throws_variables_away(rig):
    """What is given is there again, also under a name that a Cell took."""
    rig.shown("x = 1\nsession = 'mine'")
    found = rig.run("reset()\nx = 2")
    assert (found.ending, found.variables) == (Ending.RESET, ())
    assert rig.fails("x").startswith("NameError")
    assert rig.shown("session").startswith("session 0badcafe")


def test_a_cell_may_take_a_given_name(rig):
    """Then it is a variable like any other."""
    assert dict(rig.run("session = 5").variables) == {"session": "int, 5"}
    assert rig.shown("session") == "5"


def test_in_a_run_each_cell_has_what_ends_it_and_what_asks(rig):
    """Whatever a Cell before has made of those names, which is told as a variable of its own."""
    rig.session = {**rig.session, "context": None}
    code = "\n".join(f"{name} = 5" for name in sorted(ENDING_OR_ASKING))
    assert {name for name, _what in rig.run(code).variables} == ENDING_OR_ASKING
    assert rig.run("x = 1").variables == (("x", "int, 1"),)
    assert "no host function" in rig.fails("llm_query('a')")
    assert rig.run("FINAL_VAR('x')").final == "1"
    assert "FINAL(None) is no answer" in rig.fails("FINAL(None)")


def test_names_of_cells_cannot_break_what_is_given(rig):
    """A Cell knows nothing of the names that ours use."""
    rig.shown("re = json = Session = matches = listed = displayed = str = 7")
    assert rig.shown("session").startswith("session 0badcafe")
    assert "session.search" in rig.shown("help(session)")


def test_exit_ends_only_the_cell(rig):
    """Its variables stay."""
    found = rig.run("x = 1\nraise SystemExit")
    assert found.ending is Ending.ERROR
    assert "SystemExit" in found.output
    assert rig.shown("x") == "1"


def test_what_is_printed_beyond_the_limit_is_not_kept(rig):
    """The Cell ends with an error that says so, its variables stay, the next Cell prints again."""
    found = rig.run("x = 1\nwhile True:\n    print('y' * 1000)")
    assert found.ending is Ending.ERROR
    assert "OutputTooLong" in found.output.splitlines()[-1]
    assert len(found.output) <= _OUTPUT_BYTES + 2_000
    assert found.lost_bytes > 0
    assert rig.shown("x") == "1"


def test_a_last_value_is_cut_when_it_is_endless(rig):
    """A million characters at most; here the output's limit comes first."""
    found = rig.run("'z' * 3_000_000")
    assert len(found.output) <= _OUTPUT_BYTES + 2_000


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "n = 0\nwhile True:\n    try:\n        n += 1\n    except Exception:\n        pass",
        "import time\ntime.sleep(3600)",
        "10 ** 10 ** 8 % 7 if False else [i for i in iter(int, 1)]",
    ],
)
def test_a_cell_ends_at_its_time_limit(begin, code):
    """Whatever it does; then it, or another in its place, runs the next."""
    rig = begin()
    found = rig.run(code, 0.3)
    assert found.ending in {Ending.INTERRUPTED, None}
    assert (found.ending is None) == bool(found.why)
    if found.ending is None:
        assert not rig.repl.is_alive
        rig = begin()
    assert rig.shown("1 + 1") == "2"


def test_what_was_printed_before_the_end_is_kept(rig):
    """Also of a Cell that had to be ended."""
    found = rig.run("print('so far')\nwhile True: pass", 0.5)
    assert found.output.startswith("so far\n")


def test_what_a_running_cell_has_printed_can_be_read(begin):
    """Its end, in whole characters; not what a Cell before it printed. Nothing where the process is gone."""
    told = []

    def read(ref):
        told.append(rig.repl.printed(int(ref)))
        return Handed(content=b"")

    rig = begin({"read": read})
    rig.run("print('before' * 2_000)")
    rig.run("print('x' * 9_000)\nprint('\u00e9\u00e9')\nread('4')\nread('6')\nread('10000')")
    assert told == ["\u00e9\n", "\n\u00e9\u00e9\n", "x" * 9_000 + "\n\u00e9\u00e9\n"]
    rig.repl.close()
    assert rig.repl.printed(100) == ""


def test_a_cell_stops_when_it_is_told_to(begin):
    """From any thread; here by what the Cell itself asks for."""
    stop = threading.Event()
    rig = begin({"read": lambda ref: stop.set() or Handed(content=b"told")})
    found = rig.run("read('e1')\nwhile True: pass", stop=stop)
    assert found.ending in {Ending.INTERRUPTED, None}


def test_a_cell_that_is_stopped_before_it_began_leaves_nothing(begin):
    """The caller has gone away meanwhile."""
    stop = threading.Event()
    stop.set()
    rig = begin()
    found = rig.run("while True: pass", stop=stop)
    assert found.ending in {Ending.INTERRUPTED, None}


@pytest.mark.parametrize(
    "code", ["x = 'a' * (1 << 34)", "x = []\nwhile True:\n    x.append('b' * 10_000_000)", "x = list(range(10 ** 10))"]
)
def test_a_cell_ends_at_its_limit_of_storage(begin, code):
    """By an error or with its process; the machine has room for the others."""
    rig = begin()
    found = rig.run(code)
    assert found.ending in {Ending.ERROR, None}
    assert "MemoryError" in found.output or found.why
    if not rig.repl.is_alive:
        rig = begin()
    assert rig.shown("1 + 1") == "2"


def test_endless_recursion_is_an_error(rig):
    """Its traceback is short."""
    found = rig.run("def deeper(n): return deeper(n + 1)\ndeeper(0)")
    assert found.ending is Ending.ERROR
    assert "RecursionError" in found.output
    assert len(found.output) < 4_000
    assert rig.shown("1 + 1") == "2"


# Host functions


def _refuse(kind: Any, current: Any) -> Handed:
    if kind != "edit":
        raise QueryError(f"kind {kind!r} is not known; known: edit")
    return Handed(content=b"[]")


def test_a_refusal_of_the_host_is_an_error_in_the_cell(begin):
    """Its message says why; it can be caught."""
    rig = begin({"facts": _refuse})
    assert "kind 'nonsense' is not known; known: edit" in rig.fails("session.facts('nonsense')")
    assert rig.shown("try:\n    session.facts('no')\nexcept Exception as error:\n    print('caught')") == "caught"
    assert rig.shown("len(session.facts('edit'))") == "0"


@pytest.mark.parametrize(
    "code", ["session.facts({'a': [None] * 3})", "session.facts(2 ** 80)", "session.facts('\\x00' * 100_000)"]
)
def test_hostile_arguments_reach_the_host_as_json(begin, code):
    """It refuses them, or the call itself fails; the Repl lives."""
    rig = begin({"facts": _refuse})
    assert rig.run(code).ending is Ending.ERROR
    assert rig.shown("1 + 1") == "2"


def test_a_call_that_no_frame_holds_is_an_error(begin):
    """Eight million bytes are enough for what a model asks."""
    rig = begin({"facts": _refuse})
    assert rig.run("session.facts('a' * 9_000_000)").ending is Ending.ERROR
    assert rig.shown("1 + 1") == "2"


def test_a_large_answer_arrives_whole(begin, tmp_path):
    """From a file, as far as it counts, or from what the host has made."""
    content = ("x\u00e9\n" * 3_000_000).encode()
    path = tmp_path / "large"
    path.write_bytes(content + b"later")
    rig = begin(
        {"read": lambda ref: Handed(path=path, length=len(content)) if ref == "e1" else Handed(content=content)}
    )
    for ref in ("e1", "e2"):
        assert (
            rig.shown(f"text = read('{ref}')\nlen(text), text[:3], text[-2:]") == "(9000000, 'x\u00e9\\n', '\u00e9\\n')"
        )


def test_an_unknown_host_function_is_an_error(rig):
    """Nothing is bound here."""
    assert "no host function" in rig.fails("session.facts()")


def test_a_fault_of_the_host_itself_ends_the_repl(begin):
    """It is no answer to a Cell; and half a call cannot be taken up again."""
    rig = begin({"read": lambda ref: Handed(content=b"a" * (1 // 0))})
    with pytest.raises(ZeroDivisionError):
        rig.run("read('e1')")
    assert not rig.repl.is_alive


# Saving


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """An open file to save into."""
    descriptor = os.open(tmp_path / "saved", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def test_saved_variables_come_back_in_another_process(begin, file):
    """Values, what two share, functions, classes and their instances."""
    rig = begin()
    rig.shown(
        "shared = [1]\nboth = {'a': shared, 'b': shared}\ndef add(n): return n + offset\noffset = 10\n"
        "class Box:\n    def __init__(self, v): self.v = v\n    def twice(self): return add(self.v) * 2\nbox = Box(1)"
    )
    saved = rig.repl.save(file)
    assert {name for name, _start, _length in saved.variables} == {"shared", "both", "add", "offset", "Box", "box"}
    assert (saved.unsaved, saved.complaint) == ((), "")
    rig.repl.close()
    other = begin()
    assert other.repl.restore(NOBODY, saved.variables, file, {}).lost == ()
    assert other.shown("both['a'].append(2)\nboth['b'], shared, add(1), box.twice()") == "([1, 2], [1, 2], 11, 22)"
    assert other.shown("session").startswith("session 0badcafe")
    assert dict(other.run("1").variables).keys() == {"shared", "both", "add", "offset", "Box", "box"}


def test_saving_changes_nothing(rig, file):
    """The next Cell goes on where the last one ended."""
    rig.shown("x = [1]")
    rig.repl.save(file)
    assert rig.shown("x.append(2)\nx") == "[1, 2]"


def test_restoring_nothing_throws_variables_away(rig):
    """As the journal wants it before it runs Cells again."""
    rig.shown("x = 1")
    assert rig.repl.restore(NOBODY, (), None, {}).lost == ()
    assert rig.fails("x").startswith("NameError")


@pytest.mark.parametrize(
    "content", [b"", b"nothing of ours", b"rlm-mcp monty\n", b"rlm-mcp monty\n{}\n", b"rlm-mcp monty\n[1]\nx"]
)
def test_variables_that_cannot_be_restored_are_named(rig, file, content):
    """With the reason; the Repl runs on."""
    os.write(file, content)
    restored = rig.repl.restore(NOBODY, (("x", 0, max(1, len(content))),), file, {})
    assert [name for name, why in restored.lost if why] == ["x"]
    assert rig.shown("1 + 1") == "2"


# The end


def test_a_closed_repl_is_not_alive(rig, file):
    """It says so, whatever is asked of it; closing twice does no harm."""
    rig.shown("x = 1")
    rig.repl.close()
    rig.repl.close()
    assert not rig.repl.is_alive
    assert rig.run("x").ending is None
    with pytest.raises(ReplGone):
        rig.repl.save(file)
    with pytest.raises(ReplGone):
        rig.repl.restore(NOBODY, (), None, {})


def test_closing_ends_a_cell_that_runs(begin):
    """From another thread; whoever waits for it is told."""
    closed: list[threading.Thread] = []

    def close(ref: Any) -> Handed:
        closed.append(threading.Thread(target=rig.repl.close))
        closed[0].start()
        return Handed(content=b"soon")

    rig = begin({"read": close})
    found = rig.run("read('e1')\nwhile True: pass")
    closed[0].join()
    assert found.ending is None
    assert found.why
    assert not rig.repl.is_alive


def test_two_repls_know_nothing_of_each_other(begin):
    """Each has its own process."""
    one, other = begin(), begin()
    one.shown("x = 1")
    assert other.fails("x").startswith("NameError")


# What Cells see, over a real store


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, SessionRow, Path]]:
    """A session, its folder and a loaded Document. Only looked at."""
    folder = tmp_path_factory.mktemp("seen")
    repo = folder / "repo"
    (repo / "src").mkdir(parents=True)
    (repo / "README.md").write_text("An \u00e4pple\nand more\n", encoding="utf-8")
    (repo / "src" / "app.py").write_bytes(b"def main():\n    return 1\n\xff\n")
    made = Transcript(cwd=str(repo))
    made.user("First: find the \u00e4pple\nand keep tests green")
    made.reply("Looking.")
    made.bash("grep -r main src", "src/app.py:def main():")
    made.bash("pytest -q", "1 failed\nE   assert 1 == 2")
    made.user("Second prompt")
    made.reply("Done with \U0001f600 it.\nNext line")
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        session = locate(store, transcript=made.save(folder / "s.jsonl"))
        loaded_text(store, session, "logs/server.log", "one\nt\u00e4o error\nthree error\n")
        yield store, session, repo


@pytest.fixture(scope="module")
def rigs(seen: tuple[Store, SessionRow, Path]) -> Iterator[dict[str, Rig]]:
    """A Repl of each kind that sees it."""
    made: dict[str, Rig] = {}
    store, session, repo = seen
    for kind in KINDS:
        made[kind] = Rig(started(kind, repo), {})
        made[kind].see(store, session, repo)
    yield made
    for rig in made.values():
        rig.repl.close()


@pytest.mark.parametrize(
    "code",
    [
        "session",
        "session.key, session.title, session.cwd, session.model, session.started",
        "session.events",
        "[(e.seq, e.turn, e.kind, e.tool, e.failed, e.ref, len(e), e.text) for e in session.events]",
        "session.events[-1].text",
        "session.turns",
        "[(t.number, t.ref, t.prompt, t.text, len(t.events), t.started) for t in session.turns]",
        "session['t1'].text",
        "session['e2']",
        "session['e1:7-11'].text, session['e1:7-11'].events[0].ref",
        "session['e1:17-21'].grep('p')",
        "session[1:2]",
        "session[1].turns",
        "session[-1].text",
        "len(session), len(session['t1']), len(session.events)",
        "[e.kind for e in session]",
        "session.text[:40], len(session.text), session.text == context",
        "context.count('e'), len(context)",
        "import re\nre.findall(r'[A-Z]\\w+', context)",
        "session.grep('main')",
        "session.grep(r'^(\\w+) prompt$')[0].found",
        "[(m.ref, m.line, m.found, m.event.seq) for m in session.grep('e', kind='prompt')]",
        "import re\nsession.grep('FIRST', flags=re.I)",
        "session['t2'].grep('n')",
        "session.facts()",
        "session.facts('command')",
        "[(f.kind, f.subject, f.status, f.turn, f.ref, f.current) for f in session.facts('test', current=False)]",
        "session.search('find')",
        "session.search('find').total, [h.ref for h in session.search('find').hits]",
        "session.search('/main/', kind='result').text",
        "len(session.search('nothingatall'))",
        "len(session.earlier)",
        "str(session['t2'])",
        "print(session['t2'])",
        "read('e1')",
        "read('t2')",
        "read('e1:0-5')",
        "show('x' * 5000, limit=50)",
        "show(session.events, 3)",
        "docs",
        "list(docs), len(docs), 'logs/server.log' in docs",
        "docs['logs/server.log'].text",
        "d = docs['logs/server.log']\nd.name, d.ref, d.lines, d.length, len(d), d[0:5], str(d)[:3]",
        "docs['logs']",
        "docs['logs/server.log'].grep('(e)rror')",
        "docs.search('error').total",
        "list(repo.files())",
        "sorted(repo.files('**/*.py'))",
        "repo.read('README.md'), repo.read('src/app.py'), repo.bytes('src/app.py')",
        "repo.grep('main', '**/*.py')",
        "[(p.path, p.line_number, p.line, p.ref) for p in repo.grep('m', limit=1)], repo.grep('m', limit=1).total",
        "repo.grep('m', limit=1)",
        "open(f'{repo.root}/README.md', encoding='utf-8').read()",
        "help(session.turns[0])",
        "help(docs)",
        "help(repo)",
        "from collections import Counter\nCounter([e.kind for e in session.events]).most_common(2)",
        "import json\njson.loads('[1, {}]')",
        "sorted({e.tool for e in session.events if e.tool})",
        "max(session.events, key=lambda e: e.length).ref",
    ],
)
def test_the_same_calls_give_the_same_answers(rigs, code):
    """Word for word."""
    jail, monty = rigs["jail"], rigs["monty"]
    told = jail.shown(code)
    assert monty.shown(code) == told
    assert told or code.startswith("print")


@pytest.mark.parametrize(
    "code",
    [
        "session['t9']",
        "session['e99']",
        "session['nowhere']",
        "session.facts('nonsense')",
        "session.search('x', nonsense=1)",
        "docs['nowhere']",
        "read('e99')",
        "repo.read('nowhere.txt')",
        "repo.grep('(')",
        "session.grep('(')",
        "open('/etc/passwd')",
        "repo.read('../s.jsonl')",
        "open(f'{repo.root}/new', 'w')",
    ],
)
def test_the_same_calls_are_refused(rigs, code):
    """By an error, in a Repl that lives."""
    for rig in rigs.values():
        assert rig.fails(code)
        assert rig.shown("1 + 1") == "2"


def test_what_cells_see_grows_with_the_session(begin, tmp_path):
    """A variable keeps what it was given; the names given stand for what is there now."""
    made = Transcript(cwd=str(tmp_path))
    made.user("first \u00e4")
    rig = begin()
    with open_store(Paths(home=tmp_path / "store"), Settings()) as store:
        rig.see(store, locate(store, transcript=made.save(tmp_path / "s.jsonl")))
        rig.shown("def size(): return len(context)\nbefore, was = context, len(session.events)")
        made.reply("second")
        made.user("third")
        rig.see(store, locate(store, transcript=made.save(tmp_path / "s.jsonl")))
        assert rig.shown("len(session.events) - was, session.events[-1].text, len(session.turns)") == "(2, 'third', 2)"
        assert rig.shown("context.startswith(before), len(context) > len(before), size() == len(context)") == (
            "(True, True, True)"
        )
        assert rig.shown("session['t2'].text, session.text.endswith('third\\n')") == "('third', True)"


def test_given_things_in_variables_outlive_a_save(begin, file, seen):
    """Events, parts and Documents are there again, with their texts."""
    store, session, repo = seen
    rig = begin()
    rig.see(store, session, repo)
    rig.shown("e = session.events[0]\nt = session['t2']\nd = docs['logs/server.log']\nhits = session.grep('main')")
    expected = rig.shown("e.text, t.text, d.text, hits[0].ref, len(hits)")
    saved = rig.repl.save(file)
    assert saved.complaint == ""
    rig.repl.close()
    other = begin()
    other.see(store, session, repo)
    assert other.repl.restore(other.session, saved.variables, file, other.bindings).lost == ()
    assert other.shown("e.text, t.text, d.text, hits[0].ref, len(hits)") == expected


def test_layers_are_told_in_words(kind, rig):
    """What confines it, for status and doctor."""
    assert rig.repl.layers
    assert all(isinstance(layer, str) and layer for layer in rig.repl.layers)
    assert ("Monty" in rig.repl.layers[0]) == (kind == "monty")
    json.dumps(rig.repl.layers)
