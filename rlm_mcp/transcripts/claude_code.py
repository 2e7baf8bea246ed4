"""Claude Code transcripts (1.0.x to 2.1.330) -> Events.

A transcript is JSON Lines under ``projects/<folder>/<session>.jsonl``; sub-agents have files of their own under
``<session>/subagents/``, large results under ``<session>/tool-results/``. Record types: the client's own table
(2.1.330) and what the transcripts of older versions hold.

Some things stand in a transcript twice, and one of the two gives the Event:

* After a compaction that a mod answered, the messages it kept are written again, under new ids, between the boundary
  and the boundary's own time: copies. The first of them stands for what was folded: a SUMMARY.
* A queued prompt is first a ``queue-operation``, then mostly a user record or a ``queued_command`` attachment.
* A row with an id already seen (resumed sessions) is a copy.
* ``agent_progress`` mirrors a sub-agent's messages: used only where it has no file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from rlm_mcp.events import Action, Client, Event, EventKind, Payload, SessionNews, Skip, SkipReason
from rlm_mcp.text import clean, one_line
from rlm_mcp.transcripts import claude_code_files, claude_code_tools
from rlm_mcp.transcripts.claude_code_state import Memory
from rlm_mcp.transcripts.claude_code_text import call_text, content_text, outline, parts_of_prompt
from rlm_mcp.transcripts.claude_code_tools import ToolResult
from rlm_mcp.transcripts.reading import Reading

related_files = claude_code_files.related_files

_NOTHING = Reading(known_without_event=True)

_TRANSCRIPT_TYPES = frozenset({"user", "assistant", "system", "attachment", "progress", "queue-operation"})
_TITLES = {"summary": "summary", "custom-title": "customTitle", "ai-title": "aiTitle"}
_SILENT_TYPES = frozenset(
    {
        "agent-color", "agent-name", "agent-setting", "api-request", "api-request-blob", "api-request-resumed",
        "api-request-shape", "artifact-autoreact-ledger", "artifact-comment-monitor", "atis-latch",
        "attribution-snapshot", "bridge-session", "content-replacement", "continued-in", "cost-state",
        "data-flow-incomplete", "data-flow-records", "derived-from", "dev-mods", "ended-by-model", "file-history-delta",
        "file-history-snapshot", "fork-context-ref", "frame-link", "history-suppression", "host-row",
        "hybrid-organization", "isolation-latch", "last-prompt", "marble-origami-commit", "marble-origami-snapshot",
        "memory-mode", "mode", "observer-ref", "permission-mode", "relocated", "repl-mode", "resume-head-vouch",
        "session-owner", "speculation-accept", "tag", "tools-used", "worktree-state",
    }
)
"""Book-keeping: hashes, counters, switches and copies (the client's table of record types, 2.1.330)."""
_SILENT_ATTACHMENTS = frozenset(
    {
        "agent_listing_delta", "auto_mode", "auto_mode_exit", "command_permissions", "compaction_reminder",
        "context_efficiency", "date", "date_change", "deferred_tools_delta", "deferred_tools_record", "environment",
        "mcp_instructions_delta", "model", "output_token_usage", "prompt_snapshot", "remote_session_change",
        "session_context", "skill_listing", "structured_output", "task_reminder", "todo_reminder", "token_usage",
        "total_tokens_reminder", "ultrathink_effort", "verify_plan_reminder",
    }
)
_NOTIFICATIONS = ("<agent-notification>", "<task-notification>")
_ODD = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


def is_record(record: dict[str, Any]) -> bool:
    """Whether ``record`` is one of Claude Code's."""
    kind = record.get("type")
    if not isinstance(kind, str) or "payload" in record:
        return False
    if kind in _TRANSCRIPT_TYPES:
        return "sessionId" in record or ("uuid" in record and "message" in record)
    return "sessionId" in record or kind in _SILENT_TYPES or "leafUuid" in record


def reader_for(path: Path, state: dict[str, Any] | None) -> ClaudeCodeReader:
    """The reader of one file, the main transcript or a sub-agent's."""
    return ClaudeCodeReader(
        state, agent=claude_code_files.agent_of(path), folder=claude_code_files.session_folder(path)
    )


class ClaudeCodeReader:
    """Reads one transcript, record by record."""

    client = Client.CLAUDE_CODE

    def __init__(self, state: dict[str, Any] | None, agent: str = "", folder: Path | None = None) -> None:
        """Continues from ``state``; ``folder`` holds the session's ``subagents/`` and ``tool-results/``."""
        self._memory = Memory(state)
        self._agent = agent
        self._folder = folder
        self._handlers: dict[str, Callable[[dict[str, Any], _Row], Reading]] = {
            "user": self._user,
            "assistant": self._assistant,
            "system": self._system,
            "attachment": self._attachment,
            "progress": self._progress,
            "queue-operation": self._queue,
            "summary": self._title,
            "custom-title": self._title,
            "ai-title": self._title,
            "pr-link": self._pr_link,
        }

    def state(self) -> dict[str, Any]:
        """What must be remembered, fit for JSON."""
        return self._memory.to_json()

    def read(self, record: dict[str, Any], offset: int, length: int) -> Reading:
        """Events of one record; odd shapes are skipped, never raised."""
        kind = record.get("type")
        if not isinstance(kind, str):
            return _skip(SkipReason.NOT_A_RECORD, ", ".join(list(record)[:5]), offset, length)
        handler = self._handlers.get(kind)
        if handler is None:
            if kind in _SILENT_TYPES:
                return _NOTHING
            return _skip(SkipReason.UNKNOWN_TYPE, kind, offset, length)
        try:
            row = _Row(record, self._memory, self._agent, offset, length)
            if row.uuid and self._memory.seen(row.uuid):
                return _NOTHING
            reading = handler(record, row)
        except _ODD as error:
            return _skip(SkipReason.UNEXPECTED_SHAPE, f"{kind}: {type(error).__name__} {error}", offset, length)
        news = (*self._memory.news_of(record, row.session, main=not row.agent), *reading.news)
        if reading.events:
            self._memory.began = True
        return Reading(
            events=reading.events, news=news, skip=reading.skip, known_without_event=reading.known_without_event
        )

    def _user(self, record: dict[str, Any], row: _Row) -> Reading:
        content = record["message"]["content"]
        place = self._memory.place_after_compaction(record, row.time)
        if place == "copy":
            return _NOTHING
        if record.get("isCompactSummary") is True or place == "first":
            text, _ = content_text(content)
            return row.reading([row.event(EventKind.SUMMARY, text)] if text.strip() else [])
        results = [block for block in content if _is(block, "tool_result")] if isinstance(content, list) else []
        events = [event for block in results for event in self._result(record, block, row, len(results) == 1)]
        if not results or len(results) < len(content):
            events += self._said(record, content, row)
        return row.reading(events)

    def _said(self, record: dict[str, Any], content: Any, row: _Row) -> list[Event]:
        text, payloads = content_text(content)
        if not text.strip():
            return []
        origin = record.get("origin")
        source = origin.get("kind") if isinstance(origin, dict) else None
        if record.get("isMeta") is True:
            return [row.event(EventKind.NOTE, text, tool="meta", payloads=payloads)]
        if isinstance(source, str) and source not in {"human", "user"}:
            return [row.event(EventKind.NOTE, text, tool=source, payloads=payloads)]
        self._memory.unqueue(text)
        parts = parts_of_prompt(text)
        return [
            row.event(part.kind, part.text, tool=part.tool, payloads=payloads if part is parts[-1] else ())
            for part in parts
        ]

    def _result(self, record: dict[str, Any], block: dict[str, Any], row: _Row, alone: bool) -> list[Event]:
        call_id = str(block.get("tool_use_id") or "")
        call = self._memory.take_call(call_id)
        detail = record.get("toolUseResult") if alone else None
        shown, payloads = content_text(block.get("content"))
        text = claude_code_tools.full_text(shown, detail)
        if "<persisted-output>" in shown[:200] and self._folder is not None:
            text = claude_code_files.persisted(shown, self._folder) or text
        if not shown and not text and isinstance(detail, str):
            text = detail
        failed = block.get("is_error") is True
        result = ToolResult(
            name=call.name,
            arguments=call.arguments,
            text=text,
            detail=detail if isinstance(detail, dict) else {},
            failed=failed,
            cwd=_string(record, "cwd"),
            seconds=round(row.time - call.time, 3) if row.time and call.time else None,
        )
        picture, marker = claude_code_tools.picture_of(detail)
        events = [
            row.event(
                EventKind.RESULT,
                marker or text,
                tool=call.name,
                call_id=call_id,
                failed=failed,
                actions=claude_code_tools.actions_of(result) if call.name else (),
                payloads=(*payloads, *picture),
            )
        ]
        if failed and (words := claude_code_tools.words_of_user(text)):
            events.append(row.event(EventKind.PROMPT, words))
        return events

    def _assistant(self, record: dict[str, Any], row: _Row) -> Reading:
        message = record["message"]
        content = message["content"]
        if self._memory.place_after_compaction(record, row.time):
            return _NOTHING
        synthetic = message.get("model") == "<synthetic>"
        failed = record.get("isApiErrorMessage") is True
        said = EventKind.NOTE if synthetic and not failed else EventKind.REPLY
        events = []
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            kind = block["type"]
            if kind == "text" and block["text"].strip():
                events.append(row.event(said, block["text"], failed=failed))
            elif kind == "thinking" and block["thinking"].strip():
                events.append(row.event(EventKind.THINKING, block["thinking"]))
            elif kind in {"tool_use", "server_tool_use", "mcp_tool_use"}:
                name, call_id, arguments = str(block["name"]), str(block["id"]), block.get("input")
                self._memory.add_call(call_id, name, arguments, row.time)
                events.append(row.event(EventKind.CALL, call_text(name, arguments), tool=name, call_id=call_id))
            elif kind not in {"text", "thinking", "redacted_thinking"}:
                events.append(row.event(EventKind.NOTE, outline(block), tool=str(kind)))
        return row.reading(events)

    def _system(self, record: dict[str, Any], row: _Row) -> Reading:
        subtype = _string(record, "subtype")
        if subtype == "compact_boundary":
            return self._boundary(record, row)
        if subtype in {"stop_hook_summary", "turn_duration", "api_metrics", "file_snapshot"}:
            return _NOTHING
        text, _ = content_text(record.get("content"))
        if not text.strip():
            text = _string(record, "error") or (outline(record["error"]) if "error" in record else "")
        return row.reading([row.event(EventKind.NOTE, text, tool=subtype or "system")] if text.strip() else [])

    def _boundary(self, record: dict[str, Any], row: _Row) -> Reading:
        about = record.get("compactMetadata")
        known = about if isinstance(about, dict) else {}
        before = known.get("preTokens")
        size = f", {before:,} tokens before" if isinstance(before, int) else ""
        text = f"Conversation compacted ({known.get('trigger') or 'unknown trigger'}{size})"
        self._memory.open_compaction(row.uuid, row.time)
        news = () if row.agent else (SessionNews(client_session=row.session, compactions=1),)
        return row.reading([row.event(EventKind.NOTE, text, tool="compact_boundary")], news)

    def _attachment(self, record: dict[str, Any], row: _Row) -> Reading:
        attachment = record["attachment"]
        kind = str(attachment["type"])
        if kind == "queued_command":
            return self._queued_command(attachment, row)
        if kind in _SILENT_ATTACHMENTS:
            return _NOTHING
        text, payloads = claude_code_files.attachment_text(attachment, record.get("rendered"))
        if not text.strip():
            return _NOTHING
        return row.reading([row.event(EventKind.NOTE, text, tool=kind, payloads=payloads)])

    def _queued_command(self, attachment: dict[str, Any], row: _Row) -> Reading:
        text, payloads = content_text(attachment.get("prompt"))
        if not text.strip():
            return _NOTHING
        self._memory.unqueue(text)
        origin = attachment.get("origin")
        source = origin.get("kind") if isinstance(origin, dict) else None
        if text.lstrip().startswith(_NOTIFICATIONS) or attachment.get("commandMode") == "task-notification":
            return row.reading([row.event(EventKind.NOTE, text, tool="agent-notification")])
        if attachment.get("isMeta") is True or (isinstance(source, str) and source not in {"human", "user"}):
            return row.reading([row.event(EventKind.NOTE, text, tool=str(source or "meta"), payloads=payloads)])
        return row.reading(
            [row.event(part.kind, part.text, tool=part.tool, payloads=payloads) for part in parts_of_prompt(text)]
        )

    def _progress(self, record: dict[str, Any], row: _Row) -> Reading:
        about = record["data"]
        inner = about.get("message") if isinstance(about, dict) else None
        if about.get("type") != "agent_progress" or not isinstance(inner, dict):
            return _NOTHING
        agent = str(about.get("agentId") or "sidechain")
        if self._memory.has_own_file(agent, self._folder):
            return _NOTHING
        uuid = _string(inner, "uuid")
        if uuid and self._memory.seen(uuid):
            return _NOTHING
        pretended = {**inner, "sessionId": row.session, "cwd": _string(record, "cwd"), "isSidechain": True}
        inner_row = _Row(pretended, self._memory, agent, row.offset, row.length)
        if inner.get("type") == "assistant":
            return self._assistant(pretended, inner_row)
        return self._user(pretended, inner_row) if inner.get("type") == "user" else _NOTHING

    def _queue(self, record: dict[str, Any], row: _Row) -> Reading:
        operation = _string(record, "operation")
        text, _ = content_text(record.get("content"))
        if operation == "enqueue":
            if text.lstrip().startswith(_NOTIFICATIONS):
                return row.reading([row.event(EventKind.NOTE, text, tool="agent-notification")])
            dropped = self._memory.enqueue(text)
        elif operation == "dequeue":
            dropped = self._memory.dequeue(1, forget=True)
        else:
            dropped = self._memory.dequeue(99 if operation == "popAll" else 1, forget=False)
        events = [row.event(EventKind.NOTE, entry, tool="queued") for entry in dropped if entry.strip()]
        return row.reading(events)

    def _title(self, record: dict[str, Any], row: _Row) -> Reading:
        title = _string(record, _TITLES[record["type"]])
        if not title or not row.session:
            return _NOTHING
        news = SessionNews(client_session=row.session, title=one_line(title, 200))
        return Reading(news=(news,), known_without_event=True)

    def _pr_link(self, record: dict[str, Any], row: _Row) -> Reading:
        url = _string(record, "prUrl") or _string(record, "url")
        return row.reading([row.event(EventKind.NOTE, f"Pull request {url}", tool="pr-link")] if url else [])


class _Row:
    """What the Events of one record share."""

    def __init__(self, record: dict[str, Any], memory: Memory, agent: str, offset: int, length: int) -> None:
        self.session = memory.session_of(record)
        self.time = _seconds(record.get("timestamp"))
        self.uuid = _string(record, "uuid")
        self.offset = offset
        self.length = length
        named = _string(record, "agentId")
        self.agent = agent or named if agent or record.get("isSidechain") is True or named else ""
        if not self.agent and record.get("isSidechain") is True:
            self.agent = "sidechain"

    def event(
        self,
        kind: EventKind,
        text: str,
        *,
        tool: str = "",
        call_id: str = "",
        failed: bool = False,
        actions: tuple[Action, ...] = (),
        payloads: tuple[Payload, ...] = (),
    ) -> Event:
        """An Event of this record."""
        return Event(
            kind=kind,
            text=clean(text),
            client_session=self.session,
            time=self.time,
            agent=self.agent,
            tool=tool,
            call_id=call_id,
            uuid=self.uuid,
            failed=failed,
            actions=actions,
            payloads=payloads,
            record_offset=self.offset,
            record_length=self.length,
        )

    def reading(self, events: list[Event], news: tuple[SessionNews, ...] = ()) -> Reading:
        """The Reading of ``events``; without any it is a known record that says nothing."""
        return Reading(events=tuple(events), news=news, known_without_event=not events)


def _skip(reason: SkipReason, detail: str, offset: int, length: int) -> Reading:
    return Reading(skip=Skip(reason=reason, detail=one_line(clean(detail), 80), offset=offset, length=length))


def _is(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _string(source: dict[str, Any], key: str) -> str:
    value = source.get(key)
    return value if isinstance(value, str) else ""


def _seconds(timestamp: Any) -> float | None:
    if not isinstance(timestamp, str) or not timestamp:
        return None
    return datetime.fromisoformat(timestamp).timestamp()
