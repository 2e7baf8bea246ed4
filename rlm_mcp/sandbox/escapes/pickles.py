"""Variables that do something when they are saved or restored."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected

ATTEMPTS = (
    Attempt(
        name="a pickle that runs a command",
        is_restored=True,
        is_control=True,
        cells=(
            """
import os
class Hostile:
    def __reduce__(self):
        return os.system, ('echo x > /tmp/' + C['token'] + '.pickled',)
hostile, kept = Hostile(), 1
""",
            """
print('refused: it gave', globals().get('hostile'))
assert kept == 1
""",
        ),
    ),
    Attempt(
        name="a pickle that reads a file",
        is_restored=True,
        is_control=True,
        cells=(
            """
class Hostile:
    def __init__(self, expression):
        self.expression = expression
    def __reduce__(self):
        return eval, (self.expression,)
path = C['secret_path']
by_open = Hostile(f"open({path!r}).read()")
by_link = Hostile(f"open({(repo.root + '/link_absolute')!r}).read()")
by_process = Hostile("open('/proc/self/environ').read()")
by_socket = Hostile(f"__import__('socket').create_connection(('127.0.0.1', {C['tcp']}))")
by_fork = Hostile("__import__('os').fork() and 1")
kept = 1
""",
            """
assert kept == 1
found = {name: value for name, value in globals().items() if name.startswith('by_')}
print(f'ESCAPED: {found}' if found else 'refused: none came back')
""",
        ),
    ),
    Attempt(
        name="a pickle that ends its process while it is saved",
        is_restored=True,
        expected=Expected.ANY,
        cells=(
            """
import os
class Hostile:
    def __reduce__(self):
        os._exit(3)
hostile = Hostile()
""",
            "print(1 + 1)",
        ),
    ),
    Attempt(
        name="a pickle that ends its process while it is restored",
        is_restored=True,
        expected=Expected.ANY,
        cells=(
            """
import os
class Hostile:
    def __reduce__(self):
        return os._exit, (3,)
hostile = Hostile()
""",
            "print(1 + 1)",
        ),
    ),
    Attempt(
        name="a pickle that crashes",
        is_restored=True,
        expected=Expected.ANY,
        cells=(
            """
import ctypes
class Hostile:
    def __reduce__(self):
        return eval, ('__import__("ctypes").string_at(0)',)
hostile = Hostile()
""",
            "print(1 + 1)",
        ),
    ),
    Attempt(
        name="a pickle without end",
        is_restored=True,
        expected=Expected.ANY,
        cells=(
            """
class Hostile:
    def __reduce__(self):
        return Hostile, (Hostile(),)
hostile = Hostile()
deep = []
for _ in range(100_000):
    deep = [deep]
""",
            "print(1 + 1)",
        ),
    ),
    Attempt(
        name="a pickle that asks for all storage",
        is_restored=True,
        cells=(
            """
class Hostile:
    def __reduce__(self):
        return bytearray, (3 << 30,)
hostile = Hostile()
""",
            "print('ESCAPED: it was given' if 'hostile' in globals() else 'refused: it did not come back')",
        ),
    ),
    Attempt(
        name="a pickle that forges a frame while it is restored",
        is_restored=True,
        expected=Expected.ANY,
        cells=(
            """
code = '''
import os
for number in range(3, 64):
    try:
        os.write(number, bytes([255]) * 100)
    except OSError:
        pass
'''
class Hostile:
    def __reduce__(self):
        return exec, (code,)
hostile = Hostile()
""",
            "print(1 + 1)",
        ),
    ),
    Attempt(
        name="variables that take the place of what is given",
        is_restored=True,
        expected=Expected.ANY,
        cells=(
            """
session = repo = read = show = print = len = open = 'mine'
__builtins__ = {}
__name__ = 'x'
""",
            "1 + 1",
        ),
    ),
)
