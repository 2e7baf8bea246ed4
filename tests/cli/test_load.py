"""rlm_mcp.cli.load: files into a session from the shell, and found again from there."""

import json
from pathlib import Path

import pytest

from rlm_mcp.cli.main import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from tests.cli.rig import CommandLine


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a person is in; it is not the session's."""
    folder = tmp_path.resolve() / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_file_is_loaded_searched_and_read(cli: CommandLine, recorded_session: Path, work: Path) -> None:
    """Relative to where the person is."""
    (work / "app.log").write_text("start\nconnection refused\n")
    which = ("--transcript", recorded_session)
    said = cli("load", "app.log", *which)
    assert (said.code, said.out.splitlines()[0].split(" d")[0]) == (EXIT_OK, "loaded app.log: 25 bytes, 2 lines")
    found = json.loads(cli("search", "refused", "--scope", "docs", "--json", *which).out)
    assert found["hits"][0]["text"].startswith("app.log:2: connection refused")
    assert cli("read", found["hits"][0]["ref"], *which).out.strip() == "connection refused"
    assert "documents: 1 loaded, 25 B" in cli("status", *which).out
    assert json.loads(cli("status", "--json").out)["documents"] == 1


def test_several_paths_share_a_name(cli: CommandLine, recorded_session: Path, work: Path) -> None:
    """As the shell expands them; one object each with --json."""
    for name in ("a.txt", "b.txt"):
        (work / name).write_text(name)
    said = cli("load", "a.txt", "b.txt", "--name", "letters", "--json", "--transcript", recorded_session)
    names = [json.loads(line)["documents"][0]["name"] for line in said.out.splitlines()]
    assert names == ["letters/a.txt", "letters/b.txt"]
    alone = json.loads(cli("load", work, "--name", "all", "--json", "--transcript", recorded_session).out)
    assert [row["name"] for row in alone["documents"]] == ["all/a.txt", "all/b.txt"]


def test_what_cannot_be_loaded_is_one_clear_line(cli: CommandLine, recorded_session: Path, work: Path) -> None:
    """Nothing there, binary, credentials, no session."""
    (work / "a.png").write_bytes(bytes(100))
    (work / ".env").write_text("A=1")
    for path, told in (("nothing", "not there"), ("a.png", "binary"), (".env", "credentials")):
        said = cli("load", path, "--transcript", recorded_session)
        assert (said.code, said.out) == (EXIT_USAGE, "")
        assert told in said.err
        assert len(said.err.splitlines()) == 1
    assert cli("load", "a.png").code in {EXIT_FAILED, EXIT_USAGE}


def test_replaced_secrets_are_told_beside_the_text(cli: CommandLine, recorded_session: Path, work: Path) -> None:
    """On standard error, so that the text can be piped on."""
    (work / "a.txt").write_text("key ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eFaB3d" + " end")
    which = ("--transcript", recorded_session)
    row = json.loads(cli("load", "a.txt", "--json", *which).out)["documents"][0]
    said = cli("read", row["ref"], *which)
    assert said.out.strip() == "key [REDACTED:github-token] end"
    assert "1 secret replaced by marks" in said.err
    assert json.loads(cli("read", row["ref"], "--json", *which).out)["note"] == "1 secret replaced by marks"
