"""The folder that a client of the tests works in."""

import os
import subprocess
from pathlib import Path

_THEN = "2026-01-02T00:00:00Z"
LOG_LINES = 360_000
_LINE = "2026-02-03 04:05:06 INFO worker {:06d} handled the request in 12 ms, nothing else to tell\n"


def make_repository(folder: Path) -> None:
    """A git repository of one program and one commit, made in January."""
    (folder / "app.py").write_text("def total(rows):\n    return sum(rows)\n")
    (folder / ".gitignore").write_text("*.log\n")
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_AUTHOR_DATE": _THEN, "GIT_COMMITTER_DATE": _THEN}
    for words in ("init -q", "add .", "-c user.name=Dev -c user.email=dev@example.org commit -qm first"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True, env=environ)


def write_log(path: Path) -> None:
    """30 MB in which one line stands out: worker 251317 lost the lease zq81-kappa."""
    lines = [_LINE.format(number) for number in range(LOG_LINES)]
    lines[251_317] = "2026-02-03 04:05:06 ERROR worker 251317 lost the lease zq81-kappa\n"
    path.write_text("".join(lines))
