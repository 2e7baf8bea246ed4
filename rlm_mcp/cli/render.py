"""Writing an installation's own paths into copies of the plugin files: one ``NAME = "..."`` line each."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rlm_mcp.errors import ClientError

_PACKAGE = Path(__file__).resolve().parent.parent


def package_folder() -> Path:
    """The folder that holds the package ``rlm_mcp``."""
    return _PACKAGE.parent


def plugin_source() -> Path:
    """The folder with the plugin files: the repository's root in a clone, the package's copy in a wheel.

    Raises:
        ClientError: neither has them.
    """
    for folder in (_PACKAGE.parent, _PACKAGE / "_plugin"):
        if (folder / "hooks" / "run_hook.py").is_file() and (folder / ".claude-plugin" / "plugin.json").is_file():
            return folder
    raise ClientError(
        f"the plugin files are neither in {str(_PACKAGE.parent)!r} nor in {str(_PACKAGE / '_plugin')!r}; "
        "install rlm-mcp again"
    )


def set_constant(text: str, name: str, value: str) -> str:
    """``text`` with its one line ``NAME = "..."`` or ``const NAME = "..."`` set to ``value``; the rest stays.

    Raises:
        ClientError: there is no such line, or more than one.
    """
    pattern = re.compile(rf'^((?:const )?{re.escape(name)} = )"[^"\n]*"', re.MULTILINE)
    quoted = json.dumps(value)  # the same text is a string literal of Python and of JavaScript
    changed, count = pattern.subn(lambda found: found.group(1) + quoted, text)
    if count != 1:
        raise ClientError(f"a plugin file has {count} lines that set {name!r}, expected one; install rlm-mcp again")
    return changed
