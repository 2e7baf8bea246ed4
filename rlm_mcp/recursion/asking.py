"""The host side of ``llm_query``, ``llm_query_batched`` and ``llm_map``: what a Cell asks of other models.

A failure is a typed entry in the place of the answer, never text. Answers with a schema are parsed and checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from rlm_mcp.errors import BudgetExceeded, Cancelled, QueryError, SubLMError, SubLMTimeout
from rlm_mcp.recursion.schema import check_schema, parsed
from rlm_mcp.sandbox.messages import JSON
from rlm_mcp.sandbox.repl import Binding
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Request, Stop
from rlm_mcp.sublm.metered import Asked, Metered, Purpose

REPAIRS = 2
"""How often a reply that does not fit its schema is sent back."""
Answered = Asked | BudgetExceeded | SubLMError
_MAX_REPLY_TOKENS = 64_000
_TOLD_CHARS = 2_000
_MESSAGE_CHARS = 500
_HOW = ("model", "system", "max_tokens", "schema")
_CUT = "the answer was cut at max_tokens={tokens:,}; give more, ask for less, or take .partial of its Failed"
_ITEM = re.compile(r"\{(item|index)\}")
_MARK = re.compile(r"\{(error|reply|prompt|schema)\}")


def prompt_text(name: str) -> str:
    """A prompt of this package by its file's name."""
    return (resources.files("rlm_mcp.recursion") / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()


def failed(error: str, message: str) -> dict[str, JSON]:
    """An entry in the place of an answer that did not come."""
    return {"error": error, "message": message[:_MESSAGE_CHARS]}


def _nobody(_what: Any) -> None:
    """Nobody wants to hear it."""


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
    asks: Callable[[int], None] = _nobody
    """Is told how many questions are asked now."""
    came: Callable[[Asked], None] = _nobody
    """Is told of each answer as soon as it is there, from any thread."""
    heard: Callable[[Sequence[Answered]], None] = _nobody
    """Is told of all that came."""

    def bindings(self) -> Mapping[str, Binding]:
        """Name -> host function."""
        return {"llm_query": self.query, "llm_map": self.map}

    def query(self, prompts: Any, model: Any, system: Any, max_tokens: Any, schema: Any) -> JSON:
        """An entry for each prompt: ``value``, or ``error`` and ``message``; and ``over``, why no more is asked.

        An answer that was cut has failed; its ``partial`` is what came of it.
        """
        how = dict(zip(_HOW, (model, system, max_tokens, schema), strict=True))
        return self._found(self._answers(self._requests(_texts(prompts, "prompts"), how), "llm_query"))

    def map(  # noqa: PLR0913, PLR0917  # as a Cell gives them
        self, items: Any, first: Any, prompt: Any, model: Any, system: Any, max_tokens: Any, schema: Any
    ) -> JSON:
        """As :meth:`query` for each item, and how many came how.

        Args:
            first: number of the first item, of all that one map is given in several calls.
        """
        how = dict(zip(_HOW, (model, system, max_tokens, schema), strict=True))
        pattern = _text(prompt, "prompt")
        if "{item}" not in pattern:
            raise QueryError(f"the prompt {pattern[:80]!r} has no {{item}}; say where each item is to stand")
        start = _whole(first, "first")
        prompts = [
            _filled(_ITEM, pattern, {"item": item, "index": str(start + number)})
            for number, item in enumerate(_texts(items, "items"))
        ]
        answers = self._answers(self._requests(prompts, how), "llm_map")
        return {**self._found(answers), "coverage": answers.coverage()}

    def _found(self, answers: _Answers) -> dict[str, JSON]:
        return {"results": list(answers.results), "over": answers.over}

    def _requests(self, prompts: Sequence[str], how: Mapping[str, Any]) -> list[Request]:
        """A request for each prompt."""
        tokens = _whole(how["max_tokens"], "max_tokens")
        if not 1 <= tokens <= _MAX_REPLY_TOKENS:
            raise QueryError(f"max_tokens is {tokens!r}; give 1 to {_MAX_REPLY_TOKENS:,}")
        schema = _text(how["schema"], "schema")
        pattern = Request(
            prompt="",
            model=_text(how["model"], "model") or self.model,
            system=_text(how["system"], "system"),
            max_tokens=tokens,
            schema=check_schema(schema) if schema else "",
        )
        return [replace(pattern, prompt=prompt) for prompt in prompts]

    def _answers(self, requests: Sequence[Request], what: str) -> _Answers:
        """All answers; those that do not fit their schema are sent back, a bounded number of times."""
        found = _Answers(len(requests))
        left = list(enumerate(requests))
        for round_number in range(REPAIRS + 1):
            if not left:
                break
            purpose = Purpose(run=self.run, session=self.session, what="repair" if round_number else what)
            asked = [request for _place, request in left]
            self.asks(len(asked))
            answers = self._asked(asked, purpose)
            self.heard(answers)
            again: list[tuple[int, Request]] = []
            for (place, _request), answer in zip(left, answers, strict=True):
                complaint = found.take(place, answer, requests[place], is_repair=round_number > 0)
                if complaint and isinstance(answer, Asked):
                    again.append((place, _repair(requests[place], answer.text, complaint)))
            left = again
        return found

    def _asked(self, requests: Sequence[Request], purpose: Purpose) -> Sequence[Answered]:
        """What came of each; a single one is asked in this thread: threads take longer to make than it to be asked."""
        if len(requests) != 1:
            return self.metered.ask_all(requests, self.budget, self.stop, purpose, width=self.width, came=self.came)
        try:
            found = self.metered.ask(requests[0], self.budget, self.stop, purpose)
        except (BudgetExceeded, SubLMError) as error:
            return [error]
        self.came(found)
        return [found]


class _Answers:
    """What came of a batch so far."""

    def __init__(self, length: int) -> None:
        self.results: list[dict[str, JSON]] = [{} for _ in range(length)]
        self.over: dict[str, JSON] | None = None
        """Why nothing more is asked."""
        self._repaired = 0

    def take(self, place: int, answer: Answered, asked: Request, *, is_repair: bool) -> str:
        """Put what came into its place; what is wrong with it, where it does not fit its schema."""
        schema = asked.schema
        if not isinstance(answer, Asked):
            self.results[place] = failed(type(answer).__name__, str(answer))
            if isinstance(answer, BudgetExceeded | Cancelled | SubLMTimeout):
                self.over = self.results[place]
            return ""
        value, complaint = parsed(answer.text, schema, is_cut=answer.is_cut) if schema else (answer.text, "")
        if answer.is_cut and (complaint or not schema):  # asked again, it would be cut again
            self.results[place] = {**failed("Cut", _CUT.format(tokens=asked.max_tokens)), "partial": answer.text}
            return ""
        if complaint:
            self.results[place] = failed("SchemaMismatch", complaint)
        else:
            self.results[place] = {"value": value}
            self._repaired += is_repair
        return complaint

    def coverage(self) -> dict[str, JSON]:
        """How many came how."""
        lost = sum("error" in one for one in self.results)
        return {
            "items": len(self.results),
            "answered": len(self.results) - lost,
            "repaired": self._repaired,
            "failed": lost,
        }


def _repair(request: Request, reply: str, complaint: str) -> Request:
    told = {"error": complaint, "reply": reply[:_TOLD_CHARS], "schema": request.schema, "prompt": request.prompt}
    return replace(request, prompt=_filled(_MARK, prompt_text("repair"), told))


def _filled(marks: re.Pattern[str], pattern: str, told: Mapping[str, str]) -> str:
    """The pattern with what is told in place of its marks; what looks like a mark in that stays."""
    return marks.sub(lambda found: told[found[1]], pattern)


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
