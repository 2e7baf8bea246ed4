"""A Status as plain text: the same words in the tool and at the command line. Pure."""

from __future__ import annotations

from rlm_mcp import __version__
from rlm_mcp.costs import Spent
from rlm_mcp.events import SkipReason
from rlm_mcp.server.spent_text import spent_text
from rlm_mcp.store.cells import ReplRow
from rlm_mcp.store.folds import FoldRow
from rlm_mcp.store.log import stamp
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import one_line
from rlm_mcp.verbs.status import Status

_FOLDS = 5
_NAMES_CHARS = 120
_FACTS = ("edit", "read", "command", "test", "failing_test", "error", "constraint", "correction", "decision", "todo")


def status_text(status: Status) -> str:
    """What is held, what was skipped, what was folded, what is wrong."""
    lines = _session_lines(status) if status.session is not None else _sessions_lines(status)
    if status.documents:
        word = "loaded" if status.session is not None else "held"
        lines.append(f"documents: {status.documents:,} {word}, {size(status.document_bytes)} of text")
    lines += _spent_lines(status)
    lines += [f"degraded: {mark} (its next ingest heals it)" for mark in status.degraded]
    total = status.database_bytes + status.log_bytes + status.raw_bytes
    lines.append(
        f"store: {status.home}, {size(total)} (index {size(status.database_bytes)}, logs {size(status.log_bytes)}, "
        f"raw records {size(status.raw_bytes)}); rlm-mcp {__version__}"
    )
    return "\n".join(lines)


def size(count: int) -> str:
    """Bytes for people: ``840 B``, ``1.4 MB``."""
    amount = float(count)
    for unit in ("B", "kB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} MB"


def _session_lines(status: Status) -> list[str]:
    session = status.session
    assert session is not None
    older = f"; continues {', '.join(status.lineage)}" if status.lineage else ""
    unknown = sum(count for reason, _what, count in status.skips if reason == SkipReason.UNKNOWN_TYPE)
    skipped = sum(count for _reason, _what, count in status.skips) - unknown
    reasons = "; ".join(f"{reason}{f' ({what})' if what else ''}: {count}" for reason, what, count in status.skips)
    lines = [
        f"session: {session.key} ({session.client} {session.client_session}{older})",
        f"transcript: {session.path}",
        f"folder: {session.cwd}" + (f", branch {session.git_branch}" if session.git_branch else ""),
        f"client: {session.client_version or 'version unknown'}, model {session.model or 'unknown'}",
        f"window: {session.window_tokens:,} tokens at the last report; {session.compactions} compactions by the client",
        f"held: {session.events:,} events, {session.turns:,} turns, {size(session.log_bytes)} of text"
        + (f"; last event {stamp(session.updated)}" if session.updated is not None else ""),
        f"records without an event: {unknown} of unknown type, {skipped} skipped"
        + (f" [{reasons}]; their bytes are kept" if reasons else ""),
        f"facts: {_fact_counts(status)}",
        *([_repl_line(status.repl)] if status.repl is not None else []),
        f"folds: {len(status.folds)}",
        *(_fold_line(fold) for fold in status.folds[:_FOLDS]),
    ]
    if status.damage:
        lines.append(f"DAMAGED: {status.damage}; 'rlm-mcp ingest --rebuild {session.path}' heals it")
    return lines


def _spent_lines(status: Status) -> list[str]:
    """What other models have cost, beside the caps; nothing where none was asked today, nor ever by the Session."""
    caps, lines = status.caps, []
    if status.spent is not None and status.spent != Spent():
        lines.append(
            f"asked by this session: {spent_text(status.spent)}; {status.root_tokens:,} tokens by root models "
            f"(caps {caps.session_tokens:,} tokens, ${caps.session_usd:.2f})"
        )
    if status.spent_today != Spent():
        lines.append(
            f"asked today: {spent_text(status.spent_today)}; {status.root_tokens_today:,} tokens by root models "
            f"(caps {caps.day_tokens:,} tokens, ${caps.day_usd:.2f})"
        )
    return lines


def _repl_line(repl: ReplRow) -> str:
    cells = f"{repl.cells:,} Cell{'s' if repl.cells > 1 else ''} run"
    names = [name for name, _what in repl.variables]
    shown = f": {one_line(', '.join(reversed(names)), _NAMES_CHARS)}" if names else ""
    variables = f"{len(names):,} variable{'s' if len(names) != 1 else ''}{shown}"
    if repl.saved_time is None:
        saved = "never saved, a restart runs its Cells again"
    elif repl.saved_cell < repl.cells:
        saved = f"saved as of c{repl.saved_cell}, {stamp(repl.saved_time)}, a restart runs the rest again"
    else:
        saved = f"all saved {stamp(repl.saved_time)}"
    return f"repl: {cells}; {variables}; {saved}"


def _fact_counts(status: Status) -> str:
    counts = {kind: (total, current) for kind, total, current in status.fact_counts}
    shown = [f"{kind} {_of(*counts[kind])}" for kind in _FACTS if kind in counts]
    rest = sum(total for kind, (total, _current) in counts.items() if kind not in _FACTS)
    return ", ".join([*shown, f"others {rest}"] if rest else shown) or "none"


def _of(total: int, current: int) -> str:
    return f"{total}" if total == current else f"{total} ({current} current)"


def _fold_line(fold: FoldRow) -> str:
    outside = sum(total - shown for total, shown in fold.loss.values() if total > shown)
    return (
        f"  fold {fold.id}: {stamp(fold.time)}, {fold.trigger}, up to e{fold.upto_seq}, brief of {fold.tokens:,} "
        f"tokens in {fold.seconds * 1000:.0f} ms; {outside:,} things outside the window"
    )


def _sessions_lines(status: Status) -> list[str]:
    if not status.latest_sessions:
        return ["no sessions yet; 'rlm-mcp ingest FILE' takes one in, 'rlm-mcp install claude' connects a client"]
    return ["sessions, newest first:", *(f"  {session_line(row)}" for row in status.latest_sessions)]


def session_line(row: SessionRow) -> str:
    """One Session in a line."""
    when = stamp(row.updated) if row.updated is not None else "no time"
    return (
        f"{row.key}  {row.client} {row.client_session[:13]}  {when}  {row.events:,} events, {row.turns:,} turns  "
        f"{row.cwd or row.path}"
    )
