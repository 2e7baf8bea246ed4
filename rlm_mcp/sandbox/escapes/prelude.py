"""Runs in the Jail before each attempt, which is written with what is here. ``C`` tells where the canaries are."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

_NUMBERS = {
    "accept": (43, 202), "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "arch_prctl": (158, -1),
    "bpf": (321, 280), "capset": (126, 91), "chroot": (161, 51), "clone": (56, 220), "clone3": (435, 435),
    "close": (3, 57), "copy_file_range": (326, 285), "epoll_create1": (291, 20), "eventfd2": (290, 19),
    "execve": (59, 221), "execveat": (322, 281), "fanotify_init": (300, 262), "finit_module": (313, 273),
    "fork": (57, -1), "fsopen": (430, 430), "getpid": (39, 172), "init_module": (175, 105),
    "inotify_init1": (294, 26), "io_setup": (206, 0), "io_uring_setup": (425, 425), "ioctl": (16, 29),
    "iopl": (172, -1), "ioprio_set": (251, 30), "kcmp": (312, 272), "kexec_load": (246, 104), "keyctl": (250, 219),
    "kill": (62, 129), "landlock_create_ruleset": (444, 444), "mbind": (237, 235), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "modify_ldt": (154, -1), "mount": (165, 40), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "mq_open": (240, 180), "msgget": (68, 186), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "openat": (257, 56), "openat2": (437, 437),
    "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pivot_root": (155, 41), "pkey_alloc": (330, 289), "prctl": (157, 167),
    "prlimit64": (302, 261), "process_madvise": (440, 440), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60), "reboot": (169, 142),
    "request_key": (249, 218), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119), "seccomp": (317, 277), "semget": (64, 190),
    "sethostname": (170, 161), "setns": (308, 268), "setpriority": (141, 140), "setuid": (105, 146),
    "setgroups": (116, 159), "setresuid": (117, 147), "shmget": (29, 194), "signalfd4": (289, 74),
    "socket": (41, 198), "splice": (275, 76), "swapon": (167, 224), "syslog": (103, 116), "tgkill": (234, 131),
    "timer_create": (222, 107), "timerfd_create": (283, 85), "tkill": (200, 130), "umount2": (166, 39),
    "unshare": (272, 97), "userfaultfd": (323, 282), "vfork": (58, -1), "vmsplice": (278, 75),
}  # fmt: skip
_LIBRARY = ctypes.CDLL(None, use_errno=True)


def call(name: str | int, *arguments: Any) -> int:
    """A system call by name or number; bytes and buffers are passed by address."""
    number = name if isinstance(name, int) else _NUMBERS[name][os.uname().machine != "x86_64"]
    ctypes.set_errno(0)
    passed = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    found = int(_LIBRARY.syscall(ctypes.c_long(number), *passed))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def tried(what: str, action: Callable[[], object]) -> None:
    """Do it, and tell what came of it: a refusal is an error of the system, of storage or of a missing module."""
    try:
        found = action()
    except (OSError, MemoryError, ImportError, RuntimeError, EOFError) as error:
        sys.stdout.write(f"refused: {what}: {type(error).__name__}: {error}"[:300] + "\n")
    else:
        sys.stdout.write(f"ESCAPED: {what}: {found!r}"[:5000] + "\n")


def nonzero(status: int) -> int:
    """Of a command that ran: its status; one that did not run is an error."""
    if status != 0:
        raise OSError(status, "did not run")
    return status


def empty(found: Any) -> Any:
    """What was found; nothing found is an error."""
    if not found:
        raise OSError(2, "nothing there")
    return found


def wires() -> Iterator[int]:
    """Descriptors of sockets in this process."""
    for number in range(4096):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                yield number


def forge(*frames: bytes) -> None:
    """Write to the host as if it were the child's turn, each with a right header."""
    raw(b"".join(struct.pack(">I", len(frame)) + frame for frame in frames))


def raw(content: bytes) -> None:
    """Write these very bytes to the host."""
    end = next(wires())
    view = memoryview(content)
    while view:
        view = view[os.write(end, view) :]
