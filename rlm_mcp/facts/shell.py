"""What a shell command does, read from its text: the files it shows, writes, moves and removes, and what it runs.

POSIX shell grammar as far as coding assistants use it: quotes, heredocs, pipes, ``&&``/``||``/``;`` and redirections.
Nothing is expanded; a word with ``$`` or a glob names no file.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass

from rlm_mcp.facts.patterns import LazyPattern

MAX_PARSED_CHARS = 60_000
"""A longer command is parsed up to here."""

_HEREDOC = LazyPattern(
    r"<<-?[ \t]*(['\"]?)([A-Za-z_]\w*)\1([^\n]*)\n(?:(.*?)\n)??[ \t]*\2[ \t]*(?=[\n)]|\Z)",
    re.DOTALL,
)
_TOKEN = LazyPattern(
    r"(?P<blank>[ \t\r]+|\\\n)"
    r"|(?P<op>\n|&&|\|\||;;?|\|&?|&(?![>])|[()])"
    r"|(?P<redirect>\d?>>?&[\d-]|&>>?|\d?>>?\|?|\d?<(?!<)|<<<?-?)"
    r"|(?P<word>(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"\\;|&<>()]|['\"])+)",
    re.DOTALL,
)
_QUOTED = LazyPattern(r"'([^']*)'|\"((?:\\.|[^\"\\])*)\"|\\(.)", re.DOTALL)
_ASSIGNMENT = LazyPattern(r"[A-Za-z_]\w*=")
_FILE_ENDING = LazyPattern(r"[\w\-@+]\.[A-Za-z0-9_]{1,12}$|(?:^|/)(?:Makefile|Dockerfile|LICENSE|\.\w[\w.-]*)$")

_WRAPPERS = {"sudo", "time", "nohup", "command", "exec", "npx", "bunx", "stdbuf", "xvfb-run", "doas", "builtin"}
_RUN_WRAPPERS = {"uv", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "conda"}
_PYTHONS = {"python", "python3", "py", "python2"}

_SHOWERS = frozenset({"cat", "head", "tail", "nl", "less", "more", "bat", "batcat", "sed", "awk", "tac", "view"})
_SEARCHERS = frozenset({"rg", "grep", "egrep", "fgrep", "ag", "ack", "zgrep"})
_LISTERS = frozenset(
    [
        "ls",
        "find",
        "fd",
        "tree",
        "wc",
        "stat",
        "file",
        "du",
        "df",
        "pwd",
        "cd",
        "echo",
        "printf",
        "which",
        "whereis",
        "type",
        "env",
        "printenv",
        "date",
        "true",
        "false",
        "test",
        "[",
        "diff",
        "cmp",
        "jq",
        "yq",
        "sort",
        "uniq",
        "cut",
        "tr",
        "column",
        "xxd",
        "od",
        "strings",
        "hexdump",
        "comm",
        "paste",
        "curl",
        "wget",
        "http",
        "basename",
        "dirname",
        "realpath",
        "readlink",
        "sleep",
        "export",
        "source",
        ".",
        "set",
        "mkdir",
        "id",
        "whoami",
        "uname",
        "md5sum",
        "sha256sum",
        "shasum",
        "history",
        "alias",
        "ps",
        "pgrep",
        "lsof",
        "git-log",
    ]
)
_GIT_SHOWERS = frozenset(
    [
        "log",
        "show",
        "diff",
        "status",
        "blame",
        "grep",
        "ls-files",
        "ls-tree",
        "cat-file",
        "branch",
        "remote",
        "config",
        "rev-parse",
        "describe",
        "shortlog",
        "reflog",
        "tag",
        "worktree",
        "rev-list",
        "name-rev",
        "for-each-ref",
        "whatchanged",
        "stash",
    ]
)
_GH_SHOWERS = frozenset({"view", "list", "status", "diff", "api", "search"})


@dataclass(frozen=True, slots=True)
class Segment:
    """One simple command of a line of shell."""

    words: tuple[str, ...]
    """Unquoted; wrappers such as ``sudo`` and assignments removed."""
    writes: tuple[tuple[bool, str], ...] = ()
    """Redirections of output to a file: (append, target)."""
    heredoc: str | None = None
    """The text fed to it."""
    piped: bool = False
    """Reads from the command before it."""
    joiner: str = ""
    """What joins it to the one before: ``&&``, ``||``, ``;`` or ``|``."""

    @property
    def program(self) -> str:
        """Name of the program, without its folder; empty for a bare redirection."""
        return self.words[0].rsplit("/", 1)[-1] if self.words else ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A file that a command prints."""

    path: str
    lines: str = ""
    """``first-last`` where the command says it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that a command changes."""

    path: str
    how: str
    """``create``, ``update``, ``delete`` or ``move``."""
    new_path: str = ""
    added_text: str = ""
    """What is written, where the command holds it."""


def parse(command: str) -> list[Segment]:
    """The simple commands of ``command`` in order; ``bash -lc '...'`` is looked into."""
    command = command[:MAX_PARSED_CHARS]
    bodies: list[str] = []
    if "<<" in command:

        def keep(match: re.Match[str]) -> str:
            bodies.append(match[4] or "")
            return f" \x01{len(bodies) - 1} {match[3]}"

        command = _HEREDOC.sub(keep, command)
    segments: list[Segment] = []
    words: list[str] = []
    writes: list[tuple[bool, str]] = []
    heredoc: str | None = None
    redirect = ""
    joiner = ""

    def close(next_joiner: str) -> None:
        nonlocal words, writes, heredoc, redirect, joiner
        bare = _unwrap(words)
        if bare or writes:
            if len(bare) >= 3 and bare[0] in {"bash", "sh", "zsh"} and bare[1] in {"-c", "-lc", "-lic", "-ic"}:
                segments.extend(parse(bare[2]))
            else:
                segments.append(Segment(tuple(bare), tuple(writes), heredoc, joiner == "|", joiner))
            joiner = next_joiner
        elif next_joiner != ";":
            joiner = next_joiner
        words, writes, heredoc, redirect = [], [], None, ""

    for match in _TOKEN.finditer(command):
        kind = match.lastgroup
        token = match[0]
        if kind == "word":
            if token[0] == "\x01" and token[1:].isdigit():
                heredoc = bodies[int(token[1:])]
                continue
            if "'" in token or '"' in token or "\\" in token:
                token = _unquote(token)
            if redirect:
                if ">" in redirect:
                    writes.append((">>" in redirect, token))
                redirect = ""
            else:
                words.append(token)
        elif kind == "redirect":
            redirect = "" if "&" in token[1:] else token
        elif kind == "op":
            close("|" if token in {"|", "|&"} else ";" if token in {"\n", ";", ";;", "&", "(", ")"} else token)
    close(";")
    return segments


def _unquote(token: str) -> str:
    if ":\\" in token and '"' not in token[1:-1] and token[0] not in "'\"":
        return token
    windows = ":\\" in token

    def plain(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1]
        if match[2] is not None:
            return match[2] if windows or "\\" not in match[2] else re.sub(r"\\([\"$`\\\n])", r"\1", match[2])
        return match[3] or ""

    return _QUOTED.sub(plain, token)


def _unwrap(words: list[str]) -> list[str]:
    """``words`` without assignments and wrappers before the program."""
    i = 0
    while i < len(words):
        word = words[i]
        following = words[i + 1] if i + 1 < len(words) else ""
        if (
            _ASSIGNMENT.match(word)
            or word in _WRAPPERS
            or word in {"{", "}", "!", "then", "do", "else", "if", "while"}
            or (word == "env" and ("=" in following or following.startswith("-")))
        ):
            i += 1
        elif word in {"timeout", "gtimeout", "nice"} and following:
            i += 1
            while i < len(words) and (words[i].startswith("-") or words[i][:1].isdigit()):
                i += 1
        elif word in _RUN_WRAPPERS and following == "run":
            i = _skip_options(
                words, i + 2, {"--with", "--python", "--extra", "-n", "--project", "--group", "--env-file"}
            )
        elif word in {"bundle", "mise", "yarn", "pnpm", "npm", "asdf"} and following in {"exec", "dlx", "x"}:
            i = _skip_options(words, i + 2, set())
        elif word.rsplit("/", 1)[-1] in _PYTHONS and following == "-m":
            i += 2
        else:
            break
    return words[i:]


def _skip_options(words: list[str], start: int, with_value: set[str]) -> int:
    i = start
    while i < len(words) and words[i].startswith("-"):
        i += 2 if words[i] in with_value else 1
    return i


def folder_of(segments: list[Segment], cwd: str) -> str:
    """The folder in which the last command runs: ``cwd`` as changed by ``cd`` at the front."""
    folder = cwd
    for segment in segments:
        if segment.program != "cd" or len(segment.words) < 2:
            break
        folder = join(folder, segment.words[1])
    return folder


def join(folder: str, path: str) -> str:
    """``path`` as seen from ``folder``, normalised where both are POSIX; as it is where ``folder`` is unknown."""
    if "\\" in path or "\\" in folder or path.startswith(("~", "$")):
        return path
    if path.startswith("/") or not folder:
        return posixpath.normpath(path) if path else path
    return posixpath.normpath(posixpath.join(folder, path))


def is_showing(segment: Segment) -> bool:
    """Whether what the command prints is content (of files, history, listings), not the outcome of work."""
    name = segment.program
    if name in _SHOWERS:
        return not (name == "sed" and any(word.startswith("-i") for word in segment.words))
    if name in _SEARCHERS or name in _LISTERS:
        return True
    if name == "git":
        return git_verb(segment) in _GIT_SHOWERS
    if name in {"gh", "glab"}:
        return any(word in _GH_SHOWERS for word in segment.words[1:3]) and "run" not in segment.words[1:2]
    return name in {"docker", "kubectl", "podman"} and any(
        word in {"logs", "get", "describe"} for word in segment.words[1:3]
    )


def git_verb(segment: Segment) -> str:
    """``commit`` of ``git -C x commit -m y``; empty where there is none."""
    words = segment.words
    i = 1
    while i < len(words) and words[i].startswith("-"):
        i += 2 if words[i] in {"-C", "-c", "--git-dir", "--work-tree"} else 1
    return words[i] if i < len(words) else ""


def _operands(words: tuple[str, ...], with_value: frozenset[str] = frozenset()) -> list[str]:
    found: list[str] = []
    i = 1
    only = False
    while i < len(words):
        word = words[i]
        if only or not word.startswith("-") or word == "-":
            found.append(word)
        elif word == "--":
            only = True
        elif word in with_value:
            i += 1
        i += 1
    return found


def _names_file(word: str) -> bool:
    return bool(word) and word != "-" and not any(c in word for c in "$*?{}`\n") and not word.startswith("/dev/")


_HEAD_VALUES = frozenset({"-n", "-c", "--lines", "--bytes"})
_SED_RANGE = LazyPattern(r"^(\d+)(?:,(\d+|\$))?p?$")
_SEARCH_VALUES = frozenset(
    [
        "-A",
        "-B",
        "-C",
        "-e",
        "-f",
        "-g",
        "-t",
        "-T",
        "-m",
        "--glob",
        "--type",
        "--type-not",
        "--max-count",
        "--include",
        "--exclude",
        "--exclude-dir",
        "--context",
        "-j",
    ]
)


def files_shown(segments: list[Segment], cwd: str) -> list[Shown]:
    """Files printed by ``cat``, ``sed -n``, ``head``, ``tail``, ``nl``, ``rg PATTERN FILE``, ``git show REV:FILE`` ..."""
    found: list[Shown] = []
    folder = cwd
    for i, segment in enumerate(segments):
        name = segment.program
        if name == "cd" and len(segment.words) > 1:
            folder = join(folder, segment.words[1])
            continue
        if segment.piped or segment.writes:
            continue
        if name in _SHOWERS:
            lines, files = _shower_files(name, segment.words)
            if not lines and i + 1 < len(segments) and segments[i + 1].piped:
                lines = _range_of_filter(segments[i + 1])
            found += [Shown(join(folder, file), lines) for file in files if _names_file(file)]
        elif name in _SEARCHERS:
            files = _operands(segment.words, _SEARCH_VALUES)[1:]
            found += [Shown(join(folder, file)) for file in files if _names_file(file) and _FILE_ENDING.search(file)]
        elif name == "git" and git_verb(segment) == "show":
            for word in segment.words[2:]:
                revision, colon, file = word.partition(":")
                if colon and file and _names_file(file) and not revision.startswith("-"):
                    found.append(Shown(join(folder, file)))
    return found


def _shower_files(name: str, words: tuple[str, ...]) -> tuple[str, list[str]]:
    if name == "sed":
        if any(word.startswith("-i") or word == "--in-place" for word in words):
            return "", []
        operands = _operands(words, frozenset({"-e", "-f"}))
        script = operands[0] if operands else ""
        if "-e" in words:
            return "", operands
        match = _SED_RANGE.match(script)
        lines = f"{match[1]}-{match[2] or match[1]}" if match else ""
        return lines, operands[1:]
    if name == "awk":
        return "", _operands(words, frozenset({"-F", "-v", "-f"}))[1:]
    if name in {"head", "tail"}:
        count = next((w[1:] for w in words if re.fullmatch(r"-\d+", w)), "")
        for i, word in enumerate(words[:-1]):
            if word in {"-n", "--lines"}:
                count = words[i + 1]
        lines = f"1-{count}" if name == "head" and count.isdigit() else ""
        return lines, _operands(words, _HEAD_VALUES)
    return "", _operands(
        words, frozenset({"-l", "--language", "-r", "--line-range", "-w", "-s"}) if name != "cat" else frozenset()
    )


def _range_of_filter(segment: Segment) -> str:
    if segment.program in {"sed", "head"}:
        return _shower_files(segment.program, segment.words)[0]
    return ""


def files_changed(segments: list[Segment], cwd: str) -> list[Changed]:
    """Files written by redirection, ``tee``, ``sed -i``, ``mv``, ``cp``, ``rm``, ``touch``, ``git mv``, ``git rm``."""
    found: list[Changed] = []
    folder = cwd
    for i, segment in enumerate(segments):
        name = segment.program
        if name == "cd" and len(segment.words) > 1:
            folder = join(folder, segment.words[1])
            continue
        text = _text_written(segments, i)
        for append, target in segment.writes:
            if _is_kept(target, text):
                found.append(Changed(join(folder, target), "update" if append else "create", added_text=text))
        if name in _CHANGERS or name == "git":
            for change in _changes(segment, name, text):
                if _names_file(change.path):
                    new_path = join(folder, change.new_path) if change.new_path else ""
                    found.append(Changed(join(folder, change.path), change.how, new_path, change.added_text))
    return found


_CHANGERS = frozenset({"tee", "sed", "gsed", "perl", "mv", "cp", "rm", "touch", "unlink"})


def _text_written(segments: list[Segment], i: int) -> str:
    segment = segments[i]
    if segment.heredoc is not None:
        return segment.heredoc
    if segment.piped and i and segments[i - 1].program in {"cat", "echo", "printf"}:
        segment = segments[i - 1]
        if segment.heredoc is not None:
            return segment.heredoc
    if segment.program in {"echo", "printf"}:
        return " ".join(word for word in segment.words[1:] if not word.startswith("-"))
    return ""


def _is_kept(target: str, text: str) -> bool:
    """Whether a redirection's target is a file of the work, not a place for a command's output."""
    if not _names_file(target) or target.startswith("&"):
        return False
    return bool(text) or not (
        target.startswith(("/tmp/", "/var/tmp/")) or target.endswith((".log", ".out", ".err", ".pid"))
    )


def _changes(segment: Segment, name: str, text: str) -> list[Changed]:
    words = segment.words
    if name == "git":
        return _git_changes(segment)
    if name == "tee":
        how = "update" if "-a" in words else "create"
        return [Changed(path, how, added_text=text) for path in _operands(words) if _is_kept(path, text)]
    if name in {"sed", "gsed"}:
        if not any(word.startswith("-i") or word == "--in-place" for word in words):
            return []
        operands = _operands(words, frozenset({"-e", "-f"}))
        if "-e" not in words and "-f" not in words:
            operands = operands[1:] if operands and operands[0] else operands[2:]
        return [Changed(path, "update") for path in operands if not path.startswith("s/")]
    if name == "perl":
        if not any(re.match(r"-\w*i", word) for word in words[1:3]):
            return []
        return [
            Changed(path, "update")
            for path in _operands(words, frozenset({"-e", "-pe", "-ne", "-pie"}))
            if _FILE_ENDING.search(path)
        ]
    operands = _operands(words, frozenset({"-t", "-d", "-r", "-m"}) if name == "touch" else frozenset())
    if name in {"rm", "unlink"}:
        return [Changed(path, "delete") for path in operands if not path.startswith(("/tmp/", "/var/"))]
    if name == "touch":
        return [Changed(path, "create") for path in operands]
    if len(operands) < 2:
        return []
    *sources, target = operands
    return _moved(sources, target, "move" if name == "mv" else "create")


def _moved(sources: list[str], target: str, how: str) -> list[Changed]:
    into_folder = len(sources) > 1 or target.endswith("/") or target in {".", ".."}
    found = []
    for source in sources:
        place = posixpath.join(target, posixpath.basename(source.rstrip("/"))) if into_folder else target
        found.append(Changed(source, "move", place) if how == "move" else Changed(place, "create"))
    return found


def _git_changes(segment: Segment) -> list[Changed]:
    verb = git_verb(segment)
    if verb not in {"mv", "rm"}:
        return []
    at = segment.words.index(verb)
    operands = _operands(segment.words[at:])
    if verb == "rm":
        return [] if "--cached" in segment.words else [Changed(path, "delete") for path in operands]
    return _moved(operands[:-1], operands[-1], "move") if len(operands) > 1 else []


_TAIL_FILTER = LazyPattern(
    r"(?:\s*(?:2>&1|\|&?\s*(?:tail|head|cat|tee|less|more)\b[^|;&]*|\|\|\s*true|2>/dev/null))+\s*$"
)
_BLANKS = LazyPattern(r"\s+")


def command_key(command: str, folder: str) -> str:
    """What makes two runs the same: blanks folded; ``cd`` in front, ``2>&1`` and output cuts at the end removed.

    ``folder`` is named where it is not empty. At most 400 characters: longer ones end in a digest.
    """
    core = command
    if core.lstrip().startswith("cd "):
        match = _LEADING_CD.match(core)
        if match:
            core = core[match.end() :]
    core = _TAIL_FILTER.sub("", core) or core
    core = _BLANKS.sub(" ", core[:20_000]).strip()
    if folder:
        core = f"{core} (in {folder})"
    if len(core) > 400:
        digest = hashlib.sha256(command.encode("utf-8", "replace")).hexdigest()[:10]
        core = f"{core[:386]}\u2026 {digest}"
    return core


_LEADING_CD = LazyPattern(r"\s*cd\s+(?:\"[^\"]*\"|'[^']*'|[^\s;&|]+)\s*(?:&&|;|\n)\s*")

_FILTER_FLAGS = frozenset(
    [
        "-k",
        "-m",
        "-t",
        "-run",
        "--run",
        "--filter",
        "-g",
        "--grep",
        "--testNamePattern",
        "--test-name-pattern",
        "--test",
        "--testPathPattern",
        "-p",
        "--package",
        "--project",
        "--tests",
        "--bin",
        "-R",
        "--tests-regex",
        "-e",
        "--exact",
        "--only",
        "--example",
        "-n",
    ]
)
_VALUE_FLAGS = frozenset(
    [
        "-j",
        "--maxfail",
        "--timeout",
        "-timeout",
        "-count",
        "--reporter",
        "-c",
        "--config",
        "--tb",
        "-W",
        "-o",
        "--retries",
        "--workers",
        "--color",
        "-w",
        "--format",
        "--max-warnings",
        "--ext",
        "--output-format",
        "--test-dir",
        "--preset",
        "--logger",
        "-v:m",
        "--durations",
        "-x-workers",
        "--numprocesses",
        "--dist",
    ]
)


def run_key(segment: Segment) -> tuple[str, tuple[str, ...]]:
    """(tool, targets): ``("pytest", ("tests/a.py",))`` of ``uv run python -m pytest -x tests/a.py``. Flags are dropped."""
    name = segment.program
    words = segment.words
    if name in {"git", "gh", "glab"}:
        verb = git_verb(segment) if name == "git" else " ".join(w for w in words[1:3] if not w.startswith("-"))
        return f"{name} {verb}".rstrip(), ()
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
    "npm": 3, "yarn": 3, "pnpm": 3, "bun": 3, "go": 2, "cargo": 3, "dotnet": 2, "mix": 2, "swift": 2, "deno": 3, "make": 2,
    "just": 2, "mise": 3, "task": 2, "rake": 2, "rails": 2, "gradle": 2, "gradlew": 2, "mvn": 2, "mvnw": 2, "ruff": 2,
    "biome": 2, "docker": 2, "kubectl": 2, "pip": 2, "pip3": 2, "uv": 3, "poetry": 2, "terraform": 2, "nx": 2, "turbo": 3,
    "golangci-lint": 2, "playwright": 2, "ng": 2, "php": 2, "composer": 2, "flutter": 2, "dart": 2, "bazel": 2, "zig": 2,
}  # fmt: skip


def _target(target: str) -> str:
    if target.startswith("-"):
        return target
    cut = target.removesuffix("/...").removesuffix("...").rstrip("/")
    return cut.removeprefix("./") if cut not in {".", "./"} else ""


def covers(new: tuple[str, tuple[str, ...]], old: tuple[str, tuple[str, ...]]) -> bool:
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
