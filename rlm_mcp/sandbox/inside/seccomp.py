"""The list of system calls that the child may make, as a seccomp filter: everything else answers EPERM.

What single-threaded Python needs to compute, to read files (Landlock and mounts say which) and to talk over a socket it
already has. No process, thread, socket, signal to others, descriptor of a new kind, or change of any file by name.

Sources: ``arch/x86/entry/syscalls/syscall_64.tbl``, ``include/uapi/asm-generic/unistd.h`` (aarch64),
``Documentation/userspace-api/seccomp_filter.rst``, ``include/uapi/linux/{bpf_common,filter,seccomp,audit}.h``.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from rlm_mcp.sandbox.inside import kernel
from rlm_mcp.sandbox.inside.kernel import LockdownError

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
"""``SECCOMP_RET_ALLOW``, ``SECCOMP_RET_ERRNO`` (plus the number), ``SECCOMP_RET_KILL_PROCESS``."""
X32 = 0x40000000
"""Set in the numbers of x86-64's second table of calls."""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
"""BPF: load a word of the call's record, skip on ``==``, skip on ``&``, return."""
_AT_NUMBER, _AT_MACHINE, _AT_ARGUMENTS = 0, 4, 16
"""Offsets in ``struct seccomp_data``; an argument has 8 bytes, the low word first (both machines are little endian)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is allowed on one machine."""

    audit: int
    """``AUDIT_ARCH_*``: calls made in another machine's manner (32 bits) end the process."""
    allowed: Mapping[int, str]
    """Number and name of what is allowed whatever its arguments."""
    opening: Mapping[int, int]
    """Calls that open a path: number and which argument has the flags."""
    fcntl: int
    prlimit: int
    ioctl: int


_X86_64_ONLY = {
    "open": 2, "stat": 4, "lstat": 6, "poll": 7, "access": 21, "select": 23, "getpgrp": 111, "readlink": 89,
    "time": 201,
}  # fmt: skip
_BOTH = {
    # reading and writing what is open
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69),
    "ftruncate": (77, 46), "dup": (32, 23), "recvfrom": (45, 207), "sendto": (44, 206), "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    # looking at files
    "getcwd": (79, 17), "getdents64": (217, 61), "newfstatat": (262, 79), "readlinkat": (267, 78),
    "faccessat": (269, 48), "faccessat2": (439, 439), "statx": (332, 291),
    # storage of its own
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "madvise": (28, 233), "msync": (26, 227),
    # time and waiting
    "nanosleep": (35, 101), "getitimer": (36, 102), "setitimer": (38, 103), "gettimeofday": (96, 169),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "pselect6": (270, 72),
    "ppoll": (271, 73), "restart_syscall": (219, 128), "futex": (202, 98), "sched_yield": (24, 124),
    # signals to itself only: handlers, masks
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132),
    # about itself and the machine
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getresuid": (118, 148), "getresgid": (120, 150),
    "getgroups": (115, 158), "getpgid": (121, 155), "getsid": (124, 156), "uname": (63, 160), "sysinfo": (99, 179),
    "getrusage": (98, 165), "times": (100, 153), "sched_getaffinity": (204, 123), "getcpu": (309, 168),
    "getrandom": (318, 278),
    # the end
    "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip

TABLES: Mapping[str, Table] = {
    "x86_64": Table(
        audit=0xC000003E,
        allowed={
            **{x86_64: name for name, (x86_64, _) in _BOTH.items()},
            **{number: name for name, number in _X86_64_ONLY.items() if name != "open"},
        },
        opening={_X86_64_ONLY["open"]: 1, 257: 2},
        fcntl=72,
        prlimit=302,
        ioctl=16,
    ),
    "aarch64": Table(
        audit=0xC00000B7,
        allowed={aarch64: name for name, (_, aarch64) in _BOTH.items()},
        opening={56: 2},
        fcntl=25,
        prlimit=261,
        ioctl=29,
    ),
}

REFUSED_FLAGS = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000 | 0o10000000 | 0o20000000
"""WRONLY, RDWR, CREAT, TRUNC, APPEND, PATH, TMPFILE: the same bits on both machines."""
FCNTL_ALLOWED = (1, 2, 3, 1030)
"""GETFD, SETFD, GETFL, DUPFD_CLOEXEC: nothing that sets an owner, a signal, a lease or a lock."""


def program(table: Table) -> bytes:
    """The filter as ``struct sock_filter[]``: 8 bytes each of code, skip if so, skip if not, value.

    Verdicts: a call of another machine's kind, or with the x32 bit, ends the process. Allowed calls pass; opening for
    anything but reading answers EROFS; ``fcntl`` passes with four harmless commands, ``prlimit64`` without new limits;
    ``ioctl`` answers ENOTTY, which Python takes for "no terminal"; all else answers EPERM.
    """
    allow, refuse = _step(_RETURN, ALLOW), _step(_RETURN, ERRNO | errno.EPERM)
    steps = [
        _step(_LOAD, _AT_MACHINE),
        _step(_EQUAL, table.audit, 1, 0),
        _step(_RETURN, KILL),
        _step(_LOAD, _AT_NUMBER),
        _step(_ANY_BIT, X32, 0, 1),
        _step(_RETURN, KILL),
    ]
    for number in sorted(table.allowed):
        steps += [_step(_EQUAL, number, 0, 1), allow]
    steps += [_step(_EQUAL, table.ioctl, 0, 1), _step(_RETURN, ERRNO | errno.ENOTTY)]
    for number, argument in table.opening.items():
        steps += _case(
            number,
            [
                _step(_LOAD, _AT_ARGUMENTS + 8 * argument),
                _step(_ANY_BIT, REFUSED_FLAGS, 0, 1),
                _step(_RETURN, ERRNO | errno.EROFS),
                allow,
            ],
        )
    commands = [step for command in FCNTL_ALLOWED for step in (_step(_EQUAL, command, 0, 1), allow)]
    steps += _case(table.fcntl, [_step(_LOAD, _AT_ARGUMENTS + 8), *commands, refuse])
    pointer = _AT_ARGUMENTS + 8 * 2
    steps += _case(
        table.prlimit,
        [
            _step(_LOAD, pointer),
            _step(_EQUAL, 0, 0, 3),
            _step(_LOAD, pointer + 4),
            _step(_EQUAL, 0, 0, 1),
            allow,
            refuse,
        ],
    )
    return b"".join([*steps, refuse])


def _case(number: int, steps: list[bytes]) -> list[bytes]:
    """Steps for one call; each way through them must return."""
    return [_step(_EQUAL, number, 0, len(steps)), *steps]


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)


def is_available() -> bool:
    """Whether the kernel takes filters and knows how to end a process by them."""
    number = kernel.NUMBERS.get(kernel.machine(), {}).get("seccomp")
    if number is None:
        return False
    get_action_available = 2
    action = ctypes.c_uint32(KILL)
    try:
        kernel.call(number, ctypes.c_uint(get_action_available), ctypes.c_uint(0), ctypes.byref(action))
    except OSError:
        return False
    return True


def install() -> None:
    """From now on, only what the table of this machine allows. Needs ``PR_SET_NO_NEW_PRIVS``; for one thread.

    Raises:
        LockdownError: there is no table for this machine, or the kernel refuses.
    """
    machine = kernel.machine()
    table = TABLES.get(machine)
    if table is None:
        raise LockdownError(f"there is no list of system calls for {machine!r}; only for {', '.join(TABLES)}")
    text = program(table)
    steps = ctypes.create_string_buffer(text, len(text))
    header = struct.pack("@HP", len(text) // 8, ctypes.addressof(steps))
    set_mode_filter = 1
    try:
        kernel.call(kernel.NUMBERS[machine]["seccomp"], ctypes.c_uint(set_mode_filter), ctypes.c_uint(0), header)
    except OSError as error:
        raise LockdownError(f"the kernel takes no seccomp filter ({error})") from error
