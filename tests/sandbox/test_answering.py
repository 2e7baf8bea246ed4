"""rlm_mcp.sandbox.answering: who waits for a host function can leave; what is left is told, and keeps nobody."""

import sqlite3
import threading

import pytest

from rlm_mcp.sandbox.answering import Answerer, leave


def test_calls_are_answered_in_one_thread_with_what_they_return_or_raise():
    """One after the other; the thread is not the caller's, and ends when nobody has anything more to ask."""
    answerer = Answerer()
    threads = []
    for number in range(3):
        pending = answerer.begin(lambda number=number: threads.append(threading.current_thread()) or number)
        assert pending.wait(30)
        assert pending.found() == number
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    failing = answerer.begin(lambda: 1 / 0)
    assert failing.wait(30)
    with pytest.raises(ZeroDivisionError):
        failing.found()
    answerer.close()
    threads[0].join(30)
    assert not threads[0].is_alive()
    assert answerer.begin(lambda: "again").wait(30)
    answerer.close()


def test_who_leaves_tells_the_call_and_goes_on_with_another_thread():
    """What was left comes to its end by itself; the next call does not wait for it."""
    answerer, told, go_on = Answerer(), threading.Event(), threading.Event()

    def working():
        with leave().waking(told.set):
            assert go_on.wait(30)
        return "late"

    left = answerer.begin(working)
    while not told.is_set():  # it may not have begun
        left.leave.now()
    answerer.abandon()
    after = answerer.begin(lambda: "at once")
    assert after.wait(30)
    assert after.found() == "at once"
    assert not left.wait(0.0)
    go_on.set()
    assert left.wait(30)
    assert left.found() == "late"
    answerer.close()


def test_only_a_few_calls_can_be_at_work_for_nobody():
    """Whoever has left so many is told; once they have ended there is room again."""
    answerer, go_on = Answerer(), threading.Event()
    left = []
    while answerer.is_free:
        left.append(answerer.begin(lambda: go_on.wait(30)))
        answerer.abandon()
        assert len(left) < 10
    go_on.set()
    assert all(pending.wait(30) for pending in left)
    while not answerer.is_free:
        pass


def test_sqlite_breaks_off_what_nobody_waits_for():
    """A statement that would take minutes; the connection is as good as before."""
    answerer, began = Answerer(), threading.Event()
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.create_function("begun", 0, lambda: began.set() or 1)
    endless = "WITH RECURSIVE n(i) AS (SELECT begun() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    def working():
        with leave().waking(connection.interrupt):
            return connection.execute(endless).fetchone()

    pending = answerer.begin(working)
    assert began.wait(30)
    pending.leave.now()
    assert pending.wait(30)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        pending.found()
    assert connection.execute("SELECT 5").fetchone() == (5,)
    connection.close()
    answerer.close()


def test_outside_of_any_call_nobody_leaves():
    """What works for no Cell has nothing to be told."""
    with leave().waking(pytest.fail):
        leave().now()
