"""rlm_mcp.server.schemas: what stands in the model's window, and how arguments are checked."""

import json

import pytest

from rlm_mcp.errors import QueryError
from rlm_mcp.server.schemas import INSTRUCTIONS, TOOLS, checked

SEARCH, READ, REPL, _LOAD, _ASK, _JOB, BRIEF, STATUS = TOOLS


def test_the_instructions_are_short_and_name_every_tool() -> None:
    """Under 1,200 characters, and a model learns from them what each tool is for."""
    assert len(INSTRUCTIONS) < 1_200
    for tool in TOOLS:
        assert f"`{tool.name}`" in INSTRUCTIONS


def test_the_schemas_are_closed_and_name_only_their_arguments() -> None:
    """No argument is accepted that the schema does not show; all of them together stay far below 8 KB."""
    for tool in TOOLS:
        schema = tool.schema()
        assert schema["additionalProperties"] is False
        assert set(schema.get("required", [])) <= set(schema["properties"])
    assert len(json.dumps([(tool.name, tool.description, tool.schema()) for tool in TOOLS])) < 5_000


def test_arguments_come_back_with_their_types() -> None:
    """What is absent or null is left to the verb's default; numbers written as text count as numbers."""
    assert checked(SEARCH, {"query": "x", "max_tokens": "500", "offset": 3.0, "kind": None}) == {
        "query": "x",
        "max_tokens": 500,
        "offset": 3,
    }
    assert checked(REPL, {"code": "1", "timeout_seconds": "2.5"}) == {"code": "1", "timeout_seconds": 2.5}
    assert checked(STATUS, {}) == {}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        (SEARCH, {}, "needs 'query'"),
        (SEARCH, {"query": 3}, "query is 3"),
        (SEARCH, {"query": "x", "scope": "world"}, "session, lineage, project, all"),
        (SEARCH, {"query": "x", "offset": -1}, "0 or more"),
        (SEARCH, {"query": "x", "offset": True}, "offset is True"),
        (READ, {"ref": "e1", "max_tokens": 1.5}, "100 to 100,000"),
        (READ, {"ref": "e1", "max_tokens": "many"}, "'many'"),
        (BRIEF, {"tokens": 20}, "500 to 20,000"),
        (REPL, {"code": "1", "timeout_seconds": "soon"}, "'soon'"),
        (REPL, {"code": "1", "timeout_seconds": 0}, "0.1 to 600"),
        (STATUS, {"verbose": True}, "it takes: none"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_the_cure(
    tool: object, arguments: dict[str, object], said: str
) -> None:
    """The error says which argument, what was given and what would do."""
    assert isinstance(tool, type(SEARCH))
    with pytest.raises(QueryError) as caught:
        checked(tool, arguments)
    assert said in str(caught.value)
