"""What the server says of itself: instructions, tools, arguments. Every byte here stands in the model's Window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm_mcp.errors import QueryError

INSTRUCTIONS = (
    "rlm-mcp keeps this whole session outside your window, byte for byte: every prompt, reply, command, output and "
    "edit, also from before a compaction or resume. Nothing is lost; it is one call away.\n"
    "- After a compaction your window starts with a Brief. Go on from it. Before you re-read a file, re-run a command "
    "or ask the user again, `search`.\n"
    '- `search` takes plain words (best: the words of the user\'s request), "exact phrases", /regex/ and typed '
    "questions, answered completely: files edited, files read, failed commands, last commands, failing tests, test "
    "results, errors, user constraints, corrections, decisions, plan, open todos, questions, commits, values the user "
    "gave.\n"
    "- Lines end in a Ref (e12, e12:0-400, t3). `read` gives a Ref's exact text: an old output, a prompt, a file as it "
    "was then. To see a file as it is now, read the file.\n"
    "- `brief` tells the session's state anew, `status` what is stored.\n"
    "Answers are cut to max_tokens and say the true total; narrow with kind or turns, page with offset."
)
"""Sent once, when the server starts."""

META: dict[str, Any] = {"anthropic/maxResultSizeChars": 500_000, "anthropic/alwaysLoad": True}
"""Claude Code: let long results through in one piece, and never put the tool behind its tool search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolText:
    """A tool as the model sees it."""

    name: str
    description: str
    arguments: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments."""
        found: dict[str, Any] = {
            "type": "object",
            "properties": {name: dict(what) for name, what in self.arguments.items()},
            "additionalProperties": False,
        }
        if self.required:
            found["required"] = list(self.required)
        return found


_MAX_TOKENS = {"type": "integer", "minimum": 100, "maximum": 100_000}

TOOLS = (
    ToolText(
        name="search",
        description="Search this session's whole past, also what is no longer in the window. Plain words, "
        '"phrases", /regex/, or a typed question ("files edited", "failing tests", "which commands failed", "what did '
        'the user forbid", "open todos"). Answers with lines, each with a Ref for read, and the true total.',
        arguments={
            "query": {"type": "string"},
            "kind": {
                "type": "string",
                "description": "only this kind: prompt reply call result note | edit read command test failing_test "
                "error constraint correction decision todo plan question task commit value symbol",
            },
            "turns": {"type": "string", "description": 'only these turns: "4" or "3-9"'},
            "scope": {
                "type": "string",
                "enum": ["session", "lineage", "project", "all"],
                "description": "session (default): this one and what it continues; lineage: before /clear too; "
                "project: all of this folder",
            },
            "mode": {"type": "string", "enum": ["auto", "words", "phrase", "regex"]},
            "max_tokens": {**_MAX_TOKENS, "maximum": 20_000, "description": "size of the answer; default 1000"},
            "offset": {"type": "integer", "minimum": 0, "description": "lines to pass over: the next page"},
        },
        required=("query",),
    ),
    ToolText(
        name="read",
        description="The exact text of a Ref: an event (e12), a span of it (e12:0-400), a turn (t3), the log "
        "(log:0-900).",
        arguments={
            "ref": {"type": "string"},
            "offset": {"type": "integer", "minimum": 0, "description": "byte to begin at"},
            "max_tokens": {**_MAX_TOKENS, "description": "default 8000"},
        },
        required=("ref",),
    ),
    ToolText(
        name="brief",
        description="The session in short, from facts, without a model: task, constraints, plan, state, open errors, "
        "decisions, one line per older turn, all with Refs; and what is outside the window.",
        arguments={
            "tokens": {"type": "integer", "minimum": 500, "maximum": 20_000, "description": "default 4000"},
            "focus": {"type": "string", "description": "what matters most"},
        },
    ),
    ToolText(
        name="status",
        description="Which session is held, how much of it, what was skipped, folded or went wrong.",
        arguments={},
    ),
)


def checked(tool: ToolText, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, each of its type and inside its limits; a number written as text is taken as a number.

    Raises:
        QueryError: an argument is unknown, missing, of the wrong type or out of its limits.
    """
    for name in arguments:
        if name not in tool.arguments:
            known = ", ".join(tool.arguments) or "none"
            raise QueryError(f"{tool.name} has no argument {name!r}; it takes: {known}")
    found = {
        name: _value(name, arguments[name], what)
        for name, what in tool.arguments.items()
        if arguments.get(name) is not None
    }
    for name in tool.required:
        if name not in found:
            raise QueryError(f"{tool.name} needs {name!r}")
    return found


def _value(name: str, value: object, what: Mapping[str, Any]) -> str | int:
    if what["type"] == "integer":
        return _integer(name, value, what)
    if not isinstance(value, str):
        raise QueryError(f"{name} is {value!r}; give a text")
    if "enum" in what and value not in what["enum"]:
        raise QueryError(f"{name} is {value!r}; give one of {', '.join(what['enum'])}")
    return value


def _integer(name: str, value: object, what: Mapping[str, Any]) -> int:
    low, high = what["minimum"], what.get("maximum", 1 << 53)
    limits = f"{low:,} to {high:,}" if "maximum" in what else f"{low:,} or more"
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise QueryError(f"{name} is {value!r}; give a whole number, {limits}")
    return value
