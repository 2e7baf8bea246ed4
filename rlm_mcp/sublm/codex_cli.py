"""``codex exec`` as a SubLM: the user's own login, no key. A process for each request, a third of a second.

Flags and output as of Codex 0.169.0 (``codex exec --help``). The user's settings are left out, because they start MCP
servers and hooks; only the provider and the model they name are carried over. Codex's own catalogue of models offers
tools to most of them, so a copy of it without tools is given. ``max_tokens`` cannot be enforced.
"""

from __future__ import annotations

import json
import re
import threading
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlm_mcp.errors import SubLMBusy, SubLMError, SubLMRefused, SubLMUnavailable
from rlm_mcp.process import Ended
from rlm_mcp.sublm.client_program import ClientProgram, json_lines
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.sublm.wording import prompt_with_history, system_text
from rlm_mcp.text import estimate_tokens

DEFAULT_MODEL = "default"
"""Stands for the one that Codex itself takes."""
_OFF = (
    "shell_tool", "unified_exec", "hooks", "plugins", "apps", "multi_agent", "goals", "view_image", "shell_snapshot",
    "tool_suggest", "image_generation", "unbounded_connection_retries",
)  # fmt: skip
"""Features that a question needs none of."""
_SETTINGS = (
    "project_doc_max_bytes=0", "include_environment_context=false", "include_permissions_instructions=false",
    "include_collaboration_mode_instructions=false", "include_apps_instructions=false",
    "skills.include_instructions=false", 'web_search="disabled"', "check_for_update_on_startup=false",
    "tools.experimental_request_user_input.enabled=false", *(f"features.{name}=false" for name in _OFF),
)  # fmt: skip
_FLAGS = (
    "exec", "--json", "--ephemeral", "--ignore-user-config", "--ignore-rules", "--skip-git-repo-check",
    "-s", "read-only", *(part for one in _SETTINGS for part in ("-c", one)),
)  # fmt: skip
_KEPT = (
    "model_provider", "model_providers", "openai_base_url", "chatgpt_base_url", "forced_login_method",
    "forced_chatgpt_workspace_id", "cli_auth_credentials_store",
)  # fmt: skip
"""Of the user's settings: who answers, and how to log in there."""
_SECRET = frozenset({"experimental_bearer_token", "http_headers"})
"""Of a provider: never given on a command line, which everybody on the machine can read."""
_NO_TOOLS: Mapping[str, object] = {
    "tool_mode": None, "multi_agent_version": None, "apply_patch_tool_type": None, "supports_search_tool": False,
    "experimental_supported_tools": [], "shell_type": "disabled",
}  # fmt: skip
"""Of a model in the catalogue: what would offer it tools. None: left out."""
_OVERHEAD_TOKENS = 1_000
"""Its own texts; 250 were seen."""
_SAID_CHARS = 300
_LOOK_SECONDS = 30.0
_LOGIN = re.compile(
    r"\b40[13]\b|not logged in|log ?in|missing environment variable|unauthorized|api key", re.IGNORECASE
)
_OUT_OF_QUOTA = re.compile(r"quota|usage limit|billing|upgrade", re.IGNORECASE)
_BUSY = re.compile(
    r"\b429\b|\b5\d\d\b|high demand|connection|stream|timed? ?out|too many requests|overloaded", re.IGNORECASE
)


class CodexProgram:
    """A SubLM behind ``codex``. Safe to use from any thread."""

    def __init__(self, binary: Path, environ: Mapping[str, str], *, model: str = "") -> None:
        """Nothing is started yet. ``model``: asked where a request names none."""
        self._program = ClientProgram(binary, environ)
        home = _home(environ)
        self._settings = _settings(home)
        self._rules_tokens = estimate_tokens(_read(home / "AGENTS.md"))
        self._model = model or str(self._settings.get("model") or DEFAULT_MODEL)
        self._lock = threading.Lock()
        self._catalogue: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """Of the backend."""
        return "codex"

    @property
    def default_model(self) -> str:
        """Asked where a request names none."""
        return self._model

    @property
    def overhead_tokens(self) -> int:
        """The client's own texts, and the user's AGENTS.md, which no flag leaves out."""
        return _OVERHEAD_TOKENS + self._rules_tokens

    def warm(self) -> None:
        """Begin to look at the models there are, in a thread; what fails is met again by the first question."""
        threading.Thread(target=self._look, name="rlm-mcp codex models", daemon=True).start()

    def complete(self, request: Request, stop: Stop) -> Reply:
        """Ask; see the Protocol for what is raised."""
        if not request.prompt.strip():
            raise SubLMRefused("the prompt is empty; ask something")
        instructions = self._program.file(system_text(request), ".md")
        model = request.model or self._model
        arguments = [
            *_FLAGS,
            *self._without_tools(stop),
            *(part for name in _KEPT if name in self._settings for part in _setting(name, self._settings[name])),
            *_setting("model_instructions_file", str(instructions)),
            *(() if model == DEFAULT_MODEL else ("-m", model)),
            "-",
        ]
        ended = self._program.ask(arguments, prompt_with_history(request), stop)
        return _reply(request, model, ended)

    def close(self) -> None:
        """Remove its folder."""
        self._program.close()

    def _look(self) -> None:
        with suppress(SubLMError):
            self._without_tools(Stop(seconds=_LOOK_SECONDS))

    def _without_tools(self, stop: Stop) -> tuple[str, ...]:
        """The setting that names a catalogue of models without tools; none, where this Codex shows no catalogue."""
        with self._lock:
            if self._catalogue is None:
                ended = self._program.ask(("debug", "models"), "", stop)
                bare = _bare(ended.output)
                path = self._program.file(bare, ".json") if bare else None
                self._catalogue = () if path is None else _setting("model_catalog_json", str(path))
            return self._catalogue


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("CODEX_HOME") or f"{environ.get('HOME', '/nonexistent')}/.codex")


def _read(path: Path) -> str:
    """A text of the user's; '' where there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _settings(home: Path) -> dict[str, Any]:
    """The user's settings of Codex; none where there are none that can be read."""
    try:
        return tomllib.loads(_read(home / "config.toml"))
    except tomllib.TOMLDecodeError:
        return {}


def _setting(name: str, value: object) -> tuple[str, ...]:
    return ("-c", f"{name}={_toml(value)}")


def _toml(value: object) -> str:
    """As an inline value (https://toml.io/en/v1.0.0); a basic string is written as JSON writes one."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(str(name))} = {_toml(value[name])}" for name in value if name not in _SECRET)
            + "}"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, default=str)


def _bare(output: bytes) -> str:
    """The catalogue without tools, as JSON; '' where there is none in the output."""
    try:
        models = json.loads(output)["models"]
        bare = [
            {name: value for name, value in {**model, **_NO_TOOLS}.items() if value is not None} for model in models
        ]
    except (ValueError, TypeError, KeyError):
        return ""
    return json.dumps({"models": bare})


def _reply(request: Request, model: str, ended: Ended) -> Reply:
    """The reply in the events of its output.

    Raises:
        SubLMError: there is none.
    """
    texts: list[str] = []
    usage: Mapping[str, Any] | None = None
    failure = ""
    for event in json_lines(ended.output):
        item = event.get("item")
        match event.get("type"):
            case "item.completed" if isinstance(item, dict) and item.get("type") == "agent_message":
                texts.append(str(item.get("text") or ""))
            case "turn.completed":
                usage = event.get("usage") or {}
            case "turn.failed":
                failure = str((event.get("error") or {}).get("message") or "no reason")
            case _:
                continue
    if failure or ended.exit_code:
        raise _error(model, failure or ended.complaint.decode("utf-8", "replace")[-_SAID_CHARS:])
    if usage is None:
        raise SubLMBusy("'codex' ended without a result", may_be_charged=True)
    text = "\n".join(texts)
    return Reply(text=text, usage=_usage(usage, request, text), model=model)


def _error(model: str, said: str) -> SubLMError:
    """What an error of the client means; it names no codes."""
    short = " ".join(said.split())[:_SAID_CHARS]
    if _OUT_OF_QUOTA.search(said):
        return SubLMRefused(f"'codex' has nothing left to spend ({short}); wait for it, or set sub_backend")
    if _LOGIN.search(said):
        return SubLMUnavailable(f"'codex' is not logged in ({short}); run 'codex login'")
    if "unexpected argument" in said or "unrecognized" in said:
        return SubLMUnavailable(f"this 'codex' is too old ({short}); update it, or set sub_backend")
    if _BUSY.search(said):
        return SubLMBusy(f"'codex' got no answer ({short})")
    return SubLMRefused(f"'codex' refuses the request to {model!r} ({short}); ask otherwise")


def _usage(told: Mapping[str, Any], request: Request, text: str) -> Usage:
    read, written = told.get("input_tokens"), told.get("output_tokens")
    if isinstance(read, int) and isinstance(written, int) and read >= 0 and written >= 0:
        return Usage(tokens_in=read, tokens_out=written)
    read = estimate_tokens(prompt_with_history(request)) + estimate_tokens(request.system) + _OVERHEAD_TOKENS
    return Usage(tokens_in=read, tokens_out=estimate_tokens(text), is_estimate=True)
