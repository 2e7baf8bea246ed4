"""Facts of a test run: its outcome, the tests that fail, and which earlier ones no longer hold."""

from __future__ import annotations

from dataclasses import replace

from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo, bound
from rlm_mcp.facts.outcomes import Outcome
from rlm_mcp.facts.runs import RunKey, covers, subject_of
from rlm_mcp.facts.understood import Printed, Run


def test_facts(run: Run, outcome: Outcome | None, printed: Printed, memo: Memo) -> list[Fact]:
    """The outcome first, then each failing test; empty where no test ran."""
    key = run.main(tested=True)
    if key is None:
        return []
    if outcome is None:
        return _unfinished(run, printed, memo)
    start, end = printed.span(outcome.start, outcome.end)
    found = [
        Fact(
            kind=FactKind.TEST,
            subject=subject_of(key),
            text=printed.text[outcome.start : outcome.end][:2_000],
            status="passed" if outcome.ok else "failed",
            start=start,
            end=end,
            exit_code=run.command.exit_code,
            seconds=run.command.seconds,
            added=outcome.passed,
            removed=outcome.failed,
            note=f"{outcome.runner}: {run.key}"[:400],
            closes=_closed(key, outcome, memo),
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


def _closed(key: RunKey, outcome: Outcome, memo: Memo) -> tuple[Closes, ...]:
    """Failing tests that fail no longer, and outcomes of runs that this one covers."""
    still = {failing.name[:400] for failing in outcome.failing}
    settled = [name for name, old in memo.failing.items() if name not in still and _is_settled(name, old, key, outcome)]
    subject = subject_of(key)
    older = [name for name, old in memo.tests.items() if name != subject and covers(key, old)]
    for name in settled:
        del memo.failing[name]
    for name in older:
        del memo.tests[name]
    memo.tests[subject] = key
    bound(memo.tests, 60)
    return (
        *(Closes(kind=FactKind.FAILING_TEST, subject=name) for name in settled),
        *(Closes(kind=FactKind.TEST, subject=name) for name in older),
    )


def _is_settled(name: str, old: RunKey, new: RunKey, outcome: Outcome) -> bool:
    """Whether a run without ``name`` among its failures says that it no longer fails."""
    if outcome.passed == 0 or name in outcome.passing:
        return name in outcome.passing
    if covers(new, old):
        return not outcome.failed or bool(outcome.failing)
    if new[0] != old[0] or outcome.failed:
        return False
    for target in new[1]:
        flag, _, value = target.partition(" ") if target.startswith("-") else ("", "", target)
        wanted = value.strip("^$'\"/ ")
        if not wanted:
            continue
        if name == wanted or name.startswith((f"{wanted}::", f"{wanted}/", f"{wanted} ")) or (flag and wanted in name):
            return True
    return False


def _unfinished(run: Run, printed: Printed, memo: Memo) -> list[Fact]:
    """A test run that failed before it could count: it stands as the latest outcome, with its last words."""
    key = run.test
    if key is None or not run.command.failed:
        return []
    text = printed.text.rstrip()
    at = text.rfind("\n") + 1
    start, end = printed.span(at, min(len(text), at + 400))
    memo.tests[subject_of(key)] = key
    return [
        Fact(
            kind=FactKind.TEST,
            subject=subject_of(key),
            text=text[at : at + 400].strip(),
            status="failed",
            start=start,
            end=end,
            exit_code=run.command.exit_code,
            seconds=run.command.seconds,
            note=f"no counts: {run.key}"[:400],
        )
    ]
