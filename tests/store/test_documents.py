"""Documents in the store: Refs that stay exact, names by Session, texts without secrets."""

from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.errors import RefError, StoreDamaged
from rlm_mcp.events import LinkKind
from rlm_mcp.refs import parse_ref
from rlm_mcp.store import documents, lineage, sessions
from rlm_mcp.store.copying import Copied
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import SessionRow
from tests.documents import TOKEN, loaded_text, session_in


@pytest.fixture
def session(store: Store, tmp_path: Path) -> SessionRow:
    """A session with nothing loaded."""
    return session_in(store, tmp_path)


def put(store: Store, sha256: str, *, indexed: bool = True) -> None:
    """A Document of one byte under a hash of choice."""
    with store.writing() as connection:
        documents.add(store, Copied(sha256=sha256, length=1, lines=1, encoding="utf-8", changed=False))
        if indexed:
            connection.execute("UPDATE document SET indexed = length WHERE sha256 = ?", (sha256,))
    documents.document_path(store, sha256).write_bytes(b"x")


def test_a_document_is_found_by_how_its_hash_begins(store: Store, session: SessionRow):
    """Its printed Ref leads back to it."""
    row = loaded_text(store, session, "a.txt", "some text")
    assert row.ref == f"d{row.sha256[:8]}"
    for digits in (8, 9, 64):
        assert documents.by_prefix(store, row.sha256[:digits]).sha256 == row.sha256
    assert parse_ref(row.ref).document == row.sha256[:8]


def test_a_prefix_of_two_documents_is_refused_and_longer_refs_are_printed(store: Store):
    """From then on; the longer ones resolve."""
    first, second = "1f2e3d4c" + "0" * 56, "1f2e3d4c" + "1" * 56
    put(store, first)
    assert documents.by_prefix(store, "1f2e3d4c").ref == "d1f2e3d4c"
    put(store, second)
    with pytest.raises(RefError, match="2 documents: d1f2e3d4c00000000, d1f2e3d4c11111111"):
        documents.by_prefix(store, "1f2e3d4c")
    for sha256 in (first, second):
        row = documents.by_sha256(store, sha256)
        assert documents.by_prefix(store, parse_ref(row.ref).document) == row
        assert len(row.ref) == 17


def test_what_is_not_there_is_told_with_what_is(store: Store, session: SessionRow):
    """By Ref and name."""
    with pytest.raises(RefError, match="none was loaded yet"):
        documents.by_prefix(store, "0" * 8)
    row = loaded_text(store, session, "a.txt", "some text")
    with pytest.raises(RefError, match=rf"loaded last were {row.ref} \(a.txt\)"):
        documents.by_prefix(store, "0" * 8)
    with pytest.raises(RefError, match="no document"):
        documents.by_sha256(store, "0" * 64)


def test_a_document_that_is_not_indexed_is_resolved(store: Store):
    """Its text is there whole, all the same."""
    put(store, "ab" * 32, indexed=False)
    assert documents.by_prefix(store, "ab" * 4).indexed == 0


def test_the_same_content_under_two_names_is_one_document(store: Store, session: SessionRow):
    """Named twice, held once."""
    first, second = (loaded_text(store, session, name, "same text") for name in ("a.txt", "b.txt"))
    assert (first.document, first.sha256) == (second.document, second.sha256)
    assert [row.name for row in documents.loaded(store, session.key)] == ["a.txt", "b.txt"]
    assert documents.held(store) == (1, 9)


def test_a_session_knows_what_those_it_continues_have_loaded(store: Store, tmp_path: Path):
    """The newest of a name; not over a /clear, and not the other way round."""
    rows = []
    for number, link in ((1, LinkKind.RESUME), (2, LinkKind.RESUME), (3, LinkKind.CLEAR)):
        client_session = f"{number}{number}{number}{number}0000-0000-4000-8000-000000000000"
        if rows:
            lineage.hint(store.paths, client_session, rows[-1].client_session, link)
        made = session_in(store, tmp_path, session=client_session)
        rows.append(lineage.settle(store, made))
        loaded_text(store, rows[-1], f"own{number}.txt", f"text {number}")
        loaded_text(store, rows[-1], "same.txt", f"same {number}{'!' * number}")
    first, second, third = (sessions.by_key(store, row.key) for row in rows)
    assert first is not None
    assert second is not None
    assert third is not None
    known = documents.known_to(store, second)
    assert [row.name for row in known] == ["own1.txt", "own2.txt", "same.txt"]
    assert documents.shown(store, known[2], 0, 6).text == "same 2"
    assert [row.name for row in documents.known_to(store, first)] == ["own1.txt", "same.txt"]
    assert [row.name for row in documents.known_to(store, third)] == ["own3.txt", "same.txt"]
    for row in (first, second, third):
        known = documents.known_to(store, row)
        assert documents.held_by(store, row) == (len(known), sum(each.length for each in known))


def test_names_below_a_folder_are_forgotten_alone(store: Store, session: SessionRow):
    """Not those that only begin alike."""
    row = loaded_text(store, session, "x.txt", "text")
    with store.writing():
        for name in ("d/a", "d/b", "d", "d0", "d.txt", "dd/a"):
            documents.set_name(store, session.key, replace(row, name=name))
    with store.writing():
        assert documents.forget_others(store, session.key, "d", {"d/b"}) == 1
    assert [row.name for row in documents.loaded(store, session.key)] == ["d", "d.txt", "d/b", "d0", "dd/a", "x.txt"]


def test_a_mark_stands_for_a_secret_wherever_it_is_cut(store: Store, session: SessionRow):
    """Whole, begun, ended, in its middle; the rest is exact."""
    text = f"é before {TOKEN} behind é"
    row = loaded_text(store, session, "a.txt", text)
    start = len("é before ".encode())
    end = start + len(TOKEN)
    mark = "[REDACTED:github-token]"
    whole = documents.shown(store, row, 0, row.length)
    assert (whole.text, whole.replaced) == (f"é before {mark} behind é", 1)
    assert documents.shown(store, row, start + 5, end - 5).text == mark
    assert documents.shown(store, row, start, end).text == mark
    assert documents.shown(store, row, start - 2, start + 1).text == f"e {mark}"
    assert documents.shown(store, row, end - 1, end + 2).text == f"{mark} b"
    assert documents.shown(store, row, start - 3, start) == documents.Shown(text="re ", replaced=0)
    assert documents.shown(store, row, 1, 3).text == " "
    for at in range(row.length):
        assert TOKEN[:12] not in documents.shown(store, row, at, row.length).text
        assert TOKEN[-12:] not in documents.shown(store, row, 0, at).text


def test_a_text_that_is_gone_or_cut_is_damage_with_its_own_cure(store: Store, session: SessionRow):
    """Loading again heals it."""
    row = loaded_text(store, session, "a.txt", "some text")
    path = documents.document_path(store, row.sha256)
    path.write_bytes(b"some")
    with pytest.raises(StoreDamaged, match="load the document's file again"):
        documents.shown(store, row, 0, row.length)
    path.unlink()
    with pytest.raises(StoreDamaged, match="gone; load"):
        documents.shown(store, row, 0, row.length)
    loaded_text(store, session, "a.txt", "some text")
    assert documents.shown(store, row, 0, row.length).text == "some text"
