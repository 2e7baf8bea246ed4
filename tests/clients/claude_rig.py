"""Drives the real Claude Code binary, headless or on a terminal, in a throwaway home against a scripted provider."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_mcp.cli import install_claude
from rlm_mcp.config import Paths
from tests.clients.claude_provider import Provider

TOOLS = "mcp__plugin_rlm-mcp_rlm-mcp__"
"""What the client puts before the names of our tools."""
_KEY = "sk-ant-dummy-000000000000000000000000"
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_=>78])")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeHome:
    """A throwaway user: home, client settings, project folder and rlm-mcp store."""

    root: Path
    binary: Path
    url: str
    extra: dict[str, str] = field(default_factory=dict)
    """Further environment."""

    @property
    def config(self) -> Path:
        """``CLAUDE_CONFIG_DIR``."""
        return self.root / "home" / ".claude"

    @property
    def project(self) -> Path:
        """The folder the client works in."""
        return self.root / "project"

    @property
    def store(self) -> Path:
        """``RLM_MCP_HOME``."""
        return self.root / "store"

    def environment(self) -> dict[str, str]:
        """The client's whole environment: nothing of the caller's but PATH and LANG."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "HOME": str(self.root / "home"),
            "CLAUDE_CONFIG_DIR": str(self.config),
            "RLM_MCP_HOME": str(self.store),
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": _KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "IS_SANDBOX": "1",
            **self.extra,
        }

    def prepare(self) -> None:
        """Make the folders, and answer the dialogs of a first interactive start."""
        for folder in (self.config, self.project):
            folder.mkdir(parents=True, exist_ok=True)
        state = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [_KEY[-20:]], "rejected": []},
            "projects": {str(self.project): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
        }
        (self.config / ".claude.json").write_text(json.dumps(state))
        allowed = ["Bash", "Read", "Edit", "Write", "mcp__plugin_rlm-mcp_rlm-mcp"]
        (self.config / "settings.json").write_text(
            json.dumps({"permissions": {"allow": allowed, "defaultMode": "default"}}, indent=2) + "\n"
        )

    def transcripts(self) -> list[Path]:
        """All transcripts the client wrote, oldest first."""
        return sorted(self.config.glob("projects/*/*.jsonl"), key=lambda path: path.stat().st_mtime)


def target_of(home: ClaudeHome) -> install_claude.ClaudeTarget:
    """What ``rlm-mcp install claude`` works on."""
    return install_claude.find_target(Paths(home=home.store), home.environment(), str(home.binary))


def install(home: ClaudeHome) -> None:
    """As a person would, and says yes."""
    for step in install_claude.plan_install(target_of(home)).steps:
        step.apply()


class Headless:
    """A running ``claude -p`` fed through stream-json. Use :func:`headless`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    def say(self, text: str, image: str = "") -> dict[str, Any]:
        """Send a prompt, with a PNG (base64) if one is given; the ``result`` line that ends its turn.

        Raises:
            RuntimeError: the client ended before.
        """
        self.send(text, image)
        return self.result()

    def send(self, text: str, image: str = "") -> None:
        """Send a prompt, and wait for nothing."""
        source = {"type": "base64", "media_type": "image/png", "data": image}
        shown = [{"type": "text", "text": text}, {"type": "image", "source": source}]
        self._write({"type": "user", "message": {"role": "user", "content": shown if image else text}})

    def interrupt(self) -> None:
        """What the client's SDK sends for a person's Escape."""
        self._write({"type": "control_request", "request_id": "interrupt", "request": {"subtype": "interrupt"}})

    def result(self) -> dict[str, Any]:
        """The ``result`` line that ends the turn.

        Raises:
            RuntimeError: the client ended before.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = json.loads(line)
            self.lines.append(found)
            if found["type"] == "result":
                return dict(found)
        raise RuntimeError(f"the client ended with {self.process.wait()} before the turn did")

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    @property
    def session(self) -> str:
        """The client's id of the session."""
        return str(next(line["session_id"] for line in self.lines if "session_id" in line))


@contextmanager
def headless(home: ClaudeHome, *flags: str, limit_seconds: float = 90.0) -> Iterator[Headless]:
    """A client without a terminal; its own errors go to ``<root>/client.err``."""
    command = [str(home.binary), "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
    with (home.root / "client.err").open("a") as errors:
        process = subprocess.Popen(
            [*command, *flags],
            cwd=home.project,
            env=home.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    limit = threading.Timer(limit_seconds, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    try:
        yield Headless(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    finally:
        limit.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


class Interactive:
    """A running client on a pseudo-terminal. Use :func:`interactive`."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self._terminal = terminal
        self._raw = b""

    @property
    def screen(self) -> str:
        """All that was ever written, without control sequences and blanks (the client moves the cursor over them)."""
        return re.sub(r"\s+", "", _ESCAPES.sub("", self._raw.decode("utf-8", "replace")))

    def wait_for(self, text: str, timeout_seconds: float = 30.0) -> None:
        """Read until ``text`` (blanks ignored) stands in what was written since the last :meth:`forget`.

        Raises:
            TimeoutError: it did not appear.
        """
        wanted = re.sub(r"\s+", "", text)
        deadline = time.monotonic() + timeout_seconds
        while wanted not in self.screen:
            if not self._read(min(0.2, deadline - time.monotonic())) and time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} did not appear; the screen ends {self.screen[-600:]!r}")

    def forget(self) -> None:
        """Start a new reading."""
        self._raw = b""

    def say(self, text: str) -> None:
        """Type a line; Enter goes once the client shows it."""
        self.forget()
        self.type(text)
        self.wait_for(text[-30:])
        self.type("\r")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    def settle(self, provider: Provider, count: int) -> None:
        """Keep reading the terminal until the provider has seen ``count`` main requests."""
        deadline = time.monotonic() + 60.0
        while len(provider.of_kind("main")) < count:
            self._read(0.1)
            if time.monotonic() > deadline:
                raise TimeoutError(f"no main request number {count}; the screen ends {self.screen[-600:]!r}")

    def _read(self, wait_seconds: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, wait_seconds))
        if not ready:
            return False
        try:
            found = os.read(self._terminal, 65536)
        except OSError:  # the client closed its side
            return False
        self._raw += found
        return bool(found)


@contextmanager
def interactive(home: ClaudeHome, *flags: str) -> Iterator[Interactive]:
    """A client on a terminal of 170 x 50."""
    own, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 170, 0, 0))
    process = subprocess.Popen(
        [str(home.binary), *flags],
        cwd=home.project,
        env=home.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Interactive(process, own)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(own)
