"""What a shell command does, read from its text: the files it shows, writes, moves and removes, and what it runs.

POSIX shell grammar as far as coding assistants use it: quotes, heredocs, pipes, ``&&``/``||``/``;`` and redirections.
Nothing is expanded; a word with ``$`` or a glob names no file.
"""

from __future__ import annotations

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

_WRAPPERS = {"sudo", "time", "nohup", "command", "exec", "npx", "bunx", "stdbuf", "xvfb-run", "doas", "builtin"}
_RUN_WRAPPERS = {"uv", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "conda"}
_PYTHONS = {"python", "python3", "py", "python2"}

SHOWERS = frozenset({"cat", "head", "tail", "nl", "less", "more", "bat", "batcat", "sed", "awk", "tac", "view"})
SEARCHERS = frozenset({"rg", "grep", "egrep", "fgrep", "ag", "ack", "zgrep"})
_LISTERS = frozenset({
    "ls", "find", "fd", "tree", "wc", "stat", "file", "du", "df", "pwd", "cd", "echo", "printf", "which", "whereis",
    "type", "env", "printenv", "date", "true", "false", "test", "[", "diff", "cmp", "jq", "yq", "sort", "uniq", "cut",
    "tr", "column", "xxd", "od", "strings", "hexdump", "comm", "paste", "curl", "wget", "http", "basename", "dirname",
    "realpath", "readlink", "sleep", "export", "source", ".", "set", "mkdir", "id", "whoami", "uname", "md5sum",
    "sha256sum", "shasum", "history", "alias", "ps", "pgrep", "lsof", "git-log",
})  # fmt: skip
_GIT_SHOWERS = frozenset({
    "log", "show", "diff", "status", "blame", "grep", "ls-files", "ls-tree", "cat-file", "branch", "remote", "config",
    "rev-parse", "describe", "shortlog", "reflog", "tag", "worktree", "rev-list", "name-rev", "for-each-ref",
    "whatchanged", "stash",
})  # fmt: skip
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
    if name in SHOWERS:
        return not (name == "sed" and any(word.startswith("-i") for word in segment.words))
    if name in SEARCHERS or name in _LISTERS:
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
