"""Drives the real Codex binary, headless or on a terminal, in a throwaway home against a scripted provider."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_mcp.cli import install_codex
from rlm_mcp.config import Paths

_HERE = Path(__file__).resolve().parent
_REPLIES = {
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[?u": b"\x1b[?0u",
    b"\x1b]10;?\x1b\\": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?\x1b\\": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
}
"""What a terminal answers when it is asked (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html)."""


def find_codex() -> Path | None:
    """The binary: ``RLM_MCP_CODEX``, or the pinned package in ``tests/clients/node_modules``."""
    named = os.environ.get("RLM_MCP_CODEX", "")
    if named:
        return Path(named)
    found = sorted((_HERE / "node_modules" / "@openai").glob("codex-*/vendor/*/bin/codex"))
    return found[0] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A finished ``codex`` process."""

    code: int
    out: str
    err: str


@dataclass(slots=True, kw_only=True)
class CodexHome:
    """A throwaway user: home, CODEX_HOME, project folder and rlm-mcp store."""

    root: Path
    binary: Path
    url: str
    name: str = "mock"
    """The provider's name; ``OpenAI`` makes the client use its remote compaction."""
    model: str = "gpt-5.5"
    top: str = ""
    """Further top-level lines of config.toml."""
    tables: str = ""
    """Further tables of config.toml."""
    extra: dict[str, str] = field(default_factory=dict)
    """Further environment."""

    @property
    def codex_home(self) -> Path:
        """``CODEX_HOME``."""
        return self.root / "home" / ".codex"

    @property
    def config(self) -> Path:
        """The client's settings."""
        return self.codex_home / "config.toml"

    @property
    def project(self) -> Path:
        """The folder the client works in."""
        return self.root / "project"

    @property
    def store(self) -> Path:
        """``RLM_MCP_HOME``."""
        return self.root / "store"

    def environment(self) -> dict[str, str]:
        """The client's whole environment: nothing of the caller's but PATH."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/bash",
            "HOME": str(self.root / "home"),
            "CODEX_HOME": str(self.codex_home),
            "RLM_MCP_HOME": str(self.store),
            "DUMMY_KEY": "dummy",
            **self.extra,
        }

    def prepare(self) -> None:
        """Make the folders and the client's settings."""
        for folder in (self.codex_home, self.project):
            folder.mkdir(parents=True, exist_ok=True)
        (self.project / "README.md").write_text("hello\n")
        self.config.write_text(
            f'model = "{self.model}"\nmodel_provider = "mock"\napproval_policy = "never"\n'
            'sandbox_mode = "danger-full-access"\ncheck_for_update_on_startup = false\n'
            f"model_context_window = 100000\nmodel_auto_compact_token_limit = 50000\n{self.top}\n"
            f'[model_providers.mock]\nname = "{self.name}"\nbase_url = "{self.url}"\nwire_api = "responses"\n'
            'env_key = "DUMMY_KEY"\nrequest_max_retries = 0\nstream_max_retries = 0\n\n'
            f'[projects."{self.project}"]\ntrust_level = "trusted"\n\n{self.tables}\n'
        )

    def run(self, *arguments: str, seconds: float = 120.0) -> Ran:
        """Run ``codex ARGUMENTS`` to its end."""
        done = subprocess.run(
            [self.binary, *arguments],
            input="",
            text=True,
            capture_output=True,
            timeout=seconds,
            cwd=self.project,
            env=self.environment(),
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def exec(self, prompt: str, *arguments: str) -> Ran:
        """``codex exec``: one prompt, headless."""
        return self.run("exec", "--json", "--skip-git-repo-check", *arguments, prompt)

    @contextmanager
    def started(self, prompt: str) -> Iterator[subprocess.Popen[bytes]]:
        """``codex exec`` while it runs; killed at the end if it still does."""
        process = subprocess.Popen(
            [self.binary, "exec", "--json", "--skip-git-repo-check", prompt],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.project,
            env=self.environment(),
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def resume(self, prompt: str, *arguments: str) -> Ran:
        """``codex exec resume --last``: go on with the newest session."""
        return self.run("exec", "resume", "--last", "--json", "--skip-git-repo-check", *arguments, prompt)

    def rollouts(self) -> list[Path]:
        """Every session file, oldest first."""
        return sorted((self.codex_home / "sessions").rglob("rollout-*.jsonl"))

    def records(self, place: int = -1) -> list[dict[str, Any]]:
        """The records of one session file."""
        return [json.loads(line) for line in self.rollouts()[place].read_text().splitlines()]

    @contextmanager
    def terminal(self, *arguments: str) -> Iterator[Terminal]:
        """The client on a terminal of its own; stopped at the end."""
        process, descriptor = pty.fork()
        if process == 0:
            os.chdir(self.project)
            os.execve(self.binary, [str(self.binary), "--no-alt-screen", "--no-daemon", *arguments], self.environment())
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 150, 0, 0))
        terminal = Terminal(process=process, descriptor=descriptor)
        terminal.start()
        try:
            yield terminal
        finally:
            terminal.stop()


def target_of(home: CodexHome) -> install_codex.CodexTarget:
    """What ``rlm-mcp install codex`` works on."""
    return install_codex.find_target(Paths(home=home.store), home.environment(), str(home.binary))


def install(home: CodexHome) -> None:
    """As a person would, and says yes."""
    for step in install_codex.plan_install(target_of(home)).steps:
        step.apply()


@dataclass(slots=True, kw_only=True)
class Terminal:
    """A person at the client's terminal."""

    process: int
    descriptor: int
    seen: bytes = b""
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: bool = False
    thread: threading.Thread | None = None

    def start(self) -> None:
        """Read the screen, and answer as a terminal does, until the client ends."""
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        while not self.closing:
            if not select.select([self.descriptor], [], [], 0.1)[0]:
                continue
            try:
                got = os.read(self.descriptor, 65_536)
            except OSError:
                return
            if not got:
                return
            for asked, reply in _REPLIES.items():
                for _ in range(got.count(asked)):
                    os.write(self.descriptor, reply)
            with self.changed:
                self.seen += got
                self.changed.notify_all()

    def wait_for(self, text: str, seconds: float = 30.0) -> bool:
        """Whether ``text`` was drawn after the last :meth:`forget`, blanks aside."""
        wanted = "".join(text.split()).encode()
        with self.changed:
            return self.changed.wait_for(lambda: wanted in _drawn(self.seen), timeout=seconds)

    def forget(self) -> None:
        """Wait only for what is drawn from now on."""
        with self.changed:
            self.seen = b""

    def settle(self, quiet_seconds: float = 0.5, seconds: float = 20.0) -> None:
        """Wait until nothing was drawn for a while."""
        with self.changed:
            end = time.monotonic() + seconds
            while time.monotonic() < end and self.changed.wait(timeout=quiet_seconds):
                continue

    def say(self, text: str) -> None:
        """Type ``text``, then Enter as a key of its own (the client takes fast input for a paste)."""
        os.write(self.descriptor, text.encode())
        self.settle()
        os.write(self.descriptor, b"\r")

    def key(self, key: bytes) -> None:
        """Press one key."""
        os.write(self.descriptor, key)

    def stop(self) -> None:
        """End the client and its terminal."""
        self.closing = True
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if _ended(self.process, 3.0, signal_number):
                break
        os.close(self.descriptor)
        if self.thread is not None:
            self.thread.join()


def _ended(process: int, seconds: float, signal_number: int) -> bool:
    os.kill(process, signal_number)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        select.select([], [], [], 0.05)
    return False


def _drawn(seen: bytes) -> bytes:
    out = bytearray()
    place = 0
    while place < len(seen):
        if seen[place] == 0x1B:
            place = _after_escape(seen, place)
            continue
        if seen[place] > 0x20:
            out.append(seen[place])
        place += 1
    return bytes(out)


def _after_escape(seen: bytes, place: int) -> int:
    kind = seen[place + 1 : place + 2]
    if kind == b"[":
        place += 2
        while place < len(seen) and not 0x40 <= seen[place] <= 0x7E:
            place += 1
        return place + 1
    if kind == b"]":
        ends = [found for found in (seen.find(b"\x07", place), seen.find(b"\x1b\\", place + 2)) if found >= 0]
        return min(ends) + 1 if ends else len(seen)
    return place + 2


def app_server(home: CodexHome, *calls: tuple[str, dict[str, Any]], seconds: float = 30.0) -> list[Any]:
    """Results of JSON-RPC ``calls`` to ``codex app-server``, in order."""
    child = subprocess.Popen(
        [home.binary, "app-server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=home.project,
        env=home.environment(),
    )
    assert child.stdin is not None
    assert child.stdout is not None
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    results: list[Any] = []
    try:
        client = {
            "clientInfo": {"name": "rig", "title": "rig", "version": "1"},
            "capabilities": {"experimentalApi": True},
        }
        for number, (method, parameters) in enumerate([("initialize", client), *calls]):
            child.stdin.write(
                json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}) + "\n"
            )
            child.stdin.flush()
            results.append(_reply(child.stdout.readline, number))
    finally:
        timer.cancel()
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
    return results[1:]


def _reply(readline: Callable[[], str], number: int) -> Any:
    while line := readline():
        told = json.loads(line)
        if told.get("id") == number:
            return told.get("result", told.get("error"))
    return None
