"""Reading what was not given: files, the host's processes, its environment, its storage."""

from rlm_mcp.sandbox.escapes.attempt import Attempt

ATTEMPTS = (
    Attempt(
        name="a file by its absolute path",
        is_control=True,
        cells=("tried('open', lambda: open(C['secret_path']).read())",),
    ),
    Attempt(
        name="a file by a path that climbs out of the repository",
        is_control=True,
        cells=(
            """
for start in (repo.root, repo.root + '/', './', '../../..', '/repo/../..'):
    tried(start, lambda: open(start + '/../outside/secret.txt').read())
    tried(start, lambda: open(start + '/../../../../../..' + C['secret_path']).read())
""",
        ),
    ),
    Attempt(
        name="symbolic links of the repository that lead out",
        is_control=True,
        cells=(
            """
for name in ('link_absolute', 'link_relative', 'link_folder/secret.txt', 'link_chain', 'link_environ',
             'link_root' + C['secret_path'], 'link_root/proc/self/environ', 'link_root/etc/passwd'):
    tried(name, lambda: open(repo.root + '/' + name, 'rb').read())
""",
        ),
    ),
    Attempt(
        name="links by descriptors of folders",
        is_control=True,
        cells=(
            """
import os
def through(name):
    folder = os.open(repo.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return os.read(os.open(name, os.O_RDONLY, dir_fd=folder), 1000)
    finally:
        os.close(folder)
for name in ('link_absolute', '../outside/secret.txt', C['secret_path']):
    tried(name, lambda: through(name))
""",
        ),
    ),
    Attempt(
        name="our own store inside the repository",
        is_control=True,
        cells=(
            """
tried('store', lambda: open(repo.root + '/.rlm-mcp/store.db').read())
tried('readable', lambda: empty(open(repo.root + '/readable.txt').read() and None))
""",
        ),
    ),
    Attempt(
        name="the user's home",
        is_control=True,
        cells=(
            """
import os
for path in (C['home'] + '/.ssh/id_rsa', C['home'] + '/store.db'):
    tried(path, lambda: open(path).read())
for folder in (C['home'], C['outside'], os.path.dirname(C['outside']), '/var/log', '/boot'):
    tried(folder, lambda: os.listdir(folder))
    tried(folder, lambda: empty(list(os.scandir(folder))))
tried('~', lambda: open(os.path.expanduser('~/.ssh/id_rsa')).read())
""",
        ),
    ),
    Attempt(
        name="files through libraries of the standard library",
        is_control=True,
        cells=(
            """
import codecs, fileinput, importlib.machinery, io, linecache, mmap, os, pathlib, shutil, sqlite3, tokenize
path = C['secret_path']
tried('FileIO', lambda: io.FileIO(path).read())
tried('open_code', lambda: io.open_code(path).read())
tried('pathlib', lambda: pathlib.Path(path).read_bytes())
tried('codecs', lambda: codecs.open(path, encoding='utf-8').read())
tried('linecache', lambda: empty(linecache.getlines(path)))
tried('fileinput', lambda: list(fileinput.input(path)))
tried('tokenize', lambda: tokenize.open(path).read())
tried('loader', lambda: importlib.machinery.SourceFileLoader('x', path).get_data(path))
tried('copyfile', lambda: shutil.copyfile(path, '/tmp/' + C['token']))
tried('mmap', lambda: mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:])
def by_sqlite():
    try:
        return sqlite3.connect(f'file:{path}?mode=ro', uri=True).execute('select * from sqlite_master').fetchall()
    except sqlite3.DatabaseError as error:
        if 'not a database' in str(error):
            return str(error)
        raise OSError(str(error))
tried('sqlite3', by_sqlite)
""",
        ),
    ),
    Attempt(
        name="files through the C library",
        is_control=True,
        cells=(
            """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
library.fopen.restype = ctypes.c_void_p
tried('fopen', lambda: empty(library.fopen(C['secret_path'].encode(), b'r')))
tried('openat', lambda: call('openat', -100, C['secret_path'].encode(), 0, 0))
library.opendir.restype = ctypes.c_void_p
tried('opendir', lambda: empty(library.opendir(C['outside'].encode())))
""",
        ),
    ),
    Attempt(
        name="paths without opening them, then from there",
        cells=(
            """
import os, struct
tried('O_PATH', lambda: os.open(C['outside'], os.O_PATH))
tried('O_PATH /', lambda: os.open('/', os.O_PATH))
how = struct.pack('QQQ', 0, 0, 0)
tried('openat2', lambda: call('openat2', -100, C['secret_path'].encode(), how, len(how)))
""",
        ),
    ),
    Attempt(
        name="files by their handles",
        cells=(
            """
import ctypes, struct
room = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128))
number = ctypes.c_int()
path, place = C['secret_path'].encode(), ctypes.byref(number)
tried('name_to_handle_at', lambda: call('name_to_handle_at', -100, path, room, place, 0))
tried('open_by_handle_at', lambda: call('open_by_handle_at', -100, room, 0))
""",
        ),
    ),
    Attempt(
        name="what files there are, by asking about them",
        needs_bubblewrap=True,
        is_control=True,
        cells=(
            """
import os
for path in (C['secret_path'], C['home'], C['repo'], C['own_home'] + '/.ssh', '/etc/passwd', '/home', '/var', '/proc'):
    tried(path, lambda: os.stat(path).st_size)
    tried(path, lambda: empty(os.access(path, os.F_OK)))
tried('readlink', lambda: os.readlink(C['repo'] + '/link_absolute'))
""",
        ),
    ),
    Attempt(
        name="the machine's settings and passwords",
        is_control=True,
        cells=(
            """
for path in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/etc/resolv.conf', '/etc/hosts', '/etc/machine-id',
             '/sys/kernel/uevent_seqnum', '/var/log/wtmp', '/run/utmp', '/boot/config'):
    tried(path, lambda: open(path, 'rb').read(100))
""",
        ),
    ),
    Attempt(
        name="its own entries below /proc",
        is_control=True,
        cells=(
            """
for name in ('self/environ', 'self/maps', 'self/mem', 'self/cmdline', 'self/status', 'thread-self/environ', '1/environ',
             'self/root' + C['secret_path'], 'self/cwd' + C['secret_path'], 'self/fd/0', 'cpuinfo', 'net/tcp', 'kcore',
             'sys/kernel/hostname', 'kallsyms', 'mounts', 'self/mountinfo'):
    tried(name, lambda: open('/proc/' + name, 'rb').read(2000))
""",
        ),
    ),
    Attempt(
        name="the host's entries below /proc",
        is_control=True,
        cells=(
            """
import os
def storage(pid):
    with open(f'/proc/{pid}/mem', 'rb', 0) as file:
        file.seek(C['address'])
        return file.read(C['secret_length'])
for pid in (C['host_pid'], C['victim_pid'], os.getppid()):
    tried('mem', lambda: storage(pid))
    for name in ('environ', 'cmdline', 'maps', 'cwd' + C['secret_path'], 'root' + C['secret_path'], 'stat'):
        tried(name, lambda: open(f'/proc/{pid}/{name}', 'rb').read(2000))
    tried('fd', lambda: os.listdir(f'/proc/{pid}/fd'))
""",
        ),
    ),
    Attempt(
        name="devices",
        cells=(
            """
for name in ('mem', 'kmem', 'port', 'kmsg', 'null', 'zero', 'urandom', 'tty', 'ptmx', 'fuse', 'kvm', 'vda', 'sda',
             'loop0', 'shm', 'fd/0', 'stdin', 'net/tun', 'input/event0', 'dri/card0', 'vsock', 'userfaultfd'):
    tried(name, lambda: open('/dev/' + name, 'rb', 0).read(1))
""",
        ),
    ),
    Attempt(
        name="the host's environment",
        cells=(
            """
import os, posix
tried('environ', lambda: empty(os.environ.get(C['variable'])))
tried('environb', lambda: empty(os.environb.get(C['variable'].encode())))
tried('posix', lambda: empty(posix.environ.get(C['variable'].encode())))
print(dict(os.environ), posix.environ)
kept = set(os.environ) - {'PWD', 'LC_CTYPE'}
tried('others', lambda: empty(kept))
""",
        ),
    ),
    Attempt(
        name="the environment on its own stack",
        cells=(
            """
import ctypes, sys
library = ctypes.CDLL(None)
library.getenv.restype = ctypes.c_char_p
tried('getenv', lambda: empty(library.getenv(C['variable'].encode())))
pointers = ctypes.POINTER(ctypes.c_char_p).in_dll(library, '__environ')
for number in range(1000):
    if not pointers or pointers[number] is None:
        break
    print(pointers[number])
library.getauxval.restype = ctypes.c_ulong
program_name = library.getauxval(31)
# The kernel lays arguments, then the environment, right below the program's name at the stack's top.
print(ctypes.string_at(program_name - 8000, 8000))
print(sys.argv, sys.orig_argv, sys.path, sys.flags)
""",
        ),
    ),
    Attempt(
        name="the host's storage, by system calls for debuggers",
        cells=(
            """
import ctypes, struct
room = ctypes.create_string_buffer(C['secret_length'])
ours = struct.pack('PN', ctypes.addressof(room), len(room))
theirs = struct.pack('PN', C['address'], C['secret_length'])
for pid in (C['host_pid'], C['victim_pid'], 1):
    tried('process_vm_readv', lambda: (call('process_vm_readv', pid, ours, 1, theirs, 1, 0), room.raw))
    tried('process_vm_writev', lambda: call('process_vm_writev', pid, ours, 1, theirs, 1, 0))
    tried('process_madvise', lambda: call('process_madvise', pid, theirs, 1, 4, 0))
    tried('kcmp', lambda: call('kcmp', pid, pid, 0, 0, 0))
    for request in (16, 0x4206):
        tried('ptrace', lambda: call('ptrace', request, pid, 0, 0))
tried('traceme', lambda: call('ptrace', 0, 0, 0, 0))
""",
        ),
    ),
    Attempt(
        name="the host's descriptors",
        cells=(
            """
import os
for pid in (C['host_pid'], C['victim_pid'], 1):
    tried('pidfd_open', lambda: call('pidfd_open', pid, 0))
    tried('os.pidfd_open', lambda: os.pidfd_open(pid))
for number in range(10):
    tried('pidfd_getfd', lambda: call('pidfd_getfd', number, 1, 0))
""",
        ),
    ),
    Attempt(
        name="installed packages and the host's own modules",
        cells=(
            """
import importlib
for name in ('rlm_mcp.config', 'rlm_mcp.store.database', 'rlm_mcp.server.app', 'mcp', 'click', 'pip', 'pytest'):
    tried(name, lambda: importlib.import_module(name))
""",
        ),
    ),
)
