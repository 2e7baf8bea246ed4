"""Places that hold credentials by convention: what ``load`` does not bring in, as a model calls it. Pure.

The list follows what the tools' own manuals say of where they keep keys, tokens and passwords. It is a matter of names
alone, wherever the folder lies (a backup of a home folder counts); secrets in other files are known by their shape, see
``redact``.
"""

from __future__ import annotations

import re
from pathlib import PurePath


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _places(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(place.removeprefix("/").split("/")) for place in text.split())


_FOLDERS = _words(
    ".ssh .gnupg .aws .azure .kube .password-store .mozilla .thunderbird .1password .bitwarden .electrum .bitcoin"
)
_NAMES = _words(
    ".env .envrc .netrc _netrc .pgpass .my.cnf .npmrc .pypirc .git-credentials .htpasswd .vault-token .dockercfg .boto "
    ".s3cfg .rclone.conf id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk"
)
_ANYWHERE = _places(
    ".config/gh .config/hub .config/gcloud .config/op .config/rclone .config/git/credentials .config/doctl "
    ".config/google-chrome .config/chromium .config/containers/auth.json .docker/config.json .codex/auth.json "
    ".claude/.credentials.json .cargo/credentials .cargo/credentials.toml .gem/credentials .m2/settings.xml "
    ".gradle/gradle.properties .terraform.d/credentials.tfrc.json .local/share/keyrings library/keychains"
)
_SYSTEM = _places(
    "/proc /sys /run/secrets /var/run/secrets /etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow- /etc/sudoers "
    "/etc/sudoers.d /etc/ssh /private/etc/ssh /private/etc/master.passwd"
)
_ENV = re.compile(r"\.env\.(?!example$|sample$|template$|dist$|defaults$).+|.+\.env")
_KEYS = _words(".p12 .pfx .jks .keystore .kdbx .ppk")


def why_private(path: PurePath, store_home: PurePath) -> str:
    """What an absolute path is that is not to be loaded; empty for any other.

    Small letters and capitals are one, as they are on some file systems. Ask about a path as it is, and with its links
    resolved.
    """
    parts, home = (tuple(part.lower() for part in each.parts[1:]) for each in (path, store_home))
    if parts[: len(home)] == home:
        return "the store of rlm-mcp itself"
    if any(parts[: len(place)] == place for place in _SYSTEM):
        return "a place of the system's own"
    if any(part in _FOLDERS for part in parts) or any(_holds(parts, run) for run in _ANYWHERE):
        return "a place of credentials"
    name = parts[-1] if parts else ""
    if name in _NAMES or _ENV.fullmatch(name) or path.suffix.lower() in _KEYS:
        return "a file of credentials"
    return ""


def _holds(parts: tuple[str, ...], run: tuple[str, ...]) -> bool:
    return any(parts[at : at + len(run)] == run for at in range(len(parts) - len(run) + 1))
