"""Git repositories for tests, made by the real git."""

import os
import subprocess
from pathlib import Path

_ENVIRON = {
    "PATH": os.environ.get("PATH", ""),
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b.example",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b.example",
}


def git(folder: Path, *arguments: str, at: float | None = None) -> str:
    """What git says; ``at`` is the time it believes it is."""
    environ = dict(_ENVIRON)
    if at is not None:
        environ |= {"GIT_AUTHOR_DATE": f"{int(at)} +0000", "GIT_COMMITTER_DATE": f"{int(at)} +0000"}
    ended = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return os.fsdecode(ended.stdout)


def written(folder: Path, **files: str) -> Path:
    """The folder with these files in it; ``__`` in a name is a slash, a last ``_`` a dot before the rest."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def repository(folder: Path, *, at: float | None = None, **files: str) -> Path:
    """A repository with one commit of these files; without files it has no commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    if files:
        written(folder, **files)
        commit(folder, at=at)
    return folder


def commit(folder: Path, message: str = "work", *, at: float | None = None) -> None:
    """Everything as it is."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message, at=at)


HOSTILE_CONFIG = """
[core]
    fsmonitor = {run}
    hooksPath = {hooks}
    sshCommand = {run}
    pager = {run}
    editor = {run}
    askPass = {run}
    gitProxy = {run}
    alternateRefsCommand = {run}
    attributesFile = {attributes}
    untrackedCache = true
[filter "evil"]
    clean = {run}
    smudge = {run}
    process = {run}
    required = true
[diff]
    external = {run}
[diff "evil"]
    textconv = {run}
    command = {run}
    cachetextconv = false
[merge "evil"]
    driver = {run}
[alias]
    ls-files = !{run}
    diff = !{run}
    add = !{run}
[pager]
    diff = {run}
    ls-files = {run}
[credential]
    helper = !{run}
[gpg]
    program = {run}
[log]
    showSignature = true
[remote "origin"]
    url = ext::{run}
    promisor = true
    partialclonefilter = blob:none
    uploadpack = {run}
[trace2]
    eventTarget = {trace}
[extensions]
    partialClone = origin
"""


def hostile(folder: Path) -> Path:
    """A repository that names a program wherever git may run one; the file it leaves if any is run."""
    ran = folder.parent / f"{folder.name}-ran"
    program = folder.parent / f"{folder.name}-program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> "{ran}"\ncat\n')
    program.chmod(0o755)
    repository(folder, a_evil="one\n", b_txt="two\n")
    hooks = folder / ".git" / "hooks"
    for name in ("post-index-change", "pre-commit", "post-checkout", "pre-auto-gc", "reference-transaction",
                 "fsmonitor-watchman", "query-watchman"):  # fmt: skip
        (hooks / name).write_text(f"#!/bin/sh\nexec {program}\n")
        (hooks / name).chmod(0o755)
    (folder / ".gitattributes").write_text("* filter=evil diff=evil merge=evil text=auto\n")
    (folder / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n")
    config = (
        (folder / ".git" / "config").read_text().replace("repositoryformatversion = 0", "repositoryformatversion = 1")
    )
    more = HOSTILE_CONFIG.format(
        run=program, hooks=hooks, attributes=folder / ".gitattributes", trace=folder.parent / "trace"
    )
    (folder / ".git" / "config").write_text(config + more)
    (folder / "a.evil").write_text("changed\n")
    (folder / "new.evil").write_text("new\n")
    return ran
