"""What must be remembered between two records of a Claude Code transcript. All of it fits in JSON and is bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_mcp.events import LinkKind, SessionNews
from rlm_mcp.transcripts import claude_code_files

_KEPT_CALLS = 200
_KEPT_QUEUE = 20
_KEPT_UUIDS = 300
_NEWS_FIELDS = (("cwd", "cwd"), ("gitBranch", "git_branch"), ("version", "client_version"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call whose result is awaited; empty where the call was not seen."""

    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    time: float | None = None


class Memory:
    """Mutable; one for each reader."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        kept = state or {}
        self._session: str = kept.get("session", "")
        self._told: dict[str, Any] = kept.get("told", {})
        self._parent: str = kept.get("parent", "")
        self._calls: dict[str, list[Any]] = kept.get("calls", {})
        self._queue: list[str] = kept.get("queue", [])
        self._uuids: dict[str, None] = dict.fromkeys(kept.get("uuids", ()))
        self._compaction: dict[str, Any] | None = kept.get("compaction")
        self._own_files: dict[str, bool] = kept.get("own_files", {})
        self.began: bool = kept.get("began", False)

    def to_json(self) -> dict[str, Any]:
        """The state to hand to the next Memory of the same file."""
        return {
            "session": self._session,
            "told": self._told,
            "parent": self._parent,
            "calls": self._calls,
            "queue": self._queue,
            "uuids": list(self._uuids),
            "compaction": self._compaction,
            "own_files": self._own_files,
            "began": self.began,
        }

    def session_of(self, record: dict[str, Any]) -> str:
        """The record's session id, or the last one seen."""
        named = record.get("sessionId")
        return named if isinstance(named, str) and named else self._session

    def seen(self, uuid: str) -> bool:
        """Whether the row's id came up among the last few hundred; notes it."""
        short = uuid[:13]
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
        news: list[SessionNews] = []
        if session != self._session:
            news += self._change_session(record, session)
        elif self._parent and record.get("isCompactSummary") is True:
            news.append(SessionNews(client_session=session, parent=self._parent, link=LinkKind.COMPACT))
            self._parent = ""
        fresh: dict[str, Any] = {}
        for key, name in _NEWS_FIELDS:
            value = record.get(key)
            if isinstance(value, str) and value and self._told.get(name) != value:
                fresh[name] = self._told[name] = value
        message = record.get("message")
        if main and record.get("type") == "assistant" and isinstance(message, dict):
            self._parent = ""
            fresh |= self._usage(message)
        if fresh:
            news.append(SessionNews(client_session=session, **fresh))
        return tuple(news)

    def _change_session(self, record: dict[str, Any], session: str) -> list[SessionNews]:
        before, self._session = self._session, session
        self._told = {}
        self._parent = ""
        if not before:
            return []
        compacted = record.get("isCompactSummary") is True
        self._parent = "" if compacted else before
        link = LinkKind.COMPACT if compacted else LinkKind.RESUME
        return [SessionNews(client_session=session, parent=before, link=link)]

    def _usage(self, message: dict[str, Any]) -> dict[str, Any]:
        model = message.get("model")
        usage = message.get("usage")
        if model == "<synthetic>" or not isinstance(usage, dict):
            return {}
        fresh: dict[str, Any] = {}
        if isinstance(model, str) and model and self._told.get("model") != model:
            fresh["model"] = self._told["model"] = model
        fields = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
        tokens = sum(usage[name] for name in fields if isinstance(usage.get(name), int))
        if tokens > 0 and self._told.get("window_tokens") != tokens:
            fresh["window_tokens"] = self._told["window_tokens"] = tokens
        return fresh

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
        """A boundary row: what follows it may be copies."""
        self._compaction = {"row": uuid, "until": time, "since": None} if time is not None else None

    def place_after_compaction(self, record: dict[str, Any], time: float | None) -> str:
        """Where a user or assistant row stands behind a boundary: ``first``, ``copy`` or nowhere (empty).

        The copies are the rows, each the child of the one before, from the boundary's child on, that are not younger
        than the boundary. Where nothing of the session came before the boundary (a fork begins with its parent's last
        one) they are no copies, for their originals are in another file.
        """
        region = self._compaction
        if region is None:
            return ""
        first = region["since"] is None
        follows = record.get("parentUuid") == region["row"] and time is not None and time <= region["until"]
        if not follows or record.get("isCompactSummary") is True or (not first and time < region["since"]):
            self._compaction = None
            return ""
        region["row"] = record.get("uuid")
        if first:
            region["since"] = time
            region["all_new"] = not self.began
            return "first" if record.get("type") == "user" else ""
        return "" if region["all_new"] else "copy"

    def enqueue(self, text: str) -> list[str]:
        """A prompt waits; returns what had to be given up for it."""
        self._queue.append(text)
        dropped, self._queue = self._queue[:-_KEPT_QUEUE], self._queue[-_KEPT_QUEUE:]
        return dropped

    def dequeue(self, count: int, *, forget: bool) -> list[str]:
        """The oldest ``count`` leave the queue; returns them unless they will come again as records."""
        left, self._queue = self._queue[:count], self._queue[count:]
        return [] if forget else left

    def unqueue(self, text: str) -> None:
        """A waiting prompt came as a record of its own."""
        if text in self._queue:
            self._queue.remove(text)

    def has_own_file(self, agent: str, folder: Path | None) -> bool:
        """Whether the sub-agent's messages are in a file of their own; once decided it stays."""
        if agent not in self._own_files:
            self._own_files[agent] = folder is not None and claude_code_files.agent_file(folder, agent).is_file()
        return self._own_files[agent]
