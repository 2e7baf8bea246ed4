"""rlm_mcp.server.app: the server as a client meets it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import ClientSession

from rlm_mcp import __version__
from rlm_mcp.server.app import thread_id, tool_list
from rlm_mcp.server.schemas import INSTRUCTIONS
from tests.asked import KEY, programs
from tests.server.rig import ROOT, environment, serving, until
from tests.sublm.endpoint import Answer, running_endpoint

_NOHUP = pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="SIGHUP is ignored here")
HANDSHAKE = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
)


async def ask(session: ClientSession, tool: str, **arguments: Any) -> str:
    answer = await session.call_tool(tool, arguments)
    assert isinstance(answer, types.CallToolResult)
    assert not answer.is_error, answer.content
    (content,) = answer.content
    assert isinstance(content, types.TextContent)
    return content.text


def started(*arguments: str, environ: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "rlm_mcp", "serve", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment() if environ is None else dict(environ),
        cwd=ROOT,
        **more,
    )


def sent(process: subprocess.Popen[bytes], *messages: dict[str, Any]) -> None:
    assert process.stdin is not None
    for message in messages:
        process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


def line_from(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def test_it_introduces_itself_and_offers_eight_tools(recorded_session: Path) -> None:
    """Name, version, instructions; each tool marked as Claude Code honours it; all but load and ask change nothing."""

    async def talk() -> None:
        async with serving("--transcript", str(recorded_session)) as session:
            introduced = session.initialize_result
            assert introduced is not None
            assert (introduced.server_info.name, introduced.server_info.version) == ("rlm-mcp", __version__)
            assert introduced.instructions == INSTRUCTIONS
            assert introduced.capabilities.prompts is None
            assert introduced.capabilities.resources is None
            tools = (await session.list_tools()).tools
            assert [tool.name for tool in tools] == ["search", "read", "repl", "load", "ask", "job", "brief", "status"]
            for tool in tools:
                assert tool.annotations is not None
                assert tool.annotations.read_only_hint is (tool.name not in {"load", "ask"})
                assert tool.annotations.destructive_hint is False
                assert tool.output_schema is None
                assert tool.meta == {"anthropic/maxResultSizeChars": 500_000, "anthropic/alwaysLoad": True}

    anyio.run(talk)


def test_read_gives_the_bytes_that_search_found(recorded_session: Path) -> None:
    """An output from before the compaction comes back whole by a hit's Ref; no structured copy beside it."""

    async def talk() -> None:
        async with serving("--transcript", str(recorded_session)) as session:
            found = await ask(session, "search", query="UnicodeDecodeError", mode="phrase")
            ref = found.split()[-1].partition(":")[0]
            answer = await session.call_tool("read", {"ref": ref})
            assert isinstance(answer, types.CallToolResult)
            assert answer.structured_content is None
            text = await ask(session, "read", ref=ref)
            assert text.startswith("Exit code 1\nTraceback (most recent call last):")
            assert text.endswith(
                "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xfc in position 95: invalid start byte"
            )

    anyio.run(talk)


def test_a_mistake_is_a_tool_error_that_says_the_cure(recorded_session: Path) -> None:
    """The model reads what was wrong; no traceback, and the server goes on."""

    async def talk() -> None:
        environ = environment(OPENAI_BASE_URL="http://127.0.0.1:9/v1")  # somebody to ask, who is never asked
        async with serving("--transcript", str(recorded_session), environ=environ) as session:
            for tool, arguments, cure in (
                ("read", {"ref": "nonsense"}, "Refs look like 'e12'"),
                ("read", {"ref": "e99999"}, "e99999"),
                ("search", {}, "needs 'query'"),
                ("search", {"query": "x", "max_tokens": 1}, "100 to 20,000"),
                ("search", {"query": "x", "nope": 1}, "it takes: query"),
                ("search", {"query": "x", "turns": "3 to 9"}, "3 to 9"),
                ("nonsense", {}, "there are: search"),
                ("ask", {"question": ""}, "the question is empty"),
                ("ask", {"question": "Why?", "scope": "e99999"}, "e99999"),
                ("job", {"id": "rffffffff"}, "no job 'rffffffff'"),
            ):
                answer = await session.call_tool(tool, arguments)
                assert isinstance(answer, types.CallToolResult)
                assert answer.is_error, (tool, arguments)
                (content,) = answer.content
                assert isinstance(content, types.TextContent)
                assert cure in content.text
                assert "Traceback" not in content.text
            assert "session:" in await ask(session, "status")

    anyio.run(talk)


def test_the_other_tools_answer_while_a_cell_burns(recorded_session: Path) -> None:
    """A loop, an exploding pattern, a giant allocation run in a process of their own; each ends, none holds others."""
    burning = (
        "while True: pass",
        "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
    )

    async def talk() -> None:
        async with serving("--transcript", str(recorded_session)) as session:
            for code in burning:
                told: list[str] = []

                async def burn(code: str = code, told: list[str] = told) -> None:
                    told.append(await ask(session, "repl", code=code, timeout_seconds=1.5))

                async with anyio.create_task_group() as group:
                    group.start_soon(burn)
                    for _ in range(5):
                        assert "session:" in await ask(session, "status")
                    assert not told
                assert "1.5" in told[0] or "ended" in told[0]
            assert "MemoryError" in await ask(session, "repl", code="b = bytearray(3 << 30)")
            assert (await ask(session, "repl", code="6 * 7")).startswith("42\n")

    anyio.run(talk)


def test_a_cancelled_cell_stops_and_keeps_what_it_assigned(recorded_session: Path) -> None:
    """The client's Escape ends the work, not only the wait; the next Cell runs at once."""

    async def talk() -> None:
        async with serving("--transcript", str(recorded_session)) as session:
            await ask(session, "repl", code="n = 0")
            with anyio.move_on_after(0.5):
                await ask(session, "repl", code="n = 1\nwhile True: pass", timeout_seconds=120)
            assert (await ask(session, "repl", code="n", timeout_seconds=20)).startswith("1\n")

    anyio.run(talk)


def test_cells_sent_at_once_run_in_the_order_they_were_sent(recorded_session: Path) -> None:
    """A reply may hold many calls, and clients send those of read-only tools all at once: each builds on the last."""
    codes = ["import time\ntime.sleep(0.2)\nseen = [0]", *(f"seen.append({number})" for number in range(1, 12)), "seen"]
    calls = [
        {
            "jsonrpc": "2.0",
            "id": 10 + n,
            "method": "tools/call",
            "params": {"name": "repl", "arguments": {"code": code}},
        }
        for n, code in enumerate(codes)
    ]
    process = started("--transcript", str(recorded_session))
    sent(process, *HANDSHAKE, *calls)
    answers = {answer["id"]: answer for answer in (line_from(process) for _ in range(1 + len(calls)))}
    text = answers[9 + len(calls)]["result"]["content"][0]["text"]
    assert text.startswith(f"{list(range(12))}\n[c{len(codes)}")
    process.communicate(timeout=30)


def test_codex_is_told_to_send_cells_one_by_one(recorded_session: Path) -> None:
    """It mixes up the order of calls of read-only tools; it asks its user nothing about one that destroys nothing."""
    handshake = json.loads(json.dumps(HANDSHAKE))
    handshake[0]["params"]["clientInfo"]["name"] = "codex-mcp-client"
    process = started("--transcript", str(recorded_session))
    sent(process, *handshake, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    line_from(process)
    told = {tool["name"]: tool["annotations"] for tool in line_from(process)["result"]["tools"]}
    assert [name for name, hints in told.items() if not hints["readOnlyHint"]] == ["repl", "load", "ask"]
    assert not any(hints["destructiveHint"] for hints in told.values())
    assert [name for name, hints in told.items() if hints["openWorldHint"]] == ["ask"]
    process.communicate(timeout=30)


def test_what_the_client_writes_is_there_at_the_next_call(recorded_session: Path, tmp_path: Path) -> None:
    """New records of a running session are seen without a restart."""
    transcript = tmp_path / "growing.jsonl"
    lines = recorded_session.read_bytes().splitlines(keepends=True)
    transcript.write_bytes(b"".join(lines[:60]))

    async def talk() -> None:
        async with serving("--transcript", str(transcript)) as session:
            before = await ask(session, "search", query="All three cases answer 422", mode="phrase")
            assert "nothing matches" in before
            with transcript.open("ab") as file:
                file.writelines(lines[60:])
            after = await ask(session, "search", query="All three cases answer 422", mode="phrase")
            assert "404 is only for other paths" in after

    anyio.run(talk)


def test_the_transcript_is_ingested_before_anyone_asks(recorded_session: Path) -> None:
    """The tail has the session in the store though no tool was called."""

    async def talk() -> None:
        async with serving("--transcript", str(recorded_session)):
            await anyio.to_thread.run_sync(lambda: until(lambda: b"237e5a5c" in status()))

    anyio.run(talk)


def status() -> bytes:
    command = [sys.executable, "-m", "rlm_mcp", "status"]
    return subprocess.run(command, env=environment(), cwd=ROOT, check=True, capture_output=True).stdout


def test_each_call_of_codex_gets_the_session_of_its_thread(tmp_path: Path) -> None:
    """``_meta.threadId`` names the rollout; two threads of one server are kept apart."""
    folder = tmp_path / "sessions" / "2026" / "11" / "22"
    folder.mkdir(parents=True)
    threads = []
    for name in ("compact-local-0", "tools-0"):
        recorded = (ROOT / "tests" / "fixtures" / "codex" / f"{name}.jsonl").read_bytes()
        threads.append(json.loads(recorded.splitlines()[0])["payload"]["id"])
        (folder / f"rollout-2026-11-22T06-00-00-{threads[-1]}.jsonl").write_bytes(recorded)

    async def talk() -> None:
        async with serving(environ=environment(CODEX_HOME=str(tmp_path)), cwd=tmp_path) as session:
            for thread in (*threads, *threads):
                answer = await session.call_tool("status", {}, meta={"threadId": thread})
                assert isinstance(answer, types.CallToolResult)
                (content,) = answer.content
                assert isinstance(content, types.TextContent)
                assert f"(codex {thread})" in content.text

    assert len(set(threads)) == 2
    anyio.run(talk)


def test_a_hostile_pattern_holds_up_nobody(recorded_session: Path) -> None:
    """It is answered or refused, and other calls are answered beside it."""
    patterns = ("(a+)+$", "(x|x|x)*y", "(?:.*)*=(?:.*)*", "[" * 500, "(?=look)ahead")

    async def talk() -> None:
        async with serving("--transcript", str(recorded_session)) as session, anyio.create_task_group() as group:
            for pattern in patterns:
                group.start_soon(session.call_tool, "search", {"query": pattern, "mode": "regex"})
            with anyio.fail_after(30):
                assert "session:" in await ask(session, "status")

    anyio.run(talk)


def test_without_a_session_it_says_what_to_do(tmp_path: Path) -> None:
    """A folder nobody worked in: an error with the cure, not an empty answer."""

    async def talk() -> None:
        async with serving(cwd=tmp_path) as session:
            answer = await session.call_tool("status", {})
            assert isinstance(answer, types.CallToolResult)
            assert answer.is_error
            (content,) = answer.content
            assert isinstance(content, types.TextContent)
            assert "rlm-mcp install" in content.text

    anyio.run(talk)


def test_standard_output_carries_the_protocol_alone(recorded_session: Path) -> None:
    """Every line on it is JSON-RPC; and the process ends when its input does, with exit code 0."""
    with started("--transcript", str(recorded_session)) as process:
        call = {"name": "brief", "arguments": {}}
        sent(process, *HANDSHAKE, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call})
        answers = [line_from(process), line_from(process)]
        assert [answer["id"] for answer in answers] == [1, 2]
        assert answers[1]["result"]["content"][0]["text"].startswith("# rlm-mcp brief")
        rest, _complaints = process.communicate(timeout=30)
        assert rest == b""
        assert process.returncode == 0


def test_it_ends_with_a_client_that_was_killed(recorded_session: Path, tmp_path: Path) -> None:
    """Though another process still holds its pipes open, it sees that its parent is gone."""
    script = (
        "import subprocess, sys, time\n"
        "server = subprocess.Popen([sys.executable, '-m', 'rlm_mcp', 'serve', '--transcript', sys.argv[1]])\n"
        "open(sys.argv[2], 'w').write(str(server.pid))\n"
        "server.wait()\n"
    )
    noted = tmp_path / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(recorded_session), str(noted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    ) as client:
        sent(client, *HANDSHAKE)
        assert line_from(client)["id"] == 1
        server = int(noted.read_text())
        client.kill()
        client.wait()
        until(lambda: not _is_running(server))  # its input is still open: we hold it


def _is_running(process_id: int) -> bool:
    stat = Path(f"/proc/{process_id}/stat")
    if stat.exists():
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc/self").exists()


@pytest.mark.parametrize("way", ["SIGTERM", pytest.param("SIGHUP", marks=_NOHUP), "input"])
def test_it_ends_in_order_with_questions_under_way(recorded_session: Path, way: str) -> None:
    """By a signal, or with its input: the run is noted as cancelled, nothing is asked any more, variables are kept."""
    held = programs("FINAL(llm_query_batched([f'{n}?' for n in range(100)]))", sub=lambda _: Answer(seconds=3600))
    with running_endpoint(held) as endpoint:
        environ = {**environment(OPENAI_BASE_URL=endpoint.url, OPENAI_API_KEY=KEY), "RLM_MCP_ASK_WAIT_SECONDS": "0"}
        calls = [("repl", {"code": "x = 41"}), ("ask", {"question": "Which was best?"})]
        with started("--transcript", str(recorded_session), environ=environ) as process:
            sent(process, *HANDSHAKE)
            line_from(process)
            for number, (tool, arguments) in enumerate(calls, start=2):
                call = {"name": tool, "arguments": arguments}
                sent(process, {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
                assert line_from(process)["id"] == number
            endpoint.wait_for(lambda now: now.under_way >= 8)
            asked = len(endpoint.requests)
            if way == "input":
                assert process.stdin is not None
                process.stdin.close()
            else:
                process.send_signal(getattr(signal, way))
            assert process.wait(timeout=60) == 0
        assert len(endpoint.requests) == asked
    assert "cancelled" in run_line("runs")
    assert run_line("repl", "--transcript", str(recorded_session), "-c", "x") == "41\n"


def run_line(*arguments: str) -> str:
    command = [sys.executable, "-m", "rlm_mcp", *arguments]
    return subprocess.run(command, env=environment(), cwd=ROOT, check=True, capture_output=True).stdout.decode()


def test_ctrl_c_in_the_clients_terminal_does_not_end_it(recorded_session: Path) -> None:
    """The signal goes to the whole terminal group, and is meant for the client."""
    with started("--transcript", str(recorded_session)) as process:
        sent(process, *HANDSHAKE)
        assert line_from(process)["id"] == 1
        process.send_signal(signal.SIGINT)
        sent(process, {"jsonrpc": "2.0", "id": 2, "method": "ping"})
        assert line_from(process)["id"] == 2
        process.communicate(timeout=30)


def test_thread_ids_are_taken_from_well_formed_metadata_only() -> None:
    """Anything odd counts as none."""
    assert thread_id({"_meta": {"threadId": "abc"}}) == "abc"
    for odd in (None, {}, {"_meta": None}, {"_meta": {"threadId": 3}}, {"_meta": "abc"}):
        assert thread_id(odd) == ""


def test_the_tool_list_is_small() -> None:
    """Under 8 KB on the wire, descriptions and metadata included."""
    listed = [tool.model_dump_json(by_alias=True, exclude_none=True) for tool in tool_list()]
    assert sum(len(text) for text in listed) < 6_500
