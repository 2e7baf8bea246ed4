"""File changes as Codex writes them: the ``apply_patch`` grammar, and the ``changes`` of its own records.

Source of the grammar: the ``apply_patch`` tool description the client sends with each request::

    *** Begin Patch
    *** Add File: PATH          then lines with '+'
    *** Delete File: PATH
    *** Update File: PATH       then optionally '*** Move to: PATH', then hunks: '@@ ...', ' ', '+' and '-' lines
    *** End Patch

``changes`` (``patch_apply_end`` up to 0.142, ``FileChange`` items in 0.169) maps a path to ``{"type": "add",
"content"}``, ``{"type": "delete", "content"}`` or ``{"type": "update", "unified_diff", "move_path"}``.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from rlm_mcp.events import EditKind, FileEdit

_HEADER = re.compile(r"\*\*\* (Add|Delete|Update) File: (.+)")
_MOVE = "*** Move to: "
_BEGIN = "*** Begin Patch"
_END = "*** End Patch"


def absolute(path: str, cwd: str) -> str:
    """``path`` below ``cwd``; as it is where it is absolute or ``cwd`` is not known."""
    if not path or not cwd or path.startswith("/") or re.match(r"[A-Za-z]:[\\/]", path):
        return path
    return posixpath.normpath(posixpath.join(cwd, path))


def patch_within(command: str) -> str:
    """The patch in a shell command (``apply_patch <<'EOF' ...``) or tool argument; empty where there is none."""
    start = command.find(_BEGIN)
    if start < 0:
        return ""
    end = command.find(_END, start)
    return command[start:] if end < 0 else command[start : end + len(_END)]


def edits_of_patch(patch: str, cwd: str) -> tuple[FileEdit, ...]:
    """The edits a patch asks for, one per file; none where ``patch`` holds no file header."""
    edits: list[FileEdit] = []
    header: tuple[str, str] | None = None
    lines: list[str] = []
    for line in patch.splitlines():
        found = _HEADER.fullmatch(line.rstrip())
        if found is None and line.rstrip() != _END:
            lines.append(line)
            continue
        if header is not None:
            edits.append(_edit(*header, lines, cwd))
        header = (found[1], found[2].strip()) if found else None
        lines = []
    if header is not None:
        edits.append(_edit(*header, lines, cwd))
    return tuple(edits)


def _edit(word: str, path: str, lines: list[str], cwd: str) -> FileEdit:
    new_path = next((line[len(_MOVE) :].strip() for line in lines if line.startswith(_MOVE)), "")
    kind = {"Add": EditKind.CREATE, "Delete": EditKind.DELETE}.get(word, EditKind.UPDATE)
    return _counted(
        absolute(path, cwd),
        EditKind.MOVE if new_path else kind,
        [line[1:] for line in lines if line.startswith("+")],
        [line[1:] for line in lines if line.startswith("-")],
        absolute(new_path, cwd),
    )


def edits_of_changes(changes: Any) -> tuple[FileEdit, ...]:
    """The edits of a ``changes`` object; entries of another shape are left out."""
    if not isinstance(changes, dict):
        return ()
    edits = (_change(path, change) for path, change in changes.items() if isinstance(change, dict))
    return tuple(edit for edit in edits if edit is not None)


def _change(path: str, change: dict[str, Any]) -> FileEdit | None:
    kind = change.get("type")
    content = change.get("content")
    lines = content.splitlines() if isinstance(content, str) else []
    if kind == "add":
        return _counted(path, EditKind.CREATE, lines, [], "")
    if kind == "delete":
        return _counted(path, EditKind.DELETE, [], lines, "")
    diff = change.get("unified_diff")
    if kind != "update" or not isinstance(diff, str):
        return None
    body = [line for line in diff.splitlines() if not line.startswith(("+++ ", "--- ", "@@"))]
    move = change.get("move_path")
    return _counted(
        path,
        EditKind.MOVE if isinstance(move, str) and move else EditKind.UPDATE,
        [line[1:] for line in body if line.startswith("+")],
        [line[1:] for line in body if line.startswith("-")],
        move if isinstance(move, str) else "",
    )


def _counted(path: str, kind: EditKind, added: list[str], removed: list[str], new_path: str) -> FileEdit:
    return FileEdit(
        path=path,
        edit=kind,
        added=len(added),
        removed=len(removed),
        added_text="\n".join(added),
        removed_text="\n".join(removed),
        new_path=new_path,
    )
