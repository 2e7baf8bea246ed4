"""Runs attempts to get out of a Jail and judges each by what it did to the host, not by what it says."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import ReplGone
from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected, Verdict
from rlm_mcp.sandbox.escapes.canaries import Canaries, canaries, grown, host_use
from rlm_mcp.sandbox.jail import Jail, Limits
from rlm_mcp.sandbox.jailed import JailedRepl
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.messages import Ending
from rlm_mcp.sandbox.mounts import Mapped
from rlm_mcp.sandbox.repl import Cell, Outcome, Repl

_PRELUDE = Path(__file__).with_name("prelude.py")
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A Repl under test."""

    repl: Repl
    pid: int | None
    """Of its process; None where it is none of its own."""


Start = Callable[[Mapped], Subject]
"""Starts a Repl that may read what is mapped."""


def jailed(confinement: Confinement, limits: Limits | None = None) -> Start:
    """Starts Repls in Jails of these layers."""

    def start(mapped: Mapped) -> Subject:
        jail = Jail.start(mapped, limits or Limits(), confinement)
        return Subject(repl=JailedRepl(jail), pid=jail.pid)

    return start


class Suite:
    """Canaries, a Repl to try attempts in, and a bystander. Made by :func:`suite`."""

    def __init__(self, start: Start, placed: Canaries) -> None:
        self._start = start
        self._canaries = placed
        self._first = _PRELUDE.read_text(encoding="utf-8") + f"\nC = {placed.places()!r}\n"
        self._subject: Subject | None = None
        self._number = 0
        self._bystander = start(placed.mapped)
        self._ask(self._bystander.repl, f"kept = {placed.token!r}")

    def run(self, group: str, attempt: Attempt) -> Verdict:
        """Try it; then the host, the canaries, the same Repl and the bystander are looked at."""
        started = time.monotonic()
        subject = self._ready()
        before = host_use()
        outcomes, told = self._tried(subject, attempt)
        subject = self._subject or subject
        texts = [text for outcome in outcomes for text in _texts(outcome)] + told
        is_there = subject.repl.is_alive
        harm = self._canaries.harm(texts, subject.pid if is_there else None)
        harm += _as_expected(attempt, outcomes, texts)
        harm += _late(attempt, outcomes)
        harm += self._silent()
        if attempt.expected is not Expected.REFUSED or not self._answers():
            self._end()
        harm += grown(before, host_use())
        return Verdict(
            group=group,
            name=attempt.name,
            is_held=not harm,
            seen=tuple(harm) or (_held_by(outcomes),),
            seconds=time.monotonic() - started,
        )

    def close(self) -> None:
        """End both Repls."""
        self._end()
        self._bystander.repl.close()

    def _ready(self) -> Subject:
        """A Repl that knows the prelude."""
        if self._subject is None:
            self._subject = self._start(self._canaries.mapped)
            self._ask(self._subject.repl, self._first)
        return self._subject

    def _tried(self, subject: Subject, attempt: Attempt) -> tuple[list[Outcome], list[str]]:
        """Outcomes of the Cells; and what is told where saving or restoring failed."""
        outcomes: list[Outcome] = []
        told: list[str] = []
        for number, code in enumerate(attempt.cells):
            if attempt.is_restored and number == len(attempt.cells) - 1:
                try:
                    subject = self._restored(subject, told)
                except ReplGone as error:
                    return outcomes, [*told, str(error)]
            outcomes.append(self._ask(subject.repl, code, attempt.timeout_seconds))
            if outcomes[-1].ending is None:
                break
        return outcomes, told

    def _restored(self, subject: Subject, told: list[str]) -> Subject:
        """Another Repl with the variables of this one."""
        with tempfile.TemporaryFile() as file:
            saved = subject.repl.save(file.fileno())
            told.append(f"saved: {saved}")
            self._end()
            self._subject = self._start(self._canaries.mapped)
            restored = self._subject.repl.restore({}, saved.variables, file.fileno(), {})
            told.append(f"restored: {restored}")
        return self._subject

    def _answers(self) -> bool:
        """Whether the Repl the attempt ran in, if it lives, answers as it should; else it is replaced."""
        if self._subject is None or not self._subject.repl.is_alive:
            return False
        outcome = self._ask(self._subject.repl, "print(C['token'])")
        return outcome.output.strip() == self._canaries.token

    def _silent(self) -> list[str]:
        """What is wrong with the bystander."""
        started = time.monotonic()
        outcome = self._ask(self._bystander.repl, "print(kept)")
        if outcome.output.strip() != self._canaries.token:
            return [f"another Repl answers {outcome.output[:100]!r} {outcome.why}"]
        seconds = time.monotonic() - started
        return [f"another Repl took {seconds:.1f} s to answer"] if seconds > _ANSWER_SECONDS else []

    def _ask(self, repl: Repl, code: str, timeout_seconds: float = _ANSWER_SECONDS) -> Outcome:
        self._number += 1
        cell = Cell(number=self._number, code=code, timeout_seconds=timeout_seconds, session={})
        return repl.run(cell, {"looked": lambda: None})  # asked where the repository's root is named

    def _end(self) -> None:
        if self._subject is not None:
            self._subject.repl.close()
            self._subject = None


@contextmanager
def suite(start: Start) -> Iterator[Suite]:
    """Canaries in a throwaway folder and the Repls to try attempts in."""
    with tempfile.TemporaryDirectory(prefix="rlm-mcp-escapes-") as folder, canaries(Path(folder)) as placed:
        made = Suite(start, placed)
        try:
            yield made
        finally:
            made.close()


def run(start: Start, attempts: Iterable[tuple[str, Attempt]]) -> Iterator[Verdict]:
    """Run attempts, each with its group; verdicts come one by one."""
    with suite(start) as made:
        for group, attempt in attempts:
            yield made.run(group, attempt)


def _texts(outcome: Outcome) -> list[str]:
    return [outcome.output, outcome.final or "", outcome.why, repr(outcome.variables)]


def _as_expected(attempt: Attempt, outcomes: list[Outcome], texts: list[str]) -> list[str]:
    """What shows that the attempt did not do what it is for; without that it proves nothing."""
    last = outcomes[-1] if outcomes else None
    is_ended = last is None or last.ending is None
    is_tried = any(line.startswith("refused:") for text in texts for line in text.splitlines())
    is_stopped = is_ended or is_tried or (last is not None and last.ending in {Ending.ERROR, Ending.INTERRUPTED})
    shown = "" if last is None else f"{last.ending}: {last.output[-500:]}"
    match attempt.expected:
        case Expected.REFUSED if is_ended or not is_tried or (last is not None and last.ending is not Ending.OK):
            return [f"it proves nothing: {shown} {'' if last is None else last.why}"]
        case Expected.ENDED if not is_ended:
            return [f"its process was not ended: {shown}"]
        case Expected.STOPPED if not is_stopped:
            return [f"nothing stopped it: {shown}"]
        case _:
            return []


def _late(attempt: Attempt, outcomes: list[Outcome]) -> list[str]:
    """A Cell that took longer than it may, by far."""
    most = attempt.timeout_seconds + _ANSWER_SECONDS
    return [f"a Cell took {outcome.seconds:.1f} s" for outcome in outcomes if outcome.seconds > most]


def _held_by(outcomes: list[Outcome]) -> str:
    """What held it, in a line."""
    refusals = [line for outcome in outcomes for line in outcome.output.splitlines() if line.startswith("refused:")]
    ended = [outcome.why for outcome in outcomes if outcome.ending is None]
    return (ended or refusals or [", ".join(str(outcome.ending) for outcome in outcomes)])[-1]
