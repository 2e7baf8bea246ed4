"""The tail: latest messages verbatim, calls and results together, within a budget."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.brief.render import FIRST_LINE
from rlm_mcp.brief.tail import WITHOUT_TEXT, Message, Refs, Role, ToolResult, ToolUse, select_tail
from rlm_mcp.text import estimate_tokens

REFS = Refs(of_call=lambda call: f"c-{call}", of_result=lambda call: f"r-{call}", of_reply=lambda text: "e99")


def user(text: str) -> Message:
    return Message(role=Role.USER, text=text)


def reply(text: str) -> Message:
    return Message(role=Role.ASSISTANT, text=text)


def call(call_id: str, **arguments: object) -> Message:
    return Message(role=Role.ASSISTANT, uses=(ToolUse(call_id=call_id, tool="Bash", arguments=arguments),))


def result(call_id: str, text: str = "out") -> Message:
    return Message(role=Role.USER, results=(ToolResult(call_id=call_id, text=text),))


def texts(messages: tuple[Message, ...]) -> list[str]:
    return [message.text for message in messages]


def test_everything_stays_when_it_fits() -> None:
    """Order, texts and pairs as they were."""
    window = (user("do it"), reply("I will"), call("1", command="ls"), result("1", "a b"), reply("done"))
    tail = select_tail(window, 1_000, REFS)
    assert texts(tail) == ["do it", "I will", "", "done"]
    assert tail[1].uses == window[2].uses
    assert tail[2].results == window[3].results


def test_the_oldest_go_first() -> None:
    """Under a small budget only the latest exchange stays."""
    window = (user("old " * 200), reply("old " * 200), user("new"), reply("newest"))
    assert texts(select_tail(window, 60, REFS)) == ["new", "newest"]


def test_a_pending_prompt_is_kept_whole_and_not_counted() -> None:
    """What the user just asked comes through whatever its size."""
    prompt = "word " * 50_000
    tail = select_tail((reply("before"), user(prompt)), 50, REFS)
    assert texts(tail) == ["before", prompt]


def test_a_tail_of_no_tokens_still_holds_the_pending_prompt() -> None:
    """tail_tokens = 0."""
    assert texts(select_tail((reply("before"), user("now")), 0, REFS)) == ["now"]


def test_a_huge_result_is_cut_and_says_where_the_whole_is() -> None:
    """Head and tail of the output stay, with the count of what is left out and a Ref."""
    tail = select_tail((call("7", command="cat"), result("7", "x" * 90_000)), 2_000, REFS)
    text = tail[1].results[0].text
    assert len(text) < 9_000
    assert "characters left out; whole: r-7" in text


def test_a_huge_argument_is_cut_and_says_where_the_whole_is() -> None:
    """A file written by the model is not carried along whole; short arguments beside it stay as they are."""
    tail = select_tail((call("7", path="a.py", content="y" * 90_000), result("7")), 2_000, REFS)
    arguments = tail[0].uses[0].arguments
    assert arguments["path"] == "a.py"
    assert "whole: c-7" in str(arguments["content"])


def test_a_long_reply_is_cut_with_its_ref_and_a_users_words_never() -> None:
    """The model's own essay may shrink; what a person wrote stays whole or is left to the Brief."""
    tail = select_tail((user("why? " * 300), reply("z" * 90_000)), 4_000, REFS)
    assert tail[0].text == "why? " * 300
    assert "whole: e99" in tail[1].text


def test_a_call_without_result_and_a_result_without_call_are_left_out() -> None:
    """An interrupted call, and a result whose call lies before the messages at hand."""
    window = (result("0"), user("go"), call("1"), reply("stopped"), user("again"))
    tail = select_tail(window, 1_000, REFS)
    assert [message.uses for message in tail if message.uses] == []
    assert [message.results for message in tail if message.results] == []
    assert texts(tail) == ["go", "stopped", "again"]


def test_parallel_calls_become_one_reply_followed_by_all_their_results() -> None:
    """The API wants every result in the message right after the calls."""
    window = (reply("both"), call("1"), call("2"), result("2"), user("and hurry"), result("1"), reply("done"))
    tail = select_tail(window, 1_000, REFS)
    assert texts(tail) == ["both", "", "and hurry", "done"]
    assert [use.call_id for use in tail[0].uses] == ["1", "2"]
    assert [each.call_id for each in tail[1].results] == ["2", "1"]


def test_an_earlier_brief_is_never_part_of_a_tail() -> None:
    """The new Brief stands in its place."""
    assert texts(select_tail((user(f"{FIRST_LINE}: session 1 ..."), user("next")), 1_000, REFS)) == ["next"]


def test_a_prompt_that_was_only_an_image_leaves_a_word() -> None:
    """An empty message would be refused by the API."""
    assert texts(select_tail((user(""), reply("nice cat")), 1_000, REFS)) == [WITHOUT_TEXT, "nice cat"]


def test_a_newest_exchange_that_cannot_fit_is_left_to_the_brief() -> None:
    """Twenty parallel outputs into a budget of 50 tokens."""
    window = tuple(call(str(n)) for n in range(20)) + tuple(result(str(n), "o" * 5_000) for n in range(20))
    assert select_tail(window, 50, REFS) == ()


_TEXTS = st.text(alphabet="ab \n\u00e9", max_size=400)
_IDS = st.sampled_from("123456")
_MESSAGES = st.one_of(
    st.builds(user, _TEXTS),
    st.builds(reply, _TEXTS),
    st.builds(lambda call_id, text: call(call_id, command=text), _IDS, _TEXTS),
    st.builds(result, _IDS, _TEXTS),
    st.builds(lambda call_id, text: replace(call(call_id), text=text), _IDS, _TEXTS),
)


@given(st.lists(_MESSAGES, max_size=25), st.integers(min_value=0, max_value=600))
def test_whatever_the_window_the_tail_is_one_the_api_accepts(window: list[Message], budget: int) -> None:
    """No lonely call or result, no empty message, no unanswered call before the next reply; the budget holds."""
    tail = select_tail(window, budget, REFS)
    waiting: set[str] = set()
    for message in tail:
        assert message.text.strip() or message.uses or message.results
        if message.role is Role.USER:
            assert {each.call_id for each in message.results} == waiting
            waiting = set()
        else:
            assert not waiting
        waiting |= {use.call_id for use in message.uses}
    assert not waiting
    counted = list(tail)
    while counted and counted[-1].role is Role.USER and not counted[-1].results:
        counted.pop()
    spent = sum(estimate_tokens(each.text) for each in counted) + sum(
        estimate_tokens(each.text) for message in counted for each in message.results
    )
    assert spent <= budget or not counted
