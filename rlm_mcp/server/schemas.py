"""What the server says of itself: instructions, tools, arguments. Every byte here stands in the model's Window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlm_mcp.errors import QueryError
from rlm_mcp.verbs.repl import MAX_SECONDS, MIN_SECONDS

INSTRUCTIONS = (
    "rlm-mcp keeps this whole session outside your window, byte for byte: every prompt, reply, command, output and "
    "edit, also from before a compaction or resume. Nothing is lost; it is one call away.\n"
    "- After a compaction your window starts with a Brief. Go on from it. Before you re-read a file, re-run a command "
    "or ask the user again, `search`.\n"
    '- `search`: plain words (best: those of the user\'s request), "exact phrases", /regex/ and typed questions, '
    "answered completely: files edited, failed commands, failing tests, errors, user constraints, corrections, "
    "decisions, plan, open todos, questions, commits, values the user gave.\n"
    "- Lines end in a Ref (e12, e12:0-400, t3). `read` gives a Ref's exact text: an old output, a prompt, a file as it "
    "was then. To see a file as it is now, read the file.\n"
    "- `repl` runs Python over all of it: `session`, `repo` and `docs` are variables. Use it to count, compare, slice "
    "or scan what is too long to read; only what you print comes back. `load` brings long files in as `docs`.\n"
    "- `ask` has other models answer over it (costs; long ones become a `job`). `brief` tells the state anew, "
    "`status` what is stored.\n"
    "Answers are cut and say the true total; page with offset."
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
    is_read_only: bool = True
    """It changes nothing but its own variables."""
    reaches_out: bool = False
    """It sends something to another machine."""

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
                "enum": ["session", "lineage", "project", "all", "docs"],
                "description": "session (default): this one and what it continues; lineage: before /clear too; "
                "project: all of this folder; docs: what load brought in",
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
        "(log:0-900), a Cell's whole output (c5), a document (d1f2e3d4c), an ask's whole answer (r1f2e3d4c).",
        arguments={
            "ref": {"type": "string"},
            "offset": {"type": "integer", "minimum": 0, "description": "byte to begin at"},
            "max_tokens": {**_MAX_TOKENS, "description": "default 8000"},
        },
        required=("ref",),
    ),
    ToolText(
        name="repl",
        description="Run Python over the whole session and repository, outside the window; variables stay from call to "
        "call, also after a compaction. session: .turns .events .facts(kind) .search(q) .grep(regex) .text, "
        'session["t3"], session[3:9]; repo: .files(glob) .read(path) .grep(regex, glob) .diff(since); '
        "docs[name].text; context (the session's text, a str); read(ref); help(session). The last expression's value "
        "is shown; output is cut, its whole stays readable. Standard library; no network, processes, threads, "
        "writing.",
        arguments={
            "code": {"type": "string"},
            "timeout_seconds": {
                "type": "number",
                "minimum": MIN_SECONDS,
                "maximum": MAX_SECONDS,
                "description": "default 30",
            },
        },
        required=("code",),
    ),
    ToolText(
        name="load",
        description="Bring a long file, a folder or a glob in as documents, without it passing through the window: "
        "search them with scope=docs, read them by Ref, program them in repl as docs[name].",
        arguments={
            "path": {"type": "string", "description": "file, folder or glob; relative to the session's folder"},
            "name": {"type": "string", "description": "what to call it; default: the file's name"},
        },
        required=("path",),
        is_read_only=False,
    ),
    ToolText(
        name="ask",
        description="Have other models answer a question over what is too long to read: they program a REPL over it "
        "and call sub-models on parts, within a budget; quotes are checked. Costs the user money or quota: use it for "
        "what search and repl cannot settle (judging, summarising, classifying many parts). Long ones become a job.",
        arguments={
            "question": {"type": "string"},
            "scope": {"type": "string", "description": "session (default), docs, repo, or Refs: 'e12 t3 d1f2e3d4c'"},
            "mode": {
                "type": "string",
                "enum": ["answer", "summary"],
                "description": "summary: condense the scope; question says what matters most",
            },
            "max_usd": {"type": "number", "minimum": 0, "maximum": 1_000},
            "max_seconds": {"type": "number", "minimum": 1, "maximum": 86_400},
        },
        required=("question",),
        is_read_only=False,
        reaches_out=True,
    ),
    ToolText(
        name="job",
        description="What became of an ask that came back as a job: wait for it (at most 45 s), poll, or cancel.",
        arguments={
            "id": {"type": "string"},
            "action": {"type": "string", "enum": ["poll", "wait", "cancel"], "description": "default wait"},
        },
        required=("id",),
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


def _value(name: str, value: object, what: Mapping[str, Any]) -> str | int | float:
    if what["type"] in ("integer", "number"):
        return _number(name, value, what)
    if not isinstance(value, str):
        raise QueryError(f"{name} is {value!r}; give a text")
    if "enum" in what and value not in what["enum"]:
        raise QueryError(f"{name} is {value!r}; give one of {', '.join(what['enum'])}")
    return value


def _number(name: str, value: object, what: Mapping[str, Any]) -> int | float:
    low, high = what["minimum"], what.get("maximum", 1 << 53)
    limits = f"{low:,} to {high:,}" if "maximum" in what else f"{low:,} or more"
    is_whole = what["type"] == "integer"
    if isinstance(value, str) and value.strip().replace(".", "", 0 if is_whole else 1).isdecimal():
        value = float(value)
    if isinstance(value, float) and is_whole and value.is_integer():
        value = int(value)
    kinds = int if is_whole else int | float
    if not isinstance(value, kinds) or isinstance(value, bool) or not low <= value <= high:
        raise QueryError(f"{name} is {value!r}; give a {'whole ' if is_whole else ''}number, {limits}")
    return value
