"""Nothing gets out of Monty: the attempts that the Jail withstands, and some of its own, judged by what they did."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.sandbox.escapes.attempts import GROUPS
from rlm_mcp.sandbox.escapes.canaries import Canaries, canaries
from rlm_mcp.sandbox.repl import Outcome

pytest.importorskip("pydantic_monty")

from rlm_mcp.sandbox.monty.repl import MontyRepl  # where there is one
from tests.repls import Rig  # as above

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the canaries are Linux's")
_PRELUDE = """
def tried(what, action):
    try:
        found = action()
    except Exception as error:
        print(f"refused: {what}: {error!r}"[:300])
    else:
        print(f"ESCAPED: {what}: {found!r}"[:5000])
def empty(found):
    if not found:
        raise OSError("nothing there")
    return found
def nonzero(status):
    if status:
        raise OSError("did not run")
    return status
"""
_ABOUT_ITSELF = frozenset({"our own store inside the repository"})
"""A repository that holds the store is never mapped: rlm_mcp.repo.tree.mappable."""
_OWN = {
    "files by every door": """
import os, pathlib
for path in (C['secret_path'], '/etc/passwd', '/proc/self/environ', '/proc/self/mem', '../outside/secret.txt',
             C['home']):
    tried(path, lambda: open(path).read())
    tried(path, lambda: open(path, 'rb').read(1))
    tried(path, lambda: pathlib.Path(path).read_text())
    tried(path, lambda: pathlib.Path(path).read_bytes())
    tried(path, lambda: os.stat(path))
    tried(path, lambda: os.listdir(path))
    tried(path, lambda: list(pathlib.Path(path).iterdir()))
    tried(path, lambda: repo.read(path))
    tried(path, lambda: repo.read('../' * 9 + path))
    tried(path, lambda: os.path.realpath(path, strict=True))
""",
    "links that lead out": """
for name in ('link_absolute', 'link_relative', 'link_folder/secret.txt', 'link_chain', 'link_environ',
             'link_root' + C['secret_path'], 'link_root/proc/self/environ', 'link_root/etc/passwd'):
    tried(name, lambda: open(repo.root + '/' + name, 'rb').read())
    tried(name, lambda: repo.bytes(name))
""",
    "writing": """
import os, pathlib
for name in ('readable.txt', C['token'], 'link_absolute', 'link_folder/new'):
    for mode in ('w', 'a', 'r+', 'wb', 'x'):
        tried(name + mode, lambda: open(repo.root + '/' + name, mode).write('changed'))
    path = pathlib.Path(repo.root) / name
    tried(name, lambda: path.write_text('changed'))
    tried(name, lambda: path.write_bytes(b'changed'))
    tried(name, lambda: path.unlink())
    tried(name, lambda: path.mkdir())
    tried(name, lambda: path.touch())
    tried(name, lambda: path.rename(repo.root + '/other'))
    tried(name, lambda: os.remove(repo.root + '/' + name))
    tried(name, lambda: os.rename(repo.root + '/' + name, repo.root + '/other'))
for place in ('/tmp/', '/', '/dev/shm/', C['outside'] + '/'):
    tried(place, lambda: open(place + C['token'], 'w').write('x'))
    tried(place, lambda: os.mkdir(place + C['token']))
    tried(place, lambda: os.symlink('/', place + C['token']))
""",
    "the environment": """
import os
tried('getenv', lambda: os.getenv(C['variable']))
tried('environ', lambda: os.environ[C['variable']])
tried('all', lambda: dict(os.environ))
tried('uname', lambda: os.uname())
tried('pid', lambda: os.getpid())
tried('cpus', lambda: os.cpu_count())
""",
    "modules": """
names = ('socket', 'subprocess', 'ctypes', 'threading', 'multiprocessing', 'signal', 'fcntl', 'importlib', 'builtins',
         'posix', '_posixsubprocess', 'urllib.request', 'http.client', 'ssl', 'pickle', 'marshal', 'gc', 'inspect',
         'rlm_mcp', 'pydantic_monty', 'monty', 'site', 'code', 'tempfile', 'shutil', 'mmap', 'select', 'sqlite3')
for name in names:
    tried(name, lambda: exec(f'import {name}'))
    tried(name, lambda: exec(f'from {name} import anything'))
    tried(name, lambda: __import__(name))
""",
    "programs": """
import os
for name in ('system', 'popen', 'execv', 'execve', 'spawnl', 'fork', 'posix_spawn', 'startfile', 'kill'):
    tried(name, lambda: getattr(os, name)('/bin/sh'))
tried('breakpoint', lambda: breakpoint())
tried('compile', lambda: compile('1', 'x', 'eval'))
tried('input', lambda: input())
""",
    "ways up the classes": """
tried('subclasses', lambda: ().__class__.__base__.__subclasses__())
tried('mro', lambda: (1).__class__.__mro__)
tried('globals', lambda: (lambda: 0).__globals__)
tried('code', lambda: (lambda: 0).__code__)
tried('closure', lambda: repo.read.__func__.__globals__)
tried('builtins', lambda: __builtins__)
tried('loader', lambda: __loader__)
tried('frame', lambda: (i for i in ()).gi_frame)
tried('format', lambda: empty('{0.__class__.__mro__}'.format(1)))
tried('traceback', lambda: exec('try:\\n    1/0\\nexcept Exception as e:\\n    e.__traceback__.tb_frame'))
""",
    "host functions that are none": """
for name in ('__import__', 'open', 'eval', 'exec', '__class__', '_rlm_end', 'repo_missing.__globals__', ''):
    for how in ('text', 'bytes', 'other', None):
        tried(name, lambda: _rlm_call(how, name, '{}', 0))
for given in ((), (1,), ('text', 'log'), ('text', 'log', {}, 0), ('text', 'log', '{"__class__": 1}', 0),
              ('bytes', 'log', '{}', -1), ('bytes', 'log', '{}', True), ('text', ['log'], '{}', 0),
              ('text', 'log', '[' * 9999, 0), ('text', 'log', 'null', 0), ('text', 'log', '{"session": 1e999}', 0)):
    tried(repr(given)[:60], lambda: _rlm_call(*given))
tried('end', lambda: _rlm_end('other', 'x'))
tried('end', lambda: _rlm_end())
tried('here', lambda: empty(_rlm_here(1, 2)))
""",
}


class Tried:
    """A Repl for attempts, another beside it, and the canaries."""

    def __init__(self, placed: Canaries) -> None:
        self.placed = placed
        self.first = f"{_PRELUDE}\nC = {placed.places()!r}\n"
        self.rig = self._rig()
        self.bystander = self._rig()

    def _rig(self) -> Rig:
        rig = Rig(MontyRepl(self.placed.repo, memory_bytes=256 << 20, output_bytes=1 << 20), {})
        rig.shown(self.first)
        return rig

    def run(self, cells: tuple[str, ...], seconds: float) -> list[Outcome]:
        """Run the Cells; afterwards the same Repl, or another, and the one beside it must answer."""
        outcomes: list[Outcome] = []
        for code in cells:
            outcomes.append(self.rig.run(code, seconds))
            if outcomes[-1].ending is None:
                self.rig.repl.close()
                self.rig = self._rig()
        texts = [text for one in outcomes for text in (one.output, one.final or "", one.why, repr(one.variables))]
        assert self.placed.harm(texts, None) == []
        assert self.bystander.shown("C['token']") == repr(self.placed.token)
        self.rig.repl.close()
        self.rig = self._rig()
        return outcomes

    def close(self) -> None:
        """End both."""
        self.rig.repl.close()
        self.bystander.repl.close()


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Canaries in a throwaway folder."""
    with canaries(tmp_path_factory.mktemp("escapes")) as placed:
        made = Tried(placed)
        yield made
        made.close()


@pytest.mark.parametrize("name", _OWN)
def test_every_door_is_shut(attempts, name):
    """Each thing tried is refused, and there was something to refuse."""
    (outcome,) = attempts.run((_OWN[name],), 10.0)
    assert "refused: " in outcome.output, outcome.output


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(attempt, id=f"{group}-{attempt.name}")
        for group, found in GROUPS.items()
        for attempt in found
        if attempt.name not in _ABOUT_ITSELF
    ],
)
def test_what_is_tried_on_the_jail_does_no_harm_here(attempts, attempt):
    """Most of it is not even in Monty's Python; the canaries are untouched and others answer."""
    attempts.run(attempt.cells, min(attempt.timeout_seconds, 2.0))


def test_the_worker_has_no_environment(attempts):
    """Nor descriptors of the host's files, beside where errors go."""
    repl = attempts.rig.repl
    with repl._worker.turn(5.0):
        pid = repl._worker._pid
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    opened = {path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir() if int(path.name) > 2}
    assert not [path for path in opened if path.is_absolute() and path != Path(os.devnull)]


def test_what_may_be_read_can_be_read(attempts):
    """The walls are no blindfold."""
    assert attempts.rig.shown("repo.read('readable.txt')") == "This may be read."
