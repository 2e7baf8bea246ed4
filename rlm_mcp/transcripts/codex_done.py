"""Codex's own records of things done: completed items (0.169) and ``*_end`` events (before), with the whole output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rlm_mcp.events import Action, Command, FileRead, OtherTool
from rlm_mcp.text import clean, one_line
from rlm_mcp.transcripts.codex_output import as_arguments, duration_seconds, file_path, string
from rlm_mcp.transcripts.codex_patch import edits_of_changes
from rlm_mcp.transcripts.codex_tools import Call, Outcome, command_actions, command_line, mcp_outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One thing done."""

    call_id: str
    tool: str
    """Where no item told of the call."""
    argument: str
    """The same."""
    outcome: Outcome


def command(item: dict[str, Any], cwd: str) -> Done:
    """A shell command, of the model or (``user_shell``) of the user."""
    line = clean(command_line(item.get("command")))
    output = item.get("aggregated_output")
    if not isinstance(output, str):
        output = string(item.get("stdout")) + string(item.get("stderr"))
    code = item.get("exit_code")
    ran = Command(
        command=line,
        cwd=file_path(string(item.get("cwd"))) or cwd,
        exit_code=code if isinstance(code, int) else None,
        failed=code != 0,
        seconds=duration_seconds(item.get("duration")),
        output=clean(output),
    )
    return Done(
        call_id=_call_id(item),
        tool="user_shell" if item.get("source") == "user_shell" else "exec_command",
        argument=as_arguments(cmd=line),
        outcome=Outcome(text=ran.output, actions=command_actions(ran), failed=ran.failed),
    )


def file_change(item: dict[str, Any]) -> Done:
    """A patch that was applied, or refused."""
    failed = item.get("success") is False or item.get("status") in {"failed", "declined"}
    edits = edits_of_changes(item.get("changes"))
    touched = ", ".join(edit.path for edit in edits)
    actions: tuple[Action, ...] = () if failed else edits
    if not actions:
        actions = (OtherTool(name="apply_patch", summary=one_line(touched, 200), failed=failed),)
    text = clean("\n".join(filter(None, [string(item.get("stdout")), string(item.get("stderr"))])))
    return Done(
        call_id=_call_id(item),
        tool="apply_patch",
        argument=as_arguments(files=touched),
        outcome=Outcome(text=text, actions=actions, failed=failed),
    )


def mcp_call(item: dict[str, Any]) -> Done:
    """A call of an MCP server's tool."""
    server = re.sub(r"\W", "_", string(item.get("server")))
    call = Call(tool=f"mcp__{server}__{string(item.get('tool'))}", argument=as_arguments(item.get("arguments")), cwd="")
    return Done(
        call_id=_call_id(item),
        tool=call.tool,
        argument=call.argument,
        outcome=mcp_outcome(call, item.get("result"), item.get("error")),
    )


def mcp_call_end(event: dict[str, Any]) -> Done:
    """The same, as an event: ``invocation``, and ``result`` of ``Ok`` or ``Err``."""
    invocation, result = event.get("invocation"), event.get("result")
    given = invocation if isinstance(invocation, dict) else {}
    ended = result if isinstance(result, dict) else {}
    wrong = ended.get("Err")
    error = {"message": wrong} if isinstance(wrong, str) else None
    return mcp_call({"id": event.get("call_id"), **given, "result": ended.get("Ok"), "error": error})


def image_view(item: dict[str, Any]) -> Done:
    """An image that the model was shown."""
    path = file_path(string(item.get("path")))
    shown = Outcome(text=f"[image: {path}]", actions=(FileRead(path=path),))
    return Done(call_id=_call_id(item), tool="view_image", argument=as_arguments(path=path), outcome=shown)


def _call_id(item: dict[str, Any]) -> str:
    return string(item.get("id")) or string(item.get("call_id"))
