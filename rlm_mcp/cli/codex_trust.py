"""The person's consent to our hook, given to Codex through its own ``app-server``.

Codex runs a plugin's hook only after consent to exactly this command and these files. ``hooks/list`` tells each hook's
key and hash, ``config/batchWrite`` of ``hooks.state`` keeps the consent in ``config.toml``: what its own review dialog
does. JSON-RPC, one object per line, as seen with 0.169 (``codex app-server generate-json-schema`` prints the shapes).
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_mcp import __version__
from rlm_mcp.errors import ClientError

_SECONDS = 60.0
_CLIENT = {
    "clientInfo": {"name": "rlm-mcp", "title": "rlm-mcp", "version": __version__},
    "capabilities": {"experimentalApi": True},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A hook that Codex knows."""

    key: str
    command: str
    content_hash: str
    """Of the command and, for a plugin, its files."""
    plugin: str
    is_trusted: bool


class AppServer:
    """A running ``codex app-server``; one request at a time."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self._asked = 0
        self.call("initialize", _CLIENT)

    def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one request.

        Raises:
            ClientError: Codex refuses, or ends before it answers.
        """
        number, self._asked = self._asked, self._asked + 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
            for line in self._child.stdout:
                told = json.loads(line)
                if isinstance(told, dict) and told.get("id") == number and "method" not in told:
                    return _result(told, method)
        except (OSError, ValueError) as error:
            raise ClientError(f"'codex app-server' broke off at {method!r} ({error}); try again") from error
        raise ClientError(f"'codex app-server' ended before it answered {method!r}; is this Codex 0.169 or later?")

    def hooks(self, folder: Path) -> list[Hook]:
        """Every hook that would run in ``folder``."""
        listed = self.call("hooks/list", {"cwds": [str(folder)]})
        found = [hook for place in listed.get("data", []) for hook in place.get("hooks", [])]
        return [
            Hook(
                key=str(hook.get("key")),
                command=str(hook.get("command")),
                content_hash=str(hook.get("currentHash")),
                plugin=str(hook.get("pluginId")),
                is_trusted=hook.get("trustStatus") in {"trusted", "managed"} and bool(hook.get("enabled", True)),
            )
            for hook in found
        ]

    def trust(self, hook: Hook) -> None:
        """Keep the person's consent to ``hook``."""
        state = {hook.key: {"trusted_hash": hook.content_hash}}
        edit = {"keyPath": "hooks.state", "value": state, "mergeStrategy": "upsert"}
        self.call("config/batchWrite", {"edits": [edit]})


def _result(told: dict[str, Any], method: str) -> dict[str, Any]:
    if "error" in told:
        raise ClientError(f"'codex app-server' refuses {method!r}: {json.dumps(told['error'])[:400]}")
    result = told.get("result")
    return result if isinstance(result, dict) else {}


@contextmanager
def app_server(binary: Path, environ: Mapping[str, str], folder: Path) -> Iterator[AppServer]:
    """An app-server of ``binary``, ended at the end or after a minute.

    Raises:
        ClientError: it cannot be started, or does not answer.
    """
    try:
        child = subprocess.Popen(
            [binary, "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env=dict(environ),
        )
    except OSError as error:
        raise ClientError(f"{str(binary)!r} cannot be started ({error}); name Codex with --client-binary") from error
    timer = threading.Timer(_SECONDS, child.kill)
    timer.start()
    try:
        yield AppServer(child)
    finally:
        timer.cancel()
        child.kill()
        child.communicate()
