"""A Codex hook's answer made beforehand, and the quick way to give it.

Reading this package costs a hook four times what a bare Python costs (about a hundred records to build). So whoever
ingests a Codex rollout leaves the answer its next compaction would get, as ``live/ready-<session>.json``; the hook
serves it when nothing was said since, and makes a new one otherwise. Imports as little as it can: no dataclasses, no
pathlib, nothing of rlm_mcp.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Mapping

VERSION = 1
"""Of the file's shape."""

_PROOF_BYTES = 128
_MOST_SINCE = 8 << 20
_SAYS_NOTHING = frozenset(
    (
        "compacted",
        "turn_context",
        "world_state",
        "token_usage_record",
        "context_compacted",
        "token_count",
        "task_started",
    )
)
"""Rollout records that Codex itself writes at a compaction; anything else means there is news."""


def path_of(home: str, client_session: str) -> str:
    """Where a Session's answer lies; '' for an id that makes no file name."""
    plain = client_session.replace("-", "").replace("_", "")
    return os.path.join(home, "live", f"ready-{client_session}.json") if plain.isalnum() else ""


def proof(transcript: str, offset: int) -> str:
    """The last bytes before ``offset``, in hex: what tells that the file is still the one that was ingested.

    Raises:
        OSError: the file cannot be read.
    """
    with open(transcript, "rb") as file:
        file.seek(max(0, offset - _PROOF_BYTES))
        return file.read(min(_PROOF_BYTES, offset)).hex()


def settings_stamp(home: str, environ: Mapping[str, str]) -> str:
    """What the settings were: the variables and the age of the settings file."""
    named = sorted(f"{name}={value}" for name, value in environ.items() if name.startswith("RLM_MCP_"))
    try:
        age = os.stat(os.path.join(home, "config.toml")).st_mtime_ns
    except OSError:
        age = 0
    return f"{age} {' '.join(each for each in named if not each.startswith('RLM_MCP_HOME='))}"


def answer(payload: bytes, environ: Mapping[str, str]) -> bytes:
    """The reply to a Codex SessionStart(compact) hook, its Fold recorded; empty where none is ready.

    Raises:
        OSError, ValueError, KeyError, sqlite3.Error: what is there cannot be used; the long way may still work.
    """
    call = json.loads(payload)
    if call.get("hook_event_name") != "SessionStart" or call.get("source") != "compact":
        return b""
    home = environ.get("RLM_MCP_HOME") or os.path.expanduser("~/.rlm-mcp")
    path = path_of(home, call["session_id"])
    if not path or not os.path.exists(path):
        return b""
    with open(path, "rb") as file:
        ready = json.loads(file.read())
    if (
        ready["version"] != VERSION
        or ready["transcript"] != os.path.realpath(call["transcript_path"])
        or ready["settings"] != settings_stamp(home, environ)
        or ready["proof"] != proof(ready["transcript"], ready["offset"])
        or _news_since(ready["transcript"], ready["offset"])
    ):
        return b""
    _record(home, ready["fold"])
    return json.dumps(ready["reply"]).encode()


def _news_since(transcript: str, offset: int) -> bool:
    with open(transcript, "rb") as file:
        file.seek(offset)
        since = file.read(_MOST_SINCE + 1)
    if len(since) > _MOST_SINCE:
        return True
    for line in since.splitlines():
        record = json.loads(line)
        kind = record["type"]
        if kind == "event_msg":
            kind = record["payload"]["type"]
        if kind not in _SAYS_NOTHING:
            return True
    return False


def _record(home: str, fold: Mapping[str, object]) -> None:
    began = time.time()
    connection = sqlite3.connect(os.path.join(home, "store.db"), timeout=1.0)
    try:
        with connection:
            connection.execute(
                "INSERT INTO fold (client_session, session_key, time, trigger, instructions, upto_seq, brief, tokens, "
                "loss, seconds) VALUES (:client_session, :session_key, :time, 'codex', '', :upto_seq, :brief, :tokens, "
                ":loss, :seconds)",
                {**fold, "time": began, "seconds": 0.0},
            )
    finally:
        connection.close()
