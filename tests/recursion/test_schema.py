"""rlm_mcp.recursion.schema: answers are checked as JSON Schema says; what could harm this process is refused."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.errors import QueryError
from rlm_mcp.recursion.schema import check_schema, parsed

_PLAIN = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3, width=16) | st.sampled_from(["", "a", "bc"])
_VALUES = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    kinds = st.sampled_from(["null", "boolean", "string", "number", "integer", "array", "object"])
    number = st.integers(-2, 3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kinds | st.lists(kinds, min_size=1, max_size=3, unique=True),
            "enum": st.lists(_VALUES, min_size=1, max_size=3),
            "const": _VALUES,
            "minimum": number,
            "maximum": number,
            "exclusiveMinimum": number,
            "exclusiveMaximum": number,
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 3),
            "minItems": st.integers(0, 3),
            "maxItems": st.integers(0, 3),
            "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "title": st.just("of no matter"),
        },
    )


_SCHEMAS = st.recursive(st.booleans() | _schemas(st.booleans()), _schemas, max_leaves=4)


@given(_SCHEMAS, _VALUES)
def test_a_value_fits_exactly_where_json_schema_says_so(schema: Any, value: Any) -> None:
    """Compared with the reference implementation."""
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    check_schema(json.dumps(schema))
    found, complaint = parsed(json.dumps(value), json.dumps(schema))
    assert (complaint == "") == expected, complaint
    assert found == value


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/x"}, {"$ref": "#"}, {"pattern": "(a+)+$"}, {"patternProperties": {"(a+)+$": {}}},
        {"format": "email"}, {"uniqueItems": True}, {"type": "text"}, {"type": []}, {"type": 5}, {"minimum": "1"},
        {"minimum": True}, {"required": "a"}, {"required": [1]}, {"properties": []}, {"items": [{}]}, {"anyOf": []},
        {"anyOf": {}}, {"enum": "ab"}, {"properties": {"a": {"$ref": "#"}}}, {"not": {"typo": 1}}, [], 5, "text", None,
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_checked_is_refused(schema: Any) -> None:
    """References, patterns, what is not known, and what is none."""
    with pytest.raises(QueryError):
        check_schema(json.dumps(schema))


@pytest.mark.parametrize("schema", ["{", "NaN", "[" * 100_000, '{"enum": [' + "1," * 60_000 + "1]}"])
def test_what_is_no_schema_at_all_is_refused(schema: str) -> None:
    """Broken, deep and giant texts."""
    with pytest.raises(QueryError):
        check_schema(schema)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('  \n{"a": 1}\n ', {"a": 1}),
        ('```\n{"a": 1}\n```', {"a": 1}),
    ],
)
def test_a_fence_around_a_value_is_forgiven(text: str, value: Any) -> None:
    """Models like them."""
    assert parsed(text, "{}") == (value, "")


@pytest.mark.parametrize("text", ["", "yes", "{'a': 1}", "NaN", "Infinity", "[1,]", "[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    """With a reason."""
    _value, complaint = parsed(text, "{}")
    assert complaint.startswith("not JSON")


def test_complaints_say_what_and_where() -> None:
    """So that a model can mend it."""
    schema = json.dumps(
        {"properties": {"rows": {"items": {"required": ["n"], "properties": {"n": {"type": "integer"}}}}}}
    )
    assert parsed('{"rows": [{"n": 1}, {"n": "x"}]}', schema)[1] == '"x" at $.rows[1].n is not of type integer'
    assert parsed('{"rows": [{}]}', schema)[1] == "'n' is missing at $.rows[0]"
    assert parsed('"maybe"', '{"enum": ["yes", "no"]}')[1] == '"maybe" at $ is not one of ["yes", "no"]'


_K = '{"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]}'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Here you go: {"k": 1}', {"k": 1}),
        ('As [1] says:\n```json\n{"k": 1}\n```\nI hope that helps [2].', {"k": 1}),
        ('{"k": 1}\n\nThat is, {"k": 1.0}.', {"k": 1}),
        ('So: {"k": 1, "more": {"k": 2}}', {"k": 1, "more": {"k": 2}}),
    ],
)
def test_the_one_value_among_words_is_taken(text: str, value: Any) -> None:
    """It was paid for; asking again would cost as much."""
    assert parsed(text, _K) == (value, "")


@pytest.mark.parametrize(
    "text",
    [
        'First {"k": 2}, no: {"k": 1}',
        'So: {"rows": {"k": 1}, "more": {"k',
        "So: [1, 2]",
        'So: {"k": "1"}',
        "k is 1",
        "[ " * 1_000 + '{"k": 1}',
        '{"a":' * 50_000,
    ],
)
def test_what_is_meant_is_never_guessed(text: str) -> None:
    """Not among several values, not in the rest of a broken one, not of another type."""
    value, complaint = parsed(text, _K)
    assert complaint
    assert value in (None, {"k": "1"})
