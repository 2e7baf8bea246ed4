"""JSON schemas of answers: as much of JSON Schema (draft 2020-12) as a reply of a model needs, and no more.

A schema comes from model-written code, so nothing of it may make this process work without bound or reach out: no
references, no regular expressions. What is not known here is refused, never passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rlm_mcp.errors import QueryError

_MOST_CHARS = 100_000
_MOST_LOOKS = 200
"""Brackets in prose that are looked behind for a value."""
_SHOWN_CHARS = 120
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: _is_number(value),  # noqa: PLW0108  # it stands below
    "integer": lambda value: _is_number(value) and value == int(value),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_BOUNDS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any], Any], Callable[[Any, Any], bool], str]] = {
    "minimum": (_TYPES["number"], lambda value: value, lambda value, bound: value >= bound, "is below"),
    "maximum": (_TYPES["number"], lambda value: value, lambda value, bound: value <= bound, "is above"),
    "exclusiveMinimum": (_TYPES["number"], lambda value: value, lambda value, bound: value > bound, "is not above"),
    "exclusiveMaximum": (_TYPES["number"], lambda value: value, lambda value, bound: value < bound, "is not below"),
    "minLength": (_TYPES["string"], len, lambda value, bound: value >= bound, "has fewer characters than"),
    "maxLength": (_TYPES["string"], len, lambda value, bound: value <= bound, "has more characters than"),
    "minItems": (_TYPES["array"], len, lambda value, bound: value >= bound, "has fewer items than"),
    "maxItems": (_TYPES["array"], len, lambda value, bound: value <= bound, "has more items than"),
}
"""Keyword -> what it is about, what of it is compared, how, and what is wrong where it does not hold."""
_OPENING = re.compile(r"[\[{]")
_BEGINNING = re.compile(r"""\{\s*["'\w]|\[\s*[\[{"']""")
"""How an object or array begins that is meant as one."""
_LISTS = ("anyOf", "oneOf", "allOf")
_ABOUT = frozenset({"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"})
_KNOWN = (
    "type", "enum", "const", "properties", "required", "additionalProperties", "items", *_BOUNDS, *_LISTS, "not",
)  # fmt: skip


def check_schema(text: str) -> str:
    """The schema, if it is one that can be checked here.

    Raises:
        QueryError: it is not; the message says where and what to do.
    """
    if len(text) > _MOST_CHARS:
        raise QueryError(f"a schema of {len(text):,} characters; at most {_MOST_CHARS:,}")
    try:
        for complaint in _complaints_of_schema(json.loads(text), "schema"):
            raise QueryError(complaint)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"schema {text[:_SHOWN_CHARS]!r} is no JSON schema ({error})") from error
    return text


def parsed(text: str, schema: str, *, is_cut: bool = False) -> tuple[Any, str]:
    """The JSON value of a reply, and what is wrong with it (empty where nothing is).

    A fence around it is forgiven, and so are words, where one array or object alone stands among them, unless the
    reply was cut: what was still to come is not known.
    """
    asked = json.loads(schema)
    try:
        value = _value(text.strip(), asked, is_cut=is_cut)
        complaint = next(_complaints(value, asked, "$"), "")
    except (ValueError, RecursionError) as error:
        return None, f"not JSON ({error})"
    return value, complaint


def _value(said: str, schema: Any, *, is_cut: bool) -> Any:
    """The value that is meant; raises as ``json.loads`` does."""
    if said.startswith("```") and said.endswith("```") and "\n" in said:
        said = said[said.index("\n") + 1 : -3]
    try:
        return json.loads(said, parse_constant=_no_constant)
    except ValueError:
        kinds = {"type": schema["type"]} if isinstance(schema, dict) and "type" in schema else {}
        found = [] if is_cut else [value for value in _values_in(said) if _fits(value, kinds)]
        if not found:
            raise
    if not all(_is_same(value, found[0]) for value in found):
        raise ValueError(f"{len(found)} different values stand in the reply; give one")
    return found[0]


def _values_in(said: str) -> Iterator[Any]:
    """Arrays and objects that stand in prose, none within another; raises ValueError where one is broken."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    at, looks = 0, 0
    while opening := _OPENING.search(said, at):
        looks += 1
        if looks > _MOST_LOOKS:
            raise ValueError(f"more than {_MOST_LOOKS} brackets")
        try:
            value, at = decoder.raw_decode(said, opening.start())
        except ValueError:
            if _BEGINNING.match(said, opening.start()):
                raise  # what stands within it is not what was meant
            at = opening.end()
        else:
            yield value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _complaints(value: Any, schema: Any, place: str) -> Iterator[str]:
    """What is wrong with a value, the first thing first."""
    if isinstance(schema, bool):
        if not schema:
            yield f"{_shown(value)} at {place} is not allowed"
        return
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_TYPES[kind](value) for kind in kinds):
            yield f"{_shown(value)} at {place} is not of type {' or '.join(kinds)}"
    if "enum" in schema and not any(_is_same(value, one) for one in schema["enum"]):
        yield f"{_shown(value)} at {place} is not one of {_shown(schema['enum'])}"
    if "const" in schema and not _is_same(value, schema["const"]):
        yield f"{_shown(value)} at {place} is not {_shown(schema['const'])}"
    for name, (is_about, measure, holds, what) in _BOUNDS.items():
        if name in schema and is_about(value) and not holds(measure(value), schema[name]):
            yield f"{_shown(value)} at {place} {what} {schema[name]}"
    if isinstance(value, dict):
        yield from _of_object(value, schema, place)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from _complaints(item, schema["items"], f"{place}[{number}]")
    yield from _of_lists(value, schema, place)


def _of_object(value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{name!r} is missing at {place}"
    for name, item in value.items():
        if name in properties:
            yield from _complaints(item, properties[name], f"{place}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{name!r} at {place} is not expected"
        elif "additionalProperties" in schema:
            yield from _complaints(item, schema["additionalProperties"], f"{place}.{name}")


def _of_lists(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    for one in schema.get("allOf", ()):
        yield from _complaints(value, one, place)
    for name in ("anyOf", "oneOf"):
        if name in schema:
            fitting = sum(_fits(value, one) for one in schema[name])
            if not fitting or (name == "oneOf" and fitting > 1):
                yield f"{_shown(value)} at {place} fits {fitting} of the schemas of {name}"
    if "not" in schema and _fits(value, schema["not"]):
        yield f"{_shown(value)} at {place} fits what it must not"


def _fits(value: Any, schema: Any) -> bool:
    return next(_complaints(value, schema, ""), "") == ""


def _complaints_of_schema(schema: Any, place: str) -> Iterator[str]:
    """What is wrong with a schema."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield f"{place} is {_shown(schema)}; a schema is an object"
        return
    for name, value in schema.items():
        if name in _ABOUT:
            continue
        if name not in _KNOWN:
            yield f"{name!r} at {place} is not known; known: {', '.join(_KNOWN)}. Check the rest in code"
        elif not _is_well(name, value):
            yield f"{name!r} at {place} cannot be {_shown(value)}"
        elif name in _LISTS:
            for number, one in enumerate(value):
                yield from _complaints_of_schema(one, f"{place}.{name}[{number}]")
        elif name == "properties":
            for key, one in value.items():
                yield from _complaints_of_schema(one, f"{place}.{key}")
        elif name in {"items", "additionalProperties", "not"}:
            yield from _complaints_of_schema(value, f"{place}.{name}")


def _is_well(name: str, value: Any) -> bool:
    """Whether a keyword may have that value, but for the schemas in it."""
    if name == "type":
        kinds = [value] if isinstance(value, str) else value
        return isinstance(kinds, list) and bool(kinds) and all(isinstance(k, str) and k in _TYPES for k in kinds)
    if name in _BOUNDS:
        return _is_number(value)
    if name in {"enum", "required"}:
        return isinstance(value, list) and (name == "enum" or all(isinstance(one, str) for one in value))
    if name in _LISTS:
        return isinstance(value, list) and bool(value)
    return name != "properties" or isinstance(value, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) != float("inf")


def _is_same(value: Any, other: Any) -> bool:
    """Whether two JSON values are equal: ``1`` is ``1.0``, and ``true`` is no number."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_is_same, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_is_same(value[key], other[key]) for key in value)
    return bool(value == other)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
