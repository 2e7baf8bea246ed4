"""What makes two runs the same, and what one run says about another."""

from __future__ import annotations

import hashlib

from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.shell import Segment, git_verb

RunKey = tuple[str, tuple[str, ...]]
"""A tool (with its folder, where that is not the Session's) and its targets."""

_TAIL_FILTER = LazyPattern(
    r"(?:\s*+(?:2>&1|\|&?\s*+(?:tail|head|cat|tee|less|more)\b[^|;&]*+(?:&1[^|;&]*+)?|\|\|\s*+true|2>/dev/null))++\s*$"
)
_BLANKS = LazyPattern(r"\s+")


def command_key(command: str, folder: str) -> str:
    """What makes two runs the same: blanks folded; what only prepares the run and cuts of its output removed.

    ``folder`` is named where it is not empty. At most 400 characters: longer ones end in a digest.
    """
    core = _bare(command)
    head, tail = core[:-400], core[-400:]
    core = head + _TAIL_FILTER.sub("", tail) or core
    core = _BLANKS.sub(" ", core[:20_000]).strip()
    if folder:
        core = f"{core} (in {folder})"
    if len(core) > 400:
        digest = hashlib.sha256(command.encode("utf-8", "replace")).hexdigest()[:10]
        core = f"{core[:386]}\u2026 {digest}"
    return core


_WORD = r"(?:\"[^\"]*\"|'[^']*'|[^\s;&|\"'`$()])+"
_PREPARING = LazyPattern(
    rf"\s*+(?:(?:cd\s+{_WORD}|sleep\s+[\d.]+[smh]?|(?:source|\.)\s+\S*activate|export(?:\s+\w+={_WORD})+|"
    rf"set\s+-[\w -]+)\s*(?:&&|;|\n)\s*|timeout\s+(?:-\S+\s+)*[\d.]+[smh]?\s+|[A-Z_][A-Z0-9_]*=(?:{_WORD})?\s+)"
)
"""One thing in front of a run that only prepares it: folder, wait, environment, time limit."""
_MAX_PREPARING = 8
_PREPARING_STARTS = ("cd", "sl", "so", ". ", "ex", "se", "ti")


def _bare(command: str) -> str:
    """``command`` without what prepares it; as it is where nothing else is left."""
    at = 0
    for _ in range(_MAX_PREPARING):
        start = command[at : at + 40].lstrip()[:2]
        if start not in _PREPARING_STARTS and not start[:1].isupper():
            break
        match = _PREPARING.match(command, at)
        if match is None:
            break
        at = match.end()
    return command[at:] if command[at:].strip() else command


_FILTER_FLAGS = frozenset({
    "-k", "-m", "-t", "-run", "--run", "--filter", "-g", "--grep", "--testNamePattern", "--test-name-pattern",
    "--test", "--testPathPattern", "-p", "--package", "--project", "--tests", "--bin", "-R", "--tests-regex", "-e",
    "--exact", "--only", "--example", "-n",
})  # fmt: skip
_VALUE_FLAGS = frozenset({
    "-j", "--maxfail", "--timeout", "-timeout", "-count", "--reporter", "-c", "--config", "--tb", "-W", "-o",
    "--retries", "--workers", "--color", "-w", "--format", "--max-warnings", "--ext", "--output-format", "--test-dir",
    "--preset", "--logger", "-v:m", "--durations", "-x-workers", "--numprocesses", "--dist",
})  # fmt: skip


def run_key(segment: Segment) -> RunKey:
    """(tool, targets): ``("pytest", ("tests/a.py",))`` of ``uv run pytest -x tests/a.py``. Flags are dropped."""
    name = segment.program
    words = segment.words
    if name in {"git", "gh", "glab"}:
        verb = git_verb(segment) if name == "git" else " ".join(w for w in words[1:3] if not w.startswith("-"))
        return f"{name} {verb}".rstrip(), ()
    inside = _inside_container(words) if name in _CONTAINERS else 0
    if inside:
        called, within = run_key(Segment(words[inside:]))
        return " ".join((*(w for w in words[: inside - 1] if w[:1] != "-"), words[inside - 1], called)), within
    targets: list[str] = []
    i = 1
    while i < len(words):
        word = words[i]
        if word in _FILTER_FLAGS and not (name == "pytest" and word in {"-n", "-p", "-e"}):
            targets.append(f"{word} {words[i + 1]}" if i + 1 < len(words) else word)
            i += 1
        elif word in _VALUE_FLAGS or (name == "pytest" and word in {"-n", "-p"}):
            i += 1
        elif word.startswith("-"):
            flag, equals, value = word.partition("=")
            if equals and flag in _FILTER_FLAGS:
                targets.append(f"{flag} {value}")
        elif word != "|":
            targets.append(word)
        i += 1
    tool = [name]
    while targets and name in _VERB_TOOLS and len(tool) < _VERB_TOOLS[name]:
        if "/" in targets[0] or targets[0].startswith("-"):
            break
        verb = targets.pop(0)
        tool.append(verb)
        if verb not in {"run", "exec"}:
            break
    return " ".join(tool), tuple(_target(target) for target in targets)


_VERB_TOOLS = {
    "npm": 3, "yarn": 3, "pnpm": 3, "bun": 3, "go": 2, "cargo": 3, "dotnet": 2, "mix": 2, "swift": 2, "deno": 3,
    "make": 2, "just": 2, "mise": 3, "task": 2, "rake": 2, "rails": 2, "gradle": 2, "gradlew": 2, "mvn": 2, "mvnw": 2,
    "ruff": 2, "biome": 2, "docker": 2, "kubectl": 2, "pip": 2, "pip3": 2, "uv": 3, "poetry": 2, "terraform": 2,
    "nx": 2, "turbo": 3, "golangci-lint": 2, "playwright": 2, "ng": 2, "php": 2, "composer": 2, "flutter": 2,
    "dart": 2, "bazel": 2, "zig": 2,
}  # fmt: skip


_CONTAINERS = frozenset({"docker", "docker-compose", "podman", "podman-compose"})
_CONTAINER_VALUE_FLAGS = frozenset({"-u", "--user", "-e", "--env", "-w", "--workdir", "--env-file", "--index", "-f"})


def _inside_container(words: tuple[str, ...]) -> int:
    """Where the command begins that ``docker compose exec SERVICE`` (or ``run``) runs; 0 where there is none."""
    verbs = [i for i, word in enumerate(words[1:5], 1) if word in {"exec", "run"}]
    if not verbs:
        return 0
    at = verbs[0] + 1
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _CONTAINER_VALUE_FLAGS else 1
    return at + 1 if at + 1 < len(words) and not words[at + 1].startswith("-") else 0


def _target(target: str) -> str:
    if target.startswith("-"):
        return target
    cut = target.removesuffix("/...").removesuffix("...").rstrip("/")
    return cut.removeprefix("./") if cut not in {".", "./"} else ""


def covers(new: RunKey, old: RunKey) -> bool:
    """Whether a run of ``new`` (tool, targets) says all that a run of ``old`` said."""
    if new[0] != old[0]:
        return False
    wide = [target for target in new[1] if target]
    if not wide or new[1] == old[1]:
        return len(wide) == len(new[1]) or not wide
    if any(target.startswith("-") for target in wide) or not old[1]:
        return False
    return all(any(_beneath(target, top) for top in wide) for target in old[1] if not target.startswith("-"))


def _beneath(target: str, top: str) -> bool:
    return target == top or target.startswith((f"{top}/", f"{top}::"))


_TESTING = frozenset({
    "pytest", "jest", "vitest", "mocha", "tox", "ctest", "rspec", "phpunit", "pest", "nox", "ava", "karma",
    "playwright", "bats", "prove", "nextest", "gotestsum", "unittest", "cypress", "trial", "nose2", "behave",
})  # fmt: skip


def subject_of(run: RunKey) -> str:
    """The run as a subject of Facts: ``pytest tests/a.py``."""
    return " ".join((run[0], *run[1])).strip()[:400]


_WHOLE = frozenset({
    "make test", "make tests", "make check", "npm test", "npm run test", "yarn test", "yarn run test", "pnpm test",
    "pnpm run test", "bun test", "bun run test", "just test", "task test", "rake test", "cargo test", "go test",
    "composer test", "mix test", "dotnet test", "tox", "nox", "pytest", "jest", "vitest", "vitest run", "mocha",
})  # fmt: skip


def is_whole(run: RunKey) -> bool:
    """Whether the run names no part: everything its project tests."""
    return run[0] in _WHOLE and not any(run[1])


def is_test(segment: Segment) -> bool:
    """Whether the command says that it runs tests."""
    inside = _inside_container(segment.words) if segment.program in _CONTAINERS else 0
    if inside:
        return is_test(Segment(segment.words[inside:]))
    return (
        is_test_script(segment)
        or segment.program in _TESTING
        or any(_says_test(word, segment.program) for word in segment.words[1:4])
    )


def _says_test(word: str, program: str) -> bool:
    if word == "test" or (word == "check" and program in {"make", "just"}):
        return True
    return word.startswith(("test:", "test-", "tests")) and "/" not in word and "." not in word


_INTERPRETERS = frozenset({
    "node", "python", "python3", "py", "deno", "bun", "ruby", "tsx", "ts-node", "php", "perl", "lua", "bash", "sh",
})  # fmt: skip
_TEST_FILE = LazyPattern(
    r"(?:^|/)(?:tests?|spec|__tests__)/[\w./-]*\.\w+$|(?:^|/)test_[\w-]+\.\w+$|[._-](?:test|spec)\.\w+$"
)


def is_test_script(segment: Segment) -> bool:
    """Whether an interpreter runs a file of tests: only its exit code tells the outcome."""
    if segment.program not in _INTERPRETERS:
        return False
    script = next((word for word in segment.words[1:] if not word.startswith("-") and word != "run"), "")
    return _TEST_FILE.search(script) is not None
