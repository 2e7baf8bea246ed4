"""The filter of system calls does what its table says, on both machines, for every number and argument."""

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.sandbox.inside import seccomp
from rlm_mcp.sandbox.inside.seccomp import ALLOW, ERRNO, KILL, TABLES, X32

_HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
_FORBIDDEN = frozenset(
    re.findall(
        r"\w+",
        """
        clone clone3 fork vfork execve execveat socket socketpair bind connect accept accept4 listen kill tkill
        tgkill pidfd_open pidfd_send_signal pidfd_getfd rt_sigqueueinfo rt_tgsigqueueinfo ptrace process_vm_readv
        process_vm_writev io_uring_setup io_uring_enter io_uring_register bpf keyctl add_key request_key mount
        umount2 pivot_root unshare setns chroot memfd_create memfd_secret userfaultfd perf_event_open prctl seccomp
        personality setuid setgid setresuid name_to_handle_at open_by_handle_at inotify_init1 fanotify_init
        timer_create timerfd_create eventfd2 signalfd4 shmget msgget semget mq_open fchmod fchmodat fchown linkat
        unlinkat mkdirat renameat2 symlinkat mknodat openat2 kexec_load init_module finit_module reboot setrlimit
        truncate fallocate dup3 pipe2 setsockopt sendmmsg arch_prctl modify_ldt iopl ioperm creat open_tree
        move_mount fsopen capset syslog acct swapon quotactl fadvise64
        """,
    )
)

number = st.one_of(st.integers(0, 1024), st.integers(0, 2**32 - 1))
word = st.one_of(st.integers(0, 64), st.integers(0, 2**64 - 1), st.sampled_from([1030, 2**32, 2**63]))


def verdict(program: bytes, call: bytes) -> int:
    """What the kernel would answer: the few BPF steps the filter uses, carried out."""
    steps = list(struct.iter_unpack("=HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, if_so, if_not, value = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", call, value)
        elif code == 0x15:
            at += if_so if accumulator == value else if_not
        elif code == 0x45:
            at += if_so if accumulator & value else if_not
        else:
            assert code == 0x06
            return value


def a_call(number: int, audit: int, *arguments: int) -> bytes:
    """``struct seccomp_data``."""
    return struct.pack("=iIQ6Q", number - (number >> 31 << 32), audit, 0, *(arguments + (0,) * 6)[:6])


def expected(table: seccomp.Table, number: int, arguments: tuple[int, ...]) -> int:
    """The table, in words of Python."""
    if number & X32:
        return KILL
    if number in table.allowed:
        return ALLOW
    if number == table.ioctl:
        return ERRNO | errno.ENOTTY
    if number in table.opening:
        is_refused = arguments[table.opening[number]] & seccomp.REFUSED_FLAGS
        return ERRNO | errno.EROFS if is_refused else ALLOW
    if number == table.fcntl and (arguments[1] & 0xFFFFFFFF) in seccomp.FCNTL_ALLOWED:
        return ALLOW
    if number == table.prlimit and arguments[2] == 0:
        return ALLOW
    return ERRNO | errno.EPERM


@pytest.mark.parametrize("machine", TABLES)
def test_every_number_gets_the_verdict_of_the_table(machine):
    """From 0 to 1024, and the same with x86-64's second table of calls."""
    table = TABLES[machine]
    program = seccomp.program(table)
    for plain in range(1025):
        for asked in (plain, plain | X32):
            found = verdict(program, a_call(asked, table.audit))
            assert found == expected(table, asked, (0,) * 6), (machine, asked)


@pytest.mark.parametrize("machine", TABLES)
@given(number=number, arguments=st.tuples(word, word, word, word, word, word))
def test_whatever_the_arguments_the_verdict_is_the_tables(machine, number, arguments):
    """Flags of opening, commands of fcntl, new limits of prlimit64: by value, all 64 bits of it."""
    table = TABLES[machine]
    for asked in (number, table.fcntl, table.prlimit, *table.opening):
        found = verdict(seccomp.program(table), a_call(asked, table.audit, *arguments))
        assert found == expected(table, asked, arguments)


@pytest.mark.parametrize("machine", TABLES)
@given(number=number, audit=st.integers(0, 2**32 - 1))
def test_a_call_in_another_machines_manner_ends_the_process(machine, number, audit):
    """32-bit calls have other numbers, so none of them is looked up in this table."""
    table = TABLES[machine]
    if audit != table.audit:
        assert verdict(seccomp.program(table), a_call(number, audit)) == KILL


@pytest.mark.parametrize("machine", TABLES)
def test_every_way_through_the_filter_ends_in_an_answer(machine):
    """No skip leads past the end, none backwards; the kernel's limit of 4096 steps is far."""
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(TABLES[machine])))
    assert len(steps) < 4096
    assert steps[-1][0] == 0x06
    assert all(at + 1 + max(step[1], step[2]) < len(steps) for at, step in enumerate(steps) if step[0] != 0x06)


@pytest.mark.parametrize("machine", TABLES)
def test_names_and_numbers_are_the_kernels(machine):
    """Compared with this system's own headers; and nothing forbidden stands in the table under any number."""
    found = next((path for path in map(Path, _HEADERS[machine]) if path.is_file()), None)
    if found is None:
        pytest.skip("no kernel headers here")
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", found.read_text(encoding="ascii")))
    numbers = {name: int(number) for name, number in known.items()} | {
        "newfstatat": int(known.get("newfstatat", known.get("fstatat", 0)))
    }
    table = TABLES[machine]
    assert {name: numbers[name] for name in table.allowed.values()} == {name: n for n, name in table.allowed.items()}
    assert numbers["openat"] in table.opening
    assert (table.fcntl, table.prlimit, table.ioctl) == (numbers["fcntl"], numbers["prlimit64"], numbers["ioctl"])
    reachable = {*table.allowed, *table.opening}
    assert not [name for name in _FORBIDDEN if numbers.get(name) in reachable]
