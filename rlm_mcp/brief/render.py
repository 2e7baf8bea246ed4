"""The Brief as text within its token budget. Deterministic: the same Material gives the same Brief. Pure.

Order of value: the latest ask and the work in progress come whole; then every section gets its share of what is left,
and what a section does not need goes to the others. Lines grow narrower before they grow fewer, and what was left out
is counted at the end of its section.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlm_mcp.brief.fit import Fitted, fit, share_out
from rlm_mcp.brief.loss import LossReport
from rlm_mcp.brief.material import Ask, LatestEvent, Material
from rlm_mcp.brief.select import Section, sections
from rlm_mcp.store.cells import ReplRow
from rlm_mcp.text import cut, estimate_tokens, one_line

FIRST_LINE = "# rlm-mcp brief"
_SERVER = {"codex": "rlm-mcp (namespace mcp__rlm_mcp)"}
"""What the tools stand under: newer models of Codex see no more of a server than that."""
_HEADING_TOKENS = 16
_ASK_SHARE = 0.62
"""Of the room there is, for the latest ask; longer ones are cut in the middle with their Ref."""
_FIRST_ASK_SHARE = 0.2
_REPLY_SHARE = 0.08
_LEAST_CHARS = 100
_VARIABLE_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The text in place of folded Turns."""

    text: str
    tokens: int
    """As estimated; never above what was asked for by more than a tenth."""
    loss: LossReport


def render(material: Material, max_tokens: int, latest_tokens: int = 0) -> Brief:
    """The Brief of ``material`` within ``max_tokens``; ``latest_tokens`` more for the last Events, verbatim."""
    chosen = sections(material)
    head = _head(material, max_tokens)
    most = LossReport(kinds={"event": (material.events, 0), **{each.kinds[0]: (_total(each), 0) for each in chosen}})
    repl = _repl(material.repl, max(_LEAST_CHARS, min(400, max_tokens // 10)))
    free = max_tokens - estimate_tokens(head) - estimate_tokens(_foot(most) + repl) - 4
    task = _task(material, free)
    room = free - estimate_tokens(task)
    rooms = share_out([_want(each, room) for each in chosen], [each.share for each in chosen], room)
    body: list[str] = []
    shown: dict[str, tuple[int, int]] = {"event": (material.events, 0)}
    spare = 0
    for section, given in zip(chosen, rooms, strict=True):
        fitted = fit(section.lines, given + spare - _HEADING_TOKENS, narrowest=section.narrowest)
        spare = max(0, given + spare - fitted.tokens - _HEADING_TOKENS)
        shown[section.kinds[0]] = (_total(section), len(fitted.lines))
        if fitted.lines:  # what has no room is counted at the end
            body.append(_block(section, fitted))
    loss = LossReport(kinds=shown)
    parts = [head, task, *body, _latest(material.latest, latest_tokens), _foot(loss) + repl]
    text = "\n\n".join(part for part in parts if part)
    return Brief(text=text, tokens=estimate_tokens(text), loss=loss)


def _total(section: Section) -> int:
    return max(section.total, len(section.lines))


def _repl(repl: ReplRow | None, max_chars: int) -> str:
    """Which variables the Repl still has, the last set first, on a line of its own; empty where it has none."""
    if repl is None or not repl.variables:
        return ""
    shown: list[str] = []
    room = max_chars
    for name, what in reversed(repl.variables):
        told = one_line(f"{name} ({what})", _VARIABLE_CHARS)
        room -= len(told) + 2
        if shown and room < 0:
            break
        shown.append(told)
    rest = len(repl.variables) - len(shown)
    more = f" and {rest} more" if rest else ""
    verb = "is" if len(repl.variables) == 1 else "are"
    return f"\nrepl: {', '.join(shown)}{more} {verb} still set [c{repl.cells}]"


def _foot(loss: LossReport) -> str:
    return (
        f"## Outside this window, each one call away\n{loss.line()}. "
        'search("which commands failed"), search("words of an earlier prompt"), read("e12").'
    )


def _head(material: Material, max_tokens: int) -> str:
    where = f", {material.cwd}" if material.cwd else ""
    branch = f" on {material.git_branch}" if material.git_branch else ""
    focus = (
        f"\nThe user asked to keep in mind: {cut(material.focus, max(80, min(600, max_tokens // 4)))}"
        if material.focus
        else ""
    )
    wrote = "no model wrote them" if material.summary is None else "no model wrote them but the summary"
    return (
        f"{FIRST_LINE}: session {material.session_key} ({material.client}{where}{branch}), "
        f"{material.events:,} events, {material.turns:,} turns\n"
        "The conversation up to here left the window and is kept whole outside it. These lines are facts taken from it "
        f"by rules, each with its Ref (e12 an event, t3 a turn); {wrote}. The tools of MCP server "
        f"{_SERVER.get(material.client, 'rlm-mcp')} reach the rest: search(query) by words or typed question, "
        "read(ref) for exact bytes. Search before you read a file again or repeat a command; continue with the latest "
        f"ask.{focus}"
    )


def _task(material: Material, max_tokens: int) -> str:
    lines = ["## Task"]
    first, latest = material.first_ask, material.latest_ask
    if first is not None and latest is not None and first.turn != latest.turn:
        lines.append(_ask("First ask", first, int(max_tokens * _FIRST_ASK_SHARE)))
    if latest is not None:
        lines.append(_ask("Latest ask", latest, int(max_tokens * _ASK_SHARE)))
    if material.last_reply is not None and not material.latest:
        text = _within(material.last_reply.text, int(max_tokens * _REPLY_SHARE), material.last_reply.ref)
        lines.append(f"In progress, the model's last words ({material.last_reply.ref}):\n{text}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _ask(label: str, ask: Ask, max_tokens: int) -> str:
    return f"{label}, verbatim (t{ask.turn} {ask.ref}):\n{_within(ask.text, max_tokens, ask.ref)}"


def _within(text: str, max_tokens: int, ref: str) -> str:
    chars = max(_LEAST_CHARS, max_tokens * 5)
    shown = cut(text, chars, ref)
    while estimate_tokens(shown) > max_tokens and chars > _LEAST_CHARS:
        chars = max(_LEAST_CHARS, int(chars * 0.85))
        shown = cut(text, chars, ref)
    return shown


def _want(section: Section, room: int) -> int:
    """Tokens at a comfortable width, with its heading."""
    tokens = _HEADING_TOKENS
    for line in section.lines:
        tokens += estimate_tokens(line(280)) + 1
        if tokens > room:
            break
    return tokens + 4


def _block(section: Section, fitted: Fitted) -> str:
    left_out = _total(section) - len(fitted.lines)
    more = f"\n- and {left_out} more" if left_out > 0 else ""
    return f"## {section.title}\n" + "\n".join(fitted.lines) + more


def _latest(latest: Sequence[LatestEvent], max_tokens: int) -> str:
    """The last Events verbatim, oldest first, as many as fit; a huge one is cut with its Ref."""
    kept: list[str] = []
    room = max_tokens
    for event in reversed(latest):
        most = max(120, room // 2) if event.kind == "result" else room
        tool = f" {event.tool}" if event.tool else ""
        written = f"[{event.ref} {event.kind}{tool}]\n{_within(event.text, most, event.ref)}"
        cost = estimate_tokens(written) + 1
        if cost > room:
            break
        kept.append(written)
        room -= cost
    if not kept:
        return ""
    return "## Latest events, verbatim, oldest first\n" + "\n".join(reversed(kept))
