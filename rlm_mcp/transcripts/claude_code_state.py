"""What must be remembered between two records of a Claude Code transcript. All of it fits in JSON and is bounded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rlm_mcp.events import LinkKind, SessionNews
from rlm_mcp.transcripts import claude_code_files
from rlm_mcp.transcripts.claude_code_results import Call

_KEPT_CALLS = 200
_KEPT_QUEUE = 20
_KEPT_TASKS = 100
_KEPT_ATTACHMENTS = 64
_KEPT_SESSIONS = 32
_KEPT_UUIDS = 300
_NEWS_FIELDS = (("cwd", "cwd"), ("gitBranch", "git_branch"), ("version", "client_version"))


class Memory:
    """Mutable; one for each reader."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        kept = state or {}
        self._session: str = kept.get("session", "")
        self._told: dict[str, dict[str, Any]] = kept.get("told", {})
        self._calls: dict[str, list[Any]] = kept.get("calls", {})
        self._tasks: dict[str, list[Any]] = kept.get("tasks", {})
        self._queue: list[str] = kept.get("queue", [])
        self._taken: list[str] = kept.get("taken", [])
        self._attached: dict[str, None] = dict.fromkeys(kept.get("attached", ()))
        self._uuids: dict[str, None] = dict.fromkeys(kept.get("uuids", ()))
        self._compaction: dict[str, Any] | None = kept.get("compaction")
        self._announced: bool = kept.get("announced", False)
        self._own_files: dict[str, bool] = kept.get("own_files", {})
        self.began: bool = kept.get("began", False)

    def to_json(self) -> dict[str, Any]:
        """The state to hand to the next Memory of the same file."""
        return {
            "session": self._session,
            "told": self._told,
            "calls": self._calls,
            "tasks": self._tasks,
            "queue": self._queue,
            "taken": self._taken,
            "attached": list(self._attached),
            "uuids": list(self._uuids),
            "compaction": self._compaction,
            "announced": self._announced,
            "own_files": self._own_files,
            "began": self.began,
        }

    def session_of(self, record: dict[str, Any]) -> str:
        """The record's session id, or the last one seen."""
        named = record.get("sessionId")
        return named if isinstance(named, str) and named else self._session

    def seen(self, uuid: str) -> bool:
        """Whether the row's id came up among the last few hundred; notes it."""
        short = _digest(uuid)
        if short in self._uuids:
            return True
        self._uuids[short] = None
        if len(self._uuids) > _KEPT_UUIDS:
            del self._uuids[next(iter(self._uuids))]
        return False

    def news_of(self, record: dict[str, Any], session: str, *, main: bool) -> tuple[SessionNews, ...]:
        """What the record says about its session that was not said before."""
        if not session:
            return ()
        told = self._told.get(session)
        news: list[SessionNews] = []
        if told is None:
            told = self._told[session] = {}
            if len(self._told) > _KEPT_SESSIONS:
                del self._told[next(iter(self._told))]
            if self._session:
                link = LinkKind.COMPACT if record.get("isCompactSummary") is True else LinkKind.RESUME
                news.append(SessionNews(client_session=session, parent=self._session, link=link))
        self._session = session
        fresh: dict[str, Any] = {
            name: value
            for key, name in _NEWS_FIELDS
            if isinstance(value := record.get(key), str) and value and told.get(name) != value
        }
        message = record.get("message")
        if main and record.get("type") == "assistant" and isinstance(message, dict):
            fresh |= _usage(message, told)
        if fresh:
            told |= fresh
            news.append(SessionNews(client_session=session, **fresh))
        return tuple(news)

    def add_call(self, call_id: str, name: str, arguments: Any, time: float | None) -> None:
        """Notes a call until its result comes."""
        self._calls[call_id] = [name, arguments if isinstance(arguments, dict) else {}, time]
        if len(self._calls) > _KEPT_CALLS:
            del self._calls[next(iter(self._calls))]

    def take_call(self, call_id: str) -> Call:
        """The call that ``call_id`` names; an empty one where it was not seen."""
        found = self._calls.pop(call_id, None)
        return Call(name=found[0], arguments=found[1], time=found[2]) if found else Call()

    def open_compaction(self, uuid: str, time: float | None) -> None:
        """A boundary row: a summary follows it, or copies."""
        self._announced = True
        self._compaction = (
            {"row": uuid, "until": time, "since": None, "all_new": not self.began} if time is not None else None
        )

    def close_compaction(self) -> bool:
        """A summary came; whether it belongs to a boundary row (1.0.x wrote none)."""
        announced, self._announced = self._announced, False
        return announced

    def place_after_compaction(self, record: dict[str, Any], time: float | None) -> str:
        """Where a user or assistant row stands behind a boundary: ``first``, ``copy``, ``kept`` or nowhere (empty).

        The copies are the rows, each the child of the one before, from the boundary's child on, that are not younger
        than the boundary. A prompt with an image comes last and keeps its own, older time, as do the rows about
        /compact itself, which are no copies. Where nothing of the session came before the boundary (a fork begins with
        its parent's last one) they are ``kept``: no copies, for their originals are in another file.
        """
        region = self._compaction
        if region is None:
            return ""
        first = region["since"] is None
        follows = record.get("parentUuid") == region["row"] and time is not None and time <= region["until"]
        is_older = not first and time is not None and time < region["since"]
        if not follows or record.get("isCompactSummary") is True or (is_older and _is_about_command(record)):
            self._compaction = None
            return ""
        region["row"] = record.get("uuid")
        if first:
            region["since"] = time
            if record.get("type") == "user":
                return "first"
        return "kept" if region["all_new"] else "copy"

    def enqueue(self, text: str) -> None:
        """A prompt or notification waits; most come again as records of their own."""
        self._queue.append(text)
        dropped, self._queue = self._queue[:-_KEPT_QUEUE], self._queue[-_KEPT_QUEUE:]
        self._taken += dropped

    def dequeue(self, operation: str, text: str) -> None:
        """Entries leave the queue.

        ``dequeue``: a record follows; ``popAll``: taken back to be edited; ``remove``: handed to the model, by a record
        or (older versions) by none.
        """
        if operation == "popAll":
            self._queue = []
        elif operation == "dequeue":
            self._queue = self._queue[1:]
        elif not text:
            self._taken += self._queue[:1]
            self._queue = self._queue[1:]
        elif text in self._queue:
            self._queue.remove(text)
            self._taken.append(text)

    def unqueue(self, text: str) -> None:
        """A queue entry came as a record of its own."""
        for entries in (self._queue, self._taken):
            if text in entries:
                entries.remove(text)

    def taken(self) -> list[str]:
        """What was handed to the model and came as no record, up to now."""
        taken, self._taken = self._taken, []
        return [text for text in taken if text.strip()]

    def is_repeated(self, text: str) -> bool:
        """Whether an attachment with this text came up before; notes it."""
        digest = _digest(text)
        if digest in self._attached:
            return True
        self._attached[digest] = None
        if len(self._attached) > _KEPT_ATTACHMENTS:
            del self._attached[next(iter(self._attached))]
        return False

    def start_task(self, task_id: str, call_id: str, call: Call, cwd: str) -> None:
        """A tool goes on in the background."""
        kept = {key: call.arguments[key] for key in ("command", "description", "prompt") if key in call.arguments}
        self._tasks[task_id] = [call.name, kept, call_id, cwd]
        if len(self._tasks) > _KEPT_TASKS:
            del self._tasks[next(iter(self._tasks))]

    def task(self, task_id: str) -> Call:
        """The call that began a background task; an empty one where it was not seen."""
        found = self._tasks.get(task_id)
        return Call(name=found[0], arguments=found[1], call_id=found[2], cwd=found[3]) if found else Call()

    def has_own_file(self, agent: str, folder: Path | None) -> bool:
        """Whether the sub-agent's messages are in a file of their own; once decided it stays."""
        if agent not in self._own_files:
            self._own_files[agent] = folder is not None and claude_code_files.agent_file(folder, agent).is_file()
        return self._own_files[agent]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _usage(message: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Model and window size by an assistant message, where they are news."""
    model = message.get("model")
    usage = message.get("usage")
    if model == "<synthetic>" or not isinstance(usage, dict):
        return {}
    fresh: dict[str, Any] = {}
    if isinstance(model, str) and model and told.get("model") != model:
        fresh["model"] = model
    fields = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    tokens = sum(usage[name] for name in fields if isinstance(usage.get(name), int))
    if tokens > 0 and told.get("window_tokens") != tokens:
        fresh["window_tokens"] = tokens
    return fresh


def _is_about_command(record: dict[str, Any]) -> bool:
    """A row the client writes about a command typed at it."""
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, str) and content.startswith(("<command-name>", "<local-command-"))
