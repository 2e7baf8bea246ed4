"""What a machine gives is found out by trying, and too little is refused with the reason and the cure."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox import layers
from rlm_mcp.sandbox.layers import Survey, confinement

_GIVES_ALL = Survey(
    system="Linux", machine="x86_64", bubblewrap=Path("/usr/bin/bwrap"), refusals=(), landlock=4, seccomp=True
)


def test_all_that_there_is_gets_used():
    """Outermost first."""
    assert confinement(_GIVES_ALL).layers == ("bubblewrap", "Landlock", "seccomp", "rlimits")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"bubblewrap": None}, ("Landlock", "seccomp", "rlimits")),
        ({"landlock": 0}, ("bubblewrap", "seccomp", "rlimits")),
    ],
)
def test_one_of_landlock_and_bubblewrap_is_enough(given, expected):
    """Either keeps files from a Cell."""
    assert confinement(replace(_GIVES_ALL, **given)).layers == expected


def test_without_a_wall_before_the_files_there_is_no_jail():
    """The message says what was tried and what to do."""
    bare = replace(_GIVES_ALL, bubblewrap=None, landlock=0, refusals=("/usr/bin/bwrap: setting up uid map: denied",))
    with pytest.raises(JailUnavailable, match=r"setting up uid map: denied.*install bubblewrap"):
        confinement(bare)


def test_without_a_filter_of_system_calls_there_is_no_jail():
    """As on macOS; the message names the way out."""
    with pytest.raises(JailUnavailable, match="rlm-mcp\\[monty\\]"):
        confinement(replace(_GIVES_ALL, system="Darwin", seccomp=False))


def test_only_the_users_own_word_goes_without_walls():
    """Then nothing is pretended: limits of resources alone."""
    assert confinement(_GIVES_ALL, is_unsafe=True).is_unsafe
    switched_off, *others = confinement(_GIVES_ALL, is_unsafe=True).layers
    assert switched_off.startswith("NOT JAILED")
    assert others == ["rlimits"]
    assert not confinement(_GIVES_ALL).is_unsafe


def test_a_bubblewrap_is_used_only_after_it_has_worked(tmp_path):
    """One that fails is named with its own words, and the next is tried."""
    if sys.platform != "linux":
        pytest.skip("bubblewrap is Linux's")
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n", encoding="ascii")
    broken.chmod(0o700)
    found = layers.survey(broken)
    assert found.bubblewrap != broken
    assert "setting up uid map: Permission denied" in found.refusals[0]
    assert found.refusals[0].startswith(str(broken))


def test_a_bubblewrap_that_says_nothing_is_told_too(tmp_path):
    """By its exit code."""
    silent = tmp_path / "bwrap"
    silent.write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
    silent.chmod(0o700)
    assert layers.survey(silent).refusals[0] == f"{silent}: it ended with 3"


def test_the_survey_is_made_once_unless_asked_anew():
    """Doctor asks anew; a Repl's start does not pay for it."""
    first = layers.survey()
    assert layers.survey() is first
    anew = layers.survey(anew=True)
    assert anew == first
    assert anew is not first
