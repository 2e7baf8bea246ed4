"""Facts of a shell command that ran: itself, and by the other modules its tests, commits, errors and files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from rlm_mcp.events import Command, EditKind, Event, FileEdit
from rlm_mcp.facts.error_lines import error_lines
from rlm_mcp.facts.error_shapes import cure_of
from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo, bound
from rlm_mcp.facts.outcomes import Outcome, read_outcome
from rlm_mcp.facts.runs import covers, subject_of
from rlm_mcp.facts.shell import SEARCHERS
from rlm_mcp.facts.shell_files import files_changed, files_shown
from rlm_mcp.facts.tested import test_facts
from rlm_mcp.facts.understood import Printed, Run, printed_by, understand
from rlm_mcp.facts.vcs import undone_commits, vcs_facts

EditFacts = Callable[[FileEdit, str, Memo], list[Fact]]
_FINDING_NOTHING = SEARCHERS | {"diff", "cmp", "test", "[", "find"}


def facts_of_command(command: Command, event: Event, memo: Memo, known: set[str], edit_facts: EditFacts) -> list[Fact]:
    """Facts of ``command``; ``known``: paths that other Actions of the Event already tell of."""
    run = understand(command, memo)
    printed = printed_by(command, event)
    outcome = read_outcome(printed.text) if run.working and printed.text else None
    found = [_command_fact(run)]
    tests = test_facts(run, outcome, printed, memo)
    errors = _error_facts(run, outcome, printed)
    closes: tuple[Closes, ...] = ()
    if errors:
        errors, closes = _without_noise(errors, run, memo)
    closes += _closed_errors(run, memo, again=bool(errors))
    if not command.failed:
        closes += tuple(Closes(kind=FactKind.COMMIT, subject=commit) for commit in undone_commits(run.working, memo))
    if closes:
        found[0] = replace(found[0], closes=closes)
    found += tests
    found += errors
    if errors:
        tested = outcome is not None or run.test is not None
        memo.keep_error(errors[0].subject, run.main(tested=tested) or (run.key, ()), cure_of(errors[0].text))
        if len(errors) == 1 and run.is_plain and not command.failed:
            memo.lone[errors[0].subject] = errors[0].text[:_NOISE_CHARS]
            bound(memo.lone, 60)
    if run.working:
        found += vcs_facts(run, printed, memo)
    if not command.failed:
        found += _file_facts(run, event, memo, known, edit_facts)
    return found


def _command_fact(run: Run) -> Fact:
    command = run.command
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


def _error_facts(run: Run, outcome: Outcome | None, printed: Printed) -> list[Fact]:
    command = run.command
    if not printed.text or (outcome is not None and outcome.ok and not command.failed):
        return []
    failed = command.failed and outcome is None
    showing = run.showing and not (failed and _is_complaint(run, printed.text))
    errors, more = error_lines(printed.text, showing=showing, failed=failed)
    if not errors:
        return []
    main = run.main(tested=outcome is not None or run.test is not None)
    subject = subject_of(main) if main else run.key
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


_NOISE_CHARS = 200
_NOISY_SUBJECTS = 2
"""A line that so many different successful commands printed says nothing of any of them."""


def _without_noise(errors: list[Fact], run: Run, memo: Memo) -> tuple[list[Fact], tuple[Closes, ...]]:
    """``errors`` but lines that successful commands print again and again, and what such a line had opened."""
    closes: list[Closes] = []
    if run.is_plain and not run.command.failed:
        for error in errors:
            line = error.text[:_NOISE_CHARS]
            printed_by = memo.noise.setdefault(line, [])
            if error.subject in printed_by or len(printed_by) >= _NOISY_SUBJECTS:
                continue
            printed_by.append(error.subject)
            if len(printed_by) == _NOISY_SUBJECTS:
                closes += _opened_by(line, memo)
        bound(memo.noise, 60)
    kept = [error for error in errors if len(memo.noise.get(error.text[:_NOISE_CHARS], ())) < _NOISY_SUBJECTS]
    return kept, tuple(closes)


def _opened_by(line: str, memo: Memo) -> list[Closes]:
    """Open errors of which ``line`` was all there was."""
    gone = [subject for subject, only in memo.lone.items() if only == line]
    for subject in gone:
        del memo.lone[subject]
        memo.errors.pop(subject, None)
    return [Closes(kind=FactKind.ERROR, subject=subject) for subject in gone]


def _is_complaint(run: Run, output: str) -> bool:
    """Whether the short output of a failed command that shows content is its complaint; a search may find nothing."""
    return output.count("\n") <= 4 and not any(segment.program in _FINDING_NOTHING for segment in run.segments)


def _closed_errors(run: Run, memo: Memo, *, again: bool) -> tuple[Closes, ...]:
    """Errors that this run settles: it succeeded, or ran again and reports anew."""
    failed = run.command.failed
    if not memo.errors or (failed and not again):
        return ()
    runs = run.keys
    if failed or any(segment.joiner in {";", "||"} for segment in run.working[1:]):
        runs = runs[-1:]
    gone = [
        subject
        for subject, old in memo.errors.items()
        if subject == run.key
        or any(
            covers(new, old) or subject_of(new) == subject or (not failed and new[0] == memo.cures.get(subject))
            for new in runs
        )
    ]
    for subject in gone:
        del memo.errors[subject]
        memo.cures.pop(subject, None)
    return tuple(Closes(kind=FactKind.ERROR, subject=subject) for subject in gone)


_HOW = {"create": EditKind.CREATE, "update": EditKind.UPDATE, "delete": EditKind.DELETE, "move": EditKind.MOVE}


def _file_facts(run: Run, event: Event, memo: Memo, known: set[str], edit_facts: EditFacts) -> list[Fact]:
    command = run.command
    found: list[Fact] = []
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
    found += _lookups(run)
    return found


def _lookups(run: Run) -> list[Fact]:
    found = []
    for segment in run.segments:
        if segment.piped or segment.program not in SEARCHERS or "--files" in segment.words:
            continue
        operands = [word for word in segment.words[1:] if not word.startswith("-")]
        if operands:
            where = " ".join(operands[1:])[:400] or run.command.cwd
            found.append(Fact(kind=FactKind.LOOKUP, subject=operands[0][:400], text=where))
    return found
