"""rlm_mcp.wiring: stores are lent to one caller at a time, and closed in the end."""

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.errors import StoreError, UsageError
from rlm_mcp.wiring import Stores, wire


def test_two_callers_at_once_never_share_a_store(paths: Paths) -> None:
    """The second gets one of its own; later ones get what lies idle."""
    with Stores(paths, Settings()) as stores:
        with stores.lend() as first, stores.lend() as second:
            assert first is not second
        with stores.lend() as again:
            assert again in (first, second)


def test_a_closed_pool_closes_what_is_idle_now_and_what_is_lent_when_it_comes_back(paths: Paths) -> None:
    """No connection outlives it unused."""
    stores = Stores(paths, Settings())
    with stores.lend() as lent:
        with stores.lend() as idle:
            pass
        stores.close()
        with pytest.raises(StoreError):
            idle.connection.execute("SELECT 1")
        assert lent.connection.execute("SELECT 1").fetchone()[0] == 1
    with pytest.raises(StoreError):
        lent.connection.execute("SELECT 1")


def test_settings_come_from_the_environment_given(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And a wrong one is refused before anything is opened."""
    home = tmp_path_factory.mktemp("home")
    assert wire({"RLM_MCP_HOME": str(home), "RLM_MCP_BRIEF_TOKENS": "900"}).settings.brief_tokens == 900
    with pytest.raises(UsageError, match="RLM_MCP_BRIEF_TOKENS"):
        wire({"RLM_MCP_HOME": str(home), "RLM_MCP_BRIEF_TOKENS": "9"})
    assert list(home.iterdir()) == []
