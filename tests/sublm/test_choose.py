"""Which backend is asked: what is set, then what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_mcp.config import Settings
from rlm_mcp.errors import SubLMUnavailable
from rlm_mcp.sublm.choose import choose
from rlm_mcp.sublm.lent import LentModel


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH with both clients."""
    for name in ("claude", "codex"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\nexit 9\n")
        program.chmod(0o755)
    return str(tmp_path / "bin")


CASES = [
    ({}, {"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}, "openai http://127.0.0.1:8080/v1"),
    ({}, {"OPENAI_API_KEY": "k"}, "openai https://api.openai.com/v1"),
    ({"sub_base_url": "http://[::1]:1/v1"}, {"OPENAI_BASE_URL": "http://x/v1"}, "openai http://[::1]:1/v1"),
    ({}, {}, "claude"),
    ({}, {"CLAUDECODE": "1", "CODEX_HOME": "/x"}, "claude"),
    ({}, {"CODEX_HOME": "/x"}, "codex"),
    ({"sub_backend": "codex"}, {"OPENAI_API_KEY": "k"}, "codex"),
    ({"sub_backend": "claude"}, {"OPENAI_BASE_URL": "http://x/v1"}, "claude"),
    ({"sub_backend": "openai"}, {"OPENAI_API_KEY": "k"}, "openai https://api.openai.com/v1"),
]


@pytest.mark.parametrize(("settings", "environ", "name"), CASES)
def test_what_is_set_comes_first_then_what_is_there(path: str, settings: dict, environ: dict, name: str):
    """The name says which."""
    assert choose(Settings(**settings), {"PATH": path, "HOME": "/nowhere", **environ}).name == name


@pytest.mark.parametrize(
    ("settings", "environ", "name"),
    [
        ({}, {}, "lent"),
        ({}, {"OPENAI_API_KEY": "k"}, "lent"),
        ({"sub_backend": "lent"}, {"OPENAI_BASE_URL": "http://x/v1"}, "lent"),
        ({}, {"OPENAI_BASE_URL": "http://x/v1"}, "openai http://x/v1"),
        ({"sub_backend": "claude"}, {}, "claude"),
    ],
)
def test_a_client_that_lends_its_model_comes_before_keys_and_programs(
    path: str, settings: dict, environ: dict, name: str
):
    """But after an endpoint whose address is set; and only while its mod is there."""
    lent = LentModel()
    lent.take()
    assert choose(Settings(**settings), {"PATH": path, "HOME": "/nowhere", **environ}, lent).name == name


def test_a_lent_model_that_is_not_there_is_unavailable_and_passed_over(path: str):
    """As where mods are switched off, and everywhere outside of Claude Code."""
    environ = {"PATH": path, "HOME": "/nowhere"}
    assert choose(Settings(), environ, LentModel()).name == "claude"
    with pytest.raises(SubLMUnavailable, match="only Claude Code does"):
        choose(Settings(sub_backend="lent"), environ)


@pytest.mark.parametrize(
    ("settings", "environ", "said"),
    [
        ({}, {}, "set OPENAI_BASE_URL"),
        ({"sub_backend": "none"}, {"OPENAI_API_KEY": "k"}, "switched off"),
        ({"sub_backend": "openai"}, {}, "OPENAI_API_KEY is not set"),
        ({"sub_backend": "claude"}, {"OPENAI_API_KEY": "k"}, "'claude' is not on PATH"),
        ({"sub_base_url": "nonsense"}, {}, "nonsense"),
        ({}, {"OPENAI_API_KEY": "k", "RLM_MCP_SUBCALL": "1"}, "asks nobody"),
    ],
)
def test_where_there_is_nobody_to_ask_it_says_what_to_do(tmp_path: Path, settings: dict, environ: dict, said: str):
    """SubLMUnavailable, before anything is sent."""
    with pytest.raises(SubLMUnavailable, match=said):
        choose(Settings(**settings), {"PATH": str(tmp_path), **environ})


def test_only_one_client_there_is_enough(path: str):
    """The other is not waited for."""
    (Path(path) / "claude").unlink()
    assert choose(Settings(), {"PATH": path, "CLAUDECODE": "1"}).name == "codex"


@pytest.mark.parametrize(
    ("settings", "environ", "model"),
    [
        ({}, {"OPENAI_API_KEY": "k"}, "gpt-5-mini"),
        ({"root_model": "big"}, {"OPENAI_API_KEY": "k"}, "big"),
        ({"root_model": "big", "sub_model": "small"}, {"OPENAI_API_KEY": "k"}, "small"),
        ({}, {}, "haiku"),
        ({"sub_model": "sonnet"}, {}, "sonnet"),
        ({"sub_backend": "codex"}, {}, "default"),
    ],
)
def test_the_model_is_the_one_that_is_set(path: str, settings: dict, environ: dict, model: str):
    """Else the backend's own choice."""
    assert choose(Settings(**settings), {"PATH": path, "HOME": "/nowhere", **environ}).default_model == model
