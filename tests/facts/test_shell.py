"""What a line of shell runs, shows and changes."""

import pytest

from rlm_mcp.facts.runs import command_key, covers, run_key
from rlm_mcp.facts.shell import folder_of, is_showing, parse
from rlm_mcp.facts.shell_files import files_changed, files_shown


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("git status", [("git", "status")]),
        ("cd web && npm test", [("cd", "web"), ("npm", "test")]),
        ("sudo env A=1 timeout 30s make check", [("make", "check")]),
        ("FOO=bar uv run python -m pytest -x", [("pytest", "-x")]),
        ("poetry run pytest tests", [("pytest", "tests")]),
        ("npx --yes eslint .", [("--yes", "eslint", ".")]),
        ("bash -lc 'go test ./... | tail -3'", [("go", "test", "./..."), ("tail", "-3")]),
        ("echo \"a; b\" 'c && d'; ls", [("echo", "a; b", "c && d"), ("ls",)]),
        ("python -m http.server 2>&1 &", [("http.server",)]),
        (
            "git commit -m \"$(cat <<'EOF'\nOne; two\nEOF\n)\" && git push",
            [("git", "commit", "-m", "$(cat  \x010 \n)"), ("git", "push")],
        ),
    ],
)
def test_a_line_is_its_simple_commands(command: str, words: list[tuple[str, ...]]) -> None:
    """Quotes, wrappers, assignments and heredocs as a shell reads them."""
    assert [segment.words for segment in parse(command)] == words


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("cat src/a.ts", [("src/a.ts", "")]),
        ("cat -n a.py b.py", [("a.py", ""), ("b.py", "")]),
        ("sed -n '10,40p' src/a.ts", [("src/a.ts", "10-40")]),
        ("nl -ba src/a.ts | sed -n '5,9p'", [("src/a.ts", "5-9")]),
        ("head -n 20 README.md", [("README.md", "1-20")]),
        ("head -50 README.md", [("README.md", "1-50")]),
        ("tail -n 5 log.txt", [("log.txt", "")]),
        ("cd web && cat package.json", [("web/package.json", "")]),
        ("rg -n 'total' src/cart.ts", [("src/cart.ts", "")]),
        ("grep -rn total src", []),
        ("git show HEAD~1:src/cart.ts", [("src/cart.ts", "")]),
        ("git show --stat HEAD", []),
        ("cat a.txt > b.txt", []),
        ("cat <<'EOF' > new.txt\nhello\nEOF", []),
        ("cat $FILE", []),
        ("sed -i 's/a/b/' a.txt", []),
        ("less notes.md", [("notes.md", "")]),
        ("sed -n 1,5p a.py && sed -n 6,9p b.py", [("a.py", "1-5"), ("b.py", "6-9")]),
    ],
)
def test_files_that_a_command_prints_are_reads(command: str, shown: list[tuple[str, str]]) -> None:
    """With the lines, where the command says them."""
    assert [(file.path, file.lines) for file in files_shown(parse(command), "")] == shown


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        ("echo hi > notes.txt", [("notes.txt", "create", "", "hi")]),
        ("echo hi >> notes.txt", [("notes.txt", "update", "", "hi")]),
        ("cat > src/a.py <<'EOF'\ndef f():\n    return 1\nEOF", [("src/a.py", "create", "", "def f():\n    return 1")]),
        ("cat <<EOF | tee conf/app.ini\nport=1\nEOF", [("conf/app.ini", "create", "", "port=1")]),
        ("sed -i 's/a/b/' src/a.py src/b.py", [("src/a.py", "update", "", ""), ("src/b.py", "update", "", "")]),
        ("sed -i '' -e 's/a/b/' a.txt", [("a.txt", "update", "", "")]),
        ("perl -pi -e 's/a/b/' a.txt", [("a.txt", "update", "", "")]),
        ("mv a.py b.py", [("a.py", "move", "b.py", "")]),
        ("git mv src/a.py lib/", [("src/a.py", "move", "lib/a.py", "")]),
        ("rm -rf build old.txt", [("build", "delete", "", ""), ("old.txt", "delete", "", "")]),
        ("git rm --cached secret.txt", []),
        ("git rm old.txt", [("old.txt", "delete", "", "")]),
        ("cp a.py b.py", [("b.py", "create", "", "")]),
        ("touch src/__init__.py", [("src/__init__.py", "create", "", "")]),
        ("npm test > /dev/null 2>&1", []),
        ("npm test > /tmp/out.txt 2>&1", []),
        ("make 2> build.log", []),
        ("cd web && rm x.ts", [("web/x.ts", "delete", "", "")]),
        ("ls -la; cat a.py", []),
    ],
)
def test_files_that_a_command_changes_are_edits(command: str, changed: list[tuple[str, str, str, str]]) -> None:
    """By redirection, in place, and by the commands that move files; a command's captured output is no edit."""
    found = [(c.path, c.how, c.new_path, c.added_text) for c in files_changed(parse(command), "")]
    assert found == changed


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("npm  test 2>&1 | tail -20", "npm test"),
        ("cd /srv/shop && npm test", "npm test"),
        ("pytest -q || true", "pytest -q"),
        ("git push", "git push"),
    ],
)
def test_runs_that_differ_in_form_alone_share_a_key(command: str, key: str) -> None:
    """The folder in front and cuts of the output behind do not make another command."""
    assert command_key(command, "") == key


def test_a_long_command_keeps_a_key_of_its_own() -> None:
    """Two long scripts that begin alike are two commands."""
    one, two = "python -c '" + "x" * 900 + "1'", "python -c '" + "x" * 900 + "2'"
    assert command_key(one, "") != command_key(two, "")
    assert len(command_key(one, "")) <= 400


@pytest.mark.parametrize(
    ("command", "tool", "targets"),
    [
        ("uv run python -m pytest -x --maxfail 3 tests/a.py", "pytest", ("tests/a.py",)),
        ("pytest tests/a.py -k total", "pytest", ("tests/a.py", "-k total")),
        ("go test ./internal/... -run TestCart -v", "go test", ("internal", "-run TestCart")),
        ("npm run test:unit -- --watch=false", "npm run test:unit", ()),
        ("cargo test --workspace", "cargo test", ()),
        ("git -C /srv commit -m x", "git commit", ()),
        ("bun run lint", "bun run lint", ()),
        ("mise run test:ci", "mise run test:ci", ()),
    ],
)
def test_a_run_is_known_by_tool_and_targets(command: str, tool: str, targets: tuple[str, ...]) -> None:
    """Flags do not make another run; what is run does."""
    assert run_key(parse(command)[0]) == (tool, targets)


@pytest.mark.parametrize(
    ("new", "old", "answer"),
    [
        (("pytest", ()), ("pytest", ("tests/a.py",)), True),
        (("pytest", ("tests",)), ("pytest", ("tests/a.py",)), True),
        (("pytest", ("tests/a.py",)), ("pytest", ("tests/a.py",)), True),
        (("pytest", ("tests/a.py",)), ("pytest", ("tests/a.py::test_x",)), True),
        (("pytest", ("tests/a.py",)), ("pytest", ()), False),
        (("pytest", ("tests/a.py",)), ("pytest", ("tests/b.py",)), False),
        (("pytest", ()), ("jest", ()), False),
        (("go test", ("",)), ("go test", ("internal",)), True),
        (("pytest", ("-k total",)), ("pytest", ("tests/a.py",)), False),
    ],
)
def test_a_wider_run_covers_a_narrower_one(
    new: tuple[str, tuple[str, ...]], old: tuple[str, tuple[str, ...]], *, answer: bool
) -> None:
    """What a run says of its targets it says of all below them."""
    assert covers(new, old) is answer


def test_the_folder_is_where_the_last_command_runs() -> None:
    """Cd at the front is followed."""
    assert folder_of(parse("cd web && cd src && ls"), "/srv/shop") == "/srv/shop/web/src"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("cat a", True),
        ("git log", True),
        ("git commit -m x", False),
        ("rg x", True),
        ("npm test", False),
        ("sed -i s/a/b/ x", False),
        ("gh pr view 1", True),
        ("gh pr create", False),
    ],
)
def test_content_is_told_from_outcomes(command: str, *, answer: bool) -> None:
    """Error words in content are someone's text."""
    assert is_showing(parse(command)[0]) is answer
