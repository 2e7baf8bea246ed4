"""A file becomes text in the store: its own bytes where they are UTF-8, else its characters; or a clear refusal."""

import codecs
import hashlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.config import Paths
from rlm_mcp.errors import DocumentError, StoreFull
from rlm_mcp.store import copying
from rlm_mcp.store.copying import Copied, copy, document_path

MOST = 1 << 30


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A store with a folder for documents, and nothing else."""
    found = Paths(home=tmp_path / "store")
    found.documents.mkdir(parents=True)
    return found


def brought(paths: Paths, content: bytes) -> tuple[Copied, bytes]:
    """A file of that content, copied; its text as it is kept."""
    source = paths.home / "source"
    source.write_bytes(content)
    copied = copy(paths, source, most_bytes=MOST)
    return copied, document_path(paths, copied.sha256).read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"one line\n",
        b"no line end",
        b"\r\n\r\n",
        "Zürich 日本語 \U0001f680\n".encode(),
        codecs.BOM_UTF8 + b"with a mark\n",
        b"\x1b[31mred\x1b[0m\tand \x08 and \x0c\n",
        b"x" * 9_000 + b"\0" + b"a NUL far behind, as a crashed log has it\n",
        b"x" * (1 << 20) + "ü".encode() + b"x" * 10,
        b"x" * ((1 << 20) - 1) + "ü\n".encode(),
    ],
)
def test_utf_8_is_kept_byte_for_byte(paths: Paths, content: bytes):
    """Whatever the line ends; a character may lie across two blocks."""
    copied, text = brought(paths, content)
    assert text == content
    assert (copied.sha256, copied.length, copied.encoding) == (
        hashlib.sha256(content).hexdigest(),
        len(content),
        "utf-8",
    )
    assert copied.lines == len(content.decode().split("\n")) - (content.endswith(b"\n") or not content)
    assert not copied.changed


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE), ("utf-32-le", codecs.BOM_UTF32_LE),
     ("utf-32-be", codecs.BOM_UTF32_BE), ("cp1252", b""), ("latin-1", b"")],
)  # fmt: skip
def test_other_encodings_become_utf_8_and_are_named(paths: Paths, encoding: str, mark: bytes):
    """The hash is of the file's own bytes; the byte order mark is no character of the text."""
    told = {"cp1252": "Café “noir”, 5 €\n", "latin-1": "Caf\xe9 \x81 noir\n"}.get(encoding, "Zürich 日本 \U0001f680\n")
    content = mark + (told * 3).encode(encoding)
    copied, text = brought(paths, content)
    assert text.decode() == told * 3
    assert (copied.encoding, copied.lines, copied.length) == (encoding, 3, len(text))
    assert copied.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [10, 1 << 20, (1 << 20) + 1])
def test_utf_16_across_blocks_is_whole(paths: Paths, size: int):
    """Surrogate pairs too."""
    told = "\U0001f680é" * size
    _copied, text = brought(paths, codecs.BOM_UTF16_LE + told.encode("utf-16-le"))
    assert text.decode() == told


@pytest.mark.parametrize("broken", [b"\xff", b"\xe2\x82", b"\xc0\x80", b"\xed\xa0\x80"])
def test_damaged_utf_8_stays_utf_8(paths: Paths, broken: bytes):
    """A few wrong bytes in a long text, or a cut last character, spoil nothing else."""
    copied, text = brought(paths, "naïve ".encode() * 40 + broken + "fin é".encode())
    assert copied.encoding == "utf-8, damaged"
    assert text.decode().startswith("naïve " * 40)
    assert text.decode().endswith("fin é")
    cut, kept = brought(paths, "naïve ".encode() + "€".encode()[:2])
    assert (cut.encoding, kept.decode()) == ("utf-8, damaged", "naïve \ufffd")


@pytest.mark.parametrize(
    "content",
    [b"\x7fELF\x02\x01\x01" + bytes(100), b"text\0text", os.urandom(60_000), b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
     b"\x01\x02\x03\x04" * 10 + b"some"],
)  # fmt: skip
def test_what_is_no_text_is_refused_as_binary(paths: Paths, content: bytes):
    """And nothing of it stays."""
    with pytest.raises(DocumentError, match="binary") as raised:
        brought(paths, content)
    assert raised.value.why == "binary"
    assert not list(paths.documents.iterdir())


@given(st.binary(max_size=200))
def test_any_bytes_become_text_or_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    """What is kept is always UTF-8, of the length and lines that are told."""
    paths = Paths(home=tmp_path_factory.mktemp("any"))
    paths.documents.mkdir()
    try:
        copied, text = brought(paths, content)
    except DocumentError as error:
        assert error.why == "binary"  # noqa: PT017  # either way is right, each has its own promise
        return
    decoded = text.decode()
    assert copied.length == len(text)
    assert copied.lines == decoded.count("\n") + (bool(decoded) and not decoded.endswith("\n"))
    assert copied.encoding != "utf-8" or text == content


def test_a_copy_is_for_its_owner_alone_and_made_once(paths: Paths):
    """Same content, same file; no draft stays."""
    first, _text = brought(paths, b"same\n")
    path = document_path(paths, first.sha256)
    before = path.stat()
    assert stat.S_IMODE(before.st_mode) == 0o600
    assert brought(paths, b"same\n")[0] == first
    assert path.stat().st_ino == before.st_ino
    assert [each.name for each in paths.documents.iterdir()] == [first.sha256]


def test_a_copy_that_was_torn_is_made_anew(paths: Paths):
    """By its length."""
    first, _text = brought(paths, b"some text\n")
    document_path(paths, first.sha256).write_bytes(b"some")
    assert brought(paths, b"some text\n")[1] == b"some text\n"


def test_only_regular_files_are_opened(paths: Paths, tmp_path: Path):
    """A pipe is not waited for; a device, a socket, a folder and a link are named as what they are."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path, kind in (
            (tmp_path / "pipe", "a named pipe"),
            (tmp_path / "link", "a symbolic link"),
            (tmp_path / "socket", "a socket"),
            (Path("/dev/null"), "a device"),
            (tmp_path, "a folder"),
        ):
            with pytest.raises(DocumentError, match="regular file") as raised:
                copy(paths, path, most_bytes=MOST)
            assert raised.value.why == kind
    with pytest.raises(DocumentError, match="not there"):
        copy(paths, tmp_path / "nothing", most_bytes=MOST)


def test_a_file_over_the_limit_is_refused_before_it_is_read(paths: Paths, tmp_path: Path):
    """A hole of 5 TB costs nothing."""
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(5 << 40)
    with pytest.raises(DocumentError, match="load a part of it"):
        copy(paths, path, most_bytes=4 << 30)
    assert not list(paths.documents.iterdir())


def test_a_file_that_grows_is_taken_as_it_was_at_first(paths: Paths, tmp_path: Path):
    """And said to have changed."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n" * (1 << 20))

    def grow(_count: int) -> None:
        with path.open("ab") as file:
            file.write(b"more\n")

    copied = copy(paths, path, most_bytes=MOST, told=grow)
    assert (copied.length, copied.lines, copied.changed) == (2 << 20, 1 << 20, True)


def test_a_file_that_shrinks_or_is_replaced_meanwhile_is_told(paths: Paths, tmp_path: Path):
    """Shorter: refused. Removed: what was opened is whole, and is taken."""
    path = tmp_path / "log"
    path.write_bytes(b"a\n" * (1 << 20))
    with pytest.raises(DocumentError, match="shorter while it was read"):
        copy(paths, path, most_bytes=MOST, told=lambda _count: os.truncate(path, 10))
    path.write_bytes(b"b\n" * (1 << 20))
    assert copy(paths, path, most_bytes=MOST, told=lambda _count: path.unlink(missing_ok=True)).length == 2 << 20
    assert len(list(paths.documents.iterdir())) == 1


@pytest.mark.parametrize("content", [b"text\n" * 300_000, b"Caf\xe9\n" * 300_000])
def test_a_full_disk_leaves_no_draft(paths: Paths, content: bytes, monkeypatch: pytest.MonkeyPatch):
    """Whichever write fails."""
    whole = os.write
    for number in range(1, 20):
        calls = 0

        def fail(descriptor: int, block: bytes) -> int:
            nonlocal calls
            calls += 1
            if calls == number:  # noqa: B023  # called within this turn of the loop only
                raise OSError(28, "No space left on device")
            return whole(descriptor, block)

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", fail)
            try:
                brought(paths, content)
            except StoreFull:
                assert not list(paths.documents.iterdir())
            else:
                assert number > 2
                return
    pytest.fail("never clean")


def test_drafts_of_killed_loads_are_removed_after_an_hour(paths: Paths):
    """Younger ones may be another process's work."""
    old, young = (paths.documents / f"{copying._DRAFT}{name}" for name in ("old", "young"))
    for draft in (old, young):
        draft.write_bytes(b"x")
    os.utime(old, (time.time() - 4_000, time.time() - 4_000))
    copying.tidy(paths)
    assert list(paths.documents.iterdir()) == [young]


def test_a_link_on_the_way_is_not_followed(paths: Paths, tmp_path: Path):
    """Nor one that came there after the file was looked at."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("outside")
    (tmp_path / "inside" / "way").symlink_to(tmp_path / "outside")
    with pytest.raises(DocumentError) as raised:
        copy(paths, tmp_path / "inside" / "way" / "f", most_bytes=MOST)
    assert raised.value.why == "not readable"
    assert not list(paths.documents.iterdir())


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe that gives a block and a bit: its name, as a shell gives it, and its descriptor."""
    reading, writing = os.pipe()
    with ThreadPoolExecutor(1) as pool, os.fdopen(writing, "wb") as file:
        pool.submit(lambda: (file.write(b"line\n" * 300_000), file.close()))
        yield Path(f"/dev/fd/{reading}"), reading
        os.close(reading)


def test_what_a_pipe_gives_is_taken_to_its_end(paths: Paths, pipe: tuple[Path, int]):
    """Though it is set not to wait, as others may have set it; it lies there like a file of that content."""
    name, reading = pipe
    os.set_blocking(reading, False)
    assert copying.is_stream(name)
    copied = copying.copy_stream(paths, name, most_bytes=2_000_000)
    content = b"line\n" * 300_000
    assert (copied.length, copied.lines, copied.sha256) == (1_500_000, 300_000, hashlib.sha256(content).hexdigest())
    assert document_path(paths, copied.sha256).read_bytes() == content


def test_a_stream_that_gives_too_much_leaves_nothing(paths: Paths, pipe: tuple[Path, int]):
    """It is named, with the limit."""
    with pytest.raises(DocumentError, match=f"'{pipe[0]}' gives more than 1,000,000 bytes"):
        copying.copy_stream(paths, pipe[0], most_bytes=1_000_000)
    assert list(paths.documents.iterdir()) == []


def test_a_socket_that_is_open_and_a_named_pipe_are_streams(paths: Paths, tmp_path: Path):
    """Some programs give their children sockets as standard input, which cannot be opened by name."""
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall("h\xe9llo".encode("latin-1"))
        copied = copying.copy_stream(paths, Path(f"/proc/self/fd/{theirs.fileno()}"), most_bytes=100)
    assert (copied.encoding, copied.length) == ("cp1252", 6)
    named = tmp_path / "named"
    os.mkfifo(named)
    assert copying.is_stream(named)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(named.write_bytes, b"said")
        assert copying.copy_stream(paths, named, most_bytes=100).length == 4
    (tmp_path / "plain").write_bytes(b"")
    assert not copying.is_stream(tmp_path / "plain")
    for missing in (tmp_path / "missing", Path("/dev/fd/999999")):
        with pytest.raises(DocumentError, match="cannot be read"):
            copying.is_stream(missing)
        with pytest.raises(DocumentError, match="cannot be read"):
            copying.copy_stream(paths, missing, most_bytes=100)
