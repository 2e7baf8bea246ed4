"""Fixtures for every test: stores in throwaway folders, transcripts recorded from the real clients."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import Store, open_store
from tests.looks import real_folder

settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

_ROOT = Path(__file__).parent.parent
_RECORDED = _ROOT / "rlm_mcp" / "cli" / "recorded_session.jsonl"


@pytest.fixture(autouse=True)
def _no_settings_of_the_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the store, settings or clients of whoever runs it."""
    for name in [name for name in os.environ if name.startswith("RLM_MCP_") and name != "RLM_MCP_TRANSCRIPTS"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RLM_MCP_HOME", str(tmp_path / "home-of-rlm-mcp"))


@pytest.fixture(scope="session")
def real_transcripts() -> Path:
    """The folder of real transcripts (``claude/`` and ``codex/`` below it); the test is skipped where it is missing."""
    folder = real_folder()
    if not folder.is_dir():
        pytest.skip(f"no real transcripts in {str(folder)!r}; name their folder in RLM_MCP_TRANSCRIPTS")
    return folder


@pytest.fixture(scope="session")
def recorded_session() -> Path:
    """A whole Claude Code session with one compaction, recorded from the client; ships with the package."""
    return _RECORDED


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A fresh store folder."""
    return Paths(home=tmp_path / "store")


@pytest.fixture
def store(paths: Paths) -> Iterator[Store]:
    """A fresh store, open."""
    with open_store(paths, Settings()) as opened:
        yield opened
