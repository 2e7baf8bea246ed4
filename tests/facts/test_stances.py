"""What was decided and what ends it: changes of mind, undo, cures, wider runs."""

import pytest

from rlm_mcp.events import Command, EditKind, Event, EventKind, FileEdit, OtherTool, QuestionAsked
from rlm_mcp.facts.extract import FactExtractor
from rlm_mcp.facts.kinds import Fact, FactKind
from rlm_mcp.facts.runs import command_key
from rlm_mcp.facts.supersede import supersedes


def _prompt(text: str) -> Event:
    return Event(kind=EventKind.PROMPT, text=text, client_session="s")


def _reply(text: str) -> Event:
    return Event(kind=EventKind.REPLY, text=text, client_session="s")


def _ran(command: str, output: str = "", *, failed: bool = False) -> Event:
    action = Command(command=command, cwd="/srv/shop", output=output, failed=failed, exit_code=int(failed))
    return Event(kind=EventKind.RESULT, text=output, client_session="s", actions=(action,), failed=failed)


def _current(events: list[Event]) -> list[Fact]:
    """The Facts that hold after all Events; each batch by a new extractor, as the store does."""
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


_START = [_prompt("Build the shop."), _reply("Which queue and which store?")]


@pytest.mark.parametrize(
    ("decided", "later", "holds"),
    [
        ("let's use Redis streams for the queue", "I changed my mind about the Redis streams, take Kafka", False),
        ("let's use Redis streams for the queue", "scrap the Redis streams", False),
        ("let's use Redis streams for the queue", "rewrite the queue with Kafka instead of Redis", False),
        ("let's use Redis streams for the queue", "actually, let's use Kafka streams for the queue", False),
        ("let's use Redis streams for the queue", "we no longer use Redis streams", False),
        ("let's use Redis streams for the queue", "remove the unused imports", True),
        ("let's use Redis streams for the queue", "use tabs instead of spaces", True),
        ("let's use Redis streams for the queue", "Does the queue use Redis streams?", True),
        ("let's use Redis streams for the queue", "Add a test of the Redis streams queue", True),
        ("let's drop the Redis streams", "now remove the Redis streams from the readme", True),
    ],
)
def test_a_decision_holds_until_the_user_changes_their_mind_about_it(decided: str, later: str, *, holds: bool) -> None:
    """Only a sentence that takes back what the decision is about ends it."""
    facts = _current([*_START, _prompt(decided), _reply("Done."), _prompt(later)])
    assert (decided in _texts(facts, FactKind.DECISION)) is holds


def test_the_answered_question_ends_with_the_decision_it_led_to() -> None:
    """Skipping a tier, then wanting it after all."""
    asked = QuestionAsked(question="For tier 3, which option?", answer="Skip tier 3")
    result = Event(kind=EventKind.RESULT, text="Skip tier 3", client_session="s", actions=(asked,))
    facts = _current([*_START, result, _prompt("i changed my mind about tier 3, do the rate limit")])
    assert not [f for f in facts if f.kind is FactKind.QUESTION and f.note == "Skip tier 3"]
    assert not [text for text in _texts(facts, FactKind.DECISION) if "Skip" in text]


@pytest.mark.parametrize("undo", ["undo the last change", "Let's undo this last change", "please revert that", "undo"])
def test_an_undo_ends_what_was_decided_in_the_turn_before(undo: str) -> None:
    """And nothing older."""
    older, newer = "let's use Redis for the queue", "let's make the header sticky"
    facts = _current([*_START, _prompt(older), _reply("Done."), _prompt(newer), _reply("Done."), _prompt(undo)])
    assert older in _texts(facts, FactKind.DECISION)
    assert newer not in _texts(facts, FactKind.DECISION)


def test_a_second_undo_ends_the_turn_before_that() -> None:
    """As the change itself goes."""
    older, newer = "let's use Redis for the queue", "let's make the header sticky"
    events = [*_START, _prompt(older), _reply("Done."), _prompt(newer), _reply("Done.")]
    facts = _current([*events, _prompt("undo the last change"), _reply("Undone."), _prompt("undo the last change")])
    assert not {older, newer} & set(_texts(facts, FactKind.DECISION))


def test_a_rule_to_add_something_ends_when_it_is_to_be_removed() -> None:
    """A rule that forbids it does not."""
    wanted, forbidden = "Always print console logs in the handler.", "Never print console logs in the store."
    facts = _current(
        [*_START, _prompt(f"{wanted} {forbidden}"), _reply("Done."), _prompt("let's remove the console logs")]
    )
    assert _texts(facts, FactKind.CONSTRAINT) == [forbidden]


@pytest.mark.parametrize(
    "command",
    [
        "sleep 5 && pytest tests -v",
        "cd /srv/shop && pytest tests -v",
        "source .venv/bin/activate && pytest tests -v 2>&1 | tail -20",
        "timeout 60 pytest tests -v 2>&1",
        "export A=1 B=2 && pytest tests -v | head -5",
        'DB_URL="x y" pytest tests -v',
        "set -e; sleep 2; pytest tests -v",
    ],
)
def test_what_only_prepares_a_run_is_no_part_of_its_key(command: str) -> None:
    """A newer run replaces the older whatever stands around it."""
    assert command_key(command, "") == "pytest tests -v"


@pytest.mark.parametrize("command", ["sleep 5", "cd /srv", "export A=1", "A=$(make x) run"])
def test_a_command_that_does_nothing_else_keeps_its_text(command: str) -> None:
    """There is no run behind it."""
    assert command_key(command, "") == command


def test_an_error_ends_when_its_cause_goes() -> None:
    """No commits yet: until the first."""
    error = "fatal: your current branch 'main' does not have any commits yet"
    failed = _ran("git log --oneline", error, failed=True)
    assert _texts(_current([failed, _ran("git status", "nothing")]), FactKind.ERROR) == [error]
    committed = _ran("git commit -m x", "[main (root-commit) dbecb17] x")
    assert _texts(_current([failed, committed]), FactKind.ERROR) == []


def test_a_failed_edit_is_over_once_the_file_is_edited() -> None:
    """However much of its folder the failure named."""
    tool = OtherTool(name="apply_patch", summary="server.js", failed=True)
    text = "apply_patch verification failed: Failed to find expected lines"
    failed = Event(kind=EventKind.RESULT, text=text, client_session="s", actions=(tool,), failed=True)
    edit = FileEdit(path="/srv/shop/server.js", edit=EditKind.UPDATE, added=1)
    done = Event(kind=EventKind.RESULT, text="ok", client_session="s", actions=(edit,))
    assert _texts(_current([failed]), FactKind.ERROR) == [text]
    assert _texts(_current([failed, done]), FactKind.ERROR) == []


PASSED = "===== {} passed in 2.63s ====="


@pytest.mark.parametrize(
    ("older", "newer", "output", "left"),
    [
        ("docker compose exec api pytest tests/ -v", "make test", "docker compose exec api pytest tests/ -v\n{}", 1),
        ("pytest tests/test_a.py", "make test", "{}", 1),
        ("pytest tests/unit", "npm test", "> pytest tests\n{}", 1),
        ("docker compose exec -T api pytest tests/unit", "sleep 3 && docker compose exec api pytest tests", "{}", 1),
        ("pytest tests/unit", "pytest tests/slow", "{}", 2),
        ("npm run test:e2e", "npm test", "{}", 2),
    ],
)
def test_a_run_of_everything_ends_the_older_outcome_of_a_part(older: str, newer: str, output: str, left: int) -> None:
    """Also where a wrapper prints or runs the same runner; never that of another part."""
    facts = _current([_ran(older, PASSED.format(34)), _ran(newer, output.format(PASSED.format(52)))])
    assert len(_texts(facts, FactKind.TEST)) == left


def test_a_smaller_run_of_a_wrapper_does_not_end_a_larger_outcome() -> None:
    """It may have run another part."""
    facts = _current([_ran("pytest tests/unit", PASSED.format(34)), _ran("make test", PASSED.format(5))])
    assert len(_texts(facts, FactKind.TEST)) == 2


def test_a_script_of_tests_is_a_test_run_by_its_exit_code() -> None:
    """It need not count."""
    failed = _ran("node tests/cart.test.mjs", "x\nAssertionError: 1 !== 2\n    at a.js:1", failed=True)
    passed = _ran("node tests/cart.test.mjs", "cart tests passed\nbye")
    (outcome,) = [f for f in _current([failed]) if f.kind is FactKind.TEST]
    assert (outcome.status, outcome.text) == ("failed", "AssertionError: 1 !== 2")
    (outcome,) = [f for f in _current([failed, passed]) if f.kind is FactKind.TEST]
    assert (outcome.status, outcome.text) == ("passed", "cart tests passed")
    assert _texts(_current([_ran("node server.js", "passed")]), FactKind.TEST) == []
