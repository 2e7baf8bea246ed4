"""Connecting Claude Code: what would change, and the changes; through the client's own ``plugin`` commands.

The plugin is rendered into a folder of ours, which Claude Code reads in place as a marketplace of one plugin. The
client itself writes its settings; what they were before is kept, and given back by uninstall byte for byte where
nobody else changed them since.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rlm_mcp.cli.plan import Plan, Step
from rlm_mcp.cli.render import package_folder, plugin_source, set_constant
from rlm_mcp.config import Paths
from rlm_mcp.errors import ClientError
from rlm_mcp.process import Ended, run

NAME = "rlm-mcp"
FIRST_WITH_MODS = (2, 1, 287)
"""The first Claude Code whose mods may answer a compaction."""

_PLUGIN_ID = f"{NAME}@{NAME}"
_SECONDS = 60.0
_MANAGED = (
    Path("/etc/claude-code/managed-settings.json"),
    Path("/Library/Application Support/ClaudeCode/managed-settings.json"),
)
_KEPT = ("settings.json", "plugins/known_marketplaces.json", "plugins/installed_plugins.json")
"""Client files that the client's own plugin commands change, below its configuration folder."""
_ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeTarget:
    """Where to install."""

    binary: Path
    config: Path
    """The client's configuration folder."""
    paths: Paths
    environ: Mapping[str, str]
    python: str = sys.executable
    """Absolute path of the interpreter that runs the hook and the server."""

    @property
    def folder(self) -> Path:
        """Our marketplace: the rendered plugin."""
        return self.paths.home / "plugin" / "claude-code"

    @property
    def backup(self) -> Path:
        """The client's files as they were before."""
        return self.paths.home / "backup" / "claude-code"


def find_target(paths: Paths, environ: Mapping[str, str], binary: str = "") -> ClaudeTarget:
    """The Claude Code that ``binary`` names, or the one on PATH.

    Raises:
        ClientError: there is none.
    """
    named = binary or shutil.which("claude", path=environ.get("PATH", ""))
    if not named or not Path(named).is_file():
        wanted = repr(binary) if binary else "'claude' on PATH"
        raise ClientError(
            f"Claude Code was not found ({wanted}); install it (npm install -g @anthropic-ai/claude-code) or name its "
            "program with --client-binary"
        )
    config = environ.get("CLAUDE_CONFIG_DIR") or str(Path(environ.get("HOME") or Path.home()) / ".claude")
    return ClaudeTarget(binary=Path(named).absolute(), config=Path(config), paths=paths, environ=environ)


def rendered(target: ClaudeTarget, source: Path | None = None) -> dict[str, bytes]:
    """The plugin's files by relative path, with this installation's interpreter and folders in them.

    Raises:
        ClientError: the plugin files are not there or not as expected.
    """
    folder = source or plugin_source()
    texts = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in (
            ".claude-plugin/marketplace.json",
            ".claude-plugin/plugin.json",
            ".mcp.json",
            "hooks/hooks.json",
            "hooks/compact.js",
            "hooks/lend.js",
            "hooks/run_hook.py",
        )
    }
    home = str(target.paths.home)
    texts["hooks/compact.js"] = set_constant(texts["hooks/compact.js"], "PYTHON", target.python)
    texts["hooks/lend.js"] = set_constant(texts["hooks/lend.js"], "STORE_FOLDER", home)
    guard = set_constant(texts["hooks/run_hook.py"], "PACKAGE_FOLDER", str(package_folder()))
    texts["hooks/run_hook.py"] = set_constant(guard, "STORE_FOLDER", home)
    hooks = json.loads(texts["hooks/hooks.json"])
    for matchers in hooks["hooks"].values():
        for hook in (hook for matcher in matchers for hook in matcher["hooks"]):
            hook["command"] = hook["command"].replace("python3 ", f'"{target.python}" ', 1)
    texts["hooks/hooks.json"] = json.dumps(hooks, indent=2) + "\n"
    servers = json.loads(texts[".mcp.json"])
    server = servers["mcpServers"][NAME]
    server["command"] = target.python
    server["env"] = {"PYTHONPATH": str(package_folder()), "RLM_MCP_HOME": home}
    texts[".mcp.json"] = json.dumps(servers, indent=2) + "\n"
    return {name: text.encode() for name, text in texts.items()}


def plan_install(target: ClaudeTarget) -> Plan:
    """What it takes to connect Claude Code.

    Raises:
        ClientError: the client cannot be run.
    """
    version = client_version(target)
    files = rendered(target)
    stale = [name for name, content in files.items() if _bytes(target.folder / name) != content]
    steps = []
    if stale:
        steps.append(
            Step(
                shown=f"write the plugin to {target.folder} ({', '.join(stale)}), run by {target.python}",
                apply=lambda: _write(target.folder, files),
            )
        )
    if not _is_known(target) or not _is_enabled(target):
        if not (target.backup / "kept.json").exists():
            steps.append(
                Step(
                    shown=f"keep a copy of {target.config}/{{{','.join(_KEPT)}}} in {target.backup}",
                    apply=lambda: _keep(target),
                )
            )
        steps += [
            _client_step(target, "adds extraKnownMarketplaces", "marketplace", "add", str(target.folder)),
            _client_step(target, "adds enabledPlugins", "install", _PLUGIN_ID, "--scope", "user"),
        ]
    return Plan(steps=tuple(steps), notes=_notes(version))


def plan_uninstall(target: ClaudeTarget) -> Plan:
    """What it takes to take rlm-mcp out of Claude Code. The store itself stays.

    Raises:
        ClientError: the client cannot be run.
    """
    steps = []
    if _installed(target):
        steps.append(_client_step(target, "takes enabledPlugins back", "uninstall", _PLUGIN_ID))
    if _is_known(target):
        steps.append(_client_step(target, "takes extraKnownMarketplaces back", "marketplace", "remove", NAME))
    if (target.backup / "kept.json").exists():
        steps.append(
            Step(shown=f"give the files in {target.config} back as they were", apply=lambda: _give_back(target))
        )
    if target.folder.exists():
        steps.append(Step(shown=f"remove {target.folder}", apply=lambda: shutil.rmtree(target.folder)))
    return Plan(steps=tuple(steps))


def in_place(target: ClaudeTarget) -> dict[str, bool]:
    """Each part of a connection, and whether it is as an install would leave it. Files are read, nothing is run.

    Raises:
        ClientError: the client's files are not JSON, or our plugin files are not there.
    """
    files = rendered(target)
    return {
        "plugin files": all(_bytes(target.folder / name) == content for name, content in files.items()),
        "marketplace": _is_known(target),
        "plugin": _is_enabled(target),
    }


def client_version(target: ClaudeTarget) -> tuple[int, ...]:
    """Such as ``(2, 1, 330)``.

    Raises:
        ClientError: the program does not say.
    """
    said = _run(target, "--version").output.decode("utf-8", "replace")
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", said.strip())
    if found is None:
        raise ClientError(f"{str(target.binary)!r} answers --version with {said[:80]!r}; is it Claude Code?")
    return tuple(int(part) for part in found.groups())


def _notes(version: tuple[int, ...]) -> tuple[str, ...]:
    fallback = "rlm-mcp then adds its Brief to the built-in summary (PreCompact and SessionStart hooks) instead"
    notes = []
    if version < FIRST_WITH_MODS:
        wanted = ".".join(map(str, FIRST_WITH_MODS))
        notes.append(f"this Claude Code is {'.'.join(map(str, version))}; before {wanted} it runs no mods: {fallback}")
    managed = [str(path) for path in _MANAGED if path.exists()]
    if managed:
        notes.append(
            f"this machine has managed settings ({', '.join(managed)}), which keep mods from running: {fallback}"
        )
    return tuple(notes)


def _client_step(target: ClaudeTarget, effect: str, *arguments: str) -> Step:
    def apply() -> None:
        ended = _run(target, "plugin", *arguments)
        if ended.exit_code != 0:
            said = (ended.complaint or ended.output).decode("utf-8", "replace").strip()[-600:]
            raise ClientError(f"'claude plugin {' '.join(arguments)}' failed: {said!r}")

    return Step(shown=f"run: claude plugin {' '.join(arguments)}   ({effect} in settings.json)", apply=apply)


def _run(target: ClaudeTarget, *arguments: str) -> Ended:
    return run([str(target.binary), *arguments], timeout_seconds=_SECONDS, environ=target.environ)


def _json(path: Path) -> object:
    content = _bytes(path)
    if content is None:
        return {}
    try:
        return json.loads(content)
    except ValueError as error:
        raise ClientError(f"{str(path)!r} is not JSON ({error}); mend it first") from error


def _is_known(target: ClaudeTarget) -> bool:
    known = _json(target.config / "plugins" / "known_marketplaces.json")
    ours = known.get(NAME) if isinstance(known, dict) else None
    return isinstance(ours, dict) and ours.get("installLocation") == str(target.folder)


def _installed(target: ClaudeTarget) -> bool:
    found = _json(target.config / "plugins" / "installed_plugins.json")
    plugins = found.get("plugins") if isinstance(found, dict) else None
    return isinstance(plugins, dict) and _PLUGIN_ID in plugins


def _is_enabled(target: ClaudeTarget) -> bool:
    settings = _json(target.config / "settings.json")
    enabled = settings.get("enabledPlugins") if isinstance(settings, dict) else None
    return _installed(target) and isinstance(enabled, dict) and enabled.get(_PLUGIN_ID) is True


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)


def _keep(target: ClaudeTarget) -> None:
    target.backup.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {}
    for name in _KEPT:
        content = _bytes(target.config / name)
        kept[name] = _ABSENT if content is None else name.replace("/", "-")
        if content is not None:
            copy = target.backup / kept[name]
            copy.touch(mode=0o600)
            copy.write_bytes(content)
    (target.backup / "kept.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _give_back(target: ClaudeTarget) -> None:
    """A file that says the same as before gets its old bytes; one that others changed since loses only our traces."""
    kept = _json(target.backup / "kept.json")
    for name in _KEPT:
        copy = kept.get(name, _ABSENT) if isinstance(kept, dict) else _ABSENT
        before = None if copy == _ABSENT else _bytes(target.backup / str(copy))
        path = target.config / name
        now = _json(path)
        was = json.loads(before) if before is not None else {}
        if not isinstance(now, dict) or not isinstance(was, dict):
            continue
        cleaned = {key: value for key, value in now.items() if key in was or value != {}}
        same = cleaned == was or (before is None and cleaned in ({}, {"version": 2}))
        if same and before is None:
            path.unlink(missing_ok=True)
        elif same and before is not None:
            path.write_bytes(before)
        elif cleaned != now:
            path.write_text(json.dumps(cleaned, indent=2) + "\n", encoding="utf-8")
    cache = target.config / "plugins" / "cache" / NAME
    if cache.exists():
        shutil.rmtree(cache)
    shutil.rmtree(target.backup)
