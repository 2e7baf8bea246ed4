"""A Jail with a child of few lines: it locks itself down and then runs what it is sent. Also a program of its own."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rlm_mcp.sandbox import layers
from rlm_mcp.sandbox.jail import Jail, Limits
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.mounts import Mapped

BARE_CHILD = """
import sys
descriptor, *folders = sys.argv[1:]
sys.path += folders
import json, socket
from rlm_mcp.sandbox.inside.lockdown import Bounds, LockdownError, lock_down
del sys.path[-len(folders):], sys.argv[1:]
end = socket.socket(fileno=int(descriptor))
lines = end.makefile("r", encoding="utf-8")

def tell(answer):
    end.sendall(json.dumps(answer, default=repr).encode() + b"\\n")

told = json.loads(lines.readline())
bounds = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
try:
    tell(lock_down(Bounds(**bounds), keep=(end.fileno(),)))
except LockdownError as error:
    tell(str(error))
    raise SystemExit(3)
for line in lines:
    told = {}
    try:
        exec(json.loads(line), told)
        answer = told.get("answer")
    except BaseException as error:
        answer = f"{type(error).__name__}: {error}"
    tell(answer)
"""


class BareJail:
    """Asks the bare child."""

    def __init__(self, jail: Jail) -> None:
        self.jail = jail
        self._lines = jail.socket.makefile("r", encoding="utf-8")
        self.layers = self._ask(asdict(jail.bounds))

    def ask(self, code: str) -> object:
        """Run code; what it assigns to ``answer``, or the exception in one line. None where the child ended."""
        return self._ask(code)

    def send(self, code: str) -> None:
        """Run code without waiting for it."""
        self.jail.socket.sendall(json.dumps(code).encode() + b"\n")

    def hear(self) -> object:
        """The next answer; "gone" where the child has ended."""
        line = self._lines.readline()
        return json.loads(line) if line else "gone"

    def _ask(self, sent: object) -> object:
        self.jail.socket.sendall(json.dumps(sent).encode() + b"\n")
        return self.hear()

    def close(self) -> None:
        """End it."""
        self._lines.close()
        self.jail.kill()


def ways() -> dict[str, Confinement]:
    """Every combination of layers that this machine gives and that may be used."""
    found = layers.survey()
    with_landlock = found.landlock >= 1
    ways = {
        "all": Confinement(bubblewrap=found.bubblewrap, landlock=with_landlock, seccomp=True),
        "Landlock": Confinement(bubblewrap=None, landlock=True, seccomp=True),
        "bubblewrap": Confinement(bubblewrap=found.bubblewrap, landlock=False, seccomp=True),
    }
    if not found.seccomp:
        return {}
    if not with_landlock:
        ways.pop("Landlock")
    if found.bubblewrap is None:
        ways.pop("bubblewrap")
    return ways if with_landlock or found.bubblewrap else {}


@contextmanager
def bare_jail(
    confinement: Confinement, mapped: Mapped | None = None, limits: Limits | None = None
) -> Iterator[BareJail]:
    """A locked down child."""
    jail = Jail.start(mapped or Mapped(), limits or Limits(), confinement, program=BARE_CHILD)
    bare = BareJail(jail)
    try:
        yield bare
    finally:
        bare.close()


if __name__ == "__main__":  # a host of its own: tells the child's process id, then waits to be ended
    with bare_jail(next(iter(ways().values())), Mapped(repo=Path(__file__).parent)) as bare:
        said = bare.ask("import sqlite3, ssl, zoneinfo, sys; answer = sys.version_info[:2]")
        print(json.dumps({"pid": bare.jail.pid, "layers": bare.layers, "version": said}), flush=True)
        sys.stdin.read()
