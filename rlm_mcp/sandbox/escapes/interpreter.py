"""Turning on the runner that shares the interpreter: what a Cell does to itself must harm nobody else."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected


def _own_harm(name: str, *cells: str, expected: Expected = Expected.ANY, timeout_seconds: float = 5.0) -> Attempt:
    """It may break its own Repl; then a further Cell is tried."""
    return Attempt(name=name, cells=(*cells, "print(1 + 1)"), expected=expected, timeout_seconds=timeout_seconds)


ATTEMPTS = (
    _own_harm(
        "builtins replaced",
        """
import builtins
for name in dir(builtins):
    setattr(builtins, name, None)
""",
    ),
    _own_harm(
        "builtins emptied",
        """
import builtins
vars(builtins).clear()
""",
    ),
    _own_harm(
        "modules thrown away",
        """
import sys
sys.modules.clear()
sys.path.clear()
sys.meta_path.clear()
""",
    ),
    _own_harm(
        "the output taken away",
        """
import sys
sys.stdout = sys.stderr = sys.__stdout__ = None
del sys.stdout
""",
    ),
    _own_harm(
        "the runner found by the garbage collector",
        """
import gc, types
for each in gc.get_objects():
    if type(each).__module__.startswith('rlm_mcp.') and not isinstance(each, type):
        try:
            print(type(each), [name for name in dir(each)][:50], getattr(each, '__dict__', None))
        except Exception as error:
            print(error)
for module in list(__import__('sys').modules.values()):
    if getattr(module, '__name__', '').startswith('rlm_mcp.'):
        for name, value in list(vars(module).items()):
            if isinstance(value, types.FunctionType):
                setattr(module, name, lambda *_, **__: None)
""",
    ),
    _own_harm(
        "the runner's frames walked and changed",
        """
import ctypes, sys
frame = sys._getframe()
while frame is not None:
    print(frame.f_code.co_name, sorted(frame.f_locals)[:20])
    for name, value in list(frame.f_locals.items()):
        if name in ('bounds', 'layers', 'timeout_seconds', 'ending'):
            frame.f_locals[name] = None
    frame.f_trace = lambda *_: None
    frame = frame.f_back
sys.settrace(lambda *_: None)
sys.setprofile(lambda *_: None)
""",
    ),
    _own_harm(
        "the host asked for what it should not give",
        """
import gc
from rlm_mcp.sandbox.inside.asking import Host, HostError
host = next(each for each in gc.get_objects() if isinstance(each, Host))
for name in ('read', 'open', 'eval', '__import__', 'repo_files', 'repo_missing', 'session_map', 'llm_query'):
    for arguments in ({}, {'ref': C['secret_path']}, {'glob': '/**'}, {'path': '../outside/secret.txt'}):
        try:
            print(host.ask(name, **arguments))
        except HostError as error:
            print('refused:', str(error)[:100])
""",
    ),
    _own_harm(
        "the lock-down run once more, wider",
        """
import sys
from rlm_mcp.sandbox.inside.lockdown import Bounds, LockdownError, lock_down
wider = Bounds(memory_bytes=1 << 40, cpu_seconds=1 << 20, file_bytes=1 << 50, open_files=4096,
               readable=('/',), listable=(), landlock=True, seccomp=True)
try:
    print('ESCAPED:', lock_down(wider, keep=tuple(wires())))
except LockdownError as error:
    print('refused:', error)
tried('open', lambda: open(C['secret_path']).read())
""",
    ),
    _own_harm("the end of the process", "import os\nos._exit(0)", expected=Expected.ANY),
    _own_harm("the end, by name", "import sys\nsys.exit(3)"),
    _own_harm(
        "the end, by the interpreter itself",
        """
import ctypes
ctypes.pythonapi.Py_Exit(0)
""",
    ),
    _own_harm(
        "the interpreter taken down",
        """
import ctypes
ctypes.pythonapi.Py_FinalizeEx()
""",
    ),
    _own_harm(
        "a crash",
        """
import ctypes
ctypes.string_at(0)
""",
    ),
    _own_harm("an abort", "import os\nos.abort()"),
    _own_harm(
        "a fault raised on purpose",
        """
import faulthandler
faulthandler._sigsegv()
""",
    ),
    _own_harm(
        "small numbers changed under everyone",
        """
import ctypes
ctypes.memmove(id(1) + 24, id(2) + 24, 4)
print(1)
""",
    ),
    _own_harm(
        "objects overwritten",
        """
import ctypes
x = [1, 2, 3]
ctypes.memset(id(x), 65, 40)
print(x)
""",
    ),
    _own_harm(
        "code objects made by hand", "exec((lambda: 0).__code__.replace(co_code=bytes([255, 255, 100, 200] * 8)))"
    ),
    _own_harm("KeyboardInterrupt raised by itself", "raise KeyboardInterrupt"),
    _own_harm(
        "every other way to leave", "raise GeneratorExit('x')", "raise BaseException('x')", "raise SystemExit('x')"
    ),
    _own_harm(
        "the time limit's own exception raised",
        """
from rlm_mcp.sandbox.inside import cell
raise cell.CellTimeout('mine')
""",
    ),
    _own_harm(
        "the time limit's handler replaced",
        """
import signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.signal(signal.SIGINT, lambda *_: None)
while True:
    pass
""",
        timeout_seconds=0.3,
    ),
    _own_harm(
        "timers that come later",
        """
import signal
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.001)
""",
        "import time\ntime.sleep(0.1)",
    ),
    _own_harm(
        "a debugger that waits for a person",
        "import pdb\npdb.set_trace()",
        "breakpoint()",
        "import code\ncode.interact()",
        timeout_seconds=1.0,
    ),
    _own_harm(
        "files of the package changed",
        """
import rlm_mcp.sandbox, os
for module in list(__import__('sys').modules.values()):
    path = getattr(module, '__file__', None)
    if path and 'rlm' in path:
        tried(path, lambda: open(path, 'a').write('#'))
        tried(path, lambda: os.unlink(path))
""",
    ),
    _own_harm(
        "native code from the repository",
        """
import ctypes
tried('CDLL', lambda: ctypes.CDLL(repo.root + '/readable.txt'))
tried('libc', lambda: nonzero(ctypes.CDLL(None).system(b'true')))
""",
    ),
    _own_harm("surrogates and control characters printed", "print('\\ud800\\x00\\x1b[2J\\x07' * 100)"),
    _own_harm(
        "audit hooks and import hooks",
        """
import sys
def hook(*_):
    raise OSError('mine')
sys.addaudithook(hook)
""",
    ),
)
