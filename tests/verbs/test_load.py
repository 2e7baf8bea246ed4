"""load: files become Documents, found and read at once; what was not loaded is named."""

import os
import sys
import threading
from pathlib import Path

import pytest

from rlm_mcp.config import Settings
from rlm_mcp.errors import DocumentError, StoreBusy
from rlm_mcp.store import documents
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.sessions import SessionRow
from rlm_mcp.verbs.load import load
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from tests.documents import TOKEN, session_in


@pytest.fixture
def session(store: Store, tmp_path: Path) -> SessionRow:
    """A session whose folder is ``tmp_path/work``."""
    return session_in(store, tmp_path)


@pytest.fixture
def work(session: SessionRow) -> Path:
    """That folder."""
    return Path(session.cwd)


def names(store: Store, session: SessionRow) -> list[str]:
    """What the Session knows."""
    return [row.name for row in documents.known_to(store, session)]


def test_a_file_is_loaded_found_and_read(store: Store, session: SessionRow, work: Path):
    """Under its name; the answer is a few lines with its Ref."""
    (work / "app.log").write_text("start\nconnection refused by 10.0.0.7\nend\n")
    answer = load(store, session, "app.log")
    (row,) = answer.documents
    assert (row.name, row.length, row.lines, row.path) == ("app.log", 41, 3, str((work / "app.log").resolve()))
    assert answer.text == (
        f"loaded app.log: 41 bytes, 3 lines {row.ref}\n"
        "search them with scope=docs, read them by Ref; docs['app.log'] in the REPL"
    )
    assert search(store, session, "connection refused", scope="docs").hits[0].ref.startswith(row.ref)
    assert read(store, session, row.ref).text == "start\nconnection refused by 10.0.0.7\nend\n"


def test_a_folder_is_loaded_and_what_is_not_text_is_named(store: Store, session: SessionRow, work: Path):
    """Counted by reason."""
    for name, content in (
        ("a.md", b"text"), ("sub/b.md", b"text too"), ("z.png", bytes(50)), ("y.png", bytes(50)), (".env", b"A=1"),
    ):  # fmt: skip
        (work / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "docs" / name).write_bytes(content)
    answer = load(store, session, "docs", "manual")
    assert names(store, session) == ["manual/a.md", "manual/sub/b.md"]
    assert answer.total_bytes == 12
    assert "skipped 1 (a file of credentials: .env); 2 (binary: y.png, z.png)" in answer.text
    assert {(each.path, each.why) for each in answer.skipped} >= {
        ("z.png", "binary"),
        (".env", "a file of credentials"),
    }


def test_hundreds_of_files_are_summed_up(store: Store, session: SessionRow, work: Path):
    """Few lines, whatever their number; the largest are named."""
    for number in range(300):
        path = work / "docs" / f"part{number % 3}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * (number + 1))
    answer = load(store, session, "docs")
    assert len(answer.documents) == 300
    assert len(answer.text.splitlines()) < 8
    assert "loaded 300 documents as docs/...: " in answer.text
    assert "part0/ 100, part1/ 100, part2/ 100" in answer.text
    assert "largest: docs/part2/299.txt" in answer.text


def test_a_name_loaded_again_stands_for_the_new_content(store: Store, session: SessionRow, work: Path):
    """The old Document keeps its Ref; loading the same again changes nothing."""
    (work / "a.txt").write_text("old words")
    first = load(store, session, "a.txt").documents[0]
    (work / "a.txt").write_text("new words")
    answer = load(store, session, "a.txt")
    assert answer.replaced == ("a.txt",)
    assert "replaced: a.txt" in answer.text
    assert read(store, session, first.ref).text == "old words"
    assert search(store, session, "old", scope="docs").total == 0
    assert search(store, session, "new", scope="docs").total == 1
    assert load(store, session, "a.txt").replaced == ()
    assert names(store, session) == ["a.txt"]


def test_a_folder_loaded_again_forgets_what_is_gone_from_it(store: Store, session: SessionRow, work: Path):
    """Of that name alone."""
    (work / "docs").mkdir()
    for name in ("a.md", "b.md"):
        (work / "docs" / name).write_text(name)
    load(store, session, "docs")
    load(store, session, "docs", "other")
    (work / "docs" / "a.md").unlink()
    answer = load(store, session, "docs")
    assert answer.forgotten == 1
    assert names(store, session) == ["docs/b.md", "other/a.md", "other/b.md"]


def test_secrets_are_counted_and_never_shown(store: Store, session: SessionRow, work: Path):
    """Neither by search nor by read, from whatever offset; the store holds the text as it was."""
    text = "".join(f"line {number} token={TOKEN} end\n" for number in range(200))
    (work / "a.txt").write_text(text)
    answer = load(store, session, "a.txt")
    row = answer.documents[0]
    assert answer.secrets == 200
    assert "200 secrets in them are shown as marks" in answer.text
    assert documents.document_path(store, row.sha256).read_text() == text
    said = [read(store, session, row.ref, offset=offset, max_tokens=50) for offset in range(0, 300, 7)]
    assert all("token=[REDACTED:github-token] end" in one.text or one.note for one in said)
    texts = [one.text for one in said]
    texts += [
        search(store, session, query, scope="docs", max_tokens=5_000).text
        for query in ("token", "line 7", "/token=.*/", "", "/end/", "/ghp_[A-Za-z0-9]*/")
    ]
    assert search(store, session, f"/{TOKEN[:10]}/", scope="docs").total == 0
    assert search(store, session, TOKEN[4:], scope="docs").total == 0
    for told in texts:
        for at in range(0, len(TOKEN) - 8, 4):
            assert TOKEN[at : at + 9] not in told


def test_nothing_loaded_is_an_error_that_says_why(store: Store, session: SessionRow, work: Path):
    """A folder of pictures, an empty folder, one binary file."""
    (work / "docs").mkdir()
    with pytest.raises(DocumentError, match="there is no file"):
        load(store, session, "docs")
    (work / "docs" / "a.png").write_bytes(bytes(100))
    with pytest.raises(DocumentError, match=r"nothing of 'docs' was loaded: 1 \(binary: a.png\)"):
        load(store, session, "docs")
    with pytest.raises(DocumentError, match="binary, not text"):
        load(store, session, "docs/a.png")
    assert names(store, session) == []


def test_a_file_that_vanishes_after_it_was_listed_is_skipped(store: Store, session: SessionRow, work: Path):
    """The others are loaded."""
    (work / "docs").mkdir()
    for name in ("a.md", "b.md", "c.md"):
        (work / "docs" / name).write_text(name * 5)
    answer = load(store, session, "docs", progress=lambda _done, _all: (work / "docs" / "c.md").unlink(missing_ok=True))
    assert [row.name for row in answer.documents] == ["docs/a.md", "docs/b.md"]
    assert [(each.path, each.why) for each in answer.skipped] == [("c.md", "gone")]


def test_a_file_that_is_written_to_meanwhile_is_told(store: Store, session: SessionRow, work: Path):
    """It is as it was at first."""
    path = work / "a.log"
    path.write_text("a\n" * 100)

    def grow(_done: int, _all: int) -> None:
        with path.open("a") as file:
            file.write("more\n")

    answer = load(store, session, "a.log", progress=grow)
    assert answer.changed == ("a.log",)
    assert "written to while they were read, as they were then: a.log" in answer.text
    assert answer.documents[0].length == 200


def test_progress_goes_up_to_all_of_it(store: Store, session: SessionRow, work: Path):
    """Copied and indexed both count; text that grows in UTF-8 too."""
    (work / "docs").mkdir()
    (work / "docs" / "a.txt").write_bytes(b"Caf\xe9 \xe9\xe9\xe9\n" * 200_000)
    (work / "docs" / "b.txt").write_text("text\n" * 300_000)
    (work / "docs" / "c.png").write_bytes(bytes(1000))
    told: list[tuple[int, int]] = []
    load(store, session, "docs", progress=lambda done, total: told.append((done, total)))
    assert [done for done, _total in told] == sorted(done for done, _total in told)
    size = sum(path.stat().st_size for path in (work / "docs").iterdir())
    assert {total for _done, total in told} == {size}
    assert told[-1][0] == size
    assert len(told) > 8


def test_a_load_that_is_stopped_stops_at_the_file_it_is_at(store: Store, session: SessionRow, work: Path):
    """What was done stays loaded; no name that stood before is forgotten."""
    (work / "docs").mkdir()
    for name in ("a.md", "b.md", "c.md"):
        (work / "docs" / name).write_text(name)
    load(store, session, "docs")
    for name in ("a.md", "b.md", "c.md"):
        (work / "docs" / name).write_text(f"{name} again")
    stop = threading.Event()

    def stopping(done: int, _total: int) -> None:
        if done >= len("a.md again"):
            stop.set()

    with pytest.raises(DocumentError, match="1 documents are loaded, load it again") as raised:
        load(store, session, "docs", progress=stopping, stop=stop)
    assert raised.value.why == "stopped"
    assert [(row.name, row.length) for row in documents.known_to(store, session)] == [
        ("docs/a.md", 10), ("docs/b.md", 4), ("docs/c.md", 4),
    ]  # fmt: skip


def test_a_repository_that_git_cannot_read_is_loaded_as_a_folder_and_named(
    store: Store, session: SessionRow, work: Path
):
    """The rest of the tree by its own rules."""
    for name in ("a.md", "broken/b.md", "broken/.git/HEAD", "broken/.git/config"):
        (work / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "docs" / name).write_text("[no config" if name.endswith("config") else "ref: refs/heads/main\n")
    answer = load(store, session, "docs")
    assert names(store, session) == ["docs/a.md", "docs/broken/b.md"]
    assert "git cannot read the repository in broken: what it ignores is loaded too" in answer.text


def test_a_line_of_50_megabytes_is_searched_and_read(store: Store, session: SessionRow, work: Path):
    """By word, by pattern, and its last bytes by Ref."""
    with (work / "a.txt").open("wb") as file:
        for number in range(500):
            file.write(b"x" * 99_990 + f" needle{number} ".encode().ljust(13))
    row = load(store, session, "a.txt").documents[0]
    assert (row.lines, row.length > 50_000_000) == (1, True)
    (hit,) = search(store, session, "needle499", scope="docs").hits
    assert "needle499" in hit.text
    assert len(hit.text) < 1_000
    assert "needle499" in read(store, session, hit.ref).text
    assert search(store, session, r"/needle4\d\d/", scope="docs").total == 100
    tail = read(store, session, row.ref, offset=row.length - 20)
    assert tail.text.strip().endswith("needle499")


def test_other_writers_get_in_between(store: Store, session: SessionRow, work: Path):
    """No transaction of a load is long: another process writes after every batch of it."""
    (work / "a.txt").write_text("some words of a line\n" * 150_000)
    wrote = 0
    with open_store(store.paths, Settings(), busy_seconds=0.1) as other:

        def write(_done: int, _all: int) -> None:
            nonlocal wrote
            with other.writing() as connection:
                connection.execute("DELETE FROM fold")
            wrote += 1

        load(store, session, "a.txt", progress=write)
    assert wrote > 6


def test_a_store_that_is_locked_for_too_long_is_told(store: Store, session: SessionRow, work: Path):
    """And the next load heals."""
    (work / "a.txt").write_text("some words")
    with (
        open_store(store.paths, Settings(), busy_seconds=0.05) as impatient,
        store.writing(),
        pytest.raises(StoreBusy),
    ):
        load(impatient, session, "a.txt")
    assert load(store, session, "a.txt").documents[0].name == "a.txt"


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes UTF-8 alone")
def test_names_of_odd_bytes_are_loaded(store: Store, session: SessionRow, work: Path):
    """They and their paths stand as escapes."""
    with open(bytes(work) + b"/caf\xe9.txt", "wb") as file:  # noqa: PTH123  # a Path cannot be made of bytes
        file.write(b"text")
    (row,) = load(store, session, os.fsdecode(b"caf\xe9.txt")).documents
    assert row.name == r"caf\udce9.txt"
    assert row.path.endswith(r"caf\udce9.txt")
