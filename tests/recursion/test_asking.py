"""rlm_mcp.recursion.asking: every item is asked once, in order, typed, mended within bounds, and counted."""

import json
import re
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from rlm_mcp.costs import Limits
from rlm_mcp.errors import QueryError, SubLMRefused
from rlm_mcp.recursion.asking import REPAIRS, Answered, Asking
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Reply, Request, Stop, Usage
from tests.recursion.conftest import Rigs
from tests.recursion.golden import is_golden
from tests.recursion.rig import RunRig, Watched

_HOW: dict[str, Any] = {"model": "", "system": "", "max_tokens": 100, "schema": ""}
_LABEL = json.dumps({"type": "object", "properties": {"label": {"enum": ["spam", "ham"]}}, "required": ["label"]})


def _asking(rig: RunRig, limits: Limits | None = None, stop: Stop | None = None, **more: Any) -> Asking:
    return Asking(
        metered=rig.metered,
        budget=Budget(limits or Limits()),
        stop=stop or Stop(),
        run="r0",
        session="",
        model="sub",
        width=4,
        **more,
    )


def test_every_item_is_asked_exactly_once_in_its_place(runs_with: Rigs) -> None:
    """Also items that look like marks, are alike, or are empty; {index} goes on over several calls of one map."""
    rig = runs_with(lambda request: request.prompt)
    items = ["a", "{item}", "{index}", "", "{prompt}", "b\nc", "é𝄞"]
    found: Any = _asking(rig).map(items=items, first=100, prompt="<{index}|{item}|{item}>", **_HOW)
    assert [one["value"] for one in found["results"]] == [
        f"<{100 + number}|{item}|{item}>" for number, item in enumerate(items)
    ]
    assert found["coverage"] == {"items": 7, "answered": 7, "repaired": 0, "failed": 0}
    assert sorted(served.request.prompt for served in rig.model.came) == sorted(
        one["value"] for one in found["results"]
    )


def test_identical_items_are_paid_once(runs_with: Rigs) -> None:
    """Each still has its answer."""
    rig = runs_with(lambda _request: "spam")
    found: Any = _asking(rig).map(items=["same"] * 50, first=0, prompt="{item}", **_HOW)
    assert found["coverage"]["answered"] == 50
    assert len(rig.model.came) == 1


def test_answers_are_checked_against_their_schema_and_mended(runs_with: Rigs) -> None:
    """At most two times, with what is wrong shown to the model; then it has failed."""
    tries: Counter[str] = Counter()

    def script(request: Request) -> str:
        item = re.search(r"item (\d+)", request.prompt)
        assert item is not None
        tries[item[1]] += 1
        if tries[item[1]] <= int(item[1]):
            return '{"label": "eggs"}' if tries[item[1]] % 2 else "I think it is spam."
        return '```json\n{"label": "spam"}\n```'

    rig = runs_with(script)
    found: Any = _asking(rig).map(
        items=[str(n) for n in range(5)], first=0, prompt="item {item}", **{**_HOW, "schema": _LABEL}
    )
    results = found["results"]
    assert [one.get("value") for one in results] == [{"label": "spam"}] * 3 + [None, None]
    assert [one.get("error") for one in results] == [None, None, None, "SchemaMismatch", "SchemaMismatch"]
    assert 'at $.label is not one of ["spam", "ham"]' in results[3]["message"]
    assert found["coverage"] == {"items": 5, "answered": 3, "repaired": 2, "failed": 2}
    assert dict(tries) == {"0": 1, "1": 2, "2": 3, "3": 1 + REPAIRS, "4": 1 + REPAIRS}
    repairs = [s.request.prompt for s in rig.model.came if "was not valid" in s.request.prompt]
    is_golden("repair", f"{min(repairs)}\n")


def _cut(text: str) -> Reply:
    return Reply(text=text, usage=Usage(tokens_in=1, tokens_out=1), model="sub", is_cut=True)


def test_an_answer_that_was_cut_has_failed_with_what_came_of_it(runs_with: Rigs) -> None:
    """It says how to have the whole; with a schema it is not asked again, for it would be cut again."""
    rig = runs_with(lambda request: "fine" if "1" in request.prompt else _cut("half of"))
    found: Any = _asking(rig).query(prompts=["1", "2"], **_HOW)
    said = "the answer was cut at max_tokens=100; give more, ask for less, or take .partial of its Failed"
    assert found["results"] == [{"value": "fine"}, {"error": "Cut", "message": said, "partial": "half of"}]
    assert found["over"] is None
    rig = runs_with(lambda request: _cut('So: {"label": "spam"}, or' if "1" in request.prompt else '{"label": "sp'))
    mapped: Any = _asking(rig).map(items=["1", "2"], first=0, prompt="{item}", **{**_HOW, "schema": _LABEL})
    assert [one.get("error") for one in mapped["results"]] == ["Cut", "Cut"]
    assert mapped["coverage"]["failed"] == 2
    assert len(rig.model.came) == 2


def test_a_failure_of_one_is_no_failure_of_others(runs_with: Rigs) -> None:
    """It stands in its place, typed."""

    def script(request: Request) -> Any:
        return SubLMRefused("too long") if "2" in request.prompt else "fine"

    rig = runs_with(script)
    found: Any = _asking(rig).query(prompts=["1", "2", "3"], **_HOW)
    assert found["results"] == [{"value": "fine"}, {"error": "SubLMRefused", "message": "too long"}, {"value": "fine"}]
    assert found["over"] is None


def test_a_limit_in_the_middle_keeps_what_was_answered(runs_with: Rigs) -> None:
    """The rest says why, and the Cell is told that no more is asked."""
    heard: list[Sequence[Answered]] = []
    rig = runs_with(lambda _request: "fine")
    asking = _asking(rig, Limits(calls=30), heard=heard.append)
    found: Any = asking.query(prompts=[str(n) for n in range(100)], **_HOW)
    assert sum("value" in one for one in found["results"]) == 30
    assert {one["error"] for one in found["results"] if "error" in one} == {"BudgetExceeded"}
    assert found["over"]["error"] == "BudgetExceeded"
    assert [len(answers) for answers in heard] == [100]
    assert len(rig.model.came) == 30


def test_a_batch_that_is_cancelled_keeps_what_was_answered(runs_with: Rigs) -> None:
    """Nothing is asked behind it."""
    stop = Stop()
    count = threading.Semaphore(0)

    def script(request: Request) -> str:
        if int(request.prompt) == 20:
            stop.now()
        count.release()
        return "fine"

    rig = runs_with(script)
    found: Any = _asking(rig, stop=stop).query(prompts=[str(n) for n in range(100)], **_HOW)
    answered = sum("value" in one for one in found["results"])
    assert 13 <= answered <= 25
    assert {one["error"] for one in found["results"] if "error" in one} == {"Cancelled"}
    assert found["over"]["error"] == "Cancelled"
    assert len(rig.model.came) <= 25


def test_a_single_question_is_asked_without_a_thread_and_can_be_cancelled(runs_with: Rigs) -> None:
    """A thread takes longer to make than our side of a question may; whoever cancels does so from another."""
    asked_in: list[threading.Thread] = []

    def script(_request: Request) -> str:
        asked_in.append(threading.current_thread())
        return "fine"

    rig = runs_with(script)
    assert _asking(rig).query(prompts=["1"], **_HOW) == {"results": [{"value": "fine"}], "over": None}
    assert asked_in == [threading.current_thread()]
    told = Stop()

    class Waiting(Watched):
        def complete(self, request: Request, stop: Stop) -> Reply:
            threading.Thread(target=told.now).start()
            stop.wait(60.0)
            return super().complete(request, stop)

    found: Any = _asking(runs_with(lambda _request: "late", model=Waiting), stop=told).query(prompts=["2"], **_HOW)
    assert found["results"][0]["error"] == found["over"]["error"] == "Cancelled"


def test_a_batch_whose_time_is_over_keeps_what_was_answered(runs_with: Rigs) -> None:
    """As with any other end."""
    rig = runs_with(lambda _request: "fine", seconds=0.05)
    found: Any = _asking(rig, stop=Stop(seconds=0.4)).query(prompts=[str(n) for n in range(400)], **_HOW)
    answered = sum("value" in one for one in found["results"])
    assert 1 <= answered < 400
    assert {one["error"] for one in found["results"] if "error" in one} == {"SubLMTimeout"}
    assert found["over"]["error"] == "SubLMTimeout"


def test_of_1053_documents_with_3_edited_3_are_asked_again(runs_with: Rigs) -> None:
    """The others are there already; so is all of a second go."""
    documents = [f"document {number}: " + "text " * 20 for number in range(1_053)]
    rig = runs_with(lambda request: f"summary of {request.prompt[:30]}")
    how = {"first": 0, "prompt": "Sum up: {item}", **_HOW}
    _asking(rig).map(items=documents, **how)
    assert len(rig.model.came) == 1_053
    for number in (5, 500, 1_052):
        documents[number] += "edited"
    found: Any = _asking(rig).map(items=documents, **how)
    assert len(rig.model.came) == 1_056
    assert found["coverage"]["answered"] == 1_053
    _asking(rig).map(items=documents, **how)
    assert len(rig.model.came) == 1_056


@pytest.mark.parametrize(
    "asked",
    [
        {"prompts": "text"}, {"prompts": [1]}, {"prompts": None}, {"model": 5}, {"system": None}, {"max_tokens": 0},
        {"max_tokens": True}, {"max_tokens": 10**9}, {"max_tokens": "5"}, {"schema": 5}, {"schema": "{"},
        {"schema": '{"$ref": "#"}'},
    ],
)  # fmt: skip
def test_hostile_arguments_are_refused(runs_with: Rigs, asked: dict[str, Any]) -> None:
    """And nobody is asked."""
    rig = runs_with(lambda _request: "fine")
    with pytest.raises(QueryError):
        _asking(rig).query(**{"prompts": ["x"], **_HOW, **asked})
    assert rig.model.came == []


def test_a_map_without_a_place_for_its_items_is_refused(runs_with: Rigs) -> None:
    """Or all answers would be the same."""
    rig = runs_with(lambda _request: "fine")
    with pytest.raises(QueryError, match=r"has no \{item\}"):
        _asking(rig).map(items=["x"], first=0, prompt="Sum up", **_HOW)
    with pytest.raises(QueryError, match="first is -1"):
        _asking(rig).map(items=["x"], first=-1, prompt="{item}", **_HOW)
