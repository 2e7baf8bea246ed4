"""job: questions under way in this process: started, waited for, looked at, cancelled; what they had is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rlm_mcp.errors import RlmError, UsageError
from rlm_mcp.sublm.budget import Budget
from rlm_mcp.sublm.lm import Stop
from rlm_mcp.verbs.ask import AskAnswer

ACTIONS = ("poll", "wait", "cancel")
_KEPT = 50
"""Jobs that have ended and are still known."""
_CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as it is now."""

    id: str
    question: str
    seconds: float
    """Since it began, or from beginning to end."""
    told: str
    """What is spent, in words."""
    partial: str
    """What it has printed and been answered last, while it has no answer."""
    answer: AskAnswer | None
    """None while it runs."""
    error: RlmError | None
    """Why it could not be asked at all."""

    @property
    def is_over(self) -> bool:
        """It has an answer, or an error."""
        return self.answer is not None or self.error is not None


class Job:
    """A question under way, in a thread of its own."""

    def __init__(
        self, job_id: str, question: str, *, budget: Budget, stop: Stop, so_far: Callable[[], str] = str
    ) -> None:
        """``so_far``: what it has by now, asked from any thread."""
        self.id = job_id
        self._so_far = so_far
        self.stop = stop
        self._question = question
        self._budget = budget
        self._started = time.monotonic()
        self._seconds: float | None = None
        self._over = threading.Event()
        self._answer: AskAnswer | None = None
        self._error: RlmError | None = None

    def start(self, work: Callable[[], AskAnswer]) -> None:
        """Begin."""
        threading.Thread(target=self._run, args=(work,), name=f"rlm-mcp {self.id}", daemon=True).start()

    def state(self) -> JobState:
        """As it is now."""
        seconds = self._seconds if self._seconds is not None else time.monotonic() - self._started
        return JobState(
            id=self.id,
            question=self._question,
            seconds=seconds,
            told=self._budget.told(),
            partial="" if self._over.is_set() else self._so_far(),
            answer=self._answer,
            error=self._error,
        )

    def wait(self, seconds: float) -> JobState:
        """As it is when it is over, or after so long."""
        self._over.wait(seconds)
        return self.state()

    @property
    def is_over(self) -> bool:
        """It has ended."""
        return self._over.is_set()

    def _run(self, work: Callable[[], AskAnswer]) -> None:
        try:
            self._answer = work()
        except RlmError as error:
            self._error = error
        finally:
            self._seconds = time.monotonic() - self._started
            if self._answer is None and self._error is None:  # a mistake of ours goes on into the thread's own trace
                self._error = RlmError(f"job {self.id} ended by a mistake of rlm-mcp itself; its log tells more")
            self._over.set()


class Jobs:
    """All questions of this process. Safe to use from any thread."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def add(self, job: Job) -> None:
        """Know it; the oldest that have ended are forgotten (their Runs are in the store)."""
        with self._lock:
            self._jobs[job.id] = job
            over = [known.id for known in self._jobs.values() if known.is_over]
            for job_id in over[: max(0, len(over) - _KEPT)]:
                del self._jobs[job_id]

    def act(self, job_id: str, action: str, *, wait_seconds: float) -> JobState:
        """What became of a job: at once, after waiting for it, or after telling it to stop.

        Raises:
            UsageError: no such job or action.
        """
        if action not in ACTIONS:
            raise UsageError(f"action {action!r} is not known; known: {', '.join(ACTIONS)}")
        with self._lock:
            job = self._jobs.get(job_id)
            known = ", ".join(self._jobs) or "none"
        if job is None:
            raise UsageError(f"no job {job_id!r} in this process (there are: {known}); 'rlm-mcp runs' lists all runs")
        if action == "cancel":
            job.stop.now()
        return job.wait({"poll": 0.0, "wait": wait_seconds, "cancel": _CANCEL_SECONDS}[action])

    def close(self) -> None:
        """Tell all to stop, and wait a little for what they note."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stop.now()
        deadline = time.monotonic() + _CANCEL_SECONDS
        for job in jobs:
            job.wait(max(0.0, deadline - time.monotonic()))
