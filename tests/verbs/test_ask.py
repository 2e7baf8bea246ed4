"""rlm_mcp.verbs.ask: the cheapest way that answers, evidence that resolves, over sessions, documents, files."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.asker import How
from rlm_mcp.errors import BudgetExceeded, DocumentError, QueryError, RefError, RunEnded, SubLMRefused
from rlm_mcp.store import ledger, runs
from rlm_mcp.sublm.lm import Request
from rlm_mcp.sublm.scripted import Script
from rlm_mcp.verbs.load import load
from tests.documents import TOKEN
from tests.recursion.golden import is_golden
from tests.recursion.rig import ROOT, SUB, block, by_model, nobody, steps
from tests.recursion.tasks import made, question, root, sub
from tests.verbs.asked import Asked, asked_with

Makes = Callable[..., Asked]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Makes]:
    """Makes a session whose model is that script."""
    with ExitStack() as stack:
        yield lambda script, **more: stack.enter_context(asked_with(tmp_path, script, **more))


def _one_call(answer: str | None, *quotes: str) -> Script:
    return lambda _request: json.dumps({"answer": answer, "quotes": quotes})


def test_a_typed_question_is_answered_by_search_and_costs_nothing(asked: Makes) -> None:
    """No model is asked."""
    at = asked(nobody)
    at.transcript.bash("pytest -q", "1 failed", exit_code=1)
    found = at.ask("which commands failed?")
    assert (found.status, found.way, found.spent.calls) == ("ok", "search", 0)
    assert "pytest -q" in found.answer
    assert found.refs
    assert at.model.came == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("files edited", "files edited (1): src/a.py"),
        ("which commands failed?", "no failed commands (1 others)"),
        ("open todos", "no todos recorded"),
        ("commits", "no commits recorded"),
    ],
)
def test_what_search_answers_completely_costs_nothing_also_where_there_is_none(
    asked: Makes, question: str, answer: str
) -> None:
    """A question need be no sentence."""
    at = asked(nobody)
    at.transcript.write("src/a.py", "x = 1\n")
    at.transcript.bash("ls", "src")
    found = at.ask(question)
    assert (found.status, found.way, found.spent.calls) == ("ok", "search", 0)
    assert found.answer.startswith(answer)


@pytest.mark.parametrize(
    "question",
    ["which tests failed?", "decisions", "errors", "tests passing?", "commands before the failure", "Look after the"],
)
def test_what_search_does_not_know_for_certain_is_asked(asked: Makes, question: str) -> None:
    """No Fact of a kind that is known by words, or by the output of a program, is no proof that there is none."""
    at = asked(_one_call("thought about"))
    at.transcript.bash("ls", "src")
    assert at.ask(question).way == "one call"


def test_a_question_that_was_a_prompt_is_not_answered_by_where_it_stands(asked: Makes) -> None:
    """Search finds the prompt then, which is no list of what is asked for."""
    at = asked(_one_call("thought about"))
    at.transcript.user("which commands failed?")
    assert at.ask("which commands failed?").way == "one call"


@pytest.mark.parametrize(
    "question",
    ["why did the tests fail?", "what does it say?", "is the task done?", "which file was edited most?",
     "which tests failed and why?", "what was the first error?", "Summarise the decisions", "when did the user ask?"],
)  # fmt: skip
def test_a_question_that_wants_thought_is_not_answered_by_a_list(asked: Makes, question: str) -> None:
    """Though search would find something."""
    at = asked(_one_call("thought about"))
    at.transcript.bash("pytest -q", "1 failed", exit_code=1)
    found = at.ask(question)
    assert (found.way, found.answer) == ("one call", "thought about")


def test_what_fits_into_one_prompt_costs_one_call_and_its_quotes_are_checked(asked: Makes) -> None:
    """The Refs of those that stand there resolve to exactly them; the others are marked."""
    at = asked(_one_call("Z4", "never touch zone Z4", "never touch zone Z5"))
    found = at.ask("What about the zones?")
    assert (found.status, found.way, found.answer, found.spent.calls) == ("ok", "one call", "Z4", 1)
    assert [one.is_verified for one in found.evidence] == [True, False]
    assert [at.read(ref) for ref in found.refs] == ["never touch zone Z4"]
    sent = at.model.came[0].request
    told = f"--- system\n{sent.system}\n--- told\n{sent.prompt}\n--- schema\n{sent.schema}\n"
    is_golden("atomic", told.replace(at.session.key, "1f2e3d4c"))


def test_every_question_is_kept_with_its_way_and_what_it_cost(asked: Makes) -> None:
    """By search, one call or a run, also where it was not answered; the Ledger counts the same as the answer says."""
    at = asked(lambda r: SubLMRefused("no") if "bad" in r.prompt else _one_call("Z4", "never touch zone Z4")(r))
    at.transcript.bash("pytest -q", "1 failed", exit_code=1)
    found = [at.ask(text) for text in ("which commands failed?", "What about the zones?", "Is it bad?")]
    with at.stores.lend() as store:
        rows = {row.id: row for row in runs.latest(store, session_key=at.session.key)}
        assert [rows[one.run].way for one in found] == [one.way for one in found] == ["search", "one call", "one call"]
        assert [rows[one.run].answer for one in found] == [one.answer for one in found]
        assert [(rows[one.run].status, rows[one.run].parent) for one in found] == [
            ("ok", ""),
            ("ok", ""),
            ("model", ""),
        ]
        assert [ledger.spent(store, run=one.run) for one in found] == [one.spent for one in found]
        assert rows[found[1].run].evidence[0]["ref"] == found[1].refs[0]
    assert at.read(found[1].run).startswith('Z4\n- "never touch zone Z4"  ')


@pytest.mark.parametrize(
    "said", ["It is Z4.", '{"answer": [4]}', '{"answer": "4"} {"answer": "5"}', "[]", '{"quotes": []}', ""]
)
def test_a_reply_that_is_none_leads_to_a_run(asked: Makes, said: str) -> None:
    """Nothing is guessed from words."""
    at = asked(lambda r: said or "-" if "block at a time" not in r.system else block("FINAL(context.count('Z4'))"))
    found = at.ask("What about the zones?")
    assert (found.status, found.way, found.answer) == ("ok", "run", "1")
    with at.stores.lend() as store:
        (row,) = runs.latest(store)
        assert (row.id, row.way, row.status) == (found.run, "run", "ok")
        assert ledger.spent(store, run=found.run) == found.spent


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ('{"answer": 5}', "5"),
        ('{"answer": 0, "quotes": null}', "0"),
        ('{"answer": false}', "false"),
        ('<think>{"answer": "no"}</think>\nHere it is: {"answer": "yes", "quotes": ["zone", 3]}', "yes"),
    ],
)
def test_a_reply_that_holds_the_answer_in_another_shape_is_one(asked: Makes, said: str, answer: str) -> None:
    """A number for a text, thinking before it, words around it: a Run would cost more and know no more."""
    at = asked(lambda _request: said)
    found = at.ask("What about the zones?")
    assert (found.status, found.way, found.answer, found.spent.calls) == ("ok", "one call", answer, 1)


def test_nothing_is_asked_about_an_empty_text(asked: Makes, tmp_path: Path) -> None:
    """It says so at no cost."""
    at = asked(nobody)
    (tmp_path / "empty.txt").write_text(" \n")
    error = at.start("Where?", files=(tmp_path / "empty.txt",)).error
    assert isinstance(error, QueryError)
    assert str(error) == f"there is nothing to ask about: {tmp_path / 'empty.txt'} is empty"


def test_what_is_not_in_a_small_text_is_not_looked_for_again(asked: Makes, tmp_path: Path) -> None:
    """One call; a session has more than its text, so there a Run goes on."""
    at = asked(
        lambda r: block("FINAL(str(len(repo.files())) + 'x')") if "block at a time" in r.system else _one_call(None)(r)
    )
    (tmp_path / "small.txt").write_text("nothing here")
    found = at.ask("Where?", files=(tmp_path / "small.txt",))
    assert (found.status, found.answer, found.spent.calls) == ("not_found", "", 1)
    assert isinstance(found.error, RunEnded)
    assert at.ask("Where?").status == "ok"


def test_an_error_of_the_one_call_is_the_end(asked: Makes) -> None:
    """Typed, with what it cost."""
    at = asked(lambda _request: SubLMRefused("no such model"))
    found = at.ask("What about the zones?")
    assert (found.status, found.answer, found.way) == ("model", "", "one call")
    assert isinstance(found.error, SubLMRefused)
    record = found.record()
    assert record["error"] == {"type": "SubLMRefused", "message": "no such model"}
    assert (record["calls"], record["failed"]) == (1, 1)


def test_without_any_calls_allowed_there_is_no_answer(asked: Makes) -> None:
    """And nothing is sent."""
    at = asked(nobody)
    found = at.ask("What about the zones?", calls=0)
    assert (found.status, type(found.error)) == ("calls", BudgetExceeded)
    assert at.model.came == []


@pytest.mark.parametrize("task", ["count", "needle", "two hops", "depth 3"])
def test_tasks_over_a_session_are_answered_rightly(asked: Makes, task: str) -> None:
    """A megabyte of log; quotes have Refs that resolve to exactly them, also when the session has grown."""
    dataset = made(1 << 20)
    at = asked(by_model(root=root, sub=sub))
    lines = dataset.text.split("\n")
    for start in range(0, len(lines), 2_000):
        at.transcript.bash(f"cat part{start}", "\n".join(lines[start : start + 2_000]))
    found = at.ask(question(task), tokens=100_000_000, depth=3)
    assert (found.status, found.way, found.answer) == ("ok", "run", dataset.gold[task])
    if task in {"needle", "two hops"}:
        assert all(one.is_verified for one in found.evidence)
        at.transcript.reply("more is said: " + "é" * 5_000)
        assert [at.read(ref) for ref in found.refs] == [one.quote for one in found.evidence]
        assert dataset.quote in [one.quote for one in found.evidence]


@pytest.mark.parametrize("way", ["docs", "refs", "files", "one file"])
def test_tasks_over_documents_files_and_refs_are_answered_rightly(asked: Makes, tmp_path: Path, way: str) -> None:
    """As one text or a list; each verified quote has a Ref that resolves to exactly it."""
    dataset = made(1 << 20)
    at = asked(by_model(root=root, sub=sub))
    folder = at.work / "texts"
    folder.mkdir()
    lines = dataset.text.split("\n")
    for number, start in enumerate(range(0, len(lines), 4_000)):
        (folder / f"t{number}.txt").write_text("\n".join(lines[start : start + 4_000]), encoding="utf-8")
    paths = sorted(folder.iterdir())
    how: dict[str, Any] = {"files": tuple(paths)}
    if way == "one file":
        (tmp_path / "one.txt").write_text(dataset.text, encoding="utf-8")
        how = {"files": (tmp_path / "one.txt",)}
    elif way != "files":
        with at.stores.lend() as store:
            rows = load(store, at.session, str(folder), "texts").documents
        how = {"scope": "docs" if way == "docs" else " ".join(row.ref for row in rows)}
    for task in ("count", "two hops"):
        found = at.ask(question(task), tokens=100_000_000, **how)
        assert (found.status, found.answer) == ("ok", dataset.gold[task]), (task, found.error, found.partial)
    assert [at.read(ref) for ref in found.refs] == [one.quote for one in found.evidence]
    assert len(found.refs) == 2
    with at.stores.lend() as store:
        refs = runs.run_row(store, found.run).refs
    again = at.ask(question(task), tokens=100_000_000, scope=refs)
    assert (again.answer, again.refs) == (found.answer, found.refs)


def test_refs_of_every_kind_can_be_asked_about(asked: Makes) -> None:
    """An event, a turn, spans, a Cell's output, part of a document; quotes have Refs where there are any."""

    def script(request: Request) -> str:
        text = request.prompt.partition("\n\n")[2]
        return json.dumps({"answer": text, "quotes": ["importer", "Brücke"]})

    at = asked(script)
    at.transcript.reply("Über die Brücke.")
    at.transcript.user("And now?")
    (at.work / "doc.txt").write_text("before die Brücke behind", encoding="utf-8")
    with at.stores.lend() as store:
        (row,) = load(store, at.session, str(at.work / "doc.txt"), "doc.txt").documents
    for refs in ("e1", "t1", "e1 e2", "s", f"{row.ref}:7-18", f"{at.session.key}.e2 {row.ref}"):
        found = at.ask("What?", scope=refs)
        assert found.status == "ok"
        for one in found.evidence:
            assert one.is_verified == (one.quote in found.answer), (refs, one)
            assert not one.is_verified or at.read(one.ref) == one.quote
    assert any(one.is_verified and one.quote == "Brücke" for one in found.evidence)
    for refs in ("e99", "nonsense", "c7", "d00000000", f"{row.ref}:0-999"):
        with pytest.raises((RefError, QueryError)):
            at.ask("What?", scope=refs)


def test_the_scope_is_as_it_was_when_it_was_asked(asked: Makes, tmp_path: Path) -> None:
    """A file that changes meanwhile, a session that grows: answers and quotes are of the snapshot."""
    path = tmp_path / "log.txt"
    path.write_text("first version\n" + "x" * 60_000)

    def change(request: Request) -> str:
        if not request.history:
            path.write_text("second version\n" + "y" * 60_000)
            return block("print(context[:14])")
        return block("FINAL(context[:13], quotes=['first version', 'second version'])")

    found = asked(change).ask("Which?", files=(path,))
    assert found.answer == "first version"
    assert [one.is_verified for one in found.evidence] == [True, False]


def test_secrets_never_leave_by_prompts_answers_quotes_or_what_is_kept(asked: Makes, tmp_path: Path) -> None:
    """A document may hold one; the Jail sees it, nobody else."""
    path = tmp_path / "env.txt"
    path.write_text(f"token: {TOKEN}\n" + "x" * 60_000)
    code = "print(context[:80])\nt = llm_query('what is ' + context[:80])\nFINAL(context[:60], quotes=[context[:50]])"
    at = asked(by_model(root=steps(block(code)), sub=lambda request: request.prompt))
    found = at.ask("Which token?", files=(path,))
    assert found.status == "ok"
    assert "[REDACTED" in found.answer
    assert found.evidence[0].is_verified
    with at.stores.lend() as store:
        kept = [*runs.steps(store, found.run), runs.run_row(store, found.run)]
    said = [str(at.model.requests), str(found), str(kept), at.read(found.refs[0])]
    assert all(TOKEN not in text for text in said)


def test_a_question_must_ask_something_about_something(asked: Makes, tmp_path: Path) -> None:
    """Empty questions, no documents, files that are no text."""
    at = asked(nobody)
    assert isinstance(at.start("  ").error, QueryError)
    with pytest.raises(QueryError, match="no documents"):
        at.ask("What?", scope="docs")
    (tmp_path / "b.bin").write_bytes(b"\0" * 100)
    with pytest.raises(DocumentError):
        at.ask("What?", files=(tmp_path / "b.bin",))


def test_who_looks_at_the_repository_alone_has_looked(asked: Makes) -> None:
    """Files of it are read without the host, and count all the same."""
    at = asked(steps(block("FINAL(open(f'{repo.root}/a.txt').read())")))
    (at.work / "a.txt").write_text("from the file")
    at.transcript.bash("cat", "x" * 60_000)
    found = at.ask("What does it say?")
    assert (found.status, found.answer) == ("ok", "from the file")


def test_a_question_can_be_left_to_itself_looked_at_and_cancelled(asked: Makes, tmp_path: Path) -> None:
    """What it has so far is told while it runs, and kept when it is ended."""
    (tmp_path / "big.txt").write_text("word " * 20_000)
    reached = threading.Event()

    def sub(_request: Request) -> str:
        reached.set()
        return "half an answer"

    at = asked(by_model(root=steps(block("print('seen', context[:4])\nllm_query('more?')\nwhile True: pass")), sub=sub))
    with at.stores.lend() as store:
        job = at.asker.start(store, None, "How?", How(files=(tmp_path / "big.txt",), model=ROOT, sub_model=SUB))
    assert reached.wait(30)
    while "half an answer" not in job.state().partial:
        job.wait(0.01)
    state = at.asker.act(job.id, "cancel")
    assert state.answer is not None
    assert (state.answer.status, state.answer.answer) == ("cancelled", "")
    assert "seen word" in state.answer.partial
    assert "1 of 1 questions to models were answered" in state.answer.partial
    with at.stores.lend() as store:
        row = runs.run_row(store, job.id)
    assert (row.status, row.partial) == ("cancelled", state.answer.partial)


def test_children_see_the_session_too(asked: Makes) -> None:
    """A child without a context looks at what its parent looks at; one with a slice of it has Refs all the same."""
    at = asked(
        by_model(
            root=lambda request: block(
                "parts = [None, session.text[200:90_000], session.events[0], docs['doc.txt']]\n"
                "found = rlm_query_batched([('CHILD', part) for part in parts])\n"
                "FINAL(' '.join(found), quotes=[q for one in found for q in one.quotes])"
                if "CHILD" not in (request.history[0][0] if request.history else request.prompt)
                else "FINAL(len(context), quotes=[context[100:120]])"
            ),
            sub=nobody,
        )
    )
    (at.work / "doc.txt").write_text("é" * 70_000, encoding="utf-8")
    with at.stores.lend() as store:
        load(store, at.session, str(at.work / "doc.txt"), "doc.txt")
    at.transcript.bash("cat", "\n".join(f"line {number} ä" for number in range(10_000)))
    found = at.ask("How long are they?")
    assert found.status == "ok", found
    lengths = [int(length) for length in found.answer.split()]
    with at.stores.lend() as store:
        rows = runs.tree(store, found.run)[1:]
    assert lengths[1] == 89_800
    assert lengths[3] == 70_000
    assert sorted(row.scope.partition(":")[0].rstrip("0123456789abcdef-") for row in rows)
    kinds = {row.scope.split(":")[0] for row in rows}
    assert "log" in kinds
    assert any(kind.startswith("d") for kind in kinds)
    assert all(at.read(one.ref) == one.quote for one in found.evidence)


def test_a_question_about_the_repository_has_quotes_from_its_files(asked: Makes) -> None:
    """Files are looked at as they are needed; the quoted one is kept as a Document, so its Ref stays right."""
    files = {
        "src/app.py": "def total(rows):\n    # Übertrag: never negative\n    return sum(rows)\n",
        "README.md": "# App\n",
    }
    code = """
for line in context.splitlines():
    print(line)
hit = repo.grep("never negative")[0]
text = repo.read(hit.path)
FINAL(hit.path, quotes=["# Übertrag: never negative", "def total(rows):\\n    # Übertrag", "not there", hit.line])
"""
    at = asked(steps(block(code)))
    for name, text in files.items():
        path = at.work / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = at.ask("Where is it never negative?", scope="repo")
    assert (found.status, found.way, found.answer) == ("ok", "run", "src/app.py"), found
    assert [one.is_verified for one in found.evidence] == [True, True, False, True]
    (at.work / "src/app.py").write_text("gone")
    assert [at.read(one.ref) for one in found.evidence if one.ref] == [
        one.quote for one in found.evidence if one.is_verified
    ]
