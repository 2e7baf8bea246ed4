"""A command that ran, understood: its parts, what of it is work, what it printed and where that stands."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from rlm_mcp.events import Command, Event
from rlm_mcp.facts.memo import Memo
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.runs import RunKey, command_key, is_test, run_key
from rlm_mcp.facts.shell import Segment, folder_of, is_showing, parse

_UNSEEN = LazyPattern(r"\r+(?=\n|\Z)|\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_PROGRAM = LazyPattern(r"^[\w.+@-]+$")
_QUIET = frozenset(
    {"cd", "echo", "mkdir", "export", "source", ".", "set", "true", "sleep", "printf", "pwd", "which", "ls"}
)


@dataclass(frozen=True, slots=True)
class Printed:
    """A command's output as a terminal shows it, and where it stands in the Event's text."""

    text: str
    base: int
    """Character offset in the Event's text; below 0: it is not there."""
    cuts: tuple[tuple[int, int], ...] = ()
    """(offset in ``text``, characters removed up to there)."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A span of ``text`` as one of the Event's text."""
        if self.base < 0:
            return 0, 0
        return self.base + self._raw(start), self.base + (self._raw(end - 1) + 1 if end > start else self._raw(end))

    def _raw(self, at: int) -> int:
        if not self.cuts:
            return at
        i = bisect_right(self.cuts, (at, 1 << 60)) - 1
        return at + (self.cuts[i][1] if i >= 0 else 0)


def printed_by(command: Command, event: Event) -> Printed:
    """The output without terminal colours and carriage returns at line ends."""
    base = event.text.find(command.output) if command.output else -1
    if "\x1b" not in command.output and "\r" not in command.output:
        return Printed(command.output, base)
    pieces: list[str] = []
    cuts: list[tuple[int, int]] = []
    at = removed = length = 0
    for match in _UNSEEN.finditer(command.output):
        piece = command.output[at : match.start()]
        pieces.append(piece)
        length += len(piece)
        removed += match.end() - match.start()
        cuts.append((length, removed))
        at = match.end()
    pieces.append(command.output[at:])
    return Printed("".join(pieces), base, tuple(cuts))


@dataclass(frozen=True, slots=True)
class Run:
    """A command, understood."""

    command: Command
    key: str
    """What a newer run of the same command shares with it."""
    segments: list[Segment]
    working: list[Segment]
    """Those whose output tells how work went."""
    keys: tuple[RunKey, ...]
    """Of ``working``."""
    showing: bool
    """What it printed is content, not the outcome of work."""

    @property
    def test(self) -> RunKey | None:
        """The last test run among its parts."""
        tests = [key for segment, key in zip(self.working, self.keys, strict=True) if is_test(segment)]
        return tests[-1] if tests else None

    @property
    def is_plain(self) -> bool:
        """Whether its exit code is that of its work: nothing after it or piped from it hides a failure."""
        return not any(s.piped or s.joiner in {";", "||"} for s in self.segments[1:])

    def main(self, *, tested: bool) -> RunKey | None:
        """The part that a test outcome (``tested``) or an error belongs to."""
        found = self.test if tested else None
        return found or (self.keys[-1] if self.keys else None)


def understand(command: Command, memo: Memo) -> Run:
    """``command`` in its folder; the first folder seen becomes the Session's own."""
    segments = parse(command.command)
    folder = folder_of(segments, command.cwd)
    if not memo.home and folder:
        memo.home = folder
    away = "" if folder == memo.home else folder
    working = [s for s in segments if s.words and not s.piped and s.program not in _QUIET and not is_showing(s)]
    keys = []
    for segment in working:
        tool, targets = run_key(segment) if _PROGRAM.match(segment.program) else (command_key(command.command, ""), ())
        keys.append((f"{tool} (in {away})" if away else tool, targets))
    dumps = any(not s.piped and is_showing(s) and s.program not in _QUIET for s in segments)
    showing = not working or (dumps and not command.failed)
    return Run(command, command_key(command.command, away), segments, working, tuple(keys), showing)
