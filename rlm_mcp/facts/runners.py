"""The runners whose closing lines are known, and how each names its failing tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rlm_mcp.facts.counting import (
    Counts,
    count_dotnet,
    count_go,
    count_node,
    count_pytest,
    count_unittest,
    marks,
    pattern,
    summed,
    two_lines,
)
from rlm_mcp.facts.patterns import LazyPattern


@dataclass(frozen=True, slots=True)
class Runner:
    """A test runner."""

    name: str
    needles: tuple[str, ...]
    """One of them must stand in the output."""
    counts: Callable[[str], Counts | None]
    failing: tuple[LazyPattern, ...] = ()
    """Group ``name``: the failing test."""
    passing: LazyPattern | None = None


RUNNERS: tuple[Runner, ...] = (
    Runner(
        "pytest",
        (" passed", " failed", " error", "no tests ran"),
        count_pytest,
        (
            pattern(r"^(?:FAILED|ERROR) (?P<name>\S+?\.py(?:::.*?)?)(?: - .*)?$"),
            pattern(r"^(?:\[gw\d+\][^F\n]*FAILED )?(?P<name>\S+\.py::\S.*?) (?:FAILED|ERROR)(?:[ ]+\[ *\d+%\])?[ ]*$"),
        ),
        pattern(r"^(\S+\.py::\S.*?) PASSED\b"),
    ),
    Runner("unittest", ("Ran ",), count_unittest, (pattern(r"^(?:FAIL|ERROR): (?P<name>\S+ \([\w.]+\)|\S+)"),)),
    Runner(
        "nextest",
        ("tests run: ", "test run: "),
        summed(r"^[ \t]+Summary \[.*?\]\s+\d+(?:/\d+)? tests? run: (?P<p>\d+) passed(?:.*?, (?P<f>\d+) failed)?.*$"),
        (pattern(r"^[ \t]+(?:FAIL|TIMEOUT|SIGABRT|SIGSEGV) \[[^\]]*\](?: \([^)]*\))?\s+(?P<name>\S+(?: \S+)?)$"),),
    ),
    Runner(
        "cargo test",
        ("test result: ",),
        summed(r"^test result: (?:ok|FAILED)\. (?P<p>\d+) passed; (?P<f>\d+) failed;.*$"),
        (pattern(r"^test (?P<name>\S.*?) \.\.\. FAILED$"), pattern(r"^---- (?P<name>\S+) stdout ----$")),
        pattern(r"^test (\S.*?) \.\.\. ok$"),
    ),
    Runner(
        "jest",
        ("Tests: ",),
        summed(
            r"^[ \t]*Tests:\s+(?:(?P<f>\d+) failed,? ?)?(?:\d+ (?:skipped|todo|pending|incomplete|risky|warnings?|"
            r"deprecated),? ?)*"
            r"(?:(?P<p>\d+) passed)?(?:, \d+ total| \(\d+ assertions\))?.*$"
        ),
        (
            pattern(r"^[ ]*\u25cf (?P<name>(?!Console$|Test suite failed)\S.*?)$"),
            pattern(r"^[ ]+[\u2715\u2717] (?P<name>\S.*?)(?: \([\d.,]+ ?m?s\))?$"),
            pattern(r"^[ ]+(?:FAILED|\u2a2f)[ ]+(?P<name>\S.*?)(?:[ ]{2,}[\d.]+s)?$"),
        ),
    ),
    Runner(
        "vitest",
        ("Tests  ", "Test Files "),
        summed(r"^[ \t]*Tests\s{2,}(?:(?P<f>\d+) failed(?: \| )?)?(?:(?P<p>\d+) passed)?(?: \| .*)?.*\(\d+\)\s*$"),
        (
            pattern(r"^[ ]*FAIL[ ]+(?P<name>\S.*? > .*?)(?: \d+ms)?$"),
            pattern(r"^[ ]*[\u00d7\u2717][ ]+(?P<name>\S.*? > .*?)(?: \d+ms)?$"),
        ),
    ),
    Runner(
        "bun test",
        (" pass\n", " fail\n", " pass\r"),
        two_lines(r"^[ ]*(\d+) pass$", r"^[ ]*(\d+) fail$"),
        (pattern(r"^(?:\(fail\)|\u2717) (?P<name>\S.*?)(?: \[[\d.]+m?s\])?$"),),
        pattern(r"^(?:\(pass\)|\u2713) (\S.*?)(?: \[[\d.]+m?s\])?$"),
    ),
    Runner(
        "mocha",
        (" passing", " failing"),
        two_lines(r"^[ \t]*(\d+) passing\b.*$", r"^[ \t]*(\d+) failing\b.*$"),
        (pattern(r"^[ ]{4,}\d+\) (?P<name>\S.*?):?$"), pattern(r"^[ ]{2}\d+\) (?P<name>\S.*?):?$")),
    ),
    Runner(
        "playwright",
        (" passed (", " failed\n"),
        two_lines(r"^  (\d+) passed\b.*$", r"^  (\d+) failed$"),
        (
            pattern(
                r"^[ \t]+(?:\d+\) |\u2718\s+\d+ )?(?P<name>\[[\w -]+\] \u203a .*?)(?: \u2500+| \([\d.]+m?s\))?[ ]*$"
            ),
        ),
    ),
    Runner(
        "gotestsum",
        ("DONE ",),
        summed(
            r"^DONE (?P<t>\d+) tests?(?:, (?P<s>\d+) skipped)?(?:, (?P<f>\d+) failures?)?(?:, (?P<f2>\d+) errors?)? "
            r"in [\d.]+s$"
        ),
        (pattern(r"^=== FAIL: (?P<name>\S+ \S+)"),),
    ),
    Runner(
        "go test",
        ("--- PASS", "--- FAIL", "ok  \t", "FAIL\t", "\nFAIL", "no test files", "\nPASS"),
        count_go,
        (pattern(r"^[ ]*--- FAIL: (?P<name>\S+)"),),
        pattern(r"^[ ]*--- PASS: (\S+)"),
    ),
    Runner(
        "rspec",
        (" example",),
        summed(r"^(?P<t>\d+) examples?, (?P<f>\d+) failures?(?:, (?P<s>\d+) pending)?(?:, (?P<f2>\d+) errors?.*)?$"),
        (pattern(r"^rspec (?P<name>\S+(?: # .*)?)$"),),
    ),
    Runner(
        "minitest",
        (" assertions, ",),
        summed(
            r"^(?P<t>\d+) (?:runs|tests), \d+ assertions, (?P<f>\d+) failures, (?P<f2>\d+) errors(?:, (?P<s>\d+) "
            r"skips)?.*$"
        ),
        (pattern(r"^[ \t]*(?:\d+\) )?(?:Failure|Error):\n(?P<name>\S+#\S+?)(?::| \[|$)"),),
    ),
    Runner(
        "phpunit",
        ("assertion", "Assertions: "),
        summed(
            r"^(?:OK \((?P<p>\d+) tests?, \d+ assertions?\)"
            r"|Tests: (?P<t>\d+), Assertions: \d+(?:, Errors: (?P<f>\d+))?(?:, Failures: (?P<f2>\d+))?.*)$"
        ),
        (pattern(r"^\d+\) (?P<name>\S+::\S.*)$"),),
    ),
    Runner(
        "mix test",
        (" test", " propert"),
        summed(r"^(?:\d+ doctests?, )?(?:\d+ propert(?:y|ies), )?(?P<t>\d+) tests?, (?P<f>\d+) failures?.*$"),
        (pattern(r"^[ \t]+\d+\) test (?P<name>\S.*)$"), pattern(r"^not ok \d+ (?P<name>\S.*)$")),
    ),
    Runner(
        "dotnet test",
        ("Passed!", "Failed!", "Total tests:"),
        count_dotnet,
        (pattern(r"^[ \t]+Failed (?P<name>\S.*?) \[[^\]]*\]\s*$"),),
    ),
    Runner(
        "maven",
        ("Tests run: ",),
        summed(
            r"^(?:\[\w+\] )?Tests run: (?P<t>\d+), Failures: (?P<f>\d+), Errors: (?P<f2>\d+), Skipped: "
            r"(?P<s>\d+)(?!.*(?:Time elapsed|- in ))\s*$"
        ),
        (
            pattern(r"^\[ERROR\]\s+(?P<name>[A-Z]\w*(?:Test|Tests|IT|Spec|TestCase)\w*[.:>]\w[\w.>$]*(?::\d+)?)\b.*$"),
            pattern(r"^\[ERROR\] (?P<name>[\w.$]+\.\w+)(?:\([^)]*\))? -- Time elapsed: .*<<< (?:FAILURE|ERROR)!$"),
        ),
    ),
    Runner(
        "gradle",
        (" tests completed", " test completed", "BUILD SUCCESSFUL", "BUILD FAILED"),
        summed(r"^(?P<t>\d+) tests? completed, (?P<f>\d+) failed(?:, (?P<s>\d+) skipped)?$"),
        (pattern(r"^(?P<name>[\w.$]+ > .+?)(?:\(\))? FAILED$"),),
        pattern(r"^([\w.$]+ > .+?)(?:\(\))? PASSED$"),
    ),
    Runner(
        "ctest",
        ("% tests passed",),
        summed(r"^\d+% tests passed, (?P<f>\d+) tests? failed out of (?P<t>\d+)$"),
        (
            pattern(
                r"^[ \t]+\d+ - (?P<name>\S+) \((?:Failed|Timeout|SEGFAULT|Not Run|Subprocess aborted|Child aborted)\)"
            ),
        ),
    ),
    Runner(
        "deno test",
        (" passed",),
        summed(r"^(?:ok|FAILED) \| (?P<p>\d+) passed(?: \([^)]*\))? \| (?P<f>\d+) failed.*$"),
        (pattern(r"^(?P<name>\S.*?) \.\.\. FAILED\b.*$"), pattern(r"^(?P<name>\S.*?) => \./\S+$")),
    ),
    Runner(
        "swift test",
        ("Executed ", "Test run with"),
        summed(
            r"^(?:\t ?| {2,})?Executed (?P<t>\d+) tests?, with (?:\d+ tests? skipped and )?(?P<f>\d+) failures?.*$",
            last_only=True,
        ),
        (
            pattern(r"^(?:.*: error: )?Test Case '-?\[?(?P<name>[^\]']+?)\]?' failed\b.*$"),
            pattern(r"^. Test (?P<name>\"[^\"]+\"|\w+\(\)) failed after .*$"),
        ),
    ),
    Runner(
        "node --test",
        (" fail ", "# pass", "\u2139 pass"),
        count_node,
        (pattern(r"^[ \t]*(?:\u2716|not ok \d+ -) (?P<name>(?!failing tests)\S.*?)(?: \([\d.]+ms\))?$"),),
    ),
    Runner(
        "tox",
        (": OK", ": FAIL", "congratulations"),
        marks(r"^  \S+: OK\b", r"^  \S+: FAIL\b", r"^  (?:congratulations :\)|evaluation failed :\().*$"),
        (pattern(r"^  (?P<name>\S+): FAIL\b.*$"),),
    ),
    Runner(
        "prove",
        ("Result: ",),
        marks(r"\.\. ok$", r"\.\. (?:Failed|Dubious)", r"^Result: (?:PASS|FAIL)$"),
        (pattern(r"^(?P<name>\S+\.t) +\(Wstat: .*$"),),
    ),
    Runner(
        "karma",
        ("Executed ",),
        summed(
            r"^.*?Executed (?P<t>\d+) of \d+(?: \((?P<f>\d+) FAILED\))?(?: \(skipped (?P<s>\d+)\))?.*$", last_only=True
        ),
    ),
    Runner(
        "tests",
        (" passed", " failed"),
        summed(r"^(?:\w+:? )?(?P<p>\d+) (?:tests? )?passed(?:,|;| and)? *(?P<f>\d+) (?:tests? )?failed\b.*$"),
    ),
)
