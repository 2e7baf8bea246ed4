"""Facts of a shell command that ran: itself, test outcomes, errors, commits, pushes, files it shows and changes."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from rlm_mcp.events import Command, EditKind, Event, FileEdit
from rlm_mcp.facts.error_lines import error_lines
from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo, RunKey, bound
from rlm_mcp.facts.outcomes import Outcome, read_outcome
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.shell import (
    Segment,
    command_key,
    covers,
    files_changed,
    files_shown,
    folder_of,
    git_verb,
    is_showing,
    join,
    parse,
    run_key,
)

EditFacts = Callable[[FileEdit, str, Memo], list[Fact]]

_ANSI = LazyPattern(r"\r+(?=\n|\Z)|\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_TESTING = frozenset(
    [
        "pytest",
        "jest",
        "vitest",
        "mocha",
        "tox",
        "ctest",
        "rspec",
        "phpunit",
        "pest",
        "nox",
        "ava",
        "karma",
        "playwright",
        "bats",
        "prove",
        "nextest",
        "gotestsum",
        "unittest",
        "cypress",
        "trial",
        "nose2",
        "behave",
    ]
)
_PROGRAM = LazyPattern(r"^[\w.+@-]+$")
_QUIET = frozenset(
    ["cd", "echo", "mkdir", "export", "source", ".", "set", "true", "sleep", "printf", "pwd", "which", "ls"]
)


@dataclass(frozen=True, slots=True)
class _Printed:
    """A command's output, without terminal colours, and where it stands in the Event's text."""

    text: str
    base: int
    """Character offset in the Event's text; below 0: it is not there."""
    cuts: tuple[tuple[int, int], ...] = ()
    """(offset in ``text``, characters removed up to there)."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A span of ``text`` as one of the Event's text."""
        if self.base < 0:
            return 0, 0
        return self.base + self._raw(start), self.base + self._raw(end)

    def _raw(self, at: int) -> int:
        if not self.cuts:
            return at
        i = bisect_right(self.cuts, (at, 1 << 60)) - 1
        return at + (self.cuts[i][1] if i >= 0 else 0)


def _printed(command: Command, event: Event) -> _Printed:
    base = event.text.find(command.output) if command.output else -1
    if "\x1b" not in command.output and "\r" not in command.output:
        return _Printed(command.output, base)
    pieces: list[str] = []
    cuts: list[tuple[int, int]] = []
    at = removed = length = 0
    for match in _ANSI.finditer(command.output):
        piece = command.output[at : match.start()]
        pieces.append(piece)
        length += len(piece)
        removed += match.end() - match.start()
        cuts.append((length, removed))
        at = match.end()
    pieces.append(command.output[at:])
    return _Printed("".join(pieces), base, tuple(cuts))


@dataclass(frozen=True, slots=True)
class _Run:
    """A command, understood."""

    key: str
    folder: str
    """Where it ran, where that is not the Session's own folder."""
    segments: list[Segment]
    working: list[Segment]
    """Those whose output tells how work went."""
    runs: tuple[RunKey, ...]
    """Of ``working``."""
    showing: bool


def facts_of_command(command: Command, event: Event, memo: Memo, known: set[str], edit_facts: EditFacts) -> list[Fact]:
    """Facts of ``command``; ``known``: paths that other Actions of the Event already tell of."""
    run = _understand(command, memo)
    printed = _printed(command, event)
    outcome = read_outcome(printed.text) if run.working and printed.text else None
    found = [_command_fact(command, run)]
    tests = _test_facts(run, outcome, printed, command, memo)
    errors = _error_facts(run, outcome, printed, command, memo)
    found[0] = replace(found[0], closes=_closed_errors(run, command, bool(errors), memo))
    found += tests
    found += errors
    if errors:
        tested = outcome is not None or _test_run(run) is not None
        memo.keep_error(errors[0].subject, _main_run(run, tested) or (run.key, ()))
    if run.working:
        found += _git_facts(run, command, printed, memo)
    if not command.failed:
        found += _file_facts(run, command, event, memo, known, edit_facts)
    return found


def _understand(command: Command, memo: Memo) -> _Run:
    segments = parse(command.command)
    folder = folder_of(segments, command.cwd)
    if not memo.home and folder:
        memo.home = folder
    away = "" if folder == memo.home else folder
    working = [s for s in segments if s.words and not s.piped and s.program not in _QUIET and not is_showing(s)]
    runs = []
    for segment in working:
        tool, targets = run_key(segment) if _PROGRAM.match(segment.program) else (command_key(command.command, ""), ())
        runs.append((f"{tool} (in {away})" if away else tool, targets))
    dumps = any(not s.piped and is_showing(s) and s.program not in _QUIET for s in segments)
    showing = not working or (dumps and not command.failed)
    return _Run(command_key(command.command, away), away, segments, working, tuple(runs), showing)


def _command_fact(command: Command, run: _Run) -> Fact:
    failed = command.failed or (command.exit_code or 0) != 0
    unknown = command.exit_code is None and not failed and not command.output
    return Fact(
        kind=FactKind.COMMAND,
        subject=run.key,
        text=command.command[:2_000],
        status="failed" if failed else "unknown" if unknown and command.seconds is None else "ok",
        exit_code=command.exit_code,
        seconds=command.seconds,
    )


def _subject(run: RunKey) -> str:
    return " ".join((run[0], *run[1])).strip()[:400]


def _is_test(segment: Segment) -> bool:
    if segment.program in _TESTING:
        return True
    return any(
        w == "test"
        or (w == "check" and segment.program in {"make", "just"})
        or (w.startswith(("test:", "test-", "tests")) and "/" not in w and "." not in w)
        for w in segment.words[1:4]
    )


def _test_run(run: _Run) -> RunKey | None:
    tests = [key for segment, key in zip(run.working, run.runs, strict=True) if _is_test(segment)]
    return tests[-1] if tests else None


def _main_run(run: _Run, tested: bool) -> RunKey | None:
    """The run a test outcome or error belongs to."""
    if tested:
        found = _test_run(run)
        if found is not None:
            return found
    return run.runs[-1] if run.runs else None


def _test_facts(run: _Run, outcome: Outcome | None, printed: _Printed, command: Command, memo: Memo) -> list[Fact]:
    key = _main_run(run, True)
    if key is None:
        return []
    if outcome is None:
        return _unfinished_test(run, printed, command, memo)
    subject = _subject(key)
    start, end = printed.span(outcome.start, outcome.end)
    still = {failing.name for failing in outcome.failing}
    settled = [name for name, old in memo.failing.items() if name not in still and _is_settled(name, old, key, outcome)]
    older = [name for name, old in memo.tests.items() if name != subject and covers(key, old)]
    for name in settled:
        del memo.failing[name]
    for name in older:
        del memo.tests[name]
    memo.tests[subject] = key
    bound(memo.tests, 60)
    closes = [Closes(kind=FactKind.FAILING_TEST, subject=name) for name in settled]
    closes += [Closes(kind=FactKind.TEST, subject=name) for name in older]
    found = [
        Fact(
            kind=FactKind.TEST,
            subject=subject,
            text=printed.text[outcome.start : outcome.end][:2_000],
            status="passed" if outcome.ok else "failed",
            start=start,
            end=end,
            exit_code=command.exit_code,
            seconds=command.seconds,
            added=outcome.passed,
            removed=outcome.failed,
            note=outcome.runner,
            closes=tuple(closes),
        )
    ]
    for failing in outcome.failing:
        memo.failing[failing.name[:400]] = key
        start, end = printed.span(failing.start, failing.end)
        line = printed.text[failing.start : failing.end][:2_000]
        found.append(
            Fact(kind=FactKind.FAILING_TEST, subject=failing.name[:400], text=line, status="open", start=start, end=end)
        )
    bound(memo.failing, 300)
    if outcome.failing_left_out:
        found[-1] = replace(found[-1], note=f"{outcome.failing_left_out} more failing tests")
    return found


def _is_settled(name: str, old: RunKey, new: RunKey, outcome: Outcome) -> bool:
    """Whether a run without ``name`` among its failures says that it no longer fails."""
    if outcome.passed == 0 or name in outcome.passing:
        return name in outcome.passing
    if covers(new, old):
        return True
    if new[0] != old[0] or outcome.failed:
        return False
    for target in new[1]:
        flag, _, value = target.partition(" ") if target.startswith("-") else ("", "", target)
        value = value.strip("^$'\"/ ")
        if value and (
            name == value or name.startswith((f"{value}::", f"{value}/", f"{value} ")) or (flag and value in name)
        ):
            return True
    return False


def _unfinished_test(run: _Run, printed: _Printed, command: Command, memo: Memo) -> list[Fact]:
    """A test run that failed before it could count: it stands as the latest outcome, with its last words."""
    key = _test_run(run)
    if key is None or not command.failed:
        return []
    text = printed.text.rstrip()
    at = text.rfind("\n") + 1
    start, end = printed.span(at, min(len(text), at + 400))
    memo.tests[_subject(key)] = key
    return [
        Fact(
            kind=FactKind.TEST,
            subject=_subject(key),
            text=text[at : at + 400].strip(),
            status="failed",
            start=start,
            end=end,
            exit_code=command.exit_code,
            seconds=command.seconds,
            note="no counts",
        )
    ]


def _error_facts(run: _Run, outcome: Outcome | None, printed: _Printed, command: Command, memo: Memo) -> list[Fact]:
    if not printed.text or (outcome is not None and outcome.ok and not command.failed):
        return []
    failed = command.failed and outcome is None
    showing = run.showing and not (failed and _is_complaint(run, printed.text))
    errors, more = error_lines(printed.text, showing=showing, failed=failed)
    if not errors:
        return []
    tested = outcome is not None or _test_run(run) is not None
    main = _main_run(run, tested)
    subject = _subject(main) if main else run.key
    found = []
    for error in errors:
        start, end = printed.span(error.start, error.end)
        found.append(
            Fact(
                kind=FactKind.ERROR,
                subject=subject,
                text=error.text,
                status="open",
                start=start,
                end=end,
                note=error.where,
            )
        )
    if more:
        found[-1] = replace(found[-1], note=f"{found[-1].note} ({more} more error lines)".strip())
    return found


def _is_complaint(run: _Run, output: str) -> bool:
    """Whether the short output of a failed command that shows content is its complaint. Searches fail in finding nothing."""
    quiet = {"rg", "grep", "egrep", "fgrep", "diff", "cmp", "ag", "ack", "test", "[", "find"}
    return output.count("\n") <= 4 and not any(segment.program in quiet for segment in run.segments)


def _closed_errors(run: _Run, command: Command, again: bool, memo: Memo) -> tuple[Closes, ...]:
    """Errors that this run settles: it succeeded, or ran again and reports anew."""
    if not memo.errors or (command.failed and not again):
        return ()
    runs = run.runs
    if command.failed or any(segment.joiner in {";", "||"} for segment in run.working[1:]):
        runs = runs[-1:]
    gone = [
        subject
        for subject, old in memo.errors.items()
        if subject == run.key or any(covers(new, old) or _subject(new) == subject for new in runs)
    ]
    for subject in gone:
        del memo.errors[subject]
    return tuple(Closes(kind=FactKind.ERROR, subject=subject) for subject in gone)


_COMMIT = LazyPattern(r"^\[([^\]\n]{1,200}?) ([0-9a-f]{7,40})\] (.+)$", re.MULTILINE)
_PUSHED = LazyPattern(
    r"^ (?:[ +*=!-]) +(?:\[new (?:branch|tag)\]|"
    r"[0-9a-f]{7,40}\.{2,3}[0-9a-f]{7,40}) +(\S+) +-> +(\S+).*$",
    re.MULTILINE,
)
_PR_URL = LazyPattern(r"https?://[\w.-]+/[\w./-]+/(?:pull|merge_requests|pull-requests)/(\d+)(?!\S*/)")
_PR_NUMBER = LazyPattern(r"\b(?:PR|[Pp]ull [Rr]equest) #(\d+)\b")
_PR_VERBS = {
    "create": "created",
    "submit": "submitted",
    "merge": "merged",
    "close": "closed",
    "ready": "ready",
    "edit": "edited",
    "reopen": "reopened",
}
_RESET = LazyPattern(r"^HEAD(?:~(\d+)|(\^+))$")
_MERGED = LazyPattern(r"^(?:Fast-forward|Merge made by .*|Already up to date\.)$", re.MULTILINE)


def _git_facts(run: _Run, command: Command, printed: _Printed, memo: Memo) -> list[Fact]:
    found: list[Fact] = []
    if " -> " in printed.text and "push" in command.command:
        for match in _PUSHED.finditer(printed.text):
            start, end = printed.span(*match.span())
            found.append(
                Fact(
                    kind=FactKind.PULL_REQUEST,
                    subject=f"push {match[2]}",
                    text=match[0].strip(),
                    status="pushed",
                    start=start,
                    end=end,
                )
            )
    if "[" in printed.text:
        found += _commit_facts(run, printed, memo)
    verbs = [status for segment in run.working if (status := _pr_verb(segment))]
    if verbs and not command.failed:
        found += _pull_requests(printed, verbs[-1])
    for segment in run.working:
        if segment.program == "git" and not command.failed:
            found += _undone_or_merged(segment, printed, memo, found)
    return found


def _commit_facts(run: _Run, printed: _Printed, memo: Memo) -> list[Fact]:
    found: list[Fact] = []
    amends = any("--amend" in segment.words for segment in run.working)
    for match in _COMMIT.finditer(printed.text):
        start, end = printed.span(*match.span())
        closes = ()
        if amends and memo.commits:
            closes = (Closes(kind=FactKind.COMMIT, subject=memo.commits.pop()),)
        memo.commits = [*memo.commits, match[2]][-30:]
        found.append(
            Fact(
                kind=FactKind.COMMIT,
                subject=match[2],
                text=match[3].strip()[:2_000],
                status=match[1].replace("(root-commit)", "").strip(),
                start=start,
                end=end,
                closes=closes,
            )
        )
    return found


def _pr_verb(segment: Segment) -> str:
    words = segment.words[:4]
    for i, word in enumerate(words[:-1]):
        if word in {"pr", "mr"} and words[i + 1] in _PR_VERBS:
            return _PR_VERBS[words[i + 1]]
    return "submitted" if segment.program == "gt" and "submit" in words else ""


def _pull_requests(printed: _Printed, status: str) -> list[Fact]:
    match = None
    for match in _PR_URL.finditer(printed.text):
        pass
    match = match or _PR_NUMBER.search(printed.text)
    if match is None:
        return []
    start, end = printed.span(*match.span())
    return [Fact(kind=FactKind.PULL_REQUEST, subject=match[1], text=match[0], status=status, start=start, end=end)]


def _undone_or_merged(segment: Segment, printed: _Printed, memo: Memo, found: list[Fact]) -> list[Fact]:
    verb = git_verb(segment)
    if verb == "merge" and not found:
        match = _MERGED.search(printed.text)
        names = [word for word in segment.words[2:] if not word.startswith("-")]
        if match and names and "Already" not in match[0]:
            start, end = printed.span(*match.span())
            return [
                Fact(
                    kind=FactKind.PULL_REQUEST,
                    subject=f"merge {names[0]}"[:400],
                    text=f"git merge {names[0]}: {match[0]}",
                    status="merged",
                    start=start,
                    end=end,
                )
            ]
    return []


def undone_commits(segments: Iterable[Segment], memo: Memo) -> list[str]:
    """Hashes that a ``git reset HEAD~N`` takes off the branch."""
    gone: list[str] = []
    for segment in segments:
        if segment.program == "git" and git_verb(segment) == "reset":
            for word in segment.words:
                match = _RESET.match(word)
                count = int(match[1]) if match and match[1] else len(match[2]) if match else 0
                for _ in range(min(count, len(memo.commits))):
                    gone.append(memo.commits.pop())
    return gone


_HOW = {"create": EditKind.CREATE, "update": EditKind.UPDATE, "delete": EditKind.DELETE, "move": EditKind.MOVE}


def _file_facts(
    run: _Run, command: Command, event: Event, memo: Memo, known: set[str], edit_facts: EditFacts
) -> list[Fact]:
    found: list[Fact] = []
    undone = undone_commits(run.working, memo)
    for change in files_changed(run.segments, command.cwd):
        if change.path in known:
            continue
        edit = FileEdit(
            path=change.path,
            edit=_HOW[change.how],
            added=change.added_text.count("\n") + 1 if change.added_text else 0,
            added_text=change.added_text,
            new_path=change.new_path,
        )
        found += edit_facts(edit, event.text, memo)
    shown = files_shown(run.segments, command.cwd) if run.segments else []
    alone = len(shown) == 1 and len(run.segments) == 1
    for file in shown:
        if file.path in known:
            continue
        digest = hashlib.sha256(command.output.encode("utf-8", "replace")).hexdigest()[:16] if alone else ""
        found.append(Fact(kind=FactKind.READ, subject=file.path[:400], text=file.lines, status=digest))
    found += _lookups(run, command)
    if undone:
        closes = tuple(Closes(kind=FactKind.COMMIT, subject=commit) for commit in undone)
        found.insert(
            0, Fact(kind=FactKind.COMMIT, subject="", text=command.command[:400], status="reset", closes=closes)
        )
    return found


def _lookups(run: _Run, command: Command) -> list[Fact]:
    found = []
    for segment in run.segments:
        if segment.piped or segment.program not in {"rg", "grep", "ag", "ack", "egrep", "fgrep"}:
            continue
        operands = [word for word in segment.words[1:] if not word.startswith("-")]
        if operands:
            where = " ".join(operands[1:])[:400]
            found.append(Fact(kind=FactKind.LOOKUP, subject=operands[0][:400], text=where or join(command.cwd, ".")))
    return found
