"""The Brief as text: pure, within its size, whatever the Material."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rlm_mcp.brief.material import Ask, LatestEvent, Material
from rlm_mcp.brief.render import FIRST_LINE, render
from rlm_mcp.text import estimate_tokens
from tests.brief.made import fact, group, material, repl, summary

WORDS = st.text(st.sampled_from("abc de\n.,é日()"), max_size=900)


@st.composite
def materials(draw: st.DrawFn) -> Material:
    """Material of any shape."""
    kinds = [
        "constraint",
        "correction",
        "plan",
        "todo",
        "test",
        "error",
        "decision",
        "commit",
        "task",
        "command",
        "value",
    ]
    facts = {
        kind: [
            fact(kind, seq, subject=f"s{seq}", text=draw(WORDS) or "x", status="open")
            for seq in range(draw(st.integers(0, 12)))
        ]
        for kind in draw(st.lists(st.sampled_from(kinds), unique=True))
    }
    edits = [group("edit", f"/home/dev/acme/f{number}.py", number) for number in range(draw(st.integers(0, 20)))]
    latest = Ask(turn=2, ref="e9", text=draw(WORDS) or "x") if draw(st.booleans()) else None
    return material(
        facts=facts, edits=edits, latest_ask=latest, first_ask=Ask(turn=1, ref="e1", text=draw(WORDS) or "x"),
        totals={kind: len(rows) + draw(st.integers(0, 500)) for kind, rows in facts.items()} | {"edit": len(edits)},
        turns=2, summary=draw(st.none() | st.builds(summary, WORDS)),
        repl=repl(*(f"name_{number}" for number in range(draw(st.integers(0, 30))))),
    )  # fmt: skip


@given(materials(), st.sampled_from([500, 800, 2_000, 6_000, 20_000]))
@hypothesis_settings(max_examples=40)
def test_any_material_gives_a_brief_within_its_size(given_material: Material, tokens: int):
    """First line, size, determinism, and a loss report that never shows more than there is."""
    made = render(given_material, tokens)
    assert made.text.startswith(FIRST_LINE)
    assert made.tokens == estimate_tokens(made.text) <= tokens * 1.05
    assert made == render(given_material, tokens)
    assert all(0 <= shown <= total for total, shown in made.loss.kinds.values())


def test_the_latest_ask_comes_whole_and_before_all_facts():
    """A third of the Brief is always its."""
    ask = "Please carry on with the importer: " + "step and another step, " * 30
    facts = {"decision": [fact("decision", seq, text=f"I decided {seq} " * 20) for seq in range(100)]}
    made = render(material(latest_ask=Ask(turn=3, ref="e77", text=ask), facts=facts, totals={"decision": 100}), 1_000)
    assert ask in made.text
    assert made.text.index(ask) < made.text.index("I decided")


def test_one_ask_is_not_said_twice():
    """Where the first ask is the latest."""
    assert render(material(), 1_000).text.count("Please do it.") == 1


def test_a_section_with_room_left_gives_it_to_the_others():
    """A single long list may take the whole Brief."""
    facts = {
        "decision": [fact("decision", seq, text=f"I decided number {seq} for a good reason") for seq in range(150)]
    }
    made = render(material(facts=facts, totals={"decision": 150}), 4_000)
    assert made.loss.kinds["decision"] == (150, 150)
    edits = [group("edit", f"f{number}.py", number) for number in range(150)]
    crowded = render(material(facts=facts, edits=edits, totals={"decision": 150, "edit": 150}), 1_500)
    assert 0 < crowded.loss.kinds["decision"][1] < 150
    assert 0 < crowded.loss.kinds["edit"][1] < 150


def test_a_summary_takes_the_room_that_facts_leave():
    """All of it where there is room, a line or two where there is little; and no fact is said to be a model's."""
    words = " ".join(f"Sentence {number} says what was done." for number in range(60))
    alone = render(material(summary=summary(words)), 4_000)
    assert alone.loss.kinds["summary"] == (60, 60)
    assert "no model wrote them but the summary." in alone.text
    assert "## Summary, written by another model, up to t3 of 5\n- Sentence 0 says" in alone.text
    facts = {
        kind: [
            fact(kind, seq, subject=f"{seq}", text=f"{kind} {seq}, for a good reason", status="") for seq in range(150)
        ]
        for kind in ("decision", "command", "error", "constraint")
    }
    most = {"facts": facts, "totals": dict.fromkeys(facts, 150)}
    crowded, without = render(material(summary=summary(words), **most), 4_000), render(material(**most), 4_000)
    assert 0 < crowded.loss.kinds["summary"][1] < 30
    shown = [sum(made.loss.kinds[kind][1] for kind in facts) for made in (crowded, without)]
    assert shown[0] >= 0.95 * shown[1]
    assert "lines of the summary" in crowded.text
    assert "no model wrote them." in without.text


@pytest.mark.parametrize("tokens", [600, 3_000])
def test_the_latest_events_are_whole_or_cut_with_their_ref(tokens: int):
    """A huge result is cut in the middle; the newest come first when room is short, and stand in order."""
    latest = [
        LatestEvent(ref="e10", kind="call", tool="Bash", text="make"),
        LatestEvent(ref="e11", kind="result", tool="Bash", text="line of output\n" * 4_000),
        LatestEvent(ref="e12", kind="reply", tool="", text="It failed, I look why."),
    ]
    made = render(material(latest=latest), 1_000, tokens)
    assert made.tokens <= (1_000 + tokens) * 1.05
    part = made.text.partition("## Latest events")[2]
    assert "It failed, I look why." in part
    assert "whole: e11" in part
    assert part.index("[e11") < part.index("[e12")


def test_one_line_tells_which_variables_are_still_set():
    """The last set first, with what they are and the last Cell's Ref; none where the Repl has none, or never ran."""
    assert render(material(repl=repl("rows", "totals")), 1_000).text.splitlines()[-1] == (
        "repl: totals (list, 1,200), rows (list, 1,200) are still set [c12]"
    )
    assert render(material(repl=repl("rows")), 1_000).text.endswith("\nrepl: rows (list, 1,200) is still set [c12]")
    for given_repl in (None, repl()):
        assert "repl: " not in render(material(repl=given_repl), 1_000).text


@pytest.mark.parametrize(("tokens", "most_chars"), [(500, 220), (4_000, 520), (20_000, 520)])
def test_many_variables_are_counted_and_their_line_stays_short(tokens: int, most_chars: int):
    """Whatever their names are."""
    names = [f"variable_{number}_{'x' * 50}\n## Task" for number in range(100)]
    line = render(material(repl=repl(*names)), tokens).text.splitlines()[-1]
    assert line.startswith("repl: variable_99_")
    assert len(line) < most_chars
    told = line.count("variable_")
    assert line.endswith(f" and {100 - told} more are still set [c12]")
