"""Facts as lines: one line each, the Ref at its end, never more claimed than the Fact says."""

import pytest

from rlm_mcp.brief.lines import View, command_text, edit_group_line, fact_line, outcome, read_group_line
from rlm_mcp.facts.kinds import FactKind
from tests.brief.made import fact, group

VIEW = View(cwd="/home/dev/acme", session_key="aaaaaaaa")
_STATUSES = ("", "ok", "failed", "open", "answered", "completed", "forbid", "create", "x")


@pytest.mark.parametrize("kind", FactKind)
@pytest.mark.parametrize("width", [20, 84, 200])
def test_every_kind_is_one_line_that_ends_with_its_ref(kind: FactKind, width: int):
    """Whatever line ends the texts hold, and however long they are."""
    view = View(cwd=VIEW.cwd, session_key=VIEW.session_key, width=width)
    for status in _STATUSES:
        row = fact(
            kind, 12, subject="sub\nject " * 50, text="first\nsecond\u2028third " * 100, status=status, note="n\no" * 90
        )
        line = fact_line(row, view)
        assert len(line.splitlines()) == 1
        assert line.endswith(" e12")
        assert len(line) < 4 * width + 700


@pytest.mark.parametrize("kind", sorted(set(FactKind) - {"read", "edit", "lookup", "commit", "prompt"}))
def test_what_is_superseded_says_so(kind: str):
    """With the Event that replaced it."""
    row = fact(kind, 12, subject="s", text="text", status="open", superseded_by=34)
    assert "e34" in fact_line(row, VIEW)


def test_a_ref_into_another_session_carries_its_key():
    """One's own does not."""
    assert fact_line(fact("decision", 3, text="x"), VIEW).endswith(" e3")
    assert fact_line(fact("decision", 3, text="x", session_key="bbbbbbbb"), VIEW).endswith(" bbbbbbbb.e3")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/dev/acme/src/a.py", "src/a.py"),
        ("/home/dev/acme2/src/a.py", "/home/dev/acme2/src/a.py"),
        ("/home/dev/acme", "/home/dev/acme"),
        ("src//b/../a.py", "src/a.py"),
        ("C:\\x\\y.py", "C:/x/y.py"),
        ("", ""),
    ],
)
def test_a_path_is_as_short_as_it_stays_clear(path: str, shown: str):
    """Below the folder of the session, relative to it."""
    assert VIEW.path(path) == shown


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"status": "ok"}, "ok"), ({"status": "failed", "exit_code": 2}, "failed(2)"), ({"status": "failed"}, "failed"),
        ({"status": "unknown"}, "?"), ({"status": "ok", "seconds": 61.4}, "ok 61s"),
        ({"status": "ok", "seconds": 0.2}, "ok"),
    ],
)  # fmt: skip
def test_an_outcome_is_told_as_it_was(more: dict[str, object], said: str):
    """Exit code where there is one, seconds where they are long."""
    assert outcome(fact("command", **more)) == said


def test_a_command_is_shown_without_its_leading_cd():
    """On one line."""
    assert command_text("cd /a/b && cd 'x y' ; make\n all", 80) == "make all"
    assert command_text("cd /a", 80) == "cd /a"


def test_edits_of_a_path_are_summed_on_one_line():
    """Lines added and removed, how often, what was added."""
    line = edit_group_line(group("edit", "/home/dev/acme/a.py", 9, count=3, added=12, removed=4), VIEW)
    assert line.startswith("a.py")
    assert "+12-4" in line
    assert "3 edits" in line
    assert line.endswith(" e9")


def test_a_read_that_was_edited_since_says_so():
    """Stale content must not be taken for current."""
    stale = read_group_line(group("read", "a.py", 5), VIEW, {"a.py": 9})
    fresh = read_group_line(group("read", "a.py", 15), VIEW, {"a.py": 9})
    assert "edited since, e9" in stale
    assert "edited" not in fresh
