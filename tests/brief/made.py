"""Material for Briefs, made by hand: what the pure parts are given."""

from typing import Any

from rlm_mcp.brief.material import Ask, Material, SessionSummary
from rlm_mcp.store.cells import ReplRow
from rlm_mcp.store.facts import FactRow, Group


def fact(kind: str, seq: int = 1, **more: Any) -> FactRow:
    """A Fact; what is not said is empty."""
    filled: dict[str, Any] = {
        "session": 1, "session_key": "aaaaaaaa", "seq": seq, "turn": 1, "kind": kind, "subject": "", "text": "",
        "status": "",
    }  # fmt: skip
    return FactRow(**(filled | more))


def group(kind: str, subject: str, seq: int = 1, **more: Any) -> Group:
    """Facts of one subject."""
    filled: dict[str, Any] = {
        "session": 1, "session_key": "aaaaaaaa", "kind": kind, "subject": subject, "count": 1, "added": 0, "removed": 0,
        "last_seq": seq, "last_turn": 1, "status": "update", "text": "", "superseded_by": 0,
    }  # fmt: skip
    return Group(**(filled | more))


def material(**more: Any) -> Material:
    """Material with one ask; what is not said is empty."""
    ask = Ask(turn=1, ref="e1", text="Please do it.")
    filled: dict[str, Any] = {
        "session_key": "aaaaaaaa", "client": "claude-code", "cwd": "/home/dev/acme", "git_branch": "main", "events": 10,
        "turns": 1, "first_ask": ask, "latest_ask": ask, "last_reply": None, "latest": (), "facts": {},
        "edits": [], "reads": [], "symbols": {}, "turn_lines": [], "totals": {}, "focus": "", "repl": None,
    }  # fmt: skip
    return Material(**(filled | more))


def summary(text: str) -> SessionSummary:
    """Of the first three of five Turns."""
    return SessionSummary(text=text, ref="log:0-900", upto_turn=3, turns=5)


def repl(*names: str) -> ReplRow:
    """A Repl that ran twelve Cells and has these variables."""
    what = tuple((name, "list, 1,200") for name in names)
    return ReplRow(cells=12, variables=what, saved_cell=0, saved_time=None)
