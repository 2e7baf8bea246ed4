"""An installation's paths in copies of the plugin files."""

import pytest

from rlm_mcp.cli.render import package_folder, plugin_source, set_constant
from rlm_mcp.errors import ClientError


def test_a_constant_is_set_in_python_and_in_javascript() -> None:
    """The comment behind it stays; odd characters are escaped."""
    assert set_constant('X = ""  # why\n', "X", 'a"b') == 'X = "a\\"b"  # why\n'
    assert set_constant('const X = "old"; // why\n', "X", "/new") == 'const X = "/new"; // why\n'


@pytest.mark.parametrize("text", ["", 'Y = ""\n', 'X = ""\nX = ""\n'])
def test_a_file_without_its_one_line_is_refused(text: str) -> None:
    """A changed plugin file must not be installed half."""
    with pytest.raises(ClientError, match="'X'"):
        set_constant(text, "X", "v")


def test_the_plugin_files_and_the_package_are_found() -> None:
    """In a clone: the repository's root."""
    assert (plugin_source() / "hooks" / "compact.js").is_file()
    assert (package_folder() / "rlm_mcp" / "__init__.py").is_file()
