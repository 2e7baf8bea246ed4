"""``claude -p`` as a SubLM: the user's own login, no key. A process for each request, about half a second.

Flags and output as of Claude Code 2.1.330 (``claude --help``; https://code.claude.com/docs/en/headless). Two things of
it must be switched off that no flag names: ``@path`` in a prompt would put that file into it, and a prompt that begins
with ``/`` would be taken for a command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlm_mcp.errors import SubLMBusy, SubLMError, SubLMRefused, SubLMUnavailable
from rlm_mcp.process import Ended
from rlm_mcp.sublm.client_program import ClientProgram, json_lines
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.sublm.wording import prompt_with_history, system_text
from rlm_mcp.text import estimate_tokens

_FLAGS = (
    "-p", "--output-format", "stream-json", "--verbose", "--tools", "", "--setting-sources", "", "--strict-mcp-config",
    "--no-session-persistence", "--disable-slash-commands",
)  # fmt: skip
_SWITCHES = {
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_THINKING": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "DISABLE_AUTOUPDATER": "1",
}
_NOT_INHERITED = frozenset(
    {
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_CHILD_SESSION",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_SSE_PORT",
    }
)
"""Of the client we may run in: this is no part of its session."""
_OVERHEAD_TOKENS = 800
"""Its own system texts and its environment; 372 were seen."""
_DEFAULT_MODEL = "haiku"
_SAID_CHARS = 300
_OVER_LIMIT = re.compile(r"output token maximum", re.IGNORECASE)
_OUT_OF_QUOTA = re.compile(r"limit reached|hit your|usage limit|credit balance|resets", re.IGNORECASE)


class ClaudeProgram:
    """A SubLM behind ``claude``. Safe to use from any thread."""

    def __init__(self, binary: Path, environ: Mapping[str, str], *, model: str = "") -> None:
        """Nothing is started yet. ``model``: asked where a request names none."""
        kept = {name: value for name, value in environ.items() if name not in _NOT_INHERITED}
        self._program = ClientProgram(binary, {**kept, **_SWITCHES})
        self._model = model or _DEFAULT_MODEL

    @property
    def name(self) -> str:
        """Of the backend."""
        return "claude"

    @property
    def default_model(self) -> str:
        """Asked where a request names none."""
        return self._model

    @property
    def overhead_tokens(self) -> int:
        """The client's own texts."""
        return _OVERHEAD_TOKENS

    def warm(self) -> None:
        """There is nothing to prepare."""

    def complete(self, request: Request, stop: Stop) -> Reply:
        """Ask; see the Protocol for what is raised."""
        if not request.prompt.strip():
            raise SubLMRefused("the prompt is empty; ask something")
        system = self._program.file(system_text(request), ".md")
        arguments = (*_FLAGS, "--model", request.model or self._model, "--system-prompt-file", str(system))
        prompt = prompt_with_history(request)
        extra = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(request.max_tokens)}
        ended = self._program.ask(arguments, f"\n{prompt}" if prompt.startswith("/") else prompt, stop, extra)
        lines = json_lines(ended.output)
        result = next((line for line in reversed(lines) if line.get("type") == "result"), None)
        if result is None:
            raise _no_result(ended)
        return _reply(request, lines, result)

    def close(self) -> None:
        """Remove its folder."""
        self._program.close()


def _reply(request: Request, lines: list[dict[str, Any]], result: Mapping[str, Any]) -> Reply:
    """The reply in the lines of its output.

    Raises:
        SubLMError: there is none.
    """
    said = str(result.get("result") or "")
    is_cut = bool(_OVER_LIMIT.search(said))
    messages = [line["message"] for line in lines if line.get("type") == "assistant" and "message" in line]
    answered = [message for message in messages if message.get("model") != "<synthetic>"]
    if result.get("is_error") and not is_cut and result.get("stop_reason") != "refusal":
        raise _error(request, result.get("api_error_status"), said)
    if not result.get("num_turns"):
        raise SubLMRefused(f"'claude' asked no model; it says {said[:_SAID_CHARS]!r}")
    text = "".join(_text(message) for message in answered)  # it goes on by itself where an answer was cut
    usd = result.get("total_cost_usd")
    return Reply(
        text=text,
        usage=_usage(result.get("usage"), request, text),
        model=str(answered[-1].get("model") if answered else request.model),
        usd=float(usd) if isinstance(usd, int | float) else None,
        is_cut=is_cut,
        refusal=said if result.get("stop_reason") == "refusal" else "",
    )


def _error(request: Request, status: object, said: str) -> SubLMError:
    """What an error of the client means."""
    short = " ".join(said.split())[:_SAID_CHARS]
    if "/login" in said or status in {401, 403}:
        return SubLMUnavailable(f"'claude' is not logged in ({short}); run 'claude' and log in with /login")
    if _OUT_OF_QUOTA.search(said):
        return SubLMRefused(f"'claude' has nothing left to spend ({short}); wait for it, or set sub_backend")
    if status is None or status == 429 or (isinstance(status, int) and status >= 500):
        return SubLMBusy(f"'claude' got no answer ({short})")
    if status == 404:
        return SubLMRefused(f"'claude' has no model {request.model!r} ({short}); name another in sub_model")
    return SubLMRefused(f"'claude' refuses the request with {status} ({short}); ask otherwise")


def _no_result(ended: Ended) -> SubLMError:
    said = " ".join(ended.complaint.decode("utf-8", "replace").split())[:_SAID_CHARS]
    if "unknown option" in said:
        return SubLMUnavailable(f"this 'claude' is too old ({said}); update it ('claude update'), or set sub_backend")
    return SubLMBusy(f"'claude' ended with {ended.exit_code} and no result ({said})", may_be_charged=True)


def _text(message: Mapping[str, Any]) -> str:
    blocks = message.get("content")
    texts = [b.get("text") for b in blocks if isinstance(b, dict)] if isinstance(blocks, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def _usage(told: Any, request: Request, text: str) -> Usage:
    """All that was read and written, also where it asked more than once."""
    told = told if isinstance(told, dict) else {}
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    counts = [told.get(name, 0) for name in names]
    if "input_tokens" in told and all(isinstance(count, int) and count >= 0 for count in counts):
        return Usage(tokens_in=sum(counts[:3]), tokens_out=counts[3])
    read = estimate_tokens(prompt_with_history(request)) + estimate_tokens(request.system) + _OVERHEAD_TOKENS
    return Usage(tokens_in=read, tokens_out=estimate_tokens(text), is_estimate=True)
