"""What tests of asking need: a Metered over a scripted backend or an endpoint, and a store of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlm_mcp.config import Paths, Price, Settings
from rlm_mcp.costs import Limits, Spent
from rlm_mcp.store.ledger import Caps, StoreLedger, spent
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop, SubLM
from rlm_mcp.sublm.metered import Asked, Metered, Purpose
from rlm_mcp.sublm.scripted import Said, Script, Scripted
from rlm_mcp.wiring import Stores

PRICES: Mapping[str, Price] = {"scripted": Price(usd_in=1.0, usd_out=10.0)}
NO_CAPS = Caps(session_tokens=10**12, session_usd=1e9, day_tokens=10**12, day_usd=1e9)
PURPOSE = Purpose(run="", session="s1", what="llm_query")


class Rig:
    """A Metered with its Ledger, one Budget and one Stop."""

    def __init__(self, home: Path, backend: SubLM, **given: Any) -> None:
        """``given``: ``limits``, ``caps``, ``prices``, ``call_seconds``, ``purpose``."""
        self.stores = Stores(Paths(home=home), Settings())
        self.backend = backend
        self.budget = Budget(given.get("limits", Limits()))
        self.stop = Stop()
        self.purpose: Purpose = given.get("purpose", PURPOSE)
        self.ledger = StoreLedger(self.stores.lend, given.get("caps", NO_CAPS))
        self.metered = Metered(
            backend,
            self.ledger,
            prices=given.get("prices", PRICES),
            call_seconds=given.get("call_seconds", 60.0),
        )

    def ask(self, prompt: str, **fields: Any) -> Asked:
        """Ask one."""
        return self.metered.ask(Request(prompt=prompt, **fields), self.budget, self.stop, self.purpose)

    def ask_all(self, prompts: Iterable[str], width: int = 8, **fields: Any) -> list[Any]:
        """Ask all."""
        requests = [Request(prompt=prompt, **fields) for prompt in prompts]
        return self.metered.ask_all(requests, self.budget, self.stop, self.purpose, width=width)

    def spent(self) -> Spent:
        """As the Ledger has it."""
        with self.stores.lend() as store:
            return spent(store)

    def rows(self, what: str = "*") -> list[dict[str, Any]]:
        """The Ledger's rows, in order."""
        with self.stores.lend() as store:
            return [dict(row) for row in store.connection.execute(f"SELECT {what} FROM call ORDER BY id")]

    def close(self) -> None:
        """Give everything back."""
        self.backend.close()
        self.stores.close()


def scripted(home: Path, script: Script | Iterable[Said], seconds: float = 0.0, **given: Any) -> Rig:
    """Over the double."""
    return Rig(home, Scripted(script, seconds=seconds), **given)
