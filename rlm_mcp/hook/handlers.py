"""What to do at each call of a hook: HookCall and Store -> Decision. Knows no client's output format."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.brief.tail import Message, Refs, select_tail
from rlm_mcp.config import Paths
from rlm_mcp.errors import StoreBusy
from rlm_mcp.events import Client, EventKind, LinkKind
from rlm_mcp.hook.payloads import ADDITIONAL_CONTEXT_CHARS, HookCall, Moment
from rlm_mcp.hook.prepare import prepare
from rlm_mcp.store import events, lineage, live, sessions
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.text import cut
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate

_PATIENCE = 10
"""At a swap the ingest may take this many times ``hook_seconds``: the built-in summariser takes minutes."""
_CONTEXT_TOKENS = 2_400
_INSTRUCTION_TOKENS = 800
_INSTRUCTION = (
    "The whole conversation stays searchable outside the window through the rlm-mcp tools, and a Brief with these "
    "facts will stand beside your summary. Keep every Ref (such as e12) with its statement, keep the standing rules "
    "and the open work, and do not copy out what a Ref can reach.\n\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """The Window becomes the Brief and the tail."""

    brief: str
    tail: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddContext:
    """The model is shown this text too."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruct:
    """The built-in summariser is told this."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Nothing is said; the client goes on as it would."""

    reason: str = ""


Decision = Swap | AddContext | Instruct | Nothing


def start(call: HookCall, paths: Paths) -> bool:
    """Leave word of where the client's process is now; True if the Store is needed for more.

    Raises:
        OSError: the folder cannot be written.
    """
    before: dict[str, str] = {}
    if call.client is Client.CLAUDE_CODE and call.process and call.moment is not Moment.COMPACT:
        before = live.found(live.path_of(paths, call.client, call.process))
        _write_live(paths, call, built_in=call.moment is Moment.PRE_COMPACT)
        if call.source == "clear" and before.get("session"):
            lineage.hint(paths, call.session, before["session"], LinkKind.CLEAR)
        if call.source == "startup":
            for kind in (call.client, "parent", "degraded"):
                live.tidy(paths, kind)
    if call.moment is Moment.SESSION_START and call.source == "compact":
        return call.client is Client.CODEX or before.get("built_in") == "yes"
    return call.moment in (Moment.COMPACT, Moment.PRE_COMPACT)


def decide(call: HookCall, store: Store) -> Decision:
    """What to answer.

    Raises:
        RlmError: the transcript or the Store cannot be used.
    """
    if not call.transcript:
        return Nothing(reason="the client keeps no transcript of this session")
    if call.moment is Moment.COMPACT:
        return _swap(call, store)
    if call.moment is Moment.PRE_COMPACT and call.client is Client.CLAUDE_CODE:
        session = _session(call, store, store.settings.hook_seconds)
        made = brief(store, session, tokens=_INSTRUCTION_TOKENS, focus=call.instructions)
        _head, _, facts = made.text.partition("\n\n")
        return Instruct(text=cut(_INSTRUCTION + facts, ADDITIONAL_CONTEXT_CHARS))
    if call.moment is Moment.SESSION_START and call.source == "compact":
        return _beside_summary(call, store) if call.client is Client.CLAUDE_CODE else _codex(call, store)
    return Nothing()


def _swap(call: HookCall, store: Store) -> Decision:
    session = _session(call, store, store.settings.hook_seconds * _PATIENCE, may_lag=False)
    fold = compact(store, session, trigger=call.trigger, instructions=call.instructions)
    refs = Refs(
        of_call=_event_of(store, session, EventKind.CALL),
        of_result=_event_of(store, session, EventKind.RESULT),
        of_reply=lambda text: _reply_of(store, session, text),
    )
    return Swap(brief=fold.brief.text, tail=select_tail(call.messages, store.settings.tail_tokens, refs))


def _beside_summary(call: HookCall, store: Store) -> Decision:
    """Claude Code ran its own summariser: the Brief stands beside it, within what the client shows whole."""
    session = _session(call, store, store.settings.hook_seconds)
    tokens = min(_CONTEXT_TOKENS, store.settings.brief_tokens)
    text = compact(store, session, trigger="beside built-in", tokens=tokens).brief.text
    while len(text) > ADDITIONAL_CONTEXT_CHARS and tokens > 600:
        tokens = tokens * 4 // 5
        text = brief(store, session, tokens=tokens).text
    return AddContext(text=cut(text, ADDITIONAL_CONTEXT_CHARS))


def _codex(call: HookCall, store: Store) -> Decision:
    session = _session(call, store, store.settings.hook_seconds * _PATIENCE)
    fold = compact(store, session, trigger="codex", latest_tokens=store.settings.tail_tokens)
    prepare(store, session, fold.brief)
    return AddContext(text=fold.brief.text)


def _session(call: HookCall, store: Store, seconds: float, *, may_lag: bool = True) -> SessionRow:
    """The call's Session with what is new in its transcript, as far as ``seconds`` allow.

    Another process that keeps the store busy is bringing the same in: then what is stored is served.

    Args:
        may_lag: what is stored serves too when time is up before the transcript's end is reached.

    Raises:
        TimeoutError: time is up, and nothing stored may or can serve.
    """
    deadline = time.monotonic() + seconds

    def check(_done: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{call.transcript!r} could not be ingested in {seconds:.0f} s; the next call goes on")

    try:
        ingest(store, call.transcript, progress=check)
    except (TimeoutError, StoreBusy) as error:
        lags = isinstance(error, TimeoutError) and not may_lag
        if lags or sessions.by_client_id(store, call.session) is None:
            raise
    found = sessions.by_client_id(store, call.session) or locate(store, transcript=Path(call.transcript))
    return lineage.settle(store, found)


def _event_of(store: Store, session: SessionRow, kind: EventKind) -> Callable[[str], str]:
    def ref(call_id: str) -> str:
        for part in sessions.continued(store, session):
            event = events.by_call(store, part.session, call_id, kind)
            if event is not None:
                return f"e{event.seq}" if part.session.id == session.id else f"{part.session.key}.e{event.seq}"
        return ""

    return ref


def _reply_of(store: Store, session: SessionRow, text: str) -> str:
    rows = events.latest(store, session, 200)
    same = [row.seq for row in rows if row.kind is EventKind.REPLY and row.length == len(text.encode())]
    return f"e{same[-1]}" if same else ""


def _write_live(paths: Paths, call: HookCall, *, built_in: bool) -> None:
    """``built_in``: a PreCompact hook was called, which Claude Code does only when no mod answered."""
    content = {
        "session": call.session,
        "transcript": call.transcript,
        "cwd": call.cwd,
        "built_in": "yes" if built_in else "no",
    }
    live.leave(paths, live.path_of(paths, call.client, call.process), content)
