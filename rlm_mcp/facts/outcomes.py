"""Outcomes of test runs, read from a runner's printed output: counts, failing test names, the counts line itself.

Each runner's shapes come from its own printed summaries (pytest, unittest, jest, vitest, mocha, bun, go, cargo,
nextest, rspec, minitest, phpunit, pest, dotnet, gradle, maven, ctest, tox, playwright, swift, deno, mix, node, TAP,
prove).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rlm_mcp.facts.patterns import LazyPattern

MAX_FAILING = 200
"""Failing tests named per run."""


@dataclass(frozen=True, slots=True)
class Failing:
    """One failing test."""

    name: str
    start: int
    end: int
    """Where the line that names it stands in the output, in characters."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test run came to."""

    runner: str
    passed: int
    failed: int
    """Failures and errors."""
    ok: bool
    start: int
    end: int
    """Where the counts line stands in the output, in characters."""
    failing: tuple[Failing, ...]
    failing_left_out: int
    passing: frozenset[str]
    """Names of tests said to have passed (only where the runner prints each)."""


@dataclass(frozen=True, slots=True)
class _Counts:
    passed: int
    failed: int
    start: int
    end: int
    ok: bool | None = None


@dataclass(frozen=True, slots=True)
class _Runner:
    name: str
    needles: tuple[str, ...]
    """One of them must stand in the output."""
    counts: Callable[[str], _Counts | None]
    failing: tuple[LazyPattern, ...] = ()
    """Group ``name``: the failing test."""
    passing: LazyPattern | None = None


def _pattern(text: str) -> LazyPattern:
    return LazyPattern(text, re.MULTILINE)


def _number(text: str | None) -> int:
    return int(text.replace(",", "")) if text else 0


def _summed(text: str, *, last_only: bool = False) -> Callable[[str], _Counts | None]:
    """Counts of every match (or the last) of a pattern with the groups ``p`` (passed) and ``f``, ``f2`` (failed), ``t`` (total)."""
    pattern = _pattern(text)
    names = pattern.groups

    def read(output: str) -> _Counts | None:
        passed = failed = 0
        last: re.Match[str] | None = None
        for match in pattern.finditer(output):
            groups = match.groupdict()
            bad = _number(groups.get("f")) + _number(groups.get("f2"))
            good = _number(groups["p"]) if "p" in names and groups["p"] else 0
            if "t" in names and groups["t"]:
                good = _number(groups["t"]) - bad - _number(groups.get("s"))
            if last_only:
                passed = failed = 0
            passed, failed, last = passed + good, failed + bad, match
        if last is None:
            return None
        return _Counts(passed, failed, *_line(output, last.start(), last.end()))

    return read


def _line(output: str, start: int, end: int) -> tuple[int, int]:
    """The whole line(s) around a span, without blanks at either end."""
    start = output.rfind("\n", 0, start) + 1 if output[start : start + 1] != "\n" else start + 1
    stop = output.find("\n", end)
    stop = len(output) if stop < 0 else stop
    text = output[start:stop]
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())


_PYTEST_PART = LazyPattern(r"(\d+) (passed|failed|errors?)\b")
_PYTEST = _pattern(
    r"^=*[ ]*(?:\d+ (?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun|"
    r"subtests passed)(?:, )?)+ "
    r"in [\d.]+s\b.*$|^=+ no tests ran in [\d.]+s\b.*$|^=+ \d+ errors? in [\d.]+s.*$"
)


def _pytest(output: str) -> _Counts | None:
    passed = failed = 0
    last = None
    for match in _PYTEST.finditer(output):
        for part in _PYTEST_PART.finditer(match[0]):
            if part[2] == "passed":
                passed += int(part[1])
            else:
                failed += int(part[1])
        last = match
    return _Counts(passed, failed, *last.span()) if last else None


_UNITTEST = _pattern(r"^Ran (\d+) tests? in [\d.]+s$")
_UNITTEST_END = _pattern(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$")


_UNITTEST_BAD = LazyPattern(r"(?:failures|errors|unexpected successes)=(\d+)")


def _last(pattern: LazyPattern, output: str) -> re.Match[str] | None:
    last = None
    for match in pattern.finditer(output):
        last = match
    return last


def _unittest(output: str) -> _Counts | None:
    ran = _last(_UNITTEST, output)
    if ran is None:
        return None
    end = _UNITTEST_END.search(output, ran.end())
    bad = sum(int(match[1]) for match in _UNITTEST_BAD.finditer(end[0])) if end else 0
    ok = end is not None and end[1] != "FAILED"
    return _Counts(int(ran[1]) - bad, bad, ran.start(), end.end() if end else ran.end(), ok=ok)


_GO_PACKAGE = _pattern(r"^(ok|FAIL|---|\?)[ ]*\t(\S+)(?:[ \t].*)?$")
_GO_TEST = _pattern(r"^[ ]*--- (PASS|FAIL|SKIP): (\S+)")
_GO_END = _pattern(r"^(PASS|FAIL)$")


def _go(output: str) -> _Counts | None:
    packages = list(_GO_PACKAGE.finditer(output))
    tests = list(_GO_TEST.finditer(output))
    ends = list(_GO_END.finditer(output))
    if not (packages or tests) or not (packages or ends):
        return None
    passed = sum(1 for match in tests if match[1] == "PASS")
    failed = sum(1 for match in tests if match[1] == "FAIL")
    bad_packages = [match for match in packages if match[1] == "FAIL"]
    ok = not bad_packages and not failed and not any(match[1] == "FAIL" for match in ends)
    last = bad_packages[-1] if bad_packages else packages[-1] if packages else ends[-1]
    if not passed and not failed:
        passed = sum(1 for match in packages if match[1] == "ok")
    if not ok and not failed:
        failed = len(bad_packages) or 1
    return _Counts(passed, failed, *_line(output, *last.span()), ok=ok)


_UNIT_TAP = _pattern(r"^(?:#|\u2139) (pass|fail|tests) (\d+)$")


def _node(output: str) -> _Counts | None:
    found = {match[1]: match for match in _UNIT_TAP.finditer(output)}
    if "pass" not in found or "fail" not in found:
        return None
    start, end = found["pass"].start(), found["fail"].end()
    return _Counts(int(found["pass"][2]), int(found["fail"][2]), min(start, end), max(start, end))


def _two_lines(good: str, bad: str) -> Callable[[str], _Counts | None]:
    """Runners that print passed and failed on lines of their own; group 1 is the number."""
    good_pattern, bad_pattern = _pattern(good), _pattern(bad)

    def read(output: str) -> _Counts | None:
        goods, bads = list(good_pattern.finditer(output)), list(bad_pattern.finditer(output))
        if not goods and not bads:
            return None
        spans = [match.span() for match in (goods[-1:] + bads[-1:])]
        start, end = min(span[0] for span in spans), max(span[1] for span in spans)
        if end - start > 400:
            start, end = spans[-1]
        start, end = _line(output, start, end)
        return _Counts(sum(_number(m[1]) for m in goods), sum(_number(m[1]) for m in bads), start, end)

    return read


def _marks(good: str, bad: str, line: str) -> Callable[[str], _Counts | None]:
    """Runners without counts: each match of ``good`` and ``bad`` is one; ``line`` is what closes the run."""
    good_pattern, bad_pattern, line_pattern = _pattern(good), _pattern(bad), _pattern(line)

    def read(output: str) -> _Counts | None:
        last = _last(line_pattern, output)
        if last is None:
            return None
        passed, failed = len(good_pattern.findall(output)), len(bad_pattern.findall(output))
        return _Counts(passed, failed, *_line(output, *last.span()))

    return read


_DOTNET_TOTALS = _pattern(r"^Total tests: (\d+)\s*\n(?:\s+Passed: (\d+)\s*\n)?(?:\s+Failed: (\d+))?")


def _dotnet(output: str) -> _Counts | None:
    found = _summed(r"^(?:Passed|Failed)!\s+- Failed:\s+(?P<f>\d+), Passed:\s+(?P<p>\d+), Skipped:\s+\d+")(output)
    if found:
        return found
    match = _DOTNET_TOTALS.search(output)
    if not match or not (match[2] or match[3]):
        return None
    return _Counts(_number(match[2]), _number(match[3]), match.start(), match.start() + len(match[0].rstrip()))


_RUNNERS: tuple[_Runner, ...] = (
    _Runner(
        "pytest",
        (" passed", " failed", " error", "no tests ran"),
        _pytest,
        (
            _pattern(r"^(?:FAILED|ERROR) (?P<name>\S+?\.py(?:::.*?)?)(?: - .*)?$"),
            _pattern(r"^(?:\[gw\d+\][^F\n]*FAILED )?(?P<name>\S+\.py::\S.*?) (?:FAILED|ERROR)(?:[ ]+\[ *\d+%\])?[ ]*$"),
        ),
        _pattern(r"^(\S+\.py::\S.*?) PASSED\b"),
    ),
    _Runner("unittest", ("Ran ",), _unittest, (_pattern(r"^(?:FAIL|ERROR): (?P<name>\S+ \([\w.]+\)|\S+)"),)),
    _Runner(
        "nextest",
        ("tests run: ", "test run: "),
        _summed(r"^\s+Summary \[.*?\]\s+\d+(?:/\d+)? tests? run: (?P<p>\d+) passed(?:.*?, (?P<f>\d+) failed)?.*$"),
        (_pattern(r"^\s+(?:FAIL|TIMEOUT|SIGABRT|SIGSEGV) \[[^\]]*\](?: \([^)]*\))?\s+(?P<name>\S+(?: \S+)?)$"),),
    ),
    _Runner(
        "cargo test",
        ("test result: ",),
        _summed(r"^test result: (?:ok|FAILED)\. (?P<p>\d+) passed; (?P<f>\d+) failed;.*$"),
        (_pattern(r"^test (?P<name>\S.*?) \.\.\. FAILED$"), _pattern(r"^---- (?P<name>\S+) stdout ----$")),
        _pattern(r"^test (\S.*?) \.\.\. ok$"),
    ),
    _Runner(
        "jest",
        ("Tests: ",),
        _summed(
            r"^\s*Tests:\s+(?:(?P<f>\d+) failed,? ?)?(?:\d+ (?:skipped|todo|pending|incomplete|risky|warnings?|"
            r"deprecated),? ?)*"
            r"(?:(?P<p>\d+) passed)?(?:, \d+ total| \(\d+ assertions\))?.*$"
        ),
        (
            _pattern(r"^[ ]*\u25cf (?P<name>(?!Console$|Test suite failed)\S.*?)$"),
            _pattern(r"^[ ]+[\u2715\u2717] (?P<name>\S.*?)(?: \([\d.,]+ ?m?s\))?$"),
            _pattern(r"^[ ]+(?:FAILED|\u2a2f)[ ]+(?P<name>\S.*?)(?:[ ]{2,}[\d.]+s)?$"),
        ),
    ),
    _Runner(
        "vitest",
        ("Tests  ", "Test Files "),
        _summed(r"^\s*Tests\s{2,}(?:(?P<f>\d+) failed(?: \| )?)?(?:(?P<p>\d+) passed)?(?: \| .*)?.*\(\d+\)\s*$"),
        (
            _pattern(r"^[ ]*FAIL[ ]+(?P<name>\S.*? > .*?)(?: \d+ms)?$"),
            _pattern(r"^[ ]*[\u00d7\u2717][ ]+(?P<name>\S.*? > .*?)(?: \d+ms)?$"),
        ),
    ),
    _Runner(
        "bun test",
        (" pass\n", " fail\n", " pass\r"),
        _two_lines(r"^[ ]*(\d+) pass$", r"^[ ]*(\d+) fail$"),
        (_pattern(r"^(?:\(fail\)|\u2717) (?P<name>\S.*?)(?: \[[\d.]+m?s\])?$"),),
        _pattern(r"^(?:\(pass\)|\u2713) (\S.*?)(?: \[[\d.]+m?s\])?$"),
    ),
    _Runner(
        "mocha",
        (" passing", " failing"),
        _two_lines(r"^\s*(\d+) passing\b.*$", r"^\s*(\d+) failing\b.*$"),
        (_pattern(r"^[ ]{4,}\d+\) (?P<name>\S.*?):?$"), _pattern(r"^[ ]{2}\d+\) (?P<name>\S.*?):?$")),
    ),
    _Runner(
        "playwright",
        (" passed (", " failed\n"),
        _two_lines(r"^\s{2}(\d+) passed\b.*$", r"^\s{2}(\d+) failed$"),
        (_pattern(r"^\s+(?:\d+\) |\u2718\s+\d+ )?(?P<name>\[[\w -]+\] \u203a .*?)(?: \u2500+| \([\d.]+m?s\))?[ ]*$"),),
    ),
    _Runner(
        "gotestsum",
        ("DONE ",),
        _summed(
            r"^DONE (?P<t>\d+) tests?(?:, (?P<s>\d+) skipped)?(?:, (?P<f>\d+) failures?)?(?:, (?P<f2>\d+) errors?)? "
            r"in [\d.]+s$"
        ),
        (_pattern(r"^=== FAIL: (?P<name>\S+ \S+)"),),
    ),
    _Runner(
        "go test",
        ("--- PASS", "--- FAIL", "ok  \t", "FAIL\t", "\nFAIL", "no test files", "\nPASS"),
        _go,
        (_pattern(r"^[ ]*--- FAIL: (?P<name>\S+)"),),
        _pattern(r"^[ ]*--- PASS: (\S+)"),
    ),
    _Runner(
        "rspec",
        (" example",),
        _summed(r"^(?P<t>\d+) examples?, (?P<f>\d+) failures?(?:, (?P<s>\d+) pending)?(?:, (?P<f2>\d+) errors?.*)?$"),
        (_pattern(r"^rspec (?P<name>\S+(?: # .*)?)$"),),
    ),
    _Runner(
        "minitest",
        (" assertions, ",),
        _summed(
            r"^(?P<t>\d+) (?:runs|tests), \d+ assertions, (?P<f>\d+) failures, (?P<f2>\d+) errors(?:, (?P<s>\d+) "
            r"skips)?.*$"
        ),
        (_pattern(r"^\s*(?:\d+\) )?(?:Failure|Error):\n(?P<name>\S+#\S+?)(?::| \[|$)"),),
    ),
    _Runner(
        "phpunit",
        ("assertion", "Assertions: "),
        _summed(
            r"^(?:OK \((?P<p>\d+) tests?, \d+ assertions?\)"
            r"|Tests: (?P<t>\d+), Assertions: \d+(?:, Errors: (?P<f>\d+))?(?:, Failures: (?P<f2>\d+))?.*)$"
        ),
        (_pattern(r"^\d+\) (?P<name>\S+::\S.*)$"),),
    ),
    _Runner(
        "mix test",
        (" test", " propert"),
        _summed(r"^(?:\d+ doctests?, )?(?:\d+ propert(?:y|ies), )?(?P<t>\d+) tests?, (?P<f>\d+) failures?.*$"),
        (_pattern(r"^\s+\d+\) test (?P<name>\S.*)$"), _pattern(r"^not ok \d+ (?P<name>\S.*)$")),
    ),
    _Runner(
        "dotnet test",
        ("Passed!", "Failed!", "Total tests:"),
        _dotnet,
        (_pattern(r"^\s+Failed (?P<name>\S.*?) \[[^\]]*\]\s*$"),),
    ),
    _Runner(
        "maven",
        ("Tests run: ",),
        _summed(
            r"^(?:\[\w+\] )?Tests run: (?P<t>\d+), Failures: (?P<f>\d+), Errors: (?P<f2>\d+), Skipped: "
            r"(?P<s>\d+)(?!.*(?:Time elapsed|- in ))\s*$"
        ),
        (
            _pattern(r"^\[ERROR\]\s+(?P<name>[A-Z]\w*(?:Test|Tests|IT|Spec|TestCase)\w*[.:>]\w[\w.>$]*(?::\d+)?)\b.*$"),
            _pattern(r"^\[ERROR\] (?P<name>[\w.$]+\.\w+)(?:\([^)]*\))? -- Time elapsed: .*<<< (?:FAILURE|ERROR)!$"),
        ),
    ),
    _Runner(
        "gradle",
        (" tests completed", " test completed", "BUILD SUCCESSFUL", "BUILD FAILED"),
        _summed(r"^(?P<t>\d+) tests? completed, (?P<f>\d+) failed(?:, (?P<s>\d+) skipped)?$"),
        (_pattern(r"^(?P<name>[\w.$]+ > .+?)(?:\(\))? FAILED$"),),
        _pattern(r"^([\w.$]+ > .+?)(?:\(\))? PASSED$"),
    ),
    _Runner(
        "ctest",
        ("% tests passed",),
        _summed(r"^\d+% tests passed, (?P<f>\d+) tests? failed out of (?P<t>\d+)$"),
        (
            _pattern(
                r"^\s+\d+ - (?P<name>\S+) \((?:Failed|Timeout|SEGFAULT|Not Run|Subprocess aborted|Child aborted)\)"
            ),
        ),
    ),
    _Runner(
        "deno test",
        (" passed",),
        _summed(r"^(?:ok|FAILED) \| (?P<p>\d+) passed(?: \([^)]*\))? \| (?P<f>\d+) failed.*$"),
        (_pattern(r"^(?P<name>\S.*?) \.\.\. FAILED\b.*$"), _pattern(r"^(?P<name>\S.*?) => \./\S+$")),
    ),
    _Runner(
        "swift test",
        ("Executed ", "Test run with"),
        _summed(
            r"^(?:\t ?| {2,})?Executed (?P<t>\d+) tests?, with (?:\d+ tests? skipped and )?(?P<f>\d+) failures?.*$",
            last_only=True,
        ),
        (
            _pattern(r"^(?:.*: error: )?Test Case '-?\[?(?P<name>[^\]']+?)\]?' failed\b.*$"),
            _pattern(r"^. Test (?P<name>\"[^\"]+\"|\w+\(\)) failed after .*$"),
        ),
    ),
    _Runner(
        "node --test",
        (" fail ", "# pass", "\u2139 pass"),
        _node,
        (_pattern(r"^\s*(?:\u2716|not ok \d+ -) (?P<name>(?!failing tests)\S.*?)(?: \([\d.]+ms\))?$"),),
    ),
    _Runner(
        "tox",
        (": OK", ": FAIL", "congratulations"),
        _marks(r"^\s{2}\S+: OK\b", r"^\s{2}\S+: FAIL\b", r"^\s{2}(?:congratulations :\)|evaluation failed :\().*$"),
        (_pattern(r"^\s{2}(?P<name>\S+): FAIL\b.*$"),),
    ),
    _Runner(
        "prove",
        ("Result: ",),
        _marks(r"\.\. ok$", r"\.\. (?:Failed|Dubious)", r"^Result: (?:PASS|FAIL)$"),
        (_pattern(r"^(?P<name>\S+\.t) +\(Wstat: .*$"),),
    ),
    _Runner(
        "karma",
        ("Executed ",),
        _summed(
            r"^.*?Executed (?P<t>\d+) of \d+(?: \((?P<f>\d+) FAILED\))?(?: \(skipped (?P<s>\d+)\))?.*$", last_only=True
        ),
    ),
    _Runner(
        "tests",
        (" passed", " failed"),
        _summed(r"^(?:\w+:? )?(?P<p>\d+) (?:tests? )?passed(?:,|;| and)? *(?P<f>\d+) (?:tests? )?failed\b.*$"),
    ),
)

_NEEDLES = tuple(sorted({needle for runner in _RUNNERS for needle in runner.needles}))


def read_outcome(output: str) -> Outcome | None:
    """The outcome of the test run in ``output``, by the first runner whose closing lines are there."""
    present = {needle for needle in _NEEDLES if needle in output}
    if not present:
        return None
    for runner in _RUNNERS:
        if present.isdisjoint(runner.needles):
            continue
        counts = runner.counts(output)
        if counts is None or (counts.passed == 0 and counts.failed == 0 and runner.name in {"jest", "vitest"}):
            continue
        failing, left_out = _failing(runner, output) if not counts.ok else ((), 0)
        ok = counts.ok if counts.ok is not None else counts.failed == 0
        passing = frozenset(runner.passing.findall(output)) if runner.passing else frozenset()
        return Outcome(
            runner.name, counts.passed, counts.failed, ok, counts.start, counts.end, failing, left_out, passing
        )
    return None


def _failing(runner: _Runner, output: str) -> tuple[tuple[Failing, ...], int]:
    found: dict[str, Failing] = {}
    for failing in _all_failing(runner, output):
        found.setdefault(failing.name, failing)
    everything = tuple(found.values())
    return everything[:MAX_FAILING], max(0, len(everything) - MAX_FAILING)


def _all_failing(runner: _Runner, output: str) -> Iterator[Failing]:
    for pattern in runner.failing:
        matches = list(pattern.finditer(output))
        for match in matches:
            yield Failing(match["name"].strip(), *_line(output, match.start("name"), match.end("name")))
        if matches and runner.name not in {"pytest", "unittest"}:
            return
