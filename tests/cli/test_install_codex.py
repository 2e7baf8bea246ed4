"""Connecting Codex: what is shown is what happens, nothing of the person's is lost, and it can all be taken back."""

from __future__ import annotations

import json
import stat
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.cli import codex_config, install_codex
from rlm_mcp.cli.install_codex import CodexTarget
from rlm_mcp.config import Paths
from rlm_mcp.errors import ClientError
from rlm_mcp.verbs.repl import MAX_SECONDS

PERSONAL = """# my own notes
model = "gpt-5.5"   # the good one
approval_policy = "on-request"
notify = [
  "say",
[ "nested" ][0],
]

# about profiles
[profiles.fast]
model = "small"

[mcp_servers.other]
command = "x"
args = ["[not.a.table]"]
text = '''
[also.not.a.table]
'''
"""
PERSONAL = PERSONAL.replace('[ "nested" ][0],', '["nested"],')

# A stand-in for the program: answers what the installer asks, keeps consent as Codex does.
FAKE = """#!{python}
import hashlib, json, sys, os, shutil, pathlib
home = pathlib.Path(os.environ["CODEX_HOME"])
config = home / "config.toml"
words = sys.argv[1:]
if words == ["--version"]:
    print("codex-cli {version}")
elif words == ["features", "list"]:
    if not home.is_dir():
        sys.exit("CODEX_HOME names no folder")
    print("hooks   stable   true\\n{features}")
elif words[:2] == ["plugin", "add"]:
    import tomllib
    source = pathlib.Path(tomllib.loads(config.read_text())["marketplaces"]["rlm-mcp"]["source"])
    copy = home / "plugins" / "cache" / "rlm-mcp" / "rlm-mcp" / "0.1.0"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy)
elif words == ["app-server"]:
    for line in sys.stdin:
        asked = json.loads(line)
        key = "rlm-mcp@rlm-mcp:hooks/codex.json:session_start:0:0"
        result = {{}}
        text = config.read_text() if config.exists() else ""
        if asked["method"] == "hooks/list":
            hooks = json.loads((home / "plugins/cache/rlm-mcp/rlm-mcp/0.1.0/hooks/codex.json").read_text())["hooks"]
            command = hooks["SessionStart"][0]["hooks"][0]["command"]
            command = command.replace("${{PLUGIN_ROOT}}", str(home / "plugins/cache/rlm-mcp/rlm-mcp/0.1.0"))
            hashed = "sha256:" + hashlib.sha256(command.encode()).hexdigest()
            status = "trusted" if hashed in text else "untrusted"
            hook = {{"key": key, "command": command, "currentHash": hashed, "pluginId": "rlm-mcp@rlm-mcp",
                    "trustStatus": status, "enabled": True}}
            result = {{"data": [{{"cwd": str(home), "hooks": [hook]}}]}}
        elif asked["method"] == "config/batchWrite":
            hashed = asked["params"]["edits"][0]["value"][key]["trusted_hash"]
            kept = text.partition("\\n[hooks.state]")[0]
            state = '\\n[hooks.state]\\n\\n[hooks.state."' + key + '"]\\ntrusted_hash = "' + hashed + '"\\n'
            config.write_text(kept + state)
        print(json.dumps({{"jsonrpc": "2.0", "method": "something/happened", "params": {{}}}}))
        print(json.dumps({{"jsonrpc": "2.0", "id": asked["id"], "result": result}}), flush=True)
"""


@pytest.fixture
def target(tmp_path: Path) -> CodexTarget:
    return _target(tmp_path)


def _target(root: Path, *, version: str = "0.169.0", features: str = "token_budget   under development   false"):
    binary = root / "codex"
    binary.write_text(FAKE.format(python=sys.executable, version=version, features=features))
    binary.chmod(0o755)
    home = root / "codex home"
    home.mkdir(exist_ok=True)
    environ = {"CODEX_HOME": str(home), "PATH": "/usr/bin:/bin"}
    return CodexTarget(binary=binary, home=home, paths=Paths(home=root / "store"), environ=environ)


def _apply(plan):
    for step in plan.steps:
        step.apply()


def _settings(target):
    return tomllib.loads(target.config.read_text())


def test_what_is_in_place_is_seen_from_the_files_alone(target):
    """Nothing before, all behind an install, and again nothing when it was taken back."""
    before = install_codex.in_place(target)
    assert not any(before.values())
    _apply(install_codex.plan_install(target))
    assert all(install_codex.in_place(target).values())
    elsewhere = install_codex.in_place(replace(target, paths=Paths(home=target.home / "other")))
    assert [part for part, is_there in elsewhere.items() if is_there] == ["consent to the hook"]
    _apply(install_codex.plan_uninstall(target))
    assert install_codex.in_place(target) == before


def test_everything_a_session_needs_is_set(target):
    """Marketplace, plugin, server with absolute paths and CODEX_HOME, token_budget without its notice, consent."""
    _apply(install_codex.plan_install(target))
    settings = _settings(target)
    server = settings["mcp_servers"]["rlm-mcp"]
    assert server["tool_timeout_sec"] > MAX_SECONDS
    assert server["command"] == sys.executable
    assert server["env"]["CODEX_HOME"] == str(target.home)
    assert server["env"]["RLM_MCP_HOME"] == str(target.paths.home)
    assert settings["features"]["token_budget"] == {"enabled": True, "reminder_threshold_tokens": 1}
    assert settings["suppress_unstable_features_warning"] is True
    assert settings["marketplaces"]["rlm-mcp"]["source"] == str(target.folder)
    (consent,) = settings["hooks"]["state"]
    assert consent.startswith("rlm-mcp@rlm-mcp:")


def test_the_hook_runs_this_interpreter_alone(target):
    """Absolute interpreter, isolated, the package's folder written into the guard; long texts pass whole."""
    files = install_codex.rendered(target)
    hooks = json.loads(files["hooks/codex.json"])["hooks"]
    ((event, matchers),) = hooks.items()
    (handler,) = matchers[0]["hooks"]
    assert (event, matchers[0]["matcher"]) == ("SessionStart", "compact")
    assert handler["command"].startswith(f'"{sys.executable}" -I -S ')
    assert handler["command"].endswith('hooks/run_hook.py" codex')
    assert handler["additionalContextLimit"] >= 100_000
    assert b'PACKAGE_FOLDER = "/' in files["hooks/run_hook.py"]


def test_a_second_install_finds_nothing_to_do(target):
    """Idempotent, also after the consent was written."""
    target.config.write_text(PERSONAL)
    _apply(install_codex.plan_install(target))
    assert install_codex.plan_install(target).steps == ()


def test_what_was_allowed_to_our_tools_is_kept_by_an_install_and_taken_out_with_them(target):
    """By the person or by Codex, which writes it below our server; alone it would be no server at all."""
    target.config.write_text(PERSONAL)
    _apply(install_codex.plan_install(target))
    before, state, after = target.config.read_text().partition("[hooks.state]")
    allowed = '[mcp_servers.rlm-mcp.tools.ask]\napproval_mode = "approve"\n\n'
    target.config.write_text(f"{before}{allowed}{state}{after}")
    assert install_codex.plan_install(target).steps == ()
    assert all(install_codex.in_place(target).values())
    _apply(install_codex.plan_install(replace(target, python="/other/python")))
    server = _settings(target)["mcp_servers"]["rlm-mcp"]
    assert (server["command"], server["tools"]) == ("/other/python", {"ask": {"approval_mode": "approve"}})
    _apply(install_codex.plan_uninstall(target))
    assert target.config.read_text() == PERSONAL


def test_the_endpoint_of_the_persons_environment_is_handed_on_and_nothing_else(target):
    """Codex keeps its environment from servers; the key itself stands in no file."""
    _apply(install_codex.plan_install(target))
    assert _settings(target)["mcp_servers"]["rlm-mcp"]["env_vars"] == ["OPENAI_BASE_URL", "OPENAI_API_KEY"]


def test_every_change_is_shown_before_it_is_made(target):
    """Nothing changes while planning; the diff names each line, the consent names the command."""
    target.config.write_text(PERSONAL)
    plan = install_codex.plan_install(target)
    assert target.config.read_text() == PERSONAL
    assert not target.folder.exists()
    shown = "\n".join(step.shown for step in plan.steps)
    _apply(plan)
    added = set(target.config.read_text().splitlines()) - set(PERSONAL.splitlines())
    told = {line.strip().removeprefix("+") for line in shown.splitlines()}
    assert {line for line in added if line and "hooks.state" not in line and "trusted_hash" not in line} <= told
    assert install_codex.hook_command(target, install_codex.rendered(target)) in shown
    assert "gpt-5.5" not in shown


@pytest.mark.parametrize("text", [PERSONAL, "", "model = 'x'", "[features]\nhooks = true\n", "# only a comment"])
def test_uninstall_gives_back_the_very_bytes(tmp_path, text):
    """Comments, missing line ends, an empty file: as it was; the copy and our folders are gone."""
    target = _target(tmp_path)
    target.config.write_text(text)
    target.config.chmod(0o640)
    _apply(install_codex.plan_install(target))
    assert target.backup.read_text() == text
    _apply(install_codex.plan_uninstall(target))
    assert target.config.read_text() == text
    assert stat.S_IMODE(target.config.stat().st_mode) == 0o640
    assert sorted(path.name for path in target.home.iterdir()) == ["config.toml"]
    assert not target.folder.exists()
    assert install_codex.plan_uninstall(target).steps == ()


def test_settings_that_were_not_there_are_not_there_afterwards(target):
    """A file we made is removed."""
    _apply(install_codex.plan_install(target))
    _apply(install_codex.plan_uninstall(target))
    assert list(target.home.iterdir()) == []


def test_what_others_wrote_since_stays(target):
    """The person's and Codex's own changes survive, inside our marks too."""
    target.config.write_text(PERSONAL)
    _apply(install_codex.plan_install(target))
    text = target.config.read_text().replace('model = "gpt-5.5"   # the good one', 'model = "newer"')
    text = text.replace(codex_config.END, f"[tui]\nshown = true\n# mine\n{codex_config.END}")
    target.config.write_text(text + '\n[projects."/w"]\ntrust_level = "trusted"\n')
    _apply(install_codex.plan_uninstall(target))
    left = target.config.read_text()
    expected = tomllib.loads(PERSONAL) | {"model": "newer"}
    assert tomllib.loads(left) == expected | {"tui": {"shown": True}, "projects": {"/w": {"trust_level": "trusted"}}}
    assert "# mine" in left
    assert "rlm-mcp" not in left


def test_a_newer_installation_replaces_what_the_older_one_wrote(target):
    """Another interpreter: one block, the first copy of the settings stays the backup."""
    target.config.write_text(PERSONAL)
    _apply(install_codex.plan_install(target))
    moved = CodexTarget(
        binary=target.binary, home=target.home, paths=target.paths, environ=target.environ, python="/other/python"
    )
    _apply(install_codex.plan_install(moved))
    assert target.config.read_text().count(codex_config.START) == 1
    assert _settings(target)["mcp_servers"]["rlm-mcp"]["command"] == "/other/python"
    assert target.backup.read_text() == PERSONAL
    _apply(install_codex.plan_uninstall(moved))
    assert target.config.read_text() == PERSONAL


def test_a_second_installation_is_no_backup_of_the_first(target):
    """Where no settings were, none are left, however often it was installed."""
    _apply(install_codex.plan_install(target))
    _apply(install_codex.plan_install(replace(target, python="/other/python")))
    _apply(install_codex.plan_uninstall(target))
    assert list(target.home.iterdir()) == []


def test_a_codex_that_was_never_started_is_connected_whole(tmp_path):
    """Its folder is not there yet; what it can do is asked for all the same."""
    target = _target(tmp_path)
    target.home.rmdir()
    plan = install_codex.plan_install(target)
    assert not target.home.exists()
    _apply(plan)
    assert _settings(target)["features"]["token_budget"]["enabled"] is True


@pytest.mark.parametrize(
    ("version", "features"),
    [("0.142.2", "token_budget   under development   false"), ("0.170.0", "hooks   stable   true")],
)
def test_without_the_feature_the_summary_stays_and_it_is_said(tmp_path, version, features):
    """token_budget is set only where it is known to work."""
    target = _target(tmp_path, version=version, features=features)
    plan = install_codex.plan_install(target)
    _apply(plan)
    assert "features" not in _settings(target)
    assert "suppress_unstable_features_warning" not in _settings(target)
    assert any("summary" in note for note in plan.notes)


@pytest.mark.parametrize("text", ["[features]\ntoken_budget = false\n", "[features.token_budget]\nenabled = false\n"])
def test_a_person_who_turned_token_budget_off_is_obeyed(tmp_path, text):
    """Their choice stands, before and after."""
    target = _target(tmp_path)
    target.config.write_text(text)
    plan = install_codex.plan_install(target)
    _apply(plan)
    assert _settings(target)["features"] == tomllib.loads(text)["features"]
    assert any("stays so" in note for note in plan.notes)
    _apply(install_codex.plan_uninstall(target))
    assert target.config.read_text() == text


def test_a_person_who_turned_token_budget_on_keeps_it(tmp_path):
    """What was on before is on afterwards."""
    target = _target(tmp_path)
    target.config.write_text("[features]\ntoken_budget = true\n")
    plan = install_codex.plan_install(target)
    _apply(plan)
    assert any("reminder_threshold_tokens" in note for note in plan.notes)
    assert _settings(target)["features"] == {"token_budget": True}
    _apply(install_codex.plan_uninstall(target))
    assert target.config.read_text() == "[features]\ntoken_budget = true\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[mcp_servers.rlm-mcp]\ncommand = 'mine'\n", "mcp_servers.rlm-mcp"),
        ("features = { hooks = true }\n", "tables"),
        ("this is = not = toml", "not TOML"),
    ],
)
def test_settings_that_cannot_be_added_to_are_refused_untouched(tmp_path, text, named):
    """The message names what stands in the way; nothing is changed."""
    target = _target(tmp_path)
    target.config.write_text(text)
    with pytest.raises(ClientError, match=named):
        install_codex.plan_install(target)
    assert target.config.read_text() == text
    assert [path.name for path in target.home.iterdir()] == ["config.toml"]


def test_consent_is_given_to_the_hook_that_was_shown_and_to_no_other(target):
    """A plugin that was changed in between gets no consent."""
    plan = install_codex.plan_install(target)
    for step in plan.steps[:-1]:
        step.apply()
    hooks = target.cache / "rlm-mcp" / "0.1.0" / "hooks" / "codex.json"
    hooks.write_text(hooks.read_text().replace(" codex", " something-else"))
    with pytest.raises(ClientError, match="other hooks"):
        plan.steps[-1].apply()
    assert "hooks" not in _settings(target)


def test_settings_changed_between_showing_and_doing_are_left_alone(target):
    """What was agreed to no longer fits: say so."""
    target.config.write_text(PERSONAL)
    plan = install_codex.plan_install(target)
    plan.steps[0].apply()
    target.config.write_text(PERSONAL + "\n[more]\nx = 1\n")
    with pytest.raises(ClientError, match="changed in the meantime"):
        plan.steps[1].apply()


def test_without_codex_install_says_what_to_do_and_uninstall_still_works(tmp_path):
    """Uninstall needs no program."""
    target = _target(tmp_path)
    target.config.write_text(PERSONAL)
    _apply(install_codex.plan_install(target))
    gone = CodexTarget(binary=None, home=target.home, paths=target.paths, environ=target.environ)
    with pytest.raises(ClientError, match="npm install"):
        install_codex.plan_install(gone)
    _apply(install_codex.plan_uninstall(gone))
    assert target.config.read_text() == PERSONAL


def test_a_server_named_notes_of_the_persons_own_stays(tmp_path):
    """Ours is added only where the name is free, and only with token_budget."""
    target = _target(tmp_path)
    _apply(install_codex.plan_install(target))
    assert _settings(target)["mcp_servers"]["notes"]["args"][-1] == "rlm_mcp.hook.notes"
    _apply(install_codex.plan_uninstall(target))
    mine = "[mcp_servers.notes]\ncommand = 'mine'\n"
    target.config.write_text(mine)
    _apply(install_codex.plan_install(target))
    assert _settings(target)["mcp_servers"]["notes"] == {"command": "mine"}
    _apply(install_codex.plan_uninstall(target))
    assert target.config.read_text() == mine


def test_the_program_and_its_home_are_found_in_the_environment(tmp_path):
    """CODEX_HOME, else ~/.codex; --client-binary, else PATH."""
    target = _target(tmp_path)
    paths = Paths(home=tmp_path / "store")
    found = install_codex.find_target(paths, {"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert (found.binary, found.home) == (target.binary, tmp_path / ".codex")
    with pytest.raises(ClientError, match="--client-binary"):
        install_codex.find_target(paths, {}, str(tmp_path / "missing"))


_KEYS = st.sampled_from(["a", "b-c", '"d.e"', "features", "plugins", "tui", "mcp_servers", "x.y", '"# >>> rlm-mcp"'])
_VALUES = st.sampled_from(
    ['"text"', "1", "[1, 2]", "[\n  1,\n  [2],\n]", '"""\n[no.table]\n# no comment\n"""', "{ k = 1 }"]
)
_LINES = st.lists(
    st.one_of(
        st.builds("[{}]".format, _KEYS),
        st.builds("{} = {}".format, _KEYS, _VALUES),
        st.sampled_from(["", "# a comment", "   # indented", "#"]),
    ),
    max_size=12,
)


@given(_LINES, st.booleans())
def test_a_block_put_in_and_taken_out_leaves_the_settings_as_they_were(lines, ends):
    """Any TOML: same settings and comments; what cannot be added to is refused."""
    text = "\n".join(lines) + ("\n" if ends else "")
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert "".join(part.text for part in codex_config.parts(text)) == text
    own = ["top = true", "", "[features.token_budget]", "enabled = true", "", '[plugins."us"]', "on = true", ""]
    owned = [("features", "token_budget"), ("plugins", "us")]
    try:
        changed = codex_config.with_block(text, own, "config.toml")
    except ClientError:
        return
    after = tomllib.loads(changed)
    assert after["features"]["token_budget"] == {"enabled": True}
    assert after["plugins"]["us"] == {"on": True}
    bare = codex_config.without_ours(changed, owned, ["top = true"])
    assert tomllib.loads(bare) == before
    assert codex_config.says_the_same(bare, text)
