"""What a session held comes through a swap: the continuity measure on a generated session and on the real ones.

The full measure, with its tables and baselines, is ``python -m tests.bench.continuity``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench import careful_reader
from tests.bench.continuity import Measure, measure, report
from tests.bench.generate import generate
from tests.bench.scenes import find_transcripts

ENOUGH = 0.90
ENOUGH_OF_A_KIND = 0.75
ENOUGH_LINES = 0.90


def _share(found: Measure, *path: str) -> float:
    value: object = report(found)
    for name in (*path, "continued", "share"):
        assert isinstance(value, dict)
        value = value[name]
    assert isinstance(value, float)
    return value


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    target = tmp_path_factory.mktemp("continuity") / "generated.jsonl"
    generate(target, size_bytes=600_000, seed=11)
    return measure([target])


@pytest.fixture(scope="module")
def real() -> Measure:
    files = find_transcripts([])
    if not files:
        pytest.skip("no real transcripts here; set RLM_MCP_TRANSCRIPTS to measure on them")
    return measure(files)


def test_the_careful_reader_knows_nothing_of_the_product() -> None:
    """Else the measure would praise whatever the product's own rules find."""
    folder = Path(careful_reader.__file__).parent
    for name in ("careful_reader", "careful_text", "recalled", "steps", "precision", "questions", "baselines"):
        imports = [
            line for line in (folder / f"{name}.py").read_text().splitlines() if re.match(r"\s*(from|import) ", line)
        ]
        assert [line for line in imports if "rlm_mcp" in line] == []


@pytest.mark.parametrize("session", ["generated", "real"])
class TestASwap:
    """At every cut: the Brief of 4,000 tokens, then one search per fact with default arguments."""

    def test_keeps_nine_tenths_of_what_a_careful_reader_would_list(
        self, session: str, request: pytest.FixtureRequest
    ) -> None:
        """All facts, and all but the many functions that edits added."""
        found = request.getfixturevalue(session)
        assert _share(found, "total") >= ENOUGH
        assert _share(found, "total_without_symbols") >= ENOUGH

    def test_forgets_no_kind_of_fact(self, session: str, request: pytest.FixtureRequest) -> None:
        """No kind with ten facts or more falls below three quarters."""
        found = request.getfixturevalue(session)
        by_kind = report(found)["by_kind"]
        assert isinstance(by_kind, dict)
        many = {kind: row["continued"] for kind, row in by_kind.items() if row["continued"]["facts"] >= 10}
        assert {kind: row for kind, row in many.items() if row["share"] < ENOUGH_OF_A_KIND} == {}

    def test_keeps_the_oldest_fifth_as_well_as_the_rest(self, session: str, request: pytest.FixtureRequest) -> None:
        """What happened first is not what is lost first."""
        assert _share(request.getfixturevalue(session), "by_fifth", "fifth 1") >= ENOUGH

    def test_keeps_as_much_after_the_third_compaction(self, session: str, request: pytest.FixtureRequest) -> None:
        """The product's own earlier Briefs stand in the transcript by then."""
        assert _share(request.getfixturevalue(session), "by_scene", "after 3 compactions") >= ENOUGH

    def test_shows_nothing_superseded_as_current(self, session: str, request: pytest.FixtureRequest) -> None:
        """No finished todo as open, no mended test as failing, no replaced plan as the plan."""
        assert request.getfixturevalue(session).stale == []

    def test_answers_typed_questions_with_lines_of_the_kind_asked(
        self, session: str, request: pytest.FixtureRequest
    ) -> None:
        """At least nine lines of ten; headings count as lines of another kind."""
        counts = request.getfixturevalue(session).lines.values()
        assert sum(right for right, _ in counts) >= ENOUGH_LINES * sum(lines for _, lines in counts)

    def test_needs_no_search_that_fails(self, session: str, request: pytest.FixtureRequest) -> None:
        """Every question of the measure gets an answer."""
        assert request.getfixturevalue(session).errors == []
