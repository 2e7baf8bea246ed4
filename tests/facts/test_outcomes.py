"""Outcomes of test runs, from outputs as the runners print them."""

import pytest

from rlm_mcp.facts.outcomes import Outcome, read_outcome

PYTEST_SHORT = """\
============================= test session starts ==============================
platform linux -- Python 3.12.1, pytest-8.3.2, pluggy-1.5.0
rootdir: /srv/shop
collected 14 items

tests/test_cart.py ..F.....                                              [ 57%]
tests/test_tax.py F....E                                                 [100%]

=================================== FAILURES ===================================
_________________________ TestCart.test_total_rounding _________________________
tests/test_cart.py:41: in test_total_rounding
    assert cart.total() == Decimal("10.01")
E   AssertionError: assert Decimal('10.00') == Decimal('10.01')
=========================== short test summary info ============================
FAILED tests/test_cart.py::TestCart::test_total_rounding - AssertionError: assert Decimal('10.00') == Decimal('10.01')
FAILED tests/test_tax.py::test_rate[de-19] - KeyError: 'de'
ERROR tests/test_tax.py::test_lookup - fixture 'rates' not found
=================== 2 failed, 11 passed, 1 error in 1.24s ====================
"""
PYTEST_QUIET = "....................                            [100%]\n20 passed, 3 skipped, 1 warning in 0.42s\n"
PYTEST_VERBOSE = """\
tests/test_api.py::test_get PASSED                                       [ 33%]
tests/test_api.py::test_post[a b] FAILED                                 [ 66%]
tests/test_api.py::test_put PASSED                                       [100%]
========================= 1 failed, 2 passed in 0.05s ==========================
"""
UNITTEST = """\
F.E
======================================================================
FAIL: test_split (shop.tests.test_text.SplitTest.test_split)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/srv/shop/tests/test_text.py", line 12, in test_split
    self.assertEqual(split("a b"), ["a"])
AssertionError: Lists differ: ['a', 'b'] != ['a']

----------------------------------------------------------------------
Ran 3 tests in 0.004s

FAILED (failures=1, errors=1)
"""
DJANGO_OK = """\
Found 7 test(s).
System check identified no issues (0 silenced).
.......
----------------------------------------------------------------------
Ran 7 tests in 1.512s

OK
"""
JEST = """\
FAIL src/cart.test.ts
  Cart
    \u2713 adds items (3 ms)
    \u2715 rounds totals (5 ms)

  \u25cf Cart \u203a rounds totals

    expect(received).toBe(expected) // Object.is equality

    Expected: 10.01
    Received: 10

      at Object.<anonymous> (src/cart.test.ts:14:27)

Test Suites: 1 failed, 3 passed, 4 total
Tests:       1 failed, 2 skipped, 21 passed, 24 total
Snapshots:   0 total
Time:        2.114 s
"""
VITEST = """\
 \u276f src/tax.test.ts (3 tests | 1 failed) 12ms
   \u00d7 tax > reverse charge > skips VAT 4ms
     \u2192 expected 19 to be +0 // Object.is equality

\u23af\u23af\u23af\u23af\u23af\u23af\u23af Failed Tests 1 \u23af\u23af\u23af\u23af\u23af\u23af\u23af

 FAIL  src/tax.test.ts > tax > reverse charge > skips VAT
AssertionError: expected 19 to be +0 // Object.is equality

 Test Files  1 failed | 2 passed (3)
      Tests  1 failed | 17 passed | 1 skipped (19)
   Start at  10:14:02
   Duration  612ms
"""
VITEST_OK = (
    " \u2713 src/a.test.ts (4 tests) 3ms\n\n Test Files  1 passed (1)\n      Tests  4 passed (4)\n   Duration  201ms\n"
)
MOCHA = """\
  Cart
    \u2714 adds items
    1) rounds totals

  12 passing (31ms)
  1 failing

  1) Cart
       rounds totals:

      AssertionError [ERR_ASSERTION]: 10 == 10.01
"""
BUN = """\
bun test v1.1.29 (6d43b366)

src/cart.test.ts:
(pass) cart > adds items [0.41ms]
(fail) cart > rounds totals [1.20ms]

 8 pass
 1 fail
 14 expect() calls
Ran 9 tests across 2 files. [31.00ms]
"""
GO_VERBOSE = """\
=== RUN   TestCart
=== RUN   TestCart/rounding
    cart_test.go:31: got 10, want 10.01
--- FAIL: TestCart (0.00s)
    --- FAIL: TestCart/rounding (0.00s)
=== RUN   TestTax
--- PASS: TestTax (0.00s)
FAIL
FAIL\tshop/internal/cart\t0.004s
ok  \tshop/internal/tax\t0.003s
FAIL
"""
GO_OK = "?   \tshop/cmd\t[no test files]\nok  \tshop/internal/cart\t0.210s\nok  \tshop/internal/tax\t(cached)\n"
GO_BUILD = (
    "# shop/internal/cart\ninternal/cart/cart.go:9:2: undefined: rate\nFAIL\tshop/internal/cart [build failed]\nFAIL\n"
)
CARGO = """\
running 3 tests
test cart::tests::adds ... ok
test cart::tests::rounds ... FAILED
test tax::tests::rate ... ok

failures:

---- cart::tests::rounds stdout ----
thread 'cart::tests::rounds' panicked at src/cart.rs:41:9:
assertion `left == right` failed

failures:
    cart::tests::rounds

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
"""
CARGO_MANY = """\
test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests shop

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.31s
"""
NEXTEST = """\
        PASS [   0.004s] shop cart::tests::adds
        FAIL [   0.006s] shop cart::tests::rounds
------------
     Summary [   0.012s] 2 tests run: 1 passed, 1 failed, 0 skipped
        FAIL [   0.006s] shop cart::tests::rounds
error: test run failed
"""
RSPEC = """\
Failures:

  1) Cart rounds totals
     Failure/Error: expect(cart.total).to eq(10.01)

Finished in 0.02 seconds (files took 0.3 seconds to load)
6 examples, 1 failure, 1 pending

Failed examples:

rspec ./spec/cart_spec.rb:14 # Cart rounds totals
"""
MINITEST = """\
# Running:

..F

Failure:
CartTest#test_rounding [test/cart_test.rb:12]:
Expected: 10.01
  Actual: 10

3 runs, 5 assertions, 1 failures, 0 errors, 0 skips
"""
PHPUNIT = """\
There was 1 failure:

1) Shop\\Tests\\CartTest::testRounding
Failed asserting that 10.0 matches expected 10.01.

/srv/shop/tests/CartTest.php:22

FAILURES!
Tests: 9, Assertions: 20, Failures: 1.
"""
PEST = "  Tests:    1 failed, 12 passed (30 assertions)\n  Duration: 0.44s\n"
DOTNET = """\
  Failed Shop.Tests.CartTests.RoundsTotals [12 ms]
  Error Message:
   Assert.Equal() Failure: Values differ

Failed!  - Failed:     1, Passed:    32, Skipped:     0, Total:    33, Duration: 88 ms - Shop.Tests.dll (net8.0)
"""
MAVEN = """\
[ERROR] Tests run: 4, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE! -- in shop.CartTest
[ERROR] shop.CartTest.rounds -- Time elapsed: 0.01 s <<< FAILURE!
[INFO] Results:
[ERROR] Failures:
[ERROR]   CartTest.rounds:22 expected: <10.01> but was: <10.0>
[ERROR] Tests run: 12, Failures: 1, Errors: 0, Skipped: 1
[INFO] BUILD FAILURE
"""
GRADLE = """\
> Task :test FAILED

CartTest > rounds totals FAILED
    org.opentest4j.AssertionFailedError at CartTest.kt:18

14 tests completed, 1 failed
BUILD FAILED in 4s
"""
CTEST = """\
1/3 Test #1: cart .............................   Passed    0.01 sec
2/3 Test #2: tax ..............................***Failed    0.02 sec

67% tests passed, 1 tests failed out of 3

The following tests FAILED:
\t  2 - tax (Failed)
Errors while running CTest
"""
TOX = """\
  py311: OK (4.20=setup[2.1]+cmd[2.1] seconds)
  lint: FAIL code 1 (0.50 seconds)
  evaluation failed :( (4.81 seconds)
"""
PLAYWRIGHT = """\
  1) [chromium] \u203a cart.spec.ts:9:5 \u203a checkout \u203a pays \u2500\u2500\u2500\u2500

    Error: expect(locator).toBeVisible() failed

  1 failed
    [chromium] \u203a cart.spec.ts:9:5 \u203a checkout \u203a pays \u2500\u2500\u2500
  4 passed (12.3s)
"""
SWIFT = """\
Test Case '-[ShopTests.CartTests testRounding]' failed (0.004 seconds).
Test Suite 'All tests' failed at 2025-03-01 10:00:00.000.
\t Executed 6 tests, with 1 failure (0 unexpected) in 0.020 (0.021) seconds
"""
DENO = """\
cart adds ... ok (2ms)
cart rounds ... FAILED (3ms)

FAILED | 1 passed | 1 failed (12ms)
"""
MIX = """\
  1) test rounds totals (Shop.CartTest)
     test/cart_test.exs:9

Finished in 0.03 seconds (0.00s async, 0.03s sync)
3 doctests, 8 tests, 1 failure
"""
NODE = (
    "\u2716 rounds totals (1.2ms)\n\u2139 tests 5\n\u2139 suites 1\n\u2139 pass 4\n\u2139 fail 1\n\u2139 cancelled 0\n"
)
TAP = "ok 1 - adds\nnot ok 2 - rounds totals\n# tests 2\n# pass 1\n# fail 1\n"
PROVE = "t/cart.t .. ok\nt/tax.t ... Failed 1/4 subtests\nt/tax.t (Wstat: 256 Tests: 4 Failed: 1)\nResult: FAIL\n"
GOTESTSUM = "=== FAIL: internal/cart TestCart (0.00s)\n\nDONE 21 tests, 1 skipped, 1 failure in 2.345s\n"
BATS = " \u2713 prints help\n \u2717 fails on a missing file\n\n2 tests, 1 failure\n"

PYTEST_FAILING = [
    "tests/test_cart.py::TestCart::test_total_rounding",
    "tests/test_tax.py::test_rate[de-19]",
    "tests/test_tax.py::test_lookup",
]
RUNS = [
    ("pytest", PYTEST_SHORT, 11, 3, PYTEST_FAILING),
    ("pytest", PYTEST_QUIET, 20, 0, []),
    ("pytest", PYTEST_VERBOSE, 2, 1, ["tests/test_api.py::test_post[a b]"]),
    ("unittest", UNITTEST, 1, 2, ["test_split (shop.tests.test_text.SplitTest.test_split)"]),
    ("unittest", DJANGO_OK, 7, 0, []),
    ("jest", JEST, 21, 1, ["Cart \u203a rounds totals"]),
    ("vitest", VITEST, 17, 1, ["src/tax.test.ts > tax > reverse charge > skips VAT"]),
    ("vitest", VITEST_OK, 4, 0, []),
    ("mocha", MOCHA, 12, 1, ["rounds totals"]),
    ("bun test", BUN, 8, 1, ["cart > rounds totals"]),
    ("go test", GO_VERBOSE, 1, 2, ["TestCart", "TestCart/rounding"]),
    ("go test", GO_OK, 2, 0, []),
    ("go test", GO_BUILD, 0, 1, []),
    ("cargo test", CARGO, 2, 1, ["cart::tests::rounds"]),
    ("cargo test", CARGO_MANY, 13, 0, []),
    ("nextest", NEXTEST, 1, 1, ["shop cart::tests::rounds"]),
    ("rspec", RSPEC, 4, 1, ["./spec/cart_spec.rb:14 # Cart rounds totals"]),
    ("minitest", MINITEST, 2, 1, ["CartTest#test_rounding"]),
    ("phpunit", PHPUNIT, 8, 1, ["Shop\\Tests\\CartTest::testRounding"]),
    ("jest", PEST, 12, 1, []),
    ("dotnet test", DOTNET, 32, 1, ["Shop.Tests.CartTests.RoundsTotals"]),
    ("maven", MAVEN, 10, 1, ["CartTest.rounds:22"]),
    ("gradle", GRADLE, 13, 1, ["CartTest > rounds totals"]),
    ("ctest", CTEST, 2, 1, ["tax"]),
    ("tox", TOX, 1, 1, ["lint"]),
    ("playwright", PLAYWRIGHT, 4, 1, ["[chromium] \u203a cart.spec.ts:9:5 \u203a checkout \u203a pays"]),
    ("swift test", SWIFT, 5, 1, ["ShopTests.CartTests testRounding"]),
    ("deno test", DENO, 1, 1, ["cart rounds"]),
    ("mix test", MIX, 7, 1, ["rounds totals (Shop.CartTest)"]),
    ("node --test", NODE, 4, 1, ["rounds totals"]),
    ("node --test", TAP, 1, 1, ["rounds totals"]),
    ("prove", PROVE, 1, 1, ["t/tax.t"]),
    ("gotestsum", GOTESTSUM, 19, 1, ["internal/cart TestCart"]),
    ("mix test", BATS, 1, 1, []),
]  # fmt: skip


def _read(output: str) -> Outcome:
    outcome = read_outcome(output)
    assert outcome is not None
    return outcome


@pytest.mark.parametrize(
    ("runner", "output", "passed", "failed", "failing"), RUNS, ids=[f"{r[0]}-{i}" for i, r in enumerate(RUNS)]
)
def test_a_run_is_counted_and_its_failing_tests_are_named(
    runner: str, output: str, passed: int, failed: int, failing: list[str]
) -> None:
    """Counts and names are those of the runner's own summary."""
    outcome = _read(output)
    assert (outcome.runner, outcome.passed, outcome.failed) == (runner, passed, failed)
    assert [f.name for f in outcome.failing] == failing
    assert outcome.ok is (failed == 0)


@pytest.mark.parametrize("output", [run[1] for run in RUNS])
def test_the_counts_line_and_the_names_stand_where_the_outcome_says(output: str) -> None:
    """Spans point into the output."""
    outcome = _read(output)
    line = output[outcome.start : outcome.end]
    assert line.strip() == line
    assert line
    for failing in outcome.failing:
        assert failing.name in output[failing.start : failing.end]


@pytest.mark.parametrize(
    "output",
    [
        "3 files changed, 10 insertions(+), 2 deletions(-)\n",
        "Compiled successfully in 3.1s\n",
        "All checks passed!\n",
        "Total tests: 1\nRun complete\n",
        "added 120 packages, and audited 121 packages in 4s\n",
        "Server passed to worker 3\nfailed over\n",
        "",
    ],
)
def test_output_without_a_runners_summary_is_no_outcome(output: str) -> None:
    """Words like passed or tests alone are not a test run."""
    assert read_outcome(output) is None


def test_failing_tests_over_the_limit_are_counted() -> None:
    """Nothing is cut silently."""
    lines = "".join(f"FAILED tests/test_a.py::test_{i} - assert 0\n" for i in range(230))
    outcome = _read(lines + "=========== 230 failed in 2.00s ===========\n")
    assert len(outcome.failing) == 200
    assert outcome.failing_left_out == 30
