"""Source files: generations, raw bytes in blocks, records by their place."""

import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rlm_mcp.errors import TranscriptMissing
from rlm_mcp.events import Client
from rlm_mcp.store import sources
from rlm_mcp.store.database import Store


def keep(store: Store, path: str, *pieces: bytes, tail: bytes = b"") -> int:
    """A source with these raw pieces; its number."""
    with store.writing() as connection:
        sources.add(store, path, Client.CODEX)
        for piece in pieces:
            source = sources.current(store, path)
            assert source is not None
            length = sources.append_raw(store, source, source.offset, sources.compress(piece))
            connection.execute(
                "UPDATE source SET offset = offset + ?, raw_bytes = ?, tail = ? WHERE id = ?",
                (len(piece), length, zlib.compress(tail) if tail else b"", source.id),
            )
    found = sources.current(store, path)
    assert found is not None
    return found.id


def test_each_generation_of_a_path_is_a_source_of_its_own(store: Store):
    """The newest is the current one; the older keep their rows and bytes."""
    first = keep(store, "/x/a.jsonl", b"first\n")
    second = keep(store, "/x/a.jsonl", b"second\n")
    current = sources.current(store, "/x/a.jsonl")
    assert current is not None
    assert (current.id, current.generation) == (second, 1)
    assert b"".join(sources.raw_bytes(store, first)) == b"first\n"
    assert b"".join(sources.raw_bytes(store, second)) == b"second\n"
    assert sources.current(store, "/x/other.jsonl") is None


@given(pieces=st.lists(st.binary(min_size=1, max_size=3_000), min_size=1, max_size=6), tail=st.binary(max_size=200))
@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_raw_bytes_come_back_whatever_they_are(store: Store, pieces: list[bytes], tail: bytes):
    """Any bytes, in any pieces, the unfinished tail included."""
    number = keep(store, f"/x/{len(pieces)}-{hash((*pieces, tail))}", *pieces, tail=tail)
    whole = b"".join(pieces)
    assert b"".join(sources.raw_bytes(store, number)) == whole + tail


def test_a_piece_over_a_block_is_kept_in_several(store: Store):
    """And comes back whole."""
    whole = bytes(range(256)) * 9_000
    number = keep(store, "/x/big", whole)
    assert store.connection.execute("SELECT count(*) FROM raw_block").fetchone()[0] == 3
    assert b"".join(sources.raw_bytes(store, number)) == whole


@pytest.mark.parametrize("path", ["a\0b", "a\udcffb"])
def test_a_path_that_cannot_be_kept_is_refused(path: str):
    """With its name."""
    with pytest.raises(TranscriptMissing, match="rename"):
        sources.real(path)


def test_a_path_is_known_by_its_real_name(tmp_path: Path):
    """Links and dots resolved."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert sources.real(tmp_path / "link" / ".." / "real" / "x") == str(tmp_path / "real" / "x")
