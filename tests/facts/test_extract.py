"""Facts of whole streams of Events."""

import json

import pytest

from rlm_mcp.events import (
    Action,
    AgentTask,
    Command,
    EditKind,
    Event,
    EventKind,
    FileEdit,
    FileRead,
    Lookup,
    OtherTool,
    PlanProposed,
    QuestionAsked,
    Todo,
    TodoStatus,
    TodoUpdate,
)
from rlm_mcp.facts.extract import FactExtractor
from rlm_mcp.facts.kinds import Fact, FactKind
from rlm_mcp.facts.supersede import SUPERSEDED_BY_NEWER, supersedes


def _said(kind: EventKind, text: str, *, agent: str = "", tool: str = "") -> Event:
    return Event(kind=kind, text=text, client_session="s", agent=agent, tool=tool)


def _prompt(text: str) -> Event:
    return _said(EventKind.PROMPT, text)


def _reply(text: str) -> Event:
    return _said(EventKind.REPLY, text)


def _did(*actions: Action, text: str = "", failed: bool = False, call: str = "", agent: str = "") -> Event:
    return Event(
        kind=EventKind.RESULT, text=text, client_session="s", actions=actions, failed=failed, call_id=call, agent=agent
    )


def _ran(
    command: str, output: str = "", *, failed: bool = False, code: int | None = None, cwd: str = "/srv/shop"
) -> Event:
    action = Command(command=command, cwd=cwd, output=output, failed=failed, exit_code=code, seconds=1.5)
    return _did(action, text=f"Exit code 1\n{output}" if failed else output, failed=failed)


def _current(events: list[Event]) -> list[Fact]:
    """The Facts that hold after all Events, as the store would keep them."""
    extractor = FactExtractor()
    current: list[Fact] = []
    for event in events:
        for fact in extractor.facts(event):
            current = [older for older in current if not supersedes(fact, older)]
            current.append(fact)
    return current


def _of(facts: list[Fact], kind: FactKind) -> list[Fact]:
    return [fact for fact in facts if fact.kind is kind]


def _texts(facts: list[Fact], kind: FactKind) -> list[str]:
    return [fact.text for fact in _of(facts, kind)]


def test_a_prompt_is_a_fact_whole_with_its_rules_and_values() -> None:
    """Verbatim, each with its place."""
    text = "Add rounding to `total`. Never touch src/tax.py. It must run in 200ms."
    facts = _current([_prompt(text)])
    assert _texts(facts, FactKind.PROMPT) == [text]
    assert [(f.status, f.text) for f in _of(facts, FactKind.CONSTRAINT)] == [
        ("forbid", "Never touch src/tax.py."),
        ("require", "It must run in 200ms."),
    ]
    assert [f.subject for f in _of(facts, FactKind.VALUE)] == ["total", "src/tax.py", "200ms"]
    assert all(text[f.start : f.end] == f.text for f in _of(facts, FactKind.CONSTRAINT))
    assert all(text[f.start : f.end] == f.subject for f in _of(facts, FactKind.VALUE))


def test_a_sub_agents_prompt_binds_nobody() -> None:
    """The model wrote it."""
    assert _current([_said(EventKind.PROMPT, "You must never edit files.", agent="a1")]) == []


def test_only_queued_notes_are_the_users_words() -> None:
    """Skill bodies and reminders are the Client's."""
    rule = "Never push to main."
    assert _current([_said(EventKind.NOTE, rule, tool="meta")]) == []
    assert _texts(_current([_said(EventKind.NOTE, rule, tool="queued")]), FactKind.CONSTRAINT) == [rule]


def test_the_first_prompt_corrects_nothing() -> None:
    """A bug report that opens a session is not about the model's work."""
    text = "The total is wrong."
    assert _of(_current([_prompt(text)]), FactKind.CORRECTION) == []
    assert _texts(_current([_prompt("hello"), _reply("Done."), _prompt(text)]), FactKind.CORRECTION) == [text]


@pytest.mark.parametrize(
    ("rule", "later", "holds"),
    [
        ("Never add new dependencies.", "You can add new dependencies now.", False),
        ("Keep lines under 80 characters.", "Forget the 80 characters lines rule.", False),
        ("Always use pnpm.", "Instead of pnpm use bun.", False),
        ("Never add new dependencies.", "You can see the log now.", True),
        ("Never add new dependencies.", "Add a test for the dependencies list.", True),
    ],
)
def test_a_rule_holds_until_it_is_taken_back(rule: str, later: str, *, holds: bool) -> None:
    """Only a sentence that clearly speaks of it takes it back."""
    facts = _current([_prompt(rule), _reply("ok"), _prompt(later)])
    assert (rule in _texts(facts, FactKind.CONSTRAINT)) is holds


def test_a_command_has_its_outcome_and_a_rerun_replaces_it() -> None:
    """Status, exit code and seconds; cuts of the output make no other command."""
    facts = _current(
        [
            _ran("npm run lint", "src/a.ts\n  1:1  error  bad  no-x\n", failed=True, code=1),
            _ran("npm run lint 2>&1 | tail -3", "clean\n", code=0),
        ]
    )
    assert [(f.subject, f.status, f.exit_code, f.seconds) for f in _of(facts, FactKind.COMMAND)] == [
        ("npm run lint", "ok", 0, 1.5)
    ]
    assert _of(facts, FactKind.ERROR) == []


def test_a_failing_rerun_replaces_the_errors_of_the_run_before() -> None:
    """What it no longer prints is settled."""
    facts = _current(
        [
            _ran("tsc", "a.ts(1,1): error TS1: x\nb.ts(1,1): error TS1: y\n", failed=True),
            _ran("tsc", "b.ts(1,1): error TS1: y\n", failed=True),
        ]
    )
    assert _texts(facts, FactKind.ERROR) == ["b.ts(1,1): error TS1: y"]


def test_another_flag_is_still_the_same_tool() -> None:
    """A push that works settles the push that did not."""
    facts = _current(
        [
            _ran("git push", "fatal: The current branch x has no upstream branch.\n", failed=True, code=128),
            _ran("git push -u origin x", "", code=0),
        ]
    )
    assert _of(facts, FactKind.ERROR) == []


def test_error_lines_stand_in_the_event_where_they_say() -> None:
    """Offsets are of the Event's text, colours and carriage returns included."""
    output = "\x1b[2Kbuilding\r\n\x1b[31merror\x1b[0m: bad thing in cart\r\ndone\r\n"
    event = _ran("make", output, failed=True)
    (error,) = _of(_current([event]), FactKind.ERROR)
    assert error.text == "error: bad thing in cart"
    assert event.text[error.start : error.end].endswith("error\x1b[0m: bad thing in cart")


def test_errors_shown_as_content_are_not_errors() -> None:
    """Cat of a log, a Read, a grep hit."""
    line = "TypeError: x is not a function\n"
    facts = _current(
        [_ran("cat app.log", line), _ran("rg TypeError", f"a.ts:1:{line}"), _did(FileRead(path="/a.log"), text=line)]
    )
    assert _of(facts, FactKind.ERROR) == []


def test_errors_printed_by_passing_tests_are_not_errors() -> None:
    """Tests of error paths print errors."""
    output = "Error: expected by the test\n20 passed in 0.42s\n"
    assert _of(_current([_ran("pytest", output)]), FactKind.ERROR) == []


PYTEST_BAD = """\
FAILED tests/test_a.py::test_one - assert 1 == 2
FAILED tests/test_a.py::test_two - assert 1 == 2
=== 2 failed, 3 passed in 0.1s ===
"""


def test_a_passing_run_with_other_flags_closes_the_failing_tests() -> None:
    """Pytest -x tests/test_a.py is the run of before."""
    events = [
        _ran("pytest tests/test_a.py", PYTEST_BAD, failed=True),
        _ran("uv run pytest -x tests/test_a.py", "=== 5 passed in 0.1s ===\n"),
    ]
    facts = _current(events)
    assert _of(facts, FactKind.FAILING_TEST) == []
    assert [(f.subject, f.status, f.added, f.removed) for f in _of(facts, FactKind.TEST)] == [
        ("pytest tests/test_a.py", "passed", 5, 0)
    ]


def test_a_wider_run_replaces_a_narrower_one() -> None:
    """The whole suite says all that a part of it said."""
    facts = _current(
        [
            _ran("pytest tests/test_a.py", PYTEST_BAD, failed=True),
            _ran(
                "pytest",
                "FAILED tests/test_a.py::test_two - assert 1\n=== 1 failed, 40 passed in 2.0s ===\n",
                failed=True,
            ),
        ]
    )
    assert [f.subject for f in _of(facts, FactKind.TEST)] == ["pytest"]
    assert [f.subject for f in _of(facts, FactKind.FAILING_TEST)] == ["tests/test_a.py::test_two"]


def test_a_narrow_run_closes_only_what_it_ran() -> None:
    """The other test still fails."""
    facts = _current(
        [
            _ran("pytest", PYTEST_BAD, failed=True),
            _ran("pytest tests/test_a.py::test_one", "=== 1 passed in 0.1s ===\n"),
        ]
    )
    assert [f.subject for f in _of(facts, FactKind.FAILING_TEST)] == ["tests/test_a.py::test_two"]
    assert {f.subject: f.status for f in _of(facts, FactKind.TEST)} == {
        "pytest": "failed",
        "pytest tests/test_a.py::test_one": "passed",
    }


def test_a_test_run_that_could_not_start_is_the_latest_outcome() -> None:
    """Without counts, with its last words."""
    (test,) = _of(
        _current([_ran("python -m pytest", "/usr/bin/python: No module named pytest\n", failed=True)]), FactKind.TEST
    )
    assert (test.status, test.text) == ("failed", "/usr/bin/python: No module named pytest")
    assert test.note == "no counts: python -m pytest"


def test_commits_pushes_and_pull_requests_are_found() -> None:
    """By what git and gh print."""
    facts = _current(
        [
            _ran(
                'git commit -m "Round totals"',
                "[fix/rounding 3fa9c1d] Round totals\n 1 file changed, 2 insertions(+)\n",
            ),
            _ran(
                "git push -u origin fix/rounding",
                "To github.com:acme/shop.git\n * [new branch]      fix/rounding -> fix/rounding\n",
            ),
            _ran("gh pr create --fill", "https://github.com/acme/shop/pull/42\n"),
            _ran("gh pr view 41", "https://github.com/acme/shop/pull/41\n"),
        ]
    )
    assert [(f.subject, f.text, f.status) for f in _of(facts, FactKind.COMMIT)] == [
        ("3fa9c1d", "Round totals", "fix/rounding")
    ]
    assert [(f.subject, f.status) for f in _of(facts, FactKind.PULL_REQUEST)] == [
        ("push fix/rounding", "pushed"),
        ("42", "created"),
    ]


def test_amended_and_undone_commits_are_no_longer_current() -> None:
    """Only what stands on the branch."""
    facts = _current(
        [
            _ran("git commit -m a", "[main 1111111] a\n"),
            _ran("git commit --amend -m b", "[main 2222222] b\n"),
            _ran("git commit -m c", "[main 3333333] c\n"),
            _ran("git reset --soft HEAD~1", ""),
        ]
    )
    assert [f.subject for f in _of(facts, FactKind.COMMIT)] == ["2222222"]


def test_edits_add_up_and_their_symbols_are_named() -> None:
    """An edit is never superseded; what it defines is."""
    one = FileEdit(path="/srv/a.py", edit=EditKind.UPDATE, added=2, removed=1, added_text="def total():\n    pass")
    two = FileEdit(
        path="/srv/a.py",
        edit=EditKind.UPDATE,
        added=1,
        removed=2,
        added_text="x = 1",
        removed_text="def total():\n    pass",
    )
    assert [(f.added, f.removed) for f in _of(_current([_did(one), _did(two)]), FactKind.EDIT)] == [(2, 1), (1, 2)]
    assert [f.subject for f in _of(_current([_did(one)]), FactKind.SYMBOL)] == ["total"]
    assert _of(_current([_did(one), _did(two)]), FactKind.SYMBOL) == []


def test_files_written_and_read_by_shell_are_edits_and_reads() -> None:
    """Paths are seen from where the command ran."""
    facts = _current(
        [
            _ran("cd web && cat > app.py <<'EOF'\ndef go():\n    pass\nEOF"),
            _ran("sed -n '1,5p' web/app.py", "def go():\n"),
        ]
    )
    assert [(f.subject, f.added) for f in _of(facts, FactKind.EDIT)] == [("/srv/shop/web/app.py", 2)]
    assert [f.subject for f in _of(facts, FactKind.SYMBOL)] == ["go"]
    (read,) = _of(facts, FactKind.READ)
    assert (read.subject, read.text, len(read.status)) == ("/srv/shop/web/app.py", "1-5", 16)


def test_what_the_reader_tells_is_not_told_twice() -> None:
    """A patch in a shell command is already an edit."""
    edit = FileEdit(path="/srv/shop/old.txt", edit=EditKind.DELETE, removed=3)
    command = Command(command="rm old.txt", cwd="/srv/shop")
    assert len(_of(_current([_did(command, edit)]), FactKind.EDIT)) == 1


def _todos(*entries: tuple[str, TodoStatus], whole: bool = True) -> Event:
    return _did(TodoUpdate(todos=tuple(Todo(todo_id=i, text=i, status=s) for i, s in entries), whole_list=whole))


def test_the_latest_state_of_each_todo_is_current() -> None:
    """A whole list drops what it does not name; what was done stays done."""
    pending, active, done = TodoStatus.PENDING, TodoStatus.IN_PROGRESS, TodoStatus.COMPLETED
    facts = _current(
        [_todos(("a", active), ("b", pending), ("c", pending)), _todos(("a", done), ("b", active)), _todos(("b", done))]
    )
    assert {f.subject: f.status for f in _of(facts, FactKind.TODO)} == {"a": "completed", "b": "completed"}


def test_a_todo_update_without_text_keeps_the_text() -> None:
    """Some clients send only the id and the status."""
    update = _did(TodoUpdate(todos=(Todo(todo_id="a", text="", status=TodoStatus.COMPLETED),), whole_list=False))
    facts = _current(
        [
            _did(TodoUpdate(todos=(Todo(todo_id="a", text="Write it", status=TodoStatus.PENDING),), whole_list=False)),
            update,
        ]
    )
    assert [(f.text, f.status) for f in _of(facts, FactKind.TODO)] == [("Write it", "completed")]


def test_a_plan_replaces_the_plan_before_with_its_steps() -> None:
    """Steps are facts of their own, so that each has its place."""
    first = "# Plan\n1. one\n2. two\n3. three\n"
    second = "# Plan\n1. uno\n2. dos\n"
    facts = _current(
        [
            _did(PlanProposed(text=first, accepted=False), text=first),
            _did(PlanProposed(text=second, accepted=True), text=second),
        ]
    )
    assert [(f.subject, f.text, f.status) for f in _of(facts, FactKind.PLAN)] == [
        ("plan", second, "accepted"), ("plan step 1", "1. uno", "accepted"), ("plan step 2", "2. dos", "accepted"),
    ]  # fmt: skip


def test_a_prompt_that_hands_over_a_plan_is_an_accepted_plan() -> None:
    """With its headings as steps."""
    text = "Implement the following plan:\n\n# Rounding\n\n### 1. Add a helper\nIt must be pure.\n\n### 2. Use it\n"
    facts = _current([_prompt(text)])
    assert [f.text for f in _of(facts, FactKind.PLAN)][1:] == ["### 1. Add a helper", "### 2. Use it"]
    assert _texts(facts, FactKind.CONSTRAINT) == ["It must be pure."]


def test_a_question_is_answered_by_the_next_prompt() -> None:
    """Open until then."""
    asked = [_prompt("go"), _reply("I looked at both.\nShall I use Redis?")]
    assert [f.status for f in _of(_current(asked), FactKind.QUESTION)] == ["open"]
    (question,) = _of(_current([*asked, _prompt("yes, do that")]), FactKind.QUESTION)
    assert (question.text, question.status, question.note) == ("Shall I use Redis?", "answered", "yes, do that")


def test_a_question_the_model_answers_itself_is_not_open() -> None:
    """It went on working."""
    events = [
        _reply("What is the current name?"),
        Event(kind=EventKind.CALL, text="Read /a.py", client_session="s"),
        _did(FileRead(path="/a.py")),
    ]
    assert _of(_current(events), FactKind.QUESTION) == []


def test_a_number_chooses_from_the_list() -> None:
    """The entry it names is kept with it."""
    facts = _current([_reply("1. Fix the bug\n2. All of the above\n\nWhich one?"), _prompt("2")])
    (choice,) = _of(facts, FactKind.DECISION)
    assert (choice.text, choice.status, choice.note) == ("2 All of the above", "user", "chosen: All of the above")


def test_a_question_put_by_a_tool_has_its_answer() -> None:
    """And the user's rules in it."""
    facts = _current(
        [
            _did(
                QuestionAsked(question="Which store?", answer="SQLite. Never Postgres."),
                text="Which store? SQLite. Never Postgres.",
            )
        ]
    )
    assert [(f.status, f.note) for f in _of(facts, FactKind.QUESTION)] == [("answered", "SQLite. Never Postgres.")]
    assert _texts(facts, FactKind.CONSTRAINT) == ["Never Postgres."]


def test_a_task_of_a_sub_agent_goes_from_running_to_done() -> None:
    """One fact, whose result is the agent's own words."""
    running = AgentTask(description="Explore", agent="a1")
    done = AgentTask(description="", agent="a1", result='[Tool: Read] {"file_path": "/a"}\nAll is well.')
    (task,) = _of(_current([_did(running), _did(done)]), FactKind.TASK)
    assert (task.subject, task.status, task.note) == ("Explore", "done", "All is well.")


def test_a_failed_edit_is_an_error_about_its_file_until_the_file_is_edited() -> None:
    """The call names the path."""
    call = Event(kind=EventKind.CALL, text="Edit /srv/a b.py\n- x\n+ y", client_session="s", call_id="c1")
    failed = _did(
        OtherTool(name="Edit", summary="file_path=/srv/a b.py", failed=True),
        text="<tool_use_error>String to replace not found in file.\nString: x</tool_use_error>",
        failed=True,
        call="c1",
    )
    (error,) = _of(_current([call, failed]), FactKind.ERROR)
    assert (error.subject, error.text) == ("/srv/a b.py", "String to replace not found in file.")
    assert failed.text[error.start : error.end] == error.text
    edited = _did(FileEdit(path="/srv/a b.py", edit=EditKind.UPDATE))
    assert _of(_current([call, failed, edited]), FactKind.ERROR) == []


def test_what_the_user_says_in_refusing_a_tool_is_the_users() -> None:
    """A refusal is an error; its words may be a rule."""
    text = "The user doesn't want to proceed. To tell you how to proceed, the user said:\nNever use sudo."
    event = _did(OtherTool(name="Bash", summary="x", failed=True), text=text, failed=True)
    (rule,) = _of(_current([event]), FactKind.CONSTRAINT)
    assert event.text[rule.start : rule.end] == "Never use sudo."


def test_lookups_are_kept_by_what_was_sought() -> None:
    """From tools and from shell."""
    facts = _current([_did(Lookup(what="total", where="src")), _ran("rg -n rate src", "")])
    assert [(f.subject, f.text) for f in _of(facts, FactKind.LOOKUP)] == [("total", "src"), ("rate", "src")]


STREAM = [
    _prompt("Fix rounding. Never touch src/tax.py."),
    _reply("1. Patch\n2. Rewrite\n\nWhich one do you prefer?"),
    _prompt("2"),
    _todos(("a", TodoStatus.PENDING), ("b", TodoStatus.PENDING)),
    _ran("pytest tests/test_a.py", PYTEST_BAD, failed=True),
    Event(kind=EventKind.CALL, text="Edit /srv/a.py\n- x", client_session="s", call_id="c1"),
    _did(
        OtherTool(name="Edit", summary="", failed=True),
        text="String to replace not found in file.",
        failed=True,
        call="c1",
    ),
    _did(FileEdit(path="/srv/a.py", edit=EditKind.UPDATE, added=1, added_text="def f():\n")),
    _ran("pytest", "=== 9 passed in 1.0s ===\n"),
    _ran("git commit -m x", "[main 1111111] x\n"),
    _ran("git commit --amend -m y", "[main 2222222] y\n"),
    _did(AgentTask(description="Look", agent="a1")),
    _did(AgentTask(description="", agent="a1", result="Fine.")),
    _todos(("a", TodoStatus.COMPLETED)),
    _prompt("No, you can touch src/tax.py now."),
]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_the_same_events_give_the_same_facts_however_they_are_cut(cut: int) -> None:
    """The state travels as JSON."""
    whole = FactExtractor()
    expected = [fact for event in STREAM for fact in whole.facts(event)]
    first = FactExtractor()
    found = [fact for event in STREAM[:cut] for fact in first.facts(event)]
    second = FactExtractor(json.loads(json.dumps(first.state())))
    found += [fact for event in STREAM[cut:] for fact in second.facts(event)]
    assert found == expected
    assert second.state() == whole.state()


def test_a_foreign_state_is_an_empty_one() -> None:
    """Older versions may have left anything."""
    assert FactExtractor({"todos": 3, "tests": {"a": "b"}, "home": None, "calls": [1]}).facts(_prompt("hi"))


def test_edits_are_never_superseded() -> None:
    """They add up by path."""
    assert FactKind.EDIT not in SUPERSEDED_BY_NEWER
    assert FactKind.ERROR not in SUPERSEDED_BY_NEWER


@pytest.mark.parametrize(
    "piece",
    [
        "-",
        "a",
        "A",
        "aB",
        "_",
        " ",
        "\n",
        "no ",
        "please ",
        "`",
        '"',
        "'",
        "/",
        ".",
        "a.",
        "a-",
        "a@",
        "1",
        "1.",
        "#",
        "(",
        "[",
        "<<EOF\n",
        "<",
        "| tail ",
        "x = (",
        "\t",
        "=",
        "\u00d7 ",
        "error ",
        "Error",
        "a:1:",
        "\r",
        "\x1b[",
        "then, ",
        "- ",
    ],
)
def test_hostile_repetition_ends(piece: str) -> None:
    """No rule's cost grows faster than it may; a test that hangs has found one that does."""
    text = piece * (4_000 // len(piece))
    for tail in ("", "Zz_?"):
        events = [
            _prompt(text + tail),
            _reply(text + tail),
            _ran(text[:6_000] + tail, text + tail, failed=True),
            _ran("make", text + tail, failed=True),
            *(
                _did(FileEdit(path=f"/a.{ending}", edit=EditKind.CREATE, added_text=text + tail))
                for ending in ("py", "ts", "go", "rs", "java", "rb", "c", "sh", "swift", "php", "dart", "sql")
            ),
        ]
        assert FactExtractor().facts(events[0])
        assert _current(events)
