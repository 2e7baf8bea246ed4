"""Rigs of Runs for tests of this folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.recursion.rig import RunRig, Script, rig

Rigs = Callable[..., RunRig]


@pytest.fixture
def runs_with(tmp_path: Path) -> Iterator[Rigs]:
    """Makes a rig whose model is that script; closed in the end."""
    with ExitStack() as stack:

        def made(script: Script, **more: Any) -> RunRig:
            return stack.enter_context(rig(tmp_path / "store", script, **more))

        yield made
