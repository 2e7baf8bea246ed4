"""Running git on a stranger's repository: what its config, hooks and attributes name is never run.

What git would run is told by config (``core.fsmonitor``, ``core.hooksPath``, ``filter.*``, ``diff.*``,
``core.sshCommand``, aliases ...; git-config(1)) and by files in the repository folder. Therefore: the environment is
our own (no system, no user config, no prompt, no protocol to fetch by), the two settings that any command heeds are
overridden on the command line, and only commands are used that heed no other. Snapshots go further: they have a
repository of their own, so the user's config is not read at all. Of the user's settings only values that decide how
bytes are compared are taken over (line ends, modes, the file of global ignores).
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp import process
from rlm_mcp.errors import ProcessError, StoreFull

_SECONDS = 60.0
_CONFIG_SECONDS = 10.0
_BOOLEANS = frozenset({"filemode", "symlinks", "ignorecase", "precomposeunicode", "trustctime"})
_CHOICES = {
    "autocrlf": {"true", "false", "input"},
    "eol": {"lf", "crlf", "native"},
    "checkstat": {"default", "minimal"},
}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})
_POINTER_BYTES = 4_096
_REFLOG_BYTES = 4 << 20
_REFLOG = re.compile(rb"[0-9a-f]{40,64} ([0-9a-f]{40,64}) [^\t]*> (\d{1,12}) [+-]\d{4}(?:\t|$)")
_REVISION = re.compile(r"(?![-:])(?!.*(?:\{/|\.\.))[^\x00-\x20\x7f:?*\[\\]{1,250}")
"""What may name one commit: no option, range, path or pattern."""
_OBJECT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The user's git repository of a work tree, found without git. Only ever read."""

    top: Path
    """The work tree's top folder."""
    git_dir: Path
    """``.git``, or where that file points (worktrees, submodules)."""
    common_dir: Path
    """Where objects and config lie: ``git_dir``, but for a worktree the main repository's."""


def repository_at(top: Path) -> Repository | None:
    """The repository whose work tree begins at ``top``; None where there is no ``.git`` (gitrepository-layout(5))."""
    git_dir = _pointed(top / ".git", "gitdir: ")
    if git_dir is None or not (git_dir / "HEAD").is_file():
        return None
    common = _pointed(git_dir / "commondir", "")
    return Repository(top=top, git_dir=git_dir, common_dir=common or git_dir)


def _pointed(path: Path, prefix: str) -> Path | None:
    """The folder ``path`` is, or names on its line."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return path
        if not stat.S_ISREG(mode):
            return None
        with path.open("rb") as file:
            line = os.fsdecode(file.read(_POINTER_BYTES)).rstrip("\r\n")
    except OSError:
        return None
    if not line.startswith(prefix) or "\0" in line:
        return None
    return Path(os.path.normpath(path.parent / line.removeprefix(prefix)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """A repository, a work tree, and how git is run on them."""

    git_dir: Path
    work_tree: Path
    settings: tuple[str, ...] = ()
    """``name=value``, put before every command; see :func:`inert_settings`."""
    index: Path | None = None
    """In place of the repository's own."""

    def run(
        self,
        *arguments: str,
        timeout_seconds: float = _SECONDS,
        max_bytes: int = 64 << 20,
        standard_input: Path | None = None,
        may_fail: bool = False,
        may_be_cut: bool = False,
    ) -> process.Ended:
        """Run a git command in the work tree.

        Raises:
            ProcessError: git is missing or ran too long; unless it may, it failed or printed more than ``max_bytes``.
            StoreFull: it failed because the disk is full.
        """
        environ = {**_environ(), "GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.work_tree)}
        if self.index is not None:
            environ["GIT_INDEX_FILE"] = str(self.index)
        options = [part for setting in (*_OVERRIDES, *self.settings) for part in ("-c", setting)]
        ended = process.run(
            [find_git(), "--no-pager", "--literal-pathspecs", *options, *arguments],
            timeout_seconds=timeout_seconds,
            max_bytes=max_bytes,
            cwd=self.work_tree,
            environ=environ,
            standard_input=standard_input,
        )
        if ended.is_cut and not may_be_cut:
            raise ProcessError(
                f"'git {arguments[0]}' printed more than {max_bytes:,} bytes and was ended; ask for less"
            )
        if ended.exit_code and not may_fail and not ended.is_cut:
            raise _failed(arguments[0], self.work_tree, ended)
        return ended


_OVERRIDES = (
    "core.fsmonitor=",
    "core.hooksPath=/dev/null",
    "core.safecrlf=false",
    "core.quotePath=false",
    "core.splitIndex=false",
    "gc.auto=0",
)
"""``core.fsmonitor`` empty means none in every version of git; ``false`` was a program's name before 2.36."""


def _failed(command: str, folder: Path, ended: process.Ended) -> ProcessError | StoreFull:
    said = " ".join(ended.complaint.decode("utf-8", "replace").split())[:600] or f"it ended with {ended.exit_code}"
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return StoreFull(f"'git {command}' found the disk full ({said}); free some room")
    return ProcessError(f"'git {command}' in {str(folder)!r} failed ({said}); try it there by hand")


def has_git() -> bool:
    """Whether there is a git to run."""
    return shutil.which("git", path=_path()) is not None


def find_git() -> str:
    """The git program.

    Raises:
        ProcessError: there is none.
    """
    found = shutil.which("git", path=_path())
    if found is None:
        raise ProcessError(
            "this needs git, which is not on PATH; install it (from your system's packages or git-scm.com/downloads)"
        )
    return found


def _path() -> str:
    """PATH without its relative folders: they would lie in the work tree."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())


def _environ() -> dict[str, str]:
    return {
        "PATH": _path(),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def inert_settings(repository: Repository | None, folder: Path) -> tuple[str, ...]:
    """The user's settings, of all scopes, that decide how files compare; none names a program. ``name=value`` each.

    Raises:
        ProcessError: git is missing, or a config file cannot be read.
    """
    home = os.environ.get("HOME", "")
    passed = ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
    own = {name: os.environ[name] for name in passed if name in os.environ}
    hidden = ("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL")
    environ = {name: value for name, value in _environ().items() if name not in hidden}
    environ |= own | {"HOME": home or os.devnull}
    environ["GIT_DIR"] = os.devnull if repository is None else str(repository.git_dir)
    ended = process.run(
        [find_git(), "config", "--null", "--show-scope", "--get-regexp", r"^core\.[a-z]+$"],
        timeout_seconds=_CONFIG_SECONDS,
        cwd=folder,
        environ=environ,
    )
    if ended.exit_code not in (0, 1):  # 1: nothing is set
        raise _failed("config", folder, ended)
    return _inert(os.fsdecode(ended.output).split("\0"), home, own)


def _inert(said: list[str], home: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Of ``scope, name-newline-value, scope, ...``; later ones win."""
    found: dict[str, str] = {}
    ignores = Path(environ.get("XDG_CONFIG_HOME") or Path(home, ".config"), "git", "ignore")
    for scope, pair in zip(said[::2], said[1::2], strict=False):
        name, newline, value = pair.partition("\n")
        name, lowered = name.removeprefix("core."), value.strip().lower()
        if name in _BOOLEANS or name == "autocrlf":
            lowered = "true" if lowered in _TRUE or not newline else "false" if lowered in _FALSE else lowered
        if (name in _BOOLEANS and lowered in ("true", "false")) or lowered in _CHOICES.get(name, ()):
            found[name] = lowered
        elif name == "excludesfile" and scope in ("system", "global"):
            ignores = Path(home, value[2:]) if value.startswith("~/") else Path(value)
    if ignores.is_absolute() and ignores.is_file():
        found["excludesfile"] = str(ignores)
    return tuple(f"core.{name}={value}" for name, value in sorted(found.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Where HEAD was."""

    oid: str
    tree: str
    time: float
    """When HEAD came there, or where that is not known, when it was committed; seconds since the epoch."""


def head_at(repository: Repository, time: float) -> Commit | None:
    """The commit that HEAD was at, as its reflog tells; else the last one of HEAD's first parents before ``time``.

    Raises:
        ProcessError: git failed.
    """
    own = Git(git_dir=repository.git_dir, work_tree=repository.top)
    found = _reflog_at(repository.git_dir / "logs" / "HEAD", time)
    if found is None:
        said = own.run("rev-list", "--max-count=1", "--first-parent", "--timestamp", f"--before={int(time)}", "HEAD",
                       may_fail=True).output.split()  # fmt: skip
        if len(said) != 2:  # no commit yet, or none so old
            return None
        found = said[1].decode("ascii"), float(said[0])
    oid, at = found
    tree = own.run("rev-parse", "--verify", "--quiet", f"{oid}^{{tree}}", may_fail=True).output.decode("ascii").strip()
    return Commit(oid=oid, tree=tree, time=at) if tree else None


def commit_named(repository: Repository, name: str) -> Commit | None:
    """The commit that a branch, a tag, a commit id or the like means (gitrevisions(7)); None if none.

    Not what searches the messages of all commits for a pattern.

    Raises:
        ProcessError: git is missing, or took too long.
    """
    if not _REVISION.fullmatch(name):
        return None
    own = Git(git_dir=repository.git_dir, work_tree=repository.top)
    found = [_named(own, f"{name}^{{{kind}}}") for kind in ("commit", "tree")]
    if not all(found):
        return None
    said = own.run("rev-list", "--max-count=1", "--timestamp", found[0], "--", may_fail=True).output.split()
    return Commit(oid=found[0], tree=found[1], time=float(said[0])) if len(said) == 2 else None


def _named(own: Git, name: str) -> str:
    """The object's id; empty for none. ``--end-of-options`` is not needed, as no name begins with ``-``."""
    ended = own.run("rev-parse", "--verify", "--quiet", name, timeout_seconds=_CONFIG_SECONDS, may_fail=True)
    found = ended.output.decode("utf-8", "replace").strip()
    return found if ended.exit_code == 0 and _OBJECT.fullmatch(found) else ""


def _reflog_at(path: Path, time: float) -> tuple[str, float] | None:
    """Of lines ``old new name <address> seconds zone TAB message`` the last one's ``new`` (git-reflog(1))."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _REFLOG_BYTES))
        lines = file.read(_REFLOG_BYTES).split(b"\n")
    for line in reversed(lines):
        found = _REFLOG.match(line)
        if found is not None and int(found[2]) <= time:
            return found[1].decode("ascii"), float(found[2])
    return None
