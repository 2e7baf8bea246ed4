"""Which backend is asked: what the settings say, else what is there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from rlm_mcp.config import Settings
from rlm_mcp.errors import SubLMUnavailable
from rlm_mcp.sublm.claude_cli import ClaudeProgram
from rlm_mcp.sublm.client_program import SUBCALL
from rlm_mcp.sublm.codex_cli import CodexProgram
from rlm_mcp.sublm.lent import LentModel
from rlm_mcp.sublm.lm import SubLM
from rlm_mcp.sublm.openai_api import DEFAULT_MODEL, OPENAI_URL, OpenAIEndpoint

_CURES = (
    "set OPENAI_BASE_URL (any OpenAI-compatible endpoint) or OPENAI_API_KEY, or install 'claude' or 'codex' and log in"
)


def choose(settings: Settings, environ: Mapping[str, str], lent: LentModel | None = None) -> SubLM:
    """The backend to ask; its ``name`` says which. Sends nothing and starts nothing.

    The first of these: the one that is set; an endpoint, where its address is there; the model of the client that we
    run in, where its mod lends it; an endpoint, where a key is there; the client program that we run in; the other one.

    Args:
        lent: where the mod may come to. It is waited for, a little.

    Raises:
        SubLMUnavailable: there is none, or the one that is set cannot be used; the message says what to do.
    """
    wanted = settings.sub_backend
    if environ.get(SUBCALL):
        raise SubLMUnavailable("a model that is asked by rlm-mcp asks nobody itself")
    if wanted == "none":
        raise SubLMUnavailable("asking other models is switched off; set sub_backend to 'auto' to allow it")
    base_url = settings.sub_base_url or environ.get("OPENAI_BASE_URL", "")
    key = environ.get("OPENAI_API_KEY", "")
    if wanted == "openai" or (wanted == "auto" and base_url):
        return _endpoint(settings, base_url, key)
    if wanted in {"auto", "lent"} and lent is not None and lent.comes():
        return lent
    if wanted == "lent":
        raise SubLMUnavailable(f"no client lends its model: only Claude Code does, to its own server; {_CURES}")
    if wanted == "auto" and key:
        return _endpoint(settings, base_url, key)
    names = _clients(environ) if wanted == "auto" else (wanted,)
    for name in names:
        found = shutil.which(name, path=environ.get("PATH", ""))
        if found:
            kind = ClaudeProgram if name == "claude" else CodexProgram
            return kind(Path(found), environ, model=settings.sub_model)
    missing = "no model to ask is set up" if wanted == "auto" else f"{wanted!r} is not on PATH"
    raise SubLMUnavailable(f"{missing}; {_CURES}")


def _clients(environ: Mapping[str, str]) -> tuple[str, str]:
    """Client programs, the one we run in first. Codex passes little of its environment on, and nothing of its own."""
    return ("claude", "codex") if environ.get("CLAUDECODE") or not environ.get("CODEX_HOME") else ("codex", "claude")


def _endpoint(settings: Settings, base_url: str, key: str) -> OpenAIEndpoint:
    if not key and not base_url:
        raise SubLMUnavailable(f"OPENAI_API_KEY is not set; {_CURES}")
    is_openai = urlsplit(base_url or OPENAI_URL).hostname == urlsplit(OPENAI_URL).hostname
    model = settings.sub_model or settings.root_model or (DEFAULT_MODEL if is_openai else "")
    return OpenAIEndpoint(base_url=base_url or OPENAI_URL, key=key, model=model)
