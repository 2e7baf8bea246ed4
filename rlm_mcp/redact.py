"""Well-known secret shapes are replaced by marked placeholders, ``[REDACTED:github-token]``.

The rules know tokens by the prefixes their issuers chose (see each issuer's documentation on token formats; GitHub's
"secret scanning" and gitleaks list the same shapes), so that hashes, UUIDs, images and signatures stay as they are; and
values given to names such as ``password`` or ``api_key``, where they look like nothing else.
They work on text of any nesting: plain, inside a JSON string, or inside a JSON string inside one. No rule eats a quote
or a backslash, so that redacted JSON stays JSON.

Speed: every rule sits behind a gate, a pattern that begins with one literal character or word, which ``re`` seeks with
``memchr``. Looking for all of them in 12 MB takes about 0.1 s; only what a gate finds is looked at closely.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

_START = r"(?:(?<![A-Za-z0-9+])|(?<=\\[nrt]))"
"""A token begins here: after no letter or digit, but for the letter of an escaped line end."""
_LETTERS_FIRST = re.compile(r"\A" + re.escape(_START) + r"([A-Za-z]{1,4}|\[[A-Za-z]+\])")
"""A pattern that begins so is turned round, to look behind its first letters: ``re`` seeks those without more ado."""
_END = r"(?![A-Za-z0-9_-])"
_QUOTES = r"\\*[\"'`]?"

_PIECE = 1 << 18
"""A longer text is looked through piece by piece: ``re`` lets no other thread run while it works on one."""
_LONGEST = 1 << 16
"""No pattern matches so much, nor looks so far ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One shape. ``pattern`` may have one group: what stands before the secret and is kept."""

    label: str
    hints: str
    """Words of which one stands in every match."""
    pattern: str


_Ready = tuple[tuple[str, ...], re.Pattern[str], str | Callable[[re.Match[str]], str]]
"""A rule made ready: its hints, its pattern, what comes in the match's place."""

_VALUE = r"[^\s\"'`\\<>{}$()\[\],;|&]"
_LIKELY = (
    rf"(?={_VALUE}{{8,128}}(?!{_VALUE}))(?={_VALUE}{{0,64}}[0-9])(?={_VALUE}{{0,64}}[A-Za-z])(?![/.~%#@*-]|0x)"
    rf"(?!{_VALUE}*(?:://|(?i:example|change|placeholder|dummy|fake|your|redacted|xxx|\*\*\*|\.\.\.|insert|sample"
    r"|mock|test)))"
)
"""A value of letters and digits that is no path, address or placeholder follows."""
_LITERAL = rf"{_LIKELY}(?![A-Za-z]+(?:[_./:@-][A-Za-z]+)*[_.-]?[0-9]{{0,2}}(?!{_VALUE})){_VALUE}+"
"""In quotes: not words with a number behind, as ``my-token-1``."""
_BARE = rf"{_LIKELY}(?![A-Za-z_-]+[0-9]{{0,2}}[A-Za-z_-]*(?!{_VALUE}))[A-Za-z0-9!@#%^*+=_~?-]{{8,128}}"
"""Without quotes: not what may be a name in code either, as ``Uint8Array``, ``self.token``."""
_MAY_BE = rf"{_QUOTES}\s{{0,3}}[:=]{{1,2}}>?\s{{0,3}}{_QUOTES}{_VALUE}{{8}}"
_ASSIGNED = (
    rf"(?:{_QUOTES}\s{{0,3}}(?:=>|:?=|:)\s{{0,3}}(\\*[\"'`])(?={_LITERAL}\2)"
    rf"|=(?={_BARE}(?:[\s\"'`\\&]|\Z))|: (?={_BARE}(?:[\r\n]|\\[nr]|\Z)))){_VALUE}{{8,128}}"
)
"""Behind a name: a string literal, ``NAME=value`` of a shell or an address, ``name: value`` up to the line's end."""


def _assigned(label: str, hint: str, rest: str = "") -> _Rule:
    """Of values given to names that end in ``hint`` and, behind it, the pattern ``rest``."""
    return _Rule(label=label, hints=hint, pattern=f"({hint}{rest}{_ASSIGNED}")


def _named(label: str, hint: str, rest: str = "") -> tuple[str, tuple[_Rule, ...]]:
    """The same with a gate of its own."""
    return f"{hint}{rest}{_MAY_BE}", (_assigned(label, hint, rest),)


_UNDERSCORE = (
    r"_(?:(?=[A-Za-z0-9]{12})(?:(?<=gh[pousr]_)|(?<=github_pat_)|(?<=[sr]k_live_)|(?<=[sr]k_test_)|(?<=whsec_)"
    r"|(?<=npm_)|(?<=hf_)|(?<=gsk_)|(?<=do[pro]_v1_)|(?<=shp[acps][ast]_)|(?<=lin_api_)|(?<=lin_oauth_)|(?<=ntn_)"
    r"|(?<=secret_)|(?<=glsa_)|(?<=r8_)|(?<=sbp_))|key(?<=secret_access_key)|id(?<=private_key_id)"
    rf"|(?:key(?:(?<=api_key)|(?<=private_key))|KEY(?:(?<=API_KEY)|(?<=PRIVATE_KEY))){_MAY_BE})"
)
_DASH = (
    r"-(?<=[a-zXUY]-)(?=[A-Za-z0-9_-]{10})(?:(?<=sk-)[A-Za-z0-9]{3}|(?<=gl[pdr]at-)|(?<=glptt-)|(?<=gldt-)|(?<=glrt-)"
    r"|(?<=xox[abeoprs]-)|(?<=xapp-)|(?<=GOCSPX-)|(?<=pypi-)AgE|(?<=key-)[0-9a-f]{32}|(?<=HRKU-)"
    r"|(?<=sq0[aci][tsd]p-)|(?<=SECRET-KEY-)1)"
)
_DOT = (
    r"\.(?:eyJ|(?<=SG\.)[A-Za-z0-9_-]{16}|(?<=hv[sbr]\.)[A-Za-z0-9_-]{20}|(?<=ya29\.)[A-Za-z0-9_-]{20}"
    r"|(?<=hooks\.)slack\.com|[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27})"
)
_CAPITAL_K = (
    r"K(?:(?<=AK)IA[A-Z0-9]{16}|(?<=PRIVATE K)EY|(?<=AccountK)ey=|(?<=AccessK)ey|(?<=ACCESS_K)EY|(?<=SK)[0-9a-f]{32}"
    rf"|ey(?:(?<=[aA]piKey)|(?<=privateKey)){_MAY_BE})"
)
_CAPITAL_I = r"I(?:(?<=AI)za[A-Za-z0-9_-]{35}|(?<=ASI)A[A-Z0-9]{16})"
_SQUARE = r"EAAA(?:(?<![A-Za-z0-9+/]EAAA)|(?<=\\[nrt]EAAA))[A-Za-z0-9_-]{60}"
_URL_LOGIN = r"(://[^\s/:@\"'<>\\\[\]{}$`|]{0,64}:)[^\s/@\"'<>\\\[\]{}$`|()]{3,128}(?=@[A-Za-z0-9])"

_JWT = (
    r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]{11,12000}+\.eyJ[A-Za-z0-9_-]{8,8000}+\.[A-Za-z0-9_-]{10})"
    rf"([A-Za-z0-9_-]*?){_START}eyJ[A-Za-z0-9_-]{{8,}}+\.eyJ[A-Za-z0-9_-]{{8,}}+\.[A-Za-z0-9_-]{{10,2000}}"
)
"""Looked for where a run of its letters begins: what follows the run decides for all that stands in it, once."""

_SHAPES: tuple[tuple[str, tuple[_Rule, ...]], ...] = (
    (
        _UNDERSCORE,
        (
            _Rule(
                label="github-token",
                hints="ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
                pattern=r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255}",
            ),
            _Rule(
                label="stripe-key",
                hints="_live_ _test_ whsec_",
                pattern=_START + r"[rsw](?:(?<!w)k_(?:live|test)|(?<=w)hsec)_[A-Za-z0-9]{16,255}",
            ),
            _Rule(label="npm-token", hints="npm_", pattern=_START + r"npm_[A-Za-z0-9]{36}" + _END),
            _Rule(label="huggingface-token", hints="hf_", pattern=_START + r"hf_[A-Za-z0-9]{30,40}" + _END),
            _Rule(label="groq-key", hints="gsk_", pattern=_START + r"gsk_[A-Za-z0-9]{40,60}" + _END),
            _Rule(label="digitalocean-token", hints="_v1_", pattern=_START + r"do[pro]_v1_[0-9a-f]{64}"),
            _Rule(label="shopify-token", hints="shp", pattern=_START + r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
            _Rule(label="linear-key", hints="lin_", pattern=_START + r"lin_(?:api|oauth)_[A-Za-z0-9]{32,64}"),
            _Rule(
                label="notion-token",
                hints="ntn_ secret_",
                pattern=_START + r"(?:ntn_[A-Za-z0-9]{40,50}|secret_[A-Za-z0-9]{43})" + _END,
            ),
            _Rule(label="grafana-token", hints="glsa_", pattern=_START + r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}"),
            _Rule(label="replicate-token", hints="r8_", pattern=_START + r"r8_[A-Za-z0-9]{37,40}" + _END),
            _Rule(label="supabase-token", hints="sbp_", pattern=_START + r"sbp_[0-9a-f]{40}"),
            _Rule(
                label="aws-secret-key",
                hints="secret_access_key SecretAccessKey secretAccessKey SECRET_ACCESS_KEY",
                pattern=r"(secret_access_key"
                + _QUOTES
                + r"\s{0,8}[:=]\s{0,8}"
                + _QUOTES
                + r")[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
            ),
            _Rule(
                label="gcp-private-key-id",
                hints="private_key_id",
                pattern=r"(private_key_id" + _QUOTES + r"\s{0,8}[:=]\s{0,8}" + _QUOTES + r")[0-9a-f]{40}" + _END,
            ),
            _assigned("api-key", "_key", "(?:(?<=api_key)|(?<=private_key))"),
            _assigned("api-key", "_KEY", "(?:(?<=API_KEY)|(?<=PRIVATE_KEY))"),
        ),
    ),
    (
        _DASH,
        (
            _Rule(label="anthropic-key", hints="sk-ant-", pattern=_START + r"sk-ant-[A-Za-z0-9_-]{20,255}"),
            _Rule(
                label="openai-key",
                hints="sk-",
                pattern=_START + r"sk-(?:(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_-]{20,255}|[A-Za-z0-9]{32,128})",
            ),
            _Rule(
                label="gitlab-token",
                hints="glpat- glptt- gldt- glrt-",
                pattern=_START + r"gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_.-]{20,300}(?<![.])",
            ),
            _Rule(
                label="slack-token", hints="xox xapp-", pattern=_START + r"x(?:ox[abeoprs]|app)-[A-Za-z0-9-]{10,255}"
            ),
            _Rule(label="google-oauth-secret", hints="GOCSPX-", pattern=_START + r"GOCSPX-[A-Za-z0-9_-]{28}"),
            _Rule(label="pypi-token", hints="pypi-", pattern=_START + r"pypi-AgE[A-Za-z0-9_-]{50,1000}"),
            _Rule(label="mailgun-key", hints="key-", pattern=_START + r"key-[0-9a-f]{32}" + _END),
            _Rule(label="heroku-key", hints="HRKU-", pattern=_START + r"HRKU-[A-Za-z0-9_-]{36,64}"),
            _Rule(label="square-token", hints="sq0 EAAA", pattern=_START + r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,43}"),
            _Rule(label="age-key", hints="AGE-SECRET-KEY-", pattern=_START + r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
        ),
    ),
    (
        _DOT,
        (
            _Rule(label="jwt", hints=".eyJ", pattern=_JWT),
            _Rule(
                label="sendgrid-key", hints="SG.", pattern=_START + r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"
            ),
            _Rule(label="vault-token", hints="hvs. hvb. hvr.", pattern=_START + r"hv[sbr]\.[A-Za-z0-9_-]{24,300}"),
            _Rule(label="google-oauth-token", hints="ya29.", pattern=_START + r"ya29\.[A-Za-z0-9_-]{20,500}"),
            _Rule(
                label="slack-webhook",
                hints="hooks.slack.com",
                pattern=r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[A-Za-z0-9]{6,20}/[A-Za-z0-9/]{16,100}",
            ),
            _Rule(
                label="discord-token",
                hints=".",
                pattern=_START + r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}" + _END,
            ),
        ),
    ),
    (
        _CAPITAL_K,
        (
            _Rule(label="aws-access-key", hints="AKIA ASIA", pattern=_START + r"AKIA[A-Z0-9]{16}(?![A-Za-z0-9])"),
            _Rule(
                label="aws-secret-key",
                hints="secret_access_key SecretAccessKey secretAccessKey SECRET_ACCESS_KEY",
                pattern=r"((?:[Ss]ecretAccessKey|SECRET_ACCESS_KEY)"
                + _QUOTES
                + r"\s{0,8}[:=]\s{0,8}"
                + _QUOTES
                + r")[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
            ),
            _Rule(
                label="azure-account-key",
                hints="Key=",
                pattern=r"((?:Account|SharedAccess)Key=)[A-Za-z0-9/+]{40,88}={0,2}",
            ),
            _Rule(label="twilio-key", hints="SK", pattern=_START + r"SK[0-9a-f]{32}" + _END),
            _assigned("api-key", "Key", "(?:(?<=[aA]piKey)|(?<=privateKey))"),
        ),
    ),
    (
        _CAPITAL_I,
        (
            _Rule(label="google-api-key", hints="AIza", pattern=_START + r"AIza[A-Za-z0-9_-]{35}" + _END),
            _Rule(label="aws-access-key", hints="AKIA ASIA", pattern=_START + r"ASIA[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ),
    ),
    (_SQUARE, (_Rule(label="square-token", hints="sq0 EAAA", pattern=_SQUARE + _END),)),
    (
        r"dapi[0-9a-f]{32}",
        (_Rule(label="databricks-token", hints="dapi", pattern=_START + r"dapi[0-9a-f]{32}(?:-\d)?" + _END),),
    ),
    (
        r":AA[A-Za-z0-9_-]{33}",
        (_Rule(label="telegram-token", hints=":AA", pattern=r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}" + _END),),
    ),
    (
        r"earer ",
        (
            _Rule(
                label="bearer-token",
                hints="earer ",
                pattern=r"([Bb]earer {1,4})(?=[A-Za-z._~+/-]{0,200}[0-9])[A-Za-z0-9._~+/-]{20,4000}={0,2}",
            ),
        ),
    ),
    (
        _URL_LOGIN,
        (_Rule(label="password", hints="://", pattern=_URL_LOGIN),),
    ),
    _named("password", "assw", "(?:or)?d"),
    _named("password", "ASSW", "(?:OR)?D"),
    _named("secret", "ecret"),
    _named("secret", "ECRET"),
    _named("token", "oken"),
    _named("token", "OKEN"),
    _named("api-key", "apikey"),
)

_PEM = (
    r"(?s)(-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----)"
    r"((?:(?!-----BEGIN ).){16,20000}?)(-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----)"
)
_PEM_PIECE = r"\[REDACTED:private-key\]|\\+(?:u[0-9a-fA-F]{4}|.)|[A-Za-z0-9+/=]{8,}|(?<=[A-Za-z0-9+/])=+"


def _blank_pem(match: re.Match[str]) -> str:
    """The block with its body blanked; quotes, escapes and line numbers between the pieces stay."""
    seen = "[REDACTED:private-key]" in match[2]

    def piece(found: re.Match[str]) -> str:
        nonlocal seen
        text = found[0]
        if text[0] in "[\\":
            return text
        if seen:
            return ""
        seen = True
        return "[REDACTED:private-key]"

    return match[1] + re.sub(_PEM_PIECE, piece, match[2]) + match[3]


@cache
def _signs() -> tuple[re.Pattern[bytes], ...]:
    """The gates, compiled on first use: at import it would cost a hook 20 ms."""
    return tuple(re.compile(sign.encode("ascii")) for sign, _ in _SHAPES)


@cache
def _rules(gate: int) -> tuple[_Ready, ...]:
    """What lies behind a gate."""
    sign, rules = _SHAPES[gate]
    ready: list[_Ready] = []
    for rule in rules:
        pattern = re.compile(_LETTERS_FIRST.sub(r"\1(?:(?<![A-Za-z0-9+]\1)|(?<=\\\\[nrt]\1))", rule.pattern))
        kept = "\\1" if pattern.groups else ""
        ready.append((tuple(rule.hints.split()), pattern, f"{kept}[REDACTED:{rule.label}]"))
    if sign is _CAPITAL_K:
        ready.append((("PRIVATE KEY",), re.compile(_PEM), _blank_pem))
    return tuple(ready)


def redact(text: str) -> tuple[str, int]:
    """``text`` with its secrets replaced, and how many were."""
    count = 0
    encoded = text.encode("utf-8", "replace")
    for gate, sign in enumerate(_signs()):
        if _has(sign, encoded):
            for hints, pattern, replacement in _rules(gate):
                if any(hint in text for hint in hints):
                    text, found = _replaced(pattern, replacement, text)
                    count += found
    return text, count


def _has(sign: re.Pattern[bytes], encoded: bytes) -> bool:
    """Whether it is found anywhere."""
    return any(sign.search(encoded, at, at + _PIECE + _LONGEST) for at in range(0, len(encoded), _PIECE))


def _replaced(
    pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], text: str
) -> tuple[str, int]:
    """As ``pattern.subn``."""
    if len(text) <= _PIECE:
        return pattern.subn(replacement, text)
    pieces: list[str] = []
    done = count = 0
    for match in _matches(pattern, text):
        put = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
        pieces += (text[done : match.start()], put)
        done = match.end()
        count += 1
    return ("".join((*pieces, text[done:])) if count else text), count


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """As ``pattern.finditer``."""
    at = 0
    while at < len(text):
        end = at + _PIECE
        for match in pattern.finditer(text, at, end + _LONGEST):
            if match.start() >= end:
                break
            at = match.end()
            yield match
        at = max(at, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret stands in a text."""

    start: int
    end: int
    label: str

    @property
    def mark(self) -> str:
        """What is shown in its place."""
        return f"[REDACTED:{self.label}]"


def find(text: str) -> list[Secret]:
    """The secrets of ``text``, in order, one inside another or overlapping it as one; in characters."""
    found: list[Secret] = []
    encoded = text.encode("utf-8", "replace")
    for gate, sign in enumerate(_signs()):
        if _has(sign, encoded):
            for hints, pattern, replacement in _rules(gate):
                if any(hint in text for hint in hints):
                    found += (_secret(match, replacement) for match in _matches(pattern, text))
    joined: list[Secret] = []
    for secret in sorted(found, key=lambda one: (one.start, -one.end)):
        if joined and secret.start < joined[-1].end:
            end = max(joined[-1].end, secret.end)
            joined[-1] = Secret(start=joined[-1].start, end=end, label=joined[-1].label)
        else:
            joined.append(secret)
    return joined


def _secret(match: re.Match[str], replacement: str | Callable[[re.Match[str]], str]) -> Secret:
    if not isinstance(replacement, str):
        return Secret(start=match.start(2), end=match.end(2), label="private-key")
    label = replacement.removeprefix("\\1").removeprefix("[REDACTED:").removesuffix("]")
    return Secret(start=match.end(1) if match.re.groups else match.start(), end=match.end(), label=label)


class Suspects:
    """Where in a buffer something looks like a secret: tells quickly which records need a closer look."""

    def __init__(self, buffer: bytes) -> None:
        self._places = sorted(found.start() for sign in _signs() for found in sign.finditer(buffer))

    def within(self, start: int, end: int) -> bool:
        """Whether ``buffer[start:end]`` may hold a secret."""
        index = bisect_left(self._places, start)
        return index < len(self._places) and self._places[index] < end
