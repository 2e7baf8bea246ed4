"""Error lines: what reports an error, and what only looks like it."""

import pytest

from rlm_mcp.facts.error_lines import MAX_ERRORS, error_lines

REPORTS = [
    "error: failed to push some refs to 'https://git.example.com/shop.git'",
    "fatal: not a git repository (or any of the parent directories): .git",
    "remote: error: GH006: Protected branch update failed for refs/heads/main.",
    " ! [rejected]        main -> main (non-fast-forward)",
    "CONFLICT (content): Merge conflict in src/cart.ts",
    "error[E0382]: borrow of moved value: `cart`",
    'error: could not compile `shop` (bin "shop") due to 2 previous errors',
    "src/cart.ts(14,7): error TS2322: Type 'string' is not assignable to type 'number'.",
    "src/cart.ts:14:7 - error TS2322: Type 'string' is not assignable to type 'number'.",
    "  14:7  error  'total' is assigned a value but never used  no-unused-vars",
    'src/cart.py:14: error: Incompatible return value type (got "str", expected "int")  [return-value]',
    "src/cart.py:14:80: E501 Line too long (104 > 100)",
    "src/cart.py:1:8: F401 [*] `os` imported but unused",
    "internal/cart/cart.go:31:2: declared and not used: total",
    "internal/cart/cart.go:31:2: undefined: rate",
    "cart.go:12:9: Error return value of `f.Close` is not checked (errcheck)",
    "main.c:10:5: error: expected ';' before 'return'",
    "/usr/bin/ld: main.o: undefined reference to `tax_rate'",
    "collect2: error: ld returned 1 exit status",
    "make: *** [Makefile:12: build] Error 2",
    "CMake Error at CMakeLists.txt:14 (find_package):",
    "Cart.java:31: error: cannot find symbol",
    "[ERROR] Failed to execute goal org.apache.maven.plugins:maven-compiler-plugin:3.11.0:compile",
    "e: file:///srv/shop/Cart.kt:12:5 Unresolved reference: rate",
    "FAILURE: Build failed with an exception.",
    "> Task :compileKotlin FAILED",
    "Program.cs(5,13): error CS0103: The name 'rate' does not exist in the current context [/srv/Shop.csproj]",
    "PHP Fatal error:  Uncaught Error: Call to undefined function rate() in /srv/cart.php:9",
    "cart.rb:3:in `total': undefined method `sum' for nil (NoMethodError)",
    "** (MatchError) no match of right hand side value: nil",
    "TypeError: Cannot read properties of undefined (reading 'total')",
    "Uncaught ReferenceError: rate is not defined",
    "Error: Cannot find module './rate'",
    'java.lang.NullPointerException: Cannot invoke "Cart.total()" because "cart" is null',
    "thread 'main' panicked at src/main.rs:4:5:",
    "panic: runtime error: index out of range [3] with length 3",
    "Segmentation fault (core dumped)",
    "bash: pnpm: command not found",
    "/bin/sh: 1: tox: not found",
    "zsh: command not found: deno",
    "'mvn' is not recognized as an internal or external command,",
    "/usr/bin/python3: No module named pytest",
    "npm ERR! code ELIFECYCLE",
    'npm error Missing script: "lint"',
    "error Command failed with exit code 1.",
    'error: script "build" exited with code 1',
    "ERROR: Could not find a version that satisfies the requirement shoplib==9.9 (from versions: 1.0)",
    "E: Unable to locate package shopd",
    "curl: (7) Failed to connect to localhost port 8080 after 0 ms: Couldn't connect to server",
    "HTTP/1.1 503 Service Unavailable",
    "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://api.example.com/v1/carts",
    "Error: connect ECONNREFUSED 127.0.0.1:5432",
    'psycopg2.errors.UndefinedTable: relation "carts" does not exist',
    'Error from server (NotFound): deployments.apps "shop" not found',
    'ERROR: failed to solve: process "/bin/sh -c npm ci" did not complete successfully: exit code: 1',
    "E   AssertionError: assert 10 == 10.01",
    "E       assert 3 == 4",
    "    cart_test.go:31: got 10, want 10.01",
    "2025-03-01 10:00:00,123 ERROR shop.cart - rounding failed for order 12",
    'time="2025-03-01T10:00:00Z" level=error msg="rounding failed"',
    "  \u2716 src/cart.ts:1:1 lint/style/useConst",
    "[FAIL] the changelog is missing an entry",
    "cp: cannot stat 'dist/app.js': No such file or directory",
    "Failed to compile.",
    "SyntaxError: Unexpected token '}' (cart.js:10)",
    "ValueError: invalid literal for int() with base 10: 'x'",
    "tests/test_cart.py:14: error: Missing return statement  [return]",
    "error: Your local changes to the following files would be overwritten by merge:",
]

LOOK_ALIKES = [
    "0 errors, 0 warnings",
    "Found 0 errors. Watching for file changes.",
    "\u2714 No ESLint warnings or errors",
    "Success: no issues found in 12 source files",
    "        modified:   src/error_handler.py",
    " create mode 100644 src/errors.ts",
    " src/errors.ts | 12 +++++++-----",
    "M  lib/error.rb",
    "   Compiling thiserror v1.0.56",
    "  Downloading exceptiongroup-1.2.0-py3-none-any.whl (16 kB)",
    "Installing error-stack (0.5.0)",
    "tests/test_errors.py::test_raises_value_error PASSED  [ 12%]",
    "    \u2713 shows an error when the form is empty (12 ms)",
    "=== RUN   TestErrorHandling",
    "--- PASS: TestErrorHandling (0.00s)",
    "ok  \tshop/internal/errors\t0.003s",
    "PASS src/error.test.ts",
    "2025-03-01 10:00:00 INFO recovered from error: timeout",
    "DEBUG error count: 3",
    "errors: 0, failures: 0",
    "14 passed, 0 failed",
    "const error = new Error('x');",
    '    raise ValueError("bad")',
    "warning: unused variable: `error`",
    "src/errors/index.ts",
    "Fixed 3 errors in 2 files.",
    "Added error handling to the cart.",
    "Finished `dev` profile [unoptimized + debuginfo] target(s) in 0.40s",
]


@pytest.mark.parametrize("line", REPORTS)
def test_a_line_that_reports_an_error_is_found(line: str) -> None:
    """Verbatim, in the middle of ordinary output."""
    output = f"Building shop\n{line}\nDone in 3s\n"
    found, more = error_lines(output, showing=False, failed=True)
    assert [error.text for error in found] == [line.strip()]
    assert more == 0
    assert all(output[error.start : error.end] == error.text for error in found)


@pytest.mark.parametrize("line", LOOK_ALIKES)
def test_a_line_that_only_mentions_errors_is_not_one(line: str) -> None:
    """Success reports, file names, code and passed tests stay out."""
    assert error_lines(f"Building shop\n{line}\nDone in 3s\n", showing=False, failed=False) == ([], 0)


@pytest.mark.parametrize(
    "line", [line for line in REPORTS if "No such file" not in line and not line.startswith(("error: ", "fatal: "))]
)
def test_error_words_in_content_that_is_shown_are_not_errors(line: str) -> None:
    """What cat, grep or git log print is someone's text."""
    if "command not found" in line or line.startswith(("curl", "/bin/sh", "bash", "zsh", "/usr/bin")):
        pytest.skip("these are complaints wherever they stand")
    assert error_lines(f"# notes\n{line}\nmore\n", showing=True, failed=False) == ([], 0)


@pytest.mark.parametrize(
    "line",
    [
        "cat: missing.txt: No such file or directory",
        "sed: can't read src/cart.ts: No such file or directory",
        "rg: src/cart.ts: No such file or directory (os error 2)",
        "grep: build: Is a directory",
        "fatal: path 'cart.ts' does not exist in 'HEAD'",
        'rg: the literal "\\n" is not allowed in a regex',
        'jq: error (at <stdin>:1): Cannot index string with string "id"',
        "ls: cannot access 'dist': No such file or directory",
    ],
)
def test_a_programs_own_complaint_is_found_among_content(line: str) -> None:
    """Cat may fail on one of two files."""
    found, _ = error_lines(f"export const a = 1;\n{line}\n", showing=True, failed=True)
    assert [error.text for error in found] == [line]


def test_a_traceback_is_its_last_line_with_its_innermost_place() -> None:
    """The frames between are not errors of their own."""
    output = (
        "Starting\nTraceback (most recent call last):\n"
        '  File "/srv/shop/main.py", line 9, in <module>\n    run()\n'
        '  File "/srv/shop/cart.py", line 31, in total\n    raise ValueError("bad rate")\n'
        "ValueError: bad rate\n"
    )
    found, _ = error_lines(output, showing=False, failed=True)
    assert [(error.text, error.where) for error in found] == [
        ("ValueError: bad rate", 'File "/srv/shop/cart.py", line 31, in total')
    ]


def test_a_rust_error_names_its_place() -> None:
    """The arrow line says where."""
    output = "error[E0382]: borrow of moved value: `cart`\n  --> src/main.rs:14:9\n   |\n14 |     cart.total();\n"
    found, _ = error_lines(output, showing=False, failed=True)
    assert [(error.text, error.where) for error in found] == [
        ("error[E0382]: borrow of moved value: `cart`", "--> src/main.rs:14:9")
    ]


def test_the_same_line_counts_once() -> None:
    """A retry loop prints its error often."""
    found, _ = error_lines("Error: connect ECONNREFUSED 127.0.0.1:1\n" * 30, showing=False, failed=True)
    assert len(found) == 1


def test_errors_over_the_limit_are_counted() -> None:
    """Nothing is cut silently."""
    output = "".join(f"src/a.ts({i},1): error TS2322: wrong\n" for i in range(60))
    found, more = error_lines(output, showing=False, failed=True)
    assert (len(found), more) == (MAX_ERRORS, 60 - MAX_ERRORS)


def test_a_failure_without_a_known_shape_is_its_last_words() -> None:
    """A program may fail in its own language."""
    found, _ = error_lines("checking things\nthe frobnicator is upside down\n", showing=False, failed=True)
    assert [error.text for error in found] == ["the frobnicator is upside down"]
