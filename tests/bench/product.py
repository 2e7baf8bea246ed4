"""The product under measure: in process through its verbs, or through its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import open_store
from rlm_mcp.verbs.brief import brief
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.search import search

BRIEF_TOKENS = 4_000


class Product(Protocol):
    """What the measure needs of the product, for one transcript file at a time."""

    def brief(self, transcript: Path) -> str:
        """The 4,000-token Brief of the transcript, as it stands now."""
        ...

    def search(self, transcript: Path, query: str) -> str:
        """The answer to one search with default arguments."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class InProcess:
    """The verbs called directly, each measure with its own store."""

    def __init__(self, home: Path) -> None:
        self._store = open_store(Paths(home=home), Settings())

    def brief(self, transcript: Path) -> str:
        session = locate(self._store, transcript=transcript)
        return brief(self._store, session, tokens=BRIEF_TOKENS).text

    def search(self, transcript: Path, query: str) -> str:
        session = locate(self._store, transcript=transcript)
        return search(self._store, session, query).text

    def close(self) -> None:
        self._store.close()


class CommandLine:
    """``rlm-mcp`` as a person would run it; slow, for a cross-check."""

    def __init__(self, home: Path) -> None:
        self._environ = {**os.environ, "RLM_MCP_HOME": str(home)}

    def brief(self, transcript: Path) -> str:
        return self._run("brief", "--transcript", str(transcript), "--tokens", str(BRIEF_TOKENS))

    def search(self, transcript: Path, query: str) -> str:
        return self._run("search", "--transcript", str(transcript), query)

    def close(self) -> None:
        """Nothing is held open."""

    def _run(self, *words: str) -> str:
        command = [sys.executable, "-m", "rlm_mcp", *words]
        return subprocess.run(command, env=self._environ, capture_output=True, text=True, check=True).stdout
