"""The files that a command of shell shows, writes, moves and removes, as far as its text tells."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from rlm_mcp.facts.patterns import LazyPattern
from rlm_mcp.facts.shell import SEARCHERS, SHOWERS, Segment, git_verb, join

_FILE_ENDING = LazyPattern(r"[\w\-@+]\.[A-Za-z0-9_]{1,12}$|(?:^|/)(?:Makefile|Dockerfile|LICENSE|\.\w[\w.-]*)$")
_SCRATCH = ("/tmp/", "/var/tmp/")  # noqa: S108  # named to be left out, never opened


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
_SEARCH_VALUES = frozenset({
    "-A", "-B", "-C", "-e", "-f", "-g", "-t", "-T", "-m", "--glob", "--type", "--type-not", "--max-count",
    "--include", "--exclude", "--exclude-dir", "--context", "-j",
})  # fmt: skip


def files_shown(segments: list[Segment], cwd: str) -> list[Shown]:
    """Files printed by ``cat``, ``sed -n``, ``head``, ``tail``, ``nl``, ``git show REV:FILE``, ``rg X FILE`` ..."""
    found: list[Shown] = []
    folder = cwd
    for i, segment in enumerate(segments):
        name = segment.program
        if name == "cd" and len(segment.words) > 1:
            folder = join(folder, segment.words[1])
            continue
        if segment.piped or segment.writes:
            continue
        if name in SHOWERS:
            lines, files = _shower_files(name, segment.words)
            if not lines and i + 1 < len(segments) and segments[i + 1].piped:
                lines = _range_of_filter(segments[i + 1])
            found += [Shown(join(folder, file), lines) for file in files if _names_file(file)]
        elif name in SEARCHERS:
            files = _operands(segment.words, _SEARCH_VALUES)[1:]
            files = files if len(files) == 1 and not posixpath.basename(files[0]).startswith(".") else []
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
    return bool(text) or not (target.startswith(_SCRATCH) or target.endswith((".log", ".out", ".err", ".pid")))


def _changes(segment: Segment, name: str, text: str) -> list[Changed]:
    words = segment.words
    found: list[Changed] = []
    if name == "git":
        found = _git_changes(segment)
    elif name == "tee":
        how = "update" if "-a" in words else "create"
        found = [Changed(path, how, added_text=text) for path in _operands(words) if _is_kept(path, text)]
    elif name in {"sed", "gsed", "perl"}:
        found = [Changed(path, "update") for path in _edited_in_place(name, words)]
    elif name in {"rm", "unlink"}:
        found = [Changed(path, "delete") for path in _operands(words) if not path.startswith(_SCRATCH)]
    elif name == "touch":
        found = [Changed(path, "create") for path in _operands(words, frozenset({"-t", "-d", "-r", "-m"}))]
    else:
        *sources, target = _operands(words) or [""]
        found = _moved(sources, target, "move" if name == "mv" else "create")
    return found


def _edited_in_place(name: str, words: tuple[str, ...]) -> list[str]:
    if name == "perl":
        in_place = any(re.match(r"-\w*i", word) for word in words[1:3])
        operands = _operands(words, frozenset({"-e", "-pe", "-ne", "-pie"}))
        return [path for path in operands if in_place and _FILE_ENDING.search(path)]
    if not any(word.startswith("-i") or word == "--in-place" for word in words):
        return []
    operands = _operands(words, frozenset({"-e", "-f"}))
    if "-e" not in words and "-f" not in words:
        operands = operands[1:] if operands and operands[0] else operands[2:]
    return [path for path in operands if not path.startswith("s/")]


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
