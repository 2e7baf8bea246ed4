"""What happened in one Turn, in a few lines: what went wrong, was changed, run, decided and answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rlm_mcp.brief.fit import Line, fit, share_out
from rlm_mcp.brief.lines import View, command_text, fact_line, outcome
from rlm_mcp.events import EventKind
from rlm_mcp.store import events, facts
from rlm_mcp.store.database import Store
from rlm_mcp.store.events import TurnRow
from rlm_mcp.store.facts import FactRow
from rlm_mcp.store.sessions import ScopePart
from rlm_mcp.text import estimate_tokens, one_line

# What a Turn's digest shows, in order; the share is of the room there is.
_GROUPS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("user's rules", ("constraint", "correction"), 0.14),
    ("tests", ("test", "failing_test"), 0.14),
    ("errors", ("error",), 0.2),
    ("edited", ("edit",), 0.2),
    ("added", ("symbol",), 0.14),
    ("committed", ("commit", "pull_request"), 0.1),
    ("decided", ("decision", "plan"), 0.12),
    ("todos", ("todo",), 0.12),
    ("asked", ("question", "task"), 0.08),
    ("values", ("value",), 0.06),
    ("read", ("read",), 0.14),
    ("ran", ("command",), 0.5),  # last: it takes what the others leave
)
_REPLY_SHARE = 0.1
_MANY_COMMANDS = 12
_LABEL_TOKENS = 6
_FEW_READS = 0.04
"""Share of the reads where commands need the room: what was read by command stands there already."""


def digest(store: Store, part: ScopePart, turn: TurnRow, view: View, max_tokens: int) -> list[str]:
    """The Turn as lines within ``max_tokens``; the first names it and its prompt."""
    rows = facts.of_turn(store, part, turn.number, limit=2000)
    prompt = _whole_prompt(store, part, turn)
    ref = view.ref(turn.session_key, turn.first_seq)
    last = view.ref(turn.session_key, turn.last_seq)
    head_room = int(max_tokens * (0.3 if rows else 0.8))
    head = f't{turn.number} ({ref} to {last}) user: "{_cut_to(prompt, head_room)}"'
    lines = [head]
    room = max_tokens - estimate_tokens(head) - 1
    reply = _last_reply(store, part, turn, view, int(max_tokens * _REPLY_SHARE))
    room -= estimate_tokens(reply) + 1 if reply else 0
    crowded = sum(row.kind == "command" for row in rows) > _MANY_COMMANDS
    groups = [
        (label, _pieces(kinds, rows, view), _FEW_READS if crowded and label == "read" else share)
        for label, kinds, share in _GROUPS
    ]
    present = [(label, pieces, share) for label, pieces, share in groups if pieces]
    wants = [_want(pieces, room) for _label, pieces, _share in present]
    rooms = share_out(wants, [share for _label, _pieces, share in present], room)
    spare = 0
    for (label, pieces, _share), given in zip(present, rooms, strict=True):
        line = _joined(label, pieces, given + spare)
        spare += given - (estimate_tokens(line) + 1 if line else 0)
        if line:
            lines.append(line)
    return _within([*lines, reply] if reply else lines, max_tokens)


def _want(pieces: Sequence[Line], room: int) -> int:
    """Tokens at a comfortable width, with the label."""
    tokens = _LABEL_TOKENS
    for piece in pieces:
        tokens += estimate_tokens(piece(160)) + 1
        if tokens > room:
            break
    return tokens


def _within(lines: list[str], max_tokens: int) -> list[str]:
    """The first of the lines that fit; the first one always."""
    kept, room = lines[:1], max_tokens - estimate_tokens(lines[0]) - 1
    for line in lines[1:]:
        room -= estimate_tokens(line) + 1
        if room < 0:
            break
        kept.append(line)
    return kept


def _joined(label: str, pieces: Sequence[Line], room: int) -> str:
    fitted = fit(pieces, room - _LABEL_TOKENS, narrowest=40)
    if not fitted.lines:
        return f"{label}: {len(pieces)} (no room here)" if room > 8 else ""
    more = f"; and {fitted.left_out} more" if fitted.left_out else ""
    return f"{label}: " + "; ".join(fitted.lines) + more


def _pieces(kinds: Sequence[str], rows: Sequence[FactRow], view: View) -> list[Line]:
    chosen = [row for row in rows if row.kind in kinds]
    merge = _MERGED.get(kinds[0])
    return merge(chosen, view) if merge else [_piece(row, view) for row in _once(chosen)]


def _once(rows: Sequence[FactRow]) -> list[FactRow]:
    found: dict[tuple[str, str, str], FactRow] = {}
    for row in rows:
        found.setdefault((row.kind, row.text, row.status), row)
    return list(found.values())


def _piece(row: FactRow, view: View) -> Line:
    return lambda width: fact_line(row, replace(view, width=width))


def _by_path(rows: Sequence[FactRow], view: View) -> list[Line]:
    """One piece a path: sums of its edits, or just its name."""
    paths: dict[str, list[FactRow]] = {}
    for row in rows:
        paths.setdefault(row.subject, []).append(row)
    return [_path_piece(path, found, view) for path, found in paths.items()]


def _path_piece(path: str, rows: Sequence[FactRow], view: View) -> Line:
    last = rows[-1]
    ref = view.ref(last.session_key, last.seq)
    if last.kind == "edit":
        made = " created" if rows[0].status == "create" else " deleted" if last.status == "delete" else ""
        size = f" +{sum(row.added for row in rows)}-{sum(row.removed for row in rows)}"
        return lambda _width: f"{view.path(path)}{made}{size} {ref}"
    return lambda _width: f"{view.path(path)} {ref}"


def _symbols(rows: Sequence[FactRow], view: View) -> list[Line]:
    paths: dict[str, list[FactRow]] = {}
    for row in rows:
        paths.setdefault(row.status, []).append(row)
    return [_symbol_piece(path, found, view) for path, found in paths.items()]


def _symbol_piece(path: str, rows: Sequence[FactRow], view: View) -> Line:
    names = ", ".join(dict.fromkeys(row.subject for row in rows))
    ref = view.ref(rows[-1].session_key, rows[-1].seq)
    base = view.path(path).rpartition("/")[2]
    return lambda width: f"{one_line(names, width * 2)} in {base} {ref}"


def _commands(rows: Sequence[FactRow], view: View) -> list[Line]:
    """Failed ones first: they are what a reader looks for; then in order."""
    found: dict[str, FactRow] = {}
    for row in rows:
        found[f"{row.subject} {row.status}"] = row
    ordered = sorted(found.values(), key=lambda row: row.status != "failed")
    return [_command_piece(row, view) for row in ordered]


def _command_piece(row: FactRow, view: View) -> Line:
    ref = view.ref(row.session_key, row.seq)
    return lambda width: f"{outcome(row)} {command_text(row.text or row.subject, max(width, 68))} {ref}"


def _todos(rows: Sequence[FactRow], view: View) -> list[Line]:
    """The last state of each todo in the Turn."""
    last: dict[str, FactRow] = {}
    for row in rows:
        last[row.subject] = row
    return [_piece(row, view) for row in last.values()]


def _values(rows: Sequence[FactRow], _view: View) -> list[Line]:
    names = list(dict.fromkeys(row.subject for row in rows))
    return [(lambda width, name=name: one_line(name, max(width, 80))) for name in names]  # type: ignore[misc]


_MERGED: dict[str, Callable[[Sequence[FactRow], View], list[Line]]] = {
    "edit": _by_path,
    "read": _by_path,
    "symbol": _symbols,
    "command": _commands,
    "todo": _todos,
    "value": _values,
}


def _whole_prompt(store: Store, part: ScopePart, turn: TurnRow) -> str:
    if not turn.prompt:
        return ""
    return events.text_of(store, events.event_row(store, part.session, turn.first_seq), max_bytes=40_000)


def _cut_to(text: str, max_tokens: int) -> str:
    chars = max(80, max_tokens * 4)
    shown = one_line(text, chars)
    while estimate_tokens(shown) > max_tokens and chars > 80:
        chars = int(chars * 0.85)
        shown = one_line(text, chars)
    return shown


def _last_reply(store: Store, part: ScopePart, turn: TurnRow, view: View, max_tokens: int) -> str:
    row = store.connection.execute(
        "SELECT max(seq) FROM event WHERE session = ? AND turn = ? AND kind = ? AND agent = '' AND seq <= ?",
        (part.session.id, turn.number, EventKind.REPLY, part.max_seq),
    ).fetchone()
    if row[0] is None:
        return ""
    event = events.event_row(store, part.session, row[0])
    text = _cut_to(events.text_of(store, event, max_bytes=8_000), max_tokens)
    return f"last reply: {text} {view.ref(turn.session_key, event.seq)}"
