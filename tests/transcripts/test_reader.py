"""Reading a transcript in Batches: detection, watermarks, bad input, and that no byte is lost."""

import json
import os
from pathlib import Path

import pytest

from rlm_mcp.errors import TranscriptMissing, UnknownFormat
from rlm_mcp.events import Client, Event, EventKind, SkipReason
from rlm_mcp.transcripts import reader
from rlm_mcp.transcripts.reader import Batch, Change, Framing, Watermark, changed, detect, digest_before, read_batch

FIXTURES = Path(__file__).parent.parent / "fixtures" / "claude"
SESSION = "11111111-2222-4333-8444-555555555555"


def prompt(text: str, number: int = 1) -> bytes:
    """A user record as the client writes it."""
    return json.dumps(
        {
            "type": "user",
            "uuid": f"00000000-0000-4000-8000-{number:012d}",
            "sessionId": SESSION,
            "timestamp": "2026-11-22T06:41:03.913Z",
            "message": {"role": "user", "content": text},
        },
        ensure_ascii=False,
    ).encode()


def whole(path: Path, max_bytes: int = reader.BATCH_BYTES) -> list[Batch]:
    """Every Batch of a file."""
    batches = [read_batch(path, None, max_bytes=max_bytes)]
    while not batches[-1].at_end:
        batches.append(read_batch(path, batches[-1].watermark, max_bytes=max_bytes))
    return batches


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "session.jsonl"
    path.write_bytes(content)
    return path


def texts(batch: Batch) -> list[str]:
    return [event.text for event in batch.events]


def reasons(batch: Batch) -> list[SkipReason]:
    return [skip.reason for skip in batch.skips]


def test_a_transcript_tells_its_client_by_its_first_record(tmp_path: Path) -> None:
    """Claude Code's and Codex's records look different; an array is told by its bracket."""
    assert detect(written(tmp_path, prompt("hello"))).client is Client.CLAUDE_CODE
    codex = b'{"timestamp":"2026-01-01T00:00:00Z","type":"session_meta","payload":{"id":"x"}}\n'
    assert detect(written(tmp_path, codex)).client is Client.CODEX
    assert detect(written(tmp_path, b"[" + prompt("hello") + b"]")).framing is Framing.ARRAY


@pytest.mark.parametrize(
    "before", [b"// a comment\n", b"\xef\xbb\xbf", b"\n\n  \n", b"\x00" * 512 + b"\n", b"{broken\n"]
)
def test_what_stands_before_the_first_record_does_not_hide_it(tmp_path: Path, before: bytes) -> None:
    """Comments, a byte order mark, blank and NUL lines, a broken record."""
    path = written(tmp_path, before + prompt("hello") + b"\n")
    batch = read_batch(path, None)
    assert detect(path).client is Client.CLAUDE_CODE
    assert texts(batch) == ["hello"]
    assert batch.raw == path.read_bytes()


def test_a_first_record_over_a_mebibyte_is_recognised(tmp_path: Path) -> None:
    """A picture may stand in the very first prompt."""
    assert detect(written(tmp_path, prompt("x" * 3_000_000) + b"\n")).client is Client.CLAUDE_CODE


@pytest.mark.parametrize(
    "content",
    [b"# Read me\n\nSome text.\n", b'{"name": "package"}\n', b'{"type":"session","version":3,"id":"x","cwd":"/"}\n'],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """The message names the file and what can be read."""
    path = written(tmp_path, content)
    with pytest.raises(UnknownFormat, match=r"session\.jsonl.*Claude Code"):
        read_batch(path, None)


@pytest.mark.parametrize("content", [b"", b"\n", b"// a comment\n", b'{"type":"user","uu', b"[\n  {", b"\x00\x00"])
def test_a_file_without_a_record_yet_gives_nothing(tmp_path: Path, content: bytes) -> None:
    """Its format is decided when the first record is there."""
    path = written(tmp_path, content)
    batch = read_batch(path, None)
    assert (batch.raw, batch.events, batch.at_end) == (b"", (), True)
    assert batch.watermark == Watermark()
    path.write_bytes(b"" if content[:1] in b"[{" else content)
    with path.open("ab") as file:
        file.write(b"\n" + prompt("now") + b"\n")
    assert texts(read_batch(path, batch.watermark)) == ["now"]


def test_a_missing_file_a_folder_and_a_pipe_are_named(tmp_path: Path) -> None:
    """Each with the cure, and none of them hangs."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", ".", "pipe"):
        with pytest.raises(TranscriptMissing, match="name a"):
            read_batch(tmp_path / name, None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    """The cure is in the message."""
    path = written(tmp_path, prompt("hello"))
    path.chmod(0)
    with pytest.raises(TranscriptMissing, match="chmod"):
        read_batch(path, None)


def test_a_cut_last_line_is_left_for_the_next_read(tmp_path: Path) -> None:
    """It comes back as the tail, and as an Event once it is whole."""
    path = written(tmp_path, prompt("one") + b"\n" + prompt("two", 2)[:-9])
    batch = read_batch(path, None)
    assert texts(batch) == ["one"]
    assert batch.raw + batch.tail == path.read_bytes()
    path.write_bytes(prompt("one") + b"\n" + prompt("two", 2) + b"\n")
    assert texts(read_batch(path, batch.watermark)) == ["two"]


def test_a_whole_last_record_needs_no_line_end(tmp_path: Path) -> None:
    """The line end that comes later gives nothing, and hides nothing."""
    path = written(tmp_path, prompt("one"))
    batch = read_batch(path, None)
    assert texts(batch) == ["one"]
    with path.open("ab") as file:
        file.write(b"\n" + prompt("two", 2) + b"\n")
    after = read_batch(path, batch.watermark)
    assert (texts(after), after.skips) == (["two"], ())


def test_bad_lines_are_counted_and_their_bytes_kept(tmp_path: Path) -> None:
    """Each with its reason; the records around them come through."""
    lines = [
        prompt("first"),
        b"not json",
        b"\x00\x00\x00",
        b"[1, 2]",
        b'{"no": "type"}',
        b'{"type":"never-heard-of","sessionId":"x"}',
        b'{"type":"user","sessionId":"x","message":"odd"}',
        b'{"type":"user","n":' + b"9" * 5000 + b"}",
        b'{"a":' * 100_000,
        prompt("last", 2),
    ]
    path = written(tmp_path, b"\n".join(lines) + b"\n")
    batch = read_batch(path, None)
    assert texts(batch) == ["first", "last"]
    assert batch.raw == path.read_bytes()
    assert reasons(batch) == [
        SkipReason.NOT_JSON,
        SkipReason.NOT_JSON,
        SkipReason.NOT_A_RECORD,
        SkipReason.NOT_A_RECORD,
        SkipReason.UNKNOWN_TYPE,
        SkipReason.UNEXPECTED_SHAPE,
        SkipReason.NOT_JSON,
        SkipReason.NOT_JSON,
    ]
    assert batch.skips[4].detail == "never-heard-of"
    assert [path.read_bytes()[s.offset : s.offset + s.length] for s in batch.skips] == lines[1:-1]


def test_invalid_utf8_and_surrogates_do_not_cost_the_record(tmp_path: Path) -> None:
    """The Event shows replacement characters; the raw bytes stay."""
    broken = prompt("caf\u00e9").replace(b"\xc3\xa9", b"\xe9")
    lone = prompt("x", 2).replace(b'"x"', b'"a\\ud800b\\u0000c"')
    path = written(tmp_path, broken + b"\n" + lone + b"\n")
    batch = read_batch(path, None)
    assert texts(batch) == ["caf\ufffd", "a?b\u2400c"]
    assert batch.raw == path.read_bytes()


def test_two_records_on_one_line_are_two_records(tmp_path: Path) -> None:
    """With their own offsets; what is left of the line is counted."""
    path = written(tmp_path, prompt("one") + prompt("two", 2) + b"x\n")
    batch = read_batch(path, None)
    assert texts(batch) == ["one", "two"]
    assert [event.record_offset for event in batch.events] == [0, len(prompt("one"))]
    assert reasons(batch) == [SkipReason.NOT_JSON]


def test_a_record_longer_than_a_batch_is_read_whole(tmp_path: Path) -> None:
    """Batches are about their size, never less than a record."""
    path = written(tmp_path, prompt("a" * 300_000) + b"\n" + prompt("b", 2) + b"\n")
    batches = whole(path, max_bytes=1000)
    assert [len(text) for batch in batches for text in texts(batch)] == [300_000, 1]


def test_a_record_over_the_limit_is_skipped_and_its_bytes_kept(tmp_path: Path) -> None:
    """It may come in pieces; the records after it come through."""
    path = written(tmp_path, prompt("one") + b"\n" + prompt("x" * 50_000, 2) + b"\n" + prompt("three", 3) + b"\n")
    mark: Watermark | None = None
    raw, found, skipped, at_end = b"", [], [], False
    while not at_end:
        batch = read_batch(path, mark, max_bytes=1000, max_record_bytes=8000)
        raw, found, skipped = raw + batch.raw, found + texts(batch), skipped + reasons(batch)
        mark, at_end = batch.watermark, batch.at_end
    assert raw == path.read_bytes()
    assert found == ["one", "three"]
    assert skipped == [SkipReason.TOO_LONG]


def test_a_changed_file_is_told_from_a_grown_one(tmp_path: Path) -> None:
    """By its size and a digest of what precedes the watermark."""
    path = written(tmp_path, prompt("one") + b"\n" + prompt("two", 2) + b"\n")
    mark = read_batch(path, None).watermark
    assert changed(path, mark) is Change.SAME
    with path.open("ab") as file:
        file.write(prompt("three", 3) + b"\n")
    assert changed(path, mark) is Change.GROWN
    path.write_bytes(prompt("one") + b"\n")
    assert changed(path, mark) is Change.TRUNCATED
    path.write_bytes((prompt("other") + b"\n") * 3)
    assert changed(path, mark) is Change.REPLACED
    path.unlink()
    with pytest.raises(TranscriptMissing):
        changed(path, mark)


def test_the_digest_covers_beginning_and_end(tmp_path: Path) -> None:
    """Two files that differ there differ; the same bytes at another offset differ too."""
    path = written(tmp_path, b"x" * 20_000)
    first = digest_before(path, 10_000)
    assert first != digest_before(path, 10_001)
    path.write_bytes(b"x" * 9_999 + b"y" + b"x" * 10_000)
    assert first != digest_before(path, 10_000)
    path.write_bytes(b"y" + b"x" * 19_999)
    assert first != digest_before(path, 10_000)


def test_secrets_never_reach_an_event_or_a_skip(tmp_path: Path) -> None:
    """They are replaced before the record is parsed; the raw bytes alone hold them."""
    token = "ghp_" + "a1B2" * 9
    path = written(tmp_path, prompt(f"use {token} please") + b"\n" + f"junk {token}\n".encode())
    batch = read_batch(path, None)
    assert texts(batch) == ["use [REDACTED:github-token] please"]
    assert token not in batch.skips[0].detail
    assert token.encode() in batch.raw


def test_the_pretty_printed_array_and_the_lines_give_the_same_events(tmp_path: Path) -> None:
    """An exporter's array holds the records a client wrote line by line."""
    lines = (FIXTURES / "planned.jsonl").read_bytes()
    records = [json.loads(line) for line in lines.splitlines()]
    array = tmp_path / "array.json"
    array.write_text(json.dumps(records, indent=2))

    def stripped(batch: Batch) -> list[tuple[str, str, str]]:
        return [(event.kind, event.text, event.uuid) for event in batch.events]

    batch = read_batch(array, None)
    assert stripped(batch) == stripped(read_batch(FIXTURES / "planned.jsonl", None))
    assert batch.raw == array.read_bytes()


def test_every_event_names_the_bytes_of_its_record() -> None:
    """Offset and length point at the record it was read from."""
    path = FIXTURES / "planned.jsonl"
    raw = path.read_bytes()
    for event in read_batch(path, None).events:
        assert json.loads(raw[event.record_offset : event.record_offset + event.record_length])["uuid"] == event.uuid


def test_every_real_transcript_is_read_without_losing_a_byte(real_transcripts: Path) -> None:
    """Only the comment lines some collector put before them are skipped."""
    skipped: list[str] = []
    for path in sorted(real_transcripts.glob("c*/*")):
        batches = whole(path)
        assert b"".join(batch.raw for batch in batches) + batches[-1].tail == path.read_bytes()
        assert sum(len(batch.events) for batch in batches) > 10
        skipped += [skip.detail for batch in batches for skip in batch.skips]
    assert len(skipped) == 4
    assert all(detail.startswith("//") for detail in skipped)


def test_events_are_fit_for_a_log(real_transcripts: Path) -> None:
    """No NUL, no lone surrogate, a session each; only a result may be empty."""
    events: list[Event] = []
    for path in sorted(real_transcripts.glob("c*/*")):
        events += [event for batch in whole(path) for event in batch.events]
    assert all(event.client_session and "\x00" not in event.text for event in events)
    assert all(event.text.encode() or event.kind is EventKind.RESULT for event in events)
