"""Queries understood: typed questions as people put them, and plain words that only look like them."""

import pytest

from rlm_mcp.facts.kinds import FactKind
from rlm_mcp.verbs.query import content_words, understand

_PLAIN: dict[str, tuple[str, ...]] = {
    "command": (
        "which commands failed",
        "last commands",
        "what commands were run?",
        "list the shell commands",
        "commands",
    ),
    "edit": ("files edited", "which files were changed", "what files did you modify?", "edited files"),
    "read": ("files read", "which files were read?", "what files did you look at"),
    "failing_test": ("failing tests", "which tests fail", "which tests are failing now?"),
    "test": ("test results", "test outcomes", "did the tests pass?"),
    "constraint": ("user constraints", "what did the user forbid", "what must I not do?", "rules", "constraints"),
    "correction": ("what did the user correct", "corrections by the user"),
    "todo": ("open todos", "todos", "what is left to do?", "next steps"),
    "error": ("errors", "what errors occurred?", "error messages", "what went wrong"),
    "decision": ("decisions", "what was decided?", "which decisions did we make"),
    "commit": ("commits", "which commits were made?"),
    "pull_request": ("pull requests", "PRs created"),
    "symbol": ("functions added", "which functions and types were added?", "new classes"),
    "task": ("sub-agents", "what did the subagents find?"),
    "question": ("questions put to the user", "what questions were asked?"),
    "plan": ("the plan", "plan"),
    "value": ("values the user gave", "which identifiers did the user give?"),
    "prompt": ("what did the user ask", "what is the task?"),
}


@pytest.mark.parametrize(("kind", "query"), [(kind, query) for kind, queries in _PLAIN.items() for query in queries])
def test_a_plain_question_names_its_kind(kind: str, query: str):
    """In the words people use; nothing is left over to search for."""
    found = understand(query)
    assert kind in {asked.kind for asked in found.typed}
    assert found.is_plain_question
    assert found.words == ()


@pytest.mark.parametrize("kind", FactKind)
def test_every_kind_a_query_names_is_a_kind_of_fact(kind: FactKind):
    """No question leads to a kind that does not exist."""
    kinds = {asked.kind for queries in _PLAIN.values() for query in queries for asked in understand(query).typed}
    assert kinds <= set(FactKind)


@pytest.mark.parametrize(
    "query",
    [
        "ACME-300 loader totals", "ZoneImporter decimal comma", "src/area3/loader.py",
        "why is quote() one cent too low",
        "zlib window bits",
    ],
)  # fmt: skip
def test_plain_words_stay_plain_words(query: str):
    """Nothing typed in them."""
    found = understand(query)
    assert found.typed == ()
    assert found.words


def test_what_a_question_has_beyond_its_type_narrows_it():
    """The words left over are searched for within the set."""
    found = understand("which commands failed in area3?")
    assert [asked.kind for asked in found.typed][:1] == ["command"]
    assert found.typed[0].statuses == ("failed",)
    assert "area3" in found.words
    assert not found.is_plain_question


def test_words_worth_searching_for_keep_their_order_once():
    """No stop words; identifiers whole."""
    assert content_words("please show me the src/a.py and src/a.py of ACME-300") == ["src/a.py", "acme-300"]


@pytest.mark.parametrize(
    "query",
    ["", " ", "???", "the of and", "\n\t", "\x00", "\U0001d518\U0001d52b", "日本", "a" * 10_000, "which " * 2_000],
)
def test_no_query_breaks_the_understanding(query: str):
    """Odd input gives an empty or plain Question, quickly."""
    found = understand(query)
    assert isinstance(found.words, tuple)


def test_a_very_long_text_is_no_typed_question():
    """However it begins; it costs no more than finding its words."""
    found = understand("which commands failed " + "foo.bar " * 200_000)
    assert found.typed == ()
    assert found.words == ("commands", "failed", "foo.bar")
