"""Secrets are replaced wherever they stand; what only looks random stays."""

import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.redact import Suspects, find, redact

A64 = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF" * 8
"""Letters and digits; the secrets below are cut from it, so that no real one stands in this file."""
HEX = hashlib.sha512(b"made for a test").hexdigest()

SECRETS = {
    "anthropic-key": "sk-ant-" + "api03-" + A64[:80],
    "aws-access-key": "AKIA" + "Q7RT2MEW5XZ4NB3K",
    "azure-account-key": "AccountKey=" + A64[:86] + "==",
    "bearer-token": "Authorization: Bearer " + A64[:40],
    "databricks-token": "dapi" + HEX[:32],
    "digitalocean-token": "dop_v1_" + HEX[:64],
    "discord-token": "M" + A64[:23] + "." + A64[4:10] + "." + A64[:30],
    "github-token": "ghp_" + A64[:36],
    "gitlab-token": "glpat-" + A64[:20],
    "google-api-key": "AIza" + A64[:35],
    "google-oauth-secret": "GOCSPX-" + A64[:28],
    "grafana-token": "glsa_" + A64[:32] + "_" + HEX[:8],
    "groq-key": "gsk_" + A64[:52],
    "heroku-key": "HRKU-" + A64[:36],
    "huggingface-token": "hf_" + A64[:34],
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NSJ9." + A64[:43],
    "linear-key": "lin_api_" + A64[:40],
    "mailgun-key": "key-" + HEX[:32],
    "notion-token": "ntn_" + A64[:46],
    "npm-token": "npm_" + A64[:36],
    "openai-key": "sk-proj-" + A64[:48],
    "password": "postgres://app:hunter2secret@db.example.com/x",
    "pypi-token": "pypi-AgE" + A64[:80],
    "replicate-token": "r8_" + A64[:37],
    "sendgrid-key": "SG." + A64[:22] + "." + A64[:43],
    "shopify-token": "shpat_" + HEX[:32],
    "slack-token": "xoxb-" + "123456789012-" + A64[:24],
    "slack-webhook": "https://hooks.slack.com/services/" + "T01ABCDEF/B01ABCDEF/" + A64[:24],
    "square-token": "sq0atp-" + A64[:22],
    "stripe-key": "sk_live_" + A64[:24],
    "supabase-token": "sbp_" + HEX[:40],
    "telegram-token": "123456789:" + "AA" + A64[:33],
    "twilio-key": "SK" + HEX[:32],
    "vault-token": "hvs." + A64[:30],
}
MORE = {
    "github-token": "github_pat_" + A64[:22] + "_" + A64[:59],
    "openai-key": "sk-" + A64[:48],
    "aws-access-key": "ASIA" + "Q7RT2MEW5XZ4NB3K",
    "aws-secret-key": 'aws_secret_access_key = "' + A64[:40] + '"',
    "gcp-private-key-id": '"private_key_id": "' + HEX[:40] + '"',
    "stripe-key": "rk_live_" + A64[:24],
    "square-token": "EAAA" + A64[:60],
    "vault-token": "hvb." + A64[:30],
}
CASES = [*SECRETS.items(), *MORE.items()]
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(A64[i * 8 : i * 8 + 64] for i in range(6))
    + "\nAbc=\n-----END RSA PRIVATE KEY-----"
)


@pytest.mark.parametrize(("label", "secret"), CASES)
def test_a_secret_is_replaced_by_a_placeholder_that_names_it(label: str, secret: str) -> None:
    """In a line of its own, in a sentence, as a value."""
    for text in (secret, f"use {secret} now", f"KEY={secret}\n", f"({secret})"):
        clean, count = redact(text)
        assert f"[REDACTED:{label}]" in clean
        assert count == 1


@pytest.mark.parametrize(("label", "secret"), CASES)
def test_json_stays_json_at_any_depth(label: str, secret: str) -> None:
    """Inside a string, and inside a JSON string inside one; after an escaped line end too."""
    value: object = {"text": f'first\n{secret}\n\t{secret}"quoted" {secret}', "path": "C:\\new\\table"}
    for _ in range(3):
        text = json.dumps(value)
        clean, count = redact(text)
        assert count == 3
        assert secret not in json.dumps(json.loads(clean))
        assert re.sub(r"\[REDACTED:[a-z-]+\]", "", clean).count('"') == clean.count('"')
        json.loads(clean)
        value = {"inner": text}


@pytest.mark.parametrize(("label", "secret"), CASES)
def test_redacting_twice_changes_nothing(label: str, secret: str) -> None:
    """A placeholder is no secret."""
    once, _ = redact(f"a {secret} b\n{PEM}")
    assert redact(once) == (once, 0) or redact(once)[0] == once


@pytest.mark.parametrize(("label", "secret"), CASES)
def test_the_quick_look_finds_what_the_rules_replace(label: str, secret: str) -> None:
    """Only records it points at are looked at closely."""
    buffer = b"x" * 50 + b"\n" + f"a {secret} b".encode() + b"\n" + b"y" * 50
    suspects = Suspects(buffer)
    assert suspects.within(51, 51 + len(f"a {secret} b"))
    assert not suspects.within(0, 50)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_private_key_loses_its_body_and_keeps_its_frame(depth: int) -> None:
    """Plain, escaped, doubly escaped."""
    text = PEM
    for _ in range(depth):
        text = json.dumps(text)
    clean, count = redact(text)
    for _ in range(depth):
        clean = json.loads(clean)
    assert count == 1
    assert clean.splitlines()[:2] == ["-----BEGIN RSA PRIVATE KEY-----", "[REDACTED:private-key]"]
    assert clean.endswith("-----END RSA PRIVATE KEY-----")
    assert not re.search(r"[A-Za-z0-9]{20}", clean)


def test_a_private_key_in_a_list_of_lines_is_found() -> None:
    """As a patch or a numbered listing shows it."""
    patch = json.dumps([f"+{line}" for line in PEM.splitlines()])
    listing = json.dumps("\n".join(f"{n:6}\u2192{line}" for n, line in enumerate(PEM.splitlines(), 1)))
    for text in (patch, listing):
        clean, count = redact(text)
        json.loads(clean)
        assert count == 1
        assert not re.search(r"[A-Za-z0-9+/]{24}", clean)


LONGEST = "-----BEGIN PRIVATE KEY-----\n" + "\n".join([A64[:60]] * 300) + "\n-----END PRIVATE KEY-----"
LONG_TEXT = "a line of a long output, with nothing in it\n" * 7_000
"""Long enough to be looked through in several pieces."""


@pytest.mark.parametrize("secret", [*(secret for _label, secret in CASES), PEM, LONGEST])
def test_a_secret_in_a_long_text_is_found_wherever_it_stands(secret: str) -> None:
    """A long text is looked through in pieces; a secret that stands over the end of one is whole all the same."""
    border = 1 << 18
    line = f"({secret})\n"
    alone, _ = redact(line)
    for back in (0, 1, 2, len(secret) // 2, len(secret) + 1):
        at = border - back
        text = LONG_TEXT[:at] + line + LONG_TEXT[at:]
        assert redact(text) == (LONG_TEXT[:at] + alone + LONG_TEXT[at:], 1)
        assert len(find(text)) == 1


def test_many_secrets_in_a_long_text_are_all_replaced() -> None:
    """Whatever piece they stand in."""
    lines = [f"{number} {secret}\n" for number in range(300) for secret in SECRETS.values()]
    assert redact("".join(lines)) == ("".join(redact(line)[0] for line in lines), len(lines))


@pytest.mark.parametrize(
    "text",
    [
        HEX,
        HEX[:40] + " Merge branch",
        "5f1c9d1e-0000-4000-8000-000000000001",
        "data:image/png;base64," + A64 * 20,
        A64[:30] + "AKIAQ7RT2MEW5XZ4NB3K" + A64[:30],
        "sk-learn, task-runner-with-a-very-long-kebab-case-name-and-more",
        "class='sk-circle-fade-dot-wrapper-element-one'",
        "https://example.com:8080/a@b and http://localhost:3000/x",
        "git@github.com:owner/repository.git",
        "key-value-pairs-are-kept-in-a-dictionary-of-lists",
        "npm_config_registry=https://registry.npmjs.org/",
        "hf_hub_download(repo_id=model_name_and_revision)",
        "SKIP_THIS_TEST and SKU1234567890",
        "the bearer of this letter was here yesterday evening",
        "-----BEGIN CERTIFICATE-----\n" + A64[:64] + "\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\n" + A64[:64] + "\n-----END PUBLIC KEY-----",
        "secret_access_key=${AWS_SECRET_ACCESS_KEY}",
        "postgres://$USER:$PASSWORD@host/x and mysql://{user}:{password}@host",
    ],
)
def test_what_only_looks_random_stays(text: str) -> None:
    """Hashes, ids, images, names, addresses without a password, public keys, placeholders of templates."""
    assert redact(text) == (text, 0)


@given(st.text(max_size=300), st.sampled_from(sorted(SECRETS.values())), st.text(max_size=300))
def test_redacted_json_is_json_whatever_stands_around_a_secret(before: str, secret: str, after: str) -> None:
    """And holds the same keys."""
    clean, _ = redact(json.dumps({"a": before + " " + secret + " " + after, "b": 1}))
    assert sorted(json.loads(clean)) == ["a", "b"]


ASSIGNED = {
    "password=|SuperSecret123!|": "password",
    "password: |hunter2hunter2|\nuser: bob": "password",
    "PASSWORD='|abcDEF123456|'": "password",
    "DB_PASSWD=|abcDEF123456| run": "password",
    'api_key = "|abcd1234efgh5678ijkl|"': "api-key",
    "export OPENAI_API_KEY=|sk-local-1234|": "api-key",
    '{"clientSecret": "|k7Lm9Pq2Rs4T|", "n": 1}': "secret",
    r"{\"apiKey\":\"|a1b2c3d4e5|\"}": "api-key",
    r'"text": "token: |9f8e7d6c5b|\nnext"': "token",
    "GET /x?access_token=|abc123def456|&page=2": "token",
    "'privateKey' => '|Zx81-Qw92-Er73|',": "api-key",
}
"""A value given to a name that says it is a secret, between bars; and what it is then called."""

NO_SECRETS = r"""token = get_token2()
password: str = ""
password: Optional[Str32]
token=tokens[0]
token = "my-token-1"
secret: Uint8Array
"secret": "string"
password = os.environ["PASSWORD1"]
PASSWORD=${PASSWORD_2024}
token: ${{ secrets.TOKEN12345 }}
api_key=<your-key-12345>
api_key="YOUR_API_KEY_2024"
password=changeme123
password="****1234****"
token=None
is_secret=true
token = access_token_v2
secret=config.v2.key99
password_file=/run/secrets/db1pass
password=/run/secrets/db1pass
token_url: "https://example.org/oauth2/token9"
secret = "https://acme.dev/a1b2c3d4"
const token: "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
{"input_tokens": 12345678, "max_token": 12345678, "tokens": "1a2b3c4d5e"}
tokenizer=gpt2xl9000
secretary: ann2ann2ann2
the password is a1b2c3d4e5
password:a1b2c3d4e5
"""
"""Code, templates and prose with such names, and no secret."""


@pytest.mark.parametrize(("text", "label"), ASSIGNED.items())
def test_a_value_given_to_a_name_of_secrets_is_replaced(text: str, label: str) -> None:
    """In shells, ini, JSON (inside a JSON string too), YAML, code with a literal and addresses; all else stays."""
    before, secret, behind = text.split("|")
    clean, count = redact(before + secret + behind)
    assert (clean, count) == (f"{before}[REDACTED:{label}]{behind}", 1)
    (found,) = find(before + secret + behind)
    assert (found.start, found.end, found.label) == (len(before), len(before + secret), label)
    assert redact(clean) == (clean, 0)


def test_code_placeholders_and_prose_with_such_names_stay() -> None:
    """A log must stay readable: a value is replaced only where it looks like nothing else."""
    assert redact(NO_SECRETS) == (NO_SECRETS, 0)
    assert redact(json.dumps(NO_SECRETS)) == (json.dumps(NO_SECRETS), 0)


def test_real_transcripts_lose_only_what_was_meant_as_a_secret(real_transcripts: Path) -> None:
    """Their collectors removed the real ones; samples of tokens and two passwords of examples are all that is found."""
    found: set[str] = set()
    for path in sorted(real_transcripts.glob("*/*.json*")):
        text = path.read_text(encoding="utf-8", errors="replace")
        clean, _ = redact(text)
        found |= set(re.findall(r"\[REDACTED:([a-z-]+)\]", clean))
        for line in clean.splitlines() if path.suffix == ".jsonl" else [clean]:
            if line[:1] in {"{", "["}:
                json.loads(line)
    assert found <= {"slack-token", "aws-access-key", "password"}


@pytest.mark.parametrize(("label", "secret"), [*SECRETS.items(), *MORE.items()])
def test_places_of_secrets_are_told(label: str, secret: str):
    """With marks put there, the text is what redacting makes of it."""
    text = f"before {secret} between {secret} behind"
    found = find(text)
    assert [one.label for one in found] == [label, label]
    for one in reversed(found):
        text = text[: one.start] + one.mark + text[one.end :]
    assert text == redact(f"before {secret} between {secret} behind")[0]


def test_a_private_keys_place_is_its_body():
    """The lines around it stay; what lies inside another secret is told once."""
    body = "\n".join([A64[:64]] * 8)
    text = f"x\n-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\ny"
    (found,) = find(text)
    assert (found.label, text[found.start : found.end]) == ("private-key", f"\n{body}\n")
    (found,) = find(f"postgres://app:{SECRETS['github-token']}@db.example.com/x")
    assert found.mark == "[REDACTED:github-token]"
    assert find("nothing here, sk- neither") == []


@given(
    st.lists(
        st.sampled_from([*SECRETS.values(), " ", "\n", "word", "é", '"', "-----BEGIN PRIVATE KEY-----"]), max_size=8
    )
)
def test_places_are_in_order_and_apart(parts: list[str]):
    """Whatever stands side by side; without what stands there, the text holds no secret."""
    text = "".join(parts)
    found = find(text)
    assert all(one.start < one.end <= other.start for one, other in pairwise(found))
    assert bool(found) == bool(redact(text)[1])
