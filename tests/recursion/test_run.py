"""rlm_mcp.recursion.run: the conversation as it is sent, word for word; Runs as they are kept, killed and cancelled."""

import gc
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.costs import Limits
from rlm_mcp.errors import JailUnavailable, SubLMBusy, SubLMRefused
from rlm_mcp.recursion.asking import prompt_text
from rlm_mcp.recursion.run import Run
from rlm_mcp.store import ledger, runs
from rlm_mcp.store.database import open_store
from rlm_mcp.store.runs import LOST
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.text import estimate_tokens
from tests.asked import KEY
from tests.recursion.conftest import Rigs
from tests.recursion.golden import is_golden
from tests.recursion.rig import block, by_model, nobody, steps, texts_scope
from tests.repls import opened


def _sent(requests: list[Request]) -> str:
    """A whole conversation as it is sent with its last step."""
    last = requests[-1]
    for request in requests:  # each is told what the next one is told again
        assert last.history[: len(request.history)] == request.history
    turns = "".join(f"--- told\n{told}\n--- said\n{said}\n" for told, said in last.history)
    return f"--- system\n{last.system}\n{turns}--- told\n{last.prompt}\n"


def test_the_conversation_of_a_run_is_sent_word_for_word_so(runs_with: Rigs) -> None:
    """With the budget at each step, outputs cut, what went wrong, and FINAL refused."""
    rig = runs_with(
        by_model(
            root=steps(
                "I know it. FINAL(1)",
                block("FINAL(1)"),
                block("print(context[0][:10])\nraise ValueError(context[1][:3])"),
                block("x = 5"),
                block("print('=' * 9_000)"),
                block("batch = llm_query_batched(['a', 'b'])\nbatch"),
                block("FINAL(batch[0])"),
            ),
            sub=lambda request: f"{request.prompt}!",
        )
    )
    rig.engine = replace(rig.engine, output_chars=500)
    limits = Limits(calls=20, tokens=50_000, usd=1.0, seconds=600, depth=2)
    came = rig.ask("How many lines are there?", "line\n" * 30_000, "b" * 50_000, limits=limits)
    assert came.answer.answer == "a!"
    is_golden("conversation", _sent(rig.model.of("root")))


def test_the_conversation_of_a_child_is_sent_word_for_word_so(runs_with: Rigs) -> None:
    """It is told its share, and what it may look at."""
    rig = runs_with(
        lambda request: (
            block("FINAL(len(context))")
            if "CHILD" in request.prompt
            else block("FINAL(rlm_query('CHILD?', [context[:9], context[9:20]]))")
        )
    )
    came = rig.ask("Ask.", "x" * 100_000, limits=Limits(calls=20, tokens=50_000, seconds=600, depth=2))
    assert came.answer.answer == "2"
    is_golden("child", _sent([served.request for served in rig.model.came if "CHILD" in served.request.prompt]))


@pytest.mark.parametrize("name", ["root", "atomic", "no_code", "cut", "repair", "again"])
def test_prompts_are_files_that_ship(name: str) -> None:
    """Short ones: whatever stands in them is paid at every step."""
    assert 0 < estimate_tokens(prompt_text(name)) <= (190 if name == "root" else 60)


def test_a_simple_task_costs_the_root_less_than_a_thousand_tokens(runs_with: Rigs) -> None:
    """Over all its steps, what is told again and again included."""
    rig = runs_with(
        steps(
            block("print(len(context), context[:200])"),
            block(
                "from collections import Counter\n"
                "c = Counter(l.split()[1] for l in context.splitlines())\nprint(c.most_common(3))"
            ),
            block("FINAL(c.most_common(1)[0][0])"),
        )
    )
    came = rig.ask("Which user wrote most lines?", "\n".join(f"at{n} user{n % 7} said" for n in range(9_000)))
    assert came.answer.answer == "user0"
    assert came.spent.tokens <= 1_300
    rig = runs_with(
        steps(
            block("import re\nm = re.search(r'code is (\\w+) ', context)\nprint(m)"),
            block("FINAL(m[1], quotes=[m[0]])"),
        )
    )
    came = rig.ask("What is the code?", "x" * 100_000 + "code is mango " + "y" * 100_000)
    assert came.answer.answer == "mango"
    assert came.spent.tokens <= 1_000


def test_a_reply_that_was_cut_is_not_run(runs_with: Rigs) -> None:
    """Half a program does half of something; the root is told to be shorter."""
    usage = Usage(tokens_in=1, tokens_out=1)
    whole = block("FINAL(len(context))")
    half = Reply(text="```repl\nFINAL('half of')", usage=usage, model="root", is_cut=True)
    rig = runs_with(lambda request: whole if request.history else half)
    came = rig.ask("?", "hello")
    assert came.answer.answer == "5"
    assert rig.model.of("root")[1].prompt.startswith("Your reply was cut")


def test_code_in_what_a_root_thinks_is_not_run(runs_with: Rigs) -> None:
    """A draft is no reply, and is not told again."""
    draft = "<think>maybe\n" + block("context[:1]\nFINAL('draft')") + "\n</think>\n"
    rig = runs_with(steps(draft + block("x = len(context)"), draft + block("FINAL(x)")))
    assert rig.ask("?", "hello").answer.answer == "5"
    assert "draft" not in str(rig.model.of("root")[-1].history)


def test_an_open_block_that_was_not_cut_is_run(runs_with: Rigs) -> None:
    """Models forget the fence at the end."""
    rig = runs_with(lambda _request: "Here:\n```repl\nFINAL(len(context))")
    assert rig.ask("?", "hello").answer.answer == "5"


@pytest.mark.parametrize("error", [SubLMRefused("bad key"), SubLMBusy("down", after_seconds=1_000)])
def test_a_root_that_cannot_be_asked_ends_the_run(runs_with: Rigs, error: Exception) -> None:
    """Typed; nothing is guessed."""

    def script(_request: Request) -> Reply:
        raise error

    rig = runs_with(script)
    came = rig.ask("?", "hello")
    assert (came.answer.status, came.answer.answer) == ("model", "")
    assert came.answer.error is error
    assert rig.ledger(came.answer.run).failed == 1


def test_a_repl_that_cannot_be_started_ends_the_run(runs_with: Rigs) -> None:
    """Never unconfined; the reason is kept."""

    def no_jail() -> None:
        raise JailUnavailable("this machine gives nothing")

    rig = runs_with(steps(block("FINAL(len(context))")))
    rig.engine = replace(rig.engine, start=no_jail)
    came = rig.ask("?", "hello")
    assert (came.answer.status, type(came.answer.error)) == ("repl", JailUnavailable)


def test_the_ledger_is_right_over_recursion_retries_and_failures(runs_with: Rigs) -> None:
    """To the token: what was answered, what failed, what came from the cache; by Run and in all."""
    tries: set[str] = set()
    lock = threading.Lock()

    def sub(request: Request) -> str:
        with lock:
            is_first = request.prompt not in tries
            tries.add(request.prompt)
        if "refuse" in request.prompt:
            raise SubLMRefused("no")
        if "busy" in request.prompt and is_first:
            raise SubLMBusy("later", after_seconds=0.01)
        return f"answer to {request.prompt[:20]}"

    def root(request: Request) -> str:
        if "PART" in request.prompt:
            number = request.prompt.partition("PART ")[2][0]
            kinds = "for kind in ('fine', 'busy', 'refuse') for n in range(3)"
            code = f"found = llm_query_batched([f'{number} {{kind}} {{n}}' {kinds}])"
            return block(f"{code}\nFINAL(f'{{len(found.came)}} of {{len(context)}}')")
        return block(
            "found = rlm_query_batched([(f'PART {n}', context[n * 1000:n * 1000 + 100]) for n in range(6)])\n"
            "again = llm_query_batched(['same'] * 10)\n"
            "FINAL(' '.join(found))"
        )

    rig = runs_with(by_model(root=root, sub=sub))
    came = rig.ask("Split.", "x" * 10_000)
    assert came.answer.answer == " ".join(["6 of 100"] * 6)
    spent = rig.ledger(came.answer.run)
    assert spent == rig.ledger() == came.spent
    assert spent.calls == len(rig.model.came)
    assert (spent.tokens_in, spent.tokens_out) == (rig.model.tokens_in, rig.model.tokens_out)
    assert spent.failed == 6 * 6
    assert spent.cached == 9
    with rig.stores.lend() as store:
        rows = runs.tree(store, came.answer.run)
        children = [ledger.spent(store, run=row.id) for row in rows if row.depth == 1]
    assert [row.status for row in rows] == ["ok"] * 7
    assert all(child.calls == 1 + 3 + 6 + 3 for child in children)
    assert all(row.ended is not None and row.ended >= row.started for row in rows)


def test_what_a_run_has_is_told_while_its_cell_still_works(runs_with: Rigs) -> None:
    """What the Cell has printed, without secrets, and the answers that have come, from any thread."""
    told: list[str] = []

    def sub(request: Request) -> str:
        told.append(run.so_far)
        return f"answer {request.prompt}"

    code = f"print('looked', {KEY!r})\nfound = llm_query_batched(['one', 'two', 'three'])\nFINAL(found[0] + context)"
    rig = runs_with(by_model(root=steps(block("print('first')"), block(code)), sub=sub))
    engine = replace(rig.engine, width=1)
    run = Run(engine, "How many?", texts_scope("x"), budget=Budget(Limits(calls=10)), stop=Stop(seconds=60))
    assert run.so_far == ""
    assert run.to_the_end().answer == "answer onex"
    assert [line.splitlines()[0].split()[0] for line in told] == ["looked"] * 3
    assert KEY[:12] not in "".join(told)
    assert told[0].endswith("\n0 of 3 questions to models were answered")
    assert told[2].endswith("\n2 of 3 questions to models were answered, the last ones:\n- answer one\n- answer two")


_KILLED = r"""
import os
import sys
from pathlib import Path
from tests.recursion.rig import block, by_model, rig
import time

def sub(request):
    number = int(request.prompt.split()[1])
    if number >= 40:
        os.write(1, b"at 40\n")
        time.sleep(100)
    return "fine"

with rig(Path(sys.argv[1]), by_model(root=lambda r: block(ROOT), sub=sub)) as made:
    made.ask("Go on.", "x" * 100)
"""
_ROOT = "print(len(context))\nx = llm_query_batched([f'item {n}' for n in range(100)])\nFINAL(len(x.came))"


def test_a_run_whose_process_was_killed_is_read_as_lost_and_nothing_is_paid_again(
    tmp_path: Path, runs_with: Rigs
) -> None:
    """What it did is there; asked again, only what was in flight is asked again."""
    home = tmp_path / "store"
    program = _KILLED.replace("ROOT", repr(_ROOT))
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", program, str(home)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at 40\n"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with open_store(Paths(home=home), Settings()) as store:
        (row,) = runs.latest(store)
        assert (row.status, row.answer) == (LOST, "")
        before = ledger.spent(store, run=row.id)
    assert before.calls <= 1 + 40 + 8
    served = before.calls - before.abandoned
    rig = runs_with(by_model(root=lambda _request: block(_ROOT), sub=lambda _request: "fine"))
    came = rig.ask("Go on.", "x" * 100)
    assert (came.answer.status, came.answer.answer) == ("ok", "100")
    assert len(rig.model.came) == 101 - served
    assert served >= 1 + 40 - 8


def test_a_vain_question_asked_again_is_asked_otherwise(runs_with: Rigs) -> None:
    """Or the cache would answer it in vain for ever."""
    rig = runs_with(lambda request: block("FINAL(len(context))") if "Attempt 2" in request.prompt else "no code")
    assert rig.ask("?", "hello").answer.status == "no_code"
    came = rig.ask("?", "hello")
    assert came.answer.answer == "5"
    assert "Attempt 2" in rig.model.of("root")[-1].prompt
    assert rig.ask("Another?", "hello").answer.status == "no_code"


def test_a_cell_whose_time_is_over_keeps_what_models_have_answered(runs_with: Rigs) -> None:
    """A batch comes back just before; the Cell has its part, and the next one goes on with it."""
    rig = runs_with(
        by_model(
            root=steps(
                block("got = llm_query_batched([f'{n}: {context[:2]}' for n in range(10_000)])\nkept = list(got.came)"),
                block("FINAL(f'{0 < len(kept) < 10_000} {kept[-1] < len(kept) + 8}')"),  # 8 are under way at once
            ),
            sub=lambda _request: "fine",
        ),
        seconds=0.02,
    )
    rig.engine = replace(rig.engine, cell_seconds=5.0)
    came = rig.ask("?", "hello", limits=Limits(calls=20_000, tokens=100_000_000, seconds=60.0))
    assert came.answer.answer == "True True"
    assert came.steps[0].status in {"ok", "interrupted"}


def test_children_that_fail_are_no_text(runs_with: Rigs) -> None:
    """The parent is told how each ended."""
    rig = runs_with(
        lambda request: (
            "prose"
            if "CHILD" in request.prompt or "No ```repl" in request.prompt
            else block("found = rlm_query_batched(['CHILD 1', 'CHILD 2'])\nprint(found.failed)\nFINAL(found)")
        )
    )
    came = rig.ask("?", "hello")
    assert came.answer.status == "steps"
    assert "the root model writes no code" in came.steps[0].output
    assert "SubLMFailed: RunEnded" in came.steps[0].output


def test_many_children_work_few_at_a_time(runs_with: Rigs) -> None:
    """So many processes, whatever the depth."""
    live: list[int] = []
    most: list[int] = []
    lock = threading.Lock()
    rig = runs_with(
        lambda request: (
            block("FINAL(sum(map(int, rlm_query_batched(['CHILD'] * 6))))")
            if "depth 0" not in request.prompt
            else block("FINAL(len(context))")
        )
    )
    start = rig.engine.start

    def counted() -> object:
        repl = start()
        with lock:
            live.append(1)
            most.append(len(live))
        close = repl.close

        def closed() -> None:
            with lock:
                if live and not getattr(repl, "was_closed", False):
                    repl.was_closed = True  # type: ignore[attr-defined]  # a mark of this test
                    live.pop()
            close()

        repl.close = closed  # type: ignore[method-assign]  # as above
        return repl

    rig.engine = replace(rig.engine, start=counted)
    came = rig.ask("?", "hello", limits=Limits(depth=2, seconds=100.0))
    assert came.answer.answer == str(6 * 6 * 5)
    assert max(most) <= 1 + 4 + 4
    assert live == []


def test_runs_leave_no_process_thread_or_descriptor_behind(runs_with: Rigs) -> None:
    """However they end."""
    rig = runs_with(
        lambda request: (
            "prose"
            if "PROSE" in request.prompt
            else block("os = __import__('os')\nos._exit(1)" if "EXIT" in request.prompt else "FINAL(len(context))")
        )
    )
    rig.ask("?", "hello")
    before = (opened(), threading.active_count())
    for number in range(5):
        rig.ask(f"{number}", "hello")
        rig.ask(f"PROSE {number}", "hello")
        rig.ask(f"EXIT {number}", "hello", limits=Limits(calls=3, seconds=20.0))
        stop = Stop()
        stop.now()
        rig.ask(f"STOP {number}", "hello", stop=stop)
    for thread in threading.enumerate():
        if thread.name.startswith("rlm-mcp run repl"):  # a Repl that nobody waits for is ended when it is there
            thread.join(30)
    gc.collect()
    assert opened() <= before[0] + 2
    assert threading.active_count() <= before[1] + 2


def test_nobody_is_asked_where_code_alone_answers(runs_with: Rigs) -> None:
    """One root call."""
    rig = runs_with(by_model(root=steps(block("FINAL(context.count('a'))")), sub=nobody))
    came = rig.ask("How many a?", "banana" * 20_000)
    assert (came.answer.answer, came.spent.calls) == ("60000", 1)
