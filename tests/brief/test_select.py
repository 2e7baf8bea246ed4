"""What a Brief says, section by section: the most valuable first, true totals."""

from rlm_mcp.brief.material import Ask, TurnLine
from rlm_mcp.brief.select import Section, sections
from tests.brief.made import fact, group, material, summary


def section_of(kind: str, **more: object) -> Section:
    """The one section that speaks of ``kind``."""
    (found,) = [section for section in sections(material(**more)) if section.kinds[0] == kind]
    return found


def written(section: Section, width: int = 200) -> list[str]:
    """Its lines."""
    return [line(width) for line in section.lines]


def test_a_section_with_nothing_to_say_is_not_there():
    """An empty session has no sections."""
    assert sections(material()) == []


def test_a_summary_stands_below_all_facts_and_says_up_to_where_it_reaches():
    """A sentence a line, the first with the Ref of all that it stands for."""
    rows = [fact("decision", 1, text="I decided.")]
    found = sections(
        material(facts={"decision": rows}, summary=summary("They began. Then\n- the importer\n\nwas v1.2."))
    )
    assert [section.kinds[0] for section in found] == ["decision", "summary"]
    assert found[1].title == "Summary, written by another model, up to t3 of 5"
    assert written(found[1]) == ["- They began. log:0-900", "- Then", "- the importer", "- was v1.2."]
    assert found[1].share < min(section.share for section in found[:1])


def test_open_todos_stand_before_done_ones():
    """In progress, then open, then done."""
    rows = [fact("todo", seq, subject=status, text=status, status=status) for seq, status in
            enumerate(["completed", "pending", "cancelled", "in_progress"], start=1)]  # fmt: skip
    lines = written(section_of("todo", facts={"todo": rows}, totals={"todo": 4}))
    assert [line.split("]")[0] for line in lines] == ["- [~", "- [ ", "- [x", "- [-"]


def test_failed_commands_stand_before_the_others():
    """Then the newest first."""
    rows = [
        fact("command", seq, subject=f"make {seq}", text=f"make {seq}", status="failed" if seq == 2 else "ok")
        for seq in (4, 3, 2, 1)
    ]
    lines = written(section_of("command", facts={"command": rows}, totals={"command": 4}))
    assert "make 2" in lines[0]
    assert lines.index(next(line for line in lines if "make 4" in line)) < lines.index(
        next(line for line in lines if "make 1" in line)
    )


def test_a_file_that_was_edited_is_not_listed_as_read_only():
    """It stands among the edited ones; the totals agree."""
    section = section_of(
        "read", edits=[group("edit", "a.py", 9)], reads=[group("read", "a.py", 2), group("read", "b.py", 3)],
        totals={"read": 2, "edit": 1},
    )  # fmt: skip
    assert len(section.lines) == section.total == 1
    assert "b.py" in written(section)[0]


def test_the_latest_turn_is_not_among_the_earlier_ones():
    """Its ask stands in full above; the total counts the others."""
    turns = [
        TurnLine(turn=number, ref=f"e{number}", prompt=f"ask {number}", counts={"edit": 2}) for number in (3, 2, 1)
    ]
    section = section_of(
        "prompt", turn_lines=turns, turns=3, latest_ask=Ask(turn=3, ref="e3", text="ask 3"), first_ask=None
    )
    assert section.total == 2
    assert ['"ask 2"' in line for line in written(section)] == [True, False]
    assert "2 edits" in written(section)[0]


def test_a_total_beyond_what_was_gathered_is_kept():
    """Lists are bounded, totals are not."""
    rows = [fact("decision", seq, text=f"I decided {seq}") for seq in range(1, 6)]
    assert section_of("decision", facts={"decision": rows}, totals={"decision": 700}).total == 700


def test_lines_with_words_of_the_focus_stand_first():
    """Order within the others stays."""
    rows = [
        fact("decision", seq, text=f"I decided about {name}")
        for seq, name in enumerate(["zones", "rates", "quotes"], 1)
    ]
    lines = written(section_of("decision", facts={"decision": rows}, totals={"decision": 3}, focus="mind the quotes"))
    assert ["quotes" in line for line in lines] == [True, False, False]
    assert "zones" in lines[1]
