"""Every test of the walls runs once for each combination of layers that this machine gives."""

from collections.abc import Iterator

import pytest

from rlm_mcp.sandbox.layers import Confinement
from tests.repls import Rig, rigged
from tests.sandbox.walls import ways

_WAYS = ways()


@pytest.fixture(params=["all", "Landlock", "bubblewrap"])
def confinement(request: pytest.FixtureRequest) -> Confinement:
    """One way to confine a child."""
    if request.param not in _WAYS:
        pytest.skip(f"this machine does not give {request.param!r}")
    return _WAYS[request.param]


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A Repl in the strongest Jail of this machine, with nothing to ask of the host."""
    with rigged() as found:
        yield found
