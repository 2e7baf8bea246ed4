"""The word index of Documents: every byte in one piece, no secret in any, resumed where it stood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.config import Paths, Settings
from rlm_mcp.redact import Secret, find
from rlm_mcp.store import documents, pieces
from rlm_mcp.store.copying import copy
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.store.documents import DocumentRow
from rlm_mcp.store.pieces import ID_BITS

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eFaB3d"
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "aB3dE6gH9jK2mN5p\n" * 100 + "-----END RSA PRIVATE KEY-----\n"


def added(store: Store, content: bytes) -> str:
    """A Document that is there and not indexed; its sha256."""
    source = store.paths.home / "source"
    source.write_bytes(content)
    copied = copy(store.paths, source, most_bytes=1 << 30)
    with store.writing():
        documents.add(store, copied)
    return copied.sha256


def indexed(store: Store, content: bytes) -> DocumentRow:
    """A Document, indexed."""
    return pieces.index(store, added(store, content))


def spans(store: Store, row: DocumentRow) -> list[tuple[int, int, int]]:
    """(start, length, line) of its pieces in order."""
    rows = store.connection.execute("SELECT * FROM piece WHERE id >> ? = ? ORDER BY id", (ID_BITS, row.id))
    return [(each["id"] & ((1 << ID_BITS) - 1), each["length"], each["line"]) for each in rows]


def assert_all_in_one_piece(store: Store, row: DocumentRow, content: bytes) -> None:
    """One behind the other, none long, lines counted, each in the word index."""
    at = 0
    for start, length, line in spans(store, row):
        assert start == at
        assert 0 < length <= 4096
        assert line == content.count(b"\n", 0, start) + 1
        content[start : start + length].decode()
        at += length
    assert at == len(content) == row.length == row.indexed
    assert row.indexed_lines == content.count(b"\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"short line\n" * 100_000,
        b"x" * 1_500_000,
        "日本語".encode() * 200_000,
        b"one two " * 200_000,
        b"\n" * 20_000,
        ("é" * 4095 + "\n").encode() * 200,
    ],
    ids=["empty", "one", "lines", "one-line", "wide", "blanks", "ends", "long-lines"],
)
def test_every_byte_is_in_just_one_piece(store: Store, content: bytes):
    """Whatever the lines: no character and no more than 4 kB in one."""
    row = indexed(store, content)
    assert_all_in_one_piece(store, row, content)
    if len(content) > 4096 and b"\n" in content[2048:4096]:
        assert all(content[start + length - 1 : start + length] == b"\n" for start, length, _ in spans(store, row)[:-1])


@given(st.lists(st.sampled_from(["word", " ", "\n", "é", "日", "\U0001f680" * 700, "x" * 3000]), max_size=60))
def test_any_text_is_cut_into_pieces_without_loss(tmp_path_factory: pytest.TempPathFactory, parts: list[str]):
    """Property of the cut, with any mixture of blanks, line ends and long words."""
    content = "".join(parts).encode()
    with open_store(Paths(home=tmp_path_factory.mktemp("any")), Settings()) as store:
        assert_all_in_one_piece(store, indexed(store, content), content)


def found(store: Store, word: str) -> list[int]:
    """Where the pieces that hold the word begin."""
    rows = store.connection.execute(
        "SELECT rowid FROM piece_fts WHERE piece_fts MATCH ? ORDER BY rowid", (f'"{word}"',)
    )
    return [row["rowid"] & ((1 << ID_BITS) - 1) for row in rows]


@pytest.mark.parametrize("at", [0, 100, 4090, 262_100, 262_136, 262_144, 262_150, 500_000])
def test_no_secret_is_in_the_index_wherever_it_stands(store: Store, at: int):
    """Across pieces and batches too; its neighbours are."""
    filler = ("word " * 20 + "\n") * 10_000
    content = f"{filler[:at]} before {TOKEN} behind {filler[at:]}"
    row = indexed(store, content.encode())
    start = content.index(TOKEN)
    assert documents.secrets_in(store, row.id, 0, row.length) == [
        Secret(start=start, end=start + len(TOKEN), label="github-token")
    ]
    assert not found(store, TOKEN.removeprefix("ghp_").lower())
    assert not found(store, "ghp")
    assert found(store, "before")
    assert found(store, "behind")


def test_a_private_key_across_two_batches_is_left_out_whole(store: Store):
    """Its body spans lines and pieces; what stands around it does not go with it."""
    filler = "zeile\n" * 43_600
    content = (filler + "é" + KEY + filler).encode()
    row = indexed(store, content)
    (secret,) = documents.secrets_in(store, row.id, 0, row.length)
    assert secret.label == "private-key"
    assert (
        content[secret.start : secret.end].decode().strip()
        == KEY.split("KEY-----")[1].removesuffix("-----END RSA PRIVATE ").strip()
    )
    assert not found(store, "aB3dE6gH9jK2mN5p")
    assert_all_in_one_piece(store, row, content)


def test_places_of_secrets_are_in_bytes(store: Store):
    """Behind characters of several bytes, two on a line."""
    content = f"日本 é {TOKEN} \U0001f680 {TOKEN[:-1]}e\n".encode()
    row = indexed(store, content)
    places = documents.secrets_in(store, row.id, 0, row.length)
    assert [content[one.start : one.end].decode() for one in places] == [TOKEN, TOKEN[:-1] + "e"]


@given(
    st.lists(
        st.sampled_from(
            [TOKEN, KEY, "word ", "é", "\n", "x" * 900, "a line of text\n" * 40, '"'],
        ),
        max_size=40,
    )
)
def test_secrets_are_found_as_in_the_whole_text(tmp_path_factory: pytest.TempPathFactory, parts: list[str]):
    """However they lie to the batches, which are small here."""
    text = "".join(parts)
    wanted = [(len(text[: one.start].encode()), len(text[: one.end].encode()), one.label) for one in find(text)]
    with (
        open_store(Paths(home=tmp_path_factory.mktemp("any")), Settings()) as store,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr(pieces, "_BATCH_BYTES", 1024)
        row = indexed(store, text.encode())
        places = documents.secrets_in(store, row.id, 0, row.length)
        assert [(one.start, one.end, one.label) for one in places] == wanted


def test_an_index_broken_off_goes_on_where_it_stood(store: Store):
    """What is written stays; nothing is written twice."""
    content = b"a line of text\n" * 150_000
    sha256 = added(store, content)
    told: list[int] = []

    def stop(count: int) -> None:
        told.append(count)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pieces.index(store, sha256, stop)
    half = documents.by_sha256(store, sha256)
    assert 0 < half.indexed < half.length
    row = pieces.index(store, sha256, told.append)
    assert sum(told) == row.length
    assert_all_in_one_piece(store, row, content)
    assert pieces.index(store, sha256, told.append) == row


def test_another_process_that_indexes_the_same_is_not_repeated(store: Store):
    """It wins one batch between our reading and our writing: we go on from where it stands."""
    content = b"a line of text\n" * 150_000
    sha256 = added(store, content)
    with open_store(store.paths, Settings()) as other:
        begun = 0

        def win_once(statement: str) -> None:
            nonlocal begun
            begun += statement.startswith("BEGIN")
            if statement.startswith("BEGIN") and begun == 2:
                store.connection.set_trace_callback(None)
                pieces.index(other, sha256)

        store.connection.set_trace_callback(win_once)
        try:
            row = pieces.index(store, sha256)
        finally:
            store.connection.set_trace_callback(None)
    assert begun == 2
    assert_all_in_one_piece(store, row, content)
    assert len(found(store, "line")) == len(spans(store, row))
