"""A snapshot holds the working tree as it is, costs the user's repository nothing, and runs nothing of it."""

import hashlib
import os
from pathlib import Path

import pytest

from rlm_mcp.config import Paths
from rlm_mcp.errors import ProcessError, StoreBusy, StoreError, UsageError
from rlm_mcp.locks import locked
from rlm_mcp.repo import shadow, snapshots, tree
from rlm_mcp.repo.snapshots import Snapshot, SnapshotLimits, take
from tests.repo.made import commit, git, hostile, repository, written

NOW = 1_770_000_000.0


def held(paths: Paths, snapshot: Snapshot) -> dict[str, str]:
    """Path and content (of a submodule: its commit) of all that a snapshot holds."""
    (folder,) = [path for path in paths.repos.iterdir() if path.is_dir()]
    found = {}
    for line in git(folder, "--git-dir=.", "ls-tree", "-r", "-z", snapshot.tree).split("\0"):
        if line:
            (_mode, kind, oid), path = line.split("\t", 1)[0].split(), line.split("\t", 1)[1]
            found[path] = oid if kind == "commit" else git(folder, "--git-dir=.", "cat-file", "blob", oid)
    return found


def state(folder: Path) -> dict[str, str]:
    """Every file below, by its content and time."""
    return {
        str(path.relative_to(folder)): f"{path.lstat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_a_snapshot_holds_what_is_listed(paths: Paths, tmp_path: Path):
    """Tracked, changed, new, not committed; not what is ignored or gone."""
    top = repository(tmp_path / "r", a_py="1", b_py="2", gone_py="3", forced_log="4")
    written(top, b_py="changed", new_txt="5", skip_log="6", staged_py="7")
    (top / ".gitignore").write_text("*.log\n")
    (top / "gone.py").unlink()
    git(top, "add", "staged.py")
    first = take(paths, top, NOW)
    assert held(paths, first) == {
        ".gitignore": "*.log\n", "a.py": "1", "b.py": "changed", "forced.log": "4", "new.txt": "5", "staged.py": "7",
    }  # fmt: skip
    assert set(held(paths, first)) == set(tree.files(top).paths)
    assert (first.is_new, first.time, first.files_left_out, first.trouble) == (True, NOW, 0, "")


def test_nothing_new_is_kept_while_nothing_changes(paths: Paths, tmp_path: Path):
    """Touching, staging and committing change no file's content."""
    top = repository(tmp_path / "r", a_py="1")
    written(top, b_py="2")
    first = take(paths, top, NOW)
    os.utime(top / "a.py")
    assert take(paths, top, NOW + 1) == Snapshot(
        root=first.root, time=NOW, tree=first.tree, is_new=False, left_out=(), files_left_out=0, trouble=""
    )
    commit(top)
    assert not take(paths, top, NOW + 2).is_new
    written(top, b_py="3")
    assert take(paths, top, NOW + 3).is_new


def test_a_clock_set_back_does_no_harm(paths: Paths, tmp_path: Path):
    """Snapshots of a time yet to come stay out of it until then."""
    top = repository(tmp_path / "r", a_py="1")
    take(paths, top, NOW + 1_000)
    written(top, a_py="2")
    assert take(paths, top, NOW).is_new
    written(top, a_py="1")
    assert take(paths, top, NOW + 1).is_new
    assert kept(paths, top) == [NOW, NOW + 1, NOW + 1_000]


def test_changes_are_seen_whatever_the_users_index_does_meanwhile(paths: Paths, tmp_path: Path):
    """Edit, stage, unstage, remove, rename, switch, stash: each snapshot is the folder as it is."""
    top = repository(tmp_path / "r", a_py="1", b_py="2", c_py="3")
    git(top, "config", "user.email", "a@b.example")
    git(top, "config", "user.name", "a")
    written(top, new_py="n")
    for number, act in enumerate((
        lambda: written(top, a_py="one"),
        lambda: git(top, "add", "a.py"),
        lambda: written(top, a_py="two"),
        lambda: git(top, "reset", "-q"),
        lambda: git(top, "rm", "-q", "--cached", "b.py"),
        lambda: (top / "c.py").rename(top / "d.py"),
        lambda: commit(top),
        lambda: git(top, "checkout", "-q", "-b", "side", "HEAD~1"),
        lambda: written(top, e_py="5"),
        lambda: git(top, "stash", "-u", "-q"),
        lambda: git(top, "checkout", "-q", "main"),
        (top / "a.py").unlink,
        (top / "a.py").mkdir,
        lambda: written(top, a_py__inside="x") and (top / "a.py" / "deep").write_text("y"),
        lambda: (top / "b.py").unlink() or (top / "b.py").symlink_to("d.py"),
        lambda: git(top, "add", "-N", "."),
    )):  # fmt: skip
        act()
        found = held(paths, take(paths, top, NOW + number))
        assert found == {
            path: str((top / path).readlink()) if (top / path).is_symlink() else (top / path).read_text()
            for path in tree.files(top).paths
        }, number


def test_same_size_same_second_edits_are_seen(paths: Paths, tmp_path: Path):
    """Faster than a file system's clock ticks."""
    top = repository(tmp_path / "r", a="0000")
    for number in range(1, 30):
        (top / "a").write_text(f"{number:04}")
        assert held(paths, take(paths, top, NOW + number)) == {"a": f"{number:04}"}


def test_the_users_repository_is_left_as_it_was(paths: Paths, tmp_path: Path):
    """No object, ref, index or setting is written; nor is a lock taken."""
    top = repository(tmp_path / "r", a="1", b="2")
    written(top, a="changed", new="x" * 100)
    os.utime(top / "b")
    before = state(top)
    (top / ".git" / "index.lock").write_text("held by the user's own git")
    for number in range(3):
        take(paths, top, NOW + number)
    (top / ".git" / "index.lock").unlink()
    assert state(top) == before


def test_nothing_that_a_repositorys_config_names_is_run(paths: Paths, tmp_path: Path):
    """Filters, textconv, fsmonitor, hooks, external diff, ssh, aliases, promisors; content is as on disk."""
    top = tmp_path / "r"
    ran = hostile(top)
    first = take(paths, top, NOW)
    assert held(paths, first)["a.evil"] == "changed\n"
    assert held(paths, first)["new.evil"] == "new\n"
    (top / "a.evil").write_text("again\n")
    assert held(paths, take(paths, top, NOW + 1))["a.evil"] == "again\n"
    assert not ran.exists()
    assert not (tmp_path / "trace").exists()
    git(tmp_path, "init", "-q", "control")
    (tmp_path / "control" / ".git" / "config").write_text((top / ".git" / "config").read_text())
    (tmp_path / "control" / ".gitattributes").write_text("* filter=evil\n")
    with pytest.raises(AssertionError, match="clean filter 'evil' failed"):
        git(tmp_path / "control", "-c", "core.fsmonitor=", "-c", "core.hooksPath=", "add", ".")
    assert ran.exists()  # the trap works: git itself, not held back, runs it


def test_a_filter_of_the_person_is_not_run_either(paths: Paths, tmp_path: Path):
    """Git-lfs, say: an unchanged file stands as committed, a changed one as it lies on disk."""
    top = repository(tmp_path / "r", a_bin="big one", b_bin="big two")
    (tmp_path / "home" / ".gitconfig").write_text('[filter "up"]\n\tclean = tr a-z A-Z\n\trequired = true\n')
    (top / ".gitattributes").write_text("*.bin filter=up\n")
    os.utime(top / "a.bin", (NOW, NOW))
    (top / "b.bin").write_text("big three")
    environ_home = str(tmp_path / "home" / ".gitconfig")
    git(top, "-c", f"include.path={environ_home}", "add", "--renormalize", "a.bin")
    assert held(paths, take(paths, top, NOW)) == {
        ".gitattributes": "*.bin filter=up\n", "a.bin": "BIG ONE", "b.bin": "big three",
    }  # fmt: skip


def test_attributes_that_fail_do_not_stand_in_the_way(paths: Paths, tmp_path: Path):
    """An encoding there is none of; ident; a driver that is not set."""
    top = repository(tmp_path / "r", a="1")
    (top / ".gitattributes").write_text("* working-tree-encoding=UTF-99 ident diff=none filter=none\n")
    written(top, b="caf\u00e9")
    assert held(paths, take(paths, top, NOW))["b"] == "caf\u00e9"


@pytest.mark.parametrize("setting", ["attribute", "repository", "person"])
def test_line_ends_are_compared_as_git_compares_them(paths: Paths, tmp_path: Path, setting: str):
    """A file that differs from the commit by CRLF alone is unchanged, wherever that is set."""
    top = repository(tmp_path / "r", a_txt="one\ntwo\n")
    if setting == "attribute":
        (top / ".gitattributes").write_text("*.txt text\n")
    elif setting == "repository":
        git(top, "config", "core.autocrlf", "true")
    else:
        (tmp_path / "home" / ".gitconfig").write_text("[core]\n\tautocrlf = input\n")
    (top / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    assert held(paths, take(paths, top, NOW))["a.txt"] == "one\ntwo\n"


def test_a_folder_without_git_is_taken_as_it_is_listed(paths: Paths, tmp_path: Path):
    """Again, changed, and with repositories inside."""
    top = written(tmp_path / "r", a_py="1", sub__b_py="2")
    (top / "node_modules").mkdir()
    (top / "node_modules" / "x.js").write_text("x")
    repository(top / "inner", c_py="3")
    (top / "inner" / ".git" / "info" / "exclude").write_text("*.log\n")
    written(top, inner__d_log="4", inner__e_py="5")
    assert held(paths, take(paths, top, NOW)) == {
        "a.py": "1", "sub/b.py": "2", "inner/c.py": "3", "inner/e.py": "5",
    }  # fmt: skip
    assert not take(paths, top, NOW + 1).is_new
    written(top, inner__c_py="33", inner__f_py="6", g_py="7")
    (top / "a.py").unlink()
    assert held(paths, take(paths, top, NOW + 2)) == {
        "sub/b.py": "2", "inner/c.py": "33", "inner/e.py": "5", "inner/f.py": "6", "g.py": "7",
    }  # fmt: skip


def test_a_folder_that_becomes_a_repository_goes_on(paths: Paths, tmp_path: Path):
    """`git init` in between, and `.git` taken away again."""
    top = written(tmp_path / "r", a_py="1", b_log="2")
    assert set(held(paths, take(paths, top, NOW))) == {"a.py", "b.log"}
    (top / ".gitignore").write_text("*.log\n")
    repository(top)
    commit(top)
    assert set(held(paths, take(paths, top, NOW + 1))) == {".gitignore", "a.py"}
    (top / ".git").rename(tmp_path / "away")
    assert set(held(paths, take(paths, top, NOW + 2))) == {".gitignore", "a.py", "b.log"}
    assert len(kept(paths, top)) == 3


def kept(paths: Paths, top: Path) -> list[float]:
    """Times of the snapshots there are."""
    with shadow.opened(paths, top.resolve()) as own:
        return [each.time for each in own.kept()]


def test_submodules_stand_as_their_commit_and_inner_repositories_as_files(paths: Paths, tmp_path: Path):
    """Also when the submodule moves on, or is taken away."""
    inner = repository(tmp_path / "inner", x="1")
    top = repository(tmp_path / "r", a="1")
    git(top, "submodule", "add", "-q", str(inner), "mod")
    commit(top)
    repository(top / "new", y="2")
    first = held(paths, take(paths, top, NOW))
    assert first["mod"] == git(top / "mod", "rev-parse", "HEAD").strip()
    assert first["new/y"] == "2"
    written(top / "mod", x="changed")
    commit(top / "mod")
    second = held(paths, take(paths, top, NOW + 1))
    assert second["mod"] == git(top / "mod", "rev-parse", "HEAD").strip() != first["mod"]
    git(top, "rm", "-q", "-f", "--cached", "mod")
    third = held(paths, take(paths, top, NOW + 2))
    assert third["mod/x"] == "changed"


def test_worktrees_sparse_split_and_long_named_repositories_are_taken(paths: Paths, tmp_path: Path):
    """Each kind of `.git` and index."""
    top = repository(tmp_path / "r", a__x="1", b__y="2", c="3")
    git(top, "worktree", "add", "-q", str(tmp_path / "w"))
    written(tmp_path / "w", new="4")
    assert held(Paths(home=tmp_path / "1"), take(Paths(home=tmp_path / "1"), tmp_path / "w", NOW)) == {
        "a/x": "1", "b/y": "2", "c": "3", "new": "4",
    }  # fmt: skip
    git(top, "sparse-checkout", "set", "--sparse-index", "a")
    written(top, a__x="changed")
    assert held(Paths(home=tmp_path / "2"), take(Paths(home=tmp_path / "2"), top, NOW)) == {
        "a/x": "changed", "b/y": "2", "c": "3",
    }  # fmt: skip
    split = repository(tmp_path / "s", a="1", b="2")
    git(split, "update-index", "--split-index")
    written(split, a="changed")
    git(split, "add", "a")
    assert list((split / ".git").glob("sharedindex.*"))
    assert held(Paths(home=tmp_path / "3"), take(Paths(home=tmp_path / "3"), split, NOW)) == {"a": "changed", "b": "2"}
    long = tmp_path / "l"
    long.mkdir()
    git(long, "init", "-q", "--object-format=sha256")
    written(long, a="1")
    commit(long)
    written(long, b="2")
    snapshot = take(Paths(home=tmp_path / "4"), long, NOW)
    assert len(snapshot.tree) == 64
    assert held(Paths(home=tmp_path / "4"), snapshot) == {"a": "1", "b": "2"}


def test_repositories_without_commits_or_files_are_taken(paths: Paths, tmp_path: Path):
    """HEAD is unborn; nothing is there at all."""
    top = repository(tmp_path / "r")
    assert held(paths, take(paths, top, NOW)) == {}
    written(top, a="1")
    assert held(paths, take(paths, top, NOW + 1)) == {"a": "1"}


def test_a_merge_with_conflicts_is_taken_as_it_lies_there(paths: Paths, tmp_path: Path):
    """Unmerged entries of the index are the files on disk, or nothing."""
    top = repository(tmp_path / "r", a="1", b="2")
    git(top, "checkout", "-q", "-b", "side")
    written(top, a="side", b="side")
    commit(top)
    git(top, "checkout", "-q", "main")
    written(top, a="main")
    (top / "b").unlink()
    commit(top)
    with pytest.raises(AssertionError):
        git(top, "-c", "user.email=a@b.example", "-c", "user.name=a", "merge", "side")
    (top / "b").unlink()
    found = held(paths, take(paths, top, NOW))
    assert set(found) == {"a"}
    assert "<<<<<<<" in found["a"]
    small = take(Paths(home=tmp_path / "other"), top, NOW, limits=SnapshotLimits(file_bytes=2))
    assert (small.left_out, small.files_left_out) == (("a",), 1)


def test_large_files_are_left_out_and_named(paths: Paths, tmp_path: Path):
    """Unless they are as committed; a tracked one that changes stands as it was."""
    top = repository(tmp_path / "r", tracked="t" * 200, a="1")
    limits = SnapshotLimits(file_bytes=100)
    written(top, large="x" * 101, fits="y" * 100)
    first = take(paths, top, NOW, limits=limits)
    assert set(held(paths, first)) == {"tracked", "a", "fits"}
    assert (first.left_out, first.files_left_out) == (("large",), 1)
    written(top, tracked="u" * 201)
    second = take(paths, top, NOW + 1, limits=limits)
    assert held(paths, second)["tracked"] == "t" * 200
    assert second.left_out == ("large", "tracked")


def test_files_closed_to_us_are_left_out_and_named(paths: Paths, tmp_path: Path):
    """The rest is taken."""
    top = repository(tmp_path / "r", a="1")
    written(top, closed="2")
    (top / "closed").chmod(0)
    if os.access(top / "closed", os.R_OK):
        pytest.skip("this user may read everything")
    snapshot = take(paths, top, NOW)
    assert set(held(paths, snapshot)) == {"a"}
    assert snapshot.left_out == ("closed",)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (SnapshotLimits(files=3), "more than 3 files"),
        (SnapshotLimits(new_files=2), "3 new or changed files"),
        (SnapshotLimits(new_bytes=5), "0 MB in new or changed files"),
    ],
)
def test_a_tree_that_is_too_much_is_refused_with_the_cure(
    paths: Paths, tmp_path: Path, limits: SnapshotLimits, reason: str
):
    """Nothing is kept, and with larger limits it goes on."""
    top = repository(tmp_path / "r", a="1")
    written(top, b="22", c="33", d="44")
    with pytest.raises(UsageError, match=f"{reason}.*; name what is generated in .gitignore"):
        take(paths, top, NOW, limits=limits)
    assert set(held(paths, take(paths, top, NOW))) == {"a", "b", "c", "d"}


def test_names_that_are_no_text_are_kept(paths: Paths, tmp_path: Path):
    """Bytes, line ends, what looks like an option or a pathspec."""
    top = repository(tmp_path / "r", a="1")
    names = [b"caf\xe9", b"new\nline", b"-x", b":(exclude)a", b"*", b'quo"te', b" ", b"back\\slash"]
    for name in names:
        Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_text("x")
    assert {os.fsencode(path) for path in held(paths, take(paths, top, NOW))} == {b"a", *names}
    weird = tmp_path / os.fsdecode(b'we"ird\n\xff # dir')
    repository(weird, b="1")
    other = Paths(home=tmp_path / "other")
    written(weird, b="2", c="3")
    assert held(other, take(other, weird, NOW)) == {"b": "2", "c": "3"}


def test_symlinks_are_kept_as_links(paths: Paths, tmp_path: Path):
    """Not what they lead to; a tracked path behind one is gone."""
    outside = written(tmp_path / "outside", f="secret")
    top = repository(tmp_path / "r", sub__f="1")
    (top / "sub" / "f").unlink()
    (top / "sub").rmdir()
    (top / "sub").symlink_to(outside)
    assert held(paths, take(paths, top, NOW)) == {"sub": str(outside)}


def test_many_files_go_into_one_pack(paths: Paths, tmp_path: Path):
    """Not one file each."""
    top = tmp_path / "r"
    top.mkdir()
    for number in range(1_500):
        (top / f"{number}").write_text(f"{number} is here")
    found = held_size(paths, take(paths, top, NOW))
    assert found == 1_500
    (folder,) = [path for path in paths.repos.iterdir() if path.is_dir()]
    assert len([path for path in (folder / "objects").rglob("*") if path.is_file()]) < 20


def held_size(paths: Paths, snapshot: Snapshot) -> int:
    (folder,) = [path for path in paths.repos.iterdir() if path.is_dir()]
    return len(git(folder, "--git-dir=.", "ls-tree", "-r", snapshot.tree).splitlines())


def test_old_snapshots_are_dropped_and_their_objects_thrown_away(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The last so many stay, of the last 14 days, and the one those began with; the latest always."""
    monkeypatch.setattr(shadow, "_KEPT", 20)
    monkeypatch.setattr(shadow, "_EXPIRY", "now")
    top = repository(tmp_path / "r", a="0")
    for number in range(23):
        (top / "a").write_text(f"{number}")
        take(paths, top, NOW + number)
    assert kept(paths, top) == [NOW + number for number in range(3, 23)]
    before = object_count(paths)
    (top / "a").write_text("new")
    later = NOW + 14 * 86_400 + 15.5
    take(paths, top, later)
    assert kept(paths, top) == [*(NOW + number for number in range(15, 23)), later]
    assert object_count(paths) < before
    (top / "a").write_text("newer")
    much_later = NOW + 60 * 86_400
    last = take(paths, top, much_later)
    assert kept(paths, top) == [later, much_later]
    assert last.trouble == ""
    assert held(paths, last) == {"a": "newer"}


def object_count(paths: Paths) -> int:
    (folder,) = [path for path in paths.repos.iterdir() if path.is_dir()]
    told = dict(line.split(": ") for line in git(folder, "--git-dir=.", "count-objects", "-v").splitlines())
    return int(told["count"]) + int(told["in-pack"])


def test_what_is_kept_is_bounded_in_bytes(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The older half goes until it fits."""
    top = repository(tmp_path / "r", a="0")
    for number in range(8):
        (top / "a").write_text(os.urandom(20_000).hex())
        take(paths, top, NOW + number)
    monkeypatch.setattr(shadow, "_KEPT_BYTES", 60_000)
    monkeypatch.setattr(shadow, "_EXPIRY", "now")
    with shadow.opened(paths, top.resolve()) as own:
        own.prune(NOW + 2 * 86_400)
        assert own._size() <= 60_000
        assert own.kept()[-1].time == NOW + 7
    assert held(paths, take(paths, top, NOW + 3 * 86_400)) == {"a": (top / "a").read_text()}


def test_snapshots_whose_objects_the_user_threw_away_do_not_stop_the_next(paths: Paths, tmp_path: Path):
    """`git gc --prune=now` after a reset: what was borrowed is gone."""
    top = repository(tmp_path / "r", a="1", keep="k")
    written(top, a="staged")
    git(top, "add", "a")
    take(paths, top, NOW)
    written(top, a="other")
    git(top, "add", "a")
    git(top, "-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")
    second = take(paths, top, NOW + 1)
    assert held(paths, second) == {"a": "other", "keep": "k"}
    with shadow.opened(paths, top.resolve()) as own:
        own.prune(NOW + 2 * 86_400)
        assert [each.time for each in own.kept()] == [NOW + 1]


def test_a_repository_made_anew_is_taken(paths: Paths, tmp_path: Path):
    """All objects that earlier snapshots borrowed are gone."""
    top = repository(tmp_path / "r", a="1", sub__b="2")
    take(paths, top, NOW)
    (top / ".git").rename(tmp_path / "away")
    repository(top)
    assert held(paths, take(paths, top, NOW + 1)) == {"a": "1", "sub/b": "2"}


def test_without_git_the_cure_is_named(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not found on PATH."""
    top = repository(tmp_path / "r", a="1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProcessError, match="install it"):
        take(paths, top, NOW)


def test_a_folder_another_process_works_on_is_busy(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After our patience."""
    top = repository(tmp_path / "r", a="1")
    take(paths, top, NOW)
    (lock,) = paths.repos.glob("*.lock")
    monkeypatch.setattr(shadow, "_PATIENCE_SECONDS", 0.05)
    with locked(lock, patience_seconds=1), pytest.raises(StoreBusy, match="try again"):
        take(paths, top, NOW)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path):
    """A file where the folder should be."""
    top = repository(tmp_path / "r", a="1")
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        take(Paths(home=tmp_path / "store"), top, NOW)


def test_what_a_killed_process_left_is_cleared(paths: Paths, tmp_path: Path):
    """Half-made repositories, indexes, lists, locks, refs and index files cut short."""
    top = repository(tmp_path / "r", a="1")
    take(paths, top, NOW)
    (folder,) = [path for path in paths.repos.iterdir() if path.is_dir()]
    for name in ("taking", "taking.lock", "taking-paths", "index.new", "sharedindex.x", "index-origin.new"):
        (folder / name).write_bytes(b"torn")
    (folder / "refs" / "snapshots" / "000001770000000").write_bytes(b"")
    (folder / "index").write_bytes(b"torn")
    (folder.with_suffix(".begun")).mkdir()
    written(top, b="2")
    assert held(paths, take(paths, top, NOW + 1)) == {"a": "1", "b": "2"}
    assert sorted(path.name for path in folder.iterdir()) == [
        "HEAD", "config", "description", "index", "index-origin", "info", "objects", "pruned", "refs",
    ]  # fmt: skip
    (folder / "HEAD").unlink()
    assert take(paths, top, NOW + 2).is_new


def test_shadows_nobody_uses_are_swept(paths: Paths, tmp_path: Path):
    """After a month; not one that is in use just now."""
    used, unused = repository(tmp_path / "a", a="1"), repository(tmp_path / "b", b="1")
    take(paths, unused, NOW)
    (folder,) = [path for path in paths.repos.iterdir() if path.is_dir()]
    os.utime(folder / "description", (NOW, NOW))
    take(paths, used, NOW)
    with locked(folder.with_suffix(".lock"), patience_seconds=1):
        assert shadow.sweep(paths, NOW + 31 * 86_400) == 0
    assert shadow.sweep(paths, NOW + 31 * 86_400) == 1
    assert not folder.exists()
    assert kept(paths, used) == [NOW]
    assert shadow.sweep(Paths(home=tmp_path / "nothing"), NOW) == 0


def test_files_that_vanish_while_they_are_taken_are_not_in_it(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Gone between the listing and the reading; or closed, once."""
    top = repository(tmp_path / "r", a="1")
    written(top, **{f"n{number}": "x" for number in range(20)})
    update = snapshots._Taking._update

    def meanwhile(taking: snapshots._Taking, *more: object) -> None:
        (top / "n3").unlink(missing_ok=True)
        (top / "a").unlink(missing_ok=True)
        if (top / "n5").is_file():
            (top / "n5").unlink()
            (top / "n5").mkdir()
        update(taking, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots._Taking, "_update", meanwhile)
    found = held(paths, take(paths, top, NOW))
    assert set(found) == {f"n{number}" for number in range(20)} - {"n3", "n5"}
