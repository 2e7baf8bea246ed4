"""Facts of a test run: its outcome, the tests that fail, and which earlier ones no longer hold."""

from __future__ import annotations

import re
from dataclasses import replace

from rlm_mcp.facts.kinds import Closes, Fact, FactKind
from rlm_mcp.facts.memo import Memo, bound
from rlm_mcp.facts.outcomes import Outcome
from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.runs import RunKey, covers, is_test, is_test_script, is_whole, run_key, subject_of
from rlm_mcp.facts.shell import parse
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
            closes=_closed(key, _echoed(key, printed.text), outcome, memo),
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


_WRAPPERS = frozenset({"make", "npm", "yarn", "pnpm", "bun", "just", "task", "mise", "rake", "composer", "tox", "nox"})
_ECHO_MARKS = ">$+ "
_MAX_ECHO_LINES = 10


def _echoed(key: RunKey, output: str) -> RunKey:
    """The test run that a wrapper such as ``make test`` printed before it ran it; ``key`` where there is none."""
    if any(key[1]) or key[0].split(" ", 1)[0] not in _WRAPPERS:
        return key
    for line in output[:1_000].split("\n")[:_MAX_ECHO_LINES]:
        shown = line.strip().lstrip(_ECHO_MARKS)
        if not shown or len(shown) > 300 or "@" in shown:
            continue
        tests = [segment for segment in parse(shown) if segment.words and is_test(segment)]
        if tests:
            return run_key(tests[-1])
    return key


def _closed(key: RunKey, echoed: RunKey, outcome: Outcome, memo: Memo) -> tuple[Closes, ...]:
    """Failing tests that fail no longer, and outcomes of runs that this one covers. ``echoed``: what it really ran."""
    still = {failing.name[:400] for failing in outcome.failing}
    subject = subject_of(key)
    total = outcome.passed + outcome.failed
    runs = {key, echoed}
    older = [
        name
        for name, old in memo.tests.items()
        if name != subject and (any(covers(run, old) for run in runs) or _is_wider(key, outcome, name, memo))
    ]
    gone = [memo.tests[name] for name in older]
    settled = [
        name
        for name, old in memo.failing.items()
        if name not in still and (_is_settled(name, old, key, outcome) or (outcome.ok and old in gone))
    ]
    for name in settled:
        del memo.failing[name]
    for name in older:
        del memo.tests[name]
        memo.counted.pop(name, None)
    memo.tests[subject] = echoed
    memo.counted[subject] = [outcome.runner, str(total)]
    bound(memo.tests, 60)
    bound(memo.counted, 60)
    return (
        *(Closes(kind=FactKind.FAILING_TEST, subject=name) for name in settled),
        *(Closes(kind=FactKind.TEST, subject=name) for name in older),
    )


def _is_wider(key: RunKey, outcome: Outcome, older: str, memo: Memo) -> bool:
    """Whether a run of everything counted at least as many tests, by the same runner, as the run ``older``."""
    counted = memo.counted.get(older)
    if counted is None or not is_whole(key) or counted[0] != outcome.runner:
        return False
    return (
        outcome.passed + outcome.failed >= int(counted[1]) and ":" not in memo.tests[older][0] and "(in " not in older
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


_SAYS_PASSED = LazyPattern(r"\b(?:pass(?:ed|es)?|succe\w+|all .{0,20}ok|ok)\b", re.IGNORECASE)

_SAYS_FAILED = LazyPattern(r"^\S*(?:Error|Exception|Failure|FAIL\w*|failed|not ok)\b", re.MULTILINE)


def _unfinished(run: Run, printed: Printed, memo: Memo) -> list[Fact]:
    """A test run without counts: one that failed before it could count, or a script whose exit code is the outcome."""
    key = run.test
    passed = not run.command.failed
    if key is None or (passed and not (is_test_script(run.working[-1]) and run.is_plain)):
        return []
    text = printed.text.rstrip()
    at = text.rfind("\n") + 1
    said = list((_SAYS_PASSED if passed else _SAYS_FAILED).finditer(text)) if is_test_script(run.working[-1]) else []
    if said:
        at = text.rfind("\n", 0, said[-1 if passed else 0].start()) + 1
    end_of_line = text.find("\n", at)
    stop = min(len(text) if end_of_line < 0 else end_of_line, at + 400)
    start, end = printed.span(at, stop)
    memo.tests[subject_of(key)] = key
    bound(memo.tests, 60)
    return [
        Fact(
            kind=FactKind.TEST,
            subject=subject_of(key),
            text=text[at:stop].strip() or ("passed, nothing printed" if passed else ""),
            status="passed" if passed else "failed",
            start=start,
            end=end,
            exit_code=run.command.exit_code,
            seconds=run.command.seconds,
            note=f"no counts: {run.key}"[:400],
        )
    ]
