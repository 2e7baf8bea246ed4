"""The kernel's own doors: calls that hold up no Python, older and newer manners of calling, privileges."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected

ATTEMPTS = (
    Attempt(
        name="every call that is not on the list",
        cells=(
            """
import os
from rlm_mcp.sandbox.inside.seccomp import TABLES
table = TABLES[os.uname().machine]
known = {*table.allowed, *table.opening, table.fcntl, table.prlimit, table.ioctl}
if os.uname().machine == 'x86_64':
    known |= {335, 336}  # uretprobe, uprobe: kernels pass them by every filter and end whoever calls them from outside
asked = 0
for number in range(0, 600):
    if number not in known:
        try:
            call(number, 0, 0, 0, 0, 0, 0)
        except OSError as error:
            asked += error.errno == 1
            if error.errno == 1:
                continue
        print('ESCAPED: call', number, 'was answered')
tried('the last', lambda: call(599))
assert asked > 300
""",
        ),
    ),
    Attempt(
        name="io_uring, which does calls in the caller's stead",
        cells=(
            """
import ctypes
room = ctypes.create_string_buffer(120)
tried('io_uring_setup', lambda: call('io_uring_setup', 8, room))
tried('io_setup', lambda: call('io_setup', 8, room))
""",
        ),
    ),
    Attempt(
        name="bpf, perf, userfaultfd",
        cells=(
            """
import ctypes
room = ctypes.create_string_buffer(128)
for command in range(0, 12):
    tried('bpf', lambda: call('bpf', command, room, 128))
for kind in range(0, 6):
    tried('perf_event_open', lambda: call('perf_event_open', bytes([kind, 0, 0, 0, 128]) + bytes(123), 0, -1, -1, 0))
for flags in (0, 1, 0o2000000):
    tried('userfaultfd', lambda: call('userfaultfd', flags))
""",
        ),
    ),
    Attempt(
        name="keys kept by the kernel",
        cells=(
            """
for ring in (-1, -2, -3, -4, -5):
    tried('keyctl', lambda: call('keyctl', 0, ring, 1, 0, 0))
    tried('add_key', lambda: call('add_key', b'user', C['token'].encode(), b'x', 1, ring))
    tried('request_key', lambda: call('request_key', b'user', C['token'].encode(), 0, ring))
""",
        ),
    ),
    Attempt(
        name="mounts",
        cells=(
            """
tried('tmpfs', lambda: call('mount', b'none', b'/repo', b'tmpfs', 0, 0))
tried('proc', lambda: call('mount', b'none', b'/', b'proc', 0, 0))
tried('bind', lambda: call('mount', b'/', b'/repo', b'', 4096, 0))
tried('remount', lambda: call('mount', b'none', b'/', b'', 32, 0))
tried('umount', lambda: call('umount2', b'/', 2))
tried('pivot_root', lambda: call('pivot_root', b'/', b'/'))
tried('fsopen', lambda: call('fsopen', b'tmpfs', 0))
tried('open_tree', lambda: call('open_tree', -100, b'/', 1))
tried('move_mount', lambda: call('move_mount', -100, b'/', -100, b'/', 0))
tried('mount_setattr', lambda: call('mount_setattr', -100, b'/', 0, bytes(32), 32))
tried('swapon', lambda: call('swapon', b'/x', 0))
tried('quotactl', lambda: call('quotactl', 0, 0, 0, 0))
""",
        ),
    ),
    Attempt(
        name="namespaces",
        cells=(
            """
for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x7e020000, 0x200, 0):
    tried('unshare', lambda: call('unshare', flag))
for number in range(0, 8):
    tried('setns', lambda: call('setns', number, 0))
""",
        ),
    ),
    Attempt(
        name="becoming someone else",
        cells=(
            """
import os, struct
for identity in (0, 1, 1000, 65534):
    tried('setuid', lambda: os.setuid(identity))
    tried('setgid', lambda: os.setgid(identity))
    tried('setresuid', lambda: os.setresuid(identity, identity, identity))
    tried('setgroups', lambda: os.setgroups([identity]))
everything = struct.pack('6I', *[0xffffffff] * 6)
tried('capset', lambda: call('capset', struct.pack('Ii', 0x20080522, 0), everything))
for operation, value in ((4, 1), (38, 0), (8, 1), (28, 0xff), (47, 2), (22, 2), (0x59616d61, -1), (15, 0), (35, 1)):
    tried('prctl', lambda: call('prctl', operation, value, 0, 0, 0))
tried('personality', lambda: call('personality', 0x0040000))
""",
        ),
    ),
    Attempt(
        name="another filter, another ruleset",
        cells=(
            """
import ctypes
for operation in range(0, 4):
    tried('seccomp', lambda: call('seccomp', operation, 0, bytes(16)))
tried('landlock', lambda: call('landlock_create_ruleset', 0, 0, 1))
tried('prctl', lambda: call('prctl', 22, 1, 0, 0, 0))
""",
        ),
    ),
    Attempt(
        name="limits raised, limits of others",
        cells=(
            """
import ctypes, resource
endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
def set_limit(name, limits):
    try:
        resource.setrlimit(getattr(resource, name), limits)
    except ValueError as error:
        raise OSError(1, str(error))
for name in ('RLIMIT_AS', 'RLIMIT_CPU', 'RLIMIT_NOFILE', 'RLIMIT_NPROC', 'RLIMIT_FSIZE', 'RLIMIT_CORE', 'RLIMIT_STACK'):
    tried(name, lambda: set_limit(name, endless))
    tried('lower', lambda: set_limit(name, (0, 0)))
room = (ctypes.c_uint64 * 2)(1, 1)
tried('of the host', lambda: call('prlimit64', C['host_pid'], 7, room, 0))
tried('high half', lambda: call('prlimit64', 0, 7, 1 << 40, 0))
""",
        ),
    ),
    Attempt(
        name="the machine itself",
        cells=(
            """
import socket
tried('reboot', lambda: call('reboot', 0, 0, 0, 0))
tried('kexec_load', lambda: call('kexec_load', 0, 0, 0, 0))
tried('init_module', lambda: call('init_module', b'', 0, b''))
tried('finit_module', lambda: call('finit_module', 0, b'', 0))
tried('sethostname', lambda: socket.sethostname(C['token']))
tried('syslog', lambda: call('syslog', 3, bytes(100), 100))
tried('acct', lambda: call('acct', 0))
""",
        ),
    ),
    Attempt(
        name="messages and storage shared by System V and POSIX",
        cells=(
            """
tried('shmget', lambda: call('shmget', 0, 4096, 0o1600))
tried('msgget', lambda: call('msgget', 0, 0o1600))
tried('semget', lambda: call('semget', 0, 1, 0o1600))
tried('mq_open', lambda: call('mq_open', C['token'].encode(), 0o102, 0o600, 0))
tried('inotify', lambda: call('inotify_init1', 0))
tried('fanotify', lambda: call('fanotify_init', 0, 0))
tried('pkey', lambda: call('pkey_alloc', 0, 0))
tried('mbind', lambda: call('mbind', 0, 0, 0, 0, 0, 0))
""",
        ),
    ),
    Attempt(
        name="terminals and devices behind descriptors",
        cells=(
            """
import fcntl, os, stat
for number in (0, 1, 2, *wires()):
    for request in (0x5401, 0x5412, 0x541b, 0x5421, 0x8903, 0x8901, 0x5452, 0x8910, 0x8927, 0x4b3a):
        tried('ioctl', lambda: fcntl.ioctl(number, request, bytes(64)))
for number in (0, 1, 2):
    status = os.fstat(number)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
        print('ESCAPED: descriptor', number, 'leads somewhere')
""",
        ),
    ),
    Attempt(
        name="x32 calls",
        machine="x86_64",
        expected=Expected.ENDED,
        cells=("call(0x40000000 + 39)",),
    ),
    Attempt(
        name="x32 calls that make processes",
        machine="x86_64",
        expected=Expected.ENDED,
        cells=("call(0x40000000 + 57)",),
    ),
    Attempt(
        name="calls of 32 bits",
        machine="x86_64",
        expected=Expected.ENDED,
        cells=(
            """
import ctypes, mmap
# mov eax, 20 (getpid); int 0x80; ret
code = bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3])
room = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
room.write(code)
place = ctypes.addressof(ctypes.c_char.from_buffer(room))
print('ESCAPED: by int 0x80', ctypes.CFUNCTYPE(ctypes.c_int)(place)())
""",
        ),
    ),
    Attempt(
        name="a program of machine code that makes processes",
        machine="x86_64",
        cells=(
            """
import ctypes, mmap
# mov eax, 57 (fork); syscall; ret
room = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
room.write(bytes([0xb8, 57, 0, 0, 0, 0x0f, 0x05, 0xc3]))
place = ctypes.addressof(ctypes.c_char.from_buffer(room))
def forked():
    found = ctypes.CFUNCTYPE(ctypes.c_int)(place)()
    if found < 0:
        raise OSError(-found, 'refused')
    return found
tried('machine code', forked)
""",
        ),
    ),
    Attempt(
        name="old doors of x86",
        machine="x86_64",
        cells=(
            """
import ctypes
tried('iopl', lambda: call('iopl', 3))
tried('modify_ldt', lambda: call('modify_ldt', 0, ctypes.create_string_buffer(64), 64))
tried('arch_prctl', lambda: call('arch_prctl', 0x1001, 0))
""",
        ),
    ),
)
