"""The answer made beforehand: served when nothing was said since, never otherwise."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, read_settings
from rlm_mcp.hook import ready
from rlm_mcp.hook.main import run
from rlm_mcp.hook.prepare import prepare
from rlm_mcp.store import folds, sessions
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.locate import locate

FIXTURES = Path(__file__).parents[1] / "fixtures"
HOOK = Path(__file__).parents[2] / "hooks" / "run_hook.py"
MIRRORS = (
    {"type": "compacted", "payload": {"message": ""}},
    {"type": "event_msg", "payload": {"type": "token_count"}},
)
NEWS = {"type": "event_msg", "payload": {"type": "user_message", "message": "and one thing more"}}


@pytest.fixture
def rollout(tmp_path: Path) -> Path:
    return Path(shutil.copy(FIXTURES / "codex" / "tools-0.jsonl", tmp_path / "rollout.jsonl"))


@pytest.fixture
def environ(paths: Paths) -> dict[str, str]:
    return {"RLM_MCP_HOME": str(paths.home)}


def payload(store: Store, rollout: Path, **more: str) -> bytes:
    session = locate(store, transcript=rollout)
    found = {"hook_event_name": "SessionStart", "source": "compact", "session_id": session.client_session}
    return json.dumps({**found, "transcript_path": str(rollout), "cwd": "/", **more}).encode()


def add(rollout: Path, *records: dict[str, object]) -> None:
    with rollout.open("ab") as file:
        file.writelines(json.dumps(record).encode() + b"\n" for record in records)


def test_nothing_is_ready_before_somebody_prepared_it(store: Store, rollout: Path, environ: dict[str, str]):
    """Then the long way is gone."""
    assert ready.answer(payload(store, rollout), environ) == b""


def test_what_is_ready_is_what_the_long_way_says(store: Store, rollout: Path, environ: dict[str, str]):
    """To the byte, and its Fold is recorded the same."""
    call = payload(store, rollout)
    long = run(["codex"], call, environ)
    quick = ready.answer(call, environ)
    assert json.loads(quick) == json.loads(long)
    newest, older = folds.of_session(store, locate(store, transcript=rollout).client_session)
    assert (newest.brief, newest.loss, newest.upto_seq) == (older.brief, older.loss, older.upto_seq)


def test_records_of_the_compaction_itself_are_no_news(store: Store, rollout: Path, environ: dict[str, str]):
    """Codex writes them before the hook is called."""
    call = payload(store, rollout)
    assert prepare(store, locate(store, transcript=rollout))
    add(rollout, *MIRRORS)
    assert ready.answer(call, environ)


def test_anything_said_since_takes_the_long_way(store: Store, rollout: Path, environ: dict[str, str]):
    """An answer that misses the latest word is worse than a slow one."""
    call = payload(store, rollout)
    prepare(store, locate(store, transcript=rollout))
    add(rollout, *MIRRORS, NEWS)
    assert ready.answer(call, environ) == b""


def test_a_rewritten_rollout_takes_the_long_way(store: Store, rollout: Path, environ: dict[str, str]):
    """Its last bytes are compared."""
    call = payload(store, rollout)
    prepare(store, locate(store, transcript=rollout))
    content = rollout.read_bytes()
    rollout.write_bytes(content[:-3] + b"X" + content[-2:])
    assert ready.answer(call, environ) == b""


def test_other_settings_take_the_long_way(store: Store, rollout: Path, environ: dict[str, str], paths: Paths):
    """A Brief of another size was asked for since."""
    call = payload(store, rollout)
    prepare(store, locate(store, transcript=rollout))
    assert ready.answer(call, {**environ, "RLM_MCP_BRIEF_TOKENS": "900"}) == b""
    paths.settings_file.write_text("brief_tokens = 900\n")
    assert ready.answer(call, environ) == b""


@pytest.mark.parametrize("source", ["startup", "resume", "clear"])
def test_only_a_compaction_is_answered(store: Store, rollout: Path, environ: dict[str, str], source: str):
    """A Brief at every start would fill the window it is to spare."""
    prepare(store, locate(store, transcript=rollout))
    assert ready.answer(payload(store, rollout, source=source), environ) == b""


def test_a_claude_code_session_needs_none(store: Store):
    """Its mod brings the messages of the window along."""
    session = locate(store, transcript=next((FIXTURES / "claude").glob("*.jsonl")))
    assert not prepare(store, session)


def test_no_id_leads_out_of_the_folder():
    """Ids come from outside."""
    assert ready.path_of("/home/x", "../../etc/passwd") == ""
    assert ready.path_of("/home/x", "") == ""


def test_the_hook_serves_it_without_reading_the_package(store: Store, rollout: Path, paths: Paths):
    """What makes it quick: neither the verbs nor dataclasses are imported."""
    call = payload(store, rollout)
    prepare(store, locate(store, transcript=rollout))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RLM_MCP_")}
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "importtime", str(HOOK), "codex"],
        input=call,
        capture_output=True,
        env={**environ, "RLM_MCP_HOME": str(paths.home)},
        timeout=60,
        check=True,
    )
    text = json.loads(ended.stdout)["hookSpecificOutput"]["additionalContext"]
    assert text.startswith("# rlm-mcp brief")
    imported = ended.stderr.decode()
    assert "rlm_mcp.verbs" not in imported
    assert "dataclasses" not in imported


def test_a_broken_ready_file_costs_nothing_but_time(store: Store, rollout: Path, paths: Paths):
    """The hook goes the long way, and heals it."""
    call = payload(store, rollout)
    session = locate(store, transcript=rollout)
    path = Path(ready.path_of(str(paths.home), session.client_session))
    path.write_text("{half")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RLM_MCP_")}
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(HOOK), "codex"],
        input=call,
        capture_output=True,
        env={**environ, "RLM_MCP_HOME": str(paths.home)},
        timeout=60,
        check=True,
    )
    assert b"# rlm-mcp brief" in ended.stdout
    assert json.loads(path.read_text())["version"] == ready.VERSION


def test_preparing_reads_the_store_alone(store: Store, rollout: Path, paths: Paths):
    """Whoever ingested may prepare, with a Store of its own."""
    session = locate(store, transcript=rollout)
    with open_store(paths, read_settings(paths, {})) as other:
        found = sessions.by_client_id(other, session.client_session)
        assert found is not None
        assert prepare(other, found)
