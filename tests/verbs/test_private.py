"""What a model may not load: places that hold credentials by convention, wherever they lie."""

from pathlib import PurePosixPath

import pytest

from rlm_mcp.verbs.private import why_private

HOME = PurePosixPath("/home/dev/.rlm-mcp")


@pytest.mark.parametrize(
    "path",
    ["/home/dev/.ssh", "/home/dev/.ssh/config", "/root/.ssh/id_rsa.pub", "/home/dev/.gnupg/x", "/home/dev/.aws/config",
     "/home/dev/.netrc", "/home/dev/.config/gh", "/home/dev/.config/gh/hosts.yml", "/home/dev/.docker/config.json",
     "/srv/app/.env", "/srv/app/.env.production", "/srv/app/prod.env", "/srv/app/.envrc", "/srv/app/.npmrc",
     "/backup/dev/.SSH/x", "/home/dev/.kube/config", "/home/dev/.config/gcloud/credentials.db", "/etc/shadow",
     "/proc/self/environ", "/sys/kernel", "/run/secrets/db", "/etc/ssh/ssh_host_rsa_key", "/home/dev/key.p12",
     "/home/dev/id_ed25519", "/home/dev/.codex/auth.json", "/home/dev/.claude/.credentials.json", "/home/dev/.pypirc",
     "/home/dev/.git-credentials", "/home/dev/.cargo/credentials.toml", "/Users/dev/Library/Keychains/login.keychain",
     "/home/dev/.rlm-mcp", "/Home/dev/.RLM-mcp/store.db", "/home/dev/.rlm-mcp/raw/1.raw"],
)  # fmt: skip
def test_credentials_are_private(path: str):
    """By name of file or of a folder above it."""
    assert why_private(PurePosixPath(path), HOME)


@pytest.mark.parametrize(
    "path",
    ["/", "/home/dev", "/home/dev/app/environment.py", "/srv/app/.env.example", "/srv/app/.env.sample", "/home/dev/env",
     "/home/dev/.config/git/config", "/home/dev/.docker/daemon.json", "/home/dev/app/ssh/readme.md", "/etc/hosts",
     "/home/dev/.rlm-mcp-notes/x", "/home/dev/id_rsa.md", "/home/dev/process/x", "/home/dev/proc/x", "/var/log/syslog",
     "/home/dev/.claude/projects/x.jsonl", "/home/dev/docs/.envelope", "/home/dev/gh/config"],
)  # fmt: skip
def test_other_files_are_not(path: str):
    """However alike their names."""
    assert why_private(PurePosixPath(path), HOME) == ""
