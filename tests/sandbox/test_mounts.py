"""Which files a Jail shows."""

from pathlib import Path

import pytest

from rlm_mcp.sandbox import mounts
from rlm_mcp.sandbox.mounts import Mapped


def _tree(root: Path, *paths: str) -> Path:
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path, encoding="ascii")
    return root


def _granted(mapped: Mapped) -> tuple[set[str], set[str]]:
    repo = str(mapped.repo)
    return tuple(
        {path.removeprefix(repo) for path in paths if path.startswith(repo)}
        for paths in mounts.readable(mapped, has_bubblewrap=False)
    )


def test_a_repository_is_read_as_a_whole(tmp_path):
    """One rule for all of it, so that files made later are read too."""
    repo = _tree(tmp_path / "repo", "a", "b/c")
    assert _granted(Mapped(repo=repo)) == ({""}, set())


def test_beside_something_hidden_each_neighbour_is_allowed_by_itself(tmp_path):
    """Names of the folders above it may be listed; the hidden folder has no rule; nor has a symbolic link beside it."""
    repo = _tree(tmp_path / "repo", "a", "b/c", "b/store/secret", "b/d/e", "f/g")
    (repo / "b" / "link").symlink_to("/etc")
    readable, listable = _granted(Mapped(repo=repo, hidden=(repo / "b" / "store",)))
    assert readable == {"/a", "/b/c", "/b/d", "/f"}
    assert listable == {"", "/b"}


def test_a_hidden_folder_reached_by_another_name_is_hidden(tmp_path):
    """Paths are compared as what they resolve to."""
    repo = _tree(tmp_path / "repo", "a", "store/secret")
    (tmp_path / "other").symlink_to(repo / "store")
    assert _granted(Mapped(repo=repo, hidden=(tmp_path / "other",)))[0] == {"/a"}
    command = mounts.bubblewrap_command(Path("/bwrap"), Mapped(repo=repo, hidden=(tmp_path / "other",)))
    assert command[command.index("/repo/store") - 1] == "--tmpfs"


def test_a_repository_inside_the_hidden_folder_is_shown(tmp_path):
    """What a person works on may lie below the store's own folder; the store's other files do not come with it."""
    repo = _tree(tmp_path / "home" / "repo", "a")
    assert _granted(Mapped(repo=repo, hidden=(tmp_path / "home",))) == ({""}, set())


def test_installed_packages_are_not_shown():
    """Neither as files of their own nor inside the standard library's folder."""
    needed = mounts.runtime()
    readable, _listable = mounts.readable(Mapped(), has_bubblewrap=False)
    for packages in needed.packages:
        assert not any(packages.is_relative_to(path) for path in readable)
        assert str(packages) in mounts.bubblewrap_command(Path("/bwrap"), Mapped())


def test_no_folder_of_the_runtime_is_a_persons():
    """Not the root, not a home, not all of /usr."""
    for folder in mounts.runtime().folders:
        assert folder not in {Path("/"), Path("/usr"), Path("/home"), Path("/root"), Path.home(), Path("/etc")}


@pytest.mark.parametrize("has_bubblewrap", [True, False])
def test_what_the_child_imports_is_readable(has_bubblewrap):
    """Our package's sandbox and cloudpickle; no other module of ours."""
    readable, _listable = mounts.readable(Mapped(), has_bubblewrap=has_bubblewrap)
    ours = Path(mounts.__file__).parent
    assert (mounts.PACKAGE in readable) if has_bubblewrap else (str(ours) in readable)
    assert str(ours.parent) not in readable
