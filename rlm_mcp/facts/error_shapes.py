"""The shapes of lines that report an error, and of lines that only look it.

Taken from what the programs print: compilers (go, rustc, gcc, clang, javac, tsc, swiftc, kotlinc), linters (ruff,
flake8, pylint, eslint, biome, golangci, clippy, rubocop, shellcheck), interpreters (CPython, node, ruby, php, BEAM),
shells, git, package managers, make, docker, kubectl, curl and HTTP libraries, and the test runners' assertion lines.
"""

from __future__ import annotations

import re

from rlm_mcp.facts.patterns import LazyPattern, lazy

_NAMED = (
    r"(?<![\w.-])(?:(?:[A-Za-z_][\w$]*[.:]{1,2})*[A-Z]\w*(?:Error|Exception|Failure|Interrupt|Exit|Fault)|Error|ERROR|"
    r"error|"
    r"FATAL|Fatal|fatal|PANIC|panic|FAILURE|CRITICAL|Exception|ERR!|SEVERE|ERR)"
)
_REPORT = lazy(
    rf"{_NAMED}(?:\[[\w:-]+\]|\s+\(?[A-Z]{{0,6}}-?\d+\)?|\s+at [^:]{{1,80}}:\d+)?(?:\s+\([\w., -]{{1,40}}\))?\s*(?::|"
    rf"!|\u2502)\s*\S",
    r"\b[A-Z]\w+(?:Error|Exception)(?: \[\w+\])?$",
)
"""A named error and its colon: "error: x", "TypeError: x", "error[E0382]: x", "error TS2345: x"."""
_BEFORE_REPORT = lazy(
    r"\s*\W{0,4}(?:\[[\w :./-]{1,40}\]\s*)?"
    r"(?:(?:[A-Za-z]:)?[\w@./\\+~\[\]$%#<>*-]+(?:[:(]\d+(?:[:,.-]\d+)*\)?)?(?: in [\w.<>$]+)?[:|]?\s+(?:- )?){0,4}"
    r"(?:\d{1,2}:\d\d:\d\d\S* )?[\"'(\[*]{0,2}"
)
"""What may stand before it on the line: a mark, a place, a program's name, a few words."""
_AT_START = lazy(
    r"CMake Error|(?:\w+\.)+(?:errors|exceptions)\.\w+: \S|"
    r"\[?[\d-]*[T ]?\d\d:\d\d:\d\d\S*\s+(?:\S{1,40}\s+){0,2}\[?(?:ERROR|FATAL|CRITICAL)\b",
    r"\s*\d+:\d+\s+(?:error|Error)\s+\S|\S+\s+\d+:\d+\s+error\b|\s+\w+_test\.go:\d+: \S|(?:npm|yarn|pnpm) (?:ERR!|"
    r"error)|\s*ERR_\w+",
    r"\u2009?ERR_PNPM|\[(?:ERROR|error|FATAL|FAIL|SEVERE)\]|\s*(?:ERROR|FATAL|CRITICAL|PANIC)\s+(?!\S*::)\S.*\S|"
    r"error\s+(?:\w+\s+)?\S+.*[.\]:]",
    r"rg: |regex parse error|fatal:|panic:|goroutine \d+ \[running\]|\*\*\* |make(?:\[\d+\])?: \*\*\*|Aborted|Killed$|"
    r"Terminated|error:|"
    r"Traceback \(most recent",
    r"CONFLICT|\s*! \[(?:remote )?rejected\]|Auto-?merging failed|Automatic merge failed|hint: Updates were rejected",
    r"remote: (?:error|fatal|Permission|Repository not found)|curl: \(\d+\)|wget: |ssh: |E: |gpg: .*(?:fail|error|"
    r"No secret key)|scp: |rsync: ",
    r"tar: .*(?:Cannot|Error)|(?:cp|mv|rm|ls|cat|sed|grep|mkdir|chmod|find|touch|ln|head|tail|cd|rg|jq|bash|zsh|"
    r"sh): \S*.*(?:No such|cannot|can't|denied|error|not found|[Ii]nvalid|unmatched|exists)",
    r"BUILD FAILED|FAILURE: |> Task \S+ FAILED|Build failed|Failed to |ELIFECYCLE|\* What went wrong|"
    r"Execution failed for|Compilation failed",
    r"[Pp]rocess exited with code [1-9]|exited with code [1-9]|Exit status [1-9]|script \".*\" exited with code [1-9]",
    r"\s*[\u2716\u2718\u274c\u2717\u00d7]\s*\S|\s*\[(?:FAIL|FAILED|ERROR|\u2717)\]\s*\S|FAIL\s+\S.*\[(?:build|"
    r"setup) failed\]",
    r"\*\* \(\w|Error from server|Host key verification failed|\S+ is not a (?:git|valid|known|command)|"
    r"In \S+ line \d+:$|SC\d{4}|[ew]: (?:file:)?/\S+",
    r"[^\s:]+\.(?:go|swift|c|cc|cpp|h|hpp|zig|java|kt|scala|cs|rs|m|mm):\d+(?::\d+)?: (?!warning|note|info|help)\S",
    r"[^\s:]+\.(?:pyi?|rb|sh|lua|vue|ipynb):\d+:\d+:? (?:[A-Z]+\d+\b|[CEFRW]: |error\b)|"
    r"[A-Z]{1,4}\d{3,4} (?:\[\*\] )?\S",
    r"E\s{2,}(?:[A-Za-z_.]*(?:Error|Exception|Exit|Interrupt|Failure|Warning)\b.*|assert .*|Failed: .*|"
    r"fixture '.*' not found)$",
    r"\S+ \(?line \d+\)?: .*(?:error|not found|unexpected)|\s*(?:AssertionError|Assertion failed|Uncaught|Unhandled)|"
    r"Cannot \w+|cannot \w+|Unknown (?:command|option|argument)",
)
_ANYWHERE = lazy(
    r"command not found\b|: not found$|: No such file or directory|Permission denied|Operation not permitted|"
    r"[Ii]s a directory$|Not a directory$",
    r"is not recognized as |No module named|Cannot find (?:module|package|name|type)|Module not found|"
    r"[Cc]an't (?:resolve|find|open|read)|panicked at",
    r"\blevel=(?:error|fatal)\b|\"level\":\s*\"(?:error|fatal)\"|\s(?:ERROR|FATAL|CRITICAL)\s+[-\[:(]|\bERROR:\s|"
    r"Segmentation fault|core dumped|Bus error",
    r"\bHTTP(?:/[\d.]+)?(?: status(?: code)?)?:? ?[45]\d\d\b|\b(?:status|status code|statusCode|response code|"
    r"code):? [45]\d\d\b",
    r"\b[45]\d\d (?:Bad Request|Unauthorized|Forbidden|Not Found|Conflict|Unprocessable|Too Many Requests|"
    r"Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out|Client Error|Server Error)",
    r"\bE(?:CONNREFUSED|NOENT|ACCES|ADDRINUSE|TIMEDOUT|PIPE|PERM|NOTFOUND|CONNRESET|RESOLVE|LIFECYCLE|EXIST|NOTEMPTY|"
    r"BADENGINE|AI_AGAIN|USAGE|INTEGRITY)\b",
    r"[Cc]onnection refused|not a git repository|"
    r"No space left on device|[Dd]isk quota|heap limit",
    r"[Cc]ould not (?:resolve|find|connect|open|load|read|determine|parse|create|import|compile|build|install|locate)|"
    r"[Uu]nable to (?:resolve|find|connect|open|load|locate|access|read|create|parse)",
    r"[Cc]ommand (?:failed|timed out)|[Tt]imed out (?:after|waiting)|[Oo]peration timed out|[Dd]eadline exceeded|"
    r"[Oo]ut of memory|OutOfMemory|\bStack overflow",
    r"undefined reference to|undefined symbol|ld returned \d|unresolved (?:reference|import|external|identifier)|"
    r"[Uu]ndefined (?:variable|method|function|name|index|offset|constant|array key)",
    r"cannot find symbol|is not defined$|imported and not used|declared and not used|\bMERGE_HEAD\b.*exists|"
    r"^[^\s]*error(?:s)? in \S",
)
_NOT_ERRORS = lazy(
    r"^npm (?:ERR!|error) (?:path|workspace|location|cwd|command|errno|in workspace|at location|A complete log|\s|$)",
    r"\b(?:0|no|zero|without|any) (?:\w+ )?(?:errors?|failures?|failed|problems?|issues?|conflicts?|exceptions?)\b|"
    r"\b(?:errors?|failed|failures?)\b\W{0,3}(?:=|:)\W{0,2}0\b|\b0 (?:failing|failed|fail)\b",
    r"^\s*(?:\u2713|\u2714|\u2705|PASS|ok\b|\[PASS\]|\[OK\]|--- PASS|=== RUN|=== CONT|=== PAUSE)|\b(?:PASSED|passed|"
    r"ok)\s*(?:\[|\(|$)|\bPASSED\b",
    r"^\s*(?:modified|new file|deleted|renamed|create mode|delete mode|rename|copy|M|A|D|R\d*|AM|MM|\?\?|Compiling|"
    r"Checking|Downloading|Downloaded|Collecting|Installing|Copying|Adding|Fetching|Unpacking|Using|"
    r"Requirement already|added|removed|Created|Writing|Wrote|Formatted|Fixed|Fixing|Moved|Successfully)[: ]",
    r"^\s*\S+\s+\|\s+(?:\d+ [+-]*|Bin )|\b(?:INFO|DEBUG|TRACE|NOTICE|WARN|WARNING)\b[\]: -]|level=(?:info|debug|warn)|"
    r"\"level\":\s*\"(?:info|debug|warn)|^\d+ files? changed",
    r"^(?:warning|WARNING|Warning|note|info|hint|help)\b(?!.*\berror\b.*:)(?!.*were rejected)|:\d+: (?:warning|note):",
    r"\b(?:resolved|fixed|handled|caught|recovered|expected (?:error|exception|failure)|error[- ]handl(?:ing|"
    r"er))\b(?!.*\bfail)|^\s*(?://|/\*|\* |<!--|#(?!\d))|^\s*(?:at \S|\d+ \| |\d+[:-] |\d+\u2192|\d+\t)",
    r"^\s*(?:def|class|func|function|const|let|var|import|from|return|if|throw|raise|except|catch|export|public|"
    r"private)\b.*[;:{()]\s*$",
)
COMPLAINTS = lazy(
    r"^(?:[\w./-]{1,40}: )?(?:line \d+: )?(?:cat|sed|head|tail|ls|rg|grep|find|nl|awk|jq|wc|stat|diff|cd|bash|zsh|sh|"
    r"cut|sort|tree|readlink|curl|wget|/\S+)(?:: \(?| \()(?:.*(?:No such file|not found|denied|can't|cannot|"
    r"[Cc]ould not|[Ff]ailed|Is a directory|error|invalid|illegal|unrecognized|not a directory|regex parse)|\d+\))",
    r"^(?:rg|jq|sed|e?grep|awk|nl|ripgrep): \S.*\s\S|^fatal: |^error: (?!.*;$)|command not found$|^gh: |^GraphQL: |"
    r"^HTTP \d{3}:|"
    r": No such file or directory(?: \(os error \d+\))?$|: Permission denied$",
)
"""A program's own complaint, among content that it shows."""
RUFF_FULL = LazyPattern(r"^[A-Z]{1,4}\d{3,4} .+(?=\n\s*-->)", re.MULTILINE)
"""Ruff's full output: a code and message, the place on the line after."""
ANY_PLACE = LazyPattern(r":\d+")

NEEDLES = (
    "error", "fail", "fatal", "exception", "panic", "not found", "denied", "no such file", "cannot", "traceback",
    "conflict", "abort", "killed", "segmentation", "timed out", "refused", "rejected", "unable to", "undefined",
    "unresolved", "not recognized", "no module named", "\u2716", "\u2718", "\u274c", "\u00d7", "\u2717",
    "imported and not used", "declared and not used",
    "not a git repository", "could not", "is not a", "mismatch", "unexpected", "enoent", "econn", "eaddr", "eacces",
    "eperm", "elifecycle", "etimedout", "curl: (", "e: ", "http", "status", "e  ", "terminated", "out of memory",
    "no space", ": line ", "unknown ", "unmatched", "can't", "uncaught", "assert", "exited with", "deadline exceeded",
    ".go:", ".py:", ".rs:", ".swift:", ".rb:", ".sh:", ".vue:", ".lua:", ".ts:", ".js:",
)  # fmt: skip
"""Small letters; one of them stands in every line that can report an error."""
COMPLAINT_NEEDLES = (
    "no such file", "denied", "not found", "error", "fatal", "failed", "could not", "cannot", "can't", "gh: ", "http ",
    "curl: (", "is a directory", "not a directory", "graphql", "rg: ", "jq: ", "sed: ", "grep: ", "awk: ", "nl: ",
)  # fmt: skip


_CURES = (
    (
        LazyPattern(
            r"does not have any commits yet|ambiguous argument 'HEAD|bad revision 'HEAD|not a valid object name"
        ),
        "git commit",
    ),
    (LazyPattern(r"[Nn]ot a git repository"), "git init"),
    (LazyPattern(r"Please tell me who you are|empty ident name"), "git commit"),
    (LazyPattern(r"has no upstream branch|does not have a commit checked out"), "git push"),
    (LazyPattern(r"service \"?[\w-]+\"? is not running|No such container"), "docker compose"),
)


def cure_of(line: str) -> str:
    """The tool whose success makes the cause of this error go; empty where none is known."""
    return next((tool for pattern, tool in _CURES if pattern.search(line)), "")


def reports_error(line: str) -> bool:
    """Whether ``line`` has a shape in which programs report an error."""
    if not (_AT_START.match(line) or _ANYWHERE.search(line) or _names_error(line)):
        return False
    return _NOT_ERRORS.search(line) is None


def complains(line: str) -> bool:
    """Whether ``line`` is a program's own complaint, among content that it shows."""
    return COMPLAINTS.search(line) is not None


def _names_error(line: str) -> bool:
    found = _REPORT.search(line)
    return found is not None and found.start() < 220 and _BEFORE_REPORT.fullmatch(line, 0, found.start()) is not None


def only_looks_it(line: str) -> bool:
    """Whether ``line`` reports success, progress or code."""
    return _NOT_ERRORS.search(line) is not None
