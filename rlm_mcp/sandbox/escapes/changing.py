"""Changing files: making, writing, cutting, renaming, removing, giving away."""

from rlm_mcp.sandbox.escapes.attempt import Attempt

ATTEMPTS = (
    Attempt(
        name="a new file in every place",
        is_control=True,
        cells=(
            """
import os
for folder in (repo.root, C['outside'], C['home'], *C['public_folders']):
    path = folder + '/' + C['token']
    tried(path, lambda: open(path, 'w').write('x'))
    tried(path, lambda: os.open(path, os.O_CREAT | os.O_RDONLY, 0o600))
    tried(path, lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))
""",
        ),
    ),
    Attempt(
        name="writing to the repository's files",
        is_control=True,
        cells=(
            """
import os
path = repo.root + '/readable.txt'
for mode in ('w', 'a', 'r+', 'x'):
    tried(mode, lambda: open(path, mode).write('x'))
for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_APPEND | os.O_WRONLY):
    tried(str(flags), lambda: os.write(os.open(path, flags), b'x'))
tried('truncate', lambda: os.truncate(path, 0))
tried('ftruncate', lambda: os.ftruncate(os.open(path, os.O_RDONLY), 0))
""",
        ),
    ),
    Attempt(
        name="writing into a file mapped for reading",
        cells=(
            """
import ctypes, mmap, os
descriptor = os.open(repo.root + '/readable.txt', os.O_RDONLY)
tried('shared', lambda: mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE))
library = ctypes.CDLL(None, use_errno=True)
library.mmap.restype = ctypes.c_long
def turned():
    place = library.mmap(None, ctypes.c_size_t(4096), 1, 1, descriptor, ctypes.c_long(0))
    if library.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(4096), 3) != 0:
        raise OSError(ctypes.get_errno(), 'mprotect')
    ctypes.memset(place, 88, 4)
tried('mprotect', turned)
""",
        ),
    ),
    Attempt(
        name="names: removing, renaming, linking",
        is_control=True,
        cells=(
            """
import os
path, new = repo.root + '/readable.txt', repo.root + '/' + C['token']
tried('link', lambda: os.link(path, new))
tried('symlink', lambda: os.symlink(path, new + '-s'))
tried('mkdir', lambda: os.mkdir(new + '-d'))
tried('mkfifo', lambda: os.mkfifo(new + '-f'))
tried('mknod', lambda: os.mknod(new + '-n'))
tried('rename', lambda: os.rename(path, path + '-2'))
tried('rename back', lambda: os.rename(path + '-2', path))
tried('unlink', lambda: os.unlink(C['secret_path']))
tried('rmdir', lambda: os.rmdir(C['home'] + '/.ssh'))
""",
        ),
    ),
    Attempt(
        name="who may do what with a file",
        is_control=True,
        cells=(
            """
import os
path = repo.root + '/readable.txt'
descriptor = os.open(path, os.O_RDONLY)
tried('chmod', lambda: os.chmod(path, 0o777))
tried('fchmod', lambda: os.fchmod(descriptor, 0o777))
tried('chown', lambda: os.chown(path, 1, 1))
tried('utime', lambda: os.utime(path, (1, 1)))
tried('setxattr', lambda: os.setxattr(path, 'user.x', b'x'))
tried('flock', lambda: __import__('fcntl').flock(descriptor, 2))
tried('lockf', lambda: __import__('fcntl').lockf(descriptor, 1))
""",
        ),
    ),
    Attempt(
        name="writing through libraries",
        is_control=True,
        cells=(
            """
import dbm, logging, pathlib, shelve, shutil, sqlite3, tarfile, tempfile, zipfile
place = '/tmp/' + C['token']
tried('pathlib', lambda: pathlib.Path(place).touch())
tried('tempfile', lambda: tempfile.NamedTemporaryFile())
tried('mkdtemp', lambda: tempfile.mkdtemp(dir=repo.root))
tried('zipfile', lambda: zipfile.ZipFile(place + '.zip', 'w'))
tried('tarfile', lambda: tarfile.open(place + '.tar', 'w'))
tried('logging', lambda: logging.FileHandler(place + '.log'))
tried('copytree', lambda: shutil.copytree(repo.root, place + '-t', symlinks=True))
tried('rmtree', lambda: shutil.rmtree(repo.root + '/.git-not-there'))
def by_sqlite():
    try:
        sqlite3.connect(place + '.db').execute('create table x(y)')
    except sqlite3.OperationalError as error:
        raise OSError(str(error))
tried('sqlite3', by_sqlite)
""",
        ),
    ),
    Attempt(
        name="another root, another folder to stand in",
        cells=(
            """
import os
tried('chroot', lambda: os.chroot(repo.root))
tried('chdir', lambda: os.chdir(C['outside']))
tried('fchdir', lambda: os.fchdir(os.open(repo.root, os.O_RDONLY)))
tried('relative', lambda: open('outside/secret.txt').read())
""",
        ),
    ),
    Attempt(
        name="copies inside the kernel",
        cells=(
            """
import os
source = os.open(repo.root + '/readable.txt', os.O_RDONLY)
for number in range(3, 64):
    if number != source:
        tried('sendfile', lambda: os.sendfile(number, source, 0, 10))
        tried('copy_file_range', lambda: call('copy_file_range', source, 0, number, 0, 10, 0))
        tried('splice', lambda: call('splice', source, 0, number, 0, 10, 0))
""",
        ),
    ),
)
