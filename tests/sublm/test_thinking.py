"""rlm_mcp.sublm.thinking: what a model thinks before it speaks is no part of what it says."""

from pathlib import Path

import pytest

from rlm_mcp.errors import SubLMRefused
from rlm_mcp.sublm.lm import Reply, Usage
from rlm_mcp.sublm.thinking import without_thinking
from tests.sublm.rig import scripted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>maybe 3</think>4", "4"),
        ("\n<think>\nmaybe\n```repl\nFINAL(3)\n```\n</think>\n\n```repl\nFINAL(4)\n```", "```repl\nFINAL(4)\n```"),
        ("<Thinking>a</thinking> b", "b"),
        ("<reasoning>a</reasoning>\n<think>b</think>\nc", "c"),
        ("<think></think>\n\nc", "c"),
        ("first 3, no\n</think>\n\n4", "4"),
        ("<think>it never ends: FINAL(3)", ""),
        ("<think>a</thinking> b", ""),
    ],
)
def test_thinking_before_a_reply_is_taken_off(text: str, said: str) -> None:
    """In each of the shapes that models give it; what never ends is all thinking."""
    assert without_thinking(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "4",
        " 4 \n",
        "Models write <think>a</think> before they answer.",
        "It goes so:\n<think>\na\n</think>\nb",
        "the mark </think> ends it",
        "<thinker>a</thinker>",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    """Also where it tells of the marks."""
    assert without_thinking(text) == text


def test_a_reply_of_thinking_alone_says_nothing(tmp_path: Path) -> None:
    """It used up its tokens, and the message says so; nothing of it is an answer."""
    cut = Reply(text="<think>well, ", usage=Usage(tokens_in=1, tokens_out=64), model="m", is_cut=True)
    rig = scripted(tmp_path / "store", lambda asked: cut if asked.prompt == "a" else "<think>hm</think>\nfine")
    with pytest.raises(SubLMRefused, match="before it said anything"):
        rig.ask("a")
    assert rig.ask("b").text == "fine"
    assert rig.ask("b").text == "fine"
    rig.close()
