"""Any endpoint that speaks OpenAI's chat completions: OpenAI, OpenRouter, vLLM, Ollama, llama.cpp's server.

What is said and what it means; ``openai_package`` and ``plain_http`` carry it. Format: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from rlm_mcp.errors import SubLMBusy, SubLMError, SubLMRefused, SubLMUnavailable
from rlm_mcp.sublm.lm import Reply, Request, Stop
from rlm_mcp.sublm.models import listed_models
from rlm_mcp.sublm.openai_answers import (
    OVERHEAD_TOKENS,
    SAID_CHARS,
    after_seconds,
    error_text,
    first_choice,
    instead_of_text,
    other_kind,
    parsed_json,
    place_of,
    text_of,
    usage_of,
)
from rlm_mcp.sublm.openai_package import PackageSender
from rlm_mcp.sublm.plain_http import PlainSender
from rlm_mcp.sublm.sending import Answer, Sender
from rlm_mcp.sublm.wording import system_with_schema

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-5-mini"

_BUSY = frozenset({408, 409, 425, 429})
"""And all from 500 on."""
UNNAMED = "unnamed"
"""The model of an endpoint that lists none: its price is not known. It is asked for the usual one."""
_CALL = "/chat/completions"
_WHERE = "set OPENAI_BASE_URL to the endpoint itself, as a rule its address with /v1 behind it"
_LOOK_SECONDS = 5.0
_SHOWN_MODELS = 5
_COMPLAINTS = {
    "max_tokens": re.compile(r"max_tokens.*max_completion_tokens", re.IGNORECASE | re.DOTALL),
    "temperature": re.compile(r"temperature.*(not support|only|default)|unsupported.*temperature", re.IGNORECASE),
    "response_format": re.compile(r"response_format|json_schema|schema|structured|grammar", re.IGNORECASE),
}
"""What an endpoint may not take, and how it says so."""
_OF_MODEL = re.compile(r"\bmodel", re.IGNORECASE)
"""What is not there is the model, not the endpoint."""
_MODERATION = re.compile(r"moderat|flagged", re.IGNORECASE)
"""What was asked is refused, not who asks (403 of OpenRouter)."""
_BAD_SCHEMA = re.compile(r"invalid.*schema|schema must|grammar", re.IGNORECASE)
"""It takes schemas, but not this one."""


class OpenAIEndpoint:
    """A SubLM behind a base URL. Safe to use from any thread."""

    def __init__(self, *, base_url: str, key: str, model: str, is_plain: bool | None = None) -> None:
        """Nothing is imported or opened yet.

        Args:
            base_url: up to ``/v1``; where a bare one (no path at all) has nothing, ``/v1`` below it is tried.
            key: empty where the endpoint wants none.
            model: asked where a request names none; empty: the only one that the endpoint lists.
            is_plain: without the ``openai`` package; None: where that is possible.

        Raises:
            SubLMUnavailable: ``base_url`` is no address.
        """
        _address(base_url)
        self._base_url = base_url.rstrip("/").removesuffix(_CALL).rstrip("/")
        self._shown_url = re.sub(r"//[^/@]*@", "//", self._base_url)
        self._key = key
        self._model = model
        self._is_plain = is_plain
        self._way = self._way_to(self._base_url)
        self._ways = (self._way, self._way_to(f"{self._base_url}/v1")) if self._way.is_bare else (self._way,)
        self._look_again = 0.0
        """When models may be looked for again."""
        self._lock = threading.Lock()
        self._refused: dict[str, frozenset[str]] = {}
        """By model: options it does not take; ``schema`` and the schema for one that it does not take."""

    @property
    def name(self) -> str:
        """Of the backend, with its address."""
        return f"openai {self._shown_url}"

    @property
    def default_model(self) -> str:
        """Asked where a request names none: the one that is set, else the only one that the endpoint lists.

        Raises:
            SubLMUnavailable: it lists several.
        """
        if self._model:
            return self._model
        if monotonic() < self._look_again:
            return UNNAMED
        base_url = self._way.base_url
        names = listed_models(base_url, self._key) or (
            listed_models(f"{base_url}/v1", self._key) if self._way.is_bare else ()
        )
        if not names:
            self._look_again = monotonic() + _LOOK_SECONDS
            return UNNAMED
        if len(names) > 1 and DEFAULT_MODEL not in names:
            shown = ", ".join([*names[:_SHOWN_MODELS], *(["..."] if len(names) > _SHOWN_MODELS else [])])
            raise SubLMUnavailable(
                f"{self._shown_url!r} has {len(names):,} models ({shown}) and none is chosen; name one by --model, or "
                "set root_model or sub_model in config.toml"
            )
        self._model = names[0] if len(names) == 1 else DEFAULT_MODEL
        return self._model

    @property
    def overhead_tokens(self) -> int:
        """Roles and marks around the messages."""
        return OVERHEAD_TOKENS

    def warm(self) -> None:
        """Begin to import the package, where it is needed, in a thread. Sends nothing."""
        self._way.sender.warm()

    def complete(self, request: Request, stop: Stop) -> Reply:
        """Ask; see the Protocol for what is raised."""
        body, way = self._body(request), self._way
        try:
            answer = way.sender.send(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"), stop)
        except SubLMBusy as error:
            raise SubLMBusy(
                self._clean(f"{self._shown_url!r}: {error}"),
                after_seconds=error.after_seconds,
                may_be_charged=error.may_be_charged,
            ) from error
        if answer.status == 200:
            reply = self._reply(request, answer, way)
            way.has_answered = True
            return reply
        raise self._error(request, body, answer, way)

    def close(self) -> None:
        """End what is under way and close the connections."""
        for way in self._ways:
            way.sender.close()

    def _way_to(self, base_url: str) -> _Way:
        parts = _address(base_url)
        is_plain = _can_be_plain(parts) if self._is_plain is None else self._is_plain
        path = f"{parts.path.rstrip('/')}{_CALL}"
        return _Way(
            base_url=base_url,
            is_bare=not parts.path.strip("/"),
            sender=PlainSender(parts.hostname or "", parts.port or 80, path, self._key)
            if is_plain
            else PackageSender(base_url, self._key),
        )

    def _turned(self, way: _Way) -> SubLMBusy | None:
        """Nothing is there: where the base URL is bare, ``/v1`` below it is asked next. None where it is not.

        Where nothing is there either, the next question begins again.
        """
        if way.has_answered:
            return None
        self._way = self._ways[-1] if way.is_bare else self._ways[0]
        if not way.is_bare:
            return None
        return SubLMBusy(f"{self._shown_url!r} is no endpoint by itself; '/v1' below it is tried", after_seconds=0.0)

    def _body(self, request: Request) -> dict[str, Any]:
        """The request as JSON, without what this model is known not to take."""
        model = request.model or self.default_model
        model = DEFAULT_MODEL if model == UNNAMED else model
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
        is_new = self._way.base_url == OPENAI_URL or "max_tokens" in refused
        body["max_completion_tokens" if is_new else "max_tokens"] = request.max_tokens
        if request.temperature is not None and "temperature" not in refused:
            body["temperature"] = request.temperature
        return body

    def _reply(self, request: Request, answer: Answer, way: _Way) -> Reply:
        """What the endpoint answered.

        Raises:
            SubLMBusy: that is no completion.
            SubLMRefused: nor will it ever be: something else than an endpoint answers there.
        """
        content = answer.content
        found = parsed_json(content)
        if found is None and (kind := other_kind(answer)):
            raise self._turned(way) or SubLMRefused(
                f"{self._shown_url!r} answers with {kind}, not with a completion; {_WHERE}",
                model="" if way.has_answered else request.model or self._model,
            )
        choice = first_choice(found)
        told = found.get("usage") if isinstance(found, dict) else None
        model = str(found.get("model") or request.model) if isinstance(found, dict) else ""
        if choice is None:
            said = self._clean(error_text(content) or repr(content[:SAID_CHARS]))
            usage, usd = usage_of(told, request, "")
            if usage.is_estimate:  # it does not say that anything was made
                raise SubLMBusy(f"{self._shown_url!r} answered without a choice: {said}")
            return Reply(text="", usage=usage, model=model, usd=usd, instead=f"no choice: {said}")
        message = choice["message"]
        text = self._without_key(text_of(message.get("content")))
        finish = choice.get("finish_reason")
        refusal = message.get("refusal") or ("content_filter" if finish == "content_filter" else "")
        usage, usd = usage_of(told, request, text)
        return Reply(
            text=text,
            usage=usage,
            model=model,
            usd=usd,
            is_cut=finish == "length",
            refusal=str(refusal),
            instead="" if text.strip() else self._clean(instead_of_text(message, finish, told)),
        )

    def _error(self, request: Request, body: dict[str, Any], answer: Answer, way: _Way) -> SubLMError:
        """What a status other than 200 means."""
        full = error_text(answer.content) or answer.content[:SAID_CHARS].decode("utf-8", "replace")
        status, said, model, url = answer.status, self._clean(full), body["model"], self._shown_url
        is_unpaid = status == 402 or "insufficient_quota" in full or b"insufficient_quota" in answer.content
        if not is_unpaid and (status in _BUSY or status >= 500):
            return SubLMBusy(f"{url!r} answered {status} ({said})", after_seconds=after_seconds(answer.headers))
        if status in {400, 422} and (option := self._learned(request, body, full)):
            return SubLMBusy(f"{model!r} does not take {option!r} ({said}); left out from now on", after_seconds=0.0)
        if status in {404, 405} and not _OF_MODEL.search(full) and (turned := self._turned(way)):
            return turned
        told, is_lasting = f"{url!r} refuses the request to {model!r} with {status} ({said}); ask otherwise", False
        if is_unpaid:
            told, is_lasting = f"{url!r} wants to be paid first ({said}); add credit there, or set sub_backend", True
        elif status in {401, 403}:
            told = f"{url!r} refuses the key ({said}); set OPENAI_API_KEY to one that is valid there"
            is_lasting = not _MODERATION.search(full)
        elif status in {404, 405}:
            told = f"{url!r} has no model {model!r}, or is no endpoint ({said}); mend sub_model or OPENAI_BASE_URL"
            is_lasting = True
        elif 300 <= status < 400:
            place = self._clean(place_of(answer.headers, f"{way.base_url}{_CALL}").removesuffix(_CALL))
            told = f"{url!r} leads elsewhere ({status}, to {place!r}); set OPENAI_BASE_URL to where the endpoint is"
            is_lasting = True
        return SubLMRefused(told, model=(request.model or model) if is_lasting else "")

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
        return " ".join(self._without_key(said).split())[:SAID_CHARS]

    def _without_key(self, said: str) -> str:
        return said.replace(self._key, "[key]") if len(self._key) > 3 else said


@dataclass(slots=True, kw_only=True)
class _Way:
    """How an endpoint is reached."""

    base_url: str
    sender: Sender
    is_bare: bool
    """There is no path in its address."""
    has_answered: bool = False
    """There is an endpoint."""


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
