"""Codex's tools: what a call says, and what its output did."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from typing import Any

from rlm_mcp.events import (
    Action,
    AgentTask,
    Command,
    FileRead,
    Lookup,
    OtherTool,
    Payload,
    QuestionAsked,
    Todo,
    TodoStatus,
    TodoUpdate,
)
from rlm_mcp.text import clean, one_line
from rlm_mcp.transcripts.codex_output import Framed, arguments, output_parts, plain_json, string, unframe
from rlm_mcp.transcripts.codex_patch import absolute, edits_of_patch, patch_within

SHELLS = frozenset({"exec_command", "shell", "shell_command", "local_shell", "container.exec", "user_shell"})
_SHELL_PROGRAMS = re.compile(r"(?:.*[/\\])?(?:(?:ba|z|da|k)?sh|powershell|pwsh)(?:\.exe)?", re.IGNORECASE)
_FAILURE = re.compile(
    r"(?:unsupported (?:custom tool )?call|failed\b|error\b|err:|aborted\b|rejected\b|timed out|tool call error)"
    r"|[a-z_ ]{1,40} (?:failed|error|rejected)\b",
    re.IGNORECASE,
)
_SCRIPTED_STEP = re.compile(
    r"""step["']?\s*:\s*(?P<quote>["'`])(?P<text>(?:\\.|(?!(?P=quote)).)*)(?P=quote)\s*,\s*["']?status["']?\s*:\s*["'](?P<status>\w+)""",
    re.DOTALL,
)
_ONLY_A_PATCH = re.compile(r"\s*(?:cd \S+ && )?apply_patch\s+<<-?\s*(['\"]?)(?P<end>\w+)\1\n.*\n(?P=end)\s*", re.DOTALL)
_READING = re.compile(
    r"(?:cd (?P<cwd>[^\s;&|]+) && )?"
    r"(?:(?:cat|nl)(?: -\w+)*|sed -n '?(?P<first>\d+),(?P<last>\d+)p'?|head -n? ?(?P<head>\d+))"
    r" (?P<path>[^\s;&|<>*?$`(]+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call whose output is awaited."""

    tool: str
    """``mcp__server__tool`` for MCP tools."""
    argument: str
    """As the model wrote it: JSON text, or the free text of a custom tool."""
    cwd: str
    """Of the turn it was made in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a tool's output says."""

    text: str
    actions: tuple[Action, ...] = ()
    failed: bool = False
    payloads: tuple[Payload, ...] = ()
    session: str = ""
    """Of a process that still runs."""


def command_line(command: Any) -> str:
    """A command as typed: the script of ``bash -lc SCRIPT``, else the words joined."""
    if isinstance(command, str):
        return command
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        return ""
    if len(command) == 3 and _SHELL_PROGRAMS.fullmatch(command[0]) and command[1].lower() in {"-lc", "-c", "-command"}:
        return str(command[2])
    if len(command) == 2 and command[0] == "apply_patch":
        return f"apply_patch <<'EOF'\n{command[1]}\nEOF"
    return shlex.join(command)


def shell_command(call: Call) -> tuple[str, str]:
    """Command and working directory of a shell tool's call; empty where it is none."""
    if call.tool not in SHELLS:
        return "", call.cwd
    given = arguments(call.argument)
    command = command_line(given.get("cmd") or given.get("command"))
    return command, absolute(string(given.get("workdir")), call.cwd) or call.cwd


def call_text(call: Call) -> str:
    """The call as a person would read it."""
    command, _ = shell_command(call)
    if command:
        return f"$ {command}"
    given = arguments(call.argument)
    if call.tool == "apply_patch":
        touched = string(given.get("files"))
        return string(given.get("input")) or (f"apply_patch {touched}" if touched else call.argument)
    if call.tool == "update_plan":
        marks = {"completed": "[x]", "in_progress": "[>]"}
        steps = [f"{marks.get(todo.status.value, '[ ]')} {todo.text}" for todo in _todos(given)]
        return "\n".join(["update_plan", *filter(None, [string(given.get("explanation"))]), *steps])
    if not given:
        return f"{call.tool} {call.argument}".rstrip() if call.argument.strip(" {}") else call.tool
    return "\n".join([call.tool, *(f"{name}: {plain_json(value)}" for name, value in given.items())])


def outcome(call: Call, output: Any, tasks: dict[str, str]) -> Outcome:
    """What the output of ``call`` says, where no richer record of it exists.

    Args:
        tasks: descriptions of sub-agents by id.
    """
    text, payloads = output_parts(output)
    text = clean(text)
    command, cwd = shell_command(call)
    if command or call.tool == "write_stdin":
        return _shell_outcome(call, unframe(text), command, cwd)
    framed = unframe(text)
    failed = bool(framed.exit_code) or (not framed.framed and _FAILURE.match(framed.output) is not None)
    if isinstance(output, dict) and output.get("success") is False:
        failed = True
    actions = _actions(call, framed.output, failed, tasks)
    shown = framed.output
    if not shown and payloads:
        shown = f"[image: {string(arguments(call.argument).get('path')) or call.tool}]"
    return Outcome(text=shown, actions=actions, failed=failed, payloads=payloads)


def _shell_outcome(call: Call, framed: Framed, command: str, cwd: str) -> Outcome:
    failed = bool(framed.exit_code) or not framed.framed
    if not command:
        return Outcome(
            text=framed.output,
            actions=(OtherTool(name=call.tool, summary=_summary(call), failed=failed),),
            failed=failed,
            session=framed.session,
        )
    actions: tuple[Action, ...] = command_actions(
        Command(
            command=clean(command),
            cwd=cwd,
            exit_code=framed.exit_code,
            failed=failed,
            seconds=framed.seconds,
            output=framed.output,
        )
    )
    return Outcome(text=framed.output, actions=actions, failed=failed, session=framed.session)


def command_actions(command: Command) -> tuple[Action, ...]:
    """What a shell command did: itself, or the edits of an ``apply_patch`` in it, and the file it showed."""
    patch = patch_within(command.command) if "apply_patch" in command.command else ""
    if patch:
        edits = edits_of_patch(patch, command.cwd) if not command.failed else ()
        if _ONLY_A_PATCH.fullmatch(command.command):
            return edits or (OtherTool(name="apply_patch", summary=one_line(patch, 200), failed=command.failed),)
        return (command, *edits)
    found = _READING.fullmatch(command.command.strip())
    if found is None or command.failed or command.exit_code is None:
        return (command,)
    first, last = (int(found["first"]), int(found["last"])) if found["first"] else (0, 0)
    if found["head"]:
        first, last = 1, int(found["head"])
    path = absolute(found["path"].strip("'\""), absolute(found["cwd"] or "", command.cwd) or command.cwd)
    digest = hashlib.sha256(command.output.encode("utf-8", "replace")).hexdigest()[:16]
    numbered = command.command.split("&& ")[-1].startswith("nl")
    shown = FileRead(path=path, first_line=first, last_line=last, content_sha256="" if numbered else digest)
    return (command, shown)


def _actions(call: Call, text: str, failed: bool, tasks: dict[str, str]) -> tuple[Action, ...]:
    given = arguments(call.argument)
    found: tuple[Action, ...] = ()
    if not failed:
        if call.tool == "apply_patch":
            found = edits_of_patch(string(given.get("input")) or call.argument, call.cwd)
        elif call.tool == "update_plan":
            found = (TodoUpdate(todos=_todos(given), whole_list=True),)
        elif call.tool == "exec" and "update_plan(" in call.argument:
            found = _scripted_plan(call.argument)
        elif call.tool == "view_image" and given.get("path"):
            found = (FileRead(path=absolute(string(given["path"]), call.cwd)),)
        elif call.tool == "request_user_input":
            found = _questions(given, arguments(text))
    if call.tool in {"spawn_agent", "wait", "wait_agent"}:
        found = _agents(call.tool, given, arguments(text), tasks)
    return found or (OtherTool(name=call.tool, summary=_summary(call), failed=failed),)


def _summary(call: Call) -> str:
    given = arguments(call.argument)
    words = " ".join(f"{name}={plain_json(value)}" for name, value in given.items()) if given else call.argument
    return clean(one_line(words, 200))


def _scripted_plan(script: str) -> tuple[Action, ...]:
    """The plan that a script of code mode writes with literals; it leaves no other record."""
    steps = [
        {"step": re.sub(r"\\(.)", r"\1", found["text"]), "status": found["status"]}
        for found in _SCRIPTED_STEP.finditer(script, script.find("update_plan("))
    ]
    todos = _todos({"plan": steps})
    return (TodoUpdate(todos=todos, whole_list=True),) if todos else ()


def _todos(given: dict[str, Any]) -> tuple[Todo, ...]:
    steps = given.get("plan")
    known = {status.value for status in TodoStatus}
    todos = []
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict) and isinstance(step.get("step"), str):
            status = step.get("status")
            text = clean(step["step"])
            todos.append(
                Todo(todo_id=text, text=text, status=TodoStatus(status) if status in known else TodoStatus.PENDING)
            )
    return tuple(todos)


def _questions(given: dict[str, Any], answer: dict[str, Any]) -> tuple[Action, ...]:
    answers = answer.get("answers")
    asked: list[Action] = []
    questions = given.get("questions")
    for question in questions if isinstance(questions, list) else []:
        if not isinstance(question, dict):
            continue
        reply = answers.get(string(question.get("id"))) if isinstance(answers, dict) else None
        words = reply.get("answers") if isinstance(reply, dict) else reply
        said = ", ".join(word for word in words if isinstance(word, str)) if isinstance(words, list) else string(words)
        asked.append(QuestionAsked(question=clean(string(question.get("question"))), answer=clean(said)))
    return tuple(asked)


def _agents(tool: str, given: dict[str, Any], answer: dict[str, Any], tasks: dict[str, str]) -> tuple[Action, ...]:
    if tool == "spawn_agent":
        prompt = clean(string(given.get("message")))
        name = string(given.get("task_name")) or one_line(prompt, 120)
        agent = string(answer.get("agent_id")) or string(answer.get("task_name"))
        return (AgentTask(description=name, prompt=prompt, agent=agent, failed=not answer),)
    status = answer.get("status")
    done: list[AgentTask] = []
    for agent, state in status.items() if isinstance(status, dict) else []:
        if not isinstance(state, dict):
            continue
        done.extend(
            AgentTask(
                description=tasks.get(agent) or agent,
                result=clean(string(state[word])),
                agent=agent,
                failed=word == "errored",
            )
            for word in ("completed", "errored")
            if word in state
        )
    return tuple(done)


def web_search(action: Any) -> tuple[str, tuple[Lookup, ...]]:
    """Text and Lookups of a web search's action."""
    given = action if isinstance(action, dict) else {}
    kind = string(given.get("type")) or "search"
    queries = given.get("queries")
    words = [query for query in queries if isinstance(query, str)] if isinstance(queries, list) else []
    query = string(given.get("query"))
    if query and query not in words:
        words.insert(0, query)
    pattern, address = string(given.get("pattern")), string(given.get("url"))
    if kind == "search":
        return "web_search " + "; ".join(words), tuple(Lookup(what=clean(word), where="web") for word in words)
    what = pattern or address
    lookups = (Lookup(what=clean(what), where=clean(address) if pattern else "web"),) if what else ()
    return f"{kind} {pattern} {address}".replace("  ", " ").rstrip(), lookups


def mcp_outcome(call: Call, result: Any, error: Any) -> Outcome:
    """What an MCP tool's whole result says."""
    given = result if isinstance(result, dict) else {}
    text, payloads = output_parts(given.get("content"))
    if not text and not payloads and given.get("structuredContent") is not None:
        text = plain_json(given["structuredContent"])
    failed = bool(given.get("isError") or given.get("is_error")) or error is not None
    if isinstance(error, dict):
        text = "\n".join(filter(None, [text, string(error.get("message"))]))
    action = OtherTool(name=call.tool, summary=_summary(call), failed=failed)
    return Outcome(text=clean(text), actions=(action,), failed=failed, payloads=payloads)
