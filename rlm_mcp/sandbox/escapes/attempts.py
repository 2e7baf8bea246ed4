"""All attempts, by group."""

from __future__ import annotations

from collections.abc import Mapping

from rlm_mcp.sandbox.escapes import (
    changing,
    descriptors,
    frames,
    interpreter,
    kernel,
    limits,
    network,
    pickles,
    processes,
    reading,
)
from rlm_mcp.sandbox.escapes.attempt import Attempt

GROUPS: Mapping[str, tuple[Attempt, ...]] = {
    "reading": reading.ATTEMPTS,
    "changing": changing.ATTEMPTS,
    "network": network.ATTEMPTS,
    "processes": processes.ATTEMPTS,
    "kernel": kernel.ATTEMPTS,
    "descriptors": descriptors.ATTEMPTS,
    "frames": frames.ATTEMPTS,
    "pickles": pickles.ATTEMPTS,
    "limits": limits.ATTEMPTS,
    "interpreter": interpreter.ATTEMPTS,
}


def fitting(machine: str, *, has_bubblewrap: bool) -> list[tuple[str, Attempt]]:
    """The attempts, each with its group, that mean something on such a machine."""
    return [
        (group, attempt)
        for group, attempts in GROUPS.items()
        for attempt in attempts
        if attempt.machine in {"", machine} and (has_bubblewrap or not attempt.needs_bubblewrap)
    ]
