"""The error tree is drawn as it is, and every error in it is raised somewhere."""

import inspect
import re
from pathlib import Path

import rlm_mcp
from rlm_mcp import errors

PACKAGE = Path(rlm_mcp.__file__).parent
TREE = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
_BRANCHES_ONLY = {"RlmError", "UsageError", "TranscriptError", "StoreError", "ReplError", "SubLMError"}
"""Raised through their leaves, or as themselves."""


def test_the_docstring_draws_every_error_under_its_parent():
    """Indentation of the drawing is the tree of the classes."""
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([ |]*)(?:[|`]- )?([A-Z]\w+)\s{2,}\S", line)
        if found:
            drawn.append((line.index(found[2]), found[2]))
    parents: dict[str, str] = {}
    for number, (column, name) in enumerate(drawn):
        above = [other for at, other in drawn[:number] if at < column]
        nearest = [
            other for at, other in drawn[:number] if at == max((a for a, _ in drawn[:number] if a < column), default=-1)
        ]
        parents[name] = nearest[-1] if above else "Exception"
    assert parents == {name: value.__mro__[1].__name__ for name, value in TREE.items()}


def test_every_error_is_raised_somewhere():
    """None is drawn for nothing."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    unused = [name for name in TREE if name not in _BRANCHES_ONLY and not re.search(rf"\braise {name}\(", source)]
    unused = [name for name in unused if not re.search(rf"\breturn {name}\(", source)]
    assert not unused


def test_no_bare_exception_of_pythons_own_is_raised_on_purpose():
    """A caller can catch everything that is meant by one root (assertions and protocol errors of Python aside)."""
    # caught again in their own package
    allowed = {"TimeoutError", "SystemExit", "ValueError", "AttributeError", "AssertionError", "OSError"}
    sandbox = PACKAGE / "sandbox"
    in_the_jail = {sandbox / "inside", sandbox / "escapes", sandbox / "monty" / "inside"}  # a Cell knows Python's own
    for path in (path for path in PACKAGE.rglob("*.py") if path.parent not in in_the_jail):
        for name in re.findall(r"^\s*raise ([A-Z]\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in TREE or name in allowed or not name.endswith(("Error", "Exception")), f"{path}: {name}"
