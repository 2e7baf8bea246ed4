"""rlm_mcp.server.lending: the socket that a client's mod comes to."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.server.lending import Door
from rlm_mcp.store import live
from rlm_mcp.sublm.lent import LentModel
from tests.sublm import lent_client


@pytest.fixture
def door(paths: Paths) -> Iterator[Door]:
    opened = Door(paths, 4711, LentModel())
    yield opened
    opened.shut()


def word(paths: Paths) -> Path:
    return live.path_of(paths, "lend", "4711")


def post(paths: Paths, path: str, content: bytes = b"{}") -> tuple[int, object]:
    return lent_client.post(word(paths), path, content)


def test_a_mod_finds_it_by_its_clients_process(door: Door, paths: Paths) -> None:
    """And takes what waits there; nothing does."""
    assert post(paths, "/take") == (200, {"requests": [], "ended": [], "isOver": True})
    assert post(paths, "/give", b'{"id": 9}') == (200, {})
    assert door.lent.comes(0.0)


@pytest.mark.parametrize(("path", "content", "status"), [("/take", b"no json", 400), ("/", b"{}", 404)])
def test_what_it_does_not_know_it_refuses(door: Door, paths: Paths, path: str, content: bytes, status: int) -> None:
    """And goes on."""
    assert post(paths, path, content)[0] == status
    assert post(paths, "/take")[0] == 200
    assert door.lent.comes(0.0)


def test_only_its_owner_may_come(door: Door, paths: Paths) -> None:
    """Neither the socket nor the word of it is open to others, also where the store lies deep."""
    deep = Paths(home=paths.home / ("deep" * 25))
    elsewhere = Door(deep, 4711, LentModel())
    for found in (paths, deep):
        opened = Path(live.found(word(found))["socket"])
        assert stat.S_IMODE(opened.stat().st_mode) == 0o600
        assert stat.S_IMODE(opened.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(word(found).stat().st_mode) == 0o600
    elsewhere.shut()
    assert door.lent.name == "lent"


def test_nothing_is_left_of_it(paths: Paths) -> None:
    """Neither socket nor word."""
    door = Door(paths, 4711, LentModel())
    opened = Path(live.found(word(paths))["socket"])
    assert opened.is_socket()
    door.shut()
    assert not opened.exists()
    assert not word(paths).exists()
