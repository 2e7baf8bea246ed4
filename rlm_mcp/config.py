"""Settings and Paths, read once from a TOML file and the environment. Nothing below this module reads either.

Order of precedence: environment (``RLM_MCP_*``), ``$RLM_MCP_HOME/config.toml``, the defaults here.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rlm_mcp.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of a model, in US dollars per million tokens."""

    usd_in: float
    usd_out: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default. ``RLM_MCP_<NAME>`` in the environment sets ``<name>``."""

    brief_tokens: int = 4_000
    """Size of a Brief, in tokens (500 to 20,000)."""
    tail_tokens: int = 8_000
    """Latest messages kept verbatim behind the Brief at a swap in Claude Code, in tokens (0 to 100,000)."""
    search_tokens: int = 1_000
    """Size of a search answer, in tokens (100 to 20,000)."""
    read_tokens: int = 8_000
    """Size of one read, in tokens (100 to 100,000)."""
    keep_raw: bool = True
    """Keep the client's raw records, compressed, so that a transcript can be given back byte for byte."""
    busy_seconds: float = 10.0
    """How long to wait for another process's write, in seconds."""
    repl_tokens: int = 2_000
    """Shown of a Cell's output, in tokens (100 to 20,000); the whole is kept."""
    repl_memory_mb: int = 2_048
    """Main storage of a Repl, with all that it maps, in MB (256 to 65,536)."""
    repl_idle_seconds: float = 600.0
    """A Repl that has run nothing for so long is parked: its variables are saved, its process ends."""
    unsafe_repl_without_jail: bool = False
    """UNSAFE: run model-written code without walls, with all that your user may do. For throwaway machines alone."""
    hook_seconds: float = 3.0
    """How long a hook may take to write, in seconds; past that it answers from what is stored."""
    sub_backend: str = "auto"
    """Who answers ``ask`` and ``llm_query``: ``auto``, ``openai``, ``lent``, ``claude``, ``codex`` or ``none``."""
    sub_base_url: str = ""
    """Of an OpenAI-compatible endpoint; empty: ``OPENAI_BASE_URL``. Its key stands in ``OPENAI_API_KEY`` alone."""
    root_model: str = ""
    """The model that leads a Run; empty: the backend's own choice, of an endpoint the only one that it lists."""
    sub_model: str = ""
    """The model that Cells ask; empty: as ``root_model``."""
    sub_width: int = 8
    """Questions under way at once (1 to 256)."""
    ask_wait_seconds: float = 45.0
    """How long ``ask`` is waited for before it hands back a job, in seconds."""
    run_calls: int = 200
    """Requests that one Run, with all below it, may send."""
    run_tokens: int = 2_000_000
    """Tokens that one Run may spend, in and out."""
    run_usd: float = 2.0
    """US dollars that one Run may spend."""
    run_seconds: float = 600.0
    """How long one Run may take, in seconds."""
    run_depth: int = 2
    """How deep Runs may ask Runs (0 to 10)."""
    session_tokens: int = 10_000_000
    """Tokens that all Runs and Cells of a session may spend."""
    session_usd: float = 10.0
    """US dollars that all Runs and Cells of a session may spend."""
    day_tokens: int = 20_000_000
    """Tokens that all of a day (UTC) may spend."""
    day_usd: float = 20.0
    """US dollars that all of a day (UTC) may spend."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """Own prices by model: in the file, below ``[prices]``, lines as ``"model" = {in = 0.25, out = 2.0}``."""


BACKENDS = ("auto", "openai", "lent", "claude", "codex", "none")
_LIMITS = {
    "brief_tokens": (500, 20_000),
    "tail_tokens": (0, 100_000),
    "search_tokens": (100, 20_000),
    "read_tokens": (100, 100_000),
    "busy_seconds": (0.1, 600.0),
    "repl_tokens": (100, 20_000),
    "repl_memory_mb": (256, 65_536),
    "repl_idle_seconds": (1.0, 86_400.0),
    "hook_seconds": (0.1, 60.0),
    "sub_width": (1, 256),
    "ask_wait_seconds": (0.0, 3_600.0),
    "run_calls": (0, 1_000_000),
    "run_tokens": (0, 1_000_000_000),
    "run_usd": (0.0, 10_000.0),
    "run_seconds": (1.0, 86_400.0),
    "run_depth": (0, 10),
    "session_tokens": (0, 1_000_000_000),
    "session_usd": (0.0, 10_000.0),
    "day_tokens": (0, 1_000_000_000),
    "day_usd": (0.0, 10_000.0),
}
_CHOICES = {"sub_backend": BACKENDS}
_MOST_TEXT = 2_000
_MOST_PRICE = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where everything of ours lies; all below ``home``."""

    home: Path

    @property
    def database(self) -> Path:
        """The SQLite index."""
        return self.home / "store.db"

    @property
    def sessions(self) -> Path:
        """Text logs, ``<session key>.log``."""
        return self.home / "sessions"

    @property
    def raw(self) -> Path:
        """Compressed raw records, ``<source number>.raw``; never indexed."""
        return self.home / "raw"

    @property
    def payloads(self) -> Path:
        """Images and documents by hash; never indexed."""
        return self.home / "payloads"

    @property
    def documents(self) -> Path:
        """Texts of loaded Documents, ``<sha256>``; plain, so that they can be mapped."""
        return self.home / "documents"

    @property
    def repl(self) -> Path:
        """Saved variables of Repls, ``<session key>/``; read only inside a Jail."""
        return self.home / "repl"

    @property
    def repl_history(self) -> Path:
        """What people typed at the Repl's prompt, one JSON string a line."""
        return self.home / "repl_history"

    @property
    def repos(self) -> Path:
        """Snapshots of working trees, ``<digest of the folder>/``: bare git repositories."""
        return self.home / "repos"

    @property
    def live(self) -> Path:
        """What SessionStart hooks leave for servers: ``<client>-<process id>.json``."""
        return self.home / "live"

    @property
    def own_log(self) -> Path:
        """One line per hook failure and warning."""
        return self.home / "rlm-mcp.log"

    @property
    def settings_file(self) -> Path:
        """The user's TOML file; need not exist."""
        return self.home / "config.toml"


def read_paths(environ: Mapping[str, str] | None = None) -> Paths:
    """Paths below ``RLM_MCP_HOME``, or ``~/.rlm-mcp`` where that is not set.

    Raises:
        UsageError: there is no home folder to be found.
    """
    env = os.environ if environ is None else environ
    named = env.get("RLM_MCP_HOME", "")
    try:
        home = Path(named).expanduser() if named else Path(env.get("HOME") or Path.home()) / ".rlm-mcp"
    except RuntimeError as error:
        raise UsageError(
            f"{named or '~'!r} names no folder ({error}); set RLM_MCP_HOME to one you can write"
        ) from error
    return Paths(home=home.absolute())


def read_settings(paths: Paths, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of file and environment.

    Raises:
        UsageError: the file is not TOML, a name is unknown, or a value has the wrong type or lies outside its limits.
    """
    env = os.environ if environ is None else environ
    settings = Settings()
    known: dict[str, type] = {f.name: type(getattr(settings, f.name)) for f in fields(Settings)}
    found: dict[str, object] = {}
    try:
        found = tomllib.loads(paths.settings_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        found = {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(paths.settings_file)!r} cannot be read as TOML ({error}); mend or remove it") from error
    for name in found:
        if name not in known:
            raise UsageError(
                f"{str(paths.settings_file)!r} sets {name!r}, which is no setting; known: {', '.join(sorted(known))}"
            )
    values: dict[str, Any] = {"prices": _prices(found.get("prices", {}), paths)}
    for name, kind in known.items():
        if name == "prices":
            continue
        variable = f"RLM_MCP_{name.upper()}"
        if variable in env:
            values[name] = _parse(env[variable], kind, variable)
        elif name in found:
            where = f"{name} in {paths.settings_file}"
            if kind is str and not isinstance(found[name], str):
                raise UsageError(f"{where} is {found[name]!r}; write a text in quotes")
            values[name] = _parse(str(found[name]), kind, where)
    return replace(settings, **values)


def _prices(found: object, paths: Paths) -> dict[str, Price]:
    """The user's own price table."""
    where = f"prices in {paths.settings_file}"
    if not isinstance(found, dict):
        raise UsageError(f'{where} is {found!r}; write a table: [prices] and "model" = {{in = 0.25, out = 2.0}}')
    prices: dict[str, Price] = {}
    for model, price in found.items():
        if not isinstance(price, dict) or set(price) != {"in", "out"}:
            raise UsageError(
                f"{where}: {model!r} is {price!r}; write {{in = 0.25, out = 2.0}} (USD per million tokens)"
            )
        for name, value in price.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_PRICE:
                raise UsageError(
                    f"{where}: {model!r} has {name} = {value!r}; it must lie between 0 and {_MOST_PRICE:,}"
                )
        prices[model] = Price(usd_in=float(price["in"]), usd_out=float(price["out"]))
    return prices


def _parse(value: str, kind: type, where: str) -> int | float | bool | str:
    name = where.split(" ", maxsplit=1)[0].removeprefix("RLM_MCP_").lower()
    if kind is bool:
        lowered = value.strip().lower()
        if lowered in {"1", "true", "yes", "on"}:
            return True
        if lowered in {"0", "false", "no", "off"}:
            return False
        raise UsageError(f"{where} is {value!r}; write true or false")
    if kind is str:
        return _parse_text(value, name, where)
    try:
        number = kind(value)
    except ValueError as error:
        raise UsageError(f"{where} is {value!r}; write a number") from error
    low, high = _LIMITS[name]
    if not low <= number <= high:
        raise UsageError(f"{where} is {value!r}; it must lie between {low:,} and {high:,}")
    return number  # type: ignore[no-any-return]  # int or float by construction


def _parse_text(value: str, name: str, where: str) -> str:
    text = value.strip()
    choices = _CHOICES.get(name)
    if choices and text not in choices:
        raise UsageError(f"{where} is {value!r}; write one of {', '.join(choices)}")
    if len(text) > _MOST_TEXT or not text.isprintable():
        raise UsageError(f"{where} is {value[:80]!r}; write a short text on one line")
    return text
