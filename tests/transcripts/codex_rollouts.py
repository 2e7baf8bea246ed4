"""Reading recorded rollouts in tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.events import Event, EventKind, SessionNews, Skip
from rlm_mcp.transcripts.codex import CodexReader

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "codex"


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a rollout gave."""

    events: tuple[Event, ...]
    news: tuple[SessionNews, ...]
    skips: tuple[Skip, ...]

    def of(self, kind: EventKind) -> list[Event]:
        """The Events of one kind."""
        return [event for event in self.events if event.kind is kind]

    def results(self, tool: str) -> list[Event]:
        """The results of one tool."""
        return [event for event in self.of(EventKind.RESULT) if event.tool == tool]


def read_lines(lines: list[bytes], *, restart_every: int = 0) -> Read:
    """Read ``lines``; with ``restart_every``, a new reader takes over its state after so many records."""
    reader = CodexReader(None)
    offset = 0
    events: list[Event] = []
    news: list[SessionNews] = []
    skips: list[Skip] = []
    for number, line in enumerate(lines, 1):
        reading = reader.read(json.loads(line), offset, len(line))
        offset += len(line)
        events += reading.events
        news += reading.news
        skips += [reading.skip] if reading.skip else []
        assert reading.events or reading.news or reading.skip or reading.known_without_event, line[:200]
        if restart_every and number % restart_every == 0:
            reader = CodexReader(json.loads(json.dumps(reader.state())))
    return Read(events=tuple(events), news=tuple(news), skips=tuple(skips))


def read_file(path: Path, *, restart_every: int = 0) -> Read:
    """Read a whole rollout."""
    return read_lines(path.read_bytes().splitlines(keepends=True), restart_every=restart_every)


def read_fixture(name: str) -> Read:
    """Read a recorded rollout of ``tests/fixtures/codex``."""
    return read_file(FIXTURES / f"{name}.jsonl")


def records(*payloads: tuple[str, dict[str, object]]) -> list[bytes]:
    """Rollout lines of ``(type, payload)``."""
    told = {"timestamp": "2026-01-02T03:04:05.678Z"}
    return [json.dumps({**told, "type": kind, "payload": payload}).encode() + b"\n" for kind, payload in payloads]
