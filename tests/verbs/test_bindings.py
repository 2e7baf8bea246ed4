"""What a Cell may call on the host: arguments of any kind are answered or refused by an error of ours, nothing else."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import QueryError, RefError, RlmError, StoreError
from rlm_mcp.sandbox.answering import Answerer
from rlm_mcp.sandbox.repl import Handed, called
from rlm_mcp.store import events, sessions
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.bindings import bindings, known, lent
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from tests.build import a_day
from tests.documents import loaded_text
from tests.repo.made import commit, git, repository, written

_NAMES = (
    "log", "events", "facts", "search", "read", "documents", "document", "repo_missing", "repo_files", "repo_grep",
    "repo_diff",
)  # fmt: skip
Bound = tuple[Store, SessionRow, Mapping[str, Any]]


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bound]:
    """A Session with a repository and a Document, and its host functions. Only looked at."""
    folder = tmp_path_factory.mktemp("bound")
    repo = folder / "repo"
    repo.mkdir()
    (repo / "app.py").write_text("def total(): pass\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=repo, check=True)
    with open_store(Paths(home=folder / "store"), Settings()) as store:
        session = locate(store, transcript=a_day(turns=2, cwd=str(repo)).save(folder / "s.jsonl"))
        loaded_text(store, session, "notes.txt", "text \u00e4")
        scope = sessions.continued(store, session)
        yield store, session, bindings(store, scope, repo=repo, repo_missing="none")


def _calls(session: SessionRow) -> dict[str, dict[str, Any]]:
    """Each host function with arguments that fit."""
    return {
        "log": {"session": session.key},
        "events": {"session": session.key, "after": 0},
        "facts": {"kind": "edit", "current": True},
        "search": {
            "query": "loader", "kind": "", "turns": "", "scope": "session", "mode": "auto", "max_tokens": 500,
            "offset": 0,
        },
        "read": {"ref": "e1"},
        "documents": {},
        "document": {"sha256": ""},
        "repo_missing": {},
        "repo_files": {"glob": "**/*"},
        "repo_grep": {"pattern": "def", "glob": "", "ignore_case": False, "limit": 10},
        "repo_diff": {"since": "1 hour ago", "path": "", "stat": False},
    }  # fmt: skip


_HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**4_000, -(10**30), 0.0, -0.5, 1e300, float("nan"),
    float("inf"), "", " ", "\0", "a\0b", "\n", "x" * 100_000, "\u00e4\U0001f600", "../../etc/passwd", "/etc/passwd",
    "~", "-e", "--help", "**", "[", "(", "*" * 500, "e1", "e999999", "t1", "t0", "c1", "s", "log:0-5", "d00000000",
    "e1:0-99999999", "9" * 400, "e" + "9" * 12, "soon", "today", "1969-01-01", "9999-12-31", "0001-01-01T00:00", '"',
    "' OR 1=1 --", "%s", "{0}", "NOT", "a AND", '"unclosed', "/(/", "/(a+)+$/", "kind:edit", "\u202e", [], [1],
    ["a"] * 1_000, {}, {"a": 1}, [[[[[]]]]],
]  # fmt: skip


def _ask(bound: Bound, name: str, arguments: Mapping[str, Any]) -> object:
    """As the Repl asks: the answer, ready to be sent; None where it is refused in words."""
    try:
        answer = called(bound[2], name, arguments)
    except RlmError:
        return None
    if isinstance(answer, Handed):
        assert answer.path is None or answer.path.is_relative_to(bound[0].paths.home)
        return answer
    return json.dumps(answer)


def test_arguments_that_fit_are_answered(bound):
    """By every function there is."""
    calls = _calls(bound[1])
    assert set(calls) == set(_NAMES)
    assert set(bound[2]) >= set(calls)
    for name, arguments in calls.items():
        if name != "document":  # there is none of that hash
            assert _ask(bound, name, arguments) is not None, name
    (row,) = called(bound[2], "documents", {})
    answer = called(bound[2], "document", {"sha256": row["sha256"]})
    assert isinstance(answer, Handed)
    assert answer.path is not None
    assert answer.path.read_text(encoding="utf-8")[: answer.length] == "text \u00e4"


@pytest.mark.parametrize("name", _NAMES)
def test_a_wrong_argument_is_answered_or_refused_in_words(bound, name):
    """Each in turn, of any kind; and none at all, and one too many."""
    fitting = _calls(bound[1])[name]
    for argument in fitting:
        for hostile in _HOSTILE:
            _ask(bound, name, {**fitting, argument: hostile})
        assert name == "search" or _ask(bound, name, {k: v for k, v in fitting.items() if k != argument}) is None
    for hostile in ("no such", "self", "store", "", "\u00e4", "__class__", "more"):
        assert _ask(bound, name, {**fitting, hostile: 1}) is None, hostile


def test_functions_for_other_models_refuse_in_words_as_well(bound):
    """Where none is set up."""
    for name in set(bound[2]) - set(_NAMES):
        for hostile in _HOSTILE:
            _ask(bound, name, {"prompt": hostile, "asked": hostile, "quotes": hostile})
            _ask(bound, name, {"quotes": hostile})
        _ask(bound, name, {})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    name=st.sampled_from(["log", "events", "facts", "search", "read", "documents", "document", "nothing", "__class__"]),
    arguments=st.dictionaries(
        st.sampled_from(["session", "after", "kind", "current", "query", "ref", "sha256", "turns", "mode", "scope"]),
        _JSON,
    ),
)
@settings(max_examples=300)
def test_any_arguments_are_answered_or_refused_in_words(bound, name, arguments):
    """Nothing else is raised."""
    _ask(bound, name, arguments)


def test_read_gives_what_the_verb_gives(bound):
    """Every kind of Ref, byte for byte; spans that cut a character are widened alike."""
    store, session, functions = bound
    (row,) = called(functions, "documents", {})
    refs = ["e1", "e2", "e1:1-3", "t1", "t2", "s", "log:0-5", "log:3-900", f"{session.key}.e2", row["ref"]]
    for ref in refs:
        handed = called(functions, "read", {"ref": f" {ref} "})
        assert isinstance(handed, Handed)
        assert handed.content.decode() == read(store, session, ref, max_tokens=100_000).text
    for ref in ("e9999", "log:0-999999999", "0badcafe.e1", "t9999"):
        with pytest.raises(RefError):
            called(functions, "read", {"ref": ref})


@pytest.mark.parametrize("name", ["search", "facts", "read", "events"])
def test_functions_that_are_lent_a_store_answer_alike_and_end_when_nobody_waits(bound, name):
    """Each call has a Store of its own for as long as it takes, given back even where it is refused."""
    store, session, functions = bound
    lendings: list[str] = []

    @contextmanager
    def lend() -> Iterator[Store]:
        lendings.append("lent")
        try:
            yield store
        finally:
            lendings.append("back")

    own = lent(lend, partial(bindings, scope=sessions.continued(store, session), repo=None, repo_missing="none"))
    lendings.clear()
    arguments = _calls(session)[name]
    assert called(own, name, arguments) == called(functions, name, arguments)
    with pytest.raises(RlmError):
        called(own, name, {argument: [] for argument in arguments})
    with pytest.raises(RlmError):
        called(own, name, {})
    assert lendings[:4] == ["lent", "back"] * 2


def test_what_sqlite_does_for_a_call_ends_when_nobody_waits(bound):
    """With an error of ours; the Store is as good as before."""
    store, session, _functions = bound
    began = threading.Event()
    store.connection.create_function("begun", 0, lambda: began.set() or 1)
    endless = "WITH RECURSIVE n(i) AS (SELECT begun() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    made = {"endless": lambda: store.connection.execute(endless).fetchone()[0]}
    own = lent(lambda: nullcontext(store), lambda _store: made)
    answerer = Answerer()
    pending = answerer.begin(own["endless"])
    assert began.wait(60)
    pending.leave.now()
    assert pending.wait(60)
    with pytest.raises(StoreError, match="interrupted"):
        pending.found()
    answerer.close()
    assert search(store, session, "loader").text


def test_no_other_session_and_no_other_file_is_handed_over(bound, tmp_path):
    """Only those of the Session and what it continues."""
    store, session, functions = bound
    stranger = locate(
        store, transcript=a_day("5f1c9d1e-0000-4000-8000-00000000000f", turns=1).save(tmp_path / "o.jsonl")
    )
    for key in (stranger.key, "", "../" + session.key, session.key.upper() + "x", session.key[:7]):
        assert _ask(bound, "log", {"session": key}) is None, key
        assert _ask(bound, "events", {"session": key, "after": 0}) is None, key
    with pytest.raises(RlmError):
        called(functions, "log", {"session": stranger.key})


def test_what_is_known_of_a_session_is_json_and_counts_right(bound):
    """It goes into the frame of every Cell."""
    store, session, _functions = bound
    told = known(store, sessions.continued(store, session))
    assert json.loads(json.dumps(told)) == told
    assert (told["key"], told["events"], told["turns"], told["log_bytes"]) == (
        session.key, session.events, session.turns, session.log_bytes,
    )  # fmt: skip
    assert told["earlier"] == []


def test_rows_of_events_begin_behind_the_one_named(bound):
    """So that a session that grows costs what is new."""
    store, session, functions = bound
    answer = functions["events"](session=session.key, after=session.events - 2)
    rows = json.loads(answer.content)
    assert [row[0] for row in rows] == [session.events - 1, session.events]
    last = events.event_row(store, session, session.events)
    assert rows[-1] == [
        last.seq,
        last.turn,
        last.kind,
        last.tool,
        last.agent,
        int(last.failed),
        last.time,
        last.start,
        last.length,
    ]


def test_without_a_repository_its_functions_say_why(bound):
    """Whatever they are given."""
    store, session, _functions = bound
    functions = bindings(store, sessions.continued(store, session), repo=None, repo_missing="it is gone")
    for name in ("repo_files", "repo_grep", "repo_diff"):
        with pytest.raises(RlmError, match="it is gone"):
            called(functions, name, {"anything": 1})
    assert called(functions, "repo_missing", {}) == "it is gone"


def test_a_repository_that_vanishes_is_refused_in_words(bound, tmp_path):
    """A folder may be removed while a session goes on."""
    store, session, _functions = bound
    functions = bindings(store, sessions.continued(store, session), repo=Path(tmp_path / "gone"), repo_missing="")
    for name in ("repo_files", "repo_grep", "repo_diff"):
        assert _ask((store, session, functions), name, _calls(session)[name]) in (None, "[]") or name == "repo_grep"


def test_a_search_of_the_repository_ends_when_nobody_waits_for_the_cell(bound, tmp_path):
    """And says so; told before or while it runs. With time left it is answered."""
    store, session, _functions = bound
    (tmp_path / "app.py").write_text("def total(): pass\n", encoding="utf-8")
    stop = Stop(seconds=60)
    scope = sessions.continued(store, session)
    functions = bindings(store, scope, repo=tmp_path, repo_missing="", stop=stop)
    asked = _calls(session)["repo_grep"]
    assert called(functions, "repo_grep", asked)["matches"] == [["app.py", 1, "def total(): pass"]]
    stop.now()
    with pytest.raises(QueryError, match="nobody waits"):
        called(functions, "repo_grep", asked)


def test_a_search_of_the_repository_is_broken_off_when_its_call_is_left(bound, tmp_path):
    """Not only its thread: ripgrep ends, however much it has before it."""
    store, session, _functions = bound
    for number in range(60):
        with (tmp_path / f"{number}.bin").open("wb") as file:
            file.truncate(255 << 20)
    functions = bindings(store, sessions.continued(store, session), repo=tmp_path, repo_missing="")
    answerer = Answerer()
    pending = answerer.begin(lambda: called(functions, "repo_grep", _calls(session)["repo_grep"]))
    while not pending.wait(0.01):
        pending.leave.now()
    with pytest.raises(QueryError, match="nobody waits"):
        pending.found()
    answerer.close()


def test_a_file_too_large_to_be_searched_is_told_of(bound, tmp_path):
    """By name."""
    store, session, _functions = bound
    functions = bindings(store, sessions.continued(store, session), repo=tmp_path, repo_missing="")
    with (tmp_path / "giant.bin").open("wb") as file:
        file.truncate((256 << 20) + 1)
    answer = called(functions, "repo_grep", _calls(session)["repo_grep"])
    assert (answer["total"], answer["note"]) == (0, "not searched, too large: giant.bin")


@pytest.fixture
def since(bound, tmp_path: Path) -> Callable[[str], str]:
    """``repo.diff`` over a repository with two commits, a branch and uncommitted work."""
    store, session, _functions = bound
    top = repository(tmp_path / "r", a_py="one\n")
    git(top, "branch", "base")
    written(top, a_py="two\n")
    commit(top)
    written(top, a_py="three\n", new_py="new\n")
    functions = bindings(store, sessions.continued(store, session), repo=top, repo_missing="")

    def diff(when: str) -> str:
        answer = called(functions, "repo_diff", {"since": when, "path": "", "stat": False})
        assert isinstance(answer, Handed)
        return str(json.loads(answer.content))

    return diff


def test_a_diff_since_a_commit_has_uncommitted_work_in_it(since, tmp_path):
    """By branch, id, or what git makes of it; the answer names the commit."""
    oid = git(tmp_path / "r", "rev-parse", "HEAD").strip()
    for name in ("HEAD", "main", oid, oid[:9]):
        text = since(name)
        assert text.startswith(f"# 2 files changed since the commit {oid[:12]} of ")
        assert "\n-two\n+three\n" in text
    for name in ("base", "HEAD~1", "main^"):
        assert "\n-one\n+three\n" in since(name)


def test_a_diff_since_a_turn_that_is_not_there_says_which_there_are(since):
    """Not that it is no time; of what is neither it says both."""
    with pytest.raises(RefError, match=r"'t99' is not in session .*it has turns t1 to t2$"):
        since("t99")
    with pytest.raises(QueryError, match=r"no time; .*no commit has that name"):
        since("soon")


@pytest.mark.parametrize(
    "name",
    ["--output=/tmp/x", "-h", "HEAD..main", "HEAD:a.py", ":/work", "HEAD^{/work}", "HEAD^{tree}", "x" * 300, "@{"],
)
def test_what_names_no_one_commit_is_refused(since, name):
    """No option, range, path or pattern."""
    with pytest.raises(QueryError):
        since(name)
