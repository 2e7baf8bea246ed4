"""rlm_mcp.verbs.jobs: questions under way are waited for, looked at and cancelled; what they had is kept."""

import threading
from collections.abc import Iterator

import pytest

from rlm_mcp.costs import Limits, Spent
from rlm_mcp.errors import QueryError, RlmError, UsageError
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.ask import AskAnswer
from rlm_mcp.verbs.jobs import Job, Jobs

_ANSWER = AskAnswer(answer="42", status="ok", way="run", spent=Spent())
_CANCELLED = AskAnswer(answer="", status="cancelled", way="run", spent=Spent(), partial="half")


class Work:
    """Goes on until it is let go, or told to stop."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.go = threading.Event()
        self.begun = threading.Event()

    def __call__(self) -> AskAnswer:
        self.begun.set()
        with self.stop.waking(self.go.set):
            assert self.go.wait(60)
        return _CANCELLED if self.stop.is_told else _ANSWER


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    """Closed in the end."""
    made = Jobs()
    yield made
    made.close()


def _started(jobs: Jobs, job_id: str = "r1", so_far: str = "") -> tuple[Job, Work]:
    stop = Stop(seconds=60)
    job = Job(job_id, "Why?", budget=Budget(Limits(calls=5)), stop=stop, so_far=lambda: so_far)
    work = Work(stop)
    jobs.add(job)
    job.start(work)
    assert work.begun.wait(30)
    return job, work


def test_a_job_can_be_looked_at_while_it_runs(jobs: Jobs) -> None:
    """What it has spent, and what it has so far."""
    _job, work = _started(jobs, so_far="found 3 so far")
    state = jobs.act("r1", "poll", wait_seconds=60)
    assert (state.id, state.question, state.is_over, state.answer) == ("r1", "Why?", False, None)
    assert state.partial == "found 3 so far"
    assert "of 5" in state.told
    work.go.set()


def test_a_job_is_waited_for(jobs: Jobs) -> None:
    """As long as is said; its answer is there as often as it is asked for."""
    _job, work = _started(jobs)
    assert not jobs.act("r1", "wait", wait_seconds=0.01).is_over
    work.go.set()
    state = jobs.act("r1", "wait", wait_seconds=60)
    assert (state.is_over, state.answer, state.partial) == (True, _ANSWER, "")
    again = jobs.act("r1", "poll", wait_seconds=60)
    assert again == state


def test_a_job_is_cancelled_and_keeps_what_it_had(jobs: Jobs) -> None:
    """Twice does no harm; one that is over stays as it is."""
    _started(jobs)
    for _time in range(2):
        state = jobs.act("r1", "cancel", wait_seconds=60)
        assert state.answer == _CANCELLED
    _job, work = _started(jobs, "r2")
    work.go.set()
    jobs.act("r2", "wait", wait_seconds=60)
    assert jobs.act("r2", "cancel", wait_seconds=60).answer == _ANSWER


def test_many_jobs_run_at_once(jobs: Jobs) -> None:
    """None waits for another."""
    started = [_started(jobs, f"r{number}") for number in range(30)]
    for _job, work in reversed(started):
        work.go.set()
    assert all(jobs.act(job.id, "wait", wait_seconds=60).answer == _ANSWER for job, _work in started)


def test_closing_ends_all_of_them() -> None:
    """They are told, and have noted their end when it returns."""
    jobs = Jobs()
    started = [_started(jobs, f"r{number}") for number in range(5)]
    jobs.close()
    assert all(job.state().answer == _CANCELLED for job, _work in started)


def test_jobs_that_are_over_are_forgotten_in_the_end(jobs: Jobs) -> None:
    """The oldest first; none that still runs."""
    _started(jobs, "first")
    for number in range(60):
        job, work = _started(jobs, f"r{number}")
        work.go.set()
        job.wait(60)
    assert not jobs.act("first", "poll", wait_seconds=0).is_over
    assert jobs.act("r59", "poll", wait_seconds=0).is_over
    with pytest.raises(UsageError, match="no job 'r0' in this process"):
        jobs.act("r0", "poll", wait_seconds=0)


def test_an_error_is_kept_for_whoever_asks(jobs: Jobs) -> None:
    """A question that cannot be asked."""

    def refuse() -> AskAnswer:
        raise QueryError("the question is empty")

    job = Job("r1", "", budget=Budget(Limits()), stop=Stop())
    jobs.add(job)
    job.start(refuse)
    state = job.wait(60)
    assert (state.is_over, type(state.error), state.answer) == (True, QueryError, None)


def test_a_mistake_of_ours_ends_a_job_too() -> None:
    """Nobody waits for it for ever."""

    def break_down() -> AskAnswer:
        raise ZeroDivisionError

    job = Job("r1", "", budget=Budget(Limits()), stop=Stop())
    with pytest.raises(ZeroDivisionError):  # in the job's own thread, where it is logged
        job._run(break_down)
    state = job.wait(60)
    assert state.is_over
    assert isinstance(state.error, RlmError)


def test_unknown_jobs_and_actions_are_refused(jobs: Jobs) -> None:
    """With what there is."""
    _started(jobs)
    with pytest.raises(UsageError, match=r"no job 'r2' in this process \(there are: r1\)"):
        jobs.act("r2", "poll", wait_seconds=0)
    with pytest.raises(UsageError, match="known: poll, wait, cancel"):
        jobs.act("r1", "stop", wait_seconds=0)
