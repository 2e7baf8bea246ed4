"""rlm_mcp.recursion.known: no slice of a secret that a Run's Cells see leaves the machine, or is written down."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import Cancelled
from rlm_mcp.recursion.known import Known
from rlm_mcp.recursion.scope import Source
from rlm_mcp.store import runs
from rlm_mcp.store.database import open_store
from rlm_mcp.store.runs import RunRow, StepRow
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.wiring import Stores
from tests.documents import TOKEN, loaded_text, session_in
from tests.recursion.rig import block, by_model, steps
from tests.verbs.asked import Asked, asked_with

_LINES = [hashlib.sha512(bytes([number])).hexdigest()[:64].replace("a", "Q") for number in range(25)]
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(_LINES) + "\n-----END RSA PRIVATE KEY-----"
FILLER = "the quick brown fox jumps over the lazy dog, again and again\n"
_SLICES = (
    "i = context.find('KEY-----') + 200\na = context.find('ghp_') + 20\n"
    "parts = [context[i:i + 600], context[a - 40:a], context[a:a + 40]]\n"
)


Makes = Callable[..., Asked]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Makes]:
    """Makes a session whose model is that script."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(asked_with(tmp_path, script))


@pytest.fixture
def stores(paths: Paths) -> Iterator[Stores]:
    """A fresh store."""
    with Stores(paths, Settings()) as opened:
        yield opened


def _leaks(said: str) -> list[str]:
    """Parts of the secrets in what was said."""
    grams = [line[at : at + 16] for line in (*_LINES, TOKEN) for at in range(0, len(line) - 16, 8)]
    return [gram for gram in grams if gram in said]


def _kept(at: Asked, run: str) -> tuple[RunRow, list[StepRow]]:
    with at.stores.lend() as store:
        return runs.run_row(store, run), runs.steps(store, run)


def test_no_slice_of_a_secret_leaves_or_is_kept_whatever_a_cell_makes_of_it(asked: Makes, tmp_path: Path) -> None:
    """Printed, asked, given to a child, answered or quoted; by the file itself nothing could be known of a slice."""
    path = tmp_path / "config.txt"
    path.write_text(f"item: {TOKEN} end\n{PEM}\n" + FILLER * 2_000)

    def root(request: Request) -> str:
        if "CHILD" in (request.history[0][0] if request.history else request.prompt):
            return block("print(context)\nFINAL(context[:300])")
        codes = ["print(parts)", "r = llm_query_batched(parts)\nprint(rlm_query('CHILD ' + parts[0][:90], parts[0]))"]
        last = "FINAL(''.join(parts), quotes=[parts[0][:64], parts[1]])"
        return block(_SLICES + [*codes, last][min(len(request.history), 2)])

    at = asked(by_model(root=root, sub=lambda request: request.prompt))
    found = at.ask("What is in it?", files=(path,))
    assert found.status == "ok"
    assert found.evidence[0].is_verified
    assert "[REDACTED:secret]" in found.answer
    with at.stores.lend() as store:
        rows = [dict(row) for table in ("call", "run") for row in store.connection.execute(f"SELECT * FROM {table}")]
    said = [str(at.model.requests), str(found), str(rows), str(_kept(at, found.run))]
    assert [_leaks(text) for text in said] == [[]] * 4
    at.stores.close()
    files = [one for one in at.stores.paths.home.rglob("store.db*") if one.is_file()]
    assert [_leaks(one.read_bytes().decode("latin-1")) for one in files] == [[]] * len(files)


def test_a_loaded_documents_secrets_are_known_to_every_question_of_its_session(asked: Makes) -> None:
    """Their places are in the index already: nothing is searched again."""
    code = "text = context[0]\nprint(text[100:500])\nFINAL(llm_query(text[100:500]))"
    at = asked(by_model(root=steps(block(code)), sub=lambda request: request.prompt))
    with at.stores.lend() as store:
        loaded_text(store, at.session, "key.txt", PEM + "\n" + FILLER)
    found = at.ask("Why is it so?", scope="docs")
    assert found.status == "ok"
    assert _leaks(str(at.model.requests) + str(found)) == []


def test_a_slice_of_a_document_asked_in_one_call_or_summed_up_holds_no_part_of_a_secret(asked: Makes) -> None:
    """A Ref may begin inside of a key."""
    at = asked(lambda request: '{"answer": null}' if "schema" in str(request) else request.prompt)
    with at.stores.lend() as store:
        row = loaded_text(store, at.session, "key.txt", PEM + "\n" + FILLER)
    at.ask("Why is it so?", scope=f"{row.ref}:100-700")
    at.ask("", scope=f"{row.ref}:100-700", is_summary=True)
    assert len(at.model.requests) > 1
    assert _leaks(str(at.model.requests)) == []


def test_a_cell_outside_of_any_run_sends_no_slice_of_a_loaded_documents_secret(asked: Makes) -> None:
    """In the session's own REPL, too, what goes to a model is looked through."""
    at = asked(lambda request: request.prompt)
    with at.stores.lend() as store:
        loaded_text(store, at.session, "key.txt", PEM + "\n" + FILLER)
    asking = at.asker.asking(at.session.key, Stop())
    found = asking.query([f"what is {_LINES[7][:40]}?"], "", "", 100, "")
    assert found == {"results": [{"value": "what is [REDACTED:secret]?"}], "over": None}


def test_a_child_of_a_cell_outside_of_any_run_is_asked_without_a_slice_too(asked: Makes) -> None:
    """Its question is sent before it has looked at anything."""
    at = asked(steps(block("print(context)\nFINAL(context)")))
    with at.stores.lend() as store:
        loaded_text(store, at.session, "key.txt", PEM + "\n" + FILLER)
    children = at.asker.children(at.session, at.asker.asking(at.session.key, Stop()))
    (found,) = children.ask([{"question": f"what is {_LINES[7][:40]}?", "context": "of " + _LINES[8][:40]}])
    assert found["answer"] == "of [REDACTED:secret]"
    assert at.model.requests[0].prompt.startswith("what is [REDACTED:secret]?")
    assert _leaks(str(at.model.requests) + str(_kept(at, found["run"]))) == []


def test_our_own_key_is_sent_to_nobody_though_it_has_no_known_shape(asked: Makes, tmp_path: Path) -> None:
    """Its value is known."""
    path = tmp_path / "notes.txt"
    path.write_text("the key: local-key-1234\n" + FILLER * 2_000)
    at = asked(by_model(root=steps(block("print(context[:60])\nFINAL(context[:60])")), sub=lambda _: "?"))
    at.asker._keys = ("local-key-1234",)
    found = at.ask("Which key?", files=(path,))
    assert found.answer.startswith("the key: [REDACTED:secret]\n")
    assert "local-key" not in str(at.model.requests) + str(_kept(at, found.run))


def test_looking_for_secrets_ends_when_it_is_told_and_is_done_once(tmp_path: Path, stores: Stores) -> None:
    """A Run that is cancelled meanwhile has run no Cell; what was found stays found."""
    source = Source(name="t", content=(FILLER * 40_000 + PEM).encode())
    known = Known(stores.lend, sources=[source])
    told = Stop()
    told.now()
    with pytest.raises(Cancelled):
        known.ready(told)
    known.ready(Stop())
    known.ready(told)
    assert known.redact(_LINES[3]) == "[REDACTED:secret]"


def test_a_secret_across_two_pieces_of_a_long_file_is_known_whole(tmp_path: Path, stores: Stores) -> None:
    """A file is looked through a piece at a time."""
    for before in range((1 << 20) - 120, (1 << 20) + 20, 20):
        path = tmp_path / f"{before}.txt"
        path.write_bytes(b"." * (before - 1) + b" " + TOKEN.encode() + b" " + b"." * 1_000)
        source = Source(name="t", path=path, end=path.stat().st_size)
        known = Known(stores.lend, sources=[source])
        known.ready(Stop())
        assert known.redact(f"{TOKEN[4:22]} {TOKEN[22:]}") == "[REDACTED:secret]"


def test_a_document_whose_text_is_gone_has_nothing_to_hide(tmp_path: Path) -> None:
    """No Cell can see it, so questions about the rest go on."""
    with open_store(Paths(home=tmp_path / "home"), Settings()) as store:
        row = loaded_text(store, session_in(store, tmp_path), "key.txt", PEM)
        for file in store.paths.home.glob("documents/**/*"):
            if file.is_file():
                file.unlink()
        known = Known(Stores(store.paths, Settings()).lend, loaded=[row])
        known.ready(Stop())
        assert known.redact(_LINES[3]) == _LINES[3]
