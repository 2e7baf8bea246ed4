"""rlm_mcp.sandbox.monty.inside.models: other models as Cells that Monty runs see them; what failed is never text."""

from collections.abc import Iterator

import pytest

from tests.repls import AskedHost, Rig

pytest.importorskip("pydantic_monty")

from rlm_mcp.sandbox.monty.repl import MontyRepl  # where there is one


@pytest.fixture
def host() -> AskedHost:
    """What is asked, and what answers."""
    return AskedHost()


@pytest.fixture(scope="module")
def repl() -> Iterator[MontyRepl]:
    """One for all: each test has a host of its own."""
    made = MontyRepl(None, memory_bytes=1 << 30)
    yield made
    made.close()


@pytest.fixture
def rig(repl: MontyRepl, host: AskedHost) -> Rig:
    """A Repl whose models are that host."""
    found = Rig(repl, host.bindings())
    found.run("import json\nbad = llm_query_batched(['a', 'fail', 'b'])\nfailed = bad[1]")
    return found


def test_a_query_gives_text_and_a_failure_is_an_exception(rig: Rig) -> None:
    """Of the one kind that Monty has for it, under the same name as in the Jail."""
    assert rig.shown("llm_query('hello')") == "'echo hello'"
    assert rig.fails("llm_query('fail')") == "RuntimeError: SubLMBusy: refused for now"
    code = "try:\n    llm_query('fail')\nexcept SubLMFailed as error:\n    print(error)"
    assert rig.shown(code) == "SubLMBusy: refused for now"
    assert rig.fails("llm_query(3)") == "TypeError: a prompt is a str, not int"


@pytest.mark.parametrize(
    "use",
    [
        "str(failed)", "repr(failed)", "f'{failed}'", "'%s' % failed", "'{}'.format(failed)", "'a' + failed",
        "failed + 'a'", "failed * 2", "failed[0]", "failed[:3]", "'a' in failed", "failed == 'a'", "failed != 'a'",
        "failed in ['a']", "{failed: 1}", "list(failed)", "len(failed)", "int(failed)", "print(failed)", "failed",
        "print(bad)", "bad", "[failed]", "llm_query(failed)", "llm_map([failed], '{item}')", "rlm_query('q', failed)",
        "rlm_query('q', ['a', failed])",
    ],
)  # fmt: skip
def test_what_failed_raises_however_it_is_used_as_text(rig: Rig, use: str) -> None:
    """It names what went wrong, so that no failure is taken for an answer."""
    assert "SubLMBusy: refused for now" in rig.fails(use)


@pytest.mark.parametrize("use", ["','.join(bad)", "json.dumps(failed)", "failed.lower()", "sorted(['a', failed])"])
def test_what_failed_is_refused_by_what_takes_text_alone(rig: Rig, use: str) -> None:
    """Monty's own functions say so by its type."""
    assert "Failed" in rig.fails(use)


def test_what_failed_can_be_told_apart_and_looked_at(rig: Rig) -> None:
    """By its kind, and by number."""
    assert rig.shown("isinstance(failed, Failed), failed.error, failed.message") == (
        "(True, 'SubLMBusy', 'refused for now')"
    )
    assert rig.shown("bad.failed, bad.came") == (
        "({1: 'SubLMBusy: refused for now'}, {0: 'echo a', 2: 'echo b'})"
    )  # fmt: skip


def test_an_answer_that_was_cut_has_failed_and_what_came_is_beside(rig: Rig) -> None:
    """As in the Jail, but for the exception, which has words alone here."""
    assert rig.fails("llm_query('long')") == "RuntimeError: Cut: the answer was cut"
    assert rig.shown("cut = llm_query_batched(['long'])[0]\ncut.error, cut.partial, failed.partial") == (
        "('Cut', 'echo lo', '')"
    )
    assert rig.fails("'a' + cut") == "RuntimeError: Cut: the answer was cut"


def test_a_batch_gives_answers_in_order(rig: Rig) -> None:
    """And is used as the list that it is in the Jail."""
    assert rig.shown("llm_query_batched(['b', 'c'])") == "['echo b', 'echo c']"
    rig.run("both = llm_query_batched(['b', 'c'])")
    assert rig.shown("len(both), both[1:], ' '.join(both), dict(enumerate(both))") == (
        "(2, ['echo c'], 'echo b echo c', {0: 'echo b', 1: 'echo c'})"
    )
    assert rig.fails("llm_query_batched('b')") == "TypeError: prompts is a list of str; llm_query asks one"


def test_a_long_batch_goes_in_calls_that_fit(rig: Rig, host: AskedHost) -> None:
    """Characters that are long in a call count by that."""
    del host.frames[:]
    assert rig.shown("len(llm_query_batched(['\\u00e4' * 100_000] * 12))") == "12"
    assert [len(frame["prompts"]) for frame in host.frames] == [4, 4, 4]


def test_once_the_host_asks_no_more_nothing_more_is_sent(rig: Rig, host: AskedHost) -> None:
    """What is left has failed for the same reason."""
    del host.frames[:]
    rig.run("some = llm_query_batched(['over' + 'x' * 2_900_000, 'y' * 2_900_000, 'z'])")
    assert rig.shown("[isinstance(one, Failed) for one in some]") == "[False, True, True]"
    assert len(host.frames) == 1


def test_a_map_visits_every_item_once_in_order_and_counts(rig: Rig) -> None:
    """A declared fallback takes the place of what failed."""
    assert rig.shown("m = llm_map(['a', {'b': 1}], 'Of {item}')\nlist(m), m.coverage") == (
        "([[0, 'a'], [1, '{\"b\": 1}']], {'items': 2, 'answered': 2, 'repaired': 0, 'fallback': 0, 'failed': 0})"
    )
    assert rig.shown("m = llm_map(['a', 'fail'], '{item}', fallback=None)\nlist(m), m.coverage['fallback']") == (
        "([[0, 'a'], None], 1)"
    )
    assert rig.shown("llm_map(['a', 'fail'], '{item}').failed") == "{1: 'SubLMBusy: refused for now'}"


def test_a_child_is_asked_with_its_context(rig: Rig, host: AskedHost) -> None:
    """Its answer is used as text, and carries what proves it."""
    del host.frames[:]
    assert rig.shown("found = rlm_query('why', ['x'])\nfound, found.refs, found.quotes, found.run") == (
        "('deep', ['e1:0-4'], ['proof'], 'r1')"
    )
    assert rig.shown("found + '!', '> ' + found, f'{found}', found[:2]") == "('deep!', '> deep', 'deep', 'de')"
    assert rig.shown("found == 'deep', 'ee' in found, len(found)") == "(True, True, 4)"
    assert host.frames[0]["asked"] == [{"question": "why", "context": ["x"]}]
    assert rig.fails("rlm_query('fail')") == "RuntimeError: SubLMBusy: refused for now"


def test_a_long_text_made_by_a_cell_is_given_in_pieces(rig: Rig, host: AskedHost) -> None:
    """As long as it is; only its number goes along with the question."""
    del host.frames[:]
    rig.run("rlm_query('why', 'long ' * 300_000)")
    assert host.given == ["long " * 300_000]
    assert host.frames[0]["asked"] == [{"question": "why", "context": {"given": 0}}]
