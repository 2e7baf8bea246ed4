"""Making processes and threads, and telling others what to do."""

from rlm_mcp.sandbox.escapes.attempt import Attempt, Expected

ATTEMPTS = (
    Attempt(
        name="fork",
        is_control=True,
        cells=(
            """
import os, pty, time
def forked(fork):
    pid = fork()
    if isinstance(pid, tuple):
        pid = pid[0]
    if pid == 0:
        time.sleep(20)
        os._exit(0)
    return pid
tried('fork', lambda: forked(os.fork))
tried('forkpty', lambda: forked(os.forkpty))
tried('pty', lambda: forked(pty.fork))
""",
        ),
    ),
    Attempt(
        name="fork and clone by number",
        cells=(
            """
import os, struct
for name in ('fork', 'vfork') if os.uname().machine == 'x86_64' else ():
    tried(name, lambda: call(name))
for flags in (17, 0, 0x00000f00 | 17, 0x10000000 | 17, 0x7c020000 | 17):
    tried('clone', lambda: call('clone', flags, 0, 0, 0, 0))
tried('clone3', lambda: call('clone3', struct.pack('8Q', 0, 0, 0, 0, 17, 0, 0, 0), 64))
""",
        ),
    ),
    Attempt(
        name="programs started by the standard library",
        is_control=True,
        cells=(
            """
import os, subprocess
command = [C['python'], '-c', 'import time; time.sleep(20)  # ' + C['token']]
tried('Popen', lambda: subprocess.Popen(command))
tried('run', lambda: subprocess.run('echo ' + C['token'], shell=True))
tried('posix_spawn', lambda: os.posix_spawn(command[0], command, {}))
tried('system', lambda: nonzero(os.system('echo ' + C['token'])))
tried('popen', lambda: os.popen('echo ' + C['token']).read())
tried('spawnv', lambda: os.spawnv(os.P_NOWAIT, command[0], command))
""",
        ),
    ),
    Attempt(
        name="another program in its place",
        cells=(
            """
import os, sys
for program in ('/bin/sh', '/usr/bin/env', sys.executable, C['python'], '/lib64/ld-linux-x86-64.so.2'):
    tried(program, lambda: os.execv(program, [program, '-c', 'echo ' + C['token']]))
    tried('execve', lambda: call('execve', program.encode(), 0, 0))
    tried('execveat', lambda: call('execveat', -100, program.encode(), 0, 0, 0))
tried('execvp', lambda: os.execvp('sh', ['sh']))
""",
        ),
    ),
    Attempt(
        name="a program kept in storage",
        cells=(
            """
import os
tried('memfd_create', lambda: os.memfd_create(C['token']))
tried('by number', lambda: call('memfd_create', C['token'].encode(), 0))
tried('memfd_secret', lambda: call('memfd_secret', 0))
for number in wires():
    tried('execveat', lambda: call('execveat', number, b'', 0, 0, 0x1000))
""",
        ),
    ),
    Attempt(
        name="threads",
        is_control=True,
        cells=(
            """
import _thread, concurrent.futures, threading, time
tried('Thread', lambda: threading.Thread(target=time.sleep, args=(20,)).start())
tried('_thread', lambda: _thread.start_new_thread(time.sleep, (20,)))
tried('Timer', lambda: threading.Timer(20, print).start())
tried('pool', lambda: concurrent.futures.ThreadPoolExecutor(1).submit(time.sleep, 20))
""",
        ),
    ),
    Attempt(
        name="multiprocessing",
        is_control=True,
        cells=(
            """
import __main__, multiprocessing, time
__main__.__spec__ = None
for method in ('fork', 'spawn', 'forkserver'):
    def start():
        process = multiprocessing.get_context(method).Process(target=time.sleep, args=(20,))
        process.start()
        return process
    tried(method, start)
tried('pool', lambda: multiprocessing.Pool(1))
tried('shared', lambda: multiprocessing.Value('i'))
def shared():
    from multiprocessing import shared_memory
    return shared_memory.SharedMemory(C['token'], create=True, size=100)
tried('shared_memory', shared)
""",
        ),
    ),
    Attempt(
        name="interpreters inside the interpreter",
        cells=(
            """
try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        interpreters = None
inside = f'''
import os
for action in (lambda: open({C['secret_path']!r}).read(), os.fork, lambda: os.kill({C['victim_pid']}, 9)):
    try:
        found = action()
    except (OSError, RuntimeError):
        continue
    raise ValueError(f"ESCAPED: {{found}}")
'''
if interpreters is None:
    tried('none here', lambda: empty(None))
else:
    def within():
        found = interpreters.run_string(interpreters.create(), inside)
        if found is None:
            raise OSError(1, 'all refused inside')
        return found
    tried('inside', within)
""",
        ),
    ),
    Attempt(
        name="signals to the host and its processes",
        is_control=True,
        cells=(
            """
import os, signal
tried('victim', lambda: os.kill(C['victim_pid'], signal.SIGKILL))
""",
        ),
    ),
    Attempt(
        name="signals by every call there is",
        cells=(
            """
import ctypes, os, signal
for pid in (C['victim_pid'], C['host_pid'], os.getppid(), 1, 0, -1):
    for number in (0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
        tried('kill', lambda: os.kill(pid, number))
        tried('killpg', lambda: os.killpg(abs(pid), number))
        tried('tkill', lambda: call('tkill', pid, number))
        tried('tgkill', lambda: call('tgkill', pid, pid, number))
        room = ctypes.create_string_buffer(128)
        tried('rt_sigqueueinfo', lambda: call('rt_sigqueueinfo', pid, number, room))
        tried('rt_tgsigqueueinfo', lambda: call('rt_tgsigqueueinfo', pid, pid, number, room))
        tried('pidfd_send_signal', lambda: call('pidfd_send_signal', 3, number, 0, 0))
""",
        ),
    ),
    Attempt(
        name="signals by way of a descriptor's owner",
        cells=(
            """
import fcntl, os, signal
F_SETOWN, F_SETSIG, F_SETOWN_EX, O_ASYNC = 8, 10, 15, 0o20000
for number in (0, 1, 2, *wires()):
    for command, value in ((F_SETOWN, C['victim_pid']), (F_SETSIG, signal.SIGKILL), (F_SETOWN_EX, 0)):
        tried('owner', lambda: fcntl.fcntl(number, command, value))
    tried('async', lambda: fcntl.fcntl(number, fcntl.F_SETFL, O_ASYNC))
    tried('lease', lambda: fcntl.fcntl(number, 1024, 1))
    tried('notify', lambda: fcntl.fcntl(number, 1026, 1))
    tried('pipe size', lambda: fcntl.fcntl(number, 1031, 1 << 20))
    tried('seals', lambda: fcntl.fcntl(number, 1033, 8))
    tried('record lock', lambda: fcntl.fcntl(number, fcntl.F_SETLK, bytes(32)))
""",
        ),
    ),
    Attempt(
        name="timers that signal, clocks, priorities",
        cells=(
            """
import ctypes, os, time
room = ctypes.create_string_buffer(64)
tried('timer_create', lambda: call('timer_create', 0, room, room))
tried('timerfd', lambda: call('timerfd_create', 0, 0))
tried('signalfd', lambda: call('signalfd4', -1, room, 8, 0))
tried('clock', lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
tried('adjtimex', lambda: call('adjtimex', room))
tried('nice', lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
tried('affinity', lambda: os.sched_setaffinity(0, {0}))
tried('scheduler', lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)))
tried('ioprio', lambda: call('ioprio_set', 1, 0, 1 << 13))
""",
        ),
    ),
    Attempt(
        name="outliving the host",
        cells=(
            """
tried('death signal', lambda: call('prctl', 1, 0, 0, 0, 0))
tried('subreaper', lambda: call('prctl', 36, 1, 0, 0, 0))
tried('setsid', lambda: __import__('os').setsid())
tried('setpgid', lambda: __import__('os').setpgid(0, 0))
""",
        ),
    ),
    Attempt(
        name="code that waits for the end of the process",
        expected=Expected.ENDED,
        cells=(
            """
import atexit, os
def at_the_end():
    print(open(C['secret_path']).read())
    os.fork()
atexit.register(at_the_end)
class Late:
    def __del__(self):
        at_the_end()
late = Late()
for number in list(wires()):
    os.close(number)
""",
        ),
    ),
)
