"""Questions for tests of the whole way: texts to ask about, a model that programs, and the environment to ask in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.sublm.endpoint import Answer, Endpoint, Script, Seen

KEY = "sk-proj-" + "kT7" * 15 + "T3BlbkFJ" + "wQ2" * 15
SECRET = "kraken-4711"
NEEDLE = f"2026-11-07 user5 said: the secret word is {SECRET}"
FIND_IT = """\
import re
found = re.search(r"secret word is (\\S+)", context)
FINAL(found[1], quotes=[found[0]])"""
_NO_VARIABLES = ("RLM_MCP_SUBCALL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "CLAUDECODE", "CODEX_HOME")


def a_log(path: Path, lines: int = 2_000, needle: str = NEEDLE) -> Path:
    """A log of questions too long for one prompt, with the needle two thirds down."""
    rows = [f"2026-11-{n % 28 + 1:02d} user{n % 37} asked: question number {n} about {topic(n)}" for n in range(lines)]
    rows[lines * 2 // 3] = needle
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def topic(number: int) -> str:
    """What the question of that number is about."""
    return "billing" if number % 5 == 0 else "login"


def block(code: str) -> str:
    """A reply that is this code."""
    return f"```repl\n{code}\n```"


def is_root(seen: Seen) -> bool:
    """Whether a Run's root is asked, not a sub-model."""
    return "```repl" in seen.system


def programs(
    *codes: str, sub: Callable[[str], str | Answer] = lambda prompt: f"heard: {prompt[:40]}", seconds: float = 0.0
) -> Script:
    """A root that writes one Cell after the other, the last one again and again; ``sub`` answers all other prompts.

    Args:
        seconds: every answer of the root takes so long.
    """

    def script(seen: Seen) -> Answer:
        if is_root(seen):
            said = sum(role == "assistant" for role, _text in seen.messages)
            return Answer(text=block(codes[min(said, len(codes) - 1)]), seconds=seconds)
        found = sub(seen.prompt)
        return found if isinstance(found, Answer) else Answer(text=found)

    return script


def environment(endpoint: Endpoint | None, home: Path, **more: str) -> dict[str, str]:
    """Of a process that asks this endpoint, or nobody."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RLM_MCP_") and name not in _NO_VARIABLES
    }
    told: Mapping[str, str] = (
        {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": KEY} if endpoint else {"PATH": str(home)}
    )
    return {**kept, "RLM_MCP_HOME": str(home), "HOME": str(home), **told, **more}
