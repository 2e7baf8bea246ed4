"""Parts of known secrets are taken out wherever a slice has cut them; ordinary text stays as it is."""

import hashlib

import pytest

from rlm_mcp.fragments import MARK, Fragments

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eFaB3d"
LINES = [hashlib.sha512(bytes([number])).hexdigest()[:64].replace("a", "Q").replace("c", "z/") for number in range(20)]
PEM = "\n" + "\n".join(LINES) + "\n"
PROSE = (
    "The ghp_ prefix is public, sk-ant-api03- is too; password=changeme1, https://example.com/v2/Config2024?x=1 and "
    "SuperPasswordField stay, and 2026-11-22T13:07:48 as well as -----BEGIN RSA PRIVATE KEY----- and AES-256-CBC.\n"
)


def test_a_slice_of_a_token_is_masked_wherever_it_is_cut() -> None:
    """Twelve characters of it, or more; what stands before and behind stays."""
    masks = Fragments([TOKEN])
    for start in range(4, len(TOKEN) - 12):
        for end in range(start + 12, len(TOKEN)):
            text = f"first half {TOKEN[start:end]}, and so on"
            assert masks.redact(text) == f"first half {MARK}, and so on", (start, end)


def test_a_slice_from_within_a_key_block_becomes_one_mark() -> None:
    """No header is there, so no rule knows what it is; only where a line is cut may a few characters be left."""
    masks = Fragments([PEM])
    for start in range(len(PEM) - 300):
        found = masks.redact(PEM[start : start + 300])
        assert found.count(MARK) == 1, start
        left = found.split(MARK)
        assert all(len(one.strip()) < 16 for one in left), (start, left)


def test_a_slice_is_masked_as_a_literal_too() -> None:
    """As ``print([text])`` shows it, with line ends escaped."""
    found = Fragments([PEM]).redact(repr(PEM[100:500]))
    assert all(line[20:40] not in found for line in LINES)


def test_ordinary_text_stays_whatever_is_known() -> None:
    """Public words of secrets (a prefix, a header's words, a word in a password) are no part of one."""
    secrets = [
        TOKEN,
        "sk-ant-api03-" + "Zz9" * 20,
        "changeme1",
        "SuperPassword123",
        "MyConfig-in-v2-2024",
        "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123456789ABCDEF0123456789ABCDEF\n" + PEM,
        "\nRSA PRIVATE KEY code between: isinstance(value, parseX509Certificate) and SubjectPublicKeyInfo\n" * 9,
        "AAAAAAAAAAAAAAAAAAAAAAAA1",
    ]
    assert Fragments(secrets).redact(PROSE) == PROSE
    code = "return isinstance(value, parseX509Certificate) and SubjectPublicKeyInfo"
    assert Fragments(secrets).redact(code) == code


def test_a_key_of_ours_is_masked_whole_however_short_unless_it_is_a_placeholder() -> None:
    """``sk-local-1234`` is a key; ``none`` and ``ollama`` stand where an endpoint needs none."""
    masks = Fragments(keys=["sk-local-1234", "", "none", "ollama", "no-key-required"])
    text = "sk-local-1234 for ollama, none needed, no-key-required"
    assert masks.redact(text) == f"{MARK} for ollama, none needed, no-key-required"


def test_nothing_known_changes_nothing() -> None:
    """And costs nothing."""
    assert Fragments().redact(TOKEN + PEM) == TOKEN + PEM


@pytest.mark.parametrize("count", [1, 3_000])
def test_thousands_of_secrets_are_known_alike(count: int) -> None:
    """Each of them, in any half."""
    made = [hashlib.sha256(str(number).encode()).hexdigest().replace("a", "Q") for number in range(count)]
    masks = Fragments(made)
    for secret in made[:: max(1, count // 50)]:
        assert masks.redact(f"x {secret[:32]} y {secret[32:]}") == f"x {MARK} y {MARK}"


def test_of_megabytes_of_secrets_little_is_kept_and_long_parts_are_found() -> None:
    """So it stays bounded, whatever is loaded."""
    made = [hashlib.shake_256(str(number).encode()).hexdigest(500).replace("a", "Q") for number in range(2_000)]
    masks = Fragments(made)
    assert len(masks._places) <= 200_000
    assert all(masks.redact(secret[100:200]) == MARK for secret in made[::100])
