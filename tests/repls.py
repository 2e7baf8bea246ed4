"""Repls for tests: in a real Jail, the strongest that this machine gives."""

import os
import resource
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox.jail import Jail, Limits
from rlm_mcp.sandbox.jailed import JailedRepl
from rlm_mcp.sandbox.layers import confinement, survey
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.mounts import Mapped
from rlm_mcp.sandbox.repl import Binding, Cell, Outcome
from rlm_mcp.store import sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.bindings import bindings as bindings_of
from rlm_mcp.verbs.bindings import known

NOBODY: Mapping[str, Any] = {
    "key": "0badcafe", "events": 0, "turns": 0, "log_bytes": 0, "title": "", "cwd": "", "model": "",
    "started": None, "updated": None, "earlier": [],
}  # fmt: skip
"""A Session in which nothing has happened yet, as a Cell is told of it."""

BUSY = {"error": "SubLMBusy", "message": "refused for now"}
"""What a host function says of a prompt that a sub-LM refused."""
CUT = {"error": "Cut", "message": "the answer was cut", "partial": "echo lo"}
"""And of one whose answer was cut."""


class AskedHost:
    """Answers prompts by a rule: ``fail`` fails, ``long`` is cut, ``over`` is the last one, all else is echoed."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.given: list[str] = []

    def bindings(self) -> dict[str, Binding]:
        return {"llm_query": self.query, "llm_map": self.map, "rlm_query": self.child, "give": self.give}

    def query(self, prompts: Any, **how: Any) -> Any:
        self.frames.append({"prompts": prompts, **how})
        results = [
            CUT if prompt == "long" else BUSY if "fail" in prompt else {"value": f"echo {prompt}"[:200]}
            for prompt in prompts
        ]
        return {"results": results, "over": BUSY if any("over" in prompt for prompt in prompts) else None}

    def map(self, items: Any, first: Any, prompt: Any, **how: Any) -> Any:
        self.frames.append({"items": items, "first": first, "prompt": prompt, **how})
        results = [BUSY if "fail" in item else {"value": [first + at, item[:50]]} for at, item in enumerate(items)]
        came = sum("value" in one for one in results)
        coverage = {"items": len(items), "answered": came, "repaired": 0, "failed": len(items) - came}
        return {"results": results, "over": None, "coverage": coverage}

    def child(self, asked: Any) -> Any:
        self.frames.append({"asked": asked})
        return [
            BUSY
            if "fail" in one["question"]
            else {"answer": "deep", "refs": ["e1:0-4"], "quotes": ["proof"], "run": "r1"}
            for one in asked
        ]

    def give(self, text: Any, number: Any) -> Any:
        if number is None:
            self.given.append("")
        self.given[-1 if number is None else number] += text
        return len(self.given) - 1 if number is None else number


class Rig:
    """A Repl, and short ways to run Cells in it."""

    def __init__(self, repl: JailedRepl, bindings: Mapping[str, Binding]) -> None:
        self.repl = repl
        self.bindings = bindings
        self.session: Mapping[str, Any] = NOBODY
        self.number = 0

    def see(self, store: Store, session: SessionRow, repo: Path | None = None) -> None:
        """From now on Cells see that Session as it is now, and that repository."""
        scope = sessions.continued(store, session)
        self.session = known(store, scope)
        self.bindings = bindings_of(store, scope, repo=repo, repo_missing="no folder is mapped here")

    def run(
        self, code: str, seconds: float = 20.0, *, stop: threading.Event | None = None, grace: float = 1.0
    ) -> Outcome:
        """Run a Cell."""
        self.number += 1
        cell = Cell(number=self.number, code=code, timeout_seconds=seconds, session=self.session)
        return self.repl.run(cell, self.bindings, stop=stop, grace_seconds=grace)

    def shown(self, code: str, seconds: float = 20.0) -> str:
        """What a Cell shows that ends well."""
        found = self.run(code, seconds)
        assert found.ending is Ending.OK, (found.output, found.why)
        return found.output.rstrip("\n")

    def fails(self, code: str) -> str:
        """The last line of the traceback of a Cell that fails."""
        found = self.run(code)
        assert found.ending is Ending.ERROR, found.output
        return found.output.rstrip("\n").splitlines()[-1]


def start(
    mapped: Mapped | None = None, *, output_bytes: int = 1 << 20, variable_seconds: float = 10.0, **limits: int
) -> JailedRepl:
    """A Repl; the test is skipped where this machine confines nothing."""
    try:
        jail = Jail.start(mapped or Mapped(), Limits(**limits), confinement(survey()))
        return JailedRepl(jail, output_bytes=output_bytes, variable_seconds=variable_seconds)
    except JailUnavailable as error:
        pytest.skip(str(error))


def opened() -> int:
    """How many descriptors this process has."""
    count = 0
    for number in range(min(4_096, resource.getrlimit(resource.RLIMIT_NOFILE)[0])):
        with suppress(OSError):
            os.fstat(number)
            count += 1
    return count


@contextmanager
def rigged(bindings: Mapping[str, Binding] | None = None, mapped: Mapped | None = None, **more: Any) -> Iterator[Rig]:
    """A Repl that is closed in the end."""
    repl = start(mapped, **more)
    try:
        yield Rig(repl, bindings or {})
    finally:
        repl.close()


@contextmanager
def seeing(store: Store, session: SessionRow, repo: Path | None = None) -> Iterator[Rig]:
    """A Repl that sees a Session of a real store."""
    with rigged(mapped=Mapped(repo=repo)) as rig:
        rig.see(store, session, repo)
        yield rig
