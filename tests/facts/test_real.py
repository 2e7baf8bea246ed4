"""Facts of the real transcripts: promises that hold for any session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.events import Event, EventKind
from rlm_mcp.facts.extract import FactExtractor
from rlm_mcp.facts.kinds import Fact, FactKind
from rlm_mcp.transcripts.reader import read_batch

_QUOTED = {FactKind.CONSTRAINT, FactKind.CORRECTION, FactKind.DECISION, FactKind.PROMPT}
"""Kinds whose text is the very span they name."""


def _events(path: Path) -> Iterator[Event]:
    mark = None
    while True:
        batch = read_batch(path, mark)
        yield from batch.events
        if batch.at_end:
            return
        mark = batch.watermark


def _pairs(folder: Path) -> Iterator[tuple[Event, Fact]]:
    for path in sorted([*folder.glob("claude/*"), *folder.glob("codex/*")]):
        extractor = FactExtractor()
        for event in _events(path):
            for fact in extractor.facts(event):
                yield event, fact


@pytest.fixture(scope="module")
def pairs(real_transcripts: Path) -> list[tuple[Event, Fact]]:
    """Every Fact of every real session, with its Event."""
    return list(_pairs(real_transcripts))


def test_every_kind_but_rejected_ones_occurs(pairs: list[tuple[Event, Fact]]) -> None:
    """The rules reach real text."""
    assert {fact.kind for _, fact in pairs} == set(FactKind)


def test_every_quote_stands_where_its_fact_says(pairs: list[tuple[Event, Fact]]) -> None:
    """A Ref resolves to the very words."""
    for event, fact in pairs:
        assert 0 <= fact.start <= max(fact.end, fact.start) <= len(event.text)
        if fact.kind in _QUOTED:
            is_composed = fact.text.startswith("refused: ") or (
                fact.kind is FactKind.DECISION and fact.status in {"user", "plan"}
            )
            assert event.text[fact.start : fact.end] == fact.text or is_composed
        if fact.kind is FactKind.VALUE:
            assert event.text[fact.start : fact.end] == fact.subject


def test_every_text_keeps_its_limit(pairs: list[tuple[Event, Fact]]) -> None:
    """Subjects 400, notes 400, texts 2,000 characters; prompts and plans 20,000."""
    for _, fact in pairs:
        long = fact.kind in {FactKind.PROMPT, FactKind.PLAN}
        assert len(fact.subject) <= 400
        assert len(fact.note) <= 400
        assert len(fact.text) <= (20_000 if long else 2_000)


def test_only_prompts_and_answers_bind(pairs: list[tuple[Event, Fact]]) -> None:
    """Skill bodies, reminders and sub-agents' prompts are not the user's rules."""
    for event, fact in pairs:
        if fact.kind is FactKind.CONSTRAINT:
            assert event.agent == ""
            assert event.kind in {EventKind.PROMPT, EventKind.RESULT} or event.tool == "queued"


def test_reading_files_reports_no_errors(pairs: list[tuple[Event, Fact]]) -> None:
    """What a file says is not what went wrong."""
    for event, fact in pairs:
        if fact.kind is FactKind.ERROR and event.tool == "Read":
            assert event.failed
