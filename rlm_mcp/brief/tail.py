"""The tail: the latest messages of a Window, kept verbatim behind the Brief. Pure.

A tail never parts a call from its result, never begins inside an exchange, and holds no earlier Brief. Huge texts in
it are cut and say where the whole can be read; the user's prompt at the very end always comes through whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rlm_mcp.brief.render import FIRST_LINE
from rlm_mcp.text import cut, estimate_tokens

WITHOUT_TEXT = "[a message without text, such as an image]"

_SHARE = 4
"""No single text takes more than this part of the budget."""
_CHARS_PER_TOKEN = 4
_LEAST_CHARS = 400
_MESSAGE_TOKENS = 4
"""What a message costs beside its texts."""


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool call."""

    call_id: str
    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What the model was shown of a call's outcome."""

    call_id: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the Window."""

    role: Role
    text: str = ""
    uses: tuple[ToolUse, ...] = ()
    results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs:
    """Where the whole of a cut text can be read: each gives a printed Ref, or '' where no Event holds it."""

    of_call: Callable[[str], str]
    """By call id."""
    of_result: Callable[[str], str]
    """By call id."""
    of_reply: Callable[[str], str]
    """By the reply's whole text."""


def select_tail(messages: Sequence[Message], max_tokens: int, refs: Refs) -> tuple[Message, ...]:
    """The latest messages within about ``max_tokens``, oldest first, ready to stand behind a Brief.

    A prompt at the very end is taken whole, whatever its size, and is not counted.
    """
    pairs = _only_pairs([each for each in messages if not each.text.startswith(FIRST_LINE)])
    pending: list[Message] = []
    while pairs and _is_prompt(pairs[-1]):
        pending.insert(0, pairs.pop())
    kept: list[Message] = []
    room = max_tokens
    units = _units(pairs)
    while units and room > 0:
        unit = [_cut(message, max_tokens // _SHARE, refs) for message in units.pop()]
        price = sum(map(_tokens, unit))
        if price > room and kept:
            break
        if price > room:  # the newest exchange alone is too large: shrink its texts until it fits, or leave it out
            unit = _shrink(unit, room, refs)
            if sum(map(_tokens, unit)) > room:
                break
        room -= sum(map(_tokens, unit))
        kept[:0] = unit
    return tuple(_merge([*kept, *pending]))


def _is_prompt(message: Message) -> bool:
    return message.role is Role.USER and not message.results


def _only_pairs(messages: Sequence[Message]) -> list[Message]:
    """Without calls that have no result after them, results that have no call before them, and empty messages."""
    asked: dict[str, int] = {}
    answered: dict[str, int] = {}
    for number, message in enumerate(messages):
        for use in message.uses:
            asked.setdefault(use.call_id, number)
        for result in message.results:
            if asked.get(result.call_id, number) < number:
                answered.setdefault(result.call_id, number)
    kept = []
    for number, message in enumerate(messages):
        uses = tuple(use for use in message.uses if use.call_id in answered and asked[use.call_id] == number)
        results = tuple(result for result in message.results if answered.get(result.call_id) == number)
        if message.text.strip() or uses or results:
            kept.append(replace(message, uses=uses, results=results))
        elif message.role is Role.USER and not message.results:
            kept.append(replace(message, text=WITHOUT_TEXT))
    return kept


def _units(messages: Sequence[Message]) -> list[list[Message]]:
    """Runs of messages that must stay together: a reply with its calls, to the last of their results.

    Within one: what the model said and called, then the results, then what the user said meanwhile; the API wants
    every result in the message right after its call.
    """
    units: list[list[Message]] = []
    waiting: set[str] = set()
    after_reply = False
    for message in messages:
        if waiting or (after_reply and message.role is Role.ASSISTANT):
            units[-1].append(message)
        else:
            units.append([message])
        waiting |= {use.call_id for use in message.uses}
        waiting -= {result.call_id for result in message.results}
        after_reply = message.role is Role.ASSISTANT and not waiting
    return [sorted(unit, key=_place) for unit in units]


def _place(message: Message) -> int:
    if message.role is Role.ASSISTANT:
        return 0
    return 1 if message.results else 2


def _cut(message: Message, most_tokens: int, refs: Refs) -> Message:
    """``message`` with every text of more than ``most_tokens`` cut; a user's own words stay whole."""
    chars = max(_LEAST_CHARS, most_tokens * _CHARS_PER_TOKEN)
    is_long_reply = message.role is Role.ASSISTANT and len(message.text) > chars
    return replace(
        message,
        text=cut(message.text, chars, refs.of_reply(message.text)) if is_long_reply else message.text,
        uses=tuple(replace(use, arguments=_cut_arguments(use, chars, refs)) for use in message.uses),
        results=tuple(
            replace(result, text=cut(result.text, chars, refs.of_result(result.call_id)))
            if len(result.text) > chars
            else result
            for result in message.results
        ),
    )


def _cut_arguments(use: ToolUse, chars: int, refs: Refs) -> Mapping[str, object]:
    if len(json.dumps(use.arguments, default=str)) <= chars:
        return use.arguments
    ref = refs.of_call(use.call_id)
    each = max(_LEAST_CHARS, chars // max(1, len(use.arguments)))
    return {name: _cut_value(value, each, ref) for name, value in use.arguments.items()}


def _cut_value(value: object, chars: int, ref: str) -> object:
    if isinstance(value, str):
        return cut(value, chars, ref)
    if len(json.dumps(value, default=str)) <= chars:
        return value
    if isinstance(value, Mapping):
        return {name: _cut_value(inner, max(_LEAST_CHARS, chars // len(value)), ref) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [_cut_value(inner, max(_LEAST_CHARS, chars // len(value)), ref) for inner in value]
    return value


def _shrink(unit: Sequence[Message], room: int, refs: Refs) -> list[Message]:
    texts = sum(len(message.uses) + len(message.results) + bool(message.text) for message in unit)
    most = max(1, room // max(1, texts))
    shrunk = [_cut(message, most, refs) for message in unit]
    if sum(map(_tokens, shrunk)) > room:
        shrunk = [_cut(message, most // 2, refs) for message in unit]
    return shrunk


def _tokens(message: Message) -> int:
    texts = [message.text] if message.text else []
    texts += [f"{use.tool} {json.dumps(use.arguments, ensure_ascii=False, default=str)}" for use in message.uses]
    texts += [result.text for result in message.results]
    return _MESSAGE_TOKENS + sum(map(estimate_tokens, texts))


def _merge(messages: Sequence[Message]) -> list[Message]:
    """Neighbouring messages of the assistant as one, so that every call's result is in the very next message."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is not None and (
            (last.role is message.role is Role.ASSISTANT) or (bool(last.results) and bool(message.results))
        ):
            merged[-1] = replace(
                last,
                text="\n\n".join(text for text in (last.text, message.text) if text),
                uses=last.uses + message.uses,
                results=last.results + message.results,
            )
        else:
            merged.append(message)
    return merged
