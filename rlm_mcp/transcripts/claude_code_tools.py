"""Claude Code's tool results -> what they did: text as a person reads it, and typed Actions.

Shapes: ``toolUseResult`` of each tool as found in the transcripts of 1.0.51 to 2.1.330.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlm_mcp.events import (
    Action,
    AgentTask,
    Command,
    EditKind,
    FileEdit,
    FileRead,
    Lookup,
    OtherTool,
    Payload,
    PlanProposed,
    QuestionAsked,
    Todo,
    TodoStatus,
    TodoUpdate,
)
from rlm_mcp.text import one_line
from rlm_mcp.transcripts.claude_code_text import content_text

_EXIT_CODE = re.compile(r"\A(?:Error: )?Exit code (\d{1,5})(?:\n|\Z)")
_NUMBERED = re.compile(r"^\s{0,6}\d{1,7}[\u2192\t]", re.MULTILINE)
_AGENT_ID = re.compile(r"^agentId: ([\w-]{1,80})", re.MULTILINE)
_TASK_NUMBER = re.compile(r"Task #(\S{1,40}) created")
_USER_SAID = re.compile(r"\bthe user said:\n?|reason for the rejection:\s*", re.IGNORECASE)
_REFUSED = (
    "The user doesn't want to",
    "User rejected",
    "[Request interrupted by user",
    "Permission for this",
    "Permission to use",
)
_ABORTED = "<error>Command was aborted before completion</error>"
_ANSWERED = re.compile(r'"(?P<question>(?:[^"\\]|\\.)*)"="(?P<answer>[^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """One finished call."""

    name: str
    arguments: dict[str, Any]
    text: str
    """What came back, whole."""
    detail: dict[str, Any]
    """``toolUseResult`` where it is an object, else empty."""
    failed: bool = False
    cwd: str = ""
    seconds: float | None = None


def full_text(shown: str, detail: Any) -> str:
    """The longer of what the model saw and what the client kept beside it."""
    kept = ""
    if isinstance(detail, dict):
        streams = [detail[key] for key in ("stdout", "stderr") if isinstance(detail.get(key), str) and detail[key]]
        file = detail.get("file")
        if streams and not detail.get("isImage"):
            kept = "\n".join(streams)
        elif isinstance(file, dict) and isinstance(file.get("content"), str) and detail.get("type") == "text":
            kept = file["content"]
        elif isinstance(detail.get("content"), str) and detail.get("mode") == "content":
            kept = detail["content"]
    return kept if len(kept) > len(shown) else shown


def picture_of(detail: Any) -> tuple[tuple[Payload, ...], str]:
    """The picture a shell command printed, and the marker that stands for it."""
    if not isinstance(detail, dict) or detail.get("isImage") is not True or not isinstance(detail.get("stdout"), str):
        return (), ""
    head, _, encoded = detail["stdout"].partition(";base64,")
    block = {"type": "base64", "media_type": head.removeprefix("data:") or "image/png", "data": encoded}
    marker, payloads = content_text([{"type": "image", "source": block}])
    return payloads, marker


def refused(result: ToolResult) -> bool:
    """The user or a rule said no: the tool never ran."""
    return result.failed and result.text.startswith(_REFUSED)


def words_of_user(result_text: str) -> str:
    """What the user said when refusing a tool; empty where nothing."""
    found = _USER_SAID.search(result_text)
    return result_text[found.end() :].strip() if found else ""


def actions_of(result: ToolResult) -> tuple[Action, ...]:
    """What the tool did; a failed change to a file is no change, only a failed tool."""
    if result.name == "ExitPlanMode":
        return (_plan(result),)
    if refused(result):
        return (_other(result),)
    return _BY_TOOL.get(result.name, _any_tool)(result)


def _any_tool(result: ToolResult) -> tuple[Action, ...]:
    return (_other(result),)


def _other(result: ToolResult) -> OtherTool:
    parts = [f"{key}={one_line(str(value), 80)}" for key, value in list(result.arguments.items())[:8]]
    return OtherTool(name=result.name, summary=one_line(", ".join(parts), 300), failed=result.failed)


def _string(source: dict[str, Any], *keys: str) -> str:
    return next((source[key] for key in keys if isinstance(source.get(key), str)), "")


def _number(source: dict[str, Any], key: str) -> int:
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


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
            command=_string(result.arguments, "command"),
            cwd=result.cwd,
            exit_code=exit_code,
            failed=result.failed or interrupted,
            seconds=result.seconds,
            output=output,
        ),
    )


def _read(result: ToolResult) -> tuple[Action, ...]:
    if result.failed:
        return _any_tool(result)
    file = result.detail.get("file")
    shown = file if isinstance(file, dict) else {}
    content = _string(shown, "content") or _NUMBERED.sub("", result.text)
    offset = _number(result.arguments, "offset")
    limit = _number(result.arguments, "limit")
    first = _number(shown, "startLine") or offset
    lines = _number(shown, "numLines")
    total = _number(shown, "totalLines")
    whole = (not offset and not limit) or (first <= 1 and total > 0 and lines >= total)
    last = first + lines - 1 if first and lines else first + limit - 1 if first and limit else 0
    return (
        FileRead(
            path=_string(shown, "filePath") or _string(result.arguments, "file_path", "notebook_path", "path"),
            first_line=0 if whole else max(first, 1),
            last_line=0 if whole else last,
            content_sha256=hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16] if content else "",
        ),
    )


def _edit(result: ToolResult) -> tuple[Action, ...]:
    if result.failed:
        return _any_tool(result)
    detail, arguments = result.detail, result.arguments
    removed, added = _patch_lines(detail.get("structuredPatch"))
    created = detail.get("type") == "create"
    if not removed and not added:
        removed, added = _lines_of_arguments(arguments, created)
    return (
        FileEdit(
            path=_string(detail, "filePath") or _string(arguments, "file_path", "notebook_path"),
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
            removed += _lines(_string(edit, "old_string"))
            added += _lines(_string(edit, "new_string", "new_source", "content"))
    return ([], added) if created else (removed, added)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _search(result: ToolResult) -> tuple[Action, ...]:
    what = _string(result.arguments, "pattern", "query", "url", "path")
    where = _string(result.arguments, "path", "prompt", "glob") if what != result.arguments.get("path") else ""
    return (Lookup(what=what, where=where),)


_STATUSES = {status.value: status for status in TodoStatus} | {"deleted": TodoStatus.CANCELLED}


def _todos(result: ToolResult) -> tuple[Action, ...]:
    listed = result.arguments.get("todos")
    if result.failed or not isinstance(listed, list):
        return _any_tool(result)
    todos = [
        Todo(
            todo_id=str(todo.get("id") or todo.get("content") or ""),
            text=str(todo.get("content") or ""),
            status=_STATUSES.get(str(todo.get("status")), TodoStatus.PENDING),
        )
        for todo in listed
        if isinstance(todo, dict)
    ]
    return (TodoUpdate(todos=tuple(todos), whole_list=True),)


def _task_create(result: ToolResult) -> tuple[Action, ...]:
    if result.failed:
        return _any_tool(result)
    task = result.detail.get("task")
    made = task if isinstance(task, dict) else {}
    number = _TASK_NUMBER.search(result.text)
    subject = _string(made, "subject") or _string(result.arguments, "subject", "description")
    todo_id = str(made.get("id") or (number[1] if number else subject))
    return (TodoUpdate(todos=(Todo(todo_id=todo_id, text=subject, status=TodoStatus.PENDING),), whole_list=False),)


def _task_update(result: ToolResult) -> tuple[Action, ...]:
    status = _STATUSES.get(_string(result.arguments, "status"))
    subject = _string(result.arguments, "subject")
    todo_id = _string(result.arguments, "taskId", "id")
    if result.failed or result.detail.get("success") is False or not todo_id or (status is None and not subject):
        return _any_tool(result)
    change = result.detail.get("statusChange")
    before = _string(change, "to", "from") if isinstance(change, dict) else ""
    return (
        TodoUpdate(
            todos=(
                Todo(todo_id=todo_id, text=subject, status=status or _STATUSES.get(before, TodoStatus.IN_PROGRESS)),
            ),
            whole_list=False,
        ),
    )


def _plan(result: ToolResult) -> PlanProposed:
    text = _string(result.arguments, "plan") or _string(result.detail, "plan")
    if result.failed:
        accepted: bool | None = False if result.text.startswith(_REFUSED) else None
    else:
        accepted = True
    return PlanProposed(text=text or result.text, accepted=accepted)


def _questions(result: ToolResult) -> tuple[Action, ...]:
    listed = result.arguments.get("questions")
    answers = result.detail.get("answers")
    known = dict(answers) if isinstance(answers, dict) else {}
    for found in _ANSWERED.finditer(result.text):
        known.setdefault(found["question"], found["answer"])
    asked = [
        QuestionAsked(question=question, answer=str(known.get(question, "")))
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict) and (question := _string(item, "question"))
    ]
    return tuple(asked) if asked else _any_tool(result)


def _agent(result: ToolResult) -> tuple[Action, ...]:
    detail = result.detail
    running = detail.get("isAsync") is True or detail.get("status") == "async_launched"
    content = detail.get("content")
    closing = "\n".join(
        block["text"]
        for block in (content if isinstance(content, list) else ())
        if isinstance(block, dict) and isinstance(block.get("text"), str)
    )
    named = _AGENT_ID.search(result.text)
    return (
        AgentTask(
            description=_string(result.arguments, "description"),
            prompt=_string(result.arguments, "prompt"),
            result="" if running else closing or result.text,
            agent=_string(detail, "agentId") or (named[1] if named else ""),
            failed=result.failed,
        ),
    )


def _agent_output(result: ToolResult) -> tuple[Action, ...]:
    task = result.detail.get("task")
    if not isinstance(task, dict) or _string(task, "task_type") not in {"local_agent", "remote_agent"}:
        return _any_tool(result)
    status = _string(task, "status")
    return (
        AgentTask(
            description=_string(task, "description"),
            prompt=_string(task, "prompt"),
            result="" if status == "running" else _string(task, "result", "output") or result.text,
            agent=_string(task, "task_id"),
            failed=result.failed or status in {"failed", "killed"},
        ),
    )


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
    "TodoWrite": _todos,
    "TaskCreate": _task_create,
    "TaskUpdate": _task_update,
    "AskUserQuestion": _questions,
    "Task": _agent,
    "Agent": _agent,
    "TaskOutput": _agent_output,
    "AgentOutputTool": _agent_output,
}
