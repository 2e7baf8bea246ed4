"""rlm_mcp.server.late: ask, job and what Cells ask, through the tools of a server."""

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import SubLMUnavailable, UsageError
from rlm_mcp.server.late import LateAsker
from rlm_mcp.server.session import Beside, SessionFinder
from rlm_mcp.server.tools import Asked, Tools
from rlm_mcp.wiring import Repls, Stores
from tests.asked import environment, programs
from tests.server.rig import until
from tests.sublm.endpoint import Answer, Endpoint, Script, running_endpoint

HELD = programs("print('seen: 7')\nFINAL(llm_query('Which?'))", sub=lambda _prompt: Answer(seconds=3600))
QUICK = programs("FINAL(len(session.turns))")


@pytest.fixture(autouse=True)
def _no_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "RLM_MCP_SUBCALL", "CLAUDECODE", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving(
    paths: Paths, transcript: Path, script: Script, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> Iterator[tuple[Tools, Endpoint]]:
    """The tools of a server over one session, and whom they ask."""
    beside = Beside(paths=paths, environ={}, parent_id=1, cwd=Path("/"), transcript=transcript, started=0.0)
    with (
        running_endpoint(script) as endpoint,
        Stores(paths, Settings(**settings)) as stores,
        Repls(stores) as repls,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        with closing(LateAsker(stores)) as asker:
            yield Tools(stores=stores, repls=repls, asker=asker, finder=SessionFinder(beside)), endpoint


def call(tools: Tools, name: str, **arguments: Any) -> str:
    return tools.call(Asked(name=name, arguments=arguments))


def test_ask_answers_at_once_where_it_can(
    paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer, and what it cost."""
    with serving(paths, recorded_session, QUICK, monkeypatch) as (tools, endpoint):
        told = call(tools, "ask", question="How many turns were there?")
        assert told.startswith("7\n[r")
        assert "1 call" in told
        assert len(endpoint.requests) == 1
        assert "asked by this session: 1 call" in call(tools, "status")


def test_a_long_question_becomes_a_job(paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at, waited for, cancelled: what it had is kept, and nothing is sent any more."""
    with serving(paths, recorded_session, HELD, monkeypatch, ask_wait_seconds=0.0) as (tools, endpoint):
        told = call(tools, "ask", question="Which one was best?")
        (job,) = re.findall(r"^job (r[0-9a-f]{8}) ", told)
        endpoint.wait_for(lambda now: len(now.requests) == 2)
        assert call(tools, "job", id=job, action="poll").startswith(f"job {job} runs since")
        assert call(tools, "job", id=job).startswith(f"job {job} runs since")
        ended = call(tools, "job", id=job, action="cancel")
        assert ended.startswith("no answer (it was cancelled")
        assert "seen: 7" in ended
        assert call(tools, "job", id=job, action="poll") == ended
        assert len(endpoint.requests) == 2


def test_a_long_answer_comes_cut_and_is_read_by_its_ref(
    paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, to the last character; the model needs no shell for it."""
    script = programs("len(session.turns)\nFINAL(''.join(f'{n:08}' for n in range(20_000)))")
    with serving(paths, recorded_session, script, monkeypatch) as (tools, _endpoint):
        told = call(tools, "ask", question="Count upwards, please.")
        assert len(told) < 9_000
        assert told.startswith("0000000000000001")
        (run,) = re.findall(r"160,000 characters, cut; whole: read (r[0-9a-f]{8})\]$", told)
        page = call(tools, "read", ref=run)
        pages = [page.rpartition("\n[bytes")[0]]
        while offset := re.findall(r"read on with offset=(\d+)\]$", page):
            page = call(tools, "read", ref=run, offset=int(offset[0]))
            pages.append(page.rpartition("\n[bytes")[0])
        assert "".join(pages) == "".join(f"{n:08}" for n in range(20_000))


def test_two_questions_at_once_do_not_wait_for_each_other(
    paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a job of its own; an id that is none is named with those there are."""
    with serving(paths, recorded_session, HELD, monkeypatch, ask_wait_seconds=0.0) as (tools, endpoint):
        jobs = [re.findall(r"^job (\S+)", call(tools, "ask", question=f"Which of {n}?"))[0] for n in (1, 2)]
        endpoint.wait_for(lambda now: len(now.requests) >= 3)
        with pytest.raises(UsageError, match=", ".join(jobs)):
            call(tools, "job", id="rffffffff")
        assert "cancelled" in call(tools, "job", id=jobs[0], action="cancel")
        assert call(tools, "job", id=jobs[1], action="poll").startswith(f"job {jobs[1]} runs")


def test_a_client_that_waits_no_more_ends_the_question(
    paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled by the client: the Run ends, nothing is sent after it."""
    with serving(paths, recorded_session, HELD, monkeypatch) as (tools, endpoint):
        asked = Asked(name="ask", arguments={"question": "Which one was best?"})
        asking = threading.Thread(target=tools.call, args=(asked,))
        asking.start()
        endpoint.wait_for(lambda now: now.under_way == 1 and len(now.requests) == 2)
        tools.cancel(asked)
        asking.join(30)
        endpoint.wait_for(lambda now: now.under_way == 0)
        assert len(endpoint.requests) == 2


def test_a_cell_asks_within_one_budget(paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``llm_query`` and ``llm_map`` outside of any Run; one Cell has the limits of one Run."""
    script = programs("no root is asked", sub=lambda prompt: f"about {prompt}")
    with serving(paths, recorded_session, script, monkeypatch, run_calls=5) as (tools, endpoint):
        assert "'about x'" in call(tools, "repl", code="llm_query('x')")
        assert "['about a?', 'about b?']" in call(tools, "repl", code="list(llm_map(['a', 'b'], '{item}?'))")
        over = call(tools, "repl", code="for n in range(10):\n    kept = llm_query(f'{n}')")
        assert "limit of 5 calls" in over
        assert len(endpoint.requests) == 3 + 5
        assert "'about 4'" in call(tools, "repl", code="kept")
        assert "asked by this session: 8 calls" in call(tools, "status")


def test_a_cancelled_cell_asks_no_more(paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request under way is ended with it."""
    script = programs("no root is asked", sub=lambda _prompt: Answer(seconds=3600))
    with serving(paths, recorded_session, script, monkeypatch) as (tools, endpoint):
        asked = Asked(name="repl", arguments={"code": "x = 1\nllm_query('x')"})
        asking = threading.Thread(target=tools.call, args=(asked,))
        asking.start()
        endpoint.wait_for(lambda now: now.under_way == 1)
        tools.cancel(asked)
        asking.join(30)
        endpoint.wait_for(lambda now: now.under_way == 0)
        assert call(tools, "repl", code="x").startswith("1\n")
        assert len(endpoint.requests) == 1


def test_nobody_to_ask_is_said_by_whoever_asks(
    paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The tool refuses with the cure; in a Cell it is an exception; what search answers is answered."""
    with serving(paths, recorded_session, QUICK, monkeypatch) as (tools, endpoint):
        for name, value in environment(None, tmp_path).items():
            monkeypatch.setenv(name, value)
        for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(SubLMUnavailable, match="OPENAI_BASE_URL"):
            call(tools, "ask", question="How many turns were there?")
        assert "SubLMUnavailable" in call(tools, "repl", code="llm_query('x')")
        assert "by search" in call(tools, "ask", question="which commands failed?")
        until(lambda: endpoint.under_way == 0)
        assert endpoint.requests == []


def test_a_cell_asks_runs_of_its_own(paths: Paths, recorded_session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``rlm_query`` outside of any Run: over a text, a part of the session, or all of it; within the Cell's budget."""
    script = programs("FINAL(f'{len(context)} characters')", sub=lambda prompt: prompt)
    with serving(paths, recorded_session, script, monkeypatch, run_calls=5) as (tools, endpoint):
        assert call(tools, "repl", code="str(rlm_query('How long?', 'x' * 1_000))").startswith("'1000 characters'")
        part = call(tools, "repl", code="a = rlm_query('How long?', session.text[:5_000]); print(a.answer, a.run[0])")
        assert part.startswith("5000 characters r")
        many = call(tools, "repl", code="[str(one) for one in rlm_query_batched([('1?', 'ab'), ('2?', 'abc'), '3?'])]")
        assert many.startswith("['2 characters', '3 characters', '121")
        over = call(tools, "repl", code="print(rlm_query_batched([(f'{n}?', 'ab' * n) for n in range(3, 12)]))")
        assert "BudgetExceeded" in over
        assert len(endpoint.requests) == 5 + 5
