"""Codex's tools: what a call says, and what its output did.

Shapes seen in rollouts of 0.101, 0.142 and 0.169. Outputs carry the client's framing in front of the tool's own text::

    Chunk ID: 2238c8                       exec_command and write_stdin
    Wall time: 0.1597 seconds
    Process exited with code 0             or: Process running with session ID 66818
    Original token count: 1009
    Output:
    ...

    Exit code: 0                           shell, shell_command, apply_patch
    Wall time: 0.2 seconds
    Output:
    ...

    {"output": "...", "metadata": {"exit_code": 0, "duration_seconds": 0.2}}     the same, older

    Script completed                       exec: a script that calls the other tools (code mode, gpt-6 models)
    Wall time 0.1 seconds
    Output:
    ...
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
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
from rlm_mcp.transcripts.codex_patch import absolute, edits_of_patch, patch_within

SHELLS = frozenset({"exec_command", "shell", "shell_command", "local_shell", "container.exec", "user_shell"})
_SHELL_PROGRAMS = re.compile(r"(?:.*[/\\])?(?:(?:ba|z|da|k)?sh|powershell|pwsh)(?:\.exe)?", re.IGNORECASE)
_HEADER_LINE = re.compile(
    r"Chunk ID: \S*|Wall time: (?P<seconds>[\d.]+) seconds|Process exited with code (?P<exited>-?\d+)"
    r"|Process running with session ID (?P<session>\d+)|Exit code: (?P<code>-?\d+)|Original token count: \d+"
    r"|Total output lines: \d+|Script \w+|Wall time (?P<script>[\d.]+) seconds|Output:"
)
_FAILURE = re.compile(
    r"(?:unsupported (?:custom tool )?call|failed\b|error\b|err:|aborted\b|rejected\b|timed out|tool call error)"
    r"|[a-z_ ]{1,40} (?:failed|error|rejected)\b",
    re.IGNORECASE,
)
_SCRIPTED_STEP = re.compile(
    r"""step["']?\s*:\s*(?P<quote>["'`])(?P<text>(?:\\.|(?!(?P=quote)).)*)(?P=quote)\s*,\s*["']?status["']?\s*:\s*["'](?P<status>\w+)""",
    re.DOTALL,
)
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
class Framed:
    """An output without the client's framing."""

    output: str
    exit_code: int | None = None
    seconds: float | None = None
    session: str = ""
    """Of a process that still runs."""
    framed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a tool's output says."""

    text: str
    actions: tuple[Action, ...] = ()
    failed: bool = False
    payloads: tuple[Payload, ...] = ()
    session: str = ""
    """Of a process that still runs."""


def arguments(argument: str) -> dict[str, Any]:
    """The call's arguments; empty where they are not a JSON object."""
    try:
        value = json.loads(argument)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str:
    """``value`` if it is a string, else empty."""
    return value if isinstance(value, str) else ""


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
    return "\n".join([call.tool, *(f"{name}: {_plain(value)}" for name, value in given.items())])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def unframe(text: str) -> Framed:
    """``text`` without the client's framing, which is read; unframed text comes back as it is."""
    if text.startswith('{"output":'):
        given = arguments(text)
        metadata = given.get("metadata")
        if isinstance(given.get("output"), str) and isinstance(metadata, dict):
            code, seconds = metadata.get("exit_code"), metadata.get("duration_seconds")
            return Framed(
                output=given["output"],
                exit_code=code if isinstance(code, int) else None,
                seconds=float(seconds) if isinstance(seconds, int | float) else None,
                framed=True,
            )
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        line = text[position:] if end < 0 else text[position:end]
        header = _HEADER_LINE.fullmatch(line)
        if header is None:
            return Framed(output=text)
        found.update({name: value for name, value in header.groupdict().items() if value})
        position = len(text) if end < 0 else end + 1
        if line == "Output:":
            break
    else:
        return Framed(output=text)
    code = found.get("exited", found.get("code"))
    outer = Framed(
        output=text[position:],
        exit_code=int(code) if code else None,
        seconds=float(found["seconds"]) if "seconds" in found else None,
        session=found.get("session", ""),
        framed=True,
    )
    inner = unframe(outer.output) if outer.exit_code is None and outer.output.startswith("Exit code: ") else None
    return inner if inner is not None and inner.framed else outer


def output_parts(output: Any) -> tuple[str, tuple[Payload, ...]]:
    """Text and images of a tool's output: a string, content items, or ``{"content": ...}``."""
    if isinstance(output, str):
        return output, ()
    if isinstance(output, dict):
        inner = output.get("content_items") or output.get("content") or output.get("output")
        return output_parts(inner) if inner is not None else (_plain(output), ())
    texts: list[str] = []
    payloads: list[Payload] = []
    for item in output if isinstance(output, list) else []:
        if not isinstance(item, dict):
            continue
        if isinstance(item.get("text"), str):
            texts.append(item["text"])
        payload = image(item)
        if payload is not None:
            payloads.append(payload)
    if len(texts) > 1 and unframe(texts[0]).framed:
        return texts[0].rstrip("\n") + "\n" + "\n".join(texts[1:]), tuple(payloads)
    return "\n".join(texts), tuple(payloads)


def image(item: dict[str, Any]) -> Payload | None:
    """The image of a content item: a data address (``image_url``), or MCP's ``data`` and ``mimeType``."""
    address = item.get("image_url")
    if isinstance(address, dict):
        address = address.get("url")
    media, encoded = string(item.get("mimeType")), string(item.get("data"))
    if isinstance(address, str) and address.startswith("data:"):
        head, _, encoded = address[5:].partition(",")
        media = head.split(";")[0]
    if not encoded or not media:
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Payload(sha256=hashlib.sha256(content).hexdigest(), media_type=media, data=content)


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
        return edits or (OtherTool(name="apply_patch", summary=one_line(patch, 200), failed=command.failed),)
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
    words = " ".join(f"{name}={_plain(value)}" for name, value in given.items()) if given else call.argument
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


def as_arguments(given: Any = None, **named: Any) -> str:
    """Arguments as the model would have written them."""
    return json.dumps(named or given, ensure_ascii=False)


def file_path(address: str) -> str:
    """The path of a ``file://`` address; a path as it is."""
    if not address.startswith("file://"):
        return address
    encoded = address[len("file://") :].encode()
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), encoded).decode("utf-8", "replace")


def duration_seconds(duration: Any) -> float | None:
    """Seconds of ``{"secs", "nanos"}``."""
    if not isinstance(duration, dict):
        return None
    whole, nanos = duration.get("secs"), duration.get("nanos")
    return whole + nanos / 1e9 if isinstance(whole, int) and isinstance(nanos, int) else None


def mcp_outcome(call: Call, result: Any, error: Any) -> Outcome:
    """What an MCP tool's whole result says."""
    given = result if isinstance(result, dict) else {}
    text, payloads = output_parts(given.get("content"))
    if not text and not payloads and given.get("structuredContent") is not None:
        text = _plain(given["structuredContent"])
    failed = bool(given.get("isError") or given.get("is_error")) or error is not None
    if isinstance(error, dict):
        text = "\n".join(filter(None, [text, string(error.get("message"))]))
    action = OtherTool(name=call.tool, summary=_summary(call), failed=failed)
    return Outcome(text=clean(text), actions=(action,), failed=failed, payloads=payloads)
