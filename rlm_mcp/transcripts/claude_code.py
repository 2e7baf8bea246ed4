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

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rlm_mcp.events import Client, Event, EventKind, Payload, SessionNews, Skip, SkipReason
from rlm_mcp.text import clean, one_line
from rlm_mcp.transcripts import claude_code_files, claude_code_results, claude_code_tasks, claude_code_tools
from rlm_mcp.transcripts import claude_code_tables as tables
from rlm_mcp.transcripts.claude_code_results import ToolResult
from rlm_mcp.transcripts.claude_code_state import Memory
from rlm_mcp.transcripts.claude_code_tasks import Notification, notification_of
from rlm_mcp.transcripts.claude_code_text import call_text, content_text, outline, parts_of_prompt
from rlm_mcp.transcripts.reading import Reading

related_files = claude_code_files.related_files
folders_beside = claude_code_files.folders_beside

_NOTHING = Reading(known_without_event=True)

_HOOK_RAN = re.compile(
    r"(?:Running )?\x1b\[1m\w+(?::\S{1,200})?\x1b\[22m(?:\.\.\.| \[.*\] completed successfully)\s*\Z"
)
_ODD = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


def is_record(record: dict[str, Any]) -> bool:
    """Whether ``record`` is one of Claude Code's."""
    kind = record.get("type")
    if not isinstance(kind, str) or "payload" in record:
        return False
    if kind in tables.TRANSCRIPT_TYPES:
        return "sessionId" in record or ("uuid" in record and "message" in record)
    return "sessionId" in record or kind in tables.SILENT_TYPES or "leafUuid" in record


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
            if kind in tables.SILENT_TYPES:
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
            return self._summary(content, row)
        results = [block for block in content if _is(block, "tool_result")] if isinstance(content, list) else []
        events = [event for block in results for event in self._result(record, block, row, len(results) == 1)]
        if not results or len(results) < len(content):
            events += self._said(record, content, row)
        return row.reading(events)

    def _summary(self, content: Any, row: _Row) -> Reading:
        text, _ = content_text(content)
        news: tuple[SessionNews, ...] = ()
        if not row.agent and not self._memory.close_compaction():
            news = (SessionNews(client_session=row.session, compactions=1),)
        return row.reading([row.event(EventKind.SUMMARY, text)] if text.strip() else [], news)

    def _said(self, record: dict[str, Any], content: Any, row: _Row) -> list[Event]:
        text, payloads = content_text(content)
        if not text.strip():
            return []
        origin = record.get("origin")
        source = origin.get("kind") if isinstance(origin, dict) else None
        self._memory.unqueue(text)
        if (notice := notification_of(text)) is not None:
            return [self._notified(notice, text, row)]
        if record.get("isMeta") is True:
            return [row.event(EventKind.NOTE, text, tool="meta", payloads=payloads)]
        if isinstance(source, str) and source not in {"human", "user"}:
            return [row.event(EventKind.NOTE, text, tool=source, payloads=payloads)]
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
        text = claude_code_results.full_text(shown, detail)
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
        if task_id := claude_code_results.background_task(result):
            self._memory.start_task(task_id, call_id, call, result.cwd)
        picture, marker = claude_code_results.picture_of(detail)
        events = [row.result(result, call_id, marker or text, (*payloads, *picture))]
        if failed and (words := claude_code_results.words_of_user(text)):
            events.append(row.event(EventKind.PROMPT, words))
        return events

    def _assistant(self, record: dict[str, Any], row: _Row) -> Reading:
        message = record["message"]
        content = message["content"]
        place = self._memory.place_after_compaction(record, row.time)
        if place == "copy":
            return _NOTHING
        synthetic = message.get("model") == "<synthetic>" and place != "kept"
        failed = record.get("isApiErrorMessage") is True
        said = EventKind.NOTE if synthetic and not failed else EventKind.REPLY
        events = [] if row.agent else self._taken(row)
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            kind = block["type"]
            if kind == "text" and block["text"].strip():
                events.append(row.event(said, block["text"], failed=failed))
            elif kind == "thinking" and block["thinking"].strip():
                events.append(row.event(EventKind.THINKING, block["thinking"]))
            elif kind in {"tool_use", "server_tool_use", "mcp_tool_use"}:
                name, call_id, arguments = str(block["name"]), str(block["id"]), block.get("input")
                self._memory.add_call(call_id, name, arguments, row.time)
                events.append(row.call(call_text(name, arguments), name, call_id))
            elif kind not in {"text", "thinking", "redacted_thinking"}:
                events.append(row.event(EventKind.NOTE, outline(block), tool=str(kind)))
        return row.reading(events)

    def _system(self, record: dict[str, Any], row: _Row) -> Reading:
        subtype = _string(record, "subtype")
        if subtype == "compact_boundary":
            return self._boundary(record, row)
        if subtype in tables.SILENT_SYSTEM:
            return _NOTHING
        text, _ = content_text(record.get("content"))
        if _HOOK_RAN.match(text):
            return _NOTHING
        if subtype == "local_command":
            return row.reading([row.event(EventKind.NOTE, part.text, tool=part.tool) for part in parts_of_prompt(text)])
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
        if kind in tables.SILENT_ATTACHMENTS:
            return _NOTHING
        text, payloads = claude_code_files.attachment_text(attachment, record.get("rendered"))
        if not text.strip() or self._memory.is_repeated(text):
            return _NOTHING
        return row.reading([row.event(EventKind.NOTE, text, tool=kind, payloads=payloads)])

    def _queued_command(self, attachment: dict[str, Any], row: _Row) -> Reading:
        text, payloads = content_text(attachment.get("prompt"))
        if not text.strip():
            return _NOTHING
        self._memory.unqueue(text)
        origin = attachment.get("origin")
        source = origin.get("kind") if isinstance(origin, dict) else None
        if (notice := notification_of(text)) is not None:
            return row.reading([self._notified(notice, text, row)])
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

    def _queue(self, record: dict[str, Any], _row: _Row) -> Reading:
        operation = _string(record, "operation")
        text, _ = content_text(record.get("content"))
        if operation == "enqueue":
            self._memory.enqueue(text)
        else:
            self._memory.dequeue(operation, text)
        return _NOTHING

    def _taken(self, row: _Row) -> list[Event]:
        """What was queued and came as no record of its own."""
        events = []
        for text in self._memory.taken():
            notice = notification_of(text)
            events.append(
                self._notified(notice, text, row) if notice else row.event(EventKind.NOTE, text, tool="queued")
            )
        return events

    def _notified(self, notice: Notification, text: str, row: _Row) -> Event:
        """A background task ended: a second RESULT of the call that began it, a NOTE where that was not seen."""
        call = self._memory.task(notice.task_id)
        actions = claude_code_tasks.actions_of_notification(call, notice)
        if not actions:
            return row.event(EventKind.NOTE, text, tool="agent-notification")
        shown = "\n\n".join(part for part in (notice.summary, notice.result) if part) or text
        failed = notice.status not in {"completed", ""}
        event = row.event(EventKind.RESULT, shown, tool=call.name, failed=failed)
        return replace(event, call_id=notice.call_id or call.call_id, actions=actions)

    def _title(self, record: dict[str, Any], row: _Row) -> Reading:
        title = _string(record, tables.TITLES[record["type"]])
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
        self.agent = agent or _string(record, "agentId") or ("sidechain" if record.get("isSidechain") is True else "")
        self._shared: dict[str, Any] = {
            "client_session": self.session,
            "time": self.time,
            "agent": self.agent,
            "uuid": self.uuid,
            "record_offset": offset,
            "record_length": length,
        }

    def event(
        self, kind: EventKind, text: str, *, tool: str = "", payloads: tuple[Payload, ...] = (), failed: bool = False
    ) -> Event:
        """An Event of this record."""
        return Event(kind=kind, text=clean(text), tool=tool, failed=failed, payloads=payloads, **self._shared)

    def call(self, text: str, tool: str, call_id: str) -> Event:
        """A CALL of this record."""
        return Event(kind=EventKind.CALL, text=clean(text), tool=tool, call_id=call_id, **self._shared)

    def result(self, result: ToolResult, call_id: str, text: str, payloads: tuple[Payload, ...]) -> Event:
        """A RESULT of this record, with what the tool did."""
        return Event(
            kind=EventKind.RESULT,
            text=clean(text),
            tool=result.name,
            call_id=call_id,
            failed=result.failed,
            actions=claude_code_tools.actions_of(result) if result.name else (),
            payloads=payloads,
            **self._shared,
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
