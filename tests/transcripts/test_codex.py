"""Codex rollouts: each thing once, and nothing lost. Recorded with 0.169; 0.101 and 0.142 from published files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlm_mcp.events import (
    AgentTask,
    Command,
    EditKind,
    EventKind,
    FileEdit,
    FileRead,
    LinkKind,
    Lookup,
    OtherTool,
    QuestionAsked,
    SkipReason,
    TodoStatus,
    TodoUpdate,
)
from tests.transcripts.codex_rollouts import FIXTURES, read_file, read_fixture, read_lines, records

META = ("session_meta", {"id": "s1", "cwd": "/w", "cli_version": "0.150.0"})


def _item(**payload):
    return ("response_item", payload)


def _event(**payload):
    return ("event_msg", payload)


def _said(role, text):
    return _item(type="message", role=role, content=[{"type": "input_text", "text": text}])


def _called(name, arguments, call_id="c1"):
    return _item(type="function_call", name=name, arguments=json.dumps(arguments), call_id=call_id)


def _answered(output, call_id="c1"):
    return _item(type="function_call_output", call_id=call_id, output=output)


def test_prompts_replies_and_reasoning_come_once():
    """The item and the client's own record of one message give one Event."""
    read = read_fixture("tools-0")
    assert [event.text for event in read.of(EventKind.REPLY)] == ["I look around first.", "All done."]
    assert [event.text for event in read.of(EventKind.THINKING)] == ["**Thinking** about it"]
    (prompt,) = read.of(EventKind.PROMPT)
    assert prompt.text == "do the things\n[image: /home/dev/project/pic.png]"
    assert prompt.payloads[0].media_type == "image/png"
    assert prompt.payloads[0].data.startswith(b"\x89PNG")


def test_the_whole_output_is_kept_where_the_model_saw_a_cut_one():
    """The client's own record of a command wins over the truncated tool output."""
    read = read_fixture("tools-0")
    (long,) = [event for event in read.results("exec_command") if event.call_id == "call_2_0"]
    assert long.text == "".join(f"{number}\n" for number in range(1, 601))
    assert long.actions == (
        Command(
            command="seq 1 600",
            cwd="/home/dev/project",
            exit_code=0,
            failed=False,
            seconds=long.actions[0].seconds,
            output=long.text,
        ),
    )
    (big,) = read.results("mcp__echo__big")
    assert big.text.count("\n") == 59


def test_a_failed_command_says_its_exit_code():
    """Exit code and failure stand on Event and Action."""
    (failed,) = [event for event in read_fixture("tools-0").results("exec_command") if event.failed]
    assert failed.actions[0].exit_code == 2
    assert failed.text == "ls: cannot access 'missing.txt': No such file or directory\n"


def test_patches_become_edits_only_where_they_were_carried_out():
    """Counts and text come from what the client changed; a refused patch edits nothing."""
    done, refused = read_fixture("tools-0").results("apply_patch")
    assert done.actions == (
        FileEdit(path="/home/dev/project/new.txt", edit=EditKind.CREATE, added=2, added_text="one\ntwo"),
        FileEdit(
            path="/home/dev/project/README.md",
            edit=EditKind.UPDATE,
            added=2,
            removed=1,
            added_text="hello there\nmore",
            removed_text="hello",
        ),
    )
    assert refused.failed
    assert not any(isinstance(action, FileEdit) for action in refused.actions)


def test_a_patch_through_the_shell_is_an_edit():
    """``apply_patch <<EOF`` in the shell is seen as what it is."""
    edits = [a for e in read_fixture("tools-0").results("exec_command") for a in e.actions if isinstance(a, FileEdit)]
    assert [(edit.path, edit.edit, edit.removed) for edit in edits] == [
        ("/home/dev/project/new.txt", EditKind.DELETE, 2)
    ]


def test_the_plan_is_the_whole_todo_list():
    """update_plan gives every step with its state."""
    (planned,) = read_fixture("tools-0").results("update_plan")
    (update,) = planned.actions
    assert isinstance(update, TodoUpdate)
    assert update.whole_list
    assert [(todo.text, todo.status) for todo in update.todos] == [
        ("look", TodoStatus.COMPLETED),
        ("change", TodoStatus.IN_PROGRESS),
        ("test", TodoStatus.PENDING),
    ]


def test_a_process_that_outlives_its_call_ends_in_one_command_with_an_exit_code():
    """First what was there, then the whole with the exit code; polls are no commands."""
    read = read_fixture("tools-0")
    first, last = [event for event in read.results("exec_command") if event.call_id == "call_7_0"]
    assert (first.text, first.actions[0].exit_code) == ("start\n", None)
    assert (last.text, last.actions[0].exit_code) == ("start\nend\n", 0)
    (poll,) = read.results("write_stdin")
    assert poll.text == "end\n"
    assert isinstance(poll.actions[0], OtherTool)


def test_images_searches_and_failing_servers_are_told_apart():
    """view_image, web_search and MCP failures each have their shape."""
    read = read_fixture("tools-0")
    (shown,) = read.results("view_image")
    assert shown.actions == (FileRead(path="/home/dev/project/pic.png"),)
    assert shown.payloads[0].media_type == "image/png"
    (searched,) = read.results("web_search")
    assert searched.actions == (Lookup(what="codex rollout format", where="web"),)
    (broken,) = read.results("mcp__echo__broken")
    assert broken.failed
    assert broken.text == "it is broken"
    assert read_fixture("tools-1").results("no_such_tool")[0].failed


def test_what_a_script_does_with_other_tools_is_seen():
    """Code mode: nested commands, patches, MCP calls and images each have call and result; so has the plan."""
    read = read_fixture("scripts-0")
    done = [event.actions[0] for event in read.results("exec_command")]
    assert [(command.command, command.exit_code) for command in done] == [("echo nested; seq 1 5", 0), ("false", 1)]
    assert read.results("mcp__echo__echo")[0].text == "hello"
    assert read.results("apply_patch")[0].actions[0].path == "/home/dev/project/n.txt"
    assert read.results("view_image")[0].actions == (FileRead(path="/home/dev/project/pic.png"),)
    scripts = read.results("exec")
    assert [event.text for event in scripts][:2] == ["nested\n1\n2\n3\n4\n5\n", scripts[1].text]
    (plan,) = [action for event in scripts for action in event.actions if isinstance(action, TodoUpdate)]
    assert [(todo.text, todo.status) for todo in plan.todos] == [
        ("look 'here'", TodoStatus.COMPLETED),
        ("test", TodoStatus.PENDING),
    ]


def test_every_result_has_its_call():
    """Calls and results pair by id in every recording."""
    for path in sorted(FIXTURES.glob("*.jsonl")):
        read = read_file(path)
        assert {event.call_id for event in read.of(EventKind.RESULT)} == {e.call_id for e in read.of(EventKind.CALL)}
        assert read.skips == (), path.name


@pytest.mark.parametrize("kind", ["token-budget", "local", "remote"])
def test_a_compaction_is_counted_and_its_history_is_not_doubled(kind):
    """Two compactions, one by resume: the task stands once, the Brief of our hook is a summary."""
    read = read_fixture(f"compact-{kind}-0")
    assert sum(news.compactions for news in read.news) == 2
    assert [event.text for event in read.of(EventKind.PROMPT)] == ["the task", "go on"]
    assert [event.text for event in read.of(EventKind.REPLY)] == ["First answer.", "Second answer."]
    summaries = [event.text for event in read.of(EventKind.SUMMARY)]
    assert summaries.count("# rlm-mcp brief\nfrom compact") == 2
    assert summaries.count("The summary.") == (2 if kind == "local" else 0)
    assert [event.text for event in read.of(EventKind.NOTE)].count("Context compacted") == 2


def test_what_the_client_reports_of_itself_is_news():
    """Folder, version, model and the size of the Window."""
    read = read_fixture("compact-token-budget-0")
    assert {news.client_version for news in read.news if news.client_version} == {"0.169.0"}
    assert {news.cwd for news in read.news if news.cwd} == {"/home/dev/project"}
    assert {news.model for news in read.news if news.model} == {"gpt-5.5"}
    assert [news.window_tokens for news in read.news if news.window_tokens][:2] == [20_050, 60_050]


def test_a_fork_names_its_parent_and_holds_only_its_own():
    """0.169 leaves the prefix in the parent's file."""
    parent, fork = read_fixture("terminal-0"), read_fixture("terminal-1")
    (link,) = [news for news in fork.news if news.parent]
    assert link.link is LinkKind.FORK
    assert link.parent == parent.events[0].client_session
    assert link.parent_bytes == 53_628
    assert [event.text for event in fork.of(EventKind.PROMPT)] == ["after the fork"]


@pytest.mark.parametrize(
    "base", [None, 7, {}, {"thread_id": "other", "end_byte_offset": 9}, {"thread_id": "old", "end_byte_offset": "9"}]
)
def test_a_fork_may_say_nothing_of_how_much_it_goes_on_from(base: object):
    """Or say it of another file, or in another shape: then it is not known."""
    meta = {"id": "new", "forked_from_id": "old", "cwd": "/w", "history_base": base}
    (news,) = read_lines(records(("session_meta", meta))).news
    assert (news.parent, news.parent_bytes) == ("old", 0)


def test_what_the_user_ran_and_interrupted_at_the_terminal_comes_once():
    """``!command`` is a command of the user; an interrupt is one note."""
    read = read_fixture("terminal-0")
    (own,) = read.results("user_shell")
    assert own.text == "by the user\n"
    assert own.actions[0].command == "echo by the user"
    assert not any("by the user" in event.text for event in read.of(EventKind.NOTE))
    assert len([event for event in read.of(EventKind.NOTE) if "turn_aborted" in event.text]) == 1
    (interrupted,) = [event for event in read.results("exec_command") if event.failed]
    assert interrupted.actions[0].exit_code is None


def test_a_sub_agents_task_and_result_stand_at_its_sender():
    """The thread of the agent is a Session of its own, known by its id."""
    sender, agent = read_fixture("agents-0"), read_fixture("agents-1")
    (sent,) = [a for e in sender.results("spawn_agent") for a in e.actions if isinstance(a, AgentTask)]
    (came,) = [a for e in sender.results("wait_agent") for a in e.actions if isinstance(a, AgentTask)]
    assert (sent.prompt, came.description, came.result) == ("please look at X", "please look at X", "Looked: fine.")
    assert {event.client_session for event in agent.events} == {sent.agent} == {came.agent}
    (title,) = {news.title for news in agent.news if news.title}
    assert title.endswith(f"of {sender.events[0].client_session}")
    assert [event.text for event in agent.of(EventKind.PROMPT)] == ["please look at X"]


def test_old_versions_write_events_before_items_or_no_events_at_all():
    """Whichever record comes first gives the Event; a version with one kind only loses nothing."""
    both = read_lines(
        records(
            META,
            _said("user", "do it"),
            _event(type="user_message", message="do it"),
            _event(type="agent_reasoning", text="one"),
            _event(type="agent_reasoning", text="two"),
            _item(type="reasoning", summary=[{"type": "summary_text", "text": t} for t in ("one", "two")]),
            _event(type="agent_message", message="done"),
            _item(type="message", role="assistant", content=[{"type": "output_text", "text": "done"}]),
            _said("user", "do it"),
            _event(type="user_message", message="do it"),
        )
    )
    shape = [(event.kind.value, event.text) for event in both.events]
    assert shape == [
        ("prompt", "do it"),
        ("thinking", "one"),
        ("thinking", "two"),
        ("reply", "done"),
        ("prompt", "do it"),
    ]
    items = read_lines(records(META, _said("user", "do it"), _said("user", "do it")))
    assert len(items.of(EventKind.PROMPT)) == 2
    events = read_lines(records(META, _event(type="user_message", message="do it")))
    assert len(events.of(EventKind.PROMPT)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "# AGENTS.md instructions for /w\n\n<INSTRUCTIONS>x</INSTRUCTIONS>",
        "<environment_context>\n<cwd>/w</cwd></environment_context>",
        "<user_instructions>x</user_instructions>",
        "<skill>x</skill>",
        "<subagent_notification>x</subagent_notification>",
    ],
)
def test_text_of_the_clients_own_in_a_user_message_is_a_note(text):
    """Old versions do not say whose words they are; how they begin does."""
    read = read_lines(records(META, _said("user", text)))
    assert [event.kind for event in read.events] == [EventKind.NOTE]


def test_a_prompt_that_looks_like_the_clients_own_text_is_still_a_prompt():
    """The client's own record of a prompt decides."""
    read = read_lines(
        records(
            META, _said("user", "<skill>what is this?"), _event(type="user_message", message="<skill>what is this?")
        )
    )
    assert [event.kind for event in read.events][-1] is EventKind.PROMPT


@pytest.mark.parametrize(
    ("output", "code", "seconds", "text"),
    [
        ("Exit code: 3\nWall time: 0.5 seconds\nOutput:\nboom\n", 3, 0.5, "boom\n"),
        ('{"output":"fine\\n","metadata":{"exit_code":0,"duration_seconds":1.5}}', 0, 1.5, "fine\n"),
        (
            "Chunk ID: 1a\nWall time: 0.1 seconds\nProcess exited with code 0\nOriginal token count: 1\nOutput:\nx\n",
            0,
            0.1,
            "x\n",
        ),
        ("Exit code: 0\nWall time: 0 seconds\nTotal output lines: 2\nOutput:\nOutput:\nx", 0, 0.0, "Output:\nx"),
    ],
)
def test_the_framing_of_every_shell_tool_is_read(output, code, seconds, text):
    """Exit code and wall time are facts; the text is the tool's own."""
    shell = _called("shell", {"command": ["bash", "-lc", "make"], "workdir": "/w/sub"})
    (result,) = read_lines(records(META, shell, _answered(output))).of(EventKind.RESULT)
    assert result.text == text
    (command,) = result.actions
    assert (command.command, command.cwd, command.exit_code, command.seconds) == ("make", "/w/sub", code, seconds)
    assert command.output == text
    assert result.failed == (code != 0)


def test_a_shell_that_never_ran_has_no_exit_code():
    """An unframed answer of a shell tool is the client's word that it failed."""
    (result,) = read_lines(
        records(META, _called("exec_command", {"cmd": "rm x"}), _answered("exec_command failed: rejected by user"))
    ).of(EventKind.RESULT)
    assert result.failed
    assert result.actions[0].exit_code is None


def test_a_process_that_ends_in_a_poll_has_its_exit_code_there_in_old_versions():
    """0.142 has no record of a command's end but the poll that saw it."""
    running = "Chunk ID: 1\nWall time: 1.0 seconds\nProcess running with session ID 7\nOutput:\nwait\n"
    ended = "Chunk ID: 2\nWall time: 1.0 seconds\nProcess exited with code 1\nOutput:\nboom\n"
    read = read_lines(
        records(
            META,
            _called("exec_command", {"cmd": "make"}),
            _answered(running),
            _called("write_stdin", {"session_id": 7, "chars": ""}, "c2"),
            _answered(ended, "c2"),
        )
    )
    first, last = [event.actions[0] for event in read.of(EventKind.RESULT)]
    assert (first.command, first.exit_code, first.failed) == ("make", None, False)
    assert (last.command, last.exit_code, last.output) == ("make", 1, "boom\n")


@pytest.mark.parametrize(
    ("command", "path", "lines"),
    [
        ("cat a.txt", "/w/a.txt", (0, 0)),
        ("sed -n '10,20p' src/a.py", "/w/src/a.py", (10, 20)),
        ("nl -ba a.py", "/w/a.py", (0, 0)),
        ("cd /v && head -n 5 a.py", "/v/a.py", (1, 5)),
    ],
)
def test_a_command_that_shows_a_file_is_a_read(command, path, lines):
    """The path and range shown stand beside the command."""
    framed = "Wall time: 0.1 seconds\nProcess exited with code 0\nOutput:\nx"
    (result,) = read_lines(records(META, _called("exec_command", {"cmd": command}), _answered(framed))).of(
        EventKind.RESULT
    )
    assert isinstance(result.actions[0], Command)
    shown = result.actions[1]
    assert (shown.path, (shown.first_line, shown.last_line)) == (path, lines)


def test_a_patch_without_a_record_of_its_changes_is_read_from_its_text():
    """Adds, updates, moves and deletes of the patch grammar, paths below the turn's folder."""
    patch = (
        "*** Begin Patch\n*** Update File: a.py\n*** Move to: b.py\n@@ def x\n keep\n-old\n+new\n+newer\n"
        "*** Delete File: /abs/c.py\n*** End Patch"
    )
    called = _item(type="custom_tool_call", name="apply_patch", input=patch, call_id="c1")
    output = _item(
        type="custom_tool_call_output", call_id="c1", output="Exit code: 0\nWall time: 0 seconds\nOutput:\nok"
    )
    (result,) = read_lines(records(META, called, output)).of(EventKind.RESULT)
    moved, deleted = result.actions
    assert (moved.path, moved.new_path, moved.edit) == ("/w/a.py", "/w/b.py", EditKind.MOVE)
    assert (moved.added, moved.removed, moved.added_text) == (2, 1, "new\nnewer")
    assert (deleted.path, deleted.edit) == ("/abs/c.py", EditKind.DELETE)


def test_a_command_that_does_more_than_patch_is_a_command_too():
    """Edits and the command stand side by side; a patch alone is only its edits."""
    patch = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: a.py\n+x\n*** End Patch\nEOF"
    framed = "Wall time: 0.1 seconds\nProcess exited with code 0\nOutput:\nok"
    for command, kinds in ((patch, [FileEdit]), (f"{patch}\nmake test", [Command, FileEdit])):
        (result,) = read_lines(records(META, _called("exec_command", {"cmd": command}), _answered(framed))).of(
            EventKind.RESULT
        )
        assert [type(action) for action in result.actions] == kinds


def test_a_question_put_to_the_user_has_its_answer():
    """request_user_input gives question and answer."""
    asked = {"questions": [{"id": "q", "header": "h", "question": "Which one?", "options": []}]}
    answer = json.dumps({"answers": {"q": {"answers": ["The second", "user_note: please"]}}})
    (result,) = read_lines(records(META, _called("request_user_input", asked), _answered(answer))).of(EventKind.RESULT)
    assert result.actions == (QuestionAsked(question="Which one?", answer="The second, user_note: please"),)


def test_what_a_hook_put_in_the_place_of_an_output_is_a_note():
    """The whole output stays the result; what the model saw instead is not lost."""
    done = {"type": "CommandExecution", "id": "c1", "command": ["bash", "-lc", "make"], "aggregated_output": "long"}
    read = read_lines(
        records(
            META,
            _called("exec_command", {"cmd": "make"}),
            _event(type="item_completed", item={**done, "exit_code": 0}),
            _answered("kept elsewhere"),
        )
    )
    assert [(event.kind.value, event.text) for event in read.events[1:]] == [
        ("result", "long"),
        ("note", "Shown to the model in place of the tool's output: kept elsewhere"),
    ]


def test_unknown_types_are_counted_with_their_names():
    """Nothing unknown passes silently, and nothing odd raises."""
    read = read_lines(
        [
            *records(
                META,
                ("new_thing", {}),
                _item(type="new_item"),
                _event(type="new_event"),
                _event(type="item_completed", item={"type": "NewItem"}),
                ("compacted", {"message": None}),
            ),
            b'{"type": "event_msg", "payload": 7}\n',
            b'{"payload": {}}\n',
        ]
    )
    assert [(skip.reason, skip.detail) for skip in read.skips] == [
        (SkipReason.UNKNOWN_TYPE, "new_thing"),
        (SkipReason.UNKNOWN_TYPE, "response_item new_item"),
        (SkipReason.UNKNOWN_TYPE, "event_msg new_event"),
        (SkipReason.UNKNOWN_TYPE, "item_completed NewItem"),
        (SkipReason.UNEXPECTED_SHAPE, "event_msg"),
        (SkipReason.NOT_A_RECORD, "payload"),
    ]


def test_a_fork_of_an_older_client_is_the_forks_session():
    """Older forks copy the parent's records, its session_meta among them: the first one names the Session."""
    read = read_lines(
        records(
            ("session_meta", {"id": "new", "forked_from_id": "old", "cwd": "/w"}),
            ("session_meta", {"id": "old", "cwd": "/elsewhere"}),
            _said("user", "hello"),
        )
    )
    assert {event.client_session for event in read.events} == {"new"}
    assert [(news.parent, news.link) for news in read.news] == [("old", LinkKind.FORK)]


def test_real_rollouts_lose_nothing(real_transcripts: Path):
    """0.101 and 0.142: no skip, every prompt the client shows, every call answered."""
    for path in sorted((real_transcripts / "codex").glob("*.jsonl")):
        read = read_file(path)
        assert read.skips == ()
        told = [json.loads(line)["payload"] for line in path.read_bytes().splitlines()]
        asked = [entry["message"] for entry in told if entry.get("type") == "user_message"]
        assert [event.text for event in read.of(EventKind.PROMPT)] == asked
        replies = [entry["message"] for entry in told if entry.get("type") == "agent_message"]
        assert [event.text for event in read.of(EventKind.REPLY)] == replies
        outputs = [entry["call_id"] for entry in told if str(entry.get("type")).endswith("call_output")]
        assert sorted(event.call_id for event in read.of(EventKind.RESULT)) == sorted(outputs)
        assert sum(news.compactions for news in read.news) == sum("replacement_history" in entry for entry in told)
