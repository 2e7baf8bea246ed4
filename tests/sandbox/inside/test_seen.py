"""rlm_mcp.sandbox.inside.seen: the repository, documents, Refs and help, as Cells see them; over a real store."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.store.cells import CellRow, CellStatus, add
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.read import read
from tests.documents import TOKEN, loaded_text, session_in
from tests.repls import Rig, rigged, seeing


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a commit, a change, something ignored and a file that is no UTF-8."""
    folder = tmp_path / "repo"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "app.py").write_text("def total(rows):\n    return sum(rows)\n", encoding="utf-8")
    (folder / "src" / "stra\u00dfe.txt").write_text("\u00e4\u00f6\u00fc\n", encoding="utf-8")
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / ".gitignore").write_text("*.log\n", encoding="utf-8")
    (folder / "noise.log").write_text("def noise\n", encoding="utf-8")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    (folder / "src" / "new.py").write_text("def fresh(): pass\n", encoding="utf-8")
    return folder


@pytest.fixture
def seen(store: Store, tmp_path: Path, repo: Path) -> Iterator[Rig]:
    """A Repl that sees a session and the repository."""
    with seeing(store, session_in(store, tmp_path), repo) as rig:
        yield rig


def test_files_are_listed_as_git_means_them(seen):
    """Tracked and new ones, sorted; none that is ignored; by glob."""
    assert json.loads(seen.shown("import json; print(json.dumps(repo.files()))")) == [
        ".gitignore", "latin.txt", "src/app.py", "src/new.py", "src/stra\u00dfe.txt",
    ]  # fmt: skip
    assert seen.shown("list(repo.files('src/*.py'))") == "['src/app.py', 'src/new.py']"
    assert seen.shown("repo.files('nothing*')") == "[] (none)"
    assert seen.fails("repo.files(5)").startswith("HostError: glob is 5")


def test_each_file_listed_can_be_read(seen, repo, tmp_path):
    """A link that leads out of the repository is not listed."""
    (tmp_path / "secret").write_text("secret")
    (repo / "out").symlink_to(tmp_path / "secret")
    (repo / "src" / "again").symlink_to("app.py")
    assert seen.shown("'src/again' in repo.files(), 'out' in repo.files()") == "(True, False)"
    assert seen.shown("all(repo.bytes(path) for path in repo.files())") == "True"


def test_files_are_read_by_name_and_by_open(seen):
    """Text in any encoding, bytes, and Python's own open; nothing outside, nothing to write."""
    assert seen.shown("repo.read('src/app.py')").startswith("def total(rows):")
    assert seen.shown("repo.read('src/stra\u00dfe.txt')") == "\u00e4\u00f6\u00fc"
    assert seen.shown("repo.bytes('latin.txt'), repo.read('latin.txt'), repo.read('latin.txt', 'latin-1')") == (
        "(b'caf\\xe9\\n', 'caf\ufffd\\n', 'caf\u00e9\\n')"
    )
    assert seen.shown("open(f'{repo.root}/src/new.py').readline().encode()") == "b'def fresh(): pass\\n'"
    assert "src" in seen.shown("import os; sorted(os.listdir(repo.root))")
    for path in ("/etc/passwd", "../secret", "src/../../secret"):
        assert seen.run(f"repo.read({path!r})").ending == "error"
    assert seen.run("open(f'{repo.root}/src/app.py', 'a')").ending == "error"


def test_a_grep_gives_places(seen):
    """Path, line and its number; what is ignored is not searched; a wrong pattern is refused."""
    assert seen.shown(r"[(p.path, p.line_number, p.line) for p in repo.grep(r'def \w+')]") == (
        "[('src/app.py', 1, 'def total(rows):'), ('src/new.py', 1, 'def fresh(): pass')]"
    )
    assert seen.shown("repo.grep('DEF', 'src/*', ignore_case=True)[0].ref") == "'src/app.py:1'"
    assert seen.shown("r = repo.grep('def', limit=1); len(r), r.total") == "(1, 2)"
    assert "(2 in all, 1 here)" in seen.shown("r")
    assert "HostError" in seen.run("repo.grep('(')").output
    assert seen.fails("repo.grep('x', limit=-1)").startswith("HostError")


def test_a_grep_says_which_file_was_too_large(seen, repo):
    """Below what it shows, and saved with it."""
    with (repo / "src" / "giant.bin").open("wb") as file:
        file.truncate((256 << 20) + 1)
    assert seen.shown("found = repo.grep('fresh')\nfound").splitlines()[1:] == [
        "(not searched, too large: src/giant.bin)"
    ]
    assert seen.shown("import pickle; pickle.loads(pickle.dumps(found)).note == found.note") == "True"
    assert seen.shown("repo.grep('fresh', 'src/*.py').note") == "''"


def test_a_diff_shows_what_changed_since(seen, repo):
    """Or is refused with words."""
    assert seen.shown("repo.diff('1 second ago')").startswith("# ")
    assert seen.shown("repo.diff('e1', path='src', stat=True)").startswith("# ")
    for wrong in ("'soon'", "None", "'c3'", "'e999'", "float('nan')", "1e300", "True"):
        assert seen.run(f"repo.diff({wrong})").ending == "error", wrong


def test_without_a_repository_it_is_said_why(store, tmp_path):
    """By every way of asking."""
    with seeing(store, session_in(store, tmp_path)) as rig:
        for code in ("repo.root", "repo.files()", "repo.read('x')", "repo.grep('x')", "repo.diff('1h')"):
            assert rig.fails(code) == "HostError: no folder is mapped here", code
        assert rig.shown("repo") == "no repository is mapped"


# documents


def test_documents_are_there_by_name(store, tmp_path):
    """Their text, length, lines, Ref and matches, exact to the byte; folders as lists."""
    session = session_in(store, tmp_path)
    text = "erste \u00dcberschrift \U0001f600\nzweite Zeile\n" * 50
    loaded = loaded_text(store, session, "notes.txt", text)
    loaded_text(store, session, "specs/a.md", "alpha")
    loaded_text(store, session, "specs/b.md", "beta")
    loaded_text(store, session, "latin.txt", "caf\u00e9".encode("latin-1"))
    with seeing(store, session) as rig:
        assert rig.shown("list(docs), len(docs)") == "(['latin.txt', 'notes.txt', 'specs/a.md', 'specs/b.md'], 4)"
        assert rig.shown("d = docs['notes.txt']; d.length, d.lines, d.ref, len(d)") == (
            f"({loaded.length}, {loaded.lines}, {loaded.ref!r}, {len(text)})"
        )
        assert rig.shown(f"d.text == {text!r}, str(d) == d.text, d[:5], d.raw[:5].tobytes()") == (
            "(True, True, 'erste', b'erste')"
        )
        assert rig.shown("[x.text for x in docs['specs']]") == "['alpha', 'beta']"
        assert rig.shown("docs['latin.txt'].text") == "'caf\u00e9'"
        found = json.loads(
            rig.shown(r"print(__import__('json').dumps([[m.ref, m.found] for m in d.grep(r'\w+|\U0001f600')]))")
        )
        assert len(found) == len(re.findall(r"\w+|\U0001f600", text))
        for ref, told in found[::17]:
            assert read(store, session, ref).text == told
            assert rig.shown(f"read({ref!r})") == repr(told)
        assert rig.shown("docs.search('zweite').total > 0") == "True"
        assert rig.fails("docs['nothing']").startswith("KeyError: \"no document 'nothing'; there are: latin.txt")
        assert "notes.txt" in rig.shown("docs")


def test_documents_loaded_between_cells_are_there_in_the_next(store, tmp_path):
    """And one that was loaded anew is the new one; what was taken before keeps its text."""
    session = session_in(store, tmp_path)
    with seeing(store, session) as rig:
        assert rig.shown("docs") == "no documents; the tool load brings some"
        loaded_text(store, session, "a.txt", "first")
        assert rig.shown("old = docs['a.txt']; old.text") == "'first'"
        loaded_text(store, session, "a.txt", "second")
        assert rig.shown("docs['a.txt'].text, old.text, old.ref != docs['a.txt'].ref") == "('second', 'first', True)"


def test_a_document_asks_the_host_once_in_a_cell(store, tmp_path):
    """However many are read in it."""
    session = session_in(store, tmp_path)
    for number in range(20):
        loaded_text(store, session, f"many/{number:02}.txt", f"text {number}")
    asked = []
    with seeing(store, session) as rig:
        documents = rig.bindings["documents"]
        rig.bindings = {**rig.bindings, "documents": lambda: asked.append(1) or documents()}
        assert rig.shown("sum(len(docs[name].text) for name in docs)") == str(sum(len(f"text {n}") for n in range(20)))
        assert len(asked) == 1


def test_documents_are_found_by_name_without_their_text(store, tmp_path):
    """In every Cell: only what is looked into is mapped."""
    session = session_in(store, tmp_path)
    for number in range(3):
        loaded_text(store, session, f"{number}.txt", f"text {number}")
    read = []
    with seeing(store, session) as rig:
        document = rig.bindings["document"]
        rig.bindings = {**rig.bindings, "document": lambda sha256: read.append(sha256) or document(sha256=sha256)}
        for _cell in range(3):
            assert rig.shown("docs['1.txt'].text, len(docs), bool(docs['2.txt'])") == "('text 1', 3, True)"
        assert len(read) == 1


def test_a_variable_that_holds_a_document_is_restored_with_the_same_content_or_not_at_all(store, tmp_path):
    """A name may mean another content by then."""
    session = session_in(store, tmp_path)
    loaded_text(store, session, "a.txt", "first")
    loaded_text(store, session, "b.txt", "other")
    with seeing(store, session) as rig, (tmp_path / "vars").open("w+b") as file:
        rig.run("a, b = docs['a.txt'], docs['b.txt']; before = [1]; both = [a, before]; apart = [b, before]")
        saved = rig.repl.save(file.fileno())
        assert saved.unsaved == ()
        with seeing(store, session) as other:
            found = other.repl.restore(other.session, saved.variables, file.fileno(), other.bindings)
            assert found.lost == ()
            assert other.shown("a.text, both[0] is a, apart[1] is before") == "('first', True, True)"
        loaded_text(store, session, "a.txt", "second")
        with seeing(store, session) as other:
            found = other.repl.restore(other.session, saved.variables, file.fileno(), other.bindings)
            assert {name for name, _why in found.lost} == {"a", "both"}
            assert "not loaded any more, or is another now" in dict(found.lost)["a"]
            assert other.shown("b.text, apart[1] is before, apart[0] is b") == "('other', True, True)"


# Refs, help


def test_refs_of_every_kind_are_read_whole(store, tmp_path):
    """Events, spans, Turns, Cells, documents, the session; a wrong one is refused with its cure."""
    session = session_in(store, tmp_path)
    loaded = loaded_text(store, session, "big.txt", "line \u00e4\n" * 100_000)
    row = CellRow(
        session_key=session.key, number=1, time=0.0, seconds=0.0, code="1", status=CellStatus.OK, output="out"
    )
    with store.writing():
        add(store, row)
    with seeing(store, session) as rig:
        assert rig.shown("read('e1') == session.events[0].text, read('e1:0-4'), read('c1')") == "(True, 'Look', 'out')"
        assert rig.shown(f"len(read({loaded.ref!r})), read('{loaded.ref}:5-7')") == "(700000, '\u00e4')"
        assert rig.shown("read('s') == session.text, read('t1') in read('s')") == "(True, True)"
        for ref in ("'e99'", "'nothing'", "5", "None", "'c9'", "'d00000000'", "''", "'\\x00'", "'e1:9-2'"):
            assert rig.fails(f"read({ref})").startswith("HostError"), ref


def test_secrets_of_documents_are_not_read_by_ref(store, tmp_path):
    """Marks stand in their place."""
    session = session_in(store, tmp_path)
    loaded = loaded_text(store, session, "env.txt", f"token = {TOKEN}\n")
    with seeing(store, session) as rig:
        assert TOKEN not in rig.shown(f"read({loaded.ref!r})")


def test_help_teaches_what_is_given(seen):
    """Each name has its text; other things have Python's own."""
    assert "session.grep" in seen.shown("help()") or ".grep(re)" in seen.shown("help()")
    for topic, word in (
        ("session", 'session["t3"'), ("repo", "repo.diff"), ("docs", "docs.search"), ("read", "exact text of a Ref"),
        ("session.events[0]", "One thing that happened"), ("show", "cut to"), ("len", "Return the number of items"),
        ("session.search", "filters"),
        ("FINAL", "answer"), ("reset", "variables"),
    ):  # fmt: skip
        assert word in seen.shown(f"help({topic})"), topic


def test_help_names_functions_as_they_are_called(rig):
    """With their defaults, without a word of our insides."""
    told = rig.shown("help(show, FINAL, llm_map, read)")
    assert re.findall(r"^(\w+\(.*)$", told, re.MULTILINE) == [
        "show(*values: object, limit: int = 4000) -> None",
        "FINAL(value: object, quotes: Iterable[str] = ())",
        (
            "llm_map(items: Iterable[Any], prompt: str, *, schema: Any = None, fallback: Any = ..., model: str = '', "
            "system: str = '', max_tokens: int = 2048) -> Mapped"
        ),
        "read(ref: str) -> str",
    ]
    assert "rlm_mcp" not in told


def test_show_cuts_in_the_middle(rig):
    """And says how much."""
    assert rig.shown("show('x' * 100, limit=20)") == f"{'x' * 10}\n... 80 of 100 characters left out ...\n{'x' * 10}"
    assert rig.shown("show(1, 'two', [3])") == "1\ntwo\n[3]"


def test_a_name_that_was_taken_is_given_again_by_del_reset_or_a_new_process():
    """Assignment is the Cell's right; what it deletes is there again in the next."""
    with rigged() as rig:
        rig.run("session = 1; del repo, read, FINAL")
        assert rig.shown("session, type(repo).__name__, callable(read), callable(FINAL)") == "(1, 'Repo', True, True)"
        rig.run("del session")
        assert rig.shown("type(session).__name__") == "'Session'"
        rig.run("session = 1")
        rig.run("reset()")
        assert rig.shown("type(session).__name__, type(repo).__name__") == "('Session', 'Repo')"
