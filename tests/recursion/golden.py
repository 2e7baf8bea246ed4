"""Prompts as they are sent, kept word for word. ``GOLDEN_ANEW=1 pytest`` writes them anew, to be looked at."""

import os
from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"


def is_golden(name: str, found: str) -> None:
    """What was sent is what stands in the file."""
    path = _FOLDER / f"{name}.txt"
    if "GOLDEN_ANEW" in os.environ:
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")
