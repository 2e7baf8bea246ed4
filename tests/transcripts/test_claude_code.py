"""Claude Code's records -> Events: recordings of the real client, and the shapes older versions wrote."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.events import (
    AgentTask,
    Command,
    EditKind,
    Event,
    EventKind,
    FileEdit,
    FileRead,
    LinkKind,
    Lookup,
    OtherTool,
    PlanProposed,
    QuestionAsked,
    SessionNews,
    SkipReason,
    Todo,
    TodoStatus,
    TodoUpdate,
)
from rlm_mcp.transcripts.claude_code import ClaudeCodeReader, related_files
from rlm_mcp.transcripts.reader import read_batch

FIXTURES = Path(__file__).parent.parent / "fixtures" / "claude"
SESSION = "11111111-2222-4333-8444-555555555555"
WORKING = next((FIXTURES / "working").glob("*.jsonl"))
Json = dict[str, Any]


def events_of(path: Path) -> tuple[Event, ...]:
    batch = read_batch(path, None)
    assert batch.at_end
    assert batch.skips == ()
    return batch.events


def kinds(events: tuple[Event, ...] | list[Event], kind: EventKind) -> list[str]:
    return [event.text for event in events if event.kind is kind]


def actions(events: tuple[Event, ...], kind: type) -> list[Any]:
    return [action for event in events for action in event.actions if isinstance(action, kind)]


class Conversation:
    """Feeds records to one reader, each with an id and a time of its own."""

    def __init__(self, **state: Any) -> None:
        self.reader = ClaudeCodeReader(None, **state)
        self.events: list[Event] = []
        self.news: list[SessionNews] = []
        self.count = 0

    def give(self, kind: str, **more: Any) -> list[Event]:
        self.count += 1
        record = {
            "type": kind,
            "uuid": f"00000000-0000-4000-8000-{self.count:012d}",
            "sessionId": SESSION,
            "timestamp": f"2026-11-22T06:41:{self.count:02d}.500Z",
            **more,
        }
        reading = self.reader.read(record, 0, 10)
        assert reading.skip is None
        self.events += reading.events
        self.news += reading.news
        return list(reading.events)

    def user(self, content: Any, **more: Any) -> list[Event]:
        return self.give("user", message={"role": "user", "content": content}, **more)

    def assistant(self, *blocks: Json, **more: Any) -> list[Event]:
        return self.give("assistant", message={"role": "assistant", "content": list(blocks)}, **more)

    def tool(self, name: str, arguments: Json, content: Any, detail: Any = None, **block: Any) -> Event:
        """A call and its result; returns the result."""
        call_id = f"toolu_{self.count}"
        self.assistant({"type": "tool_use", "id": call_id, "name": name, "input": arguments})
        result = {"type": "tool_result", "tool_use_id": call_id, "content": content, **block}
        return self.user([result], **({} if detail is None else {"toolUseResult": detail}))[0]


def test_a_recorded_session_comes_through_in_order() -> None:
    """Prompts, the built-in summary and the replies around it, each once."""
    events = events_of(WORKING)
    assert kinds(events, EventKind.PROMPT) == [
        "The discount test fails, please fix it. Never touch the CSV files.",
        "Plan the import with tasks.",
        "Let an agent find the callers of total().",
        "Start the slow job in the background",
        "What is next?",
    ]
    assert len(kinds(events, EventKind.SUMMARY)) == 1
    assert "I look at the code and run the tests." in kinds(events, EventKind.REPLY)
    assert len({event.uuid for event in events if event.kind is EventKind.PROMPT}) == 5


def test_a_recorded_session_gives_typed_actions() -> None:
    """Commands with exit codes, reads, edits; what failed changed nothing."""
    events = events_of(WORKING)
    codes = {command.command.split()[0]: command.exit_code for command in actions(events, Command)}
    assert codes["echo"] == 3
    assert codes["seq"] == 0
    failed = next(command for command in actions(events, Command) if command.exit_code == 3)
    assert (failed.failed, failed.output) == (True, "building\noops")
    assert all(command.seconds is not None for command in actions(events, Command)[:3])
    edits = actions(events, FileEdit)
    assert [(edit.path.rsplit("/", 1)[1], edit.edit, edit.added, edit.removed) for edit in edits] == [
        ("prices.py", EditKind.UPDATE, 1, 1),
        ("stock.py", EditKind.CREATE, 3, 0),
    ]
    assert edits[0].added_text == "    return round(amount - amount * discount / 100, 2)"
    shown = (
        '"""Prices of the shop."""\n\n\ndef total(items, discount=0):\n'
        '    """Sum of the items\' prices, less the discount in percent."""\n'
        "    amount = sum(price for _, price in items)\n    return amount - amount * discount / 100\n"
    )
    read = actions(events, FileRead)[0]
    assert read.content_sha256 == hashlib.sha256(shown.encode()).hexdigest()[:16]
    assert (read.first_line, read.last_line) == (0, 0)
    assert any(isinstance(action, OtherTool) and action.failed for event in events for action in event.actions)


def test_a_large_output_is_loaded_from_where_the_client_put_it() -> None:
    """The whole output, not the stub with its preview."""
    whole = "".join(f"{number}\n" for number in range(1, 7001))
    result = next(event for event in events_of(WORKING) if event.text.startswith("1\n2\n3\n") and event.tool == "Bash")
    assert result.text.rstrip("\n") == whole.rstrip("\n")


def test_nothing_outside_the_transcripts_own_folder_is_loaded(tmp_path: Path) -> None:
    """Whatever path a stub names: only a plain name below ``tool-results/``, and no links."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = tmp_path / "session"
    (folder / "tool-results").mkdir(parents=True)
    (folder / "tool-results" / "link.txt").symlink_to(secret)
    for named in (
        f"{secret}",
        "/x/tool-results/../../secret.txt",
        "/x/tool-results/link.txt",
        "/x/tool-results/none.txt",
    ):
        stub = f"<persisted-output>\nOutput too large. Full output saved to: {named}\n\nPreview:\n1"
        assert Conversation(folder=folder).tool("Bash", {"command": "x"}, stub).text == stub


def test_a_picture_is_kept_apart_with_a_marker_in_its_place() -> None:
    """Type, size and hash in the text, bytes in the Payload."""
    result = next(event for event in events_of(WORKING) if event.payloads)
    payload = result.payloads[0]
    assert payload.data.startswith(b"\x89PNG")
    assert payload.sha256 == hashlib.sha256(payload.data).hexdigest()
    assert result.text == f"[image image/png {len(payload.data):,} bytes sha256:{payload.sha256[:8]}]"


def test_tasks_are_todos_with_the_clients_numbers() -> None:
    """Created and updated one by one."""
    todos = [update.todos[0] for update in actions(events_of(WORKING), TodoUpdate)]
    assert [(todo.todo_id, todo.status.value) for todo in todos] == [
        ("1", "pending"),
        ("2", "pending"),
        ("1", "in_progress"),
        ("1", "completed"),
    ]
    assert todos[1].text == "Add a CSV import"


def test_a_sub_agent_runs_and_ends() -> None:
    """Its end comes as a second result of the same call."""
    tasks = actions(events_of(WORKING), AgentTask)
    assert [(task.description, bool(task.result)) for task in tasks] == [
        ("Find the callers", False),
        ("Find the callers", True),
    ]
    assert tasks[0].agent == tasks[1].agent


def test_a_background_command_has_an_exit_code_only_at_its_end() -> None:
    """The launch says nothing about it."""
    ran = [command for command in actions(events_of(WORKING), Command) if command.command.startswith("sleep")]
    assert [command.exit_code for command in ran] == [None, 0]


def test_a_sub_agents_file_is_found_and_its_events_are_the_agents(tmp_path: Path) -> None:
    """Both layouts; its prompt is no prompt of the main agent."""
    [(path, agent)] = related_files(WORKING)
    events = events_of(path)
    assert {event.agent for event in events} == {agent}
    assert {event.client_session for event in events} == {WORKING.stem}
    assert kinds(events, EventKind.PROMPT) == ["Find who calls total() and say so."]
    older = tmp_path / WORKING.name
    older.write_bytes(WORKING.read_bytes())
    (tmp_path / f"agent-{agent}.jsonl").write_bytes(path.read_bytes())
    (tmp_path / "agent-other.jsonl").write_text('{"type":"user","sessionId":"another"}\n')
    assert related_files(older) == [(tmp_path / f"agent-{agent}.jsonl", agent)]
    assert related_files(path) == []


def test_the_session_is_described_by_news() -> None:
    """Folder, branch, version, model, window size, compactions."""
    news = read_batch(WORKING, None).news
    assert {item.client_session for item in news} == {WORKING.stem}
    assert news[0].cwd == "/tmp/rw/shop"
    assert news[0].git_branch == "master"
    assert news[0].client_version == "2.1.330"
    assert {item.model for item in news if item.model} == {"claude-sonnet-4-5"}
    assert [item.window_tokens for item in news if item.window_tokens][-1] > 1000
    assert sum(item.compactions for item in news) == 1


def test_a_plan_refused_and_a_plan_taken() -> None:
    """The words of a refusal are the user's, and a refused command did not run."""
    events = events_of(FIXTURES / "planned.jsonl")
    assert [(plan.text.splitlines()[2], plan.accepted) for plan in actions(events, PlanProposed)] == [
        ("1. Use Decimal", False),
        ("1. Use integer cents", True),
    ]
    assert kinds(events, EventKind.PROMPT) == [
        "Plan the rounding",
        "No, use integer cents",
        "do not create files in the root",
        "Thanks",
    ]
    assert actions(events, Command) == []


def test_a_prompt_typed_while_the_model_works_is_a_prompt_once() -> None:
    """Though it stands in the queue, leaves it, and comes as an attachment."""
    events = events_of(FIXTURES / "steered.jsonl")
    assert kinds(events, EventKind.PROMPT) == [
        "Please run the slow job",
        "and also read the docs, but only the English ones",
        "Ask me which database",
        "Start the very slow job",
        "Thanks",
    ]
    assert actions(events, QuestionAsked) == [QuestionAsked(question="Which database shall I use?", answer="SQLite")]
    assert "[Request interrupted by user for tool use]" in kinds(events, EventKind.NOTE)
    assert "/model" in kinds(events, EventKind.NOTE)


def test_messages_a_mod_kept_are_no_new_events() -> None:
    """Three compactions; each prompt, reply, call and result once; what a mod put first is a summary."""
    events = events_of(FIXTURES / "swapped.jsonl")
    assert kinds(events, EventKind.PROMPT) == [
        "first prompt please",
        "second prompt",
        "third prompt",
        "fourth prompt",
        "fifth prompt",
    ]
    assert kinds(events, EventKind.SUMMARY) == ["STANDIN-BRIEF 0", "STANDIN-BRIEF 1", "STANDIN-BRIEF 2"]
    calls = [event.call_id for event in events if event.kind is EventKind.CALL]
    assert len(calls) == len(set(calls)) == 3
    assert sum(item.compactions for item in read_batch(FIXTURES / "swapped.jsonl", None).news) == 3


def test_a_fork_keeps_what_its_first_boundary_kept() -> None:
    """The originals are in another file; at the second boundary they are copies."""
    events = events_of(FIXTURES / "forked.jsonl")
    assert kinds(events, EventKind.PROMPT) == [
        "second prompt",
        "third prompt",
        "resumed prompt",
        "forked prompt",
        "after fork compact",
        "resumed fork prompt",
    ]
    assert kinds(events, EventKind.REPLY)[:2] == ["done one", "OK"]


def test_what_the_client_added_to_a_prompt_is_a_note() -> None:
    """The rest is the prompt; where nothing is left there is none."""
    talk = Conversation()
    talk.user(
        [
            {"type": "text", "text": "<ide_opened_file>a.py is open</ide_opened_file>"},
            {"type": "text", "text": "Rename <b>it</b>\n<system-reminder>be brief</system-reminder>"},
        ]
    )
    talk.user("<ide_selection>lines 1-3</ide_selection>")
    assert kinds(talk.events, EventKind.PROMPT) == ["Rename <b>it</b>"]
    assert kinds(talk.events, EventKind.NOTE) == ["a.py is open", "be brief", "lines 1-3"]


def test_a_tag_without_its_end_stays_in_the_prompt() -> None:
    """Nothing a user typed is lost."""
    talk = Conversation()
    talk.user("what does <system-reminder> mean?")
    assert kinds(talk.events, EventKind.PROMPT) == ["what does <system-reminder> mean?"]


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("<command-name>/review</command-name><command-args>the PR</command-args>", EventKind.PROMPT, "/review the PR"),
        ("<command-message>x</command-message>\n<command-name>/init</command-name>", EventKind.PROMPT, "/init"),
        ("<command-name>/clear</command-name><command-args></command-args>", EventKind.NOTE, "/clear"),
        ("<command-name>/compact</command-name><command-args>keep a</command-args>", EventKind.NOTE, "/compact keep a"),
        ("<local-command-stdout>done</local-command-stdout>", EventKind.NOTE, "done"),
        ("[Request interrupted by user]", EventKind.NOTE, "[Request interrupted by user]"),
        ("Caveat: The messages below were generated by the user while running local commands. x", EventKind.NOTE, None),
        ("This session is being continued from a previous conversation that ran", EventKind.SUMMARY, None),
        ("# rlm-mcp brief\n\nTask", EventKind.SUMMARY, None),
    ],
)
def test_user_rows_are_what_they_say(text: str, kind: EventKind, shown: str | None) -> None:
    """Commands, command output, interrupts, summaries."""
    [event] = Conversation().user(text)
    assert (event.kind, event.text) == (kind, shown or text)


def test_rows_of_the_client_itself_are_notes() -> None:
    """Skill bodies (isMeta) and rows with another origin than a person."""
    talk = Conversation()
    talk.user("skill body", isMeta=True)
    talk.user("a peer says", origin={"kind": "peer-agent"})
    talk.user("I say", origin={"kind": "human"})
    assert [event.kind for event in talk.events] == [EventKind.NOTE, EventKind.NOTE, EventKind.PROMPT]


def test_queued_text_that_never_comes_as_a_record_is_a_note() -> None:
    """Older versions wrote it nowhere else."""
    talk = Conversation()
    talk.give("queue-operation", operation="enqueue", content="not in the docs folder")
    talk.give("queue-operation", operation="remove")
    talk.assistant({"type": "text", "text": "Right."})
    assert [(event.kind, event.tool, event.text) for event in talk.events] == [
        (EventKind.NOTE, "queued", "not in the docs folder"),
        (EventKind.REPLY, "", "Right."),
    ]


def test_queued_text_that_comes_as_a_prompt_is_no_note() -> None:
    """The prompt alone stands for it."""
    talk = Conversation()
    talk.give("queue-operation", operation="enqueue", content="go on")
    talk.give("queue-operation", operation="dequeue")
    talk.user("go on")
    talk.assistant({"type": "text", "text": "Yes."})
    assert [event.kind for event in talk.events] == [EventKind.PROMPT, EventKind.REPLY]


def test_blocks_of_one_message_are_an_event_each() -> None:
    """Thinking, text and calls; empty ones give nothing."""
    talk = Conversation()
    talk.assistant(
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "\n\n"},
        {"type": "text", "text": "Done."},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}},
    )
    assert [event.kind for event in talk.events] == [EventKind.THINKING, EventKind.REPLY, EventKind.CALL]


def test_an_api_error_is_a_failed_reply() -> None:
    """What the client itself says otherwise is a note."""
    talk = Conversation()
    talk.give(
        "assistant",
        isApiErrorMessage=True,
        message={"model": "<synthetic>", "content": [{"type": "text", "text": "API Error: 500"}]},
    )
    talk.give(
        "assistant", message={"model": "<synthetic>", "content": [{"type": "text", "text": "No response requested."}]}
    )
    assert [(event.kind, event.failed) for event in talk.events] == [(EventKind.REPLY, True), (EventKind.NOTE, False)]
    assert all(not item.model for item in talk.news)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("Bash", {"command": "ls\npwd", "timeout": 5}, "$ ls\npwd\ntimeout: 5"),
        ("Edit", {"file_path": "a.py", "old_string": "x\ny", "new_string": "z"}, "Edit a.py\n- x\n- y\n+ z"),
        ("Write", {"file_path": "a.py", "content": "one\ntwo"}, "Write a.py\none\ntwo"),
        (
            "MultiEdit",
            {"file_path": "a", "edits": [{"old_string": "1", "new_string": "2", "replace_all": True}]},
            "MultiEdit a\n- 1\n+ 2\nreplace_all: true",
        ),
        (
            "TodoWrite",
            {"todos": [{"content": "a", "status": "completed"}, {"content": "b", "status": "pending", "id": "7"}]},
            "TodoWrite\n[x] a\n[ ] b (id: 7)",
        ),
        (
            "mcp__x__y",
            {"deep": {"list": [1, "two\nlines"], "none": None}, "flag": False},
            "mcp__x__y\ndeep:\n  list:\n    - 1\n    -\ntwo\nlines\n  none: null\nflag: false",
        ),
        ("Odd", "a string", "Odd a string"),
    ],
)
def test_a_call_reads_as_a_person_would_write_it(name: str, arguments: Any, text: str) -> None:
    """Every argument whole, strings without escapes."""
    [call] = Conversation().assistant({"type": "tool_use", "id": "t", "name": name, "input": arguments})
    assert (call.text, call.tool, call.call_id) == (text, name, "t")


def test_the_longer_of_what_was_shown_and_what_was_kept_is_the_result() -> None:
    """A stub in the message does not hide the output; an empty stdout does not hide the message."""
    kept = {"stdout": "line\n" * 50, "stderr": "warning", "interrupted": False, "isImage": False}
    assert Conversation().tool("Bash", {"command": "x"}, "[stub]", kept).text == "line\n" * 50 + "warning"
    blank = {"stdout": "", "stderr": "", "interrupted": False, "isImage": False}
    assert Conversation().tool("Bash", {"command": "x"}, "shown", blank).text == "shown"


def test_a_command_tells_how_it_ended() -> None:
    """By the client's own words and flags."""
    talk = Conversation()
    detail = {"stdout": "", "stderr": "", "interrupted": False}
    ok = talk.tool("Bash", {"command": "true"}, "", detail).actions[0]
    bad = talk.tool("Bash", {"command": "x"}, "Exit code 2\nno", "Error: Exit code 2\nno", is_error=True).actions[0]
    cut = talk.tool("Bash", {"command": "x"}, "a", {**detail, "interrupted": True}).actions[0]
    none = talk.tool("Bash", {"command": "grep x"}, "", {**detail, "returnCodeInterpretation": "No matches"}).actions[0]
    away = talk.tool("Bash", {"command": "x"}, "Running", {**detail, "backgroundTaskId": "b1"}).actions[0]
    found = [(action.exit_code, action.failed) for action in (ok, bad, cut, none, away)]
    assert found == [(0, False), (2, True), (None, True), (1, False), (None, False)]
    assert bad.output == "no"


def test_an_answered_question_and_a_web_page() -> None:
    """Older answers stand in the text alone; lookups name what and where."""
    talk = Conversation()
    asked = {"questions": [{"question": "Which?", "options": []}, {"question": "Why?", "options": []}]}
    result = talk.tool("AskUserQuestion", asked, 'User has answered your questions: "Which?"="This". You can go on.')
    assert result.actions == (QuestionAsked(question="Which?", answer="This"), QuestionAsked(question="Why?"))
    found = talk.tool("Grep", {"pattern": "def", "path": "src"}, "src/a.py:1:def a")
    assert found.actions == (Lookup(what="def", where="src"),)


def test_a_todo_list_is_written_whole() -> None:
    """Entries without an id go by their text."""
    talk = Conversation()
    todos = [{"content": "a", "status": "completed"}, {"content": "b", "status": "in_progress", "id": "2"}]
    assert talk.tool("TodoWrite", {"todos": todos}, "Todos have been modified").actions == (
        TodoUpdate(
            todos=(
                Todo(todo_id="a", text="a", status=TodoStatus.COMPLETED),
                Todo(todo_id="2", text="b", status=TodoStatus.IN_PROGRESS),
            ),
            whole_list=True,
        ),
    )


def test_a_part_of_a_file_names_its_lines() -> None:
    """By what the client says it showed."""
    file = {"filePath": "/a.py", "content": "x\ny", "numLines": 2, "startLine": 10, "totalLines": 90}
    result = Conversation().tool(
        "Read", {"file_path": "/a.py", "offset": 10, "limit": 2}, "10\tx\n11\ty", {"type": "text", "file": file}
    )
    assert (result.actions[0].first_line, result.actions[0].last_line) == (10, 11)  # type: ignore[union-attr]


def test_sidechain_rows_belong_to_the_sub_agent() -> None:
    """Older versions wrote them into the main transcript, without an id."""
    talk = Conversation()
    talk.user("Search the web", isSidechain=True)
    talk.user("and you?", isSidechain=True, agentId="abc")
    assert [event.agent for event in talk.events] == ["sidechain", "abc"]


def test_messages_of_a_sub_agent_come_once(tmp_path: Path) -> None:
    """From ``progress`` rows only where it has no file of its own."""
    inner = {"type": "assistant", "uuid": "u-1", "message": {"content": [{"type": "text", "text": "found"}]}}
    progress = {"data": {"type": "agent_progress", "agentId": "a1", "message": inner}}
    talk = Conversation(folder=tmp_path)
    assert [event.agent for event in talk.give("progress", **progress)] == ["a1"]
    assert talk.give("progress", **progress) == []
    (tmp_path / "subagents").mkdir()
    (tmp_path / "subagents" / "agent-a1.jsonl").write_text("")
    assert Conversation(folder=tmp_path).give("progress", **progress) == []
    assert talk.give("progress", data={"type": "bash_progress", "output": "x"}) == []


def test_a_row_written_twice_is_one_event() -> None:
    """Resumed sessions repeat rows under their old id."""
    talk = Conversation()
    talk.user("once", uuid="same")
    talk.user("once", uuid="same")
    assert kinds(talk.events, EventKind.PROMPT) == ["once"]


def test_an_attachment_shown_again_is_one_note() -> None:
    """Files are attached anew after each compaction."""
    talk = Conversation()
    file = {"type": "file", "filename": "/a.py", "content": {"type": "text", "file": {"content": "x = 1"}}}
    talk.give("attachment", attachment=file)
    talk.give("attachment", attachment=file)
    talk.give("attachment", attachment={"type": "total_tokens_reminder", "text": "1 left"})
    talk.give(
        "attachment",
        attachment={"type": "hook_additional_context", "content": ["from a hook"]},
        rendered=[{"content": "<system-reminder>\nfrom a hook\n</system-reminder>"}],
    )
    assert kinds(talk.events, EventKind.NOTE) == ["/a.py\nx = 1", "from a hook"]


def test_another_session_in_the_same_file_is_linked() -> None:
    """A new id after the first: resumed, or compacted where a summary begins it; a return says nothing."""
    talk = Conversation()
    talk.user("one", sessionId="a")
    talk.user("two", sessionId="b")
    talk.user("This session is being continued from ...", sessionId="c", isCompactSummary=True)
    talk.user("three", sessionId="a")
    links = [(item.client_session, item.parent, item.link) for item in talk.news if item.link]
    assert links == [("b", "a", LinkKind.RESUME), ("c", "b", LinkKind.COMPACT)]
    assert [event.client_session for event in talk.events] == ["a", "b", "c", "a"]


def test_titles_and_records_without_a_session() -> None:
    """A record that names no session belongs to the last one."""
    talk = Conversation()
    talk.user("one")
    talk.give("custom-title", customTitle="My session")
    talk.give("user", sessionId=None, message={"content": "two"})
    assert [item.title for item in talk.news if item.title] == ["My session"]
    assert talk.events[-1].client_session == SESSION


def test_unknown_types_and_odd_shapes_are_counted() -> None:
    """With the type's name; nothing is raised."""
    reader = ClaudeCodeReader(None)
    unknown = reader.read({"type": "hologram", "sessionId": "s"}, 5, 10).skip
    assert unknown is not None
    assert (unknown.reason, unknown.detail, unknown.offset) == (SkipReason.UNKNOWN_TYPE, "hologram", 5)
    for message in (None, 1, "x", {}, {"content": 3}, {"content": [1]}):
        for kind in ("user", "assistant"):
            skip = reader.read({"type": kind, "sessionId": "s", "message": message}, 0, 1).skip
            assert skip is None or skip.reason is SkipReason.UNEXPECTED_SHAPE


def test_the_state_fits_in_json_and_stays_small() -> None:
    """Whatever a session leaves open."""
    talk = Conversation()
    for number in range(1000):
        talk.assistant(
            {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": "x"}}, timestamp=None
        )
        talk.give("queue-operation", operation="enqueue", content=f"text {number}", timestamp=None)
    assert len(json.dumps(talk.reader.state())) < 40_000
