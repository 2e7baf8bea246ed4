"""Events -> Facts, by rules. Pure: the same Events give the same Facts, however the stream is cut.

What must be remembered between Events (the last questions of a reply, todos, open failing tests and errors, the last
commits) is the extractor's state: small, bounded, JSON-serialisable, handed from one extractor to the next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from rlm_mcp.events import (
    Action,
    AgentTask,
    Command,
    Event,
    EventKind,
    FileEdit,
    FileRead,
    Lookup,
    OtherTool,
    PlanProposed,
    QuestionAsked,
    TodoStatus,
    TodoUpdate,
)
from rlm_mcp.facts import commands, said
from rlm_mcp.facts.error_lines import MAX_ERRORS
from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.plans import plan_facts
from rlm_mcp.facts.stances import remember
from rlm_mcp.facts.symbols import added_symbols, removed_symbols

MAX_FAILED_LINES = 3
"""Lines kept of what a failed tool (not a command) said."""


class FactExtractor:
    """Reads Facts from the Events of one Session, given in order. Single-threaded."""

    def __init__(self, state: Mapping[str, object] | None = None) -> None:
        """``state``: what :meth:`state` of the extractor of the Events before gave."""
        self._memo = Memo.of(state or {})

    def state(self) -> dict[str, object]:
        """JSON-serialisable memory for the next extractor of this Session; at most some tens of kilobytes."""
        return self._memo.to_json()

    def facts(self, event: Event) -> list[Fact]:
        """The Facts of ``event``, in the order in which they hold: what one closes never comes after it."""
        memo = self._memo
        if event.kind is EventKind.PROMPT:
            return [] if event.agent else said.facts_of_prompt(event.text, memo)
        if event.kind is EventKind.NOTE:
            return _of_note(event, memo)
        if event.kind is EventKind.REPLY:
            return said.facts_of_reply(event.text, memo, is_main=not event.agent)
        if event.kind is EventKind.CALL:
            memo.remember_call(event)
            return []
        if event.kind is EventKind.RESULT:
            return self._of_result(event)
        return []

    def _of_result(self, event: Event) -> list[Fact]:
        memo = self._memo
        about = memo.forget_call(event)
        found: list[Fact] = []
        for action in event.actions:
            found += _of_action(action, event, memo)
        if event.failed and not any(isinstance(action, Command) for action in event.actions):
            found += _of_failure(event, about, memo)
        return memo.with_rhetorical_closed(found)


_FINISHED = LazyPattern(
    r"<(?:agent|task)-(?:id)>(?P<agent>[^<]+)</|<status>(?P<status>\w+)</|<summary>(?:Agent|"
    r"Task) \"(?P<description>[^<\n]+)\" |"
    r"<result>(?P<result>.*?)</result>",
    re.DOTALL,
)


def _of_note(event: Event, memo: Memo) -> list[Fact]:
    """Text the user typed while the model worked; a sub-agent's end. Nothing else that the Client adds is a Fact."""
    if (event.tool == "interrupt" or event.text.startswith("Turn aborted")) and not event.agent:
        memo.refused = True
    if event.tool == "queued" and not event.agent:
        return said.facts_of_queued(event.text, memo)
    if event.tool not in {"agent-notification", "task-notification"}:
        return []
    told: dict[str, str] = {}
    for match in _FINISHED.finditer(event.text):
        told.update({name: value for name, value in match.groupdict().items() if value})
    agent, description = told.get("agent", ""), told.get("description", "")
    if (agent not in memo.tasks and not description) or told.get("status") not in {"completed", "failed", "killed"}:
        return []
    subject = memo.subject_of_task(agent, description)
    status = "done" if told["status"] == "completed" else "failed"
    return [
        Fact(
            kind=FactKind.TASK,
            subject=subject,
            text=description or subject,
            status=status,
            note=told.get("result", "").strip()[:400],
        )
    ]


def _of_action(action: Action, event: Event, memo: Memo) -> list[Fact]:
    found: list[Fact] = []
    match action:
        case FileEdit() if not event.failed:
            found = edit_facts(action, event.text, memo)
        case FileRead() if not event.failed:
            found = [_of_read(action, memo)]
        case Command():
            known = {other.path for other in event.actions if isinstance(other, FileEdit | FileRead)}
            found = commands.facts_of_command(action, event, memo, known, edit_facts)
        case Lookup():
            found = [Fact(kind=FactKind.LOOKUP, subject=action.what[:400], text=action.where[:2_000])]
        case TodoUpdate():
            found = _of_todos(action, memo)
        case PlanProposed():
            status = {True: "accepted", False: "rejected", None: "proposed"}[action.accepted]
            found = plan_facts(action.text, status, *_place(event.text, action.text))
            remember(found, memo, memo.prompts)
        case QuestionAsked():
            found = _of_question(action, event, memo)
        case AgentTask():
            found = [_of_task(action, event, memo)]
        case _:
            found = []
    return found


def edit_facts(edit: FileEdit, text: str, memo: Memo) -> list[Fact]:
    """The edit, and the symbols it adds."""
    gone = removed_symbols(edit.path, edit.added_text, edit.removed_text) if edit.removed_text else []
    closes = [Closes(kind=FactKind.SYMBOL, subject=name) for name in gone if not name.startswith("__")]
    closes += [Closes(kind=FactKind.ERROR, subject=path) for path in memo.settled_paths(edit.path, edit.new_path)]
    start, end = _place(text, edit.path)
    facts = [
        Fact(
            kind=FactKind.EDIT,
            subject=edit.path[:400],
            text=edit.edit.value,
            status=edit.edit.value,
            start=start,
            end=end,
            added=edit.added,
            removed=edit.removed,
            note=edit.new_path[:400],
            closes=tuple(closes),
        )
    ]
    symbols, more = added_symbols(edit.new_path or edit.path, edit.added_text, edit.removed_text)
    for symbol in symbols:
        start, end = _place(text, symbol.line)
        facts.append(
            Fact(
                kind=FactKind.SYMBOL,
                subject=symbol.name[:400],
                text=symbol.line,
                status=edit.new_path or edit.path,
                start=start,
                end=end,
            )
        )
    if more:
        facts[-1] = replace(facts[-1], note=f"{more} more definitions in this edit")
    return facts


def _place(text: str, quote: str) -> tuple[int, int]:
    at = text.find(quote) if quote else -1
    return (at, at + len(quote)) if at >= 0 else (0, 0)


def _of_read(action: FileRead, memo: Memo) -> Fact:
    lines = f"{action.first_line}-{action.last_line}" if action.first_line and action.last_line else ""
    closes = tuple(Closes(kind=FactKind.ERROR, subject=path) for path in memo.settled_paths(action.path))
    return Fact(kind=FactKind.READ, subject=action.path[:400], text=lines, status=action.content_sha256, closes=closes)


def _of_todos(action: TodoUpdate, memo: Memo) -> list[Fact]:
    found: list[Fact] = []
    named: set[str] = set()
    said_before = [Closes(kind=FactKind.TODO, subject=subject) for subject in memo.pending]
    memo.pending = {}
    for todo in action.todos:
        named.add(todo.todo_id)
        before = memo.todos.get(todo.todo_id)
        text = todo.text or (before[0] if before else "")
        if before == [text, todo.status.value]:
            continue
        memo.keep_todo(todo.todo_id, text, todo.status.value)
        found.append(Fact(kind=FactKind.TODO, subject=todo.todo_id[:400], text=text[:2_000], status=todo.status.value))
    if said_before and found:
        found[0] = replace(found[0], closes=(*found[0].closes, *said_before))
    if action.whole_list:
        found = _close_todos(found, [todo_id for todo_id in memo.todos if todo_id not in named], memo)
    return found


def _close_todos(found: list[Fact], gone: list[str], memo: Memo) -> list[Fact]:
    """Todos a whole list no longer names: those done stay done, the others are no longer current."""
    dropped = []
    for todo_id in gone:
        text, status = memo.todos.pop(todo_id)
        if status not in (TodoStatus.COMPLETED, TodoStatus.CANCELLED):
            dropped.append((todo_id, text))
    if found:
        closes = tuple(Closes(kind=FactKind.TODO, subject=todo_id[:400]) for todo_id, _ in dropped)
        return [replace(found[0], closes=found[0].closes + closes), *found[1:]]
    return [
        Fact(kind=FactKind.TODO, subject=todo_id[:400], text=text[:2_000], status=TodoStatus.CANCELLED.value)
        for todo_id, text in dropped
    ]


def _of_question(action: QuestionAsked, event: Event, memo: Memo) -> list[Fact]:
    start, end = _place(event.text, action.question)
    found = [
        Fact(
            kind=FactKind.QUESTION,
            subject=action.question[:400],
            text=action.question[:2_000],
            status="answered" if action.answer else "open",
            start=start,
            end=end,
            note=action.answer[:400],
        )
    ]
    if action.answer and not event.agent:
        found += said.facts_of_answer(action.question, action.answer, max(event.text.find(action.answer), 0), memo)
    return found


def _of_task(action: AgentTask, event: Event, memo: Memo) -> Fact:
    subject = memo.subject_of_task(action.agent, action.description)
    failed = action.failed or event.failed
    status = "failed" if failed else "done" if action.result else "running"
    return Fact(
        kind=FactKind.TASK,
        subject=subject,
        text=(action.description or action.prompt)[:2_000],
        status=status,
        note=_closing(action.result)[:400],
    )


def _closing(result: str) -> str:
    """A sub-agent's own words: without the log of its tool calls in front of them."""
    if not result.startswith("[Tool:"):
        return result.strip()
    lines = [line for line in result.split("\n") if not line.startswith(("[Tool:", "[Tool result", "[Result"))]
    return "\n".join(lines).strip()


_REFUSED = LazyPattern(
    r"\s*(?:<tool_use_error>)?(?:The user (?:doesn't|does not) want to|\[Request (?:interrupted|cancelled)|"
    r"(?:The )?[Uu]ser (?:rejected|declined|denied|cancelled|aborted)|(?:\w+ ){0,4}(?:rejected|aborted|denied) by "
    r"(?:the )?user)"
)
"""How the result of a call begins that the user refused or broke off: it never ran, and is no error."""


_FURTHER = LazyPattern(r", (?:prompt|content|old_string|description|timeout|subagent_type)=")


def _of_refusal(subject: str, says_why: bool, memo: Memo) -> list[Fact]:
    """That the user refused the call; what they say next corrects."""
    memo.refused = not says_why
    what = _FURTHER.split(subject.removeprefix("command=").removeprefix("file_path=").removeprefix("description="))[0]
    return [Fact(kind=FactKind.CORRECTION, text=f"refused: {what}")] if what != "ExitPlanMode" else []


_USER_SAID = "the user said:\n"


def _of_failure(event: Event, about: str, memo: Memo) -> list[Fact]:
    """What a failed tool said, as errors about the path (or tool) of the call; a refusal's words are the user's."""
    text = event.text
    paths = [action.path for action in event.actions if isinstance(action, FileEdit | FileRead)]
    summary = next((action.summary for action in event.actions if isinstance(action, OtherTool)), "")
    subject = (paths[0] if paths else about or summary.split("\n")[0].strip() or event.tool or "tool")[:400]
    found: list[Fact] = []
    said_at = text.find(_USER_SAID)
    body_end = said_at if said_at >= 0 else len(text)
    if _REFUSED.match(text):
        found = [] if event.agent else _of_refusal(subject, said_at >= 0, memo)
        body_end = 0
    at = 0
    while at < body_end and len(found) < MAX_FAILED_LINES:
        end = text.find("\n", at, body_end)
        end = body_end if end < 0 else end
        line = text[at:end].replace("<tool_use_error>", "").replace("</tool_use_error>", "").strip()
        if line and not line.startswith("Exit code"):
            start = text.find(line, at)
            found.append(
                Fact(
                    kind=FactKind.ERROR,
                    subject=subject,
                    text=line[:1_000],
                    status="open",
                    start=start,
                    end=start + min(len(line), 1_000),
                )
            )
            if not line.lower().startswith(("error", "http", "traceback")) or ":" in line:
                break
        at = end + 1
    if found:
        memo.keep_error(subject, (subject, ()))
    if said_at >= 0 and not event.agent:
        start = said_at + len(_USER_SAID)
        found += said.facts_of_refusal(text[start:], start, memo)
    return found[: MAX_ERRORS + 40]
