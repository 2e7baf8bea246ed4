"""Facts as single lines, each with its Ref; the same wording in Briefs and in search answers.

A line never claims more than the Fact says: what was superseded says so, a cut ends with an ellipsis.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rlm_mcp.store.facts import FactRow, Group
from rlm_mcp.text import one_line

_CD = re.compile(r"^(?:cd\s+(?:\"[^\"]*\"|'[^']*'|\S+)\s*(?:&&|;)\s*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How lines are written."""

    cwd: str = ""
    """Paths below it are shown relative to it."""
    session_key: str = ""
    """Refs into other Sessions carry their key."""
    width: int = 200
    """Characters for the variable part of a line."""

    def ref(self, session_key: str, seq: int, span: str = "") -> str:
        """``e12``, or ``1f2e3d4c.e12`` for another Session."""
        prefix = f"{session_key}." if session_key and session_key != self.session_key else ""
        return f"{prefix}e{seq}{span}"

    def path(self, path: str) -> str:
        """``path`` as short as it stays clear."""
        clean = path.replace("\\", "/")
        cwd = self.cwd.replace("\\", "/").rstrip("/")
        if cwd and clean.lower().startswith(cwd.lower() + "/"):
            return clean[len(cwd) + 1 :]
        return posixpath.normpath(clean) if clean else clean


def command_text(command: str, width: int) -> str:
    """The command on one line without the leading ``cd``."""
    return one_line(_CD.sub("", command), width)


_LOOKING = re.compile(
    r"(?:sudo\s+)?(?:ls|cat|sed\s+-n|head|tail|nl|rg|grep|egrep|find|fd|pwd|wc|which|stat|tree|file|du|df|env|printenv|type"
    r"|git\s+(?:-C\s+\S+\s+)?(?:status|log|diff|show|branch|remote|rev-parse|ls-files|blame))\b(?!.*[^-]>)"
)


def only_looks(command: str) -> bool:
    """Whether the command just shows something (files, listings, history) and changes nothing."""
    return _LOOKING.match(_CD.sub("", command)) is not None


def fact_line(fact: FactRow, view: View) -> str:
    """One Fact on one line, its Ref at the end."""
    writer = _WRITERS.get(fact.kind, _plain)
    line = writer(fact, view)
    gone = (
        f" (superseded by e{fact.superseded_by})" if fact.superseded_by and fact.kind not in _SAY_SO_THEMSELVES else ""
    )
    return _single(f"{line}{gone} {view.ref(fact.session_key, fact.seq)}")


def _single(line: str) -> str:
    """On one line, whatever a path or name holds."""
    return " ".join(line.splitlines())


def _plain(fact: FactRow, view: View) -> str:
    return one_line(fact.text or fact.subject, view.width)


def _quoted(fact: FactRow, view: View) -> str:
    return f'"{one_line(fact.text, view.width)}"'


def _command(fact: FactRow, view: View) -> str:
    later = f", run again e{fact.superseded_by}" if fact.superseded_by else ""
    return f"{outcome(fact)}{later} {command_text(fact.text or fact.subject, view.width)}"


def outcome(fact: FactRow) -> str:
    """``ok``, ``failed(1)`` or ``?`` with the seconds where they are long."""
    took = f" {fact.seconds:.0f}s" if fact.seconds is not None and fact.seconds >= 10 else ""
    if fact.status == "failed":
        code = f"({fact.exit_code})" if fact.exit_code is not None else ""
        return f"failed{code}{took}"
    return f"{'ok' if fact.status == 'ok' else '?'}{took}"


def _edit(fact: FactRow, view: View) -> str:
    verb = {"create": "created", "delete": "deleted", "move": "moved"}.get(fact.status, "edited")
    return f"{verb} {view.path(fact.subject)} +{fact.added}-{fact.removed}"


def _read(fact: FactRow, view: View) -> str:
    return f"read {view.path(fact.subject)} {one_line(fact.text, view.width)}".rstrip()


def _test(fact: FactRow, view: View) -> str:
    counts = f"{fact.added} passed, {fact.removed} failed" if fact.added or fact.removed else ""
    said = one_line(fact.text, view.width)
    shown = said if not counts or counts in said else f"{counts} ({said})" if said else counts
    later = f" (since then run again, e{fact.superseded_by})" if fact.superseded_by else ""
    return f"tests {fact.status}: {shown}, by {command_text(fact.subject, 60)}{later}"


def _failing(fact: FactRow, view: View) -> str:
    said = one_line(fact.text, view.width)
    name = one_line(fact.subject, view.width)
    state = f"failed, passing or gone since e{fact.superseded_by}" if fact.superseded_by else "failing"
    return f"{state}: {name}" if name in said or view.width < 120 else f"{state}: {name} ({said})"


def _error(fact: FactRow, view: View) -> str:
    over = f"[over since e{fact.superseded_by}] " if fact.superseded_by else ""
    return f"{over}{one_line(fact.text, view.width)}"


def _todo(fact: FactRow, view: View) -> str:
    mark = {"completed": "[x]", "in_progress": "[~]", "cancelled": "[-]"}.get(fact.status, "[ ]")
    return f"{mark} {one_line(fact.text or fact.subject, view.width)}"


def _question(fact: FactRow, view: View) -> str:
    answer = f" -> {one_line(fact.note, view.width)}" if fact.note else " -> no answer yet"
    return f"{one_line(fact.text, view.width)}{answer}"


def _task(fact: FactRow, view: View) -> str:
    result = f" -> {one_line(fact.note, view.width)}" if fact.note else ""
    return f"sub-agent {fact.status}: {one_line(fact.text or fact.subject, view.width)}{result}"


def _commit(fact: FactRow, view: View) -> str:
    branch = f" on {fact.status}" if fact.status else ""
    return f"commit {fact.subject[:12]}{branch}: {one_line(fact.text, view.width)}"


def _pull_request(fact: FactRow, view: View) -> str:
    number = f"#{fact.subject.lstrip('#')}" if fact.subject.lstrip("#").isdigit() else fact.subject
    said = "" if fact.text == fact.subject else f": {one_line(fact.text, view.width)}"
    return f"pull request {number} {fact.status}{said}"


def _symbol(fact: FactRow, view: View) -> str:
    return f"{one_line(fact.text or fact.subject, view.width)} in {view.path(fact.status)}"


def _value(fact: FactRow, view: View) -> str:
    said = one_line(fact.text, view.width)
    return f"{fact.subject}" if said in ("", fact.subject) or view.width < 100 else f'{fact.subject} (in "{said}")'


def _lookup(fact: FactRow, view: View) -> str:
    where = f" in {one_line(view.path(fact.text), view.width)}" if fact.text else ""
    return f"looked up {one_line(fact.subject, view.width)}{where}"


_WRITERS = {
    "prompt": _quoted,
    "constraint": _quoted,
    "correction": _quoted,
    "command": _command,
    "edit": _edit,
    "read": _read,
    "test": _test,
    "failing_test": _failing,
    "error": _error,
    "todo": _todo,
    "question": _question,
    "task": _task,
    "commit": _commit,
    "pull_request": _pull_request,
    "symbol": _symbol,
    "value": _value,
    "lookup": _lookup,
}
_SAY_SO_THEMSELVES = {"command", "test", "failing_test", "error", "read", "edit", "lookup", "commit", "prompt"}


def edit_group_line(group: Group, view: View) -> str:
    """All edits of one path on one line."""
    verb = {"create": " created", "delete": " deleted", "move": " moved"}.get(group.status, "")
    times = f" in {group.count} edits" if group.count > 1 else ""
    size = f"+{group.added}-{group.removed}"
    return _single(f"{view.path(group.subject)}{verb} {size}{times} {view.ref(group.session_key, group.last_seq)}")


def read_group_line(group: Group, view: View, edited_at: Mapping[str, int]) -> str:
    """All reads of one path on one line; says so if it was edited after the last of them."""
    later = edited_at.get(group.subject, 0)
    stale = f" (edited since, e{later})" if later > group.last_seq else ""
    part = f" {group.text}" if group.text and group.count == 1 else ""
    times = f" x{group.count}" if group.count > 1 else ""
    return _single(f"{view.path(group.subject)}{part}{times}{stale} {view.ref(group.session_key, group.last_seq)}")
