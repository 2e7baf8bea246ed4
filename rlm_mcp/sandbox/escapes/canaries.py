"""What an escape would touch: files, an environment variable, storage, listeners and a process of the host."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_mcp.sandbox.mounts import Mapped

_VARIABLE = "RLM_MCP_CANARY"
_PUBLIC_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/")  # noqa: S108  # looked at, never written by us
_MOST_DESCRIPTORS = 8
"""So many more than before may be open in the host: other threads of it may open some."""
_MOST_BYTES = 400 << 20
"""So much may the host's storage grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket of the host that nobody may reach."""

    kind: str
    end: socket.socket


class Canaries:
    """All canaries; made by :func:`canaries`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = f"rlm{secrets.token_hex(8)}"
        """Attempts name what they make with it."""
        self.secret = f"canary-{secrets.token_hex(16)}"
        """Known to no Cell; wherever it turns up, something was read that may not be."""
        self.repo = folder / "repo"
        self.outside = folder / "outside"
        self.home = folder / "home"
        self._kept = ctypes.create_string_buffer(self.secret.encode("ascii"))
        self._lay_out()
        self.listeners = list(self._listen())
        self.victim = _victim()
        self._before = self._state()

    def _lay_out(self) -> None:
        for path in ("outside/secret.txt", "home/.ssh/id_rsa", "home/store.db", "repo/.rlm-mcp/store.db"):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(self.secret, encoding="ascii")
        (self.repo / "readable.txt").write_text("This may be read.\n", encoding="ascii")
        for name, target in {
            "link_absolute": str(self.outside / "secret.txt"),
            "link_relative": "../outside/secret.txt",
            "link_folder": str(self.outside),
            "link_root": "/",
            "link_environ": "/proc/self/environ",
            "link_chain": "link_folder/secret.txt",
        }.items():
            (self.repo / name).symlink_to(target)

    def _listen(self) -> Iterator[Listener]:
        """One socket of each kind this machine has."""
        kinds: dict[str, tuple[int, int, Any]] = {
            "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            "unix": (socket.AF_UNIX, socket.SOCK_STREAM, str(self.repo / "socket")),
            "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.token}"),
        }
        for kind, (family, style, address) in kinds.items():
            end = socket.socket(family, style)
            try:
                end.bind(address)
                if style == socket.SOCK_STREAM:
                    end.listen(8)
            except OSError:  # no such family here, as IPv6 in many containers
                end.close()
            else:
                yield Listener(kind=kind, end=end)

    @property
    def mapped(self) -> Mapped:
        """What the Jail under test is given."""
        return Mapped(repo=self.repo, hidden=(self.repo / ".rlm-mcp",))

    def places(self) -> dict[str, object]:
        """What attempts are told, as ``C``: everything but the secret."""
        ports = {each.kind: each.end.getsockname()[1] for each in self.listeners if each.kind in {"tcp", "udp", "tcp6"}}
        return {
            "token": self.token,
            "secret_path": str(self.outside / "secret.txt"),
            "outside": str(self.outside),
            "home": str(self.home),
            "repo": str(self.repo),
            "own_home": str(Path.home()),
            "variable": _VARIABLE,
            "host_pid": os.getpid(),
            "victim_pid": self.victim.pid,
            "address": ctypes.addressof(self._kept),
            "secret_length": len(self.secret),
            "unix": str(self.repo / "socket"),
            "python": sys.executable,
            "public_folders": _PUBLIC_FOLDERS,
            **ports,
        }

    def harm(self, texts: list[str], child_pid: int | None) -> list[str]:
        """What was touched since the last look, in words; afterwards all is as it was.

        Args:
            texts: whatever came out of the Jail.
            child_pid: the child, while it lives.
        """
        found = [f"the secret came out: {text[:200]!r}" for text in texts if self.secret in text]
        found += [f"escaped: {line}" for text in texts for line in text.splitlines() if line.startswith("ESCAPED:")]
        found += [f"the listener {listener.kind} was reached" for listener in self.listeners if _was_reached(listener)]
        if self.victim.poll() is not None:
            found.append(f"the host's process ended with {self.victim.returncode}")
            self.victim = _victim()
        if child_pid is not None:
            found += _offspring(child_pid)
        found += [f"a process of the host: {command!r}" for command in _marked_processes(self.token)]
        after = self._state()
        found += [
            f"changed: {name}" for name in sorted({*after, *self._before}) if after.get(name) != self._before.get(name)
        ]
        self._before = after
        return found

    def _state(self) -> Mapping[str, object]:
        """Everything that must stay as it is, by name."""
        state: dict[str, object] = {}
        for path in [self.folder, *self.folder.rglob("*")]:
            status = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
            state[str(path)] = (status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns, content)
        state |= {str(path): "" for path in self._made_outside()}
        state["host name"] = socket.gethostname()
        return state

    def _made_outside(self) -> list[Path]:
        """What attempts have made in folders that anyone may write to."""
        found: list[Path] = []
        for folder in map(Path, _PUBLIC_FOLDERS):
            with contextlib.suppress(OSError):  # not there, or closed to us
                found += [path for path in folder.iterdir() if self.token in path.name]
        return found

    def close(self) -> None:
        """Put all away, also what an escape has left."""
        for path in self._made_outside():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for listener in self.listeners:
            listener.end.close()
        self.victim.kill()
        self.victim.wait()


@contextlib.contextmanager
def canaries(folder: Path) -> Iterator[Canaries]:
    """Lay out canaries in an empty folder; the environment variable is set meanwhile."""
    made = Canaries(folder)
    os.environ[_VARIABLE] = made.secret
    try:
        yield made
    finally:
        os.environ.pop(_VARIABLE, None)
        made.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """What the host itself uses."""

    descriptors: int
    resident_bytes: int


def host_use() -> HostUse:
    """What this process uses now; zeros where the system does not tell."""
    try:
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return HostUse(descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()), resident_bytes=resident)
    except FileNotFoundError:
        return HostUse(descriptors=0, resident_bytes=0)


def grown(before: HostUse, after: HostUse) -> list[str]:
    """What the host lost by an attempt, in words."""
    found = []
    if after.descriptors > before.descriptors + _MOST_DESCRIPTORS:
        found.append(f"the host has {after.descriptors - before.descriptors} descriptors more")
    if after.resident_bytes > before.resident_bytes + _MOST_BYTES:
        found.append(f"the host has {after.resident_bytes - before.resident_bytes:,} bytes more")
    return found


def _victim() -> subprocess.Popen[bytes]:
    """A process that only waits; it ends by itself after an hour."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _was_reached(listener: Listener) -> bool:
    """Whether a connection or datagram waits; it is taken away."""
    poll = select.poll()
    poll.register(listener.end, select.POLLIN)
    is_reached = False
    while poll.poll(0):
        is_reached = True
        if listener.end.type == socket.SOCK_STREAM:
            listener.end.accept()[0].close()
        else:
            listener.end.recv(65536)
    return is_reached


def _offspring(child_pid: int) -> list[str]:
    """Threads and processes that the child has made."""
    try:
        session = os.getsid(child_pid)
        status = Path(f"/proc/{child_pid}/status").read_text(encoding="utf-8", errors="replace")
    except (ProcessLookupError, FileNotFoundError):
        return []
    found = [
        f"the child has {line}"
        for line in status.splitlines()
        if line.startswith("Threads:") and line.split()[1] != "1"
    ]
    for pid in _processes():
        with contextlib.suppress(OSError):  # it has ended
            if pid != child_pid and os.getsid(pid) == session:
                found.append(f"the child made a process: {_command(pid)!r}")
    return found


def _marked_processes(token: str) -> list[str]:
    found = []
    for pid in _processes():
        with contextlib.suppress(OSError):  # it has ended
            command = _command(pid)
            if token in command and pid != os.getpid():
                found.append(command)
    return found


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:200]


def _processes() -> list[int]:
    folder = Path("/proc")
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
