"""How long a compaction takes in the real Claude Code, by the client's own clock."""

import json
from pathlib import Path

import pytest

from rlm_mcp.cli import install_claude
from rlm_mcp.config import Paths
from tests.clients.claude_provider import Step, provider
from tests.clients.claude_rig import ClaudeHome, headless
from tests.clients.conftest import claude_binary as claude_binary  # noqa: PLC0414  # a fixture of another folder

pytestmark = [pytest.mark.bench, pytest.mark.client]

MOST_MILLISECONDS = 500


def test_a_full_window_is_swapped_within_half_a_second(tmp_path: Path, claude_binary: Path) -> None:
    """Some 300,000 tokens, 3 MB of transcript: the better of two swaps, as ``compactMetadata.durationMs`` has it."""
    with provider() as api:
        home = ClaudeHome(root=tmp_path, binary=claude_binary, url=api.url)
        home.prepare()
        target = install_claude.find_target(Paths(home=home.store), home.environment(), str(home.binary))
        for step in install_claude.plan_install(target).steps:
            step.apply()
        (home.project / "rows.txt").write_text("\n".join(f"row {n:05d} {n * 2654435761:016x}" for n in range(700)))
        with headless(home) as client:
            for half in range(2):
                for number in range(20):
                    command = {"command": f"cat rows.txt; echo {half} {number}"}
                    api.steps.extend([Step(text="I look.", tool="Bash", arguments=command), Step(text="Seen.")])
                    client.say(f"Work item {half} {number}: look again, and never touch the rows.")
                client.say("/compact")
    lines = home.transcripts()[0].read_text(encoding="utf-8").splitlines()
    boundaries = [json.loads(line) for line in lines if '"compact_boundary"' in line]
    taken = [boundary["compactMetadata"]["durationMs"] for boundary in boundaries]
    print(f"swaps took {taken} ms")
    assert len(taken) == 2
    assert min(taken) <= MOST_MILLISECONDS
