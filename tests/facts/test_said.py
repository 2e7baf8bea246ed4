"""What the user said: answers, pasted output, refusals, specifications; and what the model left to do."""

import pytest

from rlm_mcp.events import (
    Command,
    Event,
    EventKind,
    OtherTool,
    PlanProposed,
    QuestionAsked,
    Todo,
    TodoStatus,
    TodoUpdate,
)
from rlm_mcp.facts.extract import FactExtractor
from rlm_mcp.facts.kinds import Fact, FactKind
from rlm_mcp.facts.supersede import supersedes


def _prompt(text: str) -> Event:
    return Event(kind=EventKind.PROMPT, text=text, client_session="s")


def _reply(text: str) -> Event:
    return Event(kind=EventKind.REPLY, text=text, client_session="s")


def _ran(command: str, output: str = "", *, failed: bool = False) -> Event:
    action = Command(command=command, cwd="/srv/shop", output=output, failed=failed, exit_code=int(failed))
    return Event(kind=EventKind.RESULT, text=output, client_session="s", actions=(action,), failed=failed)


def _current(*events: Event) -> list[Fact]:
    """The Facts that hold after all Events; each by a new extractor, as the store does."""
    state: dict[str, object] = {}
    current: list[Fact] = []
    for event in events:
        extractor = FactExtractor(state)
        for fact in extractor.facts(event):
            current = [older for older in current if not supersedes(fact, older)]
            current.append(fact)
        state = extractor.state()
    return current


def _texts(facts: list[Fact], kind: FactKind) -> list[str]:
    return [fact.text for fact in facts if fact.kind is kind]


REFUSED = "The user doesn't want to proceed with this tool use. The tool use was rejected. STOP what you are doing."


def _refused(text: str = REFUSED) -> Event:
    tool = OtherTool(name="Bash", summary="command=docker compose stop", failed=True)
    return Event(kind=EventKind.RESULT, text=text, client_session="s", actions=(tool,), failed=True)


def test_a_refusal_is_no_error() -> None:
    """The call never ran; that it was refused is told."""
    facts = _current(_prompt("go"), _refused())
    assert _texts(facts, FactKind.ERROR) == []
    assert _texts(facts, FactKind.CORRECTION) == ["refused: docker compose stop"]


def test_what_follows_a_refusal_or_an_interrupt_corrects() -> None:
    """However it is worded, but for a bare "continue"."""
    stop = Event(kind=EventKind.NOTE, text="[Request interrupted by user]", client_session="s", tool="interrupt")
    said = "the export comes last"
    assert said in _texts(_current(_prompt("go"), _reply("ok"), _refused(), _prompt(said)), FactKind.CORRECTION)
    assert said in _texts(_current(_prompt("go"), _reply("ok"), stop, _prompt(said)), FactKind.CORRECTION)
    assert said not in _texts(_current(_prompt("go"), _reply("ok"), _prompt(said)), FactKind.CORRECTION)
    assert _texts(_current(_prompt("go"), _reply("ok"), stop, _prompt("continue")), FactKind.CORRECTION) == []


NOISE = "/opt/x/shellenv.sh: line 18: /bin/ps: Operation not permitted"


def test_a_line_that_successful_commands_print_again_and_again_is_noise() -> None:
    """From its second command on, for those before too; a command's own error stays."""
    facts = _current(_ran("node a.js", NOISE), _ran("git commit -m x", NOISE), _ran("node b.js", NOISE))
    assert _texts(facts, FactKind.ERROR) == []
    real = "TypeError: x is not a function"
    facts = _current(
        _ran("node a.js", NOISE), _ran("make x", NOISE), _ran("node c.js", f"{NOISE}\n{real}", failed=True)
    )
    assert _texts(facts, FactKind.ERROR) == [real]


def test_an_error_hidden_by_a_pipe_is_never_noise() -> None:
    """There the exit code is another command's."""
    error = "src/a.ts(3,5): error TS2345: Argument of type"
    facts = _current(_ran("npm run lint | tail", error), _ran("npm run build | tail", error))
    assert error in _texts(facts, FactKind.ERROR)


LOGS = """ok but when i do make run i get this:
db-1   | 2026-03-01 23:58:25.548 UTC [42] ERROR:  relation "carts" does not exist
api-1  |   File "asyncpg/protocol.pyx", line 165, in prepare
api-1  | asyncpg.exceptions.UndefinedTableError: relation "carts" does not exist
api-1  | Did you remember to import the module?"""


def test_pasted_output_gives_errors_and_nothing_else() -> None:
    """No decision, rule, correction or value is read from it."""
    facts = _current(_prompt("hi"), _reply("Want me to commit?"), _prompt(LOGS))
    assert _texts(facts, FactKind.ERROR) == [
        'ERROR:  relation "carts" does not exist',
        'asyncpg.exceptions.UndefinedTableError: relation "carts" does not exist',
    ]
    assert {f.kind for f in facts} <= {FactKind.PROMPT, FactKind.ERROR}


@pytest.mark.parametrize(
    ("later", "over"),
    [
        (_ran("make run", "ok"), True),
        (_ran("make test", "ok"), False),
        (_prompt("that worked, thanks"), True),
        (_prompt("great, the error is gone"), True),
        (_prompt("make sure it works"), False),
        (_prompt("it doesn't work"), False),
    ],
)
def test_a_pasted_error_is_open_until_its_run_succeeds_or_the_user_says_it_works(later: Event, *, over: bool) -> None:
    """Whichever comes first."""
    facts = _current(_prompt("hi"), _reply("Done."), _prompt(LOGS), later)
    assert (not [f for f in facts if f.kind is FactKind.ERROR]) is over


@pytest.mark.parametrize(
    "pasted",
    [
        "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\nKeyError: 'x'",
        "(base) \u279c  shop git:(main) node a.js\nmust use port 3000\n(base) \u279c  shop",
        '2025-11-23T23:56:30.314Z [ws] recv {"id":12345}',
        "\u2022 Edited a.css (+6 -4)\n    246    content: x;\n    247 -  width: 18px;",
        'I get this error:\nplease never do that\nservice "api" is not running',
    ],
)
def test_what_looks_like_output_is_not_the_users_wording(pasted: str) -> None:
    """Tracebacks, shells, logs, diffs, and what is introduced as an error."""
    facts = _current(_prompt("hi"), _reply("ok"), _prompt(f"Never touch tax.py.\n\n{pasted}"))
    assert _texts(facts, FactKind.CONSTRAINT) == ["Never touch tax.py."]
    assert [f.subject for f in facts if f.kind is FactKind.VALUE] == ["tax.py"]


def test_a_clients_template_is_not_the_users_wording() -> None:
    """What ``/init`` sends."""
    text = "/init\nPlease analyze this codebase and create a CLAUDE.md file.\n- Do not repeat yourself in `docs/x.md`."
    facts = _current(_prompt(text))
    assert [f.subject for f in facts if f.kind in {FactKind.CONSTRAINT, FactKind.VALUE}] == ["/init"]


def test_an_ellipsis_does_not_end_a_sentence_that_goes_on() -> None:
    """A capital letter after it does."""
    text = "always use /api/v1/{slug}/... for everything"
    assert _texts(_current(_prompt(text)), FactKind.CONSTRAINT) == [text]


def test_quoted_words_are_no_rules() -> None:
    """They were said elsewhere."""
    assert (
        _texts(_current(_prompt('I get this prompt ("this is a test. Don\'t do anything")')), FactKind.CONSTRAINT) == []
    )


def test_a_rule_broken_by_hand_over_two_lines_is_one_sentence() -> None:
    """As a wrapped terminal leaves it."""
    (rule,) = _texts(_current(_prompt("Make sure the messages are\n  received in order.")), FactKind.CONSTRAINT)
    assert rule == "Make sure the messages are\n  received in order."


@pytest.mark.parametrize(
    ("question", "answer", "decided"),
    [
        ("For job processing (Tier 2), what approach do you prefer?", "Celery", "job processing: Celery"),
        ("Do you have a preference for the web framework?", "FastAPI", "web framework: FastAPI"),
        ("Which auth method should we use?", "OAuth", "auth method: OAuth"),
        ("Keep the old API?", "Yes, deprecated", "Keep the old API: Yes, deprecated"),
    ],
)
def test_a_tools_answer_says_what_it_decides(question: str, answer: str, decided: str) -> None:
    """The bare choice would mean nothing later."""
    asked = QuestionAsked(question=question, answer=answer)
    event = Event(kind=EventKind.RESULT, text=f"{question}={answer}", client_session="s", actions=(asked,))
    assert _texts(_current(event), FactKind.DECISION) == [decided]


@pytest.mark.parametrize(
    ("question", "answer", "decided"),
    [
        ("Want me to add a carts endpoint?", "yes", ["add a carts endpoint: yes"]),
        ("Want me to add a carts endpoint?", "yea let's make one", ["add a carts endpoint: yea let's make one"]),
        ("Should I drop the old carts table?", "no", ["I drop the old carts table: no"]),
        ("Ready to commit?", "yes", []),
        ("Ready to commit?", "perfect, ok let's commit that", []),
        ("Want me to run that?", "yep", []),
        ("Want me to add a carts endpoint?", "does it need a table?", []),
        ("Want me to add a carts endpoint?", "let me read the code first", []),
        ("Want me to add a carts endpoint?", "looks like there's an error when i run it", []),
        ("Want me to add a carts endpoint?", "let's write the tests now", []),
        ("Redis or Postgres?", "Postgres", ["Postgres"]),
    ],
)
def test_an_answer_decides_only_what_it_settles(question: str, answer: str, decided: list[str]) -> None:
    """Agreeing to go on, asking back and reporting settle nothing."""
    assert _texts(_current(_prompt("hi"), _reply(question), _prompt(answer)), FactKind.DECISION) == decided


def test_numbered_answers_go_to_their_questions() -> None:
    """Each question has its own, once."""
    asked = _reply("1) Should it overwrite?\n2) Should it queue?\n3) Is it allowed at once?")
    facts = _current(_prompt("plan it"), asked, _prompt("1: it overwrites\n2. only when cooling down\n3: at once"))
    assert [f.note for f in facts if f.kind is FactKind.QUESTION] == [
        "it overwrites",
        "only when cooling down",
        "at once",
    ]
    assert len(_texts(facts, FactKind.DECISION)) == 3


def test_a_prompt_that_asks_back_is_no_answer() -> None:
    """The question stays unanswered, and is no longer open."""
    facts = _current(_prompt("hi"), _reply("Want me to commit?"), _prompt("what if a book exists twice?"))
    assert [f for f in facts if f.kind is FactKind.QUESTION] == []


@pytest.mark.parametrize(
    "text",
    [
        "If you have multiple workers, it could be raised since there is a trade-off.",
        "So if you ingest twice, the second run will avoid the duplicates because of the key.",
    ],
)
def test_a_supposition_of_the_model_is_no_decision(text: str) -> None:
    """It says what would happen."""
    assert _texts(_current(_reply(text)), FactKind.DECISION) == []


def test_the_model_switching_ends_what_it_leaves() -> None:
    """From the header to the path."""
    old = "I'll go with the tenant header because it is simple."
    new = "I'll switch from the tenant header to the URL path."
    assert _texts(_current(_reply(old), _prompt("no, path"), _reply(new)), FactKind.DECISION) == [new]


PLAN = """# Shop plan
| Gap | Decision |
|---|---|
| Framework | **FastAPI** |
| Isolation | Row-level |

## Key decisions
1. **Two-pass ingestion**: search first

### Phase 1: Skeleton
1. make it
### Phase 2: Client
2. Should it cache?
"""


def test_the_steps_of_a_plan_are_its_phases() -> None:
    """Not every numbered line in it."""
    plan = Event(
        kind=EventKind.RESULT, text=PLAN, client_session="s", actions=(PlanProposed(text=PLAN, accepted=True),)
    )
    facts = _current(plan)
    steps = [f.text for f in facts if f.kind is FactKind.PLAN and f.subject != "plan"]
    assert steps == ["### Phase 1: Skeleton", "### Phase 2: Client"]
    assert _texts(facts, FactKind.DECISION) == [
        "Framework: FastAPI",
        "Isolation: Row-level",
        "Two-pass ingestion: search first",
    ]


def test_a_plans_own_order_of_steps_is_its_steps() -> None:
    """Other lists in it explain; a question is no step."""
    context, order = "## Context\n1. one\n2. two\n\n", "## Implementation order\n1. A\n2. B\n3. C?\n\n"
    facts = _current(_prompt(f"Implement the following plan:\n\n{context}{order}## Notes\n1. x"))
    steps = [f.text for f in facts if f.kind is FactKind.PLAN and f.subject != "plan"]
    assert steps == ["1. A", "2. B"]


def test_what_a_reply_leaves_to_do_is_a_todo() -> None:
    """Until a newer list or the model says that it is done; where no todo tool has open ones."""
    left = _reply("Committed.\n**Pending**: `prompt-log.md` export")
    assert _texts(_current(left), FactKind.TODO) == ["`prompt-log.md` export"]
    assert _texts(_current(left, _reply("Remaining:\n- tests\n- docs page")), FactKind.TODO) == ["tests", "docs page"]
    done = _current(left, _reply("Exported the prompt-log.md, the export is done."))
    assert [f.status for f in done if f.kind is FactKind.TODO] == ["completed"]
    todos = TodoUpdate(todos=(Todo(todo_id="1", text="x", status=TodoStatus.PENDING),), whole_list=True)
    used = Event(kind=EventKind.RESULT, text="", client_session="s", actions=(todos,))
    assert _texts(_current(used, left), FactKind.TODO) == ["x"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("look at @assignment.txt and @src/a.md.", ["@assignment.txt", "@src/a.md"]),
        ("an implementation called export_all.py.", ["export_all.py"]),
        ('the "prompt:" field', ["prompt"]),
        ('it says "this is one long sentence of quite some many words here"', []),
    ],
)
def test_a_value_ends_where_it_ends(text: str, values: list[str]) -> None:
    """Whole, without the sentence's own punctuation."""
    assert [f.subject for f in _current(_prompt(text)) if f.kind is FactKind.VALUE] == values
