"""The records that travel between the parts of the house. Frozen, client-neutral, no I/O.

A Reader turns a Client's records into :class:`Event` values; a tool's result carries :data:`Action` values, the
typed view of what the tool did, so that facts need to know nothing of any Client's tool names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Client(StrEnum):
    """The program whose Session is held."""

    CLAUDE_CODE = "claude-code"
    CODEX = "codex"


class EventKind(StrEnum):
    """What an Event is."""

    PROMPT = "prompt"
    """What the user asked or said (also an answer typed while the model works). Main agent: opens a Turn."""
    REPLY = "reply"
    """What the model said."""
    THINKING = "thinking"
    """The model's readable reasoning."""
    CALL = "call"
    """A tool call, as a person would read it."""
    RESULT = "result"
    """A tool's whole output, and its Actions."""
    NOTE = "note"
    """Text the Client added: skill bodies, reminders, hook output, command output, interrupts."""
    SUMMARY = "summary"
    """A built-in compaction's summary, or a Brief of ours, as it stood in the Window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A shell command that ran."""

    command: str
    cwd: str = ""
    exit_code: int | None = None
    """None where the Client did not say."""
    failed: bool = False
    """The Client's own word that it failed, or a non-zero exit code; also set when interrupted or timed out."""
    seconds: float | None = None
    output: str = ""
    """Standard output and error as one text: a slice of the Event's text without the Client's own framing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """A file (or a part of it) that the model was shown."""

    path: str
    first_line: int = 0
    """1-based; 0 where the whole file was read."""
    last_line: int = 0
    content_sha256: str = ""
    """Of the text shown, without line numbers; hex, first 16 digits; empty where unknown."""


class EditKind(StrEnum):
    """What happened to a file."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    MOVE = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEdit:
    """A change to one file that was carried out."""

    path: str
    edit: EditKind
    added: int = 0
    """Lines."""
    removed: int = 0
    """Lines."""
    added_text: str = ""
    """The new lines, without diff marks."""
    removed_text: str = ""
    """The old lines, without diff marks."""
    new_path: str = ""
    """Of a move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A search in files or on the web, or a page fetched."""

    what: str
    """The pattern, query or address."""
    where: str = ""


class TodoStatus(StrEnum):
    """State of one todo."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """One entry of the model's own task list."""

    todo_id: str
    """The Client's id; the text itself where there is none."""
    text: str
    """May be empty in an update that only changes the status."""
    status: TodoStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class TodoUpdate:
    """Todos written: the whole list, or single entries."""

    todos: tuple[Todo, ...]
    whole_list: bool
    """True: entries not named are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProposed:
    """A plan put to the user (plan mode) or stated by the plan tool."""

    text: str
    accepted: bool | None = None
    """None where nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAsked:
    """A question put to the user through a tool, with the answer."""

    question: str
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """A task handed to a sub-agent."""

    description: str
    prompt: str = ""
    result: str = ""
    """Its closing text; empty while it runs."""
    agent: str = ""
    """The sub-agent's id."""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTool:
    """Any tool without a typed view (MCP tools among them)."""

    name: str
    summary: str
    """Its main arguments on one line."""
    failed: bool = False


Action = Command | FileRead | FileEdit | Lookup | TodoUpdate | PlanProposed | QuestionAsked | AgentTask | OtherTool


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes kept apart from the text: an image or a document of a message."""

    sha256: str
    """Hex, 64 digits."""
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened in a Session."""

    kind: EventKind
    text: str
    """What a person would read. Valid Unicode without NUL or lone surrogates; secrets already replaced."""
    client_session: str
    """The Client's id of the Session."""
    time: float | None = None
    """Seconds since the epoch, UTC."""
    agent: str = ""
    """Empty for the main agent, else the sub-agent's id."""
    tool: str = ""
    """The Client's tool name, of CALL and RESULT."""
    call_id: str = ""
    """Binds a RESULT to its CALL."""
    uuid: str = ""
    """The Client's id of the record, where it has one."""
    failed: bool = False
    """Of a RESULT: the tool failed."""
    actions: tuple[Action, ...] = ()
    """Of a RESULT: what the tool did."""
    payloads: tuple[Payload, ...] = ()
    record_offset: int = 0
    """Byte offset of the record in its source file."""
    record_length: int = 0
    """Bytes of the record, its line end not included."""


class LinkKind(StrEnum):
    """How a Session came out of an earlier one."""

    RESUME = "resume"
    FORK = "fork"
    CLEAR = "clear"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNews:
    """What a record says about a Session as a whole; empty fields say nothing."""

    client_session: str
    cwd: str = ""
    git_branch: str = ""
    client_version: str = ""
    model: str = ""
    title: str = ""
    parent: str = ""
    """Client id of the Session it came out of."""
    parent_bytes: int = 0
    """Bytes of the parent's transcript that it goes on from, where the record says so."""
    link: LinkKind | None = None
    window_tokens: int = 0
    """Tokens in the Window by the Client's last usage report."""
    compactions: int = 0
    """Compaction boundaries in this record (0 or 1)."""


class SkipReason(StrEnum):
    """Why a record gave no Event; its raw bytes are kept all the same."""

    NOT_JSON = "not JSON"
    NOT_A_RECORD = "JSON, but not a record"
    UNKNOWN_TYPE = "unknown record type"
    UNEXPECTED_SHAPE = "known type, unexpected shape"
    TOO_LONG = "record over the size limit"
    INCOMPLETE = "record cut off at the end of the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A record that gave no Event, counted and visible in ``status``."""

    reason: SkipReason
    detail: str
    """The type name, or the first bytes."""
    offset: int
    length: int
