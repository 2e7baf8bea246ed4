"""Children end with their whole group, in time, and what they print is bounded."""

import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from rlm_mcp.errors import ProcessError
from rlm_mcp.process import run, seconds_since_start

PYTHON = sys.executable


def test_a_child_gives_its_output_complaint_and_exit_code():
    """Both streams and the exit code come back apart."""
    ended = run(
        [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], timeout_seconds=60
    )
    assert (ended.output, ended.complaint, ended.exit_code, ended.is_cut) == (b"out\n", b"err\n", 3, False)


def test_a_child_reads_nothing_from_our_standard_input():
    """An MCP server's standard input is the protocol: a child must not eat it."""
    ended = run([PYTHON, "-c", "import sys; print(len(sys.stdin.read()))"], timeout_seconds=60)
    assert ended.output == b"0\n"


def test_a_file_can_be_a_childs_standard_input(tmp_path: Path):
    """For what is too long for arguments; one that is not there is a typed error."""
    (tmp_path / "given").write_bytes(b"a\0b\n")
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    ended = run([PYTHON, "-c", code], timeout_seconds=60, standard_input=tmp_path / "given")
    assert ended.output == b"a\0b\n"
    with pytest.raises(ProcessError, match="cannot be started"):
        run([PYTHON, "-c", code], timeout_seconds=60, standard_input=tmp_path / "missing")


def test_the_environment_and_folder_given_are_the_childs(tmp_path: Path):
    """What is given replaces the whole environment."""
    code = "import os; print(os.getcwd(), sorted(set(os.environ) - {'LC_CTYPE'}))"
    ended = run([PYTHON, "-c", code], timeout_seconds=60, cwd=tmp_path, environ={"ONLY": "1"})
    assert ended.output.decode().split(" ", 1) == [os.path.realpath(tmp_path), "['ONLY']\n"]


def test_output_past_the_limit_is_cut_and_the_child_ended():
    """An endless printer costs no more than the limit."""
    ended = run([PYTHON, "-c", "while True: print('x' * 1000)"], timeout_seconds=60, max_bytes=10_000)
    assert ended.is_cut
    assert len(ended.output) == 10_000


def test_a_flood_of_complaints_is_bounded():
    """Standard error keeps its first 64 KiB and does not block the child."""
    code = "import sys; sys.stderr.write('e' * 300_000); print('done')"
    ended = run([PYTHON, "-c", code], timeout_seconds=60)
    assert ended.output == b"done\n"
    assert len(ended.complaint) == 64 << 10


def test_a_child_that_runs_too_long_is_ended_with_a_named_limit():
    """The message says what ran and how long it was given."""
    with pytest.raises(ProcessError, match=r"ran longer than 0\.2 s"):
        run([PYTHON, "-c", "import time; time.sleep(600)"], timeout_seconds=0.2)


def test_a_child_that_closes_its_streams_and_stays_is_ended_too():
    """Waiting for the exit is under the same limit as reading the output."""
    code = "import os, time; os.close(1); os.close(2); time.sleep(600)"
    with pytest.raises(ProcessError, match="ran longer"):
        run([PYTHON, "-c", code], timeout_seconds=0.4)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watches a stranger's end through a pidfd (Linux)")
def test_a_grandchild_holding_the_output_is_ended_with_the_group(tmp_path: Path):
    """The child is gone, what it left behind keeps the pipe: the time-out ends the group."""
    left = tmp_path / "pid"
    command = ["/bin/sh", "-c", f"sleep 600 & echo $! > {left}; exit 0"]
    with pytest.raises(ProcessError, match="ran longer"):
        run(command, timeout_seconds=0.5)
    pid = int(left.read_text())
    assert _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Whether the process ends by itself soon; ended here if not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([descriptor], [], [], 20)
        if not ready:
            os.kill(pid, signal.SIGKILL)
        return bool(ready)
    finally:
        os.close(descriptor)


def test_an_endless_complainer_is_ended_in_time():
    """Output that never pauses does not keep the clock from being looked at."""
    code = "import sys\nwhile True: sys.stderr.write('e' * 4000)"
    with pytest.raises(ProcessError, match="ran longer"):
        run([PYTHON, "-c", code], timeout_seconds=0.4)


@pytest.mark.parametrize("command", [["/no/such/program"], [PYTHON, "a\0b"], [PYTHON, "\ud800"]])
def test_what_cannot_be_started_says_so(command: list[str]):
    """A missing program, a NUL byte or a lone surrogate in an argument: one typed error."""
    with pytest.raises(ProcessError, match="cannot be started"):
        run(command, timeout_seconds=5)


def test_a_start_counts_from_the_first_moment_on_the_wall(tmp_path: Path):
    """Waiting for a processor too; not what ran before an exec; where the system does not tell, what was computed."""
    stat = tmp_path / "stat"

    def began(seconds_ago: float) -> Path:
        now = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else 0.0
        ticks = int((now - seconds_ago) * os.sysconf("SC_CLK_TCK"))
        stat.write_text(f"7 (a) name) S {' '.join('0' * 18)} {ticks} 0 0\n")
        return stat

    computed = time.process_time()
    told = seconds_since_start(began(computed + 2.0))
    assert told >= computed + 2.0 if hasattr(time, "CLOCK_BOOTTIME") else told >= computed
    for unusable in (began(computed + 3_600.0), tmp_path / "missing"):
        before = time.process_time()
        assert before <= seconds_since_start(unusable) <= time.process_time()
    stat.write_text("7 (odd")
    assert seconds_since_start(stat) >= computed
    assert seconds_since_start() > 0


def test_a_guarded_child_is_run_as_any_other(tmp_path: Path):
    """Input, output, complaint, exit code, folder; told to end, it ends with all that it started."""
    script = "cat; pwd; echo no >&2; exit 7"
    ended = run(["/bin/sh", "-c", script], timeout_seconds=60, is_guarded=True, cwd=tmp_path, standard_input=b"given\n")
    assert (ended.exit_code, ended.output, ended.complaint) == (7, f"given\n{tmp_path}\n".encode(), b"no\n")
    told, tell = os.pipe()
    os.write(tell, b".")
    try:
        ended = run(["sleep", "600"], timeout_seconds=60, is_guarded=True, told=told)
    finally:
        os.close(told)
        os.close(tell)
    assert (ended.is_told, ended.exit_code) == (True, -signal.SIGKILL)
    with pytest.raises(ProcessError, match=r"ran longer than 0\.2 s"):
        run(["sleep", "600"], timeout_seconds=0.2, is_guarded=True)


@pytest.mark.parametrize("what", ["missing", "no interpreter"])
def test_a_guarded_child_that_cannot_be_started_says_so(tmp_path: Path, what: str):
    """Though a shell stands between."""
    program = tmp_path / "program"
    if what == "no interpreter":
        program.write_text("#!/no/such/interpreter\n")
        program.chmod(0o755)
    with pytest.raises(ProcessError, match="cannot be started"):
        run([str(program)], timeout_seconds=60, is_guarded=True)
