"""Codex rollouts (0.101 to 0.169) -> Events.

A rollout is JSON Lines of ``{"timestamp", "type", "payload"}``. Types: ``session_meta`` first; ``turn_context``;
``response_item`` (what model and client exchange); ``event_msg`` (what the client shows); ``compacted``; from 0.169 on
``world_state`` and ``token_usage_record``. Seen in recorded files and in files made with the real client.

Most things stand in a rollout twice, and one of the two gives the Event:

* Prompts, replies and reasoning: whichever record comes first. Its text is remembered as an *echo*; the other kind of
  record with the same text is a mirror. 0.101 writes events before items for replies, 0.169 items before events for
  prompts; either order works, and so does a version that writes only one of them.
* Tool results: ``item_completed`` (or ``patch_apply_end``, ``*_end``) holds the whole output and is written before the
  ``*_output`` item, which holds what the model saw, cut. The first gives the RESULT; the second is a mirror, unless a
  hook put another text in its place: then a NOTE holds that text. Where a process outlives its call, the call's output
  is a RESULT of what was there, and the process's end is a second RESULT with the whole.
* ``replacement_history`` of ``compacted`` repeats records of the same file.

A sub-agent's thread has a rollout of its own, and is a Session of its own: its hooks and tool calls name its thread.
The agent's task and result stand at the thread that sent it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rlm_mcp.events import (
    Client,
    Command,
    Event,
    EventKind,
    LinkKind,
    OtherTool,
    Payload,
    PlanProposed,
    SessionNews,
    Skip,
    SkipReason,
)
from rlm_mcp.text import clean, one_line
from rlm_mcp.transcripts import codex_done, codex_output, codex_tools, codex_types
from rlm_mcp.transcripts.codex_done import Done
from rlm_mcp.transcripts.codex_messages import (
    Message,
    event_message,
    is_brief,
    item_message,
    plain,
    sections,
    squeezed,
    summary_body,
)
from rlm_mcp.transcripts.codex_output import string
from rlm_mcp.transcripts.codex_tools import Call, Outcome
from rlm_mcp.transcripts.reading import Reading

_KEPT_ECHOES = 64
_KEPT_CALLS = 256
_MIRROR = Reading(known_without_event=True)


class CodexReader:
    """Fulfils ``FormatReader`` for rollouts."""

    client = Client.CODEX

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        known = state or {}
        self._session: str = known.get("session", "")
        self._cwd: str = known.get("cwd", "")
        self._echoes: list[list[str]] = [list(echo) for echo in known.get("echoes", [])]
        self._calls: dict[str, list[str]] = dict(known.get("calls", {}))
        self._shown: dict[str, str] = dict(known.get("shown", {}))
        self._running: dict[str, list[str]] = dict(known.get("running", {}))
        self._tasks: dict[str, str] = dict(known.get("tasks", {}))
        self._here: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What must be known of earlier records, as JSON: the Session, echoes, and calls whose output is awaited."""
        return {
            "session": self._session,
            "cwd": self._cwd,
            "echoes": [list(echo) for echo in self._echoes],
            "calls": dict(self._calls),
            "shown": dict(self._shown),
            "running": dict(self._running),
            "tasks": dict(self._tasks),
        }

    def read(self, record: dict[str, Any], offset: int, length: int) -> Reading:
        """Events of one record; records of no known type come back as a Skip."""
        kind = record.get("type")
        payload = record.get("payload")
        about = record.get("metadata")
        self._here = {
            "offset": offset,
            "length": length,
            "time": _seconds(record.get("timestamp")),
            "summary": isinstance(about, dict) and about.get("compaction_output") is True,
        }
        if not isinstance(kind, str):
            return self._skip(SkipReason.NOT_A_RECORD, ", ".join(sorted(record))[:80])
        if kind in codex_types.SILENT_RECORDS:
            return _MIRROR
        by_record: dict[str, Callable[[dict[str, Any]], Reading]] = {
            "session_meta": self._session_meta,
            "turn_context": self._turn_context,
            "response_item": self._response_item,
            "event_msg": self._event_msg,
            "compacted": self._compacted,
            "inter_agent_communication": self._inter_agent,
        }
        if kind not in by_record:
            return self._skip(SkipReason.UNKNOWN_TYPE, kind)
        if not isinstance(payload, dict):
            return self._skip(SkipReason.UNEXPECTED_SHAPE, kind)
        return by_record[kind](payload)

    # What a record gives

    def _skip(self, reason: SkipReason, detail: str) -> Reading:
        return Reading(
            skip=Skip(reason=reason, detail=detail, offset=self._here["offset"], length=self._here["length"])
        )

    def _event(self, kind: EventKind, text: str, **more: Any) -> Event:
        return Event(
            kind=kind,
            text=clean(text),
            client_session=self._session,
            time=self._here["time"],
            record_offset=self._here["offset"],
            record_length=self._here["length"],
            **more,
        )

    def _events(self, *events: Event) -> Reading:
        return Reading(events=events) if events else _MIRROR

    def _note(self, text: str) -> Reading:
        return self._events(self._event(EventKind.NOTE, text)) if text.strip() else _MIRROR

    def _news(self, **more: Any) -> Reading:
        return Reading(news=(SessionNews(client_session=self._session, **more),), known_without_event=True)

    def _is_echo(self, role: str, text: str, source: str) -> bool:
        """Whether another kind of record has said this already; remembers it otherwise."""
        key = role + hashlib.sha256(squeezed(text).encode("utf-8", "replace")).hexdigest()[:16]
        for echo in self._echoes:
            if echo[0] == key and source not in echo[1:]:
                echo.append(source)
                return True
        self._echoes = [*self._echoes, [key, source]][-_KEPT_ECHOES:]
        return False

    # Top-level records

    def _session_meta(self, payload: dict[str, Any]) -> Reading:
        thread = string(payload.get("id")) or string(payload.get("session_id"))
        if self._session and thread != self._session:
            return _MIRROR  # forks of older clients copy the parent's records, its session_meta among them
        self._session = thread
        self._cwd = string(payload.get("cwd"))
        git = payload.get("git")
        forked_from = string(payload.get("forked_from_id"))
        base = payload.get("history_base")
        end = base.get("end_byte_offset") if isinstance(base, dict) and base.get("thread_id") == forked_from else 0
        return self._news(
            cwd=self._cwd,
            git_branch=string(git.get("branch")) if isinstance(git, dict) else "",
            client_version=string(payload.get("cli_version")),
            title=_sub_agent(payload),
            parent=forked_from,
            parent_bytes=end if type(end) is int and 0 < end < 1 << 63 else 0,
            link=LinkKind.FORK if forked_from else None,
        )

    def _turn_context(self, payload: dict[str, Any]) -> Reading:
        self._cwd = string(payload.get("cwd")) or self._cwd
        return self._news(cwd=self._cwd, model=string(payload.get("model")))

    def _compacted(self, payload: dict[str, Any]) -> Reading:
        message = string(payload.get("message"))
        told = not message.strip() or self._is_echo("summary", summary_body(message), "compacted")
        events = [] if told else [self._event(EventKind.SUMMARY, message)]
        events.append(self._event(EventKind.NOTE, "Context compacted"))
        return Reading(events=tuple(events), news=(SessionNews(client_session=self._session, compactions=1),))

    def _inter_agent(self, payload: dict[str, Any]) -> Reading:
        author, recipient = string(payload.get("author")), string(payload.get("recipient"))
        return self._note(f"Message from {author} to {recipient}: {plain(payload.get('content'))}")

    # Response items

    def _response_item(self, payload: dict[str, Any]) -> Reading:
        kind = string(payload.get("type"))
        if kind in codex_types.SILENT_ITEMS:
            return _MIRROR
        by_item: dict[str, Callable[[dict[str, Any]], Reading]] = {
            "message": lambda item: self._message(item_message(item), "item"),
            "agent_message": lambda item: self._note(
                f"Message from {string(item.get('author'))}: {plain(item.get('content'))}"
            ),
            "reasoning": lambda item: self._thinking(sections(item.get("summary"), item.get("content")), "item"),
            "function_call": self._call,
            "custom_tool_call": self._call,
            "local_shell_call": self._call,
            "tool_search_call": self._call,
            "function_call_output": self._output,
            "custom_tool_call_output": self._output,
            "tool_search_output": self._output,
            "web_search_call": self._web_search,
            "image_generation_call": self._image_generation,
        }
        if kind not in by_item:
            return self._skip(SkipReason.UNKNOWN_TYPE, f"response_item {kind}")
        return by_item[kind](payload)

    def _message(self, message: Message, source: str) -> Reading:
        if not message.text and not message.payloads:
            return _MIRROR
        if message.role == "reply" and self._here["summary"]:
            self._is_echo("summary", message.text, source)
            return self._events(self._event(EventKind.SUMMARY, message.text, uuid=message.uuid))
        if message.role != "note" and self._is_echo(message.role, message.echo, source):
            return _MIRROR
        kinds = {"prompt": EventKind.PROMPT, "reply": EventKind.REPLY}
        kind = kinds.get(message.role, EventKind.SUMMARY if is_brief(message.text) else EventKind.NOTE)
        return self._events(self._event(kind, message.text, uuid=message.uuid, payloads=message.payloads))

    def _thinking(self, texts: list[str], source: str) -> Reading:
        fresh = [text for text in texts if text.strip() and not self._is_echo("thinking", text, source)]
        return self._events(*([self._event(EventKind.THINKING, "\n\n".join(fresh))] if fresh else []))

    def _call(self, payload: dict[str, Any]) -> Reading:
        call = _call_of(payload, self._cwd)
        call_id = string(payload.get("call_id")) or string(payload.get("id"))
        self._remember(self._calls, call_id, [call.tool, call.argument, call.cwd])
        return self._events(
            self._event(
                EventKind.CALL,
                codex_tools.call_text(call),
                tool=call.tool,
                call_id=call_id,
                uuid=string(payload.get("id")),
            )
        )

    def _remember(self, known: dict[str, Any], key: str, value: Any) -> None:
        known[key] = value
        while len(known) > _KEPT_CALLS:
            del known[next(iter(known))]

    def _output(self, payload: dict[str, Any]) -> Reading:
        call_id = string(payload.get("call_id"))
        output = payload.get("output") if "output" in payload else payload.get("tools")
        shown = self._shown.pop(call_id, None)
        if shown is not None:
            self._calls.pop(call_id, None)
            return self._replaced(shown, output)
        known = self._calls.pop(call_id, None)
        call = Call(tool=known[0], argument=known[1], cwd=known[2]) if known else Call(tool="", argument="", cwd="")
        outcome = codex_tools.outcome(call, output, self._tasks)
        if call.tool == "spawn_agent":
            for action in outcome.actions:
                self._remember(self._tasks, getattr(action, "agent", ""), getattr(action, "description", ""))
        if outcome.session and call.tool != "write_stdin":
            self._remember(self._running, outcome.session, [call_id, *codex_tools.shell_command(call)])
        elif call.tool == "write_stdin":
            outcome = self._polled(call, outcome, codex_output.unframe(codex_output.output_parts(output)[0]))
        return self._events(self._result(call.tool, call_id, outcome))

    def _polled(self, call: Call, outcome: Outcome, framed: codex_output.Framed) -> Outcome:
        """The output of ``write_stdin``; the Command that ended with it, where no other record tells of its end."""
        session = str(codex_output.arguments(call.argument).get("session_id", ""))
        if framed.exit_code is None or session not in self._running:
            return outcome
        _, command, cwd = self._running.pop(session)
        ended = Command(
            command=clean(command),
            cwd=cwd,
            exit_code=framed.exit_code,
            failed=framed.exit_code != 0,
            output=outcome.text,
        )
        return Outcome(text=outcome.text, actions=(ended,), failed=outcome.failed, session=outcome.session)

    def _replaced(self, shown: str, output: Any) -> Reading:
        """The mirror of a RESULT; a NOTE where the model was shown something else (a hook's word)."""
        text = codex_output.unframe(codex_output.output_parts(output)[0]).output
        if _digest(text) == shown or "truncated" in text or not text.strip() or not shown:
            return _MIRROR
        return self._note(f"Shown to the model in place of the tool's output: {text}")

    def _result(self, tool: str, call_id: str, outcome: Outcome) -> Event:
        return self._event(
            EventKind.RESULT,
            outcome.text,
            tool=tool,
            call_id=call_id,
            failed=outcome.failed,
            actions=outcome.actions,
            payloads=outcome.payloads,
        )

    def _web_search(self, payload: dict[str, Any]) -> Reading:
        text, lookups = codex_tools.web_search(payload.get("action"))
        call_id = string(payload.get("id"))
        failed = payload.get("status") == "failed"
        return self._events(
            self._event(EventKind.CALL, text, tool="web_search", call_id=call_id),
            self._result("web_search", call_id, Outcome(text=text, actions=lookups, failed=failed)),
        )

    def _image_generation(self, payload: dict[str, Any]) -> Reading:
        prompt, call_id = string(payload.get("revised_prompt")), string(payload.get("id"))
        made = codex_output.image({"data": string(payload.get("result")), "mimeType": "image/png"})
        payloads: tuple[Payload, ...] = (made,) if made else ()
        action = OtherTool(name="image_generation", summary=clean(one_line(prompt, 200)))
        text = f"[image: {prompt}]"
        return self._events(
            self._event(
                EventKind.CALL, f"image_generation {prompt}".rstrip(), tool="image_generation", call_id=call_id
            ),
            self._result("image_generation", call_id, Outcome(text=text, actions=(action,), payloads=payloads)),
        )

    # Event messages

    def _event_msg(self, payload: dict[str, Any]) -> Reading:
        kind = string(payload.get("type"))
        if kind in codex_types.SILENT_EVENTS:
            return _MIRROR
        by_event: dict[str, Callable[[dict[str, Any]], Reading]] = {
            "user_message": lambda event: self._message(event_message("prompt", event), "event"),
            "agent_message": lambda event: self._message(event_message("reply", event), "event"),
            "agent_reasoning": lambda event: self._thinking([string(event.get("text"))], "event"),
            "agent_reasoning_raw_content": lambda event: self._thinking([string(event.get("text"))], "event"),
            "token_count": self._token_count,
            "item_completed": self._item_completed,
            "patch_apply_end": lambda event: self._done(codex_done.file_change(event)),
            "exec_command_end": self._command,
            "mcp_tool_call_end": lambda event: self._done(codex_done.mcp_call_end(event)),
            "turn_aborted": lambda event: self._message(
                Message(role="aborted", text=f"Turn aborted: {string(event.get('reason')) or 'interrupted'}"), "event"
            ),
            "thread_name_updated": lambda event: self._news(title=clean(string(event.get("thread_name")))),
            "thread_rolled_back": lambda event: self._note(f"Thread rolled back by {event.get('num_turns')} turns"),
            "thread_goal_updated": lambda event: self._note(f"Goal: {plain(event.get('goal'))}"),
        }
        if kind in by_event:
            return by_event[kind](payload)
        if kind in codex_types.TOLD_EVENTS:
            return self._note(f"{kind}: {string(payload.get('message')) or plain(payload)}")
        if kind in codex_types.MODE_EVENTS:
            rest = {name: value for name, value in payload.items() if name != "type"}
            return self._note(f"{kind}: {plain(rest)}")
        return self._skip(SkipReason.UNKNOWN_TYPE, f"event_msg {kind}")

    def _token_count(self, payload: dict[str, Any]) -> Reading:
        usage = payload.get("info")
        last = usage.get("last_token_usage") if isinstance(usage, dict) else None
        total = last.get("total_tokens") if isinstance(last, dict) else None
        return self._news(window_tokens=total) if isinstance(total, int) and total else _MIRROR

    def _item_completed(self, payload: dict[str, Any]) -> Reading:
        item = payload.get("item")
        if not isinstance(item, dict):
            return self._skip(SkipReason.UNEXPECTED_SHAPE, "item_completed")
        kind = string(item.get("type"))
        if kind in codex_types.SILENT_DONE:
            return _MIRROR
        by_item: dict[str, Callable[[dict[str, Any]], Reading]] = {
            "UserMessage": lambda done: self._message(event_message("prompt", done), "done"),
            "AgentMessage": lambda done: self._message(event_message("reply", done), "done"),
            "Reasoning": lambda done: self._thinking(
                sections(done.get("summary_text"), done.get("raw_content")), "done"
            ),
            "CommandExecution": self._command,
            "FileChange": lambda done: self._done(codex_done.file_change(done)),
            "McpToolCall": lambda done: self._done(codex_done.mcp_call(done)),
            "ImageView": self._image_view,
            "Plan": self._plan,
        }
        if kind not in by_item:
            return self._skip(SkipReason.UNKNOWN_TYPE, f"item_completed {kind}")
        return by_item[kind](item)

    def _done(self, done: Done) -> Reading:
        """A RESULT whose ``*_output`` item is still to come; with its CALL where no item told of it."""
        called = self._calls.get(done.call_id)
        known = called is not None or any(process[0] == done.call_id for process in self._running.values())
        call = Call(tool=called[0] if called else done.tool, argument=done.argument, cwd=called[2] if called else "")
        events = [self._result(call.tool, done.call_id, done.outcome)]
        if not known:
            text = codex_tools.call_text(call)
            events.insert(0, self._event(EventKind.CALL, text, tool=call.tool, call_id=done.call_id))
        if called is not None:
            self._remember(self._shown, done.call_id, _digest(done.outcome.text))
        return self._events(*events)

    def _command(self, item: dict[str, Any]) -> Reading:
        done = codex_done.command(item, self._cwd)
        if done.tool == "user_shell":
            self._is_echo(done.tool, codex_output.string(codex_output.arguments(done.argument).get("cmd")), "done")
        reading = self._done(done)
        self._running = {session: process for session, process in self._running.items() if process[0] != done.call_id}
        return reading

    def _image_view(self, item: dict[str, Any]) -> Reading:
        done = codex_done.image_view(item)
        return _MIRROR if done.call_id in self._calls else self._done(done)  # its output item holds the image

    def _plan(self, item: dict[str, Any]) -> Reading:
        text = clean(string(item.get("text")))
        if not text:
            return _MIRROR
        plan = Outcome(text=text, actions=(PlanProposed(text=text),))
        return self._events(self._result("plan", string(item.get("id")), plan))


def _call_of(payload: dict[str, Any], cwd: str) -> Call:
    kind, name, namespace = (string(payload.get(key)) for key in ("type", "name", "namespace"))
    if kind == "local_shell_call":
        action = payload.get("action")
        given = action if isinstance(action, dict) else {}
        argument = codex_output.as_arguments(command=given.get("command"), workdir=given.get("working_directory"))
        return Call(tool="local_shell", argument=argument, cwd=cwd)
    given_argument = payload.get("input") if kind == "custom_tool_call" else payload.get("arguments")
    if kind == "tool_search_call":
        name = "tool_search"
    if namespace.startswith("mcp__"):
        name = f"{namespace}__{name}"
    text = given_argument if isinstance(given_argument, str) else codex_output.as_arguments(given_argument)
    return Call(tool=name, argument=text, cwd=cwd)


def _sub_agent(payload: dict[str, Any]) -> str:
    """Title of a sub-agent's thread; empty for people's own threads."""
    source = payload.get("source")
    spawn = source.get("subagent") if isinstance(source, dict) else None
    thread = spawn.get("thread_spawn") if isinstance(spawn, dict) else None
    told = thread if isinstance(thread, dict) else {}
    parent = string(payload.get("parent_thread_id")) or string(told.get("parent_thread_id"))
    name = string(payload.get("agent_nickname")) or string(told.get("agent_nickname"))
    return f"sub-agent {name} of {parent}".replace("  ", " ") if parent else ""


def _digest(text: str) -> str:
    return hashlib.sha256(squeezed(clean(text)).encode()).hexdigest()[:16]


def _seconds(timestamp: Any) -> float | None:
    try:
        return datetime.fromisoformat(timestamp).timestamp() if isinstance(timestamp, str) else None
    except ValueError:
        return None
