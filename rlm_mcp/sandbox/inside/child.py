"""What runs in the Jail: takes frames from the host, one at a time, until the host closes the socket.

``jail.START`` calls :func:`main`. Everything is imported before the first frame; that one says how to lock down, and
nothing of a Cell runs before it is done.
"""

from __future__ import annotations

import gc
import os
import socket
from typing import Any

from rlm_mcp.sandbox import messages, wire
from rlm_mcp.sandbox.inside import saving
from rlm_mcp.sandbox.inside.asking import Host
from rlm_mcp.sandbox.inside.cell import Output, Runner
from rlm_mcp.sandbox.inside.lockdown import Bounds, LockdownError, lock_down
from rlm_mcp.sandbox.inside.seen import Seen
from rlm_mcp.sandbox.inside.telling import speak_briefly


def main(descriptor: int) -> None:
    """Serve the host."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptor)  # Codex's sandbox lets nobody ask
    first, descriptors = wire.receive(end, max_bytes=wire.MAX_FROM_HOST)
    setting_up = wire.from_host(first)
    assert isinstance(setting_up, messages.SetUp)
    bounds: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in setting_up.bounds.items()
    }
    try:
        layers = lock_down(Bounds(**bounds), keep=(descriptor, *descriptors)) if bounds else ()
    except LockdownError as error:
        wire.send(end, messages.Refused(message=str(error)))
        return
    speak_briefly()
    runner = Runner(Output(descriptors[0], setting_up.output_bytes))
    host = Host(end, runner)
    seen = Seen(host, repo=setting_up.repo)
    runner.give(seen.names(), seen.lazy())
    saving.begin(runner, seen)
    gc.freeze()  # what is here now stays: no Cell pays for looking through it again and again
    wire.send(end, messages.Ready(layers=tuple(layers)))
    try:
        while True:
            message, descriptors = host.receive()
            wire.send(end, _answer(runner, seen, message, descriptors))
    except wire.WireBroken:
        os._exit(0)  # the host is gone; what Cells have registered to run at the end is not run


def _answer(runner: Runner, seen: Seen, message: messages.FromHost, descriptors: tuple[int, ...]) -> messages.FromChild:
    try:
        match message:
            case messages.Run():
                if seen.at(message.session):
                    runner.outdate()
                return runner.run(message.number, message.code, message.timeout_seconds)
            case messages.Save():
                variables = runner.variables()
                left_out = set(message.left_out)
                wanted = {name: value for name, value in variables.items() if name not in left_out}
                return saving.save(descriptors[0], wanted, message.variable_seconds)
            case messages.Restore():
                seen.at(message.session)
                runner.clear()
                places = [(name, start, length) for name, start, length in message.variables]
                return (
                    saving.restore(descriptors[0], places, message.variable_seconds, message.left_out)
                    if descriptors
                    else messages.Restored(lost=())
                )
            case _:
                raise wire.WireBroken(f"{type(message).__name__} out of turn")
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
