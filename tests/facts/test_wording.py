"""Rules, corrections and decisions: the sentences people write."""

import pytest

from rlm_mcp.facts.languages import language_of
from rlm_mcp.facts.prose import Sentence, closing_questions, sentences
from rlm_mcp.facts.wording import is_correction, is_decision, is_revocation, is_user_decision, rule_of


def _one(text: str) -> Sentence:
    return Sentence(text, 0, len(text))


RULES = [
    ("forbid", "Don't touch the public API."),
    ("forbid", "Never commit directly to main."),
    ("forbid", "do not add any new dependencies"),
    ("forbid", "Please don\u2019t use mocks here."),
    ("forbid", "No new npm packages please."),
    ("forbid", "Avoid global state."),
    ("forbid", "You must not change the database schema."),
    ("forbid", "Refactor this without changing the behaviour."),
    ("forbid", "Leave the legacy folder alone."),
    ("forbid", "We never use default exports."),
    ("forbid", "I don't want any comments in the code."),
    ("forbid", "The vendor directory is off limits."),
    ("forbid", "you can't use recursion"),
    ("forbid", "Tests should not hit the network."),
    ("forbid", "use rgb values in the themes, no rgb indices!"),
    ("forbid", "stop adding emojis to commit messages"),
    ("require", "All functions must have type hints."),
    ("require", "Always run the linter before committing."),
    ("require", "Make sure the tests pass."),
    ("require", "Only edit files under src/."),
    ("require", "Use pnpm, not npm."),
    ("require", "the selector needs to push the update to the next tick"),
    ("require", "Use tabs instead of spaces."),
    ("require", "The endpoint should return 404 for unknown ids."),
    ("require", "It needs to work on Python 3.9."),
    ("require", "Keep the function under 40 lines."),
    ("require", "Stick to the existing style."),
    ("require", "From now on write commit messages in German."),
    ("require", "Every public function must have a docstring."),
    ("require", "Ensure backwards compatibility."),
    ("require", "plan first"),
    ("require", "Limit the retries to at most 3."),
    ("require", "can you ensure we have an example that runs."),
    ("prefer", "I'd prefer composition over inheritance."),
    ("prefer", "Ideally it works offline too."),
    ("prefer", "I want all logs in JSON."),
    ("prefer", "Try to keep the diff small."),
]
NO_RULES = [
    "review, proposal improvements",
    "fix these issues or disable the scan",
    "what should I do next?",
    "I don't know why it fails.",
    "Do you know where the config lives?",
    "The cache is never read.",
    "It only works for Claude.",
    "Add a button to the settings page.",
    "can you tell me whether this should be merged",
    "we don't have metadata with the start time here",
    "investigate whether this issue is stale and should be closed.",
    "push to github",
    "no",
    "continue",
    "why don't you use the helper?",
    "The build takes about 3 minutes.",
    "I was told I should try",
    "This is the output I get:",
]


@pytest.mark.parametrize(("kind", "text"), RULES)
def test_a_rule_of_the_user_is_known(kind: str, text: str) -> None:
    """By the wording of the demand itself."""
    assert rule_of(_one(text), language_of(text)) == kind


@pytest.mark.parametrize("text", NO_RULES)
def test_a_report_question_or_request_is_no_rule(text: str) -> None:
    """The same words in a report bind nobody."""
    assert rule_of(_one(text), language_of(text)) == ""


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("forbid", "Bitte keine neuen Abh\u00e4ngigkeiten hinzuf\u00fcgen."),
        ("forbid", "Das Schema darf nicht ge\u00e4ndert werden."),
        ("require", "Die Tests m\u00fcssen immer gr\u00fcn sein, und das ist wichtig."),
        ("forbid", "Ne modifie pas les fichiers de la base."),
        ("require", "Il faut toujours lancer les tests avant de pousser."),
        ("forbid", "No toques los archivos de la base de datos."),
        ("require", "Siempre usa el formato de la empresa."),
        ("forbid", "N\u00e3o altere o esquema do banco de dados."),
        ("require", "Use sempre o mesmo formato para os logs."),
        ("forbid", "\u4e0d\u8981\u4fee\u6539\u6570\u636e\u5e93\u7ed3\u6784\u3002"),
        ("require", "\u5fc5\u987b\u4f7f\u7528 TypeScript\u3002"),
        ("forbid", "\u65e2\u5b58\u306eAPI\u3092\u5909\u66f4\u3057\u306a\u3044\u3067\u304f\u3060\u3055\u3044\u3002"),
        ("require", "\u5fc5\u305a\u30c6\u30b9\u30c8\u3092\u66f8\u3044\u3066\u304f\u3060\u3055\u3044\u3002"),
    ],
)
def test_basic_markers_of_other_languages_are_known(kind: str, text: str) -> None:
    """German, French, Spanish, Portuguese, Chinese, Japanese."""
    assert rule_of(_one(text), language_of(text)) == kind


@pytest.mark.parametrize(
    "text",
    [
        "No, that's not what I meant.",
        "That's wrong, the total is in cents.",
        "You forgot the German locale.",
        "it still fails on Windows",
        "this doesn't work",
        "I meant the other file.",
        "Actually, the port is 8081.",
        "why did you delete the test?",
        "revert that",
        "also, you marked #950 for deletion but that's actually a useful feature",
        "So the problem with this implementation is that the app hangs.",
        "i mean specific to content not policy",
        "also i thougth the pattern was to use bun run",
        "Not the sidebar, the header.",
        "the date is wrong in the footer",
        "you should have used the existing helper",
        "that is too complicated",
    ],
)
def test_a_correction_is_known(text: str) -> None:
    """The user says what was wrong."""
    assert is_correction(_one(text), language_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "continue",
        "push to github",
        "Add a dark mode.",
        "now write the docs",
        "looks good, thanks",
        "commit this",
        "What does this function do?",
    ],
)
def test_a_request_is_no_correction(text: str) -> None:
    """Going on is not going back."""
    assert not is_correction(_one(text), language_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "I'll use SQLite because the data fits on one machine.",
        "I decided to keep the old endpoint.",
        "Let's go with option 2.",
        "The root cause is a missing await in the loader.",
        "The issue is that the test creates a checkpoint without an agent.",
        "The simplest fix is to fall back to the default.",
        "I went with a queue rather than polling.",
        "**Decision:** keep one table per tenant.",
        "Approach: parse once, then cache.",
        "We'll stick with the built-in parser.",
        "The failure was caused by a stale lock file.",
        "I recommend splitting the module.",
    ],
)
def test_a_decision_or_cause_is_known(text: str) -> None:
    """What was chosen or found, and why."""
    assert is_decision(_one(text))


@pytest.mark.parametrize(
    "text",
    [
        "Let me check the config file first.",
        "I'll start by exploring the project structure.",
        "Now I'll run the tests.",
        "Should I use SQLite instead of Postgres?",
        "All tests pass.",
        "Here is a summary of the changes.",
        "I'm also checking the guide because this touches live behaviour.",
        "The plan is complete.",
        "Perfect! Let me create a final summary:",
    ],
)
def test_routine_talk_is_no_decision(text: str) -> None:
    """Saying what comes next is not choosing."""
    assert not is_decision(_one(text))


@pytest.mark.parametrize(
    "text",
    [
        "go with the second one",
        "option 2",
        "yes, do that",
        "Let's use Redis.",
        "b",
        "lgtm",
        "do both",
    ],
)
def test_a_users_choice_is_known(text: str) -> None:
    """Short answers settle things."""
    assert is_user_decision(_one(text))


@pytest.mark.parametrize(
    "text",
    [
        "forget the line limit",
        "you can use new dependencies now",
        "Instead of pnpm use bun.",
        "it's fine to touch the schema now",
        "I changed my mind about the tabs.",
        "use spaces instead",
    ],
)
def test_taking_a_rule_back_is_known(text: str) -> None:
    """What was forbidden may be allowed later."""
    assert is_revocation(_one(text))


def test_sentences_stand_where_they_say_and_leave_code_out() -> None:
    """Offsets point into the text; fenced blocks and abbreviations do not end or start sentences."""
    text = (
        "Use e.g. pnpm. Never npm!\n\n```sh\nnpm install  # never\n```\n"
        "- keep it small\n3. one more. And another\n# Title\n"
    )
    found = list(sentences(text))
    assert [s.text for s in found] == [
        "Use e.g. pnpm.", "Never npm!", "keep it small", "one more.", "And another", "Title",
    ]  # fmt: skip
    assert all(text[s.start : s.end] == s.text for s in found)
    assert found[-1].heading


def test_questions_at_the_end_of_a_reply_are_put_to_the_user() -> None:
    """A question in the middle is rhetoric."""
    text = (
        "Why does it fail? Because of the lock.\n" + "It is fixed now.\n" * 12 + "\nShall I push?\nOr wait for review?"
    )
    found = closing_questions(text)
    assert [q.text for q in found] == ["Shall I push?", "Or wait for review?"]
    assert all(text[q.start : q.end] == q.text for q in found)


@pytest.mark.parametrize(
    "text",
    [
        "i undid your changes, try again",
        "i don't tink it works? the label doesn't update",
        "the theme selector is fucked up",
        "my dude, this exploded when i restarted",
        "md link is actually 666666",
        "what about the header?",
        "this is what we had before, please make it like that again",
        "the export is still missing",
        "hm, i got a crash",
        "the page still looks the same",
    ],
)
def test_a_correction_in_plain_speech_is_known(text: str) -> None:
    """People are not polite to a terminal."""
    assert is_correction(_one(text), language_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "For now, make it so there is no AI.",
        "Being in check has no other effect than the overlay.",
        "This is purely for visualization.",
        "Make it so each piece has a cooldown of 10 seconds as soon as you move it.",
        "For now let's have the host be the white player.",
        "Let's only do the invitation for now.",
        "let's have the tenant in the url path instead of a header",
        "I want to use the local icons, not unicode.",
    ],
)
def test_a_specification_is_a_rule(text: str) -> None:
    """What something is, for now or exactly."""
    assert rule_of(_one(text), language_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "make a python script i can run at the end, it should take the history and export it",
        "I want to start on the assignment.",
        "before wrapping up, can you ingest data for another tenant, i want to verify the isolation",
        "Try to find out what can be wrong.",
        "Try to fix the export script for this to be the case.",
        "Make sure this is all implemented and functional.",
        "There should be a mode selector on the left menu.",
        "Now I want to add the ability to pre-move.",
        "The build takes about 3 minutes.",
    ],
)
def test_a_plain_ask_is_no_rule(text: str) -> None:
    """It is done once and over."""
    assert rule_of(_one(text), language_of(text)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "i changed my mind about tier 3, do the other one",
        "Nothing happens when I press new game.",
        "That doesn't look right.",
        "But I don't see it in the file.",
        "the darker highlight should still stay on",
        "(the last change removed the highlight)",
        "it messed up the highlight",
        "I'm still getting an empty page",
        "I want the local icons, not unicode",
        "Make it stay on (currently, the green disappears)",
        "That didn't seem to have worked.",
    ],
)
def test_a_complaint_is_a_correction_without_the_word(text: str) -> None:
    """People describe what they see."""
    assert is_correction(_one(text), language_of(text))


def test_a_polite_request_is_no_correction() -> None:
    """It asks for a look."""
    text = "ok can you do one more check and see if anything is missing?"
    assert not is_correction(_one(text), language_of(text))
