"""rlm_mcp.recursion.scope and children: texts come to a Cell byte for byte, and no argument reads elsewhere."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_mcp.errors import QueryError
from rlm_mcp.recursion.children import Children, Parent
from rlm_mcp.recursion.scope import Scope, Source
from rlm_mcp.refs import Ref
from rlm_mcp.sandbox.repl import Handed
from tests.repls import NOBODY


def _read(handed: Handed | None) -> bytes:
    assert handed is not None
    return handed.content if handed.path is None else handed.path.read_bytes()[: handed.length]


def _texts(scope: Scope) -> list[bytes]:
    """As a Cell puts them together."""
    packs: dict[int, bytes] = {}
    found = []
    places: Any = scope.places()
    for number, start, end in places:
        if number not in packs:
            packs[number] = _read(scope.pack(number))
        found.append(packs[number][start:end])
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400_000), st.integers(0, 400_000)), max_size=30))
def test_texts_come_to_a_cell_byte_for_byte(tmp_path: Path, parts: list[tuple[int, int, int]]) -> None:
    """Of files and of the Run alone, small and large, parts of one file, in any order."""
    whole = b"".join(number.to_bytes(4, "big") for number in range(100_000))
    texts: list[Source] = []
    for kind, one, other in parts:
        start, end = min(one, other), max(one, other)
        if kind == 3:
            texts.append(Source(name="own", content=whole[start : start + (end - start) % 5_000]))
            continue
        path = tmp_path / f"file{kind}"
        path.write_bytes(whole)
        texts.append(Source(name="file", path=path, end=len(whole)).part(start, end))
    scope = Scope(name="x", texts=tuple(texts), is_list=True)
    assert _texts(scope) == [source.read() for source in texts]


def test_ten_thousand_small_texts_come_in_a_few_packs() -> None:
    """A Cell asks the host a handful of times."""
    scope = Scope(name="x", texts=tuple(Source(name="t", content=b"x" * 1_000) for _ in range(10_000)))
    assert len(_texts(scope)) == 10_000
    assert scope.pack(3) is None
    assert scope.pack(-1) is None


def test_a_scope_is_told_in_a_line() -> None:
    """Kind and sizes, nothing of what is in it."""
    one, two = Source(name="a", content=b"12345"), Source(name="b", content=b"1")
    session = {**NOBODY, "log_bytes": 1_234, "turns": 5}
    assert Scope(name="x", texts=None).told(session) == "context: str, 1,234 bytes: session text, 5 turns"
    assert Scope(name="x", texts=(one,)).told(session) == "context: str, 5 bytes"
    assert Scope(name="x", texts=(one,), is_list=True).told(session) == "context: list of 1 str, 5 bytes (5)"
    told = Scope(name="x", texts=(one, *[two] * 9), note="note").told(session)
    assert told == "context: list of 10 str, 14 bytes (5, 1, 1, 1 ...); note"


class _Asked:
    """What children were asked."""

    def __init__(self, scope: Scope, **bindings: Any) -> None:
        self.scopes: list[Scope] = []
        parent = Parent(session_key="0badcafe", scope=scope, bindings=bindings)
        self.children = Children(parent, self._child)

    def _child(self, question: str, scope: Scope, _place: int) -> Any:
        self.scopes.append(scope)
        return {"answer": question}

    def context(self, context: Any) -> list[Source]:
        """What a child that is given this sees."""
        assert self.children.ask([{"question": "q", "context": context}]) == [{"answer": "q"}]
        return list(self.scopes[-1].texts or ())


def test_a_child_is_given_texts_parts_and_what_was_made(tmp_path: Path) -> None:
    """Parts are of the very file, with its Ref; what a Cell made is as it was sent."""
    path = tmp_path / "log"
    path.write_bytes("Über die Brücke".encode())
    source = Source(name="s", path=path, start=2, end=17, ref=Ref(document="0123456789abcdef"))
    asked = _Asked(
        Scope(name="x", texts=(source,)),
        log=lambda session: Handed(path=path, length=10),
        document=lambda sha256: Handed(path=path, length=17),
    )
    (found,) = asked.context({"part": 0, "start": 0, "end": 6})
    assert (found.text(), found.ref_of(found.start, found.end)) == ("ber di", "d0123456789abcdef:2-8")
    (found,) = asked.context({"log": "0badcafe", "start": 0, "end": 5})
    assert (found.text(), found.ref_of(found.start, found.end)) == ("Über", "log:0-5")
    (found,) = asked.context({"log": "1badcafe", "start": 0, "end": 5})
    assert found.ref_of(found.start, found.end) == "1badcafe.log:0-5"
    (found,) = asked.context({"document": "ab" * 32, "start": 10, "end": 17})
    assert (found.text(), found.ref_of(found.start, found.end)) == ("Brücke", "dabababababababab:10-17")
    number = asked.children.give("one ", None)
    asked.children.give("two", number)
    assert [one.text() for one in asked.context([{"given": number}, "plain"])] == ["one two", "plain"]
    assert asked.scopes[-1].is_list
    assert not asked.scopes[0].is_list


@pytest.mark.parametrize(
    "context",
    [
        5, True, [5], {}, {"part": 0}, {"given": 0}, {"given": "x"}, {"given": -1}, {"document": "x"},
        {"part": 1, "start": 0, "end": 1}, {"part": -1, "start": 0, "end": 1}, {"part": True, "start": 0, "end": 1},
        {"part": "0", "start": 0, "end": 1}, {"part": 0, "start": 0, "end": 16}, {"part": 0, "start": 5, "end": 4},
        {"part": 0, "start": -1, "end": 4}, {"part": 0, "start": 0.5, "end": 4},
        {"path": "/etc/passwd", "start": 0, "end": 1}, {"log": "0badcafe", "start": 0, "end": 1},
    ],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(context: Any) -> None:
    """Whatever a Cell names, nothing but what its Run sees is read."""
    asked = _Asked(Scope(name="x", texts=(Source(name="s", content=b"x" * 15),)))
    with pytest.raises(QueryError):
        asked.context(context)
    assert asked.scopes == []


@pytest.mark.parametrize(
    "asked", [None, [], "q", [5], [{}], [{"question": 5}], [{"question": "q"}] * 1_001, {"question": "q"}]
)
def test_questions_that_are_none_are_refused(asked: Any) -> None:
    """And no child is begun."""
    with pytest.raises(QueryError):
        _Asked(Scope(name="x", texts=None)).children.ask(asked)


def test_what_a_cell_makes_for_children_has_a_limit() -> None:
    """It is kept in this process; slices of what the host knows are not."""
    children = _Asked(Scope(name="x", texts=None)).children
    number = children.give("x" * 30_000_000, None)
    with pytest.raises(QueryError, match="give slices of context"):
        children.give("x" * 5_000_000, number)
    for text, number in ((5, None), ("x", 7), ("x", "0"), ("x", True)):
        with pytest.raises(QueryError):
            children.give(text, number)
