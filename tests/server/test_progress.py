"""rlm_mcp.server.progress: how far a question is, told on the wire while the client waits."""

import threading
from pathlib import Path

import anyio
import mcp_types as types

from tests.server.rig import environment, serving
from tests.sublm.endpoint import Answer, Seen, running_endpoint

ANSWER = "```repl\nprint(context[:80])\nFINAL('none')\n```"
QUESTION = "Which sentence of the assistant was the boldest?"


def test_progress_is_told_while_a_question_runs(recorded_session: Path) -> None:
    """Each second, with what is spent, to a client that asked for it; also while it waits for the job."""
    is_told = threading.Event()

    def hold(_seen: Seen) -> Answer:
        assert is_told.wait(20)
        return Answer(text=ANSWER)

    async def talk() -> None:
        told: list[tuple[float, str]] = []
        jobs: list[str] = []

        async def heard(progress: float, _total: float | None, message: str | None) -> None:
            told.append((progress, message or ""))
            if jobs:
                is_told.set()

        environ = environment(OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="key", RLM_MCP_ASK_WAIT_SECONDS="1.5")
        async with serving("--transcript", str(recorded_session), environ=environ) as session:
            asked = await session.call_tool("ask", {"question": QUESTION}, progress_callback=heard)
            text = _text(asked)
            assert " runs since " in text
            job = text.split()[1]
            jobs.append(job)
            answered = await session.call_tool("job", {"id": job}, progress_callback=heard)
            while " runs since " in _text(answered):
                answered = await session.call_tool("job", {"id": job}, progress_callback=heard)
        assert told
        assert told == sorted(told)
        for seconds, message in told:
            assert message.startswith(f"{job}: {seconds:.0f} s; budget: calls ")

    with running_endpoint(hold) as endpoint:
        anyio.run(talk)


def test_nobody_who_did_not_ask_for_it_is_told(recorded_session: Path) -> None:
    """Without a token the answer is all that comes."""

    async def talk() -> None:
        environ = environment(OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY="key")
        async with serving("--transcript", str(recorded_session), environ=environ) as session:
            answered = await session.call_tool("ask", {"question": QUESTION})
            assert "none" in _text(answered)

    with running_endpoint(lambda _seen: Answer(text=ANSWER, seconds=1.2)) as endpoint:
        anyio.run(talk)


def _text(answer: object) -> str:
    assert isinstance(answer, types.CallToolResult)
    (content,) = answer.content
    assert isinstance(content, types.TextContent)
    return content.text
