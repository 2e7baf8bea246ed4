"""Other models as a Cell that Monty runs sees them: as ``inside.models``, in Monty's subset of Python."""

import json
from typing import Any

from rlm_mcp.sandbox.monty.inside.asking import Host

BATCH_CHARS = 3_000_000
MISSING = object


class Failed:
    """In the place of an answer that did not come: error, message. Used as text, it raises."""

    of_rlm_mcp = True

    def __init__(self, error: str, message: str) -> None:
        self.error = error
        self.message = message

    def __str__(self) -> str:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __getitem__(self, place: Any) -> Any:
        raise RuntimeError(f"{self.error}: {self.message}")

    def __repr__(self) -> str:
        return f"<Failed {self.error}: {self.message[:200]}>"


class Mapped:
    """Results of llm_map in order, one for each item; coverage counts answered, repaired, fallback and failed."""

    of_rlm_mcp = True

    def __init__(self, results: "list[Any]", coverage: "dict[str, int]") -> None:
        self.results = results
        self.coverage = coverage

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Any:
        return iter(self.results)

    def __getitem__(self, place: Any) -> Any:
        return self.results[place]

    def __repr__(self) -> str:
        return f"{self.results!r}\n{self.coverage}"


class RunAnswer:
    """What a child Run came to: answer, refs (checked), run (its id); str(x) is the answer."""

    of_rlm_mcp = True

    def __init__(self, answer: str, refs: "list[str]", run: str) -> None:
        self.answer = answer
        self.refs = refs
        self.run = run

    def __str__(self) -> str:
        return self.answer

    def __repr__(self) -> str:
        return f"{self.answer}  [{self.run}]"


class Models:
    """The functions of a Cell that ask other models."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def llm_query(
        self, prompt: str, *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> Any:
        """Ask a sub-LM once."""
        asked = {"model": model, "system": system, "max_tokens": max_tokens, "schema": as_schema(schema)}
        found = self._all("llm_query", "prompts", [as_prompt(prompt)], asked)[0]
        if isinstance(found, Failed):
            raise RuntimeError(f"{found.error}: {found.message}")
        return found

    def llm_query_batched(
        self, prompts: Any, *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> "list[Any]":
        """Ask a sub-LM many prompts at once."""
        asked = {"model": model, "system": system, "max_tokens": max_tokens, "schema": as_schema(schema)}
        return self._all("llm_query", "prompts", [as_prompt(prompt) for prompt in prompts], asked)

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
    ) -> Mapped:
        """Ask the same of every item."""
        asked = {"model": model, "system": system, "max_tokens": max_tokens, "schema": as_schema(schema)}
        asked["prompt"] = as_prompt(prompt)
        texts = [item if isinstance(item, str) else json.dumps(item) for item in items]
        results: list[Any] = []
        coverage: dict[str, int] = {}
        for found in self._parts("llm_map", "items", texts, asked):
            results += [as_value(one) for one in found["results"]]
            for name in found["coverage"]:
                coverage[name] = coverage.get(name, 0) + found["coverage"][name]
        if fallback is not MISSING:
            coverage["fallback"] = len([one for one in results if isinstance(one, Failed)])
            coverage["failed"] = coverage.get("failed", 0) - coverage["fallback"]
            results = [fallback if isinstance(one, Failed) else one for one in results]
        return Mapped(results, coverage)

    def rlm_query(self, question: str, context: Any = None) -> RunAnswer:
        """Ask a child Run."""
        found = self.rlm_query_batched([(question, context)])[0]
        if not isinstance(found, RunAnswer):
            raise RuntimeError(f"{found.error}: {found.message}")
        return found

    def rlm_query_batched(self, asked: Any) -> "list[Any]":
        """Ask many child Runs."""
        rows = []
        for one in asked:
            question, context = (one, None) if isinstance(one, str) else one
            given = context if context is None or isinstance(context, str) else [str(part) for part in context]
            rows.append({"question": as_prompt(question), "context": given})
        answers = self._host.ask("rlm_query", {"asked": rows})
        return [
            RunAnswer(one["answer"], one["refs"], one["run"])
            if "answer" in one
            else Failed(one["error"], one["message"])
            for one in answers
        ]

    def _all(self, name: str, kind: str, texts: "list[str]", asked: "dict[str, Any]") -> "list[Any]":
        found: list[Any] = []
        for part in self._parts(name, kind, texts, asked):
            found += [as_value(one) for one in part["results"]]
        return found

    def _parts(self, name: str, kind: str, texts: "list[str]", asked: "dict[str, Any]") -> "list[Any]":
        """The host's answers to as many calls as the texts need."""
        found = []
        start = 0
        while start < len(texts):
            end, chars = start, 0
            while end < len(texts) and (end == start or chars + len(texts[end]) <= BATCH_CHARS):
                chars += len(texts[end])
                end += 1
            arguments = dict(asked)
            arguments[kind] = texts[start:end]
            if kind == "items":
                arguments["first"] = start
            found.append(self._host.ask(name, arguments))
            start = end
        return found


def as_schema(schema: Any) -> str:
    """A JSON schema as text; empty without."""
    return "" if schema is None else json.dumps(schema)


def as_value(one: "dict[str, Any]") -> Any:
    """What the host says of one prompt."""
    return Failed(one["error"], one["message"]) if "error" in one else one["value"]


def as_prompt(value: Any) -> str:
    """A prompt, if it is one."""
    if not isinstance(value, str):
        raise TypeError(f"a prompt is a str, not {type(value).__name__}")
    return value
