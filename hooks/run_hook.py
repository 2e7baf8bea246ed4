"""The one guard between a client and rlm-mcp: whatever fails, the client goes on as if we were not there.

Called as ``python -I -S run_hook.py CLIENT [compact]`` with the client's JSON on standard input. On any failure one
line goes to ``$RLM_MCP_HOME/rlm-mcp.log``, the session is marked degraded (``rlm-mcp status`` shows it, the next ingest
heals it), a valid empty reply is printed, and the exit code is 0.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

PACKAGE_FOLDER = ""  # `rlm-mcp install` writes the folder that holds rlm_mcp; empty: the one above this file's
STORE_FOLDER = ""  # and where the store was then; RLM_MCP_HOME says otherwise
LIMIT_SECONDS = 40


def out_of_time(_signal: int, _frame: object) -> None:
    """End whatever runs."""
    raise TimeoutError(f"the hook took longer than {LIMIT_SECONDS} s")


def reply(arguments: list[str], payload: bytes) -> bytes:
    """What rlm_mcp answers; anything may be raised."""
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, out_of_time)
        signal.alarm(LIMIT_SECONDS)
    quick = b""
    if arguments == ["codex"] and not os.environ.get("RLM_MCP_SUBCALL"):
        with contextlib.suppress(Exception):  # what is not ready, or cannot be used, is made the long way
            quick = importlib.import_module("rlm_mcp.hook.ready").answer(payload, os.environ)
    return quick or importlib.import_module("rlm_mcp.hook.main").run(arguments, payload, os.environ)


def empty_reply(arguments: list[str], reason: str) -> bytes:
    """Valid for the client, and changes nothing: the mod then lets the built-in compaction run."""
    return json.dumps({"decline": reason}).encode() if "compact" in arguments[1:] else b""


def session_of(payload: bytes) -> str:
    """The client's id of the session, where the payload can be read that far."""
    with contextlib.suppress(Exception):
        found = json.loads(payload)
        return str(found.get("session_id") or Path(found["transcript_path"]).stem)
    return ""


def note_failure(arguments: list[str], session: str, reason: str) -> None:
    """A line in our own log (with nothing of rlm_mcp, which may be what is broken), then the session's mark."""
    home = Path(os.environ.get("RLM_MCP_HOME") or "~/.rlm-mcp").expanduser()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = f"{stamp} hook {' '.join(arguments)[:80]} session {session[:80]}: {reason}\n"
    log = os.open(home / "rlm-mcp.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(log, line.encode("utf-8", "replace"))
    os.close(log)
    paths = importlib.import_module("rlm_mcp.config").read_paths(os.environ)
    importlib.import_module("rlm_mcp.store.degraded").mark(paths, session, reason, time.time())


def main() -> None:
    """Answer the client."""
    arguments, payload = sys.argv[1:], b""
    sys.path.insert(0, PACKAGE_FOLDER or str(Path(__file__).resolve().parent.parent))
    if STORE_FOLDER:
        os.environ.setdefault("RLM_MCP_HOME", STORE_FOLDER)
    try:
        payload = sys.stdin.buffer.read()
        answer = reply(arguments, payload)
    except BaseException as error:  # the guard: the client must go on, whatever it was
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        answer = empty_reply(arguments, reason)
        with contextlib.suppress(Exception):
            note_failure(arguments, session_of(payload), reason)
    with contextlib.suppress(OSError):  # the client has gone
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
    os._exit(0)
