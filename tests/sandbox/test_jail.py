"""A Jail: started, confined, signalled, ended; by every interpreter, under every combination of layers."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rlm_mcp.errors import JailUnavailable
from rlm_mcp.sandbox.jail import Jail, Limits
from rlm_mcp.sandbox.layers import Confinement
from rlm_mcp.sandbox.mounts import Mapped
from tests.sandbox.walls import bare_jail

_WALLS = Path(__file__).with_name("walls.py")
_ROOT = Path(__file__).parents[2]
_INTERPRETERS = (
    "/usr/bin/python3",
    "/usr/bin/python3.11",
    "/usr/bin/python3.12",
    "/usr/bin/python3.13",
    *sorted(map(str, Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python3"))),
)


def _ends(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends within so long."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def _a_folder(path: Path, name: str = "inside.txt", content: str = "seen") -> Path:
    path.mkdir(parents=True)
    (path / name).write_text(content, encoding="utf-8")
    return path


def test_the_layers_that_were_demanded_are_in_force(confinement):
    """The child says which it has set; a demanded one that failed would have ended it."""
    with bare_jail(confinement) as bare:
        assert {"no privileges", "rlimits", "seccomp"} <= set(bare.layers)
        assert any(layer.startswith("Landlock") for layer in bare.layers) == confinement.landlock
        assert bare.jail.layers == confinement.layers


def test_the_repository_is_read_and_nothing_beside_it(confinement, tmp_path):
    """Its files are there; a file next to it, the host's passwords and its processes are not."""
    repo = _a_folder(tmp_path / "repo")
    secret = tmp_path / "secret.txt"
    secret.write_text("never", encoding="utf-8")
    (repo / "out").symlink_to(secret)
    with bare_jail(confinement, Mapped(repo=repo)) as bare:
        root = bare.jail.repo
        assert bare.ask(f"answer = open({root + '/inside.txt'!r}).read()") == "seen"
        for path in (f"{root}/out", f"{root}/../secret.txt", str(secret), "/etc/passwd", "/proc/1/environ"):
            assert "Error" in str(bare.ask(f"answer = open({path!r}).read()")), path
        assert "Read-only" in str(bare.ask(f"open({root + '/new'!r}, 'w')"))
    assert sorted(path.name for path in repo.iterdir()) == ["inside.txt", "out"]


def test_a_hidden_folder_of_the_repository_is_not_seen(confinement, tmp_path):
    """Our own store may lie in the repository; what lies beside it is read, also through no symbolic link."""
    repo = _a_folder(tmp_path / "repo")
    store = _a_folder(repo / "deep" / "store")
    _a_folder(repo / "deep" / "beside")
    outside = _a_folder(tmp_path / "outside")
    (repo / "deep" / "link").symlink_to(outside)
    with bare_jail(confinement, Mapped(repo=repo, hidden=(store,))) as bare:
        root = bare.jail.repo
        assert bare.ask(f"answer = open('{root}/inside.txt').read()") == "seen"
        assert bare.ask(f"answer = open('{root}/deep/beside/inside.txt').read()") == "seen"
        assert "Error" in str(bare.ask(f"answer = open('{root}/deep/store/inside.txt').read()"))
        assert "Error" in str(bare.ask(f"answer = open('{root}/deep/link/inside.txt').read()"))


def test_the_root_folder_as_repository_shows_no_processes(confinement):
    """A person may start a client in ``/``: the kernel's own folders stay hidden."""
    with bare_jail(confinement, Mapped(repo=Path("/"))) as bare:
        root = "" if bare.jail.repo == "/" else bare.jail.repo
        assert bare.ask(f"import os; answer = os.path.exists('{root}/etc')") is True
        for name in ("proc/1/environ", f"proc/{os.getpid()}/environ", "sys/kernel/uevent_seqnum", "dev/null"):
            assert "Error" in str(bare.ask(f"answer = open('{root}/{name}', 'rb').read()")), name


def test_nothing_is_inherited(confinement, monkeypatch):
    """No environment, no descriptor but 0, 1, 2 and the socket; those three lead nowhere."""
    monkeypatch.setenv("RLM_MCP_CANARY", "a secret")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        with bare_jail(confinement) as bare:
            environment = bare.ask("import os; answer = dict(os.environ)")
            assert set(environment) <= {"PWD", "LC_CTYPE"}
            code = """
import os
answer = []
for number in range(4096):
    try:
        os.fstat(number)
    except OSError:
        continue
    answer.append(number)
"""
            opened = bare.ask(code)
            assert len(opened) == 4
            assert opened[:3] == [0, 1, 2]
            devices = bare.ask("import os; answer = [os.fstat(n).st_rdev for n in (0, 1, 2)]")
            assert devices == [Path(os.devnull).stat().st_rdev] * 3
    finally:
        os.close(reading)
        os.close(writing)


def test_the_standard_library_is_there_and_installed_packages_are_not(confinement):
    """Modules with shared objects too, also those first imported behind the walls."""
    with bare_jail(confinement) as bare:
        code = "import bz2, csv, ctypes, decimal, hashlib, lzma, sqlite3, ssl, statistics, xml.etree; answer = 1"
        assert bare.ask(code) == 1
        assert "ModuleNotFoundError" in str(bare.ask("import pytest"))
        assert "Error" in str(bare.ask("import rlm_mcp.config"))


def test_an_interrupt_reaches_the_child(confinement):
    """As KeyboardInterrupt in what it runs; it lives on."""
    with bare_jail(confinement) as bare:
        assert bare.ask("import __main__, time\n__main__.tell('begun')\nwhile True: time.sleep(0.01)") == "begun"
        bare.jail.interrupt()
        assert str(bare.hear()).startswith("KeyboardInterrupt")
        assert bare.ask("answer = 2") == 2
        assert bare.jail.why_ended() == ""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os._exit(7)", "exit code 7"),
        ("import ctypes; ctypes.string_at(0)", "segmentation fault"),
        ("import os; os.abort()", "crashed"),
        ("import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 39)", "system call"),
    ],
)
def test_how_it_ended_is_told(confinement, code, why):
    """In words; an ended child stays ended, and killing it again does no harm."""
    if "0x40000000" in code and os.uname().machine != "x86_64":
        pytest.skip("x86-64's second table of calls")
    with bare_jail(confinement) as bare:
        assert bare.ask(code) == "gone"
        bare.jail.kill()
        assert why in bare.jail.why_ended()
        assert not bare.jail.is_alive()
        bare.jail.kill()
        bare.jail.interrupt()


def test_processor_time_has_an_end(confinement):
    """A child that only computes is ended by the kernel, whoever watches."""
    with bare_jail(confinement, limits=Limits(cpu_seconds=1)) as bare:
        assert bare.ask("import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass") == "gone"
        bare.jail.kill()
        assert "processor time" in bare.jail.why_ended()
        assert 0.5 <= bare.jail.cpu_seconds() <= 3  # the kernel counts by clock ticks


def test_storage_has_an_end(confinement):
    """What is too large raises MemoryError in the child; the machine does not feel it."""
    with bare_jail(confinement, limits=Limits(memory_bytes=300 << 20)) as bare:
        assert str(bare.ask("x = bytearray(3 << 30)")).startswith("MemoryError")
        assert bare.ask("answer = 3") == 3


def test_no_limit_can_be_raised_again(confinement):
    """The hard limits are as low as the soft ones, and setting any is refused."""
    with bare_jail(confinement) as bare:
        assert "Error" in str(bare.ask("import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))"))
        found = bare.ask("import resource; answer = resource.getrlimit(resource.RLIMIT_AS)")
        assert found == [Limits().memory_bytes, Limits().memory_bytes]


def test_root_keeps_no_privilege(confinement):
    """No capability is there or can come back; no one-time gain by a program either."""
    with bare_jail(confinement) as bare:
        code = """
import ctypes, struct
library = ctypes.CDLL(None, use_errno=True)
header, sets = struct.pack('=Ii', 0x20080522, 0), ctypes.create_string_buffer(24)
answer = library.capget(header, sets), sets.raw.hex()
"""
        found = bare.ask(code)
        assert found == [-1, "00" * 24]  # not even asked
    status = Path("/proc/self/status").read_text(encoding="ascii")
    assert "CapEff" in status
    with bare_jail(confinement) as bare:
        lines = Path(f"/proc/{bare.jail.pid}/status").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert {int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
        assert fields["Threads"] == "1"
        if os.geteuid() == 0 or confinement.bubblewrap is not None:
            assert int(fields["CapBnd"], 16) == 0


def test_the_child_ends_with_its_host(confinement):
    """A host that is killed leaves no child behind."""
    host = subprocess.Popen(
        [sys.executable, str(_WALLS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    with host:
        assert host.stdout is not None
        pid = json.loads(host.stdout.readline())["pid"]
        assert Path(f"/proc/{pid}").exists()
        host.send_signal(signal.SIGKILL)
        assert _ends(pid)


def test_the_child_outlives_the_thread_that_asked_for_it(confinement):
    """The kernel ties a child to the thread that started it; a pool's thread may end, so none of them starts any."""
    started: list[Jail] = []

    def start() -> None:
        started.append(Jail.start(Mapped(), Limits(), confinement, program="import time; time.sleep(60)"))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with started[0] as jail:
        assert not _ends(jail.pid, 0.3)
        assert jail.is_alive()
    assert _ends(jail.pid)


def test_killing_leaves_no_process(confinement):
    """Not the child, not bubblewrap; both are reaped."""
    with bare_jail(confinement) as bare:
        pid, outer = bare.jail.pid, bare.jail._outer.pid
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{outer}").exists()
    assert bare.jail.why_ended() == ""


def test_a_bubblewrap_that_starts_nothing_is_told(confinement, tmp_path):
    """With its exit code and what to do, not as a hang."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 9\n", encoding="ascii")
    broken.chmod(0o700)
    with pytest.raises(JailUnavailable, match="ended with 9"):
        Jail.start(Mapped(), Limits(), Confinement(bubblewrap=broken, landlock=True, seccomp=True))
    with pytest.raises(JailUnavailable, match="started nothing"):
        Jail.start(Mapped(), Limits(), Confinement(bubblewrap=tmp_path, landlock=True, seccomp=True))


@pytest.mark.parametrize("python", _INTERPRETERS)
def test_every_interpreter_of_this_machine_can_be_jailed(python, tmp_path):
    """The system's and pyenv's, with shared libraries where each has them."""
    code = "import sys; print(sys.version_info >= (3, 11))"
    if not Path(python).exists() or subprocess.check_output([python, "-c", code]) != b"True\n":
        pytest.skip("not there, or too old")
    environ = {"PYTHONPATH": str(_ROOT), "PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": str(tmp_path)}
    ended = subprocess.run([python, str(_WALLS)], input=b"", capture_output=True, env=environ, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    told = json.loads(ended.stdout)
    assert "seccomp" in told["layers"]
    assert told["version"][0] == 3
