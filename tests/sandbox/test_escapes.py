"""Nothing gets out of a Jail; and the suite that says so catches what does.

What the outer layers decide is tried under every combination of layers; what the wire and the limits decide, once.
"""

import ast
import os
from collections.abc import Iterator

import pytest

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox import layers
from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected
from rlm_mcp.sandbox.escapes.attempts import GROUPS, fitting
from rlm_mcp.sandbox.escapes.running import Suite, jailed, suite
from rlm_mcp.sandbox.layers import Confinement
from tests.sandbox.walls import ways

_WAYS = ways()
_BY_OUTER_LAYERS = frozenset({"reading", "changing", "network", "processes", "kernel"})
_MACHINE = os.uname().machine
_ATTEMPTS = [(group, attempt) for group, attempts in GROUPS.items() for attempt in attempts]


def _tries() -> Iterator[tuple[str, str, Attempt]]:
    """Way, group, attempt: ordered by way, so that each way's Repls are started once."""
    for way in ("all", "Landlock", "bubblewrap"):
        for group, attempt in _ATTEMPTS:
            if way == "all" or group in _BY_OUTER_LAYERS:
                yield way, group, attempt


@pytest.fixture(scope="module")
def confined() -> Iterator[dict[str, Suite]]:
    """A suite for each way, made when it is first asked for."""
    opened: dict[str, Suite] = {}
    managers = []

    class Lazily(dict[str, Suite]):
        def __missing__(self, way: str) -> Suite:
            manager = suite(jailed(_WAYS[way]))
            managers.append(manager)
            opened[way] = self[way] = manager.__enter__()
            return opened[way]

    yield Lazily()
    for manager in managers:
        manager.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("way", "group", "attempt"), [pytest.param(*each, id=f"{each[0]}-{each[1]}-{each[2].name}") for each in _tries()]
)
def test_no_attempt_gets_out(confined, way, group, attempt):
    """Canaries of the host are untouched, and other Repls answer as before."""
    if way not in _WAYS:
        pytest.skip(f"this machine does not give {way!r}")
    if (group, attempt) not in fitting(_MACHINE, has_bubblewrap=_WAYS[way].bubblewrap is not None):
        pytest.skip("means nothing on such a machine")
    verdict = confined[way].run(group, attempt)
    assert verdict.is_held, verdict.seen


@pytest.fixture(scope="module")
def unconfined() -> Iterator[Suite]:
    """A suite around a Repl that only has limits of resources, as the user's own setting gives it."""
    if not _WAYS:
        pytest.skip("no Jail here to compare with")
    with suite(jailed(layers.confinement(layers.survey(), is_unsafe=True))) as made:
        yield made


@pytest.mark.parametrize(
    ("group", "attempt"),
    [pytest.param(group, each, id=f"{group}-{each.name}") for group, each in _ATTEMPTS if each.is_control],
)
def test_without_walls_the_suite_finds_the_escape(unconfined, group, attempt):
    """What is not found where it must succeed would prove nothing where it fails."""
    verdict = unconfined.run(group, attempt)
    assert not verdict.is_held
    assert any(not words.startswith("it proves nothing") for words in verdict.seen)


def test_an_attempt_that_does_not_run_proves_nothing(confined):
    """A typing error in an attempt is no wall."""
    if not _WAYS:
        pytest.skip("no Jail here")
    made = confined["all"]
    for code in ("no_such_name", "print('nothing tried')", "raise ValueError"):
        verdict = made.run("none", Attempt(name="broken", cells=(code,)))
        assert not verdict.is_held
        assert verdict.seen[0].startswith("it proves nothing")
    for expected in (Expected.ENDED, Expected.STOPPED):
        assert not made.run("none", Attempt(name="broken", cells=("1",), expected=expected)).is_held


def test_a_secret_that_comes_out_is_found_wherever_it_stands(confined):
    """In the output, in an answer, in a variable's name, in the word of a forged frame."""
    if not _WAYS:
        pytest.skip("no Jail here")
    made = confined["all"]
    secret = made._canaries.secret
    for code in (f"print({secret!r})", f"FINAL({secret!r})", f"raise ValueError({secret!r})", f"{secret[7:]!r}; x = 1"):
        verdict = made.run("none", Attempt(name="planted", cells=(code,), expected=Expected.ANY))
        assert verdict.is_held == (secret not in code), code


def test_there_are_attempts_of_every_kind_the_house_promises():
    """At least sixty of them; each has a name of its own and compiles."""
    assert len(_ATTEMPTS) >= 60
    names = [f"{group}: {attempt.name}" for group, attempt in _ATTEMPTS]
    assert len(set(names)) == len(names)
    for _group, attempt in _ATTEMPTS:
        for code in attempt.cells:
            ast.parse(code)
    assert sum(attempt.is_control for _group, attempt in _ATTEMPTS) >= 20


def test_without_anything_to_confine_with_nothing_is_started():
    """The suite is for machines that give a Jail; elsewhere the refusal comes first."""
    nothing = layers.Survey(system="Plan9", machine="mips", bubblewrap=None, refusals=(), landlock=0, seccomp=False)
    with pytest.raises(JailUnavailable):
        layers.confinement(nothing)
    assert Confinement(bubblewrap=None, landlock=False, seccomp=False).is_unsafe
