"""What changed since a time: right for work that is committed, staged, unstaged or untracked; the base is named."""

import subprocess
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.errors import QueryError, UsageError
from rlm_mcp.repo import diffs
from rlm_mcp.repo.diffs import BaseKind, Change, DiffAnswer, DiffQuery
from rlm_mcp.repo.snapshots import SnapshotLimits, take
from tests.repo.made import commit, git, hostile, repository, written

NOW = 1_770_000_000.0


def diff(paths: Paths, top: Path, since: float, now: float = NOW + 1_000, **more: object) -> DiffAnswer:
    return diffs.diff(paths, top, DiffQuery(since=since, **more), now)  # type: ignore[arg-type]


def names(answer: DiffAnswer) -> list[str]:
    return [change.path for change in answer.changes]


def test_what_was_done_since_a_snapshot_shows_and_nothing_else(paths: Paths, tmp_path: Path):
    """Uncommitted work of before does not; what was committed since does."""
    top = repository(tmp_path / "r", at=NOW - 500, a_py="1\n", b_py="2\n", c_py="3\n")
    written(top, a_py="1\nbefore\n", untracked_py="before\n")
    take(paths, top, NOW)
    written(top, b_py="2\nsince\n", new_py="new\n")
    commit(top, at=NOW + 5)
    (top / "c.py").unlink()
    written(top, untracked_py="before\nsince\n")
    answer = diff(paths, top, NOW + 1)
    assert (answer.base.kind, answer.base.time, answer.now) == (BaseKind.SNAPSHOT, NOW, NOW + 1_000)
    assert answer.changes == (
        Change(path="b.py", was="", added=1, removed=0),
        Change(path="c.py", was="", added=0, removed=1),
        Change(path="new.py", was="", added=1, removed=0),
        Change(path="untracked.py", was="", added=1, removed=0),
    )
    assert "\n-3\n" in answer.text
    assert "\n before\n+since\n" in answer.text
    assert (answer.is_cut, answer.total_bytes) == (False, len(answer.text.encode()))


def test_a_diff_can_be_applied(paths: Paths, tmp_path: Path):
    """It is whole: modes, line ends, renames, links, a missing last newline."""
    top = repository(tmp_path / "r", a="1\r\n2\r\n", moved_from="x\n" * 30, mode="m\n", link="l")
    take(paths, top, NOW)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(top), str(copy)], check=True)
    (top / "moved.from").rename(top / "moved to")
    (top / "a").write_bytes(b"1\r\n2")
    (top / "mode").chmod(0o755)
    (top / "link").unlink()
    (top / "link").symlink_to("a")
    answer = diff(paths, top, NOW)
    (tmp_path / "patch").write_bytes(answer.text.encode())
    git(copy, "apply", str(tmp_path / "patch"))
    assert (copy / "moved to").read_text() == "x\n" * 30
    assert (copy / "a").read_bytes() == b"1\r\n2"
    assert (copy / "mode").stat().st_mode & 0o111
    assert (copy / "link").is_symlink()
    assert Change(path="moved to", was="moved.from", added=0, removed=0) in answer.changes


def test_the_latest_snapshot_before_the_time_is_the_base(paths: Paths, tmp_path: Path):
    """At the time itself, too; the newer ones are passed over."""
    top = repository(tmp_path / "r", a="0\n")
    for number in range(1, 5):
        written(top, a=f"{number}\n")
        take(paths, top, NOW + number)
    for since, was in ((NOW + 1, "1"), (NOW + 2.9, "2"), (NOW + 3, "3"), (NOW + 900, "4")):
        written(top, a="last\n")
        answer = diff(paths, top, since)
        assert f"\n-{was}\n+last\n" in answer.text
        assert answer.base.time == NOW + int(was)


def test_without_an_old_snapshot_the_commit_of_then_is_the_base(paths: Paths, tmp_path: Path):
    """As HEAD's log tells: what was pulled later is a change, whenever it was committed."""
    top = repository(tmp_path / "r", at=NOW - 900, a="1\n")
    git(top, "checkout", "-q", "-b", "theirs")
    written(top, b="theirs\n")
    commit(top, at=NOW - 800)
    git(top, "checkout", "-q", "main", at=NOW - 700)
    git(top, "merge", "-q", "--ff-only", "theirs", at=NOW - 100)
    oid = git(top, "rev-parse", "main~1").strip()
    written(top, c="mine\n")
    answer = diff(paths, top, NOW - 500)
    assert (answer.base.kind, answer.base.name, answer.base.time) == (BaseKind.COMMIT, oid, NOW - 700)
    assert names(answer) == ["b", "c"]


def test_without_heads_log_the_last_commit_before_counts(paths: Paths, tmp_path: Path):
    """By the commits' own times."""
    top = repository(tmp_path / "r", at=NOW - 900, a="1\n")
    written(top, a="2\n")
    commit(top, at=NOW - 300)
    (top / ".git" / "logs" / "HEAD").unlink()
    answer = diff(paths, top, NOW - 500)
    assert (answer.base.kind, answer.base.time) == (BaseKind.COMMIT, NOW - 900)
    assert names(answer) == ["a"]


def test_with_nothing_so_old_the_first_snapshot_is_the_base(paths: Paths, tmp_path: Path):
    """And the answer says so: in a new repository, and without git."""
    for name in ("with", "without"):
        top = written(tmp_path / name, a="1\n")
        if name == "with":
            repository(top)
        first = diff(paths, top, NOW - 500, now=NOW)
        assert (first.base.kind, first.base.time, first.changes, first.text) == (BaseKind.OLDEST, NOW, (), "")
        written(top, a="2\n")
        second = diff(paths, top, NOW - 500)
        assert (second.base.kind, second.base.time, names(second)) == (BaseKind.OLDEST, NOW, ["a"])


def test_a_folder_without_git_has_its_changes(paths: Paths, tmp_path: Path):
    """As one with."""
    top = written(tmp_path / "r", a="1\n", b="2\n")
    take(paths, top, NOW)
    written(top, a="one\n", c="3\n")
    (top / "b").unlink()
    assert names(diff(paths, top, NOW)) == ["a", "b", "c"]


def test_a_path_narrows_and_is_taken_as_it_is(paths: Paths, tmp_path: Path):
    """A file, a folder, relative or absolute; never a pattern or an option."""
    top = written(tmp_path / "r", a="1\n", src__b="2\n", src__deep__c="3\n", srcs="4\n")
    take(paths, top, NOW)
    for path in ("a", "src/b", "src/deep/c", "srcs"):
        (top / path).write_text("changed\n")
    (top / "-x*").write_text("new\n")
    everything = ["-x*", "a", "src/b", "src/deep/c", "srcs"]
    for path, wanted in (
        ("", everything), (".", everything), ("src", ["src/b", "src/deep/c"]), ("src/", ["src/b", "src/deep/c"]),
        ("./src/b", ["src/b"]), (str(top / "a"), ["a"]), ("-x*", ["-x*"]), ("*", []), (":(exclude)a", []), ("no", []),
        ("--output=/tmp/x", []),
    ):  # fmt: skip
        assert names(diff(paths, top, NOW, path=path)) == wanted, path


@pytest.mark.parametrize("path", ["..", "../r2", "/etc/passwd", "a/../../x", "a\0", "x" * 5_000])
def test_a_path_outside_is_refused(paths: Paths, tmp_path: Path, path: str):
    """With how to write one."""
    with pytest.raises(QueryError, match="relative to"):
        diff(paths, written(tmp_path / "r", a="1"), NOW, path=path)


def test_a_long_text_is_cut_at_a_line_and_says_how_long_it_is(paths: Paths, tmp_path: Path):
    """The files that changed are all named even so."""
    top = written(tmp_path / "r", a="", b="")
    take(paths, top, NOW)
    written(top, a="line\n" * 5_000, b="\u00e9" * 1_000 + "\n")
    answer = diff(paths, top, NOW, max_bytes=1_000)
    assert answer.is_cut
    assert answer.text.endswith("+line\n")
    assert len(answer.text) <= 1_000
    assert answer.total_bytes > 30_000
    assert names(answer) == ["a", "b"]
    assert diff(paths, top, NOW, max_bytes=0).text == ""
    stat = diff(paths, top, NOW, stat=True)
    assert "2 files changed, 5001 insertions(+)" in stat.text


def test_bytes_that_are_no_text_are_told_as_such(paths: Paths, tmp_path: Path):
    """No lines to count; names are kept."""
    top = written(tmp_path / "r", a="1")
    take(paths, top, NOW)
    (top / "b\u00e4r\n.bin").write_bytes(b"\0\1\2" * 100)
    (top / "latin").write_bytes(b"caf\xe9\n")
    answer = diff(paths, top, NOW)
    assert answer.changes[0] == Change(path="b\u00e4r\n.bin", was="", added=None, removed=None)
    assert "Binary files /dev/null and" in answer.text
    assert "+caf\ufffd" in answer.text


def test_what_is_left_out_is_told(paths: Paths, tmp_path: Path):
    """Too large to compare."""
    top = written(tmp_path / "r", a="1")
    take(paths, top, NOW)
    written(top, big="x" * 200)
    answer = diffs.diff(paths, top, DiffQuery(since=NOW), NOW + 1, limits=SnapshotLimits(file_bytes=100))
    assert (answer.changes, answer.left_out, answer.files_left_out) == ((), ("big",), 1)


def test_nothing_that_a_repositorys_config_names_is_run(paths: Paths, tmp_path: Path):
    """With a commit as base, with a snapshot, and with counts."""
    top = tmp_path / "r"
    ran = hostile(top)
    later = 4_000_000_000.0
    assert names(diff(paths, top, later, now=later)) == [".gitattributes", "a.evil", "new.evil"]
    written(top, b_txt="changed\n")
    for stat in (False, True):
        answer = diff(paths, top, later, now=later + 1, stat=stat)
        assert (answer.base.kind, names(answer)) == (BaseKind.SNAPSHOT, ["b.txt"])
    (top / ".git" / "logs" / "HEAD").unlink()
    assert diff(Paths(home=tmp_path / "other"), top, later, now=later).base.kind is BaseKind.COMMIT
    assert not ran.exists()


def test_a_state_whose_objects_are_gone_says_what_to_do(paths: Paths, tmp_path: Path):
    """The user's git threw away what a snapshot had borrowed."""
    top = repository(tmp_path / "r", a="1\n")
    written(top, a="staged\n")
    git(top, "add", "a")
    take(paths, top, NOW)
    written(top, a="other\n")
    git(top, "add", "a")
    git(top, "gc", "-q", "--prune=now")
    with pytest.raises(QueryError, match="ask for a later time"):
        diff(paths, top, NOW)
    take(paths, top, NOW + 5)
    assert diff(paths, top, NOW + 6).changes == ()


def test_a_folder_that_is_not_there_is_the_callers_mistake(paths: Paths, tmp_path: Path):
    """As everywhere."""
    with pytest.raises(UsageError, match="name a folder"):
        diff(paths, tmp_path / "missing", NOW)


def test_a_commit_named_is_the_base_whatever_was_kept_since(paths: Paths, tmp_path: Path):
    """Uncommitted and untracked work included."""
    top = repository(tmp_path / "r", at=NOW - 500, a_py="1\n")
    written(top, a_py="2\n", new_py="new\n")
    take(paths, top, NOW)
    found = diffs.commit_named(top, "HEAD")
    assert found is not None
    answer = diff(paths, top, 0.0, commit=found)
    assert (answer.base.kind, answer.base.name, answer.base.time) == (BaseKind.NAMED, found.oid, NOW - 500)
    assert names(answer) == ["a.py", "new.py"]


def test_a_commit_is_looked_up_without_running_what_the_repository_names(tmp_path: Path):
    """A pattern over all messages is not tried."""
    ran = hostile(tmp_path / "r")
    found = diffs.commit_named(tmp_path / "r", "main")
    assert found is not None
    assert git(tmp_path / "r", "rev-parse", "main^{tree}").strip() == found.tree
    for name in ("", "-h", "--all", "nothing", ":/work", "HEAD^{/work}", "HEAD..main", "HEAD:a.evil", "a\nb", "\0"):
        assert diffs.commit_named(tmp_path / "r", name) is None, name
    assert not ran.exists()


def test_no_commit_is_taken_from_another_repository(tmp_path: Path):
    """Where ``.git`` leads to one of the user's; nor is there one without git."""
    repository(tmp_path / "own", a_py="secret\n")
    stranger = written(tmp_path / "stranger", a_py="1\n")
    assert diffs.commit_named(stranger, "HEAD") is None
    (stranger / ".git").symlink_to(tmp_path / "own" / ".git")
    assert diffs.commit_named(stranger, "HEAD") is None
