"""rlm_mcp.cli.ask: search, read, brief and compact from a shell."""

import json
from pathlib import Path

import pytest

from tests.cli.rig import CommandLine


def test_search_prints_lines_with_refs_and_as_json_everything(cli: CommandLine, recorded_session: Path) -> None:
    """The same answer twice: for a person, and with counts and hits for a script."""
    told = cli("search", "failing tests", "--transcript", recorded_session)
    found = json.loads(cli("search", "failing tests", "--transcript", recorded_session, "--json").out)
    assert told.code == 0
    assert told.out == found["text"] + "\n"
    assert {"query", "total", "shown", "tokens", "is_cut", "hits"} <= set(found)
    assert found["tokens"] <= 1_000


def test_search_takes_the_filters(cli: CommandLine, recorded_session: Path) -> None:
    """Kind, turns, mode, size and page reach the verb."""
    given = ("--transcript", recorded_session, "--json")
    few = json.loads(cli("search", "pytest", "--turns", "2-3", "--kind", "result", "--max-tokens", "200", *given).out)
    assert few["tokens"] <= 220
    assert all(hit["turn"] in (2, 3) for hit in few["hits"])
    pattern = json.loads(cli("search", r"PX-\d{5} ", "--mode", "regex", "--offset", "1", *given).out)
    assert pattern["total"] >= pattern["shown"] > 0


def test_read_gives_exact_bytes_and_reads_on(cli: CommandLine, recorded_session: Path) -> None:
    """In pieces or at once: the same bytes, and nothing added in a pipe."""
    whole = cli("read", "t2", "--all", "--max-tokens", "500", "--transcript", recorded_session)
    once = cli("read", "t2", "--max-tokens", "100000", "--transcript", recorded_session)
    assert whole.out == once.out
    assert whole.err == once.err == ""
    piece = cli("read", "t2", "--max-tokens", "500", "--transcript", recorded_session)
    assert whole.out.startswith(piece.out)
    assert "--offset" in piece.err
    record = json.loads(cli("read", "e1", "--transcript", recorded_session, "--json").out)
    assert record["text"].startswith("We price parcels")
    assert (record["start"], record["next_offset"]) == (0, None)


def test_read_needs_a_session_only_where_the_ref_does(
    cli: CommandLine, recorded_session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a document, nor where the Ref names its session; else it is said, as everywhere."""
    here = ("--transcript", recorded_session)
    (tmp_path / "notes.txt").write_text("first line\nsecond line\n")
    ref = json.loads(cli("load", tmp_path / "notes.txt", *here, "--json").out)["documents"][0]["ref"]
    key = json.loads(cli("ingest", recorded_session, "--json").out)["session"]
    monkeypatch.chdir(tmp_path)
    assert cli("read", f"{ref}:6-10").out == "line"
    assert cli("read", f"{key}.e1").out == cli("read", "e1", *here).out
    assert "session" in cli("read", "e1").err
    assert [cli("read", wrong).code for wrong in ("e1", "nonsense")] == [2, 2]


def test_brief_begins_with_its_name_and_fits_its_size(cli: CommandLine, recorded_session: Path) -> None:
    """From 500 tokens to 20,000; twice the same."""
    for tokens in ("500", "4000", "20000"):
        told = cli("brief", "--transcript", recorded_session, "--tokens", tokens)
        assert told.out.startswith("# rlm-mcp brief")
        assert told.out == cli("brief", "--transcript", recorded_session, "--tokens", tokens).out
        record = json.loads(cli("brief", "--transcript", recorded_session, "--tokens", tokens, "--json").out)
        assert record["tokens"] <= int(tokens) * 1.1
        assert record["text"] + "\n" == told.out
        assert record["loss"]["event"]["total"] > 0


def test_compact_records_a_fold_and_tells_what_is_outside(cli: CommandLine, recorded_session: Path) -> None:
    """Brief, loss report, and ``status`` knows of it."""
    told = cli("compact", "--transcript", recorded_session, "--instructions", "the importer")
    assert told.out.startswith("# rlm-mcp brief")
    assert "# loss report of fold 1" in told.out
    record = json.loads(cli("compact", "--transcript", recorded_session, "--json").out)
    assert record["fold"] == 2
    status = json.loads(cli("status", "--transcript", recorded_session, "--json").out)
    assert [fold["trigger"] for fold in status["folds"]] == ["cli", "cli"]
    assert status["folds"][1]["instructions"] == "the importer"


def test_the_session_may_be_named_by_key_by_id_or_by_folder(cli: CommandLine, recorded_session: Path) -> None:
    """Or by how key and id begin."""
    key = json.loads(cli("ingest", recorded_session, "--json").out)["session"]
    expected = cli("brief", "--transcript", recorded_session).out
    for which in (
        ("--session", key),
        ("--session", key[:5]),
        ("--session", "237e5a5c"),
        ("--repo", "/home/dev/parcel"),
    ):
        assert cli("brief", *which).out == expected
