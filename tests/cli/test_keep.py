"""rlm_mcp.cli.keep: what goes in comes out."""

import json
from pathlib import Path

import pytest

from rlm_mcp import __version__
from rlm_mcp.cli.main import EXIT_FAILED, EXIT_USAGE
from tests.cli.rig import CommandLine


def test_ingest_tells_one_object_a_session(cli: CommandLine, recorded_session: Path) -> None:
    """With the promised counts; the second time nothing is new."""
    first = json.loads(cli("ingest", recorded_session, "--json").out)
    assert {"session", "events", "turns", "bytes", "unknown", "skipped"} <= set(first)
    assert (first["turns"], first["unknown"], first["skipped"]) == (7, 0, 0)
    assert first["bytes"] == recorded_session.stat().st_size
    assert first["new_events"] == first["events"] > 100
    assert json.loads(cli("ingest", recorded_session, "--json").out)["new_events"] == 0
    assert "(0 new)" in cli("ingest", recorded_session).out


def test_ingest_counts_what_it_skips_with_reasons(cli: CommandLine, recorded_session: Path, tmp_path: Path) -> None:
    """Unknown records, broken lines, a last line cut off."""
    lines = recorded_session.read_bytes().splitlines(keepends=True)
    spoiled = tmp_path / "spoiled.jsonl"
    spoiled.write_bytes(b"".join([*lines, b"nonsense\n", b'{"type":"new-thing"}\n', lines[0][:-40]]))
    found = json.loads(cli("ingest", spoiled, "--json").out)
    assert (found["unknown"], found["skipped"]) == (1, 2)
    assert sum(found["reasons"].values()) == 3
    assert "new-thing" in cli("ingest", spoiled).out


def test_an_empty_file_is_no_session_and_no_error(cli: CommandLine, tmp_path: Path) -> None:
    """The client has made it and not written yet."""
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    found = json.loads(cli("ingest", empty, "--json").out)
    assert (found["session"], found["events"]) == (None, 0)
    assert cli("ingest", empty).code == 0
    assert cli("brief", "--transcript", empty).code == EXIT_USAGE


def test_several_files_go_in_at_once(cli: CommandLine, recorded_session: Path, tmp_path: Path) -> None:
    """One line each."""
    second = tmp_path / "second.jsonl"
    second.write_bytes(recorded_session.read_bytes())
    assert len(cli("ingest", recorded_session, second, "--json").out.splitlines()) == 2


def test_export_raw_is_the_file_byte_for_byte(cli: CommandLine, recorded_session: Path, tmp_path: Path) -> None:
    """To standard output and to a file; also when the client has deleted it."""
    transcript = tmp_path / "session.jsonl"
    content = recorded_session.read_bytes() + b'{"cut off'
    transcript.write_bytes(content)
    key = json.loads(cli("ingest", transcript, "--json").out)["session"]
    copy = tmp_path / "copy.jsonl"
    assert cli("export", "--transcript", transcript, "--raw").out.encode() == content
    transcript.unlink()
    assert cli("export", key, "--raw", "-o", copy).code == 0
    assert copy.read_bytes() == content
    assert cli("export", "--transcript", transcript, "--raw").out.encode() == content


def test_export_never_overwrites_unless_told(cli: CommandLine, recorded_session: Path, tmp_path: Path) -> None:
    """And leaves no half file where it cannot write."""
    kept = tmp_path / "kept.md"
    kept.write_text("mine")
    refused = cli("export", "--transcript", recorded_session, "-o", kept)
    assert (refused.code, kept.read_text()) == (EXIT_USAGE, "mine")
    assert "--force" in refused.err
    told = json.loads(cli("export", "--transcript", recorded_session, "-o", kept, "--force", "--json").out)
    assert told["bytes"] == kept.stat().st_size
    assert kept.read_text().startswith("# Session ")
    assert cli("export", "--transcript", recorded_session, "-o", tmp_path / "no" / "such.md").code == EXIT_USAGE
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".md" or "part" in path.name) == [
        "kept.md"
    ]


def test_export_raw_of_what_was_not_kept_raises(
    cli: CommandLine, recorded_session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``keep_raw`` off there are no raw records; that is said, not an empty file given."""
    monkeypatch.setenv("RLM_MCP_KEEP_RAW", "false")
    key = json.loads(cli("ingest", recorded_session, "--json").out)["session"]
    said = cli("export", key, "--raw")
    assert (said.code, said.out) == (EXIT_FAILED, "")
    assert "keep_raw" in said.err


def test_status_shows_the_store_and_a_session(cli: CommandLine, recorded_session: Path) -> None:
    """Session, window, events, skipped and unknown, folds, degraded, size, version."""
    assert "no sessions yet" in cli("status").out
    key = json.loads(cli("ingest", recorded_session, "--json").out)["session"]
    assert key in cli("status").out
    told = cli("status", "--session", key).out
    for part in (key, "window: ", "events", "unknown type", "folds: 0", "store: ", __version__):
        assert part in told
    record = json.loads(cli("status", "--session", key, "--json").out)
    assert record["session"]["key"] == key
    assert (record["version"], record["damage"], record["degraded"]) == (__version__, "", [])
