"""rlm_mcp.sandbox.inside.models: other models as Cells see them; what failed is never text."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from rlm_mcp.errors import BudgetExceeded, QueryError
from tests.repls import NOBODY, AskedHost, Rig, rigged


@pytest.fixture
def host() -> AskedHost:
    """What is asked, and what answers."""
    return AskedHost()


@pytest.fixture
def rig(host: AskedHost) -> Iterator[Rig]:
    """A Repl whose models are that host."""
    with rigged(host.bindings(), output_bytes=4 << 20) as found:
        found.run("import json, re, copy\nbad = llm_query_batched(['a', 'fail', 'b'])\nfailed = bad[1]")
        yield found


def test_a_query_gives_text_and_a_failure_is_an_exception(rig: Rig) -> None:
    """With the kind and the words of what went wrong; it can be caught."""
    assert rig.shown("llm_query('hello')") == "'echo hello'"
    assert rig.fails("llm_query('fail')") == "SubLMFailed: SubLMBusy: refused for now"
    code = "try:\n    llm_query('fail')\nexcept SubLMFailed as error:\n    print(error.error, '|', error.message)"
    assert rig.shown(code) == "SubLMBusy | refused for now"
    assert rig.shown("try:\n    llm_query('fail')\nexcept Exception as error:\n    print(type(error).__name__)") == (
        "SubLMFailed"
    )


_USES = (
    """
str(failed) ; repr(failed) ; f'{failed}' ; f'{failed!r}' ; f'{failed:>10}' ; '%s' % failed
'{}'.format(failed) ; ', '.join(map(str, bad)) ; ', '.join(bad) ; 'a' + failed ; failed + 'a'
failed * 2 ; failed % 1 ; 'a' in failed ; failed in 'abc' ; len(failed) ; failed[0] ; failed[1:]
list(failed) ; [*failed] ; json.dumps(failed) ; json.dumps(bad) ; json.dumps([failed], default=str)
re.search('a', failed) ; failed == 'a' ; failed != 'a' ; failed < 'a' ; 'a' >= failed ; sorted(bad)
'b' in [failed, 'b'] ; [failed, 'b'].index('b') ; bool(failed) ; failed or 'x' ; not failed
[x for x in bad if x] ; print(failed) ; print(*bad) ; print(bad) ; str(bad) ; f'{bad}'
repr([failed]) ; str({'a': failed}) ; {failed: 1} ; {failed} ; failed.upper() ; failed.strip
failed.anything ; int(failed) ; float(failed) ; bytes(failed) ; hash(failed) ; failed() ; open(failed)
max(bad) ; sum(bad, '') ; failed.encode() ; reversed(failed) ; next(iter(failed)) ; a, b = failed
bad ; llm_query(failed) ; llm_query_batched(bad) ; llm_map(bad, '{item}')
llm_map([{'k': failed}], '{item}') ; rlm_query(failed) ; rlm_query('q', failed) ; rlm_query('q', bad)
FINAL(failed) ; FINAL(bad) ; FINAL({'x': [failed]}) ; FINAL('a', quotes=[failed])
FINAL(f'the answer is {bad}') ; show(failed) ; show(bad) ; failed.split(',')
'x'.replace('x', failed) ; 'a'.startswith(failed) ; set(bad) ; dict.fromkeys(bad)
""".replace("\n", " ; ")
    .strip(" ;")
    .split(" ; ")
)


@pytest.mark.parametrize("use", _USES)
def test_what_failed_raises_however_it_is_used_as_text(rig: Rig, use: str) -> None:
    """It never becomes characters, a key, a truth or an answer."""
    said = rig.fails(use)
    assert said.startswith(("SubLMFailed: SubLMBusy: refused for now", "TypeError: ")), said


def test_what_failed_raises_also_after_it_was_saved_and_restored(rig: Rig, host: AskedHost) -> None:
    """Its class comes along, and so do those around it."""
    rig.run("mapped = llm_map(['a', 'fail'], '{item}')\nchild = rlm_query('deep?')\nplain = {'deep': [failed]}")
    descriptor = os.memfd_create("saved")
    try:
        saved = rig.repl.save(descriptor)
        assert not saved.unsaved
        restored = rig.repl.restore(NOBODY, saved.variables, descriptor, rig.bindings)
        assert not restored.lost
    finally:
        os.close(descriptor)
    for use in ("str(failed)", "f'{bad}'", "failed == 'a'", "print(plain)", "str(mapped)", "FINAL(plain['deep'][0])"):
        assert rig.fails(use).startswith("SubLMFailed: SubLMBusy"), use
    assert rig.shown("failed.error, bad.failed, list(bad.came), mapped.coverage['failed']") == (
        "('SubLMBusy', {1: 'SubLMBusy: refused for now'}, [0, 2], 1)"
    )
    assert rig.shown("child + '!', child.refs, child.quotes, child.run") == "('deep!', ['e1:0-4'], ['proof'], 'r1')"


def test_an_answer_that_was_cut_has_failed_and_what_came_is_beside(rig: Rig) -> None:
    """Half an answer is never taken for one; whoever wants it says so."""
    assert rig.fails("llm_query('long')") == "SubLMFailed: Cut: the answer was cut"
    rig.run("try:\n    llm_query('long')\nexcept SubLMFailed as error:\n    caught = error")
    rig.run("cut = llm_query_batched(['long'])[0]")
    assert rig.fails("'a' + cut") == "SubLMFailed: Cut: the answer was cut"
    assert rig.shown("cut.error, cut.partial, caught.partial, copy.copy(cut).partial, failed.partial") == (
        "('Cut', 'echo lo', 'echo lo', 'echo lo', '')"
    )


def test_what_failed_can_be_told_apart_and_looked_at(rig: Rig) -> None:
    """Without using it as text."""
    assert rig.shown("[isinstance(x, Failed) for x in bad]") == "[False, True, False]"
    assert rig.shown("failed.error, failed.message") == "('SubLMBusy', 'refused for now')"
    assert rig.shown("bad.came") == "{0: 'echo a', 2: 'echo b'}"
    assert rig.shown("bad.failed") == "{1: 'SubLMBusy: refused for now'}"
    assert rig.shown("[x for x in bad if not isinstance(x, Failed)]") == "['echo a', 'echo b']"
    assert rig.shown("copy.deepcopy(failed).error, failed is None") == "('SubLMBusy', False)"
    assert rig.shown("copy.deepcopy(bad).failed") == "{1: 'SubLMBusy: refused for now'}"
    assert "1 of 3 are missing; see .failed and .came" in rig.fails("bad")


def test_a_batch_gives_answers_in_order(rig: Rig) -> None:
    """A list like any other, while nothing is missing."""
    assert rig.shown("llm_query_batched(str(n) for n in range(3))") == "['echo 0', 'echo 1', 'echo 2']"
    assert rig.shown("llm_query_batched([])") == "[]"
    assert rig.fails("llm_query_batched('abc')").startswith("TypeError: prompts is a list")
    assert rig.fails("llm_query_batched([1])") == "TypeError: a prompt is a str, not int"
    assert rig.fails("llm_query(None)") == "TypeError: a prompt is a str, not NoneType"


def test_a_long_batch_goes_in_frames_that_fit(rig: Rig, host: AskedHost) -> None:
    """By their size as it is sent: wide characters and escapes count; each prompt goes once, in order."""
    rig.shown(
        "n = len(llm_query_batched([f'{n} ' + c * 400_000 for n, c in enumerate('xé\\n\"\\x01𝄞' * 5)]))\nprint(n)"
    )
    prompts = [prompt for frame in host.frames[1:] for prompt in frame["prompts"]]
    assert [int(prompt.split(" ", 1)[0]) for prompt in prompts] == list(range(30))
    assert len(host.frames) > 5


def test_once_the_host_asks_no_more_nothing_more_is_sent(rig: Rig, host: AskedHost) -> None:
    """The rest of a long batch fails as it did."""
    code = "got = llm_query_batched(['a' * 2_000_000, 'over' + 'b' * 2_000_000, 'c' * 2_000_000, 'd'])\n"
    assert rig.shown(code + "len(got), list(got.came), got.failed") == (
        "(4, [0, 1], {2: 'SubLMBusy: refused for now', 3: 'SubLMBusy: refused for now'})"
    )
    assert len(host.frames) == 3


def test_a_map_visits_every_item_once_in_order_and_counts(rig: Rig, host: AskedHost) -> None:
    """Whatever JSON the items are; also where they go in several frames."""
    items = ["text", 5, 2.5, None, True, {"é": [1]}, ["a", {"b": None}], "", "fail"]
    found = rig.shown(f"import ast\nm = llm_map(ast.literal_eval({str(items)!r}), 'say {{item}}')\nprint(m.coverage)")
    assert found == "{'items': 9, 'answered': 8, 'repaired': 0, 'fallback': 0, 'failed': 1}"
    assert host.frames[-1]["items"] == [
        item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in items
    ]
    rig.shown("big = llm_map([f'{n} ' + 'x' * 500_000 for n in range(20)], '{item}')\nprint(1)")
    assert [frame["first"] for frame in host.frames[-4:]] == [0, 5, 10, 15]
    assert rig.shown("[number for number, _item in big] == list(range(20)), big.coverage['answered']") == "(True, 20)"


def test_a_map_puts_the_declared_fallback_in_place_of_what_failed(rig: Rig) -> None:
    """And says so; None can be one."""
    assert rig.shown("m = llm_map(['a', 'fail'], '{item}', fallback=None)\nm[1] is None, m.coverage") == (
        "(True, {'items': 2, 'answered': 1, 'repaired': 0, 'fallback': 1, 'failed': 0})"
    )
    assert rig.shown("llm_map(['a'], '{item}')") == (
        "[[0, 'a']]\n{'items': 1, 'answered': 1, 'repaired': 0, 'fallback': 0, 'failed': 0}"
    )


def test_items_that_are_no_json_are_given_by_their_text_or_refused(rig: Rig, host: AskedHost) -> None:
    """Never by what they look like on a screen."""
    rig.run("import datetime, decimal\nclass E:\n    text = 'an event'\n")
    code = (
        "llm_map([E(), {'at': datetime.date(2026, 1, 2), 'n': decimal.Decimal('1.50'), 'e': E()}], '{item}')\nprint(1)"
    )
    rig.shown(code)
    assert host.frames[-1]["items"] == ["an event", '{"at": "2026-01-02", "n": "1.50", "e": "an event"}']
    assert rig.fails("llm_map([object()], '{item}')").startswith("TypeError: item 0 cannot be given to a model (object")
    assert rig.fails("llm_map([{1, 2}], '{item}')").startswith("TypeError: item 0 cannot be given to a model (set")
    assert rig.fails("x = []\nx.append(x)\nllm_map([x], '{item}')").startswith("TypeError: item 0 cannot be given")
    assert rig.fails("llm_map('abc', '{item}')").startswith("TypeError: items is a list")


def test_a_child_is_asked_with_its_context(rig: Rig, host: AskedHost) -> None:
    """Text, texts, what has a text, or nothing; as pairs, mappings or plain questions."""
    assert rig.shown("a = rlm_query('why?', 'because')\na, a.upper(), a.refs, a.quotes, a.run") == (
        "('deep', 'DEEP', ['e1:0-4'], ['proof'], 'r1')"
    )
    assert host.frames[-1]["asked"] == [{"question": "why?", "context": "because"}]
    rig.run("class D:\n    text = 'a document'")
    rig.shown(
        "b = rlm_query_batched(['q', ('q', D()), {'question': 'q', 'context': [D(), 'x']}, ('q', ('y',))])\n"
        "print(len(b))"
    )
    assert [row["context"] for row in host.frames[-1]["asked"]] == [None, "a document", ["a document", "x"], ["y"]]
    assert rig.shown("rlm_query_batched([])") == "[]"
    assert rig.fails("rlm_query('fail')") == "SubLMFailed: SubLMBusy: refused for now"
    assert rig.shown("b = rlm_query_batched(['fail', 'q'])\nb.failed, b[1]") == (
        "({0: 'SubLMBusy: refused for now'}, 'deep')"
    )


def test_a_long_text_made_by_a_cell_is_given_in_pieces(rig: Rig, host: AskedHost) -> None:
    """It arrives whole, and is named by its number."""
    rig.shown("t = 'aé\\n' * 700_000\nx = rlm_query('q', [t, 'short', t + '!'])\nprint(1)")
    text = "aé\n" * 700_000
    assert host.given == [text, text + "!"]
    assert host.frames[-1]["asked"][0]["context"] == [{"given": 0}, "short", {"given": 1}]


def test_what_the_host_refuses_is_told_by_kind(host: AskedHost) -> None:
    """An error of the host is an exception in the Cell, with the host's words."""

    def spent(**_how: Any) -> Any:
        raise BudgetExceeded("the limit of 5 calls is reached", limit="calls")

    def bad(**_how: Any) -> Any:
        raise QueryError("give a text")

    with rigged({**host.bindings(), "llm_query": spent, "llm_map": bad}) as rig:
        assert rig.fails("llm_query('x')") == "SubLMFailed: BudgetExceeded: the limit of 5 calls is reached"
        assert rig.fails("llm_map(['x'], 'y')") == "SubLMFailed: QueryError: give a text"


def test_how_to_ask_goes_along(rig: Rig, host: AskedHost) -> None:
    """Model, system prompt, size and schema."""
    rig.shown("llm_query('x', model='m', system='s', max_tokens=7, schema={'type': 'string'})")
    frame = host.frames[-1]
    assert (frame["model"], frame["system"], frame["max_tokens"]) == ("m", "s", 7)
    assert json.loads(frame["schema"]) == {"type": "string"}
    assert rig.fails("llm_query('x', schema=object())").startswith("TypeError")


def test_assignments_before_a_failure_are_kept(rig: Rig) -> None:
    """A Cell ends at the exception; what it has is there for the next one."""
    rig.fails("first = llm_query('one')\nsecond = llm_query('fail')\nthird = 3")
    assert rig.shown("first, 'second' in globals(), 'third' in globals()") == "('echo one', False, False)"
