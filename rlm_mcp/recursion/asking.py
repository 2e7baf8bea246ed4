"""The host side of ``llm_query``, ``llm_query_batched`` and ``llm_map``: what a Cell asks of other models.

A failure is a typed entry in the place of the answer, never text. Answers with a schema are parsed and checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import jsonschema

from rlm_mcp.errors import BudgetExceeded, QueryError, SubLMError
from rlm_mcp.sandbox.repl import Binding
from rlm_mcp.sandbox.wire import JSON
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Asked, Metered, Purpose

REPAIRS = 2
"""How often a reply that does not fit its schema is sent back."""
_MAX_REPLY_TOKENS = 64_000
_TOLD_CHARS = 2_000
_HOW = frozenset({"model", "system", "max_tokens", "schema"})


def prompt_text(name: str) -> str:
    """A prompt of this package by its file's name."""
    return (resources.files("rlm_mcp.recursion") / "prompts" / f"{name}.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whom a Cell may ask, and within what."""

    metered: Metered
    budget: Budget
    stop: Stop
    run: str
    session: str
    model: str
    """Asked where a call names none."""
    width: int
    """Questions under way at once."""

    def bindings(self) -> Mapping[str, Binding]:
        """Name -> host function."""
        return {"llm_query": self.query, "llm_map": self.map}

    def query(self, prompts: Any, **how: Any) -> JSON:
        """An entry for each prompt, in order: ``value``, or ``error`` and ``message``."""
        results, _coverage = self._answers(self._requests(_texts(prompts, "prompts"), how), "llm_query")
        return {"results": results}

    def map(self, items: Any, first: Any, prompt: Any, **how: Any) -> JSON:
        """An entry for each item, in order, and how many came how.

        Args:
            first: number of the first item, of all that one map is given in several calls.
        """
        pattern = _text(prompt, "prompt")
        if "{item}" not in pattern:
            raise QueryError(f"the prompt {pattern[:80]!r} has no {{item}}; say where each item is to stand")
        start = _whole(first, "first")
        prompts = [
            pattern.replace("{index}", str(start + number)).replace("{item}", item)
            for number, item in enumerate(_texts(items, "items"))
        ]
        results, coverage = self._answers(self._requests(prompts, how), "llm_map")
        return {"results": results, "coverage": coverage}

    def _requests(self, prompts: Sequence[str], how: Mapping[str, Any]) -> list[Request]:
        """A request for each prompt; ``how`` has ``model``, ``system``, ``max_tokens`` and ``schema``."""
        if set(how) != _HOW:
            raise QueryError(f"asked with {', '.join(sorted(how))}; it takes: {', '.join(sorted(_HOW))}")
        tokens = _whole(how["max_tokens"], "max_tokens")
        if not 1 <= tokens <= _MAX_REPLY_TOKENS:
            raise QueryError(f"max_tokens is {tokens!r}; give 1 to {_MAX_REPLY_TOKENS:,}")
        pattern = Request(
            prompt="",
            model=_text(how["model"], "model") or self.model,
            system=_text(how["system"], "system"),
            max_tokens=tokens,
            schema=_schema(how["schema"]),
        )
        return [replace(pattern, prompt=prompt) for prompt in prompts]

    def _answers(self, requests: Sequence[Request], what: str) -> tuple[list[JSON], dict[str, JSON]]:
        """All answers; those that do not fit their schema are sent back, a bounded number of times."""
        results: list[JSON] = [None] * len(requests)
        repaired = 0
        left = list(enumerate(requests))
        for round_number in range(REPAIRS + 1):
            if not left:
                break
            answers = self._ask_all([request for _place, request in left], what if round_number == 0 else "repair")
            again: list[tuple[int, Request]] = []
            for (place, request), answer in zip(left, answers, strict=True):
                if isinstance(answer, Asked) and request.schema:
                    value, complaint = checked(answer.text, request.schema)
                    if not complaint:
                        results[place] = {"value": value}
                        repaired += round_number > 0
                    else:
                        results[place] = _failed("SchemaMismatch", complaint)
                        again.append((place, _repair(requests[place], answer.text, complaint)))
                elif isinstance(answer, Asked):
                    results[place] = {"value": answer.text}
                else:
                    results[place] = _failed(type(answer).__name__, str(answer))
            left = again
        failed = sum(isinstance(one, dict) and "error" in one for one in results)
        coverage: dict[str, JSON] = {
            "items": len(results),
            "answered": len(results) - failed,
            "repaired": repaired,
            "failed": failed,
        }
        return results, coverage

    def _ask_all(self, requests: Sequence[Request], what: str) -> list[Asked | BudgetExceeded | SubLMError]:
        purpose = Purpose(run=self.run, session=self.session, what=what)
        return self.metered.ask_all(requests, self.budget, self.stop, purpose, width=self.width)


def checked(text: str, schema: str) -> tuple[JSON, str]:
    """The JSON value of a reply, and what is wrong with it; a fence around it is forgiven."""
    try:
        value = json.loads(_unfenced(text))
    except (ValueError, RecursionError) as error:
        return None, f"not JSON ({error})"
    try:
        jsonschema.validate(value, json.loads(schema))
    except jsonschema.ValidationError as error:
        return None, f"{error.message[:300]} at {error.json_path}"
    return value, ""


def _unfenced(text: str) -> str:
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and "\n" in stripped:
        return stripped[stripped.index("\n") + 1 : -3]
    return stripped


def _repair(request: Request, reply: str, complaint: str) -> Request:
    pattern = prompt_text("repair")
    told = {
        "{error}": complaint,
        "{reply}": reply[:_TOLD_CHARS],
        "{schema}": request.schema,
        "{prompt}": request.prompt,
    }
    for mark, text in told.items():
        pattern = pattern.replace(mark, text)
    return replace(request, prompt=pattern)


def _failed(error: str, message: str) -> JSON:
    return {"error": error, "message": message[:500]}


def _schema(schema: Any) -> str:
    """The schema, if it is one.

    Raises:
        QueryError: it is not.
    """
    text = _text(schema, "schema")
    if not text:
        return ""
    try:
        jsonschema.Draft202012Validator.check_schema(json.loads(text))
    except (ValueError, RecursionError, jsonschema.SchemaError) as error:
        raise QueryError(f"schema {text[:80]!r} is no JSON schema ({str(error)[:200]})") from error
    return text


def _texts(values: Any, name: str) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise QueryError(f"{name} is {values!r:.80}; give a list of texts")
    return values


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{name} is {value!r:.80}; give a text")
    return value


def _whole(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise QueryError(f"{name} is {value!r:.80}; give a whole number")
    return value
