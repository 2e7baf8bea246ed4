"""The loss report: what a compaction left outside the Window, by kind and count, each reachable by search. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LossReport:
    """Kind -> (how many there are, how many of them stand in the Brief)."""

    kinds: Mapping[str, tuple[int, int]]

    @property
    def outside(self) -> dict[str, int]:
        """Kind -> how many are outside the Window."""
        return {kind: total - shown for kind, (total, shown) in self.kinds.items() if total > shown}

    def line(self) -> str:
        """In a line, as it stands at the end of a Brief."""
        parts = [f"{count:,} {_NOUNS.get(kind, kind)}" for kind, count in self.outside.items()]
        return ", ".join(parts) if parts else "nothing"


_NOUNS = {
    "event": "events' full text",
    "constraint": "rules and corrections",
    "todo": "todos",
    "test": "test outcomes",
    "error": "open error lines",
    "edit": "edited files",
    "command": "commands",
    "decision": "decisions",
    "commit": "commits and pull requests",
    "question": "questions and sub-agent tasks",
    "read": "files read",
    "symbol": "files with added functions",
    "value": "values",
    "prompt": "earlier turns",
    "plan": "plans",
    "summary": "lines of the summary",
}
