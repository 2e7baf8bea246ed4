"""Which files of this machine a Jail shows: what Python needs to run, our own package, and the repository.

With bubblewrap nothing else exists inside; with Landlock alone nothing else can be read.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "/rlm"
"""Where our package lies inside, with bubblewrap."""
REPO = "/repo"
"""Where the repository lies inside, with bubblewrap."""

_SYSTEM_ROOTS = ("/usr/", "/lib", "/nix/store/", "/gnu/store/")
"""Below these, shared objects in use by this very process show where the system keeps its libraries."""
_STORES = ("/nix/store", "/gnu/store")
_NEVER = tuple(map(Path, ("/proc", "/sys", "/dev", "/run")))
"""Kernel's and services' files: hidden should the repository be the root folder itself."""
_FILES = ("/etc/ld.so.cache", "/usr/share/zoneinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What the user gives a Jail to read."""

    repo: Path | None = None
    """The repository's folder."""
    hidden: tuple[Path, ...] = ()
    """Folders that stay unseen even where they lie in the repository: our own store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What Python needs to run."""

    executable: Path
    folders: tuple[Path, ...]
    """Standard library and shared objects; none lies in another."""
    packages: tuple[Path, ...]
    """Installed packages below ``folders``: not shown."""
    files: tuple[Path, ...]
    """Single files and small folders of the system."""
    loaders: tuple[tuple[Path, str], ...]
    """The program that loads shared objects, and where programs look for it."""
    links: tuple[tuple[str, str], ...]
    """Symbolic links of the root folder: what they hold, and where they are."""


@functools.cache
def runtime() -> Runtime:
    """The interpreter under this process, without its virtual environment: the system's, pyenv's, conda's, uv's."""
    executable = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    prefix = Path(sys.base_prefix).resolve()
    folders = {Path(os.__file__).parent, *(Path(path) for path in sys.path if path.endswith("/lib-dynload"))}
    folders |= _library_folders()
    if prefix != Path("/usr"):
        folders.add(prefix / "lib")
    kept = _outermost(folder.resolve() for folder in folders if folder.is_dir())
    return Runtime(
        executable=executable,
        folders=kept,
        packages=tuple(sorted(itertools.chain.from_iterable(map(_packages_in, kept)))),
        files=tuple(path.resolve() for path in map(Path, _FILES) if path.exists()),
        loaders=tuple((path.resolve(), str(path.parent.resolve() / path.name)) for path in _loaders() if path.exists()),
        links=tuple((str(path.readlink()), str(path)) for path in map(Path, ("/lib", "/lib64")) if path.is_symlink()),
    )


def package_files() -> tuple[tuple[Path, str], ...]:
    """Files of ours that the child imports, each with its place below the folder of packages."""
    ours = Path(__file__).resolve().parents[1]
    found = importlib.util.find_spec("cloudpickle")
    names = ("__init__.py", "sandbox")
    files = [(ours / name, f"rlm_mcp/{name}") for name in names]
    if found is not None and found.origin is not None:
        files.append((Path(found.origin).resolve().parent, "cloudpickle"))
    return tuple(files)


def import_folders() -> tuple[str, ...]:
    """Where the child imports our package from, without bubblewrap."""
    return tuple(dict.fromkeys(str(path.parents[place.count("/")]) for path, place in package_files()))


def bubblewrap_command(bubblewrap: Path, mapped: Mapped) -> list[str]:
    """The command that starts what follows it in namespaces of its own, with exactly these files, all read-only.

    No ``/proc``, ``/dev``, ``/tmp``, no ``/etc`` but the loader's cache.
    """
    needed = runtime()
    command = [
        str(bubblewrap),
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-cgroup-try", "--as-pid-1", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "jail"),
    ]
    places = [(path, str(path)) for path in (*needed.folders, *needed.files, needed.executable)]
    for path, place in (*places, *needed.loaders):
        if not any(Path(place).is_relative_to(folder) and path != folder for folder in needed.folders):
            command += ["--ro-bind", str(path), place]
    for held, place in needed.links:
        command += ["--symlink", held, place]
    for path in needed.packages:
        command += ["--tmpfs", str(path), "--remount-ro", str(path)]
    for path, place in package_files():
        command += ["--ro-bind", str(path), f"{PACKAGE}/{place}"]
    if mapped.repo is not None:
        repo = mapped.repo.resolve()
        command += ["--ro-bind", str(repo), REPO]
        for path in _hidden_in(repo, mapped):
            place = f"{REPO}/{path.relative_to(repo)}"
            command += ["--tmpfs", place, "--remount-ro", place]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def readable(mapped: Mapped, *, has_bubblewrap: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What Landlock lets the child read, and folders of which it may list the names (as seen from inside)."""
    needed = runtime()
    files = [needed.executable, *needed.files]
    if has_bubblewrap:
        seen = [str(path) for path in (*needed.folders, *files)]
        return (*seen, PACKAGE, *((REPO,) if mapped.repo is not None else ())), ()
    whole = [str(path) for path in files] + [str(path) for path, _place in package_files()]
    listed: list[str] = []
    roots = [(folder, needed.packages) for folder in needed.folders]
    if mapped.repo is not None:
        repo = mapped.repo.resolve()
        roots.append((repo, tuple(_hidden_in(repo, mapped))))
    for root, hidden in roots:
        for path, is_whole in _without(root, hidden):
            (whole if is_whole else listed).append(str(path))
    return tuple(whole), tuple(listed)


def _without(root: Path, hidden: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Paths that are together ``root`` without ``hidden``; with False, a folder of which names alone are given.

    Symbolic links beside something hidden are left out: a rule would hold for what they lead to.
    """
    if root in hidden:
        return
    below = [path for path in hidden if path.is_relative_to(root)]
    if not below:
        yield root, True
        return
    yield root, False
    for path in sorted(root.iterdir()):
        if not path.is_symlink():
            yield from _without(path, below)


def _hidden_in(repo: Path, mapped: Mapped) -> list[Path]:
    """Folders below the repository that are not shown."""
    wanted = [path.resolve() for path in mapped.hidden] + list(_NEVER)
    return [path for path in _outermost(wanted) if path.is_relative_to(repo) and path != repo and path.is_dir()]


def _outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The folders without those that lie in another of them."""
    kept: list[Path] = []
    for folder in sorted(set(folders)):
        if not any(folder.is_relative_to(other) for other in kept):
            kept.append(folder)
    return tuple(kept)


def _packages_in(folder: Path) -> list[Path]:
    return [
        path.resolve()
        for pattern in ("*-packages", "python*/*-packages")
        for path in folder.glob(pattern)
        if path.is_dir()
    ]


def _library_folders() -> set[Path]:
    """The system's folders of shared objects: those this process uses, and those that systems name for them."""
    folders = {Path("/lib64"), Path("/usr/lib64")}
    triplet = sysconfig.get_config_var("MULTIARCH")
    if triplet:
        folders |= {Path("/lib") / triplet, Path("/usr/lib") / triplet}
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        found = re.search(r"(/.*\.so(?:\.[\d.]+)?)$", line)
        if found and found[1].startswith(_SYSTEM_ROOTS) and "-packages/" not in found[1]:
            store = next((store for store in _STORES if found[1].startswith(store)), None)
            folders.add(Path(store) if store else Path(found[1]).parent)
    return folders


def _loaders() -> list[Path]:
    """Where programs say their loader is, by the custom of machine and C library."""
    machine = platform.machine()
    names = (
        f"lib/ld-linux-{machine}.so.1",
        f"lib64/ld-linux-{machine.replace('_', '-')}.so.2",
        f"lib/ld-musl-{machine}.so.1",
    )
    return [Path("/") / name for name in names]
