"""Stop: told once, everything below it ends; nothing is kept alive by it."""

import gc
import threading

import pytest

from rlm_mcp.errors import Cancelled, SubLMTimeout
from rlm_mcp.sublm.lm import Stop


def test_before_anything_is_said_there_is_all_the_time():
    """No deadline, not told."""
    stop = Stop()
    assert (stop.left(7.0), stop.is_told, stop.deadline) == (7.0, False, None)


def test_once_told_it_is_cancelled_for_everybody_below():
    """Children, and theirs, whoever holds them."""
    top = Stop()
    low = Stop(parent=Stop(parent=top))
    gc.collect()
    top.now()
    top.now()
    with pytest.raises(Cancelled):
        low.left(1.0)
    assert Stop(parent=top).is_told


def test_a_child_that_is_told_leaves_its_parent_alone():
    """Down, never up."""
    top = Stop()
    Stop(parent=top).now()
    assert not top.is_told


def test_the_earliest_deadline_of_the_line_counts():
    """A child cannot have more time than those above it."""
    top = Stop(seconds=0.0)
    with pytest.raises(SubLMTimeout):
        Stop(seconds=60.0, parent=top).left(1.0)
    assert Stop(seconds=5.0, parent=Stop(seconds=60.0)).left(100.0) <= 5.0


def test_who_waits_is_woken():
    """At once, with Cancelled."""
    stop = Stop()
    ended: list[str] = []

    def wait() -> None:
        try:
            stop.wait(600.0)
        except Cancelled:
            ended.append("cancelled")

    thread = threading.Thread(target=wait)
    thread.start()
    stop.now()
    thread.join(10)
    assert ended == ["cancelled"]


def test_a_wait_ends_at_the_deadline():
    """SubLMTimeout, however long it was to be."""
    with pytest.raises(SubLMTimeout):
        Stop(seconds=0.01).wait(600.0)


def test_a_waker_is_called_once_and_never_after_its_block():
    """Nor when it is told twice."""
    stop, calls = Stop(), []
    with stop.waking(lambda: calls.append("over")):
        pass
    with stop.waking(lambda: calls.append("within")):
        stop.now()
        stop.now()
    with stop.waking(lambda: calls.append("late")):
        assert calls == ["within", "late"]


def test_children_that_are_gone_are_forgotten():
    """A Run of 10,000 calls makes as many; none is kept."""
    top = Stop()
    for _ in range(1_000):
        Stop(parent=top)
    gc.collect()
    assert len(top._children) == 0
