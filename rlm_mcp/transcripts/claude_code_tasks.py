"""Claude Code's tools that plan and hand out work: todos, plans, questions, sub-agents, background tasks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm_mcp.events import (
    Action,
    AgentTask,
    Command,
    PlanProposed,
    QuestionAsked,
    Todo,
    TodoStatus,
    TodoUpdate,
)
from rlm_mcp.transcripts.claude_code_results import REFUSALS, Call, ToolResult, any_tool, string

_AGENT_ID = re.compile(r"^agentId: ([\w-]{1,80})", re.MULTILINE)
_CODE_IN_SUMMARY = re.compile(r"exit code:? (\d{1,5})")
_TASK_NUMBER = re.compile(r"Task #(\S{1,40}) created")
_ANSWERED = re.compile(r'"(?P<question>(?:[^"\\]|\\.)*)"="(?P<answer>[^"]*)"')
_STATUSES = {status.value: status for status in TodoStatus} | {"deleted": TodoStatus.CANCELLED}


def todos(result: ToolResult) -> tuple[Action, ...]:
    """TodoWrite: the whole list."""
    listed = result.arguments.get("todos")
    if result.failed or not isinstance(listed, list):
        return any_tool(result)
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


def task_create(result: ToolResult) -> tuple[Action, ...]:
    """TaskCreate: one todo, under the number the client gave it."""
    if result.failed:
        return any_tool(result)
    task = result.detail.get("task")
    made = task if isinstance(task, dict) else {}
    number = _TASK_NUMBER.search(result.text)
    subject = string(made, "subject") or string(result.arguments, "subject", "description")
    todo_id = str(made.get("id") or (number[1] if number else subject))
    return (TodoUpdate(todos=(Todo(todo_id=todo_id, text=subject, status=TodoStatus.PENDING),), whole_list=False),)


def task_update(result: ToolResult) -> tuple[Action, ...]:
    """TaskUpdate: a new state, or a new subject, of one todo."""
    status = _STATUSES.get(string(result.arguments, "status"))
    subject = string(result.arguments, "subject")
    todo_id = string(result.arguments, "taskId", "id")
    if result.failed or result.detail.get("success") is False or not todo_id or (status is None and not subject):
        return any_tool(result)
    change = result.detail.get("statusChange")
    before = string(change, "to", "from") if isinstance(change, dict) else ""
    return (
        TodoUpdate(
            todos=(
                Todo(todo_id=todo_id, text=subject, status=status or _STATUSES.get(before, TodoStatus.IN_PROGRESS)),
            ),
            whole_list=False,
        ),
    )


def plan(result: ToolResult) -> PlanProposed:
    """ExitPlanMode: the plan, and whether the user took it."""
    text = string(result.arguments, "plan") or string(result.detail, "plan")
    if result.failed:
        accepted: bool | None = False if result.text.startswith(REFUSALS) else None
    else:
        accepted = True
    return PlanProposed(text=text or result.text, accepted=accepted)


def questions(result: ToolResult) -> tuple[Action, ...]:
    """AskUserQuestion: each question with its answer."""
    listed = result.arguments.get("questions")
    answers = result.detail.get("answers")
    known = dict(answers) if isinstance(answers, dict) else {}
    for found in _ANSWERED.finditer(result.text):
        known.setdefault(found["question"], found["answer"])
    asked = [
        QuestionAsked(question=question, answer=str(known.get(question, "")))
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict) and (question := string(item, "question"))
    ]
    return tuple(asked) if asked else any_tool(result)


def agent(result: ToolResult) -> tuple[Action, ...]:
    """Task or Agent: what a sub-agent was asked, and what it said where it has ended."""
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
            description=string(result.arguments, "description"),
            prompt=string(result.arguments, "prompt"),
            result="" if running else closing or result.text,
            agent=string(detail, "agentId") or (named[1] if named else ""),
            failed=result.failed,
        ),
    )


def _finished_command(result: ToolResult, exit_code: int | None, output: str) -> tuple[Action, ...]:
    command = string(result.arguments, "command")
    if not command:
        return any_tool(result)
    failed = result.failed or bool(exit_code)
    return (Command(command=command, cwd=result.cwd, exit_code=exit_code, failed=failed, output=output),)


def agent_output(result: ToolResult) -> tuple[Action, ...]:
    """TaskOutput: what a background task came to."""
    task = result.detail.get("task")
    if not isinstance(task, dict):
        return any_tool(result)
    status = string(task, "status")
    if string(task, "task_type") == "local_bash":
        exit_code = task.get("exitCode")
        return _finished_command(result, exit_code if isinstance(exit_code, int) else None, string(task, "output"))
    if string(task, "task_type") not in {"local_agent", "remote_agent"}:
        return any_tool(result)
    return (
        AgentTask(
            description=string(task, "description"),
            prompt=string(task, "prompt"),
            result="" if status == "running" else string(task, "result", "output") or result.text,
            agent=string(task, "task_id"),
            failed=result.failed or status in {"failed", "killed"},
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A background task's end, as the client announces it between tags."""

    task_id: str
    call_id: str
    status: str
    summary: str
    result: str


def notification_of(text: str) -> Notification | None:
    """The notification that ``text`` is; None where it is none."""
    if not text.lstrip().startswith(("<task-notification>", "<agent-notification>")):
        return None
    found = {tag: _between(text, tag) for tag in ("task-id", "agent-id", "tool-use-id", "status", "summary", "result")}
    return Notification(
        task_id=found["task-id"] or found["agent-id"],
        call_id=found["tool-use-id"],
        status=found["status"],
        summary=found["summary"],
        result=found["result"],
    )


def _between(text: str, tag: str) -> str:
    start = text.find(f"<{tag}>")
    end = text.rfind(f"</{tag}>") if tag == "result" else text.find(f"</{tag}>", start)
    return text[start + len(tag) + 2 : end].strip() if 0 <= start < end else ""


def actions_of_notification(call: Call, notice: Notification) -> tuple[Action, ...]:
    """What a background task came to. ``call`` began it."""
    failed = notice.status not in {"completed", "running", ""}
    if call.name == "Bash":
        code = _CODE_IN_SUMMARY.search(notice.summary)
        exit_code = int(code[1]) if code else None
        return (
            Command(
                command=string(call.arguments, "command"),
                cwd=call.cwd,
                exit_code=exit_code,
                failed=failed or bool(exit_code),
                output=notice.result,
            ),
        )
    if call.name in {"Task", "Agent"}:
        return (
            AgentTask(
                description=string(call.arguments, "description"),
                prompt=string(call.arguments, "prompt"),
                result=notice.result or notice.summary,
                agent=notice.task_id,
                failed=failed,
            ),
        )
    return ()
