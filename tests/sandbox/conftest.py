"""Every test of the walls runs once for each combination of layers that this machine gives."""

import pytest

from rlm_mcp.sandbox.layers import Confinement
from tests.sandbox.walls import ways

_WAYS = ways()


@pytest.fixture(params=["all", "Landlock", "bubblewrap"])
def confinement(request: pytest.FixtureRequest) -> Confinement:
    """One way to confine a child."""
    if request.param not in _WAYS:
        pytest.skip(f"this machine does not give {request.param!r}")
    return _WAYS[request.param]
