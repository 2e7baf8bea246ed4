"""Whatever is done to a folder and its index, a snapshot holds what is listed, and a diff says what changed."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from rlm_mcp.config import Paths
from rlm_mcp.repo import tree
from rlm_mcp.repo.diffs import DiffQuery, diff
from rlm_mcp.repo.snapshots import take
from tests.repo.made import git, repository
from tests.repo.test_snapshots import held

_NOW = 1_770_000_000.0
_PATH = some.sampled_from(["a", "b", "d", "d/a", "d/b", "d/e/f", "x.log", "d/y.log"])
_ACT = some.one_of(
    some.tuples(some.just("write"), _PATH, some.sampled_from(["", "1\n", "2\n", "three\n"])),
    some.tuples(some.sampled_from(["remove", "link", "stage", "unstage", "force"]), _PATH, some.just("")),
    some.tuples(some.sampled_from(["commit", "ignore", "unignore", "reset", "refresh"]), some.just("a"), some.just("")),
)


def done(top: Path, act: str, path: str, content: str) -> None:
    """The act, where it is possible."""
    place = top / path
    if act in ("write", "link"):
        for above in reversed(place.relative_to(top).parents[:-1]):
            if (top / above).is_symlink() or (top / above).is_file():
                (top / above).unlink()
        place.parent.mkdir(parents=True, exist_ok=True)
    if act in ("write", "link", "remove"):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif place.parent.is_dir() and not any((top / above).is_symlink() for above in place.relative_to(top).parents):
            place.unlink(missing_ok=True)
    if act == "write":
        place.write_text(content)
    elif act == "link":
        place.symlink_to("a")
    elif act == "commit":
        git(top, "commit", "-q", "--allow-empty", "-m", "x")
    elif act in ("ignore", "unignore"):
        (top / ".gitignore").write_text("*.log\n" if act == "ignore" else "")
    elif act == "refresh":
        git(top, "status")
    elif act == "reset":
        git(top, "reset", "-q", "--hard")
    elif act == "unstage":
        git(top, "rm", "-r", "-q", "-f", "--cached", "--ignore-unmatch", path)
    elif act in ("stage", "force") and path in tree.files(top).paths:
        git(top, "add", *(["-f"] if act == "force" else []), path)


def now_in(top: Path) -> dict[str, str]:
    """What is listed, with its content."""
    found = tree.files(top)
    return {
        path: str((top / path).readlink()) if path in found.links else (top / path).read_text() for path in found.paths
    }


@pytest.mark.parametrize("is_git", [True, False])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=some.lists(some.lists(_ACT, min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_snapshot_is_the_folder(
    tmp_path_factory: pytest.TempPathFactory, is_git: bool, acts: Sequence[Sequence[tuple[str, str, str]]]
):
    """After each few acts; and the diff between two names exactly the paths that differ."""
    folder = tmp_path_factory.mktemp("p")
    paths, top = Paths(home=folder / "store"), folder / "r"
    repository(top, a="1\n", d__b="2\n") if is_git else top.mkdir()
    before = now_in(top)
    take(paths, top, _NOW)
    for number, few in enumerate(acts):
        for act, path, content in few:
            if is_git or act in ("write", "link", "remove"):
                done(top, act, path, content)
        after = now_in(top)
        answer = diff(paths, top, DiffQuery(since=_NOW + number), _NOW + number + 1)
        told = {each.path for each in answer.changes} | {each.was for each in answer.changes} - {""}
        assert told == {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert held(paths, take(paths, top, _NOW + number + 1)) == after
        before = after
