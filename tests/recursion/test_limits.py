"""Whatever a root model does: nothing is sent behind a limit, the Run ends in time, typed, with what it had."""

import threading
import time

import pytest

from rlm_mcp.costs import Limits
from rlm_mcp.errors import BudgetExceeded, Cancelled, RunEnded, SubLMRefused, SubLMTimeout
from rlm_mcp.store import runs
from rlm_mcp.sublm.lm import Request, Stop
from tests.recursion.conftest import Rigs
from tests.recursion.rig import Came, RunRig, block, by_model, nobody, steps

_LINES = "\n".join(f"user{number % 7}: message {number}" for number in range(2_000))

SWALLOW = """
results = []
for line in context.splitlines():
    try:
        results.append(llm_query(f"classify: {line}"))
    except BaseException as error:
        print("swallowed", type(error).__name__)
FINAL(len(results))
"""


def _is_typed(came: Came, status: str, error: type[Exception]) -> None:
    """It ended so, and there is no answer."""
    assert came.answer.status == status
    assert isinstance(came.answer.error, error)
    assert came.answer.answer == ""
    assert came.answer.evidence == ()


def _ledger_is_right(rig: RunRig, came: Came) -> None:
    """The Ledger says what the model was asked and what it answered."""
    spent = rig.ledger(came.answer.run)
    assert spent.calls == len(rig.model.came)
    assert (spent.tokens_in, spent.tokens_out) == (rig.model.tokens_in, rig.model.tokens_out)
    assert (came.spent.calls, came.spent.tokens_in) == (spent.calls, spent.tokens_in)


def _echo(_request: object) -> str:
    return "spam"


def test_one_call_for_each_line_ends_at_the_limit_of_calls(runs_with: Rigs) -> None:
    """2,000 lines, 50 calls: exactly 50 are sent, and the FINAL behind the limit is no answer."""
    rig = runs_with(by_model(root=steps(block(SWALLOW)), sub=_echo))
    came = rig.ask("Classify.", _LINES, limits=Limits(calls=50, seconds=60.0))
    _is_typed(came, "calls", BudgetExceeded)
    assert len(rig.model.came) == 50
    assert "49 of" in came.answer.partial
    assert "spam" in came.answer.partial
    _ledger_is_right(rig, came)


def test_the_limit_of_tokens_holds_before_each_call(runs_with: Rigs) -> None:
    """What is served never passes the cap, though the last reservation would have."""
    rig = runs_with(by_model(root=steps(block(SWALLOW)), sub=_echo))
    came = rig.ask("Classify.", _LINES, limits=Limits(tokens=12_000, seconds=60.0))
    _is_typed(came, "tokens", BudgetExceeded)
    assert rig.model.tokens_in + rig.model.tokens_out <= 12_000
    _ledger_is_right(rig, came)


def test_the_limit_of_money_holds_before_each_call(runs_with: Rigs) -> None:
    """With a price: not a cent more than the cap."""
    script = by_model(**{"gpt-5-mini": steps(block(SWALLOW.replace("llm_query(", "llm_query(model='gpt-5', prompt="))),
                         "gpt-5": _echo})  # fmt: skip
    rig = runs_with(script)
    object.__setattr__(rig.engine, "root_model", "gpt-5-mini")
    came = rig.ask("Classify.", _LINES, limits=Limits(usd=0.04, seconds=60.0))
    _is_typed(came, "usd", BudgetExceeded)
    assert 0 < came.spent.usd <= 0.04
    assert rig.ledger(came.answer.run).usd == pytest.approx(came.spent.usd)


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import time\ntime.sleep(1000)",
        "while True:\n    try: llm_query('again')\n    except BaseException: pass",
        "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')",
        "llm_query_batched([f'hang {n}' for n in range(100)])",
        "rlm_query('and you?')",
        "print('x' * 50_000_000)\nwhile True: print('y' * 1000)",
    ],
)
def test_a_run_ends_when_its_time_is_over(runs_with: Rigs, code: str) -> None:
    """Endless loops, loops that swallow every exception, sleeps, regexes, sub-models that hang, floods."""
    asked = steps(block(f"print(context[:20], 'seen')\n{code}\nFINAL('a guess')"))

    def sub(request: object) -> str:
        time.sleep(0.2)
        return "late"

    rig = runs_with(by_model(root=asked, sub=sub))
    came = rig.ask("?", _LINES, limits=Limits(seconds=1.5))
    _is_typed(came, came.answer.status, (SubLMTimeout, BudgetExceeded))  # type: ignore[arg-type]  # one of both
    assert came.answer.status in {"seconds", "depth"}
    assert all(served.time <= came.deadline for served in rig.model.came)


def test_what_a_cell_printed_before_its_time_was_over_is_kept(runs_with: Rigs) -> None:
    """The output of a Cell that never ends."""
    rig = runs_with(steps(block("print(context[:5])\nprint('found 41 so far')\nwhile True: pass")))
    came = rig.ask("?", "hello", limits=Limits(seconds=1.0))
    _is_typed(came, "seconds", SubLMTimeout)
    assert "found 41 so far" in came.answer.partial


def test_a_depth_bomb_ends_by_depth(runs_with: Rigs) -> None:
    """A root that only ever asks a child of its kind."""
    rig = runs_with(steps(block("print(len(context))\nFINAL(rlm_query('go on', context[:-1]))")))
    came = rig.ask("?", "x" * 1_000, limits=Limits(calls=1_000, seconds=60.0, depth=2))
    _is_typed(came, "depth", BudgetExceeded)
    assert len(rig.model.came) < 40
    with rig.stores.lend() as store:
        tree = runs.tree(store, came.answer.run)
    assert max(row.depth for row in tree) == 2
    assert {row.status for row in tree} == {"depth"}
    _ledger_is_right(rig, came)


def test_a_depth_bomb_that_swallows_its_refusal_gives_no_guess(runs_with: Rigs) -> None:
    """Whoever is refused a child may go on otherwise, but not answer in the same breath."""
    code = "print(len(context))\ntry:\n    x = rlm_query('deeper')\nexcept BaseException:\n    x = 'guess'\nFINAL(x)"
    rig = runs_with(steps(block(code)))
    came = rig.ask("?", "x" * 1_000, limits=Limits(seconds=60.0, depth=0))
    _is_typed(came, "depth", BudgetExceeded)


def test_a_run_that_may_have_no_child_goes_on_without(runs_with: Rigs) -> None:
    """Told once that depth is reached, it asks a sub-model, and that answer counts."""
    rig = runs_with(
        by_model(
            root=steps(
                block("print(len(context))\nrlm_query('deeper')"), block("FINAL(llm_query('short: ' + context[:9]))")
            ),
            sub=lambda _request: "fine",
        )
    )
    came = rig.ask("?", "x" * 1_000, limits=Limits(seconds=60.0, depth=0))
    assert (came.answer.status, came.answer.answer) == ("ok", "fine")


def test_a_batch_of_ten_thousand_sends_as_many_as_may_be(runs_with: Rigs) -> None:
    """What was answered is kept, in the Cell too, and the rest says why it is missing."""
    code = (
        "batch = llm_query_batched([f'{n}: {context[:4]}' for n in range(10_000)])\n"
        "print(len(batch), len(batch.came), len(batch.failed), batch.failed[9_999])\n"
        "FINAL(len(batch.came))"
    )
    rig = runs_with(by_model(root=steps(block(code)), sub=_echo))
    came = rig.ask("?", _LINES, limits=Limits(calls=200, seconds=60.0))
    _is_typed(came, "calls", BudgetExceeded)
    assert "10000 199 9801 BudgetExceeded" in came.answer.partial
    assert len(rig.model.came) == 200
    _ledger_is_right(rig, came)


def test_a_long_batch_asks_no_more_frames_once_a_limit_is_reached(runs_with: Rigs) -> None:
    """12 MB of prompts go in several frames; behind the one that met the limit none is sent."""
    code = (
        "batch = llm_query_batched([str(n) + 'x' * 100_000 for n in range(120)])\n"
        "print(context[:3], len(batch), len(batch.came))"
    )
    rig = runs_with(by_model(root=steps(block(code)), sub=_echo))
    came = rig.ask("?", _LINES, limits=Limits(calls=6, seconds=60.0))
    _is_typed(came, "calls", BudgetExceeded)
    assert "120 5" in came.answer.partial


@pytest.mark.parametrize("code", ["FINAL('42')", "x = 6 * 7\nFINAL(x)", "FINAL(llm_query('what is it?'))"])
def test_who_answers_before_looking_has_no_answer(runs_with: Rigs, code: str) -> None:
    """Two times it is told so; then the Run ends."""
    rig = runs_with(by_model(root=steps(block(code)), sub=_echo))
    came = rig.ask("?", _LINES)
    _is_typed(came, "unread", RunEnded)
    assert len(came.steps) == 3
    assert "not looked" in rig.model.of("root")[1].prompt


@pytest.mark.parametrize("answer", ["''", "' \\n'", "context * 1_000_000"])
def test_an_answer_that_is_none_is_sent_back(runs_with: Rigs, answer: str) -> None:
    """Nothing, blanks, megabytes; the root may still give a right one."""
    rig = runs_with(steps(block(f"FINAL({answer})"), block("FINAL(len(context))")))
    came = rig.ask("?", "hello")
    assert came.answer.answer == "5"
    assert "FINAL refused" in rig.model.of("root")[1].prompt


def test_more_quotes_than_are_checked_are_sent_back(runs_with: Rigs) -> None:
    """The root chooses, nobody cuts them without a word."""
    rig = runs_with(steps(block("FINAL('a', quotes=list(context[:51]))"), block("FINAL('b', quotes=[context[:5]])")))
    came = rig.ask("?", "hello" * 20)
    assert (came.answer.answer, len(came.answer.evidence)) == ("b", 1)
    assert "51 quotes; at most 50 are checked: give those that prove most" in rig.model.of("root")[1].prompt


def test_none_is_no_answer(runs_with: Rigs) -> None:
    """What a function that printed gives back; False and an empty list may be one."""
    rig = runs_with(steps(block("context[:1]\nFINAL(print('x'))"), block("FINAL([])")))
    assert rig.ask("?", "hello").answer.answer == "[]"
    assert "FINAL(None) is no answer" in rig.model.of("root")[1].prompt


def test_a_root_that_takes_the_name_of_final_still_ends(runs_with: Rigs) -> None:
    """It is told, and has ours again in the next Cell; so with what asks."""
    taking = "context[:1]\ndef FINAL(x): return 'mine'\nllm_query = 5\nFINAL(3)"
    rig = runs_with(by_model(root=steps(block(taking), block("FINAL(llm_query('a'))")), sub=lambda _request: "asked"))
    came = rig.ask("?", "hello")
    assert (came.answer.answer, len(came.steps)) == ("asked", 2)
    assert "(FINAL, llm_query: ours again from here on; name yours otherwise)" in came.steps[0].output


def test_who_looks_after_being_told_so_answers(runs_with: Rigs) -> None:
    """A FINAL that was refused costs a step, nothing more."""
    rig = runs_with(steps(block("FINAL('42')"), block("FINAL(context.count('user1:'))")))
    came = rig.ask("?", _LINES)
    assert (came.answer.status, came.answer.answer) == ("ok", str(_LINES.count("user1:")))


@pytest.mark.parametrize(
    "said",
    [
        "The answer is clear. FINAL(42)",
        "FINAL_VAR(x)",
        "I will call FINAL('x') in a ```repl block soon.",
        '```json\n{"FINAL": 1}\n```',
        "```\n```",
        "```repl\n# FINAL(42)\n```",
        "```repl\ns = 'FINAL(42)'\n```",
        '```repl\nprint("""\nFINAL(42)\n""")\n```',
        "",
    ],
)
def test_final_in_words_strings_and_comments_ends_nothing(runs_with: Rigs, said: str) -> None:
    """Only a call inside a Cell does."""
    rig = runs_with(lambda request: said or "-" if not request.history else block("FINAL(len(context))"))
    came = rig.ask("?", "hello")
    assert (came.answer.status, came.answer.answer) == ("ok", "5")
    assert len(came.steps) == 2


def test_a_root_that_never_writes_code_ends(runs_with: Rigs) -> None:
    """Three replies of prose are borne."""
    rig = runs_with(steps("I think the answer is 42. FINAL(42)"))
    came = rig.ask("?", "hello")
    _is_typed(came, "no_code", RunEnded)
    assert len(rig.model.came) == 3


def test_a_root_that_never_ends_is_ended(runs_with: Rigs) -> None:
    """After so many steps."""
    rig = runs_with(steps(block("print(context[:3])")))
    came = rig.ask("?", "hello")
    _is_typed(came, "steps", RunEnded)
    assert len(rig.model.came) == rig.engine.max_steps
    assert came.answer.partial == "hel"


def test_megabytes_printed_come_back_cut_and_can_be_read_whole(runs_with: Rigs) -> None:
    """The root is told head, tail, true length and a Ref, which the next Cell reads."""
    rig = runs_with(
        steps(
            block("print('START', 'x' * 5_000_000, 'END', context)"),
            block("whole = read('c1')\nFINAL(f'{len(whole)} {whole[:5]} {whole[-10:].strip()}')"),
        )
    )
    came = rig.ask("?", "hello")
    assert came.answer.answer == "5000017 START END hello"
    told = rig.model.of("root")[1].prompt
    assert len(told) <= 10_000
    assert told.split("\n")[1].startswith("START xxx")
    assert "END hello" in told
    assert "c1" in told
    with rig.stores.lend() as store:
        assert len(runs.whole_output(store, came.answer.run, 1)) == 5_000_017


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = [", "SyntaxError"),
        ("kept = 41\n1 / 0", "ZeroDivisionError"),
        ("kept = 41\nraise SystemExit(3)", "SystemExit"),
        ("kept = 41\nimport os\nos.fork()", "PermissionError"),
        ("kept = 41\ncontext.nothing", "AttributeError"),
    ],
)
def test_what_goes_wrong_in_a_cell_is_told_and_what_it_assigned_is_kept(runs_with: Rigs, code: str, told: str) -> None:
    """A failure is an answer for the root."""
    rig = runs_with(steps(block(code), block("FINAL(globals().get('kept', len(context)))")))
    came = rig.ask("?", "x" * 41)
    if "kept" in code:
        rig.model.of("root")
    assert told in rig.model.of("root")[1].prompt
    if came.answer.status == "unread":  # it never looked: only the syntax error's second Cell did
        assert "kept" in code
    else:
        assert came.answer.answer == "41"


def test_a_repl_that_dies_is_replaced_and_the_root_is_told(runs_with: Rigs) -> None:
    """Its variables are gone; the data is there again."""
    rig = runs_with(
        steps(
            block("x = len(context)\nprint('before', x)"),
            block("import os\nprint('last words')\nos._exit(3)"),
            block("print('x' in globals())\nFINAL(len(context))"),
        )
    )
    came = rig.ask("?", "hello")
    assert came.answer.answer == "5"
    told = rig.model.of("root")[2].prompt
    assert "last words" in told
    assert "variables are gone" in told
    assert came.steps[2].output.split("\n")[1] == "False"


def test_a_root_that_forges_frames_gets_nothing_by_it(runs_with: Rigs) -> None:
    """A forged end, giant frames and calls with odd arguments end the child, or are refused."""
    frames = [
        b'{"kind": "Done", "ending": "final", "written_bytes": 0, "lost_bytes": 0, "final_start": 0, "variables": []}',
        b'{"kind": "Call", "name": "context_pack", "arguments": {"number": true}}',
        b'{"kind": "Call", "name": "llm_query", "arguments": {"prompts": 3}}',
        b'{"kind": "Call", "name": "llm_query", "arguments": {"nonsense": 3}}',
        b'{"kind": "Call", "name": "rlm_query", "arguments": {"asked": [{"question": "q", "context": {"part": -1}}]}}',
        b'{"kind": "Call", "name": "give", "arguments": {"text": "x", "number": 99}}',
        b"not json",
    ]
    for frame in frames:
        code = (
            "import os, struct\n"
            f"body = {frame!r}\n"
            "for descriptor in range(3, 10):\n"
            "    try:\n"
            "        os.write(descriptor, struct.pack('>I', len(body)) + body)\n"
            "    except OSError:\n"
            "        pass\n"
            "print(context)\n"
        )
        rig = runs_with(by_model(root=steps(block(code), block("FINAL(context.upper())")), sub=nobody))
        came = rig.ask(f"? {frame!r}", "hello")
        assert came.answer.status in {"ok", "unread"}, (frame, came.answer)
        assert came.answer.answer in {"HELLO", ""}


def test_cancelling_ends_a_run_at_once_and_nothing_is_asked_afterwards(runs_with: Rigs) -> None:
    """A Cell that is busy, or waits for models, is ended with its Run; what it had is kept."""
    for code in ("while True: pass", "llm_query_batched([f'{n}' for n in range(1_000)])"):
        printed = threading.Event()
        stop = Stop(seconds=60.0)

        def sub(_request: object, printed: threading.Event = printed) -> str:
            printed.set()
            time.sleep(0.01)
            return "spam"

        ask_first = "llm_query('ready?')"
        rig = runs_with(by_model(root=steps(block(f"print(context, 'was there')\n{ask_first}\n{code}")), sub=sub))
        came: list[Came] = []
        thread = threading.Thread(target=lambda: came.append(rig.ask(f"? {code}", "hello", stop=stop)))  # noqa: B023
        thread.start()
        assert printed.wait(30)
        stop.now()
        told = time.monotonic()
        thread.join(30)
        _is_typed(came[0], "cancelled", Cancelled)
        assert "hello was there" in came[0].answer.partial
        assert all(served.time <= told for served in rig.model.came)
        spent = rig.ledger(came[0].answer.run)
        assert spent.tokens_out == rig.model.tokens_out
        assert spent.calls - spent.abandoned <= len(rig.model.came) <= spent.calls


def test_a_run_that_was_cancelled_before_it_began_asks_nobody(runs_with: Rigs) -> None:
    """Nothing is sent."""
    rig = runs_with(nobody)
    stop = Stop(seconds=60.0)
    stop.now()
    came = rig.ask("?", "hello", stop=stop)
    _is_typed(came, "cancelled", Cancelled)
    assert rig.model.came == []
    assert rig.ledger().calls == 0


def _refuses(request: Request) -> SubLMRefused:
    return SubLMRefused("no such model", model=request.model)


@pytest.mark.parametrize("code", [SWALLOW, "llm_query_batched(context.splitlines())"])
def test_a_sub_model_that_refuses_everybody_ends_the_run(runs_with: Rigs, code: str) -> None:
    """Its name or key is wrong: no other Cell would come further. It is asked once by each who asks at that time."""
    rig = runs_with(by_model(root=steps(block(code)), sub=_refuses))
    came = rig.ask("Classify.", _LINES, limits=Limits(calls=500, seconds=60.0))
    _is_typed(came, "model", SubLMRefused)
    assert sum(served.request.model == "root" for served in rig.model.came) == 1
    assert sum(served.request.model == "sub" for served in rig.model.came) <= rig.engine.width


def test_a_sub_model_that_refuses_a_child_ends_its_parent_too(runs_with: Rigs) -> None:
    """Every other child would ask the same model."""

    def root(request: Request) -> str:
        first = request.history[0][0] if request.history else request.prompt
        return block("llm_query('x')" if first.startswith("again?") else "print(rlm_query('again?', context))")

    rig = runs_with(by_model(root=root, sub=_refuses))
    came = rig.ask("Classify.", _LINES)
    _is_typed(came, "model", SubLMRefused)
    assert len(rig.model.came) == 3


def test_a_wrong_model_that_a_cell_names_itself_is_for_the_root_to_mend(runs_with: Rigs) -> None:
    """It hears of it, and the Run goes on."""
    wrong = "try:\n    llm_query('x', model='gpt-0')\nexcept Exception as error:\n    print(context[:1], error)"
    model = by_model(root=steps(block(wrong), block("FINAL('mended')")), **{"gpt-0": _refuses})
    came = runs_with(model).ask("How many?", _LINES)
    assert came.answer.answer == "mended"
    assert "no such model" in came.steps[0].output
