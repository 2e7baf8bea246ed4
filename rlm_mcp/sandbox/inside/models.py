"""Other models as a Cell sees them. A failure is an exception, or (in a batch) an object that is no text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Self

from rlm_mcp.sandbox.inside.asking import Host, HostError

_BATCH_BYTES = 3_000_000
"""Sent in one frame; a longer batch goes in several, a longer text for a child in pieces."""
_INLINE_CHARS = 64_000
"""A longer text for a child is looked for in what the host knows."""
_HEAD_CHARS = 200
_MOST_LOOKS = 1_000
_MISSING = object()

Known = Callable[[], Iterable[tuple[dict[str, Any], str]]]
"""Texts that the host can find by place, with that place."""


class SubLMFailed(RuntimeError):
    """Another model could not be asked, or did not answer: ``error`` names the kind.

    ``Cut``: the answer was cut at ``max_tokens``; ``partial`` is what came of it.
    """

    __module__ = "builtins"

    def __init__(self, error: str, message: str, partial: str = "") -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.message = message
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        return SubLMFailed, (self.error, self.message, self.partial)


class Failed:
    """In the place of an answer that did not come: ``error``, ``message``. Used as text, it raises SubLMFailed.

    ``partial``: what came of one that was cut.
    """

    __slots__ = ("error", "message", "partial")

    def __init__(self, error: str, message: str, partial: str = "") -> None:
        self.error = error
        self.message = message
        self.partial = partial

    @property
    def raised(self) -> SubLMFailed:
        """The same as an exception."""
        return SubLMFailed(self.error, self.message, self.partial)

    def _raise(self, *_given: object, **_named: object) -> NoReturn:
        raise self.raised

    __str__ = __repr__ = __format__ = __bytes__ = __len__ = __iter__ = __contains__ = __getitem__ = __hash__ = _raise
    __add__ = __radd__ = __iadd__ = __mul__ = __rmul__ = __mod__ = __rmod__ = __sub__ = __rsub__ = __neg__ = _raise
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __int__ = __float__ = __index__ = _raise
    __call__ = __reversed__ = __round__ = __fspath__ = __complex__ = __abs__ = _raise

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.raised

    def __reduce__(self) -> tuple[Any, ...]:
        return Failed, (self.error, self.message, self.partial)


class Answers(list[Any]):
    """Answers in order, a Failed in the place of each that did not come.

    ``failed`` (number -> why) and ``came`` (number -> answer) tell them apart; shown or used as text while one is
    missing, it raises SubLMFailed.
    """

    @property
    def failed(self) -> dict[int, str]:
        """Why those are missing that are."""
        return {number: f"{one.error}: {one.message}" for number, one in enumerate(self) if isinstance(one, Failed)}

    @property
    def came(self) -> dict[int, Any]:
        """Those that are there."""
        return {number: one for number, one in enumerate(self) if not isinstance(one, Failed)}

    def __repr__(self) -> str:
        failed = [one for one in self if isinstance(one, Failed)]
        if failed:
            raise SubLMFailed(
                failed[0].error,
                f"{failed[0].message} ({len(failed):,} of {len(self):,} are missing; see .failed and .came)",
            )
        return super().__repr__()


class Mapped(Answers):
    """Results of llm_map in order, one for each item; ``coverage`` counts answered, repaired, fallback and failed."""

    def __init__(self, results: Iterable[Any], coverage: Mapping[str, int]) -> None:
        super().__init__(results)
        self.coverage = dict(coverage)

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n{self.coverage}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Mapped, (list(self), self.coverage)


class RunAnswer(str):  # noqa: SLOT000  # a class made in the Jail
    """What a child Run came to, as text; ``refs`` and ``quotes``: what proves it, checked; ``run``: its id."""

    refs: list[str]
    quotes: list[str]
    run: str

    def __new__(cls, answer: str, refs: Sequence[str], quotes: Sequence[str], run: str) -> Self:
        """Made of the host's entry."""
        made = super().__new__(cls, answer)
        made.refs, made.quotes, made.run = list(refs), list(quotes), run
        return made

    @property
    def answer(self) -> str:
        """The text alone."""
        return str.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return RunAnswer, (self.answer, self.refs, self.quotes, self.run)


class Models:
    """The functions of a Cell that ask other models."""

    def __init__(self, host: Host, known: Known = tuple) -> None:
        self._host = host
        self._known = known
        self._found_at: tuple[str, int] = ("", 0)
        """What the last text for a child was a part of, and where that part ended."""

    def names(self) -> dict[str, Any]:
        """Name -> function, or what tells failures apart."""
        return {
            "llm_query": self.llm_query,
            "llm_query_batched": self.llm_query_batched,
            "llm_map": self.llm_map,
            "rlm_query": self.rlm_query,
            "rlm_query_batched": self.rlm_query_batched,
            "Failed": Failed,
            "SubLMFailed": SubLMFailed,
        }

    def llm_query(
        self, prompt: str, *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> Any:
        """Ask a sub-LM once: its answer as text; with a JSON ``schema`` as a checked value. Raises SubLMFailed."""
        asked = _asked(model=model, system=system, max_tokens=max_tokens, schema=schema)
        (found,) = self._all([_prompt(prompt)], asked)
        if isinstance(found, Failed):
            raise found.raised
        return found

    def llm_query_batched(
        self, prompts: Iterable[str], *, model: str = "", system: str = "", max_tokens: int = 2_048, schema: Any = None
    ) -> Answers:
        """Ask a sub-LM many prompts at once: answers in order; a Failed in the place of one that did not come."""
        asked = _asked(model=model, system=system, max_tokens=max_tokens, schema=schema)
        if isinstance(prompts, str):
            raise TypeError("prompts is a list of str; llm_query asks one")
        return Answers(self._all([_prompt(prompt) for prompt in prompts], asked))

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
        if isinstance(items, str):
            raise TypeError("items is a list; a str would be asked character by character")
        texts = [as_text(item, f"item {number}") for number, item in enumerate(items)]
        asked["prompt"] = _prompt(prompt)
        results: list[Any] = []
        coverage = {"items": len(texts), "answered": 0, "repaired": 0, "fallback": 0, "failed": 0}
        for found in self._parts("llm_map", "items", texts, asked):
            results += [_value(one) for one in found["results"]]
            for name in ("answered", "repaired"):
                coverage[name] += found.get("coverage", {}).get(name, 0)
        missing = sum(isinstance(one, Failed) for one in results)
        if fallback is _MISSING:
            coverage["failed"] = missing
        else:
            coverage["fallback"] = missing
            results = [fallback if isinstance(one, Failed) else one for one in results]
        return Mapped(results, coverage)

    def rlm_query(self, question: str, context: Any = None) -> RunAnswer:
        """Ask a child Run with a REPL of its own; ``context`` (str, list of str, document ...) is its ``context``.

        Without one it looks at what you look at. Slices of ``context`` cost nothing to give. Its answer is a str with
        ``refs`` and ``quotes``. Raises SubLMFailed.
        """
        (found,) = self.rlm_query_batched([(question, context)])
        if isinstance(found, Failed):
            raise found.raised
        return found  # type: ignore[no-any-return]  # no other kind is in there

    def rlm_query_batched(self, asked: Iterable[Any]) -> Answers:
        """Ask many child Runs at once: questions, or (question, context) pairs; answers in order, or a Failed."""
        if isinstance(asked, str):
            raise TypeError("asked is a list of questions, or of (question, context) pairs; rlm_query asks one")
        rows = [self._row(one) for one in asked]
        if not rows:
            return Answers()
        answers = self._ask("rlm_query", asked=rows)
        return Answers(
            RunAnswer(one["answer"], one["refs"], one["quotes"], one["run"]) if "answer" in one else _value(one)
            for one in answers
        )

    def _row(self, one: Any) -> dict[str, Any]:
        if isinstance(one, str):
            question, context = one, None
        elif isinstance(one, Mapping):
            question, context = one["question"], one.get("context")
        else:
            question, context = one
        return {"question": _prompt(question), "context": self._context(context)}

    def _context(self, context: Any) -> Any:
        """As the host takes it: parts of what it knows by place, all else as text."""
        if context is None:
            return None
        if isinstance(context, list | tuple):
            return [self._placed(as_text(part, f"part {number}")) for number, part in enumerate(context)]
        return self._placed(as_text(context, "context"))

    def _placed(self, text: str) -> Any:
        if len(text) <= _INLINE_CHARS:
            return text
        for place, whole in self._known():
            start = self._find(whole, text)
            if start >= 0:
                self._found_at = (whole, start + len(text))
                first = _bytes(whole[:start]) if start else 0
                return {**place, "start": first, "end": first + _bytes(text)}
        number = None
        for piece in _pieces(text):
            number = self._ask("give", text=piece, number=number)
        return {"given": number}

    def _find(self, whole: str, text: str) -> int:
        """Where the text stands in what the host knows; -1 for nowhere. Slices in order are found at once."""
        last, end = self._found_at
        if whole is last and whole.startswith(text, end):
            return end
        if len(text) == len(whole):
            return 0 if text == whole else -1
        at = whole.find(text[:_HEAD_CHARS])
        for _look in range(_MOST_LOOKS):
            if at < 0 or whole.startswith(text, at):
                return at
            at = whole.find(text[:_HEAD_CHARS], at + 1)
        return -1

    def _all(self, texts: list[str], asked: dict[str, Any]) -> list[Any]:
        return [_value(one) for found in self._parts("llm_query", "prompts", texts, asked) for one in found["results"]]

    def _parts(self, name: str, kind: str, texts: list[str], asked: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The host's answers to as many frames as the texts need; once it asks no more, nothing more is sent."""
        start = 0
        while start < len(texts):
            end, size = start, 0
            while end < len(texts) and (end == start or size + _frame_bytes(texts[end]) <= _BATCH_BYTES):
                size += _frame_bytes(texts[end])
                end += 1
            place = {"first": start} if kind == "items" else {}
            found = self._ask(name, **{kind: texts[start:end]}, **place, **asked)
            yield found
            start = end
            if found["over"] is not None:
                yield {"results": [found["over"]] * (len(texts) - end)}
                return

    def _ask(self, name: str, **arguments: Any) -> Any:
        try:
            return self._host.ask(name, **arguments)
        except HostError as error:
            raise SubLMFailed(error.kind, str(error)) from None


def as_text(value: Any, what: str) -> str:
    """A value as a model reads it: text as it is, what has a ``text`` by that, JSON values as JSON.

    Raises:
        TypeError: it is nothing of that kind.
        SubLMFailed: it is, or holds, an answer that did not come.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Failed):
        raise value.raised
    text = getattr(value, "text", None)
    if isinstance(text, str):
        return text
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except ValueError as error:  # it holds itself
        raise TypeError(f"{what} cannot be given to a model: {error}") from error
    except TypeError as error:
        raise TypeError(f"{what} cannot be given to a model ({error}); give a str or a JSON value") from None


def _plain(value: Any) -> str:
    """Something within a JSON value: what has a text, and what a str stands for, as a date."""
    if isinstance(value, Failed):
        raise value.raised
    text = getattr(value, "text", None)
    if isinstance(text, str):
        return text
    if type(value).__str__ is object.__str__:  # type: ignore[comparison-overlap]  # of a class without its own
        raise TypeError(f"{type(value).__name__} is no text and no JSON")
    return str(value)


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces that each fit a frame."""
    for start in range(0, len(text), _BATCH_BYTES // 6):
        yield text[start : start + _BATCH_BYTES // 6]


def _bytes(text: str) -> int:
    """Of a text as UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _frame_bytes(text: str) -> int:
    """Of a text in a frame, escapes and all."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))


def _asked(**given: Any) -> dict[str, Any]:
    schema = given.pop("schema")
    return {**given, "schema": "" if schema is None else json.dumps(schema)}


def _value(one: Mapping[str, Any]) -> Any:
    return Failed(one["error"], one["message"], one.get("partial", "")) if "error" in one else one["value"]


def _prompt(value: Any) -> str:
    if isinstance(value, Failed):
        raise value.raised
    if not isinstance(value, str):
        raise TypeError(f"a prompt is a str, not {type(value).__name__}")
    return value
