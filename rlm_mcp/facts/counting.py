"""How test runners count: what reads passed and failed off the lines that close a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rlm_mcp.facts.patterns import LazyPattern


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run's closing lines say, and where they stand in the output, in characters."""

    passed: int
    failed: int
    start: int
    end: int
    ok: bool | None = None


def pattern(text: str) -> LazyPattern:
    """Over lines."""
    return LazyPattern(text, re.MULTILINE)


def _number(text: str | None) -> int:
    return int(text.replace(",", "")) if text else 0


def summed(text: str, *, last_only: bool = False) -> Callable[[str], Counts | None]:
    """Counts of every match (or the last); groups: ``p`` passed, ``f``, ``f2`` failed, ``s`` skipped, ``t`` total."""
    lines = pattern(text)
    names = lines.groups

    def read(output: str) -> Counts | None:
        passed = failed = 0
        last: re.Match[str] | None = None
        for match in lines.finditer(output):
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
        return Counts(passed, failed, *whole_line(output, last.start(), last.end()))

    return read


def whole_line(output: str, start: int, end: int) -> tuple[int, int]:
    """The whole line(s) around a span, without blanks at either end."""
    start = output.rfind("\n", 0, start) + 1 if output[start : start + 1] != "\n" else start + 1
    stop = output.find("\n", end)
    stop = len(output) if stop < 0 else stop
    text = output[start:stop]
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())


_PYTEST_PART = LazyPattern(r"(\d+) (passed|failed|errors?)\b")
_PYTEST = pattern(
    r"^=*[ ]*(?:\d+ (?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun|"
    r"subtests passed)(?:, )?)+ "
    r"in [\d.]+s\b.*$|^=+ no tests ran in [\d.]+s\b.*$|^=+ \d+ errors? in [\d.]+s.*$"
)


def count_pytest(output: str) -> Counts | None:
    """``== 1 failed, 2 passed in 0.05s ==``, with or without the bars."""
    passed = failed = 0
    last = None
    for match in _PYTEST.finditer(output):
        for part in _PYTEST_PART.finditer(match[0]):
            if part[2] == "passed":
                passed += int(part[1])
            else:
                failed += int(part[1])
        last = match
    return Counts(passed, failed, *last.span()) if last else None


_UNITTEST = pattern(r"^Ran (\d+) tests? in [\d.]+s$")
_UNITTEST_END = pattern(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$")


_UNITTEST_BAD = LazyPattern(r"(?:failures|errors|unexpected successes)=(\d+)")


def _last(lines: LazyPattern, output: str) -> re.Match[str] | None:
    last = None
    for match in lines.finditer(output):
        last = match
    return last


def count_unittest(output: str) -> Counts | None:
    """``Ran 3 tests in 0.004s`` and the verdict below it."""
    ran = _last(_UNITTEST, output)
    if ran is None:
        return None
    end = _UNITTEST_END.search(output, ran.end())
    bad = sum(int(match[1]) for match in _UNITTEST_BAD.finditer(end[0])) if end else 0
    ok = end is not None and end[1] != "FAILED"
    return Counts(int(ran[1]) - bad, bad, ran.start(), end.end() if end else ran.end(), ok=ok)


_GO_PACKAGE = pattern(r"^(ok|FAIL|---|\?)[ ]*\t(\S+)(?:[ \t].*)?$")
_GO_TEST = pattern(r"^[ ]*--- (PASS|FAIL|SKIP): (\S+)")
_GO_END = pattern(r"^(PASS|FAIL)$")


def count_go(output: str) -> Counts | None:
    """Tests where ``-v`` prints them, else packages."""
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
    return Counts(passed, failed, *whole_line(output, *last.span()), ok=ok)


_UNIT_TAP = pattern(r"^(?:#|\u2139) (pass|fail|tests) (\d+)$")


def count_node(output: str) -> Counts | None:
    """``# pass 3`` and ``# fail 1``."""
    found = {match[1]: match for match in _UNIT_TAP.finditer(output)}
    if "pass" not in found or "fail" not in found:
        return None
    start, end = found["pass"].start(), found["fail"].end()
    return Counts(int(found["pass"][2]), int(found["fail"][2]), min(start, end), max(start, end))


def two_lines(good: str, bad: str) -> Callable[[str], Counts | None]:
    """Runners that print passed and failed on lines of their own; group 1 is the number."""
    good_pattern, bad_pattern = pattern(good), pattern(bad)

    def read(output: str) -> Counts | None:
        goods, bads = list(good_pattern.finditer(output)), list(bad_pattern.finditer(output))
        if not goods and not bads:
            return None
        spans = [match.span() for match in (goods[-1:] + bads[-1:])]
        start, end = min(span[0] for span in spans), max(span[1] for span in spans)
        if end - start > 400:
            start, end = spans[-1]
        start, end = whole_line(output, start, end)
        return Counts(sum(_number(m[1]) for m in goods), sum(_number(m[1]) for m in bads), start, end)

    return read


def marks(good: str, bad: str, line: str) -> Callable[[str], Counts | None]:
    """Runners without counts: each match of ``good`` and ``bad`` is one; ``line`` is what closes the run."""
    good_pattern, bad_pattern, line_pattern = pattern(good), pattern(bad), pattern(line)

    def read(output: str) -> Counts | None:
        last = _last(line_pattern, output)
        if last is None:
            return None
        passed, failed = len(good_pattern.findall(output)), len(bad_pattern.findall(output))
        return Counts(passed, failed, *whole_line(output, *last.span()))

    return read


_DOTNET_TOTALS = pattern(r"^Total tests: (\d+)\s*\n(?:\s+Passed: (\d+)\s*\n)?(?:\s+Failed: (\d+))?")


def count_dotnet(output: str) -> Counts | None:
    """One line per assembly, or the totals of older versions."""
    found = summed(r"^(?:Passed|Failed)!\s+- Failed:\s+(?P<f>\d+), Passed:\s+(?P<p>\d+), Skipped:\s+\d+")(output)
    if found:
        return found
    match = _DOTNET_TOTALS.search(output)
    if not match or not (match[2] or match[3]):
        return None
    return Counts(_number(match[2]), _number(match[3]), match.start(), match.start() + len(match[0].rstrip()))
