"""What clients send becomes records; what we answer is what they read."""

import json

import pytest

from rlm_mcp.brief.tail import Message, Role, ToolResult, ToolUse
from rlm_mcp.errors import UsageError
from rlm_mcp.events import Client
from rlm_mcp.hook.payloads import HookCall, Moment, context_reply, decline_reply, parse, swap_reply


def call(payload: object, *, from_mod: bool = False, **environ: str) -> HookCall:
    return parse(Client.CLAUDE_CODE, json.dumps(payload).encode(), environ, from_mod=from_mod)


def test_a_classic_hook_names_its_event() -> None:
    """Session, transcript, source and the client's process are told apart."""
    found = call(
        {"session_id": "s1", "transcript_path": "/p/s1.jsonl", "hook_event_name": "SessionStart", "source": "clear"},
        CLAUDE_PID="77",
    )
    assert (found.moment, found.session, found.source, found.process) == (Moment.SESSION_START, "s1", "clear", "77")


def test_an_unknown_event_is_no_mistake() -> None:
    """Clients add hooks all the time."""
    assert call({"session_id": "s1", "hook_event_name": "MoonRise"}).moment is Moment.OTHER


def test_the_mod_sends_no_session_id_so_the_transcripts_name_tells() -> None:
    """$.session.info() has the path alone."""
    found = call({"transcript_path": "/p/abc.jsonl", "trigger": "auto", "messages": []}, from_mod=True)
    assert (found.moment, found.session, found.trigger) == (Moment.COMPACT, "abc", "auto")


def test_the_words_behind_compact_come_from_the_mod_and_from_the_classic_hook() -> None:
    """Two names for one thing."""
    assert call({"instructions": "mind the tests"}, from_mod=True).instructions == "mind the tests"
    classic = call({"hook_event_name": "PreCompact", "custom_instructions": "mind the tests"})
    assert classic.instructions == "mind the tests"


def test_rows_about_compact_itself_are_no_messages() -> None:
    """/compact, its caveat and its output are the client's, not the conversation's."""
    rows = ["<local-command-caveat>x", "<command-name>/compact</command-name>", "<local-command-stdout>ok", "go on"]
    messages = [{"role": "user", "text": text, "toolUses": []} for text in rows]
    found = call({"messages": messages}, from_mod=True)
    assert [message.text for message in found.messages] == ["go on"]


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe"])
def test_what_is_no_json_object_is_refused_without_being_quoted(payload: bytes) -> None:
    """The message goes to a log: it holds none of the payload."""
    with pytest.raises(UsageError, match="a hook was called with"):
        parse(Client.CODEX, payload, {}, from_mod=False)


def test_messages_go_out_as_they_came_in_without_a_handle() -> None:
    """A kept handle would bring the whole old conversation back at --resume."""
    messages = [
        {
            "role": "assistant",
            "text": "I look.",
            "toolUses": [{"tool_use_id": "t1", "tool": "Read", "input": {"file_path": "a"}, "text": "x", "result": {}}],
            "handle": "h",
        },
        {
            "role": "user",
            "text": "",
            "toolUses": [],
            "toolResults": [{"tool_use_id": "t1", "text": "x", "isError": True, "result": {"stdout": ""}}],
            "handle": "h",
        },
    ]
    found = call({"messages": messages}, from_mod=True).messages
    assert found == (
        Message(
            role=Role.ASSISTANT,
            text="I look.",
            uses=(ToolUse(call_id="t1", tool="Read", arguments={"file_path": "a"}),),
        ),
        Message(role=Role.USER, results=(ToolResult(call_id="t1", text="x", is_error=True),)),
    )
    brief, asked, answered = json.loads(swap_reply("the brief", found))["messages"]
    assert brief == {"role": "user", "text": "the brief", "toolUses": []}
    assert asked["toolUses"] == [{"tool_use_id": "t1", "tool": "Read", "input": {"file_path": "a"}}]
    assert answered["toolResults"] == [{"tool_use_id": "t1", "text": "x", "isError": True}]
    assert "handle" not in asked | answered


def test_the_other_replies() -> None:
    """A declined swap carries no messages; text for the model stands where both clients look for it."""
    assert json.loads(decline_reply("why")) == {"decline": "why"}
    inner = json.loads(context_reply("text"))["hookSpecificOutput"]
    assert inner == {"hookEventName": "SessionStart", "additionalContext": "text"}
