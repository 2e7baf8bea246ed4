"""rlm_mcp.cli.question: ask, runs and run from a shell, with a scripted endpoint as the models."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.config import read_paths
from rlm_mcp.wiring import wire
from tests.asked import FIND_IT, KEY, NEEDLE, SECRET, a_log, environment, programs
from tests.cli.rig import ROOT, CommandLine, Said, shell
from tests.cli.terminal import Terminal
from tests.server.rig import until
from tests.sublm.endpoint import Answer, Endpoint, Fault, Script, running_endpoint

Serving = Callable[[Script], Endpoint]
RECORD = {"answer", "status", "calls", "tokens", "usd", "cached", "refs", "run", "error"}


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Starts the endpoint that is asked from then on."""
    for name in ("RLM_MCP_SUBCALL", "CLAUDECODE", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:

        def start(script: Script) -> Endpoint:
            endpoint = stack.enter_context(running_endpoint(script))
            endpoint.models = ("gpt-5-mini",)  # whose price is known
            monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            return endpoint

        yield start


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A text too long for one prompt."""
    return a_log(tmp_path / "server.log")


def asked(cli: CommandLine, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit code and the one object that ``ask --json`` prints."""
    said = cli("ask", "--json", *arguments)
    (line,) = said.out.splitlines()
    found: dict[str, Any] = json.loads(line)
    assert set(found) >= RECORD
    assert said.err == ""
    return said.code, found


def test_a_question_over_a_file_is_answered_with_its_proof(cli: CommandLine, serving: Serving, log: Path) -> None:
    """One object: answer, counts as the endpoint has them, Refs that were checked and can be read, the Run."""
    endpoint = serving(programs(FIND_IT))
    code, found = asked(cli, "-q", "What is the secret word?", "--context", log)
    assert (code, found["answer"], found["status"], found["error"]) == (0, SECRET, "ok", None)
    assert (found["calls"], found["cached"]) == (1, 0)
    assert found["tokens"] == {"in": endpoint.tokens_in, "out": endpoint.tokens_out}
    assert found["usd"] == round((endpoint.tokens_in * 0.25 + endpoint.tokens_out * 2.0) / 1e6, 6)
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"
    (ref,) = found["refs"]
    assert cli("read", ref).out == f"secret word is {SECRET}"
    assert cli("read", found["run"]).out.startswith(SECRET)


def test_the_same_question_again_costs_nothing(cli: CommandLine, serving: Serving, log: Path) -> None:
    """The answer, its proof and the count of what was there already."""
    endpoint = serving(programs(FIND_IT))
    _code, first = asked(cli, "-q", "What is the secret word?", "--context", log)
    code, again = asked(cli, "-q", "What is the secret word?", "--context", log)
    assert (code, again["answer"], again["refs"]) == (0, first["answer"], first["refs"])
    assert (again["calls"], again["cached"], again["usd"]) == (0, 1, 0.0)
    assert again["tokens"] == {"in": 0, "out": 0}
    assert len(endpoint.requests) == 1


def test_models_are_named_and_sub_calls_counted(cli: CommandLine, serving: Serving, log: Path) -> None:
    """``--model`` leads, ``--sub-model`` is asked by the code; the price of neither is known, which is said."""
    endpoint = serving(programs('FINAL(llm_map(context.splitlines()[:7], "About: {item}")[0])', sub=lambda _: "login"))
    code, found = asked(cli, "-q", "What about?", "--context", log, "--model", "big-one", "--sub-model", "small-one")
    assert (code, found["answer"], found["calls"], found["usd"]) == (0, "login", 8, None)
    assert [seen.body["model"] for seen in endpoint.requests] == ["big-one"] + ["small-one"] * 7
    assert "price unknown" in cli("ask", "-q", "What about?", "--context", log, "--model", "big-one").out


def test_several_files_are_a_list(cli: CommandLine, serving: Serving, tmp_path: Path) -> None:
    """In the order they are given."""
    one, two = a_log(tmp_path / "one.log", needle="here is nothing"), a_log(tmp_path / "two.log")
    serving(programs('FINAL(str([type(context).__name__, *("secret word" in text for text in context)]))'))
    _code, found = asked(cli, "-q", "Which one?", "--context", one, "--context", two)
    assert found["answer"] == "['list', False, True]"


@pytest.mark.parametrize("how", ["pipe", "file", "named"])
def test_what_is_piped_in_is_asked_about(serving: Serving, log: Path, how: str) -> None:
    """``-`` and what a shell makes of ``<(command)``; asked again, it is the same text of the same name."""
    endpoint = serving(programs(FIND_IT))
    given = "/dev/fd/0" if how == "named" else "-"
    for cached in (0, 1):
        with log.open("rb") as file, _asking("--context", given, stdin=file if how == "file" else -1) as asking:
            out, err = asking.communicate(None if how == "file" else log.read_bytes(), timeout=60)
        found = json.loads(out)
        assert (asking.returncode, found["answer"], found["cached"], err) == (0, SECRET, cached, b"")
        assert len(found["refs"]) == 1
    assert len(endpoint.requests) == 1


def test_ctrl_c_while_a_pipe_is_read_is_told_as_the_one_object(serving: Serving) -> None:
    """Nothing was asked yet."""
    endpoint = serving(programs(FIND_IT))
    with _asking("--context", "-", stdin=subprocess.PIPE) as asking:
        assert asking.stdin is not None
        asking.stdin.write(b"line\n" * 100_000)  # more than a pipe holds: it is read by now
        asking.stdin.flush()
        asking.send_signal(signal.SIGTERM)
        out, err = asking.communicate(timeout=60)
    found = json.loads(out)
    assert (asking.returncode, found["status"], found["error"]["type"], err) == (143, "cancelled", "Cancelled", b"")
    assert endpoint.requests == []


def test_standard_input_is_read_once(cli: CommandLine, serving: Serving) -> None:
    """Twice would be once, and nothing."""
    endpoint = serving(programs(FIND_IT))
    code, found = asked(cli, "-q", "What?", "--context", "-", "--context", "-")
    assert (code, found["status"]) == (2, "usage")
    assert "can be read once" in found["error"]["message"]
    assert endpoint.requests == []


def test_a_link_that_is_named_leads_to_its_file(cli: CommandLine, serving: Serving, log: Path) -> None:
    """As everywhere at a shell."""
    serving(programs(FIND_IT))
    link = log.with_name("latest.log")
    link.symlink_to(log)
    assert asked(cli, "-q", "What is the secret word?", "--context", link)[1]["answer"] == SECRET


def test_a_small_text_takes_one_call(cli: CommandLine, serving: Serving, tmp_path: Path) -> None:
    """The whole text is in its prompt; its quotes are checked as well, and what is not there is no source."""
    said = json.dumps({"answer": SECRET, "quotes": [f"secret word is {SECRET}", "made up"]})
    endpoint = serving(lambda _seen: Answer(text=said))
    log = a_log(tmp_path / "small.log", lines=40)
    code, found = asked(cli, "-q", "What is the secret word?", "--context", log)
    assert (code, found["answer"], found["way"], found["calls"], len(found["refs"])) == (0, SECRET, "one call", 1, 1)
    assert NEEDLE in endpoint.prompts[0]
    told = cli("ask", "-q", "What is the secret word?", "--context", log).out
    assert "1 quote was not found" in told
    assert "made up" not in told


def test_what_search_answers_needs_no_model(
    cli: CommandLine, recorded_session: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A typed question over a session: no call, no endpoint, no key."""
    _nobody_there(monkeypatch, tmp_path)
    code, found = asked(cli, "-q", "which commands failed?", "--transcript", recorded_session)
    assert (code, found["status"], found["way"], found["calls"], found["tokens"]["in"]) == (0, "ok", "search", 0, 0)
    assert found["refs"]
    (line,) = cli("runs", "--transcript", recorded_session).out.splitlines()
    assert line.startswith(found["run"])
    assert "  search    0 calls, 0 + 0 tokens, $0.0000  which commands failed?" in line
    shown = cli("run", found["run"]).out
    assert "ok  by search  " in shown
    assert json.loads(cli("run", found["run"], "--json").out)["way"] == "search"


def test_a_session_is_asked_as_the_model_sees_it(cli: CommandLine, serving: Serving, recorded_session: Path) -> None:
    """``session`` and its text; a quote's Ref can be read in that session."""
    serving(programs('hit = session.grep("UnicodeDecodeError")[0]\nFINAL(len(session.turns), quotes=[hit.line])'))
    code, found = asked(cli, "-q", "How long was it?", "--transcript", recorded_session)
    assert (code, found["answer"]) == (0, "7")
    assert "UnicodeDecodeError" in cli("read", found["refs"][0], "--transcript", recorded_session).out


def test_documents_and_refs_are_scopes(cli: CommandLine, serving: Serving, recorded_session: Path, log: Path) -> None:
    """``--scope docs`` is a list of what was loaded; Refs are their texts."""
    serving(programs("FINAL(f'{type(context).__name__} {len(context)}')"))
    here = ("--transcript", recorded_session)
    assert cli("load", log, *here).code == 0
    _code, docs = asked(cli, "-q", "How many?", "--scope", "docs", *here)
    assert docs["answer"] == "list 1"
    _code, one = asked(cli, "-q", "How much?", "--scope", "t2", *here)
    whole = cli("read", "t2", "--all", *here).out
    assert one["answer"] == f"str {len(whole)}"
    code, none = asked(cli, "-q", "How much?", "--scope", "e99999", *here)
    assert (code, none["status"], none["error"]["type"]) == (2, "usage", "RefError")


def test_an_estimate_asks_nobody(cli: CommandLine, serving: Serving, log: Path, tmp_path: Path) -> None:
    """Which way it would go and what it can cost at most."""
    endpoint = serving(programs(FIND_IT))
    small = a_log(tmp_path / "small.log", lines=40)
    found = json.loads(cli("ask", "-q", "Which?", "--context", log, "--estimate", "--max-usd", "0.5", "--json").out)
    assert (found["way"], found["usd"], found["calls"]) == ("run", 0.5, 200)
    assert "fit into one call" in cli("ask", "-q", "Which?", "--context", small, "--estimate").out
    unknown = ("--model", "gpt-5", "--sub-model", "nobody-knows")
    assert "price unknown" in cli("ask", "-q", "Which?", "--context", log, "--estimate", *unknown).out
    assert endpoint.requests == []
    assert "no runs yet" in cli("runs").out


def test_an_estimate_needs_nobody_to_ask(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: Path
) -> None:
    """It plans all the same, and says who is missing, with the cure; a model that is named has its price."""
    _nobody_there(monkeypatch, tmp_path)
    small = a_log(tmp_path / "small.log", lines=40)
    asking = ("ask", "-q", "Which?", "--estimate", "--context")
    said = cli(*asking, log)
    assert (said.code, said.err) == (0, "")
    plan, missing = said.out.splitlines()
    assert plan.startswith("a run over ")
    assert "with a model: at most 200 calls, 2,000,000 tokens, price unknown" in plan
    assert missing.startswith("nobody is there to be asked yet: no model to ask is set up; set OPENAI_BASE_URL ")
    said = cli(*asking, small, "--json")
    found = json.loads(said.out)
    assert (said.code, found["way"], found["model"], found["usd"]) == (0, "one call", "", None)
    assert found["tokens"] > 1_024
    assert "OPENAI_BASE_URL" in found["missing"]
    found = json.loads(cli(*asking, small, "--json", "--model", "gpt-5-mini").out)
    assert 0 < found["usd"] < 0.01
    assert "no runs yet" in cli("runs").out


@pytest.mark.parametrize(
    ("limits", "status", "calls"),
    [
        (["--max-calls", "0"], "calls", 0),
        (["--max-calls", "4"], "calls", 4),
        (["--max-tokens", "300"], "tokens", 0),
        (["--max-tokens", "9000"], "tokens", None),
        (["--max-usd", "0"], "usd", 0),
        (["--max-usd", "0.01"], "usd", None),
        (["--max-seconds", "1.5"], "seconds", None),
        (["--max-depth", "0"], "depth", None),
    ],
)
def test_a_limit_that_is_reached_is_no_answer(
    cli: CommandLine, serving: Serving, log: Path, limits: list[str], status: str, calls: int | None
) -> None:
    """Typed, exit code 1, with what there was; nothing is sent beyond it."""
    code_of = {
        "seconds": "while True: pass",
        "depth": 'FINAL(rlm_query("What?", context[:1000]))',
    }
    many = 'answers = [llm_query(f"{n}: " + line) for n, line in enumerate(context.splitlines())]\nFINAL(answers)'
    endpoint = serving(programs(code_of.get(status, many), sub=lambda _: Answer(tokens_out=1_500)))
    code, found = asked(cli, "-q", "What?", "--context", log, *limits)
    assert (code, found["answer"], found["status"], found["cached"]) == (1, "", status, 0)
    assert found["error"]["message"]
    assert found["calls"] == len(endpoint.requests)
    if calls is not None:
        assert len(endpoint.requests) == calls
    spent = found["tokens"]["in"] + found["tokens"]["out"]
    if status == "tokens":
        assert spent <= int(limits[1])
    if status == "usd":
        assert found["usd"] <= float(limits[1])


def test_where_the_price_is_unknown_tokens_rule(cli: CommandLine, serving: Serving, log: Path) -> None:
    """No dollar can be counted, so a cap of dollars cannot hold it, and that of tokens does."""
    serving(programs('FINAL([llm_query(f"{n}") for n in range(1000)])', sub=lambda _: Answer(tokens_out=1_500)))
    limits = ("--model", "nobody-knows", "--max-usd", "0.01", "--max-tokens", "9000")
    code, found = asked(cli, "-q", "What?", "--context", log, *limits)
    assert (code, found["status"], found["usd"]) == (1, "tokens", None)


def test_nobody_to_ask_is_said_with_the_cure(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: Path
) -> None:
    """One line; or the same one object."""
    _nobody_there(monkeypatch, tmp_path)
    said = cli("ask", "-q", "What?", "--context", log)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "OPENAI_BASE_URL" in said.err
    code, found = asked(cli, "-q", "What?", "--context", log)
    assert (code, found["status"], found["error"]["type"]) == (1, "model", "SubLMUnavailable")


def test_an_endpoint_that_is_down_is_tried_a_few_times(cli: CommandLine, serving: Serving, log: Path) -> None:
    """And all within the limit of time."""
    dead = serving(lambda _seen: Answer(fault=Fault.DEAD))
    code, found = asked(cli, "-q", "What?", "--context", log, "--max-seconds", "20")
    assert (code, found["status"], found["error"]["type"], found["answer"]) == (1, "model", "SubLMBusy", "")
    assert found["calls"] == len(dead.requests) <= 5
    busy = serving(lambda _seen: Answer(status=429, retry_after="0.6"))
    code, found = asked(cli, "-q", "What?", "--context", log, "--max-seconds", "2")
    assert (code, found["error"]["type"]) == (1, "SubLMBusy")
    assert found["failed"] == found["calls"] == len(busy.requests) <= 5


@pytest.mark.parametrize(
    "arguments",
    [
        ["-q", "What?", "--context", "no-such-file"],
        ["-q", "", "--context", "LOG"],
        ["-q", "What?", "--context", "LOG", "--max-calls", "-1"],
        ["-q", "What?", "--session", "no-such-session"],
        ["--context", "LOG"],
    ],
)
def test_a_wrong_call_ends_with_2(cli: CommandLine, serving: Serving, log: Path, arguments: list[str]) -> None:
    """One line that says what is wrong; nobody is asked."""
    endpoint = serving(programs(FIND_IT))
    said = cli("ask", *(str(log) if word == "LOG" else word for word in arguments))
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("rlm-mcp: ")
    assert "Traceback" not in said.err
    assert endpoint.requests == []


_NOHUP = pytest.mark.skipif(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="SIGHUP is ignored here")


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=_NOHUP)],
)
def test_ctrl_c_and_its_kind_keep_what_there_was(
    serving: Serving, log: Path, number: signal.Signals, exit_code: int
) -> None:
    """The exit code of shells; the one object with the Run's last steps; and nothing is sent any more."""
    code = "print('seen so far: 7')\nFINAL(llm_query_batched([f'{n}?' for n in range(100)]))"
    endpoint = serving(programs(code, sub=lambda _prompt: Answer(seconds=3600)))
    with _asking("--context", log) as asking:
        endpoint.wait_for(lambda now: now.under_way >= 8)
        asking.send_signal(number)
        out, err = asking.communicate(timeout=60)
    found = json.loads(out)
    assert (asking.returncode, found["status"], found["answer"], err) == (exit_code, "cancelled", "", b"")
    assert (found["calls"], found["abandoned"], found["tokens"]["out"]) == (9, 8, endpoint.tokens_out)
    assert "seen so far: 7" in found["partial"]
    assert len(endpoint.requests) == 9


def test_a_program_that_is_asked_ends_with_sigterm(tmp_path: Path, log: Path) -> None:
    """``claude -p`` is ended and its folder removed; the run is told as cancelled, not as lost."""
    folders, binaries, noted = tmp_path / "folders", tmp_path / "bin", tmp_path / "noted"
    folders.mkdir()
    binaries.mkdir()
    claude = binaries / "claude"
    claude.write_text(f"#!/bin/sh\necho $$ > {noted}.new; mv {noted}.new {noted}; exec sleep 600\n")
    claude.chmod(0o755)
    environ = environment(None, tmp_path, PATH=f"{binaries}:/usr/bin:/bin", TMPDIR=str(folders))
    with _asking("--context", log, environ={**environ, "RLM_MCP_SUB_BACKEND": "claude"}) as asking:
        until(noted.exists)
        asking.terminate()
        out, err = asking.communicate(timeout=60)
    assert (asking.returncode, json.loads(out)["status"], err) == (143, "cancelled", b"")
    until(lambda: not Path(f"/proc/{noted.read_text().strip()}").exists())
    assert list(folders.iterdir()) == []
    assert "cancelled" in shell("runs", **{**environ, "PATH": os.environ["PATH"]}).stdout.decode()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--context", "no-such-file"], "no-such-file"),
        (["--context", "LOG", "--max-calls", "many"], "many"),
        (["--context", "LOG", "--max-calls", "-1"], "-1"),
        (["--context", "LOG", "--max-usd", "nan"], "'nan' is no amount; give a number such as 0.5"),
        (["--context", "LOG", "--max-usd", "inf"], "'inf' is no amount"),
        (["--context", "LOG", "--max-seconds", "nan"], "'nan' is no amount"),
        (["--no-such-option"], "--no-such-option"),
        (["--transcript", "a", "--session", "b"], "not both"),
    ],
)
def test_a_wrong_call_is_told_as_the_one_object_too(
    cli: CommandLine, serving: Serving, log: Path, wrong: list[str], said: str
) -> None:
    """Whether click or we find the mistake; ``summarize`` as ``ask``. Nobody is asked."""
    endpoint = serving(programs(FIND_IT))
    arguments = [str(log) if word == "LOG" else word for word in wrong]
    for command in (("ask", "-q", "What?"), ("summarize",)):
        told = cli(*command, "--json", *arguments)
        found = json.loads(told.out)
        assert set(found) >= RECORD
        assert (told.code, told.err, found["status"], found["answer"], found["calls"]) == (2, "", "usage", "", 0)
        assert found["error"]["type"] == "UsageError"
        assert said in found["error"]["message"]
    assert endpoint.requests == []


def test_the_key_is_nowhere(cli: CommandLine, serving: Serving, log: Path) -> None:
    """Not in what is printed, not in any file of ours, though the endpoint says it back."""
    code = "print(llm_query(context[:100]))\nFINAL(llm_query('again'))"
    told = programs(code, sub=lambda _: f"Your key: {KEY}")
    endpoint = serving(told)
    a_log(log, needle=f"OPENAI_API_KEY={KEY}")
    arguments = ("-q", f"Is {KEY} the key?", "--context", log)
    said = [cli("ask", *arguments), cli("ask", "--json", *arguments), cli("runs", "--json")]
    said.append(cli("run", json.loads(said[1].out)["run"], "--json"))
    serving(lambda _seen: Answer(status=401, message=f"bad key {KEY}"))
    said.append(cli("ask", "-q", "Another?", "--context", log))
    assert all(KEY not in one.out + one.err for one in said)
    assert all(KEY not in prompt for prompt in endpoint.prompts)
    kept = [file for file in read_paths().home.rglob("*") if file.is_file() and file.parent.name != "documents"]
    assert [file for file in kept if KEY.encode() in file.read_bytes()] == []


CHILD = """\
print("looking")
part = rlm_query("What is it?", context[:1000])
FINAL(part + "!")"""


@pytest.fixture
def a_tree(cli: CommandLine, serving: Serving, log: Path) -> str:
    """The id of a Run with a child, which asked a model."""
    asking = serving(programs(CHILD))
    in_order = iter((CHILD, 'FINAL(llm_query("Which?" + context))'))
    asking.script = lambda seen: (
        programs(next(in_order, "FINAL(1)"), sub=lambda _: "heard")(seen)
        if ("```repl" in seen.system)
        else Answer(text="heard")
    )
    _code, found = asked(cli, "-q", "Ask a child", "--context", log)
    assert found["answer"] == "heard!"
    assert found["calls"] == 3
    run: str = found["run"]
    return run


def test_a_run_is_shown_as_a_tree(cli: CommandLine, a_tree: str) -> None:
    """Each Run with its steps, cost and end; found by the beginning of its id; its steps only if wanted."""
    told = cli("run", a_tree[:5]).out
    for word in (a_tree, "Ask a child", "= heard!", '>>> print("looking")', "looking", "What is it?", "= heard"):
        assert word in told
    assert ">>>" not in cli("run", a_tree, "--no-steps").out
    found = json.loads(cli("run", a_tree, "--json").out)
    (child,) = found["runs"]
    assert (found["answer"], child["answer"], child["depth"], child["parent"]) == ("heard!", "heard", 1, a_tree)
    assert (found["spent"]["calls"], found["spent_alone"]["calls"], child["spent"]["calls"]) == (3, 1, 2)
    assert found["spent"] == json.loads(cli("runs", "--json").out)["spent"]
    assert (child["step"], child["place"]) == (1, 1)
    assert found["steps"][0]["code"] == CHILD


def test_a_run_is_played_again(cli: CommandLine, serving: Serving, a_tree: str) -> None:
    """With all below it: the same answer, nobody asked, nothing noted. What is not kept any more ends it otherwise."""
    endpoint = serving(programs("FINAL('something else')"))
    before = [cli("runs", "--json").out, cli("run", a_tree, "--json").out]
    said = cli("run", a_tree, "--replay")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{a_tree} played again in ")
    assert "nobody was asked: the same answer\n" in said.out
    record = json.loads(cli("run", a_tree, "--replay", "--json").out)
    assert (record["run"], record["is_same"], record["now"]["answer"]) == (a_tree, True, record["then"]["answer"])
    with wire() as stores, stores.lend() as store, store.writing() as connection:
        connection.execute("DELETE FROM reply")
    said = cli("run", a_tree, "--replay")
    assert said.code == 1
    assert "another end\nthen: heard!\nnow: no answer (the model could not be asked: " in said.out
    assert json.loads(cli("run", a_tree, "--replay", "--json").out)["is_same"] is False
    assert before == [cli("runs", "--json").out, cli("run", a_tree, "--json").out]
    assert endpoint.requests == []
    assert cli("run", "rffffffff", "--replay").code == 2


def test_runs_are_listed_with_what_they_cost(cli: CommandLine, a_tree: str) -> None:
    """Those at the top alone, with all that was spent below them."""
    (line,) = cli("runs").out.splitlines()
    assert line.startswith(a_tree)
    assert "3 calls" in line
    found = json.loads(cli("runs", "--json").out)
    assert (found["id"], found["question"], found["spent"]["calls"]) == (a_tree, "Ask a child", 3)


def test_status_tells_what_was_spent(cli: CommandLine, serving: Serving, recorded_session: Path) -> None:
    """By the session and today: calls, tokens (those of root models too), dollars, caps; nothing where nobody asked."""
    here = ("--transcript", recorded_session)
    assert "asked" not in cli("status", *here).out
    endpoint = serving(programs("FINAL(llm_query(context[:100]))"))
    asked(cli, "-q", "What is it?", *here)
    told = cli("status", *here).out
    assert f"asked by this session: 2 calls, {endpoint.tokens_in} + {endpoint.tokens_out} tokens, $0.00" in told
    assert "asked today: 2 calls" in told
    assert "(caps 10,000,000 tokens, $10.00)" in told
    found = json.loads(cli("status", *here, "--json").out)
    assert found["spent"]["tokens_in"] == found["spent_today"]["tokens_in"] == endpoint.tokens_in
    root = endpoint.served[0]
    assert found["root_tokens"] == root.tokens_in + root.tokens_out
    assert found["caps"]["day_usd"] == 20.0


def test_no_such_run_is_a_mistake(cli: CommandLine, a_tree: str) -> None:
    """Also where there are two of that beginning."""
    for wrong in ("rffffffff", "r" if a_tree else "", ""):
        said: Said = cli("run", wrong)
        assert (said.code, said.out) == (2, "")
        assert "rlm-mcp runs" in said.err


def test_a_run_is_watched_live(serving: Serving, log: Path) -> None:
    """From another terminal: while it goes on, until its end."""
    holding = serving(programs("print('first look')", FIND_IT))
    plain = holding.script
    with Terminal("ask", "-q", "What is the secret word?", "--context", log) as asking:
        holding.script = lambda seen: Answer(seconds=3600) if len(seen.messages) > 2 else plain(seen)
        holding.wait_for(lambda now: len(now.requests) == 2)
        with wire() as stores, stores.lend() as store:
            (run,) = [row["id"] for row in store.connection.execute("SELECT id FROM run")]
        with Terminal("run", run) as watching:
            watching.until("first look")
            asking.type("\x03")
            assert asking.end()[0] == 130
            code, shown = watching.end()
    assert code == 0
    assert "cancelled" in shown


def _nobody_there(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name, value in environment(None, folder).items():
        monkeypatch.setenv(name, value)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def _asking(*arguments: str | Path, environ: Mapping[str, str] = os.environ, **more: Any) -> subprocess.Popen[bytes]:
    """``rlm-mcp ask --json`` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rlm_mcp", "ask", "-q", "What?", "--json", *map(str, arguments)],
        env={**environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )
