"""What is decided at each call."""

from dataclasses import replace

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.errors import TranscriptMissing
from rlm_mcp.events import Client, LinkKind
from rlm_mcp.hook.handlers import AddContext, Instruct, Nothing, Swap, decide, start
from rlm_mcp.hook.payloads import ADDITIONAL_CONTEXT_CHARS, HookCall, Moment, parse
from rlm_mcp.store import folds, live, sessions
from rlm_mcp.store.database import Store
from tests.hook.conftest import Recorded


def swap_call(recorded: Recorded, **fields: object) -> HookCall:
    payload = recorded.payload(trigger="manual", messages=recorded.window(), **fields)
    return parse(Client.CLAUDE_CODE, payload, {}, from_mod=True)


def classic(recorded: Recorded, event: str, client: Client = Client.CLAUDE_CODE, **fields: object) -> HookCall:
    return parse(client, recorded.payload(event, **fields), {"CLAUDE_PID": "4711"}, from_mod=False)


def test_a_swap_is_the_brief_and_the_latest_messages(store: Store, recorded: Recorded) -> None:
    """The big output is cut with a Ref that resolves; the unanswered call is gone; the pending prompt is last."""
    decision = decide(swap_call(recorded), store)
    assert isinstance(decision, Swap)
    assert decision.brief.startswith("# rlm-mcp brief")
    assert [message.text for message in decision.tail] == ["I measure.", "", "What is next?"]
    assert "characters left out; whole: e" in decision.tail[1].results[0].text


def test_a_swap_is_recorded_as_a_fold_with_the_users_words(store: Store, recorded: Recorded) -> None:
    """What stood in the window's place can be told later."""
    decision = decide(swap_call(recorded, instructions="mind the surcharge"), store)
    (fold,) = folds.of_session(store, recorded.session)
    assert isinstance(decision, Swap)
    assert (fold.trigger, fold.instructions, fold.brief) == ("manual", "mind the surcharge", decision.brief)
    assert "mind the surcharge" in decision.brief


def test_a_session_without_a_transcript_is_left_to_the_client(store: Store, recorded: Recorded) -> None:
    """--no-session-persistence: there is nothing to read from."""
    assert decide(replace(swap_call(recorded), transcript=""), store) == Nothing(
        reason="the client keeps no transcript of this session"
    )


def test_a_transcript_that_is_gone_is_an_error_for_the_guard(store: Store, recorded: Recorded) -> None:
    """The guard logs it and lets the built-in run."""
    with pytest.raises(TranscriptMissing):
        decide(replace(swap_call(recorded), transcript="/nowhere/x.jsonl", session="x"), store)


def test_the_summariser_is_told_what_must_be_kept(store: Store, recorded: Recorded) -> None:
    """PreCompact: Refs, rules and open work within the size the client passes on; no second Brief heading."""
    decision = decide(classic(recorded, "PreCompact", trigger="auto"), store)
    assert isinstance(decision, Instruct)
    assert "Keep every Ref" in decision.text
    assert "# rlm-mcp brief" not in decision.text
    assert len(decision.text) <= ADDITIONAL_CONTEXT_CHARS


def test_the_brief_stands_beside_a_built_in_summary(store: Store, recorded: Recorded) -> None:
    """SessionStart(compact) after PreCompact: within the size the client shows whole."""
    decision = decide(classic(recorded, "SessionStart", source="compact"), store)
    assert isinstance(decision, AddContext)
    assert decision.text.startswith("# rlm-mcp brief")
    assert len(decision.text) <= ADDITIONAL_CONTEXT_CHARS


def test_after_a_swap_of_ours_session_start_has_nothing_to_add(paths: Paths, recorded: Recorded) -> None:
    """Claude Code calls PreCompact only when no mod answered; that is how the two are told apart."""
    assert start(classic(recorded, "SessionStart", source="startup"), paths) is False
    assert start(classic(recorded, "SessionStart", source="compact"), paths) is False
    assert start(classic(recorded, "PreCompact", trigger="auto"), paths) is True
    assert start(classic(recorded, "SessionStart", source="compact"), paths) is True
    assert start(classic(recorded, "SessionStart", source="compact"), paths) is False


def test_the_server_is_told_which_session_the_client_is_in(paths: Paths, recorded: Recorded) -> None:
    """live/claude-code-<process>.json, whatever the session was called at the server's start."""
    start(classic(recorded, "SessionStart", source="startup"), paths)
    found = live.found(paths.live / "claude-code-4711.json")
    assert found["session"] == recorded.session
    assert found["transcript"] == str(recorded.transcript)


def test_clear_makes_the_session_before_it_the_parent(store: Store, recorded: Recorded) -> None:
    """The new session's first ingest records where it came from."""
    before = replace(classic(recorded, "SessionStart", source="startup"), session="the-one-before", transcript="/x")
    start(before, store.paths)
    start(classic(recorded, "SessionStart", source="clear"), store.paths)
    decide(swap_call(recorded), store)
    row = sessions.by_client_id(store, recorded.session)
    assert row is not None
    assert (row.parent, row.link) == ("the-one-before", LinkKind.CLEAR)


def test_codex_gets_brief_and_latest_events_after_its_reset(store: Store, recorded: Recorded) -> None:
    """Codex drops everything: its Brief is longer by the last events, verbatim."""
    call = classic(recorded, "SessionStart", Client.CODEX, source="compact")
    decision = decide(call, store)
    assert isinstance(decision, AddContext)
    assert decision.text.startswith("# rlm-mcp brief")
    assert "All three cases answer 422 with a JSON error" in decision.text
    assert folds.count(store, recorded.session) == 1


@pytest.mark.parametrize("source", ["startup", "resume", "clear", "fork"])
def test_codex_is_told_nothing_at_any_other_start(paths: Paths, recorded: Recorded, source: str) -> None:
    """A resume that compacts first calls twice: only ``compact`` speaks."""
    assert start(classic(recorded, "SessionStart", Client.CODEX, source=source), paths) is False


def test_other_moments_need_no_store(paths: Paths, recorded: Recorded) -> None:
    """Stop, SessionEnd and whatever comes."""
    call = classic(recorded, "Stop")
    assert call.moment is Moment.OTHER
    assert start(call, paths) is False
