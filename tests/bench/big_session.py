"""A Session of any size, written through the store's own door, without Facts and words: what counts is its log."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path

from rlm_mcp.config import Paths, Settings
from rlm_mcp.events import Client, Event, EventKind, SessionNews
from rlm_mcp.store import sessions, sources
from rlm_mcp.store.appending import Appending, append
from rlm_mcp.store.database import open_store
from rlm_mcp.store.sessions import SessionRow

RARE = "zq_needle_17"
"""Stands in one Event of :data:`RARE_EVERY`."""
RARE_EVERY = 5_000
_AT_ONCE = 10_000
_TURN = 100


def write(home: Path, *, events: int, event_bytes: int, extra: str = "", cwd: str = "") -> SessionRow:
    """A Session of so many Events in the store below ``home``; ``extra`` stands in the text of each."""
    path = str(home / "big.jsonl")
    name = f"big-{events}-{event_bytes}-{len(extra)}"
    with open_store(Paths(home=home), Settings()) as store:
        with store.writing():
            sources.add(store, f"{path}-{name}", Client.CLAUDE_CODE)
        made = list(_events(name, events, event_bytes, extra))
        news = [SessionNews(client_session=name, cwd=cwd)]
        for first in range(0, events, _AT_ONCE):
            with store.writing():
                source = sources.current(store, f"{path}-{name}")
                assert source is not None
                batch = [(event, ()) for event in made[first : first + _AT_ONCE]]
                adding = Appending(
                    start=source.offset, offset=source.offset + 1, digest="d", reader_state="{}", facts_state="{}",
                    tail=b"", raw_blocks=[], events=batch, news=news,
                )  # fmt: skip
                append(store, source, adding)
        found = sessions.by_client_id(store, name)
    assert found is not None
    return found


def _events(name: str, count: int, size: int, extra: str) -> Iterator[Event]:
    chance = random.Random(5)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randrange(3, 10))) for _ in range(2_000)]
    paragraphs = [" ".join(chance.choices(words, k=size // 5))[: size - 80] for _ in range(200)]
    for number in range(count):
        mark = RARE if number % RARE_EVERY == RARE_EVERY // 2 else "usual"
        text = f"line {number} of the {mark} log\n{paragraphs[number % 200]}\ntotal {number * 7} {extra}"
        is_prompt = number % _TURN == 0
        yield Event(
            kind=EventKind.PROMPT if is_prompt else EventKind.RESULT,
            text=text,
            client_session=name,
            time=1_770_000_000.0 + number,
            tool="" if is_prompt else "mcp__rlm-mcp__read",
        )
