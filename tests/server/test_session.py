"""rlm_mcp.server.session: the right session at each call, whatever the client tells."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.errors import SessionNotFound
from rlm_mcp.server.session import Beside, SessionFinder, beside
from rlm_mcp.store import live
from rlm_mcp.store.database import Store
from rlm_mcp.verbs.ingest import ingest

NOW = 1_800_000_000.0
SESSION = "237e5a5c-91c5-46da-b229-6424622230bf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user works; the blank and the dot are what Claude Code replaces by '-'."""
    made = tmp_path / "my project.v2"
    made.mkdir()
    return made


def where(paths: Paths, folder: Path, **environ: str) -> Beside:
    home = str(folder.parent / "home")
    return Beside(paths=paths, environ={"HOME": home, **environ}, parent_id=4242, cwd=folder, started=NOW)


def transcript_in(projects: Path, folder: str, session: str = SESSION) -> Path:
    path = projects / "projects" / folder / f"{session}.jsonl"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def slug(folder: Path) -> str:
    return "".join(character if character.isalnum() and character.isascii() else "-" for character in str(folder))


def left_by_hook(paths: Paths, transcript: str, age_seconds: float) -> None:
    path = live.path_of(paths, "claude-code", "4242")
    live.leave(paths, path, {"session": "x", "transcript": transcript, "cwd": "/"})
    os.utime(path, (NOW - age_seconds, NOW - age_seconds))


def test_claude_code_names_its_session_in_the_environment(paths: Paths, folder: Path, tmp_path: Path) -> None:
    """The transcript lies below the configuration folder, in a folder named after the working folder."""
    expected = transcript_in(tmp_path / "config", slug(folder))
    finder = SessionFinder(
        where(paths, folder, CLAUDE_CODE_SESSION_ID=SESSION, CLAUDE_CONFIG_DIR=str(tmp_path / "config"))
    )
    assert finder.transcript() == expected


def test_a_transcript_in_another_projects_folder_is_found_by_its_id(paths: Paths, folder: Path) -> None:
    """Where the client was started elsewhere (a subfolder, a link), the id still names one file."""
    expected = transcript_in(folder.parent / "home" / ".claude", "-somewhere-else")
    finder = SessionFinder(where(paths, folder, CLAUDE_CODE_SESSION_ID=SESSION))
    assert finder.transcript() == expected


def test_a_session_that_has_written_nothing_yet_is_expected_in_its_folder(paths: Paths, folder: Path) -> None:
    """So that the tail can wait for it."""
    finder = SessionFinder(where(paths, folder, CLAUDE_CODE_SESSION_ID=SESSION))
    found = finder.transcript()
    assert found == folder.parent / "home" / ".claude" / "projects" / slug(folder) / f"{SESSION}.jsonl"


def test_what_the_hook_left_wins_because_it_follows_clear(paths: Paths, folder: Path, tmp_path: Path) -> None:
    """After /clear the environment still names the old session."""
    transcript_in(tmp_path / "config", slug(folder))
    left_by_hook(paths, "/new/session.jsonl", age_seconds=-5)
    finder = SessionFinder(
        where(paths, folder, CLAUDE_CODE_SESSION_ID=SESSION, CLAUDE_CONFIG_DIR=str(tmp_path / "config"))
    )
    assert finder.transcript() == Path("/new/session.jsonl")


def test_what_an_older_process_of_that_id_left_is_not_believed(paths: Paths, folder: Path, tmp_path: Path) -> None:
    """Process ids come round again; where the environment names a session, a stale file does not."""
    expected = transcript_in(tmp_path / "config", slug(folder))
    left_by_hook(paths, "/old/session.jsonl", age_seconds=86_400)
    environ = {"CLAUDE_CODE_SESSION_ID": SESSION, "CLAUDE_CONFIG_DIR": str(tmp_path / "config")}
    assert SessionFinder(where(paths, folder, **environ)).transcript() == expected
    assert SessionFinder(where(paths, folder)).transcript() == Path("/old/session.jsonl")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"transcript": ""}', '{"session": "x"}'])
def test_a_broken_live_file_is_as_good_as_none(paths: Paths, folder: Path, content: str) -> None:
    """It may be caught half written by an older version, or be of a later one."""
    paths.live.mkdir(parents=True)
    live.path_of(paths, "claude-code", "4242").write_text(content)
    assert SessionFinder(where(paths, folder)).transcript() is None


def test_codex_names_its_thread_in_each_call(paths: Paths, folder: Path, tmp_path: Path) -> None:
    """The rollout is found by the thread's id; between calls the tail follows the last one."""
    rollout = tmp_path / "codex" / "sessions" / "2026" / "11" / "22" / "rollout-2026-11-22T06-00-00-abc-1.jsonl"
    rollout.parent.mkdir(parents=True)
    rollout.touch()
    finder = SessionFinder(where(paths, folder, CODEX_HOME=str(tmp_path / "codex")))
    assert finder.transcript() is None
    assert finder.transcript("abc-1") == rollout
    assert finder.transcript() == rollout


@pytest.mark.parametrize("thread", ["*", "../../etc", "a" * 200, "no-such-thread"])
def test_a_thread_id_is_never_a_pattern_or_a_path(paths: Paths, folder: Path, tmp_path: Path, thread: str) -> None:
    """It comes from outside."""
    rollout = tmp_path / "codex" / "sessions" / "rollout-x-abc-1.jsonl"
    rollout.parent.mkdir(parents=True)
    rollout.touch()
    assert SessionFinder(where(paths, folder, CODEX_HOME=str(tmp_path / "codex"))).transcript(thread) is None


def test_a_session_id_is_never_a_path(paths: Paths, folder: Path) -> None:
    """An environment may hold anything."""
    assert SessionFinder(where(paths, folder, CLAUDE_CODE_SESSION_ID="../x")).transcript() is None


def test_the_file_the_user_named_is_served_and_no_other(paths: Paths, folder: Path, recorded_session: Path) -> None:
    """Whatever environment and calls say."""
    named = Beside(
        paths=paths,
        environ={"CLAUDE_CODE_SESSION_ID": "other"},
        parent_id=4242,
        cwd=folder,
        transcript=recorded_session,
        started=NOW,
    )
    assert SessionFinder(named).transcript("thread") == recorded_session


def test_else_the_newest_session_of_the_folder_is_meant(store: Store, paths: Paths, recorded_session: Path) -> None:
    """A client that says nothing, in a folder that the store knows."""
    ingest(store, recorded_session)
    found = SessionFinder(where(paths, Path("/home/dev/parcel"))).find(store)
    assert found.client_session == SESSION


def test_a_transcript_that_is_just_being_begun_is_waited_for(
    store: Store, paths: Paths, folder: Path, recorded_session: Path
) -> None:
    """The model's first call may be there before the client's first line."""
    finder = SessionFinder(where(paths, folder, CLAUDE_CODE_SESSION_ID=SESSION))
    begun = finder.transcript()
    assert begun is not None
    begun.parent.mkdir(parents=True)
    writing = threading.Timer(0.1, lambda: shutil.copy(recorded_session, begun))
    writing.start()
    assert finder.find(store).client_session == SESSION
    writing.join()


def test_a_folder_nobody_worked_in_raises_with_the_cure(store: Store, paths: Paths, folder: Path) -> None:
    """No other session is served in its place."""
    with pytest.raises(SessionNotFound, match="rlm-mcp install"):
        SessionFinder(where(paths, folder)).find(store)
    with pytest.raises(SessionNotFound, match="rlm-mcp install"):
        SessionFinder(where(paths, folder)).find(store, "unknown-thread")


def test_beside_is_where_this_process_was_started(paths: Paths) -> None:
    """Its parent is the client."""
    found = beside(paths)
    assert (found.parent_id, found.cwd) == (os.getppid(), Path.cwd())
    assert SessionFinder(found).parent_id == os.getppid()
