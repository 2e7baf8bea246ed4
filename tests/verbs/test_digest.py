"""The digest of a Turn: what was done in it, within its budget."""

import pytest

from rlm_mcp.brief.lines import View
from rlm_mcp.store import events
from rlm_mcp.store.database import Store
from rlm_mcp.store.sessions import ScopePart, SessionRow
from rlm_mcp.text import estimate_tokens
from rlm_mcp.verbs.digest import digest
from rlm_mcp.verbs.read import read
from tests.verbs.test_search import REF


@pytest.mark.parametrize("tokens", [120, 200, 400, 940, 3_000])
def test_a_digest_keeps_to_its_budget(recorded: tuple[Store, SessionRow], tokens: int):
    """Every Turn of the recording, small or large."""
    store, session = recorded
    part = ScopePart(session=session, max_seq=session.events)
    view = View(cwd=session.cwd, session_key=session.key)
    for turn in events.turns(store, session, first=1):
        lines = digest(store, part, turn, view, tokens)
        assert sum(estimate_tokens(line) + 1 for line in lines) <= tokens * 1.05
        assert all("\n" not in line for line in lines)


def test_a_digest_tells_what_was_done(day: tuple[Store, SessionRow]):
    """Prompt, tests, edits, commands, decision and todos of the Turn, and of no other."""
    store, session = day
    part = ScopePart(session=session, max_seq=session.events)
    view = View(cwd=session.cwd, session_key=session.key)
    text = "\n".join(digest(store, part, events.turn_row(store, session, 2), view, 900))
    for wanted in (
        "ACME-200",
        "pytest tests/area2",
        "src/area2/loader.py",
        "test_total_2",
        "check_2",
        "drop the offset in area2",
    ):
        assert wanted in text
    assert "area1" not in text
    assert "area3" not in text
    for ref in REF.findall(text):
        read(store, session, ref)


def test_a_digest_ends_where_a_fork_left(day: tuple[Store, SessionRow]):
    """Facts behind the scope's last Event are not told."""
    store, session = day
    turn = events.turn_row(store, session, 2)
    part = ScopePart(session=session, max_seq=turn.first_seq + 4)
    text = "\n".join(digest(store, part, turn, View(cwd=session.cwd, session_key=session.key), 900))
    assert "ACME-200" in text
    assert "check_2" not in text
