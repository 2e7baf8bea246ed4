"""Settings and Paths: read once, from environment, file and defaults, in that order."""

import dataclasses
from pathlib import Path

import pytest

from rlm_mcp import config
from rlm_mcp.config import BACKENDS, Paths, Price, Settings, read_paths, read_settings
from rlm_mcp.errors import UsageError

NAMES = [field.name for field in dataclasses.fields(Settings)]
TEXTS = [name for name in NAMES if isinstance(getattr(Settings(), name), str)]
NUMBERS = [name for name in NAMES if type(getattr(Settings(), name)) in {int, float}]


def settings_of(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    """Settings of a file and an environment."""
    (tmp_path / "config.toml").write_text(toml)
    return read_settings(Paths(home=tmp_path), {f"RLM_MCP_{name.upper()}": value for name, value in environ.items()})


def test_without_file_and_environment_the_defaults_hold(tmp_path: Path):
    """No folder needs to be there."""
    assert read_settings(Paths(home=tmp_path / "none"), {}) == Settings()


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path):
    """Each setting for itself."""
    found = settings_of(tmp_path, "brief_tokens = 700\nsearch_tokens = 900", brief_tokens="800")
    assert (found.brief_tokens, found.search_tokens, found.read_tokens) == (800, 900, Settings().read_tokens)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "prices"])
def test_every_setting_can_be_set_by_its_variable(tmp_path: Path, name: str):
    """``RLM_MCP_<NAME>``."""
    default = getattr(Settings(), name)
    if isinstance(default, str):
        other = "codex" if name == "sub_backend" else "a-model"
        assert getattr(settings_of(tmp_path, f'{name} = "{other}"'), name) == other
    else:
        other = not default if isinstance(default, bool) else default + type(default)(1)
        assert getattr(settings_of(tmp_path, f"{name} = {str(other).lower()}"), name) == other
    (tmp_path / "config.toml").unlink()
    assert getattr(settings_of(tmp_path, **{name: str(other)}), name) == other


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["-1", "1e12", "abc", "", "nan", "inf", "9" * 40])
def test_a_number_that_cannot_be_names_itself_and_its_limits(tmp_path: Path, name: str, value: str):
    """UsageError, never a wrong default."""
    with pytest.raises(UsageError) as raised:
        settings_of(tmp_path, **{name: value})
    assert repr(value) in str(raised.value)
    assert name.upper() in str(raised.value)


@pytest.mark.parametrize(("value", "meant"), [("1", True), ("Yes", True), (" on ", True), ("0", False), ("OFF", False)])
def test_a_switch_is_read_as_people_write_it(tmp_path: Path, value: str, meant: bool):
    """True or false in the usual ways."""
    assert settings_of(tmp_path, keep_raw=value).keep_raw is meant


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("brief_tokens = [1]", "brief_tokens"), ("keep_raw = 'perhaps'", "perhaps"),
        ("breif_tokens = 900", "breif_tokens"),
        ("not toml at all", "TOML"), ("brief_tokens = true", "True"), ("\x00", "TOML"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_says_where_and_why(tmp_path: Path, toml: str, said: str):
    """The file and the name are in the message."""
    with pytest.raises(UsageError) as raised:
        settings_of(tmp_path, toml)
    assert said in str(raised.value)
    assert "config.toml" in str(raised.value)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_one_printable_line(tmp_path: Path, name: str):
    """What is no text, or a text of several lines, is refused by name."""
    for toml in (f"{name} = 5", f'{name} = "a\\nb"', f'{name} = "{"x" * 3_000}"'):
        with pytest.raises(UsageError, match=name):
            settings_of(tmp_path, toml)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_one_of_those_there_are(tmp_path: Path, name: str):
    """The message lists them."""
    assert settings_of(tmp_path, sub_backend=f" {name} ").sub_backend == name
    with pytest.raises(UsageError, match="auto, openai, lent, claude, codex, none"):
        settings_of(tmp_path, sub_backend=f"{name}x")


def test_own_prices_stand_in_a_table_of_the_file(tmp_path: Path):
    """By model, per million tokens."""
    found = settings_of(tmp_path, '[prices]\n"qwen3:8b" = {in = 0, out = 0}\n"x/y" = {in = 0.25, out = 2}')
    assert found.prices == {"qwen3:8b": Price(usd_in=0, usd_out=0), "x/y": Price(usd_in=0.25, usd_out=2)}


@pytest.mark.parametrize(
    "toml",
    [
        "prices = 5", "[prices]\nm = 5", "[prices]\nm = {in = 1}", "[prices]\nm = {in = 1, out = 2, per = 3}",
        "[prices]\nm = {in = -1, out = 2}", "[prices]\nm = {in = nan, out = 2}", "[prices]\nm = {in = true, out = 2}",
        "[prices]\nm = {in = '1', out = 2}", "[prices]\nm = {in = 1, out = inf}",
    ],
)  # fmt: skip
def test_a_price_that_cannot_be_names_the_file_and_the_form(tmp_path: Path, toml: str):
    """A wrong price would make a wrong cap."""
    with pytest.raises(UsageError, match=r"prices in .*config\.toml"):
        settings_of(tmp_path, toml)


def test_a_file_in_another_encoding_or_a_folder_is_a_clear_error(tmp_path: Path):
    """Not a traceback of the decoder."""
    (tmp_path / "config.toml").write_bytes(b"# \xff\xfe")
    with pytest.raises(UsageError, match="TOML"):
        read_settings(Paths(home=tmp_path), {})
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(UsageError, match="TOML"):
        read_settings(Paths(home=tmp_path), {})


def test_everything_lies_below_one_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``RLM_MCP_HOME``, or ``~/.rlm-mcp``; absolute either way."""
    assert read_paths({"HOME": str(tmp_path)}).home == tmp_path / ".rlm-mcp"
    assert read_paths({"HOME": str(tmp_path), "RLM_MCP_HOME": "/x/y"}).home == Path("/x/y")
    monkeypatch.chdir(tmp_path)
    assert read_paths({"RLM_MCP_HOME": "here"}).home == tmp_path / "here"
    paths = Paths(home=tmp_path)
    for name in ("database", "sessions", "raw", "payloads", "live", "own_log", "settings_file"):
        assert getattr(paths, name).is_relative_to(tmp_path)


def test_a_home_of_an_unknown_user_is_a_clear_error():
    """``~nobody-here/x`` cannot be expanded."""
    with pytest.raises(UsageError, match="RLM_MCP_HOME"):
        read_paths({"RLM_MCP_HOME": "~no-such-user-here/x"})


def test_every_setting_says_what_it_is_and_its_unit():
    """A docstring under each field (the lines below it in the source), for the documentation."""
    source = Path(config.__file__).read_text(encoding="utf-8")
    for name in NAMES:
        after = source.partition(f"    {name}: ")[2].split("\n")[1]
        assert after.strip().startswith('"""'), name
