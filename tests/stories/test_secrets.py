"""Secrets in a transcript reach no file of ours but the compressed raw bytes: no log, index, Fact or Brief."""

from pathlib import Path

import pytest

from rlm_mcp.config import Paths, Settings
from rlm_mcp.store.database import Store, open_store
from rlm_mcp.verbs.compact import compact
from rlm_mcp.verbs.export import export_markdown
from rlm_mcp.verbs.ingest import ingest
from rlm_mcp.verbs.locate import locate
from rlm_mcp.verbs.read import read
from rlm_mcp.verbs.search import search
from tests.build import Transcript
from tests.looks import raw

_BODY = "Zq7Xw9Rt2Lm4Kp6Vb8Nc1Hd3Fg5Js0Ay7Ue9Wi2Qo4Tz6"
PLANTED = {
    "github": "ghp_" + _BODY[:36],
    "anthropic": "sk-ant-api03-" + _BODY[:40],
    "openai": "sk-proj-" + _BODY[:44],
    "aws": "AKIA" + "QWERTYUIOP234567",
    "slack": "xoxb-" + "1234567890-" + _BODY[:24],
    "google": "AIza" + (_BODY[:35]),
    "npm": "npm_" + _BODY[:36],
    "stripe": "sk_live_" + _BODY[:24],
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiJib2IifQ." + _BODY[:40],
    "url": "hunter2-" + _BODY[:12],
}
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join([_BODY * 2] * 6) + "\n-----END RSA PRIVATE KEY-----"


def written(secret: str, name: str) -> str:
    """As it stands in prose or output."""
    return f"postgres://bob:{secret}@db.acme.dev/x" if name == "url" else secret


@pytest.fixture
def told(paths: Paths, tmp_path: Path):
    """A session that holds every secret in a prompt, a command, its output, an edit, a read, a todo and a bad line."""
    made = Transcript()
    for name, secret in PLANTED.items():
        text = written(secret, name)
        made.user(f"Never use {text} for {name}. The value is `{text}`.")
        made.todos((f"rotate {text}", "pending"))
        made.bash(
            f"curl -H 'X: {text}' https://acme.dev/{name}", f"ERROR: {text} refused\nexport TOKEN={text}\n", exit_code=1
        )
        made.edit(f"/home/dev/acme/{name}.py", "x = 1", f"KEY = '{text}'")
        made.read(f"/home/dev/acme/{name}.env", f"A=1\nTOKEN={text}\n")
        made.reply(f"I decided to keep {text} because it works.")
        made.line(f"not json {text}".encode())
        made.add({"type": f"unknown {text}", "x": text})
    made.read("/home/dev/acme/id_rsa", PEM)
    made.user(PEM)
    path = made.save(tmp_path / "s.jsonl")
    with path.open("ab") as file:
        file.write(b'{"type":"user","half a record":"' + PLANTED["github"].encode())
    with open_store(paths, Settings()) as store:
        ingest(store, path)
        yield store, path


def test_no_secret_is_in_any_file_but_the_raw_ones(told: tuple[Store, Path]):
    """Database, WAL, logs, marks, while open and after closing."""
    store, path = told
    session = locate(store, transcript=path)
    compact(store, session, trigger="manual", instructions=f"mind {PLANTED['openai']}")
    store.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    for _ in range(2):
        for file in store.paths.home.rglob("*"):
            if file.is_file() and store.paths.raw not in file.parents:
                content = file.read_bytes()
                for name, secret in PLANTED.items():
                    assert secret.encode() not in content, (name, file.name)
                assert _BODY.encode() not in content, file.name
        store.close()


def test_no_answer_tells_a_secret(told: tuple[Store, Path]):
    """Brief, searches, reads and Markdown hold marked placeholders; the raw export is the client's own file."""
    store, path = told
    session = locate(store, transcript=path)
    said = [
        compact(store, session, trigger="cli", tokens=20_000, instructions=f"mind {PLANTED['aws']}").brief.text,
        read(store, session, "s", max_tokens=100_000).text,
        "".join(export_markdown(store, session)),
        *(
            search(store, session, query, max_tokens=20_000).text
            for query in (
                "errors",
                "which commands failed",
                "values the user gave",
                "open todos",
                "decisions",
                "/TOKEN=.*/",
            )
        ),
    ]
    for text in said:
        for name, secret in PLANTED.items():
            assert secret not in text, name
    assert "[REDACTED:github-token]" in said[1]
    assert said[1].count("[REDACTED:private-key]") >= 2
    assert PLANTED["github"].encode() in raw(store, path)
    assert raw(store, path) == path.read_bytes()
