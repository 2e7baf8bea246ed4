"""Other models as a Cell sees them. A failure is an exception, or (in a batch) an object that is no text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from rlm_mcp.sandbox.inside.asking import Host, HostError

_BATCH_CHARS = 3_000_000
"""Sent in one frame; a longer batch goes in several."""
_MISSING = object()


class SubLMFailed(RuntimeError):
    """Another model could not be asked, or did not answer: ``error`` names the kind."""

    __module__ = "builtins"

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.message = message


class Failed:
    """In the place of an answer that did not come: ``error``, ``message``. Used as text, it raises SubLMFailed."""

    __slots__ = ("error", "message")
    __hash__ = None  # type: ignore[assignment]  # it is no key either

    def __init__(self, error: str, message: str) -> None:
        self.error = error
        self.message = message

    def _raise(self, *_given: object, **_named: object) -> NoReturn:
        raise SubLMFailed(self.error, self.message)

    __str__ = __format__ = __len__ = __iter__ = __add__ = __radd__ = __mod__ = __mul__ = __contains__ = _raise
    __getitem__ = __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = _raise

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise SubLMFailed(self.error, self.message)

    def __repr__(self) -> str:
        return f"<Failed {self.error}: {self.message[:200]}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Failed, (self.error, self.message)


class Mapped(list[Any]):
    """Results of llm_map in order, one for each item; ``coverage`` counts answered, repaired, fallback and failed."""

    def __init__(self, results: Iterable[Any], coverage: Mapping[str, int]) -> None:
        super().__init__(results)
        self.coverage = dict(coverage)

    def __repr__(self) -> str:
        return f"{list(self)!r}\n{self.coverage}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Mapped, (list(self), self.coverage)


class Answer:
    """What a child Run came to: ``answer``, ``refs`` (checked), ``run`` (its id); ``str(x)`` is the answer."""

    __slots__ = ("answer", "refs", "run")

    def __init__(self, answer: str, refs: Sequence[str], run: str) -> None:
        self.answer = answer
        self.refs = list(refs)
        self.run = run

    def __str__(self) -> str:
        return self.answer

    def __repr__(self) -> str:
        return f"{self.answer}  [{self.run}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return Answer, (self.answer, self.refs, self.run)


class Models:
    """The functions of a Cell that ask other models."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def names(self) -> dict[str, Callable[..., Any]]:
        """Name -> function."""
        return {
            "llm_query": self.llm_query,
            "llm_query_batched": self.llm_query_batched,
            "llm_map": self.llm_map,
            "rlm_query": self.rlm_query,
            "rlm_query_batched": self.rlm_query_batched,
        }

    def llm_query(
        self, prompt: str, *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> Any:
        """Ask a sub-LM once: its answer as text; with a JSON ``schema`` as a checked value. Raises SubLMFailed."""
        asked = _asked(model=model, system=system, max_tokens=max_tokens, schema=schema)
        (found,) = self._all("llm_query", "prompts", [_text(prompt)], asked)
        if isinstance(found, Failed):
            raise SubLMFailed(found.error, found.message)
        return found

    def llm_query_batched(
        self, prompts: Iterable[str], *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> list[Any]:
        """Ask a sub-LM many prompts at once: answers in order; a Failed in the place of one that did not come."""
        asked = _asked(model=model, system=system, max_tokens=max_tokens, schema=schema)
        return self._all("llm_query", "prompts", [_text(prompt) for prompt in prompts], asked)

    def llm_map(  # noqa: PLR0913  # what a map can be told
        self,
        items: Iterable[Any],
        prompt: str,
        *,
        schema: Any = None,
        fallback: Any = _MISSING,
        model: str = "",
        system: str = "",
        max_tokens: int = 2_048,
    ) -> Mapped:
        """Ask the same of every item, each exactly once: ``prompt`` holds {item} (and {index}, if it matters).

        With a JSON ``schema`` the answers are checked values; what cannot be mended becomes ``fallback``, or a Failed.
        """
        asked = _asked(model=model, system=system, max_tokens=max_tokens, schema=schema)
        texts = [item if isinstance(item, str) else json.dumps(item, default=str) for item in items]
        asked["prompt"] = _text(prompt)
        results: list[Any] = []
        coverage: dict[str, int] = {}
        for found in self._parts("llm_map", "items", texts, asked):
            results += [_value(one) for one in found["results"]]
            for name, count in found["coverage"].items():
                coverage[name] = coverage.get(name, 0) + count
        if fallback is not _MISSING:
            coverage["fallback"] = sum(isinstance(one, Failed) for one in results)
            coverage["failed"] = coverage.get("failed", 0) - coverage["fallback"]
            results = [fallback if isinstance(one, Failed) else one for one in results]
        return Mapped(results, coverage)

    def rlm_query(self, question: str, context: Any = None) -> Answer:
        """Ask a child Run with a REPL of its own over the same store; ``context`` (str or list) is its ``context``."""
        (found,) = self.rlm_query_batched([(question, context)])
        if not isinstance(found, Answer):
            raise SubLMFailed(found.error, found.message)
        return found

    def rlm_query_batched(self, asked: Iterable[Any]) -> list[Any]:
        """Ask many child Runs: questions, or (question, context) pairs; answers in order, or a Failed."""
        pairs = [(one, None) if isinstance(one, str) else tuple(one) for one in asked]
        rows = [{"question": _text(question), "context": _context(context)} for question, context in pairs]
        answers = self._ask("rlm_query", asked=rows)
        return [
            Answer(one["answer"], one["refs"], one["run"]) if "answer" in one else Failed(one["error"], one["message"])
            for one in answers
        ]

    def _all(self, name: str, kind: str, texts: list[str], asked: dict[str, Any]) -> list[Any]:
        return [_value(one) for found in self._parts(name, kind, texts, asked) for one in found["results"]]

    def _parts(self, name: str, kind: str, texts: list[str], asked: dict[str, Any]) -> Iterator[Any]:
        """The host's answers to as many frames as the texts need."""
        start = 0
        while start < len(texts):
            end, chars = start, 0
            while end < len(texts) and (end == start or chars + len(texts[end]) <= _BATCH_CHARS):
                chars += len(texts[end])
                end += 1
            place = {"first": start} if kind == "items" else {}
            yield self._ask(name, **{kind: texts[start:end]}, **place, **asked)
            start = end


    def _ask(self, name: str, **arguments: Any) -> Any:
        try:
            return self._host.ask(name, **arguments)
        except HostError as error:
            raise SubLMFailed(error.kind, str(error)) from None


def _asked(**given: Any) -> dict[str, Any]:
    schema = given.pop("schema")
    return {**given, "schema": "" if schema is None else json.dumps(schema)}


def _value(one: Mapping[str, Any]) -> Any:
    return Failed(one["error"], one["message"]) if "error" in one else one["value"]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a prompt is a str, not {type(value).__name__}")
    return value


def _context(context: Any) -> Any:
    if context is None or isinstance(context, str):
        return context
    return [str(part) for part in context]
