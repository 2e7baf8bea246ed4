"""Which backend is asked: what the settings say, else what is there."""

from __future__ import annotations

from collections.abc import Mapping

from rlm_mcp.config import Settings
from rlm_mcp.errors import SubLMUnavailable
from rlm_mcp.sublm.lm import SubLM
from rlm_mcp.sublm.openai_api import OPENAI_URL, OpenAIEndpoint

_OPENAI_MODEL = "gpt-5-mini"


def choose(settings: Settings, environ: Mapping[str, str]) -> SubLM:
    """The backend to ask; its ``name`` says which. Sends nothing.

    Raises:
        SubLMUnavailable: there is none, or the one that is set cannot be used; the message says what to do.
    """
    base_url = settings.sub_base_url or environ.get("OPENAI_BASE_URL", "")
    key = environ.get("OPENAI_API_KEY", "")
    if settings.sub_backend in {"auto", "openai"} and (base_url or key):
        return _endpoint(settings, base_url or OPENAI_URL, key)
    raise SubLMUnavailable("no model to ask is set up; set OPENAI_BASE_URL and OPENAI_API_KEY")


def _endpoint(settings: Settings, base_url: str, key: str) -> OpenAIEndpoint:
    model = settings.sub_model or settings.root_model or (_OPENAI_MODEL if base_url == OPENAI_URL else "")
    return OpenAIEndpoint(base_url=base_url, key=key, model=model)
