"""Any endpoint that speaks OpenAI's chat completions: OpenAI, OpenRouter, vLLM, Ollama, llama.cpp's server.

What is said and what it means; ``openai_package`` and ``plain_http`` carry it. Format: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from time import time
from typing import Any, TypeGuard
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from rlm_mcp.errors import SubLMBusy, SubLMError, SubLMRefused, SubLMUnavailable
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from rlm_mcp.sublm.openai_package import PackageSender
from rlm_mcp.sublm.plain_http import PlainSender
from rlm_mcp.sublm.sending import Answer, Sender
from rlm_mcp.sublm.wording import system_with_schema
from rlm_mcp.text import estimate_tokens

OPENAI_URL = "https://api.openai.com/v1"

_BUSY = frozenset({408, 409, 425, 429})
"""And all from 500 on."""
_SAID_CHARS = 300
_MOST_TOKENS, _MOST_USD = 1 << 40, 1e6
"""No call takes so much; who says so is not believed."""
_OVERHEAD_TOKENS = 32
_COMPLAINTS = {
    "max_tokens": re.compile(r"max_tokens.*max_completion_tokens", re.IGNORECASE | re.DOTALL),
    "temperature": re.compile(r"temperature.*(not support|only|default)|unsupported.*temperature", re.IGNORECASE),
    "response_format": re.compile(r"response_format|json_schema|schema|structured|grammar", re.IGNORECASE),
}
"""What an endpoint may not take, and how it says so."""
_MODERATION = re.compile(r"moderat|flagged", re.IGNORECASE)
"""What was asked is refused, not who asks (403 of OpenRouter)."""
_BAD_SCHEMA = re.compile(r"invalid.*schema|schema must|grammar", re.IGNORECASE)
"""It takes schemas, but not this one."""


class OpenAIEndpoint:
    """A SubLM behind a base URL. Safe to use from any thread."""

    def __init__(self, *, base_url: str, key: str, model: str, is_plain: bool | None = None) -> None:
        """Nothing is imported or opened yet.

        Args:
            base_url: up to ``/v1``.
            key: empty where the endpoint wants none.
            model: asked where a request names none.
            is_plain: without the ``openai`` package; None: where that is possible.

        Raises:
            SubLMUnavailable: ``base_url`` is no address.
        """
        parts = _address(base_url)
        self._base_url = base_url.rstrip("/")
        self._shown_url = re.sub(r"//[^/@]*@", "//", self._base_url)
        self._key = key
        self._model = model
        self._sender: Sender = (
            PlainSender(parts.hostname or "", parts.port or 80, f"{parts.path.rstrip('/')}/chat/completions", key)
            if (_can_be_plain(parts) if is_plain is None else is_plain)
            else PackageSender(self._base_url, key)
        )
        self._lock = threading.Lock()
        self._refused: dict[str, frozenset[str]] = {}
        """By model: options it does not take; ``schema`` and the schema for one that it does not take."""

    @property
    def name(self) -> str:
        """Of the backend, with its address."""
        return f"openai {self._shown_url}"

    @property
    def default_model(self) -> str:
        """Asked where a request names none."""
        return self._model

    @property
    def overhead_tokens(self) -> int:
        """Roles and marks around the messages."""
        return _OVERHEAD_TOKENS

    def warm(self) -> None:
        """Begin to import the package, where it is needed, in a thread. Sends nothing."""
        self._sender.warm()

    def complete(self, request: Request, stop: Stop) -> Reply:
        """Ask; see the Protocol for what is raised."""
        body = self._body(request)
        try:
            answer = self._sender.send(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"), stop)
        except SubLMBusy as error:
            raise SubLMBusy(
                self._clean(f"{self._shown_url!r}: {error}"),
                after_seconds=error.after_seconds,
                may_be_charged=error.may_be_charged,
            ) from error
        if answer.status != 200:
            raise self._error(request, body, answer)
        return self._reply(request, answer.content)

    def close(self) -> None:
        """End what is under way and close the connections."""
        self._sender.close()

    def _body(self, request: Request) -> dict[str, Any]:
        """The request as JSON, without what this model is known not to take."""
        model = request.model or self._model
        refused = self._refused.get(model, frozenset())
        body: dict[str, Any] = {"model": model}
        system = request.system
        if request.schema and not refused & {"response_format", f"schema {request.schema}"}:
            named = {"name": "answer", "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        else:
            system = system_with_schema(request)
        messages = [{"role": "system", "content": system}] if system else []
        for asked, said in request.history:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        body["messages"] = [*messages, {"role": "user", "content": request.prompt}]
        is_new = self._base_url == OPENAI_URL or "max_tokens" in refused
        body["max_completion_tokens" if is_new else "max_tokens"] = request.max_tokens
        if request.temperature is not None and "temperature" not in refused:
            body["temperature"] = request.temperature
        return body

    def _reply(self, request: Request, content: bytes) -> Reply:
        """What the endpoint answered.

        Raises:
            SubLMBusy: that is no completion.
        """
        found = _json(content)
        choice = _first_choice(found)
        told = found.get("usage") if isinstance(found, dict) else None
        model = str(found.get("model") or request.model or self._model) if isinstance(found, dict) else ""
        if choice is None:
            said = self._clean(_said(content) or repr(content[:_SAID_CHARS]))
            usage, usd = _usage(told, request, "")
            if usage.is_estimate:  # it does not say that anything was made
                raise SubLMBusy(f"{self._shown_url!r} answered without a choice: {said}")
            return Reply(text="", usage=usage, model=model, usd=usd, instead=f"no choice: {said}")
        message = choice["message"]
        text = self._without_key(_text(message.get("content")))
        finish = choice.get("finish_reason")
        refusal = message.get("refusal") or ("content_filter" if finish == "content_filter" else "")
        usage, usd = _usage(told, request, text)
        return Reply(
            text=text,
            usage=usage,
            model=model,
            usd=usd,
            is_cut=finish == "length",
            refusal=str(refusal),
            instead="" if text.strip() else self._clean(_instead(message, finish, told)),
        )

    def _error(self, request: Request, body: dict[str, Any], answer: Answer) -> SubLMError:
        """What a status other than 200 means."""
        full = _said(answer.content) or answer.content[:_SAID_CHARS].decode("utf-8", "replace")
        status, said, model, url = answer.status, self._clean(full), body["model"], self._shown_url
        if status == 402 or "insufficient_quota" in full or b"insufficient_quota" in answer.content:
            cure = "add credit there, or set sub_backend"
            return SubLMRefused(f"{url!r} wants to be paid first ({said}); {cure}", model=model)
        if status in _BUSY or status >= 500:
            return SubLMBusy(f"{url!r} answered {status} ({said})", after_seconds=_after_seconds(answer.headers))
        if status in {400, 422} and (option := self._learned(request, body, full)):
            return SubLMBusy(f"{model!r} does not take {option!r} ({said}); left out from now on", after_seconds=0.0)
        if status in {401, 403}:
            cure = "set OPENAI_API_KEY to one that is valid there"
            lasts = not _MODERATION.search(full)
            return SubLMRefused(f"{url!r} refuses the key ({said}); {cure}", model=model if lasts else "")
        if status == 404:
            return SubLMRefused(
                f"{url!r} has no model {model!r}, or is no endpoint ({said}); mend sub_model or OPENAI_BASE_URL",
                model=model,
            )
        return SubLMRefused(f"{url!r} refuses the request to {model!r} with {status} ({said}); ask otherwise")

    def _learned(self, request: Request, body: dict[str, Any], said: str) -> str:
        """The option of the request that the endpoint complains of; '' for none. It is not sent again."""
        for option, complaint in _COMPLAINTS.items():
            if option in body and complaint.search(said):
                is_of_schema = option == "response_format" and _BAD_SCHEMA.search(said)
                learned = f"schema {request.schema}" if is_of_schema else option
                with self._lock:
                    self._refused[body["model"]] = self._refused.get(body["model"], frozenset()) | {learned}
                return option
        return ""

    def _clean(self, said: str) -> str:
        """Without the key, which some endpoints repeat; one line."""
        return " ".join(self._without_key(said).split())[:_SAID_CHARS]

    def _without_key(self, said: str) -> str:
        return said.replace(self._key, "[key]") if len(self._key) > 3 else said


def _address(base_url: str) -> SplitResult:
    """The parts of a base URL.

    Raises:
        SubLMUnavailable: it is none.
    """
    wrong = f"base URL {base_url!r} is no address; set OPENAI_BASE_URL to one like 'http://127.0.0.1:11434/v1'"
    try:
        parts = urlsplit(base_url)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # a port beyond all ports
        raise SubLMUnavailable(wrong) from error
    if not is_sound or not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        raise SubLMUnavailable(wrong)
    return parts


def _can_be_plain(parts: SplitResult) -> bool:
    """A server on this machine or its network, named so that no name has to be looked up, and without a proxy."""
    if parts.scheme != "http" or parts.username or parts.query or getproxies().keys() & {"http", "all"}:
        return False
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_private
    except ValueError:
        return False


def _json(content: bytes) -> Any:
    """As JSON; None where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _first_choice(found: Any) -> dict[str, Any] | None:
    """The first choice with a message; None where there is none."""
    choices = found.get("choices") if isinstance(found, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) and isinstance(choice.get("message"), dict) else None


def _text(content: Any) -> str:
    """Of a message: plain, or in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _instead(message: dict[str, Any], finish: Any, told: Any) -> str:
    """What a message without text holds, in words."""
    details = told.get("completion_tokens_details") if isinstance(told, dict) else None
    thought = details.get("reasoning_tokens") if isinstance(details, dict) else None
    calls = message.get("tool_calls")
    words = [f"finish_reason {finish!r}"]
    if isinstance(calls, list) and calls:
        words.append("a call of a tool, though it has none")
    if _is_count(thought) and thought:
        words.append(f"{thought:,} tokens of reasoning")
    elif message.get("reasoning_content") or message.get("reasoning"):
        words.append("reasoning alone")
    return ", ".join(words)


def _said(content: bytes) -> str:
    """The message of an error, in one of the shapes that endpoints use; '' for none."""
    body = _json(content)
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
    return said if isinstance(said, str) else json.dumps(said)[:_SAID_CHARS] if said else ""


def _usage(told: Any, request: Request, text: str) -> tuple[Usage, float | None]:
    """Tokens as the endpoint counted them, else estimated; and dollars, where it names them (as OpenRouter does)."""
    told = told if isinstance(told, dict) else {}
    tokens_in, tokens_out, usd = told.get("prompt_tokens"), told.get("completion_tokens"), told.get("cost")
    is_priced = isinstance(usd, int | float) and not isinstance(usd, bool) and 0 <= usd < _MOST_USD
    if _is_count(tokens_in) and _is_count(tokens_out):
        return Usage(tokens_in=tokens_in, tokens_out=tokens_out), usd if is_priced else None
    said = [turn for pair in request.history for turn in pair]
    read = sum(map(estimate_tokens, (request.prompt, request.system, request.schema, *said)))
    estimate = Usage(tokens_in=read + _OVERHEAD_TOKENS, tokens_out=estimate_tokens(text), is_estimate=True)
    return estimate, usd if is_priced else None


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS


def _after_seconds(given: Mapping[str, str]) -> float | None:
    """When to come again: milliseconds, seconds or a date (RFC 9110, 10.2.3); None where it is not said."""
    headers = {name.lower(): value for name, value in given.items()}
    for name, unit in (("retry-after-ms", 1_000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) / unit)
        except ValueError:
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time())
    except ValueError:
        return None
