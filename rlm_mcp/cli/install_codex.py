"""Connecting Codex: what would change, and the changes.

A plugin (the hook) in a folder of ours, which Codex knows as a local marketplace and copies into its cache; the MCP
server, ``token_budget`` and the plugin's names in a marked block of ``config.toml``; and the person's consent to the
hook. Uninstall gives ``config.toml`` back byte for byte where nobody else changed it since, else takes only ours out.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rlm_mcp.cli import codex_config
from rlm_mcp.cli.codex_config import Path as TablePath
from rlm_mcp.cli.codex_config import quoted
from rlm_mcp.cli.codex_trust import app_server
from rlm_mcp.cli.plan import Plan, Step
from rlm_mcp.cli.render import package_folder, plugin_source, set_constant
from rlm_mcp.config import Paths
from rlm_mcp.errors import ClientError
from rlm_mcp.process import Ended, run

NAME = "rlm-mcp"
FIRST_WITH_BUDGET = (0, 169, 0)
"""The first Codex on which ``token_budget`` was seen to carry a Brief."""

_PLUGIN = f"{NAME}@{NAME}"
_SECONDS = 60.0
_HANDED_ON = ("OPENAI_BASE_URL", "OPENAI_API_KEY")
"""Of the user's environment, for sub-models; Codex hands nothing on to servers but what it is told to."""
_TOOL_SECONDS = 660
"""How long Codex waits for a tool (300 by default): a Cell may take 600, and what it says of its end comes after."""
_FILES = (".agents/plugins/marketplace.json", ".codex-plugin/plugin.json", "hooks/codex.json", "hooks/run_hook.py")
_BUDGET: TablePath = ("features", "token_budget")
_QUIET: TablePath = ("suppress_unstable_features_warning",)
_MARKETPLACE: TablePath = ("marketplaces", NAME)
_ENABLED: TablePath = ("plugins", _PLUGIN)
_SERVER: TablePath = ("mcp_servers", NAME)
_NOTES: TablePath = ("mcp_servers", "notes")
_QUIET_LINE = "suppress_unstable_features_warning = true"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodexTarget:
    """Where to install."""

    binary: Path | None
    """None where there is none; enough to uninstall."""
    home: Path
    """``CODEX_HOME``."""
    paths: Paths
    environ: Mapping[str, str]
    python: str = sys.executable
    """Absolute path of the interpreter that runs the hook and the server."""

    @property
    def config(self) -> Path:
        """The client's settings."""
        return self.home / "config.toml"

    @property
    def backup(self) -> Path:
        """The settings as they were before."""
        return self.home / "config.toml.rlm-mcp-backup"

    @property
    def folder(self) -> Path:
        """Our marketplace: the rendered plugin."""
        return self.paths.home / "plugin" / "codex"

    @property
    def cache(self) -> Path:
        """Codex's copy of our marketplace."""
        return self.home / "plugins" / "cache" / NAME


def find_target(paths: Paths, environ: Mapping[str, str], binary: str = "") -> CodexTarget:
    """The Codex that ``binary`` names, or the one on PATH.

    Raises:
        ClientError: ``binary`` is no file.
    """
    named = binary or shutil.which("codex", path=environ.get("PATH", "")) or ""
    if binary and not Path(binary).is_file():
        raise ClientError(f"there is no program {binary!r}; name Codex's program with --client-binary")
    home = environ.get("CODEX_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".codex")
    return CodexTarget(
        binary=Path(named).absolute() if named else None, home=Path(home).absolute(), paths=paths, environ=environ
    )


def rendered(target: CodexTarget, source: Path | None = None) -> dict[str, bytes]:
    """The plugin's files by relative path, with this installation's interpreter and folders in them.

    Raises:
        ClientError: the plugin files are not there or not as expected.
    """
    folder = source or plugin_source()
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in _FILES}
    guard = set_constant(texts["hooks/run_hook.py"], "PACKAGE_FOLDER", str(package_folder()))
    texts["hooks/run_hook.py"] = set_constant(guard, "STORE_FOLDER", str(target.paths.home))
    hooks = json.loads(texts["hooks/codex.json"])
    for hook in (hook for matchers in hooks["hooks"].values() for matcher in matchers for hook in matcher["hooks"]):
        hook["command"] = hook["command"].replace("python3 ", f'"{target.python}" ', 1)
    texts["hooks/codex.json"] = json.dumps(hooks, indent=2) + "\n"
    return {name: text.encode() for name, text in texts.items()}


def hook_command(target: CodexTarget, files: Mapping[str, bytes]) -> str:
    """The command of the rendered plugin's one hook, as Codex runs it."""
    matchers = json.loads(files["hooks/codex.json"])["hooks"]["SessionStart"]
    return str(matchers[0]["hooks"][0]["command"]).replace("${PLUGIN_ROOT}", str(_copy(target, files)))


def plan_install(target: CodexTarget) -> Plan:
    """What it takes to connect Codex.

    Raises:
        ClientError: Codex is not there or cannot be run, or its settings cannot be added to.
    """
    if target.binary is None:
        raise ClientError(
            "Codex was not found ('codex' on PATH); install it (npm install -g @openai/codex) or name its program with "
            "--client-binary"
        )
    files = rendered(target)
    budget, notes = _budget(target)
    steps: list[Step] = []
    if any(_bytes(target.folder / name) != content for name, content in files.items()):
        shown = f"write the plugin to {target.folder}, run by {target.python}"
        steps.append(Step(shown=shown, apply=lambda: _write_plugin(target.folder, files)))
    change = _config_step(target, with_budget=budget)
    steps += [change] if change else []
    if not _is_cached(target, files):
        shown = f"run: codex plugin add {_PLUGIN}   (copies the plugin to {target.cache})"
        steps.append(Step(shown=shown, apply=lambda: _add_plugin(target)))
    command = hook_command(target, files)
    if steps or not _is_trusted(target, command):
        shown = (
            "trust this hook (Codex asks for consent; it is kept in config.toml under hooks.state, and ends when the "
            f"plugin's files change).\n     After each compaction Codex then runs: {command}"
        )
        steps.append(Step(shown=shown, apply=lambda: _trust(target, command)))
    return Plan(steps=tuple(steps), notes=notes)


def plan_uninstall(target: CodexTarget) -> Plan:
    """What it takes to take rlm-mcp out of Codex. The store itself stays.

    Raises:
        ClientError: the settings are not TOML.
    """
    steps: list[Step] = []
    now = _text(target.config)
    after = _without(target, now)
    if after != now:
        shown = f"give {target.config} back\n{_diff(now, after)}"
        steps.append(Step(shown=shown, apply=lambda: _give_back(target, now, after)))
    elif target.backup.exists():
        steps.append(Step(shown=f"remove {target.backup}", apply=target.backup.unlink))
    data = target.home / "plugins" / "data" / f"{NAME}-{NAME}"
    folders = [folder for folder in (target.cache, data, target.folder) if folder.exists()]
    steps += [Step(shown=f"remove {folder}", apply=partial(_remove, folder)) for folder in folders]
    return Plan(steps=tuple(steps))


def in_place(target: CodexTarget) -> dict[str, bool]:
    """Each part of a connection, and whether it is as an install would leave it. Files are read, nothing is run.

    Raises:
        ClientError: Codex's settings are not TOML, or our plugin files are not there.
    """
    files = rendered(target)
    settings = codex_config.parse(_text(target.config), str(target.config))
    _lines, wanted = _wanted(target, {}, with_budget=False)
    states = codex_config.value(settings, ("hooks", "state"))
    return {
        "plugin files": all(_bytes(target.folder / name) == content for name, content in files.items()),
        "settings": all(_says(settings, path, value) for path, value in wanted.items()),
        "Codex's copy of the plugin": _is_cached(target, files),
        "consent to the hook": isinstance(states, Mapping) and any(key.startswith(f"{_PLUGIN}:") for key in states),
    }


def client_version(target: CodexTarget) -> tuple[int, ...]:
    """Such as ``(0, 169, 0)``.

    Raises:
        ClientError: the program does not say.
    """
    said = _run(target, "--version").output.decode("utf-8", "replace")
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    if found is None:
        raise ClientError(f"{str(target.binary)!r} answers --version with {said[:80]!r}; is it Codex?")
    return tuple(int(part) for part in found.groups())


def _budget(target: CodexTarget) -> tuple[bool, tuple[str, ...]]:
    """Whether ``token_budget`` is to be on, and what the person should know."""
    fallback = "the Brief then stands on top of Codex's own summary, which a model still writes"
    version = client_version(target)
    said = ".".join(map(str, version))
    if version < FIRST_WITH_BUDGET:
        wanted = ".".join(map(str, FIRST_WITH_BUDGET))
        return False, (f"this Codex is {said}; before {wanted} a compaction cannot be swapped: {fallback}",)
    listed = _features(target)
    if not re.search(r"^token_budget\s", listed, re.MULTILINE):
        return False, (f"this Codex ({said}) has no feature 'token_budget': {fallback}",)
    settings = codex_config.parse(_text(target.config), str(target.config))
    chosen = codex_config.value(settings, _BUDGET)
    if chosen is False or (isinstance(chosen, Mapping) and chosen.get("enabled") is False):
        return False, (f"features.token_budget is off in your {target.config}, and stays so: {fallback}",)
    if chosen is True or (isinstance(chosen, Mapping) and set(chosen) == {"enabled"}):
        stops = "newer models then stop to save notes before each swap, unless it says: reminder_threshold_tokens = 1"
        return True, (f"features.token_budget is on in your {target.config}; {stops}",)
    swapped = "each compaction then drops the window without a summary, and the hook's Brief takes its place"
    return True, (f"features.token_budget is 'under development' in Codex: {swapped}",)


def _features(target: CodexTarget) -> str:
    """What Codex lists; of a Codex never started, in a folder made for the question: it says nothing without one."""
    if target.home.is_dir():
        return _run(target, "features", "list").output.decode("utf-8", "replace")
    with tempfile.TemporaryDirectory(prefix="rlm-mcp-") as folder:
        asking = replace(target, environ={**target.environ, "CODEX_HOME": folder})
        return _run(asking, "features", "list").output.decode("utf-8", "replace")


def _wanted(
    target: CodexTarget, settings: Mapping[str, Any], *, with_budget: bool
) -> tuple[list[str], dict[TablePath, Any]]:
    """Lines of our block, and the settings they make; what the person has set already is left to them."""
    environ = {
        "CODEX_HOME": str(target.home),
        "PYTHONPATH": str(package_folder()),
        "RLM_MCP_HOME": str(target.paths.home),
    }
    server: dict[str, Any] = {
        "command": target.python,
        "args": ["-m", "rlm_mcp", "serve"],
        "env": environ,
        "env_vars": [*_HANDED_ON],
        "startup_timeout_sec": 60,
        "tool_timeout_sec": _TOOL_SECONDS,
    }
    lines: list[str] = []
    wanted: dict[TablePath, Any] = {}
    if with_budget and not codex_config.has(settings, _QUIET):
        lines += [_QUIET_LINE, ""]
        wanted[_QUIET] = True
    if with_budget and not codex_config.has(settings, _BUDGET):
        # A value of ours, or newer models bring their own reminders: stop working and save notes with a tool that
        # is not there. One token before the end is never reached: the limit comes earlier.
        lines += [f"[{'.'.join(_BUDGET)}]", "enabled = true", "reminder_threshold_tokens = 1", ""]
        wanted[_BUDGET] = {"enabled": True, "reminder_threshold_tokens": 1}
    lines += [f"[marketplaces.{NAME}]", 'source_type = "local"', f"source = {quoted(str(target.folder))}", ""]
    wanted[_MARKETPLACE] = {"source_type": "local", "source": str(target.folder)}
    lines += [f'[plugins."{_PLUGIN}"]', "enabled = true", ""]
    wanted[_ENABLED] = {"enabled": True}
    lines += _server_lines(_SERVER, server)
    wanted[_SERVER] = server
    if with_budget and not codex_config.has(settings, _NOTES):
        # Codex asks a server of this name for the new window of a sub-agent, where it calls no hook.
        notes = {**server, "args": ["-S", "-m", "rlm_mcp.hook.notes"]}
        lines += _server_lines(_NOTES, notes)
        wanted[_NOTES] = notes
    return lines, wanted


def _server_lines(path: TablePath, server: Mapping[str, Any]) -> list[str]:
    pairs = ", ".join(f"{name} = {quoted(value)}" for name, value in server["env"].items())
    return [
        f"[{'.'.join(path)}]",
        f"command = {quoted(server['command'])}",
        f"args = [{', '.join(quoted(word) for word in server['args'])}]",
        f"env = {{ {pairs} }}",
        f"env_vars = [{', '.join(quoted(name) for name in server['env_vars'])}]",
        f"startup_timeout_sec = {server['startup_timeout_sec']}",
        f"tool_timeout_sec = {server['tool_timeout_sec']}",
        "",
    ]


def _config_step(target: CodexTarget, *, with_budget: bool) -> Step | None:
    now = _text(target.config)
    name = str(target.config)
    bare = codex_config.without_ours(now, _owned(target, now, with_state=False), [_QUIET_LINE])
    settings = codex_config.parse(bare, name)
    for path in (_MARKETPLACE, _ENABLED, _SERVER):
        if codex_config.has(settings, path):
            raise ClientError(f"{name!r} sets {'.'.join(path)!r} by hand; take that out, then install again")
    lines, wanted = _wanted(target, settings, with_budget=with_budget)
    current = codex_config.parse(now, name)
    if all(_says(current, path, value) for path, value in wanted.items()):
        return None
    after = codex_config.with_block(bare, [*lines, *_added_below(now, _SERVER)], name)
    shown = f"change {name} (a copy stays in {target.backup})\n{_diff(now, after)}"
    return Step(shown=shown, apply=lambda: _change(target, now, after))


def _says(settings: Mapping[str, Any], path: TablePath, wanted: Any) -> bool:
    """Whether ``path`` is set as wanted; what the person or Codex has added there (``tools``) is theirs."""
    found = codex_config.value(settings, path)
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(found.get(name) == value for name, value in wanted.items())
    return bool(found == wanted)


def _added_below(text: str, path: TablePath) -> list[str]:
    """Lines of the tables below one of ours, which the person or Codex has added: tools that are allowed."""
    marks = (codex_config.START, codex_config.END)
    return [
        line
        for part in codex_config.parts(text)
        if part.path is not None and len(part.path) > len(path) and part.path[: len(path)] == path
        for line in part.text.splitlines()
        if line.strip() not in marks
    ]


def _owned(target: CodexTarget, text: str, *, with_state: bool = True) -> list[TablePath]:
    """Tables that are ours in ``text``: of our name, and not there before."""
    if codex_config.START not in text and not target.backup.exists():
        return []
    before = codex_config.parse(_text(target.backup), str(target.backup))
    owned = [path for path in (_BUDGET, _MARKETPLACE, _ENABLED, _SERVER, _NOTES) if not codex_config.has(before, path)]
    settings = codex_config.parse(text, str(target.config))
    states = codex_config.value(settings, ("hooks", "state"))
    if with_state and isinstance(states, Mapping):
        owned += [("hooks", "state", key) for key in states if key.startswith(f"{_PLUGIN}:")]
        if all(key.startswith(f"{_PLUGIN}:") for key in states) and not codex_config.has(before, ("hooks", "state")):
            owned.append(("hooks", "state"))
            alone = set(settings["hooks"]) == {"state"}
            owned += [("hooks",)] if alone and not codex_config.has(before, ("hooks",)) else []
    return owned


def _without(target: CodexTarget, text: str) -> str:
    """``text`` without ours; the very bytes of before where they say the same."""
    owned = _owned(target, text)
    if not owned:
        return text
    bare = codex_config.without_ours(text, owned, [_QUIET_LINE])
    codex_config.parse(bare, str(target.config))
    before = _text(target.backup)
    return before if codex_config.says_the_same(bare, before) else bare


def _change(target: CodexTarget, now: str, after: str) -> None:
    if _text(target.config) != now:
        raise ClientError(f"{str(target.config)!r} was changed in the meantime; run the command again")
    if target.config.exists() and not target.backup.exists() and codex_config.START not in now:
        shutil.copy2(target.config, target.backup)
    _write(target.config, after)


def _give_back(target: CodexTarget, now: str, after: str) -> None:
    if _text(target.config) != now:
        raise ClientError(f"{str(target.config)!r} was changed in the meantime; run the command again")
    if after or target.backup.exists():
        _write(target.config, after)
    else:
        target.config.unlink()
    target.backup.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Replace a file's content at once, keeping its rights; a link keeps pointing where it does."""
    place = path.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f"{place.name}.rlm-mcp-new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(text.encode("utf-8"))
    if place.exists():
        shutil.copymode(place, fresh)
    fresh.replace(place)


def _add_plugin(target: CodexTarget) -> None:
    ended = _run(target, "plugin", "add", _PLUGIN)
    if ended.exit_code != 0:
        said = (ended.complaint or ended.output).decode("utf-8", "replace").strip()[-600:]
        raise ClientError(f"'codex plugin add {_PLUGIN}' failed: {said!r}")


def _is_cached(target: CodexTarget, files: Mapping[str, bytes]) -> bool:
    copy = _copy(target, files)
    return all(_bytes(copy / name) == content for name, content in files.items())


def _copy(target: CodexTarget, files: Mapping[str, bytes]) -> Path:
    """Where Codex keeps its copy of the plugin."""
    version = json.loads(files[".codex-plugin/plugin.json"])["version"]
    return target.cache.resolve() / NAME / str(version)


def _is_trusted(target: CodexTarget, command: str) -> bool:
    assert target.binary is not None
    with app_server(target.binary, target.environ, target.home) as server:
        hooks = [hook for hook in server.hooks(target.home) if hook.plugin == _PLUGIN]
    return bool(hooks) and all(hook.is_trusted and hook.command == command for hook in hooks)


def _trust(target: CodexTarget, command: str) -> None:
    """Give the consent the person was asked for: to this command and no other."""
    assert target.binary is not None
    with app_server(target.binary, target.environ, target.home) as server:
        hooks = [hook for hook in server.hooks(target.home) if hook.plugin == _PLUGIN]
        if [hook.command for hook in hooks] != [command]:
            found = [hook.command for hook in hooks]
            raise ClientError(f"Codex lists other hooks of {_PLUGIN!r} than the one shown: {found!r}; install again")
        server.trust(hooks[0])
        if not all(hook.is_trusted for hook in server.hooks(target.home) if hook.plugin == _PLUGIN):
            raise ClientError("Codex did not keep the consent to the hook; give it in Codex itself: /hooks")


def _run(target: CodexTarget, *arguments: str) -> Ended:
    assert target.binary is not None
    return run([str(target.binary), *arguments], timeout_seconds=_SECONDS, environ=target.environ)


def _write_plugin(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)


def _remove(folder: Path) -> None:
    """Remove a folder, and those above it that we made and that are empty now."""
    shutil.rmtree(folder)
    for above in (folder.parent, folder.parent.parent):
        if above.name in {"cache", "data", "plugins"} and not any(above.iterdir()):
            above.rmdir()


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _text(path: Path) -> str:
    """A settings file's text; empty where there is none.

    Raises:
        ClientError: it is not UTF-8.
    """
    content = _bytes(path) or b""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ClientError(f"{str(path)!r} is not UTF-8 ({error}); mend it, then try again") from error


def _diff(before: str, after: str) -> str:
    """What changes, without the lines around: they may hold keys."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return "\n".join(f"     {line}" for line in list(lines)[2:])
