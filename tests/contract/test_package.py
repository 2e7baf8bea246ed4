"""What is promised of the package as a whole: imports, contents, versions."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rlm_mcp import __version__

ROOT = Path(__file__).parent.parent.parent
PLUGIN_FILES = (".claude-plugin", ".codex-plugin", ".agents", "hooks", ".mcp.json")


def test_the_layers_hold() -> None:
    """import-linter's contracts, as pyproject.toml states them."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-logo"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("module", ["rlm_mcp.hook.main", "rlm_mcp.verbs.search", "rlm_mcp.verbs.compact"])
def test_the_hook_path_runs_on_the_standard_library_alone(module: str) -> None:
    """Without site-packages, as hooks are started; and nothing heavy of the standard library comes along."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; "
        "print([name for name in ('asyncio', 'http', 'email', 'unittest', 'xml') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "[]"), ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as it would be published."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_plugin_and_the_recording(wheel: zipfile.ZipFile) -> None:
    """``rlm-mcp install`` and ``rlm-mcp demo`` work from it as from a clone."""
    names = set(wheel.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", *PLUGIN_FILES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {f"rlm_mcp/_plugin/{path}" for path in tracked} <= names
    assert "rlm_mcp/cli/recorded_session.jsonl" in names
    assert "rlm_mcp/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "docs")) or "node_modules" in name]


def test_the_wheel_is_of_this_version_and_licence(wheel: zipfile.ZipFile) -> None:
    """One version, in the package; the manifests follow it."""
    metadata = wheel.read(f"rlm_mcp-{__version__}.dist-info/METADATA").decode()
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata
    for manifest in (".claude-plugin/plugin.json", ".codex-plugin/plugin.json"):
        assert json.loads((ROOT / manifest).read_text(encoding="utf-8"))["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _dependencies() -> list[str]:
    """Lines of pyproject.toml, one for each dependency at run time."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block
    return block[1].splitlines()


def test_every_dependency_says_why() -> None:
    """A comment behind each, in its line."""
    for line in _dependencies():
        assert re.fullmatch(r'  "[^"]+",\s+# .{20,}', line), line


def test_every_dependency_is_used() -> None:
    """The package names each where it works with it: what only tests need stands among the tests' own."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rlm_mcp").rglob("*.py"))
    for line in _dependencies():
        name = re.findall(r'"([\w-]+)', line)[0]
        module = name.replace("-", "_")
        assert re.search(rf"(import|from) {module}\b|[\"']{module}\b|`{name}`", sources), name
