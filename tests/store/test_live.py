"""Small files that hooks leave."""

import os

from rlm_mcp.config import Paths
from rlm_mcp.store import live


def test_what_is_left_is_found(paths: Paths) -> None:
    """Owner-only, in a folder made for it; a newer one replaces it."""
    path = live.path_of(paths, "claude-code", "4711")
    live.leave(paths, path, {"session": "a"})
    live.leave(paths, path, {"session": "b"})
    assert live.found(path) == {"session": "b"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert paths.home.stat().st_mode & 0o777 == 0o700


def test_no_file_and_a_file_cut_short_say_nothing(paths: Paths) -> None:
    """A reader never trips over a writer."""
    path = live.path_of(paths, "claude-code", "4711")
    assert live.found(path) == {}
    live.leave(paths, path, {})
    path.write_text('{"sess')
    assert live.found(path) == {}


def test_an_id_that_is_no_plain_word_cannot_leave_the_folder(paths: Paths) -> None:
    """Ids come from clients."""
    path = live.path_of(paths, "degraded", "../../etc/passwd")
    assert path.parent == paths.live
    assert ".." not in path.name


def test_old_files_are_tidied_away(paths: Paths) -> None:
    """Sixty days untouched."""
    old, new = live.path_of(paths, "claude-code", "1"), live.path_of(paths, "claude-code", "2")
    for path in (old, new):
        live.leave(paths, path, {"session": "a"})
    os.utime(old, (0, 0))
    live.tidy(paths, "claude-code")
    assert not old.exists()
    assert new.exists()
