"""Other models as a Cell that Monty runs sees them: as ``inside.models``, in Monty's subset of Python.

What failed raises as there, but for its truth, which Monty never asks an object for.
"""

import json
from typing import Any

from rlm_mcp.sandbox.monty.inside.asking import Host

BATCH_CHARS = 3_000_000
INLINE_CHARS = 64_000
PIECE_CHARS = BATCH_CHARS // 6
MISSING = object


class Failed:
    """In the place of an answer that did not come: error, message, partial. Used as text, it raises."""

    of_rlm_mcp = True

    def __init__(self, error: str, message: str, partial: str = "") -> None:
        self.error = error
        self.message = message
        self.partial = partial

    def __repr__(self) -> str:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __str__(self) -> str:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __hash__(self) -> int:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __len__(self) -> int:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __iter__(self) -> Any:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __contains__(self, part: Any) -> bool:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __getitem__(self, place: Any) -> Any:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __add__(self, other: Any) -> Any:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __radd__(self, other: Any) -> Any:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __mul__(self, other: Any) -> Any:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __int__(self) -> int:
        raise RuntimeError(f"{self.error}: {self.message}")


class Answers:  # noqa: PLW1641  # a list has no hash either
    """Answers in order, a Failed in the place of each that did not come.

    failed (number -> why) and came (number -> answer) tell them apart; shown while one is missing, it raises. coverage,
    of llm_map, counts answered, repaired, fallback and failed.
    """

    of_rlm_mcp = True

    def __init__(self, results: "list[Any]", coverage: "dict[str, int] | None" = None) -> None:
        self.results = results
        self.coverage = coverage
        self.failed: dict[int, str] = {}
        self.came: dict[int, Any] = {}
        for number, one in enumerate(results):
            if isinstance(one, Failed):
                self.failed[number] = f"{one.error}: {one.message}"
            else:
                self.came[number] = one

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Any:
        return iter(self.results)

    def __getitem__(self, place: Any) -> Any:
        return self.results[place]

    def __contains__(self, part: Any) -> bool:
        return part in self.results

    def __eq__(self, other: object) -> bool:
        return bool(self.results == (other.results if isinstance(other, Answers) else other))

    def __add__(self, other: Any) -> Any:
        return self.results + list(other)

    def __radd__(self, other: Any) -> Any:
        return list(other) + self.results

    def __repr__(self) -> str:
        for number in self.failed:
            raise RuntimeError(
                f"{self.failed[number]} ({len(self.failed):,} of {len(self.results):,} are missing; "
                "see .failed and .came)"
            )
        return f"{self.results!r}" if self.coverage is None else f"{self.results!r}\n{self.coverage}"


class RunAnswer:
    """What a child Run came to: answer (str(x) is the same), refs and quotes (checked), run (its id)."""

    of_rlm_mcp = True

    def __init__(self, answer: str, refs: "list[str]", quotes: "list[str]", run: str) -> None:
        self.answer = answer
        self.refs = refs
        self.quotes = quotes
        self.run = run

    def __str__(self) -> str:
        return self.answer

    def __repr__(self) -> str:
        return repr(self.answer)

    def __eq__(self, other: object) -> bool:
        return bool(self.answer == (other.answer if isinstance(other, RunAnswer) else other))

    def __hash__(self) -> int:
        return hash(self.answer)

    def __len__(self) -> int:
        return len(self.answer)

    def __iter__(self) -> Any:
        return iter(self.answer)

    def __contains__(self, part: Any) -> bool:
        return part in self.answer

    def __getitem__(self, place: Any) -> Any:
        return self.answer[place]

    def __add__(self, other: Any) -> Any:
        return self.answer + str(other)

    def __radd__(self, other: Any) -> Any:
        return other + self.answer


class Models:
    """The functions of a Cell that ask other models."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def llm_query(
        self, prompt: str, *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> Any:
        """Ask a sub-LM once."""
        asked = {"model": model, "system": system, "max_tokens": max_tokens, "schema": as_schema(schema)}
        found = self._all([as_prompt(prompt)], asked)[0]
        if isinstance(found, Failed):
            raise RuntimeError(f"{found.error}: {found.message}")
        return found

    def llm_query_batched(
        self, prompts: Any, *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> Answers:
        """Ask a sub-LM many prompts at once."""
        asked = {"model": model, "system": system, "max_tokens": max_tokens, "schema": as_schema(schema)}
        if isinstance(prompts, str):
            raise TypeError("prompts is a list of str; llm_query asks one")
        return Answers(self._all([as_prompt(prompt) for prompt in prompts], asked))

    def llm_map(  # noqa: PLR0913  # what a map can be told
        self,
        items: Any,
        prompt: str,
        *,
        schema: Any = None,
        fallback: Any = MISSING,
        model: str = "",
        system: str = "",
        max_tokens: int = 2_048,
    ) -> Answers:
        """Ask the same of every item."""
        asked = {"model": model, "system": system, "max_tokens": max_tokens, "schema": as_schema(schema)}
        if isinstance(items, str):
            raise TypeError("items is a list; a str would be asked character by character")
        asked["prompt"] = as_prompt(prompt)
        texts = [as_text(item) for item in items]
        results: list[Any] = []
        coverage = {"items": len(texts), "answered": 0, "repaired": 0, "fallback": 0, "failed": 0}
        for found in self._parts("llm_map", "items", texts, asked):
            results += [as_value(one) for one in found["results"]]
            counted = found.get("coverage", {})
            coverage["answered"] += counted.get("answered", 0)
            coverage["repaired"] += counted.get("repaired", 0)
        missing = len([one for one in results if isinstance(one, Failed)])
        if fallback is MISSING:
            coverage["failed"] = missing
        else:
            coverage["fallback"] = missing
            results = [fallback if isinstance(one, Failed) else one for one in results]
        return Answers(results, coverage)

    def rlm_query(self, question: str, context: Any = None) -> RunAnswer:
        """Ask a child Run."""
        found = self.rlm_query_batched([(question, context)])[0]
        if not isinstance(found, RunAnswer):
            raise RuntimeError(f"{found.error}: {found.message}")
        return found

    def rlm_query_batched(self, asked: Any) -> Answers:
        """Ask many child Runs."""
        if isinstance(asked, str):
            raise TypeError("asked is a list of questions, or of (question, context) pairs; rlm_query asks one")
        rows = [self._row(one) for one in asked]
        if not rows:
            return Answers([])
        return Answers(
            [
                RunAnswer(one["answer"], one["refs"], one["quotes"], one["run"]) if "answer" in one else as_value(one)
                for one in self._host.ask("rlm_query", {"asked": rows})
            ]
        )

    def _row(self, one: Any) -> "dict[str, Any]":
        if isinstance(one, str):
            question, context = one, None
        elif isinstance(one, dict):
            question, context = one["question"], one.get("context")
        else:
            question, context = one
        if isinstance(context, (list, tuple)):
            context = [self._given(as_text(part)) for part in context]
        elif context is not None:
            context = self._given(as_text(context))
        return {"question": as_prompt(question), "context": context}

    def _given(self, text: str) -> Any:
        """A text for a child; a long one goes ahead in pieces."""
        if len(text) <= INLINE_CHARS:
            return text
        number = None
        for start in range(0, len(text), PIECE_CHARS):
            number = self._host.ask("give", {"text": text[start : start + PIECE_CHARS], "number": number})
        return {"given": number}

    def _all(self, texts: "list[str]", asked: "dict[str, Any]") -> "list[Any]":
        found: list[Any] = []
        for part in self._parts("llm_query", "prompts", texts, asked):
            found += [as_value(one) for one in part["results"]]
        return found

    def _parts(self, name: str, kind: str, texts: "list[str]", asked: "dict[str, Any]") -> "list[Any]":
        """The host's answers to as many calls as the texts need; once it asks no more, nothing more is sent."""
        found: list[Any] = []
        start = 0
        while start < len(texts):
            end, chars = start, 0
            while end < len(texts) and (end == start or chars + len(json.dumps(texts[end])) <= BATCH_CHARS):
                chars += len(json.dumps(texts[end]))
                end += 1
            arguments = dict(asked)
            arguments[kind] = texts[start:end]
            if kind == "items":
                arguments["first"] = start
            part = self._host.ask(name, arguments)
            found.append(part)
            start = end
            if part["over"] is not None:
                found.append({"results": [part["over"]] * (len(texts) - end)})
                start = len(texts)
        return found


def as_schema(schema: Any) -> str:
    """A JSON schema as text; empty without."""
    return "" if schema is None else json.dumps(schema)


def as_value(one: "dict[str, Any]") -> Any:
    """What the host says of one prompt."""
    return Failed(one["error"], one["message"], one.get("partial", "")) if "error" in one else one["value"]


def as_prompt(value: Any) -> str:
    """A prompt, if it is one."""
    if isinstance(value, Failed):
        raise RuntimeError(f"{value.error}: {value.message}")
    if isinstance(value, RunAnswer):
        return value.answer
    if not isinstance(value, str):
        raise TypeError(f"a prompt is a str, not {type(value).__name__}")
    return value


def as_text(value: Any) -> str:
    """A value as a model reads it: text as it is, what has a text by that, JSON values as JSON."""
    if isinstance(value, (str, Failed, RunAnswer)):
        return as_prompt(value)
    text = getattr(value, "text", None)
    return text if isinstance(text, str) else json.dumps(value)
