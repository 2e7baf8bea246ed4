"""What was paid for is never paid for again: after kill -9, in the same run again, with few documents edited."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.asked import environment, is_root, programs
from tests.cli.rig import ROOT
from tests.sublm.endpoint import Answer, Endpoint, Seen, running_endpoint

DOCUMENTS, WIDTH = 100, 8
MAP = 'found = llm_map(context, "Judge this: {item}")\nFINAL(f"{len(found)} judged, {len(set(found))} ways")'


def _documents(folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number:03}.txt" for number in range(DOCUMENTS)]
    for number, path in enumerate(paths):
        path.write_text(f"document {number}\n" + "It goes on and on like this.\n" * 40, encoding="utf-8")
    return paths


def _asking(endpoint: Endpoint, home: Path, documents: list[Path]) -> subprocess.Popen[bytes]:
    named = [word for path in documents for word in ("--context", str(path))]
    return subprocess.Popen(
        [sys.executable, "-m", "rlm_mcp", "ask", "-q", "How good are they?", "--json", *named],
        env=environment(endpoint, home, PYTHONPATH=str(ROOT), RLM_MCP_SUB_WIDTH=str(WIDTH)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _answered(endpoint: Endpoint, home: Path, documents: list[Path]) -> dict[str, Any]:
    with _asking(endpoint, home, documents) as asking:
        out, _err = asking.communicate(timeout=60)
    assert asking.returncode == 0, out
    found: dict[str, Any] = json.loads(out)
    assert found["answer"].startswith("100 judged")
    return found


def test_only_what_was_under_way_is_paid_again_after_kill_9(tmp_path: Path) -> None:
    """Killed with 40 of 100 answered; then the same again; then with three documents edited. The endpoint counts."""
    documents, home = _documents(tmp_path / "documents"), tmp_path / "home"
    plain = programs(MAP, sub=lambda prompt: f"good: {prompt[:40]}")
    subs: list[str] = []

    def script(seen: Seen) -> Answer:
        if not is_root(seen):
            subs.append(seen.prompt)
        return plain(seen) if len(subs) <= 40 else Answer(seconds=3600)

    with running_endpoint(script) as endpoint:
        with _asking(endpoint, home, documents) as asking:
            endpoint.wait_for(lambda now: now.answered == 41 and now.under_way == WIDTH)
            asking.send_signal(signal.SIGKILL)
            asking.wait()
        endpoint.wait_for(lambda now: now.under_way == 0)
        assert len(subs) == 40 + WIDTH
        endpoint.script = lambda seen: (subs.append(seen.prompt), plain(seen))[1] if not is_root(seen) else plain(seen)

        found = _answered(endpoint, home, documents)
        assert len(subs) == 40 + WIDTH + 60
        assert (found["calls"], found["cached"]) == (60, 41)
        assert len(set(subs)) == DOCUMENTS

        again = _answered(endpoint, home, documents)
        assert (again["calls"], again["cached"]) == (0, 101)

        for number in (3, 50, 99):
            text = documents[number].read_text(encoding="utf-8")
            documents[number].write_text(text + "It was edited.\n", encoding="utf-8")
        before = len(subs)
        edited = _answered(endpoint, home, documents)
        assert len(subs) - before == 3
        assert edited["cached"] >= 97
    served = sum(one.tokens_in for one in endpoint.served), sum(one.tokens_out for one in endpoint.served)
    listed = subprocess.run(
        [sys.executable, "-m", "rlm_mcp", "status", "--json"],
        env=environment(endpoint, home, PYTHONPATH=str(ROOT)), cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    spent = json.loads(listed.stdout)["spent_today"]
    assert (spent["tokens_in"], spent["tokens_out"]) == served
    assert spent["abandoned"] == WIDTH
