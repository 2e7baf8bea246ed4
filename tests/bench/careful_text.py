"""Words, sentences, commands and definitions as a careful reader sees them. Pure; independent of ``rlm_mcp``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

_STOP = """
a about above after again all also am an and any are as at be because been before being below between both but by can
could did do does doing done down during each few for from further get go got had has have having he her here hers him
his how i if in into is it its just let lets like make me more most my no nor not now of off ok on once only or other
our out over own please same she should so some such than that the their them then there these they thing this those
through to too under until up us use very want was we were what when where which while who whom why will with would
yes you your
"""
STOPWORDS = frozenset(_STOP.split())
_WORD = re.compile(r"[A-Za-z0-9_][\w$./:@#-]*")
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:[-*+\u2022]|\d+[.)]|#{1,6}|>|\[[ xX~]\])\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Za-z0-9\"'`(\[*])")
_CD = re.compile(r"^\s*(?:cd|pushd)\s+(?:\"[^\"]*\"|'[^']*'|\S+)\s*(?:&&|;)\s*")
_QUOTED_BODY = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?.*?^\s*\1\s*$", re.DOTALL | re.MULTILINE)
_CUT_HEREDOC = re.compile(r"(<<-?\s*['\"]?\w+['\"]?[^\n]*)\n.*", re.DOTALL)
READERS = frozenset({"cat", "head", "tail", "sed", "nl", "less", "more", "bat", "batcat"})
SEARCHERS = frozenset(
    {"rg", "grep", "egrep", "ag", "find", "fd", "ls", "tree", "wc", "jq", "awk", "sort", "uniq", "diff"}
)


def fold(text: str) -> str:
    """``text`` with every run of blanks as one space."""
    return " ".join(text.split())


def content_words(text: str) -> list[str]:
    """Lower-case words that carry meaning, in order, each once."""
    found: dict[str, None] = {}
    for word in _WORD.findall(text):
        plain = word.strip("._/:-").lower()
        if len(plain) > 1 and plain not in STOPWORDS:
            found[plain] = None
    return list(found)


def prose(text: str) -> str:
    """``text`` without fenced code."""
    return _FENCE.sub("\n", text)


def sentences(text: str) -> list[str]:
    """Sentences and list items of prose, without bullets and heading marks."""
    found: list[str] = []
    for line in prose(text).splitlines():
        parts = _SENTENCE_END.split(_BULLET.sub("", line).strip())
        found += [sentence.strip() for sentence in parts if sentence.strip()]
    return found


def bare_command(command: str) -> str:
    """The command folded to one line, without leading ``cd ... &&`` and without here-document bodies."""
    command = _CUT_HEREDOC.sub(r"\1", command)
    while (shorter := _CD.sub("", command, count=1)) != command and shorter.strip():
        command = shorter
    return fold(command)


def pipelines(command: str) -> list[list[list[str]]]:
    """Words of each program of each pipeline; [] where the shell text is too odd to split."""
    command = _CUT_HEREDOC.sub(r"\1", command)
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        return []
    lines: list[list[list[str]]] = [[[]]]
    for token in tokens:
        if token in ("&&", ";", "||", "&", "(", ")", ";;"):
            lines.append([[]])
        elif token in ("|", "|&"):
            lines[-1].append([])
        else:
            lines[-1][-1].append(token)
    return [programs for line in lines if (programs := [p for p in line if p])]


def files_shown(command: str) -> list[str]:
    """Paths a shell command printed: ``cat``, ``head``, ``tail``, ``nl``, ``sed -n`` at the head of a pipeline."""
    found: list[str] = []
    for programs in pipelines(command):
        words = programs[0]
        name = words[0].rsplit("/", 1)[-1]
        if name not in READERS or ">" in words or "<<" in words or any(w.startswith("-i") for w in words[1:]):
            continue
        plain = [w for w in words[1:] if not w.startswith("-") and w not in ("<", "2") and not w.startswith(">")]
        if name == "sed":
            plain = plain[1:] if "-e" not in words else plain
        found += [w for w in plain if re.search(r"[A-Za-z]", w) and not re.search(r"[*?{$]", w) and w != "/dev/null"]
    return found


def files_written(command: str) -> list[str]:
    """Paths a shell command wrote: ``cat > file <<``, ``tee file``, ``sed -i``."""
    found = re.findall(r"\bcat\s*>{1,2}\s*(['\"]?)([\w./~-]+)\1\s*<<", command)
    found += re.findall(r"\btee\s+(?:-a\s+)?(['\"]?)([\w./~-]+)\1", command)
    paths = [path for _, path in found if path != "/dev/null"]
    for programs in pipelines(command):
        words = programs[0]
        if words[0] == "sed" and any(w.startswith("-i") for w in words[1:]):
            paths += [w for w in words[2:] if "/" in w and re.fullmatch(r"[\w./~-]+\.\w+", w)]
    return paths


def programs_of(command: str) -> set[str]:
    """Names of the programs that head the command's pipelines."""
    return {line[0][0].rsplit("/", 1)[-1] for line in pipelines(bare_command(command)) if line[0]}


_TEST_RUN = re.compile(
    r"(?:^|[\s;&|(])(?:uv run |poetry run |npx |bunx |pnpm exec |python3? -m )?"
    r"(?:pytest|py\.test|vitest|jest|mocha|go test|cargo (?:test|nextest)|(?:npm|pnpm|yarn|bun|deno)(?: run)? test"
    r"[\w:.-]*|bun --filter \S+ test|mise run test[\w:.-]*|make (?:test|check)[\w-]*|just test[\w-]*|tox|nox"
    r"|rspec|phpunit|dotnet test|ctest|gradlew? test|mvn test|mix test|swift test|unittest|nx test"
    r"|turbo (?:run )?test)\b"
)


def is_test_run(command: str) -> bool:
    """True where the command runs tests (not where it merely names them in a quoted text)."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "''", bare_command(command))
    return bool(_TEST_RUN.search(bare)) and not re.match(r"\s*(?:git|rg|grep|cat|sed|ls|find|chmod|echo)\b", bare)


_COUNTS = re.compile(r"\b\d+ (?:tests? )?(?:passed|failed|passing|failing|pass|fail|errors?)\b")
_SUMMED_UP = re.compile(r"^(?:ok|FAIL|PASS)\s+\S+|^test result: |^OK\b|^PASS$|^FAIL$")


def counts_line(output: str) -> str:
    """The words that sum a test run up, such as ``4 failed 31 passed``; '' where there are none."""
    tail = [line.strip().strip("=*- ") for line in output.splitlines()[-25:]]
    counts = [count for line in tail if len(line) < 200 for count in _COUNTS.findall(line)]
    if counts:
        return " ".join(dict.fromkeys(count for count in counts if not count.startswith("0 ")))
    return next((line for line in reversed(tail) if _SUMMED_UP.match(line)), "")


def tests_failed(output: str, failed: bool) -> bool:
    """Whether the run's own words, or else its exit state, say that it failed."""
    if re.search(r"^--- FAIL|^FAIL\b|^FAILED ", output, re.MULTILINE):
        return True
    counts = counts_line(output)
    if re.search(r"\b[1-9]\d* (?:tests? )?(?:failed|failing|fail)\b", counts):
        return True
    return failed


_FAILING = (
    re.compile(r"^\s*--- FAIL: (\S+)", re.MULTILINE),
    re.compile(r"^(?:FAILED|ERROR) (\S+::\S+)", re.MULTILINE),
    re.compile(
        r"^\s*(?:\(fail\)|\u2717|\u00d7|\u2715) (.{4,120}?)(?: \[[\d.]+ ?m?s\]| \([\d.]+ ?m?s\))?\s*$", re.MULTILINE
    ),
    re.compile(r"^test (\S+) \.\.\. FAILED", re.MULTILINE),
    re.compile(r"^\s*\u25cf (.{4,120}?)\s*$", re.MULTILINE),
)


def failing_tests(output: str) -> list[str]:
    """Names of the tests that a run reports as failing, each once."""
    return list(dict.fromkeys(name for pattern in _FAILING for name in pattern.findall(output)))


_ERROR_LINE = re.compile(
    r"^\[FAIL\]|^\w+: error\b|^(?:\w[\w./-]*: )?(?:\S+:\d+(?::\d+)?:? )?\s*(?:E\s+)?"
    r"(?:error|fatal|panic|exception|traceback|[\w.]*(?:Error|Exception))\b"
    r"[\[\]\w()]*\s*:|^\s*(?:error|fatal)\b|\b(?:No such file or directory|command not found|Permission denied|"
    r"cannot find|not found|syntax error|undefined:|unmatched|can't read|imported and not used|declared and not used|"
    r"compile error|timed out|BUILD FAILED|does not exist)\b|^\s*\S+\(\d+,\d+\): error",
    re.IGNORECASE,
)
_PLAIN_ERROR = re.compile(r"^\s*(?:error|fatal|panic)(?:\[\w+\])?:\s|^\s*[\w.]*(?:Error|Exception): |^\S+: error: ")


def error_lines(output: str, failed: bool, limit: int = 3) -> list[str]:
    """The lines that say what went wrong, verbatim, at most ``limit``.

    Of a failed result: the telling lines, or else the last one that says anything. Of a success: only lines in plain
    error form.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("Exit code")]
    lines = [re.sub(r"^E\s+", "", line) for line in lines if len(line) < 400 and not line.startswith("Error Trace:")]
    lines = [line for line in lines if len(line) > 14 and not (line.endswith(":") and len(line) < 25)]
    if not failed:
        return list(dict.fromkeys(line for line in lines if _PLAIN_ERROR.match(line)))[:limit]
    telling = list(dict.fromkeys(line for line in lines if _ERROR_LINE.search(line)))
    worded = [line for line in lines if len(re.findall(r"[A-Za-z]{2,}", line)) >= 3]
    return telling[:limit] or worded[-1:]


_DEFINITIONS: dict[str, re.Pattern[str]] = {
    "py": re.compile(r"^(?:    )?(?:async )?(?:def|class) ([A-Za-z_]\w*)", re.MULTILINE),
    "go": re.compile(r"^(?:func (?:\([^)]*\) )?|type )([A-Za-z_]\w*)", re.MULTILINE),
    "rs": re.compile(
        r"^\s*(?:pub(?:\([^)]*\))? )?(?:async )?(?:fn|struct|enum|trait|type) ([A-Za-z_]\w*)", re.MULTILINE
    ),
    "ts": re.compile(
        r"^(?:export )?(?:default )?(?:declare )?(?:async )?(?:abstract )?"
        r"(?:function\*?|class|interface|type|enum) ([A-Za-z_$][\w$]*)"
        r"|^(?:export )?const ([A-Za-z_$][\w$]*)(?:: [^=]+)? = (?:async )?(?:\([^)]*\)|\w+)(?:: [^=]+)? =>"
        r"|^(?:export )?const ([A-Za-z_$][\w$]*) = component\$",
        re.MULTILINE,
    ),
    "sh": re.compile(r"^(?:function )?([A-Za-z_]\w*)\s*\(\)\s*\{", re.MULTILINE),
}
_LANGUAGE = {"tsx": "ts", "js": "ts", "jsx": "ts", "mjs": "ts", "mts": "ts", "bash": "sh", "pyi": "py", "templ": "go"}


def definitions(path: str, text: str) -> list[str]:
    """Names of functions and types that ``text`` defines, by the language of ``path``; dunders left out."""
    suffix = path.rsplit(".", 1)[-1].lower() if "." in path else ""
    pattern = _DEFINITIONS.get(_LANGUAGE.get(suffix, suffix))
    if pattern is None:
        return []
    names = (next((group for group in match.groups() if group), "") for match in pattern.finditer(text))
    return list(dict.fromkeys(name for name in names if name and not name.startswith("__")))


_VALUES = (
    re.compile(r"https?://[^\s)>\]\"'`]+"),
    re.compile(r"`([^`\n]{2,80})`"),
    re.compile(r"(?<![\w/])\"([^\"\n]{2,60})\"(?!\w)"),
    re.compile(r"(?<![\w/.:-])(?:[~.]{0,2}/)?(?:[\w@.-]+/)+[\w@.-]+\.\w{1,6}\b"),
    re.compile(r"(?<![\w/.:-])[\w-]+\.(?:py|ts|tsx|js|go|rs|md|mdx|json|yaml|yml|toml|sh|txt|sql|html|css|txt|lock)\b"),
    re.compile(r"\B--[a-z][\w-]+"),
    re.compile(r"(?<![\w#])#\d{1,6}\b"),
    re.compile(r"\bv?\d+\.\d+(?:\.\d+)*\b"),
    re.compile(r"\b\d+(?:\.\d+)?\s?(?:ms|s|sec|seconds|minutes|min|hours|MB|GB|KB|kB|%|px|tokens|bytes|items)\b"),
    re.compile(r"\b[a-z]+(?:[A-Z][a-z0-9]+)+\$?|\b[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+\b|\b[A-Za-z]+(?:_[A-Za-z0-9]+)+\b"),
    re.compile(r"\b[0-9a-f]{7,40}\b(?<=\d\w{6})|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b"),
    re.compile(r"(?<![\w./-])\d{3,6}(?![\w.%/-])"),
)


def values_given(text: str, limit: int = 25) -> list[str]:
    """Addresses, paths, versions, numbers with units, quoted names and identifiers in the user's prose."""
    found: dict[str, int] = {}
    plain = prose(text)
    for pattern in _VALUES if len(text) < 400 else _VALUES[:-1]:
        for match in pattern.finditer(plain):
            value = (match[1] if pattern.groups else match[0]).strip().rstrip(".,;:")
            if len(value) > 1 and not any(value in longer and value != longer for longer in found):
                found.setdefault(value, match.start())
    return sorted(found, key=lambda value: found[value])[:limit]


def relative(path: str, roots: Iterable[str]) -> str:
    """``path`` with forward slashes, without the longest root that contains it."""
    path = path.replace("\\", "/")
    for root in sorted({r.replace("\\", "/").rstrip("/") for r in roots if r}, key=len, reverse=True):
        if path.startswith(root + "/"):
            return path[len(root) + 1 :]
    return path.removeprefix("./")
