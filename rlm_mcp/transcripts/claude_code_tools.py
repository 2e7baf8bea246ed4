"""Claude Code's tool results -> what they did, as typed Actions.

Shapes: ``toolUseResult`` of each tool as found in the transcripts of 1.0.51 to 2.1.330.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from rlm_mcp.events import Action, Command, EditKind, FileEdit, FileRead, Lookup
from rlm_mcp.transcripts import claude_code_tasks as tasks
from rlm_mcp.transcripts.claude_code_results import ToolResult, any_tool, number, other_tool, refused, string

_EXIT_CODE = re.compile(r"\A(?:Error: )?Exit code (\d{1,5})(?:\n|\Z)")
_NUMBERED = re.compile(r"^\s{0,6}\d{1,7}[\u2192\t]", re.MULTILINE)
_ABORTED = "<error>Command was aborted before completion</error>"


def actions_of(result: ToolResult) -> tuple[Action, ...]:
    """What the tool did; a failed change to a file is no change, only a failed tool."""
    if result.name == "ExitPlanMode":
        return (tasks.plan(result),)
    if refused(result):
        return (other_tool(result),)
    return _BY_TOOL.get(result.name, any_tool)(result)


def _command(result: ToolResult) -> tuple[Action, ...]:
    detail = result.detail
    exit_code: int | None = None
    output = result.text
    interrupted = detail.get("interrupted") is True or output.endswith(_ABORTED)
    if found := _EXIT_CODE.match(output):
        exit_code = int(found[1])
        output = output[found.end() :]
    elif not result.failed and not interrupted and not detail.get("backgroundTaskId"):
        exit_code = 1 if detail.get("returnCodeInterpretation") else 0
    if result.arguments.get("run_in_background") is True and not result.failed:
        exit_code = None
    return (
        Command(
            command=string(result.arguments, "command"),
            cwd=result.cwd,
            exit_code=exit_code,
            failed=result.failed or interrupted,
            seconds=result.seconds,
            output=output,
        ),
    )


def _read(result: ToolResult) -> tuple[Action, ...]:
    if result.failed:
        return any_tool(result)
    file = result.detail.get("file")
    shown = file if isinstance(file, dict) else {}
    content = string(shown, "content") or _NUMBERED.sub("", result.text)
    offset = number(result.arguments, "offset")
    limit = number(result.arguments, "limit")
    first = number(shown, "startLine") or offset
    lines = number(shown, "numLines")
    total = number(shown, "totalLines")
    whole = (not offset and not limit) or (first <= 1 and total > 0 and lines >= total)
    last = first + lines - 1 if first and lines else first + limit - 1 if first and limit else 0
    return (
        FileRead(
            path=string(shown, "filePath") or string(result.arguments, "file_path", "notebook_path", "path"),
            first_line=0 if whole else max(first, 1),
            last_line=0 if whole else last,
            content_sha256=hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16] if content else "",
        ),
    )


def _edit(result: ToolResult) -> tuple[Action, ...]:
    if result.failed:
        return any_tool(result)
    detail, arguments = result.detail, result.arguments
    removed, added = _patch_lines(detail.get("structuredPatch"))
    created = detail.get("type") == "create"
    if not removed and not added:
        removed, added = _lines_of_arguments(arguments, created)
    return (
        FileEdit(
            path=string(detail, "filePath") or string(arguments, "file_path", "notebook_path"),
            edit=EditKind.CREATE if created else EditKind.UPDATE,
            added=len(added),
            removed=len(removed),
            added_text="\n".join(added),
            removed_text="\n".join(removed),
        ),
    )


def _write(result: ToolResult) -> tuple[Action, ...]:
    if not result.failed and not result.detail and "created successfully" in result.text[:2000]:
        return _edit(_with_detail(result, {"type": "create"}))
    return _edit(result)


def _with_detail(result: ToolResult, detail: dict[str, Any]) -> ToolResult:
    return ToolResult(name=result.name, arguments=result.arguments, text=result.text, detail=detail, cwd=result.cwd)


def _patch_lines(patch: Any) -> tuple[list[str], list[str]]:
    """Removed and added lines of a ``structuredPatch``."""
    removed: list[str] = []
    added: list[str] = []
    for hunk in patch if isinstance(patch, list) else ():
        for line in hunk.get("lines") or () if isinstance(hunk, dict) else ():
            if not isinstance(line, str):
                continue
            if line.startswith("+"):
                added.append(line[1:])
            elif line.startswith("-"):
                removed.append(line[1:])
    return removed, added


def _lines_of_arguments(arguments: dict[str, Any], created: bool) -> tuple[list[str], list[str]]:
    removed: list[str] = []
    added: list[str] = []
    edits = arguments.get("edits")
    for edit in edits if isinstance(edits, list) else (arguments,):
        if isinstance(edit, dict):
            removed += _lines(string(edit, "old_string"))
            added += _lines(string(edit, "new_string", "new_source", "content"))
    return ([], added) if created else (removed, added)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _search(result: ToolResult) -> tuple[Action, ...]:
    if result.failed:
        return any_tool(result)
    what = string(result.arguments, "pattern", "query", "url", "path")
    where = string(result.arguments, "path", "prompt", "glob") if what != result.arguments.get("path") else ""
    return (Lookup(what=what, where=where),)


_BY_TOOL: dict[str, Callable[[ToolResult], tuple[Action, ...]]] = {
    "Bash": _command,
    "Read": _read,
    "NotebookRead": _read,
    "Edit": _edit,
    "MultiEdit": _edit,
    "NotebookEdit": _edit,
    "Write": _write,
    "Grep": _search,
    "Glob": _search,
    "LS": _search,
    "WebSearch": _search,
    "WebFetch": _search,
    "TodoWrite": tasks.todos,
    "TaskCreate": tasks.task_create,
    "TaskUpdate": tasks.task_update,
    "AskUserQuestion": tasks.questions,
    "Task": tasks.agent,
    "Agent": tasks.agent,
    "TaskOutput": tasks.agent_output,
    "AgentOutputTool": tasks.agent_output,
}
